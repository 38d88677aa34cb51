"""PNG, fast: colour through fpng; gray, which fpng does not know, filtered here and packed by zlib."""

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import fpng
import numpy as np
from numba import types
from numpy.typing import NDArray

from bigimage.resample.jit import array_type, compiled

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE: Final = {1: 0, 2: 4}
"""PNG's colour type of gray without and with alpha, by number of channels."""
SUB: Final = 1
"""PNG's filter that stores the difference to the pixel on the left."""


def _filter(image: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Differences to the left of an image (h, w, c), rows of `out` with the filter's number first; how many repeat."""
    repeats = 0
    channels = image.shape[2]
    for y in range(image.shape[0]):
        out[y, 0] = SUB
        for k in range(channels):
            out[y, 1 + k] = image[y, 0, k]
        for x in range(1, image.shape[1]):
            for k in range(channels):
                at = 1 + x * channels + k
                out[y, at] = image[y, x, k] - image[y, x - 1, k]
                repeats += int(out[y, at] == out[y, at - channels])
    return repeats


@lru_cache(maxsize=1)
def filter_rows() -> Callable[..., int]:
    """Compiled `_filter`."""
    return compiled(_filter, types.int64, (array_type("uint8", 3, readonly=True), array_type("uint8", 2)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk: length, type, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def encode(image: NDArray[np.uint8]) -> bytes:
    """PNG of an image (h, w, c): c is 1 for gray, 2 with alpha, 3 for colour, 4 with alpha."""
    height, width, channels = image.shape
    if channels > 2:
        return fpng.from_ndarray(image)
    rows: NDArray[Any] = np.empty((height, 1 + width * channels), np.uint8)
    repeats = filter_rows()(image, rows)
    # noise has no repeats worth a search, and run lengths alone are several times faster; flat areas want the search
    strategy = zlib.Z_DEFAULT_STRATEGY if repeats > image.size // 2 else zlib.Z_RLE
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    data = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPE[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")

"""Pictures of segment ids, as COCO's panoptic task has them: id = red + 256 · green + 256² · blue, 0 for none.

Written as a stream, strip after strip, so that a picture may be larger than memory; read the same way.
Source: the PNG specification (chunks, filter 2 "up").
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.sources import raster
from bigimage.sources.door import OpenOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IDS = 256**3 - 1
STRIP = 256
"""Rows that are in memory together; those of a chunk of a mask."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_SIDE = 2**31 - 1
_UP = 2
_LEVEL = 6


def write_ids(path: Path, size: tuple[int, int], strips: "Iterable[NDArray[np.uint32]]") -> None:
    """Write a picture of `size` (rows, columns) from strips of its ids, top down. Raises Unsupported."""
    rows, columns = size
    if max(size) > _MOST_SIDE:
        raise Unsupported(f"{rows} x {columns} pixels are too many for a PNG; export chips")
    with path.open("wb") as file:
        file.write(_SIGNATURE)
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0))
        packer = zlib.compressobj(_LEVEL)
        above = np.zeros((1, columns, 3), np.uint8)
        for strip in strips:
            colors = np.stack([strip & 255, (strip >> 8) & 255, (strip >> 16) & 255], axis=-1).astype(np.uint8)
            lines = np.empty((len(colors), 1 + 3 * columns), np.uint8)
            lines[:, 0] = _UP
            # what a row has in common with the one above becomes zeros
            lines[:, 1:] = (colors - np.concatenate([above, colors[:-1]])).reshape(len(colors), -1)
            above = colors[-1:]
            _chunk(file, b"IDAT", packer.compress(lines.tobytes()))
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    """Write one chunk of a PNG; none for data that is still to come."""
    if data or kind != b"IDAT":
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def strips_of(size: tuple[int, int]) -> Iterator[IndexBox]:
    """Boxes of a picture's strips, top down."""
    rows, columns = size
    for top in range(0, rows, STRIP):
        yield IndexBox((top, 0), (min(top + STRIP, rows), columns))


def read_ids(path: Path, size: tuple[int, int]) -> "Iterator[tuple[IndexBox, NDArray[np.uint32]]]":
    """Ids of a picture of `size` (rows, columns), strip after strip, with the box of each.

    Raises NotFound, and DataError for a damaged picture, one of another size or one without three channels of 8 bits.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                raise DataError(f"{path.name} is no PNG")
    (source,) = raster.open([path], image="segments", options=OpenOptions())
    with closing(source):
        info = source.info
        if info.grid.shape != size:
            rows, columns = info.grid.shape
            raise DataError(f"{path.name} has {columns} x {rows} pixels, its image {size[1]} x {size[0]}")
        if len(info.bands) < 3 or info.dtype != "uint8":
            raise DataError(f"{path.name} holds {len(info.bands)} channels of {info.dtype}, not three of 8 bits")
        for box in strips_of(size):
            red, green, blue = source.read(box, bands=[0, 1, 2]).array.astype(np.uint32)
            yield box, red | green << np.uint32(8) | blue << np.uint32(16)

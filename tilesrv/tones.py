"""Values to 8-bit tones and colours, whole pictures at a time: through tables where values are few, else by arithmetic.

All give pictures (h, w, channels) with the channels of a pixel side by side, 0 where a pixel is not valid.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from bigimage.resample.jit import array_type, compiled

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Range = tuple[float, float]
MIDDLE: Final = 128
"""Tone of a value that is both the darkest and the brightest."""
TABLED: Final = {"uint8": 1 << 8, "uint16": 1 << 16}
"""Types whose tones are looked up, and how many values each has."""
_ALL: Final = np.ones((1, 1), np.bool_)


def _look_up(pixels: NDArray[Any], tables: Bytes, valid: Mask, masked: bool, out: Bytes) -> None:
    """Pixels (c, h, w) through a table each into `out`, with alpha as its last channel where `masked`."""
    bands, height, width = pixels.shape
    for y in range(height):
        for band in range(bands):
            for x in range(width):
                out[y, x, band] = tables[band, pixels[band, y, x]]
        if masked:
            for x in range(width):
                if valid[y, x]:
                    out[y, x, bands] = 255
                else:
                    out[y, x, :] = 0


def _colour(pixels: NDArray[Any], table: Bytes, valid: Mask, masked: bool, out: Bytes) -> int:
    """Pixels (h, w) through a table of colours (n, 4) into `out` (h, w, 3 or 4); how many are fully opaque."""
    opaque = 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            if masked and not valid[y, x]:
                out[y, x, :] = 0
                continue
            at = pixels[y, x]
            for channel in range(3):
                out[y, x, channel] = table[at, channel]
            if out.shape[2] == 4:
                out[y, x, 3] = table[at, 3]
            opaque += int(table[at, 3] == 255)
    return opaque


def _scale(pixels: NDArray[Any], low: NDArray[Any], width: NDArray[Any], valid: Mask, masked: bool, out: Bytes) -> None:
    """Tones of pixels (c, h, w) by the low ends and widths of ranges, as in `_look_up`."""
    bands, height, columns = pixels.shape
    for y in range(height):
        for band in range(bands):
            for x in range(columns):
                # multiplied first: halves stay halves, and are rounded up
                tone = (float(pixels[band, y, x]) - low[band]) * 255.0 / width[band]
                # 0 / 0: the value that a range without width is about
                tone = MIDDLE if math.isnan(tone) else min(max(tone, 0.0), 255.0)
                out[y, x, band] = np.int32(tone + 0.5)
        if masked:
            for x in range(columns):
                if valid[y, x]:
                    out[y, x, bands] = 255
                else:
                    out[y, x, :] = 0


@lru_cache(maxsize=2)
def _looker(dtype: str) -> Callable[..., None]:
    """Compiled `_look_up` for one type of pixels."""
    mask, out = array_type("bool", 2, readonly=True), array_type("uint8", 3)
    tables = array_type("uint8", 2, readonly=True)
    return compiled(_look_up, types.void, (array_type(dtype, 3, readonly=True), tables, mask, types.boolean, out))


@lru_cache(maxsize=2)
def _colourer(dtype: str) -> Callable[..., int]:
    """Compiled `_colour` for one type of pixels."""
    mask, out = array_type("bool", 2, readonly=True), array_type("uint8", 3)
    table = array_type("uint8", 2, readonly=True)
    return compiled(_colour, types.int64, (array_type(dtype, 2, readonly=True), table, mask, types.boolean, out))


@lru_cache(maxsize=2)
def _scaler(dtype: str) -> Callable[..., None]:
    """Compiled `_scale` for one type of pixels."""
    mask, out, number = array_type("bool", 2, readonly=True), array_type("uint8", 3), array_type("float64", 1)
    pixels = array_type(dtype, 3, readonly=True)
    return compiled(_scale, types.void, (pixels, number, number, mask, types.boolean, out))


@lru_cache(maxsize=128)
def tone_table(dtype: str, limits: Range) -> Bytes:
    """Tones of all values of an integer type of 8 or 16 bits, by the value's bits; read-only."""
    values = np.arange(TABLED["u" + dtype.removeprefix("u")]).astype("u" + dtype.removeprefix("u")).view(dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        tones = (values.astype(np.float64) - limits[0]) * 255.0 / (np.float64(limits[1]) - limits[0])
    table = np.floor(np.where(np.isnan(tones), MIDDLE, np.clip(tones, 0, 255)) + 0.5).astype(np.uint8)
    table.flags.writeable = False
    return table


def tones(pixels: NDArray[Any], ranges: Sequence[Range], valid: Mask | None) -> Bytes:
    """Pictures of bands (c, h, w): 0 at the low end of each band's range, 255 at the high end.

    A range with its low end above shows the band inverted; one without width shows its value as `MIDDLE`, lower ones
    black and higher ones white. A last channel holds alpha unless `valid` is None.
    """
    bands, height, width = pixels.shape
    mask = _ALL if valid is None else valid
    out: Bytes = np.empty((height, width, bands + (valid is not None)), np.uint8)
    bits = np.dtype(f"uint{8 * pixels.itemsize}") if pixels.dtype.kind in "iu" else pixels.dtype
    if bits.name in TABLED:
        tables = np.stack([tone_table(pixels.dtype.name, limits) for limits in ranges])
        _looker(bits.name)(pixels.view(bits), tables, mask, valid is not None, out)
        return out
    if pixels.dtype.name != "float32":
        pixels = pixels.astype(np.float64)
    ends = np.array(ranges, np.float64)
    _scaler(pixels.dtype.name)(pixels, ends[:, 0].copy(), ends[:, 1] - ends[:, 0], mask, valid is not None, out)
    return out


def colours(pixels: NDArray[Any], table: Bytes, valid: Mask | None) -> Bytes:
    """Picture of indexes (h, w), uint8 or uint16, into a table of colours (n, 4); (h, w, 3) where all are opaque."""
    is_plain = valid is None and bool((table[:, 3] == 255).all())
    out: Bytes = np.empty((*pixels.shape, 3 if is_plain else 4), np.uint8)
    mask = _ALL if valid is None else valid
    opaque = _colourer(pixels.dtype.name)(pixels, table, mask, valid is not None, out)
    return out if opaque < pixels.size else np.ascontiguousarray(out[..., :3])


def warm() -> None:
    """Compile the loops for 8- and 16-bit pixels, or load them from numba's cache."""
    for dtype in TABLED:
        _looker(dtype)
        _colourer(dtype)

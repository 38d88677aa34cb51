"""Cells: one integer per annotation, so that a plain B-tree finds what a window touches.

Every annotation lies in one cell of a quadtree (in a volume, an octree) over the whole frame: cells double in size
from level to level, and an annotation takes the level whose cells are just larger than itself and the cell that holds
its centre. A window of level-k cells, grown by half a cell, then holds all level-k annotations that touch it. Cells of
a level are numbered along the Z-order curve, so a window is a few runs of numbers.

This was measured against SQLite's R*Tree and PostGIS' GiST: it is built several times faster, is kept up by ordinary
inserts and deletes, and is the same on both databases.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST = -30
"""Exponent of the cell size of level 0."""
LEVELS = 62
"""Level k has cells of 2**(LOWEST + k) world units; 62 levels fit a signed 64-bit set."""
LEVEL_SHIFT = 56
BITS = {2: 28, 3: 18}
"""Bits of a cell's number along each axis."""
MOST_BLOCKS = {2: 16, 3: 27}
"""Most blocks of cells that stand for a window on one level; more would cost more seeks than they spare rows."""
REACH = 0.5001
"""Part of a cell by which an annotation may leave the cell of its centre; the surplus swallows rounding."""

Range = tuple[int, int]
"""First and last cell, both included."""


def cells(low: "NDArray[np.float64]", high: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Cells of boxes given by their minima and maxima, shape (n, 2) or (n, 3)."""
    ndim = low.shape[1]
    _, size = np.frexp((high - low).max(axis=1))
    _, place = np.frexp(np.maximum(np.abs(low), np.abs(high)).max(axis=1))
    # far from the origin the smallest cells would have no number
    exponent = np.clip(np.maximum(size, place - (BITS[ndim] - 2)), LOWEST, LOWEST + LEVELS - 1)
    number = _numbers(low / 2 + high / 2, np.exp2(exponent.astype(np.float64))[:, None], ndim)
    code = np.zeros(len(low), dtype=np.int64)
    for axis in range(ndim):
        code |= _spread_array(number[:, axis], ndim) << axis
    return ((exponent - LOWEST).astype(np.int64) << LEVEL_SHIFT) | code


def levels_of(cell: "NDArray[np.int64]") -> int:
    """Set of the levels of some cells, as the bits of an integer."""
    found = 0
    for level in np.unique(cell >> LEVEL_SHIFT).tolist():
        found |= 1 << level
    return found


def ranges(low: Sequence[float], high: Sequence[float], levels: int) -> list[Range]:
    """Runs of cells that hold every annotation touching a box, on the levels of a set; sorted, without overlap."""
    out: list[Range] = []
    for level in range(LEVELS):
        if levels >> level & 1:
            out.extend(_level_ranges(low, high, level))
    return out


def block(code: int, ndim: int, shift: int) -> tuple[int, ...]:
    """Place of a block of 2**shift cells along each axis, counted from the origin, from its number on the curve."""
    digits = f"{code:b}"[::-1]
    half = 1 << (BITS[ndim] - 1 - shift)
    return tuple(int(digits[axis::ndim][::-1] or "0", 2) - half for axis in range(ndim))


def _level_ranges(low: Sequence[float], high: Sequence[float], level: int) -> list[Range]:
    """Runs of cells of one level."""
    ndim = len(low)
    size = 2.0 ** (LOWEST + level)
    first = [_number((v - REACH * size) / size, ndim) for v in low]
    last = [_number((v + REACH * size) / size, ndim) for v in high]
    # blocks of this size are at most 4 along the longest side; a thin window may take finer ones
    widest = max(b - a for a, b in zip(first, last, strict=True))
    shift = max(0, (widest >> 2).bit_length() - 2)
    while True:
        spans = [range(a >> shift, (b >> shift) + 1) for a, b in zip(first, last, strict=True)]
        if prod(map(len, spans)) <= MOST_BLOCKS[ndim]:
            break
        shift += 1
    base = level << LEVEL_SHIFT
    spread = [[_spread(v, ndim) << axis for v in span] for axis, span in enumerate(spans)]
    blocks = sorted(sum(parts) for parts in product(*spread))
    out: list[Range] = []
    start = previous = blocks[0]
    for block in [*blocks[1:], -1]:
        if block != previous + 1:
            out.append((base | start << ndim * shift, base | ((previous + 1 << ndim * shift) - 1)))
            start = block
        previous = block
    return out


def _numbers(position: "NDArray[np.float64]", size: "NDArray[np.float64]", ndim: int) -> "NDArray[np.int64]":
    """Numbers of cells along each axis; positions beyond the last cell count to it."""
    half = 1 << (BITS[ndim] - 1)
    return (np.clip(np.floor(position / size), -half, half - 1) + half).astype(np.int64)


def _number(position: float, ndim: int) -> int:
    """Number of the cell along one axis of a position in cells."""
    half = 1 << (BITS[ndim] - 1)
    return int(min(max(position // 1, -half), half - 1)) + half


_MASKS = {
    2: (
        *((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333)),
        (1, 0x5555555555555555),
    ),
    3: (
        *((32, 0x001F00000000FFFF), (16, 0x001F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3)),
        (2, 0x1249249249249249),
    ),
}


def _spread(value: int, ndim: int) -> int:
    """Bits of a number moved apart, to leave room for those of the other axes."""
    # its binary digits read as digits of a base with one more bit per axis
    return int(f"{value:b}", 1 << ndim)


def _spread_array(values: "NDArray[np.int64]", ndim: int) -> "NDArray[np.int64]":
    """`_spread` of many numbers."""
    spread = values.astype(np.uint64)
    for shift, mask in _MASKS[ndim]:
        spread = (spread | spread << np.uint64(shift)) & np.uint64(mask)
    return spread.astype(np.int64)

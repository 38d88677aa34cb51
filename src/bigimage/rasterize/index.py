"""A packed spatial index: which parts meet a window, from one sorted array of keys.

Each part lies in one cell of a pyramid of square cells: on the level whose cells are at least as large as the part, at
the cell of its lowest corner. So it reaches no further than the next cell, a query looks at the cells of the window
and one before, and nothing is stored twice. Keys are (level, cell row, cell column), so the cells of a row of cells
are one range of the sorted keys.
"""

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.jit import kernel

SMALLEST = 6
"""Base-2 logarithm of the smallest cell."""
BITS = 26
"""Bits for a cell's row and for its column; larger grids get larger smallest cells."""
DIGIT = 11
"""Bits of a key that it is sorted by at a time."""


@kernel
def cell_keys(box: NDArray[np.int64], smallest: int) -> NDArray[np.int64]:
    """Key of each part; boxes (row start, row stop, column start, column stop) must be at or above 0."""
    out = np.empty(box.shape[0], np.int64)
    for p in range(out.size):
        size = max(box[p, 1] - box[p, 0], box[p, 3] - box[p, 2])
        level = smallest
        while size > 1 << level:
            level += 1
        out[p] = (level << 2 * BITS) | ((box[p, 0] >> level) << BITS) | (box[p, 2] >> level)
    return out


@kernel
def _sorted(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys at or above 0 in order, and where each was; equal ones keep their order.

    By digits, lowest first: few bits of the keys differ, so this takes a quarter of the time of sorting by comparison.
    """
    n = keys.size
    place = np.arange(n)
    other_keys, other_place = np.empty_like(keys), np.empty_like(place)
    differ = np.int64(0)
    for k in range(n):
        differ |= keys[k] ^ keys[0]
    for shift in range(0, 63, DIGIT):
        if not (differ >> shift) & ((1 << DIGIT) - 1):
            continue
        start = np.zeros((1 << DIGIT) + 1, np.int64)
        for k in range(n):
            start[((keys[k] >> shift) & ((1 << DIGIT) - 1)) + 1] += 1
        for digit in range(1 << DIGIT):
            start[digit + 1] += start[digit]
        for k in range(n):
            digit = (keys[k] >> shift) & ((1 << DIGIT) - 1)
            other_keys[start[digit]], other_place[start[digit]] = keys[k], place[k]
            start[digit] += 1
        keys, other_keys = other_keys, keys
        place, other_place = other_place, place
    return keys, place


def sorted_keys(box: NDArray[np.int64], extent: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted keys of parts, and the parts in that order; within a cell they keep their order."""
    smallest = max(SMALLEST, int(extent.max()).bit_length() - BITS + 1)
    return _sorted(cell_keys(box, smallest))


@kernel
def mark_blocks(box: NDArray[np.int64], block: tuple[int, int], out: NDArray[np.bool_]) -> None:
    """Mark the blocks that each box meets."""
    for p in range(box.shape[0]):
        for row in range(box[p, 0] // block[0], -(-box[p, 1] // block[0])):
            for column in range(box[p, 2] // block[1], -(-box[p, 3] // block[1])):
                out[row, column] = True


@kernel
def _find(keys: NDArray[np.int64], key: int, low: int, high: int) -> int:
    """First position in low…high whose key is not less than `key`."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def query(
    keys: NDArray[np.int64], box: NDArray[np.int64], window: tuple[int, int, int, int], found: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Parts (positions in `keys`) whose box meets the window: their number, and the array that holds them."""
    y0, y1, x0, x1 = window
    n = at = 0
    while at < keys.size:
        level = keys[at] >> 2 * BITS
        stop = _find(keys, (level + 1) << 2 * BITS, at, keys.size)
        first_column, last_column = max((x0 >> level) - 1, 0), (x1 - 1) >> level
        row, last_row = max((y0 >> level) - 1, 0), (y1 - 1) >> level
        while row <= last_row and at < stop:
            base = (level << 2 * BITS) | (row << BITS)
            begin = _find(keys, base | first_column, at, stop)
            end = at = _find(keys, (base | last_column) + 1, begin, stop)
            if n + end - begin > found.size:
                larger = np.empty(2 * (n + end - begin), np.int64)
                for i in range(n):
                    larger[i] = found[i]
                found = larger
            for p in range(begin, end):
                if box[p, 0] < y1 and box[p, 1] > y0 and box[p, 2] < x1 and box[p, 3] > x0:
                    found[n] = p
                    n += 1
            row += 1
            if at < stop:  # rows of cells without any part are passed over
                row = max(row, (keys[at] >> BITS) & ((1 << BITS) - 1))
        at = stop
    return n, found

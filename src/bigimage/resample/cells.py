"""Cells: pieces of a block in which source indexes are biquadratic; compiled loops judge, bound and sort them."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from bigimage.resample.jit import JIT, array_type, compiled

BLOCK: Final = 256
"""Side of the blocks of the target lattice in which everything is decided."""
DROP: Final = 0
KEEP: Final = 1
SPLIT: Final = 2

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class Cells(NamedTuple):
    """The control grid of a block: cells between whose nodes source indexes are biquadratic."""

    place: Ints
    """(n, 3): first row and column within the block, side in pixels."""
    nodes: Doubles
    """(n, 3, 3, 2): source index (y, x) at the centres of the pixels (0, 0), (0, side / 2), …, (side, side)."""
    extent: Doubles
    """(n, 2): size (y, x) of one target pixel in source pixels."""


class Rows(NamedTuple):
    """Which cells touch each row of a part of a block."""

    cell: Ints
    """Numbers of cells, those of one row after those of another."""
    begin: Ints
    """Where those of each row begin; one more than there are rows."""


@njit(**JIT)
def _judge_cell(node: Doubles, columns: float, shape: Ints, tolerance: float) -> int:
    """What becomes of a cell whose nodes (3, 3, 2) are source indexes: `DROP`, `KEEP` or `SPLIT`."""
    low_y = low_x = math.inf
    high_y = high_x = -math.inf
    missing = 0
    miss = 0.0
    for a in range(3):
        for b in range(3):
            y, x = node[a, b, 0], node[a, b, 1]
            if not (math.isfinite(y) and math.isfinite(x)):
                missing += 1
                continue
            low_y, high_y = min(low_y, y), max(high_y, y)
            low_x, high_x = min(low_x, x), max(high_x, x)
            # the corners, or the ends of the edge, that this middle lies between; a corner is its own
            up, down = (0, 2) if a == 1 else (a, a)
            left, right = (0, 2) if b == 1 else (b, b)
            for k in range(2):
                flat = 0.25 * (node[up, left, k] + node[up, right, k] + node[down, left, k] + node[down, right, k])
                miss = max(miss, abs(node[a, b, k] - flat))
    if missing:
        return SPLIT if missing < 9 else DROP
    straight = miss <= tolerance
    margin_y = 1.0 if straight else high_y - low_y + 1.0
    margin_x = 1.0 if straight else high_x - low_x + 1.0
    if low_y - margin_y >= shape[0] or high_y + margin_y <= 0.0:
        return DROP
    near = low_x - margin_x < shape[1] and high_x + margin_x > 0.0
    if columns > 0.0:
        near |= low_x - margin_x - columns < shape[1] and high_x + margin_x - columns > 0.0
        near |= low_x - margin_x + columns < shape[1] and high_x + margin_x + columns > 0.0
    return (KEEP if straight else SPLIT) if near else DROP


def _judge(nodes: Doubles, columns: float, shape: Ints, tolerance: float, verdict: Ints, kept: Doubles) -> None:
    """Judge the cells between the nodes (n, 2k+1, 2k+1, 2) of n squares, and tell their own nodes.

    Where columns repeat, those of a cell are brought to one side of the antimeridian, its middle into [0, columns).
    """
    parts = (nodes.shape[1] - 1) // 2
    for n in range(nodes.shape[0]):
        for i in range(parts):
            for j in range(parts):
                at = (n * parts + i) * parts + j
                node = kept[at]
                middle = nodes[n, 2 * i + 1, 2 * j + 1, 1]
                middle -= columns * math.floor(middle / columns) if columns > 0.0 else 0.0
                for a in range(3):
                    for b in range(3):
                        y, x = nodes[n, 2 * i + a, 2 * j + b, 0], nodes[n, 2 * i + a, 2 * j + b, 1]
                        if columns > 0.0:
                            x -= columns * math.floor((x - middle) / columns + 0.5)
                        node[a, b, 0], node[a, b, 1] = y, x
                verdict[at] = _judge_cell(node, columns, shape, tolerance)


@njit(**JIT)
def _between(a: float, b: float, c: float, t: float) -> float:
    """Value at t of the parabola through a, b and c at 0, 1/2 and 1."""
    return a + t * (4.0 * b - 3.0 * a - c + 2.0 * t * (a - 2.0 * b + c))


def _bound(cells: Cells, part: Ints, out: Doubles) -> int:
    """Bounds (top, bottom, left, right) of the source indexes of each cell's pixels within a part of the block.

    They are those of the pixels at the part's corners; others may lie beyond by as much as a cell is not straight.
    They go into `out` (n, 4); cells without a pixel in the part are skipped, the number of the others comes back.
    """
    total = 0
    for k in range(cells.place.shape[0]):
        top, left, side = cells.place[k, 0], cells.place[k, 1], cells.place[k, 2]
        rows = max(top, part[0]) - top, min(top + side, part[1]) - top - 1
        columns = max(left, part[2]) - left, min(left + side, part[3]) - left - 1
        if rows[1] < rows[0] or columns[1] < columns[0]:
            continue
        out[total, 0] = out[total, 2] = math.inf
        out[total, 1] = out[total, 3] = -math.inf
        node = cells.nodes[k]
        for row in rows:
            for column in columns:
                t, u = row / side, column / side
                for axis in range(2):
                    first = _between(node[0, 0, axis], node[1, 0, axis], node[2, 0, axis], t)
                    middle = _between(node[0, 1, axis], node[1, 1, axis], node[2, 1, axis], t)
                    last = _between(node[0, 2, axis], node[1, 2, axis], node[2, 2, axis], t)
                    place = _between(first, middle, last, u)
                    out[total, 2 * axis] = min(out[total, 2 * axis], place)
                    out[total, 2 * axis + 1] = max(out[total, 2 * axis + 1], place)
        total += 1
    return total


def _sort(place: Ints, part: Ints, begin: Ints, cell: Ints) -> None:
    """Fill `Rows` of part[0]…part[1]; `begin` holds zeros, one more than in the end."""
    for k in range(place.shape[0]):
        for r in range(max(place[k, 0], part[0]), min(place[k, 0] + place[k, 2], part[1])):
            begin[r - part[0] + 2] += 1
    for r in range(2, begin.shape[0]):
        begin[r] += begin[r - 1]
    # each row's begin moves to its end, which is where the next one begins
    for k in range(place.shape[0]):
        for r in range(max(place[k, 0], part[0]), min(place[k, 0] + place[k, 2], part[1])):
            cell[begin[r - part[0] + 1]] = k
            begin[r - part[0] + 1] += 1


def cells_type() -> types.NamedTuple:
    """Numba's type of `Cells`."""
    return types.NamedTuple((array_type("int64", 2), array_type("float64", 4), array_type("float64", 2)), Cells)


def rows_type() -> types.NamedUniTuple:
    """Numba's type of `Rows`, whose members are all of one type."""
    return types.NamedUniTuple(array_type("int64", 1), 2, Rows)


@lru_cache(maxsize=1)
def judge() -> Callable[..., None]:
    """Compiled `_judge`."""
    number, whole = types.float64, array_type("int64", 1)
    return compiled(
        _judge, types.void, (array_type("float64", 4), number, whole, number, whole, array_type("float64", 4))
    )


@lru_cache(maxsize=1)
def bound() -> Callable[..., int]:
    """Compiled `_bound`."""
    return compiled(_bound, types.int64, (cells_type(), array_type("int64", 1), array_type("float64", 2)))


@lru_cache(maxsize=1)
def sort() -> Callable[..., None]:
    """Compiled `_sort`."""
    whole = array_type("int64", 1)
    return compiled(_sort, types.void, (array_type("int64", 2), whole, whole, whole))


def rows(cells: Cells, part: Ints) -> Rows:
    """Cells that touch each row of part[0]…part[1] of a block."""
    begin = np.zeros(part[1] - part[0] + 2, np.int64)
    cell = np.empty(int(cells.place[:, 2].sum()), np.int64)
    sort()(cells.place, part, begin, cell)
    return Rows(cell, begin)

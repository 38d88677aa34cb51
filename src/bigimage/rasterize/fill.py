"""Kernels that fill rings: the pixels whose centre lies inside, ties as GDAL decides them.

A row of pixels is cut by the edges of a part at points x; each becomes the first column whose centre lies beyond it,
floor(x + 0.5). Sorted and taken in pairs they are the runs of pixels inside: centres in (a, b]. Everything is computed
from global index coordinates and only then cut to the window, so a window never changes a pixel.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from bigimage.rasterize.jit import kernel

from bigimage.rasterize.flat import PIECE, Flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAPS = (82923, 36855, 16380, 7280, 3235, 1438, 639, 284, 126, 56, 25, 10, 4, 1)


@kernel
def _long_ring(
    flat: Flat, r: int, window: "tuple[int, int, int, int]", stretches: "NDArray[np.int64]", n: int
) -> int:
    """Stretches of a long ring: pieces in the window's rows; what lies left of it becomes one edge, for its parity."""
    y0, y1, x0, x1 = window
    a, last = flat.rings[r], flat.rings[r + 1] - 1
    for c in range(flat.pieces[r], flat.pieces[r + 1]):
        b = min(a + PIECE, last)
        box = flat.piece_box[c]
        if box[1] > y0 and box[0] < y1 and box[2] < x1:
            left = 1 if box[3] <= x0 else 0
            if n and stretches[n - 1, 1] == a and stretches[n - 1, 2] == left:
                stretches[n - 1, 1] = b
            else:
                stretches[n, 0], stretches[n, 1], stretches[n, 2] = a, b, left
                n += 1
        a = b
    return n


@kernel
def stretches_of(
    flat: Flat, part: int, window: "tuple[int, int, int, int]", stretches: "NDArray[np.int64]"
) -> "tuple[int, NDArray[np.int64]]":
    """Stretches of edges that matter in the window, rows (first vertex, last vertex, lies left), and their number."""
    first, stop = flat.first[part], flat.first[part + 1]
    need = stop - first + flat.pieces[stop] - flat.pieces[first]
    if need > stretches.shape[0]:
        stretches = np.empty((2 * need, 3), np.int64)
    n = 0
    for r in range(first, stop):
        if flat.pieces[r + 1] > flat.pieces[r]:
            n = _long_ring(flat, r, window, stretches, n)
        elif flat.rings[r + 1] > flat.rings[r]:
            stretches[n, 0], stretches[n, 1], stretches[n, 2] = flat.rings[r], flat.rings[r + 1] - 1, 0
            n += 1
    return n, stretches


@kernel
def _rows_between(ya: float, yb: float, y0: int, y1: int) -> "tuple[int, int]":
    """Rows of [y0, y1) whose centre c has min(ya, yb) ≤ c < max(ya, yb), counted from y0."""
    low, high = (ya, yb) if ya < yb else (yb, ya)
    first = max(math.ceil(low - 0.5), float(y0))
    stop = min(math.ceil(high - 0.5), float(y1))
    if stop <= first:
        return 0, 0
    return int(first) - y0, int(stop) - y0


@kernel
def _count(
    xy: "NDArray[np.float64]",
    stretches: "NDArray[np.int64]",
    window: "tuple[int, int, int, int]",
    starts: "NDArray[np.int64]",
) -> "tuple[int, int]":
    """Crossings of each row, as running starts: row k's begin at starts[k]; returns their number and that of ties."""
    y0, y1, _, x1 = window
    height = y1 - y0
    starts[: height + 1] = 0
    ties = 0
    for s in range(stretches.shape[0]):
        a, b, left = stretches[s]
        step = b - a if left else 1
        for i in range(a, b, step):
            j = i + step
            ya, yb = xy[i, 1], xy[j, 1]
            if ya == yb:
                ties += 1
                continue
            if xy[i, 0] > x1 + 1 and xy[j, 0] > x1 + 1:
                continue
            first, stop = _rows_between(ya, yb, y0, y1)
            if stop > first:
                starts[first] += 1
                starts[stop] -= 1
    total = depth = 0
    for k in range(height + 1):
        depth += starts[k]
        starts[k] = total
        total += depth
    return total, ties


@kernel
def _cross(
    xy: "NDArray[np.float64]",
    stretches: "NDArray[np.int64]",
    window: "tuple[int, int, int, int]",
    starts: "NDArray[np.int64]",
    crossings: "NDArray[np.int32]",
) -> None:
    """Write the crossings of each row, cut to the window's columns; starts[k] moves on to the end of row k."""
    y0, y1, x0, x1 = window
    left_limit, right_limit = float(x0), float(x1)
    for s in range(stretches.shape[0]):
        a, b, left = stretches[s]
        step = b - a if left else 1
        for i in range(a, b, step):
            j = i + step
            ya, yb = xy[i, 1], xy[j, 1]
            xa, xb = xy[i, 0], xy[j, 0]
            if ya == yb or (xa > x1 + 1 and xb > x1 + 1):
                continue
            first, stop = _rows_between(ya, yb, y0, y1)
            if stop <= first:
                continue
            if left or (xa < x0 - 1 and xb < x0 - 1):
                for k in range(first, stop):
                    crossings[starts[k]] = 0
                    starts[k] += 1
                continue
            if ya > yb:
                xa, ya, xb, yb = xb, yb, xa, ya
            for k in range(first, stop):
                # the very sequence of operations of GDAL: another one rounds otherwise
                x = math.floor((y0 + k + 0.5 - ya) * (xb - xa) / (yb - ya) + xa + 0.5)
                crossings[starts[k]] = int(min(max(x, left_limit), right_limit) - left_limit)
                starts[k] += 1


@kernel
def _ties(
    xy: "NDArray[np.float64]",
    stretches: "NDArray[np.int64]",
    window: "tuple[int, int, int, int]",
    spans: "NDArray[np.int32]",
) -> int:
    """Runs of edges that lie exactly on a row of centres and run towards lower columns."""
    y0, y1, x0, x1 = window
    n = 0
    for s in range(stretches.shape[0]):
        a, b, left = stretches[s]
        if left:
            continue
        for i in range(a, b):
            y = xy[i, 1]
            if y != xy[i + 1, 1] or xy[i, 0] <= xy[i + 1, 0]:
                continue
            row = math.floor(y)
            if y - row != 0.5 or row < y0 or row >= y1:
                continue
            start = max(math.floor(xy[i + 1, 0] + 0.5), float(x0))
            stop = min(math.floor(xy[i, 0] + 0.5), float(x1))
            if stop > start:
                spans[n, 0], spans[n, 1], spans[n, 2] = int(row) - y0, int(start) - x0, int(stop) - x0
                n += 1
    return n


@kernel
def _sort(values: "NDArray[np.int32]") -> None:
    """Sort in place: insertion, with growing gaps first (Shell 1959, gaps of Ciura 2001) where there are many."""
    for gap in GAPS:
        if gap >= values.size and gap > 1:
            continue
        for i in range(gap, values.size):
            value = values[i]
            j = i - gap
            while j >= 0 and values[j] > value:
                values[j + gap] = values[j]
                j -= gap
            values[j + gap] = value


@kernel
def _pair(
    window: "tuple[int, int, int, int]",
    starts: "NDArray[np.int64]",
    crossings: "NDArray[np.int32]",
    spans: "NDArray[np.int32]",
    n: int,
) -> int:
    """Runs between each two crossings of a row, appended to `spans`; an unpaired one ends at the window."""
    y0, y1, x0, x1 = window
    begin = 0
    for k in range(y1 - y0):
        end = starts[k]
        if end - begin == 2:
            low, high = crossings[begin], crossings[begin + 1]
            crossings[begin], crossings[begin + 1] = min(low, high), max(low, high)
        elif end - begin > 2:
            _sort(crossings[begin:end])
        for i in range(begin, end, 2):
            stop = crossings[i + 1] if i + 1 < end else x1 - x0
            if stop > crossings[i]:
                spans[n, 0], spans[n, 1], spans[n, 2] = k, crossings[i], stop
                n += 1
        begin = end
    return n


@kernel
def fill_part(
    flat: Flat,
    part: int,
    window: "tuple[int, int, int, int]",
    scratch: "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]",
) -> "tuple[int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]]":
    """Runs of the pixels of a polygon's inside: their number, and the scratch whose last array holds them."""
    stretches, starts, crossings, spans = scratch
    m, stretches = stretches_of(flat, part, window, stretches)
    height = window[1] - window[0]
    if height + 1 > starts.size:
        starts = np.empty(2 * height + 2, np.int64)
    total, ties = _count(flat.xy, stretches[:m], window, starts)
    if total > crossings.size:
        crossings = np.empty(2 * total, np.int32)
    if total + ties > spans.shape[0]:
        spans = np.empty((2 * (total + ties), 3), np.int32)
    n = _ties(flat.xy, stretches[:m], window, spans) if ties else 0
    if total:
        _cross(flat.xy, stretches[:m], window, starts, crossings)
        n = _pair(window, starts, crossings, spans, n)
    return n, (stretches, starts, crossings, spans)

"""Kernels that fill rings: the pixels whose centre lies inside, ties as GDAL decides them.

A row of pixels is cut by the edges of a part at points x; each becomes the first column whose centre lies beyond it,
floor(x + 0.5). Sorted and taken in pairs they are the runs of pixels inside: centres in (a, b]. Everything is computed
from global index coordinates and only then cut to the window, so a window never changes a pixel.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.flat import PIECE, Window
from bigimage.rasterize.jit import kernel

GAPS = (82923, 36855, 16380, 7280, 3235, 1438, 639, 284, 126, 56, 25, 10, 4, 1)


@kernel
def stretches_of(
    rings: NDArray[np.int64],
    pieces: NDArray[np.int64],
    piece_box: NDArray[np.int64],
    first: int,
    stop: int,
    window: Window,
    stretches: NDArray[np.int64],
) -> int:
    """Stretches of edges that matter in a window, as rows (first vertex, last vertex, lies left); returns their number.

    Of a long ring only the pieces in the window's rows are taken, and those left of it as one edge from end to end,
    which has the same parity. Rings run from `first` to before `stop`.
    """
    y0, y1, x0, x1 = window[:4]
    n = 0
    for r in range(first, stop):
        a, last = rings[r, 0], rings[r, 1] - 1
        if pieces[r + 1] == pieces[r]:
            stretches[n, 0], stretches[n, 1], stretches[n, 2] = a, last, 0
            n += 1
            continue
        for c in range(pieces[r], pieces[r + 1]):
            b = min(a + PIECE, last)
            if piece_box[c, 1] > y0 and piece_box[c, 0] < y1 and piece_box[c, 2] < x1:
                left = 1 if piece_box[c, 3] <= x0 else 0
                if n and stretches[n - 1, 1] == a and stretches[n - 1, 2] == left:
                    stretches[n - 1, 1] = b
                else:
                    stretches[n, 0], stretches[n, 1], stretches[n, 2] = a, b, left
                    n += 1
            a = b
    return n


@kernel
def _rows_between(ya: float, yb: float, y0: int, y1: int) -> tuple[int, int]:
    """Rows of [y0, y1) whose centre c has min(ya, yb) ≤ c < max(ya, yb), counted from y0."""
    low, high = (ya, yb) if ya < yb else (yb, ya)
    first = max(math.ceil(low - 0.5), y0) - y0
    return first, max(min(math.ceil(high - 0.5), y1) - y0, first)


@kernel
def count_crossings(
    xy: NDArray[np.float64], stretches: NDArray[np.int64], m: int, window: Window, starts: NDArray[np.int64]
) -> tuple[int, int]:
    """Crossings of each row, as running starts: row k's begin at starts[k]; returns their number and that of ties."""
    y0, y1, x1 = window[0], window[1], window[3]
    height = y1 - y0
    for k in range(height + 1):
        starts[k] = 0
    ties = 0
    for s in range(m):
        a, b = stretches[s, 0], stretches[s, 1]
        step = b - a if stretches[s, 2] else 1
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
def cross(
    xy: NDArray[np.float64],
    stretches: NDArray[np.int64],
    m: int,
    window: Window,
    starts: NDArray[np.int64],
    crossings: NDArray[np.int32],
) -> None:
    """Write the crossings of each row, cut to the window's columns; starts[k] moves on to the end of row k."""
    y0, y1, x0, x1 = window[:4]
    for s in range(m):
        a, b, left = stretches[s, 0], stretches[s, 1], stretches[s, 2]
        step = b - a if left else 1
        for i in range(a, b, step):
            j = i + step
            xa, ya, xb, yb = xy[i, 0], xy[i, 1], xy[j, 0], xy[j, 1]
            if ya == yb or (xa > x1 + 1 and xb > x1 + 1):
                continue
            first, stop = _rows_between(ya, yb, y0, y1)
            if left or (xa < x0 - 1 and xb < x0 - 1):
                for k in range(first, stop):
                    crossings[starts[k]] = 0
                    starts[k] += 1
                continue
            if ya > yb:
                xa, ya, xb, yb = xb, yb, xa, ya
            for k in range(first, stop):
                # the very sequence of operations of GDAL: another one rounds otherwise
                column = math.floor((y0 + k + 0.5 - ya) * (xb - xa) / (yb - ya) + xa + 0.5)
                crossings[starts[k]] = min(max(column, x0), x1) - x0
                starts[k] += 1


@kernel
def tie_runs(
    xy: NDArray[np.float64],
    stretches: NDArray[np.int64],
    m: int,
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> int:
    """Append the runs of edges that lie exactly on a row of centres and run towards lower columns."""
    y0, y1, x0, x1, top, left = window
    for s in range(m):
        if stretches[s, 2]:
            continue
        for i in range(stretches[s, 0], stretches[s, 1]):
            y = xy[i, 1]
            if y != xy[i + 1, 1] or xy[i, 0] <= xy[i + 1, 0]:
                continue
            row = math.floor(y)
            if y - row != 0.5 or row < y0 or row >= y1:
                continue
            start = max(math.floor(xy[i + 1, 0] + 0.5), x0)
            stop = min(math.floor(xy[i, 0] + 0.5), x1)
            if stop > start:
                runs[n, 0], runs[n, 1], runs[n, 2] = row - top, start - left, stop - left
                n += 1
    return n


@kernel
def sort(values: NDArray[np.integer], begin: int, end: int) -> None:
    """Sort a range in place: insertion, with wide gaps first where there are many (Shell 1959, gaps of Ciura 2001)."""
    for gap in GAPS:
        for i in range(begin + gap, end):
            value = values[i]
            j = i - gap
            while j >= begin and values[j] > value:
                values[j + gap] = values[j]
                j -= gap
            values[j + gap] = value


@kernel
def pair(
    window: Window,
    starts: NDArray[np.int64],
    crossings: NDArray[np.int32],
    runs: NDArray[np.int32],
    n: int,
) -> int:
    """Append the runs between each two crossings of a row; one without a partner ends at the window."""
    y0, y1, x0, x1, top, left = window
    down, over = y0 - top, x0 - left
    begin = 0
    for k in range(y1 - y0):
        end = starts[k]
        if end - begin == 2:
            a, b = crossings[begin], crossings[begin + 1]
            if a != b:
                runs[n, 0], runs[n, 1], runs[n, 2] = k + down, min(a, b) + over, max(a, b) + over
                n += 1
        elif end > begin:
            sort(crossings, begin, end)
            for i in range(begin, end, 2):
                b = crossings[i + 1] if i + 1 < end else x1 - x0
                if b > crossings[i]:
                    runs[n, 0], runs[n, 1], runs[n, 2] = k + down, crossings[i] + over, b + over
                    n += 1
        begin = end
    return n

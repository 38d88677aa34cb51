"""Kernels for lines one pixel wide, and for every pixel that an edge touches.

Both follow GDAL step by step, because the pixels are defined by its steps: Bresenham between the pixels of the
vertices, last vertex first; for the touched pixels a walk in floating point from the left end.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.flat import PIECE, Flat, Window
from bigimage.rasterize.jit import ZERO, kernel

EXACT_STEPS = 2**30
"""Pixels along a line up to which Bresenham's products fit 64 bits; longer ones step in floating point."""
LONG_WALK = 2**18
"""Rows or columns beyond which an edge is walked cell by cell, so that a window never waits for a whole continent."""
ALIGNED = 1e-4
"""Pixels within which GDAL takes an axis-parallel edge to lie on the border between pixels, touching neither side."""
STRAIGHT = 0.01
"""Pixels of lean below which GDAL walks an edge as axis-parallel."""
LEAST_STEP = 1e-9
"""Pixels that GDAL's walk moves at least, to leave the border it stands on."""
OPEN = -1
"""In place of the shape's position while a run may still be lengthened."""


@kernel
def room(runs: NDArray[np.int32], n: int, more: int) -> NDArray[np.int32]:
    """Array with room for more runs after the first n; larger ones hold a copy of them."""
    if n + more <= runs.shape[0]:
        return runs
    larger = np.empty((2 * (n + more), 4), np.int32)
    for i in range(n):  # a loop compiles much faster than a slice
        for k in range(4):
            larger[i, k] = runs[i, k]
    return larger


@kernel
def _put(runs: NDArray[np.int32], n: int, row: int, column: int) -> tuple[NDArray[np.int32], int]:
    """Append one pixel, or lengthen the last run by it, unless that belongs to another part."""
    if n and runs[n - 1, 0] == row and runs[n - 1, 3] == OPEN:
        if runs[n - 1, 2] == column:
            runs[n - 1, 2] = column + 1
            return runs, n
        if runs[n - 1, 1] == column + 1:
            runs[n - 1, 1] = column
            return runs, n
        if runs[n - 1, 1] <= column < runs[n - 1, 2]:
            return runs, n
    runs = room(runs, n, 1)
    runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3] = row, column, column + 1, OPEN
    return runs, n + 1


@kernel
def _minor(k: int, major: int, minor: int) -> int:
    """Steps along the minor axis after k steps along the major one: Bresenham's error sum, solved."""
    if major < EXACT_STEPS:
        return (2 * minor * k + major - 1) // (2 * major)
    return math.ceil(minor * (k / major) - 0.5)


@kernel
def _step_range(start: int, sign: int, count: int, low: int, high: int) -> tuple[int, int]:
    """Values k of 0…count with low ≤ start + sign·k < high, as a half-open range."""
    if sign > 0:
        return max(0, low - start), min(count + 1, high - start)
    return max(0, start - high + 1), min(count + 1, start - low + 1)


@kernel
def thin_line(
    xy: NDArray[np.float64],
    a: int,
    b: int,
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of a line one pixel wide through the pixels of vertices a…b-1; of a single vertex, its pixel."""
    y0, y1, x0, x1, top, left = window
    for i in range(a, max(b - 1, a + 1)):
        j = min(i + 1, b - 1)
        sx, sy = math.floor(xy[i, 0]), math.floor(xy[i, 1])
        dx, dy = math.floor(xy[j, 0]) - sx, math.floor(xy[j, 1]) - sy
        ux, uy = (1 if dx >= 0 else -1), (1 if dy >= 0 else -1)
        dx, dy = abs(dx), abs(dy)
        if dx >= dy:
            first, stop = _step_range(sx, ux, dx, x0, x1)
        else:
            first, stop = _step_range(sy, uy, dy, y0, y1)
        for k in range(first, stop):
            if dx >= dy:
                column, row = sx + ux * k, sy + uy * (_minor(k, dx, dy) if dx else 0)
            else:
                column, row = sx + ux * _minor(k, dy, dx), sy + uy * k
            if y0 <= row < y1 and x0 <= column < x1:
                runs, n = _put(runs, n, row - top, column - left)
    return runs, n


@kernel
def _clip(
    edge: tuple[float, float, float, float], slope: float, rect: tuple[int, int, int, int]
) -> tuple[float, float, float]:
    """Start (x, y) and end x of a rising-x edge cut to a rectangle the way GDAL cuts it."""
    x, y, x_end, y_end = edge
    top, bottom, left, right = rect
    if x_end > right:
        y_end -= (x_end - right) * slope
        x_end = float(right)
    if x < left:
        y += (left - x) * slope
        x = float(left)
    if y_end > y:
        if y < top:
            x += (top - y) / slope
            y = float(top)
        if y_end >= bottom:
            # GDAL lengthens where it means to shorten; rows outside are dropped, so only the bound matters
            x_end = min(x_end + (y_end - bottom) / slope, float(right))
    else:
        if y >= bottom:
            x += (bottom - y) / slope
            y = float(bottom)
        if y_end < top:
            x_end -= (y_end - top) / slope
    return x, y, x_end


@kernel
def _walk(
    edge: tuple[float, float, float, float],
    rect: tuple[int, int, int, int],
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Pixels of the window within `rect` that a leaning edge passes, from left to right."""
    if edge[0] > rect[3] or edge[2] < rect[2]:
        return runs, n
    if max(edge[1], edge[3]) < rect[0] or min(edge[1], edge[3]) > rect[1]:
        return runs, n
    slope = (edge[3] - edge[1]) / (edge[2] - edge[0])
    x, y, x_end = _clip(edge, slope, rect)
    y0, y1, x0, x1 = max(window[0], rect[0]), min(window[1], rect[1]), max(window[2], rect[2]), min(window[3], rect[3])
    while rect[2] <= x < x_end and x < x1 and not (slope > 0 and y >= y1) and not (slope < 0 and y < y0 - 1):
        column, row = math.floor(x), math.floor(y)
        if x0 <= column and y0 <= row < y1:
            runs, n = _put(runs, n, row - window[4], column - window[5])
        step_x = math.floor(x + 1.0) - x
        step_y = step_x * slope
        if math.floor(y + step_y) != row:
            step_y = min(row - y, -LEAST_STEP) if slope < 0 else max(row + 1 - y, LEAST_STEP)
            step_x = step_y / slope
        if x + step_x == x and y + step_y == y:
            # so far from index 0 that the least step is lost to rounding: leave the column instead
            step_x = math.floor(x + 1.0) - x
            step_y = step_x * slope
        x += step_x
        y += step_y
    return runs, n


@kernel
def _walk_far(
    edge: tuple[float, float, float, float],
    extent: NDArray[np.int64],
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """`_walk` over a short edge at once, over a long one in the fixed cells that the window meets."""
    whole = (ZERO, extent[0], ZERO, extent[1])
    if edge[2] - edge[0] <= LONG_WALK and abs(edge[3] - edge[1]) <= LONG_WALK:
        return _walk(edge, whole, window, runs, n)
    for r in range(window[0] // LONG_WALK, (window[1] - 1) // LONG_WALK + 1):
        for c in range(window[2] // LONG_WALK, (window[3] - 1) // LONG_WALK + 1):
            top, left = r * LONG_WALK, c * LONG_WALK
            rect = (top, min(top + LONG_WALK, whole[1]), left, min(left + LONG_WALK, whole[3]))
            runs, n = _walk(edge, rect, window, runs, n)
    return runs, n


@kernel
def _upright(
    edge: tuple[float, float, float, float],
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Pixels of an edge within one column."""
    y0, y1, x0, x1, top, left = window
    column = math.floor(edge[2])
    if not x0 <= column < x1:
        return runs, n
    low, high = min(edge[1], edge[3]), max(edge[1], edge[3])
    first = max(math.floor(low), y0)
    last = min(math.floor(high - ALIGNED), y1 - 1)
    for row in range(first, last + 1):
        runs, n = _put(runs, n, row - top, column - left)
    return runs, n


@kernel
def _level(
    edge: tuple[float, float, float, float],
    window: Window,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Pixels of an edge within one row."""
    y0, y1, x0, x1, top, left = window
    row = math.floor(edge[1])
    if not y0 <= row < y1:
        return runs, n
    first = max(math.floor(edge[0]), x0)
    last = min(math.floor(edge[2] - ALIGNED), x1 - 1)
    for column in range(first, last + 1):
        runs, n = _put(runs, n, row - top, column - left)
    return runs, n


@kernel
def _aligned(a: float, b: float) -> bool:
    """Whether both numbers lie on a border between pixels."""
    return abs(a - math.floor(a + 0.5)) < ALIGNED and abs(b - math.floor(b + 0.5)) < ALIGNED


@kernel
def _touch_edge(
    edge: tuple[float, float, float, float],
    extent: NDArray[np.int64],
    window: Window,
    is_ring: bool,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Pixels of the window that one edge touches; an edge of a ring along a border between pixels touches none."""
    xa, ya, xb, yb = edge
    y0, y1, x0, x1 = window[:4]
    # a pixel of slack, because the walk may overshoot by its least step
    if max(xa, xb) < x0 - 1 or max(ya, yb) < y0 - 1 or min(xa, xb) > x1 + 1 or min(ya, yb) > y1 + 1:
        return runs, n
    if (xa < 0 and xb < 0) or (ya < 0 and yb < 0) or (xa > extent[1] and xb > extent[1]):
        return runs, n
    if ya > extent[0] and yb > extent[0]:
        return runs, n
    if xa > xb:
        xa, ya, xb, yb = xb, yb, xa, ya
    ordered = (xa, ya, xb, yb)
    if math.floor(xa) == math.floor(xb) or xb - xa < STRAIGHT:
        if is_ring and _aligned(xa, xb):
            return runs, n
        return _upright(ordered, window, runs, n)
    if math.floor(ya) == math.floor(yb) or abs(ya - yb) < STRAIGHT:
        if is_ring and _aligned(ya, yb):
            return runs, n
        return _level(ordered, window, runs, n)
    return _walk_far(ordered, extent, window, runs, n)


@kernel
def touch_part(
    flat: Flat,
    part: int,
    window: Window,
    is_ring: bool,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of every pixel of the window that the edges of a part touch."""
    y0, y1, x0, x1 = window[:4]
    for r in range(flat.first[part], flat.first[part + 1]):
        pieces = flat.pieces[r + 1] - flat.pieces[r]
        a, last = flat.rings[r, 0], flat.rings[r, 1] - 1
        step = PIECE if pieces else last - a
        for c in range(max(pieces, 1)):
            b = min(a + step, last)
            if pieces:
                box = flat.piece_box[flat.pieces[r] + c]
                if box[0] >= y1 or box[1] <= y0 or box[2] >= x1 or box[3] <= x0:
                    a = b
                    continue
            for i in range(a, b):
                edge = (flat.xy[i, 0], flat.xy[i, 1], flat.xy[i + 1, 0], flat.xy[i + 1, 1])
                runs, n = _touch_edge(edge, flat.extent, window, is_ring, runs, n)
            a = b
    return runs, n

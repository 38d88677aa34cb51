"""Kernels for what a pen draws: discs, ellipses, lines with width; and for the runs of a mask.

A pen is an ellipse, the image of the unit disc under a 2×2 matrix in index coordinates. A stroke is everything the pen
covers while its centre moves along a line; with one vertex it is the ellipse itself. The inside of a stroke along one
edge is convex, so it meets a row of centres, or a row of pixels, in one interval, which is computed in closed form.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.flat import Flat, Window
from bigimage.rasterize.jit import kernel
from bigimage.rasterize.lines import room


@kernel
def _ellipse_interval(x: float, y: float, pen: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Least and greatest x of an ellipse about (x, y) between two heights, which may be the same."""
    tall = pen[2] * pen[2] + pen[3] * pen[3]
    top = math.sqrt(tall)
    if high < y - top or low > y + top or tall == 0.0:
        return math.inf, -math.inf
    lean = (pen[0] * pen[2] + pen[1] * pen[3]) / tall
    wide = abs(pen[0] * pen[3] - pen[1] * pen[2]) / tall
    v0, v1 = max(low - y, -top), min(high - y, top)
    # height of the rightmost point; the leftmost lies opposite
    peak = lean * top / math.sqrt(lean * lean + wide * wide) if lean != 0.0 else 0.0
    right, left = min(max(peak, v0), v1), min(max(-peak, v0), v1)
    return (
        x + (lean * left - wide * math.sqrt(max(tall - left * left, 0.0))),
        x + (lean * right + wide * math.sqrt(max(tall - right * right, 0.0))),
    )


@kernel
def _edge_interval(xa: float, ya: float, xb: float, yb: float, band: tuple[float, float]) -> tuple[float, float]:
    """Least and greatest x of a straight edge between two heights."""
    low, high = band
    if ya > yb:
        xa, ya, xb, yb = xb, yb, xa, ya
    if ya > high or yb < low:
        return math.inf, -math.inf
    at_low = xa if ya >= low else (low - ya) * (xb - xa) / (yb - ya) + xa
    at_high = xb if yb <= high else (high - ya) * (xb - xa) / (yb - ya) + xa
    return min(at_low, at_high), max(at_low, at_high)


@kernel
def _flank(dx: float, dy: float, pen: NDArray[np.float64]) -> tuple[float, float]:
    """Point of the pen, seen from its centre, where a line in direction (dx, dy) grazes it."""
    area = pen[0] * pen[3] - pen[1] * pen[2]
    u = (pen[3] * dx - pen[1] * dy) / area
    v = (pen[0] * dy - pen[2] * dx) / area
    length = math.hypot(u, v)
    return (pen[1] * u - pen[0] * v) / length, (pen[3] * u - pen[2] * v) / length


@kernel
def _stroke_interval(
    ends: tuple[float, float, float, float],
    flank: tuple[float, float],
    pen: NDArray[np.float64],
    low: float,
    high: float,
) -> tuple[float, float]:
    """Least and greatest x of the stroke along one edge between two heights."""
    xa, ya, xb, yb = ends
    left, right = _ellipse_interval(xa, ya, pen, low, high)
    if xa == xb and ya == yb:
        return left, right
    a, b = _ellipse_interval(xb, yb, pen, low, high)
    left, right = min(left, a), max(right, b)
    fx, fy = flank
    band = (low, high)
    a, b = _edge_interval(xa + fx, ya + fy, xb + fx, yb + fy, band)
    left, right = min(left, a), max(right, b)
    a, b = _edge_interval(xa - fx, ya - fy, xb - fx, yb - fy, band)
    left, right = min(left, a), max(right, b)
    a, b = _edge_interval(xa - fx, ya - fy, xa + fx, ya + fy, band)
    left, right = min(left, a), max(right, b)
    a, b = _edge_interval(xb - fx, yb - fy, xb + fx, yb + fy, band)
    return min(left, a), max(right, b)


@kernel
def _stroke_edge(
    ends: tuple[float, float, float, float],
    pen: NDArray[np.float64],
    window: Window,
    touched: bool,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of the stroke along one edge."""
    xa, ya, xb, yb = ends
    y0, y1, x0, x1, top, left = window
    tall = math.hypot(pen[2], pen[3])
    flank = (0.0, 0.0) if xa == xb and ya == yb else _flank(xb - xa, yb - ya, pen)
    first = max(math.floor(min(ya, yb) - tall) - 1, y0)
    stop = min(math.floor(max(ya, yb) + tall) + 2, y1)
    runs = room(runs, n, max(stop - first, 0))
    for row in range(first, stop):
        if touched:
            low, high = _stroke_interval(ends, flank, pen, float(row), row + 1.0)
        else:
            low, high = _stroke_interval(ends, flank, pen, row + 0.5, row + 0.5)
        if high <= low:
            continue
        begin = max(math.floor(low if touched else low + 0.5), x0)
        end = min(math.ceil(high) if touched else math.floor(high + 0.5), x1)
        if end > begin:
            runs[n, 0], runs[n, 1], runs[n, 2] = row - top, begin - left, end - left
            n += 1
    return runs, n


@kernel
def stroke_part(
    flat: Flat, part: int, window: Window, touched: bool, runs: NDArray[np.int32], n: int
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of a stroke; those of different edges may overlap."""
    pen = flat.pens[flat.detail[part]]
    reach_x, reach_y = math.hypot(pen[0], pen[1]) + 2.0, math.hypot(pen[2], pen[3]) + 2.0
    y0, y1, x0, x1 = window[:4]
    a, last = flat.rings[flat.first[part], 0], flat.rings[flat.first[part], 1] - 1
    for i in range(a, max(last, a + 1)):
        j = min(i + 1, last)
        xa, ya, xb, yb = flat.xy[i, 0], flat.xy[i, 1], flat.xy[j, 0], flat.xy[j, 1]
        if max(xa, xb) + reach_x < x0 or min(xa, xb) - reach_x > x1:
            continue
        if max(ya, yb) + reach_y < y0 or min(ya, yb) - reach_y > y1:
            continue
        runs, n = _stroke_edge((xa, ya, xb, yb), pen, window, touched, runs, n)
    return runs, n


@kernel
def mask_part(flat: Flat, part: int, window: Window, runs: NDArray[np.int32], n: int) -> tuple[NDArray[np.int32], int]:
    """Append the runs of a mask."""
    y0, y1, x0, x1, top, left = window
    low, high = int(flat.run_first[flat.detail[part]]), int(flat.run_first[flat.detail[part] + 1])
    last = high
    while low < high:  # the first run at or below the window's top
        middle = (low + high) >> 1
        if flat.runs[middle, 0] < y0:
            low = middle + 1
        else:
            high = middle
    for i in range(low, last):
        if flat.runs[i, 0] >= y1:
            break
        a, b = max(flat.runs[i, 1], x0), min(flat.runs[i, 2], x1)
        if b > a:
            runs = room(runs, n, 1)
            runs[n, 0], runs[n, 1], runs[n, 2] = flat.runs[i, 0] - top, a - left, b - left
            n += 1
    return runs, n

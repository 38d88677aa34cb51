"""Kernels for exact areas: how much of each pixel of a row lies inside the union of some parts.

A row of pixels is cut into the bands between one vertex and the next, and at crossings of edges, so that within a band
edges neither begin nor end nor cross. From left to right each edge turns its part on or off (even-odd); where the first
part goes on or the last one off, the edge is on the border of the union, and the area to its right is added or taken
away. Heights are whole multiples of 2^-40 pixel, so sums are exact, a fully covered pixel is exactly 1, and neither a
window nor a shape elsewhere in the row changes a bit of the result.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.jit import kernel

Edge = tuple[float, float, float, float]


UNIT = 2.0**40
"""Heights per pixel."""
NEAR = 1e-6
"""Pixels within which edges are swept together, so that rounding never parts an edge from the one it continues."""
ATTEMPTS = 64
"""Times a band is cut at a crossing before rounding is to blame and its order is taken as it is."""


@kernel
def x_at(edge: NDArray[np.float64], y: float) -> float:
    """X of an edge (x, y of its lower end, x, y of its upper end) at a height, never beyond its ends."""
    if y <= edge[1]:
        return edge[0]
    if y >= edge[3]:
        return edge[2]
    x = edge[0] + (y - edge[1]) * (edge[2] - edge[0]) / (edge[3] - edge[1])
    return min(max(x, min(edge[0], edge[2])), max(edge[0], edge[2]))


@kernel
def y_at(edge: NDArray[np.float64], x: float) -> float:
    """Height of a leaning edge at x, never beyond its ends."""
    y = edge[1] + (x - edge[0]) * (edge[3] - edge[1]) / (edge[2] - edge[0])
    return min(max(y, edge[1]), edge[3])


@kernel
def _height(y: float, row: int) -> int:
    """Height within a row in whole units."""
    return math.floor((y - row) * UNIT + 0.5)


@kernel
def _add_area(
    edge: NDArray[np.float64], low: float, high: float, sign: int, row: int, left: int, sums: NDArray[np.int64]
) -> None:
    """Add the area right of an edge between two heights: in each column's own pixel, and in all pixels after it."""
    last = sums.shape[0] - 1
    xa, xb = x_at(edge, low), x_at(edge, high)
    first, stop = math.floor(min(xa, xb)), math.floor(max(xa, xb))
    rising = xb >= xa
    ya, x = (low, xa) if rising else (high, xb)
    for column in range(first, stop + 1):
        if column < stop:
            end_x = column + 1.0
            end_y = min(max(y_at(edge, end_x), low), high)
        else:
            end_x, end_y = (xb, high) if rising else (xa, low)
        size = abs(_height(end_y, row) - _height(ya, row))
        k = max(column - left, 0)
        if k >= last:
            return
        own = math.floor(size * (column + 1 - 0.5 * (x + end_x)) + 0.5)
        sums[k] += sign * own
        sums[k + 1] += sign * (size - own)
        ya, x = end_y, end_x


@kernel
def _add_state(
    edge: NDArray[np.float64], state: NDArray[np.float64], row: int, left: int, sums: NDArray[np.int64]
) -> None:
    """Add the area right of an edge over the heights for which it borders the union (side, since, until)."""
    if state[0] != 0.0:
        _add_area(edge, float(state[1]), float(state[2]), int(state[0]), row, left, sums)


@kernel
def _sort_by(order: NDArray[np.int64], key: NDArray[np.float64], n: int) -> None:
    """Sort the first n of `order` by their keys, then by themselves."""
    for gap in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
        for i in range(gap, n):
            value = order[i]
            j = i - gap
            while j >= 0 and (key[order[j]] > key[value] or (key[order[j]] == key[value] and order[j] > value)):
                order[j + gap] = order[j]
                j -= gap
            order[j + gap] = value


@kernel
def _crossing(edge: NDArray[np.float64], other: NDArray[np.float64], low: float, high: float) -> float:
    """Height at which two edges change sides between two heights; `high` when they do not."""
    at_low = x_at(other, low) - x_at(edge, low)
    at_high = x_at(other, high) - x_at(edge, high)
    if (at_low >= 0) == (at_high >= 0) or at_low == 0 or at_high == 0:
        return high
    return low + (high - low) * (at_low / (at_low - at_high))


@kernel
def _band_order(
    segments: NDArray[np.float64],
    active: NDArray[np.int64],
    n: int,
    low: float,
    high: float,
    key: NDArray[np.float64],
) -> float:
    """Sort the edges of a band from left to right; returns the height up to which that order holds."""
    for _ in range(ATTEMPTS):
        middle = 0.5 * (low + high)
        for i in range(n):
            key[active[i]] = x_at(segments[active[i]], middle)
        _sort_by(active, key, n)
        nearest = high
        for i in range(n - 1):
            y = _crossing(segments[active[i]], segments[active[i + 1]], low, high)
            if low < y < nearest:
                nearest = y
        if nearest == high:
            break
        high = nearest
    return high


@kernel
def _turn(active: NDArray[np.int64], n: int, part: NDArray[np.int64], inside: NDArray[np.bool_], depth: int) -> int:
    """Turn the parts of edges on or off; returns how many are on."""
    for i in range(n):
        p = part[active[i]]
        inside[p] = not inside[p]
        depth += 1 if inside[p] else -1
    return depth


@kernel
def _sweep_cluster(
    segments: NDArray[np.float64],
    part: NDArray[np.int64],
    span: NDArray[np.float64],
    members: NDArray[np.int64],
    inside: NDArray[np.bool_],
    depth: int,
    row: int,
    left: int,
    sums: NDArray[np.int64],
) -> int:
    """Add the areas of a group of edges that overlap along x; returns how many parts are on to their right."""
    count = members.size
    if count == 1:  # by far the most frequent: one edge, alone
        e = members[0]
        after = _turn(members, 1, part, inside, depth)
        if depth == 0 or after == 0:
            _add_area(segments[e], span[e, 0], span[e, 1], 1 if depth == 0 else -1, row, left, sums)
        return after
    heights = np.empty(2 * count, np.float64)
    for i in range(count):
        heights[2 * i], heights[2 * i + 1] = span[members[i], 0], span[members[i], 1]
    order = np.arange(2 * count)
    _sort_by(order, heights, 2 * count)
    active, key = np.empty(count, np.int64), np.empty(span.shape[0], np.float64)
    # of each edge: whether it is the union's left border (1), its right one (-1) or none (0), from and to which height
    state, slot = np.zeros((count, 3), np.float64), np.empty(span.shape[0], np.int64)
    for i in range(count):
        slot[members[i]] = i
    for h in range(2 * count - 1):
        low, top = float(heights[order[h]]), float(heights[order[h + 1]])
        while low < top:
            n = 0
            for e in members:
                if span[e, 0] <= low and span[e, 1] >= top:
                    active[n] = e
                    n += 1
            high = _band_order(segments, active, n, low, top, key)
            after = depth
            for i in range(n):
                before = after
                after = _turn(active[i : i + 1], 1, part, inside, after)
                now = 1.0 if before == 0 and after > 0 else (-1.0 if after == 0 and before > 0 else 0.0)
                k = slot[active[i]]
                if now != state[k, 0] or state[k, 2] != low:
                    _add_state(segments[active[i]], state[k], row, left, sums)
                    state[k, 0], state[k, 1] = now, low
                state[k, 2] = high
            _turn(active, n, part, inside, after)
            low = high
    after = depth
    for i in range(count):
        _add_state(segments[members[i]], state[i], row, left, sums)
        # right of the group each part is what it is at any height, for instance in the middle
        if span[members[i], 0] <= row + 0.5 < span[members[i], 1]:
            after = _turn(members[i : i + 1], 1, part, inside, after)
    return after


@kernel
def sweep_row(
    segments: NDArray[np.float64],
    part: NDArray[np.int64],
    span: NDArray[np.float64],
    inside: NDArray[np.bool_],
    row: int,
    left: int,
    sums: NDArray[np.int64],
) -> None:
    """Add the areas of one row of pixels.

    Parameters
    ----------
    segments
        (n, 4) edges as (x, y, x, y), upper end last (y grows), that pass the row. Level ones bound no area, but belong
        here: they tell which others are swept together.
    part
        (n,) part of each edge, numbered from 0.
    span
        (n, 2) least and greatest height of each edge within the row and the window.
    inside
        One flag for each part, all off; off again afterwards where every part ends in the window.
    sums
        (columns + 1,) differences of the covered area from column to column, in units of 2^-40.
    """
    n = segments.shape[0]
    start, end = np.empty(n, np.float64), np.empty(n, np.float64)
    for i in range(n):
        a, b = x_at(segments[i], span[i, 0]), x_at(segments[i], span[i, 1])
        if segments[i, 1] == segments[i, 3]:
            a, b = segments[i, 0], segments[i, 2]
        start[i], end[i] = min(a, b), max(a, b)
    order = np.arange(n)
    _sort_by(order, start, n)
    depth = at = 0
    while at < n:
        reach, stop = end[order[at]], at + 1
        while stop < n and start[order[stop]] <= reach + NEAR:
            reach = max(reach, end[order[stop]])
            stop += 1
        depth = _sweep_cluster(segments, part, span, order[at:stop], inside, depth, row, left, sums)
        at = stop

"""How much of each pixel is covered: exact areas of the union of a class's shapes, block by block."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.rasterize.fill import stretches_of
from bigimage.rasterize.flat import POLYGON, RUNS, STROKE, Flat, Prepared, Window, window_of
from bigimage.rasterize.jit import kernel
from bigimage.rasterize.sweep import UNIT, sweep_row, x_at, y_at

TILE = 256
"""Rows and columns worked on together."""
SAGITTA = 1e-4
"""Pixels by which the chords that stand for a round border may cut into it."""
CHORDS = 1 << 20
"""Most chords of half a round border; pens wider than 10⁸ pixels are as exact as these are."""


def coverage(prepared: Prepared, classes: ArrayLike, box: IndexBox | None = None, *, count: int) -> NDArray[np.float32]:
    """Fraction of each pixel's area that the shapes of each class cover together.

    Inside a part the even-odd rule holds; parts and shapes of a class are united, so overlaps count once. Lines and
    points cover nothing unless a pen gives them an area; round borders are exact to 1e-4 pixel, all others to rounding.

    Parameters
    ----------
    classes
        One class 0…count-1 for each shape given to `prepare`; -1: in none.
    box
        Block of the grid in (row, column); None is all of it. Cutting the grid into blocks changes no value.
    count
        Number of classes.

    Returns
    -------
    ndarray
        (count, rows, columns), 0…1.

    Raises
    ------
    InputError
        When `classes` do not fit.
    OutOfBounds
        When the box sticks out of the grid.
    """
    box = prepared.grid.box if box is None else box
    if not prepared.grid.box.contains(box):
        raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {prepared.grid.shape}")
    numbers = np.asarray(classes)
    if numbers.shape != (prepared.count,) or numbers.dtype.kind not in "iu":
        raise InputError(
            f"classes must be {prepared.count} whole numbers, not {numbers.dtype} of shape {numbers.shape}"
        )
    if len(numbers) and not (numbers.min() >= -1 and numbers.max() < count):
        raise InputError(f"classes {numbers.min()}…{numbers.max()} are not all in 0…{count - 1} (or -1 for none)")
    out = np.zeros((count, *box.shape), np.float32)
    parts = prepared.parts_in(box)
    parts = parts[np.argsort(numbers[prepared.flat.source[parts]], kind="stable")]
    of_part = numbers[prepared.flat.source[parts]].astype(np.int64)
    edges = np.searchsorted(of_part, np.arange(count + 1))
    for k in range(count):
        members = parts[edges[k] : edges[k + 1]]
        if len(members):
            _cover(prepared.flat, members, window_of(box), out[k])
    return out


@kernel
def _add(edges: NDArray[np.float64], n: int, a: tuple[float, float], b: tuple[float, float], window: Window) -> int:
    """Append an edge, lower end first, when it matters in the window; one left of it moves to its left border."""
    (xa, ya), (xb, yb) = a, b
    y0, y1, x0, x1 = window[:4]
    if max(ya, yb) <= y0 or min(ya, yb) >= y1 or min(xa, xb) >= x1:
        return n
    if max(xa, xb) <= x0:
        if ya == yb:
            return n
        xa = xb = float(x0)
    if ya > yb:
        xa, ya, xb, yb = xb, yb, xa, ya
    edges[n, 0], edges[n, 1], edges[n, 2], edges[n, 3] = xa, ya, xb, yb
    return n + 1


@kernel
def _room(edges: NDArray[np.float64], n: int, more: int) -> NDArray[np.float64]:
    """Array with room for more edges after the first n."""
    if n + more <= edges.shape[0]:
        return edges
    larger = np.empty((2 * (n + more), 4), np.float64)
    larger[:n] = edges[:n]
    return larger


@kernel
def _outline(xa: float, ya: float, xb: float, yb: float, pen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Closed ring around what a pen covers between two points, with chords for its round ends."""
    area = pen[0] * pen[3] - pen[1] * pen[2]
    along = math.atan2(
        (pen[0] * (yb - ya) - pen[2] * (xb - xa)) / area, (pen[3] * (xb - xa) - pen[1] * (yb - ya)) / area
    )
    radius = math.sqrt(pen[0] ** 2 + pen[1] ** 2 + pen[2] ** 2 + pen[3] ** 2)
    half = min(math.ceil(math.pi / (2.0 * math.acos(max(1.0 - SAGITTA / radius, 0.0)))) + 1, CHORDS)
    out = np.empty((2 * half + 3, 2), np.float64)
    for i in range(2 * half + 2):
        k = i if i <= half else i - 1
        angle = along + math.pi * (k / half - 0.5)
        x, y = (xb, yb) if i <= half else (xa, ya)
        cos, sin = math.cos(angle), math.sin(angle)
        out[i, 0], out[i, 1] = x + pen[0] * cos + pen[1] * sin, y + pen[2] * cos + pen[3] * sin
    out[-1] = out[0]
    return out


@kernel
def _stroke_edges(
    flat: Flat,
    part: int,
    window: Window,
    edges: NDArray[np.float64],
    owner: NDArray[np.int64],
    n: int,
    owners: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], int, int]:
    """Append the outlines of a stroke, each edge of the line with its own."""
    pen = flat.pens[flat.detail[part]]
    a, last = flat.rings[flat.first[part], 0], flat.rings[flat.first[part], 1] - 1
    for i in range(a, max(last, a + 1)):
        j = min(i + 1, last)
        ring = _outline(flat.xy[i, 0], flat.xy[i, 1], flat.xy[j, 0], flat.xy[j, 1], pen)
        edges = _room(edges, n, ring.shape[0])
        before = n
        for k in range(ring.shape[0] - 1):
            n = _add(edges, n, (ring[k, 0], ring[k, 1]), (ring[k + 1, 0], ring[k + 1, 1]), window)
        owner = _owned(owner, before, n, owners)
        owners += 1
    return edges, owner, n, owners


@kernel
def _owned(owner: NDArray[np.int64], start: int, stop: int, value: int) -> NDArray[np.int64]:
    """Owners of edges, with those from `start` on set."""
    if stop > owner.size:
        larger = np.empty(2 * stop, np.int64)
        larger[:start] = owner[:start]
        owner = larger
    owner[start:stop] = value
    return owner


@kernel
def _edges_of(
    flat: Flat, parts: NDArray[np.int64], window: Window
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Edges of parts that matter in a window, the part of each numbered from 0, and the number of parts."""
    edges, owner, n, owners = np.empty((1024, 4), np.float64), np.empty(1024, np.int64), 0, 0
    stretches = np.empty((64, 3), np.int64)
    y0, y1, x0, x1 = window[:4]
    for part in parts:
        box = flat.box[part]
        if box[0] >= y1 or box[1] <= y0 or box[2] >= x1 or box[3] <= x0:
            continue
        before = n
        if flat.kind[part] == STROKE:
            edges, owner, n, owners = _stroke_edges(flat, part, window, edges, owner, n, owners)
        elif flat.kind[part] == RUNS:
            first, stop = flat.run_first[flat.detail[part]], flat.run_first[flat.detail[part] + 1]
            edges = _room(edges, n, 2 * int(stop - first))
            for i in range(first, stop):
                row, a, b = flat.runs[i]
                n = _add(edges, n, (float(a), float(row)), (float(a), row + 1.0), window)
                n = _add(edges, n, (float(b), float(row)), (float(b), row + 1.0), window)
            owner = _owned(owner, before, n, owners)
            owners += 1
        elif flat.kind[part] == POLYGON:
            first, stop = int(flat.first[part]), int(flat.first[part + 1])
            need = stop - first + flat.pieces[stop] - flat.pieces[first]
            if need > stretches.shape[0]:
                stretches = np.empty((2 * need, 3), np.int64)
            m = stretches_of(flat.rings, flat.pieces, flat.piece_box, first, stop, window, stretches)
            for s in range(m):
                a, b = stretches[s, 0], stretches[s, 1]
                step = b - a if stretches[s, 2] else 1
                edges = _room(edges, n, b - a)
                for i in range(a, b, step):
                    j = i + step
                    n = _add(edges, n, (flat.xy[i, 0], flat.xy[i, 1]), (flat.xy[j, 0], flat.xy[j, 1]), window)
            owner = _owned(owner, before, n, owners)
            owners += 1
    return edges[:n], owner[:n], owners


@kernel
def _by_row(edges: NDArray[np.float64], window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges that pass each row of a window: running starts, and the edges row after row."""
    y0, y1 = window[:2]
    starts = np.zeros(y1 - y0 + 2, np.int64)
    for e in range(edges.shape[0]):
        for row in range(max(math.floor(edges[e, 1]), y0), min(math.ceil(edges[e, 3]), y1)):
            starts[row - y0 + 2] += 1
    for k in range(1, starts.size):
        starts[k] += starts[k - 1]
    found = np.empty(starts[-1], np.int64)
    for e in range(edges.shape[0]):
        for row in range(max(math.floor(edges[e, 1]), y0), min(math.ceil(edges[e, 3]), y1)):
            found[starts[row - y0 + 1]] = e
            starts[row - y0 + 1] += 1
    return starts, found


@kernel
def _row_segments(
    edges: NDArray[np.float64], owner: NDArray[np.int64], chosen: NDArray[np.int64], row: int, window: Window
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """What of some edges passes a row within the window; left of the window, its shadow on the left border."""
    x0, x1 = float(window[2]), float(window[3])
    segments, part = np.empty((2 * chosen.size, 4), np.float64), np.empty(2 * chosen.size, np.int64)
    span, n = np.empty((2 * chosen.size, 2), np.float64), 0
    for e in chosen:
        low, high = max(edges[e, 1], float(row)), min(edges[e, 3], row + 1.0)
        if edges[e, 1] == edges[e, 3]:
            segments[n, 0], segments[n, 2] = max(edges[e, 0], x0), max(edges[e, 2], x0)
            segments[n, 1] = segments[n, 3] = span[n, 0] = span[n, 1] = low
            part[n] = owner[e]
            n += 1
            continue
        xa, xb = x_at(edges[e], low), x_at(edges[e], high)
        if low >= high or min(xa, xb) >= x1:
            continue
        if min(xa, xb) < x0:
            middle = y_at(edges[e], x0) if max(xa, xb) > x0 else (high if xa < x0 else low)
            middle = min(max(middle, low), high)
            shadow = (low, middle) if xa < x0 else (middle, high)
            if max(xa, xb) <= x0:
                shadow = (low, high)
            segments[n, 0] = segments[n, 2] = x0
            segments[n, 1], segments[n, 3] = shadow
            span[n, 0], span[n, 1] = shadow
            part[n] = owner[e]
            n += 1 if shadow[1] > shadow[0] else 0
            low, high = (middle, high) if xa < x0 else (low, middle)
            if max(xa, xb) <= x0 or low >= high:
                continue
        segments[n] = edges[e]
        span[n, 0], span[n, 1] = low, high
        part[n] = owner[e]
        n += 1
    return segments[:n], part[:n], span[:n]


@kernel
def _cover(flat: Flat, parts: NDArray[np.int64], box: tuple[int, int, int, int], out: NDArray[np.float32]) -> None:
    """Write the covered fraction of each pixel of a box."""
    for top in range(box[0], box[1], TILE):
        for left in range(box[2], box[3], TILE):
            window = (top, min(top + TILE, box[1]), left, min(left + TILE, box[3]), top, left)
            edges, owner, owners = _edges_of(flat, parts, window)
            if not owner.size:
                continue
            starts, found = _by_row(edges, window)
            columns = window[3] - left
            sums = np.empty(columns + 1, np.int64)
            for row in range(top, window[1]):
                k = row - top
                if starts[k + 1] == starts[k]:
                    continue
                segments, part, span = _row_segments(edges, owner, found[starts[k] : starts[k + 1]], row, window)
                sums[:] = 0
                sweep_row(segments, part, span, np.zeros(owners, np.bool_), row, left, sums)
                total = 0
                for column in range(columns):
                    total += sums[column]
                    out[row - box[0], left - box[2] + column] = min(max(total / UNIT, 0.0), 1.0)

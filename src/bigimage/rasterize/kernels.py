"""Kernels that paint: every part in its turn becomes runs of pixels, then the runs are written.

The two steps are apart because the first, which is large, does not depend on the type of the pixels: it is compiled
once, and only the short loops that write are compiled for each type.
"""

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.fill import count_crossings, cross, pair, sort, stretches_of, tie_runs
from bigimage.rasterize.flat import POINT, POLYGON, RUNS, STROKE, Flat, Window
from bigimage.rasterize.index import query
from bigimage.rasterize.jit import ZERO, kernel
from bigimage.rasterize.lines import room, thin_line, touch_part
from bigimage.rasterize.strokes import mask_part, stroke_part

Box = tuple[int, int, int, int]


PART = 0xFFFFFFFF
"""Bits of a sort key that hold the part; those above hold its rank."""
BATCH = 1 << 15
"""Runs collected before they are written: few enough to stay in the processor's cache."""
TILE = 512
"""Rows and columns burned together: small enough for the cache, for shapes lie anywhere and each pixel is far away."""


@kernel
def _other(
    flat: Flat, part: int, window: Window, touched: bool | None, runs: NDArray[np.int32], n: int
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of a part that is not filled, and of what a filled one touches."""
    kind = flat.kind[part]
    if kind == RUNS:
        return mask_part(flat, part, window, runs, n)
    if touched is not None:
        if kind == STROKE:
            return stroke_part(flat, part, window, touched, runs, n)
        if touched and kind != POINT:
            return touch_part(flat, part, window, kind == POLYGON, runs, n)
    ring = flat.first[part]
    return thin_line(flat.xy, flat.rings[ring, 0], flat.rings[ring, 1], window, runs, n)


@kernel
def _ordered(found: NDArray[np.int64], n: int, rank: NDArray[np.int32]) -> None:
    """Turn parts into (rank, part) pairs in one number each, sorted."""
    for k in range(n):
        found[k] |= np.int64(rank[found[k]]) << 32
    sort(found, 0, n)


@kernel
def _tile_runs(
    flat: Flat,
    found: NDArray[np.int64],
    tile: Window,
    touched: bool | None,
    runs: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Append the runs of parts, the lower halves of `found`, within one tile."""
    # arrays are named once: passing all of `flat` down for each part would cost more than the part
    xy, rings, pieces, piece_box = flat.xy, flat.rings, flat.pieces, flat.piece_box
    stretches, starts, crossings = np.empty((64, 3), np.int64), np.empty(TILE + 1, np.int64), np.empty(4096, np.int32)
    for k in range(found.size):
        part = found[k] & PART
        top, bottom = max(tile[0], flat.box[part, 0]), min(tile[1], flat.box[part, 1])
        window = (top, bottom, tile[2], tile[3], tile[4], tile[5])
        begin = n
        if flat.kind[part] == POLYGON:
            first, stop = int(flat.first[part]), int(flat.first[part + 1])
            need = stop - first + pieces[stop] - pieces[first]
            if need > stretches.shape[0]:
                stretches = np.empty((2 * need, 3), np.int64)
            m = stretches_of(rings, pieces, piece_box, first, stop, window, stretches)
            total, ties = count_crossings(xy, stretches, m, window, starts)
            runs = room(runs, n, total + ties)
            if total > crossings.size:
                crossings = np.empty(2 * total, np.int32)
            if ties:
                n = tie_runs(xy, stretches, m, window, runs, n)
            if total:
                cross(xy, stretches, m, window, starts, crossings)
                n = pair(window, starts, crossings, runs, n)
        other = flat.kind[part] != POLYGON
        if touched is not None:
            other = other or touched
        if other:
            runs, n = _other(flat, part, window, touched, runs, n)
        for i in range(begin, n):
            runs[i, 3] = flat.source[part]
    return runs, n


@kernel
def collect(
    flat: Flat, keys: NDArray[np.int64], rank: NDArray[np.int32], box: Box, touched: bool | None, start: int
) -> tuple[NDArray[np.int32], int]:
    """Runs (row, column start, column stop, shape) from tile number `start` of a box on, and the next number.

    Rows and columns count from the box. Within a tile runs come in burn order. The next number is -1 at the end.
    With None for `touched`, nothing is touched and no part may have a pen: numba leaves the kernels of both out, which
    take as long to compile as all others together, and most layers never need.
    """
    runs, n = np.empty((4 * BATCH, 4), np.int32), ZERO
    found = np.empty(4096, np.int64)
    across = (box[3] - box[2] + TILE - 1) // TILE
    tiles = across * ((box[1] - box[0] + TILE - 1) // TILE)
    at = start
    while at < tiles and n < BATCH:
        top, left = box[0] + at // across * TILE, box[2] + at % across * TILE
        tile = (top, min(top + TILE, box[1]), left, min(left + TILE, box[3]), box[0], box[2])
        m, found = query(keys, flat.box, tile[:4], found)
        _ordered(found, m, rank)
        runs, n = _tile_runs(flat, found[:m], tile, touched, runs, n)
        at += 1
    return runs[:n], at if at < tiles else -1


@kernel
def write(runs: NDArray[np.int32], values: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]) -> None:
    """Set each run to its shape's value."""
    for k in range(runs.shape[0]):
        out[runs[k, 0], runs[k, 1] : runs[k, 2]] = values[runs[k, 3]]


@kernel
def write_greatest(
    runs: NDArray[np.int32], values: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]
) -> None:
    """Set what is less than its shape's value in each run to that value."""
    for k in range(runs.shape[0]):
        line, value = out[runs[k, 0], runs[k, 1] : runs[k, 2]], values[runs[k, 3]]
        for column in range(line.size):
            line[column] = max(line[column], value)


@kernel
def look_up(
    places: NDArray[np.unsignedinteger], table: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]
) -> None:
    """What a table holds at each place; one axis."""
    for k in range(places.size):
        out[k] = table[places[k]]


@kernel
def write_bits(runs: NDArray[np.int32], values: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]) -> None:
    """Add the bits of each run's shape to those already set."""
    for k in range(runs.shape[0]):
        line, value = out[runs[k, 0], runs[k, 1] : runs[k, 2]], values[runs[k, 3]]
        for column in range(line.size):
            line[column] |= value

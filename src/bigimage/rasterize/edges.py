"""Kernels that make rings ready: direction, index coordinates, clipping, bounding boxes."""

import math

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.flat import LONG_RING, PIECE
from bigimage.rasterize.jit import kernel

NEAR = 1e-5
"""World distance below which GDAL takes two neighbouring vertices for one when it looks for a ring's direction."""
REACH = 2.0**40
"""Pixels from index 0 beyond which rings are cut, so that products of coordinates stay far from overflow."""


@kernel
def _near(ax: float, ay: float, bx: float, by: float) -> bool:
    return abs(ax - bx) < NEAR and abs(ay - by) < NEAR


@kernel
def _doubled_area(xy: NDArray[np.float64], a: int, b: int) -> float:
    """Twice the signed area of the closed ring in rows a…b-1, summed in vertex order."""
    total = xy[a, 0] * (xy[a + 1, 1] - xy[b - 1, 1])
    for i in range(a + 1, b - 1):
        total += xy[i, 0] * (xy[i + 1, 1] - xy[i - 1, 1])
    return total + xy[b - 1, 0] * (xy[a, 1] - xy[b - 2, 1])


@kernel
def _is_clockwise(xy: NDArray[np.float64], a: int, b: int) -> bool:
    """Direction of one closed ring (rows a…b-1), decided as GDAL decides it.

    The turn at the lowest, rightmost vertex decides; where that vertex occurs twice, or lies within `NEAR` of a
    neighbour, the sign of the area does. The two differ on self-intersecting rings, so the order of the tests counts.
    """
    if b - a < 2:
        return True
    last = b - 1
    pivot, doubtful = a, False
    for i in range(a + 1, last):
        if xy[i, 1] < xy[pivot, 1] or (xy[i, 1] == xy[pivot, 1] and xy[i, 0] > xy[pivot, 0]):
            pivot, doubtful = i, False
        elif xy[i, 1] == xy[pivot, 1] and xy[i, 0] == xy[pivot, 0]:
            doubtful = True
    before = pivot - 1 if pivot > a else last - 1
    after = pivot + 1 if pivot + 1 < last else a
    px, py = xy[pivot, 0], xy[pivot, 1]
    doubtful = doubtful or _near(xy[before, 0], xy[before, 1], px, py) or _near(xy[after, 0], xy[after, 1], px, py)
    if not doubtful:
        turn = (xy[after, 0] - px) * (xy[before, 1] - py) - (xy[before, 0] - px) * (xy[after, 1] - py)
        if turn != 0.0:
            return turn < 0.0
    return _doubled_area(xy, a, b) < 0.0


@kernel
def clockwise(xy: NDArray[np.float64], rings: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each closed ring runs clockwise in the coordinates given (y up)."""
    out = np.empty(rings.size - 1, np.bool_)
    for r in range(out.size):
        out[r] = _is_clockwise(xy, rings[r], rings[r + 1])
    return out


@kernel
def to_index(xy: NDArray[np.float64], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """World (x, y) → index (column, row); `inverse` holds two rows (constant, per x, per y), summed in that order."""
    out = np.empty_like(xy)
    for i in range(xy.shape[0]):
        x, y = xy[i, 0], xy[i, 1]
        out[i, 0] = inverse[0, 0] + x * inverse[0, 1] + y * inverse[0, 2]
        out[i, 1] = inverse[1, 0] + x * inverse[1, 1] + y * inverse[1, 2]
    return out


@kernel
def _cut_half(xy: NDArray[np.float64], axis: int, limit: float, sign: float) -> NDArray[np.float64]:
    """Part of an open ring with sign·coordinate ≤ sign·limit (Sutherland and Hodgman 1974)."""
    out = np.empty((2 * xy.shape[0], 2), np.float64)
    n = 0
    other = 1 - axis
    for i in range(xy.shape[0]):
        j = i - 1 if i else xy.shape[0] - 1
        inside, was_inside = sign * xy[i, axis] <= sign * limit, sign * xy[j, axis] <= sign * limit
        if inside != was_inside:
            part = (limit - xy[j, axis]) / (xy[i, axis] - xy[j, axis])
            out[n, axis] = limit
            out[n, other] = xy[j, other] * (1.0 - part) + xy[i, other] * part
            n += 1
        if inside:
            out[n] = xy[i]
            n += 1
    return out[:n]


@kernel
def clip_ring(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed ring cut to within `REACH` of index 0 and closed again; every point within keeps its parity."""
    ring = xy[:-1]
    for axis in range(2):
        for sign in (1.0, -1.0):
            if ring.shape[0]:
                ring = _cut_half(ring, axis, sign * REACH, sign)
    out = np.empty((ring.shape[0] + 1, 2), np.float64)
    if not ring.shape[0]:
        return out[:0]
    out[:-1] = ring
    out[-1] = ring[0]
    return out


@kernel
def _grow(box: NDArray[np.int64], xy: NDArray[np.float64], a: int, b: int) -> None:
    """Grow a box to the pixels of vertices a…b-1 and one more on each side."""
    x0 = x1 = xy[a, 0]
    y0 = y1 = xy[a, 1]
    for i in range(a + 1, b):
        x0, x1 = min(x0, xy[i, 0]), max(x1, xy[i, 0])
        y0, y1 = min(y0, xy[i, 1]), max(y1, xy[i, 1])
    box[0] = min(box[0], math.floor(y0) - 1)
    box[1] = max(box[1], math.floor(y1) + 2)
    box[2] = min(box[2], math.floor(x0) - 1)
    box[3] = max(box[3], math.floor(x1) + 2)


@kernel
def part_boxes(xy: NDArray[np.float64], rings: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """(parts, 4) boxes of parts; of a part without vertices, empty."""
    out = np.empty((first.size - 1, 4), np.int64)
    far = int(4 * REACH)
    for p in range(out.shape[0]):
        out[p, 0] = out[p, 2] = far
        out[p, 1] = out[p, 3] = -far
        for r in range(first[p], first[p + 1]):
            if rings[r + 1] > rings[r]:
                _grow(out[p], xy, rings[r], rings[r + 1])
    return out


@kernel
def store(
    xy: NDArray[np.float64],
    rings: NDArray[np.int64],
    backwards: NDArray[np.bool_],
    keep: NDArray[np.bool_],
    out: NDArray[np.float64],
    start: int,
) -> int:
    """Copy the kept rings into `out` from row `start` on, turned round where asked; returns the next free row."""
    n = start
    for r in range(rings.size - 1):
        if not keep[r]:
            continue
        a, b = rings[r], rings[r + 1]
        for i in range(a, b):
            j = a + b - 1 - i if backwards[r] else i
            out[n, 0], out[n, 1] = xy[j, 0], xy[j, 1]
            n += 1
    return n


@kernel
def arrange(
    place: NDArray[np.int64],
    first: NDArray[np.int64],
    starts: NDArray[np.int64],
    into: NDArray[np.int64],
    rings: NDArray[np.int64],
) -> None:
    """Write first and last vertex of the rings (rings, 2) of parts, part by part in the order of `place`.

    Part p has the rings from first[p] on, and ring r the vertices from starts[r] on; the k-th part's rings go to
    into[k]…into[k + 1].
    """
    for k in range(place.size):
        ring = first[place[k]]
        for r in range(into[k], into[k + 1]):
            rings[r, 0], rings[r, 1] = starts[ring], starts[ring + 1]
            ring += 1


@kernel
def gather(
    xy: NDArray[np.float64], rings: NDArray[np.int64], into: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Copy the vertices of each of `rings` (rings, 2) to where `into` says, and have the ring point there."""
    for r in range(rings.shape[0]):
        n = into[r]
        for i in range(rings[r, 0], rings[r, 1]):
            out[n, 0], out[n, 1] = xy[i, 0], xy[i, 1]
            n += 1
        rings[r, 0], rings[r, 1] = into[r], n


@kernel
def piece_offsets(rings: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rings + 1,) first piece of each ring, of rings (rings, 2)."""
    out = np.zeros(rings.shape[0] + 1, np.int64)
    for r in range(rings.shape[0]):
        edges = rings[r, 1] - rings[r, 0] - 1
        out[r + 1] = out[r] + ((edges + PIECE - 1) // PIECE if edges >= LONG_RING else 0)
    return out


@kernel
def piece_boxes(
    xy: NDArray[np.float64], rings: NDArray[np.int64], pieces: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Write the boxes (pieces, 4) of each run of `PIECE` edges of the long ones of some rings (rings, 2).

    `pieces` (rings + 1,) are places in `out`.
    """
    far = int(4 * REACH)
    for r in range(rings.shape[0]):
        for c in range(pieces[r], pieces[r + 1]):
            a = rings[r, 0] + (c - pieces[r]) * PIECE
            out[c, 0] = out[c, 2] = far
            out[c, 1] = out[c, 3] = -far
            _grow(out[c], xy, a, min(a + PIECE + 1, rings[r, 1]))

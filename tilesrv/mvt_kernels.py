"""The loops behind vector tiles: shapes clipped to a tile's square, put on its whole numbers, and written as bytes.

Coordinates are a tile's own, y downwards, one unit for each whole number that the tile can hold. Geometry follows the
Mapbox Vector Tile specification 2.1, section 4.3: commands and zigzag-coded steps from point to point.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bigimage.resample.jit import JIT

F = TypeVar("F", bound=Callable[..., Any])
Words = NDArray[np.uint32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]
Bytes = NDArray[np.uint8]

POINT, LINE, EXTERIOR, INTERIOR = range(4)
"""Kinds of paths: one point, an open line, a ring around an area, a ring around a hole."""
NOTHING, POINTS, LINES, POLYGONS = range(4)
"""Types of geometry as tiles write them (4.3.4)."""
_MOVE: Final = 1
_ON: Final = 2
_CLOSE: Final = 15


def _kernel(function: F) -> F:
    """Compile a function on first use, kept in numba's cache on disk where it has one to write to."""
    try:
        return cast("F", njit(cache=True, **JIT)(function))
    except RuntimeError:
        return cast("F", njit(**JIT)(function))


@_kernel
def _grown(words: Words, need: int) -> Words:
    """The array, or a longer copy with room for `need` words."""
    if need <= len(words):
        return words
    longer = np.empty(max(need, 2 * len(words)), np.uint32)
    longer[: len(words)] = words
    return longer


@_kernel
def _zigzag(step: int) -> int:
    """A step as an unsigned number: 0, -1, 1, -2, … become 0, 1, 2, 3 and so on."""
    return (step << 1) ^ (step >> 63)


@_kernel
def _whole(value: float, low: float, high: float) -> int:
    """The nearest whole number between two bounds; half is rounded up everywhere, so that neighbours agree."""
    return int(np.floor(min(max(value, low), high) + 0.5))


@_kernel
def _halve(xy: Doubles, axis: int, bound: float, keep_above: bool) -> Doubles:
    """Part of a ring (not closed) on one side of a line along an axis; Sutherland and Hodgman 1974."""
    n = len(xy)
    out = np.empty((2 * n + 2, 2))
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        a, b = xy[i, axis], xy[j, axis]
        inside = a >= bound if keep_above else a <= bound
        follows = b >= bound if keep_above else b <= bound
        if inside:
            out[m] = xy[i]
            m += 1
        if inside != follows:
            other = 1 - axis
            # counted from the end nearer to the line, which keeps more digits when the other is far away
            if abs(a - bound) <= abs(b - bound):
                place = xy[i, other] + (bound - a) / (b - a) * (xy[j, other] - xy[i, other])
            else:
                place = xy[j, other] + (bound - b) / (a - b) * (xy[i, other] - xy[j, other])
            out[m, axis] = bound
            out[m, other] = place
            m += 1
    return out[:m]


@_kernel
def _is_spare(ax: int, ay: int, bx: int, by: int, cx: int, cy: int, low: int, high: int) -> bool:
    """Whether the middle of three points adds nothing: it lies between the others, or turns back along the border."""
    if (bx - ax) * (cy - by) != (by - ay) * (cx - bx):
        return False
    if (bx - ax) * (cx - bx) + (by - ay) * (cy - by) > 0:
        return True
    on_x = ax == bx == cx and bx in (low, high)
    return on_x or (ay == by == cy and by in (low, high))


@_kernel
def _round_ring(xy: Doubles, low: float, high: float, out: Longs) -> int:
    """Whole numbers of a ring (not closed) without repeated and spare points; returns how many."""
    first, last = int(low), int(high)
    m = 0
    for i in range(len(xy)):
        x, y = _whole(xy[i, 0], low, high), _whole(xy[i, 1], low, high)
        while m > 1 and _is_spare(out[m - 2, 0], out[m - 2, 1], out[m - 1, 0], out[m - 1, 1], x, y, first, last):
            m -= 1
        if m and out[m - 1, 0] == x and out[m - 1, 1] == y:
            continue
        out[m, 0], out[m, 1] = x, y
        m += 1
    start = 0
    while m - start > 1:  # where the ring closes, one spare point can make the next one spare
        x, y, fx, fy = out[m - 1, 0], out[m - 1, 1], out[start, 0], out[start, 1]
        enough = m - start > 2
        ends = enough and _is_spare(out[m - 2, 0], out[m - 2, 1], x, y, fx, fy, first, last)
        if ends or (x == fx and y == fy):
            m -= 1
        elif enough and _is_spare(x, y, fx, fy, out[start + 1, 0], out[start + 1, 1], first, last):
            start += 1
        else:
            break
    if start:
        out[: m - start] = out[start:m].copy()
    return m - start


@_kernel
def _area(ring: Longs, n: int) -> int:
    """Twice the area by the surveyor's formula; positive when the ring runs clockwise as seen."""
    total = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        total += ring[i, 0] * ring[j, 1] - ring[j, 0] * ring[i, 1]
    return total


@_kernel
def _widen(ring: Longs, n: int) -> int:
    """Give an outline without area the least that can be drawn: one point becomes a square, a line a triangle of it."""
    if n == 1:
        x, y = ring[0, 0], ring[0, 1]
        ring[1, 0], ring[1, 1] = x + 1, y
        ring[2, 0], ring[2, 1] = x + 1, y + 1
        ring[3, 0], ring[3, 1] = x, y + 1
        return 4
    # one more point beside the first, on the side on which the area is positive
    dx, dy = ring[0, 0] - ring[n - 1, 0], ring[0, 1] - ring[n - 1, 1]
    step_x, step_y = (0, 1) if abs(dx) >= abs(dy) else (1, 0)
    ring[n, 0], ring[n, 1] = ring[0, 0] + step_x, ring[0, 1] + step_y
    if _area(ring, n + 1) < 0:
        ring[n, 0], ring[n, 1] = ring[0, 0] - step_x, ring[0, 1] - step_y
    return n + 1


@_kernel
def _any_within(xy: Doubles, low: float, high: float) -> bool:
    """Whether any point lies inside the square and not on its border."""
    n = 0
    for i in range(len(xy)):
        n += low < xy[i, 0] < high and low < xy[i, 1] < high
    return n > 0


@_kernel
def _ring(xy: Doubles, exterior: bool, low: float, high: float) -> Longs:
    """Points of a ring (closed) in the square, turned as its kind wants it; none when nothing of it is left."""
    x0, x1 = xy[:, 0].min(), xy[:, 0].max()
    y0, y1 = xy[:, 1].min(), xy[:, 1].max()
    none = np.empty((0, 2), np.int64)
    if not (x1 >= low and y1 >= low and x0 <= high and y0 <= high):  # nor where anything is not a number
        return none
    # a vertex without a place may have been the one that closed the ring
    closed = xy[0, 0] == xy[-1, 0] and xy[0, 1] == xy[-1, 1]
    part = xy[:-1] if closed and len(xy) > 1 else xy
    cut = x0 < low or y0 < low or x1 > high or y1 > high
    if x0 < low:
        part = _halve(part, 0, low, True)
    if x1 > high:
        part = _halve(part, 0, high, False)
    if y0 < low:
        part = _halve(part, 1, low, True)
    if y1 > high:
        part = _halve(part, 1, high, False)
    if len(part) == 0:
        return none
    ring = np.empty((len(part) + 4, 2), np.int64)
    n = _round_ring(part, low, high, ring)
    area = _area(ring, n)
    if area == 0:
        if not exterior or (cut and not _any_within(part, low, high)):
            return none
        n = _widen(ring, n)
    elif (area > 0) != exterior:
        return ring[:n][::-1].copy()
    return ring[:n]


@_kernel
def _visits(ring: Longs, low: int, high: int) -> int:
    """How often a ring comes to the border of the square."""
    n = len(ring)
    visits = 0
    before = ring[n - 1, 0] in (low, high) or ring[n - 1, 1] in (low, high)
    for i in range(n):
        there = ring[i, 0] in (low, high) or ring[i, 1] in (low, high)
        visits += there and not before
        before = there
    return visits


@_kernel
def _put_ring(words: Words, n: int, ring: Longs, at: Longs) -> int:
    """Write a ring behind the first `n` words; returns how many there are then. `at` is the cursor."""
    for i in range(len(ring)):
        if i == 0:
            words[n] = 1 << 3 | _MOVE
            n += 1
        elif i == 1:
            words[n] = (len(ring) - 1) << 3 | _ON
            n += 1
        words[n] = _zigzag(ring[i, 0] - at[0])
        words[n + 1] = _zigzag(ring[i, 1] - at[1])
        at[0], at[1] = ring[i, 0], ring[i, 1]
        n += 2
    words[n] = _CLOSE
    return n + 1


@_kernel
def _put_line(words: Words, n: int, line: Longs, count: int, at: Longs) -> int:
    """Write a line of `count` points behind the first `n` words."""
    if count == 1:  # a line shorter than the unit: the least that can be drawn
        line[1, 0], line[1, 1] = line[0, 0] + 1, line[0, 1]
        count = 2
    for i in range(count):
        if i == 0:
            words[n] = 1 << 3 | _MOVE
            n += 1
        elif i == 1:
            words[n] = (count - 1) << 3 | _ON
            n += 1
        words[n] = _zigzag(line[i, 0] - at[0])
        words[n + 1] = _zigzag(line[i, 1] - at[1])
        at[0], at[1] = line[i, 0], line[i, 1]
        n += 2
    return n


@_kernel
def _segment(ax: float, ay: float, bx: float, by: float, low: float, high: float) -> tuple[float, float]:
    """Part of a segment in the square, from 0 to 1; reversed when there is none (Liang and Barsky 1984)."""
    enter, leave = 0.0, 1.0
    dx, dy = bx - ax, by - ay
    for step, room in ((-dx, ax - low), (dx, high - ax), (-dy, ay - low), (dy, high - ay)):
        if step == 0.0:
            if room < 0.0:
                return 1.0, 0.0
        elif step < 0.0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    return enter, leave


@_kernel
def _line(words: Words, n: int, xy: Doubles, low: float, high: float, at: Longs) -> tuple[Words, int]:
    """Write the parts of a line in the square behind the first `n` words."""
    line = np.empty((len(xy) + 2, 2), np.int64)
    count = 0
    for i in range(len(xy) - 1):
        ax, ay, bx, by = xy[i, 0], xy[i, 1], xy[i + 1, 0], xy[i + 1, 1]
        enter, leave = _segment(ax, ay, bx, by, low, high)
        if not enter <= leave:
            continue
        if enter > 0.0 and count:  # comes in anew
            words = _grown(words, n + 2 * count + 8)
            n = _put_line(words, n, line, count, at)
            count = 0
        for part in (enter, leave):
            if part == enter and count:
                continue
            # the ends themselves are exact
            x = ax if part == 0.0 else bx if part == 1.0 else ax + part * (bx - ax)
            y = ay if part == 0.0 else by if part == 1.0 else ay + part * (by - ay)
            ix, iy = _whole(x, low, high), _whole(y, low, high)
            if count and line[count - 1, 0] == ix and line[count - 1, 1] == iy:
                continue
            line[count, 0], line[count, 1] = ix, iy
            count += 1
        if leave < 1.0:
            words = _grown(words, n + 2 * count + 8)
            n = _put_line(words, n, line, count, at)
            count = 0
    if count:
        words = _grown(words, n + 2 * count + 8)
        n = _put_line(words, n, line, count, at)
    return words, n


@_kernel
def _points(words: Words, n: int, xy: Doubles, low: float, high: float) -> int:
    """Write those points that lie in the square behind the first `n` words."""
    head, count = n, 0
    at_x = at_y = 0
    n += 1
    for i in range(len(xy)):
        if low <= xy[i, 0] <= high and low <= xy[i, 1] <= high:
            x, y = _whole(xy[i, 0], low, high), _whole(xy[i, 1], low, high)
            words[n] = _zigzag(x - at_x)
            words[n + 1] = _zigzag(y - at_y)
            at_x, at_y = x, y
            n += 2
            count += 1
    words[head] = count << 3 | _MOVE
    return n if count else head


@_kernel
def _number(data: Bytes, at: int) -> int:
    """Little-endian number of four bytes."""
    total = 0
    for k in range(4):  # a sum: bits of signed and unsigned numbers would be mixed as floats
        total += int(np.int64(data[at + k])) << (8 * k)
    return total


@_kernel
def _head(data: Bytes, at: int) -> tuple[int, int, int]:
    """Kind of geometry, number of coordinates of a position, and where its content begins; kind 0 if unknown."""
    code = _number(data, at + 1)
    plain = code & 0x0FFFFFFF
    size = 2 + (plain // 1000 in (1, 3) or code & 0x80000000 != 0) + (plain // 1000 in (2, 3) or code & 0x40000000 != 0)
    kind = plain % 1000
    if data[at] != 1 or not 1 <= kind <= 6 or plain >= 4000:
        return 0, size, at
    return kind, size, at + (9 if code & 0x20000000 else 5)


@_kernel
def _unpack_simple(
    data: Bytes, at: int, kind: int, size: int, place: Longs, xy: Doubles, first: Longs, kinds: Bytes, fill: bool
) -> int:
    """Read or, with `fill` false, only count a point, line or polygon; `place` holds vertices and paths so far."""
    rings = 1
    if kind == 3:
        rings = _number(data, at)
        at += 4
    for ring in range(rings):
        count = 1
        if kind != 1:
            count = _number(data, at)
            at += 4
        if fill:
            block = data[at : at + 8 * size * count].view(np.float64)
            for i in range(count):
                xy[place[0] + i, 0], xy[place[0] + i, 1] = block[i * size], block[i * size + 1]
            kinds[place[1]] = POINT if kind == 1 else LINE if kind == 2 else EXTERIOR if ring == 0 else INTERIOR
            first[place[1] + 1] = place[0] + count
        at += 8 * size * count
        place[0] += count
        place[1] += 1
    return at


@_kernel
def unpack(
    data: Bytes, starts: Longs, xy: Doubles, first: Longs, kinds: Bytes, shape_first: Longs, fill: bool
) -> tuple[int, int]:
    """Paths of geometries in WKB: counted first, then, with `fill`, read into arrays of that size.

    Parameters
    ----------
    data, starts
        Little-endian WKB of all geometries, and (shapes + 1,) where each begins; no bytes mean no geometry.
    xy, first, kinds, shape_first
        As `draw` takes them; the first elements of `first` and `shape_first` are 0.

    Returns
    -------
    vertices, paths
        How many there are; -1 and the geometry's place for one that is no point, line or polygon, single or multiple,
        or of another byte order.
    """
    place = np.zeros(2, np.int64)
    for shape in range(len(starts) - 1):
        at = starts[shape]
        if starts[shape + 1] > at:
            kind, size, at = _head(data, at)
            if kind == 0:
                return -1, shape
            parts = 1
            if kind > 3:
                parts = _number(data, at)
                at += 4
            for _ in range(parts):
                one = kind
                if kind > 3:
                    one, size, at = _head(data, at)
                    if one != kind - 3:
                        return -1, shape
                at = _unpack_simple(data, at, one, size, place, xy, first, kinds, fill)
        if fill:
            shape_first[shape + 1] = place[1]
    return place[0], place[1]


@_kernel
def extents(xy: Doubles, first: Longs, shape_first: Longs) -> Doubles:
    """Least x, least y, greatest x and greatest y of each shape, (shapes, 4); reversed where it has no vertex."""
    out = np.empty((len(shape_first) - 1, 4))
    for k in range(len(out)):
        low_x = low_y = np.inf
        high_x = high_y = -np.inf
        for i in range(first[shape_first[k]], first[shape_first[k + 1]]):
            low_x, high_x = min(low_x, xy[i, 0]), max(high_x, xy[i, 0])
            low_y, high_y = min(low_y, xy[i, 1]), max(high_y, xy[i, 1])
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = low_x, low_y, high_x, high_y
    return out


@_kernel
def draw(
    xy: Doubles, path_first: Longs, kinds: NDArray[np.uint8], shape_first: Longs, low: float, high: float
) -> tuple[Words, Longs, NDArray[np.uint8], NDArray[np.bool_]]:
    """Commands of shapes in the square from `low` to `high`.

    Parameters
    ----------
    xy
        (vertices, 2) in the tile's coordinates.
    path_first
        (paths + 1,) first vertex of each path; rings are closed.
    kinds
        (paths,) kind of each path; the paths of a shape are all points, all lines, or exteriors each with the
        interiors that follow it.
    shape_first
        (shapes + 1,) first path of each shape.

    Returns
    -------
    words, word_first, types, doubtful
        Commands, (shapes + 1,) the first of each shape, and each shape's type of geometry: `NOTHING` where nothing of
        it lies in the square. Areas are doubtful that were cut so that their rings may touch along the border.
    """
    shapes = len(shape_first) - 1
    words = np.empty(2 * len(xy) + 4 * len(kinds) + 64, np.uint32)
    word_first = np.zeros(shapes + 1, np.int64)
    types = np.zeros(shapes, np.uint8)
    doubtful = np.zeros(shapes, np.bool_)
    at = np.zeros(2, np.int64)
    n = 0
    for shape in range(shapes):
        first, last = shape_first[shape], shape_first[shape + 1]
        at[:] = 0
        start = n
        if first < last and kinds[first] == POINT:
            part = xy[path_first[first] : path_first[last]]
            words = _grown(words, n + 2 * len(part) + 1)
            n = _points(words, n, part, low, high)
            types[shape] = POINTS if n > start else NOTHING
        elif first < last and kinds[first] == LINE:
            for path in range(first, last):
                words, n = _line(words, n, xy[path_first[path] : path_first[path + 1]], low, high, at)
            types[shape] = LINES if n > start else NOTHING
        else:
            there = False
            for path in range(first, last):
                outer = kinds[path] == EXTERIOR
                if path_first[path + 1] - path_first[path] < 2 or not (outer or there):
                    there = there and not outer
                    continue
                ring = _ring(xy[path_first[path] : path_first[path + 1]], outer, low, high)
                if outer:
                    there = len(ring) > 0
                if len(ring):
                    doubtful[shape] |= _visits(ring, int(low), int(high)) > (1 if outer else 0)
                    words = _grown(words, n + 2 * len(ring) + 3)
                    n = _put_ring(words, n, ring, at)
            types[shape] = POLYGONS if n > start else NOTHING
        word_first[shape + 1] = n
    return words[:n], word_first, types, doubtful


@_kernel
def _length(value: int) -> int:
    """Bytes of a number of base 128."""
    n = 1
    while value > 127:
        value >>= 7
        n += 1
    return n


@_kernel
def _put(out: NDArray[np.uint8], n: int, value: int) -> int:
    """Write a number of base 128 behind the first `n` bytes."""
    while value > 127:
        out[n] = (value & 127) | 128
        value >>= 7
        n += 1
    out[n] = value
    return n + 1


@_kernel
def write(
    words: Words,
    starts: Longs,
    stops: Longs,
    types: NDArray[np.uint8],
    ids: Longs,
    tags: Longs,
    tag_first: Longs,
) -> NDArray[np.uint8]:
    """Features as the `features` fields of a layer.

    Parameters
    ----------
    words, starts, stops
        Commands, and those of each feature.
    types, ids
        Type of geometry and id of each feature; ids are not negative.
    tags, tag_first
        Pairs of places in the layer's keys and values, and (features + 1,) the first of each feature.
    """
    out = np.empty(5 * len(words) + 5 * len(tags) + 40 * len(types) + 16, np.uint8)
    n = 0
    for k in range(len(types)):
        geometry = 0
        for w in range(starts[k], stops[k]):
            geometry += _length(int(words[w]))
        labels = 0
        for t in range(tag_first[k], tag_first[k + 1]):
            labels += _length(tags[t])
        size = 1 + _length(ids[k]) + 2 + 1 + _length(geometry) + geometry
        if labels:
            size += 1 + _length(labels) + labels
        out[n] = 0x12  # field 2 of the layer: a feature
        n = _put(out, n + 1, size)
        out[n] = 0x08  # id
        n = _put(out, n + 1, ids[k])
        if labels:
            out[n] = 0x12  # tags
            n = _put(out, n + 1, labels)
            for t in range(tag_first[k], tag_first[k + 1]):
                n = _put(out, n, tags[t])
        out[n], out[n + 1], out[n + 2] = 0x18, types[k], 0x22  # type, geometry
        n = _put(out, n + 3, geometry)
        for w in range(starts[k], stops[k]):
            n = _put(out, n, int(words[w]))
    return out[:n]

"""Shapes to vector tiles: Mapbox Vector Tile specification 2.1, without a protobuf library. Pure.

Tile coordinates count from the tile's upper left corner, y downwards, `EXTENT` to a side. What sticks out by more than
`BUFFER` is cut off, so that outlines of a tile's fill and stroke meet those of its neighbours out of sight.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import InputError
from tilesrv import mvt_kernels as kernels

EXTENT: Final = 4096
BUFFER: Final = 128
"""Units around the tile that shapes are kept in: 8 pixels of a 256-pixel tile."""
MOST: Final = 1e150
"""Coordinates beyond this would overflow when they are clipped; nobody means them."""
FAR: Final = 1e12
"""Coordinates beyond this are cut as if they were here: products of larger ones overflow."""
Value = str | bool | int | float
_EMPTY: Final = np.zeros(0, np.int64)


class Paths(NamedTuple):
    """Outlines of shapes as flat arrays."""

    xy: NDArray[np.float64]
    """(vertices, 2); rings are closed."""
    first: NDArray[np.int64]
    """(paths + 1,) first vertex of each path."""
    kinds: NDArray[np.uint8]
    """(paths,) see `mvt_kernels`."""
    shape_first: NDArray[np.int64]
    """(shapes + 1,) first path of each shape."""


class Drawn(NamedTuple):
    """Shapes as the commands of one tile."""

    words: NDArray[np.uint32]
    starts: NDArray[np.int64]
    """First command of each shape that lies in the tile."""
    stops: NDArray[np.int64]
    types: NDArray[np.uint8]
    """Points, lines or polygons."""
    rows: NDArray[np.int64]
    """Places of those shapes among all that were given."""


class Column(NamedTuple):
    """One attribute of a layer's features."""

    key: str
    codes: NDArray[np.int64]
    """Place in `values` for each feature; -1 where it has none."""
    values: Sequence[bytes]
    """Encoded values; see `value`."""


def flatten(outlines: Sequence[bytes | None]) -> Paths:
    """Paths of points, lines and polygons, multiple or not, in WKB; of None and empty ones no path.

    The third coordinate is left out. Raises InputError for other kinds of geometry.
    """
    present = [one or b"" for one in outlines]
    starts = np.concatenate([[0], np.cumsum(np.fromiter(map(len, present), np.int64, len(present)))])
    data = np.frombuffer(b"".join(present), np.uint8)
    nothing = Paths(np.empty((0, 2)), np.zeros(1, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64))
    vertices, paths = kernels.unpack(data, starts, *nothing, False)
    if vertices < 0:
        return _flatten_again(outlines, paths)
    made = Paths(
        np.empty((vertices, 2)),
        np.zeros(paths + 1, np.int64),
        np.empty(paths, np.uint8),
        np.zeros(len(present) + 1, np.int64),
    )
    kernels.unpack(data, starts, *made, True)
    return made


def _flatten_again(outlines: Sequence[bytes | None], place: int) -> Paths:
    """Paths of geometries of which one at least is not little-endian."""
    found = shapely.from_wkb(np.array(outlines, dtype=object))
    kind = shapely.get_type_id(found[place])
    if kind in (shapely.GeometryType.GEOMETRYCOLLECTION, shapely.GeometryType.LINEARRING):
        raise InputError(f"a {found[place].geom_type} cannot be drawn in a vector tile")
    return flatten(shapely.to_wkb(found, byte_order=1).tolist())


def extents(paths: Paths) -> NDArray[np.float64]:
    """Least x, least y, greatest x, greatest y of each shape; reversed (inf, -inf) for a shape without vertices."""
    return kernels.extents(paths.xy, paths.first, paths.shape_first)


def sound(paths: Paths) -> Paths:
    """Paths without the vertices that have no finite place, no coordinate beyond what can be clipped."""
    if not len(paths.xy) or (paths.xy.min() >= -MOST and paths.xy.max() <= MOST):
        return paths
    there = np.isfinite(paths.xy).all(axis=1)
    first = np.concatenate([[0], np.cumsum(there)])[paths.first]
    return paths._replace(xy=np.clip(paths.xy[there], -MOST, MOST), first=first)


def _firsts(owner: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count + 1,) where the items of each owner begin; owners ascend."""
    return np.searchsorted(owner, np.arange(count + 1)).astype(np.int64)


def draw(paths: Paths, *, extent: int = EXTENT, buffer: int = BUFFER) -> Drawn:
    """Shapes in tile coordinates as commands: clipped, on whole numbers, exteriors clockwise as seen, holes not.

    Every shape that touches the tile is there: an area or a line too small for the whole numbers becomes the least
    that can be drawn. Holes and parts without area are left out. Vertices without a finite place are passed over.
    """
    paths = sound(paths)
    low, high = float(-buffer), float(extent + buffer)
    words, word_first, types, doubtful = kernels.draw(*paths, low, high)
    starts, stops = word_first[:-1].copy(), word_first[1:].copy()
    again = np.flatnonzero(doubtful)
    if len(again):
        cut = flatten(_cut(paths, again, low, high))
        more, more_first, types[again], _ = kernels.draw(*cut, low, high)
        starts[again], stops[again] = more_first[:-1] + len(words), more_first[1:] + len(words)
        words = np.concatenate([words, more])
    rows = np.flatnonzero(types != kernels.NOTHING)
    return Drawn(words, starts[rows], stops[rows], types[rows], rows)


def _cut(paths: Paths, shapes: NDArray[np.int64], low: float, high: float) -> list[bytes | None]:
    """Areas cut to a square so that their rings stay apart, as WKB; slower than the kernel, which is for all others."""
    whole, rows = _polygons(paths, shapes)
    square = shapely.box(low, low, high, high)
    out: list[bytes | None] = [None] * len(shapes)
    with np.errstate(all="ignore"):  # GEOS leaves the processor's flags as its own tests of far vertices set them
        whole = shapely.make_valid(whole, method="structure", keep_collapsed=False)
        for grid in (1.0, None):  # on whole numbers at once; what is too thin for that is left to the kernel
            found, areas = _areas(shapely.intersection(whole, square, grid_size=grid))
            for row, area in zip(rows[found].tolist(), areas, strict=True):
                out[row] = area
            thin = np.setdiff1d(np.arange(len(rows)), found)
            if not len(thin):
                break
            whole, rows = whole[thin], rows[thin]
    return out


def _areas(geometries: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[bytes]]:
    """Which of some geometries have areas, and all areas of each of those, as WKB."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    is_area = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    if not is_area.any():
        return _EMPTY, []
    found, places = np.unique(owner[is_area], return_inverse=True)
    areas: Any = shapely.multipolygons(parts[is_area], indices=places)
    return found, shapely.to_wkb(areas, byte_order=1).tolist()


def _polygons(paths: Paths, shapes: NDArray[np.int64]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Some shapes as polygons of many parts, and which ones; those without an area are left out."""
    rings: list[NDArray[np.float64]] = []
    part_of: list[int] = []
    shape_of: list[int] = []
    for k, shape in enumerate(shapes.tolist()):
        there = False
        for path in range(paths.shape_first[shape], paths.shape_first[shape + 1]):
            ring = paths.xy[paths.first[path] : paths.first[path + 1]]
            if paths.kinds[path] == kernels.EXTERIOR:
                there = len(ring) > 3
                shape_of += [k] * there
            if there and len(ring) > 3:
                rings.append(ring)
                part_of.append(len(shape_of) - 1)
    if not rings:
        return np.zeros(0, object), _EMPTY
    points = np.clip(np.concatenate(rings), -FAR, FAR)
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    closed: Any = shapely.linearrings(points, indices=owner)
    parts: Any = shapely.polygons(closed, indices=np.array(part_of))
    rows, places = np.unique(np.array(shape_of), return_inverse=True)
    whole: Any = shapely.multipolygons(parts, indices=places)
    return whole, rows


def points(xy: NDArray[np.int64]) -> Drawn:
    """Single points (n, 2) on the tile's whole numbers, as they are."""
    n = len(xy)
    words = np.empty((n, 3), np.uint32)
    words[:, 0] = 1 << 3 | 1
    words[:, 1:] = (xy << 1) ^ (xy >> 63)
    starts = np.arange(n, dtype=np.int64) * 3
    return Drawn(words.reshape(-1), starts, starts + 3, np.full(n, kernels.POINTS, np.uint8), np.arange(n))


# ---- attributes


def value(of: Value) -> bytes:
    """A layer's `values` field: texts, truth, whole numbers of 64 bits, and doubles for all other numbers."""
    if isinstance(of, str):
        text = of.encode()
        return _field(0x22, _field(0x0A, text))
    if isinstance(of, bool):
        return _field(0x22, bytes((0x38, of)))
    if isinstance(of, int) and 0 <= of < 1 << 63:
        return _field(0x22, b"\x28" + _varint(of))
    if isinstance(of, int) and -(1 << 63) <= of < 0:
        return _field(0x22, b"\x30" + _varint(2 * -of - 1))
    return _field(0x22, b"\x19" + struct.pack("<d", float(of)))


def constants(key: str, names: Sequence[str], codes: NDArray[np.integer]) -> Column:
    """Column of texts, given as places in a few names."""
    used, places = np.unique(codes, return_inverse=True)
    listed: list[int] = used.tolist()
    return Column(key, places.astype(np.int64), [value(names[k]) for k in listed])


def whole_numbers(key: str, numbers: NDArray[np.integer], *, absent: int | None = None) -> Column:
    """Column of whole numbers; features with the number `absent` have none."""
    used, places = np.unique(numbers, return_inverse=True)
    codes = places.astype(np.int64)
    if absent is not None:
        codes[numbers == absent] = -1
    return Column(key, codes, [value(k) for k in used.tolist()])


def doubles(key: str, numbers: NDArray[np.float64]) -> Column:
    """Column of numbers; features with NaN have none."""
    there = np.flatnonzero(~np.isnan(numbers))
    codes = np.full(len(numbers), -1, np.int64)
    codes[there] = np.arange(len(there))
    return Column(key, codes, [value(v) for v in numbers[there].tolist()])


def sparse(rows: Sequence[Mapping[str, Value]]) -> list[Column]:
    """Columns of what some features have: one mapping for each feature."""
    codes: dict[str, NDArray[np.int64]] = {}
    values: dict[str, dict[bytes, int]] = {}
    for k, row in enumerate(rows):
        for key, of in row.items():
            if key not in codes:
                codes[key], values[key] = np.full(len(rows), -1, np.int64), {}
            codes[key][k] = values[key].setdefault(value(of), len(values[key]))
    return [Column(key, codes[key], list(values[key])) for key in sorted(codes)]


def uuids(key: str, packed: NDArray[np.uint8]) -> Column:
    """Column of UUIDs of (n, 16) bytes, as texts."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    out = np.full((len(packed), 40), ord("-"), np.uint8)
    out[:, :4] = np.frombuffer(bytes((0x22, 38, 0x0A, 36)), np.uint8)
    pairs = np.stack([digits[packed >> 4], digits[packed & 15]], axis=-1).reshape(len(packed), 32)
    for start, stop, shift in ((0, 8, 4), (8, 12, 5), (12, 16, 6), (16, 20, 7), (20, 32, 8)):
        out[:, start + shift : stop + shift] = pairs[:, start:stop]
    data = out.tobytes()
    return Column(key, np.arange(len(packed)), [data[k : k + 40] for k in range(0, len(data), 40)])


def feature_ids(packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Numbers of 53 bits, which JavaScript holds exactly, that depend on all 16 bytes of a UUID and never change."""
    halves = np.ascontiguousarray(packed).view(">u8").astype(np.uint64)
    mixed = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    return (mixed >> np.uint64(11)).astype(np.int64)


# ---- layers


def layer(name: str, drawn: Drawn, ids: NDArray[np.int64], columns: Sequence[Column], *, extent: int = EXTENT) -> bytes:
    """One layer of a tile; nothing when no feature is drawn.

    Parameters
    ----------
    drawn
        The features' geometry.
    ids
        Number of each drawn feature, not negative.
    columns
        Attributes of the drawn features.
    """
    if not len(drawn.rows):
        return b""
    tags, tag_first, values = _tags(columns, len(drawn.rows))
    features = kernels.write(drawn.words, drawn.starts, drawn.stops, drawn.types, ids, tags, tag_first)
    body = [_field(0x0A, name.encode()), features.tobytes()]
    body += [_field(0x1A, c.key.encode()) for c in columns]
    body += values
    body += [b"\x28" + _varint(extent), b"\x78\x02"]
    return _field(0x1A, b"".join(body))


def _tags(columns: Sequence[Column], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[bytes]]:
    """Pairs of keys and values by feature, where each feature's begin, and the values of all columns."""
    rows: list[NDArray[np.int64]] = [_EMPTY]
    pairs: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    values: list[bytes] = []
    for number, column in enumerate(columns):
        there = np.flatnonzero(column.codes >= 0)
        codes = column.codes[there] + len(values)
        rows.append(there)
        pairs.append(np.stack([np.full(len(there), number, np.int64), codes], axis=-1))
        values.extend(column.values)
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return np.concatenate(pairs)[order].reshape(-1), 2 * _firsts(row[order], count), values


def _varint(number: int) -> bytes:
    """A number in base 128, the lowest digit first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, body: bytes) -> bytes:
    """A field whose length is told."""
    return bytes((tag,)) + _varint(len(body)) + body


def warm() -> None:
    """Compile the kernels, or load them from numba's cache."""
    geometries = [shapely.box(0, 0, 9, 9), shapely.LineString([(0, 0), (9, 9)]), shapely.Point(1, 1)]
    paths = flatten([one.wkb for one in geometries])
    extents(paths)
    drawn = draw(paths)
    layer("warm", drawn, np.arange(3, dtype=np.int64), [])

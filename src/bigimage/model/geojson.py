"""Shapes as GeoJSON: a plain geometry, and a `shape` member for what GeoJSON cannot say. Pure dicts, both ways."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from bigimage.geometry.grid import Grid
from bigimage.model.member import positions, shape_of_member
from bigimage.model.outline import outline
from bigimage.model.problem import Problem, shown
from bigimage.model.shape import Line, MultiPoint, PlanarContours, Point, Polygon, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = Mapping[str, Any]
_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""Levels of arrays above a position."""
_LARGEST = 2.0**63
"""Coordinates beyond, and infinite ones, are for `shape_of` to judge."""
_TYPES = {
    "Point": shapely.GeometryType.POINT,
    "MultiPoint": shapely.GeometryType.MULTIPOINT,
    "LineString": shapely.GeometryType.LINESTRING,
    "MultiLineString": shapely.GeometryType.MULTILINESTRING,
    "Polygon": shapely.GeometryType.POLYGON,
    "MultiPolygon": shapely.GeometryType.MULTIPOLYGON,
}


def geometry_dict(geometry: BaseGeometry | None) -> dict[str, Any] | None:
    """GeoJSON geometry of a shapely one, coordinates as they are; None for None."""
    return None if geometry is None else dict(shapely.geometry.mapping(geometry))


def geometry_of(shape: Shape) -> dict[str, Any] | None:
    """Plain GeoJSON geometry of a shape in its frame; see `bigimage.model.outline.outline`."""
    return geometry_dict(outline(shape))


def shape_of(geometry: object, member: object = None, *, ndim: int, grid: Grid | None = None) -> Shape | list[Problem]:
    """Shape from a GeoJSON geometry and, where there is one, a `shape` member; every problem when there are any.

    Where a member is present it counts and the geometry is not looked at.

    Parameters
    ----------
    geometry
        A GeoJSON geometry in the image's frame, or None. In a volume polygons become contours.
    member
        The `shape` member, or None.
    ndim
        Number of coordinates of the image's frame, 2 or 3.
    grid
        Finest grid of the image; a mask needs it.
    """
    problems: list[Problem] = []
    if member is not None:
        shape = shape_of_member(member, ndim=ndim, grid=grid, problems=problems)
    elif geometry is None:
        problems.append(Problem("missing", "geometry", "neither a geometry nor a `shape` member is given"))
        shape = None
    else:
        shape = _shape_of_geometry(geometry, ndim, problems)
    return shape if shape is not None and not problems else problems


def plain_geometries(found: "Sequence[object]") -> "NDArray[np.object_] | None":
    """Flat shapely geometries of GeoJSON geometries, what `shape_of` makes of each; None where any is not sound."""
    rows: dict[str, list[int]] = {}
    for k, geometry in enumerate(found):
        name = cast("Json", geometry).get("type") if isinstance(geometry, dict) else None
        if not isinstance(name, str) or name not in _DEPTHS:
            return None
        rows.setdefault(name, []).append(k)
    out = np.empty(len(found), dtype=object)
    for name, places in rows.items():
        made = _ragged(name, [cast("Json", found[k]).get("coordinates") for k in places])
        if made is None:
            return None
        out[places] = made
    return out


def _ragged(name: str, values: list[Any]) -> "NDArray[np.object_] | None":
    """Geometries of one type from their nested coordinates; None where these are not sound."""
    offsets: list[NDArray[np.int64]] = []
    for _ in range(_DEPTHS[name]):
        if set(map(type, values)) != {list}:
            return None
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        if not lengths.all():
            return None
        offsets.append(np.concatenate([[0], np.cumsum(lengths)]))
        values = list(chain.from_iterable(values))
    if set(map(type, values)) != {list} or set(map(len, values)) != {2}:
        return None
    numbers = list(chain.from_iterable(values))
    if not set(map(type, numbers)) <= {int, float}:
        return None
    try:
        points = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    except OverflowError:
        return None
    if not (np.abs(points) < _LARGEST).all():
        return None
    if offsets and not name.endswith("Point") and not _are_long_enough(name, points, offsets[-1]):
        return None
    return shapely.from_ragged_array(_TYPES[name], points, tuple(offsets[::-1]) or None)


def _are_long_enough(name: str, points: "NDArray[np.float64]", ends: "NDArray[np.int64]") -> bool:
    """Whether lines have two positions at least; whether rings have four, and their last repeats their first."""
    lengths = np.diff(ends)
    if name.endswith("LineString"):
        return bool((lengths >= 2).all())
    return bool((lengths >= 4).all() and (points[ends[:-1]] == points[ends[1:] - 1]).all())


def _shape_of_geometry(geometry: object, ndim: int, problems: list[Problem]) -> Shape | None:
    """Shape of a plain geometry."""
    if not isinstance(geometry, Mapping):
        problems.append(Problem("type", "geometry", "a geometry is an object with a type and coordinates"))
        return None
    fields = cast("Json", geometry)
    name, coordinates = fields.get("type"), fields.get("coordinates")
    place = "geometry/coordinates"
    if not isinstance(name, str) or name not in _DEPTHS:
        known = ", ".join(_DEPTHS)
        problems.append(Problem("type", "geometry/type", f"{shown(name)} is not one of {known}"))
        return None
    if not isinstance(coordinates, (list, tuple)) or not len(cast("Sequence[Any]", coordinates)):
        problems.append(Problem("empty", place, "an array of coordinates is due, and not an empty one"))
        return None
    parts = _parts(cast("Sequence[Any]", coordinates), _DEPTHS[name], place, ndim, problems)
    if not problems:
        _check_lengths(name, parts, place, problems)
    return None if problems else _SHAPES[name](parts, ndim)


def _parts(value: Sequence[Any], depth: int, place: str, ndim: int, problems: list[Problem]) -> Any:
    """Nested lists whose innermost two levels are arrays of shape (n, ndim)."""
    if depth <= 1:
        return positions([value] if depth == 0 else value, place, ndim, problems)
    out: list[Any] = []
    for k, item in enumerate(value):
        below = f"{place}/{k}"
        if not isinstance(item, (list, tuple)) or not len(cast("Sequence[Any]", item)):
            problems.append(Problem("empty", below, "an array of positions is due here, and not an empty one"))
        else:
            out.append(_parts(cast("Sequence[Any]", item), depth - 1, below, ndim, problems))
    return out


def _check_lengths(name: str, parts: Any, place: str, problems: list[Problem]) -> None:
    """Note lines of one position, and rings that are too short or not closed."""
    if name in ("LineString", "MultiLineString"):
        for k, line in enumerate([parts] if name == "LineString" else parts):
            if len(line) < 2:
                where = place if name == "LineString" else f"{place}/{k}"
                problems.append(Problem("ring", where, "a line needs two positions"))
    elif name in ("Polygon", "MultiPolygon"):
        for k, polygon in enumerate([parts] if name == "Polygon" else parts):
            outer = place if name == "Polygon" else f"{place}/{k}"
            for j, ring in enumerate(polygon):
                if len(ring) < 4 or not np.array_equal(ring[0], ring[-1]):
                    message = "a ring has at least four positions, and its last repeats its first"
                    problems.append(Problem("ring", f"{outer}/{j}", message))


def _polygon(part: "Sequence[NDArray[np.float64]]") -> shapely.Polygon:
    """Polygon of a shell and its holes."""
    return shapely.Polygon(part[0], part[1:])


_SHAPES: dict[str, Callable[[Any, int], Shape]] = {
    "Point": lambda parts, _: Point(shapely.Point(parts[0])),
    "MultiPoint": lambda parts, _: MultiPoint(shapely.MultiPoint(parts)),
    "LineString": lambda parts, _: Line(shapely.LineString(parts)),
    "MultiLineString": lambda parts, _: Line(shapely.MultiLineString(parts)),
    "Polygon": lambda parts, ndim: PlanarContours.of(parts) if ndim == 3 else Polygon(_polygon(parts)),
    "MultiPolygon": lambda parts, ndim: (
        PlanarContours.of([ring for part in parts for ring in part])
        if ndim == 3
        else Polygon(shapely.MultiPolygon([_polygon(part) for part in parts]))
    ),
}

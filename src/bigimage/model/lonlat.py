"""Planar geometry from one CRS to another, cut and joined at the antimeridian as RFC 7946 wants. Pure.

Only vertices are transformed, so that what comes back is what was sent; edges are straight in either CRS.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from bigimage.errors import InputError
from bigimage.geometry.frame import GeoFrame, transform_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = 33
"""Points along an edge that seems to cross the antimeridian, to tell whether it does or goes the long way round."""
SEAM = 1e-3
"""Units of a CRS up to which the ends of a parallel, at the antimeridian, are one place."""
BISECTIONS = 52
"""Halvings of an edge until the place where it crosses the antimeridian is known to the last digit."""


def to_crs(geometries: Sequence[BaseGeometry | None], source: GeoFrame, target: GeoFrame) -> "NDArray[np.object_]":
    """Geometries in another CRS, shells counter-clockwise; in a geographic one, cut at the antimeridian.

    Parameters
    ----------
    geometries
        Two-dimensional, coordinates (x, y) of `source`; None stays None. What lies across the antimeridian comes back
        in several parts, what surrounds a pole reaches up to it (RFC 7946, 3.1.9 and 5.3).

    Raises
    ------
    InputError
        When a vertex has no place in the target.
    FrameMismatch
        When PROJ knows no way from one to the other.
    """
    out = np.empty(len(geometries), dtype=object)
    out[:] = geometries
    if source == target or not len(out):
        return out
    points, owner = shapely.get_coordinates(out, return_index=True)
    moved = transform_points(points, source, target)
    _require_finite(moved, target)
    whole = shapely.set_coordinates(out.copy(), moved)
    if target.is_geographic:
        half = target.turn / 2
        jump = (np.abs(np.diff(moved[:, 0])) > half) & (owner[1:] == owner[:-1])
        for k in np.unique(np.concatenate([owner[np.abs(moved[:, 0]) > half], owner[1:][jump]])).tolist():
            whole[k] = _cut(cast("Any", out[k]), source, target)
    return shapely.orient_polygons(whole, exterior_cw=False)


def from_crs(geometry: BaseGeometry, source: GeoFrame, target: GeoFrame, *, near: float | None = None) -> BaseGeometry:
    """Geometry in another CRS; parts that meet at the antimeridian are joined.

    Parameters
    ----------
    geometry
        Two-dimensional, coordinates (x, y) of `source`.
    near
        A longitude, or x, of the image. In a geographic target each part is put within half a turn of it.

    Raises
    ------
    InputError
        When a vertex has no place in the target.
    FrameMismatch
        When PROJ knows no way from one to the other.
    """
    if source == target:
        return geometry
    given = _joined(geometry, source.turn) if source.is_geographic else geometry
    if source.is_geographic and _is_ring_around(given, source, target):
        return _around(given, source, target)
    points = shapely.get_coordinates(given)
    moved = transform_points(points, source, target)
    _require_finite(moved, target)
    if target.is_geographic:
        _follow(moved, points, source, target)
    out = shapely.set_coordinates(shapely.force_2d(given), moved)
    return _near(out, near, target.turn) if target.is_geographic and near is not None else out


def from_crs_together(geometries: "NDArray[np.object_]", source: GeoFrame, target: GeoFrame) -> "NDArray[np.object_]":
    """What `from_crs` makes of many geometries, to the bit, in one go; None for those that it must look at alone.

    Those are what may lie across the antimeridian or around a pole, what has no place in the target, and, where the
    target is geographic, all.
    """
    out = np.full(len(geometries), None, dtype=object)
    if target.is_geographic or not len(out):
        return out
    flat = shapely.force_2d(geometries)
    plain = ~(shapely.is_missing(flat) | shapely.is_empty(flat))
    if source.is_geographic:
        bounds = shapely.bounds(flat)
        plain &= np.abs(np.nan_to_num(bounds[:, [0, 2]], nan=np.inf)).max(axis=1) < source.turn / 2
    chosen = flat[plain]
    points, owner = shapely.get_coordinates(chosen, return_index=True)
    moved = transform_points(points, source, target)
    placed = shapely.set_coordinates(chosen, moved)
    placed[np.unique(owner[~np.isfinite(moved).all(axis=1)])] = None
    out[plain] = placed
    return out


def _require_finite(points: "NDArray[np.float64]", target: GeoFrame) -> None:
    """Raise InputError unless every point has a place."""
    if not np.isfinite(points).all():
        raise InputError(f"a vertex has no place in {target}; use the image's own coordinates (crs=native)")


def _follow(moved: "NDArray[np.float64]", points: "NDArray[np.float64]", source: GeoFrame, target: GeoFrame) -> None:
    """Undo PROJ's wrapping of longitudes where both sides are geographic: a change of datum turns nobody round."""
    if source.is_geographic:
        turn = target.turn
        moved[:, 0] += turn * np.round((points[:, 0] * (turn / source.turn) - moved[:, 0]) / turn)


# ---- cutting


def _cut(geometry: BaseGeometry, source: GeoFrame, target: GeoFrame) -> BaseGeometry:
    """One geometry in a geographic CRS, cut at the antimeridian."""
    turn = target.turn
    kind = geometry.geom_type
    if kind in ("Point", "MultiPoint"):
        points = transform_points(shapely.get_coordinates(geometry), source, target)
        points[:, 0] = (points[:, 0] + turn / 2) % turn - turn / 2
        return shapely.set_coordinates(geometry, points)
    parts: list[Any] = []
    for part in cast("Sequence[Any]", shapely.get_parts(geometry)):
        if kind.endswith("LineString"):
            line = _continuous(shapely.get_coordinates(part), source, target)
            parts.extend(_pieces(shapely.LineString(line), turn))
        else:
            parts.extend(_polygon(part, source, target))
    if len(parts) == 1:
        return parts[0]
    return shapely.MultiLineString(parts) if kind.endswith("LineString") else shapely.MultiPolygon(parts)


def _polygon(polygon: shapely.Polygon, source: GeoFrame, target: GeoFrame) -> list[shapely.Polygon]:
    """Parts of one polygon."""
    rings = [polygon.exterior, *polygon.interiors]
    areas = [shapely.union_all(list(_pieces(_area(ring, source, target), target.turn))) for ring in rings]
    whole = areas[0]
    for hole in areas[1:]:
        whole = shapely.difference(whole, hole)
    return [p for p in cast("Sequence[Any]", shapely.get_parts(whole)) if p.geom_type == "Polygon" and p.area > 0]


def _area(ring: BaseGeometry, source: GeoFrame, target: GeoFrame) -> shapely.Polygon:
    """Area within a ring, its longitudes in one run; a ring around a pole is led along it."""
    points = shapely.get_coordinates(ring)
    run = _continuous(points, source, target)
    turn = target.turn
    if abs(run[-1, 0] - run[0, 0]) > turn / 2:
        pole = _pole(shapely.Polygon(points), source, target, north=float(run[:, 1].mean()) >= 0)
        run = _from_antimeridian(run, turn)
        run = np.concatenate([run, [[run[-1, 0], pole], [run[0, 0], pole]]])
    area = shapely.Polygon(run)
    return area if area.is_valid else cast("shapely.Polygon", shapely.make_valid(area))


def _from_antimeridian(run: "NDArray[np.float64]", turn: float) -> "NDArray[np.float64]":
    """A closed run of longitudes around a pole, begun where it crosses the antimeridian: nothing else is to be cut."""
    crossings = np.flatnonzero((run[:, 0] - turn / 2) % turn == 0)
    if not len(crossings):
        return run
    k = int(crossings[0])
    rest = run[1 : k + 1].copy()
    rest[:, 0] += turn * np.round((run[-1, 0] - run[0, 0]) / turn)
    return np.concatenate([run[k:], rest])


def _pole(area: shapely.Polygon, source: GeoFrame, target: GeoFrame, *, north: bool) -> float:
    """Latitude of the pole that lies within an area of the source; when neither can be told, that of its half."""
    top = target.turn / 4
    for latitude in (top, -top) if north else (-top, top):
        place = transform_points([[0.0, latitude]], target, source)[0]
        if np.isfinite(place).all() and shapely.contains_xy(area, *place.tolist()):
            return latitude
    return top if north else -top


def _continuous(points: "NDArray[np.float64]", source: GeoFrame, target: GeoFrame) -> "NDArray[np.float64]":
    """Longitudes and latitudes of a line's vertices, each longitude reckoned on from the one before.

    Where the line crosses the antimeridian there is a vertex more, which lies on the straight edge of the source.
    """
    out = transform_points(points, source, target)
    if source.is_geographic:
        _follow(out, points, source, target)
        return _with_crossings(out, points, source, target)
    turn = target.turn
    steps = np.diff(out[:, 0])
    for k in np.flatnonzero(np.abs(steps) > turn / 2).tolist():
        way = points[k] + np.linspace(0, 1, SAMPLES)[:, None] * (points[k + 1] - points[k])
        along = np.diff(transform_points(way, source, target)[:, 0])
        if np.isfinite(along).all():
            steps[k] = float(((along + turn / 2) % turn - turn / 2).sum())
    out[1:, 0] = out[0, 0] + np.cumsum(steps)
    return _with_crossings(out, points, source, target)


def _with_crossings(
    run: "NDArray[np.float64]", points: "NDArray[np.float64]", source: GeoFrame, target: GeoFrame
) -> "NDArray[np.float64]":
    """A line's longitudes and latitudes with those of where its edges cross the antimeridian."""
    turn = target.turn
    # edges that end on the antimeridian do not cross it
    west = np.floor((np.minimum(run[1:, 0], run[:-1, 0]) + turn / 2) / turn)
    east = np.ceil((np.maximum(run[1:, 0], run[:-1, 0]) + turn / 2) / turn) - 1
    out = run
    for k in np.flatnonzero(east > west)[::-1].tolist():
        cut = float(east[k] * turn - turn / 2)
        low, high = (0.0, 1.0) if run[k, 0] < run[k + 1, 0] else (1.0, 0.0)
        place = run[k]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            place = transform_points([points[k] + middle * (points[k + 1] - points[k])], source, target)[0]
            about = run[k, 0] + middle * (run[k + 1, 0] - run[k, 0])
            longitude = place[0] + turn * np.round((about - place[0]) / turn)
            low, high = (middle, high) if longitude < cut else (low, middle)
        out = np.insert(out, k + 1, [cut, place[1]], axis=0)
    return out


def _pieces(geometry: BaseGeometry, turn: float) -> Iterator[BaseGeometry]:
    """Parts of a line or an area on each turn of the globe, brought to the first; what only touches is left out."""
    half, dimension = turn / 2, shapely.get_dimensions(geometry)
    west, _, east, _ = geometry.bounds
    for k in range(int(np.floor((west + half) / turn)), int(np.ceil((east + half) / turn))):
        window = shapely.box(-half + k * turn, -half, half + k * turn, half)
        for part in cast("Sequence[Any]", shapely.get_parts(shapely.intersection(geometry, window))):
            if shapely.get_dimensions(part) == dimension:
                yield cast("BaseGeometry", shapely.transform(part, lambda p, by=k * turn: p - np.array([by, 0.0])))


# ---- joining


def _is_ring_around(geometry: BaseGeometry, source: GeoFrame, target: GeoFrame) -> bool:
    """Whether areas reach around a pole of a target where both sides of the antimeridian are one."""
    half = source.turn / 2
    if target.is_geographic or geometry.geom_type not in ("Polygon", "MultiPolygon") or not geometry.is_valid:
        return False
    west, south, east, north = geometry.bounds
    if west != -half or east != half:
        return False
    ends = transform_points([[-half, (south + north) / 2], [half, (south + north) / 2]], source, target)
    return bool(np.isfinite(ends).all() and np.abs(ends[0] - ends[1]).max() <= SEAM)


def _around(geometry: BaseGeometry, source: GeoFrame, target: GeoFrame) -> BaseGeometry:
    """Areas around a pole: the cut along the antimeridian, and the way along the pole, are dissolved."""
    half = source.turn / 2
    points = shapely.get_coordinates(geometry)
    points[points[:, 0] == -half, 0] = half  # the same bits on both sides, so that what was one cut is one line
    moved = transform_points(points, source, target)
    _require_finite(moved, target)
    whole = shapely.set_coordinates(shapely.force_2d(geometry), moved)
    repaired = [shapely.make_valid(part) for part in cast("Sequence[Any]", shapely.get_parts(whole))]
    areas = [p for r in repaired for p in cast("Sequence[Any]", shapely.get_parts(r)) if p.geom_type == "Polygon"]
    return shapely.union_all(areas)


def _joined(geometry: BaseGeometry, turn: float) -> BaseGeometry:
    """Geometry whose parts on both sides of the antimeridian, where they meet there, are one."""
    kind = geometry.geom_type
    if kind not in ("MultiLineString", "MultiPolygon"):
        return geometry
    half = turn / 2
    parts = cast("Sequence[Any]", shapely.get_parts(geometry))
    if not any(p.bounds[2] == half for p in parts) or not any(p.bounds[0] == -half for p in parts):
        return geometry
    moved = [shapely.transform(p, lambda c: c + np.array([turn, 0.0])) if p.bounds[2] <= 0 else p for p in parts]
    if not all(shapely.is_valid(p) for p in moved):
        return geometry
    if kind == "MultiPolygon":
        return shapely.union_all(moved)
    return shapely.line_merge(shapely.MultiLineString(moved))


def _near(geometry: BaseGeometry, near: float, turn: float) -> BaseGeometry:
    """Geometry with each part within half a turn of a longitude."""
    parts = cast("Sequence[Any]", shapely.get_parts(geometry))
    shifts = [turn * round((near - (p.bounds[0] + p.bounds[2]) / 2) / turn) for p in parts]
    if not any(shifts):
        return geometry
    points, owner = shapely.get_coordinates(parts, return_index=True)
    points[:, 0] += np.asarray(shifts)[owner]
    return shapely.set_coordinates(geometry, points)

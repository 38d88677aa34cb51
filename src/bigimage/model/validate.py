"""Validation: everything that is wrong with annotations, each problem with its kind and place.

Geometry is checked for all annotations at once, so that a million take seconds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely

from bigimage.geometry.frame import describe
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import ORIGIN, Annotation, frame_ndim
from bigimage.model.labels import Schema, attribute_problems
from bigimage.model.outline import outline, ring_plane
from bigimage.model.problem import Problem, shown
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    Mask,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
    kind,
    ndim,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLANAR = (Point, MultiPoint, Line, Polygon, PlanarContours)
FLATNESS = 1e-4
"""Part of a ring's size by which its vertices may leave their plane; DICOM writes coordinates with 16 characters."""
_REASONS = (
    ("Self-intersection", "self-intersection"),
    ("Ring Self-intersection", "self-intersection"),
    ("Too few points", "ring"),
    ("Ring is not closed", "ring"),
    ("Invalid Coordinate", "coordinate"),
)
"""What GEOS calls a fault, and its kind; everything else concerns how rings lie to each other."""


def validate(
    annotation: Annotation, *, schema: Schema | None = None, grid: Grid | None = None, times: int | None = None
) -> list[Problem]:
    """Everything that is wrong with one annotation; see `validate_all`."""
    return [problem for _, problem in validate_all([annotation], schema=schema, grid=grid, times=times)]


@np.errstate(over="ignore", invalid="ignore")  # coordinates near the largest number have areas beyond it
def validate_all(
    annotations: Sequence[Annotation],
    *,
    schema: Schema | None = None,
    grid: Grid | None = None,
    times: int | None = None,
) -> list[tuple[int, Problem]]:
    """Everything that is wrong with annotations of one image, as (position in the sequence, problem) in that order.

    Parameters
    ----------
    schema
        Label schema; without it labels and attributes are not checked.
    grid
        Finest grid of the image; without it frame and place are not checked.
    times
        Number of points in time of the image; without it times are not checked.
    """
    problems: list[tuple[int, Problem]] = []
    for k, annotation in enumerate(annotations):
        problems.extend((k, p) for p in _plain_problems(annotation, grid, times))
        if schema is not None:
            problems.extend((k, p) for p in _schema_problems(annotation, schema))
        problems.extend((k, p) for p in _shape_problems(annotation))
    shapeless = {k for k, p in problems if p.kind in ("dimension", "empty")}
    astray = {k for k, p in problems if p.kind == "frame"}
    finite = _check_planar(annotations, [k for k in range(len(annotations)) if k not in shapeless], problems)
    if grid is not None:
        here = [k for k in finite if k not in astray]
        problems.extend(
            _planar_outside(annotations, [k for k in here if isinstance(annotations[k].shape, _PLANAR)], grid)
        )
        others = [k for k in here if not isinstance(annotations[k].shape, _PLANAR)]
        problems.extend((k, p) for k in others for p in _outside(annotations[k].shape, grid))
    return sorted(problems, key=lambda item: item[0])


def _plain_problems(annotation: Annotation, grid: Grid | None, times: int | None) -> Iterator[Problem]:
    """What is wrong besides the shape and the schema."""
    # mostly it is the same object, and comparing two frames takes long
    if grid is not None and annotation.frame is not grid.frame and annotation.frame != grid.frame:
        message = f"coordinates are in {describe(annotation.frame)}, the image's are in {describe(grid.frame)}"
        yield Problem("frame", "frame", message)
    if not annotation.label.strip() or len(annotation.label) > 200:
        yield Problem("label", "label", "a label has 1 to 200 characters")
    if not ORIGIN.fullmatch(annotation.origin):
        yield Problem("value", "origin", f"{shown(annotation.origin)} is not manual, import or model:NAME@VERSION")
    if annotation.score is not None and not 0 <= annotation.score <= 1:
        yield Problem("value", "score", f"{annotation.score} is not between 0 and 1")
    if annotation.instance is not None and not 1 <= len(annotation.instance) <= 200:
        yield Problem("value", "instance", "the id of an instance has 1 to 200 characters")
    if annotation.t is not None and (annotation.t < 0 or (times is not None and annotation.t >= times)):
        there = "" if times is None else f"; the image has {times}"
        yield Problem("outside", "t", f"there is no point in time {annotation.t}{there}")
    if any(relation.to == annotation.id for relation in annotation.relations):
        yield Problem("circle", "relations", "an annotation is not related to itself")
    if annotation.attributes and not _is_json(annotation.attributes):
        yield Problem("attribute", "attributes", "attributes are JSON values, with finite numbers")


def _is_json(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes can be written as JSON and read back the same."""
    try:
        json.dumps(attributes, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return all(isinstance(name, str) for name in cast("Mapping[object, Any]", attributes))


def _schema_problems(annotation: Annotation, schema: Schema) -> Iterator[Problem]:
    """Unknown label, shape that it does not take, attributes and key points that do not fit it."""
    label = schema.find(annotation.label)
    if label is None:
        yield Problem("label", "label", f"{shown(annotation.label)} is not in the label schema")
        return
    if label.shapes and kind(annotation.shape) not in label.shapes:
        taken = ", ".join(label.shapes)
        yield Problem("shape", "shape", f"{label.name!r} is drawn as {taken}, not as {kind(annotation.shape)}")
    if label.attributes or annotation.attributes:
        yield from attribute_problems(label, annotation.attributes)
    if isinstance(annotation.shape, Keypoints) and label.skeleton is not None:
        due = label.skeleton.points
        if len(annotation.shape.points) != len(due) or annotation.shape.names not in ((), due):
            yield Problem("shape", "shape/points", f"{label.name!r} has the points {', '.join(due)}")


def _shape_problems(annotation: Annotation) -> Iterator[Problem]:
    """What is wrong with a shape by itself, except what is checked for all planar shapes at once."""
    shape, due = annotation.shape, frame_ndim(annotation.frame)
    found = ndim(shape)
    if found is not None and found != due:
        yield Problem("dimension", "shape", f"positions have {found} coordinates where the frame has {due}")
        return
    match shape:
        case Point() | MultiPoint() | Line() | Polygon() | PlanarContours():
            if shape.geometry.is_empty:
                yield Problem("empty", "geometry", "there are no coordinates")
            elif due == 3 and isinstance(shape, Polygon):
                yield Problem("dimension", "shape", "areas of a volume are contours on its planes, not polygons")
        case Box(minimum, maximum):
            if any(a == b for a, b in zip(minimum, maximum, strict=True)):
                yield Problem("zero-area", "shape", "the box has a side of length 0")
        case RotatedBox() | Cuboid():
            if min(shape.size) == 0:
                yield Problem("zero-area", "shape/size", "a side has length 0")
            if due == 2 and isinstance(shape, Cuboid):
                yield Problem("dimension", "shape", "cuboids lie in a volume")
        case Ellipse(_, radii):
            if min(radii) == 0:
                yield Problem("zero-area", "shape/radii", "a radius is 0")
        case Keypoints(points):
            if all(p is None for p in points):
                yield Problem("empty", "shape/points", "no key point has a place")
        case Mask():
            if not shape.chunks:
                yield Problem("empty", "shape", "the mask has no bit set")
            if shape.grid.frame != annotation.frame:
                yield Problem("grid", "shape", "the mask's grid is in another frame")
        case Tag(plane=plane):
            if plane is not None and due == 2:
                yield Problem("dimension", "shape/plane", "slices belong to a volume")


def _check_planar(
    annotations: Sequence[Annotation], sound: Sequence[int], problems: list[tuple[int, Problem]]
) -> list[int]:
    """Note faults of planar geometries; positions of the annotations whose coordinates are finite."""
    planar = [k for k in sound if isinstance(annotations[k].shape, (Point, MultiPoint, Line, Polygon, PlanarContours))]
    geometries = np.array([cast("Any", annotations[k].shape).geometry for k in planar], dtype=object)
    coordinates, owner = shapely.get_coordinates(geometries, include_z=True, return_index=True)
    # the third coordinate of a plane geometry reads as NaN
    flat = ~shapely.has_z(geometries)[owner] if len(owner) else np.zeros(0, dtype=bool)
    coordinates[flat, 2] = 0.0
    broken = {planar[i] for i in np.unique(owner[~np.isfinite(coordinates).all(axis=1)]).tolist()}
    problems.extend((k, Problem("coordinate", "geometry", "a coordinate is not finite")) for k in sorted(broken))
    rest = [(k, g) for k, g in zip(planar, geometries.tolist(), strict=True) if k not in broken]
    areas = [(k, g) for k, g in rest if isinstance(annotations[k].shape, Polygon)]
    _check_polygons(areas, problems)
    for k, geometry in rest:
        shape = annotations[k].shape
        if isinstance(shape, Line) and shapely.length(geometry) == 0:
            problems.append((k, Problem("zero-area", "geometry", "the line has length 0")))
        elif isinstance(shape, PlanarContours):
            problems.extend((k, p) for p in _contour_problems(shape))
    return [k for k in sound if k not in broken]


def _check_polygons(areas: "Sequence[tuple[int, Any]]", problems: list[tuple[int, Problem]]) -> None:
    """Note self-intersections, rings that lie wrongly to each other, and areas of zero."""
    geometries = np.array([g for _, g in areas], dtype=object)
    valid = shapely.is_valid(geometries)
    for i in np.flatnonzero(~valid).tolist():
        reason = str(shapely.is_valid_reason(geometries[i]))
        name = next((name for text, name in _REASONS if reason.startswith(text)), "topology")
        # GEOS calls a polygon that is only a line self-intersecting; what its author must hear is that it has no area
        if shapely.area(shapely.convex_hull(geometries[i])) == 0:
            name, reason = "zero-area", "the polygon has no area"
        problems.append((areas[i][0], Problem(name, "geometry", reason)))
    for i in np.flatnonzero(valid & (shapely.area(geometries) == 0)).tolist():
        problems.append((areas[i][0], Problem("zero-area", "geometry", "the polygon has no area")))


def _contour_problems(shape: PlanarContours) -> Iterator[Problem]:
    """Rings that are too short, open, not flat, without area, or crossing themselves."""
    for k, ring in enumerate(shape.rings):
        place = f"rings/{k}"
        if len(ring) < 4 or not np.array_equal(ring[0], ring[-1]):
            yield Problem("ring", place, "a ring has at least four positions, and its last repeats its first")
            continue
        normal, offset = ring_plane(ring)
        if not normal.any():
            yield _without_area(ring, place)
            continue
        leave = float(np.abs(ring @ normal - offset).max())
        if leave > FLATNESS * float(np.ptp(ring, axis=0).max()):
            yield Problem("not-planar", place, f"a vertex lies {leave:.3g} off the ring's plane")
        flat = np.delete(ring, int(np.argmax(np.abs(normal))), axis=1)
        if not shapely.is_simple(shapely.LinearRing(flat)):
            yield Problem("self-intersection", place, "the ring crosses or touches itself")


def _without_area(ring: "NDArray[np.float64]", place: str) -> Problem:
    """Fault of a ring whose signed area is zero: it is a line, or a figure eight whose halves cancel out."""
    spread = np.linalg.svd(ring - ring.mean(axis=0), compute_uv=False)
    if spread[1] <= FLATNESS * spread[0]:
        return Problem("zero-area", place, "the ring has no area")
    return Problem("self-intersection", place, "the ring crosses itself")


def _planar_outside(
    annotations: Sequence[Annotation], planar: Sequence[int], grid: Grid
) -> Iterator[tuple[int, Problem]]:
    """Those of some annotations with planar geometries that lie wholly outside the image; all at once."""
    if not planar:
        return
    geometries = np.array([cast("Any", annotations[k].shape).geometry for k in planar], dtype=object)
    points, owner = shapely.get_coordinates(geometries, include_z=grid.ndim == 3, return_index=True)
    index = grid.to_index(points)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    low, high = np.minimum.reduceat(index, starts), np.maximum.reduceat(index, starts)
    away = (high < 0).any(axis=1) | (low > np.asarray(grid.shape)).any(axis=1)
    if away.any():
        problem = _away(grid)
        yield from ((planar[k], problem) for k in owner[starts][away].tolist())


def _away(grid: Grid) -> Problem:
    """Problem of a geometry that lies wholly outside the image."""
    bounds = grid.world_bounds()
    spans = zip("xyz", bounds.minimum, bounds.maximum, strict=False)
    where = ", ".join(f"{axis} from {low:.9g} to {high:.9g}" for axis, low, high in spans)
    return Problem("outside", "geometry", f"it lies outside the image, which has {where}, in {grid.frame}")


def _outside(shape: Shape, grid: Grid) -> Iterator[Problem]:
    """Whether a shape lies wholly outside the image, in the image's own index space."""
    if isinstance(shape, Mask):
        if shape.grid != grid:
            yield Problem("grid", "shape", "the mask lies on another grid than the image's finest level")
        return
    if isinstance(shape, Tag):
        return
    geometry = outline(shape)
    points = shapely.get_coordinates(geometry, include_z=ndim(shape) == 3)
    if not len(points):
        return
    index = grid.to_index(points)
    if (index.max(axis=0) < 0).any() or (index.min(axis=0) > np.asarray(grid.shape)).any():
        yield _away(grid)

"""Mending shapes that a file gets wrong, where the user asks for it: each is told in the report."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from bigimage.formats.door import Report
from bigimage.model.annotation import Annotation
from bigimage.model.outline import ring_plane
from bigimage.model.shape import PlanarContours, Polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROSSING = "crossed or touched itself; it is now the areas that it enclosed, by the even-odd rule"
FLAT = "encloses no area"


def mended(annotations: Iterable[Annotation], report: Report) -> Iterator[Annotation]:
    """Annotations with sound areas; those without any area are left out, and both are told.

    A ring that crosses itself becomes the rings of what it encloses by the even-odd rule, so that it covers the same
    pixels as before in tools that fill without asking; parts that overlap are joined. Shapes that are sound are handed
    on as they are.
    """
    for annotation in annotations:
        shape = annotation.shape
        if isinstance(shape, Polygon):
            sound = _polygon(shape)
        elif isinstance(shape, PlanarContours):
            sound = _contours(shape)
        else:
            sound = shape
        if sound is None:
            report.lose("dropped", "geometry", FLAT, annotation.id)
            continue
        if sound is not shape:
            report.lose("approximated", "geometry", CROSSING, annotation.id)
            annotation = replace(annotation, shape=sound)
        yield annotation


def _polygon(shape: Polygon) -> Polygon | None:
    """A polygon with rings that do not cross; None without area. One with no finite place is left to validation."""
    geometry = shape.geometry
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return shape
    if shapely.is_valid(geometry):
        return shape if shapely.area(geometry) > 0 else None
    found = _areas(geometry)
    return None if found.is_empty else Polygon(found if len(found.geoms) > 1 else found.geoms[0])


def _areas(geometry: shapely.Geometry) -> shapely.MultiPolygon:
    """What a geometry encloses by the even-odd rule, without what has no area."""
    sound = shapely.make_valid(shapely.get_parts(geometry), method="linework")
    parts = [p for p in shapely.get_parts(shapely.get_parts(sound)) if p.geom_type == "Polygon"]
    joined = shapely.get_parts(shapely.union_all(parts))
    return shapely.MultiPolygon([p for p in joined if p.area > 0])


def _contours(shape: PlanarContours) -> PlanarContours | None:
    """Contours whose rings are simple; None when no ring has an area. Rings off their plane are left to validation."""
    rings = shape.rings
    if not all(np.isfinite(ring).all() for ring in rings):
        return shape
    found: list[NDArray[np.float64]] = []
    same = True
    for ring in rings:
        simple = _simple_rings(ring)
        same = same and len(simple) == 1 and simple[0] is ring
        found.extend(simple)
    if same:
        return shape
    return PlanarContours.of(found) if found else None


def _simple_rings(ring: "NDArray[np.float64]") -> "list[NDArray[np.float64]]":
    """Rings of what a ring encloses, on its plane: itself where it is simple, none where it has no area."""
    if len(ring) < 4:
        return []
    normal, offset = _plane(ring)
    if not normal.any():
        return []
    axis = int(np.argmax(np.abs(normal)))
    flat = np.delete(ring, axis, axis=1)
    if shapely.is_simple(shapely.LinearRing(flat)):
        return [ring]
    parts = _areas(shapely.Polygon(flat))
    outlines = [line for part in parts.geoms for line in (part.exterior, *part.interiors)]
    return [_lifted(shapely.get_coordinates(line), axis, normal, offset) for line in outlines]


def _plane(ring: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], float]":
    """Plane of a ring; of a figure eight, whose halves cancel out, that which lies closest to its vertices."""
    normal, offset = ring_plane(ring)
    if normal.any():
        return normal, offset
    centre = ring.mean(axis=0)
    _, spread, axes = np.linalg.svd(ring - centre)
    if spread[1] <= 1e-9 * spread[0]:
        return np.zeros(3), 0.0
    return axes[2], float(axes[2] @ centre)


def _lifted(
    flat: "NDArray[np.float64]", axis: int, normal: "NDArray[np.float64]", offset: float
) -> "NDArray[np.float64]":
    """Positions on a plane, from their coordinates without one axis."""
    others = np.delete(normal, axis)
    return np.insert(flat, axis, (offset - flat @ others) / normal[axis], axis=1)

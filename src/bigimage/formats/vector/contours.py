"""Shapes of a volume as contours in world coordinates, and what closed contours are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.formats.door import Context, Report
from bigimage.formats.vector.areas import one_ring, without_bridges
from bigimage.formats.vector.pages import lose_shape
from bigimage.formats.vector.solids import sections
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.outline import outline, ring_plane
from bigimage.model.shape import Box, Cuboid, Ellipse, Line, MultiPoint, PlanarContours, Point, RotatedBox, kind

ContourType = Literal["CLOSED_PLANAR", "OPEN_PLANAR", "OPEN_NONPLANAR", "POINT"]
FLAT = 1e-3
"""Millimetres by which the points of a planar contour may leave their plane."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contour:
    """One contour; closed ones do not repeat their first point."""

    type: ContourType
    points: Points
    """Shape (n, 3), LPS millimetres."""


def contours_of(annotation: Annotation, context: Context, report: Report, *, keyhole: bool) -> list[Contour] | None:
    """Contours of a shape; None for a shape that has none. Notes what is lost."""
    shape = annotation.shape
    match shape:
        case Point() | MultiPoint():
            return [Contour("POINT", p[None]) for p in shapely.get_coordinates(shape.geometry, include_z=True)]
        case Line():
            parts = [shapely.get_coordinates(p, include_z=True) for p in shapely.get_parts(shape.geometry)]
            return [Contour("OPEN_PLANAR" if _is_flat(p) else "OPEN_NONPLANAR", p) for p in parts]
        case PlanarContours():
            rings = shape.rings
        case Mask():
            if context.trace is None:
                lose_shape(annotation, report)
                return None
            report.lose("approximated", "mask", "written as the outlines of its slices", annotation.id)
            rings = _traced(shape, context)
        case RotatedBox() | Ellipse() if not (isinstance(shape, Ellipse) and len(shape.radii) == 3):
            report.lose("approximated", kind(shape), "written as a contour", annotation.id)
            rings = [shapely.get_coordinates(outline(shape), include_z=True)]
        case Box() | Cuboid() | Ellipse():
            return _solid(annotation.id, shape, context, report)
        case _:
            lose_shape(annotation, report)
            return None
    closed = _keyholes(rings) if keyhole else [ring[:-1] for ring in rings]
    return [Contour("CLOSED_PLANAR", ring) for ring in closed]


def _solid(id: UUID, shape: Box | Cuboid | Ellipse, context: Context, report: Report) -> list[Contour] | None:
    """Contours of a block or ellipsoid where slices cut it; None, and the report says why, where none does."""
    found = sections(shape, context.grid)
    if not found:
        report.lose("dropped", kind(shape), "no slice of the image cuts it, so it has no contour", id)
        return None
    report.lose("approximated", kind(shape), "written as contours where slices cut it", id)
    return [Contour("CLOSED_PLANAR", ring) for ring in found]


def _is_flat(points: Points) -> bool:
    """Whether points lie in a plane."""
    local = points - points.mean(axis=0)
    return len(points) < 4 or float(np.linalg.svd(local, compute_uv=False)[-1]) <= FLAT


def _traced(mask: Mask, context: Context) -> list[Points]:
    """Outlines of the slices of a mask, along the edges of voxels, through the centres of slices."""
    box = mask.box
    found: list[Points] = []
    if box is None or context.trace is None:
        return found
    for k in range(box.start[0], box.stop[0]):
        bits = mask.read(IndexBox((k, *box.start[1:]), (k + 1, *box.stop[1:])))[0]
        if not bits.any():
            continue
        flat = Grid.pixels(bits.shape, context.image)
        polygon = context.trace(Mask.of(flat, bits)).geometry
        for part in shapely.get_parts(polygon):
            for ring in (part.exterior, *part.interiors):
                xy = shapely.get_coordinates(ring)
                index = np.column_stack([np.full(len(xy), k + 0.5), xy[:, ::-1] + box.start[1:]])
                found.append(mask.grid.to_world(index))
    return found


def plane_axes(ring: Points) -> tuple[Points, Points, Points]:
    """Origin and two unit vectors (2, 3) of a ring's plane, and its normal; the ring ends where it begins."""
    normal, _ = ring_plane(ring)
    if not normal.any():
        normal = np.array([0.0, 0.0, 1.0])
    first = np.zeros(3)
    first[int(np.argmin(np.abs(normal)))] = 1.0
    u = np.cross(normal, first)
    u /= np.linalg.norm(u)
    return ring[0], np.stack([u, np.cross(normal, u)]), normal


def _planes(rings: Sequence[Points]) -> list[list[Points]]:
    """Rings by their planes."""
    groups: dict[tuple[float, ...], list[Points]] = {}
    for ring in rings:
        normal, offset = ring_plane(ring)
        groups.setdefault((*np.round(normal, 4).tolist(), round(offset, 3)), []).append(ring)
    return list(groups.values())


def _keyholes(rings: Sequence[Points]) -> list[Points]:
    """Rings without holes: each hole is joined to the ring around it by a channel without width."""
    found: list[Points] = []
    for group in _planes(rings):
        if len(group) == 1:
            found.append(group[0][:-1])
            continue
        origin, axes, _ = plane_axes(group[0])
        flat = [shapely.Polygon((ring - origin) @ axes.T) for ring in group]
        whole = flat[0]
        for one in flat[1:]:
            whole = shapely.symmetric_difference(whole, one)
        for part in shapely.get_parts(whole):
            if part.geom_type == "Polygon" and part.area > 0:
                found.append(one_ring(part) @ axes + origin)
    return found


def without_keyholes(points: Points) -> list[Points]:
    """Rings of a closed contour: itself, or where channels without width lead to holes, outline and holes apart.

    `points` has shape (n, 3) and does not repeat its first point.
    """
    ring = np.concatenate([points, points[:1]])
    if len(np.unique(points, axis=0)) == len(points):
        return [ring]
    origin, axes, _ = plane_axes(ring)
    flat = without_bridges((points - origin) @ axes.T)
    if not shapely.is_valid(flat) or flat.geom_type != "Polygon":
        return [ring]
    return [shapely.get_coordinates(r) @ axes + origin for r in (flat.exterior, *flat.interiors)]

"""Areas in the pixels of a page: outlines of whatever has an area, cut at the page's edges."""

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.formats.door import Context, Report
from bigimage.formats.vector.pages import Page
from bigimage.model.annotation import Annotation
from bigimage.model.outline import outline
from bigimage.model.shape import Box, Ellipse, Mask, Polygon, RotatedBox, kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = 1e-9
"""Part of an area by which it may differ through rounding."""


def area_of(annotation: Annotation, page: Page, context: Context, report: Report, *, cut: bool = True) -> Any:
    """Outline in pixels of a shape with an area; None for other shapes, and for what lies outside the page.

    Notes masks that were traced, and what was cut off.
    """
    shape = annotation.shape
    if isinstance(shape, Mask):
        if context.trace is None:
            return None
        shape = context.trace(shape)
        report.lose("approximated", "mask", "written as its outline", annotation.id)
    if not isinstance(shape, (Polygon, Box, RotatedBox, Ellipse)):
        return None
    geometry = outline(page.pixels.shape_of(shape))
    width, height = page.pixels.width, page.pixels.height
    if geometry is None or geometry.is_empty or not cut or _within(geometry.bounds, width, height):
        return geometry
    inside = shapely.intersection(geometry, shapely.box(0, 0, width, height))
    parts = [p for p in shapely.get_parts(inside) if p.geom_type == "Polygon" and p.area > 0]
    if not parts:
        return None
    if inside.area < geometry.area * (1 - TINY):
        report.lose("approximated", "edge", "cut off at the edge of the image", annotation.id)
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _within(bounds: Any, width: int, height: int) -> bool:
    """Whether bounds lie within a page."""
    low_x, low_y, high_x, high_y = bounds
    return low_x >= 0 and low_y >= 0 and high_x <= width and high_y <= height


def box_of(annotation: Annotation, page: Page, context: Context, report: Report) -> "NDArray[np.float64] | None":
    """Corners (low, high) of a shape's box in pixels, cut at the edges; None for shapes without an area."""
    geometry = area_of(annotation, page, context, report)
    if geometry is None:
        return None
    exact = isinstance(annotation.shape, Box) and isinstance(page.pixels.shape_of(annotation.shape), Box)
    if not exact and not isinstance(annotation.shape, Mask):
        report.lose("approximated", kind(annotation.shape), "written as its box", annotation.id)
    return np.asarray(geometry.bounds).reshape(2, 2)


def one_ring(polygon: Any) -> "NDArray[np.float64]":
    """Corners (n, 2) of a polygon as one ring, its holes joined to it by bridges without width."""
    # a hole that runs the other way takes its area away, however the whole ring is read
    polygon = shapely.orient_polygons(polygon)
    ring = shapely.get_coordinates(polygon.exterior)[:-1]
    holes = sorted((shapely.get_coordinates(h)[:-1] for h in polygon.interiors), key=lambda h: tuple(h.min(axis=0)))
    for hole in holes:
        apart = ((ring[:, None] - hole[None]) ** 2).sum(axis=2)
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        ring = np.concatenate([ring[: i + 1], hole[j:], hole[: j + 1], ring[i:]])
    return ring


def without_bridges(ring: "NDArray[np.float64]") -> Any:
    """Polygon of a ring; bridges to its holes, as `one_ring` makes them, are taken away. Others stay as they are."""
    polygon = shapely.Polygon(ring)
    if shapely.is_valid(polygon):
        return polygon
    parts = [p for p in shapely.get_parts(shapely.make_valid(polygon)) if p.geom_type == "Polygon"]
    found: Any = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts) if parts else polygon
    same = abs(found.area - abs(polygon.area)) <= 1e-6 * max(found.area, 1e-300)
    return found if same and len(parts) == 1 else polygon

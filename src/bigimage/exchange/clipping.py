"""Annotations cut to a part of their image, as far as enough of them is left."""

from dataclasses import replace
from typing import Any, assert_never

import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.outline import outline
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
)


def clipped(annotation: Annotation, grid: Grid, box: IndexBox, visible: float) -> Annotation | None:
    """An annotation as a box of a raster shows it; None when less than `visible` of its area or length is there.

    What lies within is left as it is. Areas that are cut become polygons, but for boxes along the pixels.
    """
    shape = _cut(annotation.shape, grid, box, visible)
    if shape is None or shape is annotation.shape:
        return None if shape is None else annotation
    return replace(annotation, shape=shape)


def _cut(shape: Shape, grid: Grid, box: IndexBox, visible: float) -> Shape | None:
    """Part of a shape within a box."""
    window = shapely.Polygon(grid.crop(box).corners()[[0, 1, 3, 2]])
    match shape:
        case Mask():
            return _cut_mask(shape, box, visible)
        case Polygon() | Box() | RotatedBox() | Ellipse():
            return _cut_area(shape, window, visible)
        case Line():
            return _cut_line(shape, window, visible)
        case Point():
            return shape if shapely.covers(window, shape.geometry) else None
        case MultiPoint():
            kept: Any = shapely.intersection(shape.geometry, window)
            if kept.is_empty:
                return None
            return MultiPoint(kept if kept.geom_type == "MultiPoint" else shapely.MultiPoint([kept]))
        case Keypoints():
            return _cut_keypoints(shape, window)
        case Tag() | Cuboid() | PlanarContours():
            return None
    assert_never(shape)


def _cut_mask(mask: Mask, box: IndexBox, visible: float) -> Mask | None:
    """Bits of a mask within a box."""
    bits = mask.read(box)
    count = int(bits.sum())
    if not count or count < visible * mask.count:
        return None
    return Mask.of(mask.grid, bits, box.start)


def _cut_area(shape: Polygon | Box | RotatedBox | Ellipse, window: Any, visible: float) -> Shape | None:
    """Part of an area within a window."""
    whole: Any = outline(shape)
    if shapely.covers(window, whole):
        return shape
    parts = [p for p in shapely.get_parts(shapely.intersection(whole, window)) if p.geom_type == "Polygon"]
    area = sum(p.area for p in parts)
    if area <= 0 or area < visible * whole.area:
        return None
    geometry: Any = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    if isinstance(shape, Box) and abs(shapely.box(*geometry.bounds).area - area) <= 1e-9 * area:
        low_x, low_y, high_x, high_y = geometry.bounds
        return Box((low_x, low_y), (high_x, high_y))
    return Polygon(geometry)


def _cut_line(shape: Line, window: Any, visible: float) -> Shape | None:
    """Part of a line within a window."""
    whole: Any = shape.geometry
    if shapely.covers(window, whole):
        return shape
    parts = [p for p in shapely.get_parts(shapely.intersection(whole, window)) if p.geom_type == "LineString"]
    length = sum(p.length for p in parts)
    if length <= 0 or length < visible * whole.length:
        return None
    return Line(parts[0] if len(parts) == 1 else shapely.MultiLineString(parts))


def _cut_keypoints(shape: Keypoints, window: Any) -> Keypoints | None:
    """Key points of which those outside a window are not labelled."""
    inside = [p is not None and bool(shapely.intersects_xy(window, *p[:2])) for p in shape.points]
    if not any(inside):
        return None
    if all(i or p is None for i, p in zip(inside, shape.points, strict=True)):
        return shape
    points = tuple(p if i else None for p, i in zip(shape.points, inside, strict=True))
    flags = tuple(f if i else 0 for f, i in zip(shape.visibility, inside, strict=True))
    return replace(shape, points=points, visibility=flags)

"""Plain outlines: the geometry that stands for a shape where only points, lines and polygons are known."""

from typing import TYPE_CHECKING, assert_never

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
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
    half_axes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARC_STEPS = 64
"""Corners of the polygon that stands for an ellipse; it lies within 0.13 % of the radius."""
_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
"""Corners of a block's faces; corner k lies on the far side of axis i where bit 2-i of k is set."""


def outline(shape: Shape) -> BaseGeometry | None:
    """Plain geometry of a shape in its frame; None for a tag and for shapes without a position.

    Points, lines and polygons are exact. An ellipse becomes a polygon, a block its six faces, an ellipsoid its three
    principal ellipses, key points the points that were placed, contours polygons with their holes, a mask the
    border of its box.
    """
    match shape:
        case Point() | MultiPoint() | Line() | Polygon():
            return shape.geometry
        case Box(minimum, maximum):
            return _box(np.asarray(minimum), np.asarray(maximum))
        case RotatedBox():
            u, v = half_axes(shape)
            c = np.asarray(shape.center)
            return shapely.Polygon([c - u - v, c + u - v, c + u + v, c - u + v])
        case Ellipse():
            return _ellipse(np.asarray(shape.center), half_axes(shape))
        case Keypoints(points):
            placed = [p for p in points if p is not None]
            return shapely.MultiPoint(placed) if placed else None
        case Cuboid():
            signs = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
            return _faces(np.asarray(shape.center) + signs @ half_axes(shape))
        case PlanarContours():
            return _nested(shape.rings)
        case Mask():
            box = shape.box
            return None if box is None else box_outline(shape.grid, box)
        case Tag():
            return None
    assert_never(shape)


def _box(low: "NDArray[np.float64]", high: "NDArray[np.float64]") -> BaseGeometry:
    """Rectangle, or the six faces of a block."""
    if len(low) == 2:
        return shapely.box(low[0], low[1], high[0], high[1])
    ends = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1)
    return _faces(ends.reshape(-1, 3))


def _faces(corners: "NDArray[np.float64]") -> shapely.MultiPolygon:
    """Six faces of a block from its eight corners."""
    return shapely.MultiPolygon([shapely.Polygon(corners[list(face)]) for face in _FACES])


def _ellipse(center: "NDArray[np.float64]", axes: "NDArray[np.float64]") -> BaseGeometry:
    """Polygon of an ellipse, or the three principal ellipses of an ellipsoid."""
    turn = np.linspace(0, 2 * np.pi, ARC_STEPS, endpoint=False)
    pairs = [(0, 1)] if len(axes) == 2 else [(0, 1), (1, 2), (2, 0)]
    parts = [
        shapely.Polygon(center + np.cos(turn)[:, None] * axes[i] + np.sin(turn)[:, None] * axes[j]) for i, j in pairs
    ]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def box_outline(grid: Grid, box: IndexBox) -> BaseGeometry:
    """Border in the world of a box of a grid's indexes: a quadrilateral, or the six faces of a block."""
    corners = grid.crop(box).corners()
    return shapely.Polygon(corners[[0, 1, 3, 2]]) if grid.ndim == 2 else _faces(corners)


def ring_plane(ring: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], float]":
    """Unit normal (Newell's method) and offset of a ring's plane, the normal's largest part positive.

    `ring` has shape (n, 3) and ends where it begins. The normal of a ring without area is zero.
    """
    centre = ring[:-1].mean(axis=0)
    local = ring - centre
    normal = np.cross(local[:-1], local[1:]).sum(axis=0)
    length = float(np.linalg.norm(normal))
    # rounding leaves the normal of a straight ring tiny, not zero
    if length <= 1e-12 * float((local**2).sum()):
        return np.zeros(3), 0.0
    normal = normal / length
    if normal[int(np.argmax(np.abs(normal)))] < 0:
        normal = -normal
    return normal, float(centre @ normal)


def _nested(rings: "list[NDArray[np.float64]]") -> shapely.MultiPolygon:
    """Polygons from rings by the even-odd rule on each plane; rings without area are left out."""
    planes: dict[tuple[float, ...], list[NDArray[np.float64]]] = {}
    for ring in rings:
        normal, offset = ring_plane(ring)
        if normal.any():
            planes.setdefault((*np.round(normal, 3).tolist(), round(offset, 2)), []).append(ring)
    parts: list[shapely.Polygon] = []
    for key, group in planes.items():
        parts.extend(_even_odd(group, drop=int(np.argmax(np.abs(key[:3])))))
    return shapely.MultiPolygon(parts)


def _even_odd(rings: "list[NDArray[np.float64]]", *, drop: int) -> list[shapely.Polygon]:
    """Polygons with holes from the rings of one plane, told apart by how many rings hold each of them."""
    if len(rings) == 1:
        return [shapely.Polygon(rings[0])]
    flat = [shapely.Polygon(np.delete(ring, drop, axis=1)) for ring in rings]
    order = sorted(range(len(rings)), key=lambda i: -flat[i].area)
    first = [shapely.Point(np.delete(ring[0], drop)) for ring in rings]
    depth: dict[int, int] = {}
    parent: dict[int, int] = {}
    for rank, i in enumerate(order):
        holders = [j for j in order[:rank] if shapely.covers(flat[j], first[i]) and not _equal(flat[i], flat[j])]
        depth[i] = len(holders)
        # the smallest shell around it; rings that cross have no such order, and the last shell is as good as any
        parent[i] = next((j for j in reversed(holders) if depth[j] % 2 == 0), i)
    shells = [i for i in order if depth[i] % 2 == 0]
    holes: dict[int, list[NDArray[np.float64]]] = {i: [] for i in shells}
    for i in order:
        if depth[i] % 2:
            holes[parent[i]].append(rings[i])
    return [shapely.Polygon(rings[i], holes[i]) for i in shells]


def _equal(first: shapely.Polygon, second: shapely.Polygon) -> bool:
    """Whether two rings are the same: such a pair is no shell with a hole."""
    return bool(shapely.equals_exact(first, second, tolerance=0.0, normalize=True))

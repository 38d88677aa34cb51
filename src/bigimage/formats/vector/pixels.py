"""Shapes in the pixels of an image and back: (x, y) = (column, row), corner based, as labelling tools count them."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
import shapely

from bigimage.errors import Unsupported
from bigimage.geometry.grid import Grid
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
    half_axes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SKEW = 1e-9
"""Cosine up to which two sides count as perpendicular."""


def require_flat(grid: Grid, format: str) -> None:
    """Raise Unsupported for a volume."""
    if grid.ndim != 2:
        raise Unsupported(f"{format} is about flat images; export chips of a volume's slices instead")


@dataclass(frozen=True)
class Pixels:
    """The pixels of a raster's grid, or of a part of it."""

    grid: Grid

    @property
    def width(self) -> int:
        """Columns."""
        return self.grid.shape[1]

    @property
    def height(self) -> int:
        """Rows."""
        return self.grid.shape[0]

    def of_world(self, points: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Pixel coordinates (n, 2) of positions in the grid's frame."""
        return self.grid.to_index(points)[..., ::-1]

    def to_world(self, points: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Positions in the grid's frame of pixel coordinates (n, 2)."""
        return self.grid.to_world(np.asarray(points, dtype=np.float64)[..., ::-1])

    def shape_of(self, shape: Shape) -> Shape:
        """A shape of the frame in pixel coordinates; where the grid is sheared, boxes become polygons.

        Masks and tags stay as they are.
        """
        return _mapped(shape, self.of_world)

    def shape_in_world(self, shape: Shape) -> Shape:
        """Inverse of `shape_of`."""
        return _mapped(shape, self.to_world)


def _mapped(shape: Shape, move: Any) -> Shape:
    """A plane shape under an affine map of its positions."""
    match shape:
        case Point() | MultiPoint() | Line() | Polygon():
            return replace(shape, geometry=shapely.transform(shape.geometry, move))
        case Box(minimum, maximum):
            return _mapped_box(np.asarray(minimum), np.asarray(maximum), move)
        case RotatedBox(center):
            u, v = half_axes(shape)
            return _mapped_rectangle(np.asarray(center), u, v, move)
        case Ellipse(center):
            return _mapped_ellipse(np.asarray(center), half_axes(shape), move)
        case Keypoints(points):
            moved = tuple(None if p is None else tuple(move(np.array([p]))[0].tolist()) for p in points)
            return replace(shape, points=moved)
        case Mask() | Tag():
            return shape
        case Cuboid() | PlanarContours():
            raise Unsupported("blocks and contours lie in volumes, not in a flat image")
    assert_never(shape)


def _mapped_box(low: "NDArray[np.float64]", high: "NDArray[np.float64]", move: Any) -> Shape:
    """A box; a turned grid makes a rotated box of it, a sheared one a polygon."""
    corners = move(np.array([low, [high[0], low[1]], high, [low[0], high[1]]]))
    u, v = corners[1] - corners[0], corners[3] - corners[0]
    if (u[1] == 0 and v[0] == 0) or (u[0] == 0 and v[1] == 0):
        return Box(tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist()))
    return _mapped_rectangle(
        (low + high) / 2, (np.array([high[0] - low[0], 0]) / 2), np.array([0, high[1] - low[1]]) / 2, move
    )


def _mapped_rectangle(
    center: "NDArray[np.float64]", u: "NDArray[np.float64]", v: "NDArray[np.float64]", move: Any
) -> Shape:
    """A rectangle by its centre and half sides."""
    at, a, b = move(np.array([center, center + u, center + v]))
    a, b = a - at, b - at
    length, other = float(np.hypot(*a)), float(np.hypot(*b))
    if abs(float(a @ b)) > _SKEW * length * other:
        return Polygon(shapely.Polygon([at - a - b, at + a - b, at + a + b, at - a + b]))
    return RotatedBox(tuple(at.tolist()), (2 * length, 2 * other), _degrees(a))


def _mapped_ellipse(center: "NDArray[np.float64]", axes: "NDArray[np.float64]", move: Any) -> Shape:
    """An ellipse; where its axes do not stay perpendicular, by those of its image."""
    at, a, b = move(np.array([center, center + axes[0], center + axes[1]]))
    a, b = a - at, b - at
    radii = (float(np.hypot(*a)), float(np.hypot(*b)))
    if abs(float(a @ b)) > _SKEW * radii[0] * radii[1]:
        turned, lengths, _ = np.linalg.svd(np.stack([a, b], axis=1))
        return Ellipse(tuple(at.tolist()), (float(lengths[0]), float(lengths[1])), _degrees(turned[:, 0]))
    return Ellipse(tuple(at.tolist()), radii, _degrees(a))


def _degrees(vector: "NDArray[np.float64]") -> float:
    """Direction of a vector in degrees from +x towards +y."""
    return math.degrees(math.atan2(float(vector[1]), float(vector[0])))

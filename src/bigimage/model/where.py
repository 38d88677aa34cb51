"""Where-clauses: which annotations are asked for, besides their place."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, assert_never
from uuid import UUID

import numpy as np
import shapely

from bigimage.errors import InputError
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
    Position,
    RotatedBox,
    Shape,
    Tag,
    half_axes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slab:
    """A plane of a volume with a thickness: what one slice shows."""

    point: Position
    """Any point on the middle plane."""
    normal: Position
    """Unit vector across the plane."""
    thickness: float
    """Full thickness; both border planes belong to the slab."""

    def __post_init__(self) -> None:
        if len(self.point) != 3 or len(self.normal) != 3:
            raise InputError("a slab is given by a point and a normal of three coordinates each")
        if abs(float(np.linalg.norm(self.normal)) - 1.0) > 1e-6 or self.thickness < 0:
            raise InputError("a slab takes a normal of length 1 and a thickness that is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What annotations must have in common; what is None or empty asks for nothing."""

    labels: frozenset[str] | None = None
    """Names as stored; see `Schema.names` for those of a label with all its former and narrower ones."""
    authors: frozenset[str] | None = None
    """Who made the first version."""
    shapes: frozenset[str] | None = None
    """Kinds, such as `polygon`."""
    origins: frozenset[str] | None = None
    ids: frozenset[UUID] | None = None
    instance: str | None = None
    t: int | None = None
    """Those of this point in time and those of all times."""
    since: datetime | None = None
    """Last stored at or after this moment."""
    until: datetime | None = None
    """Last stored before this moment."""
    min_size: float | None = None
    """Boxes at least this long along some axis."""
    slab: Slab | None = None
    """Touching this plane of a volume."""


def touches(shape: Shape, slab: Slab) -> bool:
    """Whether a shape of a volume touches a slab; a mask by its box, contours ring by ring."""
    normal = np.asarray(slab.normal)
    middle, half = float(np.asarray(slab.point) @ normal), slab.thickness / 2
    low, high = _extents(shape, normal)
    # rounding must not lose what lies exactly on the border
    slack = 1e-9 * (1.0 + abs(middle))
    return bool(((low <= middle + half + slack) & (high >= middle - half - slack)).any())


def _extents(shape: Shape, normal: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Lowest and highest positions along a normal of each connected part of a shape."""
    match shape:
        case Point() | MultiPoint() | Line() | Polygon() | PlanarContours():
            parts = shapely.get_parts(shape.geometry)
            points, owner = shapely.get_coordinates(parts, include_z=True, return_index=True)
            return _ranges(points @ normal, owner, len(parts))
        case Box(minimum, maximum):
            low, high = np.asarray(minimum), np.asarray(maximum)
            return _about((low + high) / 2, float((high - low) / 2 @ np.abs(normal)), normal)
        case RotatedBox(center) | Cuboid(center):
            return _about(np.asarray(center), float(np.abs(half_axes(shape) @ normal).sum()), normal)
        case Ellipse(center):
            return _about(np.asarray(center), float(np.linalg.norm(half_axes(shape) @ normal)), normal)
        case Keypoints(points):
            depth = np.array([np.asarray(p) @ normal for p in points if p is not None])
            return depth, depth
        case Mask():
            box = shape.box
            if box is None:
                return np.zeros(0), np.zeros(0)
            depth = shape.grid.crop(box).corners() @ normal
            return depth.min(keepdims=True), depth.max(keepdims=True)
        case Tag():
            return np.zeros(0), np.zeros(0)
    assert_never(shape)


def _ranges(
    depth: "NDArray[np.float64]", owner: "NDArray[np.int64]", count: int
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Lowest and highest value of each owner."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, owner, depth)
    np.maximum.at(high, owner, depth)
    return low, high


def _about(
    center: "NDArray[np.float64]", reach: float, normal: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Range of one part that reaches equally far to both sides of a centre."""
    middle = float(center @ normal)
    return np.array([middle - reach]), np.array([middle + reach])

"""Shapes: what an annotation outlines, in the world coordinates of its frame: (x, y) or (x, y, z).

Planar shapes hold shapely geometry as it is. Frames are not repeated here: an annotation says which one its shape
is in. Every place that must know all shapes matches over `Shape` and ends in `assert_never`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.model.mask import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

Position = tuple[float, ...]
"""(x, y) or (x, y, z)."""
Quaternion = tuple[float, float, float, float]
"""Unit quaternion (w, x, y, z)."""
Rotation = float | Quaternion
"""In two dimensions degrees from +x towards +y, in three a unit quaternion."""
PlaneName = Literal["axial", "coronal", "sagittal"]
NO_TURN: Quaternion = (1.0, 0.0, 0.0, 0.0)


def _require_geometry(geometry: shapely.Geometry, *types: type[shapely.Geometry]) -> None:
    """Raise InputError unless a geometry is of one of the types; a linear ring is no line, WKB would not keep it."""
    if type(geometry) not in types:
        raise InputError(
            f"this shape takes a {' or '.join(t.__name__ for t in types)}, not a {type(geometry).__name__}"
        )


def _require_numbers(what: str, values: Sequence[float], *lengths: int) -> None:
    """Raise InputError unless there are as many finite numbers as one of `lengths`."""
    if len(values) not in lengths or not all(np.isfinite(values)):
        raise InputError(f"{what} takes {' or '.join(map(str, lengths))} finite numbers, not {tuple(values)}")


def _require_rotation(rotation: Rotation, ndim: int) -> None:
    """Raise InputError unless a rotation is degrees in 2-D, a unit quaternion in 3-D."""
    if ndim == 2:
        if not isinstance(rotation, (int, float)) or not np.isfinite(rotation):
            raise InputError(f"a rotation in two dimensions is an angle in degrees, not {rotation}")
        return
    if not isinstance(rotation, tuple):
        raise InputError(f"a rotation in three dimensions is a quaternion (w, x, y, z), not {rotation}")
    _require_numbers("a quaternion", rotation, 4)
    if abs(sum(v * v for v in rotation) - 1.0) > 1e-6:
        raise InputError(f"quaternion {rotation} is not of length 1")


@dataclass(frozen=True, slots=True)
class Point:
    """One position."""

    geometry: shapely.Point

    def __post_init__(self) -> None:
        _require_geometry(self.geometry, shapely.Point)


@dataclass(frozen=True, slots=True)
class MultiPoint:
    """Several positions that are one object, such as a cluster of cells."""

    geometry: shapely.MultiPoint

    def __post_init__(self) -> None:
        _require_geometry(self.geometry, shapely.MultiPoint)


@dataclass(frozen=True, slots=True)
class Line:
    """An open line or several: a road, a vessel."""

    geometry: shapely.LineString | shapely.MultiLineString

    def __post_init__(self) -> None:
        _require_geometry(self.geometry, shapely.LineString, shapely.MultiLineString)


@dataclass(frozen=True, slots=True)
class Polygon:
    """An area of the plane, with holes and several parts where needed. In a volume, areas are `PlanarContours`."""

    geometry: shapely.Polygon | shapely.MultiPolygon

    def __post_init__(self) -> None:
        _require_geometry(self.geometry, shapely.Polygon, shapely.MultiPolygon)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle or block whose sides run along the axes of the frame."""

    minimum: Position
    maximum: Position

    def __post_init__(self) -> None:
        _require_numbers("the minimum of a box", self.minimum, 2, 3)
        _require_numbers("the maximum of a box", self.maximum, len(self.minimum))
        if any(a > b for a, b in zip(self.minimum, self.maximum, strict=True)):
            raise InputError(f"box {self.minimum}…{self.maximum} is reversed")


@dataclass(frozen=True, slots=True)
class RotatedBox:
    """A turned rectangle, in the plane or lying anywhere in a volume."""

    center: Position
    size: tuple[float, float]
    """Full lengths along the rectangle's own two axes."""
    rotation: Rotation = 0.0
    """Turns +x and +y (and +z, its normal) into the rectangle's own axes."""

    def __post_init__(self) -> None:
        _require_numbers("the centre of a rotated box", self.center, 2, 3)
        _require_numbers("the size of a rotated box", self.size, 2)
        _require_rotation(self.rotation, len(self.center))
        if min(self.size) < 0:
            raise InputError(f"size {self.size} of a rotated box is negative")


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse, in the plane or lying anywhere in a volume; with three radii an ellipsoid."""

    center: Position
    radii: tuple[float, ...]
    """Semi-axes: two, or three for an ellipsoid."""
    rotation: Rotation = 0.0
    """Turns +x and +y (and +z) into the ellipse's own axes."""

    def __post_init__(self) -> None:
        _require_numbers("the centre of an ellipse", self.center, 2, 3)
        _require_numbers("an ellipse's radii", self.radii, *((2,) if len(self.center) == 2 else (2, 3)))
        _require_rotation(self.rotation, len(self.center))
        if min(self.radii) < 0:
            raise InputError(f"radii {self.radii} of an ellipse are negative")


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Named points of a skeleton."""

    points: tuple[Position | None, ...]
    """Position of each point; None where it was not labelled."""
    visibility: tuple[int, ...]
    """COCO's flags: 0 not labelled, 1 labelled but hidden, 2 visible."""
    names: tuple[str, ...] = ()
    """Name of each point; empty when the label's schema names them."""
    edges: tuple[tuple[int, int], ...] = ()
    """Pairs of points that a viewer joins."""

    def __post_init__(self) -> None:
        n = len(self.points)
        placed = [p for p in self.points if p is not None]
        for point in placed:
            _require_numbers("a key point", point, 2, 3)
        if len({len(p) for p in placed}) > 1:
            raise InputError("key points mix two and three coordinates")
        if len(self.visibility) != n or (self.names and len(self.names) != n):
            raise InputError(f"{n} key points need as many visibility flags, and as many names or none")
        for point, flag in zip(self.points, self.visibility, strict=True):
            if flag not in (0, 1, 2) or (flag == 0) != (point is None):
                raise InputError("a key point without a place has visibility 0, one with a place 1 or 2")
        if any(not 0 <= i < n for edge in self.edges for i in edge):
            raise InputError(f"an edge names a key point beyond the {n} that there are")


@dataclass(frozen=True, slots=True)
class Cuboid:
    """A turned block."""

    center: Position
    size: tuple[float, float, float]
    """Full lengths along the block's own three axes."""
    rotation: Quaternion = NO_TURN
    """Turns +x, +y and +z into the block's own axes."""

    def __post_init__(self) -> None:
        _require_numbers("the centre of a cuboid", self.center, 3)
        _require_numbers("the size of a cuboid", self.size, 3)
        _require_rotation(self.rotation, 3)
        if min(self.size) < 0:
            raise InputError(f"size {self.size} of a cuboid is negative")


@dataclass(frozen=True, slots=True)
class PlanarContours:
    """Closed rings on planes of a volume. On one plane the even-odd rule holds: a ring within a ring is a hole."""

    geometry: shapely.MultiLineString
    """Rings as lines in (x, y, z) whose last vertex repeats the first."""

    def __post_init__(self) -> None:
        _require_geometry(self.geometry, shapely.MultiLineString)

    @classmethod
    def of(cls, rings: "Sequence[NDArray[np.float64]]") -> "PlanarContours":
        """Contours from arrays of shape (n, 3), each closed here when its last vertex does not repeat the first."""
        lines = [shapely.LineString(_closed(np.asarray(ring, dtype=np.float64))) for ring in rings]
        return cls(shapely.MultiLineString(lines))

    @property
    def rings(self) -> "list[NDArray[np.float64]]":
        """Vertices of each ring, shape (n, 3), the last equal to the first."""
        return [shapely.get_coordinates(line, include_z=True) for line in self.geometry.geoms]


@dataclass(frozen=True, slots=True)
class Tag:
    """A statement without an outline: about the whole image, one of its regions, or one slice of a volume."""

    region: str | None = None
    """Id of the region it is about."""
    plane: PlaneName | None = None
    """Plane of the slice it is about."""
    index: int | None = None
    """Index of that slice, counted as planes are served."""

    def __post_init__(self) -> None:
        if (self.plane is None) != (self.index is None):
            raise InputError("a tag on a slice names both its plane and its index")
        if self.plane is not None and self.plane not in ("axial", "coronal", "sagittal"):
            raise InputError(f"{self.plane!r} is not one of the planes axial, coronal and sagittal")
        if self.plane is not None and self.region is not None:
            raise InputError("a tag is about a region or about a slice, not both")
        if self.index is not None and self.index < 0:
            raise InputError(f"slice index {self.index} is negative")


Planar = Point | MultiPoint | Line | Polygon | PlanarContours
"""Shapes that are a shapely geometry."""
Shape = Planar | Box | RotatedBox | Ellipse | Keypoints | Cuboid | Mask | Tag

KINDS: dict[str, type[Shape]] = {
    "point": Point,
    "multipoint": MultiPoint,
    "line": Line,
    "polygon": Polygon,
    "box": Box,
    "rotated-box": RotatedBox,
    "ellipse": Ellipse,
    "keypoints": Keypoints,
    "cuboid": Cuboid,
    "contours": PlanarContours,
    "mask": Mask,
    "tag": Tag,
}
"""Name of each shape, as label schemas and `shape` members write it."""
_NAMES: dict[type[Shape], str] = {cls: name for name, cls in KINDS.items()}


def kind(shape: Shape) -> str:
    """Name of a shape's kind, a key of `KINDS`."""
    return _NAMES[type(shape)]


def ndim(shape: Shape) -> int | None:
    """Number of coordinates of a shape's positions; None where it has no position."""
    match shape:
        case Point() | MultiPoint() | Line() | Polygon() | PlanarContours():
            return None if shape.geometry.is_empty else int(shapely.get_coordinate_dimension(shape.geometry))
        case Box():
            return len(shape.minimum)
        case RotatedBox() | Ellipse() | Cuboid():
            return len(shape.center)
        case Keypoints():
            return next((len(p) for p in shape.points if p is not None), None)
        case Mask():
            return shape.grid.ndim
        case Tag():
            return None
    assert_never(shape)


def own_axes(rotation: Rotation) -> "NDArray[np.float64]":
    """Unit vectors of a turned shape's own axes, one per row; shape (2, 2) or (3, 3)."""
    if isinstance(rotation, tuple):
        w, x, y, z = rotation
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
                [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
                [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
    # whole quarter turns stay exact
    turn = np.deg2rad(rotation)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    if rotation % 90 == 0:
        cos, sin = float(round(cos)), float(round(sin))
    return np.array([[cos, sin], [-sin, cos]])


def half_axes(shape: RotatedBox | Ellipse | Cuboid) -> "NDArray[np.float64]":
    """Vectors from the centre along each of the shape's own axes to its border, one per row."""
    lengths = np.asarray(shape.radii if isinstance(shape, Ellipse) else shape.size, dtype=np.float64)
    if not isinstance(shape, Ellipse):
        lengths = lengths / 2
    return own_axes(shape.rotation)[: len(lengths)] * lengths[:, None]


def bounds(shape: Shape) -> tuple[Position, Position] | None:
    """Smallest axis-parallel box (minimum, maximum) of a shape in its frame; None for a shape without positions."""
    match shape:
        case Point() | MultiPoint() | Line() | Polygon() | PlanarContours():
            return _bounds_of(shapely.get_coordinates(shape.geometry, include_z=shape.geometry.has_z))
        case Box(minimum, maximum):
            return minimum, maximum
        case RotatedBox() | Cuboid():
            return _around(shape.center, np.abs(half_axes(shape)).sum(axis=0))
        case Ellipse():
            return _around(shape.center, np.sqrt((half_axes(shape) ** 2).sum(axis=0)))
        case Keypoints(points):
            placed = [p for p in points if p is not None]
            return _bounds_of(np.asarray(placed)) if placed else None
        case Mask():
            box = shape.box
            return None if box is None else _bounds_of(shape.grid.crop(box).corners())
        case Tag():
            return None
    assert_never(shape)


def _closed(ring: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Ring with its first vertex repeated at the end. Raises InputError unless its shape is (n >= 3, 3)."""
    if ring.ndim != 2 or ring.shape[1] != 3 or len(ring) < 3:
        raise InputError(f"a contour is an array of at least three (x, y, z) vertices, not of shape {ring.shape}")
    return ring if np.array_equal(ring[0], ring[-1]) else np.concatenate([ring, ring[:1]])


def _bounds_of(points: "NDArray[np.float64]") -> tuple[Position, Position] | None:
    """Minimum and maximum of points of shape (n, 2) or (n, 3); None when there are none."""
    if not len(points):
        return None
    low: list[float] = points.min(axis=0).tolist()
    high: list[float] = points.max(axis=0).tolist()
    return tuple(low), tuple(high)


def _around(center: Position, reach: "NDArray[np.float64]") -> tuple[Position, Position]:
    """Box that reaches `reach` from a centre to both sides."""
    low: list[float] = (np.asarray(center) - reach).tolist()
    high: list[float] = (np.asarray(center) + reach).tolist()
    return tuple(low), tuple(high)

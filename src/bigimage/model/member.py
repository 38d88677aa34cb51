"""The `shape` member: what GeoJSON's geometries cannot say about a shape, as a plain dict, both ways.

Its coordinates are in the image's own frame, whatever CRS the geometry beside it is in, so no precision and no
meaning is lost in a reprojection.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask, from_rle, to_rle
from bigimage.model.problem import Problem, shown
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
    Quaternion,
    RotatedBox,
    Shape,
    Tag,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = Mapping[str, Any]


def member_of(shape: Shape) -> dict[str, Any] | None:
    """The `shape` member of a shape; None where its geometry says everything."""
    match shape:
        case Point() | MultiPoint() | Line() | Polygon():
            return None
        case Box(minimum, maximum):
            return {"type": "box", "minimum": list(minimum), "maximum": list(maximum)}
        case RotatedBox(center, size, rotation) | Cuboid(center, size, rotation):
            name = "cuboid" if isinstance(shape, Cuboid) else "rotated-box"
            return {"type": name, "center": list(center), "size": list(size), "rotation": _plain(rotation)}
        case Ellipse(center, radii, rotation):
            return {"type": "ellipse", "center": list(center), "radii": list(radii), "rotation": _plain(rotation)}
        case Keypoints():
            return _keypoints_member(shape)
        case PlanarContours():
            return {"type": "contours", "rings": [ring.tolist() for ring in shape.rings]}
        case Mask():
            return _mask_member(shape)
        case Tag(region, plane, index):
            parts = {"region": region, "plane": plane, "index": index}
            return {"type": "tag", **{k: v for k, v in parts.items() if v is not None}}


def _plain(rotation: float | Quaternion) -> float | list[float]:
    """Rotation as JSON."""
    return list(rotation) if isinstance(rotation, tuple) else rotation


def _keypoints_member(shape: Keypoints) -> dict[str, Any]:
    """Member of key points; names and edges only where there are any."""
    member: dict[str, Any] = {
        "type": "keypoints",
        "points": [None if p is None else list(p) for p in shape.points],
        "visibility": list(shape.visibility),
    }
    if shape.names:
        member["names"] = list(shape.names)
    if shape.edges:
        member["edges"] = [list(edge) for edge in shape.edges]
    return member


def _mask_member(shape: Mask) -> dict[str, Any]:
    """Member of a mask: its smallest box and run lengths; an empty mask has an empty box at the origin."""
    box = shape.box
    if box is None:
        return {"type": "mask", "box": [0] * (2 * shape.grid.ndim), "order": "C", "counts": []}
    return {"type": "mask", "box": box_numbers(box), "order": "C", "counts": to_rle(shape, box)}


def box_numbers(box: IndexBox) -> list[int]:
    """Index box as the interface writes it: x0, y0, x1, y1[, z0, z1], half open."""
    (y0, x0), (y1, x1) = box.start[-2:], box.stop[-2:]
    return [x0, y0, x1, y1, *((box.start[0], box.stop[0]) if len(box.start) == 3 else ())]


def box_of_numbers(values: Sequence[int]) -> IndexBox:
    """Inverse of `box_numbers`."""
    x0, y0, x1, y1, *z = values
    return IndexBox((z[0], y0, x0), (z[1], y1, x1)) if z else IndexBox((y0, x0), (y1, x1))


def positions(value: Sequence[Any], place: str, ndim: int, problems: list[Problem]) -> "NDArray[np.float64]":
    """Positions as an array of shape (n, ndim); problems name the first position that is wrong."""
    none = np.zeros((0, ndim))
    if not len(value):
        return none
    try:
        array = np.asarray(value)
    except ValueError:
        problems.append(Problem("coordinate", place, f"positions must all have {ndim} numbers"))
        return none
    if array.dtype.kind not in "iuf":
        problems.append(Problem("coordinate", place, "positions are arrays of numbers"))
        return none
    if array.ndim != 2 or array.shape[1] != ndim:
        size = f"{array.shape[1]}" if array.ndim == 2 else "no"
        problems.append(Problem("dimension", place, f"positions have {size} coordinates where {ndim} are due"))
        return none
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(wrong):
        problems.append(Problem("coordinate", f"{place}/{wrong[0]}", "a coordinate is not finite"))
        return none
    return array.astype(np.float64)


FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "box": (("minimum", "maximum"), ()),
    "rotated-box": (("center", "size"), ("rotation",)),
    "ellipse": (("center", "radii"), ("rotation",)),
    "keypoints": (("points", "visibility"), ("names", "edges")),
    "cuboid": (("center", "size"), ("rotation",)),
    "contours": (("rings",), ()),
    "mask": (("box", "counts"), ("order",)),
    "tag": ((), ("region", "plane", "index")),
}
"""Required and optional fields of each member, besides `type`."""


def shape_of_member(
    member: object, *, ndim: int, grid: Grid | None, problems: list[Problem], place: str = "shape"
) -> Shape | None:
    """Shape of a `shape` member; problems are added to the list, and then there is none.

    `ndim` is the number of coordinates of the image's frame; `grid` is the image's finest grid, which masks need.
    """
    if not isinstance(member, Mapping):
        problems.append(Problem("type", place, "a `shape` member is an object with a type"))
        return None
    fields = cast("Json", member)
    name = fields.get("type")
    if not isinstance(name, str) or name not in FIELDS:
        problems.append(Problem("shape", f"{place}/type", f"{shown(name)} is not one of {', '.join(FIELDS)}"))
        return None
    required, optional = FIELDS[name]
    before = len(problems)
    problems.extend(Problem("missing", f"{place}/{k}", f"`{name}` needs it") for k in required if k not in fields)
    for key in fields:
        if key not in ("type", *required, *optional):
            problems.append(Problem("unknown", f"{place}/{key[:40]}", f"`{name}` has no such field"))
    if len(problems) > before:
        return None
    reader = _Reader(fields, place, ndim, grid, problems)
    values = _READERS[name](reader)
    if len(problems) > before:
        return None
    try:
        return values()
    except (InputError, OutOfBounds) as error:
        problems.append(Problem("value", place, str(error)))
        return None


class _Reader:
    """Reads the fields of one member and notes what is wrong with each."""

    def __init__(self, fields: Json, place: str, ndim: int, grid: Grid | None, problems: list[Problem]) -> None:
        self.fields, self.place, self.ndim, self.grid, self.problems = fields, place, ndim, grid, problems

    def wrong(self, name: str, message: str, kind: str = "value") -> None:
        """Note a problem with a field."""
        self.problems.append(Problem(kind, f"{self.place}/{name}", message))

    def numbers(self, name: str, *lengths: int) -> Position:
        """As many finite numbers as one of `lengths`."""
        value = self.fields[name]
        due = " or ".join(map(str, lengths))
        if not isinstance(value, (list, tuple)) or len(cast("Sequence[Any]", value)) not in lengths:
            self.wrong(name, f"an array of {due} numbers is due", "dimension")
            return ()
        array = _number_array(cast("Sequence[Any]", value))
        if array is None or not np.isfinite(array).all():
            self.wrong(name, f"an array of {due} finite numbers is due", "coordinate")
            return ()
        return tuple(float(v) for v in array)

    def rotation(self, ndim: int) -> float | Quaternion:
        """Degrees, or a quaternion; no turn when the field is absent."""
        if "rotation" not in self.fields:
            return 0.0 if ndim == 2 else (1.0, 0.0, 0.0, 0.0)
        if ndim == 3:
            w, x, y, z = self.numbers("rotation", 4) or (1.0, 0.0, 0.0, 0.0)
            return w, x, y, z
        value = self.fields["rotation"]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            self.wrong("rotation", "an angle in degrees is due")
            return 0.0
        return float(value)

    def integers(self, name: str, *lengths: int) -> "NDArray[np.int64]":
        """Array of whole numbers, of one of `lengths` when any are given."""
        value = self.fields.get(name, [])
        array = _number_array(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else None
        if array is None or array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
            self.wrong(name, "an array of whole numbers is due")
            return np.zeros(0, dtype=np.int64)
        if lengths and len(array) not in lengths:
            self.wrong(name, f"{' or '.join(map(str, lengths))} numbers are due, not {len(array)}", "dimension")
        return array.astype(np.int64)

    def strings(self, name: str) -> tuple[str, ...]:
        """Array of strings; empty when the field is absent."""
        value = self.fields.get(name, [])
        items: Sequence[Any] = cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else [None]
        if not all(isinstance(v, str) for v in items):
            self.wrong(name, "an array of strings is due", "type")
            return ()
        return tuple(items)

    def volume(self, what: str) -> None:
        """Note a problem unless the frame has three coordinates."""
        if self.ndim != 3:
            self.wrong("type", f"{what} lie in a volume, and this image has two coordinates", "dimension")


def _number_array(value: Sequence[Any]) -> "NDArray[Any] | None":
    """Array of JSON numbers; None when there is anything else among them."""
    try:
        array = np.asarray(value) if len(value) else np.zeros(0, dtype=np.int64)
    except ValueError:
        return None
    return array if array.dtype.kind in "iuf" else None


def _read_box(read: _Reader) -> Callable[[], Shape]:
    low, high = read.numbers("minimum", read.ndim), read.numbers("maximum", read.ndim)
    return lambda: Box(low, high)


def _read_rotated(read: _Reader) -> Callable[[], Shape]:
    center, size = read.numbers("center", read.ndim), read.numbers("size", 2)
    rotation = read.rotation(read.ndim)
    return lambda: RotatedBox(center, (size[0], size[1]), rotation)


def _read_ellipse(read: _Reader) -> Callable[[], Shape]:
    center = read.numbers("center", read.ndim)
    radii = read.numbers("radii", *((2,) if read.ndim == 2 else (2, 3)))
    rotation = read.rotation(read.ndim)
    return lambda: Ellipse(center, radii, rotation)


def _read_cuboid(read: _Reader) -> Callable[[], Shape]:
    read.volume("cuboids")
    center, size = read.numbers("center", 3), read.numbers("size", 3)
    rotation = cast("Quaternion", read.rotation(3))
    return lambda: Cuboid(center, (size[0], size[1], size[2]), rotation)


def _read_keypoints(read: _Reader) -> Callable[[], Shape]:
    points: list[Position | None] = []
    raw = read.fields["points"]
    for k, item in enumerate(cast("Sequence[Any]", raw) if isinstance(raw, (list, tuple)) else ()):
        place = f"{read.place}/points/{k}"
        array = None if item is None else positions([item], place, read.ndim, read.problems)
        points.append(None if array is None or not len(array) else tuple(float(v) for v in array[0]))
    if not points:
        read.wrong("points", "an array of positions (null for a missing one) is due", "type")
    visibility = tuple(int(v) for v in read.integers("visibility"))
    names = read.strings("names")
    edges: list[tuple[int, int]] = []
    raw_edges = read.fields.get("edges", [])
    for k, edge in enumerate(cast("Sequence[Any]", raw_edges) if isinstance(raw_edges, (list, tuple)) else [None]):
        array = _number_array(cast("Sequence[Any]", edge)) if isinstance(edge, (list, tuple)) else None
        if array is None or array.dtype.kind not in "iu" or array.shape != (2,):
            read.wrong(f"edges/{k}", "a pair of indexes of points is due")
        else:
            edges.append((int(array[0]), int(array[1])))
    return lambda: Keypoints(tuple(points), visibility, names, tuple(edges))


def _read_contours(read: _Reader) -> Callable[[], Shape]:
    read.volume("contours")
    rings: list[NDArray[np.float64]] = []
    raw = read.fields["rings"]
    for k, ring in enumerate(cast("Sequence[Any]", raw) if isinstance(raw, (list, tuple)) else ()):
        place = f"rings/{k}"
        if not isinstance(ring, (list, tuple)) or len(cast("Sequence[Any]", ring)) < 3:
            read.wrong(place, "an array of at least three positions is due", "ring")
            continue
        rings.append(positions(cast("Sequence[Any]", ring), f"{read.place}/{place}", 3, read.problems))
    if not rings:
        read.wrong("rings", "an array of at least one ring is due", "empty")
    return lambda: PlanarContours.of(rings)


def _read_mask(read: _Reader) -> Callable[[], Shape]:
    grid = read.grid
    box = read.integers("box", 2 * read.ndim).tolist()
    counts = read.integers("counts")
    if read.fields.get("order", "C") != "C":
        read.wrong("order", "only 'C' is known: x runs fastest")
    if grid is None:
        read.wrong("type", "a mask belongs to the grid of an image, and none is known here", "grid")
        return lambda: Tag()
    if not any(box) and not len(counts):
        return lambda: Mask(grid, {})
    return lambda: from_rle(grid, box_of_numbers(box), counts)


def _read_tag(read: _Reader) -> Callable[[], Shape]:
    region, plane, index = (read.fields.get(k) for k in ("region", "plane", "index"))
    if region is not None and not isinstance(region, str):
        read.wrong("region", "the id of a region is due", "type")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        read.wrong("index", "the index of a slice is due", "type")
    if plane is not None:
        read.volume("slices")
    return lambda: Tag(region, plane, index)


_READERS: dict[str, Callable[[_Reader], Callable[[], Shape]]] = {
    "box": _read_box,
    "rotated-box": _read_rotated,
    "ellipse": _read_ellipse,
    "keypoints": _read_keypoints,
    "cuboid": _read_cuboid,
    "contours": _read_contours,
    "mask": _read_mask,
    "tag": _read_tag,
}
"""What reads each member: it notes every problem at once, and hands back what builds the shape when there is none."""

"""Boxes: half-open in index space, closed in the world."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import InputError
from bigimage.geometry.frame import Frame, GeoFrame, require_same, transform_points, transformer

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE_POINTS = 255
"""Points between the corners of an edge that is transformed: its sagitta is missed by a 65,000th part at most."""


@dataclass(frozen=True, slots=True)
class IndexBox:
    """Half-open box of whole indexes, in array order: (y, x) or (z, y, x)."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise InputError(f"box start {self.start} and stop {self.stop} differ in dimensions")

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> "IndexBox":
        """Box of a whole array."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @classmethod
    def of_slices(cls, slices: Sequence[object], shape: Sequence[int]) -> "IndexBox":
        """Box of unit-step slices over `shape`, with Python's rules for negative and missing ends.

        Raises InputError for anything but one such slice for each axis.
        """
        if len(slices) != len(shape):
            raise InputError(f"{len(slices)} slices given for {len(shape)} spatial axes")
        start: list[int] = []
        stop: list[int] = []
        for part, size in zip(slices, shape, strict=True):
            if not isinstance(part, slice):
                raise InputError(f"{part!r} is not a slice; the index k is slice(k, k + 1)")
            first, last, step = part.indices(int(size))
            if step != 1:
                raise InputError(f"slice {part} has a step; read a coarser level instead")
            start.append(first)
            stop.append(max(first, last))
        return cls(tuple(start), tuple(stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of indexes along each axis; 0 where the box is empty."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of indexes in the box."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that cut this box out of an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def intersect(self, other: "IndexBox") -> "IndexBox":
        """Common part; empty (a zero in `shape`) when there is none."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(s, min(a, b)) for s, a, b in zip(start, self.stop, other.stop, strict=True))
        return IndexBox(start, stop)

    def shift(self, offset: Sequence[int]) -> "IndexBox":
        """Box moved by `offset`."""
        return IndexBox(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def pad(self, margin: int) -> "IndexBox":
        """Box grown by `margin` on every side."""
        return IndexBox(tuple(a - margin for a in self.start), tuple(b + margin for b in self.stop))

    def coarsen(self, factors: Sequence[int]) -> "IndexBox":
        """Smallest box of a grid coarsened by `factors` that covers this one."""
        return IndexBox(
            tuple(a // f for a, f in zip(self.start, factors, strict=True)),
            tuple(-(-b // f) for b, f in zip(self.stop, factors, strict=True)),
        )

    def contains(self, other: "IndexBox") -> bool:
        """Whether `other` lies inside this box. Raises InputError for a box of other dimensions."""
        if len(other.start) != len(self.start):
            raise InputError(f"a box of {len(other.start)} dimensions does not fit one of {len(self.start)}")
        return all(a <= c for a, c in zip(self.start, other.start, strict=True)) and all(
            d <= b for b, d in zip(self.stop, other.stop, strict=True)
        )

    def blocks(self, block: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Indexes of the blocks of size `block` (counted from index 0) that this box touches, in C order."""
        first = [a // n for a, n in zip(self.start, block, strict=True)]
        last = [-(-b // n) for b, n in zip(self.stop, block, strict=True)]
        for offset in np.ndindex(*(max(0, b - a) for a, b in zip(first, last, strict=True))):
            yield tuple(a + o for a, o in zip(first, offset, strict=True))


@dataclass(frozen=True, slots=True)
class WorldBox:
    """Closed box in the coordinates of a frame: (x, y) or (x, y, z).

    A geographic box that crosses the antimeridian has `minimum[0] > maximum[0]`, as in RFC 7946.
    """

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    frame: Frame

    def __post_init__(self) -> None:
        if len(self.minimum) != len(self.maximum):
            raise InputError(f"box corners {self.minimum} and {self.maximum} differ in dimensions")

    @classmethod
    def of(cls, values: Sequence[float], frame: Frame) -> "WorldBox":
        """Box of `(min…, max…)`, 4 or 6 numbers. Raises InputError on anything else, NaN, or a reversed axis."""
        if len(values) not in (4, 6):
            raise InputError(f"a box has 4 or 6 numbers (min…, max…), not {len(values)}")
        numbers = tuple(float(v) for v in values)
        if not all(np.isfinite(numbers)):
            raise InputError(f"box {numbers} has a coordinate that is not finite")
        half = len(numbers) // 2
        low, high = numbers[:half], numbers[half:]
        for axis, (a, b) in enumerate(zip(low, high, strict=True)):
            wraps = axis == 0 and isinstance(frame, GeoFrame) and frame.is_geographic
            if a > b and not wraps:
                raise InputError(f"box {numbers} is reversed along axis {axis}: {a} > {b}")
        return cls(low, high, frame)

    @property
    def values(self) -> tuple[float, ...]:
        """`(min…, max…)`."""
        return (*self.minimum, *self.maximum)

    @property
    def crosses_antimeridian(self) -> bool:
        """Whether west is greater than east."""
        return self.minimum[0] > self.maximum[0]

    def wrapped(self) -> "WorldBox":
        """The same box with longitudes within half a turn of 0, west > east where it crosses the antimeridian.

        Geographic boxes only; others come back as they are.
        """
        if not (isinstance(self.frame, GeoFrame) and self.frame.is_geographic):
            return self
        turn = self.frame.turn
        half, close = turn / 2, turn * 1e-12
        west, east = self.minimum[0], self.maximum[0]
        if west >= -half and east <= half:
            return self
        width = east - west if east >= west else (east - west) % turn
        if width >= turn - close:
            west, east = -half, half
        else:
            west = (west + half + close) % turn - half - close
            east = west + width
            west = max(west, -half)
            if east > half:
                east = half if east <= half + close else east - turn
        return WorldBox((west, *self.minimum[1:]), (east, *self.maximum[1:]), self.frame)

    def to(self, frame: Frame, *, densify: int = EDGE_POINTS) -> "WorldBox":
        """Box in another frame that holds this one, edges densified with `densify` points, poles included.

        A geographic box comes back `wrapped`, unless the frame is its own. Raises FrameMismatch where no
        transformation exists, InputError where no part of the box has an image.
        """
        if frame == self.frame:
            return self
        if not (isinstance(self.frame, GeoFrame) and isinstance(frame, GeoFrame)):
            require_same(self.frame, frame)
            return WorldBox(self.minimum, self.maximum, frame)
        box = self.wrapped()
        if box.crosses_antimeridian:
            return box._to_from_wrapped(frame, densify=densify)
        change = transformer(self.frame.crs, frame.crs)
        left, bottom, right, top = change.transform_bounds(
            box.minimum[0], box.minimum[1], box.maximum[0], box.maximum[1], densify_pts=densify
        )
        # PROJ passes over points without an image, and with them over the limb that bounds the rest
        edge = transform_points(box._place(unit_edges(densify)), self.frame, frame)
        if not np.isfinite((left, bottom, right, top)).all() or not np.isfinite(edge).all():
            return bounds_of_samples(lambda unit: transform_points(box._place(unit), self.frame, frame), frame)
        if left > right and not frame.is_geographic:
            left, right = right, left
        return WorldBox((left, bottom), (right, top), frame).wrapped()

    def _to_from_wrapped(self, frame: GeoFrame, *, densify: int) -> "WorldBox":
        """Union of the two halves of a box that crosses the antimeridian."""
        half = self.frame.turn / 2 if isinstance(self.frame, GeoFrame) else 180.0
        west = WorldBox(self.minimum, (half, *self.maximum[1:]), self.frame).to(frame, densify=densify)
        east = WorldBox((-half, *self.minimum[1:]), self.maximum, self.frame).to(frame, densify=densify)
        low = min(west.minimum[1], east.minimum[1])
        high = max(west.maximum[1], east.maximum[1])
        if frame.is_geographic:
            return WorldBox((west.minimum[0], low), (east.maximum[0], high), frame)
        ends = (west.minimum[0], west.maximum[0], east.minimum[0], east.maximum[0])
        return WorldBox((min(ends), low), (max(ends), high), frame)

    def _place(self, unit: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Points (n, 2) of the unit square, as points of the box."""
        low, high = np.asarray(self.minimum[:2]), np.asarray(self.maximum[:2])
        return low + unit * (high - low)


def unit_edges(count: int) -> "NDArray[np.float64]":
    """Points (n, 2) along the four edges of the unit square, `count` on each between its corners."""
    along = np.linspace(0.0, 1.0, count + 2)
    ends = [np.zeros_like(along), np.ones_like(along)]
    pairs = [(along, end) for end in ends] + [(end, along) for end in ends]
    return np.concatenate([np.stack(pair, axis=-1) for pair in pairs])


def bounds_of_samples(
    image: Callable[["NDArray[np.float64]"], "NDArray[np.float64]"], frame: GeoFrame, *, count: int = 65
) -> WorldBox:
    """Box around the image of the unit square, parts of which may have none: a lattice, the edges, and the limb.

    `image` maps points (n, 2) of the unit square into `frame`, to `inf` where they have no place there. Raises
    InputError where none has.
    """
    steps = np.linspace(0.0, 1.0, count)
    lattice = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    inside = np.isfinite(image(lattice.reshape(-1, 2))).all(axis=-1).reshape(count, count)
    pieces = [lattice.reshape(-1, 2), unit_edges(EDGE_POINTS)]
    for near, far in ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:])):
        for a, b in ((near, far), (far, near)):
            crossing = inside[a] & ~inside[b]
            pieces.append(_limb(image, lattice[a][crossing], lattice[b][crossing]))
    points = image(np.concatenate(pieces))
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise InputError(f"no part of the box has coordinates in {frame}")
    if frame.is_geographic:
        west, east = longitude_extent(points[:, 0])
    else:
        west, east = float(points[:, 0].min()), float(points[:, 0].max())
    return WorldBox((west, float(points[:, 1].min())), (east, float(points[:, 1].max())), frame)


def _limb(
    image: Callable[["NDArray[np.float64]"], "NDArray[np.float64]"],
    inside: "NDArray[np.float64]",
    outside: "NDArray[np.float64]",
) -> "NDArray[np.float64]":
    """Last points with an image on the way from points that have one to points that have none."""
    for _ in range(40 if len(inside) else 0):
        middle = (inside + outside) / 2
        has = np.isfinite(image(middle)).all(axis=-1, keepdims=True)
        inside, outside = np.where(has, middle, inside), np.where(has, outside, middle)
    return inside


def longitude_extent(longitudes: np.ndarray) -> tuple[float, float]:
    """Shortest interval (west, east) that holds all longitudes; west > east when it crosses the antimeridian."""
    values = np.sort(np.unique(longitudes))
    if len(values) == 1:
        return float(values[0]), float(values[0])
    gaps = np.diff(np.append(values, values[0] + 360.0))
    widest = int(np.argmax(gaps))
    if widest == len(values) - 1 or gaps[widest] < 90.0:
        return float(values[0]), float(values[-1])
    return float(values[widest + 1]), float(values[widest])

"""Boxes: half-open in index space, closed in the world."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bigimage.errors import InputError
from bigimage.geometry.frame import Frame, GeoFrame, require_same, transform_points, transformer


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
    def of_slices(cls, slices: Sequence[slice], shape: Sequence[int]) -> "IndexBox":
        """Box of unit-step slices over `shape`, with Python's rules for negative and missing ends."""
        if len(slices) != len(shape):
            raise InputError(f"{len(slices)} slices given for {len(shape)} spatial axes")
        start: list[int] = []
        stop: list[int] = []
        for part, size in zip(slices, shape, strict=True):
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
        """Whether `other` lies inside this box."""
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

    def to(self, frame: Frame, *, densify: int = 21) -> "WorldBox":
        """Box in another frame that holds this one, edges densified with `densify` points, poles included.

        Raises FrameMismatch where no transformation exists, InputError where no part of the box has an image.
        """
        if frame == self.frame:
            return self
        if not (isinstance(self.frame, GeoFrame) and isinstance(frame, GeoFrame)):
            require_same(self.frame, frame)
            return WorldBox(self.minimum, self.maximum, frame)
        if self.crosses_antimeridian:
            return self._to_from_wrapped(frame, densify=densify)
        left, bottom, right, top = transformer(self.frame.crs, frame.crs).transform_bounds(
            self.minimum[0], self.minimum[1], self.maximum[0], self.maximum[1], densify_pts=densify
        )
        if not all(np.isfinite((left, bottom, right, top))):
            return self._to_by_samples(frame)
        if left <= right or frame.is_geographic:
            return WorldBox((left, bottom), (right, top), frame)
        return self._to_by_samples(frame)

    def _to_from_wrapped(self, frame: Frame, *, densify: int) -> "WorldBox":
        """Union of the two halves of a box that crosses the antimeridian."""
        west = WorldBox(self.minimum, (180.0, self.maximum[1]), self.frame).to(frame, densify=densify)
        east = WorldBox((-180.0, self.minimum[1]), self.maximum, self.frame).to(frame, densify=densify)
        if isinstance(frame, GeoFrame) and frame.is_geographic:
            low, high = min(west.minimum[1], east.minimum[1]), max(west.maximum[1], east.maximum[1])
            return WorldBox((west.minimum[0], low), (east.maximum[0], high), frame)
        low2 = tuple(min(a, b) for a, b in zip(west.minimum, east.minimum, strict=True))
        high2 = tuple(max(a, b) for a, b in zip(west.maximum, east.maximum, strict=True))
        return WorldBox(low2, high2, frame)

    def _to_by_samples(self, frame: Frame, *, count: int = 65) -> "WorldBox":
        """Box around the finite images of a lattice of points: for boxes that are partly off the Earth."""
        xs = np.linspace(self.minimum[0], self.maximum[0], count)
        ys = np.linspace(self.minimum[1], self.maximum[1], count)
        points = transform_points(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2), self.frame, frame)
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            raise InputError(f"no part of the box {self.values} has coordinates in {frame}")
        if isinstance(frame, GeoFrame) and frame.is_geographic:
            west, east = longitude_extent(points[:, 0])
        else:
            west, east = float(points[:, 0].min()), float(points[:, 0].max())
        return WorldBox((west, float(points[:, 1].min())), (east, float(points[:, 1].max())), frame)


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

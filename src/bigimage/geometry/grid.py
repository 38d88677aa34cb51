"""The grid: where the pixels of an array lie, as a value without pixels.

Index coordinates are corner based and half open: index k covers [k, k+1) and its centre is k + 0.5. They come in
array order, (y, x) or (z, y, x); world coordinates come as (x, y) or (x, y, z).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox, WorldBox, bounds_of_samples
from bigimage.geometry.frame import Frame, GeoFrame, PixelFrame, transform_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Affine = tuple[tuple[float, ...], ...]
SNAP = 1e-6
"""Fraction of a pixel by which a box may stick out of a pixel without touching the next one."""


@lru_cache(maxsize=4096)
def _inverse(affine: Affine) -> "NDArray[np.float64]":
    """Inverse of the linear part of an affine."""
    return np.linalg.inv(np.asarray(affine, dtype=np.float64)[:, :-1]).astype(np.float64, copy=False)


def _check_affine(affine: Affine, ndim: int) -> None:
    """Raise DataError unless the affine is finite, of the right size and invertible."""
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (ndim, ndim + 1):
        raise DataError(f"an affine of a {ndim}-D grid has {ndim} rows of {ndim + 1} numbers, not shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise DataError(f"affine {affine} is not finite")
    lengths = np.linalg.norm(matrix[:, :-1], axis=0)
    if not lengths.all() or abs(np.linalg.det(matrix[:, :-1] / np.where(lengths, lengths, 1))) < 1e-9:
        raise DataError(f"affine {affine} is singular: pixels would have no area")


@dataclass(frozen=True, slots=True)
class Grid:
    """Shape, affine and frame of an array's spatial axes.

    Raises
    ------
    DataError
        On an affine that is not finite or not invertible, or an empty shape.
    """

    shape: tuple[int, ...]
    """(y, x) or (z, y, x)."""
    affine: Affine
    """Rows of (index in array order, 1) → world."""
    frame: Frame
    slices: tuple[tuple[float, float, float], ...] | None = None
    """World point of index (k + 0.5, 0, 0) for each slice k where spacing is uneven; the affine then runs from the
    first slice to the last."""

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 1:
            raise DataError(f"a grid has 2 or 3 axes of at least one pixel, not shape {self.shape}")
        _check_affine(self.affine, len(self.shape))
        if self.slices is not None and (self.ndim != 3 or len(self.slices) != self.shape[0]):
            raise DataError(f"{len(self.slices)} slice origins do not fit a grid of shape {self.shape}")

    @classmethod
    def from_transform(cls, transform: Sequence[float], shape: Sequence[int], frame: Frame) -> "Grid":
        """Raster grid from six coefficients (a, b, c, d, e, f) in rasterio's order: x = a·col + b·row + c."""
        a, b, c, d, e, f = (float(v) for v in tuple(transform)[:6])
        return cls((int(shape[0]), int(shape[1])), ((b, a, c), (e, d, f)), frame)

    @classmethod
    def pixels(cls, shape: Sequence[int], image: str, *, spacing: tuple[float, float] | None = None) -> "Grid":
        """Grid of an image without a place in the world: x is the column, y the row."""
        return cls.from_transform((1, 0, 0, 0, 1, 0), shape, PixelFrame(image, spacing))

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Coefficients (a, b, c, d, e, f) in rasterio's order; 2-D only."""
        if self.ndim != 2:
            raise InputError("only a raster grid has a six-coefficient transform")
        (b, a, c), (e, d, f) = self.affine
        return a, b, c, d, e, f

    @property
    def spacing(self) -> tuple[float, ...]:
        """World length of one index step along each axis, in array order."""
        matrix = np.asarray(self.affine)[:, :-1]
        return tuple(float(v) for v in np.linalg.norm(matrix, axis=0))

    @property
    def is_aligned(self) -> bool:
        """Whether rows run along x and columns along y, without rotation or shear (2-D only)."""
        a, b, _, d, e, _ = self.transform
        return b == 0 and d == 0 and a != 0 and e != 0

    @property
    def box(self) -> IndexBox:
        """Box of all indexes."""
        return IndexBox.of_shape(self.shape)

    def to_world(self, index: "ArrayLike") -> "NDArray[np.float64]":
        """World points of index points; shape (..., n) in array order → (..., n) as (x, y[, z])."""
        points = np.asarray(index, dtype=np.float64)
        matrix = np.asarray(self.affine)
        if self.slices is None:
            return points @ matrix[:, :-1].T + matrix[:, -1]
        return points[..., 1:] @ matrix[:, 1:-1].T + self._plane_origin(points[..., 0])

    def to_index(self, world: "ArrayLike") -> "NDArray[np.float64]":
        """Index points of world points; shape (..., n) as (x, y[, z]) → (..., n) in array order."""
        points = np.asarray(world, dtype=np.float64)
        matrix = np.asarray(self.affine)
        if self.slices is None:
            return (points - matrix[:, -1]) @ _inverse(self.affine).T
        z = self._plane_of(points)
        local = (points - self._plane_origin(z)) @ _inverse(self.affine).T
        return np.concatenate([z[..., None], local[..., 1:]], axis=-1)

    def _plane_origin(self, z: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """World point of index (z, 0, 0) on an unevenly spaced grid: linear between planes and beyond the ends."""
        origins = np.asarray(self.slices, dtype=np.float64)
        if len(origins) == 1:
            return origins[0] + (z - 0.5)[..., None] * np.asarray(self.affine)[:, 0]
        below = np.clip(np.floor(z - 0.5).astype(np.int64), 0, len(origins) - 2)
        part = (z - 0.5 - below)[..., None]
        return origins[below] * (1 - part) + origins[below + 1] * part

    def _plane_of(self, points: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Index along z of world points on an unevenly spaced grid, measured along the normal of the planes."""
        origins = np.asarray(self.slices, dtype=np.float64)
        matrix = np.asarray(self.affine)
        normal = np.cross(matrix[:, 2], matrix[:, 1])
        depth, planes = points @ normal, origins @ normal
        if len(planes) == 1:
            return 0.5 + (depth - planes[0]) / (matrix[:, 0] @ normal)
        sign = 1.0 if planes[-1] > planes[0] else -1.0
        below = np.clip(np.searchsorted(sign * planes, sign * depth, side="right") - 1, 0, len(planes) - 2)
        return below + 0.5 + (depth - planes[below]) / (planes[below + 1] - planes[below])

    def crop(self, box: IndexBox) -> "Grid":
        """Grid of a part. Raises OutOfBounds when the part is empty or sticks out."""
        if not self.box.contains(box) or not box.size:
            raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {self.shape}")
        slices = None if self.slices is None else self.slices[box.start[0] : box.stop[0]]
        matrix = np.asarray(self.affine)
        if slices is None:
            origin = self.to_world(np.asarray(box.start, dtype=np.float64))
        else:
            matrix = matrix.copy()
            if len(slices) > 1:
                matrix[:, 0] = (np.asarray(slices[-1]) - np.asarray(slices[0])) / (len(slices) - 1)
            in_plane = matrix[:, 1:-1] @ np.asarray(box.start[1:], dtype=np.float64)
            slices = tuple(tuple(float(v) for v in np.asarray(s) + in_plane) for s in slices)
            origin = np.asarray(slices[0]) - 0.5 * matrix[:, 0]
        rows = tuple((*map(float, matrix[i, :-1]), float(origin[i])) for i in range(self.ndim))
        return Grid(box.shape, rows, self.frame, slices)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, key: slice | tuple[slice, ...]) -> "Grid":
        """Cut by unit-step slices over the spatial axes; the index that cuts an array cuts its grid."""
        parts = key if isinstance(key, tuple) else (key,)
        parts = parts + (slice(None),) * (self.ndim - len(parts))
        return self.crop(IndexBox.of_slices(parts, self.shape))

    def coarsen(self, factors: int | Sequence[int]) -> "Grid":
        """Grid whose pixels cover `factors` pixels of this one; the last one overhangs where sizes are odd.

        The corner of index 0 stays where it is. Raises InputError for factors along unevenly spaced slices.
        """
        steps = (factors,) * self.ndim if isinstance(factors, int) else tuple(factors)
        if len(steps) != self.ndim or min(steps) < 1:
            raise InputError(f"factors {steps} do not fit a {self.ndim}-D grid")
        if self.slices is not None and steps[0] != 1:
            raise InputError("unevenly spaced slices cannot be merged")
        shape = tuple(-(-n // f) for n, f in zip(self.shape, steps, strict=True))
        rows = tuple((*(v * f for v, f in zip(row[:-1], steps, strict=True)), row[-1]) for row in self.affine)
        return replace(self, shape=shape, affine=rows)

    def corners(self) -> "NDArray[np.float64]":
        """World points of the 2^n corners, shape (2^n, n)."""
        ends = np.stack(np.meshgrid(*[(0.0, float(n)) for n in self.shape], indexing="ij"), axis=-1)
        return self.to_world(ends.reshape(-1, self.ndim))

    def world_bounds(self) -> WorldBox:
        """Smallest axis-parallel box of the frame that holds the whole grid."""
        points = self.corners()
        low, high = points.min(axis=0), points.max(axis=0)
        return WorldBox(tuple(map(float, low)), tuple(map(float, high)), self.frame)

    def bounds_in(self, frame: Frame) -> WorldBox:
        """Box of the grid in another frame: edges densified, poles and the antimeridian minded.

        A geographic box is `wrapped`, also where the frame is the grid's own. Raises FrameMismatch where no
        transformation exists, InputError where no part has coordinates there.
        """
        if not isinstance(self.frame, GeoFrame) or not isinstance(frame, GeoFrame):
            return self.world_bounds().to(frame)
        if frame == self.frame or self.is_aligned:
            box = self.world_bounds().to(frame)
        else:
            box = bounds_of_samples(
                lambda unit: transform_points(self.to_world(unit * self.shape), self.frame, frame), frame
            )
        if frame.is_geographic:
            return self._include_poles(box).wrapped()
        base = frame.base
        if frame == self.frame or base is None:
            return box
        # what lies across the antimeridian or around a pole reaches the far edge of a map that is cut there
        around = self.bounds_in(base)
        cut = around.crosses_antimeridian or around.maximum[0] - around.minimum[0] >= base.turn
        return around.to(frame) if cut else box

    def _include_poles(self, box: WorldBox) -> WorldBox:
        """Grow a geographic box to the poles that the grid holds strictly inside."""
        if not isinstance(self.frame, GeoFrame) or self.frame.is_geographic or self.frame.base is None:
            return box
        base = self.frame.base
        for sign in (-1.0, 1.0):
            at = transform_points([[0.0, sign * base.turn / 4]], base, self.frame)[0]
            if not np.isfinite(at).all():
                continue
            index = self.to_index(at)
            if (index > 0).all() and (index < np.asarray(self.shape)).all() and isinstance(box.frame, GeoFrame):
                half, pole = box.frame.turn / 2, sign * box.frame.turn / 4
                low, high = min(box.minimum[1], pole), max(box.maximum[1], pole)
                box = WorldBox((-half, low), (half, high), box.frame)
        return box

    def index_box(self, box: WorldBox) -> IndexBox:
        """Indexes whose pixels a box of this grid's own frame touches, cut to the grid; empty when none is.

        A box may stick out of a pixel by `SNAP` without touching its neighbour. Longitudes match at any number of
        turns; where a box meets both ends of a grid, what lies between is part of the answer. Raises FrameMismatch.
        """
        box = box if box.frame == self.frame else box.to(self.frame)
        if len(box.minimum) != self.ndim:
            raise InputError(f"a box of {len(box.minimum)} dimensions does not fit a {self.ndim}-D grid")
        parts = [self._touched(turned) for turned in self._turned(box)]
        found = [part for part in parts if part.size] or parts[:1]
        return IndexBox(
            tuple(min(ends) for ends in zip(*(part.start for part in found), strict=True)),
            tuple(max(ends) for ends in zip(*(part.stop for part in found), strict=True)),
        )

    def _turned(self, box: WorldBox) -> list[WorldBox]:
        """The box, and where longitudes are meant its likes a turn to the west and to the east."""
        if not isinstance(self.frame, GeoFrame) or not self.frame.is_geographic:
            return [box]
        turn = self.frame.turn
        west, east = box.minimum[0], box.maximum[0]
        east = east + turn if west > east else east
        return [
            WorldBox((west + shift, *box.minimum[1:]), (east + shift, *box.maximum[1:]), box.frame)
            for shift in (0.0, -turn, turn)
        ]

    def _touched(self, box: WorldBox) -> IndexBox:
        """Indexes between the corners of a box, cut to the grid."""
        ends = np.stack(np.meshgrid(*zip(box.minimum, box.maximum, strict=True), indexing="ij"), axis=-1)
        index = self.to_index(ends.reshape(-1, self.ndim))
        limit = np.asarray(self.shape)
        low = np.clip(np.floor(index.min(axis=0) + SNAP), 0, limit).astype(int)
        high = np.clip(np.ceil(index.max(axis=0) - SNAP), low, limit).astype(int)
        return IndexBox(tuple(int(v) for v in low), tuple(int(v) for v in high))

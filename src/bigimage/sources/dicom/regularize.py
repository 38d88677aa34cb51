"""Slices that lie unevenly or slanted, resampled to a regular grid: linear between slices, straight along their normal.

Missing pixels are left out of every average; a voxel is valid where at least half of its weight is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import regular_grid
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources.dicom.source import DicomSource
from bigimage.sources.dicom.verdicts import Code, verdict
from bigimage.sources.door import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

ON_SLICE = 1e-6
"""Part of a slice distance below which a plane lies on a slice."""


@dataclass(frozen=True, slots=True)
class Tap:
    """What one source slice gives to one target plane."""

    index: int
    """The source slice."""
    weight: float
    shift: tuple[float, float]
    """Source index (y, x) minus target index, in pixels."""


def is_irregular(grid: Grid) -> bool:
    """Whether slices of a volume lie unevenly, or advance otherwise than along their normal."""
    if grid.ndim != 3 or grid.shape[0] < 2:
        return False
    if grid.slices is not None:
        return True
    target = regular_grid(grid)
    return target.shape != grid.shape or bool(np.abs(target.corners() - grid.corners()).max() > 1e-3 * grid.spacing[0])


def plan_planes(source: Grid, target: Grid) -> tuple[tuple[Tap, ...], ...]:
    """Taps of every plane of the target; their weights add up to one.

    Both grids share the directions of rows and columns and the pixel spacing, as `regular_grid` gives them.
    """
    matrix = np.asarray(target.affine)
    step, down, across = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    axis = step / np.linalg.norm(step)
    corners, origins = _plane_corners(source), _plane_corners(target)
    depths = corners @ axis
    order = np.argsort(depths)
    planes: list[tuple[Tap, ...]] = []
    for origin in origins:
        depth = float(np.clip(origin @ axis, depths[order[0]], depths[order[-1]]))
        above = int(np.clip(np.searchsorted(depths[order], depth), 1, len(order) - 1))
        low, high = int(order[above - 1]), int(order[above])
        part = (depth - depths[low]) / (depths[high] - depths[low])
        taps: list[Tap] = []
        for index, weight in ((low, 1.0 - part), (high, part)):
            if weight > ON_SLICE:
                way = origin - corners[index]
                shift = float(way @ down / (down @ down)), float(way @ across / (across @ across))
                taps.append(Tap(index, float(weight), shift))
        total = sum(tap.weight for tap in taps)
        planes.append(tuple(replace(tap, weight=tap.weight / total) for tap in taps))
    return tuple(planes)


def _plane_corners(grid: Grid) -> "NDArray[np.float64]":
    """World point of index (k + 0.5, 0, 0) of every slice."""
    index = np.zeros((grid.shape[0], 3))
    index[:, 0] = np.arange(grid.shape[0]) + 0.5
    return grid.to_world(index)


def moved(
    values: "NDArray[np.float32]",
    weights: "NDArray[np.float32]",
    shift: tuple[float, float],
    rows: range,
    columns: range,
) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """Weighted values (c, y, x) and weights (y, x) of one slice at target pixels, bilinear, zero beyond its edges."""
    values = values * weights
    for axis, (part, length) in enumerate(zip(shift, values.shape[-2:], strict=True)):
        wanted = np.asarray(rows if axis == 0 else columns)
        place = wanted + part
        below = np.floor(place + ON_SLICE).astype(np.int64)
        share = np.where(place - below < ON_SLICE, 0.0, place - below).astype(np.float32)
        parts: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [(below, 1 - share)]
        if share.any():
            parts.append((below + 1, share))
        values, weights = (_taken(array, parts, length, axis - 2) for array in (values, weights))
    return values, weights


def _taken(array: "NDArray[np.float32]", parts: Sequence[tuple[Any, Any]], length: int, axis: int) -> Any:
    """Sum of shares of an axis' elements; those beyond its ends are zero."""
    total: Any = 0
    for index, share in parts:
        inside = (index >= 0) & (index < length)
        amount = np.where(inside, share, 0).astype(np.float32)
        total = total + np.take(array, np.clip(index, 0, length - 1), axis=axis) * np.expand_dims(
            amount, tuple(range(1, -axis))
        )
    return total


class Regularized:
    """A source whose slices are resampled to a regular grid as they are read; see `bigimage.sources.door.Source`."""

    def __init__(self, source: DicomSource) -> None:
        self._source = source
        grid = source.info.grid
        self._grid = regular_grid(grid)
        self._planes = plan_planes(grid, self._grid)
        self._info = _describe(source.info, self._grid)

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning, on the regular grid."""
        return self._info

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the slices themselves."""
        return self._source.files

    def damaged(self) -> tuple[tuple[Path, int, str], ...]:
        """Those of the slices themselves; see `DicomSource.damaged`."""
        return self._source.damaged()

    @property
    def layout(self) -> Layout:
        """How the slices themselves are read."""
        return self._source.layout

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box of the regular grid; array (c, z, y, x). See `Source.read`."""
        grid = self._grid.crop(box)
        planes = self._planes[box.start[0] : box.stop[0]]
        slab = self._slab(planes, box, bands=bands, t=t)
        start = slab[1].start
        rows, columns = (range(a - s, b - s) for a, b, s in zip(box.start[1:], box.stop[1:], start[1:], strict=True))
        values, weights = slab[0].array.astype(np.float32), slab[0].valid
        dtype = slab[0].array.dtype
        out = np.empty((values.shape[0], *grid.shape), dtype=dtype)
        valid = np.empty(grid.shape, dtype=np.bool_)
        for k, taps in enumerate(planes):
            total: Any = 0
            weight: Any = 0
            for tap in taps:
                here = tap.index - start[0]
                known = np.ones(values.shape[-2:], np.float32) if weights is None else weights[here].astype(np.float32)
                part, share = moved(values[:, here], known, tap.shift, rows=rows, columns=columns)
                total, weight = total + np.float32(tap.weight) * part, weight + np.float32(tap.weight) * share
            mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
            out[:, k] = np.rint(mean) if dtype.kind in "iu" else mean
            valid[k] = weight >= 0.5
        return Patch(out, grid, None if valid.all() else valid)

    def _slab(
        self, planes: Sequence[Sequence[Tap]], box: IndexBox, *, bands: Sequence[int] | None, t: int
    ) -> tuple[Patch, IndexBox]:
        """The part of the source that planes need, and where it lies; a single pixel where they need none."""
        taps = [tap for plane in planes for tap in plane]
        shape = self._source.info.grid.shape
        start, stop = [min(tap.index for tap in taps)], [max(tap.index for tap in taps) + 1]
        for axis in (0, 1):
            shifts = [tap.shift[axis] for tap in taps]
            low = int(np.floor(box.start[axis + 1] + min(shifts) + ON_SLICE))
            high = int(np.ceil(box.stop[axis + 1] + max(shifts))) + 1
            low = min(max(low, 0), shape[axis + 1] - 1)
            start.append(low)
            stop.append(min(max(high, low + 1), shape[axis + 1]))
        part = IndexBox(tuple(start), tuple(stop))
        if not self._source.info.grid.box.contains(part):
            raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {self._grid.shape}")
        return self._source.read(part, bands=bands, t=t), part

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _describe(info: ImageInfo, grid: Grid) -> ImageInfo:
    """The source's description on the regular grid, with the grid that the slices had."""
    shape = (*info.shape[: -grid.ndim], *grid.shape)
    message = (
        f"{info.grid.shape[0]} slices were resampled to {grid.shape[0]}, {grid.spacing[0]:.4g} mm apart; "
        "voxels are no longer those of the files"
    )
    original = {
        "shape": list(info.grid.shape),
        "affine": [list(row) for row in info.grid.affine],
        "slices": None if info.grid.slices is None else [list(place) for place in info.grid.slices],
    }
    extra = {key: value for key, value in info.extra.items() if key not in ("instances", "positions")}
    return replace(
        info,
        grid=grid,
        shape=shape,
        may_be_invalid=True,
        verdicts=(*info.verdicts, verdict(Code.REGULARIZED, message)),
        extra={**extra, "source_instances": info.extra.get("instances"), "source_grid": original},
        provenance={**info.provenance, "options": {**info.provenance.get("options", {}), "regularize": True}},
    )

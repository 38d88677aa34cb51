"""Building a pyramid in one pass: every shard is made once, whole, from the source or from the shards below it.

The shards of all levels form a tree. A shard is painted by painting the shards below it, reducing each as soon as it
is there; memory is one shard per level of the tree, whatever the image's size. A shard that is on disk already is
read back instead of painted again, which is all that resuming needs: shards appear by rename, children before parents.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import BackendError
from bigimage.geometry.box import IndexBox
from bigimage.model.patch import Patch
from bigimage.pyramid.array import ArraySpec, as_stored
from bigimage.pyramid.downsample import Missing, reduce_mean, reduce_mode, reduce_valid
from bigimage.pyramid.layout import LevelPlan, PyramidPlan, children, shard_shape
from bigimage.pyramid.shard import ShardedArray, encode_shard, write_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUBTREE = 2
"""Levels that one task climbs: 16 shards of the finest level in a raster."""
FEW_TASKS = 4
"""Fewer tasks than this leave workers idle; a stage above the first one climbs less far then."""


def invalid_marker(root: Path) -> Path:
    """File beside a growing pyramid that exists once a pixel is invalid, so that its `valid` arrays stay."""
    return root.with_name(f"{root.name}.has-invalid")


Reader = Callable[[IndexBox, Sequence[int], int], Patch]
"""(level-0 box, bands, t) → pixels."""


@dataclass(frozen=True, slots=True)
class Task:
    """Shards of one level to build, in this order; lower levels come along. Plain data, so that it travels."""

    level: int
    shards: tuple[tuple[int, ...], ...]
    lead: tuple[int, ...]
    """Shard index along the axes before the spatial ones."""
    floor: int
    """Levels up to this one are complete: what is not stored there is fill. -1: nothing is."""
    cost: int
    """Pixels of level 0 below it, for sorting and progress; 0 when they are stored already."""


def plan_tasks(plan: PyramidPlan, *, by_rows: bool) -> list[list[Task]]:
    """Stages of tasks. Tasks of a stage are independent; a stage needs the ones before it.

    With `by_rows`, the first stage's tasks are rows of level-0 shards from top to bottom, for sources that are read
    row by row.
    """
    top = len(plan.levels) - 1
    lead_grid = plan.levels[0].image.shard_grid[: plan.lead]
    leads = [tuple(map(int, lead)) for lead in np.ndindex(*lead_grid)]
    stages: list[list[Task]] = []
    floor = -1
    if by_rows:
        rows: dict[int, list[tuple[int, ...]]] = {}
        for index in np.ndindex(*_spatial_grid(plan, 0)):
            rows.setdefault(index[0], []).append(tuple(map(int, index)))
        stages.append(
            [
                Task(0, tuple(row), lead, -1, sum(_cost(plan, 0, i) for i in row))
                for lead in leads
                for row in rows.values()
            ]
        )
        floor = 0
    while floor < top:
        level = _next_floor(plan, floor)
        stage = [
            Task(level, (shard,), lead, floor, _cost(plan, level, shard) if floor < 0 else 0)
            for lead in leads
            for shard in (tuple(map(int, i)) for i in np.ndindex(*_spatial_grid(plan, level)))
        ]
        stages.append(sorted(stage, key=lambda task: -task.cost))
        floor = level
    if top == 0 and not stages:
        shard = (0,) * len(plan.levels[0].factors)
        stages.append([Task(0, (shard,), lead, -1, _cost(plan, 0, shard)) for lead in leads])
    return stages


def _next_floor(plan: PyramidPlan, floor: int) -> int:
    """Level that the next stage climbs to, so that it has tasks for all workers, or else goes all the way."""
    top = len(plan.levels) - 1
    if floor < 0:
        return min(top, SUBTREE)
    if math.prod(_spatial_grid(plan, floor + 1)) == 1:
        return top
    level = min(top, floor + SUBTREE)
    while level > floor + 1 and math.prod(_spatial_grid(plan, level)) < FEW_TASKS:
        level -= 1
    return level


def _spatial_grid(plan: PyramidPlan, level: int) -> tuple[int, ...]:
    """Shards along each spatial axis of a level."""
    return plan.levels[level].image.shard_grid[plan.lead :]


def _cost(plan: PyramidPlan, level: int, shard: Sequence[int]) -> int:
    """Level-0 pixels under a shard."""
    side = shard_shape(plan.levels[level].image, len(shard))
    scale = [1] * len(shard)
    for step in plan.levels[1 : level + 1]:
        scale = [a * b for a, b in zip(scale, step.factors, strict=True)]
    sides = [s * f for s, f in zip(side, scale, strict=True)]
    start = [i * s for i, s in zip(shard, sides, strict=True)]
    box = IndexBox(tuple(start), tuple(a + s for a, s in zip(start, sides, strict=True)))
    return box.intersect(plan.levels[0].grid.box).size


@dataclass(frozen=True)
class Builder:
    """Paints shards of one pyramid below `root`. Safe to use from several threads on different tasks."""

    root: Path
    plan: PyramidPlan
    read: Reader
    progress: Callable[[int], None] = lambda pixels: None
    """Called with the number of level-0 pixels done; may raise to stop the work."""

    @cached_property
    def missing(self) -> Missing:
        """How each band marks missing values."""
        spec = self.plan.levels[0].image
        fill = spec.fill
        nodata = tuple(as_stored(band.nodata, spec.np_dtype) for band in self.plan.info.bands)
        return Missing(tuple(fill if v is None else v for v in nodata), nodata)

    def run(self, task: Task) -> None:
        """Build the shards of a task, but for those that are stored."""
        for shard in task.shards:
            if self._stored(task.level, shard, task):
                self._advance(task.level, shard, task)
            else:
                self._shard(task.level, shard, task)

    def array(self, level: int, name: str) -> ShardedArray:
        """Reader of a level's array."""
        step = self.plan.levels[level]
        spec = step.image if name == "image" else step.valid
        if spec is None:
            raise AssertionError("no validity is planned for this image")
        return ShardedArray(self.root / str(level) / name, spec)

    def _bands(self, task: Task) -> range:
        """Bands of the task's shards."""
        spec = self.plan.levels[0].image
        if "c" not in spec.dims:
            return range(1)
        axis = spec.dims.index("c")
        first = task.lead[axis] * spec.shards[axis]
        return range(first, min(first + spec.shards[axis], spec.shape[axis]))

    def _time(self, task: Task) -> int:
        """Time index of the task's shards."""
        dims = self.plan.levels[0].image.dims
        return task.lead[dims.index("t")] if "t" in dims else 0

    def _shard(
        self, level: int, shard: tuple[int, ...], task: Task
    ) -> tuple["NDArray[Any]", "NDArray[np.bool_] | None"]:
        """Pixels (c, spatial…) and validity of one shard, which is on disk afterwards."""
        box = _shard_box(self.plan.levels[level], shard)
        stored = self._stored(level, shard, task)
        if level <= task.floor or stored:
            array, valid = self._read_back(level, box, task)
        elif level == 0:
            array, valid = self._read_source(box, task)
        else:
            array, valid = self._assemble(level, shard, box, task)
        if level > task.floor and not stored:
            self._write(level, shard, array, valid, task)
        if level == 0 or stored:
            self._advance(level, shard, task)
        return array, valid

    def _stored(self, level: int, shard: tuple[int, ...], task: Task) -> bool:
        """Whether a shard is there from an earlier run, and its validity too, which its first bands' task writes."""
        if self.plan.info.may_be_invalid and not self._has_first_bands(task):
            return False
        key = self.plan.levels[level].image.shard_key((*task.lead, *shard))
        return (self.root / str(level) / "image" / key).exists()

    def _has_first_bands(self, task: Task) -> bool:
        """Whether the task's shards hold the first bands; such tasks write validity."""
        dims = self.plan.levels[0].image.dims
        return "c" not in dims or task.lead[dims.index("c")] == 0

    def _advance(self, level: int, shard: tuple[int, ...], task: Task) -> None:
        """Report the level-0 pixels under a shard as done; higher stages only build on them."""
        if task.floor < 0:
            self.progress(_cost(self.plan, level, shard))

    def _read_source(self, box: IndexBox, task: Task) -> tuple["NDArray[Any]", "NDArray[np.bool_] | None"]:
        """Level-0 pixels from the source."""
        bands = self._bands(task)
        patch = self.read(box, bands, self._time(task))
        array = patch.array.reshape(len(bands), *box.shape)
        if not self.plan.info.may_be_invalid:
            return array, None
        return array, np.ones(box.shape, dtype=np.bool_) if patch.valid is None else patch.valid

    def _read_back(self, level: int, box: IndexBox, task: Task) -> tuple["NDArray[Any]", "NDArray[np.bool_] | None"]:
        """Pixels that are stored already."""
        bands = self._bands(task)
        image = self.array(level, "image")
        array = image.read(_full_box(image.spec, box, bands, self._time(task))).reshape(len(bands), *box.shape)
        if not self.plan.info.may_be_invalid:
            return array, None
        valid = self.array(level, "valid")
        stored = valid.read(_full_box(valid.spec, box, range(1), self._time(task))).reshape(box.shape)
        return array, stored.astype(np.bool_)

    def _assemble(
        self, level: int, shard: tuple[int, ...], box: IndexBox, task: Task
    ) -> tuple["NDArray[Any]", "NDArray[np.bool_] | None"]:
        """Pixels of a shard from the shards below it, each reduced as soon as it is there."""
        step, finer = self.plan.levels[level], self.plan.levels[level - 1]
        bands = self._bands(task)
        array = np.empty((len(bands), *box.shape), dtype=step.image.np_dtype.newbyteorder("="))
        valid = np.empty(box.shape, dtype=np.bool_) if self.plan.info.may_be_invalid else None
        for child in children(shard, finer, step):
            below = _shard_box(finer, child)
            target = below.coarsen(step.factors).shift([-a for a in box.start]).slices
            pixels, mask = self._shard(level - 1, child, task)
            array[(slice(None), *target)] = self._reduce(pixels, mask, step, bands)
            if valid is not None and mask is not None:
                valid[target] = reduce_valid(mask, step.factors)
        return array, valid

    def _reduce(
        self, pixels: "NDArray[Any]", mask: "NDArray[np.bool_] | None", step: LevelPlan, bands: range
    ) -> "NDArray[Any]":
        """One level up, by the image's role."""
        part = slice(bands.start, bands.stop)
        missing = Missing(self.missing.fill[part], self.missing.nodata[part])
        pixels = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
        whole = mask is None or bool(mask.all())
        reduce = reduce_mode if self.plan.info.role == "labels" else reduce_mean
        return reduce(pixels, None if whole else mask, step.factors, missing)

    def _write(
        self,
        level: int,
        shard: tuple[int, ...],
        array: "NDArray[Any]",
        valid: "NDArray[np.bool_] | None",
        task: Task,
    ) -> None:
        """Store a shard; validity first, so that a stored image shard means both are there."""
        step = self.plan.levels[level]
        if valid is not None and step.valid is not None and self._has_first_bands(task):
            if level == 0 and not valid.all():
                self._mark_invalid()
            lead = task.lead[: len(step.valid.dims) - len(shard)]
            piece = valid.view(np.uint8).reshape(*(1,) * len(lead), *valid.shape)
            self._store(level, "valid", step.valid, (*lead, *shard), piece)
        lead_shape = [len(self._bands(task)) if dim == "c" else 1 for dim in step.image.dims[: self.plan.lead]]
        self._store(level, "image", step.image, (*task.lead, *shard), array.reshape(*lead_shape, *array.shape[1:]))

    def _mark_invalid(self) -> None:
        """Note that `valid` means something. Raises BackendError."""
        try:
            invalid_marker(self.root).touch()
        except OSError as error:
            raise BackendError(f"cannot write {invalid_marker(self.root)}: {error.strerror}") from error

    def _store(self, level: int, name: str, spec: ArraySpec, shard: tuple[int, ...], array: "NDArray[Any]") -> None:
        """Encode and write one shard; nothing is written when all of it is fill."""
        pieces = encode_shard(array, spec)
        if pieces is not None:
            write_shard(self.root / str(level) / name / spec.shard_key(shard), pieces)


def _shard_box(step: LevelPlan, shard: Sequence[int]) -> IndexBox:
    """Level indexes of a shard, cut to the level."""
    side = shard_shape(step.image, len(shard))
    start = tuple(i * s for i, s in zip(shard, side, strict=True))
    return IndexBox(start, tuple(a + s for a, s in zip(start, side, strict=True))).intersect(step.grid.box)


def _full_box(spec: ArraySpec, box: IndexBox, bands: range, time: int) -> IndexBox:
    """Spatial box with the axes before it filled in."""
    lead = spec.dims[: len(spec.dims) - len(box.start)]
    first = tuple(bands.start if dim == "c" else time for dim in lead)
    last = tuple(bands.stop if dim == "c" else time + 1 for dim in lead)
    return IndexBox((*first, *box.start), (*last, *box.stop))


def total_cost(plan: PyramidPlan) -> int:
    """Level-0 pixels times shards along the other axes: what `Builder.progress` adds up to."""
    lead = plan.levels[0].image.shard_grid[: plan.lead]
    return math.prod(plan.info.grid.shape) * math.prod(lead)

"""Which chunks of a layer are to be painted: boxes of pixels → dirty chunks of every level → units of work. Pure.

Dirty chunks are kept per shard, as a bool array over the chunks of the shard along the spatial axes. A coarse chunk is
dirty when any chunk below it is, so what a paint touches is known before it begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.pyramid.layout import LevelPlan, PyramidPlan, shard_shape
from bigimage.rasterize.modes import Reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUBTREE = 2
"""Levels that one unit climbs: 16 shards of the finest level in a raster."""
MARGIN = 2
"""Pixels around a shape's box that painting it may touch."""
NO_REACH = Reach()
Shard = tuple[int, ...]
Dirt = dict[Shard, "NDArray[np.bool_]"]
"""Chunks to paint by the shard that holds them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Chunks that one worker paints: those of one shard and of all shards below it. Plain data, so that it travels."""

    level: int
    shard: Shard
    t: int
    """Time index; 0 without a time axis."""
    floor: int
    """Levels up to this one are painted already."""
    dirt: Mapping[int, Dirt]
    """By level, above the floor."""
    cost: int
    """Chunks of level 0 among them, for progress."""


def painted_box(grid: Grid, low: Sequence[float], high: Sequence[float], reach: Reach = NO_REACH) -> IndexBox:
    """Pixels of a grid that a shape within a world box may touch, cut to the grid; empty when there are none.

    `reach`, in pixels of this grid, is that of the pens that shapes are drawn with.
    """
    wide = [(a - reach.world, b + reach.world) for a, b in zip(low, high, strict=True)]
    ends = np.stack(np.meshgrid(*wide, indexing="ij"), axis=-1)
    index = grid.to_index(ends.reshape(-1, grid.ndim))
    limit = np.asarray(grid.shape)
    margin = MARGIN + reach.pixels
    start = np.clip(np.floor(index.min(axis=0) - margin), 0, limit).astype(np.int64)
    stop = np.clip(np.ceil(index.max(axis=0) + margin), start, limit).astype(np.int64)
    if grid.slices is not None:
        # slices with places of their own may be shifted sideways between the corners of the box
        start[1:], stop[1:] = 0, limit[1:]
    return IndexBox(tuple(start.tolist()), tuple(stop.tolist()))


def shard_box(step: LevelPlan, shard: Shard) -> IndexBox:
    """Level indexes of a shard, cut to the level."""
    side = shard_shape(step.image, len(shard))
    start = tuple(i * s for i, s in zip(shard, side, strict=True))
    return IndexBox(start, tuple(a + s for a, s in zip(start, side, strict=True))).intersect(step.grid.box)


def chunk_box(step: LevelPlan, shard: Shard, chunk: Sequence[int]) -> IndexBox:
    """Level indexes of a chunk by its position in a shard, cut to the level."""
    ndim = len(shard)
    side, sides = step.image.chunks[-ndim:], shard_shape(step.image, ndim)
    start = tuple(i * s + c * n for i, s, c, n in zip(shard, sides, chunk, side, strict=True))
    return IndexBox(start, tuple(a + n for a, n in zip(start, side, strict=True))).intersect(step.grid.box)


def chunks_there(step: LevelPlan, shard: Shard) -> tuple[int, ...]:
    """Chunks of a shard along each axis that lie on the level at all."""
    chunk = step.image.chunks[-len(shard) :]
    return tuple(-(-n // c) for n, c in zip(shard_box(step, shard).shape, chunk, strict=True))


def is_whole(step: LevelPlan, shard: Shard, chunks: "NDArray[np.bool_]") -> bool:
    """Whether all chunks of a shard are dirty."""
    return bool(chunks[tuple(slice(0, n) for n in chunks_there(step, shard))].all())


def dirty_chunks(boxes: Iterable[IndexBox], step: LevelPlan) -> Dirt:
    """Chunks of a level that boxes of its indexes touch."""
    ndim = len(step.factors)
    chunk = step.image.chunks[-ndim:]
    per_shard = step.image.chunks_per_shard[-ndim:]
    found: Dirt = {}
    for box in boxes:
        part = box.intersect(step.grid.box)
        if not part.size:
            continue
        first = np.asarray(part.start) // chunk
        last = -(-np.asarray(part.stop) // chunk)
        chunks = IndexBox(tuple(first.tolist()), tuple(last.tolist()))
        for shard in chunks.blocks(per_shard):
            origin = tuple(-i * n for i, n in zip(shard, per_shard, strict=True))
            local = chunks.shift(origin).intersect(IndexBox.of_shape(per_shard))
            found.setdefault(shard, np.zeros(per_shard, np.bool_))[local.slices] = True
    return found


def raised(dirt: Dirt, finer: LevelPlan, coarser: LevelPlan) -> Dirt:
    """Chunks of a level that lie above dirty chunks of the finer level."""
    ndim = len(coarser.factors)
    shape, chunk, side = (np.array(v[-ndim:]) for v in (finer.grid.shape, finer.image.chunks, coarser.image.chunks))
    per_shard = np.array(coarser.image.chunks_per_shard[-ndim:])
    below = finer.image.chunks_per_shard[-ndim:]
    # all at once: a whole scene has a hundred thousand chunks
    starts = [(np.argwhere(chunks) + np.multiply(shard, below)) * chunk for shard, chunks in dirt.items()]
    start = np.concatenate([np.empty((0, ndim), np.int64), *starts])
    start = start[(start < shape).all(axis=1)]
    stop = np.minimum(start + chunk, shape)
    first, last = start // coarser.factors // side, (-(-stop // coarser.factors) - 1) // side
    spans = (last - first).max(axis=0, initial=0) + 1
    touched = np.concatenate([np.minimum(first + step, last) for step in np.ndindex(*spans.tolist())])
    found: Dirt = {}
    shards = touched // per_shard
    order = np.lexsort(shards.T)
    touched, shards = touched[order], shards[order]
    edges = np.flatnonzero((np.diff(shards, axis=0) != 0).any(axis=1)) + 1
    for mine in np.split(touched, edges) if len(touched) else []:
        shard = mine[0] // per_shard
        chunks = np.zeros(per_shard, np.bool_)
        chunks[tuple((mine - shard * per_shard).T)] = True
        found[tuple(shard.tolist())] = chunks
    return found


def plan_units(plan: PyramidPlan, boxes: Iterable[IndexBox] | None, *, times: int = 1) -> list[list[Unit]]:
    """Stages of units that paint what boxes of level-0 pixels touch, all of it for None.

    Units of a stage write no shard in common and can run at the same time; a stage needs the ones before it.
    """
    levels = plan.levels
    dirt = {0: dirty_chunks([levels[0].grid.box] if boxes is None else boxes, levels[0])}
    for k in range(1, len(levels)):
        dirt[k] = raised(dirt[k - 1], levels[k - 1], levels[k])
    stages: list[list[Unit]] = []
    floor, top = -1, len(levels) - 1
    while floor < top:
        level = min(top, floor + SUBTREE + (floor < 0))
        stages.append([unit for t in range(times) for unit in _stage(plan, dirt, floor, level, t)])
        floor = level
    return [stage for stage in stages if stage]


def _stage(plan: PyramidPlan, dirt: Mapping[int, Dirt], floor: int, level: int, t: int) -> list[Unit]:
    """Units of the levels above `floor` up to `level`, the largest first."""
    parts: dict[Shard, dict[int, Dirt]] = {shard: {} for shard in dirt[level]}
    for k in range(floor + 1, level + 1):
        for shard, chunks in dirt[k].items():
            parts[_above(plan, k, shard, level)].setdefault(k, {})[shard] = chunks
    units = [
        Unit(level, shard, t, floor, part, sum(int(c.sum()) for c in part.get(0, {}).values()))
        for shard, part in parts.items()
    ]
    return sorted(units, key=lambda unit: -unit.cost)


def _above(plan: PyramidPlan, level: int, shard: Shard, coarse: int) -> Shard:
    """Shard of a coarser level above a shard."""
    ndim = len(shard)
    at = [i * s for i, s in zip(shard, shard_shape(plan.levels[level].image, ndim), strict=True)]
    for step in plan.levels[level + 1 : coarse + 1]:
        at = [a // f for a, f in zip(at, step.factors, strict=True)]
    return tuple(a // s for a, s in zip(at, shard_shape(plan.levels[coarse].image, ndim), strict=True))

"""Running a plan: every unit paints its chunks and those above them, each shard written by one worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bigimage.geometry.box import IndexBox
from bigimage.model.mask import union_box
from bigimage.pyramid.array import ArraySpec
from bigimage.pyramid.layout import PyramidPlan, children
from bigimage.pyramid.shard import (
    ShardedArray,
    encode_chunk,
    encode_shard,
    pack_shard,
    remove_shard,
    stored_chunks,
    write_shard,
)
from bigimage.rasterize.brush import Brush, reduce
from bigimage.rasterize.instances import Rows
from bigimage.rasterize.modes import Mode
from bigimage.rasterize.plan import Shard, Unit, chunk_box, is_whole, shard_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

Position = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a window is painted from."""

    brush: Brush
    """Paints boxes within the window."""
    names: tuple[str, ...]
    """Labels in sight, those among them that the schema does not know."""
    rows: Rows | None
    """Annotations in sight, of a layer that tells its objects."""


class Easel(Protocol):
    """Looks at windows: reads the annotations of a part of the image."""

    def look(self, window: IndexBox, t: int) -> Sight:
        """What boxes within a window of level-0 indexes are painted from."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a unit."""

    chunks: int
    """Chunks of level 0 that were painted."""
    names: frozenset[str]
    """Labels that were met."""
    rows: tuple[Rows, ...]
    """Annotations that were met, of a layer that tells its objects; some of them several times."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A unit while it is painted."""

    unit: Unit
    names: set[str]
    rows: dict[int, Rows]
    """By identity: what paints a whole volume is looked at again and again."""


def unchecked() -> None:
    """Check nothing before a shard is written."""


@dataclass(frozen=True)
class Painter:
    """Paints units of one layer below `root`. Safe to use from several threads on different units."""

    root: Path
    plan: PyramidPlan
    mode: Mode
    easel: Easel
    check: Callable[[], None] = unchecked
    """Called before a shard is written; raises when the layer is somebody else's by now."""

    @cached_property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.plan.info.bands)

    def run(self, unit: Unit) -> Done:
        """Paint a unit."""
        work = _Work(unit, set(), {})
        self._shard(work, unit.level, unit.shard)
        return Done(unit.cost, frozenset(work.names), tuple(work.rows.values()))

    def _shard(self, work: _Work, level: int, shard: Shard) -> "NDArray[Any] | None":
        """Paint what is dirty of a shard; its pixels (bands, spatial…) when all of it was, and anything is there."""
        chunks = work.unit.dirt.get(level, {}).get(shard)
        if chunks is None:
            return None
        step = self.plan.levels[level]
        whole = is_whole(step, shard, chunks)
        if level == 0:
            return self._burn(work, shard, chunks, whole=whole)
        finer = self.plan.levels[level - 1]
        if not whole:
            for child in children(shard, finer, step):
                self._shard(work, level - 1, child)
            boxes = {tuple(c): chunk_box(step, shard, c) for c in np.argwhere(chunks).tolist()}
            self._replace(
                level, shard, {c: self._reduced(level, b, work.unit.t) for c, b in boxes.items() if b.size}, work
            )
            return None
        box = shard_box(step, shard)
        out: NDArray[Any] | None = None
        for child in children(shard, finer, step):
            below = shard_box(finer, child)
            pixels = self._shard(work, level - 1, child)
            if pixels is None and not self._is_fresh(work, level - 1, child):
                pixels = self._read(level - 1, below, work.unit.t)
            if pixels is not None and pixels.any():
                out = np.zeros((self.bands, *box.shape), step.image.np_dtype.newbyteorder("=")) if out is None else out
                target = below.coarsen(step.factors).shift([-a for a in box.start]).slices
                out[(slice(None), *target)] = reduce(pixels, self.mode, step.factors)
        self._store(level, shard, out, work)
        return out

    def _is_fresh(self, work: _Work, level: int, shard: Shard) -> bool:
        """Whether a shard was painted whole in this unit, so that no pixels mean that it is empty."""
        chunks = work.unit.dirt.get(level, {}).get(shard)
        return chunks is not None and is_whole(self.plan.levels[level], shard, chunks)

    def _burn(self, work: _Work, shard: Shard, chunks: "NDArray[np.bool_]", *, whole: bool) -> "NDArray[Any] | None":
        """Paint a shard of level 0, or its dirty chunks, from the annotations."""
        step = self.plan.levels[0]
        if whole:
            window = shard_box(step, shard)
            pixels = self._look(work, window).paint(window)
            self._store(0, shard, pixels, work)
            return pixels
        boxes = {tuple(c): chunk_box(step, shard, c) for c in np.argwhere(chunks).tolist()}
        boxes = {c: box for c, box in boxes.items() if box.size}
        window = union_box(boxes.values())
        if window is not None:
            brush = self._look(work, window)
            self._replace(0, shard, {c: brush.paint(box) for c, box in boxes.items()}, work)
        return None

    def _look(self, work: _Work, window: IndexBox) -> Brush:
        """Brush for a window; what is in sight there is told when the unit is done."""
        sight = self.easel.look(window, work.unit.t)
        work.names.update(sight.names)
        if sight.rows is not None:
            work.rows[id(sight.rows)] = sight.rows
        return sight.brush

    def _reduced(self, level: int, box: IndexBox, t: int) -> "NDArray[Any] | None":
        """Pixels of a box of a level, from those stored below it; None where there is nothing."""
        step, finer = self.plan.levels[level], self.plan.levels[level - 1]
        low = tuple(a * f for a, f in zip(box.start, step.factors, strict=True))
        high = tuple(b * f for b, f in zip(box.stop, step.factors, strict=True))
        pixels = self._read(level - 1, IndexBox(low, high).intersect(finer.grid.box), t)
        return reduce(pixels, self.mode, step.factors) if pixels.any() else None

    def _read(self, level: int, box: IndexBox, t: int) -> "NDArray[Any]":
        """Stored pixels (bands, spatial…) of a box of a level."""
        spec = self.plan.levels[level].image
        lead = spec.dims[: len(spec.dims) - len(box.start)]
        first = tuple(0 if dim == "c" else t for dim in lead)
        last = tuple(self.bands if dim == "c" else t + 1 for dim in lead)
        array = ShardedArray(self.root / str(level) / "image", spec)
        pixels = array.read(IndexBox((*first, *box.start), (*last, *box.stop))).reshape(self.bands, *box.shape)
        return pixels.astype(spec.np_dtype.newbyteorder("="), copy=False)

    def _store(self, level: int, shard: Shard, pixels: "NDArray[Any] | None", work: _Work) -> None:
        """Write a whole shard, in as many files as its bands take; files that would be empty are removed."""
        spec = self.plan.levels[level].image
        for lead, part in self._leads(spec, work.unit.t):
            pieces = None
            if pixels is not None:
                shape = tuple(len(range(*part)) if d == "c" else 1 for d in spec.dims[: self.plan.lead])
                pieces = encode_shard(pixels[part[0] : part[1]].reshape(*shape, *pixels.shape[1:]), spec)
            self._write(level, spec, (*lead, *shard), pieces)

    def _replace(
        self, level: int, shard: Shard, painted: "Mapping[Position, NDArray[Any] | None]", work: _Work
    ) -> None:
        """Write some chunks of a shard anew and keep the others as they are."""
        spec = self.plan.levels[level].image
        per_chunk = spec.chunks[spec.dims.index("c")] if "c" in spec.dims else 1
        for lead, part in self._leads(spec, work.unit.t):
            path = self.root / str(level) / "image" / spec.shard_key((*lead, *shard))
            kept: dict[Position, Any] = dict(stored_chunks(path, spec))
            for chunk, pixels in painted.items():
                for band, first in enumerate(range(part[0], part[1], per_chunk)):
                    position = (*(band if d == "c" else 0 for d in spec.dims[: self.plan.lead]), *chunk)
                    kept.pop(position, None)
                    encoded = self._encoded(pixels, spec, first, min(first + per_chunk, part[1]))
                    if encoded is not None:
                        kept[position] = encoded
            self._write(level, spec, (*lead, *shard), pack_shard(kept, spec))

    def _encoded(
        self, pixels: "NDArray[Any] | None", spec: ArraySpec, first: int, last: int
    ) -> tuple[bytes, bytes] | None:
        """Stored bytes of the chunk of some bands; None where it is empty."""
        if pixels is None:
            return None
        shape = tuple(last - first if d == "c" else 1 for d in spec.dims[: self.plan.lead])
        return encode_chunk(pixels[first:last].reshape(*shape, *pixels.shape[1:]), spec)

    def _leads(self, spec: ArraySpec, t: int) -> list[tuple[Position, tuple[int, int]]]:
        """Shard indexes along the axes before the spatial ones, each with the bands that it holds."""
        lead = spec.dims[: self.plan.lead]
        if "c" not in lead:
            return [(tuple(t for _ in lead), (0, 1))]
        side = spec.shards[lead.index("c")]
        return [
            (tuple(k if dim == "c" else t for dim in lead), (k * side, min((k + 1) * side, self.bands)))
            for k in range(-(-self.bands // side))
        ]

    def _write(self, level: int, spec: ArraySpec, shard: Shard, pieces: list[bytes] | None) -> None:
        """Store a shard's file, or remove it where nothing is left."""
        self.check()
        path = self.root / str(level) / "image" / spec.shard_key(shard)
        if pieces is None:
            remove_shard(path)
        else:
            write_shard(path, pieces)

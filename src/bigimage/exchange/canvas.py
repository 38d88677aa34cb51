"""Annotations that are in memory as pixels: classes on top of each other, and each by itself.

They are painted as mask layers are, by the same code: what a chip's labels hold is what the layer holds there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from bigimage.exchange.painting import paint
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Schema
from bigimage.model.mask import Mask
from bigimage.model.shape import bounds
from bigimage.rasterize.brush import RasterBrush
from bigimage.rasterize.drawing import draw, in_order
from bigimage.rasterize.modes import Palette, layer_dtype
from bigimage.rasterize.plan import painted_box
from bigimage.rasterize.scene import scene_of
from bigimage.rasterize.volume import VolumeBrush
from bigimage.store.door import Columns
from bigimage.store.rows import encode

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Canvas:
    """Paints annotations, given in the order in which they were first stored, on the pixels of a grid."""

    grid: Grid
    annotations: Sequence[Annotation]
    schema: Schema

    @cached_property
    def palette(self) -> Palette:
        """Labels as they are painted."""
        return Palette.of(self.schema)

    @property
    def dtype(self) -> str:
        """Type of classes: the narrowest unsigned one that holds every value of the schema."""
        return layer_dtype("semantic", self.palette)

    @cached_property
    def reach(self) -> list[IndexBox]:
        """Pixels that each annotation may touch; empty for a tag."""
        nothing = IndexBox((0,) * self.grid.ndim, (0,) * self.grid.ndim)
        found = [bounds(a.shape) for a in self.annotations]
        return [nothing if f is None else painted_box(self.grid, *f) for f in found]

    def classes(self, box: IndexBox) -> "NDArray[Any]":
        """Value of the class on top in each pixel of a box; 0 for none."""
        found = self._volume.paint(box) if self.grid.ndim == 3 else self._raster(box).paint(box)
        return np.zeros(box.shape, self.dtype) if found is None else found[0]

    def cover(self, k: int, box: IndexBox) -> "NDArray[np.bool_]":
        """Pixels of a box that one annotation covers, whatever lies over it."""
        shape = self.annotations[k].shape
        if isinstance(shape, Mask) or self.grid.ndim == 2:
            return paint(shape, self.grid, box)
        return self._volume.cover(k, box)

    @cached_property
    def _columns(self) -> Columns:
        """The annotations as columns."""
        batch = encode(self.annotations, self.grid.frame, lambda grid: 0)
        names = tuple(sorted(set(batch.labels)))
        places = {name: k for k, name in enumerate(names)}
        keys = b"".join(u.bytes for u in (a.id for a in self.annotations))
        return Columns(
            keys=np.frombuffer(keys, np.uint8).reshape(-1, 16),
            versions=np.array([a.version for a in self.annotations], np.int32),
            labels=np.array([places[label] for label in batch.labels], np.int32),
            names=names,
            shapes=np.array(batch.shapes, np.int16),
            outlines=list(batch.geometries),
            scores=np.array([np.nan if s is None else s for s in batch.scores], np.float64),
            rest=list(batch.rests),
            places=np.arange(len(self.annotations), dtype=np.int64),
            times=np.array([-1 if t is None else t for t in batch.times], np.int64),
        )

    @cached_property
    def _masks(self) -> dict[UUID, Mask]:
        """Masks by the ids of their annotations."""
        return {a.id: a.shape for a in self.annotations if isinstance(a.shape, Mask)}

    def _bits(self, id: UUID, box: IndexBox) -> "NDArray[np.bool_]":
        """Bits of a mask."""
        return self._masks[id].read(box)

    def _raster(self, box: IndexBox) -> RasterBrush:
        """Brush for a box of a raster."""
        drawing = draw(
            self._columns, self.palette, self.grid, box, read_mask=self._bits, objects=lambda columns: columns.places
        )
        return RasterBrush(drawing, "semantic", "center", self.palette)

    @cached_property
    def _volume(self) -> VolumeBrush:
        """Brush for a volume."""
        classes, rank = in_order(self._columns, self.palette)
        scene = scene_of(
            self._columns, self.grid, shown=classes >= 0, read_mask=self._bits, objects=None, rule="center"
        )
        return VolumeBrush(
            scene=scene,
            mode="semantic",
            rule="center",
            palette=self.palette,
            classes=classes,
            ids=np.zeros(len(classes), np.uint32),
            rank=rank,
        )

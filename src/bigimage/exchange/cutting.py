"""What a chip shows: its pixels in the type that is wanted, and the annotations on it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.exchange.canvas import Canvas
from bigimage.exchange.clipping import clipped
from bigimage.exchange.pieces import Chip, ChipImage, ChipOptions
from bigimage.formats.door import Report
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Schema
from bigimage.model.mask import Mask
from bigimage.model.shape import Point, Shape, kind
from bigimage.store.door import AnnotationStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANY = 1 << 40
"""A limit that is none, but for which annotations come in the order in which they were first stored."""
_FLAT = frozenset(("line", "multipoint", "keypoints"))
"""Shapes of a volume that have no area on a slice, besides points."""


def wants_physical(info: ImageInfo, options: ChipOptions) -> bool:
    """Whether an image is to be read in physical values: where there is a window, and volumes that are scaled."""
    return options.window is not None or (info.grid.ndim == 3 and _is_scaled(info))


def _is_scaled(info: ImageInfo) -> bool:
    """Whether stored values are others than physical ones."""
    own = info.value.get("slope"), info.value.get("intercept")
    return own not in ((None, None), (1, 0), (1.0, None)) or any((b.scale, b.offset) != (1.0, 0.0) for b in info.bands)


def value_type(info: ImageInfo, options: ChipOptions) -> str:
    """Type of the pixels of pictures."""
    if options.window is not None:
        return "uint8"
    return "float32" if wants_physical(info, options) else info.dtype


def channels_of(info: ImageInfo, options: ChipOptions) -> int:
    """Channels of pictures."""
    return len(options.bands or info.bands) * (2 * options.neighbours + 1)


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts one image."""

    store: AnnotationStore
    image: ChipImage
    options: ChipOptions
    schema: Schema
    revision: int
    """State of the annotations."""
    report: Report

    @property
    def grid(self) -> Grid:
        """Finest grid of the image."""
        return self.image.info.grid

    # ---- pixels

    def pixels(self, box: IndexBox) -> "NDArray[Any]":
        """Picture of a chip: (c, y, x), or (c, z, y, x) of a block."""
        if self.grid.ndim == 2 or self.options.depth > 1:
            return self._values(box)
        z, deep = box.start[0], self.grid.shape[0]
        around = range(z - self.options.neighbours, z + self.options.neighbours + 1)
        # slices beyond the ends are those at the ends
        slices = [min(max(k, 0), deep - 1) for k in around]
        parts = {k: self._values(_on_slice(box, k))[:, 0] for k in sorted(set(slices))}
        return np.concatenate([parts[k] for k in slices])

    def _values(self, box: IndexBox) -> "NDArray[Any]":
        """Pixels of a box in their type."""
        array = self.image.read(box).array
        array = array if array.ndim > self.grid.ndim else array[None]
        if self.options.window is not None:
            center, width = self.options.window
            scaled = (array.astype(np.float64) - (center - width / 2)) * (255 / width)
            return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)
        return array.astype(value_type(self.image.info, self.options), copy=False)

    # ---- annotations

    @cached_property
    def canvas(self) -> Canvas:
        """All annotations of a volume; they are few, and each reaches over many chips."""
        found = list(self.store.query(self.image.info.id, at=self.revision))
        for annotation in found:
            if kind(annotation.shape) in _FLAT and self.options.depth == 1:
                what = kind(annotation.shape)
                self.report.lose("dropped", what, "it has no area on a slice", annotation.id)
        return Canvas(self.grid, [a for a in found if a.t in (None, 0)], self.schema)

    def forget(self) -> None:
        """Let go of what was kept of a volume, whose chips are all done."""
        self.__dict__.pop("canvas", None)

    def annotations(self, chip: Chip) -> list[Annotation]:
        """Annotations of a flat chip, cut to it, in the order in which they were first stored."""
        if self.grid.ndim == 3:
            return list(self._on_slice(chip))
        box = self.grid.crop(chip.box).world_bounds()
        found = self.store.query(self.image.info.id, box, at=self.revision, limit=MANY)
        cut = (clipped(a, self.grid, chip.box, self.options.visible) for a in found)
        return [a for a in cut if a is not None]

    def _on_slice(self, chip: Chip) -> Iterator[Annotation]:
        """Annotations of a piece of a slice, their areas as masks in its own pixels."""
        box = chip.box
        flat = Grid.pixels(box.shape[1:], self.image.info.id)
        for k, annotation in enumerate(self.canvas.annotations):
            if not self.canvas.reach[k].intersect(box).size:
                continue
            shape = self._on_plane(k, annotation.shape, box, flat)
            if shape is not None:
                yield replace(annotation, shape=shape, frame=flat.frame)

    def _on_plane(self, k: int, shape: Shape, box: IndexBox, flat: Grid) -> Shape | None:
        """A shape on a piece of a slice; None where there is too little of it."""
        what = kind(shape)
        if what in _FLAT or what == "tag":
            return None
        if isinstance(shape, Point):
            index = self.grid.to_index(shapely.get_coordinates(shape.geometry, include_z=True)[0])
            inside = all(a <= v < b for a, v, b in zip(box.start, index.tolist(), box.stop, strict=True))
            return Point(shapely.Point(index[2] - box.start[2], index[1] - box.start[1])) if inside else None
        bits = self.canvas.cover(k, box)[0]
        count = int(bits.sum())
        if not count:
            return None
        if box.shape[1:] != self.grid.shape[1:]:
            whole = IndexBox((box.start[0], 0, 0), (box.stop[0], *self.grid.shape[1:]))
            if count < self.options.visible * int(self.canvas.cover(k, whole).sum()):
                return None
        return Mask.of(flat, bits)

    def classes(self, chip: Chip) -> "NDArray[Any]":
        """Values of the labels on top in each pixel of a chip; the background where it was reviewed."""
        if self.grid.ndim == 3:
            canvas = self.canvas
        else:
            box = self.grid.crop(chip.box).world_bounds()
            found = self.store.query(self.image.info.id, box, at=self.revision, limit=MANY)
            canvas = Canvas(self.grid, list(found), self.schema)
        out = canvas.classes(chip.box)
        background = canvas.palette.background_class
        if background is not None and chip.reviewed:
            out = np.where(out == 0, np.asarray(background.value, out.dtype), out)
        return out[0] if self.grid.ndim == 3 and self.options.depth == 1 else out


def _on_slice(box: IndexBox, z: int) -> IndexBox:
    """The same piece of another slice."""
    return IndexBox((z, *box.start[1:]), (z + 1, *box.stop[1:]))

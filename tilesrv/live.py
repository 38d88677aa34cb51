"""What a `semantic` layer painted at this moment would hold, at any level, without painting one.

Pixels are read from a stored layer that shows the same, and only what changed since it was painted is burned. Without
one, where few enough pixels of the finest level lie below what is asked for, those are burned and reduced as those of
a layer are. Elsewhere shapes are burned on the pixels of the level itself: near to what a layer would hold, but not
the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.mask import union_box
from bigimage.model.patch import Patch
from bigimage.model.where import Where
from bigimage.pyramid.pyramid import Pyramid
from bigimage.rasterize.brush import RasterBrush, reduce
from bigimage.rasterize.burn import Rule
from bigimage.rasterize.drawing import draw
from bigimage.rasterize.easel import window_box
from bigimage.rasterize.layer import region_outline
from bigimage.rasterize.modes import Palette, Reach, layer_dtype
from bigimage.store.door import AnnotationStore, Columns
from tilesrv.errors import TooLarge

MOST_SHAPES = 50_000
"""Most annotations that one answer is painted from."""
FINE_PIXELS = 1 << 22
"""Most pixels of the finest level that are burned for one answer."""
PATCHES = 8
"""Places burned one by one on what a stored layer holds; more are burned as one."""
Pixels = NDArray[Any]


@dataclass(frozen=True)
class Kept:
    """A stored layer that shows the same, but for some boxes."""

    pyramid: Pyramid
    stale: tuple[IndexBox, ...]
    """Boxes of pixels of the finest level that may have changed since."""


@dataclass(frozen=True)
class Live:
    """The annotations of a raster as they are now, painted at any level."""

    store: AnnotationStore
    image: str
    grids: Sequence[Grid]
    """Of the levels, finest first."""
    palette: Palette
    rule: Rule
    t: int | None
    """None where the image has no time axis."""
    reviewed: tuple[str, ...] = ()
    """Areas of the reviewed regions; see `bigimage.rasterize.layer.region_text`."""
    kept: Kept | None = None

    @cached_property
    def dtype(self) -> str:
        """Type of the values."""
        return layer_dtype("semantic", self.palette)

    @cached_property
    def regions(self) -> list[shapely.Geometry]:
        """Outlines of the reviewed regions, where the schema has a background."""
        if self.palette.background is None:
            return []
        return [region_outline(text, self.grids[0]) for text in self.reviewed]

    def read(self, level: int, box: IndexBox) -> Patch:
        """Values (1, rows, columns) of a box within a level. Raises TooLarge."""
        pixels = self._patched(level, box)
        if pixels is None:
            pixels = self._fine(level, box)
        if pixels is None:
            pixels = self._coarse(level, box)
        return Patch(pixels, self.grids[level].crop(box), None)

    def factors(self, level: int) -> tuple[int, ...]:
        """Pixels of the finest level per pixel of a level, along each axis."""
        return tuple(round(b / a) for a, b in zip(self.grids[0].spacing, self.grids[level].spacing, strict=True))

    def _below(self, level: int, box: IndexBox) -> IndexBox:
        """Pixels of the finest level that make up a box."""
        low, high = (
            tuple(a * f for a, f in zip(end, self.factors(level), strict=True)) for end in (box.start, box.stop)
        )
        return IndexBox(low, high).intersect(self.grids[0].box)

    def _fine(self, level: int, box: IndexBox) -> Pixels | None:
        """A box as a layer has it: burned on the finest level and reduced; None where that would be too much."""
        below = self._below(level, box)
        if below.size > FINE_PIXELS:
            return None
        pixels = self._burned(0, below, None)
        if pixels is None:
            return None
        for finer, coarser in pairwise(range(level + 1)):
            a, b = self.factors(finer), self.factors(coarser)
            pixels = reduce(pixels, "semantic", tuple(n // m for n, m in zip(b, a, strict=True)))
        return pixels

    def _patched(self, level: int, box: IndexBox) -> Pixels | None:
        """A box as the stored layer has it, what is stale burned anew; None where that is too much, or without one."""
        if self.kept is None:
            return None
        below, factors = self._below(level, box), self.factors(level)
        stale = {b.intersect(below).coarsen(factors) for b in self.kept.stale if b.intersect(below).size}
        whole = union_box(stale)
        places = sorted(stale, key=lambda b: b.start) if len(stale) <= PATCHES or whole is None else [whole]
        if sum(self._below(level, place).size for place in places) > FINE_PIXELS:
            return None
        t = 0 if self.t is None else self.t
        pixels = self.kept.pyramid.read_index(box, level=level, t=t).array.astype(self.dtype)
        for place in places:
            burned = self._fine(level, place)
            if burned is None:
                return None
            pixels[(slice(None), *place.shift([-a for a in box.start]).slices)] = burned
        return pixels

    def _coarse(self, level: int, box: IndexBox) -> Pixels:
        """A box burned on the pixels of its own level. Raises TooLarge."""
        size, pens = max(self.grids[level].spacing), self._reach(level)
        # what is smaller than a pixel is left out, unless a pen makes it larger
        least = size - 2 * (pens.world + pens.pixels * size)
        pixels = self._burned(level, box, least if level and least > 0 else None)
        if pixels is None:
            raise TooLarge(f"more than {MOST_SHAPES} annotations lie in this tile; look closer, or paint a layer")
        return pixels

    def _reach(self, level: int) -> Reach:
        """How far pens reach, in pixels of a level."""
        pens = self.palette.reach
        return Reach(pens.world, pens.pixels / min(self.factors(level)))

    def _burned(self, level: int, box: IndexBox, least: float | None) -> Pixels | None:
        """A box burned on a level's own pixels from what is not smaller than `least`; None where that is too much."""
        grid = self.grids[level]
        where = Where(t=self.t, min_size=least)
        window = window_box(grid, box, self._reach(level))
        columns = self.store.columns(self.image, window, where=where, limit=MOST_SHAPES + 1)
        if len(columns.shapes) > MOST_SHAPES:
            return None
        drawing = draw(
            columns,
            self.palette,
            grid,
            box,
            read_mask=self.store.read_mask,
            objects=_no_objects,
            reviewed=self.regions,
            factors=self.factors(level),
        )
        pixels = RasterBrush(drawing, "semantic", self.rule, self.palette).paint(box)
        return np.zeros((1, *box.shape), self.dtype) if pixels is None else pixels


def _no_objects(columns: Columns) -> NDArray[np.int64]:
    """Ids that nobody looks at."""
    return np.zeros(len(columns.shapes), np.int64)

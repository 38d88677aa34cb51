"""What is painted where: the pixels of a block of a layer, by its mode. Pure."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.pyramid.downsample import Missing, reduce_mean, reduce_mode
from bigimage.rasterize.burn import Rule, burn
from bigimage.rasterize.coverage import coverage
from bigimage.rasterize.drawing import Drawing
from bigimage.rasterize.modes import FULL, Mode, Palette, banded, layer_dtype

LOW = 0xFFFFFFFF
WORD = 32
"""Classes that are burned at a time where each has a band."""


class Brush(Protocol):
    """Paints blocks of a layer's finest level."""

    def paint(self, box: IndexBox) -> NDArray[Any] | None:
        """Pixels (bands, spatial…) of a box of level-0 indexes; None where nothing is painted."""
        ...


@dataclass(frozen=True)
class _Blank:
    """Paints nothing."""

    def paint(self, box: IndexBox) -> NDArray[Any] | None:
        """Nothing."""
        return None


BLANK: Brush = _Blank()
"""For windows where nothing is."""


@dataclass(frozen=True)
class RasterBrush:
    """Burns a drawing onto a raster."""

    drawing: Drawing
    mode: Mode
    rule: Rule
    palette: Palette

    def paint(self, box: IndexBox) -> NDArray[Any] | None:
        """Pixels (bands, rows, columns) of a box; None where nothing is painted."""
        if self.drawing.is_empty or not len(self.drawing.prepared.parts_in(box)):
            return None
        match self.mode:
            case "semantic":
                return self._semantic(box)
            case "instance":
                return burn(self.drawing.prepared, self.drawing.ids, box, rule=self.rule)[None]
            case "panoptic":
                return self._panoptic(box)
            case "coverage":
                return self._coverage(box)
            case "multilayer":
                return self._multilayer(box)

    def _values(self) -> NDArray[np.uint32]:
        """Value of each shape's class."""
        values = np.array([*(c.value for c in self.palette.classes), 0], np.uint32)
        return values[self.drawing.classes]

    def _semantic(self, box: IndexBox) -> NDArray[Any]:
        """Value of the class on top."""
        dtype = layer_dtype("semantic", self.palette)
        return burn(self.drawing.prepared, self._values(), box, rule=self.rule, dtype=dtype)[None]

    def _panoptic(self, box: IndexBox) -> NDArray[Any]:
        """Class and object of the shape on top."""
        count = self.drawing.prepared.count
        top: NDArray[Any] = burn(self.drawing.prepared, np.arange(1, count + 1, dtype=np.uint32), box, rule=self.rule)
        tables = (self._values(), self.drawing.ids)
        return np.stack([np.concatenate([np.zeros(1, np.uint32), table])[top] for table in tables])

    def _coverage(self, box: IndexBox) -> NDArray[Any]:
        """Share of each pixel that each class covers."""
        bands = self._bands()
        part = coverage(self.drawing.prepared, bands, box, count=len(self.palette.classes))
        return np.rint(part * np.float32(FULL)).astype(np.uint16)

    def _multilayer(self, box: IndexBox) -> NDArray[Any]:
        """1 where a class is, whatever else is there."""
        bands, count = self._bands(), len(self.palette.classes)
        out = np.zeros((count, *box.shape), np.uint8)
        for first in range(0, count, WORD):
            inside = (bands >= first) & (bands < first + WORD)
            bits = np.where(inside, np.uint32(1) << np.where(inside, bands - first, 0).astype(np.uint32), 0)
            found: NDArray[Any] = burn(
                self.drawing.prepared, bits.astype(np.uint32), box, rule=self.rule, combine="bits"
            )
            for k in range(first, min(first + WORD, count)):
                out[k] = (found >> np.uint32(k - first)) & np.uint32(1)
        return out

    def _bands(self) -> NDArray[np.int64]:
        """Band of each shape; -1 for none."""
        places = {one.name: k for k, one in enumerate(banded(self.palette.classes))}
        of_class = np.array([*(places[c.name] for c in self.palette.classes), -1], np.int64)
        return of_class[self.drawing.classes]


def reduce(pixels: NDArray[Any], mode: Mode, factors: tuple[int, ...]) -> NDArray[Any]:
    """Pixels (bands, spatial…) one level up: the most frequent value, of equally frequent ones the smallest.

    Class and object of a panoptic layer stay together; coverage is the mean.
    """
    missing = Missing.of((None,) * len(pixels))
    if mode == "coverage":
        return reduce_mean(np.ascontiguousarray(pixels), None, factors, missing)
    if mode != "panoptic":
        return reduce_mode(np.ascontiguousarray(pixels), None, factors, missing)
    pairs = pixels[:1].astype(np.uint64) << np.uint64(32) | pixels[1:].astype(np.uint64)
    top = reduce_mode(pairs, None, factors, Missing.of((None,)))
    return np.concatenate([top >> np.uint64(32), top & np.uint64(LOW)]).astype(np.uint32)

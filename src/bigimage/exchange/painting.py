"""Shapes as pixels, for formats whose areas are pixels: by the rule that masks are painted with."""

from typing import TYPE_CHECKING

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.model.outline import outline
from bigimage.model.shape import Polygon, Shape
from bigimage.rasterize.burn import burn, prepare
from bigimage.rasterize.trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray


def paint(shape: Shape, grid: Grid, box: IndexBox) -> "NDArray[np.bool_]":
    """Pixels of a box of a raster's grid that a shape covers.

    A mask's grid may be another one of the same pixels, such as the whole of which `grid` is a part. Raises InputError
    for a mask on other pixels, and for a volume.
    """
    if isinstance(shape, Mask):
        return shape.read(box.shift(grid_offset(grid, shape.grid)))
    prepared = prepare([outline(shape)], grid)
    return burn(prepared, np.ones(1, np.uint8), box).astype(np.bool_)


def outline_mask(mask: Mask) -> Polygon:
    """Outline of a mask along the edges of its pixels, holes and parts kept; empty where no bit is set."""
    box = mask.box
    if box is None:
        return Polygon(shapely.Polygon())
    grid = mask.grid.crop(box)
    found = trace(lambda part: mask.read(part.shift(box.start)).astype(np.uint8), grid, merge=True)
    return Polygon(shapely.normalize(found.shapes[0]))


def grid_offset(part: Grid, whole: Grid) -> tuple[int, ...]:
    """Index in a grid of the first pixel of another one. Raises InputError unless their pixels are the same."""
    if part == whole:
        return (0,) * whole.ndim
    ends = np.array([[0.0] * part.ndim, list(part.shape)])
    index = whole.to_index(part.to_world(ends))
    start = np.round(index[0])
    due = np.array([start, start + list(part.shape)])
    if part.frame != whole.frame or np.abs(index - due).max() > 1e-3:
        raise InputError("the mask lies on other pixels than those that are written")
    return tuple(int(v) for v in start)

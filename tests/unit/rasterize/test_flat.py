"""What `Prepared` tells before anything is burned."""

import numpy as np
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import burn, prepare

GRID = Grid.from_transform((1, 0, 0, 0, 1, 0), (1000, 1500), PixelFrame("test"))
SHAPES = [shapely.box(5, 5, 20, 30), shapely.box(700, 400, 740, 900), None, shapely.Point(1499.5, 999.5)]


def test_shapes_of_a_box() -> None:
    prepared = prepare(SHAPES, GRID)
    assert prepared.shapes_in(IndexBox((0, 0), (100, 100))).tolist() == [0]
    assert prepared.shapes_in(IndexBox((100, 100), (300, 300))).tolist() == []
    assert prepared.shapes_in(GRID.box).tolist() == [0, 1, 3]


def test_parts_come_in_burn_order() -> None:
    prepared = prepare(SHAPES, GRID, order=[3, 2, 1, 0])
    assert prepared.flat.source[prepared.parts_in(GRID.box)].tolist() == [3, 1, 0]


def test_all_other_blocks_are_empty() -> None:
    prepared = prepare(SHAPES, GRID)
    busy = prepared.busy_blocks((256, 512))
    assert busy == [(0, 0), (1, 1), (2, 1), (3, 1), (3, 2)]
    pixels = burn(prepared, np.ones(4, np.uint8))
    for row, column in busy:
        pixels[row * 256 : (row + 1) * 256, column * 512 : (column + 1) * 512] = 0
    assert not pixels.any()

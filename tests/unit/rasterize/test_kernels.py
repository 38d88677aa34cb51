"""Runs are handed over in batches that leave nothing out."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import prepare
from bigimage.rasterize.kernels import BATCH, TILE, collect


@pytest.mark.parametrize("touched", [False, True])
def test_batches_go_on_where_the_last_one_ended(touched: bool) -> None:
    side = 6 * TILE
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (side, side), PixelFrame("test"))
    x = np.arange(0, side, 4.0)
    prepared = prepare(shapely.box(x + 0.6, 2.0, x + 2.6, side - 2.0), grid)
    box, at, counts, pixels = (0, side, 0, side), 0, [], np.zeros((side, side), np.uint8)
    while at >= 0:
        runs, at = collect(prepared.flat, prepared.keys, prepared.rank, box, touched, at)
        counts.append(len(runs))
        assert (runs[:, 1] // 4 == runs[:, 3]).all()
        for column in range(3):
            inside = runs[:, 1] + column < runs[:, 2]
            pixels[runs[inside, 0], runs[inside, 1] + column] = 1
    assert len(counts) > 2
    assert counts[0] >= BATCH
    assert pixels.sum() == (side - 4) * len(x) * (3 if touched else 2)

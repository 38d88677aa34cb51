"""Plans of paint: every chunk that a box touches, on every level, each shard in one unit."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.rasterize.modes import Palette, layer_info
from bigimage.rasterize.plan import (
    MARGIN,
    chunk_box,
    dirty_chunks,
    is_whole,
    painted_box,
    plan_units,
    raised,
    shard_box,
)
from tests.painting import SCHEMA, raster


def plan(shape: tuple[int, int] = (9000, 10_000)) -> PyramidPlan:
    return plan_pyramid(layer_info(raster(shape), "semantic", Palette.of(SCHEMA)))


def test_a_box_dirties_the_chunks_it_touches() -> None:
    step = plan().levels[0]
    dirt = dirty_chunks([IndexBox((4090, 250), (4100, 260))], step)
    assert {shard: np.argwhere(chunks).tolist() for shard, chunks in dirt.items()} == {
        (0, 0): [[15, 0], [15, 1]],
        (1, 0): [[0, 0], [0, 1]],
    }


def test_boxes_beside_the_image_dirty_nothing() -> None:
    assert dirty_chunks([IndexBox((9000, 0), (9999, 5)), IndexBox((3, 3), (3, 9))], plan().levels[0]) == {}


def test_the_box_of_a_shape_has_a_margin_and_stays_on_the_grid() -> None:
    grid = raster((600, 700)).grid
    low, high = grid.to_world([[20.0, 30.0], [10.0, 45.5]])
    assert painted_box(grid, low, high) == IndexBox((10 - MARGIN, 30 - MARGIN), (20 + MARGIN, 46 + MARGIN))
    assert painted_box(grid, (0.0, 0.0), (1.0, 1.0)).size == 0
    assert painted_box(grid, (-1e12, -1e12), (1e12, 1e12)) == grid.box


def test_everything_is_painted_once_and_children_come_with_their_parents() -> None:
    made = plan()
    stages = plan_units(made, None)
    for level, step in enumerate(made.levels):
        seen = [shard for stage in stages for unit in stage for shard in unit.dirt.get(level, {})]
        assert len(seen) == len(set(seen)) == math.prod(step.image.shard_grid)
    assert all(
        is_whole(made.levels[level], shard, chunks)
        for stage in stages
        for unit in stage
        for level, dirt in unit.dirt.items()
        for shard, chunks in dirt.items()
    )


def test_time_points_are_painted_apart() -> None:
    stages = plan_units(plan((300, 300)), None, times=3)
    assert sorted(unit.t for unit in stages[0]) == [0, 1, 2]


def test_no_boxes_make_no_units() -> None:
    assert plan_units(plan(), []) == []


@given(row=st.integers(0, 8999), column=st.integers(0, 9999), height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_an_edit_reaches_every_chunk_above_it_and_no_other(row: int, column: int, height: int, width: int) -> None:
    made = plan()
    box = IndexBox((row, column), (row + height, column + width)).intersect(made.levels[0].grid.box)
    stages = plan_units(made, [box])
    above = box
    for level, step in enumerate(made.levels):
        above = above.coarsen(step.factors)
        for shard in np.ndindex(*step.image.shard_grid):
            planned = [u.dirt[level][shard] for stage in stages for u in stage if shard in u.dirt.get(level, {})]
            assert len(planned) <= 1
            for chunk in np.ndindex(*step.image.chunks_per_shard):
                touched = chunk_box(step, shard, chunk).intersect(above).size > 0
                assert touched == bool(planned and planned[0][chunk])
        assert shard_box(step, (0, 0)).start == (0, 0)


corners = st.tuples(st.integers(0, 129), st.integers(0, 310), st.integers(0, 290))


@given(start=corners, size=st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90)))
def test_of_a_volume_too_every_chunk_above_dirty_ones_is_dirty(
    start: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    grid = Grid((130, 311, 291), ((0, 0, 0.4, 0), (0, 0.4, 0, 0), (1.0, 0, 0, 0)), PatientFrame("1.2.3"))
    info = ImageInfo(
        id="scan", grid=grid, axes=("z", "y", "x"), shape=grid.shape, dtype="int16", bands=(Band(name="CT"),)
    )
    levels = plan_pyramid(layer_info(info, "semantic", Palette.of(SCHEMA))).levels
    box = IndexBox(start, tuple(a + n for a, n in zip(start, size, strict=True))).intersect(grid.box)
    dirt = dirty_chunks([box], levels[0])
    for finer, coarser in pairwise(levels):
        boxes = [
            chunk_box(finer, shard, chunk).coarsen(coarser.factors)
            for shard, chunks in dirt.items()
            for chunk in np.argwhere(chunks).tolist()
        ]
        expected, dirt = dirty_chunks(boxes, coarser), raised(dirt, finer, coarser)
        assert dirt.keys() == expected.keys()
        assert all(np.array_equal(dirt[shard], expected[shard]) for shard in dirt)

"""Filling rings: sorting, and long rings in pieces."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import burn, prepare
from bigimage.rasterize.fill import sort


@pytest.mark.parametrize("count", [0, 1, 2, 3, 30, 5000])
def test_only_the_range_is_sorted(count: int) -> None:
    values = np.random.default_rng(count).integers(-99, 99, count + 4).astype(np.int32)
    expected = np.concatenate([values[:2], np.sort(values[2:-2]), values[-2:]])
    sort(values, 2, count + 2)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("window", [(0, 300, 0, 300), (120, 180, 140, 150), (0, 5, 0, 300), (100, 200, 290, 300)])
def test_a_ring_in_pieces_fills_as_a_ring_of_few_edges(window: tuple[int, int, int, int]) -> None:
    # the same star, once with every edge cut into many, so that its ring is long
    angle = np.linspace(0, 2 * np.pi, 25)[:-1]
    reach = np.where(np.arange(24) % 2, 140, 40)
    corners = np.round(150 + np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)) + 0.25
    star = shapely.Polygon(corners)
    fine = shapely.segmentize(star, 0.5)
    assert shapely.get_num_coordinates(fine) > 1000
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (300, 300), PixelFrame("test"))
    box = IndexBox(window[::2], window[1::2])
    few, many = (burn(prepare([s], grid), np.ones(1, np.uint8), box) for s in (star, fine))
    # cutting an edge rounds its points, so a centre that lies on it may change sides: no more than those
    centres = grid.to_world(np.stack(np.mgrid[box.slices], axis=-1) + 0.5)
    clear = shapely.distance(star.exterior, shapely.points(centres)) > 1e-9
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(few[clear], many[clear])


def test_very_many_crossings_in_one_row() -> None:
    x = np.arange(0, 2000, 2, dtype=float)
    teeth = np.stack([np.repeat(x, 2), np.tile([0.0, 1.0, 1.0, 0.0], 500)], axis=1)
    comb = shapely.Polygon([*teeth, (1998.0, 2.0), (0.0, 2.0)])
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (2, 2000), PixelFrame("test"))
    pixels = burn(prepare([comb], grid), np.ones(1, np.uint8))
    rows, columns = np.mgrid[:2, :2000] + 0.5
    inside = shapely.contains_xy(comb, columns, rows)
    assert 900 < inside[0].sum() < 1100
    np.testing.assert_array_equal(pixels, inside)

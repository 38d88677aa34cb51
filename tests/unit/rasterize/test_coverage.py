"""Areas of simple things, classes, round borders, and bad arguments."""

import math

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import ellipse_pen, prepare, round_pens
from bigimage.rasterize.coverage import coverage

GRID = Grid.from_transform((1, 0, 0, 0, 1, 0), (20, 30), PixelFrame("test"))


def test_a_rectangle_covers_parts_of_its_border_pixels() -> None:
    covered = coverage(prepare([shapely.box(1.25, 2.5, 4.0, 4.75)], GRID), [0], count=1)[0]
    assert covered[2, 1:5].tolist() == [0.375, 0.5, 0.5, 0.0]
    assert covered[3, 1:5].tolist() == [0.75, 1.0, 1.0, 0.0]
    assert covered[4, 1:5].tolist() == [0.5625, 0.75, 0.75, 0.0]


def test_classes_are_apart_and_minus_one_is_none() -> None:
    shapes = [shapely.box(0, 0, 5, 5), shapely.box(3, 3, 8, 8), shapely.box(0, 0, 9, 9), shapely.box(4, 4, 6, 6)]
    covered = coverage(prepare(shapes, GRID), [0, 1, -1, 0], count=3)
    assert covered.sum(axis=(1, 2)).tolist() == [28.0, 25.0, 0.0]


def test_a_fully_covered_pixel_is_exactly_one() -> None:
    rng = np.random.default_rng(2)
    cuts = np.sort(rng.uniform(0, 30, 40))
    strips = shapely.box(np.concatenate([[-1], cuts]), -1, np.concatenate([cuts, [31]]), 21)
    covered = coverage(prepare(strips, GRID), np.zeros(len(strips), int), count=1)[0]
    assert (covered == 1).all()


def test_round_borders_have_their_area() -> None:
    prepared = prepare(
        [shapely.Point(10, 10), shapely.LineString([(18, 4), (26, 15)]), shapely.Point(20.5, 10.2)],
        GRID,
        pens=[*round_pens([6.0, 1.5]), ellipse_pen(7.0, 3.0, 0.4)],
    )
    areas = coverage(prepared, [0, 1, 2], count=3).sum(axis=(1, 2))
    assert areas[0] == pytest.approx(math.pi * 36, abs=4e-3)
    assert areas[1] == pytest.approx(math.pi * 2.25 + 3 * math.hypot(8, 11), abs=4e-3)
    assert areas[2] == pytest.approx(math.pi * 21, abs=4e-3)


def test_masks_cover_their_pixels_and_thin_lines_nothing() -> None:
    bits = np.array([[1, 0, 1], [1, 1, 1]], bool)
    shapes = [None, shapely.LineString([(0, 0), (20, 19)]), shapely.Point(3, 3)]
    covered = coverage(prepare(shapes, GRID, masks={0: (bits, (4, 5))}), [0, 1, 1], count=2)
    np.testing.assert_array_equal(covered[0, 4:6, 5:8], bits)
    assert covered.sum() == 5


def test_arguments_that_make_no_sense_are_refused() -> None:
    prepared = prepare([shapely.box(0, 0, 5, 5)], GRID)
    with pytest.raises(InputError, match="not all in 0…1"):
        coverage(prepared, [2], count=2)
    with pytest.raises(InputError, match="1 whole numbers"):
        coverage(prepared, [0, 1], count=2)
    with pytest.raises(OutOfBounds, match="does not lie within"):
        coverage(prepared, [0], IndexBox((0, 0), (21, 30)), count=1)

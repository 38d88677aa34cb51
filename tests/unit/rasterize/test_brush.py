"""Brushes of rasters: what each mode makes of the same shapes; and how coarser pixels are made."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.rasterize.brush import RasterBrush, reduce
from bigimage.rasterize.burn import prepare
from bigimage.rasterize.drawing import Drawing
from bigimage.rasterize.modes import MODES, Mode, Palette
from tests.painting import SCHEMA, mode_of_blocks, raster

PALETTE = Palette.of(SCHEMA)
GRID = raster((64, 64), pixel=1.0).grid
FIELD, HOUSE = PALETTE.by_name["field"], PALETTE.by_name["house"]


def square(low: float, high: float) -> shapely.Polygon:
    """Pixels `low` to `high` of rows and columns."""
    return shapely.Polygon(GRID.to_world([[low, low], [low, high], [high, high], [high, low]]))


@pytest.fixture
def drawing() -> Drawing:
    """A field, a house over its corner, and something without a class."""
    prepared = prepare([square(4, 20), square(12, 30), square(40, 44)], GRID)
    return Drawing(prepared, np.array([FIELD, HOUSE, -1]), np.array([11, 12, 13], np.uint32))


def painted(drawing: Drawing, mode: Mode, box: IndexBox = GRID.box) -> np.ndarray:
    found = RasterBrush(drawing, mode, "center", PALETTE).paint(box)
    assert found is not None
    return found


def test_modes_make_their_own_of_the_same_shapes(drawing: Drawing) -> None:
    classes, objects = painted(drawing, "semantic")[0], painted(drawing, "instance")[0]
    assert (classes[4:12, 4:20] == 7).all()
    assert (classes[12:30, 12:30] == 3).all()
    assert classes[41, 41] == 0
    assert (objects[13, 13], objects[5, 5], objects[41, 41]) == (12, 11, 13)
    both = painted(drawing, "panoptic")
    assert np.array_equal(both[0], classes)
    assert np.array_equal(both[1], objects)
    # bands by value: meadow 1, house 3, field 7, road 9
    layers = painted(drawing, "multilayer")
    assert [int(band.sum()) for band in layers] == [0, 18 * 18, 16 * 16, 0]
    assert np.array_equal(painted(drawing, "coverage") > 0, layers > 0)


@pytest.mark.parametrize("mode", MODES)
def test_cutting_changes_nothing_and_nothing_is_none(drawing: Drawing, mode: Mode) -> None:
    whole = painted(drawing, mode)
    part = IndexBox((7, 9), (33, 21))
    assert np.array_equal(painted(drawing, mode, part), whole[(slice(None), *part.slices)])
    assert RasterBrush(drawing, mode, "center", PALETTE).paint(IndexBox((50, 50), (60, 60))) is None
    empty = Drawing(prepare([], GRID), np.zeros(0, np.int64), np.zeros(0, np.uint32))
    assert RasterBrush(empty, mode, "center", PALETTE).paint(GRID.box) is None


def test_coarser_pixels_are_the_most_frequent_or_the_mean() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 3, (1, 20, 30)).astype(np.uint8)
    assert np.array_equal(reduce(pixels, "semantic", (2, 2))[0], mode_of_blocks(pixels[0]))
    shares = rng.integers(0, 65536, (2, 20, 30)).astype(np.uint16)
    means = shares.reshape(2, 10, 2, 15, 2).mean(axis=(2, 4))
    assert np.abs(reduce(shares, "coverage", (2, 2)) - means).max() <= 0.5


def test_class_and_object_stay_together() -> None:
    # most frequent class is 7, most frequent object 21; no pixel is both
    classes = np.array([[7, 7], [7, 3]], np.uint32)
    objects = np.array([[20, 22], [21, 21]], np.uint32)
    kind, number = reduce(np.stack([classes, objects]), "panoptic", (2, 2))
    assert (int(kind[0, 0]), int(number[0, 0])) in {(7, 20), (7, 22), (7, 21), (3, 21)}

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.region import blocks, drawn
from bigimage.model.shape import Polygon
from tests.unit.model.examples import SCAN, SCENE


@pytest.mark.parametrize("size", [1000, 700, 2000, 5000])
def test_squares_cover_a_raster_once(size: int) -> None:
    plots = blocks(SCENE, size)
    seen = np.zeros(SCENE.shape, dtype=np.uint8)
    for plot in plots:
        seen[plot.box.slices] += 1
    assert (seen == 1).all()
    assert max(max(p.box.shape) for p in plots) <= size
    assert len({p.name for p in plots}) == len(plots)


@pytest.mark.parametrize("size", [1, 7, 40, 99])
def test_ranges_of_slices_cover_a_volume_once(size: int) -> None:
    plots = blocks(SCAN, size)
    assert [p.box.start[0] for p in plots] == list(range(0, 40, size))
    assert sum(p.box.shape[0] for p in plots) == 40
    assert {p.box.shape[1:] for p in plots} == {(100, 120)}


def test_sizes_that_make_no_sense() -> None:
    for size in (0, -5):
        with pytest.raises(InputError, match="1 is the least"):
            blocks(SCENE, size)
    with pytest.raises(InputError, match="would be 6000000; at most 100000"):
        blocks(SCENE, 1)


def test_an_area_is_held_by_its_box() -> None:
    area = Polygon(shapely.Polygon([(500_000.2, 5_399_999), (500_010.3, 5_399_999), (500_005, 5_399_990.1)]))
    plot = drawn(SCENE, "wedge", area)
    assert plot.box == IndexBox((2, 0), (20, 21))
    assert plot.outline == area


def test_an_area_is_cut_at_the_border_of_the_image() -> None:
    plot = drawn(SCENE, "corner", Polygon(shapely.box(499_000, 5_399_995, 500_010, 5_401_000)))
    assert plot.box == IndexBox((0, 0), (10, 20))


def test_areas_that_cannot_be() -> None:
    bow_tie = shapely.Polygon([(500_000, 5_399_900), (500_010, 5_399_910), (500_010, 5_399_900), (500_000, 5_399_910)])
    for area in (bow_tie, shapely.Polygon()):
        with pytest.raises(InputError, match="is empty or crosses itself"):
            drawn(SCENE, "area", Polygon(area))
    with pytest.raises(InputError, match="lies outside the image"):
        drawn(SCENE, "area", Polygon(shapely.box(0, 0, 1, 1)))
    with pytest.raises(InputError, match="ranges of slices"):
        drawn(SCAN, "area", Polygon(shapely.box(0, 0, 1, 1)))

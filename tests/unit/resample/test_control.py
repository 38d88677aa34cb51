"""Levels and control grids of single blocks."""

import math

import numpy as np
import pytest

from bigimage.errors import FrameMismatch
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PixelFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import mercator_lattice
from bigimage.resample.cells import BLOCK
from bigimage.resample.control import control, coordinates, period
from tests.warping import exact, lattice_of, level_grids

UTM = Grid.from_transform((10, 0, 399_960, 0, -10, 4_600_020), (10_980, 10_980), GeoFrame("EPSG:32633"))
GLOBE = Grid.from_transform((1 / 120, 0, -180, 0, -1 / 120, 90), (21_600, 43_200), GeoFrame("EPSG:4326"))


def block_at(lattice: Grid, lon: float, lat: float) -> tuple[int, int]:
    place = lattice.to_index(transform_points([lon, lat], GeoFrame("OGC:CRS84"), lattice.frame))
    return int(place[0] // BLOCK), int(place[1] // BLOCK)


@pytest.mark.parametrize(("zoom", "level"), [(18, 0), (14, 0), (13, 0), (12, 1), (11, 2), (10, 3), (8, 5)])
def test_the_level_is_the_coarsest_no_coarser_than_the_target(zoom: int, level: int) -> None:
    # 41.4° north: a pixel of zoom 13 measures 19.1 · cos 41.4° = 14.3 metres on the ground
    levels = level_grids(UTM)
    found = control(levels, lattice_of("EPSG:3857", zoom), block_at(lattice_of("EPSG:3857", zoom), 14.5, 41.4))
    assert found is not None
    assert found.level == level


def test_the_level_follows_the_latitude() -> None:
    levels = level_grids(Grid.from_transform((10, 0, 0, 0, -10, 9_000_000), (900_000, 90_000), GeoFrame("EPSG:32633")))
    lattice = lattice_of("EPSG:3857", 12)
    taken = [control(levels, lattice, block_at(lattice, 15.0, lat)) for lat in (0.5, 59.0, 61.0, 76.0)]
    # 38.2 m at the equator, half of it at 60°, a quarter at 75.5°
    assert [found.level for found in taken if found] == [1, 0, 0, 0]


def test_grids_that_halve_exactly_take_the_level_of_the_same_size() -> None:
    lattices = [mercator_lattice(zoom, 256) for zoom in (12, 11, 10, 9)]
    half = 20037508.342789244
    cell = 2 * half / (256 << 12)
    grid = Grid.from_transform((cell, 0, 0.0, 0, -cell, half / 2), (4096, 4096), GeoFrame("EPSG:3857"))
    levels = level_grids(grid)
    for expected, lattice in enumerate(lattices):
        place = lattice.to_index(grid.to_world([2048.0, 2048.0]))
        found = control(levels, lattice, (int(place[0] // BLOCK), int(place[1] // BLOCK)))
        assert found is not None
        assert found.level == expected


def test_a_fine_block_is_one_cell_and_a_coarse_one_many() -> None:
    levels = level_grids(UTM)
    fine, coarse = (
        control(levels, lattice_of("EPSG:3857", z), block_at(lattice_of("EPSG:3857", z), 14.5, 41.4)) for z in (16, 7)
    )
    assert fine is not None
    assert fine.cells.place.tolist() == [[0, 0, BLOCK]]
    assert coarse is not None
    assert len(coarse.cells.place) > 16


def test_cells_never_overlap_and_leave_out_what_is_off_the_image() -> None:
    lattice = lattice_of("EPSG:3857", 4)
    found = control(level_grids(UTM), lattice, block_at(lattice, 14.5, 41.4))
    assert found is not None
    covered = np.zeros((BLOCK, BLOCK), int)
    for top, left, side in found.cells.place:
        covered[top : top + side, left : left + side] += 1
    assert covered.max() == 1
    assert covered.sum() < 0.1 * covered.size
    index = coordinates(found)
    np.testing.assert_array_equal(np.isfinite(index).all(axis=-1), covered == 1)


def test_blocks_beside_the_image_have_no_plan() -> None:
    lattice = lattice_of("EPSG:3857", 10)
    row, column = block_at(lattice, 14.5, 41.4)
    levels = level_grids(UTM)
    assert control(levels, lattice, (row, column)) is not None
    assert control(levels, lattice, (row, column + 40)) is None
    assert control(levels, lattice, (row - 40, column)) is None


def test_an_image_smaller_than_a_pixel_is_still_found() -> None:
    grid = Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_000_000), (200, 200), GeoFrame("EPSG:32633"))
    lattice = lattice_of("EPSG:3857", 3)
    block = block_at(lattice, 15.0, 45.15)
    found = control(level_grids(grid), lattice, block)
    box = IndexBox((block[0] * BLOCK, block[1] * BLOCK), ((block[0] + 1) * BLOCK, (block[1] + 1) * BLOCK))
    index = exact(lattice, grid, box)
    shown = ((index >= 0) & (index < 200)).all(axis=-1)
    assert shown.any() == (found is not None)


@pytest.mark.parametrize("name", ["EPSG:3857", "EPSG:3031"])
def test_columns_of_a_globe_are_continuous_across_the_antimeridian(name: str) -> None:
    lattice = lattice_of(name, 6)
    levels = level_grids(GLOBE)
    place = (lattice.shape[0] * 0.75, lattice.shape[1] - 1) if name == "EPSG:3857" else (11_000, lattice.shape[1] / 2)
    found = control(levels, lattice, (int(place[0] // BLOCK), int(place[1] // BLOCK)))
    assert found is not None
    assert found.period == 43_200 / 2**found.level
    x = coordinates(found)[..., 1]
    assert ((x >= 0) & (x < found.period)).all()
    side = found.cells.place[:, 2].min()
    assert side > 1, "the antimeridian is no kink, nothing there needs single pixels"


def test_the_period_is_whole_where_the_image_goes_around_and_its_pixel_size_is_rounded() -> None:
    rounded = Grid.from_transform(
        (0.0083333333, 0, -180, 0, -0.0083333333, 90), (21_600, 43_200), GeoFrame("EPSG:4326")
    )
    assert period(rounded) == 43_200
    assert period(UTM) == 0
    assert period(Grid.from_transform((0.7, 0, 0, 0, -0.7, 90), (257, 514), GeoFrame("EPSG:4326"))) == 360 / 0.7
    turned = Grid.from_transform((0.1, 0.01, 0, 0, -0.1, 90), (100, 100), GeoFrame("EPSG:4326"))
    assert period(turned) == 0
    gon = Grid.from_transform((0.5, 0, 0, 0, -0.5, 50), (100, 800), GeoFrame("EPSG:4807"))
    assert period(gon) == 800


def test_pixels_off_the_earth_have_no_cell() -> None:
    frame = GeoFrame.of("+proj=geos +h=35785831 +lon_0=0 +sweep=x +ellps=GRS80")
    disk = Grid.from_transform((20_000, 0, -5_440_000, 0, -20_000, 5_440_000), (544, 544), frame)
    lattice = lattice_of("EPSG:3857", 1)
    index = np.concatenate([coordinates(c) for b in (0, 1) if (c := control((disk,), lattice, (b, 0)))], axis=0)
    longitude = -180 + (np.arange(BLOCK) + 0.5) * 360 / lattice.shape[1]
    seen = np.isfinite(index).all(axis=-1).any(axis=0)
    assert not seen[longitude < -82].any()
    assert seen[longitude > -79].all()


def test_a_level_can_be_forced_coarser() -> None:
    lattice = lattice_of("EPSG:3857", 14)
    block = block_at(lattice, 14.5, 41.4)
    levels = level_grids(UTM)
    fine, coarse = control(levels, lattice, block), control(levels, lattice, block, at_least=2)
    assert fine is not None
    assert coarse is not None
    assert (fine.level, coarse.level) == (0, 2)
    np.testing.assert_allclose(coordinates(fine) / 4, coordinates(coarse), atol=0.02)


def test_extents_say_how_large_a_target_pixel_is() -> None:
    lattice = lattice_of("EPSG:3857", 12)
    found = control(level_grids(UTM)[:1], lattice, block_at(lattice, 14.5, 41.4))
    assert found is not None
    ground = 2 * 20037508.34 / (256 << 12) * math.cos(math.radians(41.4)) / 10
    np.testing.assert_allclose(found.cells.extent, ground, rtol=0.02)


def test_frames_without_a_way_between_them_are_refused() -> None:
    pixels = Grid.pixels((10, 10), "photo")
    with pytest.raises(FrameMismatch):
        control((pixels,), lattice_of("EPSG:3857", 3), (0, 0))
    same = Grid.from_transform((2, 0, 0, 0, 2, 0), (5, 5), PixelFrame("photo"))
    found = control((pixels,), same, (0, 0))
    assert found is not None
    np.testing.assert_allclose(coordinates(found)[3, 4], (7.0, 9.0))

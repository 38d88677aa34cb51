"""The grid: checks, cuts, bounds in other frames, and the indexes that a box touches."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from bigimage.errors import DataError, FrameMismatch, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import WGS84, Frame, GeoFrame, PatientFrame, PixelFrame, transform_points
from bigimage.geometry.grid import Grid

LONLAT = GeoFrame(WGS84)
MERCATOR = GeoFrame("EPSG:3857")
UTM33 = GeoFrame("EPSG:32633")
HALF = 20037508.342789244
PATIENT = PatientFrame("1.2.3")
SLICES = ((0.0, 0.0, 0.0), (0.0, 0.0, 5.0), (0.0, 0.0, 10.0), (0.0, 0.0, 20.0))
UNEVEN = Grid((4, 8, 6), ((0, 0, 0.5, 0.0), (0, 0.5, 0, 0.0), (20 / 3, 0, 0, -10 / 3)), PATIENT, SLICES)


def _raster(transform: tuple[float, ...], shape: tuple[int, int], frame: Frame = UTM33) -> Grid:
    return Grid.from_transform(transform, shape, frame)


def _inside(grid: Grid, frame: GeoFrame, *, count: int = 201) -> np.ndarray:
    """Places of many pixels of a grid in another frame, without those that have none."""
    steps = [np.linspace(0, n, count) for n in grid.shape]
    index = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
    points = transform_points(grid.to_world(index), grid.frame, frame)
    return points[np.isfinite(points).all(axis=1)]


def _holds(box: WorldBox, points: np.ndarray, slack: float) -> bool:
    west, south, east, north = box.values
    x = points[:, 0]
    within = (x >= west - slack) & (x <= east + slack)
    if west > east:
        within = (x >= west - slack) | (x <= east + slack)
    return bool((within & (points[:, 1] >= south - slack) & (points[:, 1] <= north + slack)).all())


@pytest.mark.parametrize(
    ("shape", "affine", "reason"),
    [
        ((0, 5), ((0, 1, 0), (1, 0, 0)), "at least one pixel"),
        ((5,), ((0, 1, 0), (1, 0, 0)), "2 or 3 axes"),
        ((2, 5, 5, 5), ((0, 1, 0), (1, 0, 0)), "2 or 3 axes"),
        ((5, 5), ((0, 1), (1, 0)), "2 rows of 3 numbers"),
        ((5, 5), ((0, float("nan"), 0), (1, 0, 0)), "not finite"),
        ((5, 5), ((0, 1, float("inf")), (1, 0, 0)), "not finite"),
        ((5, 5), ((0, 0, 0), (0, 0, 0)), "singular"),
        ((5, 5), ((1, 1, 0), (1, 1, 0)), "singular"),
        ((5, 5), ((0, 1e-300, 0), (0, 1e-300, 0)), "singular"),
        ((1, 5, 5), ((0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 0)), "singular"),
    ],
)
def test_grids_without_area_or_place_are_refused(shape: tuple[int, ...], affine: tuple, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Grid(shape, affine, UTM33)


def test_tiny_and_huge_pixels_are_no_reason_to_refuse() -> None:
    for size in (1e-12, 1e12):
        grid = _raster((size, 0, 0, 0, -size, 0), (3, 3))
        np.testing.assert_allclose(grid.to_index(grid.to_world((1.5, 2))), (1.5, 2))


def test_slices_belong_to_volumes() -> None:
    with pytest.raises(DataError, match="4 slice origins do not fit"):
        Grid((4, 4), ((0, 1, 0), (1, 0, 0)), PATIENT, SLICES)
    with pytest.raises(DataError, match="4 slice origins do not fit"):
        Grid((3, 8, 6), UNEVEN.affine, PATIENT, SLICES)


def test_a_transform_is_rasterios() -> None:
    transform = (10.0, 2.0, 500_000.0, 1.0, -10.0, 5_000_000.0)
    grid = _raster(transform, (40, 30))
    assert grid.transform == transform
    x, y = rasterio.Affine(*transform) @ (7, 3)
    np.testing.assert_allclose(grid.to_world((3, 7)), (x, y), rtol=1e-15)
    assert not grid.is_aligned
    assert grid.spacing == (pytest.approx(np.hypot(2, 10)), pytest.approx(np.hypot(10, 1)))
    with pytest.raises(InputError, match="only a raster grid"):
        _ = UNEVEN.transform


def test_an_image_without_a_place_counts_columns_and_rows() -> None:
    grid = Grid.pixels((40, 30), "scan", spacing=(0.1, 0.2))
    np.testing.assert_array_equal(grid.to_world((3, 7)), (7, 3))
    assert grid.frame == PixelFrame("scan", (0.1, 0.2))
    assert grid.world_bounds().values == (0, 0, 30, 40)
    assert grid.bounds_in(PixelFrame("scan")).values == (0, 0, 30, 40)


def test_the_index_that_cuts_an_array_cuts_its_grid() -> None:
    grid = _raster((10, 2, 500_000, 1, -10, 5_000_000), (40, 30))
    rows, columns = np.indices(grid.shape)
    centres = grid.to_world(np.stack([rows, columns], axis=-1) + 0.5)
    part = grid[5:-3, 2:9]
    rows, columns = np.indices(part.shape)
    np.testing.assert_allclose(part.to_world(np.stack([rows, columns], axis=-1) + 0.5), centres[5:-3, 2:9], rtol=1e-15)
    assert grid[5:].shape == (35, 30)
    with pytest.raises(InputError, match="has a step"):
        _ = grid[::2]


@pytest.mark.parametrize("box", [((0, 0), (41, 5)), ((-1, 0), (4, 5)), ((5, 5), (5, 9)), ((50, 0), (60, 5))])
def test_a_cut_that_sticks_out_or_is_empty_is_refused(box: tuple) -> None:
    with pytest.raises(OutOfBounds, match=r"within shape \(40, 30\)"):
        _raster((1, 0, 0, 0, -1, 0), (40, 30)).crop(IndexBox(*box))


def test_coarse_pixels_cover_whole_fine_ones_and_the_last_overhangs() -> None:
    grid = _raster((10, 2, 500_000, 1, -10, 5_000_000), (41, 1))
    coarse = grid.coarsen(2).coarsen(4)
    assert coarse == grid.coarsen(8)
    assert coarse.shape == (6, 1)
    np.testing.assert_array_equal(coarse.to_world((3, 0.5)), grid.to_world((24, 4)))
    with pytest.raises(InputError, match="do not fit a 2-D grid"):
        grid.coarsen((2, 2, 2))
    with pytest.raises(InputError, match="do not fit a 2-D grid"):
        grid.coarsen(0)


def test_planes_of_uneven_slices_lie_where_they_are_said_to() -> None:
    for k, origin in enumerate(SLICES):
        np.testing.assert_allclose(UNEVEN.to_world((k + 0.5, 0, 0)), origin, atol=1e-12)
    np.testing.assert_allclose(UNEVEN.to_world((3, 2, 4)), (2, 1, 15))
    np.testing.assert_allclose(UNEVEN.to_index((2, 1, 15)), (3, 2, 4))
    # beyond the ends the last spacing goes on
    np.testing.assert_allclose(UNEVEN.to_world(((0, 0, 0), (4, 0, 0))), ((0, 0, -2.5), (0, 0, 25)))
    np.testing.assert_allclose(UNEVEN.to_index(((0, 0, -2.5), (0, 0, 25))), ((0, 0, 0), (4, 0, 0)), atol=1e-12)


def test_uneven_slices_are_cut_but_not_merged() -> None:
    part = UNEVEN[1:4, 2:6, 1:3]
    assert part.slices == tuple((0.5, 1.0, z) for _, _, z in SLICES[1:])
    np.testing.assert_allclose(part.to_world((1.25, 3, 1)), UNEVEN.to_world((2.25, 5, 2)))
    one = UNEVEN[3:4]
    np.testing.assert_allclose(one.to_world((0.5, 1, 2)), UNEVEN.to_world((3.5, 1, 2)))
    np.testing.assert_allclose(one.to_index(one.to_world((0.25, 1, 2))), (0.25, 1, 2))
    assert UNEVEN.coarsen((1, 2, 2)).shape == (4, 4, 3)
    with pytest.raises(InputError, match="cannot be merged"):
        UNEVEN.coarsen(2)


def test_bounds_of_a_rotated_grid_hold_its_corners() -> None:
    grid = _raster((7, 7, 0, 7, -7, 0), (10, 20))
    assert grid.world_bounds().values == (0, -70, 210, 140)
    assert len(grid.corners()) == 4
    assert len(UNEVEN.corners()) == 8
    assert UNEVEN.world_bounds().values == pytest.approx((0, 0, -2.5, 3, 4, 25))


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        ((10, 0, 300_000, 0, -10, 7_000_000), (10_980, 10_980)),  # a Sentinel-2 granule
        ((10, 0, 300_000, 0, 10, 6_890_200), (10_980, 10_980)),  # south up
        ((-10, 0, 409_800, 0, -10, 7_000_000), (10_980, 10_980)),
        ((7, 7, 300_000, 7, -7, 6_900_000), (9_000, 9_000)),
        ((0.5, 0.05, 300_000, 0.1, -0.4, 6_900_000), (1_000_000, 1_000_000)),
    ],
)
def test_bounds_elsewhere_hold_the_grid_to_a_pixel(transform: tuple[float, ...], shape: tuple[int, int]) -> None:
    grid = _raster(transform, shape)
    for frame, metres in ((LONLAT, 50_000), (MERCATOR, 1), (GeoFrame("EPSG:3035"), 1)):
        box = grid.bounds_in(frame)
        assert _holds(box, _inside(grid, frame), slack=min(grid.spacing) / metres)
        assert box.maximum[0] - box.minimum[0] < 1.3 * np.ptp(_inside(grid, frame)[:, 0])


def test_bounds_across_the_antimeridian() -> None:
    grid = _raster((300, 0, 600_000, 0, -300, 7_000_000), (1000, 1000), GeoFrame("EPSG:32660"))
    box = grid.bounds_in(LONLAT)
    assert box.crosses_antimeridian
    assert 178 < box.minimum[0] < 179
    assert -176 < box.maximum[0] < -175
    assert _holds(box, _inside(grid, LONLAT), slack=1e-4)
    assert grid.bounds_in(MERCATOR).values[::2] == (-HALF, HALF)
    near = grid.bounds_in(GeoFrame("EPSG:32601"))
    assert _holds(near, _inside(grid, near.frame), slack=1)
    assert near.maximum[0] - near.minimum[0] < 400_000


def test_bounds_of_a_real_scene_across_the_antimeridian(shared_data: Path) -> None:
    with rasterio.open(shared_data / "rasters" / "dateline_utm60.tif") as source:
        grid = Grid.from_transform(source.transform, source.shape, GeoFrame.of(source.crs.to_wkt()))
    assert grid.frame == GeoFrame("EPSG:32660")
    box = grid.bounds_in(LONLAT)
    assert box.crosses_antimeridian
    assert _holds(box, _inside(grid, LONLAT), slack=1e-5)
    width = (box.maximum[0] - box.minimum[0]) % 360
    assert width < 10
    # the box, brought back, holds the image and little more
    back = grid.index_box(box)
    assert back == grid.box


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3031", -90), ("EPSG:3413", 90), ("EPSG:3412", -90)])
@pytest.mark.parametrize("turned", [False, True])
def test_bounds_around_a_pole(crs: str, pole: int, turned: bool) -> None:
    c = 1000 * np.sqrt(0.5)
    transform = (c, c, -6000 * c, c, -c, 0) if turned else (1000, 0, -3e6, 0, -1000, 3e6)
    grid = _raster(transform, (6000, 6000), GeoFrame(crs))
    box = grid.bounds_in(LONLAT)
    assert box.values[::2] == (-180, 180)
    assert pole in box.values
    assert _holds(box, _inside(grid, LONLAT), slack=0.01)
    assert 45 < min(abs(box.values[1]), abs(box.values[3])) < 55
    assert grid.bounds_in(MERCATOR).values[::2] == (-HALF, HALF)
    beside = grid[1000:2000, 3500:4500].bounds_in(LONLAT)
    assert pole not in beside.values
    assert _holds(beside, _inside(grid[1000:2000, 3500:4500], LONLAT), slack=0.01)


def test_bounds_of_a_full_disk_end_at_the_limb() -> None:
    geos = GeoFrame.of("+proj=geos +h=35785831 +lon_0=-75 +sweep=x +ellps=GRS80")
    grid = _raster((3000, 0, -5.5e6, 0, -3000, 5.5e6), (3667, 3667), geos)
    box = grid.bounds_in(LONLAT)
    np.testing.assert_allclose(box.values, (-75 - 81.3, -81.3, -75 + 81.3, 81.3), atol=0.1)
    assert _holds(box, _inside(grid, LONLAT), slack=0.03)
    with pytest.raises(InputError, match="no part"):
        grid[:200, :200].bounds_in(LONLAT)
    across = _raster(
        (3000, 0, -5.5e6, 0, -3000, 5.5e6), (3667, 3667), GeoFrame.of("+proj=geos +h=35785831 +lon_0=140.7")
    )
    assert across.bounds_in(LONLAT).values[::2] == (pytest.approx(59.4, abs=0.1), pytest.approx(-138, abs=0.1))


def test_bounds_on_mars_stay_on_mars() -> None:
    grid = _raster((100, 0, 0, 0, -100, 0), (100, 100), GeoFrame.of("IAU_2015:49910"))
    box = grid.bounds_in(GeoFrame.of("IAU_2015:49900"))
    np.testing.assert_allclose(box.values, (0, -0.1687, 0.1687, 0), atol=1e-4)
    with pytest.raises(FrameMismatch, match="no transformation"):
        grid.bounds_in(LONLAT)


@pytest.mark.parametrize("west", [0, -180, -180.5])
def test_bounds_of_the_whole_globe_are_told_in_half_turns(west: float) -> None:
    grid = _raster((1, 0, west, 0, -1, 90), (180, 360), GeoFrame("EPSG:4326"))
    for frame in (LONLAT, grid.frame):
        assert grid.bounds_in(frame).values == (-180, -90, 180, 90)
    assert grid.bounds_in(MERCATOR).values[::2] == (-HALF, HALF)


def test_a_box_touches_the_pixels_that_it_overlaps() -> None:
    grid = _raster((10, 0, 0, 0, -10, 0), (40, 30))
    assert grid.index_box(WorldBox((20, -30), (50, -10), UTM33)) == IndexBox((1, 2), (3, 5))
    assert grid.index_box(WorldBox((20 - 1e-6, -30), (50 + 1e-6, -10), UTM33)) == IndexBox((1, 2), (3, 5))
    assert grid.index_box(WorldBox((20 - 1e-3, -30), (50 + 1e-3, -10), UTM33)) == IndexBox((1, 1), (3, 6))
    assert grid.index_box(WorldBox((-999, -999), (999, 999), UTM33)) == grid.box
    assert not grid.index_box(WorldBox((300, -30), (310, -10), UTM33)).size
    assert not grid.index_box(WorldBox((-50, -30), (-10, -10), UTM33)).size


def test_a_box_that_does_not_fit_the_grid_is_refused() -> None:
    grid = _raster((10, 0, 0, 0, -10, 0), (40, 30))
    with pytest.raises(InputError, match="3 dimensions does not fit a 2-D grid"):
        grid.index_box(WorldBox((0, 0, 0), (1, 1, 1), UTM33))
    with pytest.raises(FrameMismatch):
        grid.index_box(WorldBox((0, 0), (1, 1), PixelFrame("a")))


def test_a_box_of_another_crs_is_brought_along() -> None:
    grid = _raster((10, 0, 500_000, 0, -10, 5_000_000), (1000, 1000))
    low, high = transform_points([grid.to_world((600.5, 200.5)), grid.to_world((200.5, 600.5))], UTM33, LONLAT)
    found = grid.index_box(WorldBox(tuple(low), tuple(high), LONLAT))
    assert found.contains(IndexBox((200, 200), (601, 601)))
    assert found.size < 1.1 * 401**2


@pytest.mark.parametrize("west", [0, -180, 170])
@pytest.mark.parametrize("turns", [-360, 0, 360])
def test_longitudes_match_at_any_number_of_turns(west: int, turns: int) -> None:
    grid = _raster((0.5, 0, west, 0, -0.5, 10), (40, 720), LONLAT)
    box = WorldBox((175 + turns, -5), (178 + turns, 5), LONLAT).wrapped()
    column = int((175 - west) % 360 * 2)
    assert grid.index_box(box) == IndexBox((10, column), (30, column + 6))


def test_a_box_across_the_antimeridian_touches_both_sides() -> None:
    box = WorldBox.of((175, -5, -175, 5), LONLAT)
    assert _raster((1, 0, 0, 0, -1, 90), (180, 360), LONLAT).index_box(box) == IndexBox((85, 175), (95, 185))
    assert _raster((1, 0, 170, 0, -1, 90), (180, 20), LONLAT).index_box(box) == IndexBox((85, 5), (95, 15))
    # a grid that is cut there is met at both ends, and one box must hold them
    assert _raster((1, 0, -180, 0, -1, 90), (180, 360), LONLAT).index_box(box) == IndexBox((85, 0), (95, 360))
    assert _raster((1, 0, 100, 0, -1, 90), (180, 80), LONLAT).index_box(box) == IndexBox((85, 75), (95, 80))
    assert not _raster((1, 0, 0, 0, -1, 90), (180, 80), LONLAT).index_box(box).size


def test_a_volume_finds_the_slices_of_a_box() -> None:
    box = WorldBox((0.5, 0.5, 4.0), (1.0, 1.0, 6.0), PATIENT)
    assert UNEVEN.index_box(box) == IndexBox((1, 1, 1), (2, 2, 2))
    box = WorldBox((0.5, 0.5, 4.0), (1.0, 1.0, 16.0), PATIENT)
    assert UNEVEN.index_box(box) == IndexBox((1, 1, 1), (4, 2, 2))

"""Boxes of lattices painted from pyramids."""

import numpy as np
import pytest

from bigimage.errors import FrameMismatch, InputError, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PatientFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import mercator_box, mercator_lattice
from bigimage.model.patch import Patch
from bigimage.resample import kernels
from bigimage.resample.control import control, coordinates
from bigimage.resample.warp import METHODS, Method, check_method, plan, resample_to, warm, warp
from tests.warping import Stack, lattice_of, resample

UTM = Grid.from_transform((30, 0, 500_000, 0, -30, 5_000_000), (1100, 1300), GeoFrame("EPSG:32633"))
GLOBE = Grid.from_transform((0.25, 0, -180, 0, -0.25, 90), (720, 1440), GeoFrame("EPSG:4326"))
PACIFIC = Grid.from_transform((0.25, 0, 0, 0, -0.25, 90), (720, 1440), GeoFrame("EPSG:4326"))
MERCATOR = Grid.from_transform(
    (1222.99245256282, 0, 0, 0, -1222.99245256282, 10018754.1713946), (4096, 4096), GeoFrame("EPSG:3857")
)


def box_around(lattice: Grid, lon: float, lat: float, size: tuple[int, int] = (300, 400)) -> IndexBox:
    place = lattice.to_index(transform_points([lon, lat], GeoFrame("OGC:CRS84"), lattice.frame))
    start = (int(place[0]) - size[0] // 2, int(place[1]) - size[1] // 2)
    return IndexBox(start, (start[0] + size[0], start[1] + size[1])).intersect(lattice.box)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
def test_pixels_come_from_the_right_place_of_the_right_level(method: Method) -> None:
    stack = Stack.random(UTM, holes=0.1, bands=2)
    lattice = lattice_of("EPSG:3857", 10)
    box = box_around(lattice, 15.2, 45.0, (256, 512))
    out = warp(stack.read, stack.grids, lattice, box, bands=2, dtype="uint8", method=method)
    assert out.grid == lattice.crop(box)
    checked = 0
    for block in box.blocks((256, 256)):
        found = control(stack.grids, lattice, (block[0], block[1]))
        if found is None:
            continue
        whole = IndexBox((block[0] * 256, block[1] * 256), ((block[0] + 1) * 256, (block[1] + 1) * 256))
        part = whole.intersect(box)
        index = coordinates(found)[part.shift((-whole.start[0], -whole.start[1])).slices]
        rows, columns = part.shift((-box.start[0], -box.start[1])).slices
        for band in range(2):
            values, shown = resample(stack.arrays[found.level][band], stack.valids[found.level], index, method)
            np.testing.assert_array_equal(out.valid[rows, columns], shown)
            miss = np.abs(out.array[band, rows, columns][shown] - np.clip(np.floor(values[shown] + 0.5), 0, 255))
            assert (miss > 0).mean() < 0.01
            assert miss.max(initial=0) <= 1
            checked += int(shown.sum())
    assert checked > 30_000


@pytest.mark.parametrize("method", METHODS)
def test_an_image_on_the_lattice_comes_out_as_it_is(method: Method) -> None:
    stack = Stack.random(MERCATOR, dtype="float32")
    for level, zoom in ((0, 7), (1, 6)):
        lattice = mercator_lattice(zoom, 256)
        corner = np.round(lattice.to_index(stack.grids[level].to_world([0.0, 0.0]))).astype(int)
        box = IndexBox((int(corner[0]) + 100, int(corner[1]) + 37), (int(corner[0]) + 700, int(corner[1]) + 600))
        out = warp(stack.read, stack.grids, lattice, box, bands=1, dtype="float32", method=method)
        assert out.valid is not None
        assert out.valid.all()
        np.testing.assert_array_equal(out.array, stack.arrays[level][:, 100:700, 37:600])


def test_the_edge_of_an_image_is_where_its_pixels_end() -> None:
    stack = Stack.random(MERCATOR)
    lattice = mercator_lattice(8, 256)
    corner = np.round(lattice.to_index(MERCATOR.to_world([0.0, 0.0]))).astype(int)
    box = IndexBox((int(corner[0]) - 5, int(corner[1]) - 3), (int(corner[0]) + 50, int(corner[1]) + 60))
    for method in METHODS:
        out = warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint8", method=method)
        expected = np.zeros(box.shape, np.bool_)
        expected[5:, 3:] = True
        np.testing.assert_array_equal(out.valid, expected)
        assert (out.array[0, ~expected] == 0).all()


@pytest.mark.parametrize(("grid", "lon"), [(GLOBE, 180.0), (PACIFIC, 0.0), (PACIFIC, 180.0), (GLOBE, 0.0)])
@pytest.mark.parametrize("method", METHODS)
def test_a_globe_has_no_seam_where_it_was_cut(grid: Grid, lon: float, method: Method) -> None:
    y, x = np.mgrid[:720, :1440] + 0.5
    longitude = grid.transform[2] + x * 0.25
    smooth = 100 + 50 * np.cos(np.radians(longitude)) + 30 * np.sin(np.radians(y * 0.25 * 3))
    stack = Stack((grid,), [smooth[None]], [None])
    lattice = Grid.from_transform((0.1, 0, lon - 30, 0, -0.1, 60), (500, 600), GeoFrame("EPSG:4326"))
    out = warp(stack.read, stack.grids, lattice, lattice.box, bands=1, dtype="float64", method=method)
    assert out.valid is not None
    assert out.valid.all()
    place = lattice.to_world(np.stack(np.mgrid[:500, :600] + 0.5, axis=-1))
    want = 100 + 50 * np.cos(np.radians(place[..., 0])) + 30 * np.sin(np.radians((90 - place[..., 1]) * 3))
    slack = {"nearest": 0.35, "average": 0.05}.get(method, 0.01)
    assert np.abs(out.array[0] - want).max() < slack


def test_a_tile_across_the_cut_reads_both_ends_and_nothing_between() -> None:
    stack = Stack.random(PACIFIC)
    lattice = lattice_of("EPSG:4326", 4)
    box = box_around(lattice, 0.0, 10.0, (200, 300))
    out = warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint8", method="cubic")
    assert out.valid is not None
    assert out.valid.all()
    assert sum(b.size for _, b in stack.reads) < 0.3 * PACIFIC.shape[0] * PACIFIC.shape[1]
    assert all(PACIFIC.box.contains(b) for level, b in stack.reads if level == 0)


def test_an_image_across_the_antimeridian_is_whole_on_both_sides() -> None:
    grid = Grid.from_transform((100, 0, 550_000, 0, -100, 8_000_000), (700, 1500), GeoFrame("EPSG:32660"))
    stack = Stack.random(grid)
    lattice = lattice_of("EPSG:3857", 8)
    west = warp(stack.read, stack.grids, lattice, mercator_box(8, 255, 53, 256), bands=1, dtype="uint8")
    east = warp(stack.read, stack.grids, lattice, mercator_box(8, 0, 53, 256), bands=1, dtype="uint8")
    assert west.valid is not None
    assert east.valid is not None
    assert west.valid[:, -1].any()
    assert east.valid[:, 0].any()
    np.testing.assert_allclose(west.valid[:, -1].sum(), east.valid[:, 0].sum(), atol=3)


def test_degrees_beyond_180_are_found() -> None:
    grid = Grid.from_transform((0.1, 0, 170, 0, -0.1, 10), (200, 400), GeoFrame("EPSG:4326"))
    stack = Stack.random(grid)
    lattice = lattice_of("EPSG:3857", 5)
    out = warp(stack.read, stack.grids, lattice, box_around(lattice, -160.0, 0.0, (90, 100)), bands=1, dtype="uint8")
    assert out.valid is not None
    assert out.valid.all()


def test_what_lies_beside_the_image_reads_nothing() -> None:
    stack = Stack.random(UTM)
    lattice = lattice_of("EPSG:3857", 10)
    box = box_around(lattice, 100.0, -20.0)
    assert plan(stack.grids, lattice, box, "bilinear") == []
    out = warp(stack.read, stack.grids, lattice, box, bands=3, dtype="uint16")
    assert out.array.shape == (3, *box.shape)
    assert out.array.dtype == np.uint16
    assert not out.array.any()
    assert out.valid is not None
    assert not out.valid.any()
    assert stack.reads == []


def test_neighbouring_blocks_of_one_level_share_a_reading() -> None:
    stack = Stack.random(UTM, levels=1)
    lattice = lattice_of("EPSG:3857", 12)
    row, column = (int(v) // 512 for v in box_around(lattice, 15.2, 44.95, (2, 2)).start)
    box = IndexBox((row * 512, column * 512), ((row + 1) * 512, (column + 1) * 512))
    assert len(plan(stack.grids, lattice, box, "bilinear")) == 4
    warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint8")
    assert len(stack.reads) == 1


def test_a_small_box_reads_little() -> None:
    stack = Stack.random(UTM, levels=1)
    lattice = lattice_of("EPSG:3857", 12)
    box = box_around(lattice, 15.2, 44.95, (4, 5))
    warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint8", method="lanczos")
    assert sum(b.size for _, b in stack.reads) < 20 * 20 * 4


def test_too_much_work_takes_a_coarser_level_for_the_whole_block() -> None:
    stack = Stack.random(UTM)
    lattice = lattice_of("EPSG:3857", 11)
    box = box_around(lattice, 15.2, 44.95, (300, 300))
    free = plan(stack.grids, lattice, box, "nearest", limit=None)
    bound = plan(stack.grids, lattice, box, "nearest", limit=20_000)
    assert {p.control.level for p in free} == {0}
    assert {p.control.level for p in bound} == {2}
    assert all(piece.window.size <= 20_000 for p in bound for piece in p.pieces)
    small = IndexBox(box.start, (box.start[0] + 10, box.start[1] + 10))
    assert {p.control.level for p in plan(stack.grids, lattice, small, "nearest", limit=20_000)} == {2}


def test_too_much_work_at_every_level_is_refused() -> None:
    with pytest.raises(InputError, match="source pixels, more than the 1000 allowed"):
        plan(
            (UTM,),
            lattice_of("EPSG:3857", 9),
            box_around(lattice_of("EPSG:3857", 9), 15.2, 44.95),
            "nearest",
            limit=1000,
        )


def test_boxes_off_the_lattice_and_empty_ones_are_refused() -> None:
    lattice = lattice_of("EPSG:3857", 3)
    for box in (IndexBox((-1, 0), (5, 5)), IndexBox((0, 0), (5, 5000)), IndexBox((5, 5), (5, 9))):
        with pytest.raises(OutOfBounds, match="empty or sticks out"):
            plan((UTM,), lattice, box, "nearest")


def test_volumes_no_levels_and_strange_values_are_refused() -> None:
    affine = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
    volume = Grid((4, 4, 4), affine, PatientFrame("1.2"))
    with pytest.raises(InputError, match="raster grids"):
        resample_to(Patch(np.zeros((1, 4, 4, 4)), volume), UTM)
    with pytest.raises(InputError, match="raster grids"):
        plan((), UTM, UTM.box, "nearest")
    with pytest.raises(Unsupported, match="complex64"):
        resample_to(Patch(np.zeros((1, 1100, 1300), np.complex64), UTM), UTM)
    with pytest.raises(FrameMismatch):
        resample_to(Patch(np.zeros((1, 5, 5)), Grid.pixels((5, 5), "x")), UTM)
    with pytest.raises(InputError, match="'mode' is not one of nearest, bilinear"):
        check_method("mode")


def test_a_reader_that_gives_something_else_is_told() -> None:
    stack = Stack.random(UTM, bands=2)
    lattice = lattice_of("EPSG:3857", 11)
    box = box_around(lattice, 15.2, 44.95, (20, 20))
    with pytest.raises(InputError, match=r"asked for pixels of shape \(1, .* the reader gave \(2, "):
        warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint8")
    with pytest.raises(InputError, match="type uint16"):
        warp(stack.read, stack.grids, lattice, box, bands=2, dtype="uint16")


def test_byte_order_of_the_source_makes_no_difference() -> None:
    stack = Stack.random(UTM, dtype="uint16", levels=1)
    lattice = lattice_of("EPSG:3857", 11)
    box = box_around(lattice, 15.2, 44.95, (50, 60))
    little = warp(stack.read, stack.grids, lattice, box, bands=1, dtype="<u2", method="cubic")
    stack.arrays[0] = stack.arrays[0].astype(">u2")
    big = warp(stack.read, stack.grids, lattice, box, bands=1, dtype=">u2", method="cubic")
    np.testing.assert_array_equal(little.array, big.array)


def test_resampling_keeps_leading_axes() -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (2, 3, 40, 50)).astype(np.uint8)
    patch = Patch(array, UTM[:40, :50])
    target = UTM[10:30, 5:45].coarsen(2)
    out = resample_to(patch, target, method="average")
    assert out.array.shape == (2, 3, 10, 20)
    assert out.grid == target
    flat = resample_to(Patch(array[1, 2], UTM[:40, :50]), target, method="average")
    np.testing.assert_array_equal(out.array[1, 2], flat.array)
    blocks = array[..., 10:30, 5:45].reshape(2, 3, 10, 2, 20, 2).astype(int).sum(axis=(3, 5))
    np.testing.assert_array_equal(out.array, (blocks + 2) >> 2)


def test_a_quarter_turn_and_a_flip_move_whole_pixels() -> None:
    array = np.arange(12, dtype=np.int32).reshape(1, 3, 4)
    patch = Patch(array, Grid.pixels((3, 4), "x"))
    turned = Grid.from_transform((0, 1, 0, 1, 0, 0), (4, 3), patch.grid.frame)
    flipped = Grid.from_transform((-1, 0, 4, 0, -1, 3), (3, 4), patch.grid.frame)
    for method in METHODS:
        np.testing.assert_array_equal(resample_to(patch, turned, method=method).array, array.transpose(0, 2, 1))
        np.testing.assert_array_equal(resample_to(patch, flipped, method=method).array, array[:, ::-1, ::-1])


def test_ties_between_two_pixels_fall_the_same_way_everywhere() -> None:
    array = np.arange(2000, dtype=np.int32)[None, None, :]
    grid = Grid.from_transform((0.1, 0, 0.3, 0, 0.1, 0.7), (1, 2000), Grid.pixels((1, 1), "x").frame)
    shifted = Grid.from_transform((0.1, 0, 0.35, 0, 0.1, 0.7), (1, 1999), grid.frame)
    out = resample_to(Patch(array, grid), shifted, method="nearest")
    np.testing.assert_array_equal(out.array[0, 0], np.arange(1, 2000))


def test_warming_compiles_what_was_asked_for() -> None:
    warm(("uint8",))
    compiled = kernels.paint.cache_info().currsize
    warm(("uint8",))
    assert kernels.paint.cache_info().currsize == compiled
    with pytest.raises(Unsupported):
        warm(("complex64",))

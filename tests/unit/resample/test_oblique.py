"""Pictures cut out of volumes: against fields that are linear in space, and against slow references."""

from collections.abc import Callable

import numpy as np
import pytest

from bigimage.errors import FrameMismatch, InputError, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PLANES, PlaneView, Straight, plane_views
from bigimage.model.patch import Patch
from bigimage.resample.oblique import check_method, cut, level_for, oblique_grid, straighten, warm
from tests.pyramids import DTYPES, noise
from tests.volumes import ORDERS, centres, rotation, stored_in, volume

SLOPE = np.array([3.0, -2.0, 5.0])


def field(points: np.ndarray) -> np.ndarray:
    """A value that is linear in space, at points (3, …)."""
    return np.tensordot(SLOPE, points, 1)


def reader(grid: Grid, array: np.ndarray, valid: np.ndarray | None = None) -> Callable[[IndexBox], Patch]:
    """Reads boxes of an array (c, z, y, x)."""

    def read(box: IndexBox) -> Patch:
        mask = None if valid is None else valid[box.slices]
        return Patch(array[(slice(None), *box.slices)], grid.crop(box), mask)

    return read


def straightened(grid: Grid, array: np.ndarray, name: str, index: int, **options: object) -> Patch:
    """A whole plane of an array (c, z, y, x) with square pixels."""
    valid = options.pop("valid", None)
    straight = Straight.of(plane_views(grid)[name])  # type: ignore[index]
    read = reader(grid, array, valid)  # type: ignore[arg-type]
    return straighten(read, straight, index, bands=len(array), dtype=array.dtype, level=grid, **options)  # type: ignore[arg-type]


TILTED = volume((9, 24, 20), [(0, 1.1, 2.0), (0, 0.8, 0), (0.8, 0, 0)])
UNEVEN = volume(
    (7, 12, 10), [(0, 0, 1), (0, 1.0, 0), (1.0, 0, 0)], slices=[(0, 0, z) for z in (0, 1, 2.5, 5, 5.5, 8, 9)]
)
OBLIQUE = volume((8, 11, 9), (rotation((0.4, -0.3, 0.2)) * (0.9, 0.6, 2.0)).T[::-1])


@pytest.mark.parametrize("grid", [TILTED, UNEVEN, OBLIQUE, *(stored_in(order, (1, -1, 1)) for order in ORDERS)])
@pytest.mark.parametrize("name", PLANES)
def test_straight_planes_show_a_linear_field_as_it_is(grid: Grid, name: str) -> None:
    array = field(centres(grid))[None].astype(np.float64)
    patch = straightened(grid, array, name, 2)
    places = centres(patch.grid)
    index = np.moveaxis(grid.to_index(np.moveaxis(places, 0, -1)), -1, 0)
    sizes = np.array(grid.shape)[:, None, None, None]
    inner = ((index > 0.5) & (index < sizes - 0.5)).all(axis=0)
    assert inner.any()
    assert np.allclose(patch.array[0][inner], field(places)[inner], atol=1e-4)
    on = ((index > 1e-6) & (index < sizes - 1e-6)).all(axis=0)
    shown = np.ones(patch.grid.shape, bool) if patch.valid is None else patch.valid
    assert shown[on].all()
    off = ((index < -1e-6) | (index > sizes + 1e-6)).any(axis=0)
    assert not shown[off].any()
    assert not patch.array[0][~shown].any()


def nearest_voxels(grid: Grid, array: np.ndarray, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The voxel that holds the centre of each pixel, and whether there is one."""
    index = np.floor(grid.to_index(np.moveaxis(centres(target), 0, -1)) + 1e-7).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=-1)
    z, y, x = np.where(inside[..., None], index, 0).transpose(3, 0, 1, 2)
    return np.where(inside, array[z, y, x], 0), inside


@pytest.mark.parametrize("grid", [TILTED, UNEVEN])
@pytest.mark.parametrize("name", PLANES)
def test_labels_are_copied_from_the_voxel_that_holds_the_pixel(grid: Grid, name: str) -> None:
    array = np.random.default_rng(1).integers(0, 7, (1, *grid.shape), dtype=np.uint8)
    patch = straightened(grid, array, name, 3, method="nearest")
    expected, inside = nearest_voxels(grid, array[0], patch.grid)
    # pixels on the very border between two voxels may take either
    index = grid.to_index(np.moveaxis(centres(patch.grid), 0, -1))
    clear = (np.abs(index - np.round(index)) > 1e-5).all(axis=-1)
    assert (patch.array[0] == expected)[clear].all()
    assert ((np.ones_like(inside) if patch.valid is None else patch.valid) == inside)[clear].all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_blended(dtype: str) -> None:
    grid = stored_in((2, 1, 0), (1, 1, 1))
    array = noise((2, *grid.shape), dtype)
    patch = straightened(grid, array, "coronal", 2)
    assert patch.array.dtype == np.dtype(dtype)
    # the first and last half of a stored row show it alone; 0.7 mm of 2.5 mm lie within
    # integers of 64 bits and floats are rounded to float64
    assert np.allclose(patch.array[:, 0, 0].astype(float), array[:, -1, 2].astype(float), rtol=1e-15)
    assert np.allclose(patch.array[:, 0, -1].astype(float), array[:, 0, 2].astype(float), rtol=1e-15)
    low, high = float(array[:, :, 2].min()), float(array[:, :, 2].max())
    slack = 1e-15 * max(abs(low), abs(high))
    assert low - slack <= float(patch.array.min())
    assert float(patch.array.max()) <= high + slack
    if np.dtype(dtype).itemsize <= 4 and np.dtype(dtype).kind in "iu":
        assert (patch.array[:, 0, [0, -1]] == array[:, [-1, 0], 2]).all()


def test_integers_are_rounded_half_up() -> None:
    grid = volume((2, 1, 1), [(0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)])
    for low, high, expected in ((0, 2, [2, 2, 1, 0]), (-3, -1, [-1, -1, -2, -3]), (0, 1, [1, 1, 0, 0])):
        array = np.array([low, high], np.int16).reshape(1, 2, 1, 1)
        assert straightened(grid, array, "coronal", 0).array[0, 0, :, 0].tolist() == expected


def test_invalid_voxels_take_no_part() -> None:
    grid = volume((4, 1, 3), [(0, 0, 3.0), (0, 1.0, 0), (1.0, 0, 0)])
    array = np.array([10, 20, 30, 40], np.int16)[None, :, None, None].repeat(3, axis=3)
    valid = np.ones(grid.shape, bool)
    valid[1, 0, 1] = False
    array[0, 1, 0, 1] = -2000
    patch = straightened(grid, array, "coronal", 0, valid=valid)
    assert patch.valid is not None
    column = slice(1, 2)
    assert patch.array[0, 0, :, 0].tolist() == [40, 40, 37, 33, 30, 27, 23, 20, 17, 13, 10, 10]
    assert patch.array[0, 0, :, column].ravel().tolist() == [40, 40, 37, 33, 30, 30, 0, 0, 0, 10, 10, 10]
    assert patch.valid[0, :, column].ravel().tolist() == [True] * 6 + [False] * 3 + [True] * 3


def test_missing_numbers_stay_missing_and_do_not_spread() -> None:
    grid = volume((3, 1, 2), [(0, 0, 3.0), (0, 1.0, 0), (1.0, 0, 0)])
    array = np.array([[1.0, 1.0], [np.nan, 2.0], [3.0, 3.0]], np.float32).reshape(1, 3, 1, 2)
    shown = straightened(grid, array, "coronal", 0).array[0, 0]
    assert np.isnan(shown[:, 0]).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert shown[[0, 1, 2, 6, 7, 8], 0].tolist() == [3, 3, 3, 1, 1, 1]
    assert not np.isnan(shown[:, 1]).any()


@pytest.mark.parametrize("grid", [TILTED, UNEVEN, OBLIQUE, stored_in((0, 2, 1), (-1, 1, -1))])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize("zoom", [0, 1])
def test_parts_join_without_a_seam(grid: Grid, method: str, zoom: int) -> None:
    array = np.random.default_rng(2).integers(-999, 3000, (1, *grid.shape), dtype=np.int16)
    for name, view in plane_views(grid).items():
        straight = Straight.of(view)
        whole = straightened(grid, array, name, 1, method=method, zoom=zoom)
        rows, columns = straight.shape_at(zoom)
        joined, mask = np.zeros((1, 1, rows, columns), np.int16), np.zeros((1, rows, columns), bool)
        for top in range(0, rows, 5):
            for left in range(0, columns, 4):
                part = IndexBox((top, left), (min(rows, top + 5), min(columns, left + 4)))
                patch = straightened(grid, array, name, 1, method=method, zoom=zoom, part=part)
                joined[..., part.slices[0], part.slices[1]] = patch.array
                mask[:, part.slices[0], part.slices[1]] = True if patch.valid is None else patch.valid
        assert (joined == whole.array).all()
        assert (mask == (True if whole.valid is None else whole.valid)).all()


def test_parts_read_no_more_than_they_need() -> None:
    grid = volume((40, 64, 64), [(0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)])
    straight = Straight.of(PlaneView.of(grid, "sagittal"))
    asked: list[IndexBox] = []

    def read(box: IndexBox) -> Patch:
        asked.append(box)
        return Patch(np.zeros((1, *box.shape), np.uint8), grid.crop(box))

    straighten(read, straight, 9, bands=1, dtype="uint8", level=grid, part=IndexBox((0, 16), (16, 32)))
    assert asked == [IndexBox((31, 15, 9), (40, 33, 10))]
    with pytest.raises(OutOfBounds, match="there are 64"):
        straighten(read, straight, 64, bands=1, dtype="uint8", level=grid)


def test_the_empty_corner_of_a_leaning_picture_is_not_read() -> None:
    grid = volume((40, 30, 30), [(0, 4.0, 2.0), (0, 1.0, 0), (1.0, 0, 0)])
    straight = Straight.of(PlaneView.of(grid, "sagittal"))
    rows, columns = straight.shape

    def read(box: IndexBox) -> Patch:
        raise OutOfBounds(f"{box} was read")

    part = IndexBox((0, 0), (8, 8))
    patch = straighten(read, straight, 0, bands=2, dtype="int16", level=grid, part=part)
    assert patch.valid is not None
    assert not patch.valid.any()
    assert patch.array.shape == (2, 1, 8, 8)
    assert columns > 30
    assert rows == 80


def test_types_without_numbers_are_refused() -> None:
    grid = stored_in((2, 1, 0), (1, 1, 1))
    with pytest.raises(Unsupported, match="complex64"):
        straightened(grid, np.zeros((1, *grid.shape), np.complex64), "coronal", 0)
    with pytest.raises(InputError, match="nearest or bilinear"):
        check_method("cubic")


def cut_volume(grid: Grid, array: np.ndarray, target: Grid, **options: object) -> Patch:
    """An oblique plane of an array (c, z, y, x) of one level."""
    valid = options.pop("valid", None)
    read = reader(grid, array, valid)  # type: ignore[arg-type]
    patch, level = cut(
        lambda level, box: read(box),
        [grid],
        target,
        bands=len(array),
        dtype=array.dtype,
        brick=(4, 4, 4),
        **options,  # type: ignore[arg-type]
    )
    assert level == 0
    return patch


@pytest.mark.parametrize("grid", [TILTED, UNEVEN, OBLIQUE, stored_in((1, 0, 2), (1, -1, -1))])
@pytest.mark.parametrize("seed", range(4))
def test_oblique_planes_show_a_linear_field_as_it_is(grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, 3)) * 0.4
    middle = grid.to_world(np.array(grid.shape) / 2)
    target = oblique_grid(middle - 15 * u - 10 * v, u, v, (20, 30), grid)
    patch = cut_volume(grid, field(centres(grid))[None], target)
    places = centres(target)
    index = grid.to_index(np.moveaxis(places, 0, -1))
    inner = ((index > 0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=-1)
    inside = ((index >= 0) & (index < np.array(grid.shape))).all(axis=-1)
    assert inner.any()
    assert np.allclose(patch.array[0][inner], field(places)[inner], atol=1e-4)
    assert ((np.ones_like(inside) if patch.valid is None else patch.valid) == inside).all()
    assert not patch.array[0][~inside].any()


@pytest.mark.parametrize("seed", range(3))
def test_oblique_labels_are_copied(seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 9, (1, *OBLIQUE.shape), dtype=np.uint16)
    u, v = rng.normal(size=(2, 3)) * 0.3
    target = oblique_grid(OBLIQUE.to_world((4, 5, 4)) - 10 * u - 10 * v, u, v, (20, 20), OBLIQUE)
    patch = cut_volume(OBLIQUE, array, target, method="nearest")
    expected, inside = nearest_voxels(OBLIQUE, array[0], target)
    assert (patch.array[0] == expected).all()
    assert ((np.ones_like(inside) if patch.valid is None else patch.valid) == inside).all()


def test_an_oblique_plane_along_the_volume_is_the_plane() -> None:
    grid = stored_in((2, 1, 0), (1, 1, -1))
    array = noise((2, *grid.shape), "int16")
    for name, view in plane_views(grid).items():
        straight = straightened(grid, array, name, 3)
        patch = cut_volume(grid, array, Straight.of(view).grid_of(3))
        assert np.abs(patch.array.astype(int) - straight.array).max() <= 1
        assert (patch.array == straight.array).mean() > 0.99


def test_invalid_voxels_take_no_part_in_oblique_planes() -> None:
    grid = volume((6, 6, 6), [(0, 0, 1.0), (0, 1.0, 0), (1.0, 0, 0)])
    array = np.full((1, *grid.shape), 7, np.int16)
    valid = np.ones(grid.shape, bool)
    valid[2:4, 2:4, 2:4] = False
    array[0][~valid] = 9999
    target = oblique_grid(grid.to_world((3, 0.5, 0.5)), (0.5, 0, 0.1), (0, 0.5, 0), (10, 10), grid)
    patch = cut_volume(grid, array, target, valid=valid)
    assert patch.valid is not None
    assert set(np.unique(patch.array[0][patch.valid])) == {7}
    holes, _ = nearest_voxels(grid, ~valid, target)
    assert (patch.valid == (holes == 0)).all()


def test_missing_numbers_do_not_spread_over_oblique_planes() -> None:
    grid = volume((6, 6, 6), [(0, 0, 1.0), (0, 1.0, 0), (1.0, 0, 0)])
    array = np.full((2, *grid.shape), 7.0, np.float32)
    array[1, 3, 3, 3] = np.nan
    target = oblique_grid(grid.to_world((3.2, 0.5, 0.5)), (0.5, 0, 0.01), (0, 0.5, 0), (10, 10), grid)
    shown = cut_volume(grid, array, target).array[:, 0]
    holes, _ = nearest_voxels(grid, np.isnan(array[1]), target)
    assert (np.isnan(shown[1]) == (holes[0] == 1)).all()
    assert (shown[0] == 7).all()
    assert set(np.unique(shown[1][holes[0] == 0])) == {7}


def test_every_brick_is_read_once() -> None:
    grid = volume((30, 40, 50), [(0, 0, 1.0), (0, 1.0, 0), (1.0, 0, 0)])
    read_times = np.zeros(grid.shape, int)

    def read(level: int, box: IndexBox) -> Patch:
        read_times[box.slices] += 1
        return Patch(np.zeros((1, *box.shape), np.int16), grid.crop(box))

    target = oblique_grid(grid.to_world((0.5, 0.5, 0.5)), (1, 0, 0.3), (0, 1, 0.2), (40, 50), grid)
    cut(read, [grid], target, bands=1, dtype="int16", brick=(8, 8, 8))
    assert read_times.max() == 1
    index = np.floor(grid.to_index(np.moveaxis(centres(target), 0, -1))).astype(int).reshape(-1, 3)
    index = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
    assert (read_times[tuple(index.T)] == 1).all()
    assert read_times.mean() < 0.6


def pyramid(grid: Grid) -> list[Grid]:
    return [grid, grid.coarsen((1, 2, 2)), grid.coarsen((2, 4, 4))]


def test_the_level_follows_the_step() -> None:
    grids = pyramid(volume((64, 128, 128), [(0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)]))

    def level(step: float) -> int:
        return level_for(grids, oblique_grid((0, 0, 0), (step, 0, 0), (0, 0, step), (4, 4), grids[0]))

    assert [level(step) for step in (0.2, 1.0, 1.9, 2.0, 3.9, 4.0, 100.0)] == [0, 0, 0, 1, 1, 2, 2]


def test_planes_that_need_too_much_take_a_coarser_level_or_are_refused() -> None:
    grids = pyramid(volume((64, 128, 128), [(0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)]))
    target = oblique_grid(grids[0].to_world((0.5, 0.5, 0.5)), (1, 0, 1), (0, 1, 0), (128, 128), grids[0])

    def read(level: int, box: IndexBox) -> Patch:
        return Patch(np.zeros((1, *box.shape), np.int16), grids[level].crop(box))

    found = [
        cut(read, grids, target, bands=1, dtype="int16", brick=(8, 8, 8), limit=limit)[1]
        for limit in (1 << 20, 1 << 17, 1 << 15)
    ]
    assert found == [0, 1, 2]
    with pytest.raises(InputError, match="fewer or larger steps"):
        cut(read, grids, target, bands=1, dtype="int16", brick=(8, 8, 8), limit=1000)


def test_a_plane_beside_the_volume_is_empty() -> None:
    target = oblique_grid((9999.0, 0, 0), (1, 0, 0), (0, 1, 0), (3, 4), OBLIQUE)
    patch = cut_volume(OBLIQUE, np.ones((1, *OBLIQUE.shape), np.int16), target)
    assert patch.valid is not None
    assert not patch.valid.any()
    assert not patch.array.any()


def test_an_oblique_grid_begins_with_the_centre_of_its_first_pixel() -> None:
    target = oblique_grid((1.0, 2.0, 3.0), (0.5, 0, 0), (0, 0, -0.25), (4, 6), OBLIQUE)
    assert target.shape == (1, 4, 6)
    assert target.to_world((0.5, 0.5, 0.5)) == pytest.approx((1, 2, 3))
    assert target.to_world((0.5, 1.5, 2.5)) == pytest.approx((2, 2, 2.75))
    assert target.spacing == pytest.approx((0.25, 0.25, 0.5))
    assert target.frame == OBLIQUE.frame


@pytest.mark.parametrize(("u", "v"), [((1, 0, 0), (2, 0, 0)), ((0, 0, 0), (0, 1, 0)), ((1, 1, 0), (-1, -1, 1e-5))])
def test_ways_that_span_no_plane_are_refused(u: tuple[float, ...], v: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="span no plane"):
        oblique_grid((0, 0, 0), u, v, (4, 4), OBLIQUE)


def test_frames_are_not_mixed() -> None:
    other = Grid(OBLIQUE.shape, OBLIQUE.affine, PatientFrame("9.9"))
    target = oblique_grid((0, 0, 0), (1, 0, 0), (0, 1, 0), (4, 4), other)
    with pytest.raises(FrameMismatch):
        cut_volume(OBLIQUE, np.zeros((1, *OBLIQUE.shape), np.int16), target)
    with pytest.raises(InputError, match="volume"):
        oblique_grid((0, 0, 0), (1, 0, 0), (0, 1, 0), (4, 4), Grid.pixels((3, 3), "x"))


def test_kernels_can_be_compiled_ahead() -> None:
    warm(("int16",))
    with pytest.raises(Unsupported):
        warm(("complex64",))

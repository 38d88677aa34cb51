"""Patient planes of volumes in every storage order, tilted and uneven ones included."""

import numpy as np
import pytest

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import (
    PLANES,
    EdgeLetters,
    PlaneName,
    PlaneView,
    Straight,
    direction_letters,
    edge_letters,
    patient_axes,
    plane_views,
    stored_levels,
)
from tests.volumes import ORDERS, SIGNS, centres, check_lines, rotation, shown, stored_in, volume

STANDARD = stored_in((2, 1, 0), (1, 1, 1))
USUAL: dict[PlaneName, EdgeLetters] = {
    "axial": EdgeLetters("R", "L", "A", "P"),
    "coronal": EdgeLetters("R", "L", "H", "F"),
    "sagittal": EdgeLetters("A", "P", "H", "F"),
}


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_storage_order_is_shown_alike(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    grid = stored_in(order, signs)
    places = centres(grid)
    expected = {"axial": (5, (6, 7)), "coronal": (6, (5, 7)), "sagittal": (7, (5, 6))}
    for name, view in plane_views(grid).items():
        count, shape = expected[name]
        assert (view.count, view.shape(grid)) == (count, shape)
        for index in range(count):
            plane = view.grid_of(index)
            assert np.allclose(shown(view, places, index), centres(plane)[:, 0], atol=1e-9)
            assert edge_letters(plane) == USUAL[name]
        first, last = (centres(view.grid_of(i))[:, 0].mean(axis=(1, 2)) for i in (0, count - 1))
        way = {"axial": 2, "coronal": 1, "sagittal": 0}[name]
        assert last[way] > first[way], "index 0 is the inferior, anterior, right end"


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("order", ORDERS)
def test_square_pixels_lie_where_their_grid_says(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    grid = stored_in(order, signs)
    for name, view in plane_views(grid).items():
        straight = Straight.of(view)
        for index in (0, view.count - 1):
            plane = straight.grid_of(index)
            assert plane.spacing[1:] == pytest.approx((straight.pixel,) * 2)
            assert edge_letters(plane) == USUAL[name]
            check_lines(straight, index)
            ends = [view.grid_of(index).to_world((0.5, 0, 0)), plane.to_world((0.5, 0, 0))]
            assert np.allclose(*ends), "the picture's corner is the stored plane's"


def test_the_finer_axis_gives_the_pixel() -> None:
    straight = {name: Straight.of(view) for name, view in plane_views(STANDARD).items()}
    assert {name: s.pixel for name, s in straight.items()} == pytest.approx(
        {"axial": 0.7, "coronal": 0.7, "sagittal": 0.9}
    )
    assert straight["axial"].shape == (8, 7)  # 6 rows of 0.9 mm are 5.4 mm: 7.71 pixels of 0.7 mm
    assert straight["coronal"].shape == (18, 7)
    assert not any(s.is_stored for s in straight.values())


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-2, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((0, 0, 3), "H"),
        ((0, 0, -1), "F"),
        ((0.9, 0.4, 0), "LP"),
        ((0.4, -0.9, 0.1), "ALH"),
        ((1, 0.01, -0.01), "L"),
        ((1, 0.02, 0), "LP"),
        ((0.1, 0.2, -0.9), "FPL"),
    ],
)
def test_letters_name_the_principal_direction_first(direction: tuple[float, ...], letters: str) -> None:
    assert direction_letters(direction) == letters


def test_each_storage_axis_belongs_to_one_patient_axis() -> None:
    # columns of an affine that all point mostly to the left: the best of all assignments wins
    ways = np.array([[0.8, 0.6, 0.0], [0.8, -0.6, 0.1], [0.7, 0.0, 0.7]])
    assert patient_axes(volume((3, 4, 5), ways)) == (0, 1, 2)
    turned = volume((3, 4, 5), (rotation((np.pi / 4, 0, 0)) * (1.0, 1.0, 2.0)).T[::-1])
    assert patient_axes(turned) == (2, 1, 0), "a tie goes to the usual order"


def test_rasters_have_no_planes() -> None:
    with pytest.raises(InputError, match="volume"):
        patient_axes(Grid.pixels((3, 4), "x"))


@pytest.mark.parametrize("index", [-1, 5])
def test_planes_that_do_not_exist_are_refused(index: int) -> None:
    with pytest.raises(OutOfBounds, match="there are 5"):
        PlaneView.of(STANDARD, "axial").stored(index)


def test_parts_are_cut_as_they_are_shown() -> None:
    grid = stored_in((1, 0, 2), (-1, 1, -1))
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    for name in PLANES:
        view = PlaneView.of(grid, name)
        whole = shown(view, array, 1)
        part = IndexBox((1, 2), (4, 5))
        box = view.box(view.stored(1), part, grid)
        assert (view.arrange(view.plane_of(array[box.slices])) == whole[part.slices]).all()
        assert np.allclose(
            centres(view.grid_of(1, part))[:, 0], centres(view.grid_of(1))[:, 0, part.slices[0], part.slices[1]]
        )


def tilted(degrees: float, *, signs: tuple[int, int, int] = (1, 1, 1)) -> Grid:
    """Axial slices of a gantry tilted about x: each is shifted to the back or the front against the one below."""
    shift = 3.0 * np.tan(np.radians(degrees))
    return volume((11, 20, 16), [(0, shift * signs[0], 3.0 * signs[0]), (0, 0.8 * signs[1], 0), (0.8 * signs[2], 0, 0)])


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("degrees", [-25.0, 16.0, 40.0])
def test_tilted_stacks_are_shown_upright(degrees: float, signs: tuple[int, int, int]) -> None:
    grid = tilted(degrees, signs=signs)
    views = plane_views(grid)
    sagittal = Straight.of(views["sagittal"])
    plane = sagittal.grid_of(3)
    matrix = np.asarray(plane.affine)
    assert matrix[:, 1] == pytest.approx((0, 0, -0.8)), "rows follow each other straight down"
    assert matrix[:, 2] == pytest.approx((0, 0.8, 0))
    check_lines(sagittal, 3)
    stored = centres(grid)[:, :, :, views["sagittal"].stored(3)]
    corners = plane.corners()
    assert corners[:, 1].min() <= stored[1].min()
    assert corners[:, 1].max() >= stored[1].max()
    # planes of the stack are stored planes, and so are those that lean as a whole
    assert Straight.of(views["axial"]).is_stored
    coronal = Straight.of(views["coronal"])
    check_lines(coronal, 4)
    assert coronal.shape[0] == round(11 * grid.spacing[0] / 0.8)
    assert edge_letters(coronal.grid_of(4)).top == ("HA" if degrees < 0 else "HP")


UNEVEN = (0.0, 1.0, 2.0, 5.0, 6.0, 6.5)


def test_uneven_slices_stand_at_their_places() -> None:
    grid = volume((6, 8, 8), [(0, 0, 1), (0, 0.5, 0), (0.5, 0, 0)], slices=[(0, 0, z) for z in UNEVEN])
    view = plane_views(grid)["coronal"]
    straight = Straight.of(view)
    assert view.is_uneven
    assert straight.pixel == 0.5
    # from half a millimetre below the first slice to a quarter above the last
    assert straight.shape == (round(7.25 / 0.5), 8)
    lines = straight.lines(IndexBox.of_shape(straight.shape), zoom=0, level=grid)
    heights = centres(straight.grid_of(0))[2, 0, :, 0]
    assert np.allclose(grid.to_world(np.stack([lines.along, 0 * heights, 0 * heights], -1))[:, 2], heights)
    axial = plane_views(grid)["axial"]
    assert [float(centres(axial.grid_of(k))[2, 0, 0, 0]) - 100.5 for k in range(6)] == pytest.approx(UNEVEN)
    assert Straight.of(axial).is_stored


def test_slices_shifted_sideways_are_put_straight() -> None:
    shifts = (0.0, 1.0, -2.0, 0.5, 3.0, 0.0)
    slices = [(0.0, y, z) for y, z in zip(shifts, UNEVEN, strict=True)]
    grid = volume((6, 8, 8), [(0, 0, 1), (0, 0.5, 0), (0.5, 0, 0)], slices=slices)
    straight = Straight.of(plane_views(grid)["sagittal"])
    check_lines(straight, 2)
    assert straight.shape[1] == round((8 * 0.5 + 5.0) / 0.5)


def test_a_shear_within_slices_is_put_straight() -> None:
    grid = volume((4, 10, 9), [(0, 0, 2.0), (0.3, 1.0, 0), (1.0, 0, 0)])
    straight = Straight.of(plane_views(grid)["axial"])
    assert not straight.is_stored
    assert np.asarray(straight.grid_of(1).affine)[:, 1] == pytest.approx((0, 1, 0))
    check_lines(straight, 1)


def levels(grid: Grid, *factors: tuple[int, int, int]) -> list[Grid]:
    """Grids of a pyramid."""
    return [grid, *(grid.coarsen(factor) for factor in factors)]


def test_coarse_levels_show_the_slice_that_holds_the_plane() -> None:
    grid = stored_in((2, 1, 0), (-1, 1, 1))
    coarse = grid.coarsen((2, 2, 2))
    view = PlaneView.of(grid, "axial")
    assert [view.slice_at(k, grid) for k in range(5)] == [4, 3, 2, 1, 0]
    assert [view.slice_at(k, coarse) for k in range(5)] == [2, 1, 1, 0, 0]


def test_levels_that_show_the_same_pixels_count_once() -> None:
    grid = volume((64, 32, 32), [(0, 0, 0.5), (0, 1, 0), (1, 0, 0)])
    pyramid = levels(grid, (2, 1, 1), (4, 2, 2))
    assert stored_levels(PlaneView.of(grid, "axial"), pyramid) == (0, 2)
    assert stored_levels(PlaneView.of(grid, "coronal"), pyramid) == (0, 1, 2)


def test_zooms_read_the_coarsest_level_that_is_fine_enough() -> None:
    grid = volume((40, 256, 256), [(0, 0, 5.0), (0, 0.75, 0), (0.75, 0, 0)])
    pyramid = levels(grid, (1, 2, 2), (1, 4, 4), (2, 8, 8))
    straight = Straight.of(PlaneView.of(grid, "coronal"))
    assert straight.shape == (round(200 / 0.75), 256)
    assert [straight.level_for(zoom, pyramid) for zoom in range(5)] == [0, 1, 2, 2, 3]
    axial = Straight.of(PlaneView.of(grid, "axial"))
    assert [axial.level_for(zoom, pyramid) for zoom in range(4)] == [0, 1, 2, 3]
    assert axial.shape_at(2) == (64, 64)
    assert np.allclose(axial.grid_of(7, zoom=2).corners(), axial.grid_of(7).corners())


def test_nearly_square_pixels_are_left_alone() -> None:
    grid = volume((4, 100, 100), [(0, 0, 2.0), (0, 0.7, 0), (0.7004, 0, 0)])
    assert Straight.of(PlaneView.of(grid, "axial")).is_stored
    stretched = volume((4, 100, 100), [(0, 0, 2.0), (0, 0.7, 0), (0.71, 0, 0)])
    assert not Straight.of(PlaneView.of(stretched, "axial")).is_stored

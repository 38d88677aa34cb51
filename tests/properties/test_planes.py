"""Planes of volumes in any orientation: pictures lie where their grids say, and no voxel is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import TILT_TOLERANCE
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PLANES, Straight, edge_letters, plane_views
from tests.volumes import ORDERS, centres, check_lines, rotation, shown, volume

angles = st.floats(-np.pi, np.pi)
sides = st.floats(0.3, 4.0)


@st.composite
def volumes(draw: st.DrawFn) -> Grid:
    """Volumes of any orientation, storage order and handedness, tilted or uneven."""
    turned = rotation(draw(st.tuples(angles, angles, angles))) * draw(st.sampled_from([-1, 1]))
    columns = (turned[:, draw(st.sampled_from(ORDERS))] * np.array(draw(st.tuples(sides, sides, sides)))).T
    lean = draw(st.tuples(st.just(0.0) | st.floats(-0.6, 0.6), st.just(0.0) | st.floats(-0.6, 0.6)))
    columns[0] += lean[0] * columns[1] + lean[1] * columns[2]
    shape = draw(st.tuples(st.integers(2, 9), st.integers(1, 9), st.integers(1, 9)))
    slices = None
    if draw(st.booleans()):
        steps = draw(st.lists(st.floats(0.2, 3.0), min_size=shape[0] - 1, max_size=shape[0] - 1))
        slices = np.concatenate([[0], np.cumsum(steps)])[:, None] * columns[0]
    return volume(shape, columns, slices=slices)


@given(volumes())
def test_displayed_planes_lie_where_their_grids_say(grid: Grid) -> None:
    views = plane_views(grid)
    assert sorted(view.axes[0] for view in views.values()) == [0, 1, 2]
    places = centres(grid)
    for view in views.values():
        assert sorted(view.axes) == [0, 1, 2]
        for index in {0, view.count - 1}:
            plane = view.grid_of(index)
            assert plane.shape[1:] == view.shape(grid)
            if not view.is_uneven:
                assert np.allclose(centres(plane)[:, 0], shown(view, places, index), atol=1e-8)
            straight = Straight.of(view)
            if not straight.is_stored and max(straight.shape) < 200:
                # a stack that hardly leans is shown as if it did not
                hardly = not _is_right(grid) and not any(lean for _, _, lean in straight.stops)
                check_lines(straight, index, tolerance=TILT_TOLERANCE * straight.stops[-1][1] if hardly else 1e-7)


def _is_right(grid: Grid) -> bool:
    """Whether the axes of a grid are at right angles."""
    columns = np.asarray(grid.affine)[:, :3]
    return bool(np.allclose(columns.T @ columns, np.diag((columns**2).sum(axis=0)), atol=1e-12))


@given(volumes())
def test_every_voxel_lies_within_its_straight_picture(grid: Grid) -> None:
    places = centres(grid)
    for view in plane_views(grid).values():
        straight = Straight.of(view)
        index = view.count // 2
        plane = straight.grid_of(index)
        at = plane.to_index(np.moveaxis(shown(view, places, index), 0, -1))
        # a centre may lie half a pixel outside of the pixels whose centres the volume holds
        assert (at[..., 1:] > -0.5 - 1e-6).all()
        assert (at[..., 1:] < np.array(straight.shape) + 0.5 + 1e-6).all()
        matrix = np.asarray(plane.affine)
        if not straight.is_stored:
            assert matrix[:, 1] @ matrix[:, 2] == pytest.approx(0, abs=1e-9)
            assert plane.spacing[1] == pytest.approx(plane.spacing[2])


@given(volumes())
def test_letters_face_each_other(grid: Grid) -> None:
    opposite = str.maketrans("LRAPHF", "RLPAFH")
    for name in PLANES:
        letters = edge_letters(Straight.of(plane_views(grid)[name]).grid_of(0))
        assert letters.left.translate(opposite) == letters.right
        assert letters.top.translate(opposite) == letters.bottom
        assert letters.left
        assert letters.top


@given(volumes(), st.data())
def test_parts_of_pictures_are_the_picture(grid: Grid, data: st.DataObject) -> None:
    view = plane_views(grid)[data.draw(st.sampled_from(PLANES))]
    straight = Straight.of(view)
    rows, columns = straight.shape
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    part = IndexBox((top, left), (rows, columns))
    whole = straight.lines(IndexBox.of_shape(straight.shape), zoom=0, level=grid)
    lines = straight.lines(part, zoom=0, level=grid)
    skipped, begin = (left, top) if lines.by_columns else (top, left)
    assert (lines.along == whole.along[skipped:]).all()
    assert (lines.first == whole.first[skipped:]).all()
    assert (lines.begin, lines.step) == (begin, whole.step)
    assert np.allclose(straight.grid_of(0, part=part).to_world((0, 0, 0)), straight.grid_of(0).to_world((0, top, left)))

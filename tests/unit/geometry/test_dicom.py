import math
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import DataError, InputError
from bigimage.geometry.dicom import (
    Plane,
    directions,
    from_centred,
    measure,
    normal,
    orientation_fault,
    place_tolerance,
    plane_of,
    regular_grid,
    spacing_fault,
    stack_grid,
    to_centred,
)
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid

FRAME = PatientFrame("1.2.3")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def turned(angles: tuple[float, float, float]) -> tuple[float, ...]:
    """Row and column direction of an axial plane turned about x, y and z."""
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    matrix = about_z @ about_y @ about_x
    return (*map(float, matrix[:, 0]), *map(float, matrix[:, 1]))


angles = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)
sizes = st.floats(0.05, 20.0)
places = st.tuples(*[st.floats(-500.0, 500.0)] * 3)


@given(angles, sizes, sizes, sizes, places)
def test_the_centre_of_each_pixel_is_where_dicom_has_it(
    turn: tuple[float, float, float], dy: float, dx: float, step: float, first: tuple[float, float, float]
) -> None:
    """Equation C.7.6.2.1-1: position + column · dx · row direction + row · dy · column direction."""
    orientation = turned(turn)
    row, column = directions(orientation)
    axis = np.cross(row, column)
    planes = [Plane(tuple(np.asarray(first) + k * step * axis), orientation, (dy, dx)) for k in range(4)]
    grid = stack_grid(planes, (5, 7), FRAME, thickness=9.0)
    assert grid.slices is None
    for k, r, c in ((0, 0, 0), (3, 4, 6), (1, 2, 5)):
        stated = np.asarray(planes[k].position) + c * dx * row + r * dy * column
        np.testing.assert_allclose(grid.to_world((k + 0.5, r + 0.5, c + 0.5)), stated, atol=1e-9)
    assert grid.spacing == pytest.approx((step, dy, dx))


@given(angles, places, st.lists(st.floats(0.5, 5.0), min_size=2, max_size=6))
def test_planes_come_back_as_they_were(
    turn: tuple[float, float, float], first: tuple[float, float, float], steps: list[float]
) -> None:
    orientation = turned(turn)
    axis = normal(orientation)
    depths = np.concatenate([[0.0], np.cumsum(steps)])
    planes = [Plane(tuple(np.asarray(first) + d * axis), orientation, (0.7, 0.9)) for d in depths]
    grid = stack_grid(planes, (3, 4), FRAME, thickness=1.0)
    tolerance = 1e-9 if grid.slices is not None else 0.05
    for k, plane in enumerate(planes):
        back = plane_of(grid, k)
        np.testing.assert_allclose(back.position, plane.position, atol=tolerance)
        np.testing.assert_allclose(back.orientation, orientation, atol=1e-12)
        assert back.spacing == pytest.approx((0.7, 0.9))


def test_a_part_of_an_uneven_stack_keeps_its_planes() -> None:
    planes = [Plane((1.0, 2.0, z), AXIAL, (0.5, 0.4)) for z in (0.0, 2.0, 7.0, 8.5)]
    grid = stack_grid(planes, (10, 12), FRAME, thickness=1.0)[1:3, 2:6, 3:9]
    assert plane_of(grid, 0).position == pytest.approx((1.0 + 3 * 0.4, 2.0 + 2 * 0.5, 2.0))
    assert plane_of(grid, 1).position == pytest.approx((1.0 + 3 * 0.4, 2.0 + 2 * 0.5, 7.0))


def test_a_single_plane_has_its_thickness() -> None:
    grid = stack_grid([Plane((0.0, 0.0, 5.0), AXIAL, (1.0, 1.0))], (2, 2), FRAME, thickness=3.0)
    np.testing.assert_allclose(grid.to_world([(0, 0, 0), (1, 2, 2)]), [(-0.5, -0.5, 3.5), (1.5, 1.5, 6.5)])


@pytest.mark.parametrize(
    ("orientation", "fault"),
    [
        (AXIAL, None),
        ((0.98, 0.17, 0, -0.17, 0.98, 0), None),
        ((1, 0, 0), "has 3 numbers"),
        ((1, 0, 0, 0, math.nan, 0), "not finite"),
        ((0, 0, 0, 0, 1, 0), "length 0"),
        ((2, 0, 0, 0, 1, 0), "length 2"),
        ((1, 0, 0, 1, 0, 0), "meet at 0.0°"),
        ((1, 0, 0, 0.5, 0.866, 0), "meet at 60.0°"),
    ],
)
def test_faults_of_orientations(orientation: tuple[float, ...], fault: str | None) -> None:
    found = orientation_fault(orientation)
    assert found is None if fault is None else found is not None and fault in found


@pytest.mark.parametrize(
    ("spacing", "fault"),
    [
        ((0.5, 0.4), None),
        ((0.5,), "1 numbers"),
        ((0.0, 1.0), "positive"),
        ((-1.0, 1.0), "positive"),
        ((math.inf, 1.0), "finite"),
    ],
)
def test_faults_of_spacings(spacing: tuple[float, ...], fault: str | None) -> None:
    found = spacing_fault(spacing)
    assert found is None if fault is None else found is not None and fault in found


def test_the_step_is_a_vector_and_the_tilt_its_angle() -> None:
    points = [(0.0, k * 1.0, k * 5.0) for k in range(5)]
    stack = measure(points, AXIAL)
    assert stack.step == (0.0, 1.0, 5.0)
    assert stack.tilt == pytest.approx(math.degrees(math.atan(1 / 5)))
    assert stack.distances == (5.0,) * 4
    assert stack.regular


def test_a_gap_hides_no_tilt_and_jitter_is_none() -> None:
    tilted = measure([(0.0, z / 5, z) for z in (0.0, 5.0, 15.0, 20.0)], AXIAL)
    assert tilted.tilt == pytest.approx(math.degrees(math.atan(1 / 5)))
    assert not tilted.regular
    assert measure([(0.0, y, 5.0 * k) for k, y in enumerate((0.0, 3.0, -1.0, 1.0))], AXIAL).tilt == 0.0


@pytest.mark.parametrize("points", [[(0, 0, 0)], [(0, 0, 0), (0, 0, 0)], [(0, 0, 5), (0, 0, 0)]])
def test_stacks_that_are_none_are_refused(points: list[tuple[float, ...]]) -> None:
    with pytest.raises(InputError):
        measure(points, AXIAL)


def test_planes_are_at_one_place_by_the_distance_of_the_stack() -> None:
    assert place_tolerance(np.array([0.0, 5.0, 10.0])) == pytest.approx(0.01)
    assert place_tolerance(np.array([0.0, 0.005, 0.01])) == pytest.approx(0.00025)
    assert place_tolerance(np.array([3.0])) > 0


@given(angles, places, sizes, sizes, sizes, st.floats(-0.4, 0.4))
def test_affines_of_nifti_are_those_of_nibabel(
    turn: tuple[float, float, float],
    origin: tuple[float, float, float],
    x: float,
    y: float,
    z: float,
    shear: float,
) -> None:
    row, column = directions(turned(turn))
    third = np.cross(row, column) + shear * column
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * x, column * y, third * z], axis=1)
    affine[:3, 3] = origin
    grid = from_centred(affine, (3, 4, 5), FRAME, ras=True)
    assert grid.shape == (5, 4, 3)
    voxels = np.array([(0, 0, 0), (2, 3, 4), (1, 0, 2)])
    ras = nibabel.affines.apply_affine(affine, voxels)
    lps = ras * (-1, -1, 1)
    np.testing.assert_allclose(grid.to_world(voxels[:, ::-1] + 0.5), lps, atol=1e-9)
    np.testing.assert_allclose(to_centred(grid, ras=True), affine, atol=1e-9)


def test_affines_of_itk_are_those_of_simpleitk() -> None:
    image = sitk.Image(3, 4, 5, sitk.sitkInt16)
    image.SetSpacing((0.5, 0.7, 2.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0.0, 1.0, 0.0, 0.0, 0.0, -1.0, -1.0, 0.0, 0.0))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    grid = from_centred(affine, image.GetSize(), FRAME, ras=False)
    for index in ((0, 0, 0), (2, 3, 4)):
        np.testing.assert_allclose(
            grid.to_world(np.add(index[::-1], 0.5)), image.TransformIndexToPhysicalPoint(index), atol=1e-12
        )


def test_what_has_no_affine_is_refused() -> None:
    uneven = stack_grid([Plane((0, 0, z), AXIAL, (1, 1)) for z in (0.0, 1.0, 3.0)], (2, 2), FRAME, thickness=1.0)
    flat = Grid.pixels((4, 5), "a")
    with pytest.raises(InputError, match="regularize"):
        to_centred(uneven, ras=True)
    for call in (lambda: to_centred(flat, ras=True), lambda: plane_of(flat, 0), lambda: regular_grid(flat)):
        with pytest.raises(InputError, match="volume"):
            call()
    with pytest.raises(DataError, match="4×4"):
        from_centred(np.eye(3), (1, 1, 1), FRAME, ras=True)


def test_the_regular_grid_of_a_regular_stack_is_itself() -> None:
    planes = [Plane((1.0, 2.0, 3.0 * k), AXIAL, (0.5, 0.4)) for k in range(4)]
    grid = stack_grid(planes, (6, 7), FRAME, thickness=1.0)
    regular = regular_grid(grid)
    assert regular.shape == grid.shape
    np.testing.assert_allclose(regular.corners(), grid.corners(), atol=1e-9)


def test_the_regular_grid_of_a_tilted_stack_holds_all_of_it() -> None:
    planes = [Plane((0.0, 1.5 * k, 5.0 * k), AXIAL, (0.5, 0.5)) for k in range(5)]
    grid = stack_grid(planes, (20, 20), FRAME, thickness=1.0)
    regular = regular_grid(grid)
    assert regular.shape == (5, 32, 20)
    matrix = np.asarray(regular.affine)[:, :3]
    np.testing.assert_allclose(matrix.T @ matrix, np.diag([25.0, 0.25, 0.25]), atol=1e-12)
    inside = regular.to_index(grid.to_world([(k + 0.5, y, x) for k in range(5) for y in (0, 20) for x in (0, 20)]))
    assert (inside >= -1e-9).all()
    assert (inside <= np.asarray(regular.shape) + 1e-9).all()


def test_the_regular_grid_of_an_uneven_stack_has_the_usual_distance() -> None:
    planes = [Plane((0.0, 0.0, z), AXIAL, (1.0, 1.0)) for z in (0.0, 2.0, 4.0, 8.0)]
    regular = regular_grid(stack_grid(planes, (3, 3), FRAME, thickness=1.0))
    assert regular.shape == (5, 3, 3)
    assert regular.spacing == pytest.approx((2.0, 1.0, 1.0))
    assert regular.slices is None
    downwards = replace(from_centred(np.diag([1.0, 1.0, -2.0, 1.0]), (3, 3, 4), FRAME, ras=False))
    np.testing.assert_allclose(regular_grid(downwards).corners(), downwards.corners(), atol=1e-9)

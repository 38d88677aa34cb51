"""Places on grids: exact at a million pixels, whatever the affine, and the same however a grid is cut."""

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid

FRAME = GeoFrame("EPSG:32633")
MILLION = 1_000_000
EXACT = 1e-6
"""Pixels."""


@st.composite
def rasters(draw: st.DrawFn, *, largest: int = MILLION, aligned: bool | None = None) -> Grid:
    """Rotated, sheared, mirrored and stretched grids, as far from the origin as projected coordinates get."""
    pixel = 10.0 ** draw(st.floats(-2, 4))
    stretch = 10.0 ** draw(st.floats(-0.7, 0.7))
    flip = draw(st.sampled_from([-1.0, 1.0]))
    if draw(st.booleans()) if aligned is None else aligned:
        right, down = np.array([draw(st.sampled_from([-pixel, pixel])), 0.0]), np.array([0.0, flip * stretch * pixel])
    else:
        angle, shear = draw(st.floats(0, 2 * np.pi)), draw(st.floats(-1, 1))
        right = pixel * np.array([np.cos(angle), np.sin(angle)])
        down = flip * stretch * (pixel * np.array([-np.sin(angle), np.cos(angle)]) + shear * right)
    reach = min(2e7, 3e8 * pixel)
    origin = draw(st.tuples(st.floats(-reach, reach), st.floats(-reach, reach)))
    shape = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    rows = tuple((float(down[i]), float(right[i]), origin[i]) for i in range(2))
    return Grid(shape, rows, FRAME)


@st.composite
def volumes(draw: st.DrawFn) -> Grid:
    """Oblique volumes in millimetres; every other one with slices at uneven distances."""
    axes = np.linalg.qr(
        np.array(draw(st.lists(st.floats(-1, 1), min_size=9, max_size=9))).reshape(3, 3) + 2 * np.eye(3)
    )
    spacing = np.array(draw(st.lists(st.floats(0.05, 10), min_size=3, max_size=3)))
    matrix = axes.Q * spacing
    origin = np.array(draw(st.lists(st.floats(-2000, 2000), min_size=3, max_size=3)))
    shape = (draw(st.integers(2, 40)), draw(st.integers(1, 4096)), draw(st.integers(1, 4096)))
    slices = None
    if draw(st.booleans()):
        steps = np.array(draw(st.lists(st.floats(0.1, 3), min_size=shape[0] - 1, max_size=shape[0] - 1)))
        along = np.concatenate([[0], np.cumsum(steps)])
        places = origin + along[:, None] * matrix[:, 0]
        slices = tuple(tuple(map(float, place)) for place in places)
        matrix[:, 0] = (places[-1] - places[0]) / (shape[0] - 1)
        origin = places[0] - 0.5 * matrix[:, 0]
    rows = tuple((*map(float, matrix[i]), float(origin[i])) for i in range(3))
    return Grid(shape, rows, PatientFrame("1.2"), slices)


units = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def _exact(grid: Grid, index: np.ndarray) -> list[Fraction]:
    """World point by rational arithmetic."""
    terms = [*map(Fraction, map(float, index)), Fraction(1)]
    return [sum(Fraction(a) * t for a, t in zip(row, terms, strict=True)) for row in grid.affine]  # pyright: ignore


@given(rasters(), units)
def test_world_points_are_exact_to_a_millionth_of_a_pixel(grid: Grid, unit: list[float]) -> None:
    index = np.array(unit[:2]) * grid.shape
    world = grid.to_world(index)
    error = [abs(Fraction(float(w)) - e) for w, e in zip(world, _exact(grid, index), strict=True)]
    assert float(max(error)) < EXACT * min(grid.spacing)
    np.testing.assert_allclose(grid.to_index(world), index, rtol=0, atol=EXACT)


@given(volumes(), units)
def test_voxels_come_back_from_the_world(grid: Grid, unit: list[float]) -> None:
    index = np.array(unit) * grid.shape
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, rtol=0, atol=EXACT)
    many = np.stack([index, index[::1] * 0.5])
    np.testing.assert_allclose(grid.to_world(many)[0], grid.to_world(index), rtol=0, atol=1e-12 * 1e4)


@st.composite
def cuts(draw: st.DrawFn, grid: Grid) -> IndexBox:
    """A box inside a grid."""
    start = tuple(draw(st.integers(0, n - 1)) for n in grid.shape)
    return IndexBox(start, tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, grid.shape, strict=True)))


@given(st.data(), st.one_of(rasters(), volumes()))
def test_a_cut_leaves_pixels_where_they_are(data: st.DataObject, grid: Grid) -> None:
    box = data.draw(cuts(grid))
    part = grid.crop(box)
    assert part.shape == box.shape
    index = np.stack([np.zeros(grid.ndim), np.array(part.shape) / 2, np.array(part.shape, dtype=float)])
    if grid.slices is not None:  # beyond its first and last plane a cut goes on with its own spacing
        index[:, 0] = np.clip(index[:, 0], 0.5, part.shape[0] - 0.5)
    back = grid.to_index(part.to_world(index))
    np.testing.assert_allclose(back, index + box.start, rtol=0, atol=EXACT)


@given(rasters(), st.integers(1, 9), st.integers(1, 9), units)
def test_coarsening_is_pure_scaling(grid: Grid, first: int, second: int, unit: list[float]) -> None:
    coarse = grid.coarsen((first, second))
    assert coarse.shape == (-(-grid.shape[0] // first), -(-grid.shape[1] // second))
    index = np.array(unit[:2]) * coarse.shape
    back = grid.to_index(coarse.to_world(index))
    np.testing.assert_allclose(back, index * (first, second), rtol=0, atol=EXACT * 20)
    assert coarse.coarsen(2).shape == grid.coarsen((2 * first, 2 * second)).shape


@given(st.data(), rasters())
def test_cutting_and_coarsening_commute_where_blocks_are_whole(data: st.DataObject, grid: Grid) -> None:
    factor = data.draw(st.sampled_from([2, 4, 8, 16]))
    coarse = grid.coarsen(factor)
    box = data.draw(cuts(coarse))
    fine = IndexBox(
        tuple(a * factor for a in box.start),
        tuple(min(b * factor, n) for b, n in zip(box.stop, grid.shape, strict=True)),
    )
    first, second = grid.crop(fine).coarsen(factor), coarse.crop(box)
    assert first.shape == second.shape
    assert first.frame == second.frame
    np.testing.assert_allclose(second.to_index(first.corners()), second.to_index(second.corners()), rtol=0, atol=EXACT)


@given(st.data(), rasters())
def test_the_box_of_some_pixels_touches_just_them(data: st.DataObject, grid: Grid) -> None:
    box = data.draw(cuts(grid))
    found = grid.index_box(grid.crop(box).world_bounds())
    assert found.contains(box)
    if grid.is_aligned:
        assert found == box


@given(rasters(largest=12, aligned=True), st.tuples(*[st.floats(-0.5, 1.5)] * 4))
def test_touched_pixels_are_those_that_overlap(grid: Grid, ends: tuple[float, ...]) -> None:
    bounds = np.array(grid.world_bounds().values).reshape(2, 2)
    corners = bounds[0] + np.array(ends).reshape(2, 2) * (bounds[1] - bounds[0])
    box = WorldBox(tuple(corners.min(axis=0)), tuple(corners.max(axis=0)), FRAME)
    low, high = np.sort(grid.to_index(corners), axis=0)
    assume((high - low > 1e-5).all())
    found = grid.index_box(box)
    for y, x in np.ndindex(*grid.shape):
        overlap = min(y + 1 - low[0], high[0] - y, x + 1 - low[1], high[1] - x)
        touched = found.contains(IndexBox((y, x), (y + 1, x + 1)))
        # a hair's breadth more or less than nothing may be decided either way
        assert touched == (overlap > 0) or abs(overlap) < 3e-6

"""Blocks, ellipsoids, tubes and lines in volumes, held to distances that are computed the slow way."""

from dataclasses import replace

import numpy as np
import pytest

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.shape import Box, Cuboid, Ellipse
from bigimage.rasterize.solids import Tube, centres, inside, on_line, tubes
from tests import volumes

SHAPE = (12, 20, 24)
STRAIGHT = (1.0, 0.0, 0.0, 0.0)
GRIDS = {
    "straight": volumes.volume(SHAPE, [(0, 0, 2.0), (0, 0.8, 0), (0.5, 0, 0)]),
    "tilted": volumes.volume(SHAPE, [(0, 0.4, 2.0), (0, 0.8, 0), (0.5, 0, 0)]),
    "oblique": volumes.volume(SHAPE, (volumes.rotation((0.4, -0.3, 0.2)) @ np.diag([2.0, 0.8, 0.5])).T.tolist()),
    "uneven": volumes.volume(
        SHAPE,
        [(0, 0, 2.0), (0, 0.8, 0), (0.5, 0, 0)],
        slices=[(0.1 * k, 0, 2 * k + 0.37 * (k % 3)) for k in range(12)],
    ),
}


@pytest.fixture(params=GRIDS.values(), ids=list(GRIDS))
def grid(request: pytest.FixtureRequest) -> Grid:
    return request.param


def points(grid: Grid) -> np.ndarray:
    """World centres, (z, y, x, 3)."""
    return np.moveaxis(volumes.centres(grid), 0, -1)


def test_centres_are_those_of_the_grid_however_it_is_cut(grid: Grid) -> None:
    whole = np.stack(centres(grid, grid.box), axis=-1)
    assert np.allclose(whole, points(grid), atol=1e-9)
    part = IndexBox((3, 5, 7), (9, 11, 20))
    assert np.array_equal(np.stack(centres(grid, part), axis=-1), whole[part.slices])


def middle(grid: Grid) -> tuple[float, float, float]:
    x, y, z = points(grid)[6, 10, 12].tolist()
    return x + 0.11, y - 0.07, z + 0.3


def test_blocks_and_ellipsoids_hold_the_centres_within_them(grid: Grid) -> None:
    center = middle(grid)
    away = points(grid) - np.array(center)
    box = Box(tuple(c - 3.3 for c in center), tuple(c + 2.2 for c in center))
    assert np.array_equal(inside(box, grid, grid.box), ((away >= -3.3) & (away <= 2.2)).all(axis=-1))
    cuboid = Cuboid(center, (6.0, 4.0, 8.0), STRAIGHT)
    assert np.array_equal(inside(cuboid, grid, grid.box), (np.abs(away) <= [3.0, 2.0, 4.0]).all(axis=-1))
    ball = Ellipse(center, (4.0, 3.0, 5.0), STRAIGHT)
    assert np.array_equal(inside(ball, grid, grid.box), ((away / [4.0, 3.0, 5.0]) ** 2).sum(axis=-1) <= 1)
    assert not inside(Ellipse(center, (4.0, 0.0, 5.0), STRAIGHT), grid, grid.box).any()


def distance(places: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance of places to a segment, the slow way: to the nearest of many points of it."""
    shares = np.linspace(0, 1, 2001)
    line = start + shares[:, None] * (stop - start)
    flat = places.reshape(-1, 3)
    return np.array([np.sqrt(((line - p) ** 2).sum(axis=1).min()) for p in flat]).reshape(places.shape[:-1])


@pytest.mark.parametrize("in_voxels", [False, True])
def test_a_line_with_a_radius_holds_what_is_that_near(grid: Grid, in_voxels: bool) -> None:
    ends = grid.to_world(np.array([[2.2, 4.3, 3.1], [8.4, 12.7, 20.2]]))
    index = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in grid.shape), indexing="ij"), axis=-1)
    places, a, b = (index, *grid.to_index(ends)) if in_voxels else (points(grid), *ends)
    away = distance(places, a, b)
    ((tube, reach),) = tubes(ends, 2.3, grid, in_voxels=in_voxels)
    found = inside(tube, grid, grid.box)
    sure = np.abs(away - 2.3) > 1e-3
    assert np.array_equal(found[sure], (away <= 2.3)[sure])
    assert found.sum() > 50
    # nothing lies beyond the box that is looked at, and cutting changes nothing
    beyond = found.copy()
    beyond[reach.slices] = False
    assert not beyond.any()
    part = IndexBox((3, 5, 7), (9, 11, 20))
    assert np.array_equal(inside(tube, grid, part), found[part.slices])


def test_a_point_with_a_radius_is_a_ball(grid: Grid) -> None:
    center = np.array(middle(grid))
    ((tube, _),) = tubes(center[None], 3.0, grid, in_voxels=False)
    assert tube == Tube(tuple(center.tolist()), tuple(center.tolist()), 3.0, in_voxels=False)
    away = np.sqrt(((points(grid) - center) ** 2).sum(axis=-1))
    assert np.array_equal(inside(tube, grid, grid.box), away <= 3.0)


def test_tubes_that_touch_nothing_or_have_no_place_are_left_out(grid: Grid) -> None:
    far = grid.to_world(np.array([[500.0, 500.0, 500.0]]))
    assert tubes(far, 1.0, grid, in_voxels=False) == []
    assert tubes(np.array([[np.nan, 0.0, 0.0]]), 1.0, grid, in_voxels=False) == []
    three = grid.to_world(np.array([[2.0, 2, 2], [4, 8, 8], [9, 9, 20]]))
    assert len(tubes(three, 1.0, grid, in_voxels=True)) == 2


def reached(voxels: np.ndarray) -> int:
    """How many voxels can be reached from the first by steps to neighbours, corners included."""
    left = set(map(tuple, voxels.tolist()))
    count, edge = 0, [tuple(voxels[0].tolist())]
    left.discard(edge[0])
    while edge:
        count += 1
        here = np.array(edge.pop())
        beside = [v for v in left if np.abs(here - v).max() <= 1]
        left.difference_update(beside)
        edge.extend(beside)
    return count


def test_a_line_passes_voxels_that_touch_each_other(grid: Grid) -> None:
    line = grid.to_world(np.array([[0.5, 0.5, 0.5], [11.5, 19.5, 23.5], [11.5, 0.5, 40.0]]))
    found = on_line(line, grid)
    assert found.min() >= 0
    assert (found < SHAPE).all()
    assert {(0, 0, 0), (11, 19, 23)} <= set(map(tuple, found.tolist()))
    assert reached(found) == len(np.unique(found, axis=0))


def test_one_grid_more_of_uneven_slices_is_not_straight() -> None:
    # the fixture says something: slices with places of their own move the voxels
    straight = replace(GRIDS["uneven"], slices=None)
    assert not np.allclose(centres(straight, straight.box)[2], centres(GRIDS["uneven"], straight.box)[2])

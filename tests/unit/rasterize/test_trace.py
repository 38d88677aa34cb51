"""Outlines of small label images, corner by corner."""

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.trace import trace


def grid_of(image: np.ndarray) -> Grid:
    return Grid.from_transform((1, 0, 0, 0, 1, 0), image.shape, PixelFrame("test"))


def traced(rows: list[str], **options: object) -> list[tuple[int, str]]:
    image = np.array([[0 if c == "." else int(c) for c in row] for row in rows])
    found = trace(image, grid_of(image), **options)  # pyright: ignore[reportArgumentType]
    return [(int(v), shapely.normalize(s).wkt) for v, s in zip(found.values, found.shapes, strict=True)]


def test_a_hole_becomes_a_hole() -> None:
    assert traced(["111", "1.1", "111"]) == [(1, "POLYGON ((0 0, 0 3, 3 3, 3 0, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))")]


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    assert traced(["1.", ".1"]) == [
        (1, "POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0))"),
        (1, "POLYGON ((1 1, 1 2, 2 2, 2 1, 1 1))"),
    ]


def test_a_region_that_touches_itself_stays_valid() -> None:
    image = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    shapes = trace(image, grid_of(image)).shapes
    assert len(shapes) == 1
    assert shapely.is_valid(shapes[0])
    assert shapely.get_num_interior_rings(shapes[0]) == 2


def test_one_shape_for_each_label_when_merged() -> None:
    assert [v for v, _ in traced(["1.2", "..1"], merge=True)] == [1, 2]
    assert [v for v, _ in traced(["1.2", "..1"])] == [1, 1, 2]


def test_neighbours_share_their_corners() -> None:
    assert traced(["122", "133"]) == [
        (1, "POLYGON ((0 0, 0 2, 1 2, 1 1, 1 0, 0 0))"),
        (2, "POLYGON ((1 0, 1 1, 3 1, 3 0, 1 0))"),
        (3, "POLYGON ((1 1, 1 2, 3 2, 3 1, 1 1))"),
    ]


def test_exteriors_run_counter_clockwise_in_the_world() -> None:
    image = np.array([[1, 1], [1, 0]])
    for transform in [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0)]:
        shape = trace(image, Grid.from_transform(transform, (2, 2), PixelFrame("test"))).shapes[0]
        assert shapely.is_ccw(shapely.get_exterior_ring(shape))


def test_background_may_be_any_label() -> None:
    image = np.array([[7, 7], [7, 0]])
    assert trace(image, grid_of(image), background=7).values.tolist() == [0]


def test_nothing_to_trace() -> None:
    empty = trace(np.zeros((3, 4), np.uint8), grid_of(np.zeros((3, 4))))
    assert len(empty.shapes) == len(empty.values) == 0


def test_smoothing_removes_steps() -> None:
    image = np.tril(np.ones((40, 40), int))
    rough, smooth = (trace(image, grid_of(image), tolerance=t).shapes[0] for t in (0.0, 1.0))
    assert shapely.get_num_coordinates(rough) == 83
    assert shapely.get_num_coordinates(smooth) < 8
    assert abs(rough.area - smooth.area) < 30


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit a grid"):
        trace(np.zeros((3, 3), int), grid_of(np.zeros((3, 4))))
    with pytest.raises(InputError, match="float64"):
        trace(np.zeros((3, 3)), grid_of(np.zeros((3, 3))))  # pyright: ignore[reportArgumentType]
    volume = Grid((2, 3, 4), ((0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)), PatientFrame("1.2"))
    with pytest.raises(InputError, match="plane by plane"):
        trace(np.zeros((2, 3, 4), int), volume)

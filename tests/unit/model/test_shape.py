"""Shapes: what each takes, and the box it fills."""

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.model.shape import (
    KINDS,
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
    bounds,
    kind,
    ndim,
    own_axes,
)

QUARTER = (float(np.sqrt(0.5)), 0.0, 0.0, float(np.sqrt(0.5)))
"""A quarter turn about z."""
RINGS = [
    np.array([[0.0, 0, 5], [10, 0, 5], [10, 10, 5], [0, 10, 5]]),
    np.array([[2.0, 2, 7], [4, 2, 7], [4, 4, 7]]),
]
SCAN = Grid((4, 5, 6), ((0, 0, 2, 10), (0, 3, 0, 20), (4, 0, 0, 30)), PatientFrame("1.2.3"))


def mask() -> Mask:
    bits = np.zeros(SCAN.shape, dtype=bool)
    bits[1:3, 2, 3:5] = True
    return Mask.of(SCAN, bits)


BOUNDS: list[tuple[Shape, object]] = [
    (Point(shapely.Point(3, 4)), ((3, 4), (3, 4))),
    (Point(shapely.Point(3, 4, 5)), ((3, 4, 5), (3, 4, 5))),
    (MultiPoint(shapely.MultiPoint([(1, 9), (5, 2)])), ((1, 2), (5, 9))),
    (Line(shapely.LineString([(0, 0, 1), (4, -3, 2)])), ((0, -3, 1), (4, 0, 2))),
    (Polygon(shapely.box(1, 2, 3, 4)), ((1, 2), (3, 4))),
    (Polygon(shapely.MultiPolygon([shapely.box(1, 2, 3, 4), shapely.box(7, 8, 9, 9)])), ((1, 2), (9, 9))),
    (Box((1, 2), (3, 4)), ((1, 2), (3, 4))),
    (Box((1, 2, 3), (3, 4, 5)), ((1, 2, 3), (3, 4, 5))),
    (RotatedBox((10, 10), (4, 2), 90), ((9, 8), (11, 12))),
    (RotatedBox((10, 10, 5), (4, 2), QUARTER), ((9, 8, 5), (11, 12, 5))),
    (Ellipse((10, 10), (4, 2), 90), ((8, 6), (12, 14))),
    (Ellipse((0, 0), (3, 3), 30), ((-3, -3), (3, 3))),
    (Ellipse((0, 0, 0), (4, 2, 1), QUARTER), ((-2, -4, -1), (2, 4, 1))),
    (Keypoints(((1, 2), None, (5, 0)), (2, 0, 1)), ((1, 0), (5, 2))),
    (Cuboid((0, 0, 0), (4, 2, 6), QUARTER), ((-1, -2, -3), (1, 2, 3))),
    (PlanarContours.of(RINGS), ((0, 0, 5), (10, 10, 7))),
    (mask(), ((16, 26, 34), (20, 29, 42))),
    (Mask(SCAN, {}), None),
    (Keypoints((None,), (0,)), None),
    (Tag(), None),
]


@pytest.mark.parametrize(("shape", "expected"), BOUNDS, ids=lambda v: type(v).__name__)
def test_bounds(shape: Shape, expected: tuple[tuple[float, ...], tuple[float, ...]] | None) -> None:
    found = bounds(shape)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert ndim(shape) == len(expected[0])


def test_every_shape_has_its_bounds_tested() -> None:
    assert {kind(shape) for shape, _ in BOUNDS} == set(KINDS)


def test_quarter_turns_are_exact() -> None:
    assert own_axes(90.0).tolist() == [[0, 1], [-1, 0]]
    assert own_axes(-180.0).tolist() == [[-1, 0], [0, -1]]
    np.testing.assert_allclose(own_axes(QUARTER), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-15)


def test_contours_are_closed_once() -> None:
    closed = PlanarContours.of([np.concatenate([ring, ring[:1]]) for ring in RINGS])
    assert closed == PlanarContours.of(RINGS)
    assert [len(ring) for ring in closed.rings] == [5, 4]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point(shapely.box(0, 0, 1, 1)),
        lambda: Line(shapely.LinearRing([(0, 0), (1, 0), (1, 1)])),
        lambda: Polygon(shapely.Point(0, 0)),
        lambda: Box((0, 0), (1, 1, 1)),
        lambda: Box((0, 2), (1, 1)),
        lambda: Box((0, float("nan")), (1, 1)),
        lambda: RotatedBox((0, 0), (1, -1)),
        lambda: RotatedBox((0, 0, 0), (1, 1), 30.0),
        lambda: RotatedBox((0, 0), (1, 1), QUARTER),
        lambda: Ellipse((0, 0), (1, 1, 1)),
        lambda: Ellipse((0, 0, 0), (1, 1), (1.0, 1.0, 0.0, 0.0)),
        lambda: Cuboid((0, 0), (1, 1, 1)),
        lambda: Keypoints(((0, 0),), (0,)),
        lambda: Keypoints((None,), (2,)),
        lambda: Keypoints(((0, 0), (0, 0, 0)), (2, 2)),
        lambda: Keypoints(((0, 0),), (2,), ("a", "b")),
        lambda: Keypoints(((0, 0),), (2,), (), ((0, 1),)),
        lambda: PlanarContours.of([np.zeros((2, 3))]),
        lambda: PlanarContours.of([np.zeros((4, 2))]),
        lambda: Tag(plane="axial"),
        lambda: Tag(plane="upper", index=3),
        lambda: Tag(region="r", plane="axial", index=3),
        lambda: Tag(plane="axial", index=-1),
    ],
)
def test_shapes_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()  # pyright: ignore[reportCallIssue]

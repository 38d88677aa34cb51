"""Plain outlines of shapes."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.model.outline import outline, ring_plane
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    PlanarContours,
    RotatedBox,
    Shape,
    Tag,
    bounds,
)

TURN = (0.5, 0.5, 0.5, 0.5)


def square(low: float, high: float, z: float) -> np.ndarray:
    return np.array([[low, low, z], [high, low, z], [high, high, z], [low, high, z]])


@pytest.mark.parametrize(
    "shape",
    [
        Box((1, 2), (3, 5)),
        Box((1, 2, 3), (3, 5, 4)),
        RotatedBox((1, 2), (4, 2), 30),
        RotatedBox((1, 2, 3), (4, 2), TURN),
        Ellipse((1, 2), (4, 2), 30),
        Ellipse((1, 2, 3), (4, 2, 1), TURN),
        Cuboid((1, 2, 3), (4, 2, 1), TURN),
        Keypoints(((1, 2), None, (4, 5)), (2, 0, 1)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_an_outline_fills_the_box_of_its_shape(shape: Shape) -> None:
    geometry = outline(shape)
    expected = bounds(shape)
    assert geometry is not None
    assert expected is not None
    points = shapely.get_coordinates(geometry, include_z=len(expected[0]) == 3)
    # an ellipse's polygon stays within it by a thousandth of its radius
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], expected, atol=4 * 0.0013)


def test_areas_are_those_of_the_shapes() -> None:
    turned, ellipse = outline(RotatedBox((1, 2), (4, 2), 30)), outline(Ellipse((1, 2), (4, 2), 30))
    assert shapely.area(turned) == pytest.approx(8)
    assert shapely.area(ellipse) == pytest.approx(np.pi * 8, rel=0.002)


def test_every_corner_of_a_block_lies_on_three_faces() -> None:
    faces = outline(Cuboid((1, 2, 3), (4, 2, 6), TURN))
    assert isinstance(faces, shapely.MultiPolygon)
    corners = [tuple(np.round(p, 9)) for f in faces.geoms for p in shapely.get_coordinates(f, include_z=True)[:-1]]
    assert len(faces.geoms) == 6
    assert sorted(corners.count(c) for c in set(corners)) == [3] * 8


def test_rings_within_rings_of_one_plane_are_holes() -> None:
    island = square(3, 4, 5)
    contours = PlanarContours.of([square(2, 6, 5), square(0, 10, 5), island, square(2, 6, 8), square(20, 22, 5)])
    geometry = outline(contours)
    assert isinstance(geometry, shapely.MultiPolygon)
    by_plane = {
        z: sorted((p.area, len(p.interiors)) for p in geometry.geoms if p.exterior.coords[0][2] == z) for z in (5, 8)
    }
    assert by_plane == {5: [(1, 0), (4, 0), (100 - 16, 1)], 8: [(16, 0)]}


def test_contours_may_lie_on_any_plane() -> None:
    flat = [square(0, 10, 0), square(2, 4, 0)]
    sagittal = [ring[:, [2, 0, 1]] for ring in flat]
    geometry = outline(PlanarContours.of(sagittal))
    assert isinstance(geometry, shapely.MultiPolygon)
    assert [len(p.interiors) for p in geometry.geoms] == [1]


def test_the_plane_of_a_ring() -> None:
    ring = np.concatenate([square(0, 10, 5), square(0, 10, 5)[:1]])
    normal, offset = ring_plane(ring)
    assert normal.tolist() == [0, 0, 1]
    assert offset == 5
    back = ring_plane(ring[::-1])
    assert back[0].tolist() == [0, 0, 1]
    line = np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 0, 0]])
    assert not ring_plane(line)[0].any()


def test_a_mask_shows_the_border_of_its_box() -> None:
    grid = Grid.pixels((100, 100), "scene")
    bits = np.zeros((3, 4), dtype=bool)
    bits[0, 0] = bits[2, 3] = True
    assert shapely.equals(outline(Mask.of(grid, bits, (10, 20))), shapely.box(20, 10, 24, 13))
    scan = Grid((4, 5, 6), ((0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)), PatientFrame("1"))
    volume = outline(Mask.of(scan, np.ones(scan.shape, dtype=bool)))
    assert isinstance(volume, shapely.MultiPolygon)
    assert outline(Mask(grid, {})) is None


def test_tags_have_no_outline() -> None:
    assert outline(Tag()) is None

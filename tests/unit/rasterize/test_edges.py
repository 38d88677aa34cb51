"""Rings: direction as GDAL decides it, and cutting to where arithmetic is safe."""

import numpy as np
import pytest
import shapely

from bigimage.rasterize.edges import (
    REACH,
    arrange,
    clip_ring,
    clockwise,
    gather,
    part_boxes,
    piece_boxes,
    piece_offsets,
)


def direction(points: list[tuple[float, float]]) -> bool:
    return bool(clockwise(np.array([*points, points[0]], float), np.array([0, len(points) + 1]))[0])


def test_simple_rings_are_told_by_their_turn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        hull = shapely.MultiPoint(rng.uniform(-100, 100, (6, 2))).convex_hull
        points = [tuple(p) for p in shapely.get_coordinates(hull)[:-1].tolist()]
        assert direction(points) is not shapely.is_ccw(hull.exterior)
        assert direction(points[::-1]) is not direction(points)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (
            [(0, 0), (1, 1), (-9, 9), (9, 9), (-1, 1)],
            False,
        ),  # a bow: the turn at its lowest point decides, not the area
        ([(0, 0), (1e-6, 0), (0, 1e-6)], False),  # too small for a turn: the area
        ([(0, 0), (5, 0), (5, 0), (5, 5)], False),  # the lowest, rightmost point twice: the area
        ([(1, 1), (1, 1), (1, 1)], False),
    ],
)
def test_doubtful_rings(points: list[tuple[float, float]], expected: bool) -> None:
    assert direction(points) is expected


def test_a_cut_ring_keeps_the_inside() -> None:
    far = 1e14
    ring = np.array([[-far, -3], [5, -far], [far, 7], [3, far], [-far, -3]], float)
    cut = clip_ring(ring)
    assert (np.abs(cut) <= REACH).all()
    assert (cut[0] == cut[-1]).all()
    near = shapely.points(np.random.default_rng(1).uniform(-1e6, 1e6, (200, 2)))
    np.testing.assert_array_equal(
        shapely.contains(shapely.Polygon(cut), near), shapely.contains(shapely.Polygon(ring), near)
    )


def test_a_ring_out_of_reach_vanishes() -> None:
    ring = np.array([[1e14, 1e14], [2e14, 1e14], [2e14, 2e14], [1e14, 1e14]])
    assert len(clip_ring(ring)) == 0


def test_boxes_hold_a_pixel_more() -> None:
    xy = np.array([[2.5, 1.0], [9.0, 1.0], [9.0, 4.9], [2.5, 1.0]])
    assert part_boxes(xy, np.array([0, 4]), np.array([0, 1])).tolist() == [[0, 6, 1, 11]]


def test_pieces_of_a_long_ring_cover_it() -> None:
    angle = np.linspace(0, 2 * np.pi, 1000)
    xy = 500 + 400 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = np.array([[0, 1000]])
    pieces = piece_offsets(rings)
    assert pieces.tolist() == [0, 16]
    boxes = np.empty((16, 4), np.int64)
    piece_boxes(xy, rings, pieces, boxes)
    for k, box in enumerate(boxes):
        part = xy[k * 64 : k * 64 + 65]
        assert (box[[2, 0]] < part).all()
        assert (part < box[[3, 1]]).all()


def test_gathering_moves_rings_and_says_where() -> None:
    xy = np.arange(12, dtype=float).reshape(6, 2)
    rings, out = np.array([[4, 6], [0, 4]]), np.empty((6, 2))
    gather(xy, rings, np.array([0, 2]), out)
    assert out[:2].tolist() == [[8.0, 9.0], [10.0, 11.0]]
    assert rings.tolist() == [[0, 2], [2, 6]]


def test_rings_are_arranged_part_by_part() -> None:
    # parts of one, two and one ring, of 4, 5, 6 and 7 vertices; the last part comes first
    rings = np.zeros((4, 2), np.int64)
    place, into = np.array([2, 0, 1]), np.array([0, 1, 2, 4])
    arrange(place, np.array([0, 1, 3, 4]), np.array([0, 4, 9, 15, 22]), into, rings)
    assert rings.tolist() == [[15, 22], [0, 4], [4, 9], [9, 15]]

"""Geometries taken apart by kind, and cut where arithmetic would fail."""

import numpy as np
import shapely

from bigimage.rasterize.edges import REACH
from bigimage.rasterize.flat import LINE, POINT, POLYGON, STROKE
from bigimage.rasterize.parts import Parts, by_kind, offsets


def test_every_kind_with_its_source() -> None:
    holed = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(2, 2, 4, 4).exterior])
    nested = shapely.GeometryCollection([shapely.GeometryCollection([shapely.Point(1, 1)]), holed])
    array = np.array([shapely.box(0, 0, 1, 1), None, nested, shapely.LineString([(0, 0), (3, 3)]), shapely.Point(5, 5)])
    inked = np.array([False, False, False, True, False])
    found = list(by_kind(array, np.arange(5), inked, shapely.get_num_coordinates(array)))
    assert [(p.kind, p.source.tolist(), p.detail.tolist()) for p in found] == [
        (POLYGON, [0], [-1]),
        (POLYGON, [2], [-1]),
        (POINT, [4, 2], [-1, -1]),
        (STROKE, [3], [3]),
    ]
    assert found[1].first.tolist() == [0, 2]
    assert found[1].rings.tolist() == [0, 5, 10]


def test_parts_that_are_not_finite_are_found() -> None:
    lines = np.array([shapely.LineString([(0, 0), (1, 1)]), shapely.LineString([(0, 0), (np.inf, 1)])])
    parts = Parts.of(LINE, lines, np.arange(2), np.array([2, 2]), inked=False)
    assert parts.not_finite().tolist() == [False, True]
    assert parts.select(~parts.not_finite()).xy.tolist() == [[0, 0], [1, 1]]


def test_far_lines_are_cut_edge_by_edge() -> None:
    line = shapely.LineString([(-1e15, -1e15), (1e15, 1e15), (1e15, 2e15), (0, 0)])
    parts = Parts.of(LINE, np.array([line]), np.array([7]), np.array([4]), inked=False).within_reach()
    assert parts.source.tolist() == [7, 7]
    assert np.abs(parts.xy).max() == REACH
    expected = [[-REACH, -REACH], [REACH, REACH], [REACH / 2, REACH], [0, 0]]
    np.testing.assert_allclose(parts.xy, expected, atol=1)


def test_far_points_are_dropped() -> None:
    points = Parts.of(POINT, shapely.points([[0, 0], [1e15, 0]]), np.arange(2), np.array([1, 1]), inked=False)
    assert points.within_reach().source.tolist() == [0]


def test_offsets() -> None:
    assert offsets(np.array([3, 0, 2])).tolist() == [0, 3, 3, 5]

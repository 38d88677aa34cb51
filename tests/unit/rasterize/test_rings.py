"""Rings of a volume become planes: along slices of an axis, open or closed, with their holes; or oblique ones."""

import numpy as np
import shapely

from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.rings import planes_of

GRID = Grid((20, 30, 40), ((0, 0, 0.5, -20), (0, 0.5, 0, -16), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
SQUARE = np.array([(4.0, 5.0), (4.0, 9.0), (8.0, 9.0), (8.0, 5.0)])


def line(axis: int, depth: float, points: np.ndarray, *, closed: bool = True) -> shapely.Geometry:
    """A ring on a slice of an axis, as world vertices."""
    points = np.concatenate([points, points[:1]]) if closed else points
    return shapely.LineString(GRID.to_world(np.insert(points, axis, depth, axis=1)))


def planes(*annotations: list[shapely.Geometry]) -> tuple[list, list]:
    geometries = np.empty(len(annotations), object)
    geometries[:] = [shapely.MultiLineString(parts) for parts in annotations]
    return planes_of(geometries, np.arange(len(annotations)) + 7, GRID)


def test_rings_of_one_annotation_and_slice_are_one_plane() -> None:
    hole = SQUARE * 0.5 + 3
    flat, oblique = planes([line(0, 3.5, SQUARE), line(0, 3.5, hole)], [line(0, 3.2, SQUARE), line(0, 4.5, SQUARE)])
    assert oblique == []
    (axial,) = flat
    assert (axial.axis, axial.parts.source.tolist(), axial.slices.tolist()) == (0, [7, 8, 8], [3, 3, 4])
    first, second, third = axial.sheets()
    square = shapely.Polygon(SQUARE[:, ::-1])
    assert first.polygon.equals_exact(shapely.Polygon(SQUARE[:, ::-1], [hole[:, ::-1]]), 1e-9)
    assert second.polygon.equals_exact(square, 1e-9)
    assert third.polygon.equals_exact(square, 1e-9)


def test_open_rings_are_closed_and_each_axis_has_its_planes() -> None:
    flat, _ = planes([line(1, 6.5, SQUARE, closed=False), line(2, 1.5, SQUARE)], [line(1, 7.5, SQUARE, closed=False)])
    assert [(p.axis, p.slices.tolist()) for p in flat] == [(1, [6, 7]), (2, [1])]
    for some in flat:
        starts, ends = some.parts.rings[:-1], some.parts.rings[1:] - 1
        np.testing.assert_array_equal(some.parts.xy[starts], some.parts.xy[ends])
        assert np.diff(some.parts.rings).tolist() == [5] * len(starts)


def test_some_of_the_planes_can_be_taken() -> None:
    (axial,), _ = planes([line(0, 3.5, SQUARE), line(0, 5.5, SQUARE + 2)])
    (sheet,) = axial.select(np.array([False, True])).sheets()
    assert (sheet.source, sheet.slice) == (7, 5)
    assert sheet.polygon.bounds == (7.0, 6.0, 11.0, 10.0)


def test_rings_without_area_or_place_make_no_plane() -> None:
    with np.errstate(invalid="ignore"):
        nowhere = shapely.LineString(np.full((5, 3), np.nan))
    flat, oblique = planes([nowhere, shapely.LineString([(0, 0, 100), (1, 0, 100), (0, 0, 100)])])
    assert (flat, oblique) == ([], [])

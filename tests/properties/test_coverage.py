"""Covered areas are those of exact geometry, whatever overlaps, and cutting the raster into blocks changes no bit."""

import numpy as np
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import prepare, round_pens
from bigimage.rasterize.coverage import coverage

ROWS, COLUMNS = 13, 17
GRID = Grid.from_transform((1, 0, 0, 0, 1, 0), (ROWS, COLUMNS), PixelFrame("test"))
y, x = np.mgrid[:ROWS, :COLUMNS]
PIXELS = shapely.box(x, y, x + 1, y + 1)

coordinate = st.one_of(
    st.integers(-8, 40).map(lambda n: n / 2), st.floats(-4, 20, allow_nan=False, width=32), st.integers(-3, 20)
)
rings = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)
polygons = st.builds(shapely.Polygon, rings, st.lists(rings, max_size=1))
scenes = st.lists(st.one_of(polygons, st.lists(polygons, min_size=2, max_size=2).map(list)), min_size=1, max_size=4)


def shapes_of(scene: list) -> list[shapely.Geometry]:
    return [shapely.GeometryCollection(s) if isinstance(s, list) else s for s in scene]


def even_odd(shape: shapely.Geometry) -> shapely.Geometry:
    """What the rule takes for the inside: even-odd in a part, parts united."""
    insides = []
    for part in shapely.get_parts(shape):
        inside = shapely.Polygon()
        for ring in shapely.get_rings(part):
            inside = inside.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
        insides.append(inside)
    return shapely.union_all(insides)


@given(scene=scenes)
@example(scene=[shapely.Polygon([(0, 0), (0, 1.5), (0, 0), (0, 1.5), (0.5, 1.5)])])
@example(scene=[shapely.box(1.5, 1.5, 6.5, 4.5), shapely.box(3.25, 2.5, 9.5, 3.75)])
@settings(max_examples=80)
def test_areas_are_exact_and_overlaps_count_once(scene: list) -> None:
    shapes = shapes_of(scene)
    expected = shapely.area(shapely.intersection(PIXELS, shapely.union_all([even_odd(s) for s in shapes])))
    covered = coverage(prepare(shapes, GRID), np.zeros(len(shapes), int), count=1)[0]
    np.testing.assert_allclose(covered, expected, atol=2e-7)


@given(scene=scenes, block=st.tuples(st.integers(1, 14), st.integers(1, 18)))
@settings(max_examples=80)
def test_blocks_change_no_bit(scene: list, block: tuple[int, int]) -> None:
    shapes = [*shapes_of(scene), shapely.LineString([(2, 3), (14.2, 9.7)]), shapely.Point(9.1, 4.6)]
    prepared = prepare(shapes, GRID, pens=round_pens([0.0] * (len(shapes) - 2) + [1.3, 2.6]))
    classes = np.arange(len(shapes)) % 2
    whole = coverage(prepared, classes, count=2)
    pieces = np.zeros_like(whole)
    for row in range(0, ROWS, block[0]):
        for column in range(0, COLUMNS, block[1]):
            box = IndexBox((row, column), (row + block[0], column + block[1])).intersect(GRID.box)
            pieces[(slice(None), *box.slices)] = coverage(prepared, classes, box, count=2)
    np.testing.assert_array_equal(pieces, whole)

"""Shapes become the same flat arrays however they are handed over."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize import builder
from bigimage.rasterize.builder import Builder, inverse_transform, runs_of
from bigimage.rasterize.burn import burn, prepare, round_pens
from bigimage.rasterize.flat import POLYGON
from bigimage.rasterize.parts import Parts, offsets

GRID = Grid.from_transform((0.5, 0, 100, 0, -0.5, 240), (80, 90), PixelFrame("test"))


def scatter(count: int) -> np.ndarray:
    """Polygons with and without holes, lines, points and collections of them, in no order of kind."""
    rng = np.random.default_rng(4)
    shapes = []
    for k in range(count):
        x, y = rng.uniform(98, 147), rng.uniform(198, 242)
        disc = shapely.Point(x, y).buffer(rng.uniform(0.5, 6), quad_segs=2)
        ring = disc.difference(shapely.Point(x, y).buffer(0.4, quad_segs=2))
        line = shapely.LineString(rng.uniform([98, 198], [147, 242], (4, 2)))
        both = shapely.GeometryCollection([shapely.GeometryCollection([line]), shapely.MultiPolygon([ring])])
        shapes.append([disc, ring, line, shapely.MultiPoint([(x, y), (x + 3, y)]), both][k % 5])
    return np.array(shapes)


def test_batches_equal_one_call() -> None:
    shapes = scatter(60)
    pens = round_pens(np.where(np.arange(60) % 7 == 0, 1.5, 0))
    masks = {45: (np.ones((3, 4), bool), (10, 10))}
    shapes[45] = None
    values = np.arange(1, 61, dtype=np.uint8)
    whole = burn(prepare(shapes, GRID, pens=pens, masks=masks), values)
    by_batch = Builder(GRID)
    by_batch.add(shapes[:20], pens=pens[:20])
    by_batch.add(list(shapes[20:]), pens=pens[20:], masks={25: masks[45]})
    np.testing.assert_array_equal(burn(by_batch.finish(), values), whole)


def test_slices_and_layout_change_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, values = scatter(60), np.arange(1, 61, dtype=np.uint8)
    whole = burn(prepare(shapes, GRID), values)
    monkeypatch.setattr(builder, "SLICE", 10)
    monkeypatch.setattr(builder, "TIDY", 0)
    np.testing.assert_array_equal(burn(prepare(shapes, GRID), values), whole)


@pytest.mark.parametrize("tidy", [0, builder.TIDY])
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, tidy: int) -> None:
    shapes = scatter(200)
    shapes[7], shapes[60] = shapely.LineString([(100, 200), (np.inf, 3)]), None
    pens = round_pens(np.where(np.arange(200) % 7 == 0, 1.5, 0))
    monkeypatch.setattr(builder, "SLICE", 50)
    monkeypatch.setattr(builder, "TIDY", tidy)
    one, three = (prepare(shapes, GRID, pens=pens, workers=n) for n in (1, 3))
    assert one.skipped == three.skipped == (7,)
    for a, b in zip((*one.flat, one.keys, one.rank), (*three.flat, three.keys, three.rank), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_beside_the_grid_are_not_kept() -> None:
    near = prepare(scatter(60), GRID)
    away = [shapely.transform(s, lambda xy: xy + 5000) for s in scatter(60)]
    both = prepare([*away, *scatter(60)], GRID)
    assert both.count == 120
    assert both.nbytes == near.nbytes


def test_memory_is_told() -> None:
    prepared = prepare(scatter(60), GRID)
    assert prepared.nbytes > prepared.flat.xy.nbytes > 1000


def test_the_inverse_is_exact_where_numbers_allow() -> None:
    grid = Grid.from_transform((1.0, 1.0, -4.0, -1.0, 1.0, 12.0), (5, 5), PixelFrame("test"))
    inverse = inverse_transform(grid)
    for column, row in ((0.5, 2.25), (3.0, 4.5)):
        x, y = column + row - 4.0, row - column + 12.0
        assert (inverse @ [1.0, x, y]).tolist() == [column, row]


def test_runs_of_a_mask() -> None:
    bits = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    assert runs_of(bits, (4, 2), (7, 6)).tolist() == [[4, 3, 5], [6, 2, 6]]
    assert runs_of(bits, (-2, -3), (7, 6)).tolist() == [[0, 0, 2]]


def test_polygons_may_come_as_rings() -> None:
    shapes = np.array([s for s in scatter(60) if s.geom_type == "Polygon"])
    rings, owner = shapely.get_rings(shapes, return_index=True)
    parts = Parts(
        kind=POLYGON,
        xy=shapely.get_coordinates(rings),
        rings=offsets(shapely.get_num_coordinates(rings)),
        first=offsets(np.bincount(owner)),
        # two parts of one shape are united, as those of a multipolygon are
        source=np.arange(len(shapes)) // 2,
        detail=np.full(len(shapes), -1),
        box=np.empty((0, 4), np.int64),
    )
    count = -(-len(shapes) // 2)
    by_ring = Builder(GRID)
    by_ring.add([shapely.box(100, 200, 110, 240)])
    by_ring.add_polygons(parts, count=count)
    pairs = [shapely.GeometryCollection(shapes[2 * k : 2 * k + 2].tolist()) for k in range(count)]
    values = np.arange(1, count + 2, dtype=np.uint8)
    whole = burn(prepare([shapely.box(100, 200, 110, 240), *pairs], GRID), values)
    np.testing.assert_array_equal(burn(by_ring.finish(), values), whole)

"""Whatever the shapes, the pixels are those of GDAL, and cutting the raster into blocks changes none."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import RULES, Rule, burn, prepare, round_pens

NORTH_UP = (1.0, 0.0, 0.0, 0.0, -1.0, 24.0)
TRANSFORMS = {
    "north-up": NORTH_UP,
    "row-down": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "half metres": (0.5, 0.0, -3.0, 0.0, -0.5, 9.0),
    "mirrored": (-2.0, 0.0, 16.0, 0.0, 2.0, -8.0),
    "turned and scaled": (1.0, 1.0, -4.0, -1.0, 1.0, 12.0),
    "sheared": (1.0, 0.5, 0.0, 0.0, -1.0, 24.0),
    "transposed": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    "turned, rounding": (0.6, 0.8, 10.0, -0.8, 0.6, 12.0),
    "decimetres in UTM, rounding": (0.3, 0.0, 500000.0, 0.0, -0.3, 4000000.0),
    "degrees, rounding": (1 / 120, 0.0, -17.25, 0.0, -1 / 120, 71.5),
}

# quarters of pixels put vertices and edges on corners, borders and centres of pixels all the time
quarter = st.integers(-24, 140).map(lambda n: n / 4)
anywhere = st.floats(-6, 35, allow_nan=False, width=32)
far = st.sampled_from([-1e6, -40000.5, 40000.25, 1e6])
points = st.lists(
    st.tuples(st.one_of(quarter, anywhere), st.one_of(quarter, anywhere)) | st.tuples(quarter, quarter),
    min_size=3,
    max_size=9,
)
far_points = st.lists(st.tuples(quarter | far, quarter | far), min_size=3, max_size=6)
parts = st.one_of(
    st.tuples(st.just("polygon"), points, st.lists(points, max_size=2)),
    st.tuples(st.just("line"), points, st.just([])),
    st.tuples(st.just("points"), points, st.just([])),
    st.tuples(st.just("polygon"), far_points, st.just([])),
)
scenes = st.lists(st.lists(parts, min_size=1, max_size=3), min_size=1, max_size=4)


def shape_of(drawn: list[tuple[str, list, list]], transform: tuple[float, ...]) -> shapely.Geometry:
    """One geometry of the drawn parts, in world coordinates."""

    def world(vertices: list[tuple[float, float]]) -> list[tuple[float, float]]:
        a, b, c, d, e, f = transform
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in vertices]

    made = []
    for kind, outline, holes in drawn:
        if kind == "polygon":
            made.append(shapely.Polygon(world(outline), [world(hole) for hole in holes]))
        elif kind == "line":
            made.append(shapely.LineString(world(outline)))
        else:
            made.append(shapely.MultiPoint(world(outline)))
    return made[0] if len(made) == 1 else shapely.GeometryCollection(made)


def from_gdal(shapes: list[shapely.Geometry], grid: Grid, rule: Rule) -> np.ndarray:
    pairs = [(s, k + 1) for k, s in enumerate(shapes)]
    affine = Affine(*grid.transform)
    return rasterize(pairs, out_shape=grid.shape, transform=affine, all_touched=rule == "all-touched", dtype="uint8")


@pytest.mark.parametrize("name", list(TRANSFORMS))
@pytest.mark.parametrize("rule", RULES)
@given(scene=scenes, rows=st.integers(1, 30), columns=st.integers(1, 30))
@settings(max_examples=60)
def test_pixels_are_those_of_gdal(name: str, rule: Rule, scene: list, rows: int, columns: int) -> None:
    if rule == "all-touched":
        # GDAL 3.10 starts past the right border for an edge that begins on it, and writes into the next row
        assume(all(abs(x - columns) > 1e-6 for drawn in scene for _, outline, holes in drawn for x, _ in outline))
        assume(all(abs(x - columns) > 1e-6 for drawn in scene for _, _, holes in drawn for h in holes for x, _ in h))
    shapes = [shape_of(drawn, TRANSFORMS[name]) for drawn in scene]
    grid = Grid.from_transform(TRANSFORMS[name], (rows, columns), PixelFrame("test"))
    own = burn(prepare(shapes, grid), np.arange(1, len(shapes) + 1, dtype=np.uint8), rule=rule)
    np.testing.assert_array_equal(own, from_gdal(shapes, grid, rule))


@pytest.mark.parametrize("rule", RULES)
@given(
    scene=scenes,
    radii=st.lists(st.sampled_from([0.0, 0.0, 0.7, 3.25]), min_size=4, max_size=4),
    block=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    long=st.integers(0, 600),
)
@example(scene=[[("line", [(0.0, 0.0), (40.0, 13.0), (7.5, 39.5)], [])]], radii=[3.25] * 4, block=(7, 40), long=0)
@settings(max_examples=120)
def test_blocks_change_no_pixel(rule: Rule, scene: list, radii: list, block: tuple[int, int], long: int) -> None:
    grid = Grid.from_transform((1.0, 0.25, -2.0, -0.5, 1.0, 4.0), (37, 41), PixelFrame("test"))
    shapes = [shape_of(drawn, grid.transform) for drawn in scene]
    if long > 3:  # a ring long enough to be cut into pieces
        angle = np.linspace(0, 40 * np.pi, long)
        spiral = np.stack([20 + 0.15 * angle * np.cos(angle), 18 + 0.15 * angle * np.sin(angle)], axis=1)
        shapes.append(shape_of([("polygon", spiral.tolist(), [])], grid.transform))
    pens = round_pens((radii * 2)[: len(shapes)])
    prepared = prepare(shapes, grid, pens=pens)
    values = np.arange(1, len(shapes) + 1, dtype=np.uint16)
    whole = burn(prepared, values, rule=rule)
    pieces = np.zeros_like(whole)
    for row in range(0, grid.shape[0], block[0]):
        for column in range(0, grid.shape[1], block[1]):
            box = IndexBox((row, column), (row + block[0], column + block[1])).intersect(grid.box)
            pieces[box.slices] = burn(prepared, values, box, rule=rule)
    np.testing.assert_array_equal(pieces, whole)


@given(scene=scenes, keys=st.lists(st.integers(0, 3), min_size=4, max_size=4))
@settings(max_examples=60)
def test_order_is_that_of_the_keys_then_of_the_shapes(scene: list, keys: list[int]) -> None:
    grid = Grid.from_transform(NORTH_UP, (24, 24), PixelFrame("test"))
    shapes = [shape_of(drawn, NORTH_UP) for drawn in scene]
    values = np.arange(1, len(shapes) + 1, dtype=np.uint8)
    order = np.argsort(keys[: len(shapes)], kind="stable")
    sorted_first = burn(prepare([shapes[k] for k in order], grid), values[order])
    np.testing.assert_array_equal(burn(prepare(shapes, grid, order=keys[: len(shapes)]), values), sorted_first)


@given(scene=scenes)
@settings(max_examples=60)
def test_bits_keep_every_shape_that_covers_a_pixel(scene: list) -> None:
    grid = Grid.from_transform(NORTH_UP, (24, 24), PixelFrame("test"))
    shapes = [shape_of(drawn, NORTH_UP) for drawn in scene]
    together = burn(prepare(shapes, grid), 1 << np.arange(len(shapes), dtype=np.uint8), combine="bits")
    for k, shape in enumerate(shapes):
        alone = burn(prepare([shape], grid), np.ones(1, np.uint8))
        np.testing.assert_array_equal(together >> k & 1, alone)

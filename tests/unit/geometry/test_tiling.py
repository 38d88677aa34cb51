"""Levels, blocks and tiles: everything is covered once, and web mercator is the standard's."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import WGS84, GeoFrame, transform_points
from bigimage.geometry.tiling import (
    COARSEST,
    MERCATOR_ZOOMS,
    NativeTiles,
    blocks,
    level_shapes,
    mercator_box,
    mercator_lattice,
    morton,
)

sides = st.integers(1, 5000)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_levels_halve_and_round_up_until_one_tile_holds_them(rows: int, columns: int) -> None:
    levels = level_shapes((rows, columns))
    assert levels[0] == (rows, columns)
    assert max(levels[-1]) <= COARSEST
    assert all(max(shape) > COARSEST for shape in levels[:-1])
    for k, shape in enumerate(levels):
        assert shape == (math.ceil(rows / 2**k), math.ceil(columns / 2**k))


@pytest.mark.parametrize(
    ("shape", "count"), [((1, 1), 1), ((256, 256), 1), ((257, 1), 2), ((1, 4097), 6), ((18000, 36000), 9)]
)
def test_number_of_levels(shape: tuple[int, int], count: int) -> None:
    assert len(level_shapes(shape)) == count


@pytest.mark.parametrize("shape", [(8, 8), (2, 4, 8), (3, 5), (1, 16, 16)])
def test_the_z_curve_visits_every_block_once_and_keeps_quads_together(shape: tuple[int, ...]) -> None:
    order = sorted(np.ndindex(*shape), key=morton)
    codes = [morton(index) for index in order]
    assert len(set(codes)) == math.prod(shape)
    places = {index: place for place, index in enumerate(order)}
    for corner in itertools.product(*(range(0, n - n % 2, 2) for n in shape)):
        quad = [tuple(c + o for c, o in zip(corner, offset, strict=True)) for offset in np.ndindex(*(2,) * len(shape))]
        if all(index in places for index in quad):
            assert max(places[i] for i in quad) - min(places[i] for i in quad) == len(quad) - 1


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 17), st.integers(1, 17)))
def test_blocks_cover_an_array_once(shape: tuple[int, int], block: tuple[int, int]) -> None:
    seen = np.zeros(shape, dtype=int)
    for index, box in blocks(shape, block):
        assert box.start == (index[0] * block[0], index[1] * block[1])
        seen[box.slices] += 1
    assert (seen == 1).all()


@given(sides, sides, st.sampled_from([256, 512]))
def test_native_tiles_cover_their_level_once(rows: int, columns: int, tile: int) -> None:
    levels = tuple(level_shapes((rows, columns)))
    tiles = NativeTiles(levels, tile)
    assert tiles.matrix(0) == (1, 1)
    assert tiles.level(tiles.zooms - 1) == 0
    z = tiles.zooms - 1
    height, width = levels[tiles.level(z)]
    seen = np.zeros((height, width), dtype=np.uint8)
    count_y, count_x = tiles.matrix(z)
    for y, x in np.ndindex(count_y, count_x):
        box = tiles.box(z, x, y)
        assert box.shape == (tile, tile)
        inside = box.intersect(IndexBox.of_shape((height, width)))
        assert inside.size
        seen[inside.slices] += 1
    assert (seen == 1).all()


def test_native_tiles_that_do_not_exist_are_named() -> None:
    tiles = NativeTiles(tuple(level_shapes((1000, 600))), 256)
    assert tiles.zooms == 3
    assert [tiles.matrix(z) for z in range(3)] == [(1, 1), (2, 2), (4, 3)]
    for z in (-1, 3):
        with pytest.raises(NotFound, match="zooms 0 to 2"):
            tiles.level(z)
    for x, y in ((3, 0), (0, 4), (-1, 0), (0, -1)):
        with pytest.raises(NotFound, match=f"tile 2/{x}/{y} does not exist; zoom 2 has 3 columns and 4 rows"):
            tiles.box(2, x, y)


def test_an_image_that_fits_a_big_tile_has_one_zoom() -> None:
    assert NativeTiles(tuple(level_shapes((400, 300))), 512).zooms == 1
    assert NativeTiles(tuple(level_shapes((1, 1))), 256).zooms == 1


def test_web_mercator_has_the_cell_sizes_of_the_standard() -> None:
    # scale denominator of zoom 0 in OGC 17-083r4, D.1; a cell is 0.28 mm on the screen
    for z in range(MERCATOR_ZOOMS):
        cell = 559082264.0287178 * 0.00028 / 2**z
        assert mercator_lattice(z, 256).spacing == pytest.approx((cell, cell), rel=1e-9)
        assert mercator_lattice(z, 512).spacing == pytest.approx((cell / 2, cell / 2), rel=1e-9)
    bounds = mercator_lattice(7, 256).world_bounds()
    assert bounds.values == pytest.approx((-20037508.342789244, -20037508.342789244) + (20037508.342789244,) * 2)
    assert mercator_lattice(0, 256).spacing[0] == pytest.approx(156543.033928041, abs=1e-9)


@pytest.mark.parametrize(
    ("z", "x", "y"), [(0, 0, 0), (1, 1, 0), (10, 511, 340), (18, 137_000, 91_000), (24, 5, 16777215)]
)
@pytest.mark.parametrize("tile", [256, 512])
def test_web_mercator_tiles_lie_where_maps_have_them(z: int, x: int, y: int, tile: int) -> None:
    box = mercator_lattice(z, tile).crop(mercator_box(z, x, y, tile)).world_bounds()
    corners = transform_points([box.minimum, box.maximum], box.frame, GeoFrame(WGS84))
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**z)))) for row in (y, y + 1))
    west, east = (column / 2**z * 360 - 180 for column in (x, x + 1))
    np.testing.assert_allclose(corners, [[west, south], [east, north]], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("z", "x", "y"), [(25, 0, 0), (-1, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (0, 0, 1)])
def test_web_mercator_tiles_that_do_not_exist(z: int, x: int, y: int) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        mercator_box(z, x, y, 256)


def test_only_two_tile_sizes() -> None:
    with pytest.raises(InputError, match="tile size 300 is not one of"):
        mercator_lattice(3, 300)

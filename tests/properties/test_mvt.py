"""Vector tiles: whatever the shape, its tiles put together are the shape, to within one of the tile's units."""

import mapbox_vector_tile
import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import shape as shape_of

from tilesrv import mvt
from tilesrv.mvt import BUFFER, EXTENT

SIDE = 2 * EXTENT
WITHIN = 0.7072
"""Farthest that a vertex moves when it is put on whole numbers."""
place = st.integers(int(-6.4 * SIDE), int(22.4 * SIDE)).map(lambda v: v / 16)
reach = st.floats(2, SIDE / 2)


@st.composite
def polygons(draw: st.DrawFn) -> shapely.Polygon:
    """Stars with any number of points, some with holes, some far larger than a tile."""
    x, y, count = draw(place), draw(place), draw(st.integers(3, 24))
    radii = np.array(draw(st.lists(reach, min_size=count, max_size=count)))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + draw(st.floats(0, 6))
    corner = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    part = draw(st.floats(0.1, 0.8))
    holes = [(x, y) + part * radii[:, None] * corner] if draw(st.booleans()) else []
    star = shapely.make_valid(shapely.Polygon((x, y) + radii[:, None] * corner, holes))
    parts = [g for g in shapely.get_parts(star) if g.geom_type == "Polygon"]
    return max(parts, key=lambda g: g.area) if parts else shapely.box(x, y, x + 9, y + 9)


def tile_of(geometries: list[shapely.Geometry], column: int, row: int) -> bytes:
    """Tile of shapes whose coordinates count from the corner of tile (0, 0)."""
    drawn = mvt.draw(mvt.flatten([translate(g, -column * EXTENT, -row * EXTENT).wkb for g in geometries]))
    packed = np.arange(16 * len(geometries), dtype=np.uint8).reshape(-1, 16)[drawn.rows]
    return mvt.layer("annotations", drawn, mvt.feature_ids(packed), [mvt.uuids("id", packed)])


def features(tile: bytes) -> list[shapely.Geometry]:
    """Geometries of a tile, as another decoder reads them, y downwards."""
    read = mapbox_vector_tile.decode(tile, default_options={"y_coord_down": True})
    return [shape_of(f["geometry"]) for layer in read.values() for f in layer["features"]]


@settings(max_examples=60)
@given(polygons())
def test_tiles_put_together_are_the_shape(one: shapely.Polygon) -> None:
    own, whole = shapely.box(0, 0, EXTENT, EXTENT), []
    for column, row in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for found in features(tile_of([one], column, row)):
            # rounding makes some outlines that are thinner than a unit cross themselves
            sound = shapely.make_valid(found, method="structure", keep_collapsed=False)
            whole.append(translate(sound.intersection(own), column * EXTENT, row * EXTENT))
    wanted = one.intersection(shapely.box(0, 0, SIDE, SIDE))
    differ = shapely.union_all(whole).symmetric_difference(wanted)
    # nothing differs but what lies within a unit of the outline, half as much again where a sliver was widened
    assert differ.difference(one.boundary.buffer(1.5)).area < 1e-6


def surveyed(ring: shapely.LinearRing) -> float:
    """Area by the surveyor's formula, with its sign."""
    x, y = shapely.get_coordinates(ring).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


@given(st.lists(polygons(), min_size=1, max_size=5))
def test_rings_are_as_the_specification_wants_them(shapes: list[shapely.Polygon]) -> None:
    for found in features(tile_of(shapes, 0, 0)):
        for part in shapely.get_parts(found):
            # y points downwards: what counts as positive is clockwise as seen
            assert surveyed(part.exterior) > 0
            assert all(surveyed(hole) < 0 for hole in part.interiors)
        low_x, low_y, high_x, high_y = found.bounds
        assert min(low_x, low_y) >= -BUFFER - 1
        assert max(high_x, high_y) <= EXTENT + BUFFER + 1


@given(st.lists(st.lists(st.tuples(place, place), min_size=2, max_size=12), min_size=1, max_size=4))
def test_lines_put_together_are_the_line(lines: list[list[tuple[float, float]]]) -> None:
    line = shapely.MultiLineString(lines)
    around = shapely.box(0, 0, EXTENT, EXTENT)
    for column in (0, 1):
        found = features(tile_of([line], column, 0))
        wanted = translate(line, -column * EXTENT, 0).intersection(around)
        drawn = shapely.union_all(found) if found else shapely.MultiLineString()
        assert wanted.difference(drawn.buffer(WITHIN + 0.02)).length < 1e-6
        for one in found:
            assert one.difference(translate(line, -column * EXTENT, 0).buffer(WITHIN + 1.5)).length < 1e-6


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.lists(st.tuples(anything, anything), min_size=4, max_size=9), min_size=1, max_size=5))
def test_no_coordinate_is_too_strange(rings: list[list[tuple[float, float]]]) -> None:
    xy = np.array([p for ring in rings for p in [*ring, ring[0]]], dtype=np.float64)
    first = np.cumsum([0] + [len(ring) + 1 for ring in rings])
    for kind in (2, 1):
        kinds = np.full(len(rings), kind, np.uint8)
        drawn = mvt.draw(mvt.Paths(xy, first, kinds, np.arange(len(rings) + 1)))
        body = mvt.layer("strange", drawn, np.arange(len(drawn.rows)), [])
        for found in features(body):
            low_x, low_y, high_x, high_y = found.bounds
            assert min(low_x, low_y) >= -BUFFER - 1
            assert max(high_x, high_y) <= EXTENT + BUFFER + 1

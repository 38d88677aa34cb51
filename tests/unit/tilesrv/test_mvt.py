"""Layers as another decoder reads them: every kind of geometry, value and id."""

from uuid import UUID, uuid4

import mapbox_vector_tile
import numpy as np
import pytest
import shapely
from shapely.geometry import shape as shape_of

from tilesrv import mvt


def read(*layers: bytes) -> dict[str, list[dict]]:
    """Features of each layer, y downwards."""
    tile = mapbox_vector_tile.decode(b"".join(layers), default_options={"y_coord_down": True})
    return {name: layer["features"] for name, layer in tile.items()}


def drawn(*geometries: shapely.Geometry | None) -> mvt.Drawn:
    return mvt.draw(mvt.flatten([None if g is None else g.wkb for g in geometries]))


def shown(*geometries: shapely.Geometry | None) -> list[shapely.Geometry]:
    """What becomes of geometries in a tile."""
    found = drawn(*geometries)
    layers = read(mvt.layer("x", found, np.arange(len(found.rows)), []))
    return [shape_of(f["geometry"]) for f in layers.get("x", [])]


PLAIN = [
    shapely.Point(10, 20),
    shapely.MultiPoint([(1, 2), (3, 4), (4000, 4000)]),
    shapely.LineString([(0, 0), (100, 50), (7, 9)]),
    shapely.MultiLineString([[(0, 0), (10, 10)], [(20, 20), (30, 40), (50, 60)]]),
    shapely.box(5, 5, 300, 200),
    shapely.Polygon([(0, 0), (900, 0), (900, 900), (0, 900)], [[(100, 100), (100, 200), (200, 200)]]),
    shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 20, 50, 50), shapely.box(60, 0, 70, 9)]),
]


@pytest.mark.parametrize("geometry", PLAIN, ids=lambda g: g.geom_type)
def test_whole_numbers_come_back_as_they_are(geometry: shapely.Geometry) -> None:
    (found,) = shown(geometry)
    assert found.geom_type == geometry.geom_type
    assert shapely.equals(found, geometry)


def test_all_kinds_at_once_stay_in_order() -> None:
    order = [*PLAIN, None, shapely.Polygon(), *reversed(PLAIN)]
    found = drawn(*order)
    assert found.rows.tolist() == [k for k, g in enumerate(order) if g is not None and not g.is_empty]
    for one, geometry in zip(shown(*order), [g for g in order if g is not None and not g.is_empty], strict=True):
        assert shapely.equals(one, geometry)


def test_the_third_coordinate_is_left_out() -> None:
    (found,) = shown(shapely.Polygon([(0, 0, 5), (9, 0, 5), (9, 9, 5)]))
    assert shapely.equals(found, shapely.Polygon([(0, 0), (9, 0), (9, 9)]))


@pytest.mark.parametrize("clockwise", [True, False])
def test_winding_does_not_depend_on_the_source(clockwise: bool) -> None:
    ring, hole = [(0, 0), (90, 0), (90, 90), (0, 90)], [(10, 10), (20, 10), (20, 20)]
    polygon = shapely.Polygon(ring[::-1] if clockwise else ring, [hole if clockwise else hole[::-1]])
    (found,) = shown(polygon)
    assert found.exterior.is_ccw
    assert not found.interiors[0].is_ccw


@pytest.mark.parametrize(
    ("geometry", "area"),
    [
        (shapely.box(7.1, 8.1, 7.3, 8.2), 1.0),  # less than a unit
        (shapely.box(-1e9, -1e9, 1e9, 1e9), (4096 + 256) ** 2),  # the tile is a speck in it
        (shapely.Polygon([(10, 10), (300, 10.1), (300, 10.2)]), 0.5),  # thinner than a unit
        (shapely.Polygon([(10, 10), (300, 300), (300.2, 300.2)]), 0.5),
        (shapely.Polygon([(10, 10), (10, 300), (10, 10), (200, 10)]), 0.5),  # out and back
    ],
)
def test_no_area_vanishes(geometry: shapely.Polygon, area: float) -> None:
    (found,) = shown(geometry)
    assert found.geom_type == "Polygon"
    assert found.area >= area
    assert found.hausdorff_distance(geometry.intersection(shapely.box(-128, -128, 4224, 4224).buffer(0))) < 1.5 or (
        not geometry.is_valid
    )


def test_no_line_vanishes() -> None:
    (found,) = shown(shapely.LineString([(7.1, 7.2), (7.3, 7.1)]))
    assert found.length == 1
    assert found.distance(shapely.Point(7, 7)) == 0


def test_what_lies_beside_the_tile_is_not_drawn() -> None:
    around = shapely.Polygon([(-900, -900), (-500, 9000), (9000, 9000), (-800, 8000)])
    assert shown(shapely.box(-500, 0, -200, 50), shapely.Point(5000, 1), around) == []
    assert shown(shapely.LineString([(-900, 3000), (-900, -50), (3000, -900)])) == []


def test_a_line_that_comes_back_has_several_parts() -> None:
    (found,) = shown(shapely.LineString([(100, 100), (9000, 100), (9000, 300), (100, 300)]))
    assert [list(part.coords) for part in found.geoms] == [[(100, 100), (4224, 100)], [(4224, 300), (100, 300)]]


def test_holes_and_parts_that_are_too_small_are_left_out() -> None:
    hole = [(10.1, 10.1), (10.3, 10.1), (10.3, 10.3)]
    (found,) = shown(shapely.Polygon([(0, 0), (90, 0), (90, 90), (0, 90)], [hole]))
    assert shapely.equals(found, shapely.box(0, 0, 90, 90))


def test_a_ring_without_a_place_for_some_vertices_goes_on_without_them() -> None:
    xy = np.array([[np.inf, 0], [0, 0], [0, 50], [np.nan, 4], [50, 50], [50, 0], [np.inf, 0]])
    paths = mvt.Paths(xy, np.array([0, 7]), np.array([2], np.uint8), np.array([0, 1]))
    found = mvt.draw(paths)
    (feature,) = read(mvt.layer("x", found, np.zeros(1, np.int64), []))["x"]
    assert shapely.equals(shape_of(feature["geometry"]), shapely.box(0, 0, 50, 50))


@pytest.mark.parametrize(
    "value", ["", "Straße 七", True, False, 0, 7, 127, 128, 2**40, 2**62, -1, -(2**40), 0.5, -1e300, "x" * 300]
)
def test_values_come_back_with_their_type(value: mvt.Value) -> None:
    found = mvt.points(np.array([[1, 2]]))
    (feature,) = read(mvt.layer("x", found, np.zeros(1, np.int64), mvt.sparse([{"key": value}])))["x"]
    assert feature["properties"] == {"key": value}
    assert type(feature["properties"]["key"]) is type(value)


def test_features_without_an_attribute_do_not_have_it() -> None:
    found = mvt.points(np.array([[1, 2], [3, 4], [5, 6]]))
    columns = [
        mvt.constants("label", ("a", "b", "c"), np.array([2, 0, 2])),
        mvt.doubles("score", np.array([0.5, np.nan, 0.25])),
        mvt.whole_numbers("t", np.array([-1, 3, -1]), absent=-1),
        *mvt.sparse([{"n": 1}, {}, {"n": 1, "m": "x"}]),
    ]
    features = read(mvt.layer("x", found, np.array([5, 6, 2**52]), columns))["x"]
    assert [f["properties"] for f in features] == [
        {"label": "c", "score": 0.5, "n": 1},
        {"label": "a", "t": 3},
        {"label": "c", "score": 0.25, "n": 1, "m": "x"},
    ]
    assert [f["id"] for f in features] == [5, 6, 2**52]
    assert [f["geometry"]["coordinates"] for f in features] == [[1, 2], [3, 4], [5, 6]]


def test_uuids_are_told_as_texts_and_as_numbers_that_javascript_holds() -> None:
    ids = [UUID(int=0), UUID(int=1), UUID(int=2**128 - 1), *(uuid4() for _ in range(200))]
    packed = np.frombuffer(b"".join(one.bytes for one in ids), np.uint8).reshape(-1, 16)
    numbers = mvt.feature_ids(packed)
    assert len(set(numbers.tolist())) == len(ids)
    assert numbers.min() >= 0
    assert numbers.max() < 2**53
    found = mvt.points(np.zeros((len(ids), 2), np.int64))
    features = read(mvt.layer("x", found, numbers, [mvt.uuids("id", packed)]))["x"]
    assert [f["properties"]["id"] for f in features] == [str(one) for one in ids]


def test_a_layer_without_features_is_nothing() -> None:
    assert mvt.layer("x", drawn(shapely.Point(9999, 9999)), np.zeros(0, np.int64), []) == b""


def test_bytes_are_those_of_the_specification() -> None:
    # the example of section 4.3.5.6 of the specification: two squares, the second with a hole
    parts = [
        shapely.box(0, 0, 10, 10),
        shapely.Polygon([(11, 11), (20, 11), (20, 20), (11, 20)], [[(13, 13), (13, 17), (17, 17), (17, 13)]]),
    ]
    first = shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
    words = drawn(shapely.MultiPolygon([first, parts[1]])).words.tolist()
    assert words == [
        *(9, 0, 0, 26, 20, 0, 0, 20, 19, 0, 15),
        *(9, 22, 2, 26, 18, 0, 0, 18, 17, 0, 15),
        *(9, 4, 13, 26, 0, 8, 8, 0, 0, 7, 15),
    ]


def test_areas_that_are_cut_into_pieces_have_rings_that_stay_apart() -> None:
    comb = shapely.union_all(
        [shapely.box(100, 4000, 3000, 9000), *(shapely.box(x, 3000, x + 50, 4001) for x in range(100, 3000, 100))]
    )
    upside_down = shapely.transform(comb, lambda p: np.stack([p[:, 0], 8000 - p[:, 1]], axis=-1))
    holed = shapely.Polygon(
        [(-900, -900), (5000, -900), (5000, 5000), (-900, 5000)], [[(-500, 9), (9, -500), (900, 900)]]
    )
    for geometry in (comb, upside_down, holed):
        (found,) = shown(geometry)
        assert found.is_valid
        clipped = geometry.intersection(shapely.box(-128, -128, 4224, 4224))
        assert found.symmetric_difference(clipped).area < clipped.length
    (teeth,) = shown(shapely.transform(comb, lambda p: p - (0, 4150)))
    assert teeth.is_valid

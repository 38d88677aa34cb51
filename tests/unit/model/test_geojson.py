"""Shapes from and to GeoJSON geometries."""

import json

import numpy as np
import pytest
import shapely

from bigimage.geometry.grid import Grid
from bigimage.model.geojson import geometry_of, plain_geometries, shape_of
from bigimage.model.problem import Problem
from bigimage.model.shape import Line, MultiPoint, PlanarContours, Point, Polygon, Shape

SCENE = Grid.pixels((1000, 700), "scene")
RING = [[0, 0], [4, 0], [4, 4], [0, 0]]
HOLE = [[2, 1], [3, 1], [3, 2], [2, 1]]


def problems(geometry: object, *, ndim: int = 2) -> list[Problem]:
    found = shape_of(geometry, ndim=ndim, grid=SCENE)
    assert isinstance(found, list)
    return found


PLAIN: list[tuple[Shape, int]] = [
    (Point(shapely.Point(3, 4)), 2),
    (Point(shapely.Point(3, 4, 5)), 3),
    (MultiPoint(shapely.MultiPoint([(1, 9), (5, 2)])), 2),
    (Line(shapely.LineString([(0, 0), (4, -3)])), 2),
    (Line(shapely.MultiLineString([[(0, 0, 1), (4, -3, 2)], [(0, 1, 1), (4, 3, 2)]])), 3),
    (Polygon(shapely.Polygon(RING, [HOLE])), 2),
    (Polygon(shapely.MultiPolygon([shapely.Polygon(RING, [HOLE])])), 2),
]


@pytest.mark.parametrize(("shape", "ndim"), PLAIN, ids=lambda v: type(v).__name__)
def test_plain_shapes_round_trip(shape: Shape, ndim: int) -> None:
    assert shape_of(json.loads(json.dumps(geometry_of(shape))), ndim=ndim) == shape


def test_polygons_of_a_volume_become_contours() -> None:
    ring, hole = ([[*p, 7] for p in r] for r in (RING, HOLE))
    found = shape_of({"type": "MultiPolygon", "coordinates": [[ring, hole], [ring]]}, ndim=3)
    assert found == PlanarContours.of([np.array(r, dtype=float) for r in (ring, hole, ring)])
    single = shape_of({"type": "Polygon", "coordinates": [ring]}, ndim=3)
    assert single == PlanarContours.of([np.array(ring, dtype=float)])


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("geometry", "kind", "place"),
    [
        (None, "missing", "geometry"),
        ([], "type", "geometry"),
        ({"type": "Circle", "coordinates": [0, 0]}, "type", "geometry/type"),
        ({"type": nested(3), "coordinates": [0, 0]}, "type", "geometry/type"),
        ({"type": "GeometryCollection", "geometries": []}, "type", "geometry/type"),
        ({"type": "Point"}, "empty", "geometry/coordinates"),
        ({"type": "Point", "coordinates": []}, "empty", "geometry/coordinates"),
        ({"type": "Point", "coordinates": [1, 2, 3]}, "dimension", "geometry/coordinates"),
        ({"type": "Point", "coordinates": [1]}, "dimension", "geometry/coordinates"),
        ({"type": "Point", "coordinates": ["1", "2"]}, "coordinate", "geometry/coordinates"),
        ({"type": "Point", "coordinates": [float("nan"), 2]}, "coordinate", "geometry/coordinates/0"),
        ({"type": "Point", "coordinates": [float("inf"), 2]}, "coordinate", "geometry/coordinates/0"),
        ({"type": "Point", "coordinates": [10**400, 2]}, "coordinate", "geometry/coordinates"),
        ({"type": "Point", "coordinates": nested(900)}, "coordinate", "geometry/coordinates"),
        ({"type": "LineString", "coordinates": [[0, 0]]}, "ring", "geometry/coordinates"),
        ({"type": "LineString", "coordinates": [[0, 0], [1]]}, "coordinate", "geometry/coordinates"),
        ({"type": "LineString", "coordinates": [{"x": 1}, {"x": 2}]}, "coordinate", "geometry/coordinates"),
        ({"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[0, 0]]]}, "ring", "geometry/coordinates/1"),
        ({"type": "Polygon", "coordinates": [RING, []]}, "empty", "geometry/coordinates/1"),
        ({"type": "Polygon", "coordinates": [RING, HOLE[:3]]}, "ring", "geometry/coordinates/1"),
        ({"type": "Polygon", "coordinates": [[*RING[:3], [9, 9]]]}, "ring", "geometry/coordinates/0"),
        ({"type": "MultiPolygon", "coordinates": [[RING], [RING[:2]]]}, "ring", "geometry/coordinates/1/0"),
        ({"type": "MultiPolygon", "coordinates": [[RING], 5]}, "empty", "geometry/coordinates/1"),
        ({"type": "MultiPolygon", "coordinates": [[[None, [1, 2]]]]}, "coordinate", "geometry/coordinates/0/0"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_what_is_wrong_is_named_with_its_place(geometry: object, kind: str, place: str) -> None:
    assert [(p.kind, p.place) for p in problems(geometry)] == [(kind, place)]


def test_every_problem_is_found_at_once() -> None:
    geometry = {"type": "MultiPolygon", "coordinates": [[RING, [[0, 0, 0]]], [], [[[0, float("inf")]]]]}
    assert [(p.kind, p.place) for p in problems(geometry)] == [
        ("dimension", "geometry/coordinates/0/1"),
        ("empty", "geometry/coordinates/1"),
        ("coordinate", "geometry/coordinates/2/0/0"),
    ]


def test_two_coordinates_in_a_volume_are_refused() -> None:
    assert [p.kind for p in problems({"type": "Polygon", "coordinates": [RING]}, ndim=3)] == ["dimension"]


@pytest.mark.parametrize(
    "coordinates",
    [
        {"type": "Point", "coordinates": [3, 4.5]},
        {"type": "MultiPoint", "coordinates": [[1, 9], [5, 2]]},
        {"type": "LineString", "coordinates": [[0, 0], [4, -3]]},
        {"type": "MultiLineString", "coordinates": [[[0, 0], [4, -3]], [[1, 1], [2, 2], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]], HOLE]},
        {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [[[9, 9], [12, 9], [12, 12], [9, 9]]]]},
    ],
)
def test_sound_geometries_are_made_together_as_one_by_one(coordinates: dict[str, object]) -> None:
    square: dict[str, object] = {"type": "Polygon", "coordinates": [RING]}
    made = plain_geometries([square, coordinates, square])
    alone = [shape_of(g, ndim=2, grid=SCENE) for g in (square, coordinates, square)]
    assert made is not None
    assert [g.wkb for g in made] == [shape.geometry.wkb for shape in alone if isinstance(shape, PLAIN_SHAPES)]


PLAIN_SHAPES = (Point, MultiPoint, Line, Polygon)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        "POINT (0 0)",
        {"type": "Point"},
        {"type": "Circle", "coordinates": [0, 0]},
        {"type": ["Point"], "coordinates": [0, 0]},
        {"type": "Point", "coordinates": [0, 0, 0]},
        {"type": "Point", "coordinates": [True, False]},
        {"type": "Point", "coordinates": ["1", "2"]},
        {"type": "Point", "coordinates": {"x": 1, "y": 2}},
        {"type": "Point", "coordinates": [float("inf"), 0]},
        {"type": "Point", "coordinates": [10**400, 0]},
        {"type": "Point", "coordinates": [2**64, 0]},
        {"type": "MultiPoint", "coordinates": []},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "LineString", "coordinates": [[0, 0], 1]},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [RING, []]},
        {"type": "Polygon", "coordinates": [RING[:3]]},
        {"type": "Polygon", "coordinates": [[*RING[:3], [0, 1]]]},
        {"type": "MultiPolygon", "coordinates": [[RING], []]},
        {"type": "GeometryCollection", "geometries": []},
    ],
)
def test_what_is_not_sound_is_left_to_be_looked_at_alone(geometry: object) -> None:
    sound = {"type": "Point", "coordinates": [1, 2]}
    assert plain_geometries([sound, geometry]) is None
    assert isinstance(shape_of(geometry, ndim=2, grid=SCENE), list)

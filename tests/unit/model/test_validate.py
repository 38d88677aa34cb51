"""Validation: sound annotations pass, and each fault is named with its kind and place."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.labels import Attribute, Label, Schema, Skeleton
from bigimage.model.mask import Mask
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
)
from bigimage.model.validate import validate, validate_all
from tests.unit.model.examples import (
    BODY_SHAPES,
    MAP_SHAPES,
    PATIENT,
    PIXELS,
    SCAN,
    SCENE,
    TURN,
    UTM,
    annotation,
    mask,
    ring,
    square,
    uid,
)

E, N = 500_000.0, 5_400_000.0
SCHEMA = Schema(
    labels=(
        Label(name="house", value=1, formerly=("home",), attributes=(Attribute(name="floors", type="integer"),)),
        Label(name="tree", value=2, shapes=("point", "ellipse")),
        Label(name="ship", value=3, skeleton=Skeleton(points=("bow", "stern"))),
    )
)


def kinds(found: Annotation, **how: object) -> list[tuple[str, str]]:
    return [(p.kind, p.place) for p in validate(found, **how)]  # pyright: ignore[reportArgumentType]


def on_map(*points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(E + x, N - y) for x, y in points]


@pytest.mark.parametrize("shape", MAP_SHAPES, ids=lambda s: type(s).__name__)
def test_sound_shapes_on_a_map_pass(shape: Shape) -> None:
    assert kinds(annotation(shape), grid=SCENE) == []


@pytest.mark.parametrize("shape", BODY_SHAPES, ids=lambda s: type(s).__name__)
def test_sound_shapes_in_a_volume_pass(shape: Shape) -> None:
    assert kinds(annotation(shape, frame=PATIENT), grid=SCAN) == []


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (Polygon(shapely.Polygon(on_map((0, 0), (10, 10), (10, 0), (0, 10)))), "self-intersection"),
        (Polygon(shapely.Polygon(on_map((0, 0), (10, 10), (20, 20)))), "zero-area"),
        (Polygon(shapely.Polygon(on_map((0, 0), (9, 0), (9, 9)), [on_map((20, 20), (21, 20), (21, 21))])), "topology"),
        (Polygon(shapely.MultiPolygon([square().geometry, square(side=5).geometry])), "self-intersection"),
        (Polygon(shapely.Polygon()), "empty"),
        (Polygon(shapely.Polygon([(E, N), (E, np.inf), (E + 1, N)])), "coordinate"),
        (Point(shapely.Point(E, np.nan)), "coordinate"),
        (Point(shapely.Point(E, N, 0)), "dimension"),
        (Line(shapely.LineString([(E, N), (E, N)])), "zero-area"),
        (Box((E, N - 1), (E, N)), "zero-area"),
        (Box((E, N - 1, 0), (E + 1, N, 1)), "dimension"),
        (RotatedBox((E, N), (0, 3)), "zero-area"),
        (Ellipse((E, N), (0, 3)), "zero-area"),
        (Cuboid((E, N, 0), (1, 1, 1)), "dimension"),
        (Keypoints((None, None), (0, 0)), "empty"),
        (Mask(SCENE, {}), "empty"),
        (mask(Grid.from_transform((1, 0, E, 0, -1, N), (500, 500), UTM)), "grid"),
        (Tag(plane="axial", index=1), "dimension"),
        (square(E - 100, N), "outside"),
        (square(E + 3000 * 0.5 + 1, N - 100), "outside"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else v,
)
def test_faults_on_a_map(shape: Shape, kind: str) -> None:
    assert [k for k, _ in kinds(annotation(shape), grid=SCENE)] == [kind]


def test_a_shape_across_the_edge_of_the_image_passes() -> None:
    assert kinds(annotation(square(E - 10, N - 10)), grid=SCENE) == []


@pytest.mark.parametrize(
    ("shape", "problems"),
    [
        (square(0, 0), [("dimension", "shape")]),
        (Polygon(shapely.Polygon(ring(120))), [("dimension", "shape")]),
        (PlanarContours.of([ring(120), ring(120)[[0, 2, 1, 3]]]), [("self-intersection", "rings/1")]),
        (PlanarContours.of([np.array([[0, 0, 123], *ring(120)[1:]])]), [("not-planar", "rings/0")]),
        (PlanarContours.of([ring(120)[[0, 1, 1, 0]]]), [("zero-area", "rings/0")]),
        (
            PlanarContours(shapely.MultiLineString([ring(120), ring(120)[:2]])),
            [("ring", "rings/0"), ("ring", "rings/1")],
        ),
        (Point(shapely.Point(1, 2, 500)), [("outside", "geometry")]),
        (Cuboid((0, 0, 500), (1, 1, 1), TURN), [("outside", "geometry")]),
    ],
    ids=str,
)
def test_faults_in_a_volume(shape: Shape, problems: list[tuple[str, str]]) -> None:
    assert kinds(annotation(shape, frame=PATIENT), grid=SCAN) == problems


def test_another_frame_is_a_fault_and_hides_no_other() -> None:
    crossed = Polygon(shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)]))
    assert kinds(annotation(crossed, frame=PIXELS), grid=SCENE) == [
        ("frame", "frame"),
        ("self-intersection", "geometry"),
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"label": " "}, ("label", "label")),
        ({"origin": "robot"}, ("value", "origin")),
        ({"origin": "model:sam"}, ("value", "origin")),
        ({"score": 1.5}, ("value", "score")),
        ({"score": float("nan")}, ("value", "score")),
        ({"instance": ""}, ("value", "instance")),
        ({"t": -1}, ("outside", "t")),
        ({"t": 4}, ("outside", "t")),
        ({"relations": (Relation("part of", uid(1)),)}, ("circle", "relations")),
        ({"attributes": {"a": float("inf")}}, ("attribute", "attributes")),
        ({"attributes": {"a": object()}}, ("attribute", "attributes")),
        ({"attributes": {5: "a"}}, ("attribute", "attributes")),
    ],
    ids=str,
)
def test_faults_of_other_fields(fields: dict[str, object], problem: tuple[str, str]) -> None:
    assert kinds(annotation(square(), **fields), times=4) == [problem]


def test_other_fields_that_are_sound_pass() -> None:
    full = annotation(square(), origin="model:sam@2.1", score=0.5, instance="x", t=3, attributes={"a": [1, None, "é"]})
    assert kinds(full, times=4) == []


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (annotation(square(), label="home"), []),
        (annotation(square(), label="hut"), [("label", "label")]),
        (annotation(square(), label="tree"), [("shape", "shape")]),
        (annotation(square(), attributes={"floors": "2"}), [("attribute", "attributes/floors")]),
        (annotation(square(), label="ship", attributes={"a": 1}), [("attribute", "attributes/a")]),
        (annotation(Keypoints(((E, N),), (2,)), label="ship"), [("shape", "shape/points")]),
        (annotation(Keypoints(((E, N), None), (2, 0), ("bow", "mast")), label="ship"), [("shape", "shape/points")]),
        (annotation(Keypoints(((E, N), None), (2, 0)), label="ship"), []),
    ],
    ids=lambda v: v.label if isinstance(v, Annotation) else None,
)
def test_the_schema_is_kept(found: Annotation, problems: list[tuple[str, str]]) -> None:
    assert kinds(found, schema=SCHEMA) == problems


def test_many_are_checked_together_and_told_apart() -> None:
    sound = annotation(square())
    crossed = replace(sound, shape=Polygon(shapely.Polygon(on_map((0, 0), (9, 9), (9, 0), (0, 9)))), label="hut")
    found = validate_all([sound, crossed, sound, replace(sound, score=2.0)], schema=SCHEMA, grid=SCENE)
    assert [(k, p.kind) for k, p in found] == [(1, "label"), (1, "self-intersection"), (3, "value")]
    assert validate_all([], schema=SCHEMA, grid=SCENE) == []

"""Annotations as GeoJSON features, both ways."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.feature import Place, crs_of, feature_dict, feature_texts, patch_feature, read_feature
from bigimage.model.shape import Ellipse, PlanarContours, Point, Polygon, Tag
from tests.unit.model.examples import annotation, uid

UTM = GeoFrame("EPSG:32632")
GRID = Grid((1000, 1000), ((0.0, 10.0, 500_000.0), (-10.0, 0.0, 5_000_000.0)), UTM)
NATIVE = Place("scene", GRID)
LONLAT = Place.of("scene", GRID, None)
SQUARE = [[500_100, 4_999_000], [500_200, 4_999_000], [500_200, 4_999_100], [500_100, 4_999_000]]


def new_id() -> UUID:
    return uid(99)


def read(document: Any, place: Place = NATIVE, **more: Any) -> Annotation:
    found = read_feature(document, place, new_id=new_id, **more)
    assert isinstance(found, Annotation), found
    return found


def problems(document: Any, place: Place = NATIVE, **more: Any) -> list[str]:
    found = read_feature(document, place, new_id=new_id, **more)
    assert isinstance(found, list)
    return [p.place for p in found]


def feature(**members: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [SQUARE]}
    return {"type": "Feature", "geometry": geometry, "properties": {"label": "ship"}, **members}


def test_everything_comes_back() -> None:
    made = annotation(
        Polygon(shapely.Polygon(SQUARE)),
        frame=UTM,
        attributes={"difficult": True, "tags": ["a", 1.5]},
        t=3,
        origin="model:net@2",
        score=0.25,
        instance="ship-7",
        relations=(Relation("part of", uid(5)),),
    )
    stored = replace(made, version=4, author="ada", editor="bo", created=datetime(2026, 1, 2, tzinfo=UTC), schema=2)
    document = feature_dict(stored, None)
    assert document["id"] == str(stored.id)
    assert document["properties"]["created"] == "2026-01-02T00:00:00.000000Z"
    assert document["properties"]["version"] == 4
    assert read(document) == made


@pytest.mark.parametrize("shape", [Ellipse((500_500.0, 4_999_000.0), (30.0, 20.0), 15.0), Tag(region="north")])
def test_members_are_in_the_images_own_frame(shape: Any) -> None:
    made = annotation(shape, frame=UTM)
    document = feature_dict(made, LONLAT.crs)
    assert read(document, LONLAT).shape == shape
    if isinstance(shape, Ellipse):
        assert document["geometry"]["coordinates"][0][0][0] == pytest.approx(9.0065, abs=1e-3)
        assert document["shape"]["center"] == [500_500.0, 4_999_000.0]
    else:
        assert document["geometry"] is None


def test_degrees_come_back_as_they_were_drawn() -> None:
    made = annotation(Polygon(shapely.Polygon(SQUARE)), frame=UTM)
    there = json.loads(feature_texts([made], LONLAT.crs)[0])
    assert there["geometry"]["coordinates"][0][0] == pytest.approx([9.00127, 45.1444], abs=1e-3)
    back = read(there, LONLAT).shape
    assert isinstance(back, Polygon)
    assert shapely.equals_exact(back.geometry, made.shape.geometry, tolerance=1e-6, normalize=True)  # pyright: ignore


def test_volumes_have_contours_in_millimetres() -> None:
    grid = Grid((4, 8, 8), ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0)), PatientFrame("1.2"))
    ring = [[1, 1, 3], [5, 1, 3], [5, 5, 3], [1, 1, 3]]
    found = read(feature(geometry={"type": "Polygon", "coordinates": [ring]}), Place.of("scan", grid, None))
    assert isinstance(found.shape, PlanarContours)
    flat = {"type": "Polygon", "coordinates": [[p[:2] for p in ring]]}
    assert problems(feature(geometry=flat), Place.of("scan", grid, None)) == ["geometry/coordinates/0"]
    with pytest.raises(InputError, match="no coordinate reference system"):
        Place.of("scan", grid, "EPSG:4326")


def test_which_crs_is_meant() -> None:
    assert crs_of(UTM, None) == GeoFrame("OGC:CRS84")
    assert crs_of(UTM, "native") is None
    assert crs_of(UTM, "EPSG:32632") is None
    assert crs_of(UTM, "EPSG:3857") == GeoFrame("EPSG:3857")
    assert crs_of(PixelFrame("plain"), None) is None


@pytest.mark.parametrize(
    ("document", "places"),
    [
        ("text", [""]),
        ({}, ["type", "geometry", "properties/label"]),
        (feature(type="Point"), ["type"]),
        (feature(properties=None), ["properties/label"]),
        (feature(properties=[]), ["properties", "properties/label"]),
        (feature(properties={"label": 7}), ["properties/label"]),
        (feature(properties={"label": "a", "height": 3, "colour": 1}), ["properties/height", "properties/colour"]),
        (feature(properties={"label": "a", "attributes": []}), ["properties/attributes"]),
        (feature(properties={"label": "a", "score": 2}), ["properties/score"]),
        (feature(properties={"label": "a", "score": True}), ["properties/score"]),
        (feature(properties={"label": "a", "relations": [{"kind": "x"}]}), ["properties/relations/0"]),
        (feature(id="seven"), ["id"]),
        (feature(id=7), ["id"]),
        (feature(t="now"), ["t"]),
        (feature(geometry={"type": "Circle", "coordinates": [1]}), ["geometry/type"]),
        (feature(geometry={"type": "Point", "coordinates": [1, 2, 3]}), ["geometry/coordinates"]),
        (feature(shape={"type": "sphere"}), ["shape/type"]),
    ],
)
def test_every_problem_has_its_place(document: Any, places: list[str]) -> None:
    assert problems(document) == places


def test_coordinates_of_another_crs_are_not_taken_for_degrees() -> None:
    assert problems(feature(), LONLAT) == ["geometry/coordinates"]
    found = read_feature(feature(), LONLAT, new_id=new_id)
    assert isinstance(found, list)
    assert "crs=native" in found[0].message


def test_a_replacement_keeps_what_it_does_not_say() -> None:
    before = replace(annotation(Point(shapely.Point(1, 2)), frame=UTM), origin="model:net@2", score=0.5, t=1)
    after = read(feature(), before=before)
    assert (after.id, after.origin, after.score, after.t, after.label) == (before.id, "model:net@2", 0.5, None, "ship")
    assert problems(feature(id=str(uid(44))), before=before) == ["id"]


def test_a_merge_patch_changes_what_it_names() -> None:
    before = annotation(
        Point(shapely.Point(500_100, 4_999_000)), frame=UTM, attributes={"a": 1, "b": 2}, t=1, score=0.5
    )
    patched = patch_feature({"properties": {"attributes": {"a": None, "c": 3}}}, NATIVE, before=before)
    assert patched == replace(before, attributes={"b": 2, "c": 3})
    patched = patch_feature({"t": None, "properties": {"score": None, "label": "tug"}}, NATIVE, before=before)
    assert patched == replace(before, t=None, score=None, label="tug")
    moved = patch_feature({"geometry": {"type": "Point", "coordinates": [1, 2]}}, NATIVE, before=before)
    assert moved == replace(before, shape=Point(shapely.Point(1, 2)))
    assert patch_feature({}, NATIVE, before=before) == before


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ([], ""),
        ({"properties": {"label": None}}, "properties/label"),
        ({"properties": {"nonsense": 1}}, "properties/nonsense"),
        ({"properties": 3}, "properties"),
        ({"id": str(UUID(int=7))}, "id"),
        ({"geometry": {"type": "Point", "coordinates": []}}, "geometry/coordinates"),
        ({"t": 1.5}, "t"),
    ],
)
def test_a_wrong_patch_is_refused(patch: Any, place: str) -> None:
    found = patch_feature(patch, NATIVE, before=annotation(Point(shapely.Point(1, 2)), frame=UTM))
    assert isinstance(found, list)
    assert [p.place for p in found] == [place]

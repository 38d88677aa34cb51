"""Annotations as GeoDataFrames."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

import geopandas
import pytest
import shapely

from bigimage.errors import FrameMismatch, InputError
from bigimage.model.annotation import Relation
from bigimage.model.geodataframe import COLUMNS, from_geodataframe, to_geodataframe
from bigimage.model.problem import Invalid
from bigimage.model.shape import Point
from tests.unit.model.examples import (
    BODY_SHAPES,
    MAP_SHAPES,
    PATIENT,
    PIXELS,
    SCAN,
    SCENE,
    UTM,
    annotation,
    square,
    uid,
)


def ids() -> Iterator[UUID]:
    return (uid(1000 + k) for k in count())


def test_shapes_of_a_map_round_trip() -> None:
    given = [annotation(shape, number=k, label=f"l{k % 3}") for k, shape in enumerate(MAP_SHAPES)]
    given[0] = annotation(
        MAP_SHAPES[0],
        number=0,
        attributes={"floors": 3, "roof": ["flat", None]},
        t=2,
        origin="model:sam@2",
        score=0.25,
        instance="block 5",
        relations=(Relation("part of", uid(7)),),
        schema=4,
    )
    table = to_geodataframe(given)
    assert table.crs == "EPSG:32632"
    assert set(table.columns) == {*COLUMNS, "geometry"}
    back = from_geodataframe(table, image="scene", frame=UTM, grid=SCENE, new_id=ids().__next__)
    assert back == given


def test_shapes_of_a_volume_round_trip() -> None:
    given = [annotation(shape, number=k, frame=PATIENT) for k, shape in enumerate(BODY_SHAPES)]
    table = to_geodataframe(given)
    assert table.crs is None
    assert from_geodataframe(table, image="scene", frame=PATIENT, grid=SCAN, new_id=ids().__next__) == given


def test_foreign_tables_need_only_geometry() -> None:
    table = geopandas.GeoDataFrame(
        {"height": [3.5, None], "name": ["a", "b"]}, geometry=[square().geometry, shapely.Point(1, 2)], crs=32632
    )
    found = from_geodataframe(table, image="scene", frame=UTM, label="house", new_id=ids().__next__)
    assert [a.id for a in found] == [uid(1000), uid(1001)]
    assert [a.attributes for a in found] == [{"height": 3.5, "name": "a"}, {"name": "b"}]
    assert found[1].shape == Point(shapely.Point(1, 2))


def test_an_empty_selection_is_an_empty_table() -> None:
    table = to_geodataframe([])
    assert len(table) == 0
    assert "label" in table.columns


def test_several_frames_are_refused() -> None:
    with pytest.raises(InputError, match="several frames"):
        to_geodataframe([annotation(square()), annotation(square(), frame=PIXELS)])


def test_another_crs_is_refused() -> None:
    table = to_geodataframe([annotation(square())]).to_crs(4326)
    with pytest.raises(FrameMismatch, match="transform them first"):
        from_geodataframe(table, image="scene", frame=UTM, new_id=ids().__next__)


def test_every_row_that_is_wrong_is_named() -> None:
    table = geopandas.GeoDataFrame(
        {"id": ["nonsense", None, None], "label": ["a", None, "b"]},
        geometry=[square().geometry, square().geometry, shapely.Point(1, 2, 3)],
    )
    with pytest.raises(Invalid) as caught:
        from_geodataframe(table, image="scene", frame=UTM, new_id=ids().__next__)
    assert [(p.kind, p.place) for p in caught.value.details] == [
        ("value", "0"),
        ("label", "1/label"),
        ("dimension", "2/geometry/coordinates"),
    ]

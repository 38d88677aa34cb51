"""Annotations as GeoDataFrames."""

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import geopandas
import pandas
import pytest
import shapely

from bigimage.errors import FrameMismatch, InputError
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.geodataframe import COLUMNS, from_geodataframe, table_of_geodataframe, to_geodataframe
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


def as_rows(table: geopandas.GeoDataFrame, **asked: Any) -> list[Annotation] | None:
    """Rows by the fast way, which must be those of the slow one; None where it leaves the table to that."""
    made = table_of_geodataframe(table, image="scene", frame=UTM, new_id=ids().__next__, **asked)
    if made is None:
        return None
    rows = [made.annotation(k) for k in range(len(made))]
    assert rows == from_geodataframe(table, image="scene", frame=UTM, new_id=ids().__next__, **asked)
    return rows


def plain_table(**columns: Any) -> geopandas.GeoDataFrame:
    geometry = [square().geometry, shapely.Point(500_100, 5_399_900), shapely.LineString([(0, 0), (1, 1)])]
    return geopandas.GeoDataFrame({"label": ["a", "b", "a"], **columns}, geometry=geometry, crs=UTM.crs)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"id": [str(uid(k)) for k in range(3)], "t": [1, None, 2], "score": [0.5, None, 1]},
        {"origin": ["import", None, "model:m@1"], "instance": [None, "x", "y"], "schema": [3, 3, 3]},
        {"floors": [1, 2, 3], "flat": [True, None, False], "name": ["ä", None, "b"], "height": [1.5, float("nan"), 2]},
        {"geometry_type": ["x", "y", "z"], "attributes": [None, None, None]},
        {"label": [None, "b", ""]},
    ],
)
def test_plain_tables_become_what_their_rows_do(columns: dict[str, Any]) -> None:
    rows = as_rows(plain_table(**columns), label="fallback")
    assert rows is not None
    assert len(rows) == 3


@pytest.mark.parametrize(
    "columns",
    [
        {"id": [str(uid(1)), "seven", None]},
        {"schema": [1, 2, 1]},
        {"schema": [1, None, 1]},
        {"relations": [None, [{"kind": "part of", "to": str(uid(2))}], None]},
        {"shape": [None, {"type": "point"}, None]},
        {"attributes": [{"a": 1}, None, {}]},
        {"when": pandas.to_datetime(["2020-01-01"] * 3)},
        {"many": [[1], [2], [3]]},
        {"t": ["1", "2", "3"]},
        {"t": [-1, 0, 1]},
        {"instance": [1, 2, 3]},
        {"label": [1, 2, 3]},
        {"label": ["a", None, "c"]},
    ],
)
def test_other_tables_are_read_row_by_row(columns: dict[str, Any]) -> None:
    assert as_rows(plain_table(**columns)) is None


def test_tables_of_other_geometries_are_read_row_by_row() -> None:
    for odd in (None, shapely.Point(1, 2, 3), shapely.Polygon(), shapely.GeometryCollection()):
        table = plain_table()
        table.loc[1, "geometry"] = odd
        assert as_rows(table) is None
    assert as_rows(plain_table().iloc[:0]) is None
    with pytest.raises(FrameMismatch):
        as_rows(plain_table().set_crs("EPSG:4326", allow_override=True))

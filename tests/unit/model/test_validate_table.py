"""Tables are checked as their rows are."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Attribute, Label, Schema
from bigimage.model.table import Table, Texts
from bigimage.model.validate import validate_all
from bigimage.model.validate_table import validate_table
from tests.tables import annotations, table_of
from tests.unit.model.examples import SCENE, UTM, annotation, square

SCHEMA = Schema(
    labels=(
        Label(name="house", value=1, attributes=(Attribute(name="floors", type="integer", required=True),)),
        Label(name="tree", value=2, shapes=("point", "multipoint")),
        Label(name="road", value=3, attributes=(Attribute(name="roof", type="choice", values=("flat", "a")),)),
    ),
    version=3,
)
TURNED = Grid(SCENE.shape, ((0.3, 0.4, 499_500.0), (-0.4, 0.3, 5_400_000.0)), UTM)


@given(annotations(), st.sampled_from([None, SCHEMA]), st.sampled_from([None, SCENE, TURNED]), st.none() | st.just(3))
@settings(max_examples=150)
def test_rows_have_the_problems_that_they_have_one_by_one(
    made: list[Annotation], schema: Schema | None, grid: Grid | None, times: int | None
) -> None:
    expected = validate_all(made, schema=schema, grid=grid, times=times)
    assert validate_table(table_of(made), schema=schema, grid=grid, times=times) == expected


def test_every_row_of_another_frame_is_told() -> None:
    table = table_of([annotation(square(), number=k) for k in range(3)])
    found = validate_table(table, grid=Grid.pixels((1000, 1000), "plain"))
    assert [(k, p.kind) for k, p in found] == [(0, "frame"), (1, "frame"), (2, "frame")]


def test_sound_rows_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [annotation(square(x=500_010 + 30 * k), number=k, attributes={"floors": k}) for k in range(40)]
    made[7] = annotation(square(x=10.0), number=7, attributes={"floors": 7})
    seen: list[int] = []
    real = Table.annotation
    monkeypatch.setattr(Table, "annotation", lambda table, row: (seen.append(row), real(table, row))[1])
    found = validate_table(table_of(made), schema=SCHEMA, grid=SCENE)
    assert [(k, p.kind) for k, p in found] == [(7, "outside")]
    assert seen == [7]


def test_a_table_without_rows_has_no_problems() -> None:
    empty = Table(
        image="scene",
        frame=UTM,
        ids=np.zeros(0, dtype="V16"),
        labels=Texts.of([], 0),
        geometries=np.array([], dtype=object),
        origins=Texts.of([], 0),
    )
    assert validate_table(empty, schema=SCHEMA, grid=SCENE) == []
    assert shapely.get_type_id(empty.geometries).shape == (0,)

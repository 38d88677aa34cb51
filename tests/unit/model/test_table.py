"""Tables of annotations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.model.table import Texts, packed_ids
from tests.tables import table_of
from tests.unit.model.examples import MAP_SHAPES, PATIENT, annotation, square, uid

PLAIN = [
    annotation(shape, number=k, label=("house", "tree")[k % 2], score=0.1 * k if k else None, t=k or None)
    for k, shape in enumerate(MAP_SHAPES[:5])
]


def test_rows_are_the_annotations_that_they_stand_for() -> None:
    table = table_of([replace(a, schema=4, attributes={"k": 1}, instance="i") for a in PLAIN])
    rows = [table.annotation(k) for k in range(len(table))]
    assert rows == [replace(a, schema=4, attributes={"k": 1}, instance="i") for a in PLAIN]
    assert [table_of(PLAIN).annotation(k) for k in range(len(PLAIN))] == PLAIN


def test_parts_are_the_whole() -> None:
    table = table_of(PLAIN)
    parts = list(table.parts(2))
    assert [len(p) for p in parts] == [2, 2, 1]
    assert [p.annotation(k) for p in parts for k in range(len(p))] == PLAIN
    assert list(table.parts(5)) == [table]


def test_texts_are_named_once() -> None:
    texts = Texts.of(["b", "a", "b"], 3)
    assert (texts.names, texts.places.tolist(), texts.tolist()) == (("b", "a"), [0, 1, 0], ["b", "a", "b"])
    assert Texts.of("a", 2).tolist() == ["a", "a"]


def test_ids_are_their_bytes() -> None:
    assert [v.tobytes() for v in packed_ids([uid(1), uid(2)])] == [uid(1).bytes, uid(2).bytes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.zeros(1, dtype="V16")}, "columns of one length are due, not of 1, 2"),
        ({"attributes": [{}]}, "not of 1, 2"),
        ({"frame": PATIENT}, "flat images"),
        ({"geometries": np.array([square().geometry, None])}, "row 1 has no geometry"),
        ({"geometries": np.array([shapely.GeometryCollection(), shapely.Point(1, 2)])}, "row 0 has a GeometryColl"),
        ({"geometries": np.array([shapely.LinearRing([(0, 0), (1, 0), (1, 1)])] * 2)}, r"LinearRing.*\(2 rows"),
    ],
)
def test_what_is_no_table_is_refused(change: dict[str, Any], message: str) -> None:
    table = table_of([annotation(square(), number=k) for k in range(2)])
    with pytest.raises(InputError, match=message):
        replace(table, **change)

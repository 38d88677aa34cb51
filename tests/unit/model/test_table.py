"""Tables of annotations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.model.table import Texts, are_plain, packed_ids, parsed_ids
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


def test_ids_are_read_from_their_usual_form() -> None:
    found = parsed_ids([str(uid(1)), str(uid(2)).upper()])
    assert found is not None
    assert found.tolist() == packed_ids([uid(1), uid(2)]).tolist()
    none = parsed_ids([])
    assert none is not None
    assert len(none) == 0
    good = str(uid(3))
    for odd in (good.replace("-", "0"), good.replace("-", "")[:32] + "0000", "ä" * 36, good[:-2] + "  ", good[:35], 5):
        assert parsed_ids([good, odd]) is None


@pytest.mark.parametrize(
    ("geometry", "plain"),
    [
        (shapely.Point(1, 2), True),
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]), True),
        (None, False),
        (shapely.GeometryCollection(), False),
        (shapely.Point(), False),
        (shapely.Point(1, 2, 3), False),
        (shapely.Point(1, np.nan), False),
        (shapely.LineString([(0, 0), (np.inf, 1)]), False),
        (shapely.from_wkt("MULTIPOINT ((1 1), EMPTY)"), False),
    ],
)
def test_plain_geometries_are_told_from_others(geometry: Any, plain: bool) -> None:
    column = np.array([shapely.box(0, 0, 1, 1), geometry], dtype=object)
    assert are_plain(column) is plain

"""What data frames and databases write becomes what annotations hold."""

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.formats.vector.tablevalues import cleared, drops_empty, geometries_of, is_there, label_of, plain, tidy
from bigimage.model.labels import Label, Schema

NAN = float("nan")
UTC = dt.UTC


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (np.int64(4), None, 4),
        (np.bool_(True), None, True),
        (2.0, "integer", 2),
        (2.5, "integer", 2.5),
        (2.0, "number", 2.0),
        (1, "boolean", True),
        (2, "boolean", 2),
        (True, "integer", True),
        (Decimal("1.50"), "number", 1.5),
        (Decimal("3.00"), None, 3),
        (Decimal("Infinity"), None, float("inf")),
        ('["a"]', "choices", ["a"]),
        ("a;b", "choices", "a;b"),
        ('{"a": 1}', "choices", '{"a": 1}'),
        ("[" * 100_000, "choices", "[" * 100_000),
        (dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), "text", "2020-01-02T03:04:05Z"),
        (dt.datetime(2020, 1, 2, 3, 4, 5), "text", "2020-01-02T03:04:05"),
        (dt.date(2020, 1, 2), "text", "2020-01-02"),
        (dt.timedelta(hours=1), "text", "1:00:00"),
        (b"ab", "text", None),
        ({"primary": "Å", "rules": [{"n": np.int32(1)}]}, None, {"primary": "Å", "rules": [{"n": 1}]}),
        (("a", b"", 1.5), None, ["a", None, 1.5]),
    ],
)
def test_cells_become_values(value: Any, type_: str | None, expected: Any) -> None:
    found = plain(value, type_)
    assert found == expected
    assert type(found) is type(expected)


def test_not_a_number_is_nothing() -> None:
    assert cleared([1, None, NAN, "", 0]) == [1, None, None, "", 0]
    assert not is_there(NAN)
    assert is_there(float("inf"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ship", "ship"), (2, "boat"), (2.0, "boat"), (7, "7"), (5, "5"), (True, None), (" ", None), (2.5, None)],
)
def test_numbers_name_labels(value: Any, expected: str | None) -> None:
    schema = Schema(labels=(Label(name="ship", value=1), Label(name="boat", value=2), Label(name="7", value=3)))
    assert label_of(value, schema, {}) == expected


@pytest.mark.parametrize("value", [None, NAN])
def test_what_has_no_label_gets_the_usual_one(value: Any) -> None:
    assert label_of(value, Schema(), {"label": "house"}) == "house"
    assert label_of(value, Schema(), {}) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("MULTIPOLYGON (EMPTY, ((0 0, 1 0, 1 1, 0 0)))", "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))"),
        ("GEOMETRYCOLLECTION (POINT (1 2))", "POINT (1 2)"),
        ("GEOMETRYCOLLECTION (POINT (1 2), MULTIPOINT (3 4, 5 6))", "MULTIPOINT (1 2, 3 4, 5 6)"),
        ("GEOMETRYCOLLECTION (LINESTRING (0 0, 1 1), POINT EMPTY)", "LINESTRING (0 0, 1 1)"),
        ("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))", None),
        ("GEOMETRYCOLLECTION EMPTY", None),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0))", None),
    ],
)
def test_geometries_are_tidied(given: str, expected: str | None) -> None:
    assert tidy(shapely.from_wkt(given)).wkt == shapely.from_wkt(expected or given).wkt


def test_a_wrong_choice_about_empty_rows_is_told() -> None:
    assert drops_empty({"empty": "drop"})
    assert not drops_empty({})
    with pytest.raises(InputError, match="neither refuse nor drop"):
        drops_empty({"empty": "yes"})


def test_curves_are_no_geometry_and_spare_the_others() -> None:
    corners = struct.pack("<I10d", 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
    curve = b"\x01" + struct.pack("<I", 8) + corners
    area = b"\x01" + struct.pack("<II", 10, 1) + curve
    found = geometries_of([shapely.Point(1, 2).wkb, curve, None, area, b"\x01\xff", shapely.Point(3, 4).wkb])
    assert [g if g is None else g.wkt for g in found] == ["POINT (1 2)", None, None, None, None, "POINT (3 4)"]
    assert len(geometries_of([])) == 0

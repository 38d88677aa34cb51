"""Texts become values or one error that tells everything."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilesrv.errors import BadRequest
from tilesrv.params import Table, choice, integer, numbers, size_choice, text


@dataclass(frozen=True)
class Values:
    n: int | None = None
    word: str | None = None
    size: int | None = None
    box: tuple[float, ...] | None = None
    name: str | None = None


TABLE = Table(
    (
        integer("n", "", low=-5, high=10, default=3),
        choice("word", "", ("up", "down"), default="up"),
        size_choice("size", "", (256, 512), default=256),
        numbers("box", "", counts=(4, 6)),
        text("name", "", pattern="[a-z]+", longest=5),
    ),
    Values,
)


def test_absent_parameters_take_their_defaults() -> None:
    assert TABLE.query(b"") == Values(3, "up", 256, None, None)


def test_given_parameters_are_read() -> None:
    assert TABLE.query(b"n=-5&word=down&size=512&box=1,2.5,-3e2,.5&name=abc") == Values(
        -5, "down", 512, (1.0, 2.5, -300.0, 0.5), "abc"
    )


def test_a_list_may_be_repeated_or_written_with_encoded_commas() -> None:
    assert TABLE.query(b"box=1,2&box=3,4").box == (1, 2, 3, 4)
    assert TABLE.query(b"box=1%2C2%2C3%2C4").box == (1, 2, 3, 4)


def test_undeclared_parameters_are_ignored() -> None:
    assert TABLE.query(b"n=1&_=123&SERVICE=WMTS") == TABLE.query(b"n=1")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        TABLE.query(b"n=11&word=left&size=300&box=1,2&name=TOOLONG")
    assert [p.split("=")[0] for p in caught.value.problems] == ["n", "word", "size", "box", "name"]


@pytest.mark.parametrize("query", [b"n=1&n=2", b"word=up&word=up"])
def test_a_single_value_given_twice_is_refused(query: bytes) -> None:
    with pytest.raises(BadRequest, match="2 times"):
        TABLE.query(query)


@pytest.mark.parametrize(
    "value", ["", "x", "1_0", " 1", "+1", "0x1", "1.0", "1e1", "٣", "²", "99999999999999999999", "--1", "01"]
)
def test_whole_numbers_are_plain_digits(value: str) -> None:
    with pytest.raises(BadRequest):
        TABLE.path({"n": value})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "Infinity", "1e999", "", "1,", "0x10", "1_0", "٣"])
def test_numbers_are_finite_and_plain(value: str) -> None:
    with pytest.raises(BadRequest):
        TABLE.path({"box": f"1,2,3,{value}"})


@pytest.mark.parametrize("query", [b"box=" + b"1," * 5000, b"a=1&" * 100, b"n=%ff%fe", b"n=\xff"])
def test_absurd_query_strings_are_refused(query: bytes) -> None:
    with pytest.raises(BadRequest):
        TABLE.query(query)


def test_a_required_parameter_must_be_there() -> None:
    table = Table((numbers("box", "", counts=(4,), required=True),), Values)
    with pytest.raises(BadRequest, match="box is missing"):
        table.query(b"")


def test_openapi_carries_bounds_enums_defaults_and_list_style() -> None:
    entries = {entry["name"]: entry for entry in TABLE.openapi()}
    assert entries["n"]["schema"] == {"type": "integer", "minimum": -5, "maximum": 10, "default": 3}
    assert entries["word"]["schema"]["enum"] == ["up", "down"]
    assert entries["box"]["style"] == "form"
    assert entries["box"]["explode"] is False
    assert (entries["box"]["schema"]["minItems"], entries["box"]["schema"]["maxItems"]) == (4, 6)
    assert entries["name"]["schema"]["maxLength"] == 5


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, min_value=-1e299, max_value=1e299), min_size=4, max_size=4
    )
)
def test_finite_floats_survive_their_text(values: list[float]) -> None:
    assert TABLE.path({"box": ",".join(map(repr, values))}).box == tuple(values)


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_a_bad_request(query: bytes) -> None:
    try:
        values = TABLE.query(query)
    except BadRequest:
        return
    assert values.n is not None
    assert -5 <= values.n <= 10
    assert values.box is None or all(map(math.isfinite, values.box))


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_path_text_gives_values_or_a_bad_request(n: str, box: str) -> None:
    try:
        values = TABLE.path({"n": n, "box": box})
    except BadRequest:
        return
    assert values.box is not None
    assert len(values.box) in (4, 6)

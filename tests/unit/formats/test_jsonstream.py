"""JSON read value by value: the same as read at once, and every fault told with its place."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimage.errors import DataError
from bigimage.formats import jsonstream
from bigimage.formats.jsonstream import elements, values

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "BLOCK", 3)


@settings(max_examples=60)
@given(head=VALUES, items=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 1]))
def test_members_and_elements_are_those_of_the_whole(
    head: object, items: list[object], indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps({"head": head, "items": items, "tail": 1.5e10}, indent=indent), encoding="utf-8")
    found = list(elements(path, ("items",)))
    assert found == [("head", head), *(("items", v) for v in items), ("tail", 1.5e10)]


@settings(max_examples=40)
@given(items=st.lists(VALUES, max_size=5), between=st.sampled_from(["\n", "\n\x1e", " \r\n"]))
def test_a_sequence_is_read_value_by_value(
    items: list[object], between: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.ndjson"
    path.write_text("".join(json.dumps(v) + between for v in items), encoding="utf-8")
    assert list(values(path)) == items


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "object or an array is due"),
        ("5", "object or an array is due"),
        ('{"items": [1, 2', "file ends"),
        ('{"items": [1 2]}', "',' is due"),
        ('{"items": [1,]}', "Expecting value"),
        ('{"a": "never closed', "file ends in the middle"),
        ('{"a": 1} extra', "more behind the end"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ('{"a": 1e', "near character"),
        ("{1: 2}", "name of a member"),
        ('{"a": ' + "[" * 200_000, "nested too deeply|file ends"),
        ('{"a": "\\ud8"}', "escape|middle"),
    ],
)
def test_faults_are_told_with_their_place(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        list(elements(path, ("items",)))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(DataError, match="UTF-8"):
        list(elements(path, ()))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[1, 2]")
    assert list(elements(path, ())) == [("", 1), ("", 2)]


def test_a_value_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "MAX_VALUE", 1000)
    path = tmp_path / "a.json"
    path.write_text('{"a": "' + "x" * 5000 + '"}')
    with pytest.raises(DataError, match="longer than 1000"):
        list(elements(path, ()))

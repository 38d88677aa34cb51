"""JSON documents that appear whole, and reading them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bigimage.errors import BackendError, DataError, NotFound
from bigimage.pyramid.location import group_document, read_json, write_json


@pytest.mark.parametrize("sync", [False, True])
def test_what_is_written_is_read(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "a" / "b" / "zarr.json"
    for document in ({"ä": [1, None, 0.1]}, {"b": 2}):
        write_json(path, document, sync=sync)
        assert read_json(path) == document
    assert [p.name for p in path.parent.iterdir()] == ["zarr.json"]


def test_a_full_disk_leaves_the_old_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "zarr.json"
    write_json(path, {"a": 1})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bigimage.pyramid.location.os.fsync", full)
        with pytest.raises(BackendError, match=r"cannot write .*zarr\.json: No space left on device"):
            write_json(path, {"a": 2}, sync=True)
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["zarr.json"]


def test_a_number_that_json_lacks_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "zarr.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_every_way_of_not_being_a_document(tmp_path: Path) -> None:
    path = tmp_path / "zarr.json"
    with pytest.raises(NotFound, match="does not exist"):
        read_json(path)
    for text in (b"", b"{", b"\xff\xfe", b'{"a": 1'):
        path.write_bytes(text)
        with pytest.raises(DataError, match="is not JSON"):
            read_json(path)
    path.write_text("[1]")
    with pytest.raises(DataError, match="does not hold a JSON object"):
        read_json(path)
    with pytest.raises(BackendError, match="cannot read"):
        read_json(tmp_path)


def test_groups_are_zarr_v3() -> None:
    document = group_document({"a": 1}, {"0": {"node_type": "group"}})
    assert json.loads(json.dumps(document)) == document
    assert (document["zarr_format"], document["node_type"]) == (3, "group")
    assert document["consolidated_metadata"] == {
        "kind": "inline",
        "must_understand": False,
        "metadata": {"0": {"node_type": "group"}},
    }
    assert "consolidated_metadata" not in group_document({})

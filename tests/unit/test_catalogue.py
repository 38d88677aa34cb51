"""The catalogue: what is listed, what an id may name, and what a damaged image does to its neighbours."""

import json
from pathlib import Path

import pytest

from bigimage import catalogue
from bigimage.errors import Conflict, DataError, NotFound
from tests.pyramids import build, noise


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of two images, one that is being made and one that was removed."""
    for name in ("b", "a.1"):
        build(tmp_path / "images" / name, noise((1, 9, 8), "uint8"), id=name)
    build(tmp_path / "images" / ".c.partial", noise((1, 9, 8), "uint8"), id="c")
    (tmp_path / "images" / "empty").mkdir()
    (tmp_path / "images" / "note.txt").write_text("not an image")
    (tmp_path / "retired").mkdir()
    (tmp_path / "retired" / "gone").touch()
    return tmp_path


def test_finished_images_are_listed_in_order(workspace: Path) -> None:
    assert list(catalogue.ids(workspace)) == ["a.1", "b"]
    assert [r["id"] for r in catalogue.records(workspace)] == ["a.1", "b"]
    assert catalogue.records(workspace / "nowhere") == []


def test_a_record_has_what_the_contract_says(workspace: Path) -> None:
    record = catalogue.record(workspace, "b")
    keys = "id store role shape axes dtype frame affine levels bands value slices window nodata verdicts provenance"
    assert set(keys.split()) <= set(record)
    assert not {"format", "may_be_invalid", "link"} & set(record)
    assert record["store"] == str((workspace / "images" / "b").resolve())
    assert record["frame"] == {"type": "geo", "crs": "EPSG:32633"}
    assert record["affine"] == [[0.0, 10.0, 500000.0], [-10.0, 0.0, 5000000.0]]
    assert record["levels"][0]["path"] == "0"
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    "image",
    ["", ".", "..", "../b", "images/b", "/etc", ".c.partial", "empty", "note.txt", "nothing", "a\0b", "a" * 5000, "b/"],
)
def test_an_id_names_a_finished_image_or_nothing(workspace: Path, image: str) -> None:
    with pytest.raises(NotFound, match="no image"):
        catalogue.record(workspace, image)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"attributes": 5}', '{"attributes": {"bigimage": []}}', "\ufeff"]
)
def test_a_damaged_image_is_named(workspace: Path, text: str) -> None:
    path = workspace / "images" / "b" / "zarr.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"images/b/zarr\.json is damaged"):
        catalogue.record(workspace, "b")
    found, (problem,) = catalogue.survey(workspace)
    assert [r["id"] for r in found] == ["a.1"]
    assert "images/b/zarr.json" in problem
    with pytest.raises(DataError, match=r"some images are damaged: .*images/b/zarr\.json"):
        catalogue.records(workspace)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is damaged"):
        catalogue.record(workspace, "b")


def test_ids_in_use_and_ids_once_used_are_taken(workspace: Path) -> None:
    catalogue.check_free(workspace, "new")
    for image in ("b", "empty"):
        with pytest.raises(Conflict, match="exists already"):
            catalogue.check_free(workspace, image)
    with pytest.raises(Conflict, match="never used again"):
        catalogue.check_free(workspace, "gone")

"""The documents of a finished pyramid: complete, consistent, and the root last."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from bigimage.pyramid import publish
from bigimage.pyramid.layout import plan_pyramid
from tests.pyramids import build, describe, noise, paint, reader


def _documents(root: Path) -> dict[str, Any]:
    return {str(p.parent.relative_to(root)): json.loads(p.read_text()) for p in root.rglob("zarr.json")}


def test_every_node_has_its_document_and_the_root_holds_them_all(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random((300, 300)) < 0.5
    build(tmp_path / "a", noise((2, 300, 300), "uint8"), valid)
    documents = _documents(tmp_path / "a")
    assert sorted(documents) == [".", "0", "0/image", "0/valid", "1", "1/image", "1/valid"]
    root = documents.pop(".")
    assert root["consolidated_metadata"]["metadata"] == documents
    for key, document in documents.items():
        attributes = document["attributes"]
        assert attributes["proj:code"] == "EPSG:32633"
        assert attributes["spatial:shape"] == ([150, 150] if key.startswith("1") else [300, 300])
        if document["node_type"] == "array":
            assert document["dimension_names"] == (["y", "x"] if key.endswith("valid") else ["c", "y", "x"])
    assert root["attributes"]["multiscales"]["resampling_method"] == "average"


def test_zarr_opens_it_consolidated_and_not(tmp_path: Path) -> None:
    array = noise((2, 300, 300), "uint8")
    build(tmp_path / "a", array)
    for use in (True, False):
        group = zarr.open_group(str(tmp_path / "a"), mode="r", use_consolidated=use)
        np.testing.assert_array_equal(group["0/image"][:], array)
        assert sorted(group.group_keys()) == ["0", "1"]


def test_a_pixel_image_says_nothing_of_a_place(tmp_path: Path) -> None:
    from bigimage.geometry.grid import Grid

    build(tmp_path / "a", noise((1, 300, 300), "uint8"), grid=Grid.pixels((300, 300), "scene"))
    for document in _documents(tmp_path / "a").values():
        assert not [key for key in document["attributes"] if "proj" in key or "spatial" in key or "conventions" in key]


def test_the_root_document_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = describe(noise((2, 300, 300), "uint8"))
    plan = plan_pyramid(info)
    root = tmp_path / "a"
    paint(root, plan, reader(info, noise((2, 300, 300), "uint8")))
    written: list[str] = []
    real = publish.write_json

    def write(path: Path, document: Any, **options: Any) -> None:
        written.append(str(path.relative_to(root)))
        real(path, document, **options)

    monkeypatch.setattr(publish, "write_json", write)
    publish.write_documents(root, plan, info)
    assert written[-1] == "zarr.json"
    assert len(written) == len(set(written)) == 5
    # and again, as after a kill between two documents
    before = _documents(root)
    publish.write_documents(root, plan, info)
    assert _documents(root) == before


def test_the_last_document_reaches_the_disk_before_the_image_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("bigimage.pyramid.location.os.fsync", synced.append)
    build(tmp_path / "a", noise((1, 30, 30), "uint8"))
    assert len(synced) == 1

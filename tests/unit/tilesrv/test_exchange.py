"""Exports and imports over HTTP."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture
def client(drawing: httpx.Client) -> httpx.Client:
    """Client of a server whose image `scene` has three ships."""
    for k in range(3):
        west = 500_000 + 100 * k
        ring = [[west, 4_999_000], [west + 80, 4_999_000], [west + 80, 4_999_070], [west, 4_999_000]]
        feature = {"type": "Feature", "properties": {"label": "ship"}}
        body = {**feature, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        assert drawing.post("/images/scene/annotations", params={"crs": "native"}, json=body).status_code < 300
    return drawing


def test_an_export_comes_back_as_an_import_without_a_change(client: httpx.Client) -> None:
    got = client.get("/images/scene/export", params={"format": "geojson"})
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/geo+json"
    assert len(got.json()["features"]) == 3
    sent = client.post("/images/scene/import", params={"filename": "scene.geojson"}, content=got.content)
    assert sent.status_code == 200, sent.text
    assert {k: sent.json()[k] for k in ("revision", "unchanged")} == {"revision": None, "unchanged": 3}


def test_the_report_is_linked_to_at_the_revision_of_the_export(client: httpx.Client) -> None:
    got = client.get("/images/scene/export", params={"format": "geojson"})
    link = got.headers["link"]
    assert 'rel="describedby"' in link
    told = client.get(link.partition("<")[2].partition(">")[0]).json()
    assert told["revision"] == 3
    assert [loss["what"] for loss in told["losses"]] == ["coordinates"]


def test_a_folder_comes_as_an_archive(client: httpx.Client) -> None:
    got = client.get("/images/scene/export", params={"format": "yolo"})
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert "data.yaml" in archive.namelist()
        assert any(name.startswith("labels/") for name in archive.namelist())
    assert got.content == client.get("/images/scene/export", params={"format": "yolo"}).content


def test_a_form_adds_annotations_of_another_tool(client: httpx.Client) -> None:
    ring = [[0, 0], [40, 0], [40, 30], [0, 0]]
    feature = {
        "type": "Feature",
        "properties": {"class": "boat"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    document = json.dumps({"type": "FeatureCollection", "features": [feature]})
    query = {"label-field": "class", "crs": "native"}
    sent = client.post("/images/plain/import", params=query, files={"file": ("boats.geojson", document)})
    assert sent.status_code == 200, sent.text
    assert sent.json()["added"] == 1
    assert (
        client.post("/images/plain/import", params=query, files={"file": ("boats.geojson", document)}).json()["added"]
        == 0
    )


@pytest.mark.parametrize(
    ("path", "params", "status", "word"),
    [
        ("/images/scene/export", {}, 400, "format"),
        ("/images/scene/export", {"format": "shapefile"}, 400, "format"),
        ("/images/scene/export", {"format": "geojson", "strict": "true"}, 501, "rounded"),
        ("/images/nothing/export", {"format": "geojson"}, 404, "nothing"),
        ("/images/scan/export", {"format": "coco"}, 501, "flat"),
        ("/images/scene/export", {"format": "geojson", "at": "99"}, 404, "99"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(
    client: httpx.Client, path: str, params: dict[str, Any], status: int, word: str
) -> None:
    got = client.get(path, params=params)
    assert got.status_code == status, got.text
    assert word in got.text


def test_a_bad_file_is_refused_with_every_problem_and_leaves_nothing(client: httpx.Client, tmp_path: Path) -> None:
    features = [{"type": "Feature", "geometry": None, "properties": {"label": "a"}}, {"type": "Nonsense"}]
    body = json.dumps({"type": "FeatureCollection", "features": features})
    sent = client.post("/images/scene/import", content=body)
    assert 400 <= sent.status_code < 500
    assert len(sent.json()["problems"]) == 2
    assert not list((tmp_path / "ws").rglob("uploads/*"))

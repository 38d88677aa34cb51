"""Exports and imports over HTTP."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import httpx
import nibabel
import numpy as np
import pytest
import shapely

from bigimage.exchange.inside import OPTION as INSIDE_OPTION
from bigimage.exchange.layers import OPTION as LAYER_OPTION
from bigimage.exchange.masks import OPTION as MASK_OPTION
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.vector import FORMATS
from tests.drawn import SCAN
from tilesrv.exchange import READING, WRITING


@pytest.fixture
def client(drawing: httpx.Client) -> httpx.Client:
    """Client of a server whose image `scene` has three ships."""
    drawing.timeout = httpx.Timeout(60)  # the first mask loads the libraries of all formats
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
    assert any("rounded to 9 decimals" in note for note in told["notes"])


def test_the_report_of_an_import_is_linked_to(client: httpx.Client) -> None:
    point = {"type": "Point", "coordinates": [500_000, 4_999_000]}
    body = {"type": "Feature", "properties": {"label": "ship"}, "geometry": point}
    sent = client.post("/images/scene/import", params={"filename": "a.geojson", "crs": "native"}, json=body)
    assert sent.json()["added"] == 1, sent.text
    assert 'rel="describedby"' in sent.headers["link"]
    address = sent.headers["link"].partition("<")[2].partition(">")[0]
    told = client.get(address)
    assert told.headers["content-type"] == "application/json"
    assert told.json() == sent.json()["report"]
    assert client.get(address[:-32] + "0" * 32).status_code == 404
    assert client.get(address[:-32] + "..").status_code in (400, 404)


def test_a_file_that_was_sent_is_called_by_its_name(client: httpx.Client) -> None:
    answer = client.post("/images/scene/import", params={"filename": "notes.txt"}, content=b"no annotations")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("notes.txt is of no known annotation format")


def test_a_folder_comes_as_an_archive(client: httpx.Client) -> None:
    got = client.get("/images/scene/export", params={"format": "yolo"})
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert "data.yaml" in archive.namelist()
        assert any(name.startswith("labels/") for name in archive.namelist())
    assert got.content == client.get("/images/scene/export", params={"format": "yolo"}).content


def test_every_option_of_every_format_is_a_parameter() -> None:
    known = {name for formats in (FORMATS, MASKS) for module in formats.values() for name in module.OPTIONS}
    assert known | {*LAYER_OPTION, *MASK_OPTION, *INSIDE_OPTION} == {*READING, *WRITING}


def zipped(members: dict[str, bytes | str]) -> bytes:
    """An archive of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_formats_are_told_that_fit_an_image(client: httpx.Client) -> None:
    scene, scan = (client.get(f"/images/{image}/formats").json() for image in ("scene", "scan"))
    assert {"geojson", "coco", "geoparquet"} <= set(scene["annotations"])
    assert {"geojson", "rtstruct"} <= set(scan["annotations"])
    assert not {"rtstruct", "shapefile"} & set(scene["annotations"])
    assert not {"coco", "yolo", "stac"} & set(scan["annotations"])
    assert {"geotiff", "png"} <= set(scene["masks"])
    assert {"nifti", "dicom-seg", "seg-nrrd"} <= set(scan["masks"])
    for name in scan["annotations"]:
        assert client.get("/images/scan/export/report", params={"format": name}).status_code == 200, name


def test_an_exported_archive_is_imported_again(client: httpx.Client) -> None:
    got = client.get("/images/scene/export", params={"format": "yolo"})
    query = {"format": "yolo", "page": "scene", "filename": "boats.zip"}
    sent = client.post("/images/scene/import", params=query, content=got.content)
    assert sent.status_code == 200, sent.text
    assert sent.json()["added"] == 3
    assert client.post("/images/scene/import", params=query, content=got.content).json()["unchanged"] == 3


def test_an_archive_with_one_file_of_annotations_is_that_file(client: httpx.Client) -> None:
    data = client.get("/images/scene/export", params={"format": "geojson"}).content
    body = zipped({"task/images/a.png": b"\x89PNG\r\n\x1a\n", "task/out.geojson": data, "task/readme.txt": "hello"})
    sent = client.post("/images/scene/import", content=body, headers={"content-type": "application/zip"})
    assert sent.json()["unchanged"] == 3, sent.text
    twice = client.post("/images/scene/import", content=zipped({"a.geojson": data, "b.geojson": data}))
    assert twice.status_code == 400
    assert "a.geojson, b.geojson" in twice.text


def test_a_zipped_shapefile_is_imported_with_what_lies_beside_it(client: httpx.Client, tmp_path: Path) -> None:
    squares = [shapely.box(500_000 + k, 4_999_000, 500_050 + k, 4_999_050) for k in (0, 100)]
    table = gpd.GeoDataFrame({"class": ["shed", "barn"]}, geometry=squares, crs="EPSG:32632")
    table.to_file(tmp_path / "sheds.shp")
    body = zipped({f"delivery/{p.name}": p.read_bytes() for p in tmp_path.glob("sheds.*")})
    query = {"label-field": "class"}
    sent = client.post("/images/scene/import", params=query, files={"file": ("sheds.zip", body, "application/zip")})
    assert sent.status_code == 200, sent.text
    assert sent.json()["added"] == 2
    features = client.get("/images/scene/annotations", params={"crs": "native"}).json()["features"]
    assert {f["properties"]["label"] for f in features} == {"ship", "shed", "barn"}


@pytest.mark.parametrize(
    ("members", "word"),
    [({"../a.geojson": "{}"}, "leads out"), ({"a.txt": "hello", "b.txt": ""}, "no annotations"), ({}, "empty")],
)
def test_archives_that_hold_nothing_of_use_are_refused(
    client: httpx.Client, members: dict[str, bytes | str], word: str, tmp_path: Path
) -> None:
    sent = client.post("/images/scene/import", content=zipped(members))
    assert sent.status_code == 400, sent.text
    assert word in sent.text
    assert not list((tmp_path / "ws").rglob("uploads/*"))


def test_masks_are_imported(client: httpx.Client, tmp_path: Path) -> None:
    labels = np.zeros(SCAN.shape[::-1], np.uint8)
    labels[3:9, 4:12, 2:5] = 1
    affine = np.diag([-1.0, -1.0, 2.5, 1.0])
    affine[:3, 3] = [19.5, 15.5, 101.25]
    image = nibabel.Nifti1Image(labels, affine)
    nibabel.save(image, tmp_path / "liver.nii.gz")
    body = (tmp_path / "liver.nii.gz").read_bytes()
    outlined = {"as": "outlines", "format": "nifti"}
    for query, kind in (({"filename": "liver.nii.gz"}, "mask"), (outlined, "contours")):
        sent = client.post("/images/scan/import", params=query, content=body)
        assert sent.status_code == 200, sent.text
        assert sent.json()["added"] == 1
        features = client.get("/images/scan/annotations").json()["features"]
        assert features[-1]["shape"]["type"] == kind


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
        ("/images/scene/export", {"format": "nifti"}, 400, "name a layer"),
        ("/images/scene/export", {"format": "coco", "layer": "semantic"}, 400, "no masks"),
        ("/images/scene/export", {"format": "geotiff", "layer": "semantic"}, 404, "no mask layer"),
        ("/images/scene/export", {"format": "geojson", "region": "7"}, 400, "UUID"),
        ("/images/scene/export", {"format": "geojson", "holes": "xor"}, 400, "no option holes"),
        ("/images/scene/export", {"format": "voc", "strict": "true"}, 501, "no loss was allowed"),
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

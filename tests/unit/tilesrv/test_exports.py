"""Layers, annotations and chips become files as jobs, which are fetched with their reports."""

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nibabel
import numpy as np
import pytest
import rasterio

from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Cuboid
from bigimage.workspace import Workspace
from tests.drawn import box_feature, make_images
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app

SHED, LIVER = Label(name="shed", value=1), Label(name="liver", value=4)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two sheds in `scene` and a liver in `scan`, painted."""
    made = make_images(tmp_path_factory.mktemp("exports") / "ws")
    made.annotations.store.set_schema(Schema(labels=(SHED, LIVER)), author="tests")
    frame = made.image("scan").info.grid.frame
    liver = Annotation(id=UUID(int=9), image="scan", label="liver", shape=Cuboid((0, 0, 110), (9, 8, 12)), frame=frame)
    made.annotations.load("scan", [liver])
    made.rasterize("scan")
    return made


@pytest.fixture(scope="module")
def client(space: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        for k in range(2):
            feature = box_feature(500_500 + 500 * k, 4_999_000, label="shed")
            assert made.post("/images/scene/annotations?crs=native", json=feature).status_code == 201
        space.rasterize("scene", mode="instance")
        yield made


def finished(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    job = answer.json()
    for _ in range(600):
        if job["state"] not in ("queued", "running"):
            break
        time.sleep(0.05)
        job = client.get(answer.headers["location"]).json()
    return job


def test_a_layer_becomes_a_file_that_is_fetched(client: httpx.Client, tmp_path: Path) -> None:
    body = {"format": "nifti", "layer": "semantic", "options": {"segments": "liver"}}
    job = finished(client, client.post("/images/scan/export", json=body))
    assert {k: job[k] for k in ("state", "kind", "images", "output")} == {
        "state": "done",
        "kind": "export",
        "images": ["scan"],
        "output": "scan.nii.gz",
    }
    got = client.get(f"/jobs/{job['id']}/output")
    (tmp_path / "scan.nii.gz").write_bytes(got.content)
    voxels = np.asarray(nibabel.load(tmp_path / "scan.nii.gz").dataobj)
    assert sorted(np.unique(voxels).tolist()) == [0, 4]
    told = client.get(got.headers["link"].partition("<")[2].partition(">")[0]).json()
    assert (told["format"], told["layer"], told["written"]) == ("nifti", "semantic", 1)
    # the same layer comes at once, as the same bytes
    query = {"format": "nifti", "layer": "semantic", "segments": "liver"}
    assert client.get("/images/scan/export", params=query).content == got.content


def test_files_with_others_beside_them_come_as_an_archive(client: httpx.Client, tmp_path: Path) -> None:
    job = finished(client, client.post("/images/scene/export", json={"format": "geotiff", "layer": "instance"}))
    assert job["output"] == "scene.tif.zip"
    got = client.get(f"/jobs/{job['id']}/output")
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert archive.namelist() == ["scene.tif", "scene.tif.aux.xml"]
        archive.extractall(tmp_path)
    with rasterio.open(tmp_path / "scene.tif") as found:
        assert sorted(np.unique(found.read(1)).tolist()) == [0, 1, 2]
    assert client.get(f"/jobs/{job['id']}/report").json()["losses"][0]["what"] == "instance"


def test_annotations_and_states_are_exported_as_jobs_too(client: httpx.Client) -> None:
    body = {"format": "geojson", "at": 1, "options": {"crs": "native"}}
    job = finished(client, client.post("/images/scene/export", json=body))
    got = client.get(f"/jobs/{job['id']}/output")
    assert (got.headers["content-type"], len(got.json()["features"])) == ("application/geo+json", 1)


def test_chips_come_as_an_archive(client: httpx.Client) -> None:
    body = {
        "format": "yolo",
        "size": 128,
        "val": 0.5,
        "pictures": "png",
        "empty": False,
        "bands": [1],
        "images": ["plain"],
    }
    body |= {"split_by": "block", "strict": False}
    job = finished(client, client.post("/images/scene/chips", json=body))
    assert (job["state"], job["kind"], job["output"]) == ("done", "chips", "scene-chips.zip")
    with zipfile.ZipFile(io.BytesIO(client.get(f"/jobs/{job['id']}/output").content)) as archive:
        names = archive.namelist()
    assert "data.yaml" in names
    assert sum(name.endswith(".png") for name in names) == sum(name.endswith(".txt") for name in names) > 0
    assert client.get(f"/jobs/{job['id']}/report").json()["chips"] == sum(name.endswith(".png") for name in names)


def test_a_job_that_fails_says_why_and_has_no_file(client: httpx.Client, space: Workspace) -> None:
    job = finished(client, client.post("/images/scan/export", json={"format": "geotiff", "layer": "semantic"}))
    assert (job["state"], job["output"]) == ("failed", None)
    assert "patient frame" in job["message"]
    assert str(space.path) not in job["message"]
    assert client.get(f"/jobs/{job['id']}/output").status_code == 404
    assert not (space.path / "outputs" / job["id"]).exists()


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/images/scene/export", {}, ["format is one of"]),
        ("/images/scene/export", {"format": "nifti"}, ["name a layer"]),
        ("/images/scene/export", {"format": "coco", "layer": "semantic"}, ["no masks"]),
        (
            "/images/scene/export",
            {"format": "x", "layer": "../x", "region": "1", "at": "soon", "strict": 1, "options": {"a": 1}},
            ["format is", "layer:", "region:", "at:", "strict is", "options are"],
        ),
        ("/images/scene/export", {"format": "geojson", "output": "/etc/passwd"}, ["'output'"]),
        ("/images/scene/export", {"format": "geojson", "options": {"a=b": "c"}}, ["options are"]),
        ("/images/scene/chips", {"format": "nifti"}, ["format is one of"]),
        ("/images/scene/chips", {"format": {}}, ["format is one of"]),
        (
            "/images/scene/chips",
            {"format": "yolo", "size": "9", "val": True, "bands": [0], "window": [1]},
            ["size", "val", "bands", "window"],
        ),
        ("/images/scene/chips", {"format": "yolo", "size": 2}, ["8 pixels"]),
        ("/images/scene/chips", {"format": "yolo", "images": ["--debug"], "options": 1}, ["images", "options"]),
    ],
)
def test_what_makes_no_sense_is_refused_with_every_reason(
    client: httpx.Client, path: str, body: dict[str, Any], words: list[str]
) -> None:
    got = client.post(path, json=body)
    assert got.status_code == 400, got.text
    assert all(word in got.text for word in words), got.text


def test_jobs_without_a_file_have_none_to_fetch(client: httpx.Client) -> None:
    job = finished(client, client.post("/images/scene/masks/town", json={"mode": "semantic"}))
    assert job["output"] is None
    assert "makes no file" in client.get(f"/jobs/{job['id']}/output").text
    assert client.post("/images/scene/chips", json={"format": "coco", "images": ["nothing"]}).status_code == 404
    assert client.post("/images/nothing/export", json={"format": "geojson"}).status_code == 404

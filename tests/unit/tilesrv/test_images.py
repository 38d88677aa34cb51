"""Records of images, and putting images in."""

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bigimage.workspace import Workspace
from tests.scanning import ct_series, save
from tests.unit.tilesrv.conftest import UTM, picture, write_tif


def finished(client: httpx.Client, job: str) -> dict[str, Any]:
    """The job once it is over."""
    for _ in range(600):
        record = client.get(f"/jobs/{job}").json()
        if record["state"] not in ("queued", "running"):
            return record
        time.sleep(0.05)
    raise AssertionError(f"the job does not end: {record}")


@pytest.fixture
def tif(tmp_path: Path) -> bytes:
    path = write_tif(tmp_path / "sent.tif", picture((40, 60), 3), transform=UTM, crs="EPSG:32632")
    return path.read_bytes()


def test_the_list_tells_of_every_image(client: httpx.Client) -> None:
    assert [record["id"] for record in client.get("/images").json()] == ["deep", "plain", "rgb", "turned"]


def test_the_list_is_paged_with_links(client: httpx.Client) -> None:
    first = client.get("/images?limit=3")
    assert first.headers["x-total-count"] == "4"
    rest = client.get(first.links["next"]["url"])
    assert [r["id"] for r in first.json() + rest.json()] == ["deep", "plain", "rgb", "turned"]
    assert "next" not in rest.links


def test_a_record_is_what_the_command_line_tells_with_the_store_as_an_address(
    client: httpx.Client, workspace: Workspace, server: str
) -> None:
    record = client.get("/images/rgb").json()
    own = json.loads(json.dumps(workspace.record("rgb")))
    assert {k: v for k, v in record.items() if k not in ("store", "links")} == {
        k: v for k, v in own.items() if k != "store"
    }
    assert record["store"] == f"{server}/images/rgb/zarr"
    assert client.get(record["store"] + "/zarr.json").status_code == 200


def test_an_unknown_image_is_not_found_and_no_folder_is_told(client: httpx.Client, workspace: Workspace) -> None:
    answer = client.get("/images/absent")
    assert answer.status_code == 404
    assert str(workspace.path) not in answer.text


def test_a_raw_upload_becomes_an_image(fresh_server: Any, tif: bytes) -> None:
    space, client = fresh_server()
    answer = client.post("/images?name=up&filename=x.tif", content=tif, headers={"Content-Type": "image/tiff"})
    assert answer.status_code == 202
    record = finished(client, answer.json()["id"])
    assert (record["state"], record["images"], record["progress"]) == ("done", ["up"], 1.0)
    assert answer.headers["location"].endswith(f"/jobs/{record['id']}")
    assert np.array_equal(space.image("up").read_index((slice(0, 40), slice(0, 60))).array, picture((40, 60), 3))
    assert list((space.path / "uploads").iterdir()) == []


def test_a_form_upload_with_its_fields_becomes_an_image(fresh_server: Any, tmp_path: Path) -> None:
    plain = write_tif(tmp_path / "plain.tif", picture((50, 100), 1)).read_bytes()
    _, client = fresh_server()
    answer = client.post(
        "/images",
        files={"file": ("My Scene.tif", plain)},
        data={"crs": "EPSG:4326", "bounds": "-180,-90,180,90", "role": "image"},
    )
    assert answer.status_code == 202
    assert answer.json()["source"] == "My-Scene.tif"
    record = finished(client, answer.json()["id"])
    assert record["images"] == ["my-scene"]
    image = client.get("/images/my-scene").json()
    assert image["frame"] == {"type": "geo", "crs": "EPSG:4326"}
    assert image["affine"][0] == [0.0, 3.6, -180.0]


def test_a_zipped_series_becomes_the_image_that_its_folder_becomes(fresh_server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "ct").mkdir(parents=True)
    _, slices = ct_series("oblique")
    save(slices, folder / "ct")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.dcm"), reverse=True):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("study/readme.txt", "hello")
    space, client = fresh_server()
    answer = client.post("/images", files={"file": ("Patient 7.zip", buffer.getvalue(), "application/zip")})
    assert answer.status_code == 202, answer.text
    record = finished(client, answer.json()["id"])
    assert (record["state"], record["images"]) == ("done", ["patient-7"])
    (local,) = space.ingest(folder, name="local")
    sent = space.image("patient-7")
    assert sent.info.grid == local.info.grid
    assert sent.info.extra["instances"] == local.info.extra["instances"]
    box = local.info.grid.box
    assert np.array_equal(sent.read_index(box).array, local.read_index(box).array)
    assert list((space.path / "uploads").iterdir()) == []


def test_archives_that_lead_out_are_refused_at_once_and_leave_nothing(fresh_server: Any) -> None:
    space, client = fresh_server()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../x.dcm", "x")
    answer = client.post("/images", content=buffer.getvalue(), headers={"Content-Type": "application/zip"})
    assert answer.status_code == 400
    assert "leads out of the archive" in answer.text
    assert list((space.path / "uploads").iterdir()) == []


def test_a_path_below_an_allowed_folder_becomes_an_image(client: httpx.Client, workspace: Workspace) -> None:
    answer = client.post("/images", json={"path": "more.tif", "name": "more"})
    assert answer.status_code == 202
    try:
        assert finished(client, answer.json()["id"])["images"] == ["more"]
        assert workspace.settings.roots[0].joinpath("more.tif").exists()
    finally:
        assert client.delete("/images/more").status_code == 204
    assert client.get("/images/more").status_code == 404
    assert client.get("/images/more/zarr/zarr.json").status_code == 404


def test_a_file_that_is_no_image_fails_with_the_reason_and_leaves_nothing(fresh_server: Any) -> None:
    space, client = fresh_server()
    answer = client.post("/images?filename=x.tif", content=b"no image at all", headers={"Content-Type": "image/tiff"})
    record = finished(client, answer.json()["id"])
    assert record["state"] == "failed"
    assert "x.tif" in record["message"]
    assert str(space.path) not in record["message"]
    assert list((space.path / "uploads").iterdir()) == []
    assert client.get("/images").json() == []


def test_an_id_that_is_taken_is_a_conflict(client: httpx.Client) -> None:
    assert client.post("/images", json={"path": "more.tif", "name": "rgb"}).status_code == 409


def test_an_id_that_was_used_is_a_conflict(fresh_server: Any, tmp_path: Path) -> None:
    space, client = fresh_server()
    space.ingest(write_tif(tmp_path / "one.tif", picture((20, 20), 1)))
    assert client.delete("/images/one").status_code == 204
    answer = client.post("/images?filename=one.tif&name=one", content=b"whatever")
    assert answer.status_code == 409
    assert "never used again" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", 400),
        ("[]", 400),
        ("not json", 400),
        ('{"path": 7}', 400),
        ('{"path": "more.tif", "surprise": 1}', 400),
        ('{"path": "more.tif", "name": "UPPER"}', 400),
        ('{"path": "more.tif", "bounds": [1, 2]}', 400),
        ('{"path": "more.tif", "bounds": [1, 2, 3, {}]}', 400),
        ('{"path": "more.tif", "crs": "--debug"}', 400),
        ('{"path": "/etc/passwd"}', 403),
        ('{"path": "../secret"}', 403),
        ('{"path": "absent.tif"}', 404),
        ("[" * 100_000, 413),
        ('{"path": "' + "a" * 70_000 + '"}', 413),
    ],
)
def test_bad_json_is_refused(client: httpx.Client, body: str, status: int) -> None:
    answer = client.post("/images", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "video/mp4"])
def test_other_bodies_are_not_taken(client: httpx.Client, kind: str) -> None:
    assert client.post("/images", content=b"x", headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhalf',
        ),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        ("application/octet-stream", b""),
    ],
)
def test_broken_uploads_are_refused_and_leave_nothing(
    client: httpx.Client, workspace: Workspace, kind: str, body: bytes
) -> None:
    assert client.post("/images", content=body, headers={"Content-Type": kind}).status_code == 400
    assert not list((workspace.path / "uploads").glob("*"))


def test_two_files_in_one_form_are_refused(client: httpx.Client) -> None:
    files = [("file", ("a.tif", b"a")), ("file", ("b.tif", b"b"))]
    answer = client.post("/images", files=files)
    assert answer.status_code == 400
    assert "more than one file" in answer.json()["detail"]


def test_an_upload_beyond_the_limit_is_refused_announced_or_not(fresh_server: Any) -> None:
    space, client = fresh_server(max_upload=1000)
    kind = {"Content-Type": "application/octet-stream"}
    assert client.post("/images", content=b"x" * 1001, headers=kind).status_code == 413
    assert client.post("/images", content=iter([b"x" * 600, b"x" * 600]), headers=kind).status_code == 413
    assert client.post("/images", files={"file": ("a.tif", b"x" * 1001)}).status_code == 413
    assert not list((space.path / "uploads").glob("*"))

"""Mask layers over HTTP: painted as a job, listed, served coloured and raw, and kept up to date."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bigimage.workspace import Workspace
from tests.drawn import box_feature, make_images
from tests.painting import SCHEMA
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app

RED = [255, 0, 0, 255]
SHIP = (500_500, 4_999_000)
"""Lower left corner of a ship of ten by ten pixels: rows 90 to 100, columns 50 to 60."""


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = make_images(tmp_path / "ws")
    made.annotations.set_schema(SCHEMA)
    return made


@pytest.fixture
def client(space: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        feature = box_feature(*SHIP, label="house")
        assert made.post("/images/scene/annotations?crs=native", json=feature).status_code == 201
        yield made


def values(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def colours(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def finished(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    job = answer.json()
    for _ in range(600):
        if job["state"] not in ("queued", "running"):
            break
        time.sleep(0.1)
        job = client.get(answer.headers["location"]).json()
    return job


def test_a_job_paints_a_layer_that_is_then_listed_and_served(client: httpx.Client) -> None:
    assert client.get("/images/scene/masks").json() == {"id": "scene", "revision": 1, "masks": []}
    job = finished(client, client.post("/images/scene/masks/town", json={"mode": "semantic", "rule": "all-touched"}))
    assert (job["state"], job["kind"], job["images"]) == ("done", "rasterize", ["scene"])
    (told,) = client.get("/images/scene/masks").json()["masks"]
    assert {k: told[k] for k in ("name", "mode", "rule", "revision", "current", "dtype", "bands")} == {
        "name": "town",
        "mode": "semantic",
        "rule": "all-touched",
        "revision": 1,
        "current": True,
        "dtype": "uint8",
        "bands": ["class"],
    }
    assert told["classes"] == [{"value": 3, "name": "house", "color": "#ff0000"}]
    raw = values(client.get("/images/scene/masks/town/tiles/native/1/0/0.npy"))
    assert raw.shape == (1, 256, 256)
    assert (raw[0, 90:100, 50:60] == 3).all()
    place = told["tiles"].replace("{z}", "1").replace("{x}", "0").replace("{y}", "0")
    shown = colours(client.get(place))
    assert np.array_equal(shown[..., 3] != 0, raw[0] != 0)
    assert shown[95, 55].tolist() == RED


@pytest.mark.parametrize("mode", ["instance", "panoptic", "coverage", "multilayer"])
def test_layers_of_every_mode_are_shown_and_given_raw(space: Workspace, client: httpx.Client, mode: str) -> None:
    space.rasterize("scene", mode=mode)
    raw = values(client.get(f"/images/scene/masks/{mode}/tiles/native/1/0/0.npy"))
    shown = colours(client.get(f"/images/scene/masks/{mode}/tiles/native/1/0/0.png"))
    assert raw.dtype.kind == "u"
    assert np.array_equal(shown[..., 3] != 0, raw.any(axis=0))
    assert shown[95, 55, 3] == 255
    if mode != "instance":
        assert shown[95, 55].tolist() == RED
    one = values(client.get(f"/images/scene/masks/{mode}/tiles/native/1/0/0.npy?bands=1"))
    assert np.array_equal(one[0], raw[0])


@pytest.mark.parametrize("mode", ["semantic", "panoptic", "coverage", "multilayer"])
def test_hidden_classes_are_left_out_of_pictures(space: Workspace, client: httpx.Client, mode: str) -> None:
    client.post("/images/scene/annotations?crs=native", json=box_feature(*SHIP, label="road"))
    space.rasterize("scene", mode=mode)
    place = f"/images/scene/masks/{mode}/tiles/native/1/0/0"
    road, house = SCHEMA.find("road"), SCHEMA.find("house")
    assert road is not None
    assert house is not None
    assert colours(client.get(f"{place}.png?hide={road.value}"))[95, 55].tolist() == RED
    rest = colours(client.get(f"{place}.png?hide={house.value}"))[95, 55].tolist()
    if mode in ("multilayer", "coverage"):  # these know what lies below
        assert rest == [*bytes.fromhex(road.color[1:]), 255]
    else:
        assert rest[3] == 0
    everything = ",".join(str(label.value) for label in SCHEMA.labels)
    assert not colours(client.get(f"{place}.png?hide={everything}")).any()
    raw = values(client.get(f"{place}.npy"))
    assert np.array_equal(raw, values(client.get(f"{place}.npy?hide={house.value}")))
    assert client.get(f"{place}.png?hide=0").status_code == 400


def test_hidden_classes_are_left_out_of_live_tiles(client: httpx.Client) -> None:
    place = "/images/scene/live-mask/tiles/native/1/0/0"
    assert not colours(client.get(f"{place}.png?hide=3")).any()
    assert colours(client.get(f"{place}.png?hide=9"))[95, 55].tolist() == RED
    assert (values(client.get(f"{place}.npy?hide=3"))[0, 90:100, 50:60] == 3).all()


@pytest.mark.parametrize("mode", ["semantic", "multilayer"])
def test_planes_of_a_layer_have_the_pixels_that_are_asked_for(
    space: Workspace, client: httpx.Client, mode: str
) -> None:
    bits = {"type": "mask", "box": [8, 4, 20, 30, 2, 5], "order": "C", "counts": [0, 12 * 26 * 3]}
    drawn = {"type": "Feature", "geometry": None, "properties": {"label": "house"}, "shape": bits}
    assert client.post("/images/scan/annotations", json=drawn).status_code == 201
    space.rasterize("scan", mode=mode)
    place = f"/images/scan/masks/{mode}/planes/coronal/10"
    raw = values(client.get(f"{place}.npy"))
    stored = colours(client.get(f"{place}.png?pixels=stored"))
    assert stored.shape[:2] == raw.shape[1:] == (10, 40)
    assert np.array_equal(stored[..., 3] != 0, raw.any(axis=0))
    assert np.count_nonzero(stored[..., 3]) == 12 * 3
    square = colours(client.get(f"{place}.png"))
    assert square.shape[0] == pytest.approx(2.5 * stored.shape[0], abs=1)  # slices lie 2.5 pixels apart
    assert not colours(client.get(f"{place}.png?pixels=stored&hide=3")).any()
    assert client.get(f"/images/scan/masks/{mode}/tiles/native/0/0/0.png").status_code == 501


def test_an_edit_is_painted_soon_and_changes_the_etag(space: Workspace, client: httpx.Client) -> None:
    space.rasterize("scene")
    place = "/images/scene/masks/semantic/tiles/native/1/0/0.npy"
    before = client.get(place)
    assert client.get(place, headers={"If-None-Match": before.headers["etag"]}).status_code == 304
    assert before.headers["cache-control"] == "no-cache"
    client.post("/images/scene/annotations?crs=native", json=box_feature(500_000, 4_999_900, label="road"))
    (told,) = client.get("/images/scene/masks").json()["masks"]
    for _ in range(200):
        if told["current"]:
            break
        time.sleep(0.05)
        (told,) = client.get("/images/scene/masks").json()["masks"]
    assert told["revision"] == 2
    after = client.get(place, headers={"If-None-Match": before.headers["etag"]})
    assert (values(after)[0, :10, :10] == 9).all()


def test_mercator_tiles_of_a_layer_lie_where_those_of_the_image_do(space: Workspace, client: httpx.Client) -> None:
    space.rasterize("scene")
    matrix = client.get("/images/scene/tiles/WebMercatorQuad").json()["tileMatrixSetLimits"][-1]
    place = "/images/scene/{}/WebMercatorQuad/{}/{}/{}.npy"
    seen = 0
    for x in range(matrix["minTileCol"], matrix["maxTileCol"] + 1):
        for y in range(matrix["minTileRow"], matrix["maxTileRow"] + 1):
            stored = client.get(place.format("masks/semantic/tiles", matrix["tileMatrix"], x, y))
            live = client.get(place.format("live-mask/tiles", matrix["tileMatrix"], x, y))
            if stored.status_code == 200:
                assert np.array_equal(values(stored), values(live))
                seen += int((values(live) == 3).sum())
    assert seen > 50


def test_live_tiles_need_no_layer_and_show_the_latest_edit(client: httpx.Client) -> None:
    place = "/images/scene/live-mask/tiles/native/1/0/0"
    assert (values(client.get(f"{place}.npy"))[0, 90:100, 50:60] == 3).all()
    assert colours(client.get(f"{place}.png"))[95, 55].tolist() == RED
    etag = client.get(f"{place}.png").headers["etag"]
    client.post("/images/scene/annotations?crs=native", json=box_feature(*SHIP, label="road"))
    # houses lie over roads, so only the tag tells that something changed
    assert client.get(f"{place}.png").headers["etag"] != etag
    client.post("/images/scene/annotations?crs=native", json=box_feature(500_000, 4_999_900, label="road"))
    assert (values(client.get(f"{place}.npy"))[0, :10, :10] == 9).all()
    assert (values(client.get(f"{place}.npy?rule=all-touched"))[0, :10, :10] == 9).all()


def test_coarse_live_tiles_hold_what_a_layer_would(space: Workspace, client: httpx.Client) -> None:
    place = "/images/scene/{}/tiles/native/0/0/0.npy"
    # smaller than a pixel of the level alone, not so together
    for k in range(2):
        feature = box_feature(502_000 + 8 * k, 4_999_000, 8, label="house")
        client.post("/images/scene/annotations?crs=native", json=feature)
    region = space.split_regions("scene", size=256)[-1]
    before = client.get(place.format("live-mask"))
    assert (values(before)[0, 45:50, 25:30] == 3).all()
    space.regions.claim(region.id, by="ann")
    space.regions.done(region.id, by="ann")
    live = client.get(place.format("live-mask"))
    assert live.headers["etag"] != before.headers["etag"]
    assert np.count_nonzero(values(live) == 1) > 300  # the background, where the work is done
    space.rasterize("scene")
    stored = values(client.get(place.format("masks/semantic")))
    assert np.array_equal(values(live), stored)
    assert np.array_equal(values(client.get(place.format("live-mask"))), stored)


def test_a_removed_layer_is_gone(space: Workspace, client: httpx.Client) -> None:
    space.rasterize("scene")
    assert client.get("/images/scene/masks/semantic/tiles/native/0/0/0.png").status_code == 200
    assert client.delete("/images/scene/masks/semantic").status_code == 204
    assert client.get("/images/scene/masks/semantic/tiles/native/0/0/0.png").status_code == 404
    assert client.delete("/images/scene/masks/semantic").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/images/nowhere/masks", 404),
        ("/images/scene/masks/none/tiles/native/0/0/0.png", 404),
        ("/images/scene/masks/.hidden/tiles/native/0/0/0.png", 400),
        ("/images/scene/masks/none/tiles/native/0/0/0.jpg", 400),
        ("/images/scene/live-mask/tiles/native/9/0/0.png", 404),
        ("/images/scan/live-mask/tiles/native/0/0/0.png", 501),
        ("/images/scan/tiles/native/0/0/0.png", 501),
        ("/images/scan/tiles/native/0/0/0.npy", 501),
        ("/images/scan/tiles/WebMercatorQuad/0/0/0.png", 501),
    ],
)
def test_what_does_not_exist_is_told(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [{"mode": "fancy"}, {"rule": 3}, {"fill_between": "yes"}, {"speed": 9}])
def test_paint_jobs_that_make_no_sense_are_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/images/scene/masks/town", json=body).status_code == 400


def test_painting_needs_no_body(client: httpx.Client) -> None:
    job = finished(client, client.post("/images/scene/masks/semantic"))
    assert job["state"] == "done"
    (told,) = client.get("/images/scene/masks").json()["masks"]
    assert (told["mode"], told["rule"], told["current"]) == ("semantic", "center", True)
    refused = client.post("/images/scene/masks/semantic", json={"mode": "instance"})
    assert refused.status_code == 409
    assert "is semantic" in refused.json()["detail"]

"""Tiles are the pixels of the image, without seams, and are made once."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bigimage.geometry.box import IndexBox
from bigimage.geometry.tiling import mercator_lattice
from bigimage.pyramid.pyramid import Pyramid
from bigimage.resample.warp import METHODS, warp
from bigimage.workspace import Workspace
from tests.unit.tilesrv.conftest import UTM, picture, serving, write_tif
from tilesrv.app import create_app


def raw(client: httpx.Client, path: str) -> np.ndarray:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


def shown(client: httpx.Client, path: str) -> np.ndarray:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.mark.parametrize("tile", [256, 512])
@pytest.mark.parametrize("image", ["rgb", "deep", "plain", "turned"])
def test_stitched_native_tiles_are_the_level(client: httpx.Client, workspace: Workspace, image: str, tile: int) -> None:
    levels = client.get(f"/images/{image}/tiles/native?tilesize={tile}").json()["levels"]
    for entry in levels:
        height, width = entry["shape"]
        rows = [
            np.concatenate(
                [
                    raw(client, f"/images/{image}/tiles/native/{entry['tileMatrix']}/{x}/{y}.npy?tilesize={tile}")
                    for x in range(-(-width // tile))
                ],
                axis=2,
            )
            for y in range(-(-height // tile))
        ]
        stitched = np.concatenate(rows, axis=1)
        box = IndexBox((0, 0), (height, width))
        wanted = workspace.image(image).read_index(box, level=entry["level"]).array
        assert stitched.dtype == wanted.dtype
        assert np.array_equal(stitched[:, :height, :width], wanted)
        assert not stitched[:, height:].any()
        assert not stitched[:, :, width:].any()


@pytest.mark.parametrize("method", METHODS)
def test_stitched_web_mercator_tiles_are_one_warp(client: httpx.Client, workspace: Workspace, method: str) -> None:
    limits = client.get("/images/rgb/tiles/WebMercatorQuad").json()["tileMatrixSetLimits"][-1]
    zoom, top, left = int(limits["tileMatrix"]), limits["minTileRow"], limits["minTileCol"]
    rows = [
        np.concatenate(
            [
                raw(client, f"/images/rgb/tiles/WebMercatorQuad/{zoom}/{x}/{y}.npy?resampling={method}")
                for x in range(left, limits["maxTileCol"] + 1)
            ],
            axis=2,
        )
        for y in range(top, limits["maxTileRow"] + 1)
    ]
    stitched = np.concatenate(rows, axis=1)
    pyramid = workspace.image("rgb")
    start = (top * 256, left * 256)
    box = IndexBox(start, (start[0] + stitched.shape[1], start[1] + stitched.shape[2]))
    whole = warp(
        lambda level, part: pyramid.read_index(part, level=level),
        pyramid.grids,
        mercator_lattice(zoom, 256),
        box,
        bands=3,
        dtype="uint8",
        method=method,  # pyright: ignore[reportArgumentType]
    )
    assert np.array_equal(stitched, whole.array)
    assert whole.array.any()


def test_tiles_of_both_sizes_hold_the_same_warp(client: httpx.Client) -> None:
    limits = client.get("/images/rgb/tiles/WebMercatorQuad?tilesize=512").json()["tileMatrixSetLimits"][-1]
    z, x, y = int(limits["tileMatrix"]), limits["minTileCol"], limits["minTileRow"]
    large = raw(client, f"/images/rgb/tiles/WebMercatorQuad/{z}/{x}/{y}.npy?tilesize=512")
    part = raw(client, f"/images/rgb/tiles/WebMercatorQuad/{z + 1}/{2 * x + 1}/{2 * y + 1}.npy")
    assert np.array_equal(large[:, 256:, 256:], part)


def test_formats_show_the_same_picture(client: httpx.Client) -> None:
    png = shown(client, "/images/rgb/tiles/native/2/1/1.png")
    assert png.shape == (256, 256, 3)
    for suffix in ("jpg", "webp"):
        other = shown(client, f"/images/rgb/tiles/native/2/1/1.{suffix}")
        assert other.shape == png.shape
        assert np.abs(other.astype(int) - png).mean() < 6


def test_media_types(client: httpx.Client) -> None:
    types = {
        s: client.get(f"/images/rgb/tiles/native/0/0/0.{s}").headers["content-type"]
        for s in ("png", "jpg", "webp", "npy")
    }
    assert types == {
        "png": "image/png",
        "jpg": "image/jpeg",
        "webp": "image/webp",
        "npy": "application/octet-stream",
    }


def test_what_sticks_out_or_is_missing_is_transparent(client: httpx.Client) -> None:
    edge = shown(client, "/images/rgb/tiles/native/2/3/2.png")
    assert edge.shape == (256, 256, 4)
    assert (edge[: 701 - 512, : 1013 - 768, 3] == 255).all()
    assert not edge[701 - 512 :, :, 3].any()
    assert not edge[:, 1013 - 768 :, 3].any()
    hole = shown(client, "/images/deep/tiles/native/1/0/0.png?bands=1,2,3")
    assert not hole[40:90, 50:120, 3].any()
    assert hole[0:40, 0:50, 3].all()
    assert shown(client, "/images/deep/tiles/native/1/0/0.jpg?bands=1,2,3")[50:80, 60:110].max() < 8  # but for noise


def test_bands_and_ranges_make_the_picture(client: httpx.Client, workspace: Workspace) -> None:
    stored = workspace.image("rgb").read_index((slice(0, 256), slice(0, 256))).array.astype(float)
    gray = shown(client, "/images/rgb/tiles/native/2/0/0.png?bands=2&rescale=50,150")
    assert gray.shape == (256, 256)
    assert np.abs(gray - np.clip((stored[1] - 50) * 255 / 100, 0, 255)).max() <= 0.51
    same = shown(client, "/images/rgb/tiles/native/2/0/0.png?bands=2&window=100,100")
    assert np.array_equal(gray, same)
    swapped = shown(client, "/images/rgb/tiles/native/2/0/0.png?bands=3,2,1&rescale=0,255")
    assert np.array_equal(swapped, stored[::-1].transpose(1, 2, 0).astype(np.uint8))


def test_nodata_of_the_request_is_transparent(client: httpx.Client, workspace: Workspace) -> None:
    stored = workspace.image("plain").read_index((slice(0, 256), slice(0, 256))).array[0]
    value = int(np.bincount(stored.ravel()).argmax())
    tile = shown(client, f"/images/plain/tiles/native/1/0/0.png?nodata={value}")
    assert np.array_equal(tile[..., -1] == 0, stored == value)


def test_a_colormap_colours_one_band(client: httpx.Client) -> None:
    assert shown(client, "/images/plain/tiles/native/0/0/0.png?colormap=viridis").shape[2] >= 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("rgb/tiles/native/3/0/0.png", 404),
        ("rgb/tiles/native/2/4/0.png", 404),
        ("rgb/tiles/native/2/0/3.png", 404),
        ("rgb/tiles/WebMercatorQuad/30/0/0.png", 404),
        ("rgb/tiles/WebMercatorQuad/3/0/0.png", 404),
        ("rgb/tiles/WebMercatorQuad/3/8/0.png", 404),
        ("plain/tiles/WebMercatorQuad/0/0/0.png", 404),
        ("absent/tiles/native/0/0/0.png", 404),
        ("rgb/tiles/native/-1/0/0.png", 400),
        ("rgb/tiles/native/0/0/0.gif", 400),
        ("rgb/tiles/native/x/0/0.png", 400),
        ("rgb/tiles/native/0/0/1.5.png", 400),
        ("rgb/tiles/Mars/0/0/0.png", 400),
        ("rgb/tiles/native/0/0/99999999999.png", 400),
        ("rgb/tiles/native/0/0/0.png?bands=4", 400),
        ("rgb/tiles/native/0/0/0.png?bands=1,2", 400),
        ("rgb/tiles/native/0/0/0.png?rescale=0,inf", 400),
        ("rgb/tiles/native/0/0/0.png?tilesize=300", 400),
        ("rgb/tiles/native/0/0/0.png?colormap=none", 400),
        ("rgb/tiles/native/0/0/0.png?resampling=magic", 400),
        ("rgb/tiles/native/0/0/0.png?t=1", 400),
        ("rgb/tiles/native/0/0/0.png?bands=" + "1," * 1000 + "1", 400),
    ],
)
def test_tiles_that_do_not_exist_or_make_no_sense(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"/images/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_deeper_zooms_than_the_image_has_are_served(client: httpx.Client) -> None:
    limits = client.get("/images/rgb/tiles/WebMercatorQuad").json()["tileMatrixSetLimits"][-1]
    z, x, y = int(limits["tileMatrix"]), limits["minTileCol"] + 1, limits["minTileRow"] + 1
    assert client.get(f"/images/rgb/tiles/WebMercatorQuad/{z + 3}/{8 * x}/{8 * y}.png").status_code == 200


def test_etags_depend_on_all_that_shows_and_are_answered_with_304(client: httpx.Client) -> None:
    base = "/images/rgb/tiles/native/1/0/0"
    paths = [
        f"{base}.png",
        f"{base}.jpg",
        f"{base}.png?bands=1",
        f"{base}.png?tilesize=512",
        "/images/rgb/tiles/native/1/0/1.png",
    ]
    tags = [client.get(path).headers["etag"] for path in paths]
    assert len(set(tags)) == len(tags)
    assert all(tag.startswith('"') for tag in tags)
    again = client.get(paths[0], headers={"If-None-Match": tags[0]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[0])
    assert "max-age" in again.headers["cache-control"]
    assert client.get(f"{base}.png?_=123").headers["etag"] == tags[0]


def test_a_304_reads_nothing(fresh: tuple[Workspace, httpx.Client], reads: list[Any]) -> None:
    _, client = fresh
    tag = client.get("/images/one/tiles/native/0/0/0.png").headers["etag"]
    seen = len(reads)
    assert client.get("/images/one/tiles/native/0/0/0.png", headers={"If-None-Match": tag}).status_code == 304
    assert len(reads) == seen == 1


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Boxes read from any pyramid, as they are read; each read takes a moment."""
    seen: list[Any] = []
    real = Pyramid.read_index

    def read_index(self: Pyramid, box: Any, **options: Any) -> Any:
        seen.append(box)
        time.sleep(0.2)
        return real(self, box, **options)

    monkeypatch.setattr(Pyramid, "read_index", read_index)
    return seen


@pytest.fixture
def fresh(fresh_server: Any, tmp_path: Path) -> tuple[Workspace, httpx.Client]:
    """A server with one image and nothing cached."""
    space, client = fresh_server()
    space.ingest(write_tif(tmp_path / "one.tif", picture((200, 200), 3), transform=UTM, crs="EPSG:32632"))
    return space, client


def test_identical_requests_in_flight_read_once(fresh: tuple[Workspace, httpx.Client], reads: list[Any]) -> None:
    _, client = fresh
    client.get("/images/one")
    gate = threading.Barrier(8)

    def ask(_number: int) -> bytes:
        gate.wait()
        with httpx.Client(base_url=client.base_url, timeout=30) as own:
            return own.get("/images/one/tiles/native/0/0/0.png").content

    with ThreadPoolExecutor(8) as pool:
        bodies = set(pool.map(ask, range(8)))
    assert len(bodies) == 1
    assert len(reads) == 1


def test_a_cached_tile_is_not_read_again(fresh: tuple[Workspace, httpx.Client], reads: list[Any]) -> None:
    _, client = fresh
    for _ in range(3):
        assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 200
    assert len(reads) == 1
    page = client.get("/metrics").text
    assert 'bigimage_tiles_total{origin="cache"} 2.0' in page


def test_a_removed_image_is_gone_for_its_tiles_too(fresh: tuple[Workspace, httpx.Client]) -> None:
    _, client = fresh
    assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 200
    assert client.delete("/images/one").status_code == 204
    assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 404


def test_an_image_removed_by_another_process_is_noticed(fresh: tuple[Workspace, httpx.Client]) -> None:
    space, client = fresh
    assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 200
    space.remove("one")
    time.sleep(1.1)
    assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 404


def test_too_many_raw_bands_are_refused(fresh_server: Any, tmp_path: Path) -> None:
    space, client = fresh_server(max_tile_bands=2)
    space.ingest(write_tif(tmp_path / "one.tif", picture((30, 30), 3), transform=UTM, crs="EPSG:32632"))
    answer = client.get("/images/one/tiles/native/0/0/0.npy")
    assert answer.status_code == 413
    assert "2 of one request" in answer.json()["detail"]
    assert client.get("/images/one/tiles/native/0/0/0.npy?bands=1,2").status_code == 200
    assert client.get("/images/one/tiles/native/0/0/0.png").status_code == 200


def test_labels_take_only_nearest(fresh_server: Any, tmp_path: Path) -> None:
    space, client = fresh_server()
    labels = (picture((300, 300), 1) // 64).astype(np.uint8)
    space.ingest(write_tif(tmp_path / "labels.tif", labels, transform=UTM, crs="EPSG:32632"), role="labels")
    limits = client.get("/images/labels/tiles/WebMercatorQuad").json()["tileMatrixSetLimits"][-1]
    path = (
        f"/images/labels/tiles/WebMercatorQuad/{limits['tileMatrix']}/{limits['minTileCol']}/{limits['minTileRow']}.npy"
    )
    assert set(np.unique(raw(client, path))) <= {0, 1, 2, 3}
    assert client.get(path + "?resampling=bilinear").status_code == 400


def test_finished_tiles_are_kept_within_the_budget(workspace: Workspace) -> None:
    app = create_app(workspace, replace(workspace.settings, tile_cache=30_000))
    with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        for x in range(4):
            for y in range(3):
                assert client.get(f"/images/rgb/tiles/native/2/{x}/{y}.jpg").status_code == 200
        cache = app.state.context.cache
        assert 0 < cache.weight <= 30_000
        assert 1 <= len(cache) < 12

"""Parts of a level, raw and drawn, and previews."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bigimage.workspace import Workspace
from tests.unit.tilesrv.conftest import UTM, picture, write_tif
from tilesrv import crops


def raw(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


@pytest.mark.parametrize("strip", [1 << 22, 1000, 1])
def test_a_raw_crop_is_the_levels_pixels(
    client: httpx.Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr(crops, "STRIP_VALUES", strip)
    found = raw(client.get("/images/deep/crop?box=11,22,133,144&level=0&bands=5,1"))
    wanted = workspace.image("deep").read_index((slice(22, 144), slice(11, 133)), bands=[4, 0]).array
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)
    coarse = raw(client.get("/images/rgb/crop.npy?box=0,0,254,176&level=2"))
    assert np.array_equal(coarse, workspace.image("rgb").read_index((slice(0, 176), slice(0, 254)), level=2).array)


def test_a_crop_is_drawn_like_a_tile(client: httpx.Client) -> None:
    tile = client.get("/images/rgb/tiles/native/2/1/1.png?bands=2").content
    assert client.get("/images/rgb/crop.png?box=256,256,512,512&bands=2").content == tile
    assert client.get("/images/rgb/crop?box=256,256,512,512&bands=2&f=png").content == tile


def test_crops_are_cached_by_clients(client: httpx.Client) -> None:
    for path in ("crop?box=0,0,9,9", "crop.png?box=0,0,9,9", "preview.png"):
        tag = client.get(f"/images/rgb/{path}").headers["etag"]
        assert client.get(f"/images/rgb/{path}", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("box=0,0,10,10&level=40", 400),
        ("box=0,0,10,10&level=41", 400),
        ("box=0,0,99999,10", 400),
        ("box=5,5,5,6", 400),
        ("box=0,0,10,10&f=tif", 400),
        ("box=0,0,10,10&f=png&bands=1,2", 400),
        ("box=0,0,10,10&bands=9", 400),
    ],
)
def test_crops_that_make_no_sense(client: httpx.Client, query: str, status: int) -> None:
    assert client.get(f"/images/rgb/crop?{query}").status_code == status


def test_large_crops_are_refused_with_the_reason(fresh_server: Any, tmp_path: Any) -> None:
    space, client = fresh_server(max_request_pixels=10_000)
    space.ingest(write_tif(tmp_path / "one.tif", picture((200, 200), 3), transform=UTM, crs="EPSG:32632"))
    for path in ("crop?box=0,0,100,100", "crop.png?box=0,0,100,100", "preview.png?max_size=200"):
        answer = client.get(f"/images/one/{path}")
        assert answer.status_code == 413
        assert "10000" in answer.json()["detail"]
    assert client.get("/images/one/crop?box=0,0,50,50").status_code == 200


@pytest.mark.parametrize(("size", "shape"), [(1013, (701, 1013)), (507, (351, 507)), (300, (208, 300)), (1, (1, 1))])
def test_previews_fit_the_size(client: httpx.Client, size: int, shape: tuple[int, int]) -> None:
    image = Image.open(io.BytesIO(client.get(f"/images/rgb/preview.png?max_size={size}").content))
    assert (image.height, image.width) == shape


def test_a_preview_looks_like_the_image(client: httpx.Client, workspace: Workspace) -> None:
    small = np.asarray(Image.open(io.BytesIO(client.get("/images/rgb/preview.png?max_size=300&rescale=0,255").content)))
    level = workspace.image("rgb").read_index((slice(0, 351), slice(0, 507)), level=1).array
    rows, columns = np.arange(208) * 351 // 208, np.arange(300) * 507 // 300
    assert np.abs(small.astype(float) - level[:, rows][:, :, columns].transpose(1, 2, 0)).mean() < 8


def test_no_preview_is_larger_than_the_image(client: httpx.Client) -> None:
    image = Image.open(io.BytesIO(client.get("/images/plain/preview.jpg?max_size=2000").content))
    assert (image.height, image.width) == (257, 300)
    assert client.get("/images/plain/preview.jpg?max_size=0").status_code == 400

"""Values at a place and statistics over a box."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.workspace import Workspace
from tests.unit.tilesrv.conftest import UTM, picture, write_tif
from tilesrv import values


def test_a_point_tells_the_pixel_that_holds_it(client: httpx.Client, workspace: Workspace) -> None:
    found = client.get("/images/rgb/point?coord=500123,4999871").json()
    assert found["index"] == [12, 12]
    assert found["valid"] is True
    stored = workspace.image("rgb").read_index((slice(12, 13), slice(12, 13))).array.reshape(-1)
    assert found["values"] == stored.tolist()
    assert [band["number"] for band in found["bands"]] == [1, 2, 3]


def test_a_point_in_another_crs(client: httpx.Client) -> None:
    frame = GeoFrame("EPSG:32632")
    longitude, latitude = transform_points([500_123.0, 4_999_871.0], frame, GeoFrame("EPSG:4326"))
    found = client.get(
        f"/images/rgb/point?coord={longitude!r},{latitude!r}&crs=EPSG:4326".replace("np.float64(", "").replace(")", "")
    )
    assert found.json()["index"] == [12, 12]


def test_a_missing_pixel_has_no_physical_value(client: httpx.Client) -> None:
    x, y = 500_000 + 60 * 10 + 5, 5_000_000 - 50 * 10 - 5
    found = client.get(f"/images/deep/point?coord={x},{y}").json()
    assert found["valid"] is False
    assert found["physical"] == [None] * 5


def test_a_point_of_an_image_without_a_place_is_a_pixel(client: httpx.Client) -> None:
    assert client.get("/images/plain/point?coord=7.9,3.2").json()["index"] == [3, 7]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("coord=1", 400),
        ("coord=nan,1", 400),
        ("coord=1,2,3,4", 400),
        ("coord=0,0", 400),
        ("coord=500123,4999871,3", 400),
        ("coord=499999.9,4999871", 400),
        ("coord=500123,4999871&crs=nonsense", 400),
        ("coord=500123,4999871&t=3", 400),
        ("coord=200,95&crs=EPSG:4326", 400),
        ("coord=10,50&crs=IAU_2015:49900", 400),
        ("coord=10,50&crs=%2Bproj%3Dlonglat", 400),
        ('coord=10,50&crs=GEOGCRS["x",EXTENSION["PROJ4","%2Bnadgrids=x"]]', 400),
    ],
)
def test_points_that_make_no_sense(client: httpx.Client, query: str, status: int) -> None:
    answer = client.get(f"/images/rgb/point?{query}")
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_crs_for_an_image_without_a_place_is_refused(client: httpx.Client) -> None:
    assert client.get("/images/plain/point?coord=1,1&crs=EPSG:4326").status_code == 400


def test_statistics_of_a_box_are_numpys(client: httpx.Client, workspace: Workspace) -> None:
    found = client.get("/images/rgb/statistics?box=30,20,130,90&bands=2,1&bins=10&percentiles=5,95").json()
    assert (found["level"], found["exact"], found["box"], found["pixels"]) == (0, True, [30, 20, 130, 90], 7000)
    stored = workspace.image("rgb").read_index((slice(20, 90), slice(30, 130))).array
    for band, number in zip(found["bands"], (1, 0), strict=True):
        plane = stored[number].astype(float)
        assert band["number"] == number + 1
        assert (band["min"], band["max"]) == (plane.min(), plane.max())
        assert math.isclose(band["mean"], plane.mean())
        assert math.isclose(band["std"], plane.std())
        assert band["percentiles"] == {"5": np.percentile(plane, 5), "95": np.percentile(plane, 95)}
        assert band["median"] == np.median(plane)
        assert sum(band["histogram"]["counts"]) == band["valid_pixels"] == 7000
        assert len(band["histogram"]["edges"]) == 11


def test_missing_pixels_do_not_count(client: httpx.Client) -> None:
    found = client.get("/images/deep/statistics?box=50,40,130,90&bands=1").json()
    assert found["bands"][0]["valid_pixels"] < found["pixels"]
    nothing = client.get("/images/deep/statistics?box=60,50,70,60&bands=1").json()["bands"][0]
    assert (nothing["valid_pixels"], nothing["min"], nothing["mean"]) == (0, None, None)


def test_a_world_box_is_read_by_place(client: httpx.Client) -> None:
    found = client.get("/images/rgb/statistics?bbox=500100,4999500,500200,4999900").json()
    assert found["box"] == [10, 10, 20, 50]


def test_the_level_is_chosen_by_the_work(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "STATISTICS_VALUES", 200_000)
    found = client.get("/images/rgb/statistics").json()
    assert (found["level"], found["exact"], found["box"]) == (2, False, [0, 0, 254, 176])
    small = client.get("/images/rgb/statistics?box=0,0,100,100").json()
    assert (small["level"], small["exact"]) == (0, True)
    refused = client.get("/images/rgb/statistics?level=0")
    assert refused.status_code == 413
    assert "coarser" in refused.json()["detail"]
    monkeypatch.setattr(values, "STATISTICS_VALUES", 10)
    assert client.get("/images/rgb/statistics").status_code == 413


def test_a_box_of_a_given_level_is_in_its_own_indexes(client: httpx.Client) -> None:
    assert client.get("/images/rgb/statistics?level=2&box=0,0,254,176").json()["level"] == 2
    assert client.get("/images/rgb/statistics?level=2&box=0,0,255,176").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "box=0,0,0,10",
        "box=10,10,5,20",
        "box=0,0,10",
        "box=0,0,10,10,0,1",
        "box=-1,0,10,10",
        "box=0,0,5000,10",
        "box=0.5,0,10,10",
        "bbox=0,0,1,1",
        "bbox=1,2,3",
        "bbox=5,5,1,1",
        "sphere=0,0,0,5",
        "box=0,0,1,1&bbox=0,0,1,1",
        "level=9",
        "percentiles=101",
        "percentiles=" + ",".join(["1"] * 17),
        "bins=0",
        "bins=99999",
        "bands=nope",
        "physical=maybe",
    ],
)
def test_statistics_that_make_no_sense(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/images/rgb/statistics?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_physical_statistics_apply_scale_and_offset(fresh_server: Any, tmp_path: Any) -> None:
    import rasterio

    space, client = fresh_server()
    path = write_tif(tmp_path / "scaled.tif", picture((30, 40), 1), transform=UTM, crs="EPSG:32632")
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.5,), (10.0,), ("K",)
    space.ingest(path)
    stored = client.get("/images/scaled/statistics").json()["bands"][0]
    real = client.get("/images/scaled/statistics?physical=true").json()["bands"][0]
    assert math.isclose(real["mean"], stored["mean"] * 0.5 + 10)
    assert real["unit"] == "K"
    point = client.get("/images/scaled/point?coord=500005,4999995").json()
    assert point["physical"][0] == point["values"][0] * 0.5 + 10


def test_odd_floats_become_null_or_are_left_out(fresh_server: Any, tmp_path: Any) -> None:
    space, client = fresh_server()
    array = np.array([[[1.0, np.nan, np.inf], [-np.inf, 3.0, 1e38]]], dtype=np.float32)
    space.ingest(write_tif(tmp_path / "odd.tif", array, transform=UTM, crs="EPSG:32632"))
    band = client.get("/images/odd/statistics").json()["bands"][0]
    assert (band["valid_pixels"], band["min"]) == (3, 1.0)
    assert client.get("/images/odd/point?coord=500025,4999995").json()["values"] == [None]
    assert client.get("/images/odd/tiles/native/0/0/0.png").status_code == 200

"""Zonal statistics over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from bigimage.workspace import Workspace
from tests.drawn import box_feature, make_images
from tests.painting import SCHEMA
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    space: Workspace = make_images(tmp_path / "ws", max_request_pixels=20_000)
    space.annotations.set_schema(SCHEMA)
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        for feature in (
            box_feature(500_500, 4_999_000, label="house"),
            box_feature(502_000, 4_999_000, 50, label="road"),
        ):
            assert made.post("/images/scene/annotations?crs=native", json=feature).status_code == 201
        yield made


def test_zones_tell_counts_areas_and_values(client: httpx.Client) -> None:
    body = client.get("/images/scene/zonal").json()
    assert body["id"] == "scene"
    assert [(z["label"], z["count"]) for z in body["zones"]] == [("house", 100), ("road", 25)]
    (first, _) = body["zones"]
    # UTM at its central meridian: an area of the map is 0.08 % smaller than that of the ground
    assert abs(first["area_m2"] / (10_000 / 0.9996**2) - 1) < 1e-5
    assert first["bands"][0]["mean"] == 0
    assert set(first["bands"][0]["percentiles"]) == {"p5", "p25", "p50", "p75", "p95"}
    assert "volume_ml" not in first


def test_zones_are_chosen_by_label_box_and_number(client: httpx.Client) -> None:
    assert [z["label"] for z in client.get("/images/scene/zonal?label=road").json()["zones"]] == ["road"]
    near = client.get("/images/scene/zonal?bbox=500000,4998000,501000,5000000").json()["zones"]
    assert [z["label"] for z in near] == ["house"]
    assert len(client.get("/images/scene/zonal?limit=1&bands=1").json()["zones"]) == 1


def test_work_without_bounds_is_refused(client: httpx.Client) -> None:
    client.post("/images/scene/annotations?crs=native", json=box_feature(500_000, 4_997_000, 2900, label="field"))
    assert client.get("/images/scene/zonal").status_code == 413
    assert client.get("/images/scene/zonal?label=house").status_code == 200


@pytest.mark.parametrize("query", ["bbox=1,2,3", "bbox=1,2,3,4,5,6", "limit=0", "bands=9"])
def test_queries_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/images/scene/zonal?{query}").status_code == 400


def test_a_shape_is_measured_without_being_stored(client: httpx.Client) -> None:
    feature = box_feature(500_500, 4_999_000, label="house")
    (stored, _) = client.get("/images/scene/zonal").json()["zones"]
    (found,) = client.post("/images/scene/zonal?crs=native", json=feature).json()["zones"]
    assert {k: v for k, v in found.items() if k not in ("id", "label")} == {
        k: v for k, v in stored.items() if k not in ("id", "label")
    }
    ellipse = {"type": "ellipse", "center": [501_000, 4_998_500], "radii": [200, 100], "rotation": 30}
    bare = {"type": "Feature", "geometry": None, "shape": ellipse, "properties": None}
    (found,) = client.post("/images/scene/zonal", json=bare).json()["zones"]
    assert abs(found["area_m2"] * 0.9996**2 / (np.pi * 200 * 100) - 1) < 0.03
    assert client.get("/images/scene/annotations").json()["numberReturned"] == 2


def test_a_ball_in_a_scan_is_measured(client: httpx.Client) -> None:
    ball = {"type": "ellipse", "center": [0, 0, 112], "radii": [8, 8, 8]}
    (found,) = client.post("/images/scan/zonal", json={"type": "Feature", "shape": ball}).json()["zones"]
    assert abs(found["volume_ml"] / (4 / 3 * np.pi * 8**3 / 1000) - 1) < 0.03


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Feature", "geometry": None},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, "x"]]]}},
        {"type": "Feature", "shape": {"type": "mask", "box": [0, 0, 2, 2], "counts": [0, 4]}},
        [],
    ],
)
def test_shapes_that_cannot_be_measured_are_refused(client: httpx.Client, document: object) -> None:
    answer = client.post("/images/scene/zonal?crs=native", json=document)
    assert answer.status_code in (400, 501), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_shape_of_too_many_pixels_is_refused(client: httpx.Client) -> None:
    large = box_feature(500_000, 4_997_000, 2900, label="field")
    assert client.post("/images/scene/zonal?crs=native", json=large).status_code == 413


def test_lines_and_points_are_measured_as_wide_as_their_label_says(client: httpx.Client) -> None:
    line = {"type": "LineString", "coordinates": [[500_502, 4_998_502], [500_702, 4_998_502]]}
    schema = client.get("/schema").json()
    labels = [{**one, "width": 60} if one["name"] == "road" else one for one in schema["labels"]]
    labels.append({"name": "tree", "value": 11, "radius": 50})
    answer = client.put("/schema", json={"labels": labels, "background": schema["background"]})
    assert answer.status_code == 200, answer.text

    def measured(geometry: dict[str, object], label: str | None) -> dict[str, object]:
        feature = {"type": "Feature", "geometry": geometry, "properties": {"label": label}}
        answer = client.post("/images/scene/zonal?crs=native", json=feature)
        assert answer.status_code == 200, answer.text
        (zone,) = answer.json()["zones"]
        return zone

    assert measured(line, None)["count"] == 21
    wide = measured(line, "road")
    # the line, six pixels of ten metres wide, and two half discs
    assert abs(int(str(wide["count"])) - (20 * 6 + np.pi * 9)) < 8
    stored = {"type": "Feature", "geometry": line, "properties": {"label": "road"}}
    assert client.post("/images/scene/annotations?crs=native", json=stored).status_code == 201
    same = client.get("/images/scene/zonal?label=road").json()["zones"][-1]
    assert same["count"] == wide["count"]
    disc = measured({"type": "Point", "coordinates": [500_500, 4_998_500]}, "tree")
    assert abs(int(str(disc["count"])) - np.pi * 25) < 8


@pytest.mark.parametrize("label", ["castle", 7])
def test_labels_that_are_none_are_refused(client: httpx.Client, label: object) -> None:
    feature = {**box_feature(500_500, 4_999_000), "properties": {"label": label}}
    answer = client.post("/images/scene/zonal?crs=native", json=feature)
    assert answer.status_code == 400, answer.text
    assert "properties/label" in answer.json()["problems"][0]

"""Regions over HTTP: splitting, drawing, claiming, releasing, finishing."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from shapely.geometry import shape

from tests.drawn import box_feature, point_feature


def split(http: httpx.Client, image: str = "scene", **body: Any) -> list[dict[str, Any]]:
    answer = http.post(f"/images/{image}/regions", params={"crs": "native"}, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["features"]


def test_a_raster_is_split_into_squares(drawing: httpx.Client) -> None:
    made = split(drawing, size=200)
    assert [r["properties"]["box"] for r in made] == [
        [0, 0, 200, 200],
        [200, 0, 400, 200],
        [0, 200, 200, 300],
        [200, 200, 400, 300],
    ]
    assert shape(made[0]["geometry"]).bounds == (500_000, 4_998_000, 502_000, 5_000_000)
    listed = drawing.get("/images/scene/regions").json()
    assert [r["id"] for r in listed["features"]] == [r["id"] for r in made]
    assert 8.99 < shape(listed["features"][0]["geometry"]).bounds[0] < 9.01
    assert drawing.post("/images/scene/regions", json={"size": 200}).status_code == 409
    assert len(split(drawing, size=400, replace=True)) == 1


def test_a_volume_is_split_into_slices(drawing: httpx.Client) -> None:
    made = split(drawing, "scan", size=4)
    assert [r["properties"]["name"] for r in made] == ["slices 0-3", "slices 4-7", "slices 8-9"]
    assert made[1]["properties"]["box"] == [0, 0, 40, 32, 4, 8]


def test_areas_are_drawn_and_boxes_named(drawing: httpx.Client) -> None:
    area = box_feature(9.005, 45.14, 0.005)
    area["properties"] = {"name": "harbour"}
    answer = drawing.post("/images/scene/regions", json={"features": [area]})
    (harbour,) = answer.json()["features"]
    assert harbour["properties"]["drawn"] is True
    assert shape(harbour["geometry"]).equals_exact(shape(area["geometry"]), 1e-9, normalize=True)
    (north,) = split(drawing, boxes={"north": [0, 0, 400, 100]})
    assert north["properties"]["box"] == [0, 0, 400, 100]


def test_work_goes_from_open_to_done(drawing: httpx.Client) -> None:
    first, second = split(drawing, size=300)
    address = f"/regions/{first['id']}"
    assert drawing.post(address + "/done").status_code == 409
    claimed = drawing.post(address + "/claim")
    assert claimed.json()["properties"]["assignee"] == "local"
    assert claimed.headers["etag"] == '"2"'
    assert drawing.post(address + "/claim").headers["etag"] == '"2"'
    done = drawing.post(address + "/done", headers={"If-Match": '"2"'})
    assert done.json()["properties"]["state"] == "done"
    assert [r["id"] for r in drawing.get("/images/scene/regions?state=open").json()["features"]] == [second["id"]]
    assert len(drawing.get("/images/scene/regions?assignee=local").json()["features"]) == 1
    assert drawing.post(address + "/release", headers={"If-Match": '"2"'}).status_code == 412
    assert drawing.post(address + "/release").json()["properties"]["state"] == "open"
    clash = drawing.post(address + "/done")
    assert clash.status_code == 409
    assert clash.json()["current"]["properties"]["version"] == 4
    assert drawing.get(address).headers["etag"] == '"4"'
    assert drawing.delete(address).status_code == 204
    assert drawing.get(address).status_code == 404
    assert drawing.post(f"/regions/{uuid4()}/claim").status_code == 404


def test_every_step_is_told(drawing: httpx.Client) -> None:
    first, second = split(drawing, size=300)
    address = f"/regions/{first['id']}"
    drawing.post(address + "/claim").raise_for_status()
    assert drawing.post(f"/regions/{second['id']}/done").status_code == 409
    drawing.post(address + "/done").raise_for_status()
    drawing.delete(address).raise_for_status()
    told = drawing.get(address + "/history").json()
    assert (told["id"], told["image"], told["name"]) == (first["id"], "scene", "0-0")
    steps = [(s["kind"], s["version"], s["author"]) for s in told["history"]]
    assert steps == [("made", 1, "local"), ("claimed", 2, "local"), ("done", 3, "local"), ("removed", 4, "local")]
    assert told["history"][0]["time"] == first["properties"]["created"]
    listed = drawing.get("/images/scene/regions/history").json()["history"]
    assert [s["kind"] for s in listed] == ["removed", "done", "claimed", "made", "made"]
    assert listed[:3] == told["history"][:0:-1]
    assert len(drawing.get("/images/scene/regions/history?limit=2").json()["history"]) == 2
    assert drawing.get(f"/regions/{uuid4()}/history").status_code == 404
    assert drawing.get("/images/absent/regions/history").status_code == 404


@pytest.mark.parametrize(
    ("image", "body"),
    [
        ("scene", {}),
        ("scene", []),
        ("scene", {"size": 0}),
        ("scene", {"size": 1.5}),
        ("scene", {"size": 100, "boxes": {"a": [0, 0, 1, 1]}}),
        ("scene", {"size": 100, "replace": "yes"}),
        ("scene", {"features": []}),
        ("scene", {"features": [7]}),
        ("scene", {"features": [box_feature(9.005, 45.14, 0.001)]}),
        ("scene", {"features": [{**point_feature(9.005, 45.14), "properties": {"name": "a"}}]}),
        ("scene", {"features": [{**box_feature(0, 0, 1), "properties": {"name": "far"}}]}),
        ("scan", {"features": [{**box_feature(0, 0, 1), "properties": {"name": "flat"}}]}),
        ("scene", {"boxes": {"a": [0, 0, 500, 10]}}),
        ("scene", {"boxes": {"a": [0, 0, 0, 10]}}),
        ("scene", {"boxes": {"": [0, 0, 1, 1]}}),
        ("scene", {"boxes": {"a": [0, 0, 1, 1, 0, 1]}}),
        ("scene", {"nonsense": 1}),
    ],
)
def test_regions_that_make_no_sense(drawing: httpx.Client, image: str, body: Any) -> None:
    answer = drawing.post(f"/images/{image}/regions", json=body)
    assert answer.status_code == 400, answer.text
    assert drawing.get(f"/images/{image}/regions").json()["features"] == []

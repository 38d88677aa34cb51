"""Changing annotations over HTTP: nobody's work is lost, and every problem is told."""

import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import httpx
import pytest
from shapely.geometry import shape

from bigimage.store.sqlite import SqliteDatabase
from tests.drawn import box_feature, make_images, point_feature
from tests.unit.tilesrv.conftest import serving
from tilesrv import context, edits
from tilesrv.app import create_app

HERE = "/images/scene/annotations?crs=native"


def add(http: httpx.Client, feature: dict[str, Any] | None = None) -> str:
    answer = http.post(HERE, json=feature or box_feature(501_000, 4_999_000))
    assert answer.status_code == 201, answer.text
    return f"/annotations/{answer.json()['id']}"


def test_a_new_one_is_answered_with_what_was_stored(drawing: httpx.Client) -> None:
    feature = box_feature(501_000, 4_999_000)
    feature["properties"] |= {"attributes": {"difficult": True}, "origin": "model:net@1", "score": 0.5}
    answer = drawing.post(HERE, json=feature)
    made = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"].endswith(f"/annotations/{made['id']}")
    properties = made["properties"]
    assert (properties["version"], properties["author"], properties["score"]) == (1, "local", 0.5)
    assert properties["created"].endswith("Z")
    assert drawing.get(f"/annotations/{made['id']}?crs=native").json() == made


def test_a_client_may_choose_the_id_once(drawing: httpx.Client) -> None:
    feature = point_feature(501_000, 4_999_000, id=str(uuid4()))
    assert add(drawing, feature) == f"/annotations/{feature['id']}"
    clash = drawing.post(HERE, json=feature)
    assert clash.status_code == 409
    assert clash.json()["current"]["id"] == feature["id"]
    assert clash.json()["yours"] == feature


def test_changes_name_the_version_that_they_were_made_from(drawing: httpx.Client) -> None:
    address = add(drawing)
    for send in (
        lambda **kw: drawing.put(address, json=box_feature(9.0, 45.1, 0.001), **kw),
        lambda **kw: drawing.patch(address, json={"t": 0}, **kw),
        lambda **kw: drawing.delete(address, **kw),
    ):
        assert send().status_code == 428
        stale = send(headers={"If-Match": '"7"'})
        assert stale.status_code == 412
        assert stale.json()["current"]["properties"]["version"] == 1
    assert stale.json()["yours"] is None
    changed = drawing.put(address, json=box_feature(9.005, 45.14, 0.001, label="tug"), headers={"If-Match": '"1"'})
    assert changed.headers["etag"] == '"2"'
    assert changed.json()["properties"]["label"] == "tug"
    assert drawing.delete(address, headers={"If-Match": '"2"'}).status_code == 204
    again = drawing.delete(address, headers={"If-Match": '"2"'})
    assert again.status_code == 412
    assert again.json()["current"] is None
    back = drawing.put(address, json=box_feature(9.005, 45.14, 0.001), headers={"If-Match": '"3"'})
    assert back.json()["properties"]["version"] == 4
    assert drawing.get(address).status_code == 200


def test_one_of_many_at_the_same_moment_wins(drawing: httpx.Client) -> None:
    address = add(drawing)

    def edit(k: int) -> httpx.Response:
        return drawing.patch(address, json={"properties": {"label": f"ship {k}"}}, headers={"If-Match": '"1"'})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(edit, range(8)))
    assert sorted(a.status_code for a in answers) == [200] + [412] * 7
    won = next(a.json()["properties"]["label"] for a in answers if a.status_code == 200)
    assert all(a.json()["current"]["properties"]["label"] == won for a in answers if a.status_code == 412)


def test_with_a_star_everybody_is_heard(drawing: httpx.Client) -> None:
    address = add(drawing)

    def edit(k: int) -> int:
        body = {"properties": {"attributes": {f"a{k}": k}}}
        return drawing.patch(address, json=body, headers={"If-Match": "*"}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(edit, range(6))) == {200}
    assert drawing.get(address).json()["properties"]["attributes"] == {f"a{k}": k for k in range(6)}


def test_the_same_key_is_stored_once(drawing: httpx.Client) -> None:
    many = [box_feature(501_000, 4_999_000), box_feature(502_000, 4_999_000)]
    key = {"Idempotency-Key": "draw-7"}
    first, second = (drawing.post(HERE, json=many, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert drawing.get("/images/scene/annotations").json()["numberReturned"] == 2
    other = drawing.post(HERE, json=many[:1], headers=key)
    assert other.status_code == 409
    assert "draw-7" in other.json()["detail"]
    assert drawing.post(HERE, json=many, headers={"Idempotency-Key": "x" * 201}).status_code == 400


def test_many_are_told_one_by_one(drawing: httpx.Client) -> None:
    ids = [add(drawing).rpartition("/")[2] for _ in range(3)]
    features = []
    for id_, version in zip(ids, (1, 7, 1), strict=True):
        feature = box_feature(502_000, 4_999_000, label="tug", id=id_)
        feature["properties"]["version"] = version
        features.append(feature)
    del features[2]["properties"]["version"]
    new = box_feature(503_000, 4_999_000)
    answer = drawing.post(HERE, json={"type": "FeatureCollection", "features": [*features, new]})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [r["status"] for r in results] == [200, 409, 409, 201]
    assert results[1]["current"]["properties"]["label"] == "ship"
    assert results[1]["yours"] == features[1]
    assert [r["version"] for r in results] == [2, 1, 1, 1]
    clash = drawing.post(HERE, json=features[1:2])
    assert clash.status_code == 409
    assert clash.json()["results"][0]["status"] == 409
    assert drawing.post(HERE, json=[{**features[0], "properties": {"label": "x", "version": 2}}]).status_code == 200


def test_nothing_is_stored_unless_all_are_sound(drawing: httpx.Client) -> None:
    drawing.put("/schema", json={"labels": [{"name": "ship", "value": 1, "shapes": ["polygon"]}]}).raise_for_status()
    ring = [[501_000, 4_999_000], [501_100, 4_999_100], [501_100, 4_999_000], [501_000, 4_999_100]]
    bow_tie = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    wrong = [
        box_feature(501_000, 4_999_000),
        box_feature(501_000, 4_999_000, label="car"),
        point_feature(501_000, 4_999_000),
        {**box_feature(0, 0), "geometry": bow_tie},
        box_feature(900_000, 4_999_000),
    ]
    answer = drawing.post(HERE, json=wrong)
    assert answer.status_code == 400
    details = {d["place"]: d["kind"] for d in answer.json()["details"]}
    assert details == {
        "1/label": "label",
        "2/shape": "shape",
        "3/geometry": "self-intersection",
        "4/geometry": "outside",
    }
    unread = box_feature(501_000, 4_999_000)
    unread["properties"]["height"] = 3
    answer = drawing.post(HERE, json=[*wrong[:2], unread, *wrong[2:]])
    assert [(d["place"], d["kind"]) for d in answer.json()["details"]] == [
        ("1/label", "label"),
        ("2/properties/height", "unknown"),
        ("3/shape", "shape"),
        ("4/geometry", "self-intersection"),
        ("5/geometry", "outside"),
    ]
    assert drawing.get("/images/scene/annotations").json()["features"] == []
    alone = drawing.post(HERE, json=wrong[1])
    assert [d["place"] for d in alone.json()["details"]] == ["label"]


def test_a_change_that_changes_nothing_is_no_version(drawing: httpx.Client) -> None:
    plain = add(drawing)
    address = plain + "?crs=native"
    sent = drawing.get(address).json()
    any_ = {"If-Match": "*"}
    for answer in (
        drawing.patch(address, json={}, headers=any_),
        drawing.patch(address, json={"properties": {"label": sent["properties"]["label"]}}, headers=any_),
        drawing.put(address, json=sent, headers=any_),
    ):
        assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert drawing.put(address, json=sent, headers={"If-Match": '"7"'}).status_code == 412
    assert len(drawing.get(plain + "/history").json()["history"]) == 1


def test_a_shape_is_not_taken_away_by_a_patch(drawing: httpx.Client) -> None:
    address = add(drawing)
    refused = drawing.patch(address, json={"geometry": None}, headers={"If-Match": "*"})
    assert refused.status_code == 400
    assert refused.json()["details"][0]["place"] == "geometry"
    round_ = {"type": "ellipse", "center": [501_000, 4_999_000], "radii": [20, 10], "rotation": 0}
    shaped = {"geometry": None, "shape": round_}
    made = drawing.patch(address, json=shaped, headers={"If-Match": "*"})
    assert made.json()["shape"]["type"] == "ellipse"
    refused = drawing.patch(address, json={"shape": None}, headers={"If-Match": "*"})
    assert refused.json()["details"][0]["place"] == "shape"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"7", 400),
        (b"{}", 400),
        (b'{"type": "FeatureCollection"}', 400),
        (b'{"type": "FeatureCollection", "features": [], "crs": 7}', 400),
        (b'{"type": "Feature", "geometry": {"type": "Point", "coordinates": [NaN, 1]}, "properties": {}}', 400),
        (b'{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1e999, 1]}}', 400),
        (b'{"type":"Feature","geometry":{"type":"Polygon","coordinates":' + b"[" * 50_000, 400),
        (b'{"type": "Feature", "properties": {"label": "\\u0000"}, "geometry": null}', 400),
        (b'{"type": "Feature", "properties": {"label": "a\\ud800"}, "geometry": null}', 400),
        (json.dumps([point_feature(5e5, 5e6 - 9)] * 10_001).encode(), 413),
        (json.dumps(point_feature(5e5, 5e6 - 9, 3.0)).encode(), 400),
        (json.dumps(point_feature(5e5, 5e6 - 9, t=10**30)).encode(), 400),
        (json.dumps(point_feature(5e5, 5e6 - 9, id="no uuid")).encode(), 400),
        (json.dumps({"type": "GeometryCollection", "geometries": []}).encode(), 400),
        (b"[" + b"1," * 9 + b'{"type": "Feature"}]', 400),
    ],
)
def test_bodies_that_are_no_annotations(drawing: httpx.Client, body: bytes, status: int) -> None:
    answer = drawing.post(HERE, content=body, headers={"Content-Type": "application/geo+json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_wrong_winding_is_put_right(drawing: httpx.Client) -> None:
    feature = box_feature(9.005, 45.14, 0.001)
    feature["geometry"]["coordinates"][0].reverse()
    made = drawing.post("/images/scene/annotations", json=feature).json()
    assert shape(made["geometry"]).exterior.is_ccw


def test_a_body_in_another_form_is_refused(drawing: httpx.Client) -> None:
    assert drawing.post(HERE, content=b"a=1", headers={"Content-Type": "text/plain"}).status_code == 415
    address = add(drawing)
    assert drawing.patch(address, content=b"{", headers={"If-Match": "*"}).status_code == 400
    assert drawing.patch(address, json={"nonsense": 1}, headers={"If-Match": "*"}).status_code == 200
    assert drawing.patch(address, json={"properties": {"x": 1}}, headers={"If-Match": "*"}).status_code == 400
    assert drawing.put(f"/annotations/{uuid4()}", json=box_feature(1, 2), headers={"If-Match": "*"}).status_code == 404


def test_a_version_is_brought_back(drawing: httpx.Client) -> None:
    address = add(drawing)
    drawing.patch(address, json={"properties": {"label": "tug"}}, headers={"If-Match": '"1"'}).raise_for_status()
    drawing.delete(address, headers={"If-Match": '"2"'}).raise_for_status()
    stale = drawing.post(address + "/revert", json={"version": 1}, headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    back = drawing.post(address + "/revert", json={"version": 2}, headers={"If-Match": '"3"'})
    assert (back.json()["properties"]["label"], back.headers["etag"]) == ("tug", '"4"')
    again = drawing.post(address + "/revert", json={"version": 2})
    assert again.headers["etag"] == '"4"'
    assert drawing.post(address + "/revert", json={"version": 9}).status_code == 404
    for body in ({}, {"version": 0}, {"version": "1"}, {"to": 1}, [1]):
        assert drawing.post(address + "/revert", json=body).status_code == 400


def test_a_removed_one_is_brought_back_without_a_precondition(drawing: httpx.Client) -> None:
    address = add(drawing)
    drawing.delete(address, headers={"If-Match": '"1"'}).raise_for_status()
    assert drawing.post(address + "/revert", json={"version": 1}).headers["etag"] == '"3"'


@pytest.mark.parametrize(
    ("fault", "status"),
    [("disk I/O error", 503), ("unable to open database file", 503), ("database or disk is full", 507)],
)
def test_a_database_that_fails_loses_nothing_and_tells(
    drawing: httpx.Client, monkeypatch: pytest.MonkeyPatch, fault: str, status: int
) -> None:
    address = add(drawing)

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError(fault)

    with monkeypatch.context() as broken:
        broken.setattr(SqliteDatabase, "fetch", fail)
        requests = [
            drawing.get(address),
            drawing.get("/images/scene/annotations"),
            drawing.get("/images/scene/changes"),
            drawing.get("/ogc/collections/scene/items"),
            drawing.post(HERE, json=box_feature(501_000, 4_999_000)),
            drawing.patch(address, json={"t": 0}, headers={"If-Match": "*"}),
            drawing.delete(address, headers={"If-Match": "*"}),
        ]
    assert {answer.status_code for answer in requests} == {status}
    assert all("/ws" not in answer.json()["detail"] for answer in requests)
    assert drawing.get(address).headers["etag"] == '"1"'
    assert drawing.get("/images/scene/annotations").json()["numberReturned"] == 1


def test_few_large_bodies_are_worked_on_at_a_time(drawing: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    there, most = 0, 0
    lock = Lock()
    read = edits._changes

    def counted(*arguments: Any) -> Any:
        nonlocal there, most
        with lock:
            there += 1
            most = max(most, there)
        time.sleep(0.05)
        try:
            return read(*arguments)
        finally:
            with lock:
                there -= 1

    monkeypatch.setattr(edits, "_changes", counted)

    def send(k: int) -> int:
        return drawing.post(HERE, json=[box_feature(501_000 + k, 4_999_000)] * 3).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(8))) == {201}
        assert most > context.LARGE_AT_ONCE
        most = 0
        monkeypatch.setattr(context, "LARGE", 100)
        assert set(pool.map(send, range(8))) == {201}
    assert most == context.LARGE_AT_ONCE


def test_a_body_beyond_the_settings_is_refused(tmp_path: Path) -> None:
    ring = [[501_000 + k, 4_999_000 + k * k] for k in range(1000)]
    large = {**box_feature(0, 0), "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}

    def unannounced() -> Iterator[bytes]:
        yield b"["
        for _ in range(100):
            yield b" " * 1000

    app = create_app(make_images(tmp_path / "ws", max_body=2000))
    with serving(app) as address, httpx.Client(base_url=address) as http:
        assert http.post(HERE, json=box_feature(501_000, 4_999_000)).status_code == 201
        answer = http.post(HERE, json=large)
        assert answer.status_code == 413
        assert "2000 bytes" in answer.json()["detail"]
        kind = {"Content-Type": "application/json"}
        assert http.post(HERE, content=unannounced(), headers=kind).status_code == 413

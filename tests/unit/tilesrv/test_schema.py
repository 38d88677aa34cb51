"""The label schema over HTTP: versioned, and never changed behind somebody's back."""

from typing import Any

import httpx
import pytest

SHIP = {"name": "ship", "value": 1, "color": "#1f77b4"}


def put(http: httpx.Client, *labels: Any, match: str | None = None) -> httpx.Response:
    headers = {} if match is None else {"If-Match": match}
    return http.put("/schema", json={"labels": list(labels)}, headers=headers)


def test_versions_follow_each_other(drawing: httpx.Client) -> None:
    assert drawing.get("/schema").json() == {"labels": [], "version": 0}
    assert put(drawing, SHIP).headers["etag"] == '"1"'
    assert put(drawing, SHIP).headers["etag"] == '"1"'
    tug = {"name": "tug", "value": 2, "parent": "ship"}
    assert put(drawing, SHIP, tug, match='"1"').json()["version"] == 2
    assert [label["name"] for label in drawing.get("/schema").json()["labels"]] == ["ship", "tug"]
    assert [label["name"] for label in drawing.get("/schema?version=1").json()["labels"]] == ["ship"]
    assert drawing.get("/schema?version=3").status_code == 404
    tag = drawing.get("/schema").headers["etag"]
    assert drawing.get("/schema", headers={"If-None-Match": tag}).status_code == 304


def test_a_stale_change_is_answered_with_both_sides(drawing: httpx.Client) -> None:
    put(drawing, SHIP)
    stale = put(drawing, {**SHIP, "order": 5}, match='"0"')
    assert stale.status_code == 412
    assert stale.json()["current"]["version"] == 1
    assert stale.json()["yours"]["labels"][0]["order"] == 5


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ({"name": "boat", "value": 1}, "labels/0/value"),
        ({"name": "ship", "value": 0}, "labels/0/value"),
        ({"name": "ship"}, "labels/0/value"),
        ({**SHIP, "color": "blue"}, "labels/0/color"),
        ({**SHIP, "shapes": ["blob"]}, "labels/0/shapes/0"),
        ({**SHIP, "nonsense": 1}, "labels/0/nonsense"),
        ({**SHIP, "value": 10**30}, "labels/0/value"),
    ],
)
def test_a_wrong_schema_is_refused_with_its_problems(drawing: httpx.Client, label: Any, place: str) -> None:
    put(drawing, SHIP)
    answer = put(drawing, label)
    assert answer.status_code == 400
    assert place in {d["place"] for d in answer.json()["details"]}
    assert drawing.get("/schema").json()["version"] == 1


def test_a_renamed_label_keeps_its_annotations(drawing: httpx.Client) -> None:
    put(drawing, SHIP)
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [501_000, 4_999_000]},
        "properties": {"label": "ship"},
    }
    drawing.post("/images/scene/annotations?crs=native", json=feature).raise_for_status()
    assert put(drawing, {**SHIP, "name": "vessel", "formerly": ["ship"]}).status_code == 200
    assert drawing.get("/images/scene/annotations?label=vessel").json()["numberReturned"] == 1

"""Taking back much at once over HTTP."""

from typing import Any

import httpx
import pytest

from tests.drawn import box_feature


def add(http: httpx.Client, x: float, label: str = "ship") -> str:
    answer = http.post("/images/scene/annotations?crs=native", json=box_feature(x, 4_999_000, label=label))
    return answer.json()["id"]


def labels(http: httpx.Client) -> list[str]:
    features = http.get("/images/scene/annotations").json()["features"]
    return [feature["properties"]["label"] for feature in features]


def revert(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/images/scene/revert", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_image_goes_back_and_forth(drawing: httpx.Client) -> None:
    first, _ = add(drawing, 501_000), add(drawing, 502_000)
    drawing.patch(f"/annotations/{first}", json={"properties": {"label": "tug"}}, headers={"If-Match": "*"})
    done = revert(drawing, to=1)
    assert (done["revision"], done["changes"], done["kept"]) == (4, 2, [])
    assert labels(drawing) == ["ship"]
    assert revert(drawing, to=3)["changes"] == 2
    assert labels(drawing) == ["tug", "ship"]
    assert revert(drawing, to=3) == {"revision": None, "time": None, "changes": 0, "kept": []}


def test_only_in_a_box_or_by_one_person(drawing: httpx.Client) -> None:
    add(drawing, 501_000)
    add(drawing, 502_000, "tug")
    done = revert(drawing, to=0, bbox=[501_900, 4_998_900, 502_200, 4_999_200], **{"bbox-crs": "native"})
    assert done["changes"] == 1
    assert labels(drawing) == ["ship"]
    assert revert(drawing, author="local", since=2)["changes"] == 1
    assert labels(drawing) == ["ship", "tug"]
    assert revert(drawing, author="ada")["changes"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"to": 1, "author": "ada"}, 400),
        ({"to": -1}, 400),
        ({"to": "yesterday"}, 400),
        ({"to": True}, 400),
        ({"to": 99}, 404),
        ({"author": 7}, 400),
        ({"author": "ada", "since": "x"}, 400),
        ({"to": 0, "bbox": [1, 2]}, 400),
        ({"to": 0, "bbox": [1, 2, 3, "x"]}, 400),
        ({"to": 0, "bbox": [9, 45, 10, 46], "bbox-crs": "nonsense"}, 400),
        ({"nonsense": 1}, 400),
    ],
)
def test_what_makes_no_sense(drawing: httpx.Client, body: Any, status: int) -> None:
    add(drawing, 501_000)
    assert drawing.post("/images/scene/revert", json=body).status_code == status
    assert labels(drawing) == ["ship"]

"""Painting masks over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.drawn import point_feature
from tests.unit.tilesrv.test_edits import add

MASK = {"type": "mask", "box": [10, 20, 14, 22], "order": "C", "counts": [1, 3, 4]}


def test_strokes_are_merged_on_the_server(drawing: httpx.Client) -> None:
    address = add(drawing, {**point_feature(0), "geometry": None, "shape": MASK})
    stroke = {"op": "add", "box": [10, 20, 11, 21], "rle": [0, 1]}
    assert drawing.post(address + "/patches", json=stroke).status_code == 428
    painted = drawing.post(address + "/patches", json=stroke, headers={"If-Match": '"1"'})
    assert painted.json()["version"] == 2
    stale = drawing.post(address + "/patches", json=stroke, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert stale.json()["current"]["shape"]["counts"] == [0, 4]
    assert stale.json()["yours"] == stroke

    def paint(k: int) -> int:
        body = {"op": "add", "box": [20 + k, 30, 21 + k, 31], "rle": [0, 1]}
        return drawing.post(address + "/patches", json=body, headers={"If-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(paint, range(8))) == {200}
    member = drawing.get(address).json()["shape"]
    assert member["box"] == [10, 20, 28, 31]
    assert sum(member["counts"][1::2]) == 4 + 8
    kinds = [s["kind"] for s in drawing.get(address + "/history").json()["history"]]
    assert kinds == ["added"] + ["painted"] * 9


@pytest.mark.parametrize(
    "stroke",
    [
        {"op": "invert", "box": [0, 0, 1, 1], "rle": [0, 1]},
        {"op": "add", "box": [0, 0, 1], "rle": [0, 1]},
        {"op": "add", "box": [0, 0, 1, 1], "rle": [0, 2]},
        {"op": "add", "box": [0, 0, 1, 1], "rle": [-1, 2]},
        {"op": "add", "box": [0, 0, 1, 1], "rle": "AQ=="},
        {"op": "add", "box": [390, 290, 410, 300], "rle": [0, 200]},
        {"op": "add", "box": [0, 0, 0, 0], "rle": []},
        {"op": "add", "box": [0, 0, 1, 1], "rle": [0, 10**30]},
        {"op": "add", "box": [0, 0, 1, 1, 0, 1], "rle": [0, 1]},
        {"op": "add"},
        [],
    ],
)
def test_strokes_that_make_no_sense(drawing: httpx.Client, stroke: Any) -> None:
    address = add(drawing, {**point_feature(0), "geometry": None, "shape": MASK})
    answer = drawing.post(address + "/patches", json=stroke, headers={"If-Match": "*"})
    assert answer.status_code == 400, answer.text
    assert drawing.get(address).headers["etag"] == '"1"'


def test_only_masks_are_painted(drawing: httpx.Client) -> None:
    stroke = {"op": "add", "box": [0, 0, 1, 1], "rle": [0, 1]}
    answer = drawing.post(add(drawing) + "/patches", json=stroke, headers={"If-Match": "*"})
    assert answer.status_code == 400
    assert drawing.post(f"/annotations/{uuid4()}/patches", json=stroke, headers={"If-Match": "*"}).status_code == 404

"""The `shape` member: documented examples, round trips and refusals."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.geojson import geometry_of, shape_of
from bigimage.model.mask import Mask
from bigimage.model.member import FIELDS, member_of
from bigimage.model.shape import KINDS, Ellipse, kind

GRIDS = {
    2: Grid.pixels((1000, 700), "scene"),
    3: Grid((4, 5, 6), ((0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)), PatientFrame("1.2.3")),
}


def examples() -> list[tuple[dict[str, Any], int]]:
    text = (Path(__file__).parents[3] / "docs" / "shapes.md").read_text("utf-8")
    plain, volume = (json.loads(block) for block in re.findall(r"```json\n(\[.*?)```", text, flags=re.DOTALL))
    return [(m, 2) for m in plain] + [(m, 3) for m in volume]


@pytest.mark.parametrize(("member", "ndim"), examples(), ids=lambda v: v["type"] if isinstance(v, dict) else str(v))
def test_each_documented_member_round_trips(member: dict[str, Any], ndim: int) -> None:
    shape = shape_of(None, member, ndim=ndim, grid=GRIDS[ndim])
    assert not isinstance(shape, list)
    assert kind(shape) == member["type"]
    again = member_of(shape)
    assert shape_of(None, json.loads(json.dumps(again)), ndim=ndim, grid=GRIDS[ndim]) == shape
    if member["type"] != "contours":  # whose rings come back closed
        assert again == member


def test_every_member_is_documented_with_all_its_fields(root: Path) -> None:
    text = (root / "docs" / "shapes.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (?:raster|volume)", text, flags=re.MULTILINE))
    assert set(rows) == set(FIELDS)
    for name, (required, optional) in FIELDS.items():
        assert set(re.findall(r"`([a-z]+)`\??", rows[name])) - {"null"} == {*required, *optional}
    assert set(FIELDS) | {"point", "multipoint", "line", "polygon"} == set(KINDS)


def test_the_member_counts_when_both_are_given() -> None:
    member = {"type": "ellipse", "center": [1, 2], "radii": [3, 4]}
    assert shape_of({"type": "Point", "coordinates": "nonsense"}, member, ndim=2) == Ellipse((1, 2), (3, 4), 0.0)


def test_an_empty_mask_round_trips() -> None:
    empty = Mask(GRIDS[2], {})
    assert geometry_of(empty) is None
    assert shape_of(None, member_of(empty), ndim=2, grid=GRIDS[2]) == empty


@pytest.mark.parametrize(
    ("member", "problems"),
    [
        ("ellipse", [("type", "shape")]),
        ({"type": "circle"}, [("shape", "shape/type")]),
        ({"type": ["tag"]}, [("shape", "shape/type")]),
        ({"type": "ellipse", "center": [1, 2]}, [("missing", "shape/radii")]),
        ({"type": "tag", "colour": 1, "size": 2}, [("unknown", "shape/colour"), ("unknown", "shape/size")]),
        (
            {"type": "ellipse", "center": [1], "radii": "x", "rotation": None},
            [("dimension", "shape/center"), ("dimension", "shape/radii"), ("value", "shape/rotation")],
        ),
        ({"type": "box", "minimum": [0, None], "maximum": [1, 1]}, [("coordinate", "shape/minimum")]),
        ({"type": "box", "minimum": [2, 2], "maximum": [1, 1]}, [("value", "shape")]),
        ({"type": "cuboid", "center": [1, 2, 3], "size": [1, 1, 1]}, [("dimension", "shape/type")]),
        (
            {"type": "contours", "rings": [[[0, 0, 0]]]},
            [("dimension", "shape/type"), ("ring", "shape/rings/0"), ("empty", "shape/rings")],
        ),
        ({"type": "keypoints", "points": [[1, 2], [3]], "visibility": [2, 2]}, [("dimension", "shape/points/1")]),
        ({"type": "keypoints", "points": [[1, 2]], "visibility": [1.5]}, [("value", "shape/visibility")]),
        ({"type": "keypoints", "points": [[1, 2]], "visibility": [2], "names": [1]}, [("type", "shape/names")]),
        ({"type": "keypoints", "points": [[1, 2]], "visibility": [2], "edges": [[0]]}, [("value", "shape/edges/0")]),
        ({"type": "keypoints", "points": [], "visibility": []}, [("type", "shape/points")]),
        ({"type": "mask", "box": [0, 0, 2, 2], "counts": [5]}, [("value", "shape")]),
        ({"type": "mask", "box": [0, 0, 2000, 2], "counts": [4000]}, [("value", "shape")]),
        ({"type": "mask", "box": [0, 0, 2], "counts": ["a"]}, [("dimension", "shape/box"), ("value", "shape/counts")]),
        ({"type": "mask", "box": [0, 0, 2, 2], "counts": [10**30]}, [("value", "shape/counts")]),
        ({"type": "mask", "box": [0, 0, 2, 2], "order": "F", "counts": [4]}, [("value", "shape/order")]),
        ({"type": "tag", "region": 5, "index": True}, [("type", "shape/region"), ("type", "shape/index")]),
        ({"type": "tag", "plane": "axial", "index": 1}, [("dimension", "shape/type")]),
    ],
    ids=str,
)
def test_members_that_are_wrong_are_refused(member: object, problems: list[tuple[str, str]]) -> None:
    found = shape_of(None, member, ndim=2, grid=GRIDS[2])
    assert isinstance(found, list)
    assert [(p.kind, p.place) for p in found] == problems


def test_a_mask_without_a_grid_is_refused() -> None:
    found = shape_of(None, {"type": "mask", "box": [0, 0, 2, 2], "counts": [4]}, ndim=2)
    assert isinstance(found, list)
    assert [p.kind for p in found] == ["grid"]

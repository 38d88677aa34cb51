"""COCO panoptic: what lies over what, stuff and things, and files in which pixels and lists do not agree."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.formats.door import Report
from bigimage.formats.vector import coco_panoptic, format_for
from bigimage.formats.vector.segments import read_ids
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Mask, Polygon
from tests.annotated import GRIDS, context_of, drawn

GRID = GRIDS["pixel"]


def square(label: str, low: float, high: float, number: int) -> Annotation:
    first = drawn("pixel")[number]
    shape = Polygon(shapely.box(low, low, high, high))
    return replace(first, label=label, shape=shape, attributes={}, t=None, score=None, instance=None, relations=())


def write(folder: Path, annotations: list[Annotation], **options: str) -> tuple[dict[str, Any], np.ndarray, Report]:
    report = Report()
    path = folder / "set"
    coco_panoptic.write(path, annotations, context=context_of("pixel"), report=report, options=options)
    document = json.loads((path / "annotations" / "panoptic.json").read_text())
    (entry,) = document["annotations"]
    picture = path / "annotations" / "panoptic" / entry["file_name"]
    return document, np.concatenate([part for _, part in read_ids(picture, GRID.shape)]), report


def test_labels_of_higher_order_lie_on_top_and_what_is_hidden_is_told(tmp_path: Path) -> None:
    # a small boat (order 2) lies over ships (order 0), though it was drawn first
    given = [square("small boat", 20, 40, 0), square("ship", 10, 30, 1), square("ship", 25, 38, 2)]
    document, ids, report = write(tmp_path, given)
    found = {s["uuid"]: s for s in document["annotations"][0]["segments_info"]}
    boat, ship = (found[str(a.id)] for a in given[:2])
    assert (boat["area"], boat["bbox"], boat["category_id"]) == (400, [20, 20, 20, 20], 7)
    assert (ship["area"], ship["bbox"], ship["iscrowd"]) == (300, [10, 10, 20, 20], 0)
    assert (ids[15, 15], ids[25, 25], ids[0, 0]) == (ship["id"], boat["id"], 0)
    told = {(loss.kind, loss.what): list(loss.ids) for loss in report.losses}
    assert told["dropped", "polygon"] == [given[2].id]
    assert told["approximated", "overlap"] == [given[1].id]
    assert report.written == 2


def test_stuff_is_one_segment_and_no_thing(tmp_path: Path) -> None:
    given = [square("ship", 10, 20, 0), square("ship", 30, 40, 1), square("person", 50, 60, 2)]
    document, ids, report = write(tmp_path, given, stuff="ship")
    segments = document["annotations"][0]["segments_info"]
    assert [(s["category_id"], s["area"]) for s in segments] == [(1, 200), (4, 100)]
    assert ids[15, 15] == ids[35, 35] == segments[0]["id"]
    assert {c["name"]: c["isthing"] for c in document["categories"]} == {"ship": 0, "person": 1, "small boat": 1}
    assert "uuid" not in segments[0]
    assert [loss.count for loss in report.losses if loss.what == "stuff"] == [2]
    with pytest.raises(InputError, match="sea"):
        write(tmp_path / "other", given, stuff="sea")


def test_a_file_is_read_from_its_folder_and_by_its_name(tmp_path: Path) -> None:
    given = [square("ship", 10, 20, 0), square("person", 50, 60, 1)]
    write(tmp_path, given)
    assert format_for(tmp_path / "set") == "coco-panoptic"
    file = tmp_path / "set" / "annotations" / "panoptic.json"
    assert format_for(file) == "coco-panoptic"
    for path in (tmp_path / "set", file):
        report = Report()
        found = list(coco_panoptic.read(path, context=context_of("pixel"), report=report, options={}))
        assert (report.problems, [a.id for a in found]) == ([], [a.id for a in given])
        assert all(isinstance(a.shape, Mask) and a.shape.count == 100 for a in found)


def problems(path: Path) -> list[str]:
    report = Report()
    list(coco_panoptic.read(path, context=context_of("pixel"), report=report, options={}))
    return [str(p) for p in report.problems]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 9}, ["pixels have the id 1", "no pixel has the id 9"]),
        ({"id": 0}, ["no id from 1"]),
        ({"id": "a"}, ["no id from 1"]),
        ({"id": 2}, ["comes more than once"]),
        ({"category_id": 99}, ["no category '99'"]),
        ({"category_id": [1]}, ["no category"]),
    ],
)
def test_segments_that_are_wrong_are_named(change: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    write(tmp_path, [square("ship", 10, 20, 0), square("person", 50, 60, 1)])
    file = tmp_path / "set" / "annotations" / "panoptic.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["segments_info"][0].update(change)
    file.write_text(json.dumps(document))
    found = problems(file)
    assert len(found) == len(words)
    assert all(any(w in f for f in found) for w in words)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "", "gone.png", None])
def test_pictures_elsewhere_are_not_opened(name: object, tmp_path: Path) -> None:
    write(tmp_path, [square("ship", 10, 20, 0)])
    file = tmp_path / "set" / "annotations" / "panoptic.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["file_name"] = name
    file.write_text(json.dumps(document))
    (found,) = problems(file)
    assert "file_name" in found


def test_an_image_without_or_with_two_entries_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [square("ship", 10, 20, 0)])
    file = tmp_path / "set" / "annotations" / "panoptic.json"
    document = json.loads(file.read_text())
    for count in (0, 2):
        file.write_text(json.dumps({**document, "annotations": document["annotations"][:1] * count}))
        assert f"this one has {count}" in problems(file)[0]

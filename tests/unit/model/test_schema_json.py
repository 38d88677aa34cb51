"""The label schema as JSON."""

import json
from typing import Any

import pytest

from bigimage.model.problem import Invalid
from bigimage.model.schema_json import read_schema, schema_dict

FULL: dict[str, Any] = {
    "labels": [
        {"name": "organ", "value": 1, "order": 0, "color": "#808080", "shapes": [], "attributes": []},
        {
            "name": "liver",
            "value": 2,
            "order": 3,
            "color": "#aa3300",
            "parent": "organ",
            "shapes": ["contours", "mask"],
            "attributes": [
                {"name": "visibility", "type": "choice", "values": ["full", "cut"], "required": True},
                {"name": "difficult", "type": "boolean"},
            ],
            "code": {"scheme": "SCT", "value": "10200004", "meaning": "Liver"},
            "definition": "The whole liver without the gall bladder",
            "formerly": ["hepar"],
            "skeleton": {"points": ["dome", "tip"], "edges": [[0, 1]]},
        },
    ],
    "background": "organ",
    "version": 4,
}


def test_a_schema_round_trips() -> None:
    assert schema_dict(read_schema(json.loads(json.dumps(FULL)))) == FULL


def test_widths_and_radii_round_trip_and_are_checked() -> None:
    pens = {
        "labels": [{"name": "a", "value": 1, "width": 6.5}, {"name": "b", "value": 2, "radius": 3, "unit": "pixel"}]
    }
    found = schema_dict(read_schema(pens))["labels"]
    assert [{k: v for k, v in one.items() if k in ("width", "radius", "unit")} for one in found] == [
        {"width": 6.5},
        {"radius": 3.0, "unit": "pixel"},
    ]
    wrong = [{"width": 0}, {"radius": -1}, {"width": float("nan")}, {"width": "6"}, {"radius": True}, {"unit": "m"}]
    for fields in wrong:
        with pytest.raises(Invalid) as caught:
            read_schema({"labels": [{"name": "a", "value": 1, **fields}]})
        assert [p.place for p in caught.value.details] == [f"labels/0/{next(iter(fields))}"]


def test_only_name_and_value_are_required() -> None:
    schema = read_schema({"labels": [{"name": "a", "value": 7}]})
    assert schema_dict(schema) == {
        "labels": [{"name": "a", "value": 7, "order": 0, "color": "#808080", "shapes": [], "attributes": []}],
        "version": 0,
    }


@pytest.mark.parametrize("document", [None, [], 5, "labels", {"labels": 5}, {"labels": [None]}, {}])
def test_what_is_no_schema_is_refused(document: object) -> None:
    with pytest.raises(Invalid, match="the label schema is refused"):
        read_schema(document)


def test_every_problem_of_the_form_is_found() -> None:
    document = {
        "labels": [
            {"name": 5, "value": "1", "colour": "red"},
            {"value": True, "shapes": ["blob", 3], "attributes": [{"name": "a", "type": "date", "required": "yes"}, 5]},
            {"name": "c", "value": 3, "code": {"scheme": "SCT"}, "skeleton": {"points": ["p"], "edges": [[0]]}},
        ],
        "Version": 1,
    }
    with pytest.raises(Invalid) as caught:
        read_schema(document)
    assert [(p.kind, p.place) for p in caught.value.details] == [
        ("unknown", "Version"),
        ("unknown", "labels/0/colour"),
        ("type", "labels/0/name"),
        ("type", "labels/0/value"),
        ("missing", "labels/1/name"),
        ("type", "labels/1/shapes/1"),
        ("shape", "labels/1/shapes/0"),
        ("type", "labels/1/value"),
        ("type", "labels/1/attributes/0/type"),
        ("type", "labels/1/attributes/0/required"),
        ("type", "labels/1/attributes/1"),
        ("missing", "labels/2/code/value"),
        ("missing", "labels/2/code/meaning"),
        ("type", "labels/2/skeleton/edges/0"),
    ]


def test_problems_of_the_meaning_are_found_too() -> None:
    with pytest.raises(Invalid) as caught:
        read_schema({"labels": [{"name": "a", "value": 1}, {"name": "a", "value": 1, "parent": "z"}]})
    assert [(p.kind, p.place) for p in caught.value.details] == [
        ("duplicate", "labels/1/name"),
        ("duplicate", "labels/1/value"),
        ("label", "labels/1/parent"),
    ]

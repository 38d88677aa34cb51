"""The label schema: hierarchy, names old and new, attributes."""

from dataclasses import replace

import pytest

from bigimage.errors import InputError, NotFound
from bigimage.model.labels import (
    Attribute,
    Label,
    Schema,
    Skeleton,
    attribute_problems,
    check_next,
    check_schema,
    merge,
    rename,
)

LAND = Schema(
    labels=(
        Label(name="built", value=1),
        Label(name="house", value=2, parent="built", formerly=("home",)),
        Label(name="shed", value=3, parent="built"),
        Label(name="garage", value=4, parent="shed"),
        Label(name="water", value=5),
    ),
    background="water",
    version=1,
)


def found(schema: Schema) -> list[tuple[str, str]]:
    return [(p.kind, p.place) for p in check_schema(schema)]


def test_names_resolve_to_their_label() -> None:
    assert LAND.resolve("house").value == LAND.resolve("home").value == 2
    assert LAND.find("tent") is None
    with pytest.raises(NotFound, match="'tent' is not in the schema; it has built, garage"):
        LAND.resolve("tent")


def test_a_label_stands_for_those_below_it() -> None:
    assert LAND.names("built") == {"built", "house", "home", "shed", "garage"}
    assert LAND.names("house") == {"house", "home"}
    assert LAND.names("shed", below=False) == {"shed"}
    assert [label.name for label in LAND.ancestors("garage")] == ["shed", "built"]


def test_a_renamed_label_keeps_its_annotations() -> None:
    after = rename(LAND, "built", "building")
    assert after.resolve("built").name == "building"
    assert after.resolve("house").parent == "building"
    assert after.resolve("built").value == 1
    assert check_next(after, [LAND]) == []
    assert rename(after, "building", "built").resolve("built").formerly == ("building",)
    assert rename(LAND, "water", "lake").background == "lake"


def test_renaming_refuses_what_is_taken_or_absent() -> None:
    with pytest.raises(InputError, match="already names the label 'house'; merge"):
        rename(LAND, "shed", "home")
    with pytest.raises(NotFound):
        rename(LAND, "home", "villa")


def test_merged_labels_become_one() -> None:
    after = merge(LAND, ["shed", "water"], "house")
    assert {label.name for label in after.labels} == {"built", "house", "garage"}
    assert after.resolve("shed").name == after.resolve("water").name == after.resolve("home").name == "house"
    assert after.resolve("garage").parent == "house"
    assert after.background == "house"
    assert check_schema(after) == []
    assert check_next(after, [LAND]) == []


@pytest.mark.parametrize(("sources", "into"), [(["house"], "home"), (["built"], "garage")])
def test_merging_refuses_circles(sources: list[str], into: str) -> None:
    with pytest.raises(InputError, match="cannot take in"):
        merge(LAND, sources, into)


def test_a_value_never_comes_to_mean_something_else() -> None:
    shifted = replace(LAND, labels=(replace(LAND.labels[0], value=9), Label(name="tent", value=5)))
    assert [(p.kind, p.place) for p in check_next(shifted, [LAND])] == [
        ("value", "labels/0/value"),
        ("value", "labels/1/value"),
    ]
    retired = merge(LAND, ["shed"], "house")
    again = replace(retired, labels=(*retired.labels, Label(name="tent", value=3)))
    assert [p.place for p in check_next(again, [LAND, retired])] == ["labels/4/value"]


def test_everything_wrong_with_a_schema_is_found() -> None:
    wrong = Schema(
        labels=(
            Label(name="", value=1),
            Label(name="a", value=0, color="red", parent="nowhere"),
            Label(name="b", value=1, formerly=("a",)),
            Label(name="c", value=3, parent="d"),
            Label(name="d", value=4, parent="c", skeleton=Skeleton(points=("x",), edges=((0, 1),))),
            Label(
                name="e",
                value=2**31,
                attributes=(
                    Attribute(name="n", type="choice"),
                    Attribute(name="n", type="text", values=("x",)),
                    Attribute(name="m", type="choices", values=("x", "x")),
                ),
            ),
        ),
        background="f",
    )
    assert sorted(found(wrong)) == sorted(
        [
            ("value", "labels/0/name"),
            ("value", "labels/1/value"),
            ("value", "labels/1/color"),
            ("label", "labels/1/parent"),
            ("duplicate", "labels/2/value"),
            ("duplicate", "labels/2/formerly/0"),
            ("circle", "labels/3/parent"),
            ("circle", "labels/4/parent"),
            ("value", "labels/4/skeleton/edges"),
            ("value", "labels/5/value"),
            ("missing", "labels/5/attributes/0/values"),
            ("value", "labels/5/attributes/1/values"),
            ("duplicate", "labels/5/attributes/1/name"),
            ("missing", "labels/5/attributes/2/values"),
            ("label", "background"),
        ]
    )
    assert found(LAND) == []


TREE = Label(
    name="tree",
    value=1,
    attributes=(
        Attribute(name="species", type="text"),
        Attribute(name="height", type="number", required=True),
        Attribute(name="stems", type="integer"),
        Attribute(name="dead", type="boolean"),
        Attribute(name="crown", type="choice", values=("full", "bare")),
        Attribute(name="pests", type="choices", values=("beetle", "moth")),
    ),
)


def test_attributes_that_fit() -> None:
    full = {"species": "oak", "height": 3, "stems": 1, "dead": False, "crown": "bare", "pests": ["moth", "beetle"]}
    assert attribute_problems(TREE, full) == []
    assert attribute_problems(TREE, {"height": 2.5, "species": None}) == []


@pytest.mark.parametrize(
    ("attributes", "places"),
    [
        ({}, ["height"]),
        ({"height": None}, ["height"]),
        ({"height": True}, ["height"]),
        ({"height": float("nan")}, ["height"]),
        ({"height": 1, "species": 5}, ["species"]),
        ({"height": 1, "stems": 1.0}, ["stems"]),
        ({"height": 1, "dead": 0}, ["dead"]),
        ({"height": 1, "crown": "thin"}, ["crown"]),
        ({"height": 1, "pests": "moth"}, ["pests"]),
        ({"height": 1, "pests": ["moth", "fly"]}, ["pests"]),
        ({"hieght": 1, "colour": "red"}, ["hieght", "colour", "height"]),
    ],
    ids=str,
)
def test_attributes_that_do_not_fit(attributes: dict[str, object], places: list[str]) -> None:
    problems = attribute_problems(TREE, attributes)
    assert [p.place for p in problems] == [f"attributes/{name}" for name in places]
    assert {p.kind for p in problems} == {"attribute"}

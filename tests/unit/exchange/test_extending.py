"""A schema takes in what a file has: new labels with values of their own, attributes with types that fit."""

from typing import Any
from uuid import UUID

import pytest
import shapely

from bigimage.exchange.extending import extended
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Attribute, Code, Label, Schema, check_next, check_schema
from bigimage.model.shape import Polygon
from bigimage.model.validate import validate

SHIP = Label(name="ship", value=4, formerly=("boat",), attributes=(Attribute(name="hull", type="text"),))


def of(label: str, **attributes: Any) -> Annotation:
    shape, frame = Polygon(shapely.box(0, 0, 1, 1)), GeoFrame("EPSG:32632")
    return Annotation(id=UUID(int=1), image="a", label=label, shape=shape, frame=frame, attributes=attributes)


def test_new_labels_take_values_that_were_never_used() -> None:
    earlier = [Schema(labels=(SHIP, Label(name="quay", value=9)), version=1)]
    now = Schema(labels=(SHIP,), version=2)
    found = extended(now, earlier, [of("tree"), of("house"), of("boat")])
    assert [(one.name, one.value) for one in found.labels] == [("ship", 4), ("house", 10), ("tree", 11)]
    assert len({one.color for one in found.labels}) == 3
    assert not check_schema(found)
    assert not check_next(found, [*earlier, now])


def test_new_labels_are_what_the_file_tells_of_them() -> None:
    code = Code(scheme="SCT", value="64033007", meaning="Kidney structure")
    told = [Label(name="kidney", value=7, color="#112233", code=code), Label(name="spleen", value=9)]
    told += [Label(name="vessel", value=0, color="#445566")]
    told += [Label(name="left", value=5), Label(name="right", value=5), Label(name="unused", value=8)]
    earlier = [Schema(labels=(SHIP, Label(name="quay", value=9)), version=1)]
    names = ("spleen", "kidney", "left", "right", "tree", "vessel")
    found = extended(Schema(labels=(SHIP,), version=2), earlier, map(of, names), told={one.name: one for one in told})
    # 9 was used before, and 5 is wanted twice
    values = {one.name: one.value for one in found.labels}
    assert values == {"ship": 4, "kidney": 7, "left": 10, "right": 11, "spleen": 12, "tree": 13, "vessel": 14}
    assert found.labels[1] == told[0]
    assert found.labels[-1].color == "#445566"
    assert not check_schema(found)


def test_a_schema_that_fits_is_the_same() -> None:
    schema = Schema(labels=(SHIP,), version=1)
    assert extended(schema, [], [of("ship", hull="steel"), of("boat")]) is schema


@pytest.mark.parametrize(
    ("values", "kind"),
    [((True, False), "boolean"), ((1, 2), "integer"), ((1, 2.5), "number"), (("a", None), "text")],
)
def test_attributes_are_declared_by_their_values(values: tuple[Any, ...], kind: str) -> None:
    annotations = [of("boat", size=value) for value in values]
    found = extended(Schema(labels=(SHIP,)), [], annotations)
    assert found.labels[0].attributes == (*SHIP.attributes, Attribute(name="size", type=kind))  # pyright: ignore[reportArgumentType]
    assert not [p for a in annotations for p in validate(a, schema=found)]


def test_what_no_type_takes_and_names_that_cannot_be_are_left_to_validation() -> None:
    odd = [of("ship", parts=[1, 2]), of(" ")]
    found = extended(Schema(labels=(SHIP,)), [], odd)
    assert found.labels == (SHIP,)
    assert [p.kind for a in odd for p in validate(a, schema=found)] == ["attribute", "label", "label"]

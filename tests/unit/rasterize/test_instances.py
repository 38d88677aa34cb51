"""The table of a layer's objects: what it says, how others read it; updated, it holds what a new one would."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import zarr

from bigimage.errors import DataError, NotFound
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.labels import Label
from bigimage.rasterize import instances
from bigimage.rasterize.instances import Gathered, Instance, InstanceTable, Rows
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.paint import Order, Studio, paint
from tests.painting import SCHEMA, drawn, load, raster, rectangle, store_of, studio

PALETTE = Palette.of(SCHEMA)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Studio]:
    made = studio(tmp_path, raster((300, 300)))
    yield made
    store_of(made).close()


def square(place: Studio, number: int, at: float, label: str = "house", **facts: Any) -> Any:
    return drawn(place.info, number, rectangle(place.info, (at, at + 9), (0, 9)), label, **facts)


def shown(place: Studio, mode: str = "instance", name: str | None = None) -> list[Instance]:
    return list(paint(place, Order(mode=mode, name=name)).instances())


def test_each_object_is_told_by_its_annotation(place: Studio) -> None:
    load(place, [square(place, 5, 0), square(place, 3, 20, "hut"), square(place, 4, 40, "road")])
    layer = paint(place, Order(mode="instance"))
    by_annotation = {one.annotation: one for one in layer.instances()}
    # a former name is told by the label that it belongs to now
    assert {k.int: (one.label, one.value, one.version) for k, one in by_annotation.items()} == {
        5: ("house", 3, 1),
        3: ("house", 3, 1),
        4: ("road", 9, 1),
    }
    assert sorted(one.id for one in by_annotation.values()) == [1, 2, 3]
    pixels = layer.pyramid.read_index(layer.pyramid.grids[0].box).array[0]
    for number, row in ((5, 4), (3, 24), (4, 44)):
        assert pixels[row, 4] == by_annotation[UUID(int=number)].id


def test_annotations_of_one_instance_share_an_id(place: Studio) -> None:
    load(place, [square(place, 1, 0, instance="car"), square(place, 2, 20), square(place, 3, 40, instance="car")])
    table = paint(place, Order(mode="panoptic")).instances()
    ids = {one.annotation.int: one.id for one in table}
    assert ids[1] == ids[3] != ids[2]
    assert {one.annotation.int for one in table.of([ids[1]])} == {1, 3}
    assert [one.annotation.int for one in table.of_annotations([UUID(int=2), UUID(int=9)])] == [2]
    assert len(table.part(1, 3)) == 2


def test_an_update_leaves_what_a_new_table_would_hold(place: Studio) -> None:
    store = store_of(place)
    cars = [Added(square(place, k, 20.0 * k, instance="car")) for k in (1, 2, 3)]
    store.apply("scene", [*cars, *(Added(square(place, k, 20.0 * k)) for k in (4, 5, 6))], author="ann")
    before = {one.annotation.int: one.id for one in shown(place)}
    assert before == {1: 1, 2: 1, 3: 1, 4: 4, 5: 5, 6: 6}
    five, six = store.get(UUID(int=5)), store.get(UUID(int=6))
    # the first annotation of the instance goes, one gets another label, one moves off the image, one comes
    changes = [
        Removed(UUID(int=1), 1),
        Edited(replace(five, label="road"), 1),
        Edited(replace(six, shape=rectangle(place.info, (900, 909), (0, 9))), 1),
        Added(square(place, 7, 200)),
    ]
    store.apply("scene", changes, author="ann")
    updated = shown(place)
    assert updated == shown(place, name="fresh")
    # ids of what stayed are what they were; the rest of the instance is named by its first annotation now
    assert {one.annotation.int: (one.id, one.label, one.version) for one in updated} == {
        2: (2, "house", 1),
        3: (2, "house", 1),
        4: (4, "house", 1),
        5: (5, "road", 2),
        7: (10, "house", 1),
    }


def test_what_leaves_no_trace_in_pixels_leaves_the_table_too(place: Studio) -> None:
    outside = square(place, 1, 900)
    load(place, [outside, square(place, 2, 0)])
    assert [one.annotation.int for one in shown(place)] == [2]
    store_of(place).apply("scene", [Removed(UUID(int=2), 1)], author="ann")
    assert shown(place) == []
    assert not stored(InstanceTable(place.folder / "labels" / "instance"))


def test_labels_that_the_schema_does_not_know_are_told_by_name(place: Studio) -> None:
    load(place, [square(place, 1, 0, "ruin"), square(place, 2, 20)])
    told = {one.annotation.int: (one.label, one.value) for one in shown(place)}
    assert told == {1: ("ruin", 0), 2: ("house", 3)}
    assert [one.annotation.int for one in shown(place, "panoptic")] == [2]
    store_of(place).apply("scene", [Added(square(place, 3, 40, "shed"))], author="ann")
    assert {one.annotation.int: one.label for one in shown(place)} == {1: "ruin", 2: "house", 3: "shed"}
    known = replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="ruin", value=20)))
    store_of(place).set_schema(known, author="ann")
    assert {one.annotation.int: one.value for one in shown(place)} == {1: 20, 2: 3, 3: 0}
    assert {one.annotation.int for one in shown(place, "panoptic")} == {1, 2}


def test_zarr_reads_the_table_and_viewers_few_objects(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, [square(place, 1, 0), square(place, 2, 20, "road")])
    layer = paint(place, Order(mode="instance"))
    group: Any = zarr.open_group(str(place.folder), mode="r")["labels/instance/instances"]
    held = np.flatnonzero(group["id"][:])
    assert [UUID(bytes=bytes(row)) for row in group["annotation"][held]] == [
        one.annotation for one in layer.instances()
    ]
    assert group["value"][held].tolist() == [one.value for one in layer.instances()]
    assert group["id"].shape == (instances.ROWS,)
    told: Any = zarr.open_group(layer.pyramid.path, mode="r").attrs["ome"]
    assert {p["label-value"]: p["annotation"] for p in told["image-label"]["properties"]} == {
        one.id: str(one.annotation) for one in layer.instances()
    }
    monkeypatch.setattr("bigimage.rasterize.paint.MOST_TOLD", 1)
    store_of(place).apply("scene", [Added(square(place, 3, 40))], author="ann")
    paint(place, Order(mode="instance"))
    told = zarr.open_group(layer.pyramid.path, mode="r").attrs["ome"]
    assert told["image-label"] == {"source": {"image": "../../"}}


def test_layers_of_classes_have_no_table(place: Studio) -> None:
    with pytest.raises(NotFound, match="'semantic' has no table"):
        paint(place, Order()).instances()


def stored(table: InstanceTable) -> list[str]:
    """Files of chunks."""
    return sorted(p.relative_to(table.folder).as_posix() for p in table.folder.glob("*/c/**/*") if p.is_file())


def rows(places: list[int], *, id: int = 7, label: str = "house") -> Rows:
    count = len(places)
    keys = np.zeros((count, 16), np.uint8)
    keys[:, 15] = places
    return Rows(
        np.array(places, np.int64),
        np.full(count, id, np.uint32),
        keys,
        np.ones(count, np.int32),
        np.zeros(count, np.int32),
        (label,),
    )


def test_a_table_grows_and_shrinks_by_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "ROWS", 4)
    table = InstanceTable(tmp_path / "layer")
    assert table.replace(rows([1, 6]), PALETTE)
    assert table.rows == 8
    assert not table.update(rows([2], id=9), (), PALETTE)
    assert table.read(PALETTE).ids.tolist() == [7, 9, 7]
    assert table.update(rows([17], label="ruin"), [UUID(int=6)], PALETTE)
    assert table.read(PALETTE).ids.tolist() == [7, 9, 7]
    assert table.read(PALETTE).names == ("house", "ruin")
    assert stored(table) == [
        *("annotation/c/0/0", "annotation/c/4/0", "id/c/0", "id/c/4"),
        *("value/c/0", "value/c/4", "version/c/0", "version/c/4"),
    ]
    assert table.has_few(3)
    assert not table.has_few(2)
    table.replace(rows([3]), PALETTE)
    assert (table.rows, table.unknown, len(table.read(PALETTE))) == (4, (), 1)
    assert stored(table) == ["annotation/c/0/0", "id/c/0", "value/c/0", "version/c/0"]


def test_what_several_workers_met_is_kept_once() -> None:
    met = Gathered()
    met.add({"house"}, [rows([1, 2])])
    met.add({"road"}, [rows([2, 3], id=8, label="road"), rows([])])
    found = met.rows()
    assert found.places.tolist() == [1, 2, 3]
    assert found.ids.tolist() == [7, 8, 8]
    assert [found.names[k] for k in found.labels] == ["house", "road", "road"]
    assert met.names == {"house", "road"}


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    table = InstanceTable(tmp_path / "layer")
    table.replace(rows([1]), PALETTE)
    (table.folder / "zarr.json").write_text('{"attributes": {}}')
    with pytest.raises(DataError, match="damaged: remove the layer"):
        InstanceTable(tmp_path / "layer").read(PALETTE)

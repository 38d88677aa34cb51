"""A layer painted bit by bit, after each of any edits, is byte for byte the layer painted at once."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.model.change import Added, BrushPatch, Change, Edited, Removed
from bigimage.model.image import ImageInfo
from bigimage.model.mask import Mask
from bigimage.model.shape import Ellipse, Line, Point, Polygon, Shape
from bigimage.rasterize.modes import MODES, OBJECT_MODES
from bigimage.rasterize.paint import Order, Studio, paint
from tests.painting import SCHEMA, drawn, raster, shards, store_of, studio

SHAPE = (4300, 330)
"""Two shards and two columns of chunks, with odd sizes on the way up."""
LABELS = ("field", "house", "road", "hut")
_DRAWN = {"road": {"width": 6.5, "radius": 2.0}, "house": {"width": 7.0, "radius": 20.0, "unit": "pixel"}}
PENS = replace(SCHEMA, labels=tuple(replace(one, **_DRAWN.get(one.name, {})) for one in SCHEMA.labels))
"""Lines and points of some labels are drawn with pens, by world units and by pixels."""


@st.composite
def shapes(draw: st.DrawFn, info: ImageInfo) -> Shape:
    """A shape anywhere on the image or beside it, small or large."""
    row = draw(st.floats(-60, SHAPE[0] + 60))
    column = draw(st.floats(-60, SHAPE[1] + 60))
    reach = draw(st.sampled_from([0.3, 4.0, 30.0, 300.0]))
    (x, y) = info.grid.to_world([row, column]).tolist()
    match draw(st.sampled_from(["polygon", "line", "point", "ellipse", "mask"])):
        case "polygon":
            outer = shapely.Point(x, y).buffer(reach, quad_segs=3)
            hole = shapely.Point(x + reach / 9, y).buffer(reach / 2, quad_segs=2)
            return Polygon(shapely.Polygon(outer.exterior, [hole.exterior]))
        case "line":
            return Line(shapely.LineString([(x, y), (x + reach, y + reach / 2), (x - reach, y + 2)]))
        case "ellipse":
            return Ellipse((x, y), (reach, reach / 3), 30.0)
        case "mask":
            start = (int(np.clip(row, 0, SHAPE[0] - 40)), int(np.clip(column, 0, SHAPE[1] - 30)))
            return Mask.of(info.grid, np.tri(40, 30, dtype=bool), start)
        case _:
            return Point(shapely.Point(x, y))


def step(data: st.DataObject, place: Studio, number: int) -> list[Change]:
    """One to three changes that fit what is stored."""
    store, info = store_of(place), place.info
    changes: list[Change] = []
    left = sorted(store.query(info.id), key=lambda a: a.id)
    for k in range(data.draw(st.integers(1, 3))):
        what = data.draw(st.sampled_from(["add", "add", "edit", "label", "remove", "brush", "instance"]))
        if what == "add" or not left:
            label = data.draw(st.sampled_from(LABELS))
            instance = data.draw(st.sampled_from([None, None, "one", "two"]))
            shape = data.draw(shapes(info))
            changes.append(Added(drawn(info, 10 * number + k + 1, shape, label, instance=instance)))
            continue
        one = left.pop(data.draw(st.integers(0, len(left) - 1)))
        if what == "remove":
            changes.append(Removed(one.id, one.version))
        elif what == "brush" and isinstance(one.shape, Mask):
            start = (data.draw(st.integers(0, SHAPE[0] - 9)), data.draw(st.integers(0, SHAPE[1] - 9)))
            patch = Mask.of(info.grid, np.ones((9, 9), bool), start)
            changes.append(BrushPatch(one.id, data.draw(st.sampled_from(["add", "subtract"])), patch, one.version))
        else:
            facts: dict[str, Any] = {"label": data.draw(st.sampled_from(LABELS))} if what == "label" else {}
            facts |= {"instance": data.draw(st.sampled_from([None, "one", "two"]))} if what == "instance" else {}
            facts |= {"shape": data.draw(shapes(info))} if what in ("edit", "brush") else {}
            changes.append(Edited(replace(one, **facts), one.version))
    return changes


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=5)
@given(data=st.data())
def test_an_updated_layer_is_the_layer_painted_at_once(mode: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        place = studio(Path(folder), raster(SHAPE), schema=PENS)
        regions: list[str] = []
        place = replace(place, reviewed=lambda: tuple(regions))
        rule = data.draw(st.sampled_from(["center", "all-touched"]))
        layer = paint(place, Order(name="kept", mode=mode, rule=rule))
        for number in range(data.draw(st.integers(1, 4))):
            store_of(place).apply("scene", step(data, place, number), author="ann")
            if data.draw(st.booleans()):
                low, high = place.info.grid.to_world([[100.0 * number, 0], [100.0 * number + 150, 200]])
                regions.append(shapely.to_wkb(shapely.box(*low, *high), hex=True))
            layer = paint(place, Order(name="kept", mode=mode, rule=rule))
        whole = paint(place, Order(name="fresh", mode=mode, rule=rule))
        assert layer.revision == whole.revision == place.latest
        assert layer.painted.unknown == whole.painted.unknown == ()
        assert shards(place.folder / "labels" / "kept") == shards(place.folder / "labels" / "fresh")
        assert set(layer.painted.values) >= set(whole.painted.values)
        if mode in OBJECT_MODES:
            assert list(layer.instances()) == list(whole.instances())
            objects = np.unique(whole.pyramid.read_index(place.info.grid.box).array[-1])
            assert set(objects.tolist()) - {0} <= set(whole.instances().ids.tolist())
        store_of(place).close()


def test_the_ids_of_objects_do_not_depend_on_when_they_are_painted(tmp_path: Path) -> None:
    place = studio(tmp_path, raster((300, 300)))
    store = store_of(place)
    at = [Point(shapely.Point(place.info.grid.to_world([10.5 + 20 * k, 10.5]))) for k in range(3)]
    store.apply("scene", [Added(drawn(place.info, k + 1, at[k], instance="car")) for k in range(3)], author="ann")
    layer = paint(place, Order(mode="instance"))
    pixels = layer.pyramid.read_index(IndexBox((0, 0), (60, 20))).array[0]
    assert pixels[10, 10] == pixels[30, 10] == pixels[50, 10] == 1
    # the first of the three is gone: the object is named by the next one from now on, everywhere
    store.apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    pixels = paint(place, Order(mode="instance")).pyramid.read_index(IndexBox((0, 0), (60, 20))).array[0]
    assert (pixels[10, 10], pixels[30, 10], pixels[50, 10]) == (0, 2, 2)
    store.close()

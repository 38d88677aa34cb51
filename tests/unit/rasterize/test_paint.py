"""Layers as they are painted, updated, interrupted and refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import rasterio.features
import shapely

from bigimage.errors import BackendError, Conflict, FrameMismatch, InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.labels import Label, Schema, rename
from bigimage.model.mask import Mask
from bigimage.model.shape import Ellipse, Line, Point, Tag
from bigimage.rasterize import run
from bigimage.rasterize.layer import Layer, open_layer, read_painted
from bigimage.rasterize.paint import Order, Studio, follow, lease_name, paint
from tests.painting import SCHEMA, drawn, load, mode_of_blocks, raster, rectangle, shards, store_of, studio


@pytest.fixture
def place(tmp_path: Path) -> Any:
    made = studio(tmp_path, raster())
    yield made
    store_of(made).close()


def pixels(layer: Layer, level: int = 0) -> np.ndarray:
    """All pixels of a level, (bands, y, x)."""
    return layer.pyramid.read_index(layer.pyramid.grids[level].box, level=level).array


def scattered(place: Studio, count: int = 60) -> list[Any]:
    """Overlapping polygons of three classes all over the image."""
    rng = np.random.default_rng(5)
    names = ("house", "road", "field")
    shapes = [
        rectangle(place.info, (r, r + rng.uniform(1, 90)), (c, c + rng.uniform(1, 90)))
        for r, c in rng.uniform(-20, 650, (count, 2))
    ]
    return [drawn(place.info, k + 1, shape, names[k % 3]) for k, shape in enumerate(shapes)]


@pytest.mark.parametrize("rule", ["center", "all-touched"])
def test_pixels_are_those_of_gdal_in_the_order_of_the_schema(place: Studio, rule: str) -> None:
    annotations = scattered(place)
    load(place, annotations)
    layer = paint(place, Order(rule=rule))
    # fields lie lowest, roads above them, houses on top; among equals the later one
    ordered = [a for name in ("field", "road", "house") for a in annotations if a.label == name]
    expected = rasterio.features.rasterize(
        [(a.shape.geometry, SCHEMA.resolve(a.label).value) for a in ordered],
        out_shape=place.info.grid.shape,
        transform=rasterio.Affine(*place.info.grid.transform),
        all_touched=rule == "all-touched",
        dtype="uint8",
    )
    assert np.array_equal(pixels(layer)[0], expected)
    for level in range(1, len(layer.pyramid.levels)):
        assert np.array_equal(pixels(layer, level)[0], expected := mode_of_blocks(expected))


def test_of_one_class_the_later_annotation_lies_on_top_even_after_edits_of_the_earlier(place: Studio) -> None:
    load(place, [drawn(place.info, k, rectangle(place.info, (10, 30), (10, 30 + k))) for k in (1, 2)])
    one = store_of(place).get(UUID(int=1))
    store_of(place).apply("scene", [Edited(replace(one, attributes={"roof": "red"}), 1)], author="ann")
    assert (pixels(paint(place, Order(mode="instance")))[0, 12:28, 12:28] == 2).all()


def with_pens(**pens: dict[str, Any]) -> Schema:
    return replace(SCHEMA, labels=tuple(replace(one, **pens.get(one.name, {})) for one in SCHEMA.labels))


@pytest.mark.parametrize("mode", ["semantic", "coverage"])
def test_lines_and_points_are_as_wide_as_the_schema_says(tmp_path: Path, mode: str) -> None:
    schema = with_pens(road={"width": 6.0}, house={"radius": 8.0, "unit": "pixel"})
    place = studio(tmp_path, raster((300, 300)), schema=schema)
    corners = place.info.grid.to_world([[40.0, 20.0], [40.0, 250.0], [280.0, 251.0]])
    (x, y) = place.info.grid.to_world([150.5, 100.5]).tolist()
    load(
        place,
        [
            drawn(place.info, 1, Line(shapely.LineString(corners)), "road"),
            drawn(place.info, 2, Point(shapely.Point(x, y)), "house"),
            drawn(
                place.info, 3, Line(shapely.LineString(place.info.grid.to_world([[5.5, 5.5], [5.5, 90.5]]))), "field"
            ),
        ],
    )
    found = pixels(paint(place, Order(mode=mode)))
    names = [label.name for label in sorted(SCHEMA.labels, key=lambda one: one.value)]
    transform = rasterio.Affine(*place.info.grid.transform)
    # 6 units are 12 pixels; round ends of many corners come as near to the pen's as makes no pixel's difference here
    shapes = {"road": shapely.LineString(corners).buffer(3, quad_segs=256), "house": shapely.Point(x, y).buffer(4, 256)}
    for name, shape in shapes.items():
        expected = rasterio.features.rasterize([(shape, 1)], (300, 300), transform=transform, dtype="uint8")
        if mode == "semantic":
            assert np.array_equal(found[0] == SCHEMA.resolve(name).value, expected == 1)
        else:
            share = found[names.index(name)] / 65535
            assert abs(share.sum() - shape.area * 4) < 0.05
            assert (
                np.array_equal(share > 0.5, expected == 1)
                or abs(share[(share > 0.5) != (expected == 1)] - 0.5).max() < 0.2
            )
    # without a width a line is one pixel wide, and has no area
    assert np.count_nonzero(found[0] == 7 if mode == "semantic" else found[names.index("field")]) == (
        86 if mode == "semantic" else 0
    )
    store_of(place).close()


def test_another_width_repaints_everything_and_an_edit_all_that_the_pen_reached(tmp_path: Path) -> None:
    place = studio(tmp_path, raster((3000, 300)), schema=with_pens(road={"width": 100.0}))
    (a, b) = place.info.grid.to_world([[500.0, 10.0], [500.0, 20.0]])
    load(place, [drawn(place.info, 1, Line(shapely.LineString([a, b])), "road")])
    found = pixels(paint(place, Order()))[0]
    # 100 pixels to each side of the line and beyond its ends
    assert (np.flatnonzero(found.any(axis=1))[[0, -1]] == [400, 599]).all()
    store_of(place).set_schema(with_pens(road={"width": 20.0}), author="ann")
    found = pixels(paint(place, Order()))[0]
    assert (np.flatnonzero(found.any(axis=1))[[0, -1]] == [480, 519]).all()
    store_of(place).apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    assert not pixels(paint(place, Order())).any()
    store_of(place).close()


def test_what_is_empty_is_not_stored(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (10, 20), (10, 20)))])
    layer = paint(place, Order())
    # one of the nine chunks, and the ten by ten pixels in it
    assert len(shards(layer.pyramid.path)) == len(layer.pyramid.levels)
    store_of(place).apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    assert not shards(paint(place, Order()).pyramid.path)


def test_a_layer_without_annotations_shows_revision_0(place: Studio) -> None:
    layer = paint(place, Order())
    assert layer.revision == 0
    assert not pixels(layer).any()


def test_an_ellipse_a_mask_and_a_tag(place: Studio) -> None:
    grid = place.info.grid
    (x, y) = grid.to_world([100.0, 200.0]).tolist()
    bits = np.random.default_rng(3).random((90, 300)) < 0.5
    load(
        place,
        [
            drawn(place.info, 1, Ellipse((x, y), (20.0, 10.0), 90.0), "field"),
            drawn(place.info, 2, Mask.of(grid, bits, (250, 200)), "house"),
            drawn(place.info, 3, Tag(), "house"),
        ],
    )
    found = pixels(paint(place, Order()))[0]
    rows, columns = np.mgrid[0:600, 0:700] + 0.5
    # half-axes of 20 and 10 units are 40 and 20 pixels, the longer one upright
    inside = ((rows - 100) / 40) ** 2 + ((columns - 200) / 20) ** 2 <= 1
    assert np.array_equal(found == 7, inside)
    assert np.array_equal(found[250:340, 200:500] == 3, bits)
    assert np.count_nonzero(found) == inside.sum() + bits.sum()


def test_reviewed_regions_are_background_beneath_everything(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (10, 20), (10, 20)))])
    region = shapely.to_wkb(rectangle(place.info, (0, 15), (0, 300)).geometry, hex=True)
    found = pixels(paint(replace(place, reviewed=lambda: (region,)), Order()))[0]
    expected = np.zeros((600, 700), np.uint8)
    expected[0:15, 0:300] = 1
    expected[10:20, 10:20] = 3
    assert np.array_equal(found, expected)
    # opened again, it is unlabelled
    assert (pixels(paint(place, Order()))[0] == np.where(expected == 3, 3, 0)).all()


def test_panoptic_layers_hold_class_and_object_together_on_every_level(place: Studio) -> None:
    load(place, scattered(place))
    layer, classes = paint(place, Order(mode="panoptic")), paint(place, Order(mode="semantic"))
    objects = paint(place, Order(mode="instance"))
    assert np.array_equal(pixels(layer)[0], pixels(classes)[0])
    stored = store_of(place).columns("scene", place.info.grid.world_bounds())
    values = [SCHEMA.resolve(stored.names[k]).value for k in stored.labels]
    of_object = dict(zip(stored.places.tolist(), values, strict=True))
    for level in range(len(layer.pyramid.levels)):
        kind, number = pixels(layer, level)
        assert {(int(k), int(n)) for k, n in zip(kind.flat, number.flat, strict=True) if n} <= {
            (value, n) for n, value in of_object.items()
        }
        assert np.array_equal(kind == 0, number == 0)
    assert set(np.unique(pixels(objects))) >= set(np.unique(pixels(layer)[1]))


def test_coverage_is_the_share_of_each_pixel(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (10.25, 12), (10, 12.5)), "field")])
    layer = paint(place, Order(mode="coverage"))
    names = [band.name for band in layer.pyramid.info.bands]
    share = pixels(layer)[names.index("field"), 10:12, 10:13] / 65535
    assert np.allclose(share, [[0.75, 0.75, 0.375], [1, 1, 0.5]], atol=1e-5)
    assert np.isclose(pixels(layer, 1)[names.index("field"), 5, 5] / 65535, 0.875, atol=1e-4)
    assert pixels(layer)[names.index("house")].sum() == 0


def test_layers_keep_overlaps_apart(place: Studio) -> None:
    load(
        place,
        [
            drawn(place.info, 1, rectangle(place.info, (0, 20), (0, 20)), "field"),
            drawn(place.info, 2, rectangle(place.info, (10, 30), (10, 30)), "house"),
        ],
    )
    layer = paint(place, Order(mode="multilayer"))
    names = [band.name for band in layer.pyramid.info.bands]
    assert names == ["meadow", "house", "field", "road"]
    assert pixels(layer)[names.index("field")].sum() == pixels(layer)[names.index("house")].sum() == 400


def test_more_classes_than_a_word_has_bits(tmp_path: Path) -> None:
    labels = tuple(Label(name=f"c{k}", value=k + 1) for k in range(70))
    place = studio(tmp_path, raster((100, 100)), schema=Schema(labels=labels))
    load(place, [drawn(place.info, k + 1, rectangle(place.info, (k, k + 2), (0, 5)), f"c{k}") for k in range(70)])
    found = pixels(paint(place, Order(mode="multilayer")))
    assert [int(band.sum()) for band in found] == [10] * 70
    assert all(found[k, k : k + 2, :5].all() for k in range(70))
    store_of(place).close()


def test_values_beyond_65535_take_wider_pixels(tmp_path: Path) -> None:
    schema = Schema(labels=(Label(name="house", value=3), Label(name="rare", value=2**31 - 1)))
    place = studio(tmp_path, raster((100, 100)), schema=schema)
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)), "rare")])
    found = pixels(paint(place, Order()))
    assert found.dtype == np.uint32
    assert (found[0, :9, :9] == 2**31 - 1).all()
    store_of(place).close()


def test_times_are_painted_apart(tmp_path: Path) -> None:
    info = raster(axes=("t", "c", "y", "x"), shape=(2, 3, 600, 700))
    place = studio(tmp_path, info)
    load(
        place,
        [
            drawn(info, 1, rectangle(info, (0, 9), (0, 9)), t=0),
            drawn(info, 2, rectangle(info, (20, 29), (0, 9)), t=1),
            drawn(info, 3, rectangle(info, (40, 49), (0, 9))),
        ],
    )
    pyramid = paint(place, Order()).pyramid
    assert pyramid.info.axes == ("t", "y", "x")
    shown = [pyramid.read_index(IndexBox((0, 0), (60, 9)), t=t).array[0, ::20, 0].tolist() for t in (0, 1)]
    assert shown == [[3, 0, 3], [0, 3, 3]]
    store_of(place).close()


# ---- what changes


def test_an_edit_rewrites_only_the_shards_it_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = studio(tmp_path, raster((9000, 300)))
    load(place, [drawn(place.info, k + 1, rectangle(place.info, (k * 90, k * 90 + 50), (5, 60))) for k in range(100)])
    paint(place, Order())
    written: list[str] = []
    real = run.write_shard
    monkeypatch.setattr(run, "write_shard", lambda path, pieces: (written.append(str(path)), real(path, pieces)))
    one = store_of(place).get(UUID(int=1))
    store_of(place).apply("scene", [Edited(replace(one, label="road"), 1)], author="ann")
    layer = paint(place, Order())
    # of each level one shard; from level 5 on the square is too small to be seen
    assert [path.removeprefix(str(layer.pyramid.path)) for path in written] == [f"/{k}/image/c/0/0" for k in range(5)]
    assert pixels(layer)[0, 10, 10] == 9
    written.clear()
    paint(place, Order())
    assert written == []


def test_a_killed_paint_is_finished_by_the_next(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, scattered(place))
    paint(place, Order())
    one = store_of(place).get(UUID(int=1))
    store_of(place).apply("scene", [Edited(replace(one, label="road"), 1)], author="ann")

    def full(path: Path, pieces: object) -> None:
        raise BackendError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_shard", full)
        with pytest.raises(BackendError, match="no space"):
            paint(place, Order())
    left = read_painted(place.folder, "semantic")
    assert left is not None
    assert left.pending
    assert left.revision == 1
    again, fresh = paint(place, Order()), paint(place, Order(name="fresh", mode="semantic"))
    assert (again.revision, again.painted.pending) == (2, ())
    assert shards(again.pyramid.path) == shards(fresh.pyramid.path)


def test_a_killed_first_paint_is_not_listed_and_begins_again(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, scattered(place))
    real, count = run.write_shard, [0]

    def fails_at_the_second(path: Path, pieces: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise BackendError("killed")
        real(path, pieces)

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_shard", fails_at_the_second)
        with pytest.raises(BackendError):
            paint(place, Order())
    assert not (place.folder / "labels" / "zarr.json").exists()
    layer, fresh = paint(place, Order()), paint(place, Order(name="fresh"))
    assert shards(layer.pyramid.path) == shards(fresh.pyramid.path)


def test_changes_that_come_while_painting_are_painted_too(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    real, more = run.write_shard, [drawn(place.info, 2, rectangle(place.info, (300, 309), (0, 9)))]

    def add_one(path: Path, pieces: Any) -> None:
        if more:
            store_of(place).apply("scene", [Added(more.pop())], author="bob")
        real(path, pieces)

    monkeypatch.setattr(run, "write_shard", add_one)
    layer = paint(place, Order())
    assert layer.revision == 2
    assert (pixels(layer)[0, 300:309, :9] == 3).all()


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (rename(SCHEMA, "house", "home"), 3),
        (replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="rare", value=300))), 3),
        (replace(SCHEMA, labels=SCHEMA.labels[:1]), 0),
    ],
    ids=["renamed", "wider", "taken out"],
)
def test_a_new_schema_repaints_what_it_changes(place: Studio, schema: Schema, value: int) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    paint(place, Order())
    store_of(place).set_schema(replace(schema, background=None), author="ann")
    layer = paint(place, Order())
    assert (pixels(layer)[0, :9, :9] == value).all()
    assert layer.painted.unknown == (() if value else ("house",))
    assert layer.pyramid.info.dtype == ("uint16" if len(schema.labels) > 4 else "uint8")


@pytest.mark.parametrize("mode", ["semantic", "multilayer"])
def test_a_layer_that_needs_other_pixels_stays_as_it_was_until_the_new_one_is_whole(
    place: Studio, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    load(place, scattered(place))
    before = pixels(paint(place, Order(mode=mode)))
    store_of(place).set_schema(replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="rare", value=300))), author="ann")
    real, seen = run.write_shard, [0]

    def look(path: Path, pieces: Any) -> None:
        there = open_layer(place.folder, mode)
        assert there.painted.pending == ()
        assert np.array_equal(pixels(there), before)
        seen[0] += 1
        if seen[0] == 2:
            raise BackendError("killed")
        real(path, pieces)

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_shard", look)
        with pytest.raises(BackendError, match="killed"):
            paint(place, Order(mode=mode))
    assert np.array_equal(pixels(open_layer(place.folder, mode)), before)
    after = paint(place, Order(mode=mode))
    assert (after.pyramid.info.dtype, len(pixels(after))) == (("uint16", 1) if mode == "semantic" else ("uint8", 5))
    assert np.array_equal(pixels(after).astype(int).sum(axis=0), before.astype(int).sum(axis=0))
    assert [path.name for path in (place.folder / "labels").iterdir() if path.is_dir()] == [mode]


def test_a_layer_lists_the_labels_that_occur(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)), "hut")])
    for mode in ("semantic", "panoptic", "coverage", "multilayer"):
        layer = paint(place, Order(mode=mode))
        assert [one.name for one in layer.classes] == ["house"]
        told = json.loads((Path(layer.pyramid.path) / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
        assert [p["name"] for p in told.get("properties", ())] == (
            ["house"] if mode in ("semantic", "panoptic") else []
        )
    assert paint(place, Order(mode="instance")).classes == []
    store_of(place).apply(
        "scene", [Added(drawn(place.info, 2, rectangle(place.info, (20, 29), (0, 9)), "road"))], author="bob"
    )
    region = shapely.to_wkb(rectangle(place.info, (0, 15), (0, 300)).geometry, hex=True)
    layer = paint(replace(place, reviewed=lambda: (region,)), Order())
    # values stay those of the schema; the background occurs where it was reviewed
    assert [(one.name, one.value) for one in layer.classes] == [("meadow", 1), ("house", 3), ("road", 9)]
    root = json.loads((place.folder / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert [p["label-value"] for p in root["labels/semantic"]["attributes"]["ome"]["image-label"]["properties"]] == [
        1,
        3,
        9,
    ]


def test_a_label_that_becomes_known_is_painted(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)), "ruin")])
    assert paint(place, Order()).painted.unknown == ("ruin",)
    known = replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="ruin", value=20)))
    store_of(place).set_schema(known, author="ann")
    assert (pixels(paint(place, Order()))[0, :9, :9] == 20).all()


def test_another_rule_repaints_everything(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0.7, 9.2), (0.7, 9.2)))])
    assert np.count_nonzero(pixels(paint(place, Order()))) == 64
    layer = paint(place, Order(rule="all-touched"))
    assert np.count_nonzero(pixels(layer)) == 100
    # what is not said stays as it is
    assert paint(place, Order()).painted.rule == "all-touched"


def test_following_yields_a_layer_for_each_change(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    extra = [drawn(place.info, 2, rectangle(place.info, (20, 29), (0, 9)))]

    def wait(seconds: float) -> bool:
        if extra:
            store_of(place).apply("scene", [Added(extra.pop())], author="bob")
        return True

    layers = follow(place, Order(), wait=wait)
    assert [next(layers).revision for _ in range(2)] == [1, 2]
    with pytest.raises(Conflict, match="is being written by test"):
        paint(place, Order())
    layers.close()
    assert place.leases.held(lease_name("scene", "semantic")) is None


# ---- other workers


@pytest.mark.parametrize("scheduler", ["processes"])
def test_worker_processes_write_the_same_bytes(place: Studio, scheduler: str) -> None:
    load(place, scattered(place, 40))
    here = paint(place, Order(name="here"))
    there = paint(place, Order(name="there", scheduler=scheduler, workers=2))
    assert shards(here.pyramid.path) == shards(there.pyramid.path)


# ---- refusals


def test_a_layer_that_somebody_else_paints_is_left_alone(place: Studio) -> None:
    place.leases.acquire(lease_name("scene", "semantic"), holder="another server", seconds=60)
    with pytest.raises(Conflict, match="another server"):
        paint(place, Order())


def test_a_lost_lease_stops_the_paint(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, scattered(place, 3))
    real = run.write_shard

    def steal(path: Path, pieces: Any) -> None:
        held = place.leases.held(lease_name("scene", "semantic"))
        assert held is not None
        place.leases.release(held)
        place.leases.acquire(held.name, holder="thief", seconds=60)
        real(path, pieces)

    monkeypatch.setattr(run, "write_shard", steal)
    with pytest.raises(Conflict, match="thief"):
        paint(place, Order())


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order(mode="fancy"), "mode 'fancy' is not one of"),
        (Order(rule="fancy"), "rule 'fancy' is not one of"),
        (Order(name="../x"), "not a layer's name"),
        (Order(scheduler="fancy"), "unknown scheduler"),
    ],
)
def test_orders_that_make_no_sense_are_refused(place: Studio, order: Order, message: str) -> None:
    with pytest.raises(InputError, match=message):
        paint(place, order)


def test_a_layer_keeps_its_mode(place: Studio) -> None:
    paint(place, Order(name="town"))
    with pytest.raises(Conflict, match="'town' of scene is semantic"):
        paint(place, Order(name="town", mode="instance"))


def test_without_a_schema_only_instances_can_be_painted(tmp_path: Path) -> None:
    place = studio(tmp_path, raster(), schema=None)
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    with pytest.raises(InputError, match="no schema is set"):
        paint(place, Order())
    assert (pixels(paint(place, Order(mode="instance")))[0, :9, :9] == 1).all()
    store_of(place).close()


def test_annotations_of_another_frame_are_not_painted(place: Studio) -> None:
    other = replace(place.info, grid=replace(place.info.grid, frame=GeoFrame("EPSG:4326")))
    store_of(place).load("scene", [replace(drawn(other, 1, rectangle(place.info, (0, 9), (0, 9))))], author="ann")
    with pytest.raises(FrameMismatch):
        paint(place, Order(mode="instance"))

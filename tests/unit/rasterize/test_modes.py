"""Modes of layers: types, bands and legends by the label schema, and when a new schema changes pixels."""

from dataclasses import replace

import pytest

from bigimage.errors import InputError
from bigimage.model.labels import Label, Schema, merge, rename
from bigimage.rasterize.modes import (
    MODES,
    MOST_BANDS,
    Mode,
    Palette,
    Reach,
    check_mode,
    label_classes,
    layer_bands,
    layer_dtype,
    layer_info,
    require_schema,
    shown_classes,
)
from tests.painting import SCHEMA, raster

PALETTE = Palette.of(SCHEMA)


def of(*labels: Label, **facts: str) -> Palette:
    return Palette.of(Schema(labels=labels, **facts))  # pyright: ignore[reportArgumentType]


def test_modes_are_known_by_name() -> None:
    assert [check_mode(mode) for mode in MODES] == list(MODES)
    with pytest.raises(InputError, match="'fancy' is not one of semantic"):
        check_mode("fancy")


@pytest.mark.parametrize(
    ("value", "dtype"), [(255, "uint8"), (256, "uint16"), (65_535, "uint16"), (65_536, "uint32"), (2**31 - 1, "uint32")]
)
def test_semantic_pixels_are_as_narrow_as_the_values_allow(value: int, dtype: str) -> None:
    assert layer_dtype("semantic", of(Label(name="a", value=value))) == dtype


def test_bands_of_classes_follow_values_whatever_the_order_of_the_schema() -> None:
    names = [band.name for band in layer_bands("multilayer", PALETTE)]
    assert names == ["meadow", "house", "field", "road"]
    turned = Palette.of(replace(SCHEMA, labels=SCHEMA.labels[::-1]))
    assert [band.name for band in layer_bands("coverage", turned)] == names
    assert layer_info(raster(), "coverage", PALETTE).shape == (4, 600, 700)
    assert layer_info(raster(), "semantic", PALETTE).axes == ("y", "x")


@pytest.mark.parametrize("mode", ["coverage", "multilayer"])
@pytest.mark.parametrize("count", [0, MOST_BANDS + 1])
def test_too_many_and_no_classes_have_no_band_each(mode: Mode, count: int) -> None:
    palette = of(*(Label(name=f"c{k}", value=k + 1) for k in range(count)))
    with pytest.raises(InputError, match=f"1 to {MOST_BANDS} labels; the schema has {count}"):
        layer_bands(mode, palette)


def test_a_layer_of_classes_needs_a_schema() -> None:
    require_schema("instance", Palette((), None, 0))
    with pytest.raises(InputError, match="no schema is set"):
        require_schema("semantic", Palette((), None, 0))


def test_legends_hold_what_occurs() -> None:
    assert [c.name for c in shown_classes("coverage", PALETTE, {3, 7, 99})] == ["house", "field"]
    assert [c.value for c in label_classes("panoptic", PALETTE, {9, 1})] == [1, 9]
    assert shown_classes("instance", PALETTE, {3}) == label_classes("coverage", PALETTE, {3}) == []


@pytest.mark.parametrize(
    ("schema", "pixels"),
    [
        (SCHEMA, False),
        (rename(SCHEMA, "house", "home"), False),
        (merge(SCHEMA, ["road"], into="house"), True),
        (replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="new", value=50))), False),
        (replace(SCHEMA, labels=SCHEMA.labels[1:]), True),
        (replace(SCHEMA, background=None), True),
        (replace(SCHEMA, labels=tuple(replace(one, color="#123456") for one in SCHEMA.labels)), False),
        (replace(SCHEMA, labels=tuple(replace(one, order=-one.order) for one in SCHEMA.labels)), True),
        (replace(SCHEMA, labels=tuple(replace(one, width=3.0) for one in SCHEMA.labels)), True),
        (replace(SCHEMA, labels=tuple(replace(one, unit="pixel") for one in SCHEMA.labels)), False),
    ],
    ids=["same", "renamed", "merged", "more", "fewer", "background", "colours", "order", "width", "unit of nothing"],
)
def test_a_schema_repaints_what_it_changes(schema: Schema, pixels: bool) -> None:
    assert Palette.of(schema).repaints(PALETTE, "semantic") is pixels


def test_a_new_label_is_a_new_band() -> None:
    more = Palette.of(replace(SCHEMA, labels=(*SCHEMA.labels, Label(name="new", value=50))))
    assert more.repaints(PALETTE, "multilayer")


def test_a_palette_survives_its_document() -> None:
    pens = of(Label(name="a", value=1, width=3.5), Label(name="b", value=2, radius=7, unit="pixel"), background="a")
    for palette in (PALETTE, pens):
        assert Palette.from_document(palette.document()) == palette
    assert PALETTE.reach == Reach()
    assert pens.reach == Reach(world=1.75, pixels=7)
    # a former name is a name, unless a present label has it
    assert PALETTE.by_name["hut"] == PALETTE.by_name["house"]
    assert of(Label(name="a", value=1, formerly=("b",)), Label(name="b", value=2)).by_name["b"] == 1

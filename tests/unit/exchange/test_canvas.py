"""Annotations in memory as pixels: the same that painting each by itself, in order, gives."""

import numpy as np
import pytest

from bigimage.exchange.canvas import Canvas
from bigimage.exchange.painting import paint
from bigimage.geometry.box import IndexBox
from bigimage.model.labels import Schema
from bigimage.model.shape import kind
from tests.annotated import GRIDS, SCHEMA, drawn

AREAS = ("polygon", "box", "rotated-box", "mask")


@pytest.mark.parametrize("frame", ["pixel", "geo", "turned"])
def test_classes_lie_over_each_other_by_their_order(frame: str) -> None:
    grid = GRIDS[frame]
    given = [a for a in drawn(frame) if kind(a.shape) in AREAS]
    due = np.zeros(grid.shape, int)
    for annotation in sorted(given, key=lambda a: SCHEMA.resolve(a.label).order):
        due[paint(annotation.shape, grid, grid.box)] = SCHEMA.resolve(annotation.label).value
    canvas = Canvas(grid, given, SCHEMA)
    assert canvas.dtype == "uint8"
    assert np.array_equal(canvas.classes(grid.box), due)
    part = IndexBox((100, 37), (180, 201))
    assert np.array_equal(canvas.classes(part), due[part.slices])


def test_every_annotation_is_seen_within_its_reach() -> None:
    grid = GRIDS["patient"]
    given = drawn("patient")
    canvas = Canvas(grid, given, SCHEMA)
    for k, annotation in enumerate(given):
        bits = canvas.cover(k, grid.box) if kind(annotation.shape) != "tag" else np.zeros(grid.shape, bool)
        outside = bits.copy()
        outside[canvas.reach[k].slices] = False
        assert not outside.any()
        assert bits.any() == (kind(annotation.shape) != "tag")
    together = np.zeros(grid.shape, bool)
    for k, annotation in enumerate(given):
        if kind(annotation.shape) != "tag":
            together |= canvas.cover(k, grid.box)
    assert np.array_equal(canvas.classes(grid.box) > 0, together)


def test_nothing_drawn_is_nothing_painted() -> None:
    for frame in ("geo", "patient"):
        grid = GRIDS[frame]
        assert not Canvas(grid, [], SCHEMA).classes(grid.box).any()
        assert not Canvas(grid, [a for a in drawn(frame) if kind(a.shape) in AREAS], Schema()).classes(grid.box).any()

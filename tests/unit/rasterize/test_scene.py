"""Annotations of a volume become planes, solids, single voxels and masks; each kind where it belongs."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Box, Cuboid, Ellipse, Line, MultiPoint, PlanarContours, Point, Shape, Tag
from bigimage.rasterize.drawing import in_order, pen_sizes
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.scene import scene_of
from bigimage.rasterize.solids import Tube
from bigimage.rasterize.volume import Scene
from bigimage.rasterize.zonal import columns_of
from bigimage.store.door import Columns
from bigimage.store.rows import SHAPE_CODES
from tests.painting import drawn

GRID = Grid((20, 30, 40), ((0, 0, 0.5, -20), (0, 0.5, 0, -16), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
INFO = ImageInfo(id="scene", grid=GRID, axes=("z", "y", "x"), shape=GRID.shape, dtype="int16", bands=(Band(name="CT"),))


def world(*points: tuple[float, float, float]) -> np.ndarray:
    """World positions of index points (z, y, x)."""
    return GRID.to_world(np.array(points))


def contours(axis: int, *depths: float) -> PlanarContours:
    """Squares from 5 to 12 on slices of an axis."""
    square = np.array([(5.0, 5.0), (5.0, 12.0), (12.0, 12.0), (12.0, 5.0)])
    return PlanarContours.of([GRID.to_world(np.insert(square, axis, depth, axis=1)) for depth in depths])


def columns(*shapes: Shape, label: str = "house") -> Columns:
    """Shapes in their order."""
    return columns_of([drawn(INFO, k + 1, shape, label=label) for k, shape in enumerate(shapes)], GRID.frame)


def no_mask(id: UUID, box: IndexBox) -> np.ndarray:
    raise AssertionError(f"{id} is no mask")


def scene(given: Columns, **facts: Any) -> Scene:
    """What they paint; all are shown, and nothing is filled, unless it is said otherwise."""
    usual: dict[str, Any] = {"shown": np.ones(len(given.places), bool), "read_mask": no_mask, "objects": None}
    return scene_of(given, GRID, rule="center", **{**usual, **facts})


def test_contours_of_each_axis_are_a_stack() -> None:
    made = scene(columns(contours(0, 3.5, 4.5), contours(1, 7.5), contours(2, 20.5), contours(0, 3.2)))
    assert {axis: sorted(stack.slices) for axis, stack in made.stacks.items()} == {0: [3, 4], 1: [7], 2: [20]}
    assert sorted(np.unique(made.stacks[0].prepared.flat.source).tolist()) == [0, 3]
    assert (made.loose, made.solids, made.voxels, made.masks, made.filled) == ([], [], [], [], [])


def test_solids_know_the_voxels_that_they_can_touch() -> None:
    low, high = world((4, 6, 8), (9, 16, 28))
    centre = tuple(world((10, 15, 20))[0].tolist())
    box = Box(tuple(low.tolist()), tuple(high.tolist()))
    made = scene(columns(box, Cuboid(centre, (4.0, 4.0, 4.0)), Ellipse(centre, (3.0, 3.0, 3.0), (1.0, 0.0, 0.0, 0.0))))
    assert [(k, type(solid)) for k, solid, _ in made.solids] == [(0, Box), (1, Cuboid), (2, Ellipse)]
    for (_, _, reach), (start, stop) in zip(
        made.solids, [((4, 6, 8), (9, 16, 28)), ((9, 11, 16), (11, 19, 24)), ((9, 9, 14), (11, 21, 26))], strict=True
    ):
        assert reach.contains(IndexBox(start, stop))
        assert IndexBox(start, stop).pad(3).contains(reach)


def test_an_ellipse_on_a_plane_is_its_outline() -> None:
    centre = tuple(world((10.5, 15, 20))[0].tolist())
    made = scene(columns(Ellipse(centre, (5.0, 3.0), (1.0, 0.0, 0.0, 0.0))))
    assert made.solids == []
    assert sorted(made.stacks[0].slices) == [10]


def test_points_and_lines_are_voxels() -> None:
    points = [shapely.Point(*p) for p in world((2.5, 3.5, 4.5), (19.9, 0.1, 39.9))]
    line = shapely.LineString(world((5.5, 6.5, 7.5), (5.5, 6.5, 11.5)))
    outside = shapely.Point(*world((25, 3, 4))[0])
    made = scene(columns(MultiPoint(shapely.MultiPoint(points)), Line(line), Point(outside)))
    found = {k: voxels.tolist() for k, voxels in made.voxels}
    assert found[0] == [[2, 3, 4], [19, 0, 39]]
    assert found[1] == [[5, 6, x] for x in range(7, 12)]
    assert found.get(2, []) == []


def test_what_the_schema_gives_a_pen_is_a_tube() -> None:
    schema = Schema(labels=(Label(name="house", value=3, radius=2.0, width=3.0, unit="pixel"),))
    given = columns(
        Point(shapely.Point(*world((10, 15, 20))[0])), Line(shapely.LineString(world((5, 6, 7), (5, 6, 11))))
    )
    palette = Palette.of(schema)
    made = scene(given, pens=pen_sizes(given, in_order(given, palette)[0], palette))
    assert made.voxels == []
    tubes = [(k, solid) for k, solid, _ in made.solids if isinstance(solid, Tube)]
    assert [(k, t.radius, t.in_voxels) for k, t in tubes] == [(0, 2.0, True), (1, 1.5, True)]


def test_what_is_not_shown_and_tags_paint_nothing() -> None:
    given = columns(contours(0, 3.5), Tag(), Point(shapely.Point(*world((2.5, 3.5, 4.5))[0])))
    made = scene(given, shown=np.array([False, True, False]))
    assert (made.stacks, made.voxels, made.solids) == ({}, [], [])
    assert [k for k, _ in scene(given).voxels] == [2]


def test_bits_of_masks_are_read_when_they_are_needed() -> None:
    asked: list[tuple[int, IndexBox]] = []

    def read(id: UUID, box: IndexBox) -> np.ndarray:
        asked.append((id.int, box))
        return np.ones(box.shape, np.bool_)

    # a mask as the store's columns tell it: no outline that is painted, its box beside
    shape = json.dumps({"box": [[2, 3, 4], [5, 6, 7]]})
    given = columns(Box((-20.0, -16.0, 100.0), (-18.0, -14.0, 104.0)), Tag())
    mask = replace(given, shapes=np.array([SHAPE_CODES["box"], SHAPE_CODES["mask"]], np.int16), rest=[None, shape])
    made = scene(mask, read_mask=read)
    assert asked == []
    ((k, box, bits),) = made.masks
    assert (k, box) == (1, IndexBox((2, 3, 4), (5, 6, 7)))
    part = IndexBox((3, 3, 4), (4, 6, 7))
    assert bits(part).all()
    assert asked == [(2, part)]


def test_slices_between_are_filled_within_an_object_only() -> None:
    given = columns(contours(0, 3.5), contours(0, 7.5))
    apart = scene(given, objects=np.array([1, 2]))
    assert apart.filled == []
    together = scene(given, objects=np.array([1, 1]))
    assert [(one.axis, one.slice) for one in together.filled] == [(0, 4), (0, 5), (0, 6)]
    assert all(one.bits.sum() == 49 for one in together.filled)


def test_one_annotation_can_be_taken_out() -> None:
    given = columns(contours(0, 3.5), contours(0, 5.5), Point(shapely.Point(*world((2.5, 3.5, 4.5))[0])))
    made = scene(given)
    second = made.only(1)
    assert {axis: sorted(stack.slices) for axis, stack in second.stacks.items()} == {0: [5]}
    assert second.voxels == []
    assert [k for k, _ in made.only(2).voxels] == [2]

"""What a window is painted from: the annotations in its sight, read once, in whatever process."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Box, Line, PlanarContours, Polygon
from bigimage.rasterize.easel import LARGE, Objects, VolumeEasel, easel_for, window_box
from bigimage.rasterize.layer import Painted
from bigimage.rasterize.modes import Palette, Reach
from bigimage.rasterize.paint import Studio
from tests.painting import SCHEMA, drawn, load, raster, rectangle, store_of, studio

SCAN = Grid((40, 70, 90), ((0, 0, 0.5, -20), (0, 0.5, 0, -16), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
BLOCK = Grid((128, 128, 128), ((0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)), PatientFrame("1.2.3"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Studio]:
    made = studio(tmp_path, raster())
    yield made
    store_of(made).close()


def scan(grid: Grid) -> ImageInfo:
    return ImageInfo(
        id="scene", grid=grid, axes=("z", "y", "x"), shape=grid.shape, dtype="int16", bands=(Band(name="CT"),)
    )


def painted(**facts: object) -> Painted:
    base = Painted(image="scene", name="layer", mode="semantic", rule="center", palette=Palette.of(SCHEMA))
    return replace(base, **facts)


def test_a_window_reaches_as_far_as_pens_do() -> None:
    grid = raster().grid
    window = IndexBox((100, 200), (110, 220))
    x0, y0, x1, y1 = window_box(grid, window).values
    wide = window_box(grid, window, Reach(world=7.0, pixels=3.0)).values
    assert x0 < 500_000 + 200 * 0.5
    assert x1 > 500_000 + 220 * 0.5
    assert y0 < 5_000_000 - 110 * 0.5
    assert y1 > 5_000_000 - 100 * 0.5
    np.testing.assert_allclose(np.subtract((x0, y0), wide[:2]), 7 + 3 * 0.5)
    np.testing.assert_allclose(np.subtract(wide[2:], (x1, y1)), 7 + 3 * 0.5)


def test_a_window_of_uneven_slices_holds_those_that_lie_aside() -> None:
    # the slice in the middle is shifted by 30 mm beside the line from first to last
    origins = tuple((-20.0 + (30.0 if k == 20 else 0.0), -16.0, 100.0 + 2 * k) for k in range(40))
    uneven = replace(SCAN, slices=origins)
    box = window_box(uneven, IndexBox((18, 0, 0), (23, 70, 90)))
    # places are linear from middle to middle, so the slice reaches furthest in its own middle
    assert box.values[3] > -20 + 30 + 90 * 0.5
    assert window_box(SCAN, IndexBox((18, 0, 0), (23, 70, 90))).values[3] < 40


def test_annotations_of_an_instance_are_one_object(place: Studio) -> None:
    shapes = [rectangle(place.info, (10 * k, 10 * k + 5), (10, 20)) for k in range(6)]
    facts = [{}, {"instance": "farm"}, {}, {"instance": "farm"}, {"instance": "mill"}, {}]
    load(place, [drawn(place.info, k + 1, s, **f) for k, (s, f) in enumerate(zip(shapes, facts, strict=True))])
    store = store_of(place)
    objects = Objects(place.link, "scene")
    columns = store.columns("scene", place.info.grid.world_bounds())
    ids = dict(zip((i.int for i in columns.ids), objects(columns).tolist(), strict=True))
    places = dict(zip((i.int for i in columns.ids), columns.places.tolist(), strict=True))
    # named by the one that was stored first
    assert ids[4] == ids[2] == min(places[2], places[4])
    assert {k: ids[k] for k in (1, 3, 5, 6)} == {k: places[k] for k in (1, 3, 5, 6)}
    # the same when only one of them is in sight, first or not
    for k in (2, 4):
        near = IndexBox((10 * k - 9, 12), (10 * k - 7, 15))
        alone = store.columns("scene", window_box(place.info.grid, near))
        assert [i.int for i in alone.ids] == [k]
        assert Objects(place.link, "scene")(alone).tolist() == [ids[2]]


def test_a_link_travels_without_its_database(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    link = pickle.loads(pickle.dumps(place.link))
    assert (link.here, link.place) == (None, place.link.place)
    assert link.store.get(UUID(int=1)).label == "house"


def test_an_empty_window_paints_nothing(place: Studio) -> None:
    load(place, [drawn(place.info, 1, rectangle(place.info, (0, 9), (0, 9)))])
    easel = easel_for(place.link, place.info, painted())
    far = easel.look(IndexBox((500, 500), (520, 520)), 0)
    assert far.brush.paint(IndexBox((500, 500), (520, 520))) is None
    assert (far.names, far.rows) == ((), None)


def test_labels_in_sight_are_told_and_unknown_ones_left_out(place: Studio) -> None:
    box = IndexBox((0, 0), (30, 30))
    load(
        place,
        [
            drawn(place.info, 1, rectangle(place.info, (2, 6), (2, 6))),
            drawn(place.info, 2, rectangle(place.info, (8, 12), (2, 6)), label="castle"),
        ],
    )
    semantic = easel_for(place.link, place.info, painted()).look(box, 0)
    assert sorted(semantic.names) == ["castle", "house"]
    pixels = semantic.brush.paint(box)
    assert pixels is not None
    assert (np.unique(pixels).tolist(), np.count_nonzero(pixels)) == ([0, 3], 16)
    objects = easel_for(place.link, place.info, painted(mode="instance")).look(box, 0)
    drawn_ids = objects.brush.paint(box)
    assert drawn_ids is not None
    assert objects.rows is not None
    assert np.count_nonzero(drawn_ids) == 32
    assert sorted(objects.rows.ids.tolist()) == sorted(np.unique(drawn_ids[drawn_ids > 0]).tolist())


def test_lines_beside_a_window_reach_into_it_with_their_pens(place: Studio) -> None:
    schema = Schema(labels=(*SCHEMA.labels[:2], Label(name="road", value=9, width=20.0)))
    ends = place.info.grid.to_world(np.array([[50.0, 0.0], [50.0, 300.0]]))
    load(place, [drawn(place.info, 1, Line(shapely.LineString(ends)), label="road")])
    easel = easel_for(place.link, place.info, painted(palette=Palette.of(schema)))
    # ten metres to each side are twenty pixels
    window = IndexBox((60, 100), (80, 120))
    pixels = easel.look(window, 0).brush.paint(window)
    assert pixels is not None
    assert np.flatnonzero(pixels[0, :, 10]).tolist() == list(range(10))


def test_annotations_of_another_time_are_not_in_sight(tmp_path: Path) -> None:
    timed = replace(raster(), axes=("t", "c", "y", "x"), shape=(2, 3, 600, 700))
    place = studio(tmp_path, timed)
    shapes = [rectangle(timed, (10 * k, 10 * k + 5), (0, 5)) for k in range(3)]
    load(place, [drawn(timed, k + 1, s, t=t) for k, (s, t) in enumerate(zip(shapes, (None, 0, 1), strict=True))])
    box = IndexBox((0, 0), (30, 5))
    seen = [easel_for(place.link, timed, painted()).look(box, t).brush.paint(box) for t in (0, 1)]
    rows = [np.flatnonzero(p.any(axis=(0, 2))).tolist() for p in seen if p is not None]
    assert rows == [[*range(5), *range(10, 15)], [*range(5), *range(20, 25)]]
    store_of(place).close()


def test_large_windows_of_a_volume_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = studio(tmp_path, scan(BLOCK))
    load(place, [drawn(place.info, 1, Box((10.0, 10.0, 10.0), (20.0, 30.0, 40.0)))])
    store, asked = store_of(place), []
    plain = type(store).columns

    def columns(self: object, *args: object, **facts: object) -> object:
        asked.append(args)
        return plain(store, *args, **facts)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(type(store), "columns", columns)
    easel = easel_for(place.link, place.info, painted())
    assert isinstance(easel, VolumeEasel)
    whole, half = BLOCK.box, IndexBox((0, 0, 0), (64, 128, 128))
    assert half.size >= LARGE
    assert easel.look(whole, 0) is easel.look(half, 0)
    assert len(asked) == 1
    small = IndexBox((0, 0, 0), (30, 30, 30))
    part = easel.look(small, 0).brush.paint(small)
    assert len(asked) == 2
    all_of_it = easel.look(whole, 0).brush.paint(small)
    assert part is not None
    assert all_of_it is not None
    np.testing.assert_array_equal(part, all_of_it)
    # as it is sent to another process it has read nothing
    assert pickle.loads(pickle.dumps(easel)).whole == {}
    store.close()


def test_shapes_keep_their_order(place: Studio) -> None:
    over = Polygon(shapely.box(500_000, 4_999_990, 500_010, 5_000_000))
    load(place, [drawn(place.info, 1, over), drawn(place.info, 2, over, label="field")])
    box = IndexBox((0, 0), (20, 20))
    pixels = easel_for(place.link, place.info, painted()).look(box, 0).brush.paint(box)
    assert pixels is not None
    assert np.unique(pixels).tolist() == [3]  # house has the higher order


def test_a_slice_that_lies_aside_is_painted_in_small_windows(tmp_path: Path) -> None:
    origins = tuple((-20.0 + (60.0 if k == 20 else 0.0), -16.0, 100.0 + 2 * k) for k in range(40))
    place = studio(tmp_path, scan(replace(SCAN, slices=origins)))
    ring = np.array([[20.5, 60.0, 80.0], [20.5, 60.0, 89.0], [20.5, 68.0, 89.0], [20.5, 68.0, 80.0]])
    load(place, [drawn(place.info, 1, PlanarContours.of([place.info.grid.to_world(ring)]))])
    window = IndexBox((20, 58, 70), (21, 70, 90))
    pixels = easel_for(place.link, place.info, painted()).look(window, 0).brush.paint(window)
    assert pixels is not None
    assert np.count_nonzero(pixels) == 8 * 9
    store_of(place).close()

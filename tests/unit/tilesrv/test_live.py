"""Live tiles hold what a layer painted now would, with and without a stored one; far out, what is near to it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.shape import Ellipse, Line, Polygon
from bigimage.rasterize.dirt import stale
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.paint import Order, Studio, paint
from bigimage.store.sql import SqlStore
from tests.painting import drawn, load, raster, rectangle, store_of, studio
from tilesrv import live as room
from tilesrv.errors import TooLarge
from tilesrv.live import Kept, Live

SIZE = (1300, 1100)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Studio]:
    """A scene full of small shapes, a few large ones, and a region that was reviewed."""
    made = studio(tmp_path, raster(SIZE))
    info, rng = made.info, np.random.default_rng(8)
    centres = info.grid.to_world(rng.uniform(0, SIZE, (400, 2)))
    radii = rng.uniform(0.3, 4, 400)
    shapes = [Polygon(shapely.Point(x, y).buffer(r, 2)) for (x, y), r in zip(centres, radii, strict=True)]
    shapes += [rectangle(info, (100.2, 611.7), (30.1, 500.5)), Ellipse((500_200.0, 4_999_700.0), (90.0, 40.0), 20.0)]
    shapes += [Line(shapely.LineString(info.grid.to_world([[5.0, 5.0], [1290.0, 900.0]])))]
    names = ("field", "house", "road")
    load(made, [drawn(info, k + 1, shape, names[k % 3]) for k, shape in enumerate(shapes)])
    outline = shapely.Polygon(info.grid.to_world([[900.0, 100.0], [900.0, 800.0], [1250.5, 800.0], [1250.5, 100.0]]))
    text = shapely.to_wkb(outline, hex=True)
    yield replace(made, reviewed=lambda: (text,))
    store_of(made).close()


def live_of(place: Studio, layer: Layer, kept: Kept | None = None) -> Live:
    """What is seen of a scene now."""
    return Live(
        store=store_of(place),
        image=place.info.id,
        grids=layer.pyramid.grids,
        palette=layer.painted.palette,
        rule=layer.painted.rule,
        t=None,
        reviewed=place.reviewed(),
        kept=kept,
    )


def boxes(live: Live, level: int) -> Iterator[IndexBox]:
    """Tiles of a level, and one that lies across them."""
    whole = live.grids[level].box
    yield from (IndexBox((r, c), (r + 256, c + 256)).intersect(whole) for r in (0, 512) for c in (0, 256))
    yield IndexBox((17, 30), (200, 141)).intersect(whole)


def edit(place: Studio) -> None:
    """Move one shape, remove another, add one."""
    store, info = store_of(place), place.info
    moved, gone = store.get(UUID(int=5)), store.get(UUID(int=401))
    added = drawn(info, 900, rectangle(info, (700.5, 930.0), (20.0, 333.3)), "road")
    changes = [
        Edited(replace(moved, shape=rectangle(info, (50, 80), (700, 760))), moved.version),
        Removed(gone.id, gone.version),
        Added(added),
    ]
    store.apply(info.id, changes, author="ann")


@pytest.mark.parametrize("rule", ["center", "all-touched"])
def test_without_a_layer_tiles_are_what_one_would_hold(place: Studio, rule: str) -> None:
    edit(place)
    layer = paint(place, Order(rule=rule))
    live = live_of(place, layer)
    assert len(live.grids) > 2
    for level in range(len(live.grids)):
        for box in boxes(live, level):
            if box.size:
                expected = layer.pyramid.read_index(box, level=level)
                patch = live.read(level, box)
                assert (patch.grid, patch.array.dtype) == (expected.grid, expected.array.dtype)
                np.testing.assert_array_equal(patch.array, expected.array)


def test_what_changed_since_a_layer_was_painted_is_burned_on_what_it_holds(
    place: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = paint(place, Order())
    old = {
        level: before.pyramid.read_index(grid.box, level=level).array for level, grid in enumerate(before.pyramid.grids)
    }
    edit(place)
    dirt = stale(store_of(place), place.info.grid, before.painted, before.painted, until=place.latest)
    assert dirt is not None
    asked: list[int] = []
    columns = SqlStore.columns
    monkeypatch.setattr(
        SqlStore, "columns", lambda self, *a, **k: asked.append(len((c := columns(self, *a, **k)).shapes)) or c
    )
    # the stored layer is read while it is old, so the new one has another name
    live = live_of(place, before, Kept(before.pyramid, dirt.boxes))
    found = {level: live.read(level, grid.box).array for level, grid in enumerate(live.grids)}
    assert len(asked) == sum(len(dirt.boxes) for _ in live.grids)
    fresh = paint(place, Order(name="fresh"))
    for level, grid in enumerate(live.grids):
        np.testing.assert_array_equal(found[level], fresh.pyramid.read_index(grid.box, level=level).array)
        assert not np.array_equal(found[level], old[level])


def test_many_changes_are_burned_as_one(place: Studio) -> None:
    layer = paint(place, Order())
    spots = tuple(IndexBox((40 * k, 40 * k), (40 * k + 3, 40 * k + 5)) for k in range(room.PATCHES + 1))
    live = live_of(place, layer, Kept(layer.pyramid, spots))
    expected = layer.pyramid.read_index(live.grids[1].box, level=1).array
    np.testing.assert_array_equal(live.read(1, live.grids[1].box).array, expected)


def test_far_out_without_a_layer_shapes_are_burned_on_the_pixels_of_the_level(
    place: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = paint(place, Order())
    monkeypatch.setattr(room, "FINE_PIXELS", 100)
    live = live_of(place, layer)
    level = len(live.grids) - 1
    box = live.grids[level].box
    expected, found = layer.pyramid.read_index(box, level=level).array, live.read(level, box).array
    assert 0.95 < np.mean(expected == found) < 1
    everything = live_of(place, layer, Kept(layer.pyramid, (place.info.grid.box,)))
    np.testing.assert_array_equal(everything.read(level, box).array, found)


def test_more_shapes_than_one_tile_may_cost_are_refused(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = paint(place, Order())
    monkeypatch.setattr(room, "MOST_SHAPES", 5)
    with pytest.raises(TooLarge, match="more than 5"):
        live_of(place, layer).read(0, place.info.grid.box)
    # a stored layer needs none of them
    live_of(place, layer, Kept(layer.pyramid, ())).read(0, place.info.grid.box)

"""What the log says is to be painted again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.shape import Tag
from bigimage.rasterize import dirt
from bigimage.rasterize.dirt import changed_since, review_boxes, stale
from bigimage.rasterize.layer import Painted
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.plan import MARGIN
from tests.painting import SCHEMA, drawn, raster, rectangle, store_of, studio

INFO = raster((400, 400))
GRID = INFO.grid
SHOWN = Painted(image="scene", name="a", mode="semantic", rule="center", palette=Palette.of(SCHEMA), revision=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """Two squares of one instance and one alone, at revision 1."""
    place = studio(tmp_path, INFO)
    made = store_of(place)
    facts = ((1, 20, "car"), (2, 100, "car"), (3, 200, None))
    squares = [Added(drawn(INFO, k, rectangle(INFO, (at, at + 10), (at, at + 10)), instance=i)) for k, at, i in facts]
    made.apply("scene", squares, author="ann")
    yield made
    made.close()


def around(at: int) -> IndexBox:
    """Box of the square that begins at an index."""
    return IndexBox((at - MARGIN,) * 2, (at + 10 + MARGIN,) * 2)


def moved(store: Any, number: int, at: float, **facts: Any) -> Edited:
    one = store.get(UUID(int=number))
    return Edited(replace(one, shape=rectangle(INFO, (at, at + 10), (at, at + 10)), **facts), one.version)


def test_nothing_changed_is_nothing_to_paint(store: Any) -> None:
    found = changed_since(store, GRID, SHOWN, until=1)
    assert found is not None
    assert (found.boxes, found.changed) == ((), frozenset())


def test_an_edit_dirties_where_a_shape_was_and_where_it_is(store: Any) -> None:
    store.apply("scene", [moved(store, 3, 300)], author="ann")
    found = changed_since(store, GRID, SHOWN, until=2)
    assert found is not None
    assert found.changed == {UUID(int=3)}
    # one box around both
    assert found.boxes == (IndexBox(around(200).start, around(300).stop),)


def test_later_changes_are_left_to_the_next_paint(store: Any) -> None:
    store.apply("scene", [Removed(UUID(int=3), 1)], author="ann")
    store.apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    found = changed_since(store, GRID, SHOWN, until=2)
    assert found is not None
    assert (found.boxes, found.changed) == ((around(200),), {UUID(int=3)})


def test_tags_and_shapes_beside_the_image_dirty_nothing(store: Any) -> None:
    beside = rectangle(INFO, (900, 910), (900, 910))
    store.apply("scene", [Added(drawn(INFO, 8, Tag())), Added(drawn(INFO, 9, beside))], author="ann")
    found = changed_since(store, GRID, SHOWN, until=2)
    assert found is not None
    assert (found.boxes, found.changed) == ((), {UUID(int=8), UUID(int=9)})


def test_what_left_an_instance_dirties_all_of_it_where_objects_are_told(store: Any) -> None:
    store.apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    plain, objects = (changed_since(store, GRID, replace(SHOWN, mode=m), until=2) for m in ("semantic", "instance"))
    assert plain is not None
    assert objects is not None
    assert plain.boxes == (around(20),)
    assert objects.boxes == (around(20), around(100))


def test_pens_reach_beyond_shapes(store: Any) -> None:
    store.apply("scene", [Removed(UUID(int=3), 1)], author="ann")
    wide = replace(SCHEMA, labels=tuple(replace(one, width=10.0) for one in SCHEMA.labels))
    found = changed_since(store, GRID, replace(SHOWN, palette=Palette.of(wide)), until=2)
    assert found is not None
    assert found.boxes == (around(200).pad(10),)


def test_very_many_changes_are_all_of_it(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirt, "MOST_CHANGES", 1)
    store.apply("scene", [Removed(UUID(int=1), 1), Removed(UUID(int=2), 1)], author="ann")
    assert changed_since(store, GRID, SHOWN, until=2) is None
    assert changed_since(store, GRID, replace(SHOWN, revision=None), until=2) is None


@pytest.mark.parametrize(
    "facts",
    [{"pending": None}, {"revision": None}, {"rule": "all-touched"}, {"fill_between": True}, {"unknown": ("house",)}],
)
def test_what_makes_all_of_a_layer_stale(store: Any, facts: dict[str, Any]) -> None:
    assert stale(store, GRID, replace(SHOWN, **facts), SHOWN, until=1) is None


def test_what_was_begun_and_what_was_reviewed_is_stale(store: Any) -> None:
    begun = IndexBox((5, 5), (9, 9))
    region = "box 300 300 350 350"
    found = stale(store, GRID, replace(SHOWN, pending=(begun,)), replace(SHOWN, reviewed=(region,)), until=1)
    assert found is not None
    assert found.boxes == (begun, IndexBox((300 - MARGIN,) * 2, (350 + MARGIN,) * 2))


def test_regions_that_stayed_are_no_news() -> None:
    outline = rectangle(INFO, (50, 60), (50, 60)).geometry
    drawn_region = shapely.to_wkb(outline, hex=True)
    assert review_boxes(GRID, ("box 0 0 9 9", drawn_region), ("box 0 0 9 9", drawn_region)) == []
    assert review_boxes(GRID, (), (drawn_region,)) == [around(50)]

"""A ledger says which tiles still hold, and when in doubt that they do not."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Edited, Removed
from bigimage.model.mask import Mask
from bigimage.model.shape import Polygon, Shape, Tag
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from tilesrv import ledger as module
from tilesrv.ledger import Ledger

FRAME = PixelFrame("scene")
GRID = Grid.from_transform((1, 0, 0, 0, 1, 0), (1000, 1000), FRAME)
LEFT, RIGHT = (WorldBox((x, 0), (x + 100, 100), FRAME) for x in (0, 500))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "annotations.db")
    yield made
    made.close()


def annotation(number: int, shape: Shape) -> Annotation:
    return Annotation(id=UUID(int=number), image="scene", label="a", shape=shape, frame=FRAME)


def square(x: float) -> Polygon:
    return Polygon(shapely.box(x, 10, x + 20, 30))


def test_an_image_without_annotations_has_a_state(store: SqlStore) -> None:
    ledger = Ledger(store, "scene")
    mark = ledger.freshen()
    assert ledger.holds(mark, [LEFT], ())
    assert ledger.freshen() == mark


def test_only_boxes_that_changed_stop_holding(store: SqlStore) -> None:
    ledger = Ledger(store, "scene")
    before = ledger.freshen()
    store.apply("scene", [Added(annotation(1, square(20)))], author="a")
    added = ledger.freshen()
    assert not ledger.holds(before, [LEFT], ())
    assert ledger.holds(before, [RIGHT], ())
    store.apply("scene", [Edited(annotation(1, square(520)), 1)], author="a")
    moved = ledger.freshen()
    assert not ledger.holds(added, [LEFT], ())  # it was there
    assert not ledger.holds(added, [RIGHT], ())  # it is there
    store.apply("scene", [Added(annotation(2, Tag()))], author="a")
    tagged = ledger.freshen()
    assert ledger.holds(moved, [LEFT, RIGHT], ())
    store.apply("scene", [Removed(UUID(int=1), 2)], author="a")
    ledger.freshen()
    assert not ledger.holds(tagged, [RIGHT], ())
    assert ledger.holds(tagged, [LEFT], ())


def test_strokes_change_the_whole_mask(store: SqlStore) -> None:
    ledger = Ledger(store, "scene")
    mask = Mask.of(GRID, np.ones((20, 300), np.bool_), (10, 10))
    store.apply("scene", [Added(annotation(1, mask))], author="a")
    mark = ledger.freshen()
    stroke = Mask.of(GRID, np.ones((5, 5), np.bool_), (50, 520))
    store.apply("scene", [BrushPatch(UUID(int=1), "add", stroke)], author="a")
    ledger.freshen()
    assert not ledger.holds(mark, [RIGHT], ())
    assert not ledger.holds(mark, [LEFT], ())  # its version is told there
    assert not ledger.holds(mark, [WorldBox((0, 900), (9, 999), FRAME)], (UUID(int=1),))
    assert ledger.holds(mark, [WorldBox((0, 900), (9, 999), FRAME)], ())


def test_too_many_changes_make_everything_doubtful(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    ledger = Ledger(store, "scene")
    mark = ledger.freshen()
    store.load("scene", [annotation(k, square(20)) for k in range(1, 6)], author="a")
    now = ledger.freshen()
    assert not ledger.holds(mark, [RIGHT], ())
    assert ledger.holds(now, [LEFT, RIGHT], ())


def test_what_is_remembered_is_bounded(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 4)
    ledger = Ledger(store, "scene")
    marks = [ledger.freshen()]
    for k in range(1, 8):
        store.apply("scene", [Added(annotation(k, square(20)))], author="a")
        marks.append(ledger.freshen())
    assert not ledger.holds(marks[0], [RIGHT], ())  # too long ago to know
    assert ledger.holds(marks[-2], [RIGHT], ())
    assert not ledger.holds(marks[-2], [LEFT], ())


def test_another_history_with_the_same_number_is_not_taken_for_the_known_one(store: SqlStore, tmp_path: Path) -> None:
    ledger = Ledger(store, "scene")
    store.apply("scene", [Added(annotation(1, square(20)))], author="a")
    mark = ledger.freshen()
    other = open_store(tmp_path / "other.db")
    other.apply("scene", [Added(annotation(2, square(520)))], author="b")
    assert Ledger(other, "scene").freshen() != mark
    ledger._store = other  # as after a restore in place
    now = ledger.freshen()
    assert now != mark
    assert not ledger.holds(mark, [RIGHT], ())
    assert ledger.holds(now, [LEFT, RIGHT], ())
    other.close()

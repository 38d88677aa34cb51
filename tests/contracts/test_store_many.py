"""What every store does with more changes than are held at a time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import pytest

from bigimage import waiting
from bigimage.errors import BackendError, Conflict, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Change, Edited, Removed
from bigimage.store import journal, sql
from bigimage.store.door import Difference
from bigimage.store.revert import revert_author, revert_to
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.unit.model.examples import SCENE, annotation, mask, square, uid

E, N = 500_000.0, 5_400_000.0
MANY = 60


def drawn(number: int, *, x: float = 0, **fields: Any) -> Annotation:
    return annotation(square(E + x, N, 4), number=number, **fields)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few dozen are many."""
    monkeypatch.setattr(sql, "PART", 7)
    monkeypatch.setattr(journal, "PAGE", 9)


def content(store: SqlStore, *, at: int | None = None) -> dict[object, object]:
    return {a.id: a.content() for a in store.query("scene", at=at)}


def test_they_become_one_revision(store: SqlStore) -> None:
    made = store.apply_all("scene", (Added(drawn(k)) for k in range(MANY)), author="ann")
    assert made is not None
    assert (made.revision.number, made.revision.author, made.changes) == (1, "ann", MANY)
    assert len(list(store.query("scene"))) == MANY
    # of one annotation the later change builds on the earlier, in whatever parts they come
    chain = [Edited(drawn(1, x=v), v) for v in range(1, 20)]
    made = store.apply_all("scene", iter(chain), author="bob")
    assert made is not None
    assert (made.revision.number, made.changes) == (2, 19)
    assert store.get(uid(1)).version == 20
    assert [len(store.history(uid(k))) for k in (1, 2)] == [20, 1]
    assert verify(store) == []


def test_nothing_is_no_revision(store: SqlStore) -> None:
    assert store.apply_all("scene", iter(()), author="ann") is None
    assert store.images() == {}
    with pytest.raises(NotFound, match="has no annotations"):
        store.apply_all("scene", [Removed(uid(1), 1)], author="ann")


def test_a_clash_in_the_last_part_stores_nothing(store: SqlStore) -> None:
    store.load("scene", [drawn(k) for k in range(MANY)], author="ann")
    changes: list[Change] = [Removed(uid(k), 1) for k in range(MANY - 1)]
    with pytest.raises(Conflict, match="is at version 1") as caught:
        store.apply_all("scene", [*changes, Removed(uid(MANY - 1), 2)], author="bob")
    clashes: Any = caught.value.clashes
    assert [c.id for c in clashes] == [uid(MANY - 1)]
    assert len(list(store.query("scene"))) == MANY
    assert len(store.revisions("scene")) == 1


def test_what_fails_while_it_is_read_stores_nothing(store: SqlStore) -> None:
    store.load("scene", [drawn(k) for k in range(MANY)], author="ann")

    def broken() -> Iterator[Change]:
        yield from (Removed(uid(k), 1) for k in range(MANY))
        raise BackendError("gone")

    with pytest.raises(BackendError, match="gone"):
        store.apply_all("scene", broken(), author="bob")
    assert len(list(store.query("scene"))) == MANY


def test_a_full_disk_is_told(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.load("scene", [drawn(1)], author="ann")
    monkeypatch.setattr(waiting.tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("w+b"))  # pyright: ignore[reportUnknownLambdaType]  # noqa: SIM115
    with pytest.raises(BackendError, match="free space there"):
        store.apply_all("scene", [Removed(uid(1), 1)], author="bob")
    assert store.get(uid(1)).version == 1


def test_few_are_held_at_a_time(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.load("scene", [drawn(k) for k in range(MANY)], author="ann")
    store.apply_all("scene", [Removed(uid(k), 1) for k in range(MANY)], author="bob")
    held: WeakValueDictionary[UUID, Annotation] = WeakValueDictionary()
    most = 0
    differences = store.journal.differences

    def watched(*given: Any, **options: Any) -> Iterator[Difference]:
        nonlocal most
        for difference in differences(*given, **options):
            assert difference.before is not None
            held[difference.id] = difference.before
            most = max(most, len(held))
            yield difference

    monkeypatch.setattr(store.journal, "differences", watched)
    done = revert_to(store, "scene", to=1, author="cy")
    assert (done.changes, len(content(store))) == (MANY, MANY)
    assert most <= 9 + 9 + 7 + 1  # two pages, one part, and the one that is handed on


def test_going_back_and_forth_over_many(store: SqlStore) -> None:
    store.load("scene", [drawn(k, score=0.5) for k in range(MANY)], author="ann")
    store.apply_all("scene", [Edited(drawn(k, x=8, label="boat"), 1) for k in range(0, MANY, 2)], author="bob")
    store.apply_all("scene", [Removed(uid(k), 1 + (k % 2 == 0)) for k in range(0, MANY, 3)], author="cy")
    states = [content(store, at=k) for k in range(4)]
    for to in (0, 2, 1, 3):
        done = revert_to(store, "scene", to=to, author="rev")
        assert done.revision is not None
        assert content(store) == states[to]
    done = revert_author(store, "scene", "rev", author="dee", since=3)
    assert done.kept == ()
    assert content(store) == states[3]
    assert verify(store) == []


def test_masks_go_back_in_parts_too(store: SqlStore) -> None:
    masks = [annotation(mask(SCENE, start=(8 * k, 8)), number=k) for k in range(12)]
    store.apply_all("scene", (Added(m) for m in masks), author="ann")
    more = mask(SCENE, start=(200, 200))
    store.apply_all("scene", (BrushPatch(m.id, "add", more, None) for m in masks), author="bob")
    assert revert_to(store, "scene", to=1, author="cy").changes == 12
    assert content(store) == {m.id: replace(m, version=1).content() for m in masks}
    assert not store.read_mask(masks[0].id, IndexBox((200, 200), (204, 204))).any()
    assert verify(store) == []

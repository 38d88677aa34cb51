"""What every store remembers."""

from datetime import UTC, datetime

import pytest

from bigimage.errors import Conflict, NotFound
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, Change, Edited, Removed
from bigimage.model.labels import Label, Schema, merge, rename
from bigimage.model.problem import Invalid
from bigimage.model.shape import Tag
from bigimage.model.where import Where
from bigimage.store.sql import SqlStore
from tests.contracts.test_store import at, numbers, window
from tests.unit.model.examples import annotation, square, uid


@pytest.fixture
def past(store: SqlStore) -> SqlStore:
    """Five revisions: 1 adds two, 2 adds one, 3 moves the first, 4 removes the second, 5 brings it back elsewhere."""
    steps: list[tuple[list[Change], str]] = [
        ([Added(at(0, 0, number=1)), Added(at(100, 0, number=2, label="tree"))], "ann"),
        ([Added(at(200, 0, number=3, instance="i"))], "bob"),
        ([Edited(at(0, 500, number=1, label="road"), 1)], "bob"),
        ([Removed(uid(2), 1)], "cy"),
        ([Edited(at(100, 500, number=2, t=3), 2)], "ann"),
    ]
    for changes, author in steps:
        store.apply("scene", changes, author=author)
    return store


NORTH, SOUTH = window(-10, -50, 1000, 50), window(-10, 450, 1000, 550)


@pytest.mark.parametrize(
    ("revision", "north", "south"),
    [
        (0, [], []),
        (1, [1, 2], []),
        (2, [1, 2, 3], []),
        (3, [2, 3], [1]),
        (4, [3], [1]),
        (5, [3], [1, 2]),
        (99, [3], [1, 2]),
    ],
)
def test_every_revision_can_be_seen(past: SqlStore, revision: int, north: list[int], south: list[int]) -> None:
    assert numbers(past.query("scene", NORTH, at=revision)) == north
    assert numbers(past.query("scene", SOUTH, at=revision)) == south
    assert numbers(past.query("scene", at=revision)) == sorted(north + south)


def test_a_past_state_is_whole(past: SqlStore) -> None:
    (first,) = (a for a in past.query("scene", at=2) if a.id == uid(1))
    assert first.content() == at(0, 0, number=1)
    assert (first.version, first.author, first.editor) == (1, "ann", "ann")
    (moved,) = (a for a in past.query("scene", at=4) if a.id == uid(1))
    assert moved == past.get(uid(1))


def test_conditions_hold_for_past_states(past: SqlStore) -> None:
    def found(revision: int, **where: object) -> list[int]:
        return numbers(past.query("scene", where=Where(**where), at=revision))  # pyright: ignore[reportArgumentType]

    assert found(2, labels=frozenset({"house"})) == [1, 3]
    assert found(3, labels=frozenset({"house"})) == [3]
    assert found(3, labels=frozenset({"tree"})) == [2]
    assert found(5, labels=frozenset({"tree"})) == []
    assert found(4, authors=frozenset({"ann"})) == [1]
    assert found(2, authors=frozenset({"ann"})) == [1, 2]
    assert found(2, instance="i") == [3]
    assert found(2, t=0) == [1, 2, 3]
    assert found(5, t=0) == [1, 3]
    assert found(2, ids=frozenset({uid(2), uid(3)})) == [2, 3]
    assert found(4, ids=frozenset({uid(2), uid(3)})) == [3]
    assert found(2, min_size=5.0) == []
    assert found(2, min_size=3.0) == [1, 2, 3]


def test_pages_of_a_past_state(past: SqlStore) -> None:
    assert [a.id for a in past.query("scene", at=3, limit=2)] == [uid(1), uid(2)]
    assert [a.id for a in past.query("scene", at=3, limit=2, after=uid(2))] == [uid(3)]


def test_the_log_tells_each_change(past: SqlStore) -> None:
    log = list(past.changes("scene"))
    assert [(e.revision.number, e.revision.author, type(e.change).__name__, e.version) for e in log] == [
        (1, "ann", "Added", 1),
        (1, "ann", "Added", 1),
        (2, "bob", "Added", 1),
        (3, "bob", "Edited", 2),
        (4, "cy", "Removed", 2),
        (5, "ann", "Edited", 3),
    ]
    assert [e.revision.number for e in past.changes("scene", since=2)] == [3, 4, 5]
    assert [e.revision.number for e in past.changes("scene", since=1, until=3)] == [2, 3]
    assert [e.revision.number for e in past.changes("scene", limit=3)] == [1, 1, 2]
    assert list(past.changes("scene", since=5)) == []
    assert [e.revision.time for e in log] == sorted(e.revision.time for e in log)


def test_a_change_tells_all_that_it_touched(past: SqlStore) -> None:
    extents = [e.extent for e in past.changes("scene", since=2)]
    before, after = square(500_000, 5_400_000, 4), square(500_000, 5_399_500, 4)
    assert extents[0] == (after.geometry.bounds[:2], before.geometry.bounds[2:])
    assert extents[1] == ((500_100, 5_400_000), (500_104, 5_400_004))
    assert extents[2] == ((500_100, 5_399_500), (500_104, 5_399_504))
    past.apply("scene", [Added(annotation(Tag(), number=7))], author="ann")
    assert [e.extent for e in past.changes("scene", since=5)] == [None]


def test_the_history_of_one(past: SqlStore) -> None:
    history = past.history(uid(2))
    assert [(e.version, e.revision.number, e.revision.author) for e in history] == [
        (1, 1, "ann"),
        (2, 4, "cy"),
        (3, 5, "ann"),
    ]
    first, gone, back = (e.change for e in history)
    assert isinstance(first, Added)
    assert first.annotation.content() == at(100, 0, number=2, label="tree")
    assert gone == Removed(uid(2), 1)
    assert isinstance(back, Edited)
    assert back.base == 2
    assert back.annotation == past.get(uid(2))
    with pytest.raises(NotFound, match="there is no annotation"):
        past.history(uid(77))


def test_a_version_can_be_read(past: SqlStore) -> None:
    assert past.get(uid(2), version=1).content() == at(100, 0, number=2, label="tree")
    assert past.get(uid(2), version=3) == past.get(uid(2))
    with pytest.raises(NotFound, match="was removed in version 2"):
        past.get(uid(2), version=2)
    with pytest.raises(NotFound, match="has no version 4"):
        past.get(uid(2), version=4)


def test_revisions_of_moments(past: SqlStore) -> None:
    latest = past.revision("scene")
    assert latest is not None
    assert latest.number == 5
    third = past.revision("scene", at=3)
    assert third is not None
    assert (third.number, third.author) == (3, "bob")
    assert past.revision("scene", at=latest.time) == latest
    assert past.revision("scene", at=0) is None
    assert past.revision("scene", at=datetime(2000, 1, 1, tzinfo=UTC)) is None


def content(found: Annotation | None) -> Annotation | None:
    return None if found is None else found.content()


def test_differences_between_then_and_now(past: SqlStore) -> None:
    past.apply("scene", [Removed(uid(3), 1), Added(at(300, 0, number=4))], author="bob")
    found = {d.id: (content(d.before), content(d.after), d.version) for d in past.differences("scene", since=2)}
    assert found == {
        uid(1): (at(0, 0, number=1), at(0, 500, number=1, label="road"), 2),
        uid(2): (at(100, 0, number=2, label="tree"), at(100, 500, number=2, t=3), 3),
        uid(3): (at(200, 0, number=3, instance="i"), None, 2),
        uid(4): (None, at(300, 0, number=4), 1),
    }
    assert {d.id for d in past.differences("scene", since=2, box=window(90, -20, 250, 20))} == {uid(2), uid(3)}
    assert {d.id for d in past.differences("scene", since=2, box=window(90, 480, 250, 520))} == {uid(2)}
    assert list(past.differences("scene", since=6)) == []
    assert list(past.differences("nowhere", since=0)) == []


def test_what_came_and_went_in_between_makes_no_difference(past: SqlStore) -> None:
    past.apply("scene", [Added(at(0, 0, number=8))], author="ann")
    past.apply("scene", [Removed(uid(8), 1)], author="ann")
    assert list(past.differences("scene", since=5)) == []


def test_many_differences_come_in_pages(store: SqlStore) -> None:
    store.apply("scene", [Added(at(k % 50 * 10, k // 50 * 10, number=k)) for k in range(1100)], author="ann")
    store.apply("scene", [Edited(at(0, 0, number=k), 1) for k in range(0, 1100, 2)], author="bob")
    found = list(store.differences("scene", since=1))
    assert [d.id for d in found] == [uid(k) for k in range(0, 1100, 2)]
    assert len(list(store.changes("scene"))) == 1650


def test_a_reader_sees_one_state_while_others_write(store: SqlStore) -> None:
    store.apply("scene", [Added(at(k, 0, number=k)) for k in range(5000)], author="ann")
    reading = store.query("scene")
    first = next(reading)
    store.apply("scene", [Removed(uid(k), 1) for k in range(1, 5000, 2)], author="bob")
    assert len([first, *reading]) == 5000
    assert len(list(store.query("scene"))) == 2500


def test_a_reader_that_stops_lets_go(store: SqlStore) -> None:
    store.apply("scene", [Added(at(k, 0, number=k)) for k in range(2100)], author="ann")
    for _ in range(70):
        reading = store.query("scene")
        next(reading)
        reading.close()
    assert store.database.engine.pool.checkedout() == 0  # pyright: ignore[reportAttributeAccessIssue]


# ---- schema

FIRST = Schema(labels=(Label(name="house", value=1), Label(name="tree", value=2)))


def test_schemas_are_versioned(store: SqlStore) -> None:
    assert store.schema() is None
    first = store.set_schema(FIRST, author="ann")
    assert first.version == 1
    second = store.set_schema(rename(first, "house", "building"), author="ann", base=1)
    assert second.version == 2
    assert store.schema() == second
    assert store.schema(1) == first
    third = store.set_schema(merge(second, ["tree"], "building"), author="bob")
    assert third.resolve("tree").name == third.resolve("house").name == "building"
    with pytest.raises(NotFound, match="no version 9"):
        store.schema(9)


def test_schemas_that_cannot_follow_are_refused(store: SqlStore) -> None:
    store.set_schema(FIRST, author="ann")
    with pytest.raises(Invalid) as caught:
        store.set_schema(Schema(labels=(Label(name="house", value=2), Label(name="lake", value=1))), author="ann")
    assert {p.place for p in caught.value.details} == {"labels/0/value", "labels/1/value"}
    with pytest.raises(Invalid):
        store.set_schema(Schema(labels=(Label(name="house", value=0),)), author="ann")
    with pytest.raises(Conflict, match="is at version 1, your change was made from version 0"):
        store.set_schema(FIRST, author="ann", base=0)
    assert store.schema() is not None
    latest = store.schema()
    assert latest is not None
    assert latest.version == 1


def test_a_box_in_the_past_may_hold_what_has_moved_away(past: SqlStore) -> None:
    corner = WorldBox((500_000, 5_400_000), (500_001, 5_400_001), NORTH.frame)
    assert numbers(past.query("scene", corner, at=2)) == [1]
    assert numbers(past.query("scene", corner)) == []


def test_revisions_are_listed_with_the_number_of_their_changes(past: SqlStore) -> None:
    steps = past.revisions("scene")
    assert [(s.revision.number, s.revision.author, s.changes) for s in steps] == [
        *((5, "ann", 1), (4, "cy", 1), (3, "bob", 1), (2, "bob", 1), (1, "ann", 2))
    ]
    assert steps[0].revision == past.revision("scene")
    assert past.revisions("scene", since=2, limit=2) == steps[:2]
    assert past.revisions("scene", since=9) == past.revisions("elsewhere") == []

"""What every store does with changes and queries."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.errors import Conflict, FrameMismatch, InputError, NotFound
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.change import Added, Applied, BrushPatch, Clash, Edited, Once, Removed, Stored
from bigimage.model.shape import Point, Polygon, Shape, Tag
from bigimage.model.where import Slab, Where
from bigimage.store import writing
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.unit.model.examples import (
    BODY_SHAPES,
    MAP_SHAPES,
    PATIENT,
    PIXELS,
    SCENE,
    UTM,
    annotation,
    mask,
    square,
    uid,
)

E, N = 500_000.0, 5_400_000.0


def add(store: SqlStore, *annotations: Annotation, author: str = "ann") -> Applied:
    return store.apply(annotations[0].image, [Added(a) for a in annotations], author=author)


def at(x: float, y: float, *, number: int, side: float = 4, **fields: object) -> Annotation:
    """A square at pixels right of and below the corner of the scene."""
    return annotation(square(E + x, N - y, side), number=number, **fields)


def window(x0: float, y0: float, x1: float, y1: float) -> WorldBox:
    return WorldBox((E + x0, N - y1), (E + x1, N - y0), UTM)


def numbers(found: Iterable[Annotation]) -> list[int]:
    return sorted(a.id.int - (1 << 100) for a in found)


# ---- storing and reading back


def test_shapes_of_a_map_come_back_as_they_were(store: SqlStore) -> None:
    given = [annotation(shape, number=k) for k, shape in enumerate(MAP_SHAPES)]
    add(store, *given)
    found = list(store.query("scene"))
    assert [a.content() for a in found] == given
    assert [store.get(a.id) for a in given] == found


def test_shapes_of_a_volume_come_back_as_they_were(store: SqlStore) -> None:
    given = [annotation(shape, number=k, frame=PATIENT, image="scan") for k, shape in enumerate(BODY_SHAPES)]
    add(store, *given)
    assert [a.content() for a in store.query("scan")] == given


def test_everything_said_comes_back(store: SqlStore) -> None:
    said = annotation(
        square(),
        attributes={"floors": 3, "roof": ["flat", None, 0.5], "ö": True},
        t=4,
        origin="model:sam@2.1",
        score=0.25,
        instance="block 7",
        relations=(Relation("part of", uid(9)),),
        schema=2,
    )
    before = datetime.now(UTC)
    revision = add(store, said, author="ann").revision
    found = store.get(said.id)
    assert found.content() == said
    assert (found.version, found.author, found.editor) == (1, "ann", "ann")
    assert revision is not None
    assert found.created == found.modified == revision.time
    assert before - timedelta(milliseconds=1) <= revision.time <= datetime.now(UTC)


def test_plain_pixels_keep_their_frame(store: SqlStore) -> None:
    frame = replace(PIXELS, spacing=(0.25, 0.5))
    add(store, annotation(square(1, 2), frame=frame, image="plain"))
    assert [a.frame for a in store.query("plain")] == [frame]


def test_an_image_without_annotations_is_empty(store: SqlStore) -> None:
    assert list(store.query("scene")) == []
    assert list(store.query("scene", window(0, 0, 9, 9), at=3)) == []
    assert store.revision("scene") is None
    assert list(store.changes("scene")) == []
    assert store.images() == {}
    assert store.counts("scene", window(0, 0, 9, 9), size=4) == []
    assert store.columns("scene", window(0, 0, 9, 9)).ids == []


def test_an_edit_makes_a_version_and_keeps_the_author(store: SqlStore) -> None:
    add(store, at(0, 10, number=1), author="ann")
    moved = at(500, 500, number=1, label="tree")
    applied = store.apply("scene", [Edited(moved, 1)], author="bob")
    assert applied.results == (Stored(0, uid(1), 2),)
    found = store.get(uid(1))
    assert found.content() == moved
    assert (found.version, found.author, found.editor) == (2, "ann", "bob")
    assert found.created is not None
    assert found.modified is not None
    assert found.created < found.modified
    assert list(store.query("scene", window(0, 0, 20, 20))) == []
    assert numbers(store.query("scene", window(490, 480, 510, 510))) == [1]


def test_a_removed_annotation_is_gone_and_can_return(store: SqlStore) -> None:
    add(store, at(0, 10, number=1))
    store.apply("scene", [Removed(uid(1), 1)], author="bob")
    assert list(store.query("scene")) == []
    assert list(store.query("scene", window(0, 0, 20, 20))) == []
    with pytest.raises(NotFound, match="was removed; its history is kept"):
        store.get(uid(1))
    store.apply("scene", [Edited(at(0, 10, number=1), 2)], author="cy")
    found = store.get(uid(1))
    assert (found.version, found.author, found.editor) == (3, "ann", "cy")
    assert numbers(store.query("scene", window(0, 0, 20, 20))) == [1]


def test_revisions_are_dense_and_one_per_call(store: SqlStore) -> None:
    made = [add(store, at(0, 10, number=k), at(9, 10, number=k + 100)).revision for k in range(5)]
    assert [r.number for r in made if r is not None] == [1, 2, 3, 4, 5]
    assert store.revision("scene") == made[-1]
    assert store.apply("scene", [], author="ann") == Applied(None, ())
    assert store.images() == {"scene": made[-1]}


def test_revisions_of_images_are_their_own(store: SqlStore) -> None:
    add(store, at(0, 10, number=1))
    add(store, annotation(square(1, 1), number=2, frame=PIXELS, image="plain"))
    assert {name: r.number for name, r in store.images().items()} == {"plain": 1, "scene": 1}
    assert numbers(store.query("plain")) == [2]


def test_time_never_runs_backwards(store: SqlStore) -> None:
    ticks = iter([5_000_000_000, 3_000_000_000, 9_000_000_000])
    clocked = SqlStore(store.database, clock=lambda: next(ticks))
    times = [add(clocked, at(0, 10, number=k)).revision for k in range(3)]
    assert [r.time.timestamp() for r in times if r is not None] == [5, 5, 9]


# ---- conflicts


def test_a_stale_edit_is_refused_with_both_versions(store: SqlStore) -> None:
    add(store, at(0, 10, number=1))
    theirs, yours = at(9, 10, number=1), at(99, 10, number=1)
    store.apply("scene", [Edited(theirs, 1)], author="bob")
    with pytest.raises(Conflict, match="is at version 2; your change was made from version 1") as caught:
        store.apply("scene", [Added(at(0, 10, number=5)), Edited(yours, 1)], author="cy")
    (clash,) = caught.value.clashes
    assert isinstance(clash, Clash)
    assert (clash.position, clash.id, clash.yours, clash.version) == (1, uid(1), Edited(yours, 1), 2)
    assert clash.current == store.get(uid(1))
    assert numbers(store.query("scene")) == [1]
    assert store.revision("scene") is not None
    assert store.get(uid(1)).content() == theirs


@pytest.mark.parametrize(
    ("change", "version", "message"),
    [
        (Added(at(0, 10, number=1)), 1, "exists already, at version 1"),
        (Added(at(0, 10, number=2)), 2, "exists already, at version 2"),
        (Edited(at(0, 10, number=1), 0), 1, "is at version 1; your change was made from version 0"),
        (Edited(at(0, 10, number=1), 2), 1, "is at version 1; your change was made from version 2"),
        (Edited(at(0, 10, number=2), 1), 2, "is at version 2, where it was removed"),
        (Edited(at(0, 10, number=9), 1), 0, "does not exist"),
        (Removed(uid(1), 3), 1, "is at version 1"),
        (Removed(uid(2), 2), 2, "where it was removed"),
        (Removed(uid(9), 1), 0, "does not exist"),
        (BrushPatch(uid(3), "add", mask(SCENE), 4), 1, "is at version 1"),
        (BrushPatch(uid(9), "add", mask(SCENE)), 0, "does not exist"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_changes_that_clash(store: SqlStore, change: object, version: int, message: str) -> None:
    add(store, at(0, 10, number=1), at(0, 10, number=2), annotation(mask(SCENE), number=3))
    store.apply("scene", [Removed(uid(2), 1)], author="ann")
    with pytest.raises(Conflict, match=message) as caught:
        store.apply("scene", [change], author="bob")  # pyright: ignore[reportArgumentType]
    (clash,) = caught.value.clashes
    assert isinstance(clash, Clash)
    assert clash.version == version
    assert (clash.current is None) == (version != 1)


def test_clashing_changes_can_be_left_out(store: SqlStore) -> None:
    add(store, at(0, 10, number=1), at(0, 10, number=2))
    applied = store.apply(
        "scene",
        [Edited(at(5, 10, number=1), 7), Edited(at(5, 10, number=2), 1), Added(at(0, 0, number=3))],
        author="bob",
        skip_conflicts=True,
    )
    first, *rest = applied.results
    assert isinstance(first, Clash)
    assert rest == [Stored(1, uid(2), 2), Stored(2, uid(3), 1)]
    assert [store.get(uid(k)).version for k in (1, 2, 3)] == [1, 2, 1]
    nothing = store.apply("scene", [Edited(at(5, 10, number=1), 7)], author="bob", skip_conflicts=True)
    assert nothing.revision is None
    assert store.revision("scene") == applied.revision


def test_one_call_may_change_an_annotation_several_times(store: SqlStore) -> None:
    changes = [
        Added(at(0, 10, number=1)),
        Edited(at(5, 10, number=1), 1),
        Removed(uid(1), 2),
        Edited(at(7, 10, number=1), 3),
    ]
    applied = store.apply("scene", changes, author="ann")
    assert [r.version for r in applied.results] == [1, 2, 3, 4]
    assert store.get(uid(1)).content() == at(7, 10, number=1)
    assert [logged.change for logged in store.history(uid(1))][2] == Removed(uid(1), 2)
    with pytest.raises(Conflict):
        store.apply("scene", [Added(at(0, 0, number=2)), Added(at(0, 0, number=2))], author="ann")
    with pytest.raises(NotFound):
        store.get(uid(2))


@pytest.mark.parametrize("held", [1, 3, 20_000])
def test_many_changes_are_written_in_parts_as_one_revision(
    store: SqlStore, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "HELD", held)
    add(store, *(at(10 * k, 0, number=k) for k in range(5)))
    changes = [
        Added(at(0, 10, number=11)),
        Edited(at(3, 3, number=0), 1),
        Removed(uid(1), 1),
        Edited(at(5, 10, number=11), 1),
        Edited(at(9, 9, number=2), 7),  # stale
        Removed(uid(11), 2),
        Added(at(0, 10, number=12)),
        Edited(at(4, 4, number=11), 1),  # stale: an earlier change of this call was faster
        Removed(uid(3), 1),
        Edited(at(7, 7, number=1), 2),
    ]
    with pytest.raises(Conflict) as caught:
        store.apply("scene", changes, author="bob")
    assert [c.position for c in caught.value.clashes] == [4, 7]
    assert numbers(store.query("scene")) == [0, 1, 2, 3, 4]
    applied = store.apply("scene", changes, author="bob", skip_conflicts=True)
    assert [r.version for r in applied.results] == [1, 2, 2, 2, 1, 3, 1, 3, 2, 3]
    assert [type(r) is Clash for r in applied.results] == [k in (4, 7) for k in range(10)]
    assert applied.revision is not None
    assert applied.revision.number == 2
    assert store.revisions("scene")[0].changes == 8
    assert numbers(store.query("scene")) == [0, 1, 2, 4, 12]
    assert numbers(store.query("scene", window(6, 6, 8, 8))) == [1]
    assert [(log.version, log.revision.number) for log in store.history(uid(11))] == [(1, 2), (2, 2), (3, 2)]
    assert verify(store) == []


def test_what_does_not_belong_is_refused(store: SqlStore) -> None:
    add(store, at(0, 10, number=1))
    with pytest.raises(FrameMismatch, match="transform it first"):
        add(store, annotation(square(), number=2, frame=PIXELS))
    with pytest.raises(InputError, match="is of image 'other'"):
        store.apply("scene", [Added(at(0, 10, number=2, image="other"))], author="ann")
    with pytest.raises(InputError, match="not finite"):
        add(store, annotation(Point(shapely.Point(E, np.inf)), number=2))
    with pytest.raises(InputError, match="needs 2 coordinates"):
        add(store, annotation(Point(shapely.Point(E, N, 3)), number=2))
    with pytest.raises(InputError, match="not JSON"):
        add(store, at(0, 10, number=2, attributes={"a": float("nan")}))
    with pytest.raises(NotFound, match="image 'other' has no annotations"):
        store.apply("other", [Removed(uid(1), 1)], author="ann")
    add(store, at(0, 10, number=3, image="other"))
    with pytest.raises(InputError, match="belongs to another image"):
        store.apply("other", [Removed(uid(1), 1)], author="ann")
    with pytest.raises(InputError, match="is not an image id"):
        add(store, at(0, 10, number=4, image="Not An Id"))
    assert numbers(store.query("scene")) == [1]


# ---- idempotency


def test_the_same_request_is_stored_once(store: SqlStore) -> None:
    once = Once("key-1", b"digest")
    changes = [Added(at(0, 10, number=1)), Edited(at(0, 10, number=9), 1)]
    first = store.apply("scene", changes, author="ann", once=once, skip_conflicts=True)
    again = store.apply("scene", changes, author="ann", once=once, skip_conflicts=True)
    assert not first.replayed
    assert again.replayed
    assert again.revision == first.revision
    assert [(type(r), r.id, r.version) for r in again.results] == [(type(r), r.id, r.version) for r in first.results]
    assert len(list(store.changes("scene"))) == 1


def test_a_key_stands_for_one_request_of_one_person(store: SqlStore) -> None:
    store.apply("scene", [Added(at(0, 10, number=1))], author="ann", once=Once("k", b"1"))
    with pytest.raises(Conflict, match="idempotency key 'k' was used for another request"):
        store.apply("scene", [Added(at(0, 10, number=2))], author="ann", once=Once("k", b"2"))
    assert not store.apply("scene", [Added(at(0, 10, number=3))], author="bob", once=Once("k", b"2")).replayed


def test_a_refused_request_leaves_its_key_free(store: SqlStore) -> None:
    add(store, at(0, 10, number=1))
    with pytest.raises(Conflict):
        store.apply("scene", [Edited(at(1, 1, number=1), 5)], author="ann", once=Once("k", b"1"))
    assert not store.apply("scene", [Edited(at(1, 1, number=1), 1)], author="ann", once=Once("k", b"2")).replayed


# ---- queries


@pytest.fixture
def town(store: SqlStore) -> SqlStore:
    """A hundred squares on a lattice, ten by ten, 100 units apart; number 10*row + column."""
    labels = ("house", "tree", "road")
    for row in range(10):
        line = [
            at(100 * column, 100 * row, number=10 * row + column, label=labels[column % 3], t=row if row < 3 else None)
            for column in range(10)
        ]
        add(store, *line, author=("ann", "bob")[row % 2])
    return store


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (window(0, -50, 350, 150), [0, 1, 2, 3, 10, 11, 12, 13]),
        (window(4, -4, 4, -4), [0]),
        (window(4.01, -3, 99.99, 1000), []),
        (window(-1e6, -1e6, 1e6, 1e6), list(range(100))),
        (window(904, 900, 1e9, 1e9), [99]),
        (window(1e6, 1e6, 2e6, 2e6), []),
    ],
    ids=str,
)
def test_a_box_finds_what_touches_it(town: SqlStore, box: WorldBox, expected: list[int]) -> None:
    assert numbers(town.query("scene", box)) == expected


def test_boxes_in_another_crs_are_brought_over(town: SqlStore) -> None:
    geographic = window(-10, -20, 110, 10).to(GeoFrame(WGS84))
    assert numbers(town.query("scene", geographic)) == [0, 1]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(labels=frozenset({"road"})), [n for n in range(100) if n % 10 % 3 == 2]),
        (
            Where(labels=frozenset({"road", "unheard of"}), authors=frozenset({"bob"})),
            [12, 15, 18, 32, 35, 38, 52, 55, 58, 72, 75, 78, 92, 95, 98],
        ),
        (Where(labels=frozenset({"unheard of"})), []),
        (Where(authors=frozenset({"nobody"})), []),
        (Where(shapes=frozenset({"point", "ellipse"})), []),
        (Where(shapes=frozenset({"polygon"}), ids=frozenset({uid(5), uid(500)})), [5]),
        (Where(origins=frozenset({"import"})), []),
        (Where(t=1), [*range(10, 20), *range(30, 100)]),
        (Where(instance="x"), []),
        (Where(min_size=5.0), []),
        (Where(min_size=3.9, ids=frozenset(map(uid, range(3)))), [0, 1, 2]),
    ],
    ids=str,
)
def test_conditions(town: SqlStore, where: Where, expected: list[int]) -> None:
    assert numbers(town.query("scene", where=where)) == expected
    assert numbers(town.query("scene", window(-10, -10, 2000, 2000), where=where)) == expected
    if where.ids is None:
        assert town.count("scene", where=where) == len(expected)


def test_what_is_there_is_counted(town: SqlStore) -> None:
    assert town.count("scene") == 100
    assert town.count("elsewhere") == 0
    town.apply("scene", [Removed(uid(5), 1)], author="ann")
    assert town.count("scene") == 99
    for where in (Where(ids=frozenset({uid(5)})), Where(slab=Slab((0, 0, 0), (0, 0, 1), 1))):
        with pytest.raises(InputError, match="are counted; read them"):
            town.count("scene", where=where)


def test_moments_of_change(store: SqlStore) -> None:
    seconds = count(1)
    clocked = SqlStore(store.database, clock=lambda: next(seconds) * 1_000_000_000)
    for k in range(5):
        add(clocked, at(0, 10, number=k))

    def moment(second: float) -> datetime:
        return datetime.fromtimestamp(second, UTC)

    assert numbers(store.query("scene", where=Where(since=moment(3)))) == [2, 3, 4]
    assert numbers(store.query("scene", where=Where(until=moment(3)))) == [0, 1]
    assert numbers(store.query("scene", where=Where(since=moment(2), until=moment(4)))) == [1, 2]
    assert numbers(store.query("scene", where=Where(since=moment(9)))) == []
    assert numbers(store.query("scene", where=Where(until=moment(9)))) == [0, 1, 2, 3, 4]
    assert numbers(store.query("scene", at=moment(3.5))) == [0, 1, 2]
    assert numbers(store.query("scene", at=moment(0.5))) == []
    with pytest.raises(InputError, match="no time zone"):
        list(store.query("scene", at=datetime(2026, 1, 1)))


def test_instances_are_found_across_labels(store: SqlStore) -> None:
    add(store, at(0, 10, number=1, instance="a"), at(9, 10, number=2, instance="a", label="tree"), at(0, 0, number=3))
    assert numbers(store.query("scene", where=Where(instance="a"))) == [1, 2]


def test_pages_follow_the_order_of_storing(town: SqlStore) -> None:
    pages: list[list[int]] = []
    after: UUID | None = None
    while page := list(town.query("scene", limit=30, after=after)):
        pages.append([a.id.int - (1 << 100) for a in page])
        after = page[-1].id
    assert pages == [list(range(0, 30)), list(range(30, 60)), list(range(60, 90)), list(range(90, 100))]
    boxed = [a.id.int - (1 << 100) for a in town.query("scene", window(0, 0, 2000, 310), limit=3, after=uid(12))]
    assert boxed == [13, 14, 15]
    assert list(town.query("scene", limit=0)) == []
    with pytest.raises(InputError, match="never had it"):
        list(town.query("scene", after=uid(1234)))
    with pytest.raises(InputError, match="negative"):
        town.query("scene", limit=-1)


def test_a_removed_annotation_still_marks_a_page(town: SqlStore) -> None:
    town.apply("scene", [Removed(uid(29), 1)], author="ann")
    assert numbers(town.query("scene", limit=2, after=uid(29))) == [30, 31]


def test_many_names_are_looked_up(town: SqlStore) -> None:
    wanted = Where(ids=frozenset(map(uid, range(1200))))
    assert numbers(town.query("scene", where=wanted)) == list(range(100))
    assert [a.id for a in town.query("scene", where=wanted, limit=3, after=uid(4))] == [uid(5), uid(6), uid(7)]


def test_a_slab_finds_what_one_slice_shows(store: SqlStore) -> None:
    add(store, *[annotation(shape, number=k, frame=PATIENT, image="scan") for k, shape in enumerate(BODY_SHAPES)])
    slab = Slab((0, 0, 122.5), (0, 0, 1), 1.0)
    found = list(store.query("scan", where=Where(slab=slab)))
    assert numbers(found) == [2, 4, 5, 6, 8]
    box = WorldBox((-50, -50, 100), (50, 50, 200), PATIENT)
    assert numbers(store.query("scan", box, where=Where(slab=slab))) == numbers(found)
    assert [a.id for a in store.query("scan", where=Where(slab=slab), limit=2)] == [a.id for a in found[:2]]
    thin = WorldBox((0, 0, 139), (9, 9, 139.5), PATIENT)
    assert numbers(store.query("scan", thin)) == [1]
    with pytest.raises(InputError, match="2 coordinates does not fit"):
        list(store.query("scan", WorldBox((0, 0), (1, 1), PATIENT)))


def test_boxes_may_cross_the_antimeridian(store: SqlStore) -> None:
    frame = GeoFrame(WGS84)
    shapes: list[Shape] = [Polygon(shapely.box(x, 0, x + 1, 1)) for x in (-180, -170, 0, 170, 178)]
    add(store, *[annotation(s, number=k, frame=frame, image="globe") for k, s in enumerate(shapes)])
    assert numbers(store.query("globe", WorldBox((175, -5), (-175, 5), frame))) == [0, 4]
    assert numbers(store.query("globe", WorldBox((160, -5), (-165, 5), frame))) == [0, 1, 3, 4]


def test_tags_have_no_place(store: SqlStore) -> None:
    add(store, annotation(Tag(), number=1), at(0, 10, number=2))
    assert numbers(store.query("scene", window(-1e9, -1e9, 1e9, 1e9))) == [2]
    assert numbers(store.query("scene", where=Where(shapes=frozenset({"tag"})))) == [1]


def test_columns_hold_what_a_query_finds(town: SqlStore) -> None:
    add(town, at(50, 50, number=200, score=0.5, attributes={"a": 1}))
    box = window(0, -50, 350, 150)
    columns, found = town.columns("scene", box), {a.id: a for a in town.query("scene", box)}
    assert len(columns.ids) == len(found) == 9
    for k, id_ in enumerate(columns.ids):
        assert columns.names[columns.labels[k]] == found[id_].label
        assert shapely.equals_identical(columns.geometries[k], found[id_].shape.geometry)  # pyright: ignore
    place = columns.ids.index(uid(200))
    assert columns.scores[place] == 0.5
    assert columns.rest[place] == '{"attributes":{"a":1}}'
    assert np.isnan(columns.scores).sum() == 8
    stored = [a.id for a in town.query("scene") if a.id in found]
    assert [columns.ids[k] for k in np.argsort(columns.places)] == stored
    times = [found[k].t for k in columns.ids]
    assert columns.times.tolist() == [-1 if t is None else t for t in times]
    assert len(town.columns("scene", box, where=Where(labels=frozenset({"road"}))).ids) == 2
    assert len(town.columns("scene", box, limit=4).ids) == 4


def test_counts_and_columns_leave_nothing_out(town: SqlStore) -> None:
    add(town, at(30, 40, number=300, side=70), at(40, 40, number=301, side=40, label="tree"))
    for size in (4.5, 16, 50, 64, 300, 5000):
        box = window(-10, -10, 2000, 2000)
        small = sum(c.count for c in town.counts("scene", box, size=size))
        large = len(town.columns("scene", box, where=Where(min_size=size)).ids)
        assert small + large == 102
    counted = {(c.minimum, c.label): c.count for c in town.counts("scene", window(0, 0, 10, 10), size=256)}
    assert all(size == 256 for size in {c.size for c in town.counts("scene", window(0, 0, 10, 10), size=200)})
    assert sum(counted.values()) == sum(
        1
        for a in town.query("scene")
        if (E // 256) * 256 <= a.shape.geometry.centroid.x < (E // 256 + 1) * 256  # pyright: ignore
        and any(
            low <= a.shape.geometry.centroid.y < low + 256  # pyright: ignore
            for low in {c.minimum[1] for c in town.counts("scene", window(0, 0, 10, 10), size=256)}
        )
    )
    with pytest.raises(InputError, match="too small"):
        town.counts("scene", window(0, 0, 2000, 2000), size=1e-3)
    with pytest.raises(InputError, match="must be positive"):
        town.counts("scene", window(0, 0, 9, 9), size=0)

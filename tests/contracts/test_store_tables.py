"""What every store makes of tables: the same as of their rows."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from bigimage.errors import Conflict, FrameMismatch, InputError
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Line, Point, Polygon
from bigimage.store import loading, runs
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.contracts.test_store import E, N, at, numbers, window
from tests.tables import table_of
from tests.unit.model.examples import MAP_SHAPES, annotation, square, uid


def varied(count: int, *, first: int = 0) -> list[Annotation]:
    """Plain shapes of many sizes all over the scene, with everything that a table holds."""
    rng = np.random.default_rng(count + first)
    out: list[Annotation] = []
    for k in range(count):
        x, y, reach = E + rng.uniform(0, 1500), N - rng.uniform(0, 1000), rng.uniform(0.5, 80)
        shapes = (
            Polygon(shapely.Point(x, y).buffer(reach, quad_segs=3)),
            Polygon(shapely.Point(x, y).buffer(reach).difference(shapely.Point(x, y).buffer(reach / 2))),  # pyright: ignore[reportArgumentType]
            Point(shapely.Point(x, y)),
            Line(shapely.LineString([(x, y), (x + reach, y)])),
        )
        out.append(
            annotation(
                shapes[k % 4],
                number=first + k,
                label=("house", "tree", "ö")[k % 3],
                attributes={"k": k, "text": "ü" * (k % 5)} if k % 2 else {},
                t=k % 4 or None,
                origin=("import", "model:m@1")[k % 2],
                score=None if k % 3 else k / 1000,
                instance=None if k % 7 else f"object {k}",
                schema=2,
            )
        )
    return out


def same(a: Annotation) -> Annotation:
    return a.content()


@pytest.mark.parametrize("run", [50_000, 64])
def test_rows_become_what_they_are_one_by_one(
    store: SqlStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    for module in (loading, runs):
        monkeypatch.setattr(module, "RUN", run)
    monkeypatch.setattr(loading, "PART", 16)
    made = varied(400)
    other = open_store(tmp_path_factory.mktemp("other") / "slow.db")
    other.load("scene", made, author="ann")
    store.load("scene", [table_of(made[:150]), *made[150:170], table_of(made[170:])], author="ann")
    assert [same(a) for a in store.query("scene")] == [same(a) for a in other.query("scene")]
    assert [x.version for x in store.changes("scene")] == [1] * 400
    for log, expected in zip(store.changes("scene"), other.changes("scene"), strict=True):
        assert isinstance(log.change, Added)
        assert isinstance(expected.change, Added)
        assert same(log.change.annotation) == same(expected.change.annotation)
        assert (log.extent, log.revision.number) == (expected.extent, 1)
    for box in (window(100, 100, 300, 400), window(0, 0, 40, 40)):
        assert numbers(store.query("scene", box)) == numbers(other.query("scene", box))
        assert sorted(store.columns("scene", box).keys.tolist()) == sorted(other.columns("scene", box).keys.tolist())
        assert store.counts("scene", box, size=32) == other.counts("scene", box, size=32)
    assert {same(a) for a in map(freeze, store.query("scene"))} == {same(a) for a in map(freeze, made)}
    assert verify(store) == []
    other.close()


def freeze(a: Annotation) -> Annotation:
    """The annotation with attributes that can be hashed."""
    return replace(a, attributes=tuple(a.attributes.items()))  # pyright: ignore[reportArgumentType]


def test_what_lies_together_is_stored_together(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However annotations come, and in however many runs, their order in the log is that of a curve over the map."""
    made = [at(x, y, number=40 * y + x) for y in range(0, 1000, 25) for x in range(0, 1000, 25)]
    chance = np.random.default_rng(3)
    mixed = [made[k] for k in chance.permutation(len(made)).tolist()]
    for module in (loading, runs):
        monkeypatch.setattr(module, "RUN", 100)
    monkeypatch.setattr(loading, "PART", 50)
    store.load("scene", [table_of(mixed)], author="ann")
    places = np.sort(store.columns("scene", window(0, 0, 240, 240)).places)
    assert len(places) == 100
    assert np.count_nonzero(np.diff(places) > 1) < 30


def test_masks_and_other_shapes_go_along(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loading, runs):
        monkeypatch.setattr(module, "RUN", 4)
    monkeypatch.setattr(loading, "PART", 2)
    singles = [annotation(shape, number=k, schema=2) for k, shape in enumerate(MAP_SHAPES)]
    rows = varied(20, first=100)
    store.load("scene", [*singles[:6], table_of(rows), *singles[6:]], author="ann")
    expected = {a.id: a for a in [*singles, *rows]}
    assert {a.id: same(a) for a in store.query("scene")} == expected
    assert verify(store) == []


def test_nothing_is_stored_of_what_cannot_be(store: SqlStore) -> None:
    good = table_of(varied(5))
    store.load("scene", [good], author="ann")
    with pytest.raises(Conflict, match="ids are taken already"):
        store.load("scene", [table_of(varied(5, first=3))], author="ann")
    with pytest.raises(Conflict, match="2 ids come more than once"):
        store.load("scene", [table_of(varied(2, first=90)), table_of(varied(2, first=90))], author="ann")
    with pytest.raises(InputError, match="a table of 5 is of image 'scene', not 'other'"):
        store.load("other", [good], author="ann")
    with pytest.raises(FrameMismatch, match="transform it first"):
        store.load("scene", [replace(good, frame=GeoFrame(WGS84))], author="ann")
    odd = annotation(Line(shapely.LineString([(E, np.inf), (E, N)])), number=70)
    with pytest.raises(InputError, match="not finite"):
        store.load("scene", [table_of([odd])], author="ann")
    with pytest.raises(InputError, match="needs 2 coordinates"):
        store.load("scene", [table_of([annotation(Point(shapely.Point(E, N, 3)), number=71)])], author="ann")
    bad = annotation(square(), number=72, attributes={"a": float("nan")})
    with pytest.raises(InputError, match="not JSON values"):
        store.load("scene", [table_of([bad])], author="ann")
    assert numbers(store.query("scene")) == list(range(5))
    assert store.load("scene", [table_of(varied(5)).part(0, 0)], author="ann") is None
    assert store.revision("scene") == store.revision("scene", at=1)


def test_an_empty_shape_has_no_place(store: SqlStore) -> None:
    store.load("scene", [table_of([annotation(Polygon(shapely.Polygon())), at(0, 0, number=2)])], author="ann")
    assert numbers(store.query("scene")) == [1, 2]
    assert numbers(store.query("scene", window(-10, -10, 2000, 2000))) == [2]


def test_labels_of_rows_are_asked_for(store: SqlStore) -> None:
    store.set_schema(Schema(labels=(Label(name="house", value=1),)), author="ann")
    store.load("scene", [table_of(varied(9))], author="ann")
    assert store.get(uid(3)).label == "house"
    assert store.get(uid(1)).attributes == {"k": 1, "text": "ü"}

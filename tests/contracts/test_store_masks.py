"""What every store does with painted masks."""

import numpy as np
import pytest
import sqlalchemy as sa

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.grid import Grid
from bigimage.model.change import Added, BrushPatch, Edited, Removed
from bigimage.model.mask import Mask, MaskOp
from bigimage.model.shape import bounds
from bigimage.store import tables
from bigimage.store.sql import SqlStore
from tests.contracts.test_store import at
from tests.unit.model.examples import PATIENT, SCAN, SCENE, annotation, uid

RNG = np.random.default_rng(5)


def disc(center: tuple[int, ...], radius: int, grid: Grid = SCENE) -> Mask:
    start = [max(0, c - radius) for c in center]
    stop = [min(n, c + radius + 1) for c, n in zip(center, grid.shape, strict=True)]
    axes = np.meshgrid(*[np.arange(a, b) - c for a, b, c in zip(start, stop, center, strict=True)], indexing="ij")
    return Mask.of(grid, sum(a**2 for a in axes) <= radius**2, start)


def stroke(store: SqlStore, op: MaskOp, patch: Mask, *, base: int | None = None, image: str = "scene") -> None:
    store.apply(image, [BrushPatch(uid(1), op, patch, base)], author="bob")


def current(store: SqlStore) -> Mask:
    shape = store.get(uid(1)).shape
    assert isinstance(shape, Mask)
    return shape


def placed(store: SqlStore) -> bool:
    """Whether the mask is found at the corners of its box and not beyond."""
    found = bounds(current(store))
    assert found is not None
    frame = store.get(uid(1)).frame
    image = store.get(uid(1)).image
    outside = tuple(v - 0.01 for v in found[0])
    return [[a.id for a in store.query(image, WorldBox(p, p, frame))] for p in (found[0], found[1], outside)] == [
        [uid(1)],
        [uid(1)],
        [],
    ]


@pytest.mark.parametrize("where", ["scene", "scan"])
def test_strokes_add_and_subtract(store: SqlStore, where: str) -> None:
    grid, frame = (SCENE, SCENE.frame) if where == "scene" else (SCAN, PATIENT)
    middle = tuple(n // 2 for n in grid.shape)
    store.apply(where, [Added(annotation(disc(middle, 9, grid), number=1, frame=frame, image=where))], author="ann")
    expected = disc(middle, 9, grid)
    for _ in range(12):
        op: MaskOp = "add" if RNG.random() < 0.6 else "subtract"
        patch = disc(tuple(int(RNG.integers(0, n)) for n in grid.shape), int(RNG.integers(1, 15)), grid)
        if RNG.random() < 0.5:
            patch = disc(tuple(int(c + RNG.integers(-9, 9)) for c in middle), int(RNG.integers(1, 9)), grid)
        stroke(store, op, patch, image=where)
        expected = expected.paint(op, patch)
        assert current(store) == expected
        assert placed(store)
    assert store.get(uid(1)).version == 13


def test_a_mask_can_be_emptied_and_painted_again(store: SqlStore) -> None:
    store.apply("scene", [Added(annotation(disc((500, 500), 9), number=1))], author="ann")
    stroke(store, "subtract", disc((500, 500), 20))
    assert current(store) == Mask(SCENE, {})
    assert store.get(uid(1)).bounds is None
    stroke(store, "subtract", disc((500, 500), 2))
    stroke(store, "add", disc((1000, 700), 3))
    assert current(store) == disc((1000, 700), 3)
    assert placed(store)


def test_every_version_of_a_mask_can_be_seen(store: SqlStore) -> None:
    states = [disc((500, 500), 30)]
    store.apply("scene", [Added(annotation(states[0], number=1))], author="ann")
    for op, center, radius in (("add", (520, 530), 20), ("subtract", (500, 500), 25), ("add", (900, 900), 5)):
        stroke(store, op, disc(center, radius))
        states.append(states[-1].paint(op, disc(center, radius)))
    fresh = disc((100, 100), 4)
    store.apply("scene", [Edited(annotation(fresh, number=1), 4)], author="ann")
    stroke(store, "add", disc((110, 100), 4))
    states += [fresh, fresh.paint("add", disc((110, 100), 4))]
    for version, state in enumerate(states, 1):
        assert store.get(uid(1), version=version).shape == state
        assert [a.shape for a in store.query("scene", at=version)] == [state]
    store.apply("scene", [Removed(uid(1), 6)], author="ann")
    assert [a.shape for a in store.query("scene", at=6)] == [states[-1]]
    assert list(store.query("scene")) == []
    store.apply("scene", [Edited(annotation(states[2], number=1), 7)], author="ann")
    assert current(store) == states[2]
    assert [a.shape for a in store.query("scene", at=3)] == [states[2]]


def test_the_log_holds_the_strokes(store: SqlStore) -> None:
    store.apply("scene", [Added(annotation(disc((500, 500), 30), number=1))], author="ann")
    patch = disc((510, 500), 4)
    stroke(store, "subtract", patch)
    first, second = store.changes("scene")
    assert isinstance(first.change, Added)
    assert first.change.annotation.shape == disc((500, 500), 30)
    assert second.change == BrushPatch(uid(1), "subtract", patch, 1)
    assert second.extent == bounds(patch)


def test_a_stroke_costs_what_it_touches(store: SqlStore) -> None:
    whole = Mask.of(SCENE, RNG.random(SCENE.shape) < 0.5)
    store.apply("scene", [Added(annotation(whole, number=1))], author="ann")
    seen: list[int] = []

    def watch(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "chunk" in statement:
            seen.append(len(parameters) if isinstance(parameters, list) else 1)

    sa.event.listen(store.database.engine, "before_cursor_execute", watch)
    stroke(store, "add", disc((300, 300), 5))
    sa.event.remove(store.database.engine, "before_cursor_execute", watch)
    assert sum(seen) == 2  # one chunk deleted, one written, of a hundred
    with store.database.reading() as connection:
        sizes = (
            connection.execute(sa.select(sa.func.length(tables.entry.c.bits)).order_by(tables.entry.c.id))
            .scalars()
            .all()
        )
    assert sizes[1] < sizes[0] / 1000


def test_part_of_a_mask_can_be_read(store: SqlStore) -> None:
    whole = Mask.of(SCENE, RNG.random((700, 800)) < 0.5, (100, 200))
    store.apply("scene", [Added(annotation(whole, number=1)), Added(at(0, 0, number=2))], author="ann")
    for box in (IndexBox((250, 250), (300, 600)), IndexBox((0, 0), (2000, 3000)), IndexBox((-20, -20), (150, 260))):
        assert np.array_equal(store.read_mask(uid(1), box), whole.read(box))
    with pytest.raises(NotFound, match="is no mask"):
        store.read_mask(uid(2), IndexBox((0, 0), (5, 5)))
    store.apply("scene", [Removed(uid(1), 1)], author="ann")
    with pytest.raises(NotFound, match="was removed"):
        store.read_mask(uid(1), IndexBox((0, 0), (5, 5)))


def test_strokes_that_make_no_sense_are_refused(store: SqlStore) -> None:
    store.apply("scene", [Added(annotation(disc((500, 500), 9), number=1)), Added(at(0, 0, number=2))], author="ann")
    other = Grid.from_transform((1, 0, 500_000, 0, -1, 5_400_000), (1000, 1500), SCENE.frame)
    with pytest.raises(InputError, match="another grid"):
        stroke(store, "add", disc((500, 500), 9, other))
    with pytest.raises(InputError, match="is not a mask"):
        store.apply("scene", [BrushPatch(uid(2), "add", disc((500, 500), 9))], author="ann")
    assert store.get(uid(1)).version == 1


def test_a_mask_may_become_a_polygon_and_back(store: SqlStore) -> None:
    store.apply("scene", [Added(annotation(disc((500, 500), 9), number=1))], author="ann")
    store.apply("scene", [Edited(at(0, 0, number=1), 1)], author="ann")
    with store.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.chunk)).scalar() == 0
    store.apply("scene", [Edited(annotation(disc((600, 500), 9), number=1), 2)], author="ann")
    assert current(store) == disc((600, 500), 9)
    assert [a.shape for a in store.query("scene", at=1)] == [disc((500, 500), 9)]

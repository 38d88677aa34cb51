"""Random histories: every state that ever was can be seen, restored, backed up, and follows from the log."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Change, Edited, Removed, changed_id
from bigimage.model.mask import Mask, MaskOp
from bigimage.store.backup import backup, restore
from bigimage.store.opening import open_store
from bigimage.store.revert import revert_to
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.contracts.test_store import at, window
from tests.unit.model.examples import SCENE, annotation, uid

IDS = 5
PLACES = (0, 40, 700)
MADE = datetime(2026, 1, 2, tzinfo=UTC)
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

Step = tuple[str, int, int]
"""What is done, to which annotation, and where."""
steps = st.tuples(
    st.sampled_from(["put", "put", "put", "remove", "load", "revert"]),
    st.integers(0, IDS - 1),
    st.sampled_from(PLACES),
)
histories = st.lists(st.lists(steps, min_size=1, max_size=4), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, which is copied faster than made."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    open_store(path).close()
    return path


@pytest.fixture
def empty(template: Path, tmp_path: Path) -> Iterator["Fresh"]:
    fresh = Fresh(template, tmp_path)
    yield fresh
    fresh.close()


class Fresh:
    """Makes empty stores, one for each example."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template, self.folder, self.opened = template, folder, list[SqlStore]()

    def store(self) -> SqlStore:
        self.close()
        return self.another()

    def another(self) -> SqlStore:
        path = self.folder / f"{len(self.opened)}.db"
        for old in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            old.unlink(missing_ok=True)
        shutil.copy(self.template, path)
        self.opened.append(open_store(path))
        return self.opened[-1]

    def close(self) -> None:
        for store in self.opened:
            store.close()
        self.opened = []


@dataclass
class Model:
    """What the store should hold: states by revision, and the version of each annotation."""

    states: list[dict[UUID, Annotation]] = field(default_factory=lambda: [{}])
    versions: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def changes(self, wanted: list[Step]) -> list[Change]:
        """Changes of one call, and the state that they make."""
        state, out = dict(self.states[-1]), list[Change]()
        for what, number, place in wanted:
            id_ = uid(number)
            base = self.versions.get(id_, 0)
            if what == "put":
                made = at(place, place, number=number, attributes={"k": len(out)})
                out.append(Edited(made, base) if base else Added(made))
                state[id_] = made
            elif what == "remove" and id_ in state:
                out.append(Removed(id_, base))
                del state[id_]
            else:
                continue
            self.versions[id_] = base + 1
        if out:
            self.states.append(state)
        return out


def play(store: SqlStore, history: list[list[Step]]) -> Model:
    """Make a history in a store and in a model."""
    model, loads = Model(), 0
    for call in history:
        what, number, place = call[0]
        if what == "load":
            made = [at(place + 9 * k, place, number=100 + 10 * loads + k) for k in range(3)]
            loads += 1
            store.load("scene", made, author="robot")
            model.states.append(model.states[-1] | {a.id: a for a in made})
            model.versions |= {a.id: 1 for a in made}
        elif what == "revert" and len(model.states) > 1:
            target = number % len(model.states)
            done = revert_to(store, "scene", to=target, author="rev")
            if done.revision is not None:
                model.states.append(model.states[target])
                made_back = store.changes("scene", since=done.revision.number - 1)
                model.versions |= {changed_id(logged.change): logged.version for logged in made_back}
        elif changes := model.changes([s for s in call if s[0] in ("put", "remove")]):
            store.apply("scene", changes, author="ann")
    return model


def content(found: Iterator[Annotation]) -> dict[UUID, Annotation]:
    return {a.id: a.content() for a in found}


@quick
@given(history=histories)
def test_every_state_can_be_seen_and_follows_from_the_log(empty: Fresh, history: list[list[Step]]) -> None:
    store = empty.store()
    model = play(store, history)
    latest = store.revision("scene")
    assert (latest.number if latest else 0) == len(model.states) - 1
    box = window(-5, -5, 60, 60)
    for number, state in enumerate(model.states):
        assert content(store.query("scene", at=number)) == state
        near = {id_ for id_, a in state.items() if a.bounds is not None and _meets(a, box)}
        assert set(content(store.query("scene", box, at=number))) == near
    assert content(store.query("scene")) == model.states[-1]
    for id_, version in model.versions.items():
        log = store.history(id_)
        assert [entry.version for entry in log] == list(range(1, version + 1))
    assert verify(store) == []


def _meets(found: Annotation, box: object) -> bool:
    own = found.bounds
    assert own is not None
    low, high = own.minimum, own.maximum
    other = box
    return all(
        a <= d and b >= c
        for a, b, c, d in zip(low, high, other.minimum, other.maximum, strict=True)  # type: ignore[attr-defined]
    )


@quick
@given(history=histories, number=st.integers(0, 6))
def test_going_back_brings_any_state_back(empty: Fresh, history: list[list[Step]], number: int) -> None:
    store = empty.store()
    model = play(store, history)
    target = number % len(model.states)
    revert_to(store, "scene", to=target, author="rev")
    assert content(store.query("scene")) == model.states[target]
    assert content(store.query("scene", at=len(model.states) - 1)) == model.states[-1]
    assert revert_to(store, "scene", to=target, author="rev").revision is None
    assert verify(store) == []


@quick
@given(history=histories)
def test_a_restored_backup_is_the_same_database(empty: Fresh, history: list[list[Step]]) -> None:
    store = empty.store()
    model = play(store, history)
    file = empty.folder / "all.backup"
    made = backup(store.database, file, made=MADE)
    other = empty.another()
    assert restore(other.database, file) == made
    for number in range(len(model.states)):
        assert list(other.query("scene", at=number)) == list(store.query("scene", at=number))
    assert list(other.changes("scene")) == list(store.changes("scene"))
    assert list(other.revisions("scene")) == list(store.revisions("scene"))
    again = empty.folder / "again.backup"
    assert backup(other.database, again, made=MADE) == made
    assert again.read_bytes() == file.read_bytes()


strokes = st.lists(
    st.tuples(
        st.sampled_from(["add", "subtract"]),
        st.integers(0, 1940),
        st.integers(0, 2940),
        st.integers(1, 60),
        st.integers(1, 60),
        st.integers(0, 2**16),
    ),
    min_size=1,
    max_size=8,
)


@quick
@given(painted=strokes, back=st.integers(1, 9))
def test_masks_are_what_was_painted_at_every_version(
    empty: Fresh, painted: list[tuple[MaskOp, int, int, int, int, int]], back: int
) -> None:
    store = empty.store()
    truth = [np.zeros(SCENE.shape, dtype=bool)]
    truth[0][900:1100, 1000:1100] = True
    first = Mask.of(SCENE, truth[0][900:1100, 1000:1100], (900, 1000))
    store.apply("scene", [Added(annotation(first))], author="ann")
    for op, y, x, height, width, seed in painted:
        bits = np.random.default_rng(seed).random((height, width)) < 0.7
        store.apply("scene", [BrushPatch(uid(1), op, Mask.of(SCENE, bits, (y, x)))], author="bob")
        now = truth[-1].copy()
        now[y : y + height, x : x + width] = (
            now[y : y + height, x : x + width] | bits if op == "add" else now[y : y + height, x : x + width] & ~bits
        )
        truth.append(now)
    for version, expected in enumerate(truth, 1):
        assert np.array_equal(_bits(store.get(uid(1), version=version)), expected)
    assert np.array_equal(_bits(next(store.query("scene", at=1))), truth[0])
    window = IndexBox((850, 950), (1150, 1150))
    assert np.array_equal(store.read_mask(uid(1), window), truth[-1][window.slices])
    target = 1 + back % len(truth)
    revert_to(store, "scene", to=target, author="cy")
    assert np.array_equal(_bits(store.get(uid(1))), truth[target - 1])
    assert verify(store) == []


def _bits(found: Annotation) -> np.ndarray:
    assert isinstance(found.shape, Mask)
    return found.shape.read(SCENE.box)

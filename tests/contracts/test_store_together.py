"""What every store holds to when many write at once, are killed, or lose the database."""

import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing.reduction import DupFd
from pathlib import Path
from threading import Barrier
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from bigimage.errors import BackendError, Conflict, DataError, InputError, NotFound
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, Clash, Edited, Logged, changed_id
from bigimage.store import sqlite as sqlite_module
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.contracts.test_store import at, numbers
from tests.contracts.writers import BULK, SHARED, write
from tests.unit.model.examples import uid

WRITERS = 16
EDITS = 6
ROUNDS = 25
"""Times that two processes of eight writers each are killed: 50 kills."""
Acknowledged = tuple[UUID, int, str]
"""Id, version and author of a change that was stored."""


@pytest.fixture
def stores(place: str) -> Iterator[list[SqlStore]]:
    """The same database opened four times, as four server processes would."""
    opened = [open_store(place) for _ in range(4)]
    yield opened
    for store in opened:
        store.close()


def _count_up(store: SqlStore, number: int, together: Barrier) -> tuple[Counter[int], int]:
    """Add one to counters kept in shared annotations; how often for each, and how many conflicts there were."""
    chance, done, conflicts = random.Random(number), Counter[int](), 0
    together.wait()
    while done.total() < EDITS:
        chosen = chance.randrange(SHARED)
        known = store.get(uid(chosen))
        more = replace(known, attributes={"n": known.attributes["n"] + 1})
        try:
            store.apply("scene", [Edited(more, known.version)], author=f"writer{number}")
        except Conflict as error:
            (clash,) = error.clashes
            assert isinstance(clash, Clash)
            assert clash.version > known.version
            assert clash.current is not None
            conflicts += 1
        else:
            done[chosen] += 1
    return done, conflicts


def test_no_update_of_sixteen_writers_is_lost(stores: list[SqlStore]) -> None:
    first = stores[0]
    first.apply("scene", [Added(at(k, 0, number=k, attributes={"n": 0})) for k in range(SHARED)], author="ann")
    together = Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(lambda k: _count_up(stores[k % 4], k, together), range(WRITERS)))
    done = sum((one for one, _ in outcomes), Counter[int]())
    assert done.total() == WRITERS * EDITS
    assert {k: first.get(uid(k)).attributes["n"] for k in range(SHARED)} == dict(done)
    assert {k: first.get(uid(k)).version for k in range(SHARED)} == {k: 1 + n for k, n in done.items()}
    steps = first.revisions("scene")
    assert [s.revision.number for s in steps] == list(range(WRITERS * EDITS + 1, 0, -1))
    assert Counter(s.revision.author for s in steps[:-1]) == {f"writer{k}": EDITS for k in range(WRITERS)}
    assert verify(first) == []


def test_an_id_is_given_once_however_many_want_it(stores: list[SqlStore]) -> None:
    together = Barrier(WRITERS)

    def run(number: int) -> tuple[set[int], set[int]]:
        got, refused = set[int](), set[int]()
        together.wait()
        for k in random.Random(number).sample(range(8), 8):
            try:
                image = f"image{k % 2 if number % 4 == 0 else 0}"
                mine = at(number, k, number=k, image=image)
                if number % 3:
                    stores[number % 4].apply(image, [Added(mine)], author=f"writer{number}")
                else:
                    stores[number % 4].load(image, [mine], author=f"writer{number}")
                got.add(k)
            except (Conflict, InputError):  # an id of another image is not somebody's being faster
                refused.add(k)
        return got, refused

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(run, range(WRITERS)))
    assert sorted(k for got, _ in outcomes for k in got) == list(range(8))
    assert all(got | refused == set(range(8)) for got, refused in outcomes)
    found = [a for image in ("image0", "image1") for a in stores[0].query(image)]
    assert numbers(found) == list(range(8))
    assert verify(stores[0]) == []


@pytest.fixture(scope="module")
def forks() -> multiprocessing.context.ForkServerContext:
    """Processes that are forks of one which has our modules loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contracts.writers"])
    return context


def _run_and_kill(
    forks: multiprocessing.context.ForkServerContext, place: str, *, seed: int, seconds: float
) -> list[Acknowledged]:
    """Let sixteen writers in two processes write for a while, and kill them; what was acknowledged."""
    reading, writing = os.pipe()
    writers = [forks.Process(target=_write, args=(place, seed + k, DupFd(writing)), daemon=True) for k in range(2)]
    for writer in writers:
        writer.start()
    os.close(writing)
    told = os.read(reading, 1 << 16)  # the killing begins when something has been acknowledged
    time.sleep(seconds)
    for writer in writers:
        writer.kill()
        writer.join()
    while more := os.read(reading, 1 << 16):
        told += more
    os.close(reading)
    lines = [line.split() for line in told.decode().splitlines()]
    return [(UUID(id_), int(version), author) for id_, version, author in lines]


def _write(place: str, number: int, pipe: DupFd) -> None:
    write(place, number, pipe.detach())


def _log(store: SqlStore) -> dict[tuple[UUID, int], Logged]:
    """Every change, by id and version; each was made from the version before it, and none twice."""
    found: dict[tuple[UUID, int], Logged] = {}
    for logged in store.changes("scene"):
        key = changed_id(logged.change), logged.version
        assert key not in found
        found[key] = logged
        if isinstance(logged.change, Edited):
            assert logged.change.annotation.attributes["from"] == logged.version - 1
            assert (key[0], logged.version - 1) in found
    return found


def test_killed_writers_lose_nothing_that_was_acknowledged(
    place: str, forks: multiprocessing.context.ForkServerContext
) -> None:
    store = open_store(place)
    store.apply("scene", [Added(at(k, 0, number=k)) for k in range(SHARED)], author="ann")
    acknowledged: list[Acknowledged] = []
    chance = random.Random(7)
    for attempt in range(ROUNDS):
        acknowledged += _run_and_kill(forks, place, seed=2 * attempt, seconds=chance.uniform(0, 0.02))
    assert len(acknowledged) >= ROUNDS
    log = _log(store)
    kept = {(id_, version): logged.revision.author for (id_, version), logged in log.items()}
    assert [a for a in acknowledged if kept.get(a[:2]) != a[2]] == []
    assert verify(store) == []
    ids = [a.id for a in store.query("scene")]
    assert len(set(ids)) == len(ids)
    bulk = Counter(logged.revision.number for logged in log.values() if _label(logged) == "bulk")
    assert set(bulk.values()) <= {BULK}
    assert [s.revision.number for s in store.revisions("scene")] == list(range(len(store.revisions("scene")), 0, -1))
    store.close()


def _label(logged: Logged) -> str:
    """Label of what a change added or edited."""
    return logged.change.annotation.label if isinstance(logged.change, (Added, Edited)) else ""


# ---- a database that fails


def _many(count: int) -> list[Annotation]:
    return [at(k % 1000, k // 1000, number=k + 10, attributes={"text": "x" * 200}) for k in range(count)]


def test_a_full_disk_undoes_what_did_not_fit(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a.db")
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    with store.database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(raw: sqlite3.Connection, _: object) -> None:
        raw.execute(f"PRAGMA max_page_count = {pages + 20}")

    sa.event.listen(store.database.engine, "connect", limit)
    store.database.engine.dispose()
    with pytest.raises(BackendError, match="full"):
        store.load("scene", _many(2000), author="ann")
    with pytest.raises(BackendError, match="full"):
        store.apply("scene", [Added(a) for a in _many(2000)], author="ann")
    assert numbers(store.query("scene")) == [1]
    assert verify(store) == []
    sa.event.remove(store.database.engine, "connect", limit)
    store.database.engine.dispose()
    store.load("scene", _many(2000), author="ann")
    assert len(list(store.query("scene"))) == 2001
    store.close()


def test_a_file_that_is_locked_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.05)
    store = open_store(tmp_path / "a.db")
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendError, match=r"a\.db failed: database is locked"):
        store.apply("scene", [Added(at(0, 0, number=2))], author="ann")
    assert numbers(store.query("scene")) == [1]
    other.execute("ROLLBACK")
    other.close()
    store.apply("scene", [Added(at(0, 0, number=2))], author="ann")
    store.close()


def test_a_disk_that_is_full_while_annotations_wait(tmp_path: Path) -> None:
    """Files of this process cannot grow beyond a size, as on a full disk: nothing is stored, and it goes on after."""
    store = open_store(tmp_path / "a.db")
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)
    # without this the system would end the process
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, largest[1]))
        with pytest.raises(BackendError, match="annotations wait until all are read: File too large; free space"):
            store.load("scene", _many(2000), author="ann")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, largest[1]))
        with pytest.raises(BackendError, match=r"a\.db failed"):
            store.apply("scene", [Added(a) for a in _many(2000)], author="ann")
        assert numbers(store.query("scene")) == [1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, largest)
        signal.signal(signal.SIGXFSZ, before)
    assert verify(store) == []
    store.load("scene", _many(2000), author="ann")
    assert len(list(store.query("scene"))) == 2001
    store.close()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """Every page in turn is overwritten: reading tells so, or verification does, or nothing that is read was there."""
    store = open_store(tmp_path / "a.db")
    store.load("scene", _many(300), author="ann")
    expected = [a.content() for a in store.query("scene")]
    store.compact()
    store.close()
    whole = (tmp_path / "a.db").read_bytes()
    told = 0
    for start in range(4096, len(whole), 4096):
        broken = bytearray(whole)
        broken[start + 100 : start + 3000] = random.Random(start).randbytes(2900)
        (tmp_path / "b.db").write_bytes(broken)
        try:
            with closing(open_store(tmp_path / "b.db")) as damaged:
                found = [a.content() for a in damaged.query("scene")]
                if found != expected:
                    assert verify(damaged) != []
                    told += 1
        except (BackendError, DataError, NotFound):
            told += 1
    assert told > 10


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(BackendError, match="file is not a database"):
        open_store(tmp_path / "a.db")


@pytest.fixture
def postgres(fresh_postgres: str) -> Iterator[SqlStore]:
    opened = open_store(fresh_postgres)
    opened.apply("scene", [Added(at(k, 0, number=k)) for k in range(5000)], author="ann")
    yield opened
    opened.close()


def _cut(url: str) -> None:
    """End every connection to a database but one's own."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url, autocommit=True) as own:
        own.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


def test_a_server_that_goes_away_while_reading(postgres: SqlStore, fresh_postgres: str) -> None:
    reading = postgres.query("scene")
    next(reading)
    _cut(fresh_postgres)
    with pytest.raises(BackendError, match="failed"):
        list(reading)
    assert len(list(postgres.query("scene"))) == 5000


def test_a_server_that_goes_away_while_writing(
    postgres: SqlStore, fresh_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_instead(connection: sa.Connection) -> None:
        _cut(fresh_postgres)

    with monkeypatch.context() as patch:
        # the last thing before the commit
        patch.setattr(postgres.database, "announce", cut_instead)
        with pytest.raises(BackendError):
            postgres.apply("scene", [Added(at(0, 0, number=9000))], author="ann")
        with pytest.raises(BackendError):
            postgres.load("scene", [at(0, 0, number=9001)], author="ann")
    assert len(list(postgres.query("scene"))) == 5000
    revision = postgres.revision("scene")
    assert revision is not None
    assert revision.number == 1
    assert verify(postgres) == []
    postgres.apply("scene", [Added(at(0, 0, number=9000))], author="ann")


def test_a_watch_tells_that_its_server_went_away(postgres: SqlStore, fresh_postgres: str) -> None:
    watch = postgres.watch()
    _cut(fresh_postgres)
    with pytest.raises(BackendError):
        watch.wait(5)
    watch.close()

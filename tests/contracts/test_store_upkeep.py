"""What every store does to be made, watched, checked, compacted, backed up and restored."""

import json
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects.postgresql.base import PGDialect

from bigimage.errors import BackendError, Conflict, DataError, InputError, Unsupported
from bigimage.model.change import Added, BrushPatch, Edited, Once, Removed
from bigimage.model.labels import Label, Schema
from bigimage.model.region import Plot
from bigimage.store import database as databases
from bigimage.store import tables
from bigimage.store.backup import backup, restore
from bigimage.store.opening import open_store
from bigimage.store.regions import SqlRegions
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.contracts.test_store import at, numbers, window
from tests.contracts.test_store_masks import disc
from tests.unit.model.examples import BODY_SHAPES, MAP_SHAPES, PATIENT, SCENE, annotation, uid

MADE = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def busy(store: SqlStore) -> SqlStore:
    """A store with something of everything."""
    store.set_schema(Schema(labels=(Label(name="house", value=1),)), author="ann")
    store.apply("scene", [Added(annotation(shape, number=k)) for k, shape in enumerate(MAP_SHAPES)], author="ann")
    body = [annotation(shape, number=100 + k, frame=PATIENT, image="scan") for k, shape in enumerate(BODY_SHAPES)]
    store.apply("scan", [Added(a) for a in body], author="ann", once=Once("k", b"d"))
    store.load("scene", [at(k, k, number=1000 + k, attributes={"k": k}) for k in range(50)], author="robot")
    mask = next(k for k, shape in enumerate(MAP_SHAPES) if type(shape).__name__ == "Mask")
    strokes = [
        BrushPatch(uid(mask), "add", disc((900, 900), 20)),
        BrushPatch(uid(mask), "subtract", disc((900, 900), 5)),
    ]
    store.apply("scene", strokes, author="bob")
    store.apply("scene", [Edited(at(5, 5, number=1000), 1), Removed(uid(1001), 1), Removed(uid(1002), 1)], author="cy")
    store.apply("scene", [Edited(at(9, 9, number=1002, t=4, instance="i"), 2)], author="cy")
    return store


def everything(store: SqlStore) -> list[object]:
    return [
        [list(store.query(image, at=n)) for image in ("scene", "scan") for n in (None, 1, 2, 3, 4)],
        [list(store.changes(image)) for image in ("scene", "scan")],
        store.images(),
        store.schema(),
        sorted(a.id for a in store.query("scene", window(-1e3, -1e3, 1e3, 1e3))),
    ]


def test_a_database_is_made_as_the_migrations_make_it(place: str) -> None:
    store = open_store(place)
    with store.database.engine.connect() as connection:
        ours = [t for t in sa.inspect(connection).get_table_names() if t != "spatial_ref_sys"]
        assert set(ours) == {*tables.metadata.tables, "alembic_version"}
    with store.database.exclusive() as connection:
        if isinstance(connection.dialect, PGDialect):
            connection.dialect.ischema_names = {**connection.dialect.ischema_names, "geometry": tables.PostgisGeometry}
            connection.exec_driver_sql("DROP VIEW annotations")
        tables.metadata.drop_all(connection)
        connection.exec_driver_sql("DELETE FROM alembic_version")
        databases.migrate(connection)
        options = {"include_name": lambda name, kind, _: kind != "table" or name in tables.metadata.tables}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, tables.metadata)
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    store.close()
    assert differences == []
    assert version == databases.HEAD


def test_a_store_is_found_again(place: str) -> None:
    store = open_store(place)
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    store.close()
    again = open_store(place)
    assert numbers(again.query("scene")) == [1]
    again.close()


def test_a_database_of_an_older_version_is_brought_up_to_date(place: str) -> None:
    store = open_store(place)
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    with store.database.writing() as connection:
        for table in (tables.person, tables.token, tables.region, tables.region_step, tables.lease):
            table.drop(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    store.close()
    again = open_store(place)
    assert numbers(again.query("scene")) == [1]
    with again.database.reading() as connection:
        assert set(sa.inspect(connection).get_table_names()) >= set(tables.metadata.tables)
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == databases.HEAD
    again.close()


def test_a_database_of_a_newer_version_is_left_alone(place: str) -> None:
    store = open_store(place)
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(Unsupported, match="written by a newer bigimage"):
        open_store(place)


def test_places_that_are_none() -> None:
    with pytest.raises(InputError, match="not at mysql"):
        open_store("mysql://localhost/x")
    with pytest.raises(BackendError, match="folder does not exist"):
        open_store("no/such/folder/annotations.db")
    with pytest.raises(BackendError, match="failed"):
        open_store("postgresql://nobody@127.0.0.1:1/none")


def test_watchers_are_woken(store: SqlStore) -> None:
    watch = store.watch()
    assert not watch.wait(0)
    store.apply("scene", [Added(at(0, 0, number=1))], author="ann")
    assert watch.wait(20)
    assert not watch.wait(0.1)
    store.load("scene", [at(0, 0, number=2)], author="ann")
    assert watch.wait(20)
    watch.close()


def test_a_sound_store_has_no_problems(busy: SqlStore) -> None:
    assert verify(busy) == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            "DELETE FROM entry WHERE version = 1 AND id NOT IN (SELECT prev FROM entry WHERE prev IS NOT NULL)",
            "entries of the log are missing",
        ),
        ("DELETE FROM revision WHERE number = 2", "revisions are missing"),
        ("UPDATE entry SET version = 7 WHERE version = 2", "entries do not follow their predecessors"),
        ("UPDATE entry SET revision = 1 WHERE revision = 2", "entries lie outside their revisions"),
        ("UPDATE annotation SET x0 = x0 - 1 WHERE shape = 4", "is not where its outline is"),
        ("UPDATE annotation SET cell = cell + 1 WHERE shape = 4", "is not where its outline is"),
        ("UPDATE annotation SET cell = NULL WHERE shape = 4", "is not where its outline is"),
        ("UPDATE annotation SET alive = 0", "the present state is not that of the latest entry"),
        ("UPDATE annotation SET head = id", "the present state is behind the log"),
        ("DELETE FROM uid WHERE annotation IN (SELECT max(annotation) FROM uid)", "not found by their ids"),
        ("DELETE FROM chunk", "the bits of mask"),
    ],
    ids=lambda v: v[:40],
)
def test_damage_is_found(busy: SqlStore, damage: str, problem: str) -> None:
    with busy.database.writing() as connection:
        assert connection.exec_driver_sql(damage).rowcount > 0
    assert any(problem in found for found in verify(busy))


def test_compacting_loses_nothing(busy: SqlStore) -> None:
    before = everything(busy)
    busy.compact()
    assert everything(busy) == before
    assert verify(busy) == []


def test_old_idempotency_keys_are_forgotten(busy: SqlStore) -> None:
    later = SqlStore(busy.database, clock=lambda: int(datetime.now(UTC).timestamp() * 1e9) + 8 * 24 * 3600 * 10**9)
    busy.compact()
    with busy.database.reading() as connection:
        assert connection.execute(sa.select(tables.once.c.key)).scalars().all() == ["ann/k"]
    later.compact()
    with busy.database.reading() as connection:
        assert connection.execute(sa.select(tables.once.c.key)).scalars().all() == []


@pytest.mark.parametrize("target", ["sqlite", "postgres"])
def test_a_backup_holds_everything(busy: SqlStore, target: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    counts = backup(busy.database, tmp_path / "all.backup", made=MADE)
    assert counts["entry"] == len(MAP_SHAPES) + len(BODY_SHAPES) + 50 + 2 + 3 + 1
    assert [p.name for p in tmp_path.iterdir() if "backup" in p.name] == ["all.backup"]
    if target == "sqlite":
        fresh = open_store(tmp_path / "fresh.db")
    else:
        fresh = open_store(request.getfixturevalue("fresh_postgres"))
    assert restore(fresh.database, tmp_path / "all.backup") == counts
    assert everything(fresh) == everything(busy)
    fresh.apply("other", [Added(at(0, 0, number=5000, image="other", label="never seen"))], author="dee")
    assert fresh.get(uid(5000)).label == "never seen"
    assert verify(fresh) == []
    fresh.close()


def test_a_backup_opens_as_a_store(busy: SqlStore, tmp_path: Path) -> None:
    backup(busy.database, tmp_path / "all.backup", made=MADE)
    opened = open_store(tmp_path / "all.backup")
    assert everything(opened) == everything(busy)
    opened.close()


def test_a_full_store_is_not_restored_into(busy: SqlStore, tmp_path: Path) -> None:
    backup(busy.database, tmp_path / "all.backup", made=MADE)
    with pytest.raises(Conflict, match="holds something already"):
        restore(busy.database, tmp_path / "all.backup")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    store = open_store(folder / "a.db")
    store.apply("scene", [Added(at(k, k, number=k)) for k in range(200)], author="ann")
    backup(store.database, folder / "all.backup", made=MADE)
    store.close()
    return folder / "all.backup"


def test_backups_that_are_damaged_are_refused(sealed: Path, store: SqlStore, tmp_path: Path) -> None:
    whole = sealed.read_bytes()
    broken = tmp_path / "broken.backup"
    for data in (b"", b"not a database", whole[:5000], whole[:8192] + bytes(4096) + whole[12288:]):
        broken.write_bytes(data)
        with pytest.raises(DataError):
            restore(store.database, broken)
    shutil.copy(sealed, broken)
    with sqlite3.connect(broken) as raw:
        raw.execute("UPDATE entry SET score = 0.5 WHERE id = (SELECT max(id) FROM entry)")
    raw.close()
    with pytest.raises(DataError, match="table entry is not what was sealed"):
        restore(store.database, broken)
    with pytest.raises(BackendError, match="there is no backup"):
        restore(store.database, tmp_path / "absent")
    assert store.images() == {}


def make_older(path: Path) -> None:
    """Turn a backup into one from before regions had a log."""
    with sqlite3.connect(path) as raw:
        seal = json.loads(raw.execute("SELECT document FROM seal").fetchone()[0])
        del seal["rows"]["region_step"], seal["sha256"]["region_step"]
        raw.execute("DROP TABLE region_step")
        raw.execute("UPDATE seal SET document = ?", (json.dumps({**seal, "version": "0002"}),))
        raw.execute("UPDATE alembic_version SET version_num = '0002'")
    raw.close()


def test_older_backups_are_brought_up_to_date(busy: SqlStore, tmp_path: Path) -> None:
    path = tmp_path / "older.backup"
    SqlRegions(busy.database, new_id=uuid4).add("scene", [Plot("a", SCENE.box)], by="ann")
    backup(busy.database, path, made=MADE)
    make_older(path)
    before = path.read_bytes()
    fresh = open_store(tmp_path / "fresh.db")
    counts = restore(fresh.database, path)
    assert everything(fresh) == everything(busy)
    assert (counts["region"], counts["region_step"]) == (1, 1)
    assert verify(fresh) == []
    fresh.close()
    assert path.read_bytes() == before


def test_damage_of_older_backups_is_found(sealed: Path, store: SqlStore, tmp_path: Path) -> None:
    path = tmp_path / "older.backup"
    shutil.copy(sealed, path)
    make_older(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE entry SET score = 0.5 WHERE id = (SELECT max(id) FROM entry)")
    raw.close()
    with pytest.raises(DataError, match="table entry is not what was sealed"):
        restore(store.database, path)
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE person")
    raw.close()
    with pytest.raises(DataError, match="is not what was sealed"):
        restore(store.database, path)
    assert store.images() == {}


def test_backups_of_another_version_are_refused(sealed: Path, store: SqlStore, tmp_path: Path) -> None:
    other = tmp_path / "other.backup"
    shutil.copy(sealed, other)
    with sqlite3.connect(other) as raw:
        present = f'"version": "{databases.HEAD}"'
        raw.execute("UPDATE seal SET document = replace(document, ?, ?)", (present, '"version": "0000"'))
    raw.close()
    with pytest.raises(Unsupported, match="of version 0000"):
        restore(store.database, other)

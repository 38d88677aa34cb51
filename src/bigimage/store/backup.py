"""The whole log as one file, and back: from and to any database.

A backup is a SQLite file with the store's own tables and a seal: how many rows each table has, and a digest of them.
It can be opened as a store, and restored only when the seal holds and the present state follows from the log.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from bigimage.errors import BackendError, Conflict, DataError, Unsupported
from bigimage.store import tables
from bigimage.store.database import HEAD, Database
from bigimage.store.sql import SqlStore
from bigimage.store.sqlite import SqliteDatabase
from bigimage.store.verify import verify_within

FORMAT = 1
OLDEST = "0001"
"""First version of the tables whose backups are read."""
SEALED = 2000
"""Rows that are digested together; a part of the format."""
_SEAL = "CREATE TABLE seal (document TEXT NOT NULL)"
_KEPT = [t for t in tables.metadata.sorted_tables if t not in tables.PASSING]


def backup(database: Database, path: Path, *, made: datetime) -> dict[str, int]:
    """Write everything in a database to a file, which appears whole or not at all; numbers of rows by table.

    People can go on working meanwhile: the backup is one state. What was written is read again and compared before the
    file appears. `made` is noted in the seal. Raises BackendError, DataError.
    """
    part = _part(path)
    try:
        counts, digests = _write(database, part, made)
        _settle(part)
        _compare(part, counts, digests)
        part.replace(path)
    except OSError as error:
        raise error if isinstance(error, BackendError) else _unwritable(path, error) from error
    finally:
        for left in (part, part.with_name(f"{part.name}-wal"), part.with_name(f"{part.name}-shm")):
            left.unlink(missing_ok=True)
    return counts


def _part(path: Path) -> Path:
    """A new file beside a path, under a name of its own. Raises BackendError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(handle)
    return Path(name)


def _unwritable(path: Path, error: OSError) -> BackendError:
    """Error about a backup that cannot be written."""
    return BackendError(f"cannot write the backup {path}: {error.strerror or error}")


def _write(database: Database, part: Path, made: datetime) -> tuple[dict[str, int], dict[str, str]]:
    """Copy one state of a database into a new one, and seal it; numbers and digests by table."""
    target = SqliteDatabase(part)
    try:
        with database.reading() as source, target.exclusive() as sink:
            target.make_tables(sink)
            sink.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY NOT NULL)")
            sink.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
            counts, digests = _copy(source, sink)
            seal = {"format": FORMAT, "version": HEAD, "made": made.isoformat(), "rows": counts, "sha256": digests}
            sink.exec_driver_sql(_SEAL)
            sink.execute(sa.text("INSERT INTO seal VALUES (:d)"), {"d": json.dumps(seal)})
    finally:
        target.close()
    return counts, digests


def _compare(part: Path, counts: Mapping[str, int], digests: Mapping[str, str]) -> None:
    """Raise DataError unless a file holds what was to be written."""
    written = SqliteDatabase(part, read_only=True)
    try:
        with written.reading() as source:
            if _copy(source, None) != (counts, digests):
                raise DataError(f"{part} does not read back as it was written: the disk is faulty; use another one")
    finally:
        written.close()


def restore(database: Database, path: Path) -> dict[str, int]:
    """Fill an empty database from a backup, whole or not at all; numbers of rows by table.

    Tables of an older version are brought up to date in a copy of the file.

    Raises
    ------
    Conflict
        When the database is not empty.
    DataError
        When the file is no backup, is damaged, or its present state does not follow from its log.
    Unsupported
        When it was written by a newer version.
    """
    with closing(_open(path)) as raw:
        seal = _seal(raw, path)
        is_present = seal["version"] == HEAD
        if not is_present:
            _require_sealed(path, seal, *_digests(raw, seal["rows"]))
    with _present(path, seal) as source, database.exclusive() as sink:
        if any(sink.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in _KEPT):
            raise Conflict(f"{database.url} holds something already; restore into a new, empty workspace")
        counts, digests = _copy(source, sink)
        if is_present:
            _require_sealed(path, seal, counts, digests)
        database.after_copy(sink)
        # a store of its own: what it learns here is not true if the transaction is undone
        problems = verify_within(SqlStore(database), sink)
        if problems:
            raise DataError(f"backup {path} does not hold together", tuple(problems))
    return counts


def _require_sealed(path: Path, seal: Mapping[str, Any], counts: Mapping[str, int], digests: Mapping[str, str]) -> None:
    """Raise DataError unless tables hold what was sealed."""
    for name, count in seal["rows"].items():
        if counts.get(name) != count or digests.get(name) != seal["sha256"][name]:
            raise DataError(f"backup {path} is damaged: table {name} is not what was sealed; use another one")


@contextmanager
def _present(path: Path, seal: Mapping[str, Any]) -> Generator[sa.Connection]:
    """A backup, or a copy of an older one whose tables were brought up to date. Raises BackendError."""
    with tempfile.TemporaryDirectory(prefix="bigimage-restore-") as folder:
        if seal["version"] != HEAD:
            try:
                path = Path(shutil.copyfile(path, Path(folder) / "older.db"))
            except OSError as error:
                raise BackendError(f"cannot copy the backup {path}: {error.strerror or error}") from error
            older = SqliteDatabase(path)
            try:
                older.prepare()
            finally:
                older.close()
        source = SqliteDatabase(path, read_only=True)
        try:
            with source.reading() as connection:
                yield connection
        finally:
            source.close()


def _digests(raw: sqlite3.Connection, names: Mapping[str, int]) -> tuple[dict[str, int], dict[str, str]]:
    """Numbers and digests of tables as they lie in a file, whatever their columns are; missing ones are left out."""
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    for name in names:
        found = raw.execute("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (name,)).fetchall()
        if not found:
            continue
        keys = ", ".join(f'"{column}"' for _, column in sorted((pk, column) for column, pk in found if pk))
        quoted = ", ".join(f'"{column}"' for column, _ in found)
        rows = raw.execute(f'SELECT {quoted} FROM "{name}" ORDER BY {keys}')
        digest, count = hashlib.sha256(), 0
        while part := rows.fetchmany(SEALED):
            for column in zip(*part, strict=True):
                digest.update(_plain(column))
            count += len(part)
        counts[name], digests[name] = count, digest.hexdigest()
    return counts, digests


def _copy(source: sa.Connection, sink: sa.Connection | None) -> tuple[dict[str, int], dict[str, str]]:
    """Copy all rows of all tables, in the order of their keys, if anywhere; numbers and digests by table."""
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    for table in _KEPT:
        digest, count = hashlib.sha256(), 0
        names = [column.name for column in table.columns]
        query = sa.select(table).order_by(*_keys(table, source.dialect.name))
        result = source.execution_options(yield_per=SEALED).execute(query)
        for rows in result.partitions(SEALED):
            for column in zip(*rows, strict=True):
                digest.update(_plain(column))
            count += len(rows)
            if sink is not None:
                sink.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])
        counts[table.name], digests[table.name] = count, digest.hexdigest()
    return counts, digests


def _keys(table: sa.Table, dialect: str) -> list[sa.ColumnElement[Any]]:
    """Columns of a table's key; texts in the order of their bytes, which PostgreSQL has for the asking only."""
    return [
        column.collate("C") if dialect == "postgresql" and isinstance(column.type, sa.Text) else column
        for column in table.primary_key.columns
    ]


def _plain(column: Sequence[Any]) -> bytes:
    """Bytes that stand for some values of a column, the same on every database."""
    present = [value for value in column if value is not None]
    gaps = np.packbits([value is None for value in column]).tobytes()
    match present[:1]:
        case []:
            return gaps
        case [int()]:
            return gaps + np.array(present, dtype="<i8").tobytes()
        case [float()]:
            return gaps + np.array(present, dtype="<f8").tobytes()
        case _:
            parts = list(map(_bytes, present))
            return gaps + np.array(list(map(len, parts)), dtype="<i8").tobytes() + b"".join(parts)


def _bytes(value: Any) -> bytes:
    """Bytes of a text, a UUID or of what the driver gives for bytes."""
    if isinstance(value, str):
        return value.encode()
    return value.bytes if isinstance(value, UUID) else bytes(value)


def _settle(path: Path) -> None:
    """Turn a finished database into a single file that is on disk."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _open(path: Path) -> sqlite3.Connection:
    """A file as a database that is not written to. Raises BackendError."""
    if not path.is_file():
        raise BackendError(f"there is no backup {path}")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _seal(raw: sqlite3.Connection, path: Path) -> Mapping[str, Any]:
    """Seal of a backup. Raises DataError, Unsupported."""
    try:
        problems: Sequence[Any] = raw.execute("PRAGMA quick_check").fetchall()
        found = raw.execute("SELECT document FROM seal").fetchone()
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} is not a backup, or is damaged: {error}") from error
    if problems != [("ok",)] or found is None:
        raise DataError(f"backup {path} is damaged; use another one", tuple(str(p[0]) for p in problems))
    seal: Mapping[str, Any] = json.loads(found[0])
    if seal["format"] != FORMAT or not OLDEST <= seal["version"] <= HEAD:
        raise Unsupported(
            f"backup {path} is of version {seal['version']}, this bigimage reads {OLDEST} to {HEAD}; restore it with"
            " the one that wrote it"
        )
    return seal

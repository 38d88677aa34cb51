"""SQLite: one file, readers never wait, one writer at a time."""

import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy import event

from bigimage.store.cells import Range
from bigimage.store.database import FETCH, Database
from bigimage.store.rows import uuid_of
from bigimage.store.runs import AXES, Run, is_any
from bigimage.store.tables import entry_id, metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUSY_SECONDS = 60
"""How long a writer waits for the one before it, such as a large import."""
LOOK_SECONDS = 0.05
"""Time between two looks at whether the file has changed; one look takes a few microseconds."""
CACHE_KIB = 4 * 1024
"""Pages of the file that each connection keeps; more makes no window faster, for the system keeps the file too."""
BULK_CACHE_KIB = 64 * 1024
"""The same while very much is written, when whatever falls out of it is written twice."""
ADDED = 1
_PAD = 8
"""Windows are asked for in multiples of so many runs of cells, so that few statements are prepared."""
_IMAGE_COLUMNS = "id, name, frame, ndim, revision, entries, levels"


class SqliteDatabase(Database):
    """A database file. WAL lets readers go on while somebody writes; every commit is on disk before it is answered."""

    errors = (sqlite3.Error,)
    taken = (sqlite3.IntegrityError,)

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.url = str(path)
        suffix = "?mode=ro" if read_only else ""

        def connect() -> sqlite3.Connection:
            # a URI, so that no character of a path means anything to SQLite
            uri = f"{path.resolve().as_uri()}{suffix}"
            return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)

        self.engine = sa.create_engine(
            "sqlite://",
            creator=connect,
            poolclass=sa.QueuePool,
            pool_size=8,
            max_overflow=56,
            pool_timeout=BUSY_SECONDS,
            # the one used last: its pages are in memory, and those of the others need not be
            pool_use_lifo=True,
        )
        event.listen(self.engine, "connect", _set_up_reader if read_only else _set_up)
        event.listen(self.engine, "begin", _begin)

    def start_reading(self, connection: sa.Connection) -> None:
        """Begin a transaction that sees one state."""
        connection.begin()

    def start_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Begin a transaction that may write; wait for the writer before it."""
        return connection.execution_options(bigimage_begin="BEGIN IMMEDIATE").begin()

    @contextmanager
    def exclusive(self) -> Generator[sa.Connection]:
        """A transaction during which nobody else writes."""
        with self.writing() as connection:
            yield connection

    def lock_image(self, connection: sa.Connection, name: str) -> Sequence[Any] | None:
        """Row of an image; the whole file is already ours."""
        found = self.fetch(connection, f"SELECT {_IMAGE_COLUMNS} FROM image WHERE name = ?", (name,))
        return found[0] if found else None

    def lock_name(self, connection: sa.Connection, name: str) -> None:
        """Nothing: the whole file is already ours."""

    def now(self, connection: sa.Connection) -> int:
        """Clock of the machine, on which all users of a file are."""
        return time.time_ns() // 1000

    def fetch(self, connection: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """All rows of a query."""
        return _raw(connection).execute(sql, parameters).fetchall()

    def stream(self, connection: sa.Connection, sql: str, parameters: Sequence[Any]) -> Iterator[list[Sequence[Any]]]:
        """Rows of a query, `FETCH` at a time."""
        cursor = _raw(connection).execute(sql, parameters)
        while rows := cursor.fetchmany(FETCH):
            yield rows

    def window(self, image: int, ranges: Sequence[Range], *, entries: bool = True) -> tuple[str, list[Any]]:
        """FROM clause that looks up one run of cells after the other; CROSS JOIN keeps the planner to that order."""
        padded = [*ranges, *repeat((1, 0), -len(ranges) % _PAD)]
        values = ",".join(["(?,?)"] * len(padded))
        sql = (
            f"FROM (VALUES {values}) r CROSS JOIN annotation a INDEXED BY annotation_cell"
            " ON a.image = ? AND a.cell BETWEEN r.column1 AND r.column2"
        )
        if entries:
            sql += " CROSS JOIN entry e ON e.id = a.head"
        return sql, [*(v for pair in padded for v in pair), image]

    def uuid(self, value: Any) -> UUID:
        """UUID of 16 bytes."""
        return uuid_of(value)

    def uuid_bytes(self, value: Any) -> bytes:
        """16 bytes as they come."""
        return value

    def uuid_parameter(self, value: UUID) -> bytes:
        """16 bytes of a UUID."""
        return value.bytes

    @contextmanager
    def bulk(self, connection: sa.Connection) -> Generator[None]:
        """A larger cache, and none of it afterwards."""
        raw = _raw(connection)
        raw.execute(f"PRAGMA cache_size = -{BULK_CACHE_KIB}")
        try:
            yield
        finally:
            raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def prepared(self, runs: Iterable[Run], *, image: int, place: int, revision: int) -> Iterator[tuple[Run, Any]]:
        """Runs with their columns."""
        for run in runs:
            yield run, _columns(run, image=image, place=place, revision=revision)
            place += len(run)

    def insert_run(self, connection: sa.Connection, prepared: Any) -> None:
        """Insert the columns of entries and annotations."""
        entry, annotation = prepared
        _insert(_raw(connection), "entry", entry)
        _insert(_raw(connection), "annotation", annotation)

    def insert_uids(self, connection: sa.Connection, uuids: "NDArray[np.void]", ids: "NDArray[np.int64]") -> None:
        """Insert where annotations are found."""
        _raw(connection).executemany(
            "INSERT INTO uid (uuid, annotation) VALUES (?, ?)", zip(uuids.tolist(), ids.tolist(), strict=True)
        )

    def make_tables(self, connection: sa.Connection) -> None:
        """Make all tables."""
        metadata.create_all(connection)

    def after_copy(self, connection: sa.Connection) -> None:
        """Nothing: SQLite numbers new rows behind the largest."""

    def announce(self, connection: sa.Connection) -> None:
        """Nothing: the file itself tells that it changed."""

    def watch(self) -> "SqliteWatch":
        """Begin to wait for changes by anybody."""
        with self.guarded():
            return SqliteWatch(self)

    def compact(self) -> None:
        """Rewrite the file without gaps, and empty the write-ahead log."""
        with self.guarded(), self.engine.connect() as connection:
            raw = _raw(connection)
            raw.execute("VACUUM")
            raw.execute("ANALYZE")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class SqliteWatch:
    """Looks at the file's change counter, which moves with every commit of any process, some times a second."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        # a connection of its own: the counter tells each one of the others' commits only
        self._raw = sqlite3.connect(database.path, timeout=BUSY_SECONDS, check_same_thread=False)
        self._seen = self._counter()

    def _counter(self) -> int:
        return int(self._raw.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, seconds: float) -> bool:
        """Whether anything was stored since the last call, waiting for it so long at most."""
        with self._database.guarded():
            for turn in range(int(seconds / LOOK_SECONDS) + 1):
                if turn:
                    time.sleep(LOOK_SECONDS)
                counter = self._counter()
                if counter != self._seen:
                    self._seen = counter
                    return True
        return False

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    """Connection of the driver."""
    return connection.connection.driver_connection  # pyright: ignore[reportReturnType]


def _set_up(raw: sqlite3.Connection, _: object) -> None:
    """Set what SQLite forgets with each connection."""
    raw.isolation_level = None  # transactions are begun below, and by nobody else
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def _set_up_reader(raw: sqlite3.Connection, _: object) -> None:
    """Set up a connection to a file that must stay as it is."""
    raw.isolation_level = None
    raw.execute("PRAGMA query_only = ON")


def _begin(connection: sa.Connection) -> None:
    """Begin a transaction; only those that write take the lock."""
    connection.exec_driver_sql(connection.get_execution_options().get("bigimage_begin", "BEGIN"))


def _columns(run: Run, *, image: int, place: int, revision: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of a run's entries and of its annotations, for `_insert`."""
    first = entry_id(image, place)
    ids = range(first, first + len(run))
    labels, shapes, times = _column(run.labels), _column(run.shapes), _column(run.times, run.times < 0)
    entry = {
        **{"id": ids, "revision": revision, "uuid": run.uuids.tolist(), "version": 1, "kind": ADDED},
        **{"shape": shapes, "label": labels, "origin": _column(run.origins), "t": times},
        **{"score": _column(run.scores, np.isnan(run.scores)), "geometry": _blobs(run.geometries)},
        **{"rest": _texts(run.rests), "bits": _blobs(run.bits)},
    }
    boxes = {axis: _column(run.boxes[:, k], np.isnan(run.boxes[:, k])) for k, axis in enumerate(AXES)}
    annotation = {
        **{"id": ids, "image": image, "cell": _column(run.cell, run.cell < 0), "label": labels, "head": ids},
        **{"revision": revision, "born": revision, "version": 1, "shape": shapes, "alive": 1, "t": times},
        **{"instance": _texts(run.instances), **boxes},
    }
    return entry, annotation


def _insert(raw: sqlite3.Connection, table: str, columns: Mapping[str, "Sequence[Any] | int | None"]) -> None:
    """Insert rows; what is the same in all of them stands in the statement, which halves the time."""
    there = {name: values for name, values in columns.items() if values is not None}
    marks = [str(values) if isinstance(values, int) else "?" for values in there.values()]
    lists = [values for values in there.values() if not isinstance(values, int)]
    sql = f"INSERT INTO {table} ({', '.join(there)}) VALUES ({', '.join(marks)})"
    raw.executemany(sql, zip(*lists, strict=True))


def _column(values: "NDArray[Any]", missing: "NDArray[np.bool_] | None" = None) -> "list[Any] | int | None":
    """A column for `_insert`: None where all values are missing, a whole number where all are that."""
    gone = missing is not None and missing.any()
    if missing is not None and gone:
        if missing.all():
            return None
        out = values.tolist()
        for k in np.flatnonzero(missing).tolist():
            out[k] = None
        return out
    if values.dtype.kind == "i" and (values == values[0]).all():
        return int(values[0])
    return values.tolist()


def _blobs(values: "list[bytes | None]") -> "list[bytes | None] | None":
    """A column of bytes for `_insert`."""
    return values if is_any(values) else None


def _texts(values: "list[bytes | None]") -> "list[str | None] | None":
    """A column of texts for `_insert`."""
    return [None if v is None else v.decode() for v in values] if is_any(values) else None

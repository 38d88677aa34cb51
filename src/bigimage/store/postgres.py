"""PostgreSQL with PostGIS: many writers at once, one at a time for each image."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import psycopg
import sqlalchemy as sa
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from sqlalchemy import event

from bigimage.errors import InputError, Unsupported
from bigimage.store import copying
from bigimage.store.cells import Range
from bigimage.store.database import FETCH, Database
from bigimage.store.runs import AXES, Run, ahead
from bigimage.store.sqlite import ADDED
from bigimage.store.tables import entry_id, metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLES_LOCK = 0x62696769
"""Advisory lock held by whoever makes or changes tables."""
NAMES_LOCK = 0x6269676E
"""First number of the advisory locks on names."""
CHANNEL = "bigimage_changes"
CONNECT_SECONDS = 10
"""How long a server may take to answer where the URL says nothing of it; psycopg would wait two minutes."""
MANY = 10_000
"""Loads of so many rows are followed by fresh statistics, without which the planner takes the tables for empty."""
VIEW = """
CREATE VIEW annotations AS
SELECT a.id AS row, e.uuid AS id, i.name AS image, l.text AS label, a.version, e.score, a.t, o.text AS origin,
       w.text AS author, to_timestamp(b.time / 1e6) AS created, to_timestamp(r.time / 1e6) AS modified,
       e.rest::json AS rest, ST_SetSRID(e.geometry, i.srid) AS geometry
FROM annotation a JOIN entry e ON e.id = a.head JOIN image i ON i.id = a.image JOIN name l ON l.id = a.label
JOIN name o ON o.id = e.origin JOIN revision b ON b.image = a.image AND b.number = a.born
JOIN revision r ON r.image = a.image AND r.number = a.revision JOIN name w ON w.id = b.author
WHERE a.alive = 1
"""


class _WkbLoader(Loader):
    """PostGIS sends geometries as EWKB; they are kept as they come."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        """Bytes of a geometry."""
        return bytes(data)


class PostgresDatabase(Database):
    """A database of a PostgreSQL server that has PostGIS."""

    errors = (psycopg.Error,)
    taken = (psycopg.errors.UniqueViolation,)

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if not parsed.drivername.startswith("postgresql"):
            raise InputError(f"{parsed.render_as_string()} is not the URL of a PostgreSQL database")
        self.url = parsed.render_as_string(hide_password=True)
        self.waiting: dict[str, Any] = {} if "connect_timeout" in parsed.query else {"connect_timeout": CONNECT_SECONDS}
        """How long connections may take, where the URL does not say it."""
        self.engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=8,
            max_overflow=56,
            pool_pre_ping=True,
            connect_args=self.waiting,
        )
        self._cursors = count()
        event.listen(self.engine, "connect", _set_up)

    def start_reading(self, connection: sa.Connection) -> None:
        """Begin a transaction that sees one state."""
        connection.execution_options(isolation_level="REPEATABLE READ").begin()

    def start_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Begin a transaction that sees what others have stored when it gets a lock."""
        return connection.begin()

    @contextmanager
    def exclusive(self) -> Generator[sa.Connection]:
        """A transaction during which no other process makes or changes tables."""
        with self.writing() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TABLES_LOCK})")
            yield connection

    def lock_image(self, connection: sa.Connection, name: str) -> Sequence[Any] | None:
        """Row of an image, locked until the transaction ends."""
        sql = "SELECT id, name, frame, ndim, revision, entries, levels FROM image WHERE name = ? FOR UPDATE"
        found = self.fetch(connection, sql, (name,))
        return found[0] if found else None

    def lock_name(self, connection: sa.Connection, name: str) -> None:
        """Lock a name until the transaction ends."""
        self.fetch(connection, "SELECT pg_advisory_xact_lock(?, hashtext(?))", (NAMES_LOCK, name))

    def now(self, connection: sa.Connection) -> int:
        """Clock of the server."""
        return self.fetch(connection, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")[0][0]

    def fetch(self, connection: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """All rows of a query."""
        with _raw(connection).cursor(binary=True) as cursor:
            return cursor.execute(_query(sql), parameters).fetchall()

    def stream(self, connection: sa.Connection, sql: str, parameters: Sequence[Any]) -> Iterator[list[Sequence[Any]]]:
        """Rows of a query, `FETCH` at a time, from a cursor of the server."""
        with _raw(connection).cursor(name=f"stream{next(self._cursors)}", binary=True) as cursor:
            cursor.execute(_query(sql), parameters)
            while rows := cursor.fetchmany(FETCH):
                yield list(rows)

    def window(self, image: int, ranges: Sequence[Range], *, entries: bool = True) -> tuple[str, list[Any]]:
        """FROM clause that looks up one run of cells after the other; OFFSET 0 keeps the planner to that order."""
        sql = (
            "FROM unnest(?::bigint[], ?::bigint[]) r(low, high) CROSS JOIN LATERAL (SELECT * FROM annotation x"
            " WHERE x.image = ? AND x.cell BETWEEN r.low AND r.high OFFSET 0) a"
        )
        if entries:
            sql += " CROSS JOIN LATERAL (SELECT * FROM entry y WHERE y.id = a.head OFFSET 0) e"
        return sql, [[low for low, _ in ranges], [high for _, high in ranges], image]

    def uuid(self, value: Any) -> UUID:
        """UUID as it comes."""
        return value

    def uuid_bytes(self, value: Any) -> bytes:
        """16 bytes of a UUID."""
        return value.bytes

    def uuid_parameter(self, value: UUID) -> UUID:
        """UUID as it is."""
        return value

    def prepared(self, runs: Iterable[Run], *, image: int, place: int, revision: int) -> Iterator[tuple[Run, Any]]:
        """Runs with what is copied, which another thread puts together while the server works on the one before."""

        def made() -> Iterator[tuple[Run, Any]]:
            first = entry_id(image, place)
            for run in runs:
                yield run, _copied(run, image=image, first=first, revision=revision)
                first += len(run)

        return ahead(made())

    def insert_run(self, connection: sa.Connection, prepared: Any) -> None:
        """COPY entries and annotations."""
        for target, data in prepared:
            _copy(connection, target, data)

    def insert_uids(self, connection: sa.Connection, uuids: "NDArray[np.void]", ids: "NDArray[np.int64]") -> None:
        """COPY where annotations are found."""
        columns = {"uuid": copying.fixed(uuids), "annotation": copying.fixed(ids.astype(np.int64))}
        _copy(connection, *copying.table("uid", columns, len(ids)))
        if len(ids) >= MANY:
            # a fifth of the usual sample; without the outlines, of which PostGIS would make histograms nobody asks for
            connection.exec_driver_sql("SET LOCAL default_statistics_target = 20")
            connection.exec_driver_sql("ANALYZE entry (id, revision, uuid, prev, kind), annotation, uid")

    def make_tables(self, connection: sa.Connection) -> None:
        """Make all tables, and a view of the present state for QGIS and other SQL users."""
        sql = "SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'"
        if not self.fetch(connection, sql):
            raise Unsupported(f"{self.url} has no PostGIS; install it there (Debian package postgresql-15-postgis-3)")
        encoding = self.fetch(connection, "SHOW server_encoding")[0][0]
        if encoding != "UTF8":
            raise Unsupported(f"{self.url} keeps texts as {encoding}; make a database with ENCODING 'UTF8'")
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS postgis")
        metadata.create_all(connection)
        connection.exec_driver_sql(VIEW)

    def after_copy(self, connection: sa.Connection) -> None:
        """Let the numbers of new rows go on behind the copied ones."""
        for table in ("name", "lattice", "image"):
            connection.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) > 0"
            )

    def announce(self, connection: sa.Connection) -> None:
        """Notify those who listen when the transaction is stored."""
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")

    def watch(self) -> "PostgresWatch":
        """Begin to listen for changes by anybody."""
        with self.guarded():
            return PostgresWatch(self)

    def compact(self) -> None:
        """Give space back to the tables and refresh statistics."""
        with self.guarded(), self.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM (ANALYZE)")


class PostgresWatch:
    """Listens for the notifications of those who write."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._raw = psycopg.connect(url, autocommit=True, **database.waiting)
        self._raw.execute(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float) -> bool:
        """Whether anything was stored since the last call, waiting for it so long at most."""
        with self._database.guarded():
            # those that are there already come without waiting, all at once
            return any(True for _ in self._raw.notifies(timeout=seconds, stop_after=1))

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()


def _raw(connection: sa.Connection) -> "psycopg.Connection[Any]":
    """Connection of the driver."""
    return connection.connection.driver_connection  # pyright: ignore[reportReturnType]


def _query(sql: str) -> Any:
    """SQL with psycopg's mark for parameters; none of ours holds a question mark or percent sign besides."""
    return sql.replace("?", "%s")


def _set_up(raw: "psycopg.Connection[Any]", _: object) -> None:
    """Set what each connection needs."""
    # compiling a query takes longer than any of ours runs
    raw.execute("SET jit = off")
    found = raw.execute("SELECT to_regtype('geometry')::oid").fetchone()
    if found is not None and found[0] is not None:
        raw.adapters.register_loader(int(found[0]), _WkbLoader)
    raw.commit()


def _copied(run: Run, *, image: int, first: int, revision: int) -> list[tuple[str, bytes]]:
    """Targets and rows of a run's entries, the first of which has an id, and of its annotations."""
    n = len(run)
    ids = copying.fixed(np.arange(first, first + n, dtype=np.int64))
    times = copying.fixed(run.times.astype(np.int32), run.times < 0)
    labels, shapes = copying.fixed(run.labels), copying.fixed(run.shapes)
    number, one = _all(n, revision, np.int64), _all(n, 1, np.int32)
    entry = {
        **{"id": ids, "revision": number, "uuid": copying.fixed(run.uuids), "version": one},
        **{"kind": _all(n, ADDED, np.int16), "shape": shapes, "label": labels, "origin": copying.fixed(run.origins)},
        **{"score": copying.fixed(run.scores, np.isnan(run.scores)), "t": times},
        **{"geometry": copying.blobs(run.geometries), "rest": copying.blobs(run.rests)},
        **{"bits": copying.blobs(run.bits)},
    }
    sides = {axis: copying.fixed(run.boxes[:, k], np.isnan(run.boxes[:, k])) for k, axis in enumerate(AXES)}
    annotation = {
        **{"id": ids, "image": _all(n, image, np.int32), "cell": copying.fixed(run.cell, run.cell < 0)},
        **{"label": labels, "head": ids, "revision": number, "born": number, "version": one, "shape": shapes},
        **{"alive": _all(n, 1, np.int16), "t": times, "instance": copying.blobs(run.instances), **sides},
    }
    return [copying.table("entry", entry, n), copying.table("annotation", annotation, n)]


def _copy(connection: sa.Connection, target: str, data: bytes) -> None:
    """COPY rows into a table."""
    with _raw(connection).cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:  # pyright: ignore[reportArgumentType]
        copy.write(data)


def _all(n: int, value: int, kind: Any) -> Any:
    """Column that holds one value throughout."""
    return copying.fixed(np.full(n, value, dtype=kind))

"""What differs between databases: connections, transactions, bulk loading and the words of a few queries."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from bigimage.errors import BackendError, BigImageError, Unsupported
from bigimage.store.cells import Range
from bigimage.store.door import Watch
from bigimage.store.rows import Row
from bigimage.store.runs import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD = "0003"
"""Migration that the tables of `bigimage.store.tables` correspond to."""
FETCH = 2000
"""Rows that a streamed query reads at a time."""


class Database(ABC):
    """One open database. SQL is written with `?` for parameters."""

    engine: sa.Engine
    url: str
    """Where it is, without a password."""
    errors: tuple[type[Exception], ...]
    """What its driver raises."""
    taken: tuple[type[Exception], ...]
    """What its driver raises when a row is there already."""

    # ---- transactions

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A transaction that sees one state from its first statement on. Raises BackendError."""
        with self.guarded(), self.engine.connect() as connection:
            self.start_reading(connection)
            yield connection

    @contextmanager
    def writing(self, *, through: tuple[type[Exception], ...] = ()) -> Generator[sa.Connection]:
        """A transaction that is stored when the block ends and undone when it raises.

        Raises BackendError, except that errors of the types in `through` come as they are.
        """
        with self.guarded(through), self.engine.connect() as connection, self.start_writing(connection):
            yield connection

    @contextmanager
    def guarded(self, through: tuple[type[Exception], ...] = ()) -> Generator[None]:
        """Turn errors of the driver and of SQLAlchemy into BackendError."""
        try:
            yield
        except (BigImageError, *through):
            raise
        except (*self.errors, SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or error
            raise BackendError(f"the annotation database {self.url} failed: {str(cause).strip()}") from error

    @abstractmethod
    def start_reading(self, connection: sa.Connection) -> None:
        """Begin a transaction that sees one state."""

    @abstractmethod
    def start_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Begin a transaction that may write."""

    @abstractmethod
    def lock_image(self, connection: sa.Connection, name: str) -> Sequence[Any] | None:
        """Row of an image, which nobody else can lock until the transaction ends; None when there is none."""

    @abstractmethod
    def lock_name(self, connection: sa.Connection, name: str) -> None:
        """Wait until nobody else has locked a name, and lock it until the transaction ends."""

    @abstractmethod
    def now(self, connection: sa.Connection) -> int:
        """Microseconds since 1970 by the clock that all users of the database share."""

    # ---- plain SQL, past SQLAlchemy where its few hundred microseconds would show

    @abstractmethod
    def fetch(self, connection: sa.Connection, sql: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """All rows of a query."""

    @abstractmethod
    def stream(self, connection: sa.Connection, sql: str, parameters: Sequence[Any]) -> Iterator[list[Sequence[Any]]]:
        """Rows of a query, `FETCH` at a time."""

    @abstractmethod
    def window(self, image: int, ranges: Sequence[Range], *, entries: bool = True) -> tuple[str, list[Any]]:
        """FROM clause and its parameters: `a` are the annotations in runs of cells, `e` their present entries."""

    def to_rows(self, values: Sequence[Sequence[Any]]) -> list[Row]:
        """Rows of what `fetch` and `stream` gave for `rows.Row`'s columns."""
        return list(map(tuple.__new__, repeat(Row), values))

    @abstractmethod
    def uuid(self, value: Any) -> UUID:
        """UUID of what `fetch` gave."""

    @abstractmethod
    def uuid_bytes(self, value: Any) -> bytes:
        """16 bytes of what `fetch` gave for a UUID."""

    @abstractmethod
    def uuid_parameter(self, value: UUID) -> Any:
        """What `fetch` takes for a UUID."""

    # ---- bulk

    def bulk(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Make ready for writing very much in a transaction."""
        return nullcontext()

    @abstractmethod
    def prepared(self, runs: Iterable[Run], *, image: int, place: int, revision: int) -> Iterator[tuple[Run, Any]]:
        """Runs, and what `insert_run` takes of each; the first entry of all gets a place in its image's log."""

    @abstractmethod
    def insert_run(self, connection: sa.Connection, prepared: Any) -> None:
        """Insert the entries and annotations of a run."""

    @abstractmethod
    def insert_uids(self, connection: sa.Connection, uuids: "NDArray[np.void]", ids: "NDArray[np.int64]") -> None:
        """Insert where annotations are found; uuids as 16 bytes each, sorted."""

    # ---- upkeep

    @abstractmethod
    def after_copy(self, connection: sa.Connection) -> None:
        """Let the numbers of new rows go on behind rows that were inserted with theirs."""

    @abstractmethod
    def announce(self, connection: sa.Connection) -> None:
        """Wake those who wait for changes, in this process and others, when the transaction is stored."""

    @abstractmethod
    def watch(self) -> Watch:
        """Begin to wait for changes by anybody. Raises BackendError."""

    @abstractmethod
    def compact(self) -> None:
        """Give space back and refresh statistics."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[sa.Connection]:
        """A transaction during which no other process makes or changes tables."""

    @abstractmethod
    def make_tables(self, connection: sa.Connection) -> None:
        """Make all tables and what belongs to them in an empty database."""

    def prepare(self) -> None:
        """Make the tables where there are none, and bring older ones up to date. Raises Unsupported, BackendError."""
        with self.reading() as connection:
            present = self._version(connection)
        if present == HEAD:
            return
        with self.exclusive() as connection:
            present = self._version(connection)
            if present is None:
                self.make_tables(connection)
                connection.exec_driver_sql(
                    "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY NOT NULL)"
                )
                connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
            elif present > HEAD:
                raise Unsupported(
                    f"the annotation database {self.url} was written by a newer bigimage (version {present}, this one "
                    f"knows {HEAD}); install the newer one"
                )
            elif present < HEAD:
                migrate(connection)

    def _version(self, connection: sa.Connection) -> str | None:
        """Version of the tables; None when there are none."""
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def check(self) -> None:
        """Ask for the version of the tables, to see that the database answers. Raises BackendError."""
        with self.reading() as connection:
            self.fetch(connection, "SELECT version_num FROM alembic_version")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def migrate(connection: sa.Connection) -> None:
    """Bring older tables up to date, within the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "bigimage.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

"""Opening a store by where it is."""

from pathlib import Path

from bigimage.errors import BackendError, BigImageError, InputError
from bigimage.store.database import Database
from bigimage.store.door import AnnotationStore, LeaseStore, PeopleStore, RegionStore
from bigimage.store.leases import SqlLeases
from bigimage.store.people import SqlPeople
from bigimage.store.postgres import PostgresDatabase
from bigimage.store.regions import SqlRegions
from bigimage.store.sql import SqlStore
from bigimage.store.sqlite import SqliteDatabase


def open_store(place: str | Path) -> SqlStore:
    """Open annotations at a path (SQLite) or at a `postgresql://…` URL; made where there are none.

    Raises InputError for another kind of URL, BackendError when the database cannot be reached or made.
    """
    return SqlStore(open_database(place))


def open_database(place: str | Path) -> Database:
    """Open the database at a path or URL, with its tables made and up to date; see `open_store`."""
    database = _database(place)
    try:
        database.prepare()
    except BigImageError:
        database.close()
        raise
    return database


def _database(place: str | Path) -> Database:
    """Database at a path or URL, as it is."""
    text = str(place)
    if text.startswith(("postgresql:", "postgresql+psycopg:")):
        return PostgresDatabase(text)
    if "://" in text:
        kind = text.split("://")[0]
        raise InputError(f"annotations are kept in a file or at a postgresql:// URL, not at {kind}://…")
    path = Path(place)
    if not path.parent.is_dir():
        raise BackendError(f"cannot make the annotation database {path}: its folder does not exist")
    return SqliteDatabase(path)


_: tuple[type[AnnotationStore], type[PeopleStore], type[RegionStore], type[LeaseStore]]
_ = (SqlStore, SqlPeople, SqlRegions, SqlLeases)
"""The type checker holds the stores to their doors here."""

"""Opening a store by where it is."""

from pathlib import Path

from bigimage.errors import BackendError, BigImageError, InputError
from bigimage.store.database import Database
from bigimage.store.door import AnnotationStore
from bigimage.store.postgres import PostgresDatabase
from bigimage.store.sql import SqlStore
from bigimage.store.sqlite import SqliteDatabase


def open_store(place: str | Path) -> SqlStore:
    """Open annotations at a path (SQLite) or at a `postgresql://…` URL; made where there are none.

    Raises InputError for another kind of URL, BackendError when the database cannot be reached or made.
    """
    database = _database(place)
    try:
        return SqlStore(database)
    except BigImageError:
        database.close()
        raise


def _database(place: str | Path) -> Database:
    """Database at a path or URL."""
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


_: type[AnnotationStore] = SqlStore
"""The type checker holds the store to its door here."""

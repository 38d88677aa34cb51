"""Opening a store by where it is."""

from pathlib import Path

from bigimage.errors import BackendError, InputError
from bigimage.store.door import AnnotationStore
from bigimage.store.postgres import PostgresDatabase
from bigimage.store.sql import SqlStore
from bigimage.store.sqlite import SqliteDatabase


def open_store(place: str | Path) -> SqlStore:
    """Open annotations at a path (SQLite) or at a `postgresql://…` URL; made where there are none.

    Raises InputError for another kind of URL, BackendError when the database cannot be reached or made.
    """
    text = str(place)
    if text.startswith("postgresql:") or text.startswith("postgresql+psycopg:"):
        return SqlStore(PostgresDatabase(text))
    if "://" in text:
        raise InputError(f"annotations are kept in a file or at a postgresql:// URL, not at {text.split('://')[0]}://…")
    path = Path(place)
    if not path.parent.is_dir():
        raise BackendError(f"cannot make the annotation database {path}: its folder does not exist")
    return SqlStore(SqliteDatabase(path))


_: type[AnnotationStore] = SqlStore
"""The type checker holds the store to its door here."""

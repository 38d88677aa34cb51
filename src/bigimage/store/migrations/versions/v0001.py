"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from bigimage.store.tables import Big, Id, Wkb

revision = "0001"
down_revision = None


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)


def _key(*names: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*names)


def upgrade() -> None:
    """Make all tables in an empty database."""
    _texts_and_images()
    _log()
    _present_state()
    op.create_table(
        "schema",
        *(_column("version", sa.Integer()), _column("author", sa.Integer()), _column("time", Big)),
        *(_column("document", sa.Text()), _key("version")),
        comment="Versions of the label schema",
    )
    op.create_table(
        "once",
        *(_column("key", sa.Text()), _column("digest", sa.LargeBinary()), _column("image", sa.Integer())),
        *(_column("time", Big), _column("answer", sa.Text()), _key("key")),
        comment="Idempotency keys and the answers they got",
    )


def _texts_and_images() -> None:
    op.create_table(
        "name",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False, unique=True),
        comment="Texts that many rows share: labels, people, origins",
    )
    op.create_table(
        "lattice",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        _column("document", sa.Text()),
        comment="Grids that painted masks lie on, as JSON",
    )
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        *(_column("frame", sa.Text()), _column("ndim", sa.SmallInteger()), _column("srid", sa.Integer())),
        *(_column("revision", Big), _column("entries", Big), _column("levels", Big)),
        comment="Images that have annotations; the row is locked by whoever writes them",
    )


def _log() -> None:
    op.create_table(
        "revision",
        *(_column("image", sa.Integer()), _column("number", Big), _column("author", sa.Integer())),
        *(_column("time", Big), _column("last", Big), _key("image", "number")),
        sqlite_with_rowid=False,
        comment="Who made a revision, when (microseconds since 1970, UTC), and its last entry",
    )
    op.create_table(
        "entry",
        *(_column("id", Big), _column("revision", Big), _column("uuid", Id()), _column("version", sa.Integer())),
        *(_column("kind", sa.SmallInteger()), _column("prev", Big, nullable=True)),
        *(_column("shape", sa.SmallInteger()), _column("label", sa.Integer()), _column("origin", sa.Integer())),
        *(_column("score", sa.Double(), nullable=True), _column("t", sa.Integer(), nullable=True)),
        *(_column("geometry", Wkb, nullable=True), _column("rest", sa.Text(), nullable=True)),
        *(_column("bits", sa.LargeBinary(), nullable=True), _key("id")),
        comment="The log",
    )
    _index("entry_follow", "entry", ["id", "prev"], where="prev IS NOT NULL")


def _present_state() -> None:
    op.create_table(
        "annotation",
        *(_column("id", Big), _column("image", sa.Integer()), _column("cell", Big, nullable=True)),
        *(_column("label", sa.Integer()), _column("head", Big), _column("revision", Big), _column("born", Big)),
        *(_column("version", sa.Integer()), _column("shape", sa.SmallInteger()), _column("alive", sa.SmallInteger())),
        *(_column("t", sa.Integer(), nullable=True), _column("instance", sa.Text(), nullable=True)),
        *(_column(axis, sa.Double(), nullable=True) for axis in ("x0", "y0", "x1", "y1", "z0", "z1")),
        _key("id"),
        comment="The present state",
    )
    _index("annotation_cell", "annotation", ["image", "cell", "label"])
    _index("annotation_instance", "annotation", ["instance"], where="instance IS NOT NULL")
    op.create_table(
        "uid",
        *(_column("uuid", Id()), _column("annotation", Big), _key("uuid")),
        sqlite_with_rowid=False,
        comment="Where an annotation is found by its id",
    )
    op.create_table(
        "chunk",
        *(_column("annotation", Big), _column("key", Big)),
        *(_column(side, sa.Integer()) for side in ("z0", "y0", "x0", "z1", "y1", "x1")),
        *(_column("bits", sa.LargeBinary()), _key("annotation", "key")),
        comment="The present bits of painted masks, and the box of those of each chunk",
    )


def _index(name: str, table: str, columns: list[str], *, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)

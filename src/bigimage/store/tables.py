"""The tables, the same on every database.

`entry` is the log: append-only, complete, and the only table that holds outlines and attributes. `annotation` is the
present state, one slim row per annotation that ever was, pointing into the log; `cell` in it is the spatial index.
`chunk` is the present state of painted masks. Both can be made again from the log, and `verify` does so.

Ids of entries say their image and their place in its log (`entry_id`), so an image's log is one run of ids in the
order of its revisions.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, UserDefinedType

metadata = sa.MetaData()

ENTRY_BITS = 40
"""Bits of an entry's id below those of its image."""


def entry_id(image: int, place: int) -> int:
    """Id of the log entry at a place, counted from 1, of an image."""
    return image << ENTRY_BITS | place


class PostgisGeometry(UserDefinedType[bytes]):
    """PostGIS' geometry, given and read as WKB."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name of the type in SQL."""
        return "geometry"

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        """PostGIS answers in hexadecimal unless asked for binary."""
        return lambda value: bytes.fromhex(value) if isinstance(value, str) else value


class Id(TypeDecorator[UUID]):
    """UUID: PostgreSQL's own type, 16 bytes elsewhere."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """Type on a database."""
        return dialect.type_descriptor(postgresql.UUID() if dialect.name == "postgresql" else sa.LargeBinary(16))

    def process_bind_param(self, value: UUID | None, dialect: Any) -> Any:
        """UUID to what the database takes."""
        return value if value is None or dialect.name == "postgresql" else value.bytes

    def process_result_value(self, value: Any, dialect: Any) -> UUID | None:
        """UUID from what the database gives."""
        return value if value is None or isinstance(value, UUID) else UUID(bytes=bytes(value))


Wkb = sa.LargeBinary().with_variant(PostgisGeometry(), "postgresql")
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite's integers have 64 bits, and only a column of type INTEGER is its row id."""


def _column(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    """Column that is never null unless said."""
    return sa.Column(name, kind, nullable=nullable, **options)


name = sa.Table(
    "name",
    metadata,
    _column("id", sa.Integer(), primary_key=True),
    _column("text", sa.Text(), unique=True),
    comment="Texts that many rows share: labels, people, origins",
)
lattice = sa.Table(
    "lattice",
    metadata,
    _column("id", sa.Integer(), primary_key=True),
    _column("digest", sa.LargeBinary(32), unique=True),
    _column("document", sa.Text()),
    comment="Grids that painted masks lie on, as JSON",
)
image = sa.Table(
    "image",
    metadata,
    _column("id", sa.Integer(), primary_key=True),
    _column("name", sa.Text(), unique=True),
    _column("frame", sa.Text()),
    _column("ndim", sa.SmallInteger()),
    _column("srid", sa.Integer()),
    _column("revision", Big),
    _column("entries", Big),
    _column("levels", Big),
    comment="Images that have annotations; the row is locked by whoever writes them",
)
revision = sa.Table(
    "revision",
    metadata,
    _column("image", sa.Integer(), primary_key=True, autoincrement=False),
    _column("number", Big, primary_key=True, autoincrement=False),
    _column("author", sa.Integer()),
    _column("time", Big),
    _column("last", Big),
    sqlite_with_rowid=False,
    comment="Who made a revision, when (microseconds since 1970, UTC), and its last entry",
)
entry = sa.Table(
    "entry",
    metadata,
    _column("id", Big, primary_key=True, autoincrement=False),
    _column("revision", Big),
    _column("uuid", Id()),
    _column("version", sa.Integer()),
    _column("kind", sa.SmallInteger()),
    _column("prev", Big, nullable=True),
    _column("shape", sa.SmallInteger()),
    _column("label", sa.Integer()),
    _column("origin", sa.Integer()),
    _column("score", sa.Double(), nullable=True),
    _column("t", sa.Integer(), nullable=True),
    _column("geometry", Wkb, nullable=True),
    _column("rest", sa.Text(), nullable=True),
    _column("bits", sa.LargeBinary(), nullable=True),
    comment="The log",
)
annotation = sa.Table(
    "annotation",
    metadata,
    _column("id", Big, primary_key=True, autoincrement=False),
    _column("image", sa.Integer()),
    _column("cell", Big, nullable=True),
    _column("label", sa.Integer()),
    _column("head", Big),
    _column("revision", Big),
    _column("born", Big),
    _column("version", sa.Integer()),
    _column("shape", sa.SmallInteger()),
    _column("alive", sa.SmallInteger()),
    _column("t", sa.Integer(), nullable=True),
    _column("instance", sa.Text(), nullable=True),
    *(_column(axis, sa.Double(), nullable=True) for axis in ("x0", "y0", "x1", "y1", "z0", "z1")),
    comment="The present state",
)
uid = sa.Table(
    "uid",
    metadata,
    _column("uuid", Id(), primary_key=True),
    _column("annotation", Big),
    sqlite_with_rowid=False,
    comment="Where an annotation is found by its id",
)
chunk = sa.Table(
    "chunk",
    metadata,
    _column("annotation", Big, primary_key=True, autoincrement=False),
    _column("key", Big, primary_key=True, autoincrement=False),
    *(_column(side, sa.Integer()) for side in ("z0", "y0", "x0", "z1", "y1", "x1")),
    _column("bits", sa.LargeBinary()),
    comment="The present bits of painted masks, and the box of those of each chunk",
)
schema = sa.Table(
    "schema",
    metadata,
    _column("version", sa.Integer(), primary_key=True, autoincrement=False),
    _column("author", sa.Integer()),
    _column("time", Big),
    _column("document", sa.Text()),
    comment="Versions of the label schema",
)
once = sa.Table(
    "once",
    metadata,
    _column("key", sa.Text(), primary_key=True),
    _column("digest", sa.LargeBinary()),
    _column("image", sa.Integer()),
    _column("time", Big),
    _column("answer", sa.Text()),
    comment="Idempotency keys and the answers they got",
)

person = sa.Table(
    "person",
    metadata,
    _column("name", sa.Text(), primary_key=True),
    _column("role", sa.Text()),
    _column("created", Big),
    comment="People and their roles",
)
token = sa.Table(
    "token",
    metadata,
    _column("digest", sa.LargeBinary(32), primary_key=True),
    _column("person", sa.Text()),
    _column("created", Big),
    _column("expires", Big, nullable=True),
    comment="SHA-256 of the tokens that people show, and until when they hold",
)
region = sa.Table(
    "region",
    metadata,
    _column("id", Id(), primary_key=True),
    _column("image", sa.Text()),
    _column("place", sa.Integer()),
    _column("name", sa.Text()),
    _column("box", sa.Text()),
    _column("area", sa.LargeBinary(), nullable=True),
    _column("state", sa.Text()),
    _column("assignee", sa.Text(), nullable=True),
    _column("version", sa.Integer()),
    _column("created", Big),
    _column("modified", Big),
    comment="Regions of images as units of work",
)
region_step = sa.Table(
    "region_step",
    metadata,
    _column("region", Id(), primary_key=True),
    _column("version", sa.Integer(), primary_key=True, autoincrement=False),
    _column("image", sa.Text()),
    _column("name", sa.Text()),
    _column("kind", sa.Text()),
    _column("author", sa.Text(), nullable=True),
    _column("time", Big),
    comment="The log of regions: every step of the work, of removed regions too; without an author where none was kept",
)
lease = sa.Table(
    "lease",
    metadata,
    _column("name", sa.Text(), primary_key=True),
    _column("holder", sa.Text()),
    _column("fence", Big),
    _column("expires", Big),
    comment="Who may write what, until when (microseconds since 1970, UTC)",
)

sa.Index("token_person", token.c.person)
sa.Index("region_image", region.c.image, region.c.place)
sa.Index("region_step_image", region_step.c.image, region_step.c.time)
sa.Index("annotation_cell", annotation.c.image, annotation.c.cell, annotation.c.label)
sa.Index(
    "annotation_instance",
    annotation.c.instance,
    sqlite_where=annotation.c.instance.isnot(None),
    postgresql_where=annotation.c.instance.isnot(None),
)
sa.Index(
    "entry_follow",
    entry.c.id,
    entry.c.prev,
    sqlite_where=entry.c.prev.isnot(None),
    postgresql_where=entry.c.prev.isnot(None),
)

PASSING = (once, lease)
"""Tables about requests and processes of the moment, which no backup holds."""

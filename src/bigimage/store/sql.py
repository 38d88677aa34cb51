"""The store over a relational database; `Database` says what differs between them."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bigimage.collecting import collecting_rarely
from bigimage.errors import Conflict, InputError, NotFound
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import Frame
from bigimage.model.annotation import Annotation, frame_ndim
from bigimage.model.change import Added, Applied, Change, Clash, Edited, Logged, Once, Revision, Stored
from bigimage.model.columns import PlainColumns
from bigimage.model.image import check_id
from bigimage.model.labels import Schema, check_next, check_schema
from bigimage.model.mask import Mask, chunk_shape
from bigimage.model.problem import require_none
from bigimage.model.schema_json import read_schema, schema_dict
from bigimage.model.table import Table
from bigimage.model.where import Where
from bigimage.store import aggregate, loading, tables
from bigimage.store.bits import chunk_index, chunk_key, unpack_bits
from bigimage.store.changeset import PART, ChangeSet, Part
from bigimage.store.database import Database
from bigimage.store.door import Columns, Count, Difference, Moment, Step, Watch
from bigimage.store.journal import Journal
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow, Lookup, image_row
from bigimage.store.reading import Ask, Reader
from bigimage.store.rows import SHAPE_CODES, encode, frame_json, from_micros, srid
from bigimage.store.runs import Spool, in_parts
from bigimage.store.tables import ENTRY_BITS
from bigimage.store.writing import Writer, close_revision

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS_KEPT = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which idempotency keys are kept, at least."""
_TWICE = "an id was given to an annotation of another image at the same moment; try again"
_FIND = "SELECT a.id, a.alive, a.image, a.shape FROM uid u JOIN annotation a ON a.id = u.annotation WHERE u.uuid = ?"


class SqlStore:
    """Annotations in a relational database; see `bigimage.store.door.AnnotationStore`."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.database = database
        self.lookup = Lookup(database)
        self.reader = Reader(database, self.lookup)
        self.journal = Journal(self.reader)
        self._clock = clock

    # ---- writing

    def apply(
        self,
        image: str,
        changes: Iterable[Change],
        *,
        author: str,
        once: Once | None = None,
        skip_conflicts: bool = False,
    ) -> Applied:
        """Store changes of one image in one transaction; see the door."""
        listed = list(changes)
        if not listed:
            return Applied(None, ())
        part = self._part(image, listed)
        author_id = self.lookup.add_texts([author])[author]
        with self.database.writing() as connection:
            row = self._lock(connection, image)
            if once is not None and (answer := self._answer(connection, row, listed, once, author)) is not None:
                return answer
            writer = Writer(connection, self.reader, row)
            _make(writer, part, skip_conflicts=skip_conflicts)
            now = self._now(connection, row)
            _save(writer, author=author_id, time=now)
            made = Revision(image, row.revision + 1, author, from_micros(now)) if writer.written else None
            applied = Applied(made, tuple(writer.results))
            if once is not None:
                self._remember(connection, row, applied, once, author, now)
        return applied

    def apply_all(self, image: str, changes: Iterable[Change], *, author: str) -> Step | None:
        """Store changes of one image, however many, in one transaction; see the door."""
        with closing(ChangeSet()) as kept:
            for listed in in_parts(changes, PART):
                kept.add(self._part(image, listed))
            if not kept.count:
                return None
            author_id = self.lookup.add_texts([author])[author]
            with self.database.writing() as connection, self.database.bulk(connection):
                row = self._lock(connection, image)
                writer = Writer(connection, self.reader, row)
                for part in kept.parts():
                    _make(writer, part, skip_conflicts=False)
                    writer.forget()
                now = self._now(connection, row)
                _save(writer, author=author_id, time=now)
            return Step(Revision(image, row.revision + 1, author, from_micros(now)), writer.written)

    def _part(self, image: str, listed: list[Change]) -> Part:
        """Changes of an image, ready to be made. Raises FrameMismatch, InputError, NotFound."""
        brought = [c.annotation for c in listed if isinstance(c, (Added, Edited))]
        for annotation in brought:
            loading.require_image(annotation, image)
        frame = self._frame(image, brought[0].frame if brought else None)
        batch = encode(brought, frame, self.lookup.add_grid)
        return Part(listed, batch, self.lookup.add_texts({*batch.labels, *batch.origins}))

    def load(self, image: str, annotations: Iterable[Annotation | Table], *, author: str) -> Revision | None:
        """Store many new annotations as one revision; see the door."""
        source = (given for given in annotations if isinstance(given, Annotation) or len(given))
        first = next(source, None)
        if first is None:
            return None
        loading.require_image(first, image)
        frame = self._frame(image, first.frame)
        author_id = self.lookup.add_texts([author])[author]
        with closing(Spool()) as kept:
            with collecting_rarely():
                loading.fill(kept, chain([first], source), lookup=self.lookup, image=image, frame=frame)
            try:
                return self._write(kept, image, author, author_id)
            except self.database.taken as error:
                with self.database.reading() as connection:
                    taken = loading.taken_ids(self.database, connection, kept)
                named = ", ".join(map(str, taken[:3]))
                raise Conflict(f"ids are taken already ({named}…); edit those annotations instead") from error

    def _write(self, kept: Spool, image: str, author: str, author_id: int) -> Revision:
        """Write a spool as one revision."""
        with self.database.writing(through=self.database.taken) as connection:
            row = self._lock(connection, image)
            now = self._now(connection, row)
            with self.database.bulk(connection):
                levels = loading.write(self.database, connection, row, kept)
            close_revision(connection, self.database, row, author=author_id, time=now, added=kept.count, levels=levels)
        return Revision(image, row.revision + 1, author, from_micros(now))

    def _frame(self, image: str, given: Frame | None) -> Frame:
        """Frame of an image, which its first annotation fixes. Raises NotFound when there is none to fix it."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
        if row is not None:
            return row.frame
        if given is None:
            raise NotFound(f"image {image!r} has no annotations")
        values = {"name": check_id(image), "frame": frame_json(given), "ndim": frame_ndim(given), "srid": srid(given)}
        with self.database.writing() as connection:
            add = (
                "INSERT INTO image (name, frame, ndim, srid, revision, entries, levels)"
                " VALUES (:name, :frame, :ndim, :srid, 0, 0, 0) ON CONFLICT DO NOTHING"
            )
            connection.execute(sa.text(add), values)
        return self._frame(image, None)

    def _lock(self, connection: sa.Connection, image: str) -> ImageRow:
        """Image, locked until the transaction ends. Raises NotFound."""
        values = self.database.lock_image(connection, image)
        if values is None:
            raise NotFound(f"image {image!r} has no annotations")
        return image_row(values)

    def _now(self, connection: sa.Connection, row: ImageRow) -> int:
        """Microseconds since 1970, never before an image's latest revision, whatever the clock says."""
        sql = "SELECT time FROM revision WHERE image = ? AND number = ?"
        last = self.database.fetch(connection, sql, (row.id, row.revision))
        return max(self._clock() // 1000, last[0][0] if last else 0)

    # ---- idempotency

    def _answer(
        self, connection: sa.Connection, row: ImageRow, changes: Sequence[Change], once: Once, author: str
    ) -> Applied | None:
        """Answer that an earlier call with the same key got; None when there was none. Raises Conflict."""
        table = tables.once
        key = f"{author}/{once.key}"
        found = connection.execute(sa.select(table).where(table.c.key == key)).mappings().first()
        if found is None:
            return None
        if bytes(found["digest"]) != once.digest or found["image"] != row.id:
            raise Conflict(f"idempotency key {once.key!r} was used for another request; take a new one")
        document = json.loads(found["answer"])
        results: list[Stored | Clash] = [
            Clash(k, UUID(id_), changes[k], None, version) if clashed else Stored(k, UUID(id_), version)
            for k, (id_, version, clashed) in enumerate(document["results"])
        ]
        revision = self._revision(connection, row, document["revision"])
        return Applied(revision, tuple(results), replayed=True)

    def _remember(
        self, connection: sa.Connection, row: ImageRow, applied: Applied, once: Once, author: str, now: int
    ) -> None:
        """Keep the answer of a call for its key."""
        results = [[str(r.id), r.version, isinstance(r, Clash)] for r in applied.results]
        number = applied.revision.number if applied.revision is not None else 0
        answer = json.dumps({"revision": number, "results": results})
        values = {"key": f"{author}/{once.key}", "digest": once.digest, "image": row.id, "time": now, "answer": answer}
        connection.execute(sa.insert(tables.once), values)

    # ---- reading

    def query(
        self,
        image: str,
        box: WorldBox | None = None,
        *,
        where: Where | None = None,
        at: Moment | None = None,
        limit: int | None = None,
        after: UUID | None = None,
    ) -> Iterator[Annotation]:
        """Annotations whose boxes touch a box; see the door."""
        if limit is not None and limit < 0:
            raise InputError(f"limit {limit} is negative")
        return self._query(image, Ask(box=box, where=where or Where(), limit=limit, after=after), at)

    def _query(self, image: str, ask: Ask, at: Moment | None) -> Iterator[Annotation]:
        """Annotations, read while they are taken."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            if row is None:
                return
            number = None if at is None else self.reader.revision_at(connection, row, at)
            if number == 0:
                return
            for found in self.reader.query(connection, row, replace(ask, at=number)):
                yield from found

    def plain(
        self, image: str, box: WorldBox | None = None, *, where: Where | None = None, at: Moment | None = None
    ) -> Iterator[PlainColumns | list[Annotation]]:
        """Annotations in lists, as columns where that says all; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            number = None if row is None or at is None else self.reader.revision_at(connection, row, at)
            if row is not None and number != 0:
                yield from self.reader.plain(connection, row, Ask(box=box, where=where or Where(), at=number))

    def columns(self, image: str, box: WorldBox, *, where: Where | None = None, limit: int | None = None) -> Columns:
        """Annotations whose boxes touch a box, as columns; see the door."""
        with collecting_rarely():
            with self.database.reading() as connection:
                row = self.lookup.image(connection, image)
                values = [] if row is None else self.reader.columns(connection, row, box, where or Where(), limit)
                self.lookup.load_texts(connection, {v[2] for v in values})
            columns = zip(*values, strict=True) if values else ((),) * 9
            ids, versions, labels, shapes, geometries, scores, rest, rows, times = columns
            names, places = np.unique(np.array(labels, dtype=np.int64), return_inverse=True)
            return Columns(
                keys=np.frombuffer(b"".join(map(self.database.uuid_bytes, ids)), np.uint8).reshape(-1, 16),
                versions=np.array(versions, dtype=np.int32),
                labels=places.astype(np.int32),
                names=tuple(self.lookup.texts[k] for k in names.tolist()),
                shapes=np.array(shapes, dtype=np.int16),
                outlines=list(geometries),
                scores=np.array([np.nan if s is None else s for s in scores], dtype=np.float64),
                rest=list(rest),
                places=np.array(rows, dtype=np.int64) & (1 << ENTRY_BITS) - 1,
                times=np.array([-1 if t is None else t for t in times], dtype=np.int64),
            )

    def counts(self, image: str, box: WorldBox, *, size: float) -> list[Count]:
        """Numbers of small annotations per label and square; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            return [] if row is None else aggregate.counts(self.reader, connection, row, box, size=size)

    def count(self, image: str, *, where: Where | None = None) -> int:
        """Number of annotations of an image as it is; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            return 0 if row is None else aggregate.count(self.reader, connection, row, where or Where())

    def get(self, id: UUID, *, version: int | None = None) -> Annotation:
        """One annotation, as it is or as it was; see the door."""
        with self.database.reading() as connection:
            row, key, alive, _ = self._find(connection, id)
            if version is not None:
                return self.journal.version(connection, row, key, version)
            if not alive:
                raise NotFound(f"annotation {id} was removed; its history is kept")
            return self.reader.get(connection, row, key)

    def _find(self, connection: sa.Connection, id_: UUID) -> tuple[ImageRow, int, bool, int]:
        """Image, database id, whether it is not removed, and code of the shape of an annotation. Raises NotFound."""
        found = self.database.fetch(connection, _FIND, (self.database.uuid_parameter(id_),))
        if not found:
            raise NotFound(f"there is no annotation {id_}")
        key, alive, image, shape = found[0]
        return self.lookup.image_of(connection, image), key, bool(alive), shape

    def read_mask(self, id: UUID, box: IndexBox) -> "NDArray[np.bool_]":
        """Present bits of a mask annotation within a box of its grid; see the door."""
        with self.database.reading() as connection:
            row, key, alive, shape = self._find(connection, id)
            if not alive or shape != SHAPE_CODES["mask"]:
                raise NotFound(f"annotation {id} {'is no mask' if alive else 'was removed'}")
            sql = "SELECT e.rest FROM annotation a JOIN entry e ON e.id = a.head WHERE a.id = ?"
            rest = json.loads(self.database.fetch(connection, sql, (key,))[0][0])
            grid = self.lookup.grid(connection, rest["grid"], row.frame)
            keys = [chunk_key(i) for i in box.intersect(grid.box).blocks(chunk_shape(grid.ndim))]
            chunks: dict[tuple[int, ...], bytes] = {}
            for k in range(0, len(keys), MOST_PARAMETERS):
                part = keys[k : k + MOST_PARAMETERS]
                sql = f"SELECT key, bits FROM chunk WHERE annotation = ? AND key IN ({','.join('?' * len(part))})"
                for number, bits in self.database.fetch(connection, sql, [key, *part]):
                    chunks[chunk_index(number, grid.ndim)] = unpack_bits(bytes(bits))
        return Mask(grid, chunks).read(box)

    # ---- history

    def revision(self, image: str, *, at: Moment | None = None) -> Revision | None:
        """Latest revision, or the one that was visible at a moment; None before the first."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            return (
                None if row is None else self._revision(connection, row, self.reader.revision_at(connection, row, at))
            )

    def _revision(self, connection: sa.Connection, row: ImageRow, number: int) -> Revision | None:
        """Revision of a number; None for 0."""
        if number == 0:
            return None
        author, moment = self.lookup.revisions(connection, row.id, [number])[number]
        return Revision(row.name, number, author, moment)

    def revisions(self, image: str, *, since: int = 0, limit: int | None = None) -> Sequence[Step]:
        """Revisions of an image behind one, the latest first; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            return [] if row is None else self.journal.revisions(connection, row, since=since, limit=limit)

    def changes(
        self, image: str, *, since: int = 0, until: int | None = None, limit: int | None = None
    ) -> Iterator[Logged]:
        """Log of an image behind a revision, in order; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            if row is not None:
                for logged in self.journal.changes(connection, row, since=since, until=until, limit=limit):
                    yield from logged

    def history(self, id: UUID) -> Sequence[Logged]:
        """Every change of one annotation, the first one first. Raises NotFound."""
        with self.database.reading() as connection:
            row, key, _, _ = self._find(connection, id)
            return self.journal.history(connection, row, key)

    def differences(self, image: str, *, since: Moment, box: WorldBox | None = None) -> Iterator[Difference]:
        """What became of each annotation that changed behind a moment; see the door."""
        with self.database.reading() as connection:
            row = self.lookup.image(connection, image)
            if row is not None:
                number = self.reader.revision_at(connection, row, since)
                yield from self.journal.differences(connection, row, since=number, box=box)

    # ---- schema and upkeep

    def schema(self, version: int | None = None) -> Schema | None:
        """Label schema, the latest or that of a version; see the door."""
        table = tables.schema
        with self.database.reading() as connection:
            wanted = sa.select(table.c.version, table.c.document).order_by(table.c.version.desc()).limit(1)
            if version is not None:
                wanted = wanted.where(table.c.version == version)
            found = connection.execute(wanted).first()
        if found is None:
            if version is not None:
                raise NotFound(f"the label schema has no version {version}")
            return None
        return _schema(found)

    def set_schema(self, schema: Schema, *, author: str, base: int | None = None) -> Schema:
        """Store a new version of the label schema; see the door."""
        require_none("the label schema", check_schema(schema))
        author_id = self.lookup.add_texts([author])[author]
        table = tables.schema
        with self.database.writing() as connection:
            known = connection.execute(sa.select(table.c.version, table.c.document).order_by(table.c.version)).all()
            earlier = [_schema(one) for one in known]
            latest = earlier[-1].version if earlier else 0
            if base is not None and base != latest:
                raise Conflict(f"the label schema is at version {latest}, your change was made from version {base}")
            require_none("the label schema", check_next(schema, earlier))
            new = replace(schema, version=latest + 1)
            values = {"version": new.version, "author": author_id, "time": self._clock() // 1000}
            try:
                connection.execute(sa.insert(table), {**values, "document": json.dumps(schema_dict(new))})
            except IntegrityError as error:
                raise Conflict("somebody else changed the label schema at the same moment; try again") from error
        return new

    def images(self) -> dict[str, Revision]:
        """Images that have annotations or had some, with their latest revisions."""
        sql = (
            "SELECT i.name, r.number, n.text, r.time FROM image i JOIN revision r ON r.image = i.id"
            " AND r.number = i.revision JOIN name n ON n.id = r.author"
        )
        with self.database.reading() as connection:
            # sorted here, for every PostgreSQL database has its own order of letters
            rows = sorted(self.database.fetch(connection, sql), key=itemgetter(0))
        return {name: Revision(name, number, author, from_micros(moment)) for name, number, author, moment in rows}

    def watch(self) -> Watch:
        """Begin to wait for changes by anybody; see the door."""
        return self.database.watch()

    def check(self) -> None:
        """Ask the database something, to see that it answers. Raises BackendError."""
        self.database.check()

    def compact(self) -> None:
        """Forget idempotency keys of the week before last, give space back, refresh statistics."""
        table = tables.once
        with self.database.writing() as connection:
            connection.execute(sa.delete(table).where(table.c.time < self._clock() // 1000 - KEYS_KEPT))
        self.database.compact()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def _schema(row: Any) -> Schema:
    """Schema of a row."""
    return _parsed(row.version, row.document)


@lru_cache(maxsize=64)
def _parsed(version: int, document: str) -> Schema:
    """Schema of its stored form; kept, because every call that stores something needs the latest."""
    return replace(read_schema(json.loads(document)), version=version)


def _make(writer: Writer, part: Part, *, skip_conflicts: bool) -> None:
    """Make changes. Raises Conflict."""
    try:
        writer.make(part.changes, part.batch, part.texts)
    except IntegrityError as error:
        raise Conflict(_TWICE) from error
    clashes = tuple(r for r in writer.results if isinstance(r, Clash))
    if clashes and not skip_conflicts:
        raise Conflict(_clash_text(clashes), clashes)


def _save(writer: Writer, *, author: int, time: int) -> None:
    """Write what was made as a revision. Raises Conflict."""
    try:
        writer.save(author=author, time=time)
    except IntegrityError as error:
        raise Conflict(_TWICE) from error


def _clash_text(clashes: Sequence[Clash]) -> str:
    """What stands in the way, for a message."""
    first = clashes[0]
    base = getattr(first.yours, "base", None)
    if first.version == 0:
        text = f"annotation {first.id} does not exist"
    elif isinstance(first.yours, Added):
        text = f"annotation {first.id} exists already, at version {first.version}"
    else:
        state = "" if first.current is not None else ", where it was removed"
        text = f"annotation {first.id} is at version {first.version}{state}; your change was made from version {base}"
    more = f", and {len(clashes) - 1} more clash" if len(clashes) > 1 else ""
    return f"{text}{more}; read it again and redo the change"

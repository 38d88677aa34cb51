"""Reading annotations: the present state, a past one, and single ones."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import merge
from itertools import islice
from math import frexp
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

import numpy as np
import shapely
import sqlalchemy as sa

from bigimage.collecting import collecting_rarely
from bigimage.errors import InputError
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.mask import ChunkIndex, merge_chunk
from bigimage.model.where import Slab, Where, touches
from bigimage.store.bits import chunk_index, unpack_bits, unpack_chunks
from bigimage.store.cells import LOWEST, ranges
from bigimage.store.database import FETCH, Database
from bigimage.store.door import Moment
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow, Lookup
from bigimage.store.rows import SHAPE_CODES, Context, Row, decode, to_micros
from bigimage.store.runs import in_parts

ADDED, EDITED, REMOVED, BRUSH_ADD, BRUSH_SUBTRACT = 1, 2, 3, 4, 5
"""Kinds of log entries."""
COLUMNS = "a.id, e.uuid, a.version, a.born, a.revision, a.shape, a.label, e.origin, e.score, a.t, e.geometry, e.rest"
"""Columns of `rows.Row`, of the present state."""
PAST_COLUMNS = (
    "a.id, e.uuid, e.version, a.born, e.revision, e.shape, e.label, e.origin, e.score, e.t, e.geometry, e.rest"
)
"""The same of a log entry."""
_MASK = SHAPE_CODES["mask"]
_SHAPE = Row._fields.index("shape")
_LABEL, _ORIGIN, _BORN, _REVISION = (itemgetter(Row._fields.index(f)) for f in ("label", "origin", "born", "revision"))
"""Columns of rows, by their places: by their names they take twice as long."""
_SHAPE_OF = itemgetter(_SHAPE)
_PLAIN = frozenset(SHAPE_CODES[name] for name in ("point", "multipoint", "line", "polygon"))


@dataclass(slots=True)
class Clause:
    """Conditions of a query with their parameters."""

    terms: list[str] = field(default_factory=list[str])
    values: list[Any] = field(default_factory=list[Any])

    def add(self, term: str, *values: Any) -> None:
        """Add a condition."""
        self.terms.append(term)
        self.values.extend(values)

    def among(self, column: str, values: Iterable[Any]) -> None:
        """Add the condition that a column holds one of some values."""
        listed = list(values)
        self.add(f"{column} IN ({','.join('?' * len(listed))})" if listed else "1 = 0", *listed)

    @property
    def sql(self) -> str:
        """All conditions."""
        return " AND ".join(self.terms) or "1 = 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a query asks for."""

    box: WorldBox | None = None
    where: Where = field(default_factory=Where)
    at: int | None = None
    """Revision whose state is asked for; None for the present."""
    limit: int | None = None
    after: UUID | None = None

    @property
    def ordered(self) -> bool:
        """Whether answers come in the order in which annotations were first stored."""
        return self.box is None or self.limit is not None or self.after is not None


class Reader:
    """Reads one database."""

    def __init__(self, database: Database, lookup: Lookup) -> None:
        self.database, self.lookup = database, lookup

    # ---- conditions

    def conditions(self, connection: sa.Connection, image: ImageRow, where: Where, *, past: bool = False) -> Clause:
        """Conditions of a where-clause on the present state, or on a log entry `e` and its annotation `a`."""
        clause = Clause()
        row = "e" if past else "a"
        for column, names in ((f"{row}.label", where.labels), ("e.origin", where.origins)):
            if names is not None:
                clause.among(column, self.lookup.text_ids(connection, names).values())
        if where.shapes is not None:
            clause.among(f"{row}.shape", [SHAPE_CODES[s] for s in where.shapes if s in SHAPE_CODES])
        if where.authors is not None:
            people = list(self.lookup.text_ids(connection, where.authors).values())
            marks = ",".join("?" * len(people))
            sql = f"a.born IN (SELECT number FROM revision WHERE image = ? AND author IN ({marks or 'NULL'}))"
            clause.add(sql, image.id, *people)
        if where.instance is not None and not past:
            clause.add("a.instance = ?", where.instance)
        if where.t is not None:
            clause.add(f"({row}.t IS NULL OR {row}.t = ?)", where.t)
        first = "(SELECT min(number) FROM revision WHERE image = ? AND time >= ?)"
        if where.since is not None:
            clause.add(f"{row}.revision >= coalesce({first}, {2**62})", image.id, to_micros(where.since))
        if where.until is not None:
            clause.add(f"{row}.revision < coalesce({first}, {2**62})", image.id, to_micros(where.until))
        if where.min_size is not None and not past:
            sides = ("a.x1 - a.x0", "a.y1 - a.y0", "a.z1 - a.z0")[: image.ndim]
            clause.add("(" + " OR ".join(f"{side} >= ?" for side in sides) + ")", *[where.min_size] * image.ndim)
        if where.slab is not None and not past:
            _add_slab(clause, where.slab)
        return clause

    def box_terms(self, image: ImageRow, box: WorldBox) -> tuple[Clause, list[WorldBox]]:
        """Condition that an annotation's box touches a box, and the plain boxes that make it up.

        Raises FrameMismatch, and InputError for a box with the wrong number of coordinates.
        """
        own = box.to(image.frame)
        if len(own.minimum) != image.ndim:
            raise InputError(f"a box of {len(own.minimum)} coordinates does not fit annotations of {image.ndim}")
        parts = [own]
        if own.crosses_antimeridian:
            west = WorldBox((-180.0, own.minimum[1]), own.maximum, own.frame)
            parts = [WorldBox(own.minimum, (180.0, own.maximum[1]), own.frame), west]
        clause = Clause()
        axes = ("x", "y", "z")[: image.ndim]
        term = " AND ".join(f"a.{axis}0 <= ? AND a.{axis}1 >= ?" for axis in axes)
        values = [v for p in parts for pair in zip(p.maximum, p.minimum, strict=True) for v in pair]
        clause.add("(" + " OR ".join([f"({term})"] * len(parts)) + ")", *values)
        return clause, parts

    # ---- the present and the past

    def query(self, connection: sa.Connection, image: ImageRow, ask: Ask) -> Iterator[list[Annotation]]:
        """Annotations in lists; see the door."""
        slab = ask.where.slab
        # which annotations touch a slab is known only when they are read
        read = self._batches if ask.where.ids is None else self._by_ids
        batches = iter(read(connection, image, ask if slab is None else replace(ask, limit=None)))
        left = ask.limit
        while True:
            with collecting_rarely():
                rows = next(batches, None)
                if rows is None:
                    return
                found = self.annotations(connection, image, rows, at=ask.at)
            if slab is not None:
                found = [a for a in found if touches(a.shape, slab)]
            yield found[:left]
            left = None if left is None else left - len(found)
            if left is not None and left <= 0:
                return

    def _by_ids(self, connection: sa.Connection, image: ImageRow, ask: Ask) -> Iterator[list[Row]]:
        """Rows of named annotations; many names are looked up in parts, each in its order."""
        known: list[int] = []
        ids = list(ask.where.ids or ())
        for k in range(0, len(ids), MOST_PARAMETERS):
            part = [self.database.uuid_parameter(u) for u in ids[k : k + MOST_PARAMETERS]]
            sql = f"SELECT annotation FROM uid WHERE uuid IN ({','.join('?' * len(part))})"
            known.extend(row[0] for row in self.database.fetch(connection, sql, part))
        known.sort()
        left = ask.limit
        for k in range(0, len(known), MOST_PARAMETERS):
            part = known[k : k + MOST_PARAMETERS]
            for rows in self._batches(connection, image, replace(ask, limit=left), among=part):
                yield rows
                left = None if left is None else left - len(rows)
            if left is not None and left <= 0:
                return

    def _batches(
        self, connection: sa.Connection, image: ImageRow, ask: Ask, *, among: Sequence[int] | None = None
    ) -> Iterator[list[Row]]:
        """Rows of the present state, or of a past one, in lists."""
        start = image.ids[0] if ask.after is None else self._place(connection, image, ask.after)
        present = map(self.database.to_rows, self._present(connection, image, ask, start=start, among=among))
        if ask.at is None or ask.at >= image.revision:
            yield from present
            return
        older = self._older(connection, image, ask, at=ask.at, start=start, among=among)
        yield from _merged(present, older, ask.limit) if ask.ordered else [*present, older]

    def _present(
        self, connection: sa.Connection, image: ImageRow, ask: Ask, *, start: int, among: Sequence[int] | None
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Values of rows of the present state, of those that a past state had as they are, in lists."""
        clause = self.conditions(connection, image, ask.where)
        clause.add("a.alive = 1")
        clause.add("a.id > ?", start)
        if among is not None:
            clause.among("a.id", among)
        if ask.at is not None:
            clause.add("a.revision <= ?", ask.at)
        source, values = self._source(connection, image, ask, clause)
        sql = f"SELECT {COLUMNS} {source} WHERE {clause.sql}"
        if ask.ordered:
            sql += " ORDER BY a.id"
        if ask.limit is not None:
            sql += f" LIMIT {int(ask.limit)}"
        values += clause.values
        if not ask.ordered or ask.limit is not None:
            yield self.database.fetch(connection, sql, values)
        else:
            yield from self.database.stream(connection, sql, values)

    def plain(self, connection: sa.Connection, image: ImageRow, ask: Ask) -> Iterator[PlainColumns | list[Annotation]]:
        """Annotations in lists; as columns where all of a list are plain geometries. See the door."""
        if image.ndim != 2 or (ask.at is not None and ask.at < image.revision) or ask.where.slab or ask.where.ids:
            yield from self.query(connection, image, ask)
            return
        for values in self._present(connection, image, ask, start=image.ids[0], among=None):
            with collecting_rarely():
                if _PLAIN.issuperset(map(_SHAPE_OF, values)):
                    found = self._columns(connection, values)
                else:
                    found = self.annotations(connection, image, self.database.to_rows(values), at=ask.at)
            yield found

    def _columns(self, connection: sa.Connection, values: Sequence[Sequence[Any]]) -> PlainColumns:
        """Columns of rows of plain geometries."""
        columns = zip(*values, strict=True) if values else ((),) * 12
        _, uuids, _, _, _, _, labels, origins, scores, times, outlines, rest = columns
        self.lookup.load_texts(connection, {*labels, *origins})
        text_of = self.lookup.texts.__getitem__
        packed = uuids and isinstance(uuids[0], bytes)
        return PlainColumns(
            keys=list(uuids if packed else map(self.database.uuid_bytes, uuids)),
            labels=list(map(text_of, labels)),
            origins=list(map(text_of, origins)),
            scores=list(scores),
            times=list(times),
            outlines=list(outlines),
            rest=list(rest),
        )

    def _place(self, connection: sa.Connection, image: ImageRow, uuid: UUID) -> int:
        """Database id of an annotation of an image. Raises InputError when it has no such annotation."""
        found = self.database.fetch(
            connection, "SELECT annotation FROM uid WHERE uuid = ?", (self.database.uuid_parameter(uuid),)
        )
        if not found or not image.ids[0] <= found[0][0] <= image.ids[1]:
            raise InputError(f"cannot go on behind annotation {uuid}: image {image.name!r} never had it")
        return found[0][0]

    def _source(self, connection: sa.Connection, image: ImageRow, ask: Ask, clause: Clause) -> tuple[str, list[Any]]:
        """FROM clause and its parameters; conditions of place are added to the clause."""
        plain = "FROM annotation a JOIN entry e ON e.id = a.head"
        if ask.box is not None:
            term, parts = self.box_terms(image, ask.box)
            clause.add(term.sql, *term.values)
            runs = _runs(parts, image.levels & _levels_from(ask.where.min_size))
            if not runs:
                clause.add("1 = 0")
                return plain, []
            if not (ask.ordered and self._is_crowded(connection, image, runs)):
                return self.database.window(image.id, runs)
        clause.add("a.id <= ?", image.ids[1])
        return plain, []

    def _is_crowded(self, connection: sa.Connection, image: ImageRow, runs: Sequence[tuple[int, int]]) -> bool:
        """Whether a window holds so many annotations that reading in order and skipping beats sorting them."""
        source, values = self.database.window(image.id, runs, entries=False)
        sql = f"SELECT count(*) FROM (SELECT 1 {source} LIMIT 20001) c"
        return self.database.fetch(connection, sql, values)[0][0] > 20_000

    def _older(
        self,
        connection: sa.Connection,
        image: ImageRow,
        ask: Ask,
        *,
        at: int,
        start: int,
        among: Sequence[int] | None,
    ) -> list[Row]:
        """States at a revision of annotations that changed behind it, in the order of their ids."""
        where, box = ask.where, ask.box
        last = self.last_entry(connection, image, at)
        clause = self.conditions(connection, image, where, past=True)
        clause.add("n.id > ? AND n.id <= ? AND n.prev <= ? AND n.prev IS NOT NULL", last, image.ids[1], last)
        clause.add("e.kind <> ?", REMOVED)
        clause.add("a.id > ?", start)
        if among is not None:
            clause.among("a.id", among)
        sql = (
            f"SELECT {PAST_COLUMNS} FROM entry n JOIN entry e ON e.id = n.prev JOIN uid u ON u.uuid = e.uuid"
            f" JOIN annotation a ON a.id = u.annotation WHERE {clause.sql} ORDER BY a.id"
        )
        rows = self.database.to_rows(self.database.fetch(connection, sql, clause.values))
        if box is not None or where.min_size is not None:
            boxes = None if box is None else self.box_terms(image, box)[1]
            rows = _placed(rows, boxes, where.min_size, image.ndim)
        if where.instance is not None:
            rows = [r for r in rows if r.rest is not None and json.loads(r.rest).get("instance") == where.instance]
        return rows

    def last_entry(self, connection: sa.Connection, image: ImageRow, revision: int) -> int:
        """Id of the last log entry of a revision; that before the first one for revision 0."""
        if revision <= 0:
            return image.ids[0]
        sql = "SELECT last FROM revision WHERE image = ? AND number = ?"
        found = self.database.fetch(connection, sql, (image.id, min(revision, image.revision)))
        return found[0][0]

    def revision_at(self, connection: sa.Connection, image: ImageRow, at: Moment | None) -> int:
        """Number of the revision that was visible at a moment; 0 before the first."""
        if at is None:
            return image.revision
        if isinstance(at, datetime):
            sql = "SELECT coalesce(max(number), 0) FROM revision WHERE image = ? AND time <= ?"
            return self.database.fetch(connection, sql, (image.id, to_micros(at)))[0][0]
        return max(0, min(at, image.revision))

    def columns(
        self, connection: sa.Connection, image: ImageRow, box: WorldBox, where: Where, limit: int | None
    ) -> list[Sequence[Any]]:
        """Id, version, label, shape, outline, score, the rest, row and time of the annotations in a box."""
        clause = self.conditions(connection, image, where)
        clause.add("a.alive = 1")
        source, values = self._source(connection, image, Ask(box=box, where=where), clause)
        columns = "e.uuid, a.version, a.label, a.shape, e.geometry, e.score, e.rest, a.id, a.t"
        sql = f"SELECT {columns} {source} WHERE {clause.sql}"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        return self.database.fetch(connection, sql, values + clause.values)

    def at(
        self, connection: sa.Connection, image: ImageRow, ask: Ask, *, among: Sequence[int]
    ) -> dict[UUID, Annotation]:
        """States of some annotations, named by their database ids; those that did not exist then are left out."""
        batches = self._batches(connection, image, ask, among=among)
        return {a.id: a for rows in batches for a in self.annotations(connection, image, rows, at=ask.at)}

    # ---- rows to annotations

    def get(self, connection: sa.Connection, image: ImageRow, annotation: int) -> Annotation:
        """Present state of an annotation that is not removed, by its database id."""
        sql = f"SELECT {COLUMNS} FROM annotation a JOIN entry e ON e.id = a.head WHERE a.id = ?"
        rows = self.database.to_rows(self.database.fetch(connection, sql, (annotation,)))
        return self.annotations(connection, image, rows)[0]

    def annotations(
        self, connection: sa.Connection, image: ImageRow, rows: Sequence[Row], *, at: int | None = None
    ) -> list[Annotation]:
        """Annotations of rows of the present state, or with `at` of a past one."""
        masks = [r for r in rows if r.shape == _MASK]
        chunks: dict[int, Mapping[ChunkIndex, bytes]] = {}
        if masks:
            chunks = self._chunks(connection, image, masks, at)
        return self.decode(connection, image, rows, chunks)

    def decode(
        self,
        connection: sa.Connection,
        image: ImageRow,
        rows: Sequence[Row],
        chunks: Mapping[int, Mapping[ChunkIndex, bytes]],
    ) -> list[Annotation]:
        """Annotations of rows; `chunks` are the bits of the masks among them."""
        lookup = self.lookup
        lookup.load_texts(connection, {*map(_LABEL, rows), *map(_ORIGIN, rows)})
        numbers = {*map(_BORN, rows), *map(_REVISION, rows)}
        grids = {
            key: lookup.grid(connection, key, image.frame)
            for key in {json.loads(cast("str", r.rest))["grid"] for r in rows if r.shape == _MASK}
        }
        revisions = lookup.revisions(connection, image.id, numbers)
        return decode(
            rows, Context(image.name, image.frame, lookup.texts, revisions, grids, chunks, self.database.uuid)
        )

    def _chunks(
        self, connection: sa.Connection, image: ImageRow, rows: Sequence[Row], at: int | None
    ) -> dict[int, Mapping[ChunkIndex, bytes]]:
        """Bits of masks: those that are present, or for rows that changed behind a revision, replayed."""
        out: dict[int, Mapping[ChunkIndex, bytes]] = {}
        for row in rows:
            sql = "SELECT head, revision FROM annotation WHERE id = ?"
            head, revision = self.database.fetch(connection, sql, (row.annotation,))[0]
            if at is None or revision == row.revision:
                sql = "SELECT key, bits FROM chunk WHERE annotation = ?"
                found = self.database.fetch(connection, sql, (row.annotation,))
                out[row.annotation] = {chunk_index(k, image.ndim): unpack_bits(bytes(bits)) for k, bits in found}
            else:
                out[row.annotation] = self.replay(connection, head, row.version)
        return out

    def replay(self, connection: sa.Connection, head: int, version: int) -> dict[ChunkIndex, bytes]:
        """Bits of a mask at a version, from its last full state before it and the strokes behind that."""
        sql = "SELECT prev, version, kind, bits FROM entry WHERE id = ?"
        strokes: list[tuple[int, bytes]] = []
        entry: int | None = head
        while entry is not None:
            prev, number, kind, bits = self.database.fetch(connection, sql, (entry,))[0]
            if number <= version and kind != REMOVED:
                strokes.append((kind, bytes(bits)))
                if kind in (ADDED, EDITED):
                    break
            entry = prev
        chunks: dict[ChunkIndex, bytes] = {}
        for kind, bits in reversed(strokes):
            if kind in (ADDED, EDITED):
                chunks = unpack_chunks(bits)
                continue
            for index, patch in unpack_chunks(bits).items():
                merged = merge_chunk(chunks.get(index), patch, "add" if kind == BRUSH_ADD else "subtract")
                if merged is None:
                    chunks.pop(index, None)
                else:
                    chunks[index] = merged
        return chunks


def _levels_from(min_size: float | None) -> int:
    """Set of the levels of cells that hold annotations of a size or larger."""
    if min_size is None or not min_size > 0:
        return -1
    _, exponent = frexp(min_size)
    # a level's annotations are smaller than its cells; one level more is looked at than rounding could ask for
    return -1 << max(0, exponent - 1 - LOWEST)


def _runs(parts: Sequence[WorldBox], levels: int) -> list[tuple[int, int]]:
    """Runs of cells of several boxes, joined where they meet, so that no annotation comes twice."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(run for part in parts for run in ranges(part.minimum, part.maximum, levels)):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out


def _add_slab(clause: Clause, slab: Slab) -> None:
    """Condition that an annotation's box touches a slab; boxes of turned shapes are wider than the shapes."""
    middle = sum(p * n for p, n in zip(slab.point, slab.normal, strict=True))
    axes = list(zip("xyz", slab.normal, strict=True))
    center = " + ".join(f"(a.{axis}0 + a.{axis}1) * ?" for axis, _ in axes)
    reach = " + ".join(f"(a.{axis}1 - a.{axis}0) * ?" for axis, _ in axes)
    normals = [n / 2 for _, n in axes]
    slack = slab.thickness / 2 + 1e-9 * (1 + abs(middle))
    clause.add(f"abs({center} - ?) <= ? + {reach}", *normals, middle, slack, *map(abs, normals))


def _placed(rows: Sequence[Row], boxes: Sequence[WorldBox] | None, min_size: float | None, ndim: int) -> list[Row]:
    """Those rows whose outlines' boxes touch one of some boxes and are large enough, as far as that is asked."""
    geometries = shapely.from_wkb(np.array([r.geometry for r in rows], dtype=object))
    points, owner = shapely.get_coordinates(geometries, include_z=ndim == 3, return_index=True)
    low, high = np.full((len(rows), ndim), np.inf), np.full((len(rows), ndim), -np.inf)
    np.minimum.at(low, owner, points)
    np.maximum.at(high, owner, points)
    hit = np.full(len(rows), boxes is None)
    for box in boxes or ():
        hit |= (low <= np.asarray(box.maximum)).all(axis=1) & (high >= np.asarray(box.minimum)).all(axis=1)
    if min_size is not None:
        hit &= ((high - low) >= min_size).any(axis=1)
    return [row for row, inside in zip(rows, hit.tolist(), strict=True) if inside]


def _merged(present: Iterable[list[Row]], older: Sequence[Row], limit: int | None) -> Iterator[list[Row]]:
    """Rows of the present state and of a past one in the order of their ids, in lists."""
    rows = merge((r for part in present for r in part), older, key=lambda r: r.annotation)
    yield from in_parts(islice(rows, limit), FETCH)

"""Reading the log: what changed behind a revision, and everything that ever happened to one annotation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import shapely
import sqlalchemy as sa

from bigimage.errors import NotFound
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Change, Edited, Extent, Logged, Removed, Revision
from bigimage.model.mask import ChunkIndex, Mask
from bigimage.model.shape import bounds
from bigimage.store.bits import unpack_chunks
from bigimage.store.door import Difference, Step
from bigimage.store.lookup import ImageRow
from bigimage.store.reading import ADDED, BRUSH_ADD, BRUSH_SUBTRACT, EDITED, PAST_COLUMNS, REMOVED, Ask, Reader
from bigimage.store.rows import SHAPE_CODES, Row

_LOG_COLUMNS = (
    "e.id, e.uuid, e.version, a.born, e.revision, e.shape, e.label, e.origin, e.score, e.t, e.geometry, e.rest,"
    " e.kind, e.bits, p.geometry"
)
_BESIDE = "LEFT JOIN entry p ON p.id = e.prev JOIN uid u ON u.uuid = e.uuid JOIN annotation a ON a.id = u.annotation"
_CHAIN = (
    "WITH RECURSIVE chain(id) AS (SELECT head FROM annotation WHERE id = ? UNION ALL"
    " SELECT e.prev FROM chain c JOIN entry e ON e.id = c.id WHERE e.prev IS NOT NULL)"
)
_MASK = SHAPE_CODES["mask"]
PAGE = 500
"""Annotations whose states are compared at a time."""


class Journal:
    """Reads the log of one database."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.database = reader, reader.database

    def revisions(self, connection: sa.Connection, image: ImageRow, *, since: int, limit: int | None) -> list[Step]:
        """Revisions of an image behind one, the latest first."""
        sql = (
            "SELECT r.number, r.last, p.last FROM revision r LEFT JOIN revision p ON p.image = r.image"
            " AND p.number = r.number - 1 WHERE r.image = ? AND r.number > ? ORDER BY r.number DESC"
        )
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        rows = self.database.fetch(connection, sql, (image.id, since))
        known = self.reader.lookup.revisions(connection, image.id, [row[0] for row in rows])
        first = image.ids[0]
        return [
            Step(Revision(image.name, number, *known[number]), last - (first if before is None else before))
            for number, last, before in rows
        ]

    def changes(
        self, connection: sa.Connection, image: ImageRow, *, since: int, until: int | None, limit: int | None
    ) -> Iterator[list[Logged]]:
        """Log entries of an image in order, in lists."""
        first = self.reader.last_entry(connection, image, since)
        last = image.ids[1] if until is None else self.reader.last_entry(connection, image, until)
        sql = f"SELECT {_LOG_COLUMNS} FROM entry e {_BESIDE} WHERE e.id > ? AND e.id <= ? ORDER BY e.id"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        for values in self.database.stream(connection, sql, (first, last)):
            yield self._logged(connection, image, values)

    def history(self, connection: sa.Connection, image: ImageRow, annotation: int) -> list[Logged]:
        """Log entries of one annotation, by its database id, in order."""
        sql = f"{_CHAIN} SELECT {_LOG_COLUMNS} FROM chain c JOIN entry e ON e.id = c.id {_BESIDE} ORDER BY e.id"
        return self._logged(connection, image, self.database.fetch(connection, sql, (annotation,)))

    def version(self, connection: sa.Connection, image: ImageRow, annotation: int, version: int) -> Annotation:
        """An annotation as it was at a version. Raises NotFound when there was none, or it was removed."""
        sql = (
            f"{_CHAIN} SELECT {PAST_COLUMNS}, e.kind, a.head FROM chain c JOIN entry e ON e.id = c.id"
            " JOIN uid u ON u.uuid = e.uuid JOIN annotation a ON a.id = u.annotation WHERE e.version = ?"
        )
        found = self.database.fetch(connection, sql, (annotation, version))
        if not found or found[0][-2] == REMOVED:
            state = "was removed in" if found else "has no"
            raise NotFound(f"the annotation {state} version {version}")
        row = self.database.to_rows([found[0][:-2]])[0]
        chunks: dict[int, Mapping[ChunkIndex, bytes]] = {}
        if row.shape == _MASK:
            chunks[row.annotation] = self.reader.replay(connection, found[0][-1], version)
        return self.reader.decode(connection, image, [row], chunks)[0]

    def differences(
        self, connection: sa.Connection, image: ImageRow, *, since: int, box: WorldBox | None
    ) -> Iterator[Difference]:
        """What became of each annotation that changed behind a revision, in the order of their ids."""
        parts = None if box is None else self.reader.box_terms(image, box)[1]
        start = image.ids[0]
        sql = (
            "SELECT a.id, e.uuid, a.version FROM annotation a JOIN entry e ON e.id = a.head"
            f" WHERE a.id > ? AND a.id <= ? AND a.revision > ? ORDER BY a.id LIMIT {PAGE}"
        )
        while page := self.database.fetch(connection, sql, (start, image.ids[1], since)):
            start = page[-1][0]
            ids = [row[0] for row in page]
            then = self.reader.at(connection, image, Ask(at=since), among=ids)
            now = self.reader.at(connection, image, Ask(), among=ids)
            for _, value, version in page:
                uuid = self.database.uuid(value)
                found = Difference(uuid, then.get(uuid), now.get(uuid), version)
                if (found.before or found.after) and (parts is None or _meets(found, parts)):
                    yield found

    # ---- rows to log entries

    def _logged(self, connection: sa.Connection, image: ImageRow, values: Sequence[Sequence[Any]]) -> list[Logged]:
        """Log entries of rows of `_LOG_COLUMNS`."""
        rows = self.database.to_rows([v[:-3] for v in values])
        kinds = [v[-3] for v in values]
        bits = {
            row.annotation: unpack_chunks(bytes(v[-2]))
            for row, v in zip(rows, values, strict=True)
            if v[-2] is not None
        }
        lookup = self.reader.lookup
        revisions = lookup.revisions(connection, image.id, {r.revision for r in rows})
        whole = [r for r, kind in zip(rows, kinds, strict=True) if kind in (ADDED, EDITED)]
        annotations = {
            r.annotation: a for r, a in zip(whole, self.reader.decode(connection, image, whole, bits), strict=True)
        }
        extents = _extents(rows, [v[-1] for v in values], image.ndim)
        out: list[Logged] = []
        for row, kind, extent in zip(rows, kinds, extents, strict=True):
            author, time = revisions[row.revision]
            revision = Revision(image.name, row.revision, author, time)
            if kind in (BRUSH_ADD, BRUSH_SUBTRACT):
                patch = Mask(self._grid(connection, image, row), bits[row.annotation])
                change: Change = BrushPatch(
                    self.database.uuid(row.uuid), "add" if kind == BRUSH_ADD else "subtract", patch, row.version - 1
                )
                extent = bounds(patch)
            elif kind == REMOVED:
                change = Removed(self.database.uuid(row.uuid), row.version - 1)
            else:
                annotation = annotations[row.annotation]
                change = Added(annotation) if kind == ADDED else Edited(annotation, row.version - 1)
            out.append(Logged(revision, row.version, change, extent))
        return out

    def _grid(self, connection: sa.Connection, image: ImageRow, row: Row) -> Any:
        """Grid of a mask's row."""
        return self.reader.lookup.grid(connection, json.loads(cast("str", row.rest))["grid"], image.frame)


def _extents(rows: Sequence[Row], before: Sequence[Any], ndim: int) -> list[Extent | None]:
    """Boxes of the outlines of rows together with those of the states before them."""
    n = len(rows)
    outlines = np.empty(2 * n, dtype=object)
    outlines[:n] = [r.geometry for r in rows]
    outlines[n:] = before
    points, owner = shapely.get_coordinates(shapely.from_wkb(outlines), include_z=ndim == 3, return_index=True)
    low, high = np.full((n, ndim), np.inf), np.full((n, ndim), -np.inf)
    np.minimum.at(low, owner % max(n, 1), points)
    np.maximum.at(high, owner % max(n, 1), points)
    return [(tuple(a), tuple(b)) if a[0] <= b[0] else None for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def _meets(found: Difference, boxes: Sequence[WorldBox]) -> bool:
    """Whether an annotation touches one of some boxes, then or now."""
    for annotation in (found.before, found.after):
        own = None if annotation is None else annotation.bounds
        if own is None:
            continue
        for box in boxes:
            pairs = zip(own.minimum, own.maximum, box.minimum, box.maximum, strict=True)
            if all(a <= d and b >= c for a, b, c, d in pairs):
                return True
    return False

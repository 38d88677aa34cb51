"""Checking a database: the log against itself, and the present state against the log."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa

from bigimage.store.bits import chunk_index, unpack_bits
from bigimage.store.cells import cells
from bigimage.store.lookup import ImageRow
from bigimage.store.reading import ADDED, REMOVED, Reader
from bigimage.store.rows import SHAPE_CODES
from bigimage.store.sql import SqlStore
from bigimage.store.tables import ENTRY_BITS

_LOG_CHECKS = {
    "entries of the log are missing": (
        "SELECT i.name FROM image i WHERE i.entries <> (SELECT count(*) FROM entry e"
        f" WHERE e.id > i.id * {1 << ENTRY_BITS} AND e.id <= i.id * {1 << ENTRY_BITS} + i.entries)"
    ),
    "revisions are missing": (
        "SELECT i.name FROM image i WHERE i.revision <> (SELECT count(*) FROM revision r WHERE r.image = i.id"
        " AND r.number BETWEEN 1 AND i.revision)"
    ),
    "the latest revision does not end the log": (
        "SELECT i.name FROM image i JOIN revision r ON r.image = i.id AND r.number = i.revision"
        f" WHERE r.last <> i.id * {1 << ENTRY_BITS} + i.entries"
    ),
    "entries lie outside their revisions": (
        f"SELECT e.id FROM entry e LEFT JOIN revision r ON r.image = e.id / {1 << ENTRY_BITS} AND r.number = e.revision"
        f" LEFT JOIN revision q ON q.image = e.id / {1 << ENTRY_BITS} AND q.number = e.revision - 1"
        " WHERE r.last IS NULL OR e.id > r.last OR e.id <= q.last"
    ),
    "entries do not follow their predecessors": (
        "SELECT e.id FROM entry e LEFT JOIN entry p ON p.id = e.prev WHERE e.prev IS NOT NULL"
        " AND (p.id IS NULL OR p.id >= e.id OR p.uuid <> e.uuid OR p.version <> e.version - 1)"
    ),
    "entries begin an annotation that are no beginning": (
        f"SELECT e.id FROM entry e WHERE e.prev IS NULL AND (e.version <> 1 OR e.kind <> {ADDED})"
    ),
    "two entries follow the same one": (
        "SELECT prev FROM entry WHERE prev IS NOT NULL GROUP BY prev HAVING count(*) > 1"
    ),
}
_STATE_CHECKS = {
    "annotations of the log are not found by their ids": (
        "SELECT e.id FROM entry e LEFT JOIN uid u ON u.annotation = e.id AND u.uuid = e.uuid"
        " LEFT JOIN annotation a ON a.id = e.id WHERE e.prev IS NULL AND (u.uuid IS NULL OR a.id IS NULL)"
    ),
    "there are more ids than annotations": (
        "SELECT n FROM (SELECT (SELECT count(*) FROM uid) + (SELECT count(*) FROM annotation)"
        " - 2 * (SELECT count(*) FROM entry WHERE prev IS NULL) AS n) c WHERE n <> 0"
    ),
    "the present state is not that of the latest entry": (
        "SELECT a.id FROM annotation a LEFT JOIN entry e ON e.id = a.head LEFT JOIN entry b ON b.id = a.id"
        " WHERE e.id IS NULL OR e.uuid <> b.uuid OR e.version <> a.version OR e.revision <> a.revision"
        " OR b.revision <> a.born OR e.label <> a.label OR e.shape <> a.shape OR coalesce(e.t, -1) <> coalesce(a.t, -1)"
        f" OR (e.kind = {REMOVED}) <> (a.alive = 0) OR a.image <> a.id / {1 << ENTRY_BITS}"
    ),
    "the present state is behind the log": (
        "SELECT a.id FROM entry n JOIN annotation a ON a.head = n.prev WHERE n.prev IS NOT NULL"
    ),
}


_EXACT = frozenset(SHAPE_CODES[k] for k in ("point", "multipoint", "line", "polygon", "contours", "box"))
"""Shapes whose outlines fill exactly their boxes."""


def verify(store: SqlStore) -> list[str]:
    """Everything that is wrong with a database, as sentences; none when all is well."""
    with store.database.reading() as connection:
        return verify_within(store, connection)


def verify_within(store: SqlStore, connection: sa.Connection) -> list[str]:
    """The same within a transaction."""
    problems: list[str] = []
    for what, sql in {**_LOG_CHECKS, **_STATE_CHECKS}.items():
        found = store.database.fetch(connection, f"{sql} LIMIT 4")
        if found:
            named = ", ".join(str(row[0]) for row in found[:3])
            problems.append(f"{what}: {named}{', …' if len(found) > 3 else ''}")
    if problems:
        return problems  # outlines and bits of a log with gaps say nothing
    names = [row[0] for row in store.database.fetch(connection, "SELECT name FROM image ORDER BY id")]
    for name in names:
        image = store.lookup.image(connection, name)
        if image is not None:
            problems.extend(_places(store.reader, connection, image))
            problems.extend(_masks(store.reader, connection, image))
    return problems


def _places(reader: Reader, connection: sa.Connection, image: ImageRow) -> Iterator[str]:
    """Annotations whose stored box or cell is not that of their outline."""
    sql = (
        "SELECT a.id, a.cell, a.x0, a.y0, a.x1, a.y1, a.z0, a.z1, e.geometry, e.shape FROM annotation a"
        " JOIN entry e ON e.id = a.head WHERE a.id >= ? AND a.id <= ? AND a.alive = 1 ORDER BY a.id"
    )
    for rows in reader.database.stream(connection, sql, image.ids):
        yield from _wrong_places(rows, image)


def _wrong_places(rows: list[Any], image: ImageRow) -> Iterator[str]:
    """Those of some rows whose place is wrong."""
    n, ndim = len(rows), image.ndim
    geometry = np.empty(n, dtype=object)
    geometry[:] = [row[8] for row in rows]
    points, owner = shapely.get_coordinates(shapely.from_wkb(geometry), include_z=ndim == 3, return_index=True)
    low, high = np.full((n, ndim), np.inf), np.full((n, ndim), -np.inf)
    np.minimum.at(low, owner, points)
    np.maximum.at(high, owner, points)
    box = np.array([[np.nan if v is None else v for v in row[2:8]] for row in rows])
    stored_low, stored_high = box[:, [0, 1, 4][:ndim]], box[:, [2, 3, 5][:ndim]]
    outlined = np.isfinite(low).all(axis=1)
    indexed = np.array([row[1] is not None for row in rows])
    wrong = outlined != indexed
    both = outlined & indexed
    # the outlines of curved shapes stay within their boxes, and those of turned ones are rounded
    exact = np.array([row[9] in _EXACT for row in rows])[:, None]
    slack = np.where(exact, 0.0, 1e-6 * (1 + np.abs(low)))
    off = (
        (stored_low > low + slack)
        | (stored_high < high - slack)
        | (exact & ((stored_low != low) | (stored_high != high)))
    )
    wrong[both] |= off.any(axis=1)[both]
    cell = np.array([-1 if row[1] is None else row[1] for row in rows], dtype=np.int64)
    wrong[both] |= cells(stored_low[both], stored_high[both]) != cell[both]
    for k in np.flatnonzero(wrong).tolist():
        yield f"annotation {rows[k][0]} is not where its outline is"


def _masks(reader: Reader, connection: sa.Connection, image: ImageRow) -> Iterator[str]:
    """Masks whose stored bits are not what the log makes of them."""
    sql = "SELECT id, head, version FROM annotation WHERE id >= ? AND id <= ? AND alive = 1 AND shape = ? ORDER BY id"
    for key, head, version in reader.database.fetch(connection, sql, (*image.ids, SHAPE_CODES["mask"])):
        found = reader.database.fetch(connection, "SELECT key, bits FROM chunk WHERE annotation = ?", (key,))
        stored = {chunk_index(k, image.ndim): unpack_bits(bytes(bits)) for k, bits in found}
        if stored != reader.replay(connection, head, version):
            yield f"the bits of mask {key} are not those of its log"

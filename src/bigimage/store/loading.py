"""Loading many new annotations: read and encoded first, then written in one transaction."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np
import shapely
import sqlalchemy as sa

from bigimage.errors import Conflict, InputError
from bigimage.geometry.frame import Frame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.table import KIND_OF_TYPE, Table, in_tables
from bigimage.store import tables
from bigimage.store.cells import cells, levels_of
from bigimage.store.database import Database
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow, Lookup
from bigimage.store.painting import chunk_rows
from bigimage.store.rows import SHAPE_CODES, Batch, encode, joined, rest_json
from bigimage.store.runs import RUN, Run, Spool, in_parts, run_of
from bigimage.store.tables import entry_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART = 5_000
"""Annotations that are encoded at a time: few enough to stay in the processor's cache."""
WAITING = 4
"""Parts that wait for the thread that encodes them, which now and then is busy with a whole run."""
NAMED = 100
"""Most taken ids that a refusal names."""


def fill(kept: Spool, given: Iterable[Annotation | Table], *, lookup: Lookup, image: str, frame: Frame) -> None:
    """Read, check and encode annotations of an image into a spool. Raises FrameMismatch, InputError.

    Another thread encodes and keeps them while the caller's next ones are made: nearly all of that is GEOS and numpy,
    which let go of Python's lock.
    """
    filling = _Filling(kept, lookup, frame)
    coming: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for piece in in_tables(given, PART):
            for one in [piece] if isinstance(piece, Table) else piece:
                require_image(one, image)
            coming.append(pool.submit(filling.add, piece))
            if len(coming) > WAITING:
                coming.popleft().result()
        for added in coming:
            added.result()
    filling.keep()


@dataclass(slots=True)
class _Filling:
    """Encoded annotations on their way into a spool."""

    kept: Spool
    lookup: Lookup
    frame: Frame
    waiting: list[Batch] = field(default_factory=list[Batch])
    """Too few for a run of their own as yet."""

    def add(self, piece: list[Annotation] | Table) -> None:
        """Encode some annotations, and keep them once they are enough."""
        self.waiting.append(_batch(piece, self.frame, self.lookup.add_grid))
        if sum(map(len, self.waiting)) >= RUN:
            self.keep()

    def keep(self) -> None:
        """Put what waits into the spool as one run."""
        if self.waiting:
            batch = joined(self.waiting)
            self.kept.add(run_of(batch, self.lookup.add_texts({*batch.labels, *batch.origins})))
            self.waiting = []


def _batch(piece: list[Annotation] | Table, frame: Frame, lattice_id: Callable[[Grid], int]) -> Batch:
    """Columns of annotations for the database."""
    return _encoded(piece, frame, lattice_id) if isinstance(piece, Table) else encode(piece, frame, lattice_id)


def _encoded(table: Table, frame: Frame, lattice_id: Callable[[Grid], int]) -> Batch:
    """Columns of a table for the database; what `encode` makes of its rows, and raises."""
    n = len(table)
    bounds = shapely.bounds(table.geometries)
    located = ~shapely.is_empty(table.geometries)
    wrong = located & (~np.isfinite(bounds).all(axis=1) | shapely.has_z(table.geometries))
    if table.frame is not frame and table.frame != frame:
        wrong[:] = True
    if wrong.any():
        encode([table.annotation(k) for k in np.flatnonzero(wrong).tolist()], frame, lattice_id)
    low, high = bounds[:, :2], bounds[:, 2:]
    cell = np.full(n, -1, dtype=np.int64)
    cell[located] = cells(low[located], high[located])
    none: list[Any] = [None] * n
    return Batch(
        uuids=table.ids.tobytes(),
        shapes=_CODE_OF_TYPE[table.types].tolist(),
        labels=table.labels.tolist(),
        origins=table.origins.tolist(),
        scores=none if table.scores is None else _nullable(table.scores, np.isnan(table.scores)),
        times=none if table.times is None else _nullable(table.times, table.times < 0),
        geometries=cast("list[bytes | None]", shapely.to_wkb(table.geometries).tolist()),
        rests=_rests(table),
        bits=none,
        instances=none if table.instances is None else list(table.instances),
        low=low,
        high=high,
        cell=cell,
        masks={},
    )


_CODE_OF_TYPE = np.zeros(max(KIND_OF_TYPE) + 1, dtype=np.int64)
_CODE_OF_TYPE[list(KIND_OF_TYPE)] = [SHAPE_CODES[kind] for kind in KIND_OF_TYPE.values()]


def _rests(table: Table) -> list[str | None]:
    """What has no column of its own, as JSON, of each row."""
    n = len(table)
    if table.attributes is None and table.instances is None:
        return [rest_json({}, None, table.schema)] * n
    attributes = [{}] * n if table.attributes is None else table.attributes
    instances = [None] * n if table.instances is None else table.instances
    return [rest_json(a, i, table.schema) for a, i in zip(attributes, instances, strict=True)]


def _nullable(values: "NDArray[Any]", missing: "NDArray[np.bool_]") -> list[Any]:
    """List with None where values are missing."""
    return [None if gone else v for v, gone in zip(values.tolist(), missing.tolist(), strict=True)]


def require_image(given: Annotation | Table, image: str) -> None:
    """Raise InputError unless an annotation, or a table of them, is of an image."""
    if given.image != image:
        what = f"a table of {len(given)}" if isinstance(given, Table) else f"annotation {given.id}"
        raise InputError(f"{what} is of image {given.image!r}, not {image!r}")


def write(database: Database, connection: sa.Connection, image: ImageRow, kept: Spool) -> int:
    """Write a spool's annotations as the next revision of a locked image; the set of levels of their cells.

    Raises Conflict when an id comes twice; what the driver raises when the database has one already.
    """
    place, levels = image.entries + 1, image.levels
    with ThreadPoolExecutor(1) as pool:
        sorting = pool.submit(kept.by_uuid)
        for run, prepared in database.prepared(kept.runs(), image=image.id, place=place, revision=image.revision + 1):
            database.insert_run(connection, prepared)
            _write_chunks(connection, image, run, place)
            levels |= levels_of(run.cell[run.cell >= 0])
            place += len(run)
        ordered, places = sorting.result()
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        named = ", ".join(str(UUID(bytes=ordered[k].tobytes())) for k in twice[:3].tolist())
        raise Conflict(f"{len(twice)} ids come more than once in what is to be loaded: {named}…")
    database.insert_uids(connection, ordered, places + entry_id(image.id, image.entries + 1))
    return levels


def taken_ids(database: Database, connection: sa.Connection, kept: Spool) -> list[UUID]:
    """Some of a spool's ids that the database has already, `NAMED` at most."""
    found: list[UUID] = []
    for uuids in kept.uuids():
        ids = [UUID(bytes=v) for v in uuids.tolist()]
        for part in in_parts(ids, MOST_PARAMETERS):
            marks = ",".join("?" * len(part))
            sql = f"SELECT uuid FROM uid WHERE uuid IN ({marks})"
            rows = database.fetch(connection, sql, [database.uuid_parameter(u) for u in part])
            found.extend(database.uuid(row[0]) for row in rows)
            if len(found) >= NAMED:
                return found[:NAMED]
    return found


def _write_chunks(connection: sa.Connection, image: ImageRow, run: Run, place: int) -> None:
    """Write the bits of a run's masks."""
    for k, mask in run.masks.items():
        if mask.chunks:
            connection.execute(sa.insert(tables.chunk), chunk_rows(entry_id(image.id, place + k), mask.chunks))

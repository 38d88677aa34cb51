"""Loading many new annotations: read and encoded first, then written in one transaction."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from bigimage.errors import Conflict, InputError
from bigimage.geometry.frame import Frame
from bigimage.model.annotation import Annotation
from bigimage.store import tables
from bigimage.store.cells import levels_of
from bigimage.store.database import Database
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow, Lookup
from bigimage.store.painting import chunk_rows
from bigimage.store.rows import Batch, encode, joined
from bigimage.store.runs import RUN, Run, Spool, in_parts, run_of
from bigimage.store.tables import entry_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART = 5_000
"""Annotations that are encoded at a time: few enough to stay in the processor's cache."""
NAMED = 100
"""Most taken ids that a refusal names."""


def fill(kept: Spool, annotations: Iterable[Annotation], *, lookup: Lookup, image: str, frame: Frame) -> None:
    """Read, check and encode annotations of an image into a spool. Raises FrameMismatch, InputError."""
    batches = _batches(annotations, lookup=lookup, image=image, frame=frame)
    for some in in_parts(batches, RUN // PART):
        batch = joined(some)
        kept.add(run_of(batch, lookup.add_texts({*batch.labels, *batch.origins})))


def _batches(annotations: Iterable[Annotation], *, lookup: Lookup, image: str, frame: Frame) -> Iterator[Batch]:
    """Encoded annotations, `PART` at a time."""
    for part in in_parts(annotations, PART):
        for annotation in part:
            require_image(annotation, image)
        yield encode(part, frame, lookup.add_grid)


def require_image(annotation: Annotation, image: str) -> None:
    """Raise InputError unless an annotation is of an image."""
    if annotation.image != image:
        raise InputError(f"annotation {annotation.id} is of image {annotation.image!r}, not {image!r}")


def write(database: Database, connection: sa.Connection, image: ImageRow, kept: Spool) -> int:
    """Write a spool's annotations as the next revision of a locked image; the set of levels of their cells.

    Raises Conflict when an id comes twice; what the driver raises when the database has one already.
    """
    place, levels = image.entries + 1, image.levels
    uuids: list[NDArray[np.void]] = []
    for run in kept.runs():
        database.insert_run(connection, run, image=image.id, place=place, revision=image.revision + 1)
        _write_chunks(connection, image, run, place)
        uuids.append(run.uuids)
        levels |= levels_of(run.cell[run.cell >= 0])
        place += len(run)
    every = np.concatenate(uuids)
    order = _order(every)
    ordered = every[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        named = ", ".join(str(UUID(bytes=ordered[k].tobytes())) for k in twice[:3].tolist())
        raise Conflict(f"{len(twice)} ids come more than once in what is to be loaded: {named}…")
    database.insert_uids(connection, ordered, order + entry_id(image.id, image.entries + 1))
    return levels


def taken_ids(database: Database, connection: sa.Connection, kept: Spool) -> list[UUID]:
    """Some of a spool's ids that the database has already, `NAMED` at most."""
    found: list[UUID] = []
    for run in kept.runs():
        ids = [UUID(bytes=v) for v in run.uuids.tolist()]
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


def _order(uuids: "NDArray[np.void]") -> "NDArray[np.int64]":
    """Order of UUIDs; sorted, they fill the B-tree from left to right."""
    halves = uuids.view(">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))

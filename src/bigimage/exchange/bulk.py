"""Importing files of very many plain shapes by columns; `vector` imports all others, and says what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import shapely

from bigimage.exchange.output import Progress, Stop, counted_pieces
from bigimage.exchange.timing import timed_table
from bigimage.formats.door import Context, Options, Report, VectorFormat
from bigimage.model.change import Revision
from bigimage.model.table import Table
from bigimage.model.validate_table import validate_table
from bigimage.store.door import AnnotationStore
from bigimage.waiting import Waiting

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class TableFormat(Protocol):
    """A vector format that reads batches of rows as tables."""

    def read_tables(self, path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
        """What `VectorFormat.read` gives, as tables; None where something must be looked at by itself."""
        ...


class Tables:
    """Tables that wait in a temporary file, so that what is imported is read but once."""

    def __init__(self) -> None:
        self._waiting: Waiting[dict[str, Any]] = Waiting("where annotations wait until all are read")

    def add(self, table: Table) -> None:
        """Keep a table. Raises BackendError."""
        columns = {f.name: getattr(table, f.name) for f in fields(table)}
        self._waiting.add({**columns, "geometries": shapely.to_wkb(table.geometries)})

    def __iter__(self) -> Iterator[Table]:
        for columns in self._waiting:
            yield Table(**{**columns, "geometries": shapely.from_wkb(columns["geometries"])})


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a file of plain shapes holds, all sound, for an image that has no annotations yet."""

    image: str
    tables: Tables
    report: Report
    count: int

    def store(
        self, store: AnnotationStore, *, author: str, schema: int | None, progress: Progress, stop: Stop
    ) -> Revision | None:
        """Store all of it as one revision. Raises Conflict where an id is taken, Cancelled, BackendError."""
        stream = counted_pieces(self.tables, self.count, progress, stop)
        return store.load(self.image, (replace(t, schema=schema) for t in stream), author=author)


def bulk_of(
    store: AnnotationStore, module: VectorFormat, path: Path, *, context: Context, options: Options, stop: Stop
) -> Bulk | None:
    """A file whose rows are all plain and sound; None where a closer look at them, or at what is stored, is needed."""
    if not isinstance(module, TableFormat) or store.revision(context.image) is not None:
        return None
    info, report, tables = context.info, Report(), Tables()
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    schema = context.schema if context.schema.labels else None
    ids: list[NDArray[np.void]] = []
    for table in module.read_tables(path, context=context, report=report, options=options):
        # row by row it is told what is wrong, or that somebody has stopped it
        if table is None or stop():
            return None
        timed = timed_table(table, context.time)
        if validate_table(timed, schema=schema, grid=info.grid, times=times):
            return None
        tables.add(timed)
        ids.append(timed.ids)
    if not ids or report.problems:
        return None
    # as texts of bytes, which can be sorted; that these end at their last byte but zeros tells them apart all the same
    every = np.concatenate(ids).view("S16")
    return Bulk(context.image, tables, report, len(every)) if len(np.unique(every)) == len(every) else None

"""Importing files of very many plain shapes by columns; `vector` imports all others, and says what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bigimage.errors import DataError
from bigimage.exchange.output import Progress, Stop, counted_pieces
from bigimage.exchange.timing import timed_table
from bigimage.formats.door import Context, Options, Report, VectorFormat
from bigimage.model.change import Revision
from bigimage.model.table import Table
from bigimage.model.validate_table import validate_table
from bigimage.store.door import AnnotationStore

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class TableFormat(Protocol):
    """A vector format that reads batches of rows as tables."""

    def read_tables(self, path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
        """What `VectorFormat.read` gives, as tables; None where something must be looked at by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Bulk:
    """A file of plain shapes, all sound, for an image that has no annotations yet."""

    module: TableFormat
    path: Path
    context: Context
    options: Options
    report: Report
    count: int

    def store(
        self, store: AnnotationStore, *, author: str, schema: int | None, progress: Progress, stop: Stop
    ) -> Revision | None:
        """Store all of it as one revision. Raises Conflict where an id is taken, DataError, Cancelled, BackendError."""
        stream = counted_pieces(self._tables(), self.count, progress, stop)
        return store.load(self.context.image, (replace(t, schema=schema) for t in stream), author=author)

    def _tables(self) -> Iterator[Table]:
        """Tables of the file. Raises DataError when it changed since it was checked."""
        for table in self.module.read_tables(self.path, context=self.context, report=Report(), options=self.options):
            if table is None:
                raise DataError(f"{self.path} was changed while it was imported; import it again")
            yield timed_table(table, self.context.time)


def bulk_of(
    store: AnnotationStore, module: VectorFormat, path: Path, *, context: Context, options: Options, stop: Stop
) -> Bulk | None:
    """A file whose rows are all plain and sound; None where a closer look at them, or at what is stored, is needed."""
    if not isinstance(module, TableFormat) or store.revision(context.image) is not None:
        return None
    info, report = context.info, Report()
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    schema = context.schema if context.schema.labels else None
    ids: list[NDArray[np.void]] = []
    for table in module.read_tables(path, context=context, report=report, options=options):
        # row by row it is told what is wrong, or that somebody has stopped it
        if table is None or stop():
            return None
        if validate_table(timed_table(table, context.time), schema=schema, grid=info.grid, times=times):
            return None
        ids.append(table.ids)
    if not ids or report.problems:
        return None
    # as texts of bytes, which can be sorted; that these end at their last byte but zeros tells them apart all the same
    every = np.concatenate(ids).view("S16")
    return Bulk(module, path, context, options, report, len(every)) if len(np.unique(every)) == len(every) else None

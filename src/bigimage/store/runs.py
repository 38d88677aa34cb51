"""Runs: annotations on their way into the database in bulk, as flat columns on disk, so that nothing waits for them.

Annotations are read, checked and encoded before anything is locked. They are written in the order of their cells, which
keeps what lies close together on the map close together on disk, and lets the index of cells grow at its end only.
"""

import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from bigimage.model.mask import Mask
from bigimage.store.rows import Batch
from bigimage.waiting import writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUN = 50_000
"""Annotations of a run, about."""
AXES = ("x0", "y0", "x1", "y1", "z0", "z1")
"""Columns of boxes."""
_FIXED = ("uuids", "shapes", "labels", "origins", "scores", "times", "boxes", "cell")
_BLOBS = ("geometries", "rests", "bits", "instances")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """New annotations as columns, in the order of their cells."""

    uuids: "NDArray[np.void]"
    """16 bytes each."""
    shapes: "NDArray[np.int16]"
    labels: "NDArray[np.int32]"
    origins: "NDArray[np.int32]"
    scores: "NDArray[np.float64]"
    """NaN where there is none."""
    times: "NDArray[np.int64]"
    """-1 where there is none."""
    geometries: "list[bytes | None]"
    rests: "list[bytes | None]"
    """UTF-8, as are instances."""
    bits: "list[bytes | None]"
    instances: "list[bytes | None]"
    boxes: "NDArray[np.float64]"
    """Columns `AXES`; NaN where there is none."""
    cell: "NDArray[np.int64]"
    """-1 where there is none."""
    masks: Mapping[int, Mask]
    """Masks by their place in the run."""

    def __len__(self) -> int:
        return len(self.uuids)

    def in_order(self) -> "Run":
        """The same in the order of its cells; what shares a cell stays in its order."""
        order = np.argsort(self.cell, kind="stable")
        places = order.tolist()
        columns: dict[str, Any] = {name: getattr(self, name)[order] for name in _FIXED}
        columns |= {name: _taken(getattr(self, name), places) for name in _BLOBS}
        masks = {k: self.masks[p] for k, p in enumerate(places) if p in self.masks} if self.masks else {}
        return Run(**columns, masks=masks)


def run_of(batch: Batch, texts: Mapping[str, int]) -> Run:
    """Run of a batch; `texts` gives the ids of labels and origins."""
    boxes = np.full((len(batch), 6), np.nan)
    boxes[:, 0:2], boxes[:, 2:4] = batch.low[:, :2], batch.high[:, :2]
    if batch.low.shape[1] == 3:
        boxes[:, 4], boxes[:, 5] = batch.low[:, 2], batch.high[:, 2]
    return Run(
        uuids=np.frombuffer(batch.uuids, dtype="V16"),
        shapes=np.array(batch.shapes, dtype=np.int16),
        labels=np.array([texts[v] for v in batch.labels], dtype=np.int32),
        origins=np.array([texts[v] for v in batch.origins], dtype=np.int32),
        scores=np.array([np.nan if v is None else v for v in batch.scores], dtype=np.float64),
        times=np.array([-1 if v is None else v for v in batch.times], dtype=np.int64),
        geometries=batch.geometries,
        rests=_utf8(batch.rests),
        bits=batch.bits,
        instances=_utf8(batch.instances),
        boxes=boxes,
        cell=batch.cell,
        masks=batch.masks,
    ).in_order()


def _utf8(values: "list[str | None]") -> "list[bytes | None]":
    """Texts as bytes."""
    return [None if v is None else v.encode() for v in values] if is_any(values) else [None] * len(values)


def is_any(values: "Sequence[Any]") -> bool:
    """Whether any of some values is not None."""
    return values.count(None) < len(values)


def _taken(values: "list[bytes | None]", places: list[int]) -> "list[bytes | None]":
    """Values in another order."""
    return [values[k] for k in places] if is_any(values) else values


@dataclass(slots=True)
class _Kept:
    """Where a run's columns begin in the file."""

    cell: "NDArray[np.int64]"
    fixed: dict[str, tuple[int, "np.dtype[Any]", int]] = field(
        default_factory=dict[str, tuple[int, "np.dtype[Any]", int]]
    )
    """Offset, type and values a row."""
    blobs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Offsets of the values' ends, and of the values; none for a column without any."""
    masks: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """Offset and size of each mask, by its place."""


class Spool:
    """Runs kept in a temporary file until they are written."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="bigimage-")  # noqa: SIM115 - see close
        self._runs: list[_Kept] = []
        self._end = 0

    @property
    def count(self) -> int:
        """Annotations in all runs."""
        return sum(len(kept.cell) for kept in self._runs)

    def add(self, run: Run) -> None:
        """Keep a run. Raises BackendError."""
        with writing("where annotations wait until all are read"):
            self._add(run)

    def _add(self, run: Run) -> None:
        """Keep a run."""
        kept = _Kept(run.cell)
        for name in _FIXED:
            values: NDArray[Any] = getattr(run, name)
            width = 1 if values.ndim == 1 else values.shape[1]
            kept.fixed[name] = (self._put(values.tobytes()), values.dtype, width)
        for name in _BLOBS:
            column: list[bytes | None] = getattr(run, name)
            if is_any(column):
                present = [v or b"" for v in column]
                ends = np.cumsum(list(map(len, present)), dtype=np.int64)
                # an end with its sign turned marks what is null; 0 has no sign
                ends = np.where([v is None for v in column], ~ends, ends)
                kept.blobs[name] = (self._put(ends.tobytes()), self._put(b"".join(present)))
        for place, mask in run.masks.items():
            packed = pickle.dumps(mask, protocol=5)
            kept.masks[place] = (self._put(packed), len(packed))
        self._file.flush()
        self._runs.append(kept)

    def _put(self, data: bytes) -> int:
        """Write bytes; where they begin."""
        self._file.write(data)
        self._end += len(data)
        return self._end - len(data)

    def uuids(self) -> "Iterator[NDArray[np.void]]":
        """Ids of each run."""
        for kept in self._runs:
            yield self._values(kept, "uuids", 0, len(kept.cell))

    def runs(self) -> Iterator[Run]:
        """All annotations in the order of their cells, those of one cell in the order in which they came; in runs."""
        owner = np.repeat(np.arange(len(self._runs), dtype=np.int32), [len(kept.cell) for kept in self._runs])
        owner = owner[self._order()]
        first = np.zeros(len(self._runs), dtype=np.int64)
        for start in range(0, len(owner), RUN):
            # every kept run is in order itself, so what it gives to this one lies together
            last = first + np.bincount(owner[start : start + RUN], minlength=len(first))
            parts = [
                self._part(kept, a, b)
                for kept, a, b in zip(self._runs, first.tolist(), last.tolist(), strict=True)
                if a < b
            ]
            yield parts[0] if len(parts) == 1 else _joined(parts).in_order()
            first = last

    def by_uuid(self) -> "tuple[NDArray[np.void], NDArray[np.int64]]":
        """All ids in order, which fills a B-tree from left to right, and the place of each in what `runs` gives."""
        uuids = np.concatenate(list(self.uuids()))[self._order()]
        halves = uuids.view(">u8").reshape(-1, 2)
        places = np.lexsort((halves[:, 1], halves[:, 0]))
        return uuids[places], places

    def _order(self) -> "NDArray[np.int64]":
        """Order of the cells of all runs."""
        return np.argsort(np.concatenate([kept.cell for kept in self._runs]), kind="stable")

    def _part(self, kept: _Kept, first: int, last: int) -> Run:
        """Annotations of a kept run from one place to another."""
        columns: dict[str, Any] = {name: self._values(kept, name, first, last) for name in _FIXED}
        columns |= {name: self._column(kept, name, first, last) for name in _BLOBS}
        masks: dict[int, Mask] = {}
        for place, (offset, size) in kept.masks.items():
            if first <= place < last:
                masks[place - first] = pickle.loads(self._get(offset, size))  # noqa: S301 - our own unnamed file
        return Run(**columns, masks=masks)

    def _get(self, offset: int, size: int) -> bytes:
        """Bytes of the file; one call reads no more than 2 GB."""
        parts: list[bytes] = []
        while size > 0 and (part := os.pread(self._file.fileno(), size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _values(self, kept: _Kept, name: str, first: int, last: int) -> "NDArray[Any]":
        """Part of a column of values of one size."""
        offset, dtype, width = kept.fixed[name]
        row = dtype.itemsize * width
        values = np.frombuffer(self._get(offset + first * row, (last - first) * row), dtype=dtype)
        return values if width == 1 else values.reshape(-1, width)

    def _column(self, kept: _Kept, name: str, first: int, last: int) -> "list[bytes | None]":
        """Part of a column of bytes."""
        if name not in kept.blobs:
            return [None] * (last - first)
        offset, data = kept.blobs[name]
        before = max(first - 1, 0)
        marked = np.frombuffer(self._get(offset + 8 * before, 8 * (last - before)), dtype=np.int64)
        ends = np.where(marked < 0, ~marked, marked)
        start = 0 if first == 0 else int(ends[0])
        marked, ends = marked[first - before :], (ends[first - before :] - start).tolist()
        values = self._get(data + start, ends[-1])
        found: list[bytes | None] = [values[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        for k in np.flatnonzero(marked < 0).tolist():
            found[k] = None
        return found

    def close(self) -> None:
        """Delete the file."""
        # of a full disk `add` has told; what could not be written is not needed any more
        with suppress(OSError):
            self._file.close()


def _joined(runs: Sequence[Run]) -> Run:
    """One run of several, one behind the other."""
    columns: dict[str, Any] = {name: np.concatenate([getattr(run, name) for run in runs]) for name in _FIXED}
    columns |= {name: [v for run in runs for v in getattr(run, name)] for name in _BLOBS}
    masks: dict[int, Mask] = {}
    start = 0
    for run in runs:
        masks |= {start + k: mask for k, mask in run.masks.items()}
        start += len(run)
    return Run(**columns, masks=masks)


def in_parts(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` values."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part


def ahead(values: Iterable[T]) -> Iterator[T]:
    """Values, each made by another thread while the one before it is worked on."""
    source = iter(values)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (value := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield value

"""Runs: annotations on their way into the database in bulk, as flat columns on disk, so that nothing waits for them.

Annotations are read, checked and encoded before anything is locked. Each run is in the order of its cells, which keeps
what lies close together on the map close together on disk.
"""

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, TypeVar, cast

import numpy as np

from bigimage.model.mask import Mask
from bigimage.store.rows import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUN = 50_000
"""Most annotations of a run."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blobs:
    """Values of a column of bytes, one behind the other."""

    data: bytes
    ends: "NDArray[np.int64]"
    missing: "NDArray[np.bool_]"
    """Where the value is null."""

    @classmethod
    def of(cls, values: "list[bytes | None]") -> "Blobs":
        """Column of a list."""
        absent, n = values.count(None), len(values)
        if absent == n:
            return cls(b"", np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))
        if not absent:
            whole = cast("list[bytes]", values)
            return cls(b"".join(whole), np.cumsum(list(map(len, whole)), dtype=np.int64), np.zeros(n, dtype=bool))
        missing = np.array([v is None for v in values], dtype=bool)
        present = [v or b"" for v in values]
        return cls(b"".join(present), np.cumsum([len(v) for v in present], dtype=np.int64), missing)

    def tolist(self) -> "list[bytes | None]":
        """List of the column."""
        if self.missing.all():
            return [None] * len(self.missing)
        ends = self.ends.tolist()
        values = [self.data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        if not self.missing.any():
            return list(values)
        return [None if gone else v for v, gone in zip(values, self.missing.tolist(), strict=True)]

    def texts(self) -> "list[str | None]":
        """List of a column of texts."""
        return [None if v is None else v.decode() for v in self.tolist()]


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
    geometries: Blobs
    rests: Blobs
    bits: Blobs
    instances: Blobs
    boxes: "NDArray[np.float64]"
    """x0, y0, x1, y1, z0, z1; NaN where there is none."""
    cell: "NDArray[np.int64]"
    """-1 where there is none."""
    masks: Mapping[int, Mask]
    """Masks by their place in the run."""

    def __len__(self) -> int:
        return len(self.uuids)


def run_of(batch: Batch, texts: Mapping[str, int]) -> Run:
    """Run of a batch; `texts` gives the ids of labels and origins."""
    order = np.argsort(batch.cell, kind="stable")
    places = order.tolist()
    boxes = np.full((len(batch), 6), np.nan)
    boxes[:, 0:2], boxes[:, 2:4] = batch.low[:, :2], batch.high[:, :2]
    if batch.low.shape[1] == 3:
        boxes[:, 4], boxes[:, 5] = batch.low[:, 2], batch.high[:, 2]
    return Run(
        uuids=np.frombuffer(b"".join([u.int.to_bytes(16, "big") for u in batch.uuids]), dtype="V16")[order],
        shapes=np.array(batch.shapes, dtype=np.int16)[order],
        labels=np.array([texts[v] for v in batch.labels], dtype=np.int32)[order],
        origins=np.array([texts[v] for v in batch.origins], dtype=np.int32)[order],
        scores=np.array([np.nan if v is None else v for v in batch.scores], dtype=np.float64)[order],
        times=np.array([-1 if v is None else v for v in batch.times], dtype=np.int64)[order],
        geometries=Blobs.of([batch.geometries[k] for k in places]),
        rests=Blobs.of(_utf8(batch.rests, places)),
        bits=Blobs.of([batch.bits[k] for k in places] if batch.masks else batch.bits),
        instances=Blobs.of(_utf8(batch.instances, places)),
        boxes=boxes[order],
        cell=batch.cell[order],
        masks={k: batch.masks[place] for k, place in enumerate(places) if place in batch.masks} if batch.masks else {},
    )


def _utf8(values: list[str | None], order: list[int]) -> "list[bytes | None]":
    """Texts as bytes, in an order."""
    if values.count(None) == len(values):
        return [None] * len(values)
    return [None if v is None else v.encode() for v in [values[k] for k in order]]


class Spool:
    """Runs kept in a temporary file until they are written."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="bigimage-")  # noqa: SIM115 - see close
        self.count = 0
        """Annotations in all runs."""

    def add(self, run: Run) -> None:
        """Keep a run."""
        pickle.dump(run, self._file, protocol=5)
        self.count += len(run)

    def runs(self) -> Iterator[Run]:
        """The runs, in the order in which they were added."""
        self._file.seek(0)
        left = self.count
        while left > 0:
            run: Run = pickle.load(self._file)  # noqa: S301 - our own unnamed temporary file
            left -= len(run)
            yield run

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


def in_parts(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` values."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part

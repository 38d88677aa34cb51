"""Which annotations the objects of a layer are: a table in the layer's own group, `labels/NAME/instances`.

Four zarr arrays with a row for each place of the image's log. An annotation's row is the place of its first version,
which never changes, so an edit rewrites the chunks of rows that it touches, and a table that was updated holds what one
made anew holds. Rows of what is no longer shown, and of places where something else stands, are zeros.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bigimage.errors import DataError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.pyramid.array import ArraySpec, codec_for
from bigimage.pyramid.labels import TABLE
from bigimage.pyramid.location import METADATA, group_document, read_json, write_json
from bigimage.pyramid.shard import ShardedArray, encode_shard, remove_shard, write_shard
from bigimage.rasterize.modes import Palette

ROWS = 1 << 16
"""Rows of a chunk, which is rewritten whole."""
UNKNOWN = 1 << 31
"""First value that stands for a label which the schema does not know; the schema's own values lie below it."""
NAMES = "unknown"
"""Attribute of the group: names of the labels that `UNKNOWN`, `UNKNOWN + 1`, … stand for."""
_ABOUT = {
    "id": "value of the pixels that show the annotation; 0: an empty row",
    "annotation": "the 16 bytes of the annotation's UUID",
    "value": f"the label's value in the schema; from {UNKNOWN} on places in the group's attribute `{NAMES}`",
    "version": "version of the annotation that is shown",
}
_TYPES = {"id": "uint32", "annotation": "uint8", "value": "uint32", "version": "uint32"}
_WRITTEN = ("id", "value", "version", "annotation")
"""Columns in the order in which they are written: by the last one, an update that was killed finds its rows again."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An annotation that a layer of objects shows."""

    id: int
    """Value of its pixels; annotations that share an `instance` share it."""
    annotation: UUID
    label: str
    value: int
    """The label's value in the schema; 0 when the schema does not know it."""
    version: int
    """Version of the annotation that is shown."""


@dataclass(frozen=True)
class Instances:
    """Annotations of a layer of objects, in columns, in the order in which they were first stored."""

    ids: NDArray[np.uint32]
    """(n,) value of the pixels that show each annotation."""
    annotations: NDArray[np.uint8]
    """(n, 16) bytes of their UUIDs."""
    values: NDArray[np.uint32]
    """(n,) value of each label in the schema; 0 where the schema does not know it."""
    versions: NDArray[np.uint32]
    """(n,) version of each annotation that is shown."""
    labels: NDArray[np.int64]
    """(n,) places in `names`."""
    names: tuple[str, ...]
    """Labels that occur."""

    def __len__(self) -> int:
        """Number of annotations."""
        return len(self.ids)

    def __iter__(self) -> Iterator[Instance]:
        """One annotation after the other."""
        raw = self.annotations.tobytes()
        columns = zip(
            self.ids.tolist(), self.labels.tolist(), self.values.tolist(), self.versions.tolist(), strict=True
        )
        for k, (id, label, value, version) in enumerate(columns):
            yield Instance(id, UUID(bytes=raw[16 * k : 16 * k + 16]), self.names[label], value, version)

    def of(self, ids: Iterable[int]) -> "Instances":
        """Annotations of some objects, by the values of their pixels."""
        return self._where(np.isin(self.ids, np.fromiter(ids, np.int64)))

    def of_annotations(self, annotations: Iterable[UUID]) -> "Instances":
        """Some annotations, as far as the layer shows them."""
        return self._where(_among(self.annotations, _keys(annotations)))

    def part(self, first: int, last: int) -> "Instances":
        """Annotations from one position to before another."""
        return self._where(slice(first, last))

    def _where(self, chosen: "NDArray[np.bool_] | slice") -> "Instances":
        """Some of the rows."""
        return Instances(
            self.ids[chosen],
            self.annotations[chosen],
            self.values[chosen],
            self.versions[chosen],
            self.labels[chosen],
            self.names,
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to write, in columns."""

    places: NDArray[np.int64]
    """(n,) place in the log of each annotation's first version, which is its row."""
    ids: NDArray[np.uint32]
    annotations: NDArray[np.uint8]
    """(n, 16)"""
    versions: NDArray[np.int32]
    labels: NDArray[np.int32]
    """(n,) places in `names`."""
    names: tuple[str, ...]


@dataclass
class Gathered:
    """What workers met: names of labels, and rows of layers of objects, each annotation once."""

    names: set[str] = field(default_factory=set[str])
    _rows: list[Rows] = field(default_factory=list[Rows])

    def add(self, names: Iterable[str], rows: Sequence[Rows]) -> None:
        """Take in what a worker met."""
        self.names.update(names)
        self._rows += [part for part in rows if len(part.places)]

    def rows(self) -> Rows:
        """All rows, by place; of an annotation that several workers met, what the last one saw."""
        names = tuple(sorted({name for part in self._rows for name in part.names}))
        place = {name: k for k, name in enumerate(names)}
        moved = [np.array([place[name] for name in part.names], np.int32)[part.labels] for part in self._rows]
        places = _joined([part.places for part in self._rows], np.int64)
        # of equal ones `unique` tells the first, so they are taken from the end
        found, back = np.unique(places[::-1], return_index=True)
        last = len(places) - 1 - back
        return Rows(
            found,
            _joined([part.ids for part in self._rows], np.uint32)[last],
            _joined([part.annotations for part in self._rows], np.uint8, 16)[last],
            _joined([part.versions for part in self._rows], np.int32)[last],
            _joined(moved, np.int32)[last],
            names,
        )


def _joined(parts: Sequence[NDArray[Any]], dtype: Any, width: int | None = None) -> NDArray[Any]:
    """Arrays one behind the other; an empty one of the type when there are none."""
    shape = (0,) if width is None else (0, width)
    return np.concatenate([np.empty(shape, dtype), *parts])


def _keys(annotations: Iterable[UUID]) -> NDArray[np.uint8]:
    """(n, 16) bytes of UUIDs."""
    return np.frombuffer(b"".join(one.bytes for one in annotations), np.uint8).reshape(-1, 16)


def _among(keys: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of (n, 16) bytes are among some others."""
    halves, sought = (np.ascontiguousarray(a).view(np.uint64).reshape(-1, 2) for a in (keys, wanted))
    found = np.isin(halves[:, 0], sought[:, 0])
    both = {(int(a), int(b)) for a, b in sought}
    for k in np.flatnonzero(found).tolist():
        found[k] = (int(halves[k, 0]), int(halves[k, 1])) in both
    return found


class InstanceTable:
    """The table of the layer in a folder."""

    def __init__(self, layer: Path) -> None:
        self.folder = layer / TABLE

    @property
    def exists(self) -> bool:
        """Whether the table was ever written."""
        return (self.folder / METADATA).exists()

    @cached_property
    def _document(self) -> dict[str, Any]:
        """The group's attributes. Raises NotFound, DataError."""
        attributes = read_json(self.folder / METADATA).get("attributes")
        if not isinstance(attributes, dict) or not isinstance(attributes.get("rows"), int):
            raise DataError(f"{self.folder / METADATA} is damaged: remove the layer, paint again")
        return attributes

    @property
    def rows(self) -> int:
        """Rows, empty ones among them; a multiple of `ROWS`."""
        return self._document["rows"] if self.exists else 0

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of labels that the schema did not know."""
        return tuple(self._document.get(NAMES, ())) if self.exists else ()

    def read(self, palette: Palette) -> Instances:
        """All that the layer shows. Raises NotFound for a layer without a table, DataError, BackendError."""
        chunks = [self._chunk(k) for k in range(self.rows // ROWS)]
        shown = [chunk["id"] != 0 for chunk in chunks]

        def column(name: str, width: int | None = None) -> NDArray[Any]:
            parts = [chunk[name][held] for chunk, held in zip(chunks, shown, strict=True)]
            return _joined(parts, _TYPES[name], width)

        codes, labels = np.unique(column("value"), return_inverse=True)
        named = {one.value: one.name for one in palette.classes}
        named |= {UNKNOWN + k: name for k, name in enumerate(self.unknown)}
        names = tuple(named.get(code, f"value {code}") for code in codes.tolist())
        # a label may have become known since, without a pixel of the layer changing
        known = [palette.classes[palette.by_name[n]].value if n in palette.by_name else 0 for n in names]
        values = np.array(known, np.uint32)[labels] if len(labels) else np.zeros(0, np.uint32)
        return Instances(column("id"), column("annotation", 16), values, column("version"), labels, names)

    def has_few(self, most: int) -> bool:
        """Whether there are no more than so many annotations; reads no more than it takes to tell."""
        held = 0
        for k in range(self.rows // ROWS):
            held += int(np.count_nonzero(self._column(k, "id")))
            if held > most:
                return False
        return True

    def replace(self, rows: Rows, palette: Palette) -> bool:
        """Write the whole table anew; whether its documents changed. Raises BackendError."""
        had, names = self.rows, _unknown((), rows, palette)
        count = _room(rows)
        changes = not self.exists or (count, names) != (had, self.unknown)
        if changes:
            self._describe(count, names)
        touched = set((rows.places // ROWS).tolist())
        for k in range(max(had, count) // ROWS):
            if k in touched:
                self._write(k, self._changed(_empty(), k, rows, _codes(rows, palette, names)))
            else:
                self._remove(k)
        return changes

    def update(self, rows: Rows, gone: Iterable[UUID], palette: Palette) -> bool:
        """Write rows, and empty those of annotations that are not shown any more; whether its documents changed.

        Raises DataError, BackendError.
        """
        names = _unknown(self.unknown, rows, palette)
        count = max(self.rows, _room(rows))
        changes = (count, names) != (self.rows, self.unknown)
        if changes:
            self._describe(count, names)
        codes = _codes(rows, palette, names)
        touched = set((rows.places // ROWS).tolist())
        lost = _keys(gone)
        for k in range(count // ROWS):
            held = _among(self._column(k, "annotation"), lost) if len(lost) else np.zeros(0, np.bool_)
            if k in touched or held.any():
                chunk = self._chunk(k)
                for column in chunk.values() if held.any() else ():
                    column[held] = 0
                self._write(k, self._changed(chunk, k, rows, codes))
        return changes

    def _describe(self, count: int, names: Sequence[str]) -> None:
        """Write the documents of a table of so many rows."""
        self.__dict__.pop("_document", None)
        for name, about in _ABOUT.items():
            write_json(self.folder / name / METADATA, _spec(name, count).document({"long_name": about}))
        about = "annotations by the places in the image's log of their first versions"
        write_json(self.folder / METADATA, group_document({"long_name": about, "rows": count, NAMES: list(names)}))

    def _changed(
        self, chunk: dict[str, NDArray[Any]], number: int, rows: Rows, codes: NDArray[np.uint32]
    ) -> dict[str, NDArray[Any]]:
        """A chunk with the rows that belong there."""
        mine = rows.places // ROWS == number
        at = rows.places[mine] - number * ROWS
        columns = {"id": rows.ids, "annotation": rows.annotations, "value": codes, "version": rows.versions}
        for name, column in columns.items():
            chunk[name][at] = column[mine]
        return chunk

    def _chunk(self, number: int) -> dict[str, NDArray[Any]]:
        """Columns of a chunk's rows, free to be changed."""
        return {name: self._column(number, name) for name in _TYPES}

    def _column(self, number: int, name: str) -> NDArray[Any]:
        """One column of a chunk's rows."""
        spec = _spec(name, (number + 1) * ROWS)
        start, stop = (number * ROWS,), ((number + 1) * ROWS,)
        tail = spec.shape[1:]
        return (
            ShardedArray(self.folder / name, spec).read(IndexBox((*start, *(0 for _ in tail)), (*stop, *tail))).copy()
        )

    def _write(self, number: int, chunk: Mapping[str, NDArray[Any]]) -> None:
        """Store a chunk, or remove it when it holds nothing."""
        if not chunk["id"].any():
            self._remove(number)
            return
        for name in _WRITTEN:
            spec = _spec(name, ROWS)
            pieces = encode_shard(chunk[name], spec)
            if pieces is None:
                remove_shard(self._path(number, name))
            else:
                write_shard(self._path(number, name), pieces)

    def _remove(self, number: int) -> None:
        """Remove a chunk."""
        for name in _WRITTEN:
            remove_shard(self._path(number, name))

    def _path(self, number: int, name: str) -> Path:
        """File of a chunk of a column."""
        spec = _spec(name, ROWS)
        return self.folder / name / spec.shard_key((number, *(0 for _ in spec.shape[1:])))


def read_instances(layer: Path, palette: Palette) -> Instances:
    """The table of the layer in a folder. Raises NotFound when it is of no objects, DataError, BackendError."""
    table = InstanceTable(layer)
    if not table.exists:
        raise NotFound(f"layer {layer.name!r} has no table of objects: layers of mode instance and panoptic have one")
    return table.read(palette)


def _spec(name: str, rows: int) -> ArraySpec:
    """Layout of a column of so many rows."""
    tail = (16,) if name == "annotation" else ()
    dims = ("row", "byte")[: 1 + len(tail)]
    side = (ROWS, *tail)
    return ArraySpec(dims, (rows, *tail), side, side, _TYPES[name], 0, codec_for(np.dtype(_TYPES[name])))


def _empty() -> dict[str, NDArray[Any]]:
    """Columns of a chunk of empty rows."""
    return {name: np.zeros(_spec(name, ROWS).shape, kind) for name, kind in _TYPES.items()}


def _room(rows: Rows) -> int:
    """Rows that a table needs, in whole chunks."""
    return (int(rows.places.max()) // ROWS + 1) * ROWS if len(rows.places) else ROWS


def _unknown(before: Sequence[str], rows: Rows, palette: Palette) -> tuple[str, ...]:
    """Names that the schema does not know: those of before, then new ones."""
    used = {rows.names[k] for k in np.unique(rows.labels).tolist()}
    return (*before, *sorted(used - set(before) - set(palette.by_name)))


def _codes(rows: Rows, palette: Palette, unknown: Sequence[str]) -> NDArray[np.uint32]:
    """What the table holds for the label of each row."""
    extra = {name: UNKNOWN + k for k, name in enumerate(unknown)}
    place = palette.by_name
    of_name = [palette.classes[place[name]].value if name in place else extra.get(name, 0) for name in rows.names]
    return np.array(of_name, np.uint32)[rows.labels] if len(of_name) else np.zeros(len(rows.labels), np.uint32)

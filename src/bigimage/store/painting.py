"""Painting: the stored bits of masks. A stroke reads and writes the chunks it touches, however large the mask."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.change import BrushPatch
from bigimage.model.mask import ChunkIndex, chunk_tight_box, merge_chunk, union_box
from bigimage.store import tables
from bigimage.store.bits import chunk_key, pack_bits, unpack_bits
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow
from bigimage.store.reading import Reader
from bigimage.store.rows import SHAPE_CODES

_SIDES = ("z0", "y0", "x0", "z1", "y1", "x1")


@dataclass(frozen=True, slots=True)
class Painter:
    """Writes bits of the masks of an image within a transaction."""

    connection: sa.Connection
    reader: Reader
    image: ImageRow

    def put(self, annotation: int, chunks: Mapping[ChunkIndex, bytes]) -> None:
        """Store chunks that are not there yet."""
        if chunks:
            self.connection.execute(sa.insert(tables.chunk), chunk_rows(annotation, chunks))

    def drop(self, annotation: int) -> None:
        """Delete all chunks of a mask."""
        self.connection.execute(sa.delete(tables.chunk).where(tables.chunk.c.annotation == annotation))

    def paint(
        self, change: BrushPatch, annotation: int, shape: int, rest: str | None
    ) -> tuple[dict[str, Any], IndexBox | None]:
        """Add or subtract a stroke; what the mask's row says beside its columns, and the box of its bits.

        Raises InputError when the annotation is no mask, or the stroke lies on another grid.
        """
        if shape != SHAPE_CODES["mask"]:
            raise InputError(f"annotation {change.id} is not a mask and cannot be painted")
        out: dict[str, Any] = json.loads(rest or "{}")
        if change.patch.grid != self.reader.lookup.grid(self.connection, out["grid"], self.image.frame):
            raise InputError(f"the stroke on annotation {change.id} lies on another grid than its mask")
        before = None if out["box"] is None else IndexBox(tuple(out["box"][0]), tuple(out["box"][1]))
        self._merge(change, annotation)
        after = self._box_after(change, annotation, before)
        out["box"] = None if after is None else [after.start, after.stop]
        return out, after

    def _merge(self, change: BrushPatch, annotation: int) -> None:
        """Merge a stroke into the chunks that it touches."""
        keys = {chunk_key(index): index for index in change.patch.chunks}
        present: dict[int, bytes] = {}
        listed = list(keys)
        for k in range(0, len(listed), MOST_PARAMETERS):
            part = listed[k : k + MOST_PARAMETERS]
            sql = f"SELECT key, bits FROM chunk WHERE annotation = ? AND key IN ({','.join('?' * len(part))})"
            for key, bits in self.reader.database.fetch(self.connection, sql, [annotation, *part]):
                present[key] = unpack_bits(bytes(bits))
        if present:
            c = tables.chunk.c
            gone = sa.delete(tables.chunk).where(c.annotation == annotation, c.key == sa.bindparam("gone"))
            self.connection.execute(gone, [{"gone": key} for key in present])
        left: dict[ChunkIndex, bytes] = {}
        for key, index in keys.items():
            merged = merge_chunk(present.get(key), change.patch.chunks[index], change.op)
            if merged is not None:
                left[index] = merged
        self.put(annotation, left)

    def _box_after(self, change: BrushPatch, annotation: int, before: IndexBox | None) -> IndexBox | None:
        """Box of a mask's bits after a stroke."""
        stroke = change.patch.box
        if stroke is None:
            return before
        if change.op == "add":
            return union_box([stroke] if before is None else [before, stroke])
        if before is None:
            return None
        within = np.array(before.start) < stroke.start, np.array(stroke.stop) < before.stop
        if all(part.all() for part in within):
            return before  # a stroke that stays off the border moves no border
        sides = [f"{'min' if side.endswith('0') else 'max'}({side})" for side in _SIDES]
        sql = f"SELECT {', '.join(sides)} FROM chunk WHERE annotation = ?"
        found = self.reader.database.fetch(self.connection, sql, (annotation,))[0]
        if found[0] is None:
            return None
        first = 3 - self.image.ndim
        return IndexBox(tuple(found[first:3]), tuple(found[3 + first :]))


def chunk_rows(annotation: int, chunks: Mapping[ChunkIndex, bytes]) -> list[dict[str, Any]]:
    """Rows of chunks; in the plane z is one slice."""
    rows: list[dict[str, Any]] = []
    for index, bits in chunks.items():
        box = chunk_tight_box(index, bits)
        start, stop = ((0, *box.start)[-3:], (1, *box.stop)[-3:]) if len(index) == 2 else (box.start, box.stop)
        sides = dict(zip(_SIDES, (*start, *stop), strict=True))
        rows.append({"annotation": annotation, "key": chunk_key(index), **sides, "bits": pack_bits(bits)})
    return rows

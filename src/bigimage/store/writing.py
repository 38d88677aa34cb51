"""Writing changes: one call, one transaction, one revision."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import numpy as np
import shapely
import sqlalchemy as sa

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.model.change import Added, BrushPatch, Change, Clash, Edited, Removed, Stored, changed_id
from bigimage.model.mask import Mask
from bigimage.model.outline import box_outline
from bigimage.store import tables
from bigimage.store.bits import pack_chunks
from bigimage.store.cells import cells, levels_of
from bigimage.store.database import Database
from bigimage.store.lookup import MOST_PARAMETERS, ImageRow
from bigimage.store.painting import Painter
from bigimage.store.reading import ADDED, BRUSH_ADD, BRUSH_SUBTRACT, EDITED, REMOVED, Reader
from bigimage.store.rows import SHAPE_CODES, Batch
from bigimage.store.tables import entry_id

_AXES = ("x0", "y0", "x1", "y1", "z0", "z1")
_MASK = SHAPE_CODES["mask"]
HELD = 20_000
"""Changes whose rows are held before they are written."""
_HEAD_FIELDS = (
    *("id", "head", "version", "alive", "shape", "label", "born", "t", "instance", "cell"),
    *("origin", "score", "rest", *_AXES),
)
_HEAD_SQL = (
    "SELECT u.uuid, a.id, a.head, a.version, a.alive, a.shape, a.label, a.born, a.t, a.instance, a.cell,"
    " e.origin, e.score, e.rest, a.x0, a.y0, a.x1, a.y1, a.z0, a.z1"
    " FROM uid u JOIN annotation a ON a.id = u.annotation JOIN entry e ON e.id = a.head WHERE u.uuid IN"
)


def _change(table: sa.Table, names: Iterable[str]) -> sa.Update:
    """UPDATE of a row by its `id`; parameters are called `new_` and the column's name."""
    values = {name: sa.bindparam(f"new_{name}") for name in names}
    return sa.update(table).where(table.c.id == sa.bindparam("new_id")).values(values)


# made once: to build a statement takes longer than to run it
_ADD_ENTRY, _ADD_ANNOTATION = sa.insert(tables.entry), sa.insert(tables.annotation)
_ADD_UID, _ADD_REVISION = sa.insert(tables.uid), sa.insert(tables.revision)
_CHANGE_ANNOTATION = _change(
    tables.annotation, [c.name for c in tables.annotation.c if c.name not in ("id", "image", "born")]
)
_CHANGE_IMAGE = _change(tables.image, ("revision", "entries", "levels"))


@dataclass(slots=True)
class Head:
    """Present state of one annotation, as far as writing needs it; it follows the changes of a transaction."""

    id: int
    """Database id; 0 while the annotation is new."""
    head: int | None
    """Latest log entry."""
    version: int
    alive: bool | int
    shape: int = 0
    label: int = 0
    born: int = 0
    t: int | None = None
    instance: str | None = None
    origin: int = 0
    score: float | None = None
    rest: str | None = None
    box: tuple[float | None, ...] = (None,) * 6
    cell: int | None = None


@dataclass(slots=True)
class Writer:
    """One transaction's changes to one image."""

    connection: sa.Connection
    reader: Reader
    image: ImageRow
    heads: dict[UUID, Head] = field(default_factory=dict[UUID, Head])
    entries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    touched: dict[UUID, Head] = field(default_factory=dict[UUID, Head])
    born: set[UUID] = field(default_factory=set[UUID])
    changed: set[UUID] = field(default_factory=set[UUID])
    """Annotations that were changed by now."""
    written: int = 0
    """Entries that were written already and are no longer held."""
    batch: Batch = field(init=False)
    """The annotations that the changes at hand bring, in their order."""
    texts: Mapping[str, int] = field(init=False)
    levels: int = 0
    """Levels of cells that annotations written so far lie on."""
    results: list[Stored | Clash] = field(default_factory=list[Stored | Clash])

    @property
    def painter(self) -> Painter:
        """Writes the bits of masks in the same transaction."""
        return Painter(self.connection, self.reader, self.image)

    @property
    def revision(self) -> int:
        """Number of the revision that is being made."""
        return self.image.revision + 1

    def make(self, changes: Sequence[Change], batch: Batch, texts: Mapping[str, int]) -> None:
        """Make all changes that do not clash, and note in `results` what became of each.

        `batch` are the annotations that they bring, and `texts` the ids of labels and origins. May be called again with
        further changes, after `forget` where they are many. Raises IntegrityError when an id was given to two
        annotations.
        """
        self.batch, self.texts = batch, texts
        brought = 0
        for position, change in enumerate(changes):
            if position % HELD == 0:
                self._write()
                self._load_heads({changed_id(c) for c in changes[position : position + HELD]})
            place = brought
            if isinstance(change, (Added, Edited)):
                brought += 1
            head = self.heads.get(changed_id(change))
            if self._clashes(change, head):
                self.results.append(self._clash(position, change, head))
                continue
            new = self._make(change, head, place)
            self.heads[changed_id(change)] = self.touched[changed_id(change)] = new
            self.changed.add(changed_id(change))
            self.results.append(Stored(position, changed_id(change), new.version))

    def forget(self) -> None:
        """Let go of what became of the changes made so far; further ones need not know."""
        self.results.clear()
        self.changed.clear()

    def _load_heads(self, ids: Iterable[UUID]) -> None:
        """Read the present state of the annotations that are to be changed."""
        database = self.reader.database
        wanted = [database.uuid_parameter(u) for u in ids]
        for k in range(0, len(wanted), MOST_PARAMETERS):
            part = wanted[k : k + MOST_PARAMETERS]
            for row in database.fetch(self.connection, f"{_HEAD_SQL} ({','.join('?' * len(part))})", part):
                uuid = database.uuid(row[0])
                if not self.image.ids[0] <= row[1] <= self.image.ids[1]:
                    raise InputError(f"annotation {uuid} belongs to another image than {self.image.name!r}")
                state = dict(zip(_HEAD_FIELDS, row[1:], strict=True))
                box = tuple(state.pop(axis) for axis in _AXES)
                self.heads[uuid] = Head(**state, box=box)

    def _clashes(self, change: Change, head: Head | None) -> bool:
        """Whether somebody else was faster."""
        match change:
            case Added():
                return head is not None
            case Edited(_, base):
                return head is None or head.version != base
            case Removed(_, base):
                return head is None or head.version != base or not head.alive
            case BrushPatch(base=base):
                return head is None or not head.alive or (base is not None and head.version != base)

    def _clash(self, position: int, change: Change, head: Head | None) -> Clash:
        """Clash with the state that is stored, or that an earlier change of this call made."""
        id_ = changed_id(change)
        if head is None:
            return Clash(position, id_, change, None, 0)
        current = None
        if head.alive and id_ not in self.changed:
            current = self.reader.get(self.connection, self.image, head.id)
        return Clash(position, id_, change, current, head.version)

    # ---- single changes

    def _make(self, change: Change, head: Head | None, place: int) -> Head:
        """Make one change that does not clash; the state after it."""
        if isinstance(change, (Added, Edited)):
            return self._bring(change, head, place)
        if head is None:
            raise NotFound(f"there is no annotation {change.id}")
        return self._remove(change, head) if isinstance(change, Removed) else self._stroke(change, head)

    def _bring(self, change: Added | Edited, head: Head | None, place: int) -> Head:
        """Store a state that the batch brings."""
        annotation, new = change.annotation, self._state(head, place)
        kind = ADDED if isinstance(change, Added) else EDITED
        new.head = self._log(annotation.id, new, kind, self.batch.geometries[place], self.batch.bits[place])
        if head is None:
            self.born.add(annotation.id)
        elif head.shape == _MASK:
            self.painter.drop(new.id)
        if isinstance(annotation.shape, Mask):
            self.painter.put(new.id, annotation.shape.chunks)
        return new

    def _remove(self, change: Removed, head: Head) -> Head:
        """End an annotation; its row keeps the place where it was."""
        new = replace(head, version=head.version + 1, alive=False, cell=None)
        new.head = self._log(change.id, new, REMOVED, None, None)
        if head.shape == _MASK:
            self.painter.drop(head.id)
        return new

    def _stroke(self, change: BrushPatch, head: Head) -> Head:
        """Paint a mask."""
        rest, box = self.painter.paint(change, head.id, head.shape, head.rest)
        new, geometry = self._placed(replace(head, version=head.version + 1, rest=json.dumps(rest)), rest, box)
        kind = BRUSH_ADD if change.op == "add" else BRUSH_SUBTRACT
        new.head = self._log(change.id, new, kind, geometry, pack_chunks(change.patch.chunks, self.image.ndim))
        return new

    def _state(self, head: Head | None, place: int) -> Head:
        """State that an annotation of the batch brings."""
        b = self.batch
        low, high, cell = b.low[place], b.high[place], int(b.cell[place])
        none = cell < 0
        z = (None, None) if none or len(low) == 2 else (float(low[2]), float(high[2]))
        return Head(
            id=self._next if head is None else head.id,
            head=None if head is None else head.head,
            version=1 if head is None else head.version + 1,
            alive=True,
            shape=b.shapes[place],
            label=self.texts[b.labels[place]],
            born=self.revision if head is None else head.born,
            t=b.times[place],
            instance=b.instances[place],
            origin=self.texts[b.origins[place]],
            score=b.scores[place],
            rest=b.rests[place],
            box=(None,) * 6 if none else (*low[:2].tolist(), *high[:2].tolist(), *z),
            cell=None if none else cell,
        )

    @property
    def _next(self) -> int:
        """Id of the next log entry."""
        return entry_id(self.image.id, self.image.entries + self.written + len(self.entries) + 1)

    def _log(self, id_: UUID, new: Head, kind: int, geometry: bytes | None, bits: bytes | None) -> int:
        """Note a log entry, whose predecessor is the state's head so far, and give its id."""
        entry = self._next
        self.entries.append(
            {
                **{"id": entry, "revision": self.revision, "uuid": id_, "version": new.version, "kind": kind},
                **{"prev": new.head, "shape": new.shape, "label": new.label, "origin": new.origin},
                **{"score": new.score, "t": new.t, "geometry": geometry, "rest": new.rest, "bits": bits},
            }
        )
        return entry

    def _placed(self, head: Head, rest: Mapping[str, Any], box: IndexBox | None) -> tuple[Head, bytes | None]:
        """State of a mask whose bits fill a box, and the outline of that box."""
        if box is None:
            return replace(head, box=(None,) * 6, cell=None), None
        grid = self.reader.lookup.grid(self.connection, rest["grid"], self.image.frame)
        corners = grid.crop(box).corners()
        low, high = corners.min(axis=0), corners.max(axis=0)
        z = (float(low[2]), float(high[2])) if len(low) == 3 else (None, None)
        placed = replace(
            head, box=(*low[:2].tolist(), *high[:2].tolist(), *z), cell=int(cells(low[None], high[None])[0])
        )
        return placed, shapely.to_wkb(box_outline(grid, box))

    def save(self, *, author: int, time: int) -> None:
        """Write what was noted, and the revision with its author and time."""
        self._write()
        if self.written:
            close_revision(
                *(self.connection, self.reader.database, self.image),
                **{"author": author, "time": time, "added": self.written, "levels": self.image.levels | self.levels},
            )

    def _write(self) -> None:
        """Write what is held: entries and the present state."""
        if not self.entries:
            return
        connection = self.connection
        connection.execute(_ADD_ENTRY, self.entries)
        rows = [self._annotation(new) for new in self.touched.values()]
        new = [row for uuid, row in zip(self.touched, rows, strict=True) if uuid in self.born]
        old = [row for uuid, row in zip(self.touched, rows, strict=True) if uuid not in self.born]
        if new:
            connection.execute(_ADD_ANNOTATION, new)
            connection.execute(_ADD_UID, [{"uuid": u, "annotation": self.touched[u].id} for u in self.born])
        if old:
            connection.execute(_CHANGE_ANNOTATION, [{f"new_{k}": v for k, v in row.items()} for row in old])
        on = [h.cell for h in self.touched.values() if h.cell is not None]
        self.levels |= levels_of(np.array(on, dtype=np.int64))
        self.written += len(self.entries)
        for held in (self.entries, self.heads, self.touched, self.born):
            held.clear()

    def _annotation(self, head: Head) -> dict[str, Any]:
        """Row of the present state."""
        return {
            **{"id": head.id, "image": self.image.id, "cell": head.cell, "label": head.label, "head": head.head},
            **{"revision": self.revision, "born": head.born, "version": head.version, "shape": head.shape},
            **{"alive": int(head.alive), "t": head.t, "instance": head.instance},
            **dict(zip(_AXES, head.box, strict=True)),
        }


def close_revision(
    connection: sa.Connection,
    database: Database,
    image: ImageRow,
    *,
    author: int,
    time: int,
    added: int,
    levels: int,
) -> None:
    """Write the next revision of an image, which the caller has locked, and make it the latest."""
    entries = image.entries + added
    last = entry_id(image.id, entries)
    row = {"image": image.id, "number": image.revision + 1, "author": author, "time": time, "last": last}
    connection.execute(_ADD_REVISION, row)
    change = {"new_revision": image.revision + 1, "new_entries": entries, "new_levels": levels}
    connection.execute(_CHANGE_IMAGE, {"new_id": image.id, **change})
    database.announce(connection)

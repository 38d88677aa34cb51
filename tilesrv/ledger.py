"""What changed in an image's annotations, and where: which finished vector tiles still hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from threading import Lock
from uuid import UUID

import numpy as np

from bigimage.geometry.box import WorldBox
from bigimage.model.change import BrushPatch, Extent, Logged, Revision
from bigimage.model.where import Where
from bigimage.store.door import AnnotationStore

MOST = 2000
"""Changes at once beyond which every tile counts as changed: reading them would take longer than drawing again."""
KEPT = 20_000
"""Changes that are remembered."""
_EPOCHS = count()


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of an image's annotations."""

    epoch: int
    """Another one for each history: another database, or one that was restored."""
    revision: int


class Ledger:
    """The latest changes of one image's annotations. Safe to share between threads."""

    def __init__(self, store: AnnotationStore, image: str) -> None:
        self._store, self._image = store, image
        self._lock = Lock()
        self._seen: Revision | None = None
        self._mark: Mark | None = None
        self._floor = 0
        self._revisions = np.zeros(0, np.int64)
        self._low = self._high = np.zeros((0, 2))
        self._brushed: dict[UUID, int] = {}

    def freshen(self) -> Mark:
        """Read what was stored since the last call, and return the present state. Blocking. Raises BackendError."""
        with self._lock:
            now = self._store.revision(self._image)
            number = 0 if now is None else now.number
            mark = self._mark
            if mark is None or number < mark.revision or (number == mark.revision and now != self._seen):
                mark = self._forget(number, epoch=next(_EPOCHS))
            elif number > mark.revision:
                mark = self._read(mark, number)
            self._seen, self._mark = now, mark
            return mark

    def _forget(self, number: int, *, epoch: int) -> Mark:
        """Take every tile for changed that was drawn before a revision."""
        self._floor = number
        self._revisions = np.zeros(0, np.int64)
        self._low = self._high = np.zeros((0, 2))
        self._brushed = {}
        return Mark(epoch, number)

    def _read(self, mark: Mark, number: int) -> Mark:
        """Read the log between two revisions."""
        steps = self._store.revisions(self._image, since=mark.revision, limit=MOST + 1)
        steps = [step for step in steps if step.revision.number <= number]
        if len(steps) > MOST or sum(step.changes for step in steps) > MOST:
            return self._forget(number, epoch=mark.epoch)
        logged = list(self._store.changes(self._image, since=mark.revision, until=number))
        found = [(one.revision.number, one.extent) for one in logged if one.extent is not None]
        found += self._grown(logged)
        revisions = np.array([revision for revision, _ in found], np.int64)
        low = np.array([extent[0][:2] for _, extent in found], np.float64).reshape(-1, 2)
        high = np.array([extent[1][:2] for _, extent in found], np.float64).reshape(-1, 2)
        self._revisions = np.concatenate([self._revisions, revisions])
        self._low, self._high = np.concatenate([self._low, low]), np.concatenate([self._high, high])
        if len(self._revisions) > KEPT:
            cut = len(self._revisions) - KEPT // 2
            self._floor = int(self._revisions[cut - 1])
            self._revisions, self._low, self._high = self._revisions[cut:], self._low[cut:], self._high[cut:]
            self._brushed = {one: last for one, last in self._brushed.items() if last > self._floor}
        return Mark(mark.epoch, number)

    def _grown(self, logged: Sequence[Logged]) -> list[tuple[int, Extent]]:
        """Whole boxes of the masks that were painted on; of a stroke the log tells only its own box."""
        strokes = {one.change.id: one.revision.number for one in logged if isinstance(one.change, BrushPatch)}
        self._brushed.update(strokes)
        if not strokes:
            return []
        now = self._store.query(self._image, where=Where(ids=frozenset(strokes)))
        boxes = [(a.id, a.bounds) for a in now]
        return [(strokes[one], (box.minimum, box.maximum)) for one, box in boxes if box is not None]

    def holds(self, mark: Mark, boxes: Sequence[WorldBox], masks: Sequence[UUID]) -> bool:
        """Whether nothing changed behind a state in any of some boxes, nor in the masks that were shown there."""
        with self._lock:
            if self._mark is None or mark.epoch != self._mark.epoch or mark.revision < self._floor:
                return False
            if any(self._brushed.get(one, 0) > mark.revision for one in masks):
                return False
            start = int(np.searchsorted(self._revisions, mark.revision, side="right"))
            low, high = self._low[start:], self._high[start:]
        return not any(
            ((low <= np.asarray(box.maximum)) & (high >= np.asarray(box.minimum))).all(axis=1).any() for box in boxes
        )

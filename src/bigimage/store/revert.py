"""Taking changes back. Nothing is lost by it: going back is a change like any other, and can be taken back itself.

Every function reads the present state and writes on the condition that it still is; when somebody is faster, it begins
again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

from bigimage.errors import Conflict, NotFound
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import BrushPatch, Change, Edited, Logged, Removed, Revision, changed_id
from bigimage.model.mask import Mask, merge_chunk
from bigimage.store.door import AnnotationStore, Difference, Moment

ATTEMPTS = 10
"""How often somebody else may be faster before it is given up."""


@dataclass(frozen=True, slots=True)
class Reverted:
    """What taking back did."""

    revision: Revision | None
    """None when there was nothing to take back."""
    changes: int
    kept: tuple[UUID, ...] = ()
    """Annotations that stay as they are, because others have built on what was to be taken back."""


def revert_annotation(store: AnnotationStore, id: UUID, *, to: int, author: str) -> Reverted:
    """Bring an annotation back to what it was at a version. Raises NotFound when it was removed there, Conflict."""

    def plan() -> tuple[Iterable[Change], tuple[UUID, ...]]:
        now = store.history(id)[-1].version
        return changes_back(Difference(id, store.get(id, version=to), _present(store, id), now)), ()

    return _attempt(store, store.get(id, version=to).image, plan, author)


def revert_to(store: AnnotationStore, image: str, *, to: Moment, author: str, box: WorldBox | None = None) -> Reverted:
    """Bring an image back to what was visible at a moment; with a box, what touches it now or did then."""

    def plan() -> tuple[Iterable[Change], tuple[UUID, ...]]:
        differences = store.differences(image, since=to, box=box)
        return (change for difference in differences for change in changes_back(difference)), ()

    return _attempt(store, image, plan, author)


def revert_author(store: AnnotationStore, image: str, who: str, *, author: str, since: int = 0) -> Reverted:
    """Take back everything that one person changed behind a revision, where nobody else has built on it."""

    def plan() -> tuple[Iterable[Change], tuple[UUID, ...]]:
        work = _Work(who)
        for logged in store.changes(image, since=since):
            work.add(logged)
        return work.changes_back(store), tuple(sorted(work.built_on))

    return _attempt(store, image, plan, author)


@dataclass(slots=True)
class _Work:
    """What one person did, as far as taking it back needs it."""

    who: str
    first: dict[UUID, int] = field(default_factory=dict[UUID, int])
    """The first version that they made of each annotation they changed."""
    latest: dict[UUID, int] = field(default_factory=dict[UUID, int])
    """The versions that these annotations have now."""
    gone: set[UUID] = field(default_factory=set[UUID])
    """Those that are removed."""
    built_on: set[UUID] = field(default_factory=set[UUID])
    """Those that others changed afterwards."""

    def add(self, logged: Logged) -> None:
        """Take the next change of the log into account."""
        id_ = changed_id(logged.change)
        if logged.revision.author == self.who:
            self.first.setdefault(id_, logged.version)
        elif id_ in self.first:
            self.built_on.add(id_)
        if id_ in self.first:
            self.latest[id_] = logged.version
            (self.gone.add if isinstance(logged.change, Removed) else self.gone.discard)(id_)

    def changes_back(self, store: AnnotationStore) -> Iterator[Change]:
        """Changes that take it back, but for what others have built on."""
        for id_, version in self.first.items():
            if id_ in self.built_on or (version == 1 and id_ in self.gone):
                continue
            if version == 1:  # nothing was there before, so nothing needs to be read
                yield Removed(id_, self.latest[id_])
            else:
                before = _at_version(store, id_, version - 1)
                yield from changes_back(Difference(id_, before, _present(store, id_), self.latest[id_]))


def changes_back(difference: Difference) -> list[Change]:
    """Changes that make of an annotation what it was; none when nothing is different."""
    before, after, base = difference.before, difference.after, difference.version
    if before is None:
        return [] if after is None else [Removed(difference.id, base)]
    if after is None:
        return [Edited(before, base)]
    if before.content() == after.content():
        return []
    if isinstance(before.shape, Mask) and isinstance(after.shape, Mask):
        same_but_bits = replace(before.content(), shape=after.shape) == after.content()
        if same_but_bits and before.shape.grid == after.shape.grid:
            return _strokes_back(difference.id, before.shape, after.shape, base)
    return [Edited(before, base)]


def _strokes_back(id_: UUID, before: Mask, after: Mask, base: int) -> list[Change]:
    """Strokes that make one mask of another, so that the log grows by the difference and not by the mask."""
    out: list[Change] = []
    for op, whole, part in (("add", before, after), ("subtract", after, before)):
        chunks = {
            index: left
            for index, bits in whole.chunks.items()
            if (left := merge_chunk(bits, part.chunks[index], "subtract") if index in part.chunks else bits) is not None
        }
        if chunks:
            patch = Mask(before.grid, chunks)
            out.append(BrushPatch(id_, "add" if op == "add" else "subtract", patch, base + len(out)))
    return out


def _attempt(
    store: AnnotationStore, image: str, plan: Callable[[], tuple[Iterable[Change], tuple[UUID, ...]]], author: str
) -> Reverted:
    """Make planned changes; plan again when somebody was faster. Raises Conflict after `ATTEMPTS`."""
    attempt = 1
    while True:
        changes, kept = plan()
        try:
            made = store.apply_all(image, changes, author=author)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            attempt += 1
        else:
            return Reverted(None, 0, kept) if made is None else Reverted(made.revision, made.changes, kept)


def _present(store: AnnotationStore, id_: UUID) -> Annotation | None:
    """An annotation as it is; None when it is removed."""
    try:
        return store.get(id_)
    except NotFound:
        return None


def _at_version(store: AnnotationStore, id_: UUID, version: int) -> Annotation | None:
    """An annotation at a version; None when it was removed there, or there is no such version."""
    try:
        return store.get(id_, version=version)
    except NotFound:
        return None

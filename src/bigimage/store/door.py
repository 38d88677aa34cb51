"""The doors to what is kept in a database: what every database does alike. Held by tests/contracts/test_store*.py."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import numpy as np
import shapely

from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Applied, Change, Logged, Once, Revision
from bigimage.model.columns import PlainColumns
from bigimage.model.labels import Schema
from bigimage.model.lease import Lease
from bigimage.model.person import Person, PersonRole, Token
from bigimage.model.region import Plot, Region, RegionState, RegionStep
from bigimage.model.table import Table
from bigimage.model.where import Where
from bigimage.store.rows import uuid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Moment = int | datetime
"""A revision's number, or a time: the state that was visible then."""


@dataclass(frozen=True)
class Columns:
    """Annotations of a window as columns, for tiles and tables: no objects are made until they are asked for."""

    keys: "NDArray[np.uint8]"
    """(n, 16) bytes of their ids."""
    versions: "NDArray[np.int32]"
    labels: "NDArray[np.int32]"
    """Places in `names`."""
    names: tuple[str, ...]
    shapes: "NDArray[np.int16]"
    """Codes of the kinds of shapes; see `bigimage.store.rows.SHAPE_NAMES`."""
    outlines: list[bytes | None]
    """Plain outlines as WKB, of contours their rings as lines; None for tags."""
    scores: "NDArray[np.float64]"
    """NaN where there is none."""
    rest: list[str | None]
    """JSON with `attributes`, `instance`, `relations`, `schema` and `shape` (what the outline cannot say), as far as
    there are any."""
    places: "NDArray[np.int64]"
    """Places in the image's log of their first versions: the order in which they were first stored, never changed."""
    times: "NDArray[np.int64]"
    """Points in time they hold for; -1 for all."""

    @cached_property
    def ids(self) -> list[UUID]:
        """Ids as UUIDs."""
        data = self.keys.tobytes()
        return [uuid_of(data[k : k + 16]) for k in range(0, len(data), 16)]

    @cached_property
    def geometries(self) -> "NDArray[np.object_]":
        """Plain outlines as shapely geometries; None for tags."""
        wkb = np.empty(len(self.outlines), dtype=object)
        wkb[:] = self.outlines
        return shapely.from_wkb(wkb)


@dataclass(frozen=True, slots=True)
class Count:
    """How many small annotations of a label lie in one square of a window."""

    minimum: tuple[float, ...]
    """Corner of the square (in a volume, cube)."""
    size: float
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one annotation between two moments."""

    id: UUID
    before: Annotation | None
    """None when it did not exist yet, or was removed."""
    after: Annotation | None
    version: int
    """Its version now, a removal included."""


@dataclass(frozen=True, slots=True)
class Step:
    """A revision and how much it changed."""

    revision: Revision
    changes: int
    """Number of changes that it made."""


class Watch(Protocol):
    """Waits for changes; for one thread."""

    def wait(self, seconds: float) -> bool:
        """Whether anything was stored since the last call, waiting for it so long at most. Raises BackendError."""
        ...

    def close(self) -> None:
        """Stop waiting."""
        ...


class AnnotationStore(Protocol):
    """Annotations, their history and the label schema. Thread-safe; one per process and database."""

    def apply(
        self,
        image: str,
        changes: Iterable[Change],
        *,
        author: str,
        once: Once | None = None,
        skip_conflicts: bool = False,
    ) -> Applied:
        """Store changes of one image in one transaction, which becomes one revision.

        With `skip_conflicts` changes that clash are left out and reported; without, nothing is stored and Conflict is
        raised, whose `clashes` hold both versions. The first change to an image fixes its frame. Raises Conflict,
        FrameMismatch, InputError, NotFound, BackendError.
        """
        ...

    def apply_all(self, image: str, changes: Iterable[Change], *, author: str) -> Step | None:
        """Store changes of one image, however many, as one revision; memory does not grow with their number.

        The iterable is read before anything is locked. Returns None when it is empty. Raises what `apply` raises, and
        then nothing is stored.
        """
        ...

    def load(self, image: str, annotations: Iterable[Annotation | Table], *, author: str) -> Revision | None:
        """Store many new annotations as one revision, fast; memory grows by some 40 bytes with each.

        Tables stand for their rows, which become the same by half the work. The iterable is read before anything is
        locked. Returns None when it is empty. Raises Conflict when an id is
        taken, and then nothing is stored; FrameMismatch, InputError, BackendError.
        """
        ...

    def query(
        self,
        image: str,
        box: WorldBox | None = None,
        *,
        where: Where | None = None,
        at: Moment | None = None,
        limit: int | None = None,
        after: UUID | None = None,
    ) -> Iterator[Annotation]:
        """Annotations whose boxes touch a box, all when there is none; none for an image without annotations.

        Without a box, or with `limit` or `after`, they come in the order in which they were first stored, and `after`
        goes on behind an annotation. One call sees one state. Tags have no place and touch no box.
        """
        ...

    def plain(
        self, image: str, box: WorldBox | None = None, *, where: Where | None = None, at: Moment | None = None
    ) -> Iterator[PlainColumns | list[Annotation]]:
        """What `query` gives, in lists; those of a flat image that hold plain geometries alone come as columns."""
        ...

    def columns(self, image: str, box: WorldBox, *, where: Where | None = None, limit: int | None = None) -> Columns:
        """Annotations whose boxes touch a box, as columns, in no particular order."""
        ...

    def counts(self, image: str, box: WorldBox, *, size: float) -> list[Count]:
        """Numbers of annotations smaller than `size` per label and square of about that size, by their centres.

        Together with `columns` under `Where(min_size=size)` nothing is left out.
        """
        ...

    def count(self, image: str, *, where: Where | None = None) -> int:
        """Number of annotations of an image as it is; by all of a where-clause but `slab` and `ids`."""
        ...

    def get(self, id: UUID, *, version: int | None = None) -> Annotation:
        """One annotation, as it is or as it was. Raises NotFound when it never was or is removed."""
        ...

    def read_mask(self, id: UUID, box: IndexBox) -> "NDArray[np.bool_]":
        """Present bits of a mask annotation within a box of its grid, without reading the rest. Raises NotFound."""
        ...

    def revision(self, image: str, *, at: Moment | None = None) -> Revision | None:
        """Latest revision, or the one that was visible at a moment; None before the first."""
        ...

    def revisions(self, image: str, *, since: int = 0, limit: int | None = None) -> Sequence[Step]:
        """Revisions of an image behind one, the latest first, at most `limit`."""
        ...

    def changes(
        self, image: str, *, since: int = 0, until: int | None = None, limit: int | None = None
    ) -> Iterator[Logged]:
        """Log of an image behind a revision, in order, at most `limit` changes."""
        ...

    def history(self, id: UUID) -> Sequence[Logged]:
        """Every change of one annotation, the first one first. Raises NotFound."""
        ...

    def differences(self, image: str, *, since: Moment, box: WorldBox | None = None) -> Iterator[Difference]:
        """What became of each annotation that changed behind a moment; with a box, of those in it then or now."""
        ...

    def schema(self, version: int | None = None) -> Schema | None:
        """Label schema, the latest or that of a version; None when none was ever set. Raises NotFound."""
        ...

    def set_schema(self, schema: Schema, *, author: str, base: int | None = None) -> Schema:
        """Store a new version of the label schema. Raises Invalid, and Conflict when the latest is not `base`."""
        ...

    def images(self) -> dict[str, Revision]:
        """Images that have annotations or had some, with their latest revisions."""
        ...

    def watch(self) -> Watch:
        """Begin to wait for changes by anybody, in this process or another. Raises BackendError."""
        ...

    def check(self) -> None:
        """Ask the database something, to see that it answers. Raises BackendError."""
        ...

    def compact(self) -> None:
        """Give space back and refresh what the database knows about its tables; no history is lost."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class PeopleStore(Protocol):
    """People, their roles and tokens. Thread-safe."""

    def add(self, name: str, role: PersonRole) -> Person:
        """Add somebody, without a token yet. Raises InputError for a name or role that cannot be, Conflict."""
        ...

    def change(self, name: str, role: PersonRole) -> Person:
        """Give somebody another role. Raises NotFound, InputError."""
        ...

    def remove(self, name: str) -> None:
        """Remove somebody with all their tokens; what they did stays theirs in the log. Raises NotFound."""
        ...

    def everyone(self) -> Sequence[Person]:
        """Everybody, by name."""
        ...

    def issue(self, name: str, *, days: float | None = None) -> tuple[str, Token]:
        """A new token of somebody, and what is kept about it; the token itself is not kept. Raises NotFound."""
        ...

    def who(self, token: str) -> Person | None:
        """Whose token it is; None when it is nobody's, or has expired."""
        ...

    def tokens(self, name: str) -> Sequence[Token]:
        """What is known about somebody's tokens, the oldest first."""
        ...

    def revoke(self, id: str) -> None:
        """End a token, by its id. Raises NotFound."""
        ...


class RegionStore(Protocol):
    """Regions of images as units of work. Thread-safe.

    A region is `open`, then `claimed` by somebody, then `done`, and can be opened again. Each step makes a version;
    with `base` a step is made only from that version. A step that was made already is answered the same, so that a
    request may be repeated. A refused step raises Conflict, whose `clashes` hold the region as it is. Every step is
    kept with who took it (`by`) and when, also when the region is removed.
    """

    def add(self, image: str, plots: Iterable[Plot], *, by: str, replace_open: bool = False) -> list[Region]:
        """Store regions of an image, in their order; with `replace_open`, instead of those that are there.

        Raises Conflict when a name is taken or, with `replace_open`, when a region is claimed or done.
        """
        ...

    def of(self, image: str, *, state: RegionState | None = None, assignee: str | None = None) -> Sequence[Region]:
        """Regions of an image in the order in which they were made."""
        ...

    def get(self, id: UUID) -> Region:
        """One region. Raises NotFound."""
        ...

    def remove(self, id: UUID, *, by: str, base: int | None = None) -> None:
        """Remove a region; annotations stay. Raises NotFound, Conflict."""
        ...

    def claim(self, id: UUID, *, by: str, base: int | None = None) -> Region:
        """Begin to work on a region that is open. Raises NotFound, Conflict."""
        ...

    def claim_next(self, image: str, *, by: str) -> Region | None:
        """Begin to work on the first open region of an image; None when none is open."""
        ...

    def release(self, id: UUID, *, by: str, anybodys: bool = False, base: int | None = None) -> Region:
        """Open a region again: one's own, or with `anybodys` also that of somebody else. Raises NotFound, Conflict."""
        ...

    def done(self, id: UUID, *, by: str, base: int | None = None) -> Region:
        """Finish the work on a region that one has claimed. Raises NotFound, Conflict."""
        ...

    def history(self, id: UUID) -> Sequence[RegionStep]:
        """Every step of the work on a region, the first one first; of a removed one too. Raises NotFound."""
        ...

    def steps(self, image: str, *, limit: int | None = None) -> Sequence[RegionStep]:
        """Steps of the work on an image's regions, removed ones too, the latest first, at most `limit`."""
        ...


class LeaseStore(Protocol):
    """Rights to write something that several processes could write. Thread-safe."""

    def acquire(self, name: str, *, holder: str, seconds: float) -> Lease:
        """Take a lease that is free or has expired. Raises Conflict, which names the holder, and InputError."""
        ...

    def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for so long from now. Raises Conflict when it has expired, or somebody else has it."""
        ...

    def check(self, lease: Lease) -> None:
        """Raise Conflict unless a lease still holds."""
        ...

    def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens when it is somebody else's already."""
        ...

    def held(self, name: str) -> Lease | None:
        """Who holds a lease now; None when nobody does."""
        ...

"""Changes to annotations, and the log that they make."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask, MaskOp
from bigimage.model.shape import Position

Extent = tuple[Position, Position]
"""Minimum and maximum in the image's frame."""


@dataclass(frozen=True, slots=True)
class Added:
    """A new annotation."""

    annotation: Annotation


@dataclass(frozen=True, slots=True)
class Edited:
    """A new state of an annotation; of a removed one, its return."""

    annotation: Annotation
    base: int
    """Version that it was made from."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The end of an annotation; its history stays, and it can be restored."""

    id: UUID
    base: int


@dataclass(frozen=True, slots=True)
class BrushPatch:
    """Bits added to or subtracted from an annotation whose shape is a mask."""

    id: UUID
    op: MaskOp
    patch: Mask
    base: int | None = None
    """Version that was painted on; None paints on whatever is there, for strokes of several people at once."""


Change = Added | Edited | Removed | BrushPatch


def changed_id(change: Change) -> UUID:
    """Id of the annotation that a change is about."""
    match change:
        case Added(annotation) | Edited(annotation, _):
            return annotation.id
        case Removed() | BrushPatch():
            return change.id
    assert_never(change)


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of an image's annotations: everything that one call stored."""

    image: str
    number: int
    """1, 2, … without gaps, in the order in which steps became visible."""
    author: str
    time: datetime
    """UTC; never earlier than that of the revision before."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One change as the log holds it."""

    revision: Revision
    version: int
    """Version of the annotation that the change made."""
    change: Change
    extent: Extent | None
    """Box of all that the change can have altered: where the annotation was and where it is; None for tags."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A change that was not made because somebody else was faster."""

    position: int
    """Place of the change in what was handed in."""
    id: UUID
    yours: Change
    current: Annotation | None
    """State that is stored; None when the annotation was removed, or never was."""
    version: int
    """Version that is stored, a removal included; 0 when the annotation never was."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A change that was made."""

    position: int
    id: UUID
    version: int
    """Version that the change made."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Outcome of a call that stores changes."""

    revision: Revision | None
    """None when nothing was stored."""
    results: tuple[Stored | Clash, ...]
    """One for each change, in their order."""
    replayed: bool = False
    """Whether this is the answer to an earlier call with the same idempotency key."""


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key: the same call made twice is stored once and answered the same."""

    key: str
    digest: bytes
    """Digest of the request; the same key with another digest is a conflict."""

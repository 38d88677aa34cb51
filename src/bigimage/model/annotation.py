"""Annotations: a label, a shape in a frame, and everything that is known about who said so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame
from bigimage.model.shape import Shape, bounds

ORIGIN = re.compile(r"manual|import|model:[^@\s]{1,200}@[^@\s]{1,200}")
"""`manual`, `import` or `model:NAME@VERSION`."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed statement about another annotation, such as `part of` or `casts shadow`."""

    kind: str
    to: UUID


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One labelled shape on one image.

    The fields after `schema` are kept by the store; what a caller puts there is not stored.
    """

    id: UUID
    """Never changes, not by edits, removal, restoring or moving to another database."""
    image: str
    label: str
    """Name as it was given; `Schema.resolve` says which label it belongs to now."""
    shape: Shape
    frame: Frame
    """What the shape's coordinates are measured in; the image's own frame."""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON values by name, as the label's schema declares them."""
    t: int | None = None
    """Index of the point in time it holds for; None for all times."""
    origin: str = "manual"
    """`manual`, `import` or `model:NAME@VERSION`."""
    score: float | None = None
    """Confidence between 0 and 1."""
    instance: str | None = None
    """Id of the object that this and other annotations show: its parts, its outlines on other slices or dates."""
    relations: tuple[Relation, ...] = ()
    schema: int | None = None
    """Version of the label schema that it was made under."""
    version: int = 0
    """1, 2, … as stored; 0 before it is."""
    author: str | None = None
    """Who made the first version."""
    editor: str | None = None
    """Who made this version."""
    created: datetime | None = None
    """When the first version was stored, UTC."""
    modified: datetime | None = None
    """When this version was stored, UTC."""

    @property
    def bounds(self) -> WorldBox | None:
        """Smallest box of the shape in its frame; None for a tag and other shapes without a position."""
        found = bounds(self.shape)
        return None if found is None else WorldBox(found[0], found[1], self.frame)

    def content(self) -> "Annotation":
        """The annotation without what the store keeps, to compare what was said and not when and by whom."""
        return replace(self, version=0, author=None, editor=None, created=None, modified=None)


def frame_ndim(frame: Frame) -> int:
    """Number of coordinates of positions in a frame: 3 in a patient, 2 on a map and in plain pixels."""
    match frame:
        case PatientFrame():
            return 3
        case GeoFrame() | PixelFrame():
            return 2
    assert_never(frame)

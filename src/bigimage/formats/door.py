"""The door of interchange formats: what a format says about itself, what it is handed, and what it reports.

Formats write to the very path they are given; atomic output, progress, cancellation and strictness are the business
of `bigimage.exchange`, which also checks everything that was read before any of it is stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable
from uuid import NAMESPACE_URL, UUID, uuid5

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Code, Label, Schema
from bigimage.model.problem import Problem
from bigimage.model.shape import Mask, Polygon, Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Options = Mapping[str, str]
"""What a user sets for one format, by the names in its `OPTIONS`; texts, as they come from a command line."""
LossKind = Literal["dropped", "approximated", "rounded"]
Paint = Callable[[Shape, Grid, IndexBox], "NDArray[np.bool_]"]
"""Pixels of a box of a grid that a shape of the same frame covers, by the rule that masks are painted with."""
FrameKind = Literal["geo", "patient", "pixel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """What of an annotation comes back from a vector format. Tests hold each format to it."""

    shapes: Mapping[str, str]
    """Kind of shape → the kind it comes back as; the same where it is exact. Kinds not named are dropped."""
    fields: frozenset[str] = frozenset()
    """Fields of an annotation that come back besides label and shape: `id`, `attributes`, `t`, `origin`, `score`,
    `instance`, `relations`, `author`, `created`."""
    holes: bool = True
    """Whether holes of polygons come back; where not, they are filled, bridged, or written as masks (see `shapes`)."""
    parts: bool = True
    """Whether several parts come back as one annotation."""
    overlaps: bool = True
    """Whether areas may lie over each other; where not, what is covered by others is missing."""
    rounding: float = 0.0
    """Largest error of a coordinate, in pixels of the image's finest grid."""
    frames: frozenset[FrameKind] = frozenset(("geo", "patient", "pixel"))
    """Images that it is for."""
    own_frame: bool = True
    """Whether coordinates come back without a reprojection."""

    @property
    def flat(self) -> bool:
        """Whether it is about flat images only: it has no shape that lies in a volume."""
        return not {"contours", "cuboid"} & set(self.shapes)

    def fits(self, grid: Grid) -> bool:
        """Whether it can be about an image with this grid."""
        return frame_kind(grid.frame) in self.frames and not (self.flat and grid.ndim > 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepsMask:
    """What of a mask comes back from a mask format. Tests hold each format to it."""

    highest: int
    """Largest value of a label."""
    overlaps: bool = False
    """Whether a pixel may belong to several segments."""
    fractions: bool = False
    """Whether a pixel may belong to a segment in part."""
    names: bool = False
    colors: bool = False
    codes: bool = False
    """Whether the coded terms of labels come back."""
    instances: bool = False
    """Whether objects of one label stay apart."""
    frames: frozenset[FrameKind] = frozenset(("geo", "patient", "pixel"))
    turned: bool = True
    """Whether grids may be rotated or oblique."""
    sheared: bool = False
    uneven: bool = False
    """Whether each slice keeps its own place."""
    frame_uid: bool = False
    """Whether the frame of reference comes back."""

    def fits(self, grid: Grid) -> bool:
        """Whether it can hold masks on this grid."""
        return frame_kind(grid.frame) in self.frames


def frame_kind(frame: Frame) -> FrameKind:
    """Kind of a frame, as `Keeps.frames` names it."""
    if isinstance(frame, GeoFrame):
        return "geo"
    return "patient" if isinstance(frame, PatientFrame) else "pixel"


@dataclass(frozen=True, slots=True)
class Losses:
    """One way in which annotations came out less than they are, and all of those that did."""

    kind: LossKind
    what: str
    """What was lost: a kind of shape, a field, `holes`, `rotation`, `coordinates`, …"""
    message: str
    """What became of it instead."""
    count: int
    ids: Sequence[UUID]
    """Annotations that it concerns; empty where it concerns the file as a whole."""


@dataclass(eq=False, slots=True)
class Report:
    """What an export could not hold, or what an import had to leave out; filled while a file is read or written."""

    written: int = 0
    """Annotations (or segments) that are in the file, or were read from it."""
    notes: list[str] = field(default_factory=list[str])
    """What the user should know besides losses."""
    problems: list[Problem] = field(default_factory=list[Problem])
    """What is wrong with a file that is read; any refuses the whole file."""
    labels: dict[str, Label] = field(default_factory=dict[str, Label])
    """Labels by name, with values (0 for none), colours and codes as far as a file that is read describes them."""
    _lost: dict[tuple[LossKind, str, str], bytearray] = field(
        default_factory=dict[tuple[LossKind, str, str], bytearray]
    )
    _unnamed: dict[tuple[LossKind, str, str], int] = field(default_factory=dict[tuple[LossKind, str, str], int])

    def lose(self, kind: LossKind, what: str, message: str, id: UUID | None = None) -> None:
        """Note a loss of one annotation, or of the file. 16 bytes each, so that a million fit."""
        key = (kind, what, message)
        ids = self._lost.setdefault(key, bytearray())
        if id is None:
            self._unnamed[key] = self._unnamed.get(key, 0) + 1
        else:
            ids += id.bytes

    def note(self, message: str) -> None:
        """Note something once."""
        if message not in self.notes:
            self.notes.append(message)

    def problem(self, kind: str, place: str, message: str) -> None:
        """Note something that is wrong with the file that is read."""
        self.problems.append(Problem(kind, place, message))

    @property
    def lossless(self) -> bool:
        """Whether everything was kept."""
        return not self._lost

    @property
    def losses(self) -> tuple[Losses, ...]:
        """Losses by kind, what and message, in that order."""
        return tuple(
            Losses(*key, len(self._lost[key]) // 16 + self._unnamed.get(key, 0), _Ids(bytes(self._lost[key])))
            for key in sorted(self._lost)
        )


class _Ids(Sequence[UUID]):
    """UUIDs kept as their bytes."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // 16

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self[k] for k in range(*key.indices(len(self)))]
        start = range(len(self))[key] * 16
        return UUID(bytes=self._packed[start : start + 16])


@dataclass(frozen=True, kw_only=True)
class Context:
    """The image that a file is about, and what a format may use of the house."""

    info: ImageInfo
    schema: Schema
    """Labels of an export, each that occurs; of an import those that are known, or none when no schema was set."""
    paint: Paint
    """Paints a shape, for formats whose areas are runs of pixels."""
    trace: Callable[[Mask], Polygon] | None = None
    """Outlines a mask along the edges of its pixels, for formats that have no masks."""
    file_name: str = ""
    """Name of the image as other tools call it: that of the file it was made from."""
    source: str = ""
    """Name of the file that is read, without its folder; part of the ids made for what has only a number there."""
    time: int | None = None
    """Point in time that annotations of a file that is read are given; part of the ids made for them."""
    reviewed: Sequence[IndexBox] | None = None
    """Parts of the image that were looked at whole; None when nobody keeps track."""

    @property
    def image(self) -> str:
        """Id of the image."""
        return self.info.id

    @property
    def grid(self) -> Grid:
        """Finest grid of the image."""
        return self.info.grid

    def new_id(self, *key: object) -> UUID:
        """Id made from what identifies an annotation in its file: the same whenever that file is read again."""
        when = () if self.time is None else (f"t={self.time}",)
        return uuid5(NAMESPACE_URL, "\x1f".join(["bigimage", self.image, *map(str, key), *when]))


class VectorFormat(Protocol):
    """A module that reads and writes annotations."""

    NAME: str
    """As `--format` takes it, such as `geojson`."""
    SUFFIXES: tuple[str, ...]
    """Ends of file names, with their dots; `("",)` for a folder."""
    KEEPS: Keeps
    OPTIONS: Mapping[str, str]
    """Name → what it does, for `--option NAME=VALUE`."""

    def sniff(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by its content."""
        ...

    def read(self, path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
        """Annotations of a file, in the image's frame; read as they are asked for.

        What is wrong is noted in `report.problems`, and reading goes on behind it. Raises DataError where it cannot go
        on, Unsupported for a file that is not to be imported.
        """
        ...

    def write(
        self, path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options
    ) -> None:
        """Write annotations to a file, or a folder that does not exist yet; as they come, in bounded memory.

        Counts them in `report.written` and notes each loss. Raises Unsupported for an image that the format cannot
        be about. The same annotations always give the same bytes.
        """
        ...


@runtime_checkable
class ColumnFormat(Protocol):
    """A module of a format that takes annotations as columns, too."""

    def write_columns(
        self,
        path: Path,
        pieces: Iterable[PlainColumns | list[Annotation]],
        *,
        context: Context,
        report: Report,
        options: Options,
    ) -> None:
        """`VectorFormat.write` of annotations in pieces, some of them columns; the bytes are the same."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one value of a mask stands for."""

    value: int
    label: Label
    layer: int = 0
    """Layer that the value is found in; segments that overlap lie in different layers."""
    name: str = ""
    """Name of the segment where it is another than the label's: that of an object."""
    instance: str | None = None
    """Id of the object, where objects are told apart."""
    terms: Mapping[str, Code] = field(default_factory=dict[str, Code])
    """Coded terms besides the label's own: `category`, `modifier`, `region`, `region modifier`."""
    origin: str = "manual"
    """Who made it, as an annotation says it: `manual`, `import` or `model:NAME@VERSION`."""


@dataclass(frozen=True, kw_only=True)
class MaskStream:
    """A mask of any size, read piece by piece."""

    grid: Grid
    """Its own grid: the image's, a part of it, or another one in the same frame."""
    segments: tuple[Segment, ...]
    dtype: str
    """Type of the values, such as `uint16`; `float32` for fractions."""
    read: Callable[[int, IndexBox], "NDArray[Any]"]
    """Values of a layer within a box of the grid; 0 is no segment."""
    layers: int = 1
    fractional: bool = False
    """Whether a layer holds parts of one segment, from 0 to 1, in place of values."""
    block: tuple[int, ...] | None = None
    """Shape of the boxes that are cheapest to read; None where any is."""
    identity: str = ""
    """What the file calls itself, such as a SOP instance UID, whatever its name on a disk; empty where it does not."""


class MaskFormat(Protocol):
    """A module that reads and writes masks."""

    NAME: str
    SUFFIXES: tuple[str, ...]
    KEEPS: KeepsMask
    OPTIONS: Mapping[str, str]

    def sniff(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by its content."""
        ...

    def read(self, path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
        """The mask of a file, on its own grid in the image's frame; problems as `VectorFormat.read` notes them."""
        ...

    def write(self, path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
        """Write a mask; as `VectorFormat.write` does."""
        ...


@runtime_checkable
class SelectiveMaskFormat(Protocol):
    """A module of a format for which the grid of an image does not tell whether it can hold masks of it."""

    def fits(self, info: ImageInfo) -> bool:
        """Whether it can hold masks of an image."""
        ...


def check_options(name: str, known: Mapping[str, str], options: Options) -> None:
    """Raise InputError for options that a format does not have."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = ", ".join(f"{k} ({v})" for k, v in known.items()) or "none"
        raise InputError(f"format {name} has no option {', '.join(unknown)}; its options: {has}")

"""What is known of a file and of its frames before any pixel is read: frozen values without behaviour of their own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bigimage.errors import InputError
from bigimage.geometry.dicom import Plane
from bigimage.sources.dicom.elements import Elements

NATIVE_SYNTAXES = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
    "1.2.840.10008.1.2.2": "explicit big endian",
    "1.2.840.10008.1.2.1.99": "deflated explicit little endian",
}
IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED = NATIVE_SYNTAXES
GE_PRIVATE_BIG_ENDIAN = "1.2.840.113619.5.2"
"""Implicit little endian header, big endian pixels: an old private syntax of GE that pydicom knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """Where the pixel data of a file lie."""

    keyword: str
    """PixelData, FloatPixelData or DoubleFloatPixelData."""
    offset: int
    """Position of the value in the file; in the inflated data where the file is deflated."""
    length: int | None
    """Stated length in bytes; None where it is undefined, as for compressed pixels."""
    available: int
    """Bytes from `offset` to the end of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """One DICOM file: its elements and where its pixels lie."""

    path: Path
    syntax: str
    """Transfer syntax UID; guessed from the bytes where the file states none."""
    elements: Elements
    pixels: PixelElement | None
    media_class: str | None = None
    """SOP class by the file meta information."""
    deflated_from: int | None = None
    """Position of the deflated stream; None where the file is not deflated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the pixels of one file are stored, checked for consistency."""

    path: Path
    syntax: str
    keyword: str
    offset: int
    deflated_from: int | None
    rows: int
    """Rows of one stored frame; of the whole sheet where it is a mosaic."""
    columns: int
    frames: int
    """Frames that are really there."""
    samples: int
    planar: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    fragments: tuple[tuple[tuple[int, int], ...], ...] | None = None
    """For compressed pixels the (position, length) of every fragment of each frame."""
    mosaic: int = 0
    """Tiles across (and down) a Siemens mosaic; 0 where a frame is one image."""
    palette: "PaletteBytes | None" = None

    @property
    def is_native(self) -> bool:
        """Whether pixels are not compressed."""
        return self.fragments is None


@dataclass(frozen=True, slots=True)
class PaletteBytes:
    """The red, green and blue tables of a palette, as they stand in the file."""

    first: int
    """Stored value of the first entry."""
    tables: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    """Entries, 8 or 16 bits each."""
    bits: int


@dataclass(frozen=True, slots=True)
class Window:
    """One display window of a file, in modality units."""

    center: float
    width: float
    explanation: str = ""
    function: str = "LINEAR"

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value shown (PS3.3 C.11.2.1.2; LINEAR spans width - 1)."""
        if self.function == "LINEAR" and self.width > 1:
            half = (self.width - 1) / 2
            return self.center - 0.5 - half, self.center - 0.5 + half
        return self.center - self.width / 2, self.center + self.width / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the stored numbers of one frame mean."""

    slope: float = 1.0
    intercept: float = 0.0
    stated: bool = False
    """Whether the file states slope and intercept."""
    unit: str | None = None
    lut: tuple[int, tuple[int, ...]] | None = None
    """A table instead of a slope: first stored value, then its outputs."""
    padding: tuple[int, int] | None = None
    """Lowest and highest stored value that marks missing pixels."""
    windows: tuple[Window, ...] = ()
    voi_table: bool = False
    """Whether the display is defined by a table that is not a window."""


class Traits(Mapping[str, float | str]):
    """What tells frames apart, read from the header only when somebody asks: most series never do."""

    def __init__(self, read: Callable[[], Mapping[str, float | str]]) -> None:
        self._read = read

    @cached_property
    def _found(self) -> Mapping[str, float | str]:
        return self._read()

    def __getitem__(self, key: str) -> float | str:
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesIdentity:
    """What a file belongs to; frames that differ here never share a volume."""

    patient: str | None
    study: str | None
    series: str | None
    number: int | None
    modality: str
    sop_class: str
    frame_of_reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One plane of pixels: a whole file, a frame of a multi-frame file, or a tile of a mosaic."""

    layout: Layout
    index: int
    """Number of the frame in its file, from 0."""
    tile: int = 0
    """Number of the tile in a mosaic, from 0."""
    instance: str
    """SOP instance UID; the file's name where it has none."""
    number: int | None
    """Instance number, or the frame's number in a multi-frame file."""
    identity: SeriesIdentity
    shape: tuple[int, int]
    """Rows and columns of this plane."""
    plane: Plane | None
    faults: tuple[tuple[str, str], ...] = ()
    """Why `plane` is None, or what else is wrong: (verdict code, sentence)."""
    thickness: float | None = None
    spacing_hint: float | None = None
    """Spacing Between Slices: said, not measured."""
    image_type: tuple[str, ...] = ()
    contrast: Mapping[str, float | str] = field(default_factory=dict)
    """What makes a frame another image of the same place: echo time, b-value, …"""
    times: Mapping[str, float | str] = field(default_factory=dict)
    """What makes a frame the same image at another time: temporal position, trigger time, …"""
    values: Values = field(default_factory=Values)
    source: FileHeader

    @property
    def place(self) -> Plane:
        """The plane of a frame that has one. Raises InputError for others."""
        if self.plane is None:
            raise InputError(f"{self.instance} has no place in the patient")
        return self.plane

    @property
    def is_localizer(self) -> bool:
        """Whether the file calls itself a localizer."""
        return "LOCALIZER" in self.image_type

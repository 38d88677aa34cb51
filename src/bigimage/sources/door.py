"""The door through which foreign pixels come in: what a source is, and what a module that opens sources offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo, Role
from bigimage.model.patch import Patch

Layout = Literal["tiles", "rows", "sequential"]
"""How pixels are fetched cheaply: any tile; strips over the whole width; strictly from top to bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """What the caller says about the files it opens.

    `crs`, `bounds` and `affine` supply a georeference that is missing; a file that has its own refuses another one.
    """

    crs: str | None = None
    """CRS in any notation that PROJ reads."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north edges of a north-up image; west > east where it crosses the antimeridian."""
    affine: tuple[float, float, float, float, float, float] | None = None
    """Six coefficients (a, b, c, d, e, f) in rasterio's order, corner based: x = a·column + b·row + c."""
    fit_gcps: bool = False
    """Place the image by an affine fitted to its ground control points, where it has nothing better."""
    role: Role | None = None
    """What the values are; None leaves it to the file: labels where it has a palette, else an image."""
    roots: tuple[Path, ...] | None = None
    """Folders from which a file may pull in others, besides its own folder."""
    strict: bool = False
    """Refuse a scan with gaps, duplicates, a tilted gantry or anything else amiss, instead of saying so."""
    regularize: bool = False
    """Resample uneven or tilted slices of a scan to a regular grid; without it, every slice keeps its place."""
    physical: bool = False
    """Convert a scan to float32 in its modality's units, instead of keeping stored values with their slopes."""
    deidentify: str | None = None
    """Secret from which replaced identifiers of patients are made, always the same ones; None keeps identities."""
    leave_out: tuple[tuple[Path, int, str], ...] = ()
    """Frames of a scan that could not be decoded: file, number of the frame in it from 0, reason. The others are put
    together without them, under the ids that the images have with them."""


class Source(Protocol):
    """A foreign image, opened for reading. Safe to use from several threads at once."""

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning; the grid is that of the full resolution."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the pixels come from, in the order of the pixels; those that a named file refers to included."""
        ...

    @property
    def layout(self) -> Layout:
        """How pixels are fetched cheaply."""
        ...

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box of the full-resolution grid; never those of an overview.

        The array is (c, y, x) or (c, z, y, x), C-contiguous and in native byte order; `valid` is None when every
        pixel is. `bands` are counted from 0. Raises OutOfBounds for a box, band or time that does not exist, DataError
        where the file is damaged.
        """
        ...

    def close(self) -> None:
        """Let go of all files. Reading afterwards raises InputError."""
        ...


class SourceModule(Protocol):
    """A module that opens one family of formats."""

    NAME: str
    """Short name, such as `raster`."""
    TOGETHER: bool
    """Whether several files may make up one image, as the slices of a scan do; else each file is an image."""

    def sniff(self, path: Path) -> bool:
        """Whether this module opens the file or folder; judged by content, without decoding pixels."""
        ...

    def open(self, paths: Sequence[Path], *, image: str, options: OpenOptions) -> list[Source]:
        """Open files as one or more images.

        The id of a single one is `image`; several become `image-1`, `image-2`, … Raises NotFound for a file that does
        not exist, InputError for options that do not fit, DataError for damaged files, Unsupported for what is
        understood but not handled.
        """
        ...

"""What is known about an image without its pixels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid

Role = Literal["image", "labels"]
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


def slug(name: str) -> str:
    """Image id made from a file's name: lower case, other characters as dashes. Raises InputError if none is left."""
    text = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:128]
    if not ID_PATTERN.fullmatch(text):
        raise InputError(f"no image id can be made from {name!r}; give one with --name")
    return text


def check_id(image: str) -> str:
    """Return the id; raise InputError unless it matches `ID_PATTERN`."""
    if not ID_PATTERN.fullmatch(image):
        raise InputError(f"{image!r} is not an image id: lower-case letters, digits, '.', '_' and '-', 128 at most")
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One band or channel."""

    name: str
    interpretation: str = "undefined"
    """GDAL's colour interpretation: red, green, blue, alpha, gray, palette, undefined, …"""
    nodata: float | int | None = None
    """Value that marks missing pixels of this band; NaN marks them in every float band."""
    unit: str | None = None
    """Unit of the physical value (`value * scale + offset`)."""
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Something a reader found that its user should know."""

    code: str
    """Short constant such as `NO_CRS` or `GAP`."""
    message: str
    """A plain sentence."""
    instances: tuple[str, ...] = ()
    """What it concerns: SOP instance UIDs or file names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """An image's geometry, type and meaning; everything but pixels."""

    id: str
    grid: Grid
    """Grid of the finest level."""
    axes: tuple[str, ...]
    """Axes of the `image` array, such as ("c", "y", "x") or ("t", "z", "y", "x")."""
    shape: tuple[int, ...]
    """Its shape, in the order of `axes`."""
    dtype: str
    """Its numpy dtype name, such as `uint16`."""
    bands: tuple[Band, ...]
    """One per channel; a single one where there is no channel axis."""
    role: Role = "image"
    may_be_invalid: bool = False
    """Whether pixels can be invalid (nodata, alpha, a mask); a pyramid then carries `valid`."""
    palette: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour (r, g, b, a) of each value of a paletted image."""
    window: tuple[tuple[float, float], ...] = ()
    """Default display range (low, high) of each band."""
    value: Mapping[str, Any] = field(default_factory=dict)
    """How stored values become physical: unit, slope, intercept, or lists of them per slice."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind of source has: GCPs, RPCs, tags, time stamps, instance UIDs. JSON values."""
    verdicts: tuple[Verdict, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Source name, size, checksum, driver, options, versions. JSON values."""

    def __post_init__(self) -> None:
        check_id(self.id)
        if len(self.axes) != len(self.shape):
            raise InputError(f"axes {self.axes} do not fit shape {self.shape}")

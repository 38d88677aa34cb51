"""How an image is shown: which bands, which range of values, which colours; decided from what is known about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from bigimage.errors import InputError
from bigimage.model.image import ImageInfo
from tilesrv.colormaps import colormap
from tilesrv.errors import TooLarge
from tilesrv.fields import BandChoice
from tilesrv.render import Style

COLOURS = ("red", "green", "blue")
RAW: Final = "npy"


@dataclass(frozen=True, slots=True)
class DisplayQuery:
    """What a client says about the look of a picture; None leaves it to the image."""

    bands: tuple[BandChoice, ...] | None = None
    rescale: tuple[float, ...] | None = None
    window: tuple[float, ...] | None = None
    colormap: str | None = None
    nodata: float | None = None
    resampling: str | None = None
    t: int = 0


def find_bands(info: ImageInfo, wanted: Sequence[BandChoice]) -> tuple[int, ...]:
    """Bands by number or name, counted from 0. Raises InputError naming every one that does not exist."""
    names = {band.name: position for position, band in reversed(list(enumerate(info.bands)))}
    found: list[int] = []
    unknown: list[str] = []
    for choice in wanted:
        if choice.number is not None and choice.number <= len(info.bands):
            found.append(choice.number - 1)
        elif choice.name in names:
            found.append(names[choice.name])
        else:
            unknown.append(choice.name)
    if unknown:
        shown = ", ".join(band.name[:40] for band in info.bands[:12]) + (", …" if len(info.bands) > 12 else "")
        raise InputError(
            f"image {info.id} has no band {', '.join(unknown)[:100]}; it has {len(info.bands)}, counted from 1: {shown}"
        )
    return tuple(found)


def shown_bands(info: ImageInfo) -> tuple[int, ...]:
    """Bands of the default picture: red, green and blue; else the palette's; else the first 3 or 1.

    An alpha band says what is valid and is never shown itself.
    """
    kinds = [band.interpretation for band in info.bands]
    if all(colour in kinds for colour in COLOURS):
        return tuple(kinds.index(colour) for colour in COLOURS)
    if info.palette is not None:
        return (kinds.index("palette") if "palette" in kinds else 0,)
    visible = [position for position, kind in enumerate(kinds) if kind != "alpha"] or [0]
    return tuple(visible[:3]) if len(visible) >= 3 else (visible[0],)


def choose_bands(info: ImageInfo, query: DisplayQuery, fmt: str, most: int) -> tuple[int, ...]:
    """Bands of one answer. Raises InputError, or TooLarge beyond `most` bands of raw values."""
    if fmt == RAW:
        bands = tuple(range(len(info.bands))) if query.bands is None else find_bands(info, query.bands)
        if len(bands) > most:
            raise TooLarge(f"{len(bands)} bands are more than the {most} of one request; name some with bands=")
        return bands
    bands = shown_bands(info) if query.bands is None else find_bands(info, query.bands)
    if len(bands) not in (1, 3):
        raise InputError(f"a picture shows 1 or 3 bands, not {len(bands)}; npy holds any number")
    return bands


def ranges(info: ImageInfo, query: DisplayQuery, bands: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """Values shown darkest and brightest, for each band. Raises InputError on both `rescale` and `window`."""
    if query.rescale is not None and query.window is not None:
        raise InputError("rescale and window both set the range of values; give one")
    if query.window is not None:
        centre, width = query.window
        return ((centre - width / 2, centre + width / 2),) * len(bands)
    if query.rescale is None:
        return tuple(default_range(info, band) for band in bands)
    pairs = list(zip(query.rescale[::2], query.rescale[1::2], strict=True))
    if len(pairs) not in (1, len(bands)):
        raise InputError(f"rescale takes one range, or one for each of the {len(bands)} bands, not {len(pairs)}")
    return tuple(pairs)


@dataclass(frozen=True, slots=True)
class Look:
    """How an answer is drawn."""

    bands: tuple[int, ...]
    """Counted from 0."""
    style: Style


@lru_cache(maxsize=512)
def _look(info: "_ById", query: DisplayQuery, fmt: str, most: int) -> Look:
    """The look behind `look_of`, remembered."""
    image = info.value
    bands = choose_bands(image, query, fmt, most)
    if fmt == RAW:
        return Look(bands, Style())
    chosen = colormap(query.colormap) if query.colormap is not None else None
    if chosen is not None and len(bands) != 1:
        raise InputError(f"a colour map shows one band, not {len(bands)}; choose it with bands=")
    plain = query.rescale is None and query.window is None
    if chosen is None and image.palette is not None and len(bands) == 1 and plain:
        return Look(bands, Style(colormap=image.palette))
    return Look(bands, Style(rescale=ranges(image, query, bands), colormap=chosen))


@dataclass(frozen=True, slots=True, eq=False)
class _ById:
    """An image's description as a cache key: compared by identity, as its palette cannot be hashed."""

    value: ImageInfo

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.value is self.value


def look_of(info: ImageInfo, query: DisplayQuery, fmt: str, most: int) -> Look:
    """Bands and style of an answer in format `fmt`. Raises InputError, or TooLarge beyond `most` raw bands."""
    return _look(_ById(info), query, fmt, most)


def default_range(info: ImageInfo, band: int) -> tuple[float, float]:
    """The range worked out at ingest, else all values of the type (0 to 1 for floats)."""
    if band < len(info.window):
        return info.window[band]
    kind = np.dtype(info.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return float(limits.min), float(limits.max)
    return 0.0, 1.0

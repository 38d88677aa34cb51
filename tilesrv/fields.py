"""The parameters that several routes share, each declared once."""

from dataclasses import dataclass

from bigimage.errors import InputError
from bigimage.geometry.tiling import TILE_SIZES
from bigimage.resample.warp import METHODS
from tilesrv.colormaps import colormap_names
from tilesrv.params import Param, Table, choice, integer, numbers, size_choice, text
from tilesrv.render import MEDIA_TYPES

TMS = ("native", "WebMercatorQuad")
MAX_T = 1_000_000

IMAGE_ID = text(
    "id", "Id of the image.", pattern=r"[a-z0-9][a-z0-9._\-]{0,127}", longest=128, where="path", example="scene"
)
FORMAT = choice(
    "fmt",
    "`png`, `jpg` and `webp` are pictures; `npy` is a raw array (c, h, w) of the stored type.",
    tuple(MEDIA_TYPES),
    where="path",
)
TIME = integer("t", "Time index, where the image has a time axis.", low=0, high=MAX_T, default=0)
TILE_SIZE = size_choice("tilesize", "Pixels along each side of a tile.", TILE_SIZES, default=256)


@dataclass(frozen=True, slots=True)
class ImagePath:
    """Path of what belongs to one image."""

    id: str


IMAGE = Table((IMAGE_ID,), ImagePath)


@dataclass(frozen=True, slots=True)
class BandChoice:
    """One band as a client names it: by number, counted from 1, or by name."""

    number: int | None
    name: str


def _bands(value: str) -> tuple[BandChoice, ...]:
    """Bands of a comma-separated list."""
    parts = value.split(",")
    if len(parts) > MAX_BANDS:
        raise InputError(f"takes at most {MAX_BANDS} bands, not {len(parts)}")
    found: list[BandChoice] = []
    for part in parts:
        if not part or len(part) > 64:
            raise InputError("takes band numbers from 1, or band names, separated by commas")
        whole = part.isascii() and part.isdigit()
        if whole and not 1 <= int(part) <= MAX_BAND:
            raise InputError(f"bands are counted from 1, so there is no band {part[:20]}")
        found.append(BandChoice(int(part) if whole else None, part))
    return tuple(found)


MAX_BANDS = 256
"""Most bands that a request may list; settings.max_tile_bands is usually lower."""
MAX_BAND = 1_000_000
BANDS: Param[tuple[BandChoice, ...]] = Param(
    name="bands",
    about="Bands in the order wanted, by number (counted from 1) or by name. Default: those shown by default.",
    parse=_bands,
    schema={
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^,]+$"},
        "minItems": 1,
        "maxItems": MAX_BANDS,
    },
    example=["3", "2", "1"],
)


def _ranges(value: str) -> tuple[float, ...]:
    """Pairs of a low and a high value."""
    found = _PAIRS.parse(value)
    if len(found) % 2:
        raise InputError(f"takes pairs low,high; {len(found)} numbers are not pairs")
    return found


def _window(value: str) -> tuple[float, ...]:
    """Centre and width."""
    centre, width = _CENTRE_WIDTH.parse(value)
    if width <= 0:
        raise InputError(f"takes center,width with a width above 0, not {width:g}")
    return centre, width


def _nodata(value: str) -> float:
    """A number, or nan."""
    return float("nan") if value.lower() == "nan" else _ONE.parse(value)[0]


_ONE = numbers("nodata", "", counts=(1,))
_PAIRS = numbers("rescale", "", counts=range(2, 2 * MAX_BANDS + 1), low=-1e38, high=1e38)
_CENTRE_WIDTH = numbers("window", "", counts=(2,), low=-1e38, high=1e38)
RESCALE: Param[tuple[float, ...]] = Param(
    name="rescale",
    about="Values shown darkest and brightest: `low,high` for all bands, or a pair for each; reversed, the picture is "
    "inverted. Default: the 2nd to 98th percentile.",
    parse=_ranges,
    schema=_PAIRS.schema,
    example=[0, 3000],
)
WINDOW: Param[tuple[float, ...]] = Param(
    name="window",
    about="The same as `center,width`, as radiologists say it.",
    parse=_window,
    schema=_CENTRE_WIDTH.schema,
    example=[40, 400],
)
NODATA: Param[float] = Param(
    name="nodata",
    about="A value (or `nan`) that counts as missing, besides what the image marks itself; a pixel is transparent "
    "where every band shown holds it.",
    parse=_nodata,
    schema={"anyOf": [{"type": "number", "minimum": -1e300, "maximum": 1e300}, {"type": "string", "enum": ["nan"]}]},
)
RESAMPLING = choice(
    "resampling",
    "How pixels are made between pixels, where tiles are warped; native tiles hold the pixels as they are. "
    "Default: bilinear, and nearest for labels, which take no other.",
    METHODS,
)
COLORMAP = choice(
    "colormap", "Colours for a single band; a name ending in `_r` runs from the other end.", colormap_names()
)

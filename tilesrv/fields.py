"""The parameters that several routes share, each declared once."""

from dataclasses import dataclass

from bigimage.errors import InputError
from bigimage.geometry.tiling import TILE_SIZES
from tilesrv.params import Param, Table, choice, integer, size_choice, text

TMS = ("native", "WebMercatorQuad")
IMAGE_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "npy": "application/x-npy"}
"""Media type of each picture format."""
MAX_T = 1_000_000

IMAGE_ID = text(
    "id", "Id of the image.", pattern=r"[a-z0-9][a-z0-9._\-]{0,127}", longest=128, where="path", example="scene"
)
FORMAT = choice(
    "fmt",
    "`png`, `jpg` and `webp` are pictures; `npy` is a raw array (c, h, w) of the stored type.",
    tuple(IMAGE_TYPES),
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

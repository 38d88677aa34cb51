"""Patches to pictures: tones or colours of values, then bytes of an image format."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from bigimage.errors import InputError, Unsupported
from bigimage.model.patch import Patch
from tilesrv import png, tones

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int, int]
Format = Literal["png", "jpg", "webp", "npy"]
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/octet-stream",
}
QUALITY: Final = 85
LARGEST: Final[Mapping[str, int]] = {"jpg": 65_500, "webp": 16_383}
"""Longest side that a format can say."""
_PALETTE_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Style:
    """How values become colours.

    Raises
    ------
    InputError
        When a range is not finite, or a colour map is not 256 colours.
    """

    rescale: tuple[tuple[float, float], ...] = ()
    """Values shown black and white, for each band or one for all. The same value twice shows it gray, what is below
    black and what is above white; reversed ones show the picture inverted. Not used with a palette."""
    colormap: Bytes | Mapping[int, Colour] | None = None
    """Of one band: 256 colours (r, g, b, a) for the tones from black to white, shape (256, 4); or a palette, the
    colour of each value as it is, where all other values are transparent."""

    def __post_init__(self) -> None:
        for low, high in self.rescale:
            if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
                raise InputError(f"the range {low:g} to {high:g} cannot be shown; give finite numbers")
        if isinstance(self.colormap, np.ndarray) and self.colormap.shape != (256, 4):
            raise InputError(f"a colour map has 256 colours of 4 numbers, not shape {self.colormap.shape}")


def render(patch: Patch, style: Style, fmt: Format, *, quality: int = QUALITY) -> bytes:
    """Bytes of a picture of one or three bands, or with `npy` the values themselves.

    Pixels that are not valid, and those with NaN in a band shown, are transparent; in `jpg`, which knows no
    transparency, they are black. One band is gray, or coloured by the style's colour map.

    Parameters
    ----------
    patch
        Array (c, h, w); the one slice of a plane (c, 1, h, w) counts as (c, h, w). `npy` is the array as it is.
    style
        Ranges and colours.
    fmt
        A key of `MEDIA_TYPES`.
    quality
        1 to 100, of `jpg` and `webp`; `webp` of a palette is lossless whatever the quality.

    Raises
    ------
    InputError
        When the bands do not fit a picture or the style, or a side is too long for the format.
    Unsupported
        When values of that type cannot be shown.
    """
    if fmt == "npy":
        return _npy(patch.array)
    if max(patch.grid.shape) > LARGEST.get(fmt, max(patch.grid.shape)):
        raise InputError(f"{fmt} holds pictures of at most {LARGEST[fmt]} pixels a side; take png")
    image = picture(patch, style)
    if fmt == "png":
        return png.encode(image)
    if fmt == "jpg":
        return _jpeg(image if style.colormap is None else _over_black(image), quality)
    return _webp(image, quality, lossless=isinstance(style.colormap, Mapping))


def picture(patch: Patch, style: Style) -> Bytes:
    """Picture (h, w, channels) of 8 bits: gray, gray and alpha, RGB or RGBA; alpha only where something is not opaque.

    Errors as for `render`.
    """
    pixels, valid = _planes(patch)
    if style.colormap is None:
        return tones.tones(pixels, _ranges(style, len(pixels)), valid)
    if len(pixels) != 1:
        raise InputError(f"a colour map shows one band, not {len(pixels)}")
    if isinstance(style.colormap, np.ndarray):
        gray = tones.tones(pixels, _ranges(style, 1), None)[..., 0]
        return tones.colours(gray, style.colormap, valid)
    return _paletted(pixels[0], style.colormap, valid)


def _planes(patch: Patch) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Bands (c, h, w) in this machine's byte order, and validity (h, w) where some pixel is not valid."""
    array = patch.array
    if array.dtype.kind not in "biuf":
        raise Unsupported(f"values of type {array.dtype} have no picture; npy holds them as they are")
    pixels = np.ascontiguousarray(array.reshape(-1, *array.shape[-2:]), array.dtype.newbyteorder("="))
    bands = len(pixels) // max(1, math.prod(patch.grid.shape[:-2]))
    if len(pixels) not in (1, 3) or bands != len(pixels):
        raise InputError(f"a picture shows one or three bands of one plane, not an array of shape {array.shape}")
    if pixels.dtype.kind == "b":
        pixels = pixels.view(np.uint8)
    elif pixels.dtype.name == "float16":
        pixels = pixels.astype(np.float32)
    valid = None if patch.valid is None else patch.valid.reshape(pixels.shape[1:])
    if pixels.dtype.kind == "f":
        missing = np.isnan(pixels).any(axis=0)
        valid = ~missing if valid is None else valid & ~missing
    return pixels, None if valid is None or valid.all() else np.ascontiguousarray(valid)


def _ranges(style: Style, bands: int) -> tuple[tuple[float, float], ...]:
    """The range of each band. Raises InputError."""
    if len(style.rescale) not in (1, bands):
        raise InputError(f"{len(style.rescale)} ranges do not fit {bands} bands; give one for all or one for each")
    return style.rescale * bands if len(style.rescale) == 1 else style.rescale


@lru_cache(maxsize=64)
def _palette(items: tuple[tuple[int, Colour], ...]) -> tuple[NDArray[np.int64], Bytes]:
    """Values in order, and their colours with a transparent one behind them."""
    ordered = sorted(items)
    colours = np.array([*(colour for _, colour in ordered), (0, 0, 0, 0)], np.uint8)
    return np.array([value for value, _ in ordered], np.int64), colours


def _paletted(pixels: NDArray[Any], palette: Mapping[int, Colour], valid: NDArray[np.bool_] | None) -> Bytes:
    """Picture of the colours of values (h, w)."""
    if len(palette) >= _PALETTE_LIMIT:
        raise InputError(f"a palette has fewer than {_PALETTE_LIMIT} colours, not {len(palette)}")
    values, colours = _palette(tuple(palette.items()))
    if pixels.dtype.name in tones.TABLED:
        known = values[(values >= 0) & (values < tones.TABLED[pixels.dtype.name])]
        table = np.zeros((tones.TABLED[pixels.dtype.name], 4), np.uint8)
        table[known] = colours[np.searchsorted(values, known)]
        return tones.colours(pixels, table, valid)
    at = np.searchsorted(values, pixels)
    found = np.append(values, 0)[at] == pixels
    index = np.where(found & (at < len(values)), at, len(values)).astype(np.uint16)
    return tones.colours(index, colours, valid)


def _npy(array: NDArray[Any]) -> bytes:
    """The array in numpy's own format."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _over_black(image: Bytes) -> Bytes:
    """Colours laid over black where they are not opaque; alpha stays."""
    if image.shape[2] == 3:
        return image
    shown = image[..., :3].astype(np.uint16) * image[..., 3:]
    return np.concatenate([((shown + 127) // 255).astype(np.uint8), image[..., 3:]], axis=2)


def _jpeg(image: Bytes, quality: int) -> bytes:
    """JPEG by libjpeg-turbo, alpha left out, colour at half resolution as is usual for photographs."""
    if image.shape[2] < 3:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(image[..., :1]), quality, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(image, quality, "RGB" if image.shape[2] == 3 else "RGBA", "420")


def _webp(image: Bytes, quality: int, *, lossless: bool) -> bytes:
    """WebP by Pillow, with the least effort at compression, which takes a third of the time of the usual one."""
    shown = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=quality, method=0, lossless=lossless, exact=lossless)
    return buffer.getvalue()


def warm() -> None:
    """Compile what renders 8- and 16-bit pixels, or load it from numba's cache, before somebody waits for it."""
    tones.warm()
    png.filter_rows()

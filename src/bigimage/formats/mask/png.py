"""Label images as PNG: a palette of up to 255 labels, or 16-bit numbers; names as texts of the file.

Source: the PNG specification (indexed colour, international texts).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from bigimage.errors import Unsupported
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask.labelled import open_raster
from bigimage.formats.mask.streams import (
    check_mask,
    color_of,
    flatten,
    require_known,
    rgb,
    segment_for,
    segment_name,
    slabs,
    values_of,
)
from bigimage.geometry.frame import GeoFrame

NAME = "png"
SUFFIXES = (".png",)
KEEPS = KeepsMask(highest=65535, names=True, colors=True, frames=frozenset({"geo", "pixel"}))
OPTIONS: Mapping[str, str] = {}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PREFIX = "Label "
"""Begins the keyword of a text that holds the name of a value."""
MOST_PIXELS = 1 << 29
"""PNG is written in one piece; what is larger belongs into tiles."""


def sniff(path: Path) -> bool:
    """Whether a file is a PNG."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == SIGNATURE


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write labels as palette indexes, or as 16-bit numbers without colours where values exceed 255.

    Raises Unsupported for volumes, fractions and more than half a billion pixels.
    """
    check_options(NAME, OPTIONS, options)
    check_mask(NAME, KEEPS, mask)
    rows, columns = mask.grid.shape
    if rows * columns > MOST_PIXELS:
        raise Unsupported(f"{rows} × {columns} pixels are too many for one PNG; export geotiff, or a part")
    flat = flatten(mask, report, highest=KEEPS.highest)
    wide = max((s.value for s in flat.mask.segments), default=0) > 255
    whole = np.empty((rows, columns), np.uint16 if wide else np.uint8)
    found: set[tuple[int, int]] = set()
    for first, slab in slabs(flat.mask):
        found |= {(0, value) for value in values_of(slab[0]).tolist()}
        whole[first : first + slab.shape[1]] = slab[0]
    require_known(flat.mask, found)
    image = Image.fromarray(whole)
    if wide:
        report.lose("dropped", "colors", "values above 255 have no palette")
    else:
        image.putpalette(_palette(flat.mask))
    image.save(path, format="PNG", pnginfo=_texts(flat.mask))
    if isinstance(mask.grid.frame, GeoFrame):
        report.lose("dropped", "georeference", "PNG holds no place on a map; it is known by the image alone")
    flat.tell(report)
    report.written = len(flat.mask.segments)


def _palette(mask: MaskStream) -> list[int]:
    """Red, green and blue of each value; black where none has it."""
    colors = {segment.value: rgb(segment.label.color) for segment in mask.segments}
    return [channel for value in range(256) for channel in colors.get(value, (0, 0, 0))]


def _texts(mask: MaskStream) -> PngInfo:
    info = PngInfo()
    for segment in mask.segments:
        info.add_itxt(f"{PREFIX}{segment.value}", segment_name(segment))
    return info


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Labels of a PNG on the pixels of the image; names come from its texts, else from the schema."""
    check_options(NAME, OPTIONS, options)
    labels = open_raster(path, context=context, report=report)
    if labels.layers > 1:
        report.problem("type", "", f"it has {labels.layers} channels; a mask has one, or a palette")
    named = _names(path, report)
    palette = labels.source.info.palette or {}
    segments: list[Segment] = []
    for value in sorted(labels.values[0]):
        own = palette.get(value)
        color = color_of(*own[:3]) if own is not None else None
        segments.append(segment_for(context, value=value, name=named.get(value), color=color))
    report.written = len(segments)
    return labels.stream(tuple(segments))


def _names(path: Path, report: Report) -> dict[int, str]:
    """Value → name of the texts before the pixels."""
    try:
        with Image.open(path) as image:
            texts = {str(key): str(text) for key, text in image.info.items() if isinstance(text, str)}
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        report.note(f"{path.name}: its texts cannot be read ({error})")
        return {}
    names = {key.removeprefix(PREFIX): text for key, text in texts.items() if key.startswith(PREFIX)}
    return {int(key): text for key, text in names.items() if key.isdecimal()}

"""Siemens mosaics: one file holds all slices of a volume as tiles of a square sheet.

The sheet's Image Position (Patient) is that of a single image as large as the sheet, centred on the slice; the first
slice lies half of the difference further in. How many tiles there are, and which way slices advance, stands only in
Siemens' private attributes: the CSA header, a list of named text values in two generations of layout. The layout was
read off real files; dcm2niix's conversions of them are the judge in the tests.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bigimage.geometry.dicom import Plane, directions, normal, vector
from bigimage.sources.dicom.elements import Elements

MOST_TAGS = 512
MOST_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class Mosaic:
    """How a sheet is cut."""

    tiles: int
    """Number of slices."""
    across: int
    """Tiles in a row of the sheet, and rows of tiles."""
    along: tuple[float, float, float] | None
    """Direction from one slice to the next; None when the file does not say."""


def find_mosaic(elements: Elements, image_type: Sequence[str], rows: int, columns: int) -> Mosaic | None:
    """How the sheet of a file is cut; None for a file that is no mosaic, or does not say how many tiles it has."""
    if "MOSAIC" not in image_type:
        return None
    csa = read_csa(elements.binary("SiemensCSAImage") or b"")
    tiles = elements.integer("SiemensMosaicTiles") or _whole(csa.get("NumberOfImagesInMosaic", ()))
    if not tiles or tiles < 1:
        return None
    across = int(np.ceil(np.sqrt(tiles)))
    if rows % across or columns % across:
        return None
    along = csa.get("SliceNormalVector", ())
    try:
        x, y, z = (float(part) for part in along[:3])
    except ValueError:
        return Mosaic(tiles, across, None)
    return Mosaic(tiles, across, (x, y, z))


def tile_planes(sheet: Plane, mosaic: Mosaic, shape: tuple[int, int], distance: float) -> list[Plane]:
    """Plane of each tile, given the plane and the (rows, columns) of the whole sheet and the distance of slices."""
    row, column = directions(sheet.orientation)
    down, across = column * sheet.spacing[0], row * sheet.spacing[1]
    part_rows, part_columns = shape[0] // mosaic.across, shape[1] // mosaic.across
    first = np.asarray(sheet.position) + (shape[0] - part_rows) / 2 * down + (shape[1] - part_columns) / 2 * across
    axis = normal(sheet.orientation)
    if mosaic.along is not None and float(axis @ np.asarray(mosaic.along)) < 0:
        axis = -axis
    return [replace(sheet, position=vector(first + k * distance * axis)) for k in range(mosaic.tiles)]


def read_csa(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Named values of a Siemens CSA header; empty where it is none or is damaged."""
    try:
        return dict(_csa_tags(data))
    except (struct.error, UnicodeDecodeError):
        return {}


def _csa_tags(data: bytes) -> list[tuple[str, tuple[str, ...]]]:
    second = data.startswith(b"SV10")
    at = 8 if second else 0
    (count,) = struct.unpack_from("<I", data, at)
    at += 8
    excess: int | None = None
    tags: list[tuple[str, tuple[str, ...]]] = []
    for _ in range(min(count, MOST_TAGS)):
        name, _, _, _, items, _ = struct.unpack_from("<64si4siii", data, at)
        at += 84
        # lengths in the older layout are too large by the number of items of the very first tag
        excess = items if excess is None else excess
        values: list[str] = []
        for _ in range(min(items, MOST_ITEMS)):
            first, other, _, _ = struct.unpack_from("<4i", data, at)
            length = other if second else first - excess
            at += 16
            if length < 0 or at + length > len(data):
                break
            text = data[at : at + length].split(b"\0")[0].decode("latin-1").strip()
            if text:
                values.append(text)
            at += (length + 3) // 4 * 4
        tags.append((name.split(b"\0")[0].decode("latin-1"), tuple(values)))
    return tags


def _whole(values: Sequence[str]) -> int | None:
    try:
        return int(values[0])
    except (IndexError, ValueError):
        return None

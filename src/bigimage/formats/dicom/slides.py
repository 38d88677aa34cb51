"""Segmentations of whole slides: their frames are tiles of one large matrix of pixels, placed on the glass.

Sources: DICOM PS3.3 C.8.20.2 (segmentation image), C.8.12.4 and C.8.12.14 (whole slides, their coordinates),
C.7.6.17.3 (order of the frames of TILED_FULL), C.8.12.6.1 (position of a tile).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from bigimage.errors import DataError, Unsupported
from bigimage.formats.dicom.encode import decimals, element, sequence
from bigimage.formats.dicom.terms import uid_of
from bigimage.formats.dicom.walk import Values
from bigimage.formats.door import MaskStream
from bigimage.formats.mask.streams import slabs
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import orientation_fault
from bigimage.geometry.frame import PixelFrame
from bigimage.model.image import ImageInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE = 512
"""Rows and columns of the tiles that are written."""
THIN = 0.001
"""Millimetres of a focal plane where nobody measured it: segmentations must state one."""
PLACE_GROUP, COLUMN, ROW = 0x0048021A, 0x0048021E, 0x0048021F
OFFSETS = (0x0040072A, 0x0040073A, 0x0040074A)
"""Position of a tile along x, y and z of the slide."""
MOST_TILES = 1 << 24


@dataclass(frozen=True, slots=True)
class Glass:
    """Where the pixels of a slide lie on its glass."""

    shape: tuple[int, int]
    """Rows and columns of the whole."""
    origin: tuple[float, float]
    """Millimetres (x, y) of the centre of the first pixel."""
    orientation: tuple[float, ...]
    """Direction cosines of a row and of a column."""
    spacing: tuple[float, float]
    """Millimetres per pixel along (x, y) of the matrix."""
    thickness: float
    """Millimetres of the focal plane."""
    frame: str
    """UID of the frame of reference."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of the tiles that are written."""
        return min(TILE, self.shape[0]), min(TILE, self.shape[1])

    def corner(self, k: int) -> tuple[int, int]:
        """First row and column of a tile, counted from 0 along the rows."""
        across = -(-self.shape[1] // self.tile[1])
        return k // across * self.tile[0], k % across * self.tile[1]

    def position(self, row: int, column: int) -> tuple[float, float, float]:
        """Place on the glass of the centre of a pixel, millimetres."""
        along, down = np.reshape(self.orientation, (2, 3))
        at = np.array([*self.origin, 0.0]) + column * self.spacing[0] * along + row * self.spacing[1] * down
        x, y, z = (float(v) for v in at)
        return x, y, z


def glass_of(info: ImageInfo) -> Glass | None:
    """Where a slide's pixels lie on its glass; None for other images, and slides whose files do not say."""
    slide: Any = info.extra.get("slide")
    frame = info.grid.frame
    if not isinstance(slide, dict) or not isinstance(frame, PixelFrame) or frame.spacing is None:
        return None
    told = cast("dict[str, Any]", slide)
    origin = [float(v) for v in told.get("origin") or () if v is not None]
    orientation = tuple(told.get("orientation") or ())
    if len(origin) != 2 or orientation_fault(orientation):
        return None
    rows, columns = info.grid.shape
    thickness = float(told.get("thickness") or THIN)
    uid = str(info.extra.get("frame_of_reference") or uid_of("frame", frame))
    return Glass((rows, columns), (origin[0], origin[1]), orientation, frame.spacing, thickness, uid)


def tiles(mask: MaskStream, glass: Glass) -> "Iterator[tuple[int, NDArray[Any]]]":
    """(tile, its pixels in all layers (layer, rows, columns)) of those with a pixel set; beyond the edge it is 0."""
    rows, columns = glass.tile
    k = 0
    for _, slab in slabs(mask, rows=rows):
        for left in range(0, glass.shape[1], columns):
            part = slab[:, :, left : left + columns]
            if part.any():
                out = np.zeros((len(part), rows, columns), part.dtype)
                out[:, : part.shape[1], : part.shape[2]] = part
                yield k, out
            k += 1


def describe(data: Dataset, glass: Glass) -> None:
    """What the header of a segmentation says of the whole matrix."""
    data.FrameOfReferenceUID = glass.frame
    data.PositionReferenceIndicator = "SLIDE_CORNER"
    data.PatientOrientation = ""
    data.DimensionOrganizationType = "TILED_SPARSE"
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = glass.shape
    origin = Dataset()
    x, y = decimals(glass.origin)
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = cast("Any", x), cast("Any", y)
    data.TotalPixelMatrixOriginSequence = DicomSequence([origin])
    data.ImageOrientationSlide = cast("Any", decimals(glass.orientation))


def place(glass: Glass, k: int) -> bytes:
    """Plane position group of a tile."""
    row, column = glass.corner(k)
    offsets = decimals(glass.position(row, column))
    parts = [element(tag, "DS", text.encode()) for tag, text in zip(OFFSETS, offsets, strict=True)]
    parts += [element(COLUMN, "SL", struct.pack("<l", column + 1)), element(ROW, "SL", struct.pack("<l", row + 1))]
    return sequence(PLACE_GROUP, [b"".join(parts)])


def implied(data: Dataset) -> tuple[list[Values], list[int]] | None:
    """Frames of a file that are tiles in order, each with its place, and their segments; None for other files.

    Such a file need not describe its frames: all tiles of the first segment, row by row, then those of the next one.
    The segments are empty for label maps. Raises DataError.
    """
    if data.get("DimensionOrganizationType") != "TILED_FULL":
        return None
    whole, rows, columns = matrix_of(data), int(data.Rows), int(data.Columns)
    if whole is None:
        raise DataError("the file has tiles, and does not state of how large a matrix")
    down, across = -(-whole[0] // rows), -(-whole[1] // columns)
    count = int(data.get("NumberOfFrames") or 1)
    labels = data.get("SegmentationType") == "LABELMAP"
    numbers = [] if labels else [int(item.SegmentNumber) for item in data.get("SegmentSequence") or []]
    if count > MOST_TILES or count != down * across * (1 if labels else len(numbers)):
        raise DataError(f"{count} frames are not the {down} × {across} tiles of each segment that the file promises")
    places = [(r * rows + 1, c * columns + 1) for r in range(down) for c in range(across)]
    frames: list[Values] = [
        {PLACE_GROUP: [{ROW: struct.pack("<l", row), COLUMN: struct.pack("<l", column)}]}
        for _ in range(count // len(places))
        for row, column in places
    ]
    return frames, [number for number in numbers for _ in places]


def matrix_of(data: Dataset) -> tuple[int, int] | None:
    """Rows and columns of the matrix whose tiles a file holds; None for a file without tiles."""
    rows, columns = data.get("TotalPixelMatrixRows"), data.get("TotalPixelMatrixColumns")
    if not isinstance(rows, int) or not isinstance(columns, int) or min(rows, columns) < 1:
        return None
    return rows, columns


def numbered(frames: Sequence[Values], shape: tuple[int, int], whole: tuple[int, int]) -> list[int]:
    """Tile that each frame is, counted along the rows. Raises DataError, Unsupported for tiles that overlap."""
    rows, columns = shape
    across = -(-whole[1] // columns)
    found: list[int] = []
    for frame in frames:
        group = frame.get(PLACE_GROUP)
        at = group[0] if isinstance(group, list) and group else {}
        raw = [at.get(ROW), at.get(COLUMN)]
        corner = [struct.unpack("<l", v)[0] - 1 for v in raw if isinstance(v, bytes) and len(v) == 4]
        if len(corner) != 2:
            raise DataError("a tile does not say where it lies in the matrix of pixels")
        row, column = corner
        if row % rows or column % columns:
            raise Unsupported(f"a tile at row {row + 1}, column {column + 1} overlaps its neighbours; it is not read")
        if not (0 <= row < whole[0] and 0 <= column < whole[1]):
            raise DataError(
                f"a tile at row {row + 1}, column {column + 1} lies outside of {whole[0]} × {whole[1]} pixels"
            )
        found.append(row // rows * across + column // columns)
    return found


def read_tiles(layer: int, box: IndexBox, *, stream: MaskStream, shape: tuple[int, int], across: int) -> "NDArray[Any]":
    """Pixels of a box of the matrix, of a stream whose slices are its tiles."""
    out = np.zeros(box.shape, stream.dtype)
    rows, columns = shape
    for down in range(box.start[0] // rows, -(-box.stop[0] // rows)):
        for right in range(box.start[1] // columns, -(-box.stop[1] // columns)):
            corner = (down * rows, right * columns)
            part = IndexBox(corner, (corner[0] + rows, corner[1] + columns)).intersect(box)
            if not all(part.shape):
                continue
            inner = part.shift([-v for v in corner])
            k = down * across + right
            pixels = stream.read(layer, IndexBox((k, *inner.start), (k + 1, *inner.stop)))[0]
            out[part.shift([-v for v in box.start]).slices] = pixels
    return out

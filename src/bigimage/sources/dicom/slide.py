"""Whole slides: one raster from the tiles of a multi-frame file, or of several that were cut from one.

The finest level of a series is the image; coarser ones, labels and overviews are left out and told.
Sources: DICOM PS3.3 C.8.12.4 (whole slide microscopy image), C.7.6.17.3 (order of the frames of TILED_FULL).
"""

import threading
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from bigimage.errors import DataError, InputError, OutOfBounds, Undecodable
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import spacing_fault
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo, Verdict
from bigimage.model.patch import Patch
from bigimage.sources.dicom.elements import Elements
from bigimage.sources.dicom.frames import GROUP_TAGS
from bigimage.sources.dicom.header import FileHeader, Layout
from bigimage.sources.dicom.info import COLOURS, colour_window
from bigimage.sources.dicom.pixels import PlaneReader, stored_dtype, undecodable
from bigimage.sources.dicom.tags import EXPORT
from bigimage.sources.dicom.verdicts import Code, Refusal, verdict
from bigimage.sources.door import Layout as ReadLayout

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
MOST_TILES = 1 << 24
"""Tiles of one slide beyond which a header is taken to be damaged."""


@dataclass(frozen=True, slots=True)
class SlideFile:
    """One file of a slide."""

    header: FileHeader
    layout: Layout

    @property
    def instance(self) -> str:
        """SOP instance UID; the file's name where it has none."""
        return self.header.elements.text("SOPInstanceUID") or self.header.path.name

    @property
    def kind(self) -> str:
        """VOLUME, LABEL, OVERVIEW or THUMBNAIL."""
        values = self.header.elements.texts("ImageType")
        return values[2].upper() if len(values) > 2 else "VOLUME"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole level."""
        top = self.header.elements
        rows, columns = top.integer("TotalPixelMatrixRows"), top.integer("TotalPixelMatrixColumns")
        return rows or self.layout.rows, columns or self.layout.columns


@dataclass(frozen=True, slots=True)
class Slide:
    """One level of a slide: where each tile is."""

    files: tuple[SlideFile, ...]
    size: tuple[int, int]
    tile: tuple[int, int]
    channels: int
    """Colours, or optical paths."""
    paths: int
    places: "np.ndarray[Any, np.dtype[np.int32]]"
    """(optical path, tile row, tile column) → number of the frame in the slide; -1 where there is none."""
    starts: tuple[int, ...]
    """Number of the first frame of each file."""
    verdicts: tuple[Verdict, ...]


def find_slides(files: Sequence[SlideFile]) -> tuple[list[Slide], list[tuple[SlideFile, Code, str]]]:
    """The finest level of every series, and why the rest is not used. In an order that depends on headers only."""
    series: dict[tuple[str, ...], list[SlideFile]] = {}
    for file in sorted(files, key=lambda f: (f.header.elements.text("SeriesInstanceUID") or "", f.instance)):
        top = file.header.elements
        key = tuple(top.text(word) or "" for word in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
        series.setdefault(key, []).append(file)
    slides: list[Slide] = []
    refused: list[tuple[SlideFile, Code, str]] = []
    for group in series.values():
        levels: dict[str, list[SlideFile]] = {}
        for file in (file for file in group if file.kind == "VOLUME"):
            levels.setdefault(file.header.elements.text("ConcatenationUID") or file.instance, []).append(file)
        if not levels:
            reason = "shows the label or an overview of a slide, not the slide"
            refused += [(file, Code.SLIDE_PARTS, reason) for file in group]
            continue
        finest = max(file.size[0] * file.size[1] for files in levels.values() for file in files)
        largest = [files for files in levels.values() if files[0].size[0] * files[0].size[1] == finest]
        used = [file for files in largest for file in files]
        for level in largest:
            try:
                slides.append(_slide(level, _left_out(group, used)))
            except Refusal as refusal:
                refused += [(file, refusal.code, refusal.reason) for file in level]
    return slides, refused


def _left_out(group: Iterable[SlideFile], used: Sequence[SlideFile]) -> list[Verdict]:
    """What of a series is not used."""
    rest = [file for file in group if file not in used]
    coarser = [file.instance for file in rest if file.kind == "VOLUME"]
    others = [file for file in rest if file.kind != "VOLUME"]
    found: list[Verdict] = []
    if coarser:
        many = "1 coarser level of the slide is" if len(coarser) == 1 else f"{len(coarser)} coarser levels are"
        message = f"{many} left out; the pyramid makes its own"
        found.append(verdict(Code.SLIDE_LEVELS, message, coarser))
    if others:
        kinds = ", ".join(sorted({file.kind.lower() for file in others}))
        message = f"what else belongs to the slide is left out ({kinds}); labels may name the patient"
        found.append(verdict(Code.SLIDE_PARTS, message, [file.instance for file in others]))
    return found


def _slide(files: Sequence[SlideFile], verdicts: list[Verdict]) -> Slide:
    """One level. Raises Refusal where its tiles do not fit each other."""
    ordered = sorted(files, key=lambda f: f.header.elements.integer("ConcatenationFrameOffsetNumber") or 0)
    first = ordered[0]
    layout, size = first.layout, first.size
    if len({(f.layout.rows, f.layout.columns, f.layout.samples) for f in files}) > 1:
        raise Refusal(Code.DAMAGED, "belongs to a slide whose files have tiles of different sizes")
    tile = layout.rows, layout.columns
    grid = -(-size[0] // tile[0]), -(-size[1] // tile[1])
    paths = max(1, first.header.elements.integer("NumberOfOpticalPaths") or 1)
    if grid[0] * grid[1] * paths > MOST_TILES:
        raise Refusal(Code.DAMAGED, f"promises a slide of {grid[0]}×{grid[1]} tiles")
    if paths > 1 and layout.samples > 1:
        raise Refusal(Code.UNSUPPORTED_PIXELS, "has several optical paths in colour, which is not read")
    starts = [0, *accumulate(file.layout.frames for file in ordered[:-1])]
    planes = first.header.elements.integer("TotalPixelMatrixFocalPlanes") or 1
    if planes > 1:
        verdicts.append(verdict(Code.FOCAL_PLANES, f"the slide has {planes} focal planes; the first is read"))
    total = starts[-1] + ordered[-1].layout.frames
    positions = [place for file in ordered for place in _stated_places(file)]
    places = np.full((paths, *grid), -1, dtype=np.int32)
    if positions:
        _put_sparse(places, positions, tile)
    else:
        _put_full(places, total, planes)
    if (places < 0).any():
        missing = int((places < 0).sum())
        verdicts.append(verdict(Code.INCOMPLETE, f"{missing} of {places.size} tiles are not stored; they are invalid"))
    channels = layout.samples if paths == 1 else paths
    return Slide(tuple(ordered), size, tile, channels, paths, places, tuple(starts), tuple(verdicts))


def without(slide: Slide, lost: Container[tuple[Path, int]]) -> Slide | None:
    """A slide without some frames (file, number in it), whose tiles become invalid; None where nothing is left."""
    numbers = [
        start + k
        for file, start in zip(slide.files, slide.starts, strict=True)
        for k in range(file.layout.frames)
        if (file.layout.path, k) in lost
    ]
    places = np.where(np.isin(slide.places, numbers), np.int32(-1), slide.places)
    return replace(slide, places=places) if (places >= 0).any() else None


def _put_full(places: "np.ndarray[Any, np.dtype[np.int32]]", total: int, planes: int) -> None:
    """TILED_FULL: by optical path, then focal plane, then row, then column."""
    paths, rows, columns = places.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    for path in range(paths):
        at = number + path * planes * rows * columns
        places[path] = np.where(at < total, at, -1)


def _stated_places(file: SlideFile) -> list[tuple[int, int, str]]:
    """(row, column, optical path) of each frame, from 1, where the file states them."""
    groups = file.header.elements.items("PerFrameFunctionalGroupsSequence", only=GROUP_TAGS)
    found: list[tuple[int, int, str]] = []
    for group in groups[: file.layout.frames]:
        place = group.item("PlanePositionSlideSequence")
        path = group.item("OpticalPathIdentificationSequence")
        row = place.integer("RowPositionInTotalImagePixelMatrix") if place else None
        column = place.integer("ColumnPositionInTotalImagePixelMatrix") if place else None
        if row is None or column is None:
            return []
        found.append((row, column, (path.text("OpticalPathIdentifier") if path else None) or "1"))
    return found


def _put_sparse(
    places: "np.ndarray[Any, np.dtype[np.int32]]", positions: Sequence[tuple[int, int, str]], tile: tuple[int, int]
) -> None:
    """TILED_SPARSE: by the stated place; the first frame at a place counts, which is that of the first focal plane."""
    names = sorted({name for _, _, name in positions})
    for number, (row, column, name) in enumerate(positions):
        y, x = (row - 1) // tile[0], (column - 1) // tile[1]
        if (row - 1) % tile[0] or (column - 1) % tile[1]:
            raise Refusal(Code.UNSUPPORTED_PIXELS, "is a slide whose tiles overlap, which is not read")
        path = names.index(name)
        if not (0 <= y < places.shape[1] and 0 <= x < places.shape[2] and path < places.shape[0]):
            raise Refusal(Code.DAMAGED, f"has a tile at row {row}, column {column}, outside of its slide")
        if places[path, y, x] < 0:
            places[path, y, x] = number


class SlideSource:
    """One whole slide, open for reading; see `bigimage.sources.door.Source`."""

    def __init__(self, slide: Slide, info: ImageInfo) -> None:
        self._slide = slide
        self._info = info
        self._planes = PlaneReader()
        self._lock = threading.Lock()
        self._damaged: tuple[tuple[Path, int, str], ...] | None = None
        self._closed = False

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning."""
        return self._info

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the level that is read."""
        return tuple(file.header.path for file in self._slide.files)

    @property
    def layout(self) -> ReadLayout:
        """Tiles are decoded one by one."""
        return "tiles"

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box; array (c, y, x). See `Source.read`."""
        if self._closed:
            raise InputError(f"{self._info.id} was closed")
        count = self._slide.channels
        if bands is not None and (not bands or any(not 0 <= band < count for band in bands)):
            raise OutOfBounds(f"{self._info.id} has bands 0 to {count - 1}, not {list(bands)}")
        if t != 0:
            raise OutOfBounds(f"{self._info.id} has one time only, not a time {t}")
        grid = self._info.grid.crop(box)
        array = np.zeros((count, *box.shape), dtype=self._info.dtype)
        known = np.zeros(box.shape, dtype=np.bool_)
        for y, x in box.blocks(self._slide.tile):
            self._fill(box, (y, x), array, known)
        if bands is not None:
            array = np.ascontiguousarray(array[list(bands)])
        return Patch(array, grid, None if known.all() else known)

    def damaged(self) -> tuple[tuple[Path, int, str], ...]:
        """Tiles that cannot be decoded: file, number of the frame in it, reason. All are tried, once."""
        with self._lock:
            if self._damaged is None:
                files = self._slide.files
                self._damaged = undecodable((file.layout, k) for file in files for k in range(file.layout.frames))
            return self._damaged

    def close(self) -> None:
        """Let go of decoded tiles; no file stays open between reads."""
        self._closed = True
        self._planes.clear()

    def _fill(
        self, box: IndexBox, index: tuple[int, ...], array: "np.ndarray[Any, Any]", known: "np.ndarray[Any, Any]"
    ) -> None:
        """Paint the part of one tile, of every optical path, that lies in a box."""
        slide = self._slide
        start = tuple(i * n for i, n in zip(index, slide.tile, strict=True))
        part = IndexBox(start, tuple(a + n for a, n in zip(start, slide.tile, strict=True))).intersect(box)
        inside = part.shift([-a for a in start])
        target = part.shift([-a for a in box.start]).slices
        frames = [int(slide.places[path, index[0], index[1]]) for path in range(slide.paths)]
        for path, number in enumerate(frames):
            if number < 0:
                continue
            at = max(k for k, first in enumerate(slide.starts) if first <= number)
            layout = slide.files[at].layout
            pixels = np.empty((layout.samples, *part.shape), dtype=stored_dtype(layout))
            try:
                self._planes.read_layout(layout, number - slide.starts[at], inside, pixels)
            except Undecodable as error:
                raise Undecodable(f"tile {index} of slide {self._info.id}: {error}", self.damaged()) from error
            except DataError as error:
                raise DataError(f"tile {index} of slide {self._info.id}: {error}") from error
            if slide.paths == 1:
                array[(slice(None), *target)] = pixels
            else:
                array[(path, *target)] = pixels[0]
        known[target] = all(number >= 0 for number in frames)


def describe_slide(slide: Slide, image: str) -> ImageInfo:
    """Description of a slide: a 2-D raster in pixels, with their size where the file knows it."""
    first = slide.files[0]
    top = first.header.elements
    verdicts = list(slide.verdicts)
    spacing = _spacing(top, verdicts)
    colour = first.layout.samples == 3
    names = COLOURS if colour else tuple(f"path {k + 1}" for k in range(slide.channels))
    origin = top.item("TotalPixelMatrixOriginSequence")
    offsets = [origin.number(f"{axis}OffsetInSlideCoordinateSystem") for axis in "XY"] if origin else [None, None]
    if top.text("LossyImageCompression") == "01":
        verdicts.append(verdict(Code.LOSSY, "the pixels were once compressed with loss"))
    return ImageInfo(
        id=image,
        grid=Grid.pixels(slide.size, image, spacing=spacing),
        axes=("c", "y", "x"),
        shape=(slide.channels, *slide.size),
        dtype=stored_dtype(first.layout).name,
        bands=tuple(Band(name=name, interpretation=name if colour else "gray") for name in names),
        may_be_invalid=bool((slide.places < 0).any()),
        window=colour_window(first.layout, stored_dtype(first.layout)) if colour else (),
        extra={
            "modality": top.text("Modality"),
            "sop_class": top.text("SOPClassUID"),
            "study": top.text("StudyInstanceUID"),
            "series": top.text("SeriesInstanceUID"),
            "series_number": top.integer("SeriesNumber"),
            "frame_of_reference": top.text("FrameOfReferenceUID"),
            "instances": [[[file.instance, None] for file in slide.files]],
            "photometric": first.layout.photometric,
            "slide": {
                "origin": offsets,
                "orientation": list(top.numbers("ImageOrientationSlide")),
                "thickness": _thickness(top),
            },
            "export": {word: text for word in EXPORT if (text := "\\".join(top.texts(word)))},
        },
        verdicts=tuple(verdicts),
        provenance={
            "driver": "DICOM",
            "files": len(slide.files),
            "transfer_syntaxes": sorted({file.layout.syntax for file in slide.files}),
            "pydicom": pydicom.__version__,
            "options": {},
        },
    )


def _measures(top: Elements) -> Elements | None:
    """Pixel measures that all frames share."""
    shared = top.items("SharedFunctionalGroupsSequence", only=GROUP_TAGS)
    return shared[0].item("PixelMeasuresSequence") if shared else None


def _thickness(top: Elements) -> float | None:
    """Millimetres of the focal plane; None where the file does not say."""
    measures = _measures(top)
    return measures.number("SliceThickness") if measures else None


def _spacing(top: Elements, verdicts: list[Verdict]) -> tuple[float, float] | None:
    """Millimetres per pixel along (x, y); None where the file does not say."""
    measures = _measures(top)
    spacing = measures.numbers("PixelSpacing") if measures else ()
    if spacing and not spacing_fault(spacing):
        return spacing[1], spacing[0]
    verdicts.append(verdict(Code.NO_SPACING, "the file does not say how large a pixel is"))
    return None

"""Reading DICOM segmentations of every type, by any tool, onto a grid of their own.

Sources: DICOM PS3.3 A.51, C.8.20, C.7.6.16; Supplement 243 (label maps).
"""

import struct
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from bigimage.errors import DataError, NotFound, Unsupported
from bigimage.formats.dicom.pixels import FramePixels
from bigimage.formats.dicom.planes import Placed, Places, place_frames, place_tiles
from bigimage.formats.dicom.segments import read_segments
from bigimage.formats.dicom.slides import COLUMN, PLACE_GROUP, ROW, implied, matrix_of, read_tiles
from bigimage.formats.dicom.source import PYDICOM_ERRORS, check_reference, frame_of, parsing
from bigimage.formats.dicom.walk import Values, Walker
from bigimage.formats.door import Context, MaskStream, Report, Segment
from bigimage.formats.mask.labelled import check_place
from bigimage.formats.mask.streams import values_of
from bigimage.geometry.box import IndexBox
from bigimage.sources.dicom.silence import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
PER_FRAME = 0x52009230
PIXELS = 0x7FE00010
WANTED = frozenset(
    (
        *(0x00209113, 0x00200032, 0x00209116, 0x00200037, 0x00289110, 0x00280030),
        *(0x0062000A, 0x0062000B, 0x00089124, 0x00082112, 0x00081155),
        *(PLACE_GROUP, COLUMN, ROW),
    )
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A segmentation file whose header was read."""

    path: Path
    file: IO[bytes]
    data: Dataset
    """What stands before the functional groups of frames."""
    frames: Sequence[Values]
    offset: int
    """Where the value of the pixel data begins."""
    length: int
    """Its stated length."""
    syntax: str
    swapped: bool
    """Whether bytes of its words are swapped, as in big endian files."""
    numbers: Sequence[int] | None = None
    """Segment of each frame where the order of frames tells it."""


def type_of(path: Path) -> str | None:
    """Segmentation type of a file; None for one that is no segmentation."""
    if not path.is_file():
        return None
    try:
        with quiet():
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SegmentationType"])
            # values are decoded when they are asked for
            sop_class, kind = str(found.get("SOPClassUID")), str(found.get("SegmentationType") or "BINARY")
    except (*PYDICOM_ERRORS, OSError):
        return None
    return kind if sop_class in CLASSES else None


def read_file(path: Path, *, expected: str, context: Context, report: Report) -> MaskStream:
    """The stream of a segmentation. Raises NotFound, DataError where it cannot be read at all, Unsupported."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    with parsing(path), ExitStack() as on_failure:
        file, syntax, swapped = _plain(path)
        on_failure.callback(file.close)
        opened = _open(path, file, syntax, swapped=swapped)
        stream = _stream(opened, expected=expected, context=context, report=report)
        on_failure.pop_all()
    weakref.finalize(stream, file.close)
    return stream


def _stream(opened: Opened, *, expected: str, context: Context, report: Report) -> MaskStream:
    """The stream of a file whose header was read."""
    data, path = opened.data, opened.path
    kind = str(data.get("SegmentationType") or "")
    if kind != expected:
        raise DataError(f"{path.name} is a segmentation of type {kind or 'unknown'}, not {expected}")
    segments = read_segments(data.get("SegmentSequence") or [], context=context, report=report)
    if not segments:
        raise DataError(f"{path.name} describes no segment")
    frame = frame_of(_text(data, "FrameOfReferenceUID"), info=context.info, report=report, what=path.name)
    check_reference(data, context=context, report=report, instances=_instances(opened))
    shared: Any = data.get("SharedFunctionalGroupsSequence") or [Dataset()]
    shape = (_whole(data, "Rows"), _whole(data, "Columns"))
    whole = matrix_of(data)
    if context.grid.ndim == 2:
        placed = place_tiles(opened.frames, shape, whole, context)
    else:
        placed = place_frames(opened.frames, shared[0], shape=shape, frame=frame, context=context, report=report)
    check_place(placed.grid, context, report)
    pixels = FramePixels(
        *(path, opened.file, data),
        offset=opened.offset,
        length=opened.length,
        syntax=opened.syntax,
        swapped=opened.swapped,
    )
    pixels.check(len(opened.frames))
    if kind == "LABELMAP":
        stream = _label_map(placed, segments, pixels, report)
    else:
        stream = _by_segment(opened, placed, segments, pixels, shared[0], report)
    stream = replace(stream, identity=_text(data, "SOPInstanceUID") or "")
    return stream if placed.grid.ndim == 3 else _flat(stream, shape)


def _flat(stream: MaskStream, shape: tuple[int, int]) -> MaskStream:
    """A stream whose slices are the tiles of a flat image as one of that image; the tile may be all of it."""
    across = -(-stream.grid.shape[1] // shape[1])

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        return read_tiles(layer, box, stream=stream, shape=shape, across=across)

    return replace(stream, read=read, block=shape)


def _open(path: Path, file: IO[bytes], syntax: str, *, swapped: bool) -> Opened:
    """Header, frames and place of the pixels. Raises DataError."""
    try:
        data = read_partial(cast("Any", file), stop_when=lambda tag, vr, length: tag >= PER_FRAME)
        if str(data.get("SOPClassUID")) not in CLASSES:
            raise DataError(f"{path.name} is no DICOM segmentation, but {UID(str(data.get('SOPClassUID'))).name}")
        walker = Walker(file, implicit=syntax == ImplicitVRLittleEndian)
        frames: list[Values] = []
        while True:
            tag, _, length = walker.head()
            if tag == PER_FRAME:
                frames = list(walker.items(length, WANTED))
            elif tag == PIXELS:
                break
            elif length == 0xFFFFFFFF:
                for _ in walker.items(length, frozenset()):
                    pass
            else:
                file.seek(length, 1)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    count = int(data.get("NumberOfFrames") or 1)
    ordered = None if frames else implied(data)
    if ordered is not None:
        frames = ordered[0]
    if len(frames) != count or not frames:
        raise DataError(f"{path.name} states {count} frames and describes {len(frames)}; the file is damaged")
    numbers = ordered[1] if ordered is not None else None
    return Opened(path, file, data, frames, file.tell(), length, syntax, swapped, numbers)


def _plain(path: Path) -> tuple[IO[bytes], str, bool]:
    """The file in little endian and not deflated as a whole, its transfer syntax, and whether words stay swapped."""
    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID") or ImplicitVRLittleEndian)
    if syntax not in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        return path.open("rb"), syntax, False
    whole = pydicom.dcmread(path)
    swapped = syntax == ExplicitVRBigEndian and whole["PixelData"].VR == "OW"
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the stream that reads it
    pydicom.dcmwrite(copy, whole, implicit_vr=False, little_endian=True)
    copy.seek(0)
    return cast("IO[bytes]", copy), str(ExplicitVRLittleEndian), swapped


def _text(data: Dataset, keyword: str) -> str | None:
    value = data.get(keyword)
    return str(value) if value else None


def _whole(data: Dataset, keyword: str) -> int:
    """A positive whole number. Raises DataError."""
    value = data.get(keyword)
    if not isinstance(value, int) or value < 1:
        raise DataError(f"the file states {keyword} {value!r}, which is no positive whole number")
    return value


def _instances(opened: Opened) -> set[str]:
    """SOP instance UIDs that a segmentation refers to, as a whole or by its frames."""
    found: set[str] = set()
    for series in opened.data.get("ReferencedSeriesSequence") or []:
        for item in series.get("ReferencedInstanceSequence") or []:
            found.add(str(item.get("ReferencedSOPInstanceUID")))
    for frame in opened.frames if not found else ():
        for derivation in items_of(frame, 0x00089124):
            for item in items_of(derivation, 0x00082112):
                found.add(text_of(item, 0x00081155))
    return found - {"", "None"}


def items_of(values: Values, tag: int) -> list[Values]:
    """Items of a sequence; none where there is none."""
    found = values.get(tag)
    return found if isinstance(found, list) else []


def text_of(values: Values, tag: int) -> str:
    """Text of an element; empty where there is none."""
    found = values.get(tag)
    return found.decode("latin-1").strip(" \0") if isinstance(found, bytes) else ""


def _label_map(placed: Placed, segments: Mapping[int, Segment], pixels: FramePixels, report: Report) -> MaskStream:
    """Stream of a label map: one frame a slice, values as they are."""
    grid = placed.grid
    frame_at = {k: i for i, k in enumerate(placed.slices)}
    if len(frame_at) < len(placed.slices):
        raise Unsupported("a label map with several frames at one place is not read")
    unknown: set[int] = set()
    for i in range(len(placed.slices)):
        unknown |= set(values_of(pixels.values(i)).tolist()) - set(segments)
    if unknown:
        report.problem("value", "PixelData", f"voxels hold {sorted(unknown)[:20]}, which no segment has")

    def read(_: int, box: IndexBox) -> "NDArray[Any]":
        out = np.zeros(box.shape, pixels.dtype)
        for n, k in enumerate(range(box.start[0], box.stop[0])):
            if k in frame_at:
                out[n] = pixels.values(frame_at[k])[box.slices[1:]]
        return out

    report.written = len(segments)
    return MaskStream(grid=grid, segments=tuple(segments.values()), dtype=pixels.dtype.name, read=read)


def _by_segment(
    opened: Opened,
    placed: Placed,
    segments: Mapping[int, Segment],
    pixels: FramePixels,
    shared: Dataset,
    report: Report,
) -> MaskStream:
    """Stream of a file whose frames each hold one segment."""
    numbers = _frame_segments(opened, segments, shared, report)
    places = Places(placed, numbers)
    if pixels.bits == 1:
        layers = places.layers(pixels.packed)
        found = tuple(_in_layer(segment, layers[number]) for number, segment in segments.items())
        dtype = np.dtype(np.min_scalar_type(max(segments, default=1)))
        read = places.labels(layers, pixels, dtype)
        report.written = len(found)
        return MaskStream(
            grid=placed.grid, segments=found, dtype=dtype.name, read=read, layers=1 + max(layers.values(), default=0)
        )
    order = {number: k for k, number in enumerate(segments)}
    found = tuple(_in_layer(segment, order[number]) for number, segment in segments.items())
    most = int(opened.data.get("MaximumFractionalValue") or 255)
    report.written = len(found)
    return MaskStream(
        grid=placed.grid,
        segments=found,
        dtype="float32",
        read=places.fractions(list(segments), pixels, most),
        layers=len(found),
        fractional=True,
    )


def _in_layer(segment: Segment, layer: int) -> Segment:
    return replace(segment, layer=layer)


def _frame_segments(opened: Opened, segments: Mapping[int, Segment], shared: Dataset, report: Report) -> list[int]:
    """Segment number of each frame, from its order, from itself or from what all share. Notes unknown ones."""
    if opened.numbers is not None:
        return list(opened.numbers)
    common: Any = shared.get("SegmentIdentificationSequence") or []
    everywhere = common[0].get("ReferencedSegmentNumber") if common else None
    numbers: list[int] = []
    missing = 0
    for frame in opened.frames:
        items = items_of(frame, 0x0062000A)
        raw = items[0].get(0x0062000B) if items else None
        if isinstance(raw, bytes) and len(raw) == 2:
            numbers.append(struct.unpack("<H", raw)[0])
        elif isinstance(everywhere, int):
            numbers.append(everywhere)
        else:
            numbers.append(0)
            missing += 1
    if missing:
        report.problem("missing", "PerFrameFunctionalGroupsSequence", f"{missing} frames do not say which segment")
    for number in sorted(set(numbers) - set(segments) - {0}):
        report.problem("unknown", "PerFrameFunctionalGroupsSequence", f"no segment has the number {number}")
    return numbers

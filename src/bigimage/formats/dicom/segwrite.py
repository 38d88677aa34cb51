"""Writing DICOM segmentations: frames are spooled while the mask streams by, then the header is put before them.

Sources: DICOM PS3.3 A.51 (segmentation IOD), C.8.20 (segmentation modules), C.7.6.16 (functional groups), C.7.6.17
(dimensions); Supplement 243 (label maps).
"""

import hashlib
import io
import shutil
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from bigimage.errors import InputError, Unsupported
from bigimage.formats.dicom.encode import (
    Bits,
    Fragments,
    Plain,
    decimal_bytes,
    decimals,
    element,
    jpegls_frame,
    rle_frame,
    sequence,
)
from bigimage.formats.dicom.segments import background_item, segment_items
from bigimage.formats.dicom.source import SourceImage, base, frame_uid, identify, referenced_series, source_of
from bigimage.formats.dicom.terms import text, uid_of
from bigimage.formats.door import Context, MaskStream, Options, Report
from bigimage.geometry.dicom import orientation_fault, plane_of
from bigimage.geometry.grid import Grid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SYNTAXES = {"none": ExplicitVRLittleEndian, "rle": RLELossless, "jpegls": JPEGLSLossless}
SEGMENT_NUMBER, SEGMENT_GROUP = 0x0062000B, 0x0062000A
POSITION, POSITION_GROUP = 0x00200032, 0x00209113
PURPOSE = (b"121322", b"DCM", b"Source image for image processing operation")
DERIVATION = (b"113076", b"DCM", b"Segmentation")
Frame = tuple[int, int]
"""(slice of the grid, segment number); the number is 0 for all frames of a label map."""


class PixelWriter:
    """Frames on their way into a file, packed as its transfer syntax says."""

    def __init__(self, spool: IO[bytes], compression: str) -> None:
        if compression not in SYNTAXES:
            raise InputError(f"compression {compression!r} is not one of {', '.join(SYNTAXES)}")
        self.syntax = SYNTAXES[compression]
        self._sink: Fragments | Plain = Plain(spool) if compression == "none" else Fragments(spool)
        pack: dict[str, Callable[[Any], bytes]] = {"rle": rle_frame, "jpegls": jpegls_frame}
        self._pack = pack.get(compression, lambda pixels: np.ascontiguousarray(pixels).tobytes())
        self._digest = hashlib.sha256()

    def add(self, pixels: "np.ndarray[Any, Any]") -> None:
        """Append a frame (rows, columns)."""
        frame = self._pack(pixels)
        self._digest.update(frame)
        self._sink.add(frame)

    def ends(self) -> tuple[bytes, bytes, str]:
        """What stands before and behind the frames, and their digest."""
        return self._sink.head(), self._sink.tail, self._digest.hexdigest()


class BitWriter:
    """Frames of bits, not compressed."""

    syntax = ExplicitVRLittleEndian

    def __init__(self, spool: IO[bytes]) -> None:
        self._sink = Bits(spool)
        self._digest = hashlib.sha256()

    def add(self, bits: "np.ndarray[Any, np.dtype[np.bool_]]") -> None:
        """Append a frame (rows, columns)."""
        self._digest.update(np.packbits(bits).data)
        self._sink.add(bits)

    def ends(self) -> tuple[bytes, bytes, str]:
        """What stands before and behind the frames, and their digest."""
        return self._sink.head(), self._sink.tail, self._digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What distinguishes the three types of segmentation."""

    type: str
    """BINARY, FRACTIONAL or LABELMAP."""
    bits: int
    fraction: str | None = None
    """PROBABILITY or OCCUPANCY."""
    by_segment: bool = True
    """Whether each frame holds one segment."""

    @property
    def sop_class(self) -> str:
        """Storage class."""
        return SEGMENTATION if self.by_segment else LABEL_MAP


def write_file(
    path: Path,
    mask: MaskStream,
    frames: Callable[[IO[bytes]], tuple[list[Frame], PixelWriter | BitWriter]],
    *,
    kind: Kind,
    numbers: Sequence[int],
    overlapping: bool,
    context: Context,
    report: Report,
    options: Options,
) -> None:
    """Write a segmentation; `frames` puts all pixels into a spool and says which frames they are."""
    if not mask.segments:
        raise InputError("a DICOM segmentation has at least one segment, and this mask has none")
    check_planes(mask.grid)
    source = source_of(context)
    header = _header(mask, kind, numbers, source, context=context, report=report, options=options)
    header.SegmentsOverlap = "YES" if overlapping else "NO"
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        made, writer = frames(spool)
        head, tail, digest = writer.ends()
        header.NumberOfFrames = len(made)
        groups = _frame_groups(made, mask.grid, source, by_segment=kind.by_segment)
        content = hashlib.sha256(_bytes(header) + groups + digest.encode()).hexdigest()
        identify(header, content, str(writer.syntax))
        spool.seek(0)
        with path.open("wb") as out:
            pydicom.dcmwrite(out, header, enforce_file_format=True)
            out.write(groups)
            out.write(head)
            shutil.copyfileobj(spool, out, 4 << 20)
            out.write(tail)
    if not source.planes:
        report.note(f"image {context.image} does not come from DICOM: the segmentation names no source instances")
    report.written = len(mask.segments)


def check_planes(grid: Grid) -> None:
    """Raise Unsupported unless rows and columns of a grid's planes meet at right angles, as DICOM needs."""
    fault = orientation_fault(plane_of(grid, 0).orientation)
    if fault:
        raise Unsupported(f"planes of this grid cannot be described in DICOM: their orientation {fault}")


def _bytes(data: Dataset) -> bytes:
    """Elements of a data set without file meta information."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _header(
    mask: MaskStream,
    kind: Kind,
    numbers: Sequence[int],
    source: SourceImage,
    *,
    context: Context,
    report: Report,
    options: Options,
) -> Dataset:
    """Everything before the functional groups of frames, but for identity and number of frames."""
    data = base(context, source, modality="SEG", sop_class=kind.sop_class, options=options)
    data.ImageType = ["DERIVED", "PRIMARY"]
    data.ContentLabel = "SEGMENTATION"
    data.ContentDescription = text(options.get("description", ""), 64)
    data.ContentCreatorName = text(options.get("author", ""), 64)
    data.FrameOfReferenceUID = frame_uid(mask.grid.frame)
    data.PositionReferenceIndicator = ""
    series = referenced_series(source)
    if series:
        data.ReferencedSeriesSequence = series
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = mask.grid.shape[1:]
    data.BitsAllocated = data.BitsStored = kind.bits
    data.HighBit = kind.bits - 1
    data.PixelRepresentation = 0
    data.LossyImageCompression = "00"
    data.SegmentationType = kind.type
    if kind.fraction is not None:
        data.SegmentationFractionalType = kind.fraction
        data.MaximumFractionalValue = 255
    items = segment_items(mask.segments, numbers, report)
    if not kind.by_segment:
        data.PixelPaddingValue = 0
        items.insert(0, background_item())
    data.SegmentSequence = DicomSequence(items)
    _dimensions(data, kind)
    data.SharedFunctionalGroupsSequence = DicomSequence([_shared(mask.grid)])
    return data


def _dimensions(data: Dataset, kind: Kind) -> None:
    """The order of frames: by segment where they have one, then by place."""
    uid = uid_of("dimensions", data.SeriesInstanceUID)
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    data.DimensionOrganizationSequence = DicomSequence([organization])
    indexes: list[Dataset] = []
    wanted = [(POSITION, POSITION_GROUP, "Image Position (Patient)")]
    if kind.by_segment:
        wanted.insert(0, (SEGMENT_NUMBER, SEGMENT_GROUP, "Segment Number"))
    for pointer, group, label in wanted:
        index = Dataset()
        index.DimensionOrganizationUID = uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = label
        indexes.append(index)
    data.DimensionIndexSequence = DicomSequence(indexes)


def _shared(grid: Grid) -> Dataset:
    """Functional groups that all frames share: orientation and size of pixels."""
    plane = plane_of(grid, 0)
    measures = Dataset()
    measures.PixelSpacing = cast("Any", decimals(plane.spacing))
    distance, even = distances(grid)
    measures.SliceThickness = cast("Any", decimals([distance])[0])
    if even:
        measures.SpacingBetweenSlices = cast("Any", decimals([distance])[0])
    orientation = Dataset()
    orientation.ImageOrientationPatient = cast("Any", decimals(plane.orientation))
    shared = Dataset()
    shared.PixelMeasuresSequence = DicomSequence([measures])
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    return shared


def distances(grid: Grid) -> tuple[float, bool]:
    """Median distance of slices along their normal, and whether it holds for all."""
    matrix = np.asarray(grid.affine)
    axis = np.cross(matrix[:, 2], matrix[:, 1])
    axis /= np.linalg.norm(axis)
    if grid.slices is None or len(grid.slices) < 2:
        return abs(float(matrix[:, 0] @ axis)), True
    steps = np.abs(np.diff(np.asarray(grid.slices) @ axis))
    return float(np.median(steps)), False


def _frame_groups(frames: Sequence[Frame], grid: Grid, source: SourceImage, *, by_segment: bool) -> bytes:
    """The element of per-frame functional groups."""
    planes = sorted({k for k, _ in frames})
    rank = {k: n for n, k in enumerate(planes, 1)}
    starts = {k: _derivation(source, grid, k) for k in planes}
    places = {
        k: sequence(POSITION_GROUP, [element(POSITION, "DS", decimal_bytes(plane_of(grid, k).position))])
        for k in planes
    }
    items: list[bytes] = []
    for k, number in frames:
        index = struct.pack("<2L", number, rank[k]) if by_segment else struct.pack("<L", rank[k])
        content = sequence(0x00209111, [element(0x00209157, "UL", index)])
        group = b""
        if by_segment:
            group = sequence(SEGMENT_GROUP, [element(SEGMENT_NUMBER, "US", struct.pack("<H", number))])
        items.append(starts[k] + content + places[k] + group)
    return sequence(0x52009230, items)


def _derivation(source: SourceImage, grid: Grid, k: int) -> bytes:
    """Derivation image group of the planes that a frame was made on; nothing where none is known."""
    items: list[bytes] = []
    kept = b"YES" if source.shares_pixels(grid, k) else b"NO"
    for plane in source.touched(grid, k):
        parts = [
            element(0x00081150, "UI", str(source.sop_class).encode()),
            element(0x00081155, "UI", plane.uid.encode()),
        ]
        if plane.frame is not None:
            parts.append(element(0x00081160, "IS", str(plane.frame).encode()))
        parts += [element(0x0028135A, "CS", kept), _code(0x0040A170, PURPOSE)]
        items.append(b"".join(parts))
    if not items:
        return b""
    return sequence(0x00089124, [sequence(0x00082112, items) + _code(0x00089215, DERIVATION)])


def _code(tag: int, code: tuple[bytes, bytes, bytes]) -> bytes:
    value, scheme, meaning = code
    parts = (element(0x00080100, "SH", value), element(0x00080102, "SH", scheme), element(0x00080104, "LO", meaning))
    return sequence(tag, [b"".join(parts)])

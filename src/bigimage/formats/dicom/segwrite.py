"""Writing DICOM segmentations: frames are spooled while the mask streams by, then the header is put before them.

An image without a place in a patient, such as an X-ray, gives its segmentation none: there is no frame of reference,
and each frame lies on the pixels of the instance that it refers to, as A.51.3 and C.8.20.2 allow. Segmentations of
whole slides are cut into tiles; see `slides`.

Sources: DICOM PS3.3 A.51 (segmentation IOD), C.8.20 (segmentation modules), C.7.6.16 (functional groups), C.7.6.17
(dimensions); Supplement 243 (label maps).
"""

import hashlib
import io
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from bigimage.formats.dicom.slides import COLUMN, PLACE_GROUP, ROW, Glass, describe, glass_of, place, tiles
from bigimage.formats.dicom.source import (
    SourceImage,
    base,
    frame_uid,
    identify,
    referenced_series,
    source_for,
    source_of,
)
from bigimage.formats.dicom.terms import text, uid_of
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report
from bigimage.formats.mask.streams import check_mask, read_layers, slabs
from bigimage.geometry.dicom import orientation_fault, plane_of
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SYNTAXES = {"none": ExplicitVRLittleEndian, "rle": RLELossless, "jpegls": JPEGLSLossless}
NICKNAMES = {"LABELMAP": "label map", "FRACTIONAL": "fractions"}
SEGMENT_NUMBER, SEGMENT_GROUP = 0x0062000B, 0x0062000A
POSITION, POSITION_GROUP = 0x00200032, 0x00209113
FRAME_LABEL, CONTENT_GROUP = 0x00209453, 0x00209111
PURPOSE = (b"121322", b"DCM", b"Source image for image processing operation")
DERIVATION = (b"113076", b"DCM", b"Segmentation")
HELD = KeepsMask(
    highest=2**31 - 1,
    overlaps=True,
    names=True,
    colors=True,
    codes=True,
    instances=True,
    frames=frozenset({"patient"}),
    sheared=True,
    uneven=True,
    frame_uid=True,
)
"""What bits keep of a mask; the other types differ in little. Images without a place are looked at one by one."""
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


def fits_image(info: ImageInfo) -> bool:
    """Whether segmentations can be about an image: a volume, or one plane without a place that a DICOM file keeps."""
    if isinstance(info.grid.frame, PixelFrame) and info.grid.ndim == 2:
        return bool(source_for(info).planes) and ("slide" not in info.extra or glass_of(info) is not None)
    return HELD.fits(info.grid)


def check(name: str, keeps: KeepsMask, mask: MaskStream, context: Context) -> None:
    """Raise Unsupported, with every reason, for a mask that a segmentation cannot hold.

    Images without a place are held where they are one plane that a DICOM file keeps, all of it.
    """
    if isinstance(mask.grid.frame, PixelFrame) and fits_image(context.info):
        keeps = replace(keeps, frames=keeps.frames | {"pixel"})
        if mask.grid != context.grid:
            raise Unsupported(f"format {name} holds all pixels of an image that has no place in a patient, not a part")
    check_mask(name, keeps, mask)


def frame_shape(mask: MaskStream, context: Context) -> tuple[int, ...]:
    """Rows and columns of a frame: those of a slice, or of the tiles of a slide."""
    glass = glass_of(context.info)
    return mask.grid.shape[-2:] if glass is None else glass.tile


def planes(mask: MaskStream, context: Context) -> "Iterator[tuple[int, np.ndarray[Any, Any]]]":
    """(slice, its pixels in all layers (layer, rows, columns)) one after the other.

    A flat image is one slice; of a slide, slices are the tiles with a pixel set.
    """
    glass = glass_of(context.info)
    if glass is not None:
        yield from tiles(mask, glass)
        return
    if mask.grid.ndim == 2:
        yield 0, read_layers(mask, mask.grid.box)
        return
    for first, slab in slabs(mask):
        for k in range(slab.shape[1]):
            yield first + k, slab[:, k]


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
    if mask.grid.ndim == 3:
        check_planes(mask.grid)
    source, glass = source_of(context), glass_of(context.info)
    header = _header(mask, kind, numbers, source, context=context, report=report, options=options)
    header.SegmentsOverlap = "YES" if overlapping else "NO"
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        made, writer = frames(spool)
        head, tail, digest = writer.ends()
        header.NumberOfFrames = len(made)
        groups = _frame_groups(made, mask.grid, source, by_segment=kind.by_segment, glass=glass)
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
    # each type is a series of its own, and lists of series show nothing else that tells them apart
    data.SeriesInstanceUID = uid_of("series", source.study, context.image, "SEG", kind.type)
    if not options.get("description") and kind.type in NICKNAMES:
        data.SeriesDescription = text(f"SEG ({NICKNAMES[kind.type]}) of {context.image}", 64)
    data.ImageType = ["DERIVED", "PRIMARY"]
    data.ContentLabel = "SEGMENTATION"
    data.ContentDescription = text(options.get("description", ""), 64)
    data.ContentCreatorName = text(options.get("author", ""), 64)
    glass = glass_of(context.info)
    if glass is not None:
        describe(data, glass)
    elif mask.grid.ndim == 3:
        data.FrameOfReferenceUID = frame_uid(mask.grid.frame)
        data.PositionReferenceIndicator = ""
    else:
        data.PatientOrientation = context.info.extra.get("patient_orientation") or ""
    series = referenced_series(source)
    if series:
        data.ReferencedSeriesSequence = series
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = frame_shape(mask, context)
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
    _dimensions(data, kind, placed=mask.grid.ndim == 3, glass=glass)
    data.SharedFunctionalGroupsSequence = DicomSequence([_shared(mask.grid, glass)])
    return data


def _dimensions(data: Dataset, kind: Kind, *, placed: bool, glass: Glass | None) -> None:
    """The order of frames: by segment where they have one, then by place; by their label where they have neither."""
    uid = uid_of("dimensions", data.SeriesInstanceUID)
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    data.DimensionOrganizationSequence = DicomSequence([organization])
    indexes: list[Dataset] = []
    wanted = [(SEGMENT_NUMBER, SEGMENT_GROUP, "Segment Number")] if kind.by_segment else []
    if glass is not None:
        wanted += [(ROW, PLACE_GROUP, "Row of the tile"), (COLUMN, PLACE_GROUP, "Column of the tile")]
    elif placed:
        wanted.append((POSITION, POSITION_GROUP, "Image Position (Patient)"))
    elif not wanted:
        wanted.append((FRAME_LABEL, CONTENT_GROUP, "Frame Label"))
    for pointer, group, label in wanted:
        index = Dataset()
        index.DimensionOrganizationUID = uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = label
        indexes.append(index)
    data.DimensionIndexSequence = DicomSequence(indexes)


def _shared(grid: Grid, glass: Glass | None) -> Dataset:
    """Functional groups that all frames share: orientation and size of pixels; on a flat image both are its own."""
    if glass is not None:
        measures = Dataset()
        measures.PixelSpacing = cast("Any", decimals(glass.spacing[::-1]))
        measures.SliceThickness = cast("Any", decimals([glass.thickness])[0])
        shared = Dataset()
        shared.PixelMeasuresSequence = DicomSequence([measures])
        return shared
    if grid.ndim == 2:
        return Dataset()
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


def _frame_groups(
    frames: Sequence[Frame], grid: Grid, source: SourceImage, *, by_segment: bool, glass: Glass | None
) -> bytes:
    """The element of per-frame functional groups."""
    slices = sorted({k for k, _ in frames})
    ranks = _ranks(slices, grid, by_segment=by_segment, glass=glass)
    starts = {k: _derivation(source, grid, k) for k in slices}
    places = {k: _place(grid, k) if glass is None else place(glass, k) for k in slices}
    label = b"" if by_segment or grid.ndim == 3 or glass is not None else element(FRAME_LABEL, "LO", b"Frame")
    items: list[bytes] = []
    for k, number in frames:
        indexes = [*([number] if by_segment else []), *ranks[k]]
        index = struct.pack(f"<{len(indexes)}L", *indexes)
        content = sequence(CONTENT_GROUP, [element(0x00209157, "UL", index) + label])
        group = b""
        if by_segment:
            group = sequence(SEGMENT_GROUP, [element(SEGMENT_NUMBER, "US", struct.pack("<H", number))])
        items.append(starts[k] + content + places[k] + group)
    return sequence(0x52009230, items)


def _ranks(slices: Sequence[int], grid: Grid, *, by_segment: bool, glass: Glass | None) -> dict[int, list[int]]:
    """Place of each slice or tile in the order of frames, for each dimension besides segments."""
    if glass is not None:
        corners = [glass.corner(k) for k in slices]
        rows, columns = ({v: n for n, v in enumerate(sorted(set(axis)), 1)} for axis in zip(*corners, strict=True))
        return {k: [rows[row], columns[column]] for k, (row, column) in zip(slices, corners, strict=True)}
    ranked = grid.ndim == 3 or not by_segment
    return {k: [n] if ranked else [] for n, k in enumerate(slices, 1)}


def _place(grid: Grid, k: int) -> bytes:
    """Plane position group of a slice; nothing for an image without a place."""
    if grid.ndim == 2:
        return b""
    return sequence(POSITION_GROUP, [element(POSITION, "DS", decimal_bytes(plane_of(grid, k).position))])


def _derivation(source: SourceImage, grid: Grid, k: int) -> bytes:
    """Derivation image group of the planes that a frame was made on; empty where it lies beside all of them.

    Nothing for an image that does not come from DICOM: a group that one frame has, all have.
    """
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
        return sequence(0x00089124, []) if source.planes else b""
    return sequence(0x00089124, [sequence(0x00082112, items) + _code(0x00089215, DERIVATION)])


def _code(tag: int, code: tuple[bytes, bytes, bytes]) -> bytes:
    value, scheme, meaning = code
    parts = (element(0x00080100, "SH", value), element(0x00080102, "SH", scheme), element(0x00080104, "LO", meaning))
    return sequence(tag, [b"".join(parts)])

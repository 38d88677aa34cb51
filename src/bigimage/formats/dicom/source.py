"""What a derived DICOM object says of the image it was made on: patient, study, instances; and what it may say.

Sources: DICOM PS3.3 C.7.1.1 (patient), C.7.2.1 (study), C.7.4.1 (frame of reference), C.12.1 (SOP common), C.12.2
(common instance reference).
"""

import struct
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from bigimage.errors import BackendError, BigImageError, DataError, InputError
from bigimage.formats.dicom.terms import text, uid_of
from bigimage.formats.door import Context, Options, Report
from bigimage.geometry.frame import Frame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.sources.dicom.silence import quiet

IMPLEMENTATION = UID(uid_of("implementation"))
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
NOTHING_KNOWN = "19000101"
"""Date of objects made on an image without one, where the caller gives none: type 1 elements may not be empty."""
OPTIONS = {
    "date": "when it was made, as YYYYMMDD or YYYYMMDDHHMMSS; the date of the study by default",
    "author": "who made it",
    "description": "text that lists of series show",
}
PYDICOM_ERRORS = (
    *(InvalidDicomError, BytesLengthException, EOFError, struct.error),
    *(LookupError, ValueError, TypeError, AttributeError),
    *(NotImplementedError, ArithmeticError, RecursionError, MemoryError, zlib.error),
)
"""What pydicom lets through when bytes are not what they claim to be."""
NEAR = 1e-3
"""Part of a slice by which a plane may reach into the next one without being made on it."""


def sop_class_of(path: Path) -> str | None:
    """SOP class of a DICOM file; None for what is no such file. Only its first elements are read."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
    try:
        with quiet():
            # the value is decoded when it is asked for
            return str(pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True).get("SOPClassUID"))
    except (*PYDICOM_ERRORS, OSError):
        return None


@contextmanager
def parsing(path: Path) -> Generator[None]:
    """What pydicom raises within, late and in many ways, as ours.

    DataError where the bytes of a file are not what they claim to be, BackendError where the disk fails.
    """
    message = f"{path.name} is no DICOM file, or a damaged one"
    try:
        with quiet():
            yield
    except BigImageError:
        raise
    except PYDICOM_ERRORS as error:
        raise DataError(f"{message}: {error}") from error
    except OSError as error:
        # pydicom says so, too, of files that end too early; the system's own errors have a number
        if error.errno is None:
            raise DataError(f"{message}: {error}") from error
        raise BackendError(f"{path.name} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Instance:
    """One plane of the image, where a PACS keeps it."""

    uid: str
    frame: int | None
    """Number from 1 within a multi-frame file."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """The DICOM image that annotations were made on."""

    grid: Grid
    study: str
    series: str | None
    sop_class: str | None
    planes: tuple[Instance, ...]
    """One for each slice of the grid, one for a flat image; empty for images that do not come from DICOM."""

    @property
    def instances(self) -> tuple[str, ...]:
        """SOP instance UIDs, each once, in the order of slices."""
        return tuple(dict.fromkeys(plane.uid for plane in self.planes))

    def touched(self, grid: Grid, k: int) -> Sequence[Instance]:
        """Planes of the image that slice k of another grid lies on or runs through; of a flat image its one."""
        if not self.planes or grid.ndim == 2:
            return self.planes
        corners = [(k + 0.5, y, x) for y in (0.5, grid.shape[1] - 0.5) for x in (0.5, grid.shape[2] - 0.5)]
        depth = self.grid.to_index(grid.to_world(np.asarray(corners)))[:, 0]
        low = int(np.floor(depth.min() - NEAR))
        high = int(np.floor(depth.max() + NEAR))
        return self.planes[max(0, low) : max(0, high + 1)]

    def shares_pixels(self, grid: Grid, k: int) -> bool:
        """Whether the pixels of slice k of another grid are those of a plane of the image."""
        if grid.ndim == 2:
            return bool(self.planes) and grid == self.grid
        if not self.planes or grid.shape[1:] != self.grid.shape[1:]:
            return False
        ends = np.asarray(
            [(k + 0.5, 0.5, 0.5), (k + 0.5, 0.5, grid.shape[2] - 0.5), (k + 0.5, grid.shape[1] - 0.5, 0.5)]
        )
        index = self.grid.to_index(grid.to_world(ends))
        off = np.abs(index[:, 1:] - ends[:, 1:]).max()
        return bool(max(off, np.abs(index[:, 0] - np.floor(index[0, 0]) - 0.5).max()) < NEAR)


def source_of(context: Context) -> SourceImage:
    """The DICOM side of an image; an image that is not from DICOM gets a study of its own, made from its id."""
    return source_for(context.info)


def source_for(info: ImageInfo) -> SourceImage:
    """`source_of` the image of a context. Of one with several times, planes are those of the first."""
    extra = info.extra
    study = extra.get("study")
    stacks = extra.get("instances") or []
    planes: tuple[Instance, ...] = ()
    count = info.grid.shape[0] if info.grid.ndim == 3 else 1
    # a slide is one plane, too, that may lie in several files
    if study and stacks and (len(stacks[0]) == count or "slide" in extra):
        planes = tuple(Instance(str(uid), None if number is None else int(number)) for uid, number in stacks[0])
    return SourceImage(
        grid=info.grid,
        study=str(study) if study else uid_of("study", info.id),
        series=str(extra["series"]) if extra.get("series") else None,
        sop_class=str(extra["sop_class"]) if extra.get("sop_class") else None,
        planes=planes if extra.get("sop_class") else (),
    )


def frame_uid(frame: Frame) -> str:
    """UID of a frame of reference; made from the frame where the image's files name none."""
    if isinstance(frame, PatientFrame) and not frame.uid.startswith("image:"):
        return frame.uid
    return uid_of("frame", frame)


def base(context: Context, source: SourceImage, *, modality: str, sop_class: str, options: Options) -> Dataset:
    """The data set of a derived object: patient, study, series, equipment; its own identity is given by `identify`.

    Raises InputError for a date that is none.
    """
    exported = context.info.extra.get("export") or {}
    date, time = _moment(options.get("date"), exported)
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*PATIENT, *STUDY):
        setattr(data, keyword, exported.get(keyword, ""))
    if not data.PatientID:
        data.PatientID = context.image
    data.StudyInstanceUID = source.study
    data.Modality = modality
    data.SeriesInstanceUID = uid_of("series", source.study, context.image, modality, sop_class)
    data.SeriesNumber = 1
    data.SeriesDescription = text(options.get("description") or f"{modality} of {context.image}", 64)
    data.SeriesDate, data.SeriesTime = date, time
    data.Manufacturer = "bigimage"
    data.ManufacturerModelName = "bigimage"
    data.DeviceSerialNumber = "1"
    data.SoftwareVersions = "1"
    data.InstanceNumber = 1
    data.ContentDate, data.ContentTime = date, time
    data.SOPClassUID = sop_class
    return data


def _moment(stated: str | None, exported: Any) -> tuple[str, str]:
    """Date and time of an object. Raises InputError."""
    if stated is None:
        return str(exported.get("StudyDate") or NOTHING_KNOWN), str(exported.get("StudyTime") or "000000")
    if not stated.isascii() or not stated.isdigit() or len(stated) not in (8, 14):
        raise InputError(f"date {stated!r} is neither YYYYMMDD nor YYYYMMDDHHMMSS")
    return stated[:8], stated[8:] or "000000"


def identify(data: Dataset, digest: str, syntax: str) -> None:
    """Give an object its identity, made from the digest of its content, and its file meta information."""
    data.SOPInstanceUID = uid_of("instance", data.SeriesInstanceUID, digest)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = UID(data.SOPInstanceUID)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "BIGIMAGE"
    data.file_meta = meta


def reference_item(source: SourceImage, uid: str) -> Dataset:
    """Reference to one instance of the image."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class
    item.ReferencedSOPInstanceUID = uid
    return item


def referenced_series(source: SourceImage) -> Any:
    """Sequence that names every instance of the image; empty for images not from DICOM."""
    if not source.instances or source.series is None:
        return DicomSequence([])
    item = Dataset()
    item.SeriesInstanceUID = source.series
    item.ReferencedInstanceSequence = DicomSequence([reference_item(source, uid) for uid in source.instances])
    return DicomSequence([item])


def instances_of(info: ImageInfo) -> set[str]:
    """SOP instance UIDs of an image's files."""
    return {str(uid) for stack in info.extra.get("instances") or [] for uid, _ in stack}


def check_reference(data: Dataset, *, context: Context, report: Report, instances: Iterable[str]) -> None:
    """Note problems of an object that was made on another image: another study, another frame of reference.

    `instances` are those that it refers to.
    """
    info = context.info
    mine = instances_of(info)
    named = set(instances)
    study = str(data.get("StudyInstanceUID") or "")
    own = source_of(context).study
    if mine and named and not named & mine:
        message = f"it refers to {len(named)} instances, none of which belongs to image {info.id}"
        if study != own:
            report.problem("image", "StudyInstanceUID", f"{message}; it was made on another study ({study})")
        else:
            report.note(f"{message}, but it is of the same study")
    elif study and study != own and info.extra.get("study") and not named & mine:
        report.problem("image", "StudyInstanceUID", f"it is of study {study}, and image {info.id} of {own}")
    elif named - mine and mine:
        report.note(f"{len(named - mine)} of {len(named)} instances that it refers to do not belong to this image")


def frame_of(
    uid: str | None, *, info: ImageInfo, report: Report, what: str, drawn_on: Iterable[str] | None = None
) -> Frame:
    """Frame of an object's frame-of-reference UID: the image's. A differing UID is a problem, none is noted.

    `drawn_on` are the instances that contours were drawn on: where all are this image's, a differing UID is only
    noted, for some tools make one up.
    """
    frame = info.grid.frame
    named = set(drawn_on or ())
    if isinstance(frame, PixelFrame):
        # its pixels are all the place that it has; which image is meant is told by references
        return frame
    if not uid:
        report.note(f"{what} names no frame of reference; it is taken to lie in that of image {info.id}")
    elif isinstance(frame, PatientFrame) and frame.uid.startswith("image:") and uid != frame_uid(frame):
        report.note(f"image {info.id} has no frame of reference; {what} is taken to lie in its own")
    elif uid != frame_uid(frame) and named and named <= instances_of(info):
        report.note(f"{what} names another frame of reference, but was drawn on this image: the name is not used")
    elif uid != frame_uid(frame):
        message = f"{what} lies in frame of reference {uid}, and image {info.id} in {frame_uid(frame)}"
        report.problem("frame", "FrameOfReferenceUID", f"{message}; register the images first")
        return cast("Frame", PatientFrame(uid))
    return frame

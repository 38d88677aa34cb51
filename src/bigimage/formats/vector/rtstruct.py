"""DICOM RT structure sets: contours on slices, one ROI for each annotation.

Sources: DICOM PS3.3 A.19 (RT structure set IOD), C.8.8.5 (structure set), C.8.8.6 (ROI contour; closed contours of one
plane combine by exclusive or, so that a contour within another is a hole), C.8.8.8 (RT ROI observations).
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ImplicitVRLittleEndian

from bigimage.errors import Unsupported
from bigimage.formats.dicom import source as sources
from bigimage.formats.dicom.encode import decimal_bytes, implicit, implicit_item, implicit_sequence
from bigimage.formats.dicom.source import (
    SourceImage,
    base,
    frame_uid,
    identify,
    reference_item,
    sop_class_of,
    source_of,
)
from bigimage.formats.dicom.terms import code_sequence, text
from bigimage.formats.door import Context, Keeps, Options, Report, check_options
from bigimage.formats.vector.contours import Contour, contours_of
from bigimage.formats.vector.pages import lose_fields
from bigimage.formats.vector.rtread import read_rois
from bigimage.geometry.frame import PatientFrame
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label

NAME = "rtstruct"
SUFFIXES = (".dcm",)
KEEPS = Keeps(
    shapes={
        "contours": "contours",
        "point": "point",
        "multipoint": "multipoint",
        "line": "line",
        "mask": "contours",
        "box": "contours",
        "rotated-box": "contours",
        "ellipse": "contours",
        "cuboid": "contours",
    },
    fields=frozenset(("id", "origin")),
    rounding=1e-6,
    frames=frozenset({"patient"}),
)
OPTIONS = sources.OPTIONS | {
    "holes": "xor (default): a contour of its own; keyhole: a channel without width leads to it"
}
RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
CONTOURS = 0x30060039
OURS = "bigimage "
"""Begins the description of a ROI that this module wrote; the annotation's id follows."""
ON_SLICE = 0.01
"""Part of a slice by which a contour may lie off its centre and still be drawn on it."""


def sniff(path: Path) -> bool:
    """Whether a file is an RT structure set."""
    return sop_class_of(path) == RT_STRUCT


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a structure set, one for each ROI; see `bigimage.formats.door.VectorFormat.read`."""
    check_options(NAME, OPTIONS, options)
    yield from read_rois(path, context=context, report=report)


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a structure set; see `bigimage.formats.door.VectorFormat.write`.

    Boxes, cuboids and ellipsoids become contours where the slices of the image cut them, which the report tells.
    """
    check_options(NAME, OPTIONS, options)
    if not isinstance(context.grid.frame, PatientFrame):
        raise Unsupported(
            f"{NAME} holds contours of volumes; image {context.image} is flat and has no place in a patient"
        )
    source = source_of(context)
    rois: list[Dataset] = []
    observations: list[Dataset] = []
    digest = hashlib.sha256()
    names: set[str] = set()
    # contours are long and the lists around them short, so only these are kept in memory
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        for annotation in annotations:
            lose_fields(annotation, KEEPS.fields, report)
            found = contours_of(annotation, context, report, keyhole=options.get("holes") == "keyhole")
            if found is None:
                continue
            number = len(rois) + 1
            label = context.schema.find(annotation.label) or Label(name=annotation.label, value=number)
            rois.append(_roi(annotation, number, context, names))
            observations.append(_observation(annotation, number, label))
            body = _contour_item(found, number, label, source)
            digest.update(body)
            spool.write(body)
        report.written = len(rois)
        _finish(path, spool, digest.hexdigest(), (rois, observations), source, context=context, options=options)


def _finish(
    path: Path,
    spool: IO[bytes],
    digest: str,
    lists: tuple[list[Dataset], list[Dataset]],
    source: SourceImage,
    *,
    context: Context,
    options: Options,
) -> None:
    """Put the file together: header, contours, observations."""
    header = _header(context, source, options)
    rois, observations = lists
    if rois:
        header.StructureSetROISequence = DicomSequence(rois)
    tail = Dataset()
    if observations:
        tail.RTROIObservationsSequence = DicomSequence(observations)
    end = _bytes(tail)
    length = spool.tell()
    identify(header, hashlib.sha256(_bytes(header) + digest.encode() + end).hexdigest(), str(ImplicitVRLittleEndian))
    spool.seek(0)
    with path.open("wb") as out:
        pydicom.dcmwrite(out, header, enforce_file_format=True)
        if length:
            out.write(
                CONTOURS.to_bytes(4, "little")[2:] + CONTOURS.to_bytes(4, "little")[:2] + length.to_bytes(4, "little")
            )
            shutil.copyfileobj(spool, out, 4 << 20)
        out.write(end)


def _bytes(data: Dataset) -> bytes:
    """Elements of a data set, texts in UTF-8."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = buffer.is_implicit_VR = True
    write_dataset(buffer, data, "utf-8")
    return buffer.getvalue()


def _header(context: Context, source: SourceImage, options: Options) -> Dataset:
    """Patient, study, series, and the images that contours are drawn on."""
    data = base(context, source, modality="RTSTRUCT", sop_class=RT_STRUCT, options=options)
    uid = frame_uid(context.grid.frame)
    data.OperatorsName = text(options.get("author", ""), 64)
    data.FrameOfReferenceUID = uid
    data.PositionReferenceIndicator = ""
    data.StructureSetLabel = "ANNOTATIONS"
    data.StructureSetName = text(options.get("description") or f"annotations of {context.image}", 64)
    data.StructureSetDate, data.StructureSetTime = data.ContentDate, data.ContentTime
    # these belong to images, and a structure set is none
    del data.ContentDate, data.ContentTime
    frame = Dataset()
    frame.FrameOfReferenceUID = uid
    if source.instances and source.series is not None:
        series = Dataset()
        series.SeriesInstanceUID = source.series
        series.ContourImageSequence = DicomSequence([reference_item(source, one) for one in source.instances])
        study = Dataset()
        study.ReferencedSOPClassUID = STUDY_CLASS
        study.ReferencedSOPInstanceUID = source.study
        study.RTReferencedSeriesSequence = DicomSequence([series])
        frame.RTReferencedStudySequence = DicomSequence([study])
    data.ReferencedFrameOfReferenceSequence = DicomSequence([frame])
    return data


def _roi(annotation: Annotation, number: int, context: Context, names: set[str]) -> Dataset:
    """What a ROI is called and how it came to be."""
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = frame_uid(context.grid.frame)
    name = text(annotation.label, 58) or "unnamed"
    # other tools know ROIs by name
    unique = name if name not in names else f"{name} {number}"
    names.add(unique)
    item.ROIName = unique
    item.ROIDescription = f"{OURS}{annotation.id}"
    model = annotation.origin.removeprefix("model:") if annotation.origin.startswith("model:") else None
    item.ROIGenerationAlgorithm = "AUTOMATIC" if model else "MANUAL" if annotation.origin == "manual" else ""
    if model:
        item.ROIGenerationDescription = text(model, 64)
    return item


def _observation(annotation: Annotation, number: int, label: Label) -> Dataset:
    """What a ROI shows."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.ROIObservationDescription = annotation.label
    if label.code is not None:
        item.RTROIIdentificationCodeSequence = code_sequence(label.code)
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    return item


def _contour_item(contours: list[Contour], number: int, label: Label, source: SourceImage) -> bytes:
    """Item of the ROI contour sequence."""
    color = "\\".join(str(int(label.color[k : k + 2], 16)) for k in (1, 3, 5)).encode()
    items = [_contour(contour, k, source) for k, contour in enumerate(contours, 1)]
    body = implicit(0x3006002A, color)
    if items:
        body += implicit_sequence(0x30060040, items)
    body += implicit(0x30060084, str(number).encode())
    return implicit_item(body)


def _contour(contour: Contour, number: int, source: SourceImage) -> bytes:
    """One contour, with the slice that it is drawn on where it lies on one."""
    points = contour.points
    body = b""
    if source.planes:
        depth = source.grid.to_index(points)[:, 0] - 0.5
        k = int(np.rint(depth[0]))
        if 0 <= k < len(source.planes) and np.abs(depth - k).max() <= ON_SLICE:
            plane = source.planes[k]
            image = implicit(0x00081150, _uid(source.sop_class)) + implicit(0x00081155, _uid(plane.uid))
            if plane.frame is not None:
                image += implicit(0x00081160, str(plane.frame).encode())
            body = implicit_sequence(0x30060016, [image])
    body += implicit(0x30060042, contour.type.encode())
    body += implicit(0x30060046, str(len(points)).encode())
    body += implicit(0x30060048, str(number).encode())
    return body + implicit(0x30060050, decimal_bytes(points.ravel().tolist()))


def _uid(value: str | None) -> bytes:
    raw = (value or "").encode()
    return raw + b"\0" * (len(raw) % 2)

"""Reading RT structure sets of any tool. What is wrong is noted contour by contour, and reading goes on.

Sources: DICOM PS3.3 C.8.8.5, C.8.8.6, C.8.8.8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pydicom
import shapely
from pydicom.dataset import Dataset

from bigimage.errors import DataError, NotFound
from bigimage.formats.dicom.source import check_reference, frame_of, parsing
from bigimage.formats.dicom.terms import code_of
from bigimage.formats.door import Context, Report
from bigimage.formats.mask.streams import color_of
from bigimage.formats.vector.contours import Points, plane_axes, without_keyholes
from bigimage.geometry.frame import Frame
from bigimage.model.annotation import ORIGIN, Annotation
from bigimage.model.labels import Code, Label, distinct_color
from bigimage.model.shape import Line, MultiPoint, PlanarContours, Point, Shape

RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
CONTOUR_DATA = 0x30060050
OURS = "bigimage "
FLAT = 0.05
"""Millimetres by which the points of a closed contour may leave their plane; files round to two digits."""
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OPEN = ("OPEN_PLANAR", "OPEN_NONPLANAR")


@dataclass(frozen=True, slots=True)
class Roi:
    """What a structure set says of one ROI besides its contours."""

    number: int
    name: str
    label: str
    id: UUID | None
    """Id of the annotation that it was written from; None in files of other tools."""
    origin: str
    code: Code | None


def read_rois(path: Path, *, context: Context, report: Report) -> Iterator[Annotation]:
    """Annotations of a structure set. Raises NotFound, DataError for a file that is none."""
    # pydicom decodes what it is asked for, so its errors and warnings come late
    with parsing(path):
        found = list(_read(path, context, report))
    yield from found


def _read(path: Path, context: Context, report: Report) -> Iterator[Annotation]:
    """Annotations of a structure set; pydicom's errors pass."""
    data = _open(path)
    named = _instances(data)
    frame = frame_of(_frame_uid(data), info=context.info, report=report, what=path.name, drawn_on=named)
    check_reference(data, context=context, report=report, instances=named)
    rois = _rois(data, context, report)
    contours: dict[int, tuple[int, Any]] = {}
    for k, item in enumerate(data.get("ROIContourSequence") or []):
        number = item.get("ReferencedROINumber")
        if number not in rois:
            message = f"contours belong to ROI {number}, which is not listed"
            report.problem("unknown", f"ROIContourSequence/{k}", message)
            continue
        contours[number] = (k, item)
        roi = rois[number]
        report.labels.setdefault(roi.label, Label(name=roi.label, value=0, color=_color(item, number), code=roi.code))
    yield from _annotations(rois, contours, frame, data=data, context=context, report=report)


def _color(item: Dataset, number: int) -> str:
    """Colour of a ROI's contours; of one without, some colour of its number."""
    given: Any = item.get("ROIDisplayColor") or ()
    return color_of(*map(float, given)) if len(given) == 3 else distinct_color(number)


def _annotations(
    rois: dict[int, Roi],
    contours: dict[int, tuple[int, Any]],
    frame: Frame,
    *,
    data: Dataset,
    context: Context,
    report: Report,
) -> Iterator[Annotation]:
    """Annotations of all ROIs that have contours; the others are told."""
    series = str(data.get("SOPInstanceUID") or "")
    for number, roi in rois.items():
        k, item = contours.get(number, (None, None))
        shapes = [] if item is None else _shapes(item, f"ROIContourSequence/{k}", roi.name, report)
        if not shapes:
            report.note(f"ROI {roi.name!r} has no contour and is left out")
        for n, shape in enumerate(shapes):
            own = roi.id if roi.id is not None and n == 0 else None
            report.written += 1
            yield Annotation(
                id=own or context.new_id(series, number, n),
                image=context.image,
                label=roi.label,
                shape=shape,
                frame=frame,
                origin=roi.origin,
            )


def _open(path: Path) -> Dataset:
    """The data set. Raises NotFound, DataError where it is no structure set."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    data = pydicom.dcmread(path)
    if str(data.get("SOPClassUID")) != RT_STRUCT:
        raise DataError(f"{path.name} is no RT structure set")
    return data


def _frame_uid(data: Dataset) -> str | None:
    """Frame of reference: that of the ROIs, of the images referred to, or of the file."""
    for item in data.get("StructureSetROISequence") or []:
        if item.get("ReferencedFrameOfReferenceUID"):
            return str(item.ReferencedFrameOfReferenceUID)
    for item in data.get("ReferencedFrameOfReferenceSequence") or []:
        if item.get("FrameOfReferenceUID"):
            return str(item.FrameOfReferenceUID)
    return str(data.FrameOfReferenceUID) if data.get("FrameOfReferenceUID") else None


def _instances(data: Dataset) -> set[str]:
    """SOP instance UIDs of the images that the structure set names."""
    found: set[str] = set()
    for frame in data.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                for image in series.get("ContourImageSequence") or []:
                    found.add(str(image.get("ReferencedSOPInstanceUID")))
    return found - {"None", ""}


def _rois(data: Dataset, context: Context, report: Report) -> dict[int, Roi]:
    """ROIs by number. Missing and repeated numbers are problems."""
    seen: dict[int, Any] = {}
    for item in data.get("RTROIObservationsSequence") or []:
        seen.setdefault(item.get("ReferencedROINumber"), item)
    found: dict[int, Roi] = {}
    frames = set[str]()
    for k, item in enumerate(data.get("StructureSetROISequence") or []):
        place = f"StructureSetROISequence/{k}"
        number = item.get("ROINumber")
        if number is None:
            report.problem("missing", place, "a ROI has no number")
            continue
        if int(number) in found:
            report.problem("duplicate", place, f"ROI number {number} is given twice")
            continue
        frames.add(str(item.get("ReferencedFrameOfReferenceUID") or ""))
        found[int(number)] = _roi(item, seen.get(number), int(number), context)
    if len(frames - {""}) > 1:
        message = f"its ROIs lie in {len(frames)} frames of reference; split them"
        report.problem("frame", "StructureSetROISequence", message)
    return found


def _roi(item: Dataset, observation: Any, number: int, context: Context) -> Roi:
    """One ROI: its label is that of its name or code in the schema, else its name."""
    name = str(item.get("ROIName") or "").strip() or f"ROI {number}"
    description = str(item.get("ROIDescription") or "")
    code = code_of(observation.get("RTROIIdentificationCodeSequence")) if observation is not None else None
    own = None
    if description.startswith(OURS):
        try:
            own = UUID(description.removeprefix(OURS).strip())
        except ValueError:
            own = None
    if own is not None and observation is not None and observation.get("ROIObservationDescription"):
        label = str(observation.ROIObservationDescription)
    else:
        label = _label(name, code, context)
    return Roi(number, name, label, own, _origin(item) if own else "import", code)


def _label(name: str, code: Code | None, context: Context) -> str:
    known = context.schema.find(name)
    if known is None and code is not None:
        same = [one for one in context.schema.labels if one.code is not None and one.code.value == code.value]
        known = same[0] if len(same) == 1 else None
    return name if known is None else known.name


def _origin(item: Dataset) -> str:
    """Origin of an annotation that was written here."""
    model = f"model:{item.get('ROIGenerationDescription') or ''}"
    if str(item.get("ROIGenerationAlgorithm") or "") == "AUTOMATIC" and ORIGIN.fullmatch(model):
        return model
    return "manual" if str(item.get("ROIGenerationAlgorithm") or "") == "MANUAL" else "import"


def _shapes(item: Dataset, place: str, name: str, report: Report) -> list[Shape]:
    """Shapes of a ROI's contours: closed ones together, then lines, then points."""
    rings: list[Points] = []
    lines: list[Points] = []
    points: list[Points] = []
    for j, contour in enumerate(item.get("ContourSequence") or []):
        where = f"{place}/ContourSequence/{j}"
        coordinates = _coordinates(contour, where, report)
        type_ = str(contour.get("ContourGeometricType") or "")
        if coordinates is None:
            continue
        if type_ == "POINT":
            points.append(coordinates)
        elif type_ in OPEN and len(coordinates) > 1:
            lines.append(coordinates)
        elif type_ in CLOSED:
            rings += _closed(coordinates, where, name, report)
        else:
            message = f"{len(coordinates)} points of type {type_[:40]!r} are no contour"
            report.problem("shape", where, message)
    shapes: list[Shape] = []
    if rings:
        shapes.append(PlanarContours.of(rings))
    if lines:
        parts = [shapely.LineString(line) for line in lines]
        shapes.append(Line(parts[0] if len(parts) == 1 else shapely.MultiLineString(parts)))
    if points:
        every = [shapely.Point(p) for p in np.concatenate(points)]
        shapes.append(Point(every[0]) if len(every) == 1 else MultiPoint(shapely.MultiPoint(every)))
    return shapes


def _coordinates(contour: Dataset, place: str, report: Report) -> Points | None:
    """Points of a contour, shape (n, 3); None, and a problem, where they are garbled."""
    # straight from the bytes: hundreds of thousands of numbers would take pydicom long
    raw: Any = contour.get_item(CONTOUR_DATA)
    value = None if raw is None else raw.value
    if isinstance(value, bytes):
        value = value.decode("latin-1").strip(" \0").split("\\")
    if not value:
        report.problem("empty", place, "a contour has no points")
        return None
    try:
        numbers = np.array([float(v) for v in value])
    except (TypeError, ValueError):
        report.problem("type", place, "Contour Data are not all numbers")
        return None
    stated = contour.get("NumberOfContourPoints")
    if len(numbers) % 3 or (stated is not None and int(stated) * 3 != len(numbers)):
        message = f"{len(numbers)} numbers are not the coordinates of the {stated} points that are stated"
        report.problem("value", place, message)
        return None
    if not np.isfinite(numbers).all():
        report.problem("coordinate", place, "Contour Data are not all finite")
        return None
    return numbers.reshape(-1, 3)


def _closed(points: Points, place: str, name: str, report: Report) -> list[Points]:
    """Rings of a closed contour. One without an area is left out and told; one that is not flat is a problem."""
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        points = points[:-1]
    if len(points) < 3:
        message = f"closed contours of one or two points have no area and are left out of ROI {name!r}"
        report.lose("dropped", "contour", message)
        return []
    ring = np.concatenate([points, points[:1]])
    _, _, normal = plane_axes(ring)
    off = float(np.abs((points - points.mean(axis=0)) @ normal).max())
    if off > FLAT:
        report.problem("not-planar", place, f"points of a closed contour lie up to {off:.3g} mm off their plane")
        return []
    return without_keyholes(points)

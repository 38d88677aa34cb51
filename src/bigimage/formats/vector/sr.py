"""DICOM structured reports of measurements (TID 1500): lengths, areas and positions with their outlines in space.

Each annotation is a measurement group: what was found, where (an outline in the patient's coordinates), how large.

Sources: DICOM PS3.16 TID 1500 (measurement report), TID 1501 (measurement group), TID 1410 (planar region and its
measurements), TID 1411 (volumes: a surface, or regions on several planes), TID 300 (measurement); PS3.3 A.35.13
(comprehensive 3D SR), C.18.9 (3D spatial coordinates, which know no block and no bitmap).
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import shapely
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from bigimage.errors import Unsupported
from bigimage.formats.dicom import source as sources
from bigimage.formats.dicom.source import (
    SourceImage,
    base,
    frame_uid,
    identify,
    reference_item,
    sop_class_of,
    source_of,
)
from bigimage.formats.dicom.terms import UNSPECIFIED, code_sequence, text, uid_of
from bigimage.formats.door import Context, Keeps, Options, Report, check_options
from bigimage.formats.vector.contours import contours_of
from bigimage.formats.vector.pages import lose_fields, lose_shape
from bigimage.formats.vector.srread import SR_CLASSES, read_groups
from bigimage.geometry.frame import PatientFrame
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Code
from bigimage.model.outline import ring_plane
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Line,
    Mask,
    PlanarContours,
    Point,
    RotatedBox,
    Shape,
    half_axes,
)

NAME = "dicom-sr"
SUFFIXES = (".dcm",)
KEEPS = Keeps(
    shapes={
        "point": "point",
        "line": "line",
        "ellipse": "ellipse",
        "rotated-box": "contours",
        "contours": "contours",
        "mask": "contours",
        "box": "contours",
        "cuboid": "contours",
    },
    fields=frozenset(("id",)),
    # coordinates are single precision
    rounding=1e-4,
    frames=frozenset({"patient"}),
)
OPTIONS = dict(sources.OPTIONS)
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"
MILLIMETRE = Code(scheme="UCUM", value="mm", meaning="millimeter")
SQUARE_MILLIMETRE = Code(scheme="UCUM", value="mm2", meaning="square millimeter")
LENGTH = Code(scheme="SCT", value="410668003", meaning="Length")
AREA = Code(scheme="SCT", value="42798000", meaning="Area")
CUBIC_MILLIMETRE = Code(scheme="UCUM", value="mm3", meaning="cubic millimeter")
VOLUME = Code(scheme="SCT", value="118565006", meaning="Volume")
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """An outline in space and how large it is."""

    graphic: str
    outlines: tuple[Points, ...]
    """Shape (n, 3) each, millimetres; several for contours on several planes, and for holes."""
    quantity: tuple[Code, float, Code] | None
    """Name, value and unit; None for a point and for contours on several planes."""

    @property
    def template(self) -> str:
        """Number of the template that such a measurement group follows."""
        if self.graphic == "POLYLINE":
            return "1501"
        return "1411" if self.graphic == "ELLIPSOID" or len(self.outlines) > 1 else "1410"


def sniff(path: Path) -> bool:
    """Whether a file is a structured report."""
    return sop_class_of(path) in SR_CLASSES


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Outlines of a report's measurement groups; see `bigimage.formats.door.VectorFormat.read`."""
    check_options(NAME, OPTIONS, options)
    yield from read_groups(path, context=context, report=report)


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a measurement report; see `bigimage.formats.door.VectorFormat.write`.

    Lines of one part become lengths, single closed outlines areas, points positions, ellipsoids surfaces; contours on
    several planes are regions without a quantity, masks and blocks such regions with their volume. Other shapes are
    left out.
    """
    check_options(NAME, OPTIONS, options)
    if not isinstance(context.grid.frame, PatientFrame):
        raise Unsupported(f"{NAME} holds measurements in volumes; image {context.image} has no place in a patient")
    source = source_of(context)
    groups: list[Dataset] = []
    for annotation in annotations:
        lose_fields(annotation, KEEPS.fields, report)
        found = _measured(annotation, context, report)
        if found is None:
            continue
        if annotation.origin != "manual":
            report.lose("dropped", "origin", "the report does not say which tool made it", annotation.id)
        groups.append(_group(annotation, found, source, context))
    report.written = len(groups)
    data = _document(context, source, groups, options)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, implicit_vr=False, little_endian=True)
    identify(data, hashlib.sha256(buffer.getvalue()).hexdigest(), str(ExplicitVRLittleEndian))
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def _measured(annotation: Annotation, context: Context, report: Report) -> Measured | None:
    """What is measured of a shape; None, and the report says why, for one that the report has no form for."""
    shape = annotation.shape
    rings: list[Points] = []
    match shape:
        case Point():
            return Measured("POINT", (shapely.get_coordinates(shape.geometry, include_z=True),), None)
        case Line() if shape.geometry.geom_type == "LineString":
            points = shapely.get_coordinates(shape.geometry, include_z=True)
            length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
            return Measured("POLYLINE", (points,), (LENGTH, length, MILLIMETRE))
        case Ellipse() if all(shape.radii):
            return _round(shape)
        case PlanarContours():
            rings = shape.rings
        case Mask() if shape.box is None:
            pass
        case RotatedBox() | Box() | Cuboid() | Mask():
            found = contours_of(annotation, context, report, keyhole=False)
            if found is None:
                return None
            rings = [np.concatenate([contour.points, contour.points[:1]]) for contour in found]
        case _:
            pass
    if not rings:
        lose_shape(annotation, report)
        return None
    if len(rings) == 1:
        return Measured("POLYGON", tuple(rings), (AREA, _area(rings[0]), SQUARE_MILLIMETRE))
    volume = _volume(shape)
    return Measured("POLYGON", tuple(rings), None if volume is None else (VOLUME, volume, CUBIC_MILLIMETRE))


def _round(shape: Ellipse) -> Measured:
    """An ellipse by the ends of its major and its minor axis, an ellipsoid by those of its three axes."""
    axes = half_axes(shape)
    flat = len(axes) == 2
    order = np.argsort([-r for r in shape.radii], kind="stable") if flat else range(3)
    points = np.asarray(shape.center) + [sign * axes[k] for k in order for sign in (-1, 1)]
    if flat:
        return Measured("ELLIPSE", (points,), (AREA, float(np.pi * np.prod(shape.radii)), SQUARE_MILLIMETRE))
    volume = float(4 / 3 * np.pi * np.prod(shape.radii))
    return Measured("ELLIPSOID", (points,), (VOLUME, volume, CUBIC_MILLIMETRE))


def _volume(shape: Shape) -> float | None:
    """Volume of a block, or of the voxels of a mask; None for other shapes, and where slices are uneven."""
    if isinstance(shape, Box):
        return float(np.prod(np.subtract(shape.maximum, shape.minimum)))
    if isinstance(shape, Cuboid):
        return float(np.prod(shape.size))
    if isinstance(shape, Mask) and shape.grid.slices is None:
        return shape.count * abs(float(np.linalg.det(np.asarray(shape.grid.affine)[:3, :3])))
    return None


def _area(ring: Points) -> float:
    """Area of a flat ring that ends where it begins."""
    normal, _ = ring_plane(ring)
    local = ring - ring[0]
    return abs(float(np.cross(local[:-1], local[1:]).sum(axis=0) @ normal)) / 2


def _item(relation: str | None, kind: str, concept: Code, **values: Any) -> Dataset:
    """A content item."""
    item = Dataset()
    if relation is not None:
        item.RelationshipType = relation
    item.ValueType = kind
    item.ConceptNameCodeSequence = code_sequence(concept)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _dcm(value: str, meaning: str) -> Code:
    return Code(scheme="DCM", value=value, meaning=meaning)


def _template(number: str) -> DicomSequence:
    item = Dataset()
    item.MappingResource = "DCMR"
    item.TemplateIdentifier = number
    return DicomSequence([item])


def _container(relation: str | None, concept: Code, children: Iterable[Dataset]) -> Dataset:
    made = list(children)
    item = _item(relation, "CONTAINER", concept, ContinuityOfContent="SEPARATE")
    if made:
        item.ContentSequence = DicomSequence(made)
    return item


def _group(annotation: Annotation, found: Measured, source: SourceImage, context: Context) -> Dataset:
    """Measurement group of an annotation: identity, finding, outline and quantity."""
    label = context.schema.find(annotation.label)
    code = label.code if label is not None and label.code is not None else UNSPECIFIED
    frame = frame_uid(context.grid.frame)
    children = [
        _item("HAS OBS CONTEXT", "TEXT", _dcm("112039", "Tracking Identifier"), TextValue=annotation.label),
        _item(
            *("HAS OBS CONTEXT", "UIDREF", _dcm("112040", "Tracking Unique Identifier")),
            UID=f"2.25.{annotation.id.int}",
        ),
        _item("CONTAINS", "CODE", _dcm("121071", "Finding"), ConceptCodeSequence=code_sequence(code)),
    ]
    if found.graphic == "ELLIPSOID":
        children += _surface(found, source, frame)
    elif found.graphic != "POLYLINE":
        place = _dcm("111030", "Image Region")
        children += [_coordinates("CONTAINS", place, found.graphic, points, frame) for points in found.outlines]
    if found.quantity is not None:
        name, amount, unit = found.quantity
        number = _number(name, amount, unit)
        if found.graphic == "POLYLINE":
            path = _coordinates("INFERRED FROM", _dcm("121055", "Path"), found.graphic, found.outlines[0], frame)
            number.ContentSequence = DicomSequence([path])
        children.append(number)
    group = _container("CONTAINS", _dcm("125007", "Measurement Group"), children)
    group.ContentTemplateSequence = _template(found.template)
    return group


def _surface(found: Measured, source: SourceImage, frame: str) -> Iterator[Dataset]:
    """Surface of a volume, and the series that it was drawn on."""
    yield _coordinates("CONTAINS", _dcm("121231", "Volume Surface"), found.graphic, found.outlines[0], frame)
    if source.series is not None:
        series = _dcm("121232", "Source series for segmentation")
        yield _item("CONTAINS", "UIDREF", series, UID=source.series)


def _coordinates(relation: str, concept: Code, graphic: str, points: Points, frame: str) -> Dataset:
    values = [float(v) for v in points.astype(np.float32).ravel()]
    return _item(
        *(relation, "SCOORD3D", concept),
        GraphicType=graphic,
        GraphicData=values,
        ReferencedFrameOfReferenceUID=frame,
    )


def _number(name: Code, amount: float, unit: Code) -> Dataset:
    value = Dataset()
    value.NumericValue = f"{amount:.10g}"[:16]
    value.FloatingPointValue = amount
    value.MeasurementUnitsCodeSequence = code_sequence(unit)
    return _item("CONTAINS", "NUM", name, MeasuredValueSequence=DicomSequence([value]))


def _document(context: Context, source: SourceImage, groups: list[Dataset], options: Options) -> Dataset:
    """The report around its groups."""
    data = base(context, source, modality="SR", sop_class=SR_CLASS, options=options)
    data.CompletionFlag = "COMPLETE"
    data.VerificationFlag = "UNVERIFIED"
    data.PerformedProcedureCodeSequence = DicomSequence([])
    data.ReferencedPerformedProcedureStepSequence = DicomSequence([])
    if source.instances and source.series is not None:
        data.CurrentRequestedProcedureEvidenceSequence = DicomSequence([_evidence(source)])
    report = _container(None, _dcm("126000", "Imaging Measurement Report"), _contents(context, source, groups, options))
    report.ContentTemplateSequence = _template("1500")
    data.update(report)
    return data


def _evidence(source: SourceImage) -> Dataset:
    """The images that the report is about."""
    series = Dataset()
    series.SeriesInstanceUID = source.series
    series.ReferencedSOPSequence = DicomSequence([reference_item(source, uid) for uid in source.instances])
    study = Dataset()
    study.StudyInstanceUID = source.study
    study.ReferencedSeriesSequence = DicomSequence([series])
    return study


def _contents(context: Context, source: SourceImage, groups: list[Dataset], options: Options) -> Iterator[Dataset]:
    """Language, observer, procedure, images and measurements, in the order of TID 1500."""
    english = Code(scheme="RFC5646", value="en-US", meaning="English (United States)")
    language = _dcm("121049", "Language of Content Item and Descendants")
    yield _item("HAS CONCEPT MOD", "CODE", language, ConceptCodeSequence=code_sequence(english))
    author = text(options.get("author", ""), 64)
    observer = _dcm("121006", "Person") if author else _dcm("121007", "Device")
    yield _item(
        *("HAS OBS CONTEXT", "CODE", _dcm("121005", "Observer Type")), ConceptCodeSequence=code_sequence(observer)
    )
    if author:
        yield _item("HAS OBS CONTEXT", "PNAME", _dcm("121008", "Person Observer Name"), PersonName=author)
    else:
        yield _item("HAS OBS CONTEXT", "UIDREF", _dcm("121012", "Device Observer UID"), UID=uid_of("device"))
        yield _item("HAS OBS CONTEXT", "TEXT", _dcm("121013", "Device Observer Name"), TextValue="bigimage")
    imaging = Code(scheme="SCT", value="363679005", meaning="Imaging procedure")
    procedure = _dcm("121058", "Procedure reported")
    yield _item("HAS CONCEPT MOD", "CODE", procedure, ConceptCodeSequence=code_sequence(imaging))
    library = [_image(source, uid) for uid in source.instances] if source.series is not None else []
    group = _container("CONTAINS", _dcm("126200", "Image Library Group"), library)
    yield _container("CONTAINS", _dcm("111028", "Image Library"), [group] if library else [])
    yield _container("CONTAINS", _dcm("126010", "Imaging Measurements"), groups)


def _image(source: SourceImage, uid: str) -> Dataset:
    """An image of the library; library entries have no concept name."""
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "IMAGE"
    item.ReferencedSOPSequence = DicomSequence([reference_item(source, uid)])
    return item

"""Reading measurement reports of any tool: outlines in space, and outlines on images, which are put into space.

Sources: DICOM PS3.16 TID 1500, 1501, 1410, 300; PS3.3 C.18.6 (coordinates on an image run from the top left corner of
its first pixel), C.18.9.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pydicom
import shapely
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bigimage.errors import DataError, NotFound
from bigimage.formats.dicom.source import check_reference, frame_of, parsing
from bigimage.formats.dicom.terms import code_of
from bigimage.formats.door import Context, Report
from bigimage.geometry.frame import Frame
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Code
from bigimage.model.shape import Ellipse, Line, MultiPoint, PlanarContours, Point, Shape

SR_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.88.{n}" for n in (22, 33, 34))
"""Enhanced, comprehensive and comprehensive 3D reports."""
SEGS = tuple(f"1.2.840.10008.5.1.4.1.1.66.{n}" for n in (4, 7))
GROUP, FINDING, TRACKING, TRACKING_UID, OBSERVER = "125007", "121071", "112039", "112040", "121013"
DEEPEST = 32
AXIS_ENDS = {"ELLIPSE": 4, "ELLIPSOID": 6}
SQUARE = 1e-3
"""Cosine of the angle that axes may make for their ends to be those of an ellipse."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outline:
    """An outline of a report, put into space."""

    graphic: str
    points: Points


def read_groups(path: Path, *, context: Context, report: Report) -> Iterator[Annotation]:
    """Annotations of a report. Raises NotFound, DataError for a file that is none."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    # pydicom decodes what it is asked for, so its errors and warnings come late
    with parsing(path):
        found = list(_read(path, context, report))
    yield from found


def _read(path: Path, context: Context, report: Report) -> Iterator[Annotation]:
    data = pydicom.dcmread(path)
    if str(data.get("SOPClassUID")) not in SR_CLASSES:
        raise DataError(f"{path.name} is no structured report of measurements")
    check_reference(data, context=context, report=report, instances=_instances(data))
    frames = _frames(data)
    if len(frames) > 1:
        report.problem("frame", "", f"its outlines lie in {len(frames)} frames of reference; split them")
    frame = context.grid.frame
    if frames:
        frame = frame_of(sorted(frames)[0], info=context.info, report=report, what=path.name)
    empty = 0
    ours = str(data.get("Manufacturer") or "") == "bigimage"
    for n, group in enumerate(_groups(data)):
        outlines = list(_outlines(group, f"group {n + 1}", context, report))
        empty += not outlines
        shapes = [_shape(one, f"group {n + 1}", report) for one in outlines]
        for k, shape in enumerate(_joined(shapes)):
            if shape is not None:
                report.written += 1
                yield _annotation(group, shape, (str(data.get("SOPInstanceUID")), n, k), frame, ours, context)
    if empty:
        report.note(f"{empty} measurement groups have no outline and are left out")
    if masks := sorted(_segmentations(data)):
        report.note(f"its groups measure segments of {', '.join(masks)}; import these files for the voxels")


def _walk(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """A content item and everything below it."""
    yield item
    if depth < DEEPEST:
        for child in item.get("ContentSequence") or []:
            yield from _walk(child, depth + 1)


def _concept(item: Dataset) -> str:
    code = code_of(item.get("ConceptNameCodeSequence"))
    return "" if code is None else code.value


def _groups(data: Dataset) -> Iterator[Dataset]:
    """Measurement groups."""
    for item in _walk(data):
        if item.get("ValueType") == "CONTAINER" and _concept(item) == GROUP:
            yield item


def _instances(data: Dataset) -> set[str]:
    """SOP instance UIDs that the report is evidence of, or refers to."""
    found: set[str] = set()
    for study in data.get("CurrentRequestedProcedureEvidenceSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            found |= {str(one.get("ReferencedSOPInstanceUID")) for one in series.get("ReferencedSOPSequence") or []}
    return found - {"None", ""}


def _segmentations(data: Dataset) -> set[str]:
    """SOP instance UIDs of the segmentations whose segments are measured."""
    references = (one for item in _walk(data) for one in item.get("ReferencedSOPSequence") or [])
    return {str(one.get("ReferencedSOPInstanceUID")) for one in references if one.get("ReferencedSOPClassUID") in SEGS}


def _frames(data: Dataset) -> set[str]:
    """Frames of reference of the outlines in space."""
    items = (i for i in _walk(data) if i.get("ValueType") == "SCOORD3D")
    return {str(i.get("ReferencedFrameOfReferenceUID") or "") for i in items} - {""}


def _outlines(group: Dataset, place: str, context: Context, report: Report) -> Iterator[Outline]:
    """Outlines below a group; what is garbled is a problem."""
    for item in _walk(group):
        kind = item.get("ValueType")
        if kind not in ("SCOORD", "SCOORD3D"):
            continue
        size = 3 if kind == "SCOORD3D" else 2
        values = np.asarray(item.get("GraphicData") or [], dtype=np.float64).ravel()
        if not len(values) or len(values) % size or not np.isfinite(values).all():
            report.problem("coordinate", place, f"{len(values)} numbers are no outline of {size} coordinates a point")
            continue
        points = values.reshape(-1, size)
        graphic = str(item.get("GraphicType") or "")
        if kind == "SCOORD":
            placed = _in_space(item, points, context)
            if placed is None:
                report.problem("image", place, "its outline lies on an image that is not a slice of this one")
                continue
            points = placed
            # a closed polyline on an image is what a polygon is in space
            if graphic == "POLYLINE" and len(points) > 3 and np.array_equal(points[0], points[-1]):
                graphic = "POLYGON"
        yield Outline(graphic, points)


def _in_space(item: Dataset, points: Points, context: Context) -> Points | None:
    """Points (column, row) on a slice of the image as points in space; None where it is none of its slices."""
    stacks: Any = context.info.extra.get("instances") or []
    for child in item.get("ContentSequence") or []:
        for reference in child.get("ReferencedSOPSequence") or []:
            uid, number = str(reference.get("ReferencedSOPInstanceUID")), reference.get("ReferencedFrameNumber")
            for k, (own, frame) in enumerate(stacks[0] if stacks else []):
                if own == uid and (frame is None or frame == (number or 1)):
                    index = np.column_stack([np.full(len(points), k + 0.5), points[:, 1], points[:, 0]])
                    return context.grid.to_world(index)
    return None


def _shape(one: Outline, place: str, report: Report) -> Shape | None:
    """Shape of an outline; None, and a problem, for one that makes none."""
    points = one.points
    match one.graphic:
        case "POINT" if len(points) == 1:
            return Point(shapely.Point(points[0]))
        case "MULTIPOINT":
            return MultiPoint(shapely.MultiPoint(points))
        case "POLYLINE" if len(points) > 1:
            return Line(shapely.LineString(points))
        case "POLYGON" if len(np.unique(points, axis=0)) > 2:
            return PlanarContours.of([points])
        case "ELLIPSE" | "ELLIPSOID" if len(points) == AXIS_ENDS[one.graphic]:
            found = _ellipse(points)
            if found is not None:
                return found
        case _:
            pass
    report.problem("shape", place, f"{len(points)} points of type {one.graphic[:40]!r} are no outline")
    return None


def _joined(shapes: list[Shape | None]) -> list[Shape | None]:
    """Shapes of one group, its contours joined: they outline one thing on its slices."""
    rings = [ring for shape in shapes if isinstance(shape, PlanarContours) for ring in shape.rings]
    others: list[Shape | None] = [shape for shape in shapes if not isinstance(shape, PlanarContours)]
    return [PlanarContours.of(rings), *others] if rings else others


def _ellipse(points: Points) -> Ellipse | None:
    """Ellipse or ellipsoid of the ends of its axes; None where one is nothing or two meet at other angles than 90°."""
    axes = (points[1::2] - points[::2]) / 2
    radii = np.linalg.norm(axes, axis=1)
    if radii.min() <= 0:
        return None
    units = axes / radii[:, None]
    if np.abs(units @ units.T - np.eye(len(units))).max() > SQUARE:
        return None
    u = units[0]
    v = units[1] - (units[1] @ u) * u
    v /= np.linalg.norm(v)
    matrix = np.stack([u, v, np.cross(u, v)], axis=1)
    center = points.mean(axis=0)
    return Ellipse(tuple(center.tolist()), tuple(radii.tolist()), _quaternion(matrix))


def _quaternion(matrix: Points) -> tuple[float, float, float, float]:
    """Unit quaternion (w, x, y, z) of a rotation matrix, by the largest of its parts (Shepperd 1978)."""
    m = matrix
    trace = np.array([m.trace(), m[0, 0], m[1, 1], m[2, 2]])
    k = int(np.argmax(trace))
    if k == 0:
        q = np.array([1 + m.trace(), m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    else:
        i, j, n = k - 1, k % 3, (k + 1) % 3
        q = np.empty(4)
        q[0] = m[n, j] - m[j, n]
        q[1 + i] = 1 + m[i, i] - m[j, j] - m[n, n]
        q[1 + j] = m[j, i] + m[i, j]
        q[1 + n] = m[n, i] + m[i, n]
    w, x, y, z = (float(v) for v in q / np.linalg.norm(q))
    return w, x, y, z


def _annotation(
    group: Dataset, shape: Shape, key: tuple[str, int, int], frame: Frame, ours: bool, context: Context
) -> Annotation:
    """Annotation of an outline; label and identity are those that the group states."""
    texts: dict[str, str] = {}
    finding: Code | None = None
    for item in group.get("ContentSequence") or []:
        concept = _concept(item)
        if concept == TRACKING:
            texts[TRACKING] = str(item.get("TextValue") or "").strip()
        elif concept == TRACKING_UID:
            texts[TRACKING_UID] = str(item.get("UID") or "")
        elif concept == FINDING:
            finding = code_of(item.get("ConceptCodeSequence"))
    uid = texts.get(TRACKING_UID, "")
    own = ours and key[2] == 0 and uid.startswith("2.25.") and uid[5:].isdecimal() and int(uid[5:]) < 1 << 128
    return Annotation(
        id=UUID(int=int(uid[5:])) if own else context.new_id(*key),
        image=context.image,
        label=_label(texts.get(TRACKING, ""), finding, ours, context),
        shape=shape,
        frame=frame,
        origin="manual" if ours else "import",
    )


def _label(tracking: str, finding: Code | None, ours: bool, context: Context) -> str:
    """Label: our own text, else the schema's label of the finding, else its meaning, else the tracking identifier."""
    if ours and tracking:
        return tracking
    if finding is not None:
        same = [one for one in context.schema.labels if one.code is not None and one.code.value == finding.value]
        return same[0].name if len(same) == 1 else finding.meaning
    return tracking or "measurement"

"""Measurement reports: highdicom and dciodvfy read what was written; reports of other tools are read."""

from dataclasses import replace
from uuid import UUID

import highdicom
import numpy as np
import pydicom
import pytest
import shapely
from pydicom.sr.codedict import codes

from bigimage.errors import DataError, Unsupported
from bigimage.exchange.painting import outline_mask
from bigimage.formats.door import Report
from bigimage.formats.vector import sr
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Schema
from bigimage.model.mask import Mask
from bigimage.model.shape import Box, Cuboid, Ellipse, Line, PlanarContours, Point, RotatedBox, half_axes
from tests.dciodvfy import errors
from tests.masks import KIDNEY, dicom_extra, grids
from tests.masks import context_of as context_without_trace
from tests.scanning import ct_series

IDS = [UUID(int=(k + 1) << 90) for k in range(20)]
TURN = tuple(np.array([0.8, 0.1, -0.5, 0.3]) / np.linalg.norm([0.8, 0.1, -0.5, 0.3]))


def context_of(grid, **facts):
    return replace(context_without_trace(grid, **facts), trace=outline_mask)


def dicom_context(grid, *, root="1.2.3.5", **facts):
    return context_of(grid, extra=dicom_extra(grid, root=root), **facts)


def note(grid, shape, k=0, label="liver", **facts):
    return Annotation(id=IDS[k], image="ct", label=label, shape=shape, frame=grid.frame, **facts)


def given(grid):
    at = grid.to_world([(2.5, 3, 4), (2.5, 9, 20), (2.5, 20, 18), (2.5, 15, 5)])
    square = grid.to_world([(4.5, 3, 3), (4.5, 3, 13), (4.5, 13, 13), (4.5, 13, 3)])
    return [
        note(grid, Point(shapely.Point(at[0])), 0),
        note(grid, Line(shapely.LineString(at[:2])), 1, label="kidney"),
        note(grid, Line(shapely.LineString(at)), 2, label="Tumör & <Rand>"),
        note(grid, PlanarContours.of([square]), 3),
        note(grid, Ellipse(tuple(at[0]), (4.0, 9.0), TURN), 4),
        note(grid, RotatedBox(tuple(at[1]), (6.0, 3.0), TURN), 5),
    ]


def write(path, annotations, context, **options):
    report = Report()
    sr.write(path, annotations, context=context, report=report, options=options)
    return report


def read(path, context):
    report = Report()
    return list(sr.read(path, context=context, report=report, options={})), report


@pytest.mark.parametrize("name", ["axial", "oblique", "uneven"])
@pytest.mark.parametrize("author", ["", "Doe^Jane"])
def test_checker_finds_no_error(tmp_path, name, author):
    grid = grids()[name]
    write(tmp_path / "sr.dcm", given(grid), dicom_context(grid), author=author)
    assert errors(tmp_path / "sr.dcm") == []
    write(tmp_path / "bare.dcm", given(grid), context_of(grid))
    assert errors(tmp_path / "bare.dcm") == []


def test_highdicom_reads_groups_outlines_and_quantities(tmp_path):
    grid = grids()["oblique"]
    annotations = given(grid)
    write(tmp_path / "sr.dcm", annotations, dicom_context(grid))
    found = highdicom.sr.srread(tmp_path / "sr.dcm")
    assert isinstance(found, highdicom.sr.Comprehensive3DSR)
    regions = found.content.get_planar_roi_measurement_groups()
    assert {g.tracking_uid for g in regions} == {f"2.25.{IDS[k].int}" for k in (0, 3, 4, 5)}
    square = next(g for g in regions if g.tracking_uid == f"2.25.{IDS[3].int}")
    (area,) = square.get_measurements()
    assert area.name == codes.SCT.Area
    assert area.value == pytest.approx(9 * 7, rel=1e-6)
    assert np.allclose(square.roi.value[:4], annotations[3].shape.rings[0][:4], atol=1e-4)
    oval = next(g for g in regions if g.tracking_uid == f"2.25.{IDS[4].int}")
    assert oval.get_measurements()[0].value == pytest.approx(np.pi * 36, rel=1e-6)
    ends = oval.roi.value
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(18, abs=1e-4)
    groups = found.content.get_image_measurement_groups()
    lengths = {g.tracking_uid: g.get_measurements()[0] for g in groups}
    way = shapely.get_coordinates(annotations[1].shape.geometry, include_z=True)
    length = lengths[f"2.25.{IDS[1].int}"]
    assert length.value == pytest.approx(np.linalg.norm(way[1] - way[0]), rel=1e-6)
    assert length.unit == codes.UCUM.Millimeter
    finding = next(g for g in groups if g.tracking_uid == f"2.25.{IDS[1].int}").finding_type
    assert (finding.value, finding.scheme_designator) == (KIDNEY.code.value, "SCT")


def test_round_trip(tmp_path):
    grid = grids()["oblique"]
    annotations = given(grid)
    report = write(tmp_path / "sr.dcm", annotations, dicom_context(grid))
    assert {(loss.kind, loss.what) for loss in report.losses} == {("approximated", "rotated-box")}
    found, reading = read(tmp_path / "sr.dcm", dicom_context(grid, schema=Schema()))
    assert not reading.problems
    assert [a.id for a in found] == IDS[:6]
    assert [a.label for a in found] == [a.label for a in annotations]
    assert [type(a.shape) for a in found] == [Point, Line, Line, PlanarContours, Ellipse, PlanarContours]
    for k in (0, 1, 2, 3):
        one, other = (shapely.get_coordinates(a[k].shape.geometry, include_z=True) for a in (annotations, found))
        assert np.allclose(one, other, atol=1e-4)
    before, after = half_axes(annotations[4].shape), half_axes(found[4].shape)
    assert found[4].shape.radii == pytest.approx((9.0, 4.0), abs=1e-4)
    assert np.allclose(np.abs(np.sum(before[::-1] * after, axis=1)), (81, 16), atol=1e-3)


def test_contours_on_several_planes_are_one_group(tmp_path):
    grid = grids()["uneven"]
    rings = [grid.to_world([(k + 0.5, 3, 3), (k + 0.5, 9, 3), (k + 0.5, 9, 9)]) for k in (2, 3, 5)]
    write(tmp_path / "sr.dcm", [note(grid, PlanarContours.of(rings))], dicom_context(grid))
    assert errors(tmp_path / "sr.dcm") == []
    (found,), _ = read(tmp_path / "sr.dcm", dicom_context(grid))
    assert found.id == IDS[0]
    assert all(np.allclose(a[:-1], b, atol=1e-4) for a, b in zip(found.shape.rings, rings, strict=True))
    (group,) = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid == f"2.25.{IDS[0].int}"
    assert sum(item.ValueType == "SCOORD3D" for item in group[0].ContentSequence) == 3


def solids(grid):
    """A mask with a hole on three slices, a turned block, a straight one, an ellipsoid."""
    bits = np.zeros(grid.shape, bool)
    bits[3:6, 4:15, 5:20], bits[4, 8:10, 9:12] = True, False
    center = tuple(grid.to_world((4.5, 12, 15)).tolist())
    size = np.array([3, 4, 3])
    low, high = center - size, center + size
    return [
        note(grid, Mask.of(grid, bits), 0),
        note(grid, Cuboid(center, (8.0, 6.0, 9.0), TURN), 1),
        note(grid, Box(tuple(low.tolist()), tuple(high.tolist())), 2),
        note(grid, Ellipse(center, (5.0, 3.0, 7.0), TURN), 3, label="kidney"),
    ]


@pytest.mark.parametrize("name", ["axial", "oblique", "uneven"])
def test_solids_are_volumes_for_other_readers(tmp_path, name):
    grid = grids()[name]
    report = write(tmp_path / "sr.dcm", solids(grid), dicom_context(grid))
    assert errors(tmp_path / "sr.dcm") == []
    assert [(x.kind, x.what) for x in report.losses] == [("approximated", x) for x in ("box", "cuboid", "mask")]
    write(tmp_path / "bare.dcm", solids(grid), context_of(grid))
    assert errors(tmp_path / "bare.dcm") == []
    groups = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    found = {group.tracking_uid: group for group in groups}
    mask, cuboid, box, ball = (found[f"2.25.{id.int}"] for id in IDS[:4])
    volumes = [{m.name.meaning: m.value for m in group.get_measurements()} for group in (mask, cuboid, box, ball)]
    voxels = {} if name == "uneven" else {"Volume": pytest.approx((3 * 11 * 15 - 6) * 0.7 * 0.9 * 2.5)}
    assert volumes[0] == voxels
    assert [v["Volume"] for v in volumes[1:]] == pytest.approx([432, 288, 4 / 3 * np.pi * 105])
    assert ball.get_measurements()[0].unit == codes.UCUM.CubicMillimeter
    assert ball.roi.graphic_type == highdicom.sr.GraphicTypeValues3D.ELLIPSOID
    assert ball.roi.frame_of_reference_uid == grid.frame.uid
    ends = np.asarray(ball.roi.graphic_data).reshape(6, 3)
    assert np.linalg.norm(ends[1::2] - ends[::2], axis=1) == pytest.approx([10, 6, 14], abs=1e-4)
    assert ends.mean(axis=0) == pytest.approx(grid.to_world((4.5, 12, 15)), abs=1e-4)


@pytest.mark.parametrize("name", ["axial", "oblique", "uneven"])
def test_solids_come_back(tmp_path, name):
    grid = grids()[name]
    given = solids(grid)
    write(tmp_path / "sr.dcm", given, dicom_context(grid))
    found, report = read(tmp_path / "sr.dcm", dicom_context(grid))
    assert not report.problems
    assert [a.id for a in found] == IDS[:4]
    mask, cuboid, _, ball = (a.shape for a in found)
    bits = np.zeros(grid.shape, bool)
    yy, xx = np.meshgrid(np.arange(24) + 0.5, np.arange(30) + 0.5, indexing="ij")
    for ring in mask.rings:
        index = grid.to_index(ring)
        bits[int(index[0, 0])] ^= shapely.contains_xy(shapely.Polygon(index[:, 1:]), yy.ravel(), xx.ravel()).reshape(
            24, 30
        )
    assert np.array_equal(bits, given[0].shape.read(grid.box))
    corners = np.concatenate(cuboid.rings) - given[1].shape.center
    sides = np.abs(corners @ (half_axes(given[1].shape) / np.array([[4], [3], [4.5]])).T)
    assert (sides <= np.array([4, 3, 4.5]) + 1e-3).all()
    assert ball.radii == pytest.approx(given[3].shape.radii, abs=1e-4)
    assert np.allclose(np.abs(np.sum(half_axes(ball) * half_axes(given[3].shape), axis=1)), (25, 9, 49), atol=1e-3)


def test_what_has_no_form_is_told(tmp_path):
    grid = grids()["axial"]
    lines = shapely.MultiLineString([grid.to_world([(k, 3, 3), (k, 9, 3)]) for k in (2, 3)])
    lost = [
        note(grid, Cuboid((0, 0, 900), (1, 2, 3)), 0),
        note(grid, Line(lines), 1),
        note(grid, Ellipse((0, 0, 0), (1, 2, 0), TURN), 2),
        note(grid, Mask.of(grid, np.zeros(grid.shape, bool)), 3),
    ]
    kept = replace(given(grid)[0], origin="model:a@1", score=0.4)
    report = write(tmp_path / "sr.dcm", [*lost, kept], dicom_context(grid))
    assert report.written == 1
    assert {(loss.kind, loss.what) for loss in report.losses} == {
        ("dropped", what) for what in ("cuboid", "line", "ellipse", "mask", "origin", "score")
    }


def test_reports_on_segments_name_the_segmentations_to_import(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "sr.dcm"
    write(path, given(grid), dicom_context(grid))
    data = pydicom.dcmread(path)
    segment, reference = pydicom.Dataset(), pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.77"
    reference.ReferencedSegmentNumber = 1
    segment.RelationshipType, segment.ValueType, segment.ReferencedSOPSequence = "CONTAINS", "IMAGE", [reference]
    segment.ConceptNameCodeSequence = [highdicom.sr.CodedConcept.from_code(codes.DCM.ReferencedSegment)]
    group = data.ContentSequence[-1].ContentSequence[0]
    group.ContentSequence = [*group.ContentSequence[:3], segment]
    pydicom.dcmwrite(path, data)
    found, report = read(path, dicom_context(grid))
    assert len(found) == len(given(grid)) - 1
    assert [note for note in report.notes if "1.2.77" in note and "import" in note]


def test_reports_of_highdicom_with_outlines_on_images_are_put_into_space(tmp_path):
    grid, slices = ct_series("oblique")
    source = highdicom.sr.SourceImageForRegion.from_source_image(slices[4])
    corners = np.array([[3.0, 2.0], [13.0, 2.0], [13.0, 8.0], [3.0, 2.0]])
    kind = highdicom.sr.GraphicTypeValues.POLYLINE
    region = highdicom.sr.ImageRegion(graphic_type=kind, graphic_data=corners, source_image=source)
    group = highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=region,
        tracking_identifier=highdicom.sr.TrackingIdentifier("1.2.9", "one"),
        finding_type=codes.SCT.Kidney,
    )
    person = highdicom.sr.PersonObserverIdentifyingAttributes(name="Doe^Jane")
    observer = highdicom.sr.ObserverContext(codes.DCM.Person, person)
    content = highdicom.sr.MeasurementReport(
        observation_context=highdicom.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
        referenced_images=slices,
    )
    made = highdicom.sr.Comprehensive3DSR(slices, content[0], "1.9.1", 1, "1.9.2", 1, manufacturer="M")
    made.save_as(tmp_path / "hd.dcm")
    (found,), report = read(tmp_path / "hd.dcm", dicom_context(grid))
    assert not report.problems
    assert found.label == "kidney"
    assert found.origin == "import"
    index = grid.to_index(found.shape.rings[0])
    assert np.allclose(index, [(4.5, y, x) for x, y in corners], atol=1e-4)
    _, other = read(tmp_path / "hd.dcm", replace(dicom_context(grid), info=dicom_context(grid, root="8.8").info))
    assert any("not a slice of this one" in str(p) for p in other.problems)


def test_every_problem_is_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "sr.dcm"
    write(path, given(grid), dicom_context(grid))
    data = pydicom.dcmread(path)
    groups = data.ContentSequence[-1].ContentSequence
    groups[0].ContentSequence[3].GraphicData = [1.0, 2.0]
    groups[3].ContentSequence[3].GraphicType = "SPIRAL"
    groups[4].ContentSequence[3].GraphicData = [0.0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    groups[5].ContentSequence[3].ReferencedFrameOfReferenceUID = "5.5"
    pydicom.dcmwrite(path, data)
    found, report = read(path, dicom_context(grid))
    text = "\n".join(map(str, report.problems))
    assert "group 1: 2 numbers are no outline of 3 coordinates" in text
    assert "5 points of type 'SPIRAL' are no outline" in text
    assert "4 points of type 'ELLIPSE' are no outline" in text
    assert "2 frames of reference" in text
    assert len(found) == 3


def test_other_study_flat_images_and_other_files_are_refused(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "sr.dcm"
    write(path, given(grid), context_of(grid, extra=dicom_extra(grid, study="9.9", root="9.8")))
    _, report = read(path, dicom_context(grid))
    assert [p.kind for p in report.problems] == ["image"]
    with pytest.raises(Unsupported, match="no place in a patient"):
        write(path, [], context_of(Grid.pixels((9, 9), "x")))
    (tmp_path / "no.dcm").write_bytes(b"nothing")
    with pytest.raises(DataError):
        read(tmp_path / "no.dcm", dicom_context(grid))


def test_same_annotations_give_same_bytes(tmp_path):
    grid = grids()["axial"]
    for name in "ab":
        write(tmp_path / name, given(grid), dicom_context(grid))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_reports_by_others_are_read(shared_data):
    for path in sorted((shared_data / "dicom/sr_basic/in").glob("*.dcm")):
        if sr.sniff(path):
            found, report = read(path, dicom_context(grids()["axial"]))
            assert all(a.origin == "import" for a in found)
            assert found or report.notes or report.problems

"""RT structure sets: pydicom and dciodvfy read what was written, masks come back, files of other tools are read."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pydicom
import pytest
import shapely
import SimpleITK as sitk

from bigimage.errors import DataError, Unsupported
from bigimage.exchange.painting import outline_mask
from bigimage.formats.door import Context, Report
from bigimage.formats.vector import rtstruct
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Schema
from bigimage.model.mask import Mask
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    RotatedBox,
    Shape,
)
from bigimage.rasterize.solids import inside
from bigimage.sources import dicom
from bigimage.sources.door import OpenOptions
from tests.dciodvfy import errors
from tests.masks import KIDNEY, LIVER, SCHEMA, context_of, dicom_extra, grids, info_of

IDS = [UUID(int=k + 1) for k in range(50)]


def context(grid, **facts):
    info = info_of(grid, **({"extra": dicom_extra(grid)} | facts))
    return Context(info=info, schema=SCHEMA, paint=context_of(grid).paint, trace=outline_mask)


def note(grid, shape: Shape, k: int = 0, label: str = "liver", **facts) -> Annotation:
    return Annotation(id=IDS[k], image="ct", label=label, shape=shape, frame=grid.frame, **facts)


def ring(grid, k: float, y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    index = [(k + 0.5, y0, x0), (k + 0.5, y0, x1), (k + 0.5, y1, x1), (k + 0.5, y1, x0)]
    return grid.to_world(np.asarray(index))


def write(path: Path, annotations, about: Context, **options) -> Report:
    report = Report()
    rtstruct.write(path, annotations, context=about, report=report, options=options)
    return report


def read(path: Path, about: Context):
    report = Report()
    return list(rtstruct.read(path, context=about, report=report, options={})), report


def washer(grid):
    """A square with a square hole on slices 2 to 5, and an island in the hole on slice 3."""
    rings = []
    for k in range(2, 6):
        rings += [ring(grid, k, 3, 4, 20, 25), ring(grid, k, 6, 8, 17, 21)]
    return PlanarContours.of([*rings, ring(grid, 3, 9, 11, 13, 15)])


def bits(shape: PlanarContours, grid: Grid) -> np.ndarray:
    """Voxels whose centres lie within contours by the even-odd rule, by shapely and nothing of ours."""
    out = np.zeros(grid.shape, bool)
    yy, xx = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[2]) + 0.5, indexing="ij")
    for line in shape.rings:
        index = grid.to_index(line)
        k = int(np.floor(index[0, 0]))
        polygon = shapely.Polygon(index[:, 1:]).buffer(0)
        out[k] ^= shapely.contains_xy(polygon, yy.ravel(), xx.ravel()).reshape(yy.shape)
    return out


@pytest.mark.parametrize("name", ["axial", "sagittal", "oblique", "tilted", "uneven", "single"])
@pytest.mark.parametrize("holes", ["xor", "keyhole"])
def test_contours_come_back_with_their_holes(tmp_path, name, holes):
    grid = grids()[name]
    one = [ring(grid, 0, 3, 4, 20, 25), ring(grid, 0, 6, 8, 9, 19)]
    shape = washer(grid) if name != "single" else PlanarContours.of(one)
    path = tmp_path / "rt.dcm"
    report = write(path, [note(grid, shape)], context(grid), holes=holes)
    assert report.lossless
    (found,), reading = read(path, context(grid))
    assert not reading.problems
    assert (found.id, found.label, found.origin, found.frame) == (IDS[0], "liver", "manual", grid.frame)
    assert np.array_equal(bits(found.shape, grid), bits(shape, grid))
    assert np.count_nonzero(bits(shape, grid)) > 100


def test_rings_are_exact(tmp_path):
    grid = grids()["oblique"]
    shape = washer(grid)
    write(tmp_path / "rt.dcm", [note(grid, shape)], context(grid))
    (found,), _ = read(tmp_path / "rt.dcm", context(grid))
    assert len(found.shape.rings) == len(shape.rings)
    for one, other in zip(found.shape.rings, shape.rings, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-9)


def every_shape(grid):
    points = grid.to_world([(1.5, 2, 2), (3.2, 5, 6), (7, 20, 11)])
    line = shapely.LineString(grid.to_world([(2.5, 2, 3), (2.5, 8, 9), (4.1, 12, 20), (6, 1, 1)]))
    flat = shapely.LineString(grid.to_world([(2.5, 2, 3), (2.5, 8, 9), (2.5, 12, 20), (2.5, 1, 1)]))
    bits = np.zeros(grid.shape, bool)
    bits[2:5, 3:9, 4:12], bits[3, 5:7, 6:9], bits[7, 0, 0] = True, False, True
    return [
        note(grid, washer(grid), 0, origin="model:net@2"),
        note(grid, Point(shapely.Point(points[0])), 1, label="kidney"),
        note(grid, MultiPoint(shapely.MultiPoint(points)), 2),
        note(grid, Line(line), 3),
        note(grid, Line(shapely.MultiLineString([flat, line])), 4, origin="import"),
        note(grid, Mask.of(grid, bits), 5, label="Tumör & <Rand>"),
        note(grid, RotatedBox(tuple(points[1]), (4.0, 6.0), (1.0, 0.0, 0.0, 0.0)), 6),
        note(grid, Ellipse(tuple(points[1]), (4.0, 6.0), (1.0, 0.0, 0.0, 0.0)), 7),
    ]


@pytest.mark.parametrize("name", ["axial", "oblique", "uneven"])
def test_checker_finds_no_error(tmp_path, name):
    grid = grids()[name]
    write(tmp_path / "rt.dcm", every_shape(grid), context(grid), author="Doe^Jane")
    assert errors(tmp_path / "rt.dcm") == []
    write(tmp_path / "bare.dcm", every_shape(grid), context(grid, extra={}))
    assert errors(tmp_path / "bare.dcm") == []


def test_every_number_is_a_short_decimal_string(tmp_path):
    grid = grids()["oblique"]
    write(tmp_path / "rt.dcm", every_shape(grid), context(grid))
    data = pydicom.dcmread(tmp_path / "rt.dcm")
    texts = []
    for roi in data.ROIContourSequence:
        for contour in roi.ContourSequence:
            texts += contour.get_item(0x30060050).value.decode().strip().split("\\")
    assert len(texts) > 100
    assert max(map(len, texts)) <= 16


def test_every_shape_comes_back_as_the_format_says(tmp_path):
    grid = grids()["oblique"]
    given = every_shape(grid)
    report = write(tmp_path / "rt.dcm", given, context(grid))
    found, reading = read(tmp_path / "rt.dcm", context(grid))
    assert not reading.problems
    assert [a.id for a in found] == [a.id for a in given]
    assert [a.label for a in found] == [a.label for a in given]
    assert [a.origin for a in found] == [a.origin for a in given]
    assert [type(a.shape) for a in found] == [
        *(PlanarContours, Point, MultiPoint, Line, Line, PlanarContours, PlanarContours, PlanarContours)
    ]
    for before, after in zip(given[1:5], found[1:5], strict=True):
        assert np.allclose(
            shapely.get_coordinates(before.shape.geometry, include_z=True),
            shapely.get_coordinates(after.shape.geometry, include_z=True),
            atol=1e-9,
        )
    # a mask's outlines give the very voxels back
    mask = given[5].shape
    assert np.array_equal(bits(found[5].shape, grid), mask.read(grid.box))
    assert {(loss.kind, loss.what) for loss in report.losses} == {
        ("approximated", what) for what in ("mask", "rotated-box", "ellipse")
    }


def test_contours_name_their_slice(tmp_path):
    grid = grids()["uneven"]
    between = PlanarContours.of([grid.to_world([(4.1, 2, 2), (4.1, 9, 2), (4.1, 9, 9)])])
    write(tmp_path / "rt.dcm", [note(grid, washer(grid)), note(grid, between, 1)], context(grid))
    data = pydicom.dcmread(tmp_path / "rt.dcm")
    for contour in data.ROIContourSequence[0].ContourSequence:
        k = int(grid.to_index(np.array(contour.ContourData[:3], float))[0])
        assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.5.{k + 1}"
    assert "ContourImageSequence" not in data.ROIContourSequence[1].ContourSequence[0]
    series = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(series.ContourImageSequence) == 9


def test_names_are_unique_and_labels_kept(tmp_path):
    grid = grids()["axial"]
    long = "a label of more than sixty-four characters, as people who describe things at length write them"
    notes = [note(grid, washer(grid), k, label=label) for k, label in enumerate(["liver", "liver", long])]
    write(tmp_path / "rt.dcm", notes, context(grid))
    data = pydicom.dcmread(tmp_path / "rt.dcm")
    names = [roi.ROIName for roi in data.StructureSetROISequence]
    assert names[:2] == ["liver", "liver 2"]
    assert len(names[2]) <= 64
    found, _ = read(tmp_path / "rt.dcm", context(grid))
    assert [a.label for a in found] == ["liver", "liver", long]


def test_labels_are_told_with_their_colours_and_codes(tmp_path):
    grid = grids()["axial"]
    notes = [note(grid, washer(grid), k, label=label) for k, label in enumerate(["liver", "liver", "kidney"])]
    write(tmp_path / "rt.dcm", notes, context(grid))
    _, report = read(tmp_path / "rt.dcm", replace(context(grid), schema=Schema()))
    assert {n: (x.value, x.color, x.code) for n, x in report.labels.items()} == {
        x.name: (0, x.color, x.code) for x in (LIVER, KIDNEY)
    }


def test_what_has_no_contours_is_told(tmp_path):
    grid = grids()["axial"]
    between = note(grid, Cuboid((0, 0, 0), (1, 2, 0.1)), 0)
    points = note(grid, Keypoints(((0, 0, 0), None), (2, 0)), 1)
    full = note(grid, washer(grid), 2, attributes={"a": 1}, score=0.5)
    report = write(tmp_path / "rt.dcm", [between, points, full], context(grid))
    assert report.written == 1
    assert {(loss.kind, loss.what) for loss in report.losses} == {
        ("dropped", what) for what in ("cuboid", "keypoints", "attributes", "score")
    }


@pytest.mark.parametrize("name", ["axial", "oblique", "tilted", "uneven"])
def test_solids_become_contours_where_slices_cut_them(tmp_path, name):
    grid = grids()[name]
    middle = tuple(grid.to_world((4.6, 12.3, 14.2)).tolist())
    half = np.array([3.1, 4.2, 5.3])
    turn = (0.9, 0.3, -0.2, np.sqrt(1 - 0.94))
    solids = [
        Box(tuple(np.subtract(middle, half)), tuple(np.add(middle, half))),
        Cuboid(middle, tuple(2 * half), turn),
        Ellipse(middle, tuple(half), turn),
    ]
    path = tmp_path / "rt.dcm"
    report = write(path, [note(grid, shape, k) for k, shape in enumerate(solids)], context(grid))
    assert {(loss.kind, loss.what) for loss in report.losses} == {
        ("approximated", what) for what in ("box", "cuboid", "ellipse")
    }
    assert errors(path) == []
    found, _ = read(path, context(grid))
    for shape, annotation in zip(solids, found, strict=True):
        painted = bits(annotation.shape, grid)
        expected = inside(shape, grid, grid.box)
        assert expected.sum() > 50
        assert np.count_nonzero(painted != expected) <= 0.005 * expected.sum()
    assert {int(v) for v in np.flatnonzero(painted.any(axis=(1, 2)))} == {
        int(v) for v in np.flatnonzero(expected.any(axis=(1, 2)))
    }


def test_a_block_without_thickness_is_one_contour(tmp_path):
    grid = grids()["axial"]
    flat = Box((2.0, 3.0, 4.1), (9.0, 8.0, 4.1))
    write(tmp_path / "rt.dcm", [note(grid, flat)], context(grid))
    (contour,) = pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence
    assert np.asarray(contour.ContourData, float).reshape(-1, 3).tolist() == [
        [2, 3, 4.1],
        [9, 3, 4.1],
        [9, 8, 4.1],
        [2, 8, 4.1],
    ]


def test_flat_images_are_refused(tmp_path):
    flat = Grid.pixels((10, 10), "x")
    with pytest.raises(Unsupported, match="no place in a patient"):
        write(tmp_path / "rt.dcm", [], context_of(flat))
    assert isinstance(flat.frame, PixelFrame)


def test_same_annotations_give_same_bytes(tmp_path):
    grid = grids()["oblique"]
    for name in "ab":
        write(tmp_path / name, every_shape(grid), context(grid))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_contours_of_more_than_64_kilobytes(tmp_path):
    grid = grids()["axial"]
    turn = np.linspace(0, 2 * np.pi, 9000, endpoint=False)
    circle = grid.to_world(np.column_stack([np.full(9000, 3.5), 12 + 9 * np.sin(turn), 15 + 9 * np.cos(turn)]))
    write(tmp_path / "rt.dcm", [note(grid, PlanarContours.of([circle]))], context(grid))
    assert errors(tmp_path / "rt.dcm") == []
    (found,), _ = read(tmp_path / "rt.dcm", context(grid))
    assert np.allclose(found.shape.rings[0][:-1], circle, atol=1e-9)


def broken(path: Path, change) -> None:
    data = pydicom.dcmread(path)
    change(data)
    pydicom.dcmwrite(path, data)


def test_every_problem_is_told_with_its_place(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "rt.dcm"
    write(path, [note(grid, washer(grid), k) for k in range(4)], context(grid))

    def change(data):
        data.StructureSetROISequence[1].ROINumber = 1
        first, _, third, fourth = data.ROIContourSequence
        first.ContourSequence[0].NumberOfContourPoints = 7
        first.ContourSequence[1].ContourData = [*first.ContourSequence[1].ContourData[:-1], 900]
        third.ContourSequence[0].ContourGeometricType = "SPIRAL"
        third.ContourSequence[1].ContourData = None
        fourth.ReferencedROINumber = 77

    broken(path, change)
    _, report = read(path, context(grid))
    text = "\n".join(map(str, report.problems))
    assert "ROI number 1 is given twice" in text
    assert "ROIContourSequence/0/ContourSequence/0: 12 numbers are not the coordinates of the 7 points" in text
    assert "ROIContourSequence/0/ContourSequence/1: points of a closed contour lie up to" in text
    assert "4 points of type 'SPIRAL' are no contour" in text
    assert "a contour has no points" in text
    assert "contours belong to ROI 77, which is not listed" in text


def test_tiny_contours_and_empty_rois_are_left_out_and_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "rt.dcm"
    write(path, [note(grid, washer(grid), k) for k in range(3)], context(grid))

    def change(data):
        for n, contour in enumerate(data.ROIContourSequence[0].ContourSequence[:2], 1):
            contour.ContourData, contour.NumberOfContourPoints = list(contour.ContourData[: 3 * n]), n
        del data.ROIContourSequence[1].ContourSequence
        del data.ROIContourSequence[2]

    broken(path, change)
    (found,), report = read(path, context(grid))
    assert len(found.shape.rings) == len(washer(grid).rings) - 2
    assert not report.problems
    (loss,) = report.losses
    assert (loss.count, loss.what) == (2, "contour")
    assert sum("has no contour" in n for n in report.notes) == 2


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6, 0.95])
def test_truncated_files_never_pass(tmp_path, share):
    grid = grids()["axial"]
    path = tmp_path / "rt.dcm"
    write(path, [note(grid, washer(grid), k) for k in range(3)], context(grid))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        found, report = read(path, context(grid))
    except DataError:
        return
    assert report.problems or report.notes or len(found) < 3


def test_other_study_and_frame_are_problems(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "rt.dcm"
    other = context(grid, extra=dicom_extra(grid, study="9.9", root="9.8"))
    write(path, [note(grid, washer(grid))], other)
    _, report = read(path, context(grid))
    assert [p.kind for p in report.problems] == ["image"]
    broken(path, lambda data: data.StructureSetROISequence[0].__setattr__("ReferencedFrameOfReferenceUID", "5.5"))
    _, report = read(path, context(grid))
    assert sorted(p.kind for p in report.problems) == ["frame", "image"]


def of_folder(folder: Path, pattern: str) -> Context:
    source = dicom.open(sorted(folder.glob(pattern)), image="ct", options=OpenOptions())[0]
    info = source.info
    source.close()
    return Context(info=info, schema=SCHEMA, paint=context_of(info.grid).paint, trace=outline_mask)


def test_structures_become_the_masks_that_they_were_made_of(shared_data):
    folder = shared_data / "dicom/rtstruct_shapes_2mm"
    about = of_folder(folder / "in", "slice*.dcm")
    found, report = read(folder / "in/rtstruct.dcm", about)
    assert not report.problems
    assert {a.label for a in found} >= {"sphere", "torus", "hollow_sphere", "straw"}
    for annotation in found:
        image = sitk.ReadImage(str(folder / f"ref/{annotation.label}.nii.gz"))
        truth = sitk.GetArrayFromImage(image) > 0
        assert np.allclose(image.GetOrigin(), about.grid.to_world((0.5, 0.5, 0.5)), atol=1e-3)
        ours = bits(annotation.shape, about.grid)
        dice = 2 * (truth & ours).sum() / (truth.sum() + ours.sum())
        assert dice > 0.97, (annotation.label, dice)

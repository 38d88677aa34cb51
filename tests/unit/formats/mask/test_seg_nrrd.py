"""Segmentations of 3D Slicer: slicerio, pynrrd and SimpleITK read what was written; Slicer's own files are read."""

from dataclasses import replace

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from bigimage.errors import DataError, Unsupported
from bigimage.formats.door import Segment
from bigimage.formats.mask import seg_nrrd, slicer
from bigimage.geometry.dicom import to_centred
from bigimage.model.labels import Code, Schema
from tests.masks import SEGMENTS, context_of, everything, grids, labels, reread, stream, written

EVEN = ("axial", "flipped", "sagittal", "oblique", "tilted", "single")


def layered(grid):
    """Two layers that overlap, with equal values."""
    layers = np.zeros((2, *grid.shape), np.uint8)
    layers[0, 2:6, 2:10, 2:10] = 1
    layers[1, 4:8, 4:12, 4:12] = 1
    return layers, (SEGMENTS[0], replace(SEGMENTS[1], value=1, layer=1))


@pytest.mark.parametrize("name", EVEN)
def test_slicerio_reads_voxels_place_names_and_codes(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "mask.seg.nrrd"
    report = written(seg_nrrd, path, stream(array, grid), context_of(grid))
    found = slicerio.read_segmentation(str(path))
    assert np.array_equal(np.asarray(found["voxels"]).T, array)
    # written in full: no digit of the place is lost
    assert np.array_equal(found["ijkToLPS"], to_centred(grid, ras=False))
    segments = found["segments"]
    # pynrrd leaves out what is not ASCII; Slicer itself writes UTF-8
    assert [s["name"] for s in segments] == ["liver", "Tumr & <Rand>", "kidney"]
    assert "Tumör".encode() in path.read_bytes()
    assert [s["labelValue"] for s in segments] == [1, 2, 7]
    assert np.allclose(segments[0]["color"], np.array([0xDD, 0x82, 0x65]) / 255, atol=1e-6)
    assert segments[0]["terminology"]["category"] == ["SCT", "91723000", "Anatomical structure"]
    assert segments[2]["terminology"]["type"] == ["SCT", "64033007", "Kidney structure"]
    assert segments[2]["terminology"]["typeModifier"] == ["SCT", "7771000", "Left"]
    assert segments[0]["extent"] == [3, 19, 4, 14, 0, min(4, grid.shape[0] - 1)]
    assert report.lossless


@pytest.mark.parametrize("name", EVEN)
def test_round_trip_is_exact(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(array, grid), context_of(grid))
    mask, report = reread(seg_nrrd, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask)[0], array)
    assert np.allclose(mask.grid.affine, grid.affine, rtol=0, atol=1e-11)
    assert mask.segments == SEGMENTS


def test_labels_come_back_without_the_schema(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels(), grid), context_of(grid))
    mask, _ = reread(seg_nrrd, path, context_of(grid, schema=Schema()))
    assert [s.label for s in mask.segments] == [s.label for s in SEGMENTS]


def test_segments_that_overlap_lie_in_layers(tmp_path):
    grid = grids()["oblique"]
    layers, segments = layered(grid)
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(layers, grid, segments), context_of(grid))
    data, header = nrrd.read(str(path))
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert np.isnan(header["space directions"][0]).all()
    assert np.array_equal(data.transpose(0, 3, 2, 1), layers)
    found = slicerio.read_segmentation(str(path))
    assert [s["layer"] for s in found["segments"]] == [0, 1]
    mask, report = reread(seg_nrrd, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask), layers)
    assert mask.segments == segments


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_wide_values_are_kept(tmp_path, dtype):
    grid = grids()["axial"]
    array = labels(dtype=dtype)
    value = 65535 if dtype == "uint16" else 2**31 - 1
    array[array == 7] = value
    segments = (*SEGMENTS[:2], replace(SEGMENTS[2], value=value))
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(array, grid, segments), context_of(grid))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array)
    mask, _ = reread(seg_nrrd, path, context_of(grid))
    assert np.array_equal(everything(mask)[0], array)


def test_empty_segment_has_slicers_empty_extent(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(np.zeros(grid.shape, "u1"), grid), context_of(grid))
    assert seg_nrrd.header_pairs(path)["Segment0_Extent"] == "0 -1 0 -1 0 -1"
    mask, report = reread(seg_nrrd, path, context_of(grid))
    assert len(mask.segments) == 3
    assert not report.problems


def test_cropped_mask_names_its_place_in_the_image(tmp_path):
    grid = grids()["oblique"]
    part = grid[2:7, 5:20, 3:11]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels()[2:7, 5:20, 3:11], part), context_of(grid))
    pairs = seg_nrrd.header_pairs(path)
    assert pairs["Segmentation_ReferenceImageExtentOffset"] == "3 5 2"
    assert pairs["Segmentation_MasterRepresentation"] == "Binary labelmap"
    mask, _ = reread(seg_nrrd, path, context_of(grid))
    assert np.allclose(mask.grid.affine, part.affine, atol=1e-9)


def test_same_mask_gives_same_bytes(tmp_path):
    grid = grids()["oblique"]
    for name in ("a", "b"):
        written(seg_nrrd, tmp_path / f"{name}.seg.nrrd", stream(labels(), grid), context_of(grid))
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


def test_ras_file_lands_in_the_same_place(tmp_path):
    grid = grids()["oblique"]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels(), grid), context_of(grid))
    data, header = nrrd.read(str(path))
    flip = np.array([-1, -1, 1])
    header["space"] = "right-anterior-superior"
    header["space directions"] = header["space directions"] * flip
    header["space origin"] = header["space origin"] * flip
    nrrd.write(str(path), data, header)
    mask, report = reread(seg_nrrd, path, context_of(grid))
    assert not report.problems
    assert np.allclose(mask.grid.affine, grid.affine, atol=1e-9)
    assert np.array_equal(everything(mask)[0], labels())


def test_ras_numbers_called_lps_are_noticed_where_they_miss_the_image(tmp_path):
    grid = replace(grids()["axial"], affine=((0, 0, 0.7, 150), (0, 0.9, 0, 20), (2.5, 0, 0, 100)))
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels(), grid), context_of(grid))
    raw = path.read_bytes().replace(b"space origin: (", b"space origin: (-")
    path.write_bytes(raw)
    _, report = reread(seg_nrrd, path, context_of(grid))
    assert any("LPS, RAS" in str(problem) for problem in report.problems)


def test_every_problem_of_a_table_is_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels(), grid), context_of(grid))
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    head = head.replace(b"Segment0_LabelValue:=1", b"Segment0_LabelValue:=one")
    head = head.replace(b"Segment1_LabelValue:=2", b"Segment1_LabelValue:=0")
    head = head.replace(b"Segment2_Layer:=0", b"Segment2_Layer:=4")
    path.write_bytes(head + b"\n\n" + voxels)
    _, report = reread(seg_nrrd, path, context_of(grid))
    text = " ".join(map(str, report.problems))
    assert "'one' is not a whole number" in text
    assert "0 is the background" in text
    assert "lies in layer 4" in text
    assert "voxels hold 1, 2, 7, which no segment has" in text


def test_two_segments_of_one_value_are_a_problem(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.seg.nrrd"
    written(seg_nrrd, path, stream(labels(), grid), context_of(grid))
    raw = path.read_bytes().replace(b"Segment1_LabelValue:=2", b"Segment1_LabelValue:=1")
    path.write_bytes(raw)
    _, report = reread(seg_nrrd, path, context_of(grid))
    assert any(problem.kind == "duplicate" for problem in report.problems)


def test_header_without_end_is_refused(tmp_path):
    path = tmp_path / "mask.seg.nrrd"
    path.write_bytes(b"NRRD0004\ntype: unsigned char\n")
    with pytest.raises(DataError):
        reread(seg_nrrd, path, context_of(grids()["axial"]))


def test_uneven_slices_are_refused(tmp_path):
    grid = grids()["uneven"]
    with pytest.raises(Unsupported, match="DICOM SEG"):
        written(seg_nrrd, tmp_path / "m.seg.nrrd", stream(labels(), grid), context_of(grid))


def test_plain_nrrd_labels_get_names_from_the_schema(shared_data):
    path = shared_data / "volumes/brain1/label.nrrd"
    mask, report = reread(seg_nrrd, path, context_of(grids()["axial"]))
    assert [s.label.name for s in mask.segments] == ["liver"]
    assert np.array_equal(everything(mask)[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    assert {p.kind for p in report.problems} <= {"outside"}


def test_segmentation_of_slicer_is_read(shared_data):
    path = shared_data / "volumes/slicer_ctchest/Segmentation.seg.nrrd"
    mask, report = reread(seg_nrrd, path, context_of(grids()["axial"]))
    found = slicerio.read_segmentation(str(path))
    assert np.array_equal(everything(mask)[0], np.asarray(found["voxels"]).T)
    assert [s.label.name for s in mask.segments] == [s["name"] for s in found["segments"]]
    assert np.allclose(to_centred(mask.grid, ras=False), found["ijkToLPS"])
    lung = mask.segments[4]
    assert lung.label.code == Code(scheme="SCT", value="39607008", meaning="Lung")
    assert lung.terms["modifier"].meaning == "Right"
    assert lung.label.color == "#16c547"
    assert {p.kind for p in report.problems} <= {"outside"}


def test_terminology_round_trip():
    segment = Segment(value=1, label=SEGMENTS[2].label, terms=SEGMENTS[2].terms)
    code, terms = slicer.parse_terminology(slicer.terminology(segment))
    assert code == segment.label.code
    assert terms == segment.terms

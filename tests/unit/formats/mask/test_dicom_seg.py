"""Binary DICOM segmentations: highdicom reads every bit at its place, dciodvfy finds no error; others' are read."""

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest

from bigimage.errors import DataError, Unsupported
from bigimage.formats.door import Context, Segment
from bigimage.formats.mask import dicom_seg, format_for
from bigimage.geometry.frame import PatientFrame
from bigimage.model.labels import Label, Schema
from bigimage.sources import dicom
from bigimage.sources.door import OpenOptions
from tests.dciodvfy import errors
from tests.masks import (
    SCHEMA,
    SEGMENTS,
    context_of,
    dicom_context,
    everything,
    grids,
    in_frame,
    labels,
    reread,
    stream,
    written,
)
from tests.volumes import rotation, volume

ALL = ("axial", "flipped", "sagittal", "oblique", "tilted", "uneven", "single")


def frames_of(path):
    """(segment number, position, pixels) of every frame, by pydicom alone."""
    data = pydicom.dcmread(path)
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    groups = data.PerFrameFunctionalGroupsSequence
    assert len(groups) == len(pixels)
    return [
        (
            int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
            np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float),
            frame,
        )
        for group, frame in zip(groups, pixels, strict=True)
    ]


@pytest.mark.parametrize("name", ALL)
def test_every_frame_holds_its_bits_at_its_place(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "seg.dcm"
    report = written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    assert report.lossless
    seen = set()
    for number, position, frame in frames_of(path):
        value = SEGMENTS[number - 1].value
        k = int(np.floor(grid.to_index(position)[0]))
        assert np.allclose(position, grid.to_world((k + 0.5, 0.5, 0.5)), atol=1e-9)
        assert np.array_equal(frame, array[k] == value)
        seen.add((k, value))
    assert seen == {(k, v) for v in (1, 2, 7) for k in range(grid.shape[0]) if (array[k] == v).any()}


@pytest.mark.parametrize("name", ALL)
def test_checker_finds_no_error(tmp_path, name):
    grid = grids()[name]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(grid.shape), grid), dicom_context(grid))
    assert errors(path) == []


def test_checker_finds_no_error_without_source_overlaps_or_codes(tmp_path):
    grid = in_frame(grids()["axial"], PatientFrame("image:ct"))
    plain = [
        Segment(value=1, label=Label(name="a", value=1)),
        Segment(value=1, label=Label(name="b", value=2), layer=1),
    ]
    array = np.ones((2, *grid.shape), "u1")
    path = tmp_path / "seg.dcm"
    report = written(dicom_seg, path, stream(array, grid, plain), context_of(grid))
    assert errors(path) == []
    assert any("no source instances" in note for note in report.notes)
    assert any("marked as unspecified: a, b" in note for note in report.notes)
    item = pydicom.dcmread(path).SegmentSequence[0]
    code = item.SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodingSchemeDesignator, code.CodeValue) == ("99BIGIMAGE", "unspecified")


@pytest.mark.parametrize("name", ["axial", "flipped", "sagittal", "oblique", "single"])
def test_highdicom_reads_the_volume(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    seg = highdicom.seg.segread(path)
    assert [seg.get_segment_description(n).segment_label for n in seg.segment_numbers] == [
        s.label.name for s in SEGMENTS
    ]
    found = seg.get_volume(combine_segments=True)
    # highdicom's indexes run along its own axes: compare voxel by voxel through the world
    at = np.argwhere(found.array > 0)
    world = found.map_indices_to_reference(at)
    index = np.floor(grid.to_index(world)).astype(int)
    values = np.array([0, *(s.value for s in SEGMENTS)])[found.array[tuple(at.T)]]
    assert np.array_equal(array[tuple(index.T)], values)
    assert len(at) == np.count_nonzero(array)


def test_highdicom_finds_frames_by_source_instance(tmp_path):
    grid = grids()["tilted"]
    array = labels()
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    seg = highdicom.seg.segread(path)
    uids = [f"1.2.3.5.{k + 1}" for k in range(9)]
    found = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(np.array([0, 1, 2, 7])[found], array)


def test_frames_of_a_multiframe_source_are_named(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid, frames=True))
    assert errors(path) == []
    data = pydicom.dcmread(path)
    last = data.PerFrameFunctionalGroupsSequence[-1].DerivationImageSequence[0].SourceImageSequence[0]
    assert (last.ReferencedSOPInstanceUID, last.ReferencedFrameNumber) == ("1.2.3.5", 9)


def test_patient_study_and_every_instance_are_named(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid), date="20260102030405", author="Doe^Jane")
    data = pydicom.dcmread(path)
    assert str(data.PatientName) == "Müller^Jörg"
    assert (data.PatientID, data.StudyInstanceUID, data.FrameOfReferenceUID) == ("P-17", "1.2.3.4", grid.frame.uid)
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.6"
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence] == [
        f"1.2.3.5.{k + 1}" for k in range(9)
    ]
    assert (data.ContentDate, data.ContentTime, str(data.ContentCreatorName)) == ("20260102", "030405", "Doe^Jane")


@pytest.mark.parametrize("name", ALL)
def test_round_trip(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    assert format_for(path) == "dicom-seg"
    mask, report = reread(dicom_seg, path, dicom_context(grid))
    assert not report.problems
    assert mask.grid == grid
    numbers = dict(enumerate(SEGMENTS, 1))
    assert mask.segments == tuple(replace(s, value=n) for n, s in numbers.items())
    back = np.array([0, 1, 2, 7])[everything(mask)[0]]
    assert np.array_equal(back, array)


def test_labels_come_back_without_the_schema(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid))
    mask, _ = reread(dicom_seg, path, dicom_context(grid, schema=Schema()))
    for segment, original in zip(mask.segments, SEGMENTS, strict=True):
        label = original.label
        assert (segment.label.name, segment.label.color, segment.label.code, segment.label.definition) == (
            *(label.name, label.color, label.code, label.definition),
        )


def test_overlapping_segments_come_back_in_layers(tmp_path):
    grid = grids()["oblique"]
    layers = np.zeros((2, *grid.shape), "u1")
    layers[0, 2:6, 2:10, 2:10] = 1
    layers[1, 4:8, 4:12, 4:12] = 2
    layers[0, 8, 20:, 20:] = 7
    segments = (SEGMENTS[0], replace(SEGMENTS[1], layer=1), SEGMENTS[2])
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(layers, grid, segments), dicom_context(grid))
    assert pydicom.dcmread(path).SegmentsOverlap == "YES"
    mask, report = reread(dicom_seg, path, dicom_context(grid))
    assert not report.problems
    assert [s.layer for s in mask.segments] == [0, 1, 0]
    back = everything(mask)
    assert np.array_equal(back[0] == 1, layers[0] == 1)
    assert np.array_equal(back[1] == 2, layers[1] == 2)
    assert np.array_equal(back[0] == 3, layers[0] == 7)


def test_rows_that_are_no_whole_bytes(tmp_path):
    # 7 x 11 pixels: frames begin in the middle of bytes
    grid = in_frame(volume((5, 7, 11), [(0, 0, 2), (0, 1, 0), (1, 0, 0)]))
    rng = np.random.default_rng(5)
    array = rng.choice(np.array([0, 1, 2, 7], "u1"), grid.shape)
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    assert errors(path) == []
    for number, position, frame in frames_of(path):
        k = int(np.floor(grid.to_index(position)[0]))
        assert np.array_equal(frame, array[k] == SEGMENTS[number - 1].value)
    mask, _ = reread(dicom_seg, path, dicom_context(grid))
    assert np.array_equal(np.array([0, 1, 2, 7])[everything(mask)[0]], array)


def test_cropped_mask_comes_back_on_a_crop_of_the_image(tmp_path):
    grid = grids()["uneven"]
    part = grid[2:7, 5:20, 3:11]
    array = labels()[2:7, 5:20, 3:11]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, part), dicom_context(grid))
    mask, report = reread(dicom_seg, path, dicom_context(grid))
    assert not report.problems
    assert mask.grid == grid[:, 5:20, 3:11]
    assert np.array_equal(np.array([0, 1, 2, 7])[everything(mask)[0][2:7]], array)


def test_oblique_mask_on_an_axial_image_names_the_slices_it_runs_through(tmp_path):
    image = grids()["axial"]
    turned = rotation((0.1, 0.2, 0.3))
    grid = in_frame(
        volume((4, 8, 10), [turned[:, 2] * 3, turned[:, 1] * 1.5, turned[:, 0] * 1.5], origin=(-25, 25, 105))
    )
    array = np.ones(grid.shape, "u1")
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(image))
    assert errors(path) == []
    data = pydicom.dcmread(path)
    for k, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        named = [i.ReferencedSOPInstanceUID for i in group.DerivationImageSequence[0].SourceImageSequence]
        corners = [(k + 0.5, y, x) for y in (0.5, 7.5) for x in (0.5, 9.5)]
        depth = image.to_index(grid.to_world(corners))[:, 0]
        expected = range(max(0, int(depth.min())), min(8, int(depth.max())) + 1)
        assert named == [f"1.2.3.5.{n + 1}" for n in expected]
    mask, report = reread(dicom_seg, path, dicom_context(image))
    assert not report.problems
    assert np.allclose(mask.grid.affine, grid.affine, atol=1e-6)
    assert np.array_equal(everything(mask)[0], array)


def test_coarser_mask_names_both_slices_that_it_lies_between(tmp_path):
    image = grids()["axial"]
    grid = image[:8].coarsen(2)
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(np.ones(grid.shape, "u1"), grid), dicom_context(image))
    group = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence[1]
    named = [i.ReferencedSOPInstanceUID for i in group.DerivationImageSequence[0].SourceImageSequence]
    assert named == ["1.2.3.5.3", "1.2.3.5.4"]
    mask, _ = reread(dicom_seg, path, dicom_context(image))
    assert np.allclose(mask.grid.affine, grid.affine, atol=1e-9)


def test_gaps_between_frames_are_background_where_no_image_tells(tmp_path):
    grid = grids()["oblique"]
    array = np.zeros(grid.shape, "u1")
    array[[1, 2, 5, 7]] = 1
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(array, grid), dicom_context(grid))
    far = replace(grid, affine=tuple((a, b, c, d + 0.3) for a, b, c, d in grid.affine))
    mask, _ = reread(dicom_seg, path, dicom_context(far))
    assert mask.grid.shape == (7, 24, 30)
    assert np.array_equal(everything(mask)[0], array[1:8])
    assert np.allclose(mask.grid.to_world((0.5, 0.5, 0.5)), grid.to_world((1.5, 0.5, 0.5)), atol=1e-6)


def test_empty_mask_is_a_file_with_one_empty_frame(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(np.zeros(grid.shape, "u1"), grid), dicom_context(grid))
    assert errors(path) == []
    mask, report = reread(dicom_seg, path, dicom_context(grid))
    assert not report.problems
    assert not everything(mask).any()
    assert len(mask.segments) == 3


def test_same_mask_gives_same_bytes_and_another_one_another_identity(tmp_path):
    grid = grids()["axial"]
    array = labels()
    for name in ("a", "b"):
        written(dicom_seg, tmp_path / name, stream(array, grid), dicom_context(grid))
    array[4, 4, 4] = 2
    written(dicom_seg, tmp_path / "c", stream(array, grid), dicom_context(grid))
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    first, other = pydicom.dcmread(tmp_path / "a"), pydicom.dcmread(tmp_path / "c")
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == other.SeriesInstanceUID
    assert c != a


def test_objects_keep_their_identity(tmp_path):
    grid = grids()["axial"]
    one = replace(SEGMENTS[0], instance="7f0e", name="liver of patient")
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid, [one, *SEGMENTS[1:]]), dicom_context(grid))
    assert errors(path) == []
    mask, _ = reread(dicom_seg, path, dicom_context(grid))
    assert (mask.segments[0].instance, mask.segments[0].name, mask.segments[0].label.name) == (
        *("7f0e", "liver of patient", "liver"),
    )


def test_long_names_are_cut_and_told(tmp_path):
    grid = grids()["axial"]
    named = Segment(value=1, label=Label(name="x" * 80, value=1))
    mask = stream(np.ones(grid.shape, "u1"), grid, [named])
    report = written(dicom_seg, tmp_path / "s.dcm", mask, dicom_context(grid))
    (loss,) = report.losses
    assert (loss.kind, loss.what) == ("approximated", "name")


def test_segmentation_of_another_study_is_a_problem(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid, study="9.9", root="9.8"))
    _, report = reread(dicom_seg, path, dicom_context(grid))
    assert [p.kind for p in report.problems] == ["image"]
    assert "another study (9.9)" in str(report.problems[0])


def test_segmentation_in_another_frame_of_reference_is_a_problem(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid))
    other = in_frame(grid, PatientFrame("5.5.5"))
    _, report = reread(dicom_seg, path, dicom_context(other))
    assert [p.kind for p in report.problems] == ["frame"]


def edited(path, change):
    data = pydicom.dcmread(path)
    change(data)
    pydicom.dcmwrite(path, data)


def test_every_problem_is_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid))

    def change(data):
        data.SegmentSequence[1].SegmentNumber = 1
        data.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 40
        data.FrameOfReferenceUID = "5.5.5"

    edited(path, change)
    _, report = reread(dicom_seg, path, dicom_context(grid))
    text = " ".join(map(str, report.problems))
    assert "segment number 1 is given twice" in text
    assert "no segment has the number 40" in text
    assert "frame of reference 5.5.5" in text


def test_frames_without_place_are_refused(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid))
    edited(path, lambda data: data.PerFrameFunctionalGroupsSequence[2].__delattr__("PlanePositionSequence"))
    with pytest.raises(DataError, match=r"1 of .* frames have no Image Position"):
        reread(dicom_seg, path, dicom_context(grid))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, share):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), dicom_context(grid))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DataError):
        reread(dicom_seg, path, dicom_context(grid))


def test_frame_of_reference_made_for_an_image_without_one_comes_back(tmp_path):
    grid = in_frame(grids()["axial"], PatientFrame("image:ct"))
    path = tmp_path / "seg.dcm"
    written(dicom_seg, path, stream(labels(), grid), context_of(grid))
    mask, report = reread(dicom_seg, path, context_of(grid))
    assert not report.problems
    assert mask.grid.frame == grid.frame
    assert not any("taken to lie" in note for note in report.notes)


def test_sheared_rows_are_refused(tmp_path):
    grid = in_frame(volume((3, 4, 5), [(0, 0, 2), (0.3, 1, 0), (1, 0, 0)]))
    mask = stream(np.ones(grid.shape, "u1"), grid, SEGMENTS[:1])
    with pytest.raises(Unsupported, match="orientation"):
        written(dicom_seg, tmp_path / "s.dcm", mask, dicom_context(grid))


@pytest.mark.parametrize("name", ["liver.dcm", "liver_deflate.dcm", "liver_expb.dcm", "liver_rle.dcm"])
def test_segmentations_of_dcmqi_are_read(shared_data, name):
    folder = shared_data / "dicom/seg_liver/in"
    data = pydicom.dcmread(folder / "liver.dcm")
    (ct,) = dicom.open(sorted(folder.glob("0*.dcm")), image="ct", options=OpenOptions())
    info = ct.info
    context = Context(info=info, schema=SCHEMA, paint=dicom_context(info.grid).paint)
    mask, report = reread(dicom_seg, folder / name, context)
    assert not report.problems
    assert mask.grid == info.grid
    truth = np.zeros(info.grid.shape, bool)
    for group, frame in zip(data.PerFrameFunctionalGroupsSequence, data.pixel_array, strict=True):
        k = int(info.grid.to_index(np.array(group.PlanePositionSequence[0].ImagePositionPatient, float))[0])
        truth[k] = frame
    assert np.array_equal(everything(mask)[0] == 1, truth)
    assert mask.segments[0].label.code.value == data.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue
    ct.close()

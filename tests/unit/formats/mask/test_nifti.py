"""NIfTI label volumes: nibabel and SimpleITK find every voxel where it was; labels come back."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.formats.mask import nifti
from bigimage.geometry.dicom import to_centred
from tests.masks import SEGMENTS, context_of, everything, grids, labels, reread, stream, written

EVEN = ("axial", "flipped", "sagittal", "oblique", "tilted", "single")


def lps_of(point_ras: np.ndarray) -> np.ndarray:
    return point_ras * [-1, -1, 1]


@pytest.mark.parametrize("name", EVEN)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_places_every_voxel_where_the_grid_does(tmp_path, name, suffix):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / f"mask{suffix}"
    report = written(nifti, path, stream(array, grid), context_of(grid))
    image = nibabel.load(path)
    assert np.array_equal(np.asarray(image.dataobj).T, array)
    assert image.get_data_dtype() == np.uint8
    at = np.argwhere(np.ones(grid.shape))
    world = lps_of(nibabel.affines.apply_affine(image.affine, at[:, ::-1]))
    # the header holds single precision
    assert np.allclose(world, grid.to_world(at + 0.5), atol=2e-5)
    assert report.lossless
    assert report.written == 3


@pytest.mark.parametrize("name", [name for name in EVEN if name != "tilted"])
def test_qform_and_sform_agree(tmp_path, name):
    grid = grids()[name]
    path = tmp_path / "mask.nii.gz"
    written(nifti, path, stream(labels(grid.shape), grid), context_of(grid))
    header = nibabel.load(path).header
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    assert (scode, qcode) == (1, 1)
    assert np.allclose(sform, qform, atol=1e-4)
    assert header.get_xyzt_units() == ("mm", "sec")
    image = sitk.ReadImage(str(path))
    corner = image.TransformContinuousIndexToPhysicalPoint([0.0, 0.0, 0.0])
    assert np.allclose(corner, grid.to_world((0.5, 0.5, 0.5)), atol=1e-4)


def test_shear_stands_in_the_sform_alone_and_is_said(tmp_path):
    grid = grids()["tilted"]
    path = tmp_path / "mask.nii"
    report = written(nifti, path, stream(labels(), grid), context_of(grid))
    header = nibabel.load(path).header
    assert int(header["qform_code"]) == 0
    assert int(header["sform_code"]) == 1
    assert any("sheared" in note for note in report.notes)


@pytest.mark.parametrize("name", EVEN)
def test_round_trip(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "mask.nii.gz"
    written(nifti, path, stream(array, grid), context_of(grid))
    mask, report = reread(nifti, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask)[0], array)
    assert mask.grid.shape == grid.shape
    assert mask.grid.frame == grid.frame
    assert np.allclose(mask.grid.affine, grid.affine, atol=2e-5)
    assert [(s.value, s.label.name, s.label.color) for s in mask.segments] == [
        (s.value, s.label.name, s.label.color) for s in SEGMENTS
    ]
    assert any("names no frame of reference" in note for note in report.notes)


def test_names_come_back_without_the_schema(tmp_path):
    from bigimage.model.labels import Schema

    grid = grids()["axial"]
    path = tmp_path / "mask.nii.gz"
    written(nifti, path, stream(labels(), grid), context_of(grid))
    mask, _ = reread(nifti, path, context_of(grid, schema=Schema()))
    assert [(s.value, s.label.name, s.label.color) for s in mask.segments] == [
        (s.value, s.label.name, s.label.color) for s in SEGMENTS
    ]


def test_same_mask_gives_same_bytes(tmp_path):
    grid = grids()["oblique"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(nifti, tmp_path / name / f"{name}.nii.gz", stream(labels(), grid), context_of(grid))
    assert (tmp_path / "a/a.nii.gz").read_bytes() == (tmp_path / "b/b.nii.gz").read_bytes()


def test_wide_values_are_kept(tmp_path):
    from bigimage.formats.door import Segment
    from bigimage.model.labels import Label

    grid = grids()["axial"]
    array = labels(dtype="uint32")
    array[array == 7] = 2**31 - 1
    last = Segment(value=2**31 - 1, label=Label(name="last", value=2**31 - 1))
    path = tmp_path / "mask.nii.gz"
    written(nifti, path, stream(array, grid, [*SEGMENTS[:2], last]), context_of(grid))
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj).T, array)
    mask, _ = reread(nifti, path, context_of(grid))
    assert np.array_equal(everything(mask)[0], array)


def test_overlapping_layers_become_one_and_each_loss_is_counted(tmp_path):
    grid = grids()["axial"]
    layers = np.zeros((2, *grid.shape), np.uint8)
    layers[0, 2:6, 2:10, 2:10] = 1
    layers[1, 4:8, 4:12, 4:12] = 1
    segments = [SEGMENTS[0], type(SEGMENTS[1])(value=1, label=SEGMENTS[1].label, layer=1)]
    path = tmp_path / "mask.nii"
    report = written(nifti, path, stream(layers, grid, segments), context_of(grid))
    flat = np.asarray(nibabel.load(path).dataobj).T
    assert np.array_equal(flat == 2, layers[1] == 1)
    assert np.array_equal(flat == 1, (layers[0] == 1) & (layers[1] == 0))
    (loss,) = report.losses
    assert loss.kind == "dropped"
    assert loss.message.startswith(f"{2 * 6 * 6} pixels of 'liver'")


def test_uneven_slices_and_fractions_are_refused(tmp_path):
    grid = grids()["uneven"]
    with pytest.raises(Unsupported, match="uneven"):
        written(nifti, tmp_path / "m.nii", stream(labels(), grid), context_of(grid))
    even = grids()["axial"]
    with pytest.raises(Unsupported, match="fractions"):
        written(nifti, tmp_path / "m.nii", stream(labels().astype("f4"), even, fractional=True), context_of(even))


def test_values_without_a_segment_are_refused(tmp_path):
    grid = grids()["axial"]
    with pytest.raises(DataError, match="layer 0 holds the value 7"):
        written(nifti, tmp_path / "m.nii", stream(labels(), grid, SEGMENTS[:2]), context_of(grid))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 5, 6), 0.5, "f4"), "whole numbers"),
        (np.full((4, 5, 6), -3, "i2"), "reach from -3"),
    ],
)
def test_what_is_no_label_volume_is_a_problem(tmp_path, array, message):
    path = tmp_path / "m.nii"
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 1, 1])), path)
    _, report = reread(nifti, path, context_of(grids()["axial"]))
    assert any(message in str(problem) for problem in report.problems)


def test_voxels_without_a_number_are_background_and_told(tmp_path):
    path = tmp_path / "m.nii"
    array = np.full((4, 5, 6), np.nan, "f4")
    array[1:3] = 2
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 1, 1])), path)
    mask, report = reread(nifti, path, context_of(grids()["axial"]))
    assert np.array_equal(everything(mask)[0], np.nan_to_num(array).T)
    assert any("NaN" in note for note in report.notes)


def test_scaled_labels_and_a_mask_beside_its_image_are_problems(tmp_path):
    path = tmp_path / "m.nii"
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), "u1"), np.eye(4) + np.outer([1, 1, 1, 0], [0, 0, 0, 5000]))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([2.0, 1.0], "<f4").tobytes()
    path.write_bytes(raw)
    _, report = reread(nifti, path, context_of(grids()["axial"]))
    text = " ".join(map(str, report.problems))
    assert "scaled" in text
    assert "wholly beside image ct" in text


def test_float_labels_by_others_are_read(tmp_path):
    array = labels().astype("f8")
    grid = grids()["flipped"]
    path = tmp_path / "m.nii.gz"
    from bigimage.geometry.dicom import to_centred

    nibabel.save(nibabel.Nifti1Image(array.T, to_centred(grid, ras=True)), path)
    mask, report = reread(nifti, path, context_of(grid))
    assert not report.problems
    assert mask.dtype == "uint8"
    assert np.array_equal(everything(mask)[0], labels())
    assert [s.label.name for s in mask.segments] == ["liver", "Tumör & <Rand>", "kidney"]  # by their values


def test_table_with_entities_is_not_used():
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><LabelTable><Label Key="1">&a;</Label></LabelTable>'
    with pytest.raises(DataError, match="entities"):
        nifti.parse_table(bomb)


def test_table_in_an_unknown_encoding_is_not_used():
    table = b'<?xml version="1.0" encoding="UTF-3"?><LabelTable><Label Key="1">a</Label></LabelTable>'
    with pytest.raises(DataError, match="unknown encoding"):
        nifti.parse_table(table)


def test_truncated_files_are_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.nii.gz"
    written(nifti, path, stream(labels(), grid), context_of(grid))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        reread(nifti, path, context_of(grid))
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-100]))
    with pytest.raises(DataError, match="cut short"):
        reread(nifti, path, context_of(grid))


def test_label_table_of_totalsegmentator_is_read(shared_data):
    path = shared_data / "volumes/totalseg_ct3mm/seg_multilabel.nii.gz"
    image = nibabel.load(path)
    mask, report = reread(nifti, path, context_of(grids()["axial"]))
    names = {s.value: s.label.name if not s.name else s.name for s in mask.segments}
    assert names[5] == "liver"
    assert len(names) == len(np.unique(np.asarray(image.dataobj))) - 1
    assert np.array_equal(everything(mask)[0], np.asarray(image.dataobj).T)
    assert not [p for p in report.problems if p.kind != "outside"]


def several(path, volumes, grid):
    """A NIfTI file of several volumes (z, y, x) along its fourth axis, as classifiers write their channels."""
    affine = np.diag([-1, -1, 1, 1]) @ to_centred(grid, ras=False)
    nibabel.save(nibabel.Nifti1Image(np.stack([v.T for v in volumes], axis=-1).astype(np.uint8), affine), path)
    return path


def test_files_of_several_volumes_are_read_as_chosen(tmp_path):
    grid = grids()["oblique"]
    organs = [labels() == 1, labels() == 2, labels() == 7]
    path = several(tmp_path / "channels.nii.gz", organs, grid)
    with pytest.raises(Unsupported, match=r"3 volumes along its fourth axis; choose one with -o volume=0 … 2"):
        reread(nifti, path, context_of(grid))
    mask, report = reread(nifti, path, context_of(grid), volume="2")
    assert np.array_equal(everything(mask)[0], organs[2])
    assert [segment.label.name for segment in mask.segments] == ["liver"]
    mask, report = reread(nifti, path, context_of(grid), volume="all")
    assert not report.problems
    assert any("each of its 3 layers is taken for a class" in note for note in report.notes)
    assert np.array_equal(everything(mask), organs)
    # the schema's labels of the values 1, 2 and 3, of which it has no third
    assert [(s.layer, s.value, s.label.name) for s in mask.segments] == [
        (0, 1, "liver"),
        (1, 1, "Tumör & <Rand>"),
        (2, 1, "label 3"),
    ]
    for wrong in ("3", "-1", "x"):
        with pytest.raises(InputError, match="from 0 to 2, or all"):
            reread(nifti, path, context_of(grid), volume=wrong)


def test_layers_whose_values_differ_keep_them_and_others_are_refused(tmp_path):
    grid = grids()["axial"]
    whole = labels()
    path = several(tmp_path / "a.nii", [whole * (whole == 1), whole * (whole > 1)], grid)
    mask, report = reread(nifti, path, context_of(grid), volume="all")
    assert [(s.layer, s.value, s.label.name) for s in mask.segments] == [
        (0, 1, "liver"),
        (1, 2, "Tumör & <Rand>"),
        (1, 7, "kidney"),
    ]
    assert np.array_equal(everything(mask).max(axis=0), whole)
    path = several(tmp_path / "b.nii", [whole, whole], grid)
    _, report = reread(nifti, path, context_of(grid), volume="all")
    assert "2 layers hold the same values" in str(report.problems[0])


def test_no_layer_of_a_file_of_vectors_is_lost(tmp_path):
    grid = grids()["axial"]
    vectors = np.stack([(labels() == 1).T, (labels() == 7).T], axis=-1)[:, :, :, None, :]
    path = tmp_path / "vectors.nii"
    nibabel.save(
        nibabel.Nifti1Image(vectors.astype(np.uint8), np.diag([-1, -1, 1, 1]) @ to_centred(grid, ras=False)), path
    )
    mask, report = reread(nifti, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask), [labels() == 1, labels() == 7])
    assert [s.label.name for s in mask.segments] == ["liver", "Tumör & <Rand>"]

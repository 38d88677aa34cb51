"""Label maps: highdicom reads every voxel at its place in every compression; label maps of highdicom are read."""

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from bigimage.errors import DataError, InputError
from bigimage.formats.mask import dicom_seg, dicom_seg_labelmap, format_for
from tests.masks import SEGMENTS, dicom_context, everything, grids, in_frame, labels, reread, stream, written
from tests.scanning import ct_series
from tests.volumes import volume

ALL = ("axial", "flipped", "sagittal", "oblique", "tilted", "uneven", "single")


@pytest.mark.parametrize("compression", ["jpegls", "rle", "none"])
@pytest.mark.parametrize("wide", [False, True])
def test_highdicom_reads_every_voxel(tmp_path, compression, wide):
    grid = grids()["oblique"]
    array = labels(dtype="uint16" if wide else "uint8")
    segments = SEGMENTS
    if wide:
        array[array == 7] = 60000
        segments = (*SEGMENTS[:2], replace(SEGMENTS[2], value=60000))
    path = tmp_path / "seg.dcm"
    report = written(
        dicom_seg_labelmap, path, stream(array, grid, segments), dicom_context(grid), compression=compression
    )
    assert report.lossless
    seg = highdicom.seg.segread(path)
    assert seg.segmentation_type == highdicom.seg.SegmentationTypeValues.LABELMAP
    uids = [f"1.2.3.5.{k + 1}" for k in range(9)]
    found = seg.get_pixels_by_source_instance(uids, combine_segments=True, skip_overlap_checks=True)
    assert np.array_equal(found, array)


@pytest.mark.parametrize("name", ["axial", "flipped", "sagittal", "oblique"])
def test_highdicom_places_every_voxel_where_the_grid_does(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "seg.dcm"
    written(dicom_seg_labelmap, path, stream(array, grid), dicom_context(grid))
    found = highdicom.seg.segread(path).get_volume(combine_segments=True)
    at = np.argwhere(found.array > 0)
    index = np.floor(grid.to_index(found.map_indices_to_reference(at))).astype(int)
    assert np.array_equal(array[tuple(index.T)], found.array[tuple(at.T)])
    assert len(at) == np.count_nonzero(array)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("compression", ["jpegls", "rle", "none"])
def test_round_trip(tmp_path, name, compression):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "seg.dcm"
    written(dicom_seg_labelmap, path, stream(array, grid), dicom_context(grid), compression=compression)
    assert format_for(path) == "dicom-seg-labelmap"
    mask, report = reread(dicom_seg_labelmap, path, dicom_context(grid))
    assert not report.problems
    assert mask.grid == grid
    assert mask.segments == SEGMENTS
    assert np.array_equal(everything(mask)[0], array)


@pytest.mark.parametrize("name", ["uneven", "tilted"])
def test_grid_comes_back_where_no_image_tells(tmp_path, name):
    grid = grids()[name]
    path = tmp_path / "seg.dcm"
    written(dicom_seg_labelmap, path, stream(labels(), grid), dicom_context(grid))
    beside = replace(grids()["axial"], affine=((0, 0, 0.7, -29.9), (0, 0.9, 0, 20), (2.5, 0, 0, 100)))
    mask, report = reread(dicom_seg_labelmap, path, dicom_context(beside))
    at = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in grid.shape), indexing="ij"), axis=-1)
    assert np.allclose(mask.grid.to_world(at), grid.to_world(at), atol=1e-6)
    assert any("uneven" in note for note in report.notes) == (name == "uneven")
    assert np.array_equal(everything(mask)[0], labels())


def test_label_map_is_small(tmp_path):
    grid = in_frame(volume((40, 128, 128), [(0, 0, 2), (0, 1, 0), (1, 0, 0)]))
    z, y, x = np.ogrid[:40, :128, :128]
    array = (((z - 20) ** 2 * 4 + (y - 64) ** 2 + (x - 60) ** 2) < 45**2).astype("u1")
    for module, name in ((dicom_seg, "binary"), (dicom_seg_labelmap, "map")):
        written(module, tmp_path / name, stream(array, grid), dicom_context(grid))
    pixels = array.size // 8
    assert (tmp_path / "binary").stat().st_size > pixels * 0.5
    header = 40 * 800 + 6000
    assert (tmp_path / "map").stat().st_size < header + pixels / 5


def test_overlaps_are_counted_as_losses(tmp_path):
    grid = grids()["axial"]
    layers = np.zeros((2, *grid.shape), "u1")
    layers[0, 2:4, 2:6, 2:6] = 1
    layers[1, 3:5, 4:8, 4:8] = 2
    segments = (SEGMENTS[0], replace(SEGMENTS[1], layer=1))
    report = written(dicom_seg_labelmap, tmp_path / "s.dcm", stream(layers, grid, segments), dicom_context(grid))
    (loss,) = report.losses
    assert loss.message.startswith("4 pixels of 'liver'")


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [("BINARY", None), ("LABELMAP", None), ("LABELMAP", RLELossless), ("LABELMAP", JPEGLSLossless)],
)
def test_files_of_highdicom_are_read(tmp_path, kind, syntax):
    grid, datasets = ct_series()
    array = np.zeros(grid.shape, "u1")
    array[1:4, 5:15, 3:20], array[2, 16:20, 10:25] = 1, 3
    array[5:7, 2:9, 2:9] = 2
    codes = pydicom.sr.codedict.codes
    descriptions = [
        highdicom.seg.SegmentDescription(
            n, name, codes.SCT.Organ, codes.SCT.Liver, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for n, name in ((1, "one"), (2, "two"), (3, "three"))
    ]
    seg = highdicom.seg.Segmentation(
        *(datasets, array, kind, descriptions, "1.9.1", 1, "1.9.2", 1, "Maker", "Model", "1", "1"),
        **({} if syntax is None else {"transfer_syntax_uid": syntax}),
    )
    path = tmp_path / "hd.dcm"
    seg.save_as(path)
    module = dicom_seg_labelmap if kind == "LABELMAP" else dicom_seg
    mask, report = reread(module, path, dicom_context(grid, study="1.2.3.4", root="1.2.3.5"))
    assert not report.problems
    assert mask.grid == grid
    assert np.array_equal(everything(mask)[0], array)
    assert [s.name or s.label.name for s in mask.segments] == ["one", "two", "three"]
    assert mask.segments[0].terms["category"].meaning == "Organ"


def test_values_without_a_segment_are_a_problem(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg_labelmap, path, stream(labels(), grid), dicom_context(grid))
    data = pydicom.dcmread(path)
    del data.SegmentSequence[-1]
    pydicom.dcmwrite(path, data)
    _, report = reread(dicom_seg_labelmap, path, dicom_context(grid))
    assert [str(p) for p in report.problems] == ["PixelData: voxels hold [7], which no segment has"]


@pytest.mark.parametrize("compression", ["jpegls", "rle", "none"])
def test_truncated_and_damaged_files_are_refused(tmp_path, compression):
    grid = grids()["axial"]
    path = tmp_path / "seg.dcm"
    written(dicom_seg_labelmap, path, stream(labels(), grid), dicom_context(grid), compression=compression)
    raw = path.read_bytes()
    for share in (0.5, 0.97):
        path.write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(DataError):
            reread(dicom_seg_labelmap, path, dicom_context(grid))


def test_unknown_compression_is_refused(tmp_path):
    grid = grids()["axial"]
    with pytest.raises(InputError, match="jpegls"):
        written(dicom_seg_labelmap, tmp_path / "s", stream(labels(), grid), dicom_context(grid), compression="zip")

"""Fractional segmentations: highdicom reads every fraction, dciodvfy finds no error."""

import highdicom
import numpy as np
import pydicom
import pytest

from bigimage.errors import DataError, InputError
from bigimage.formats.mask import dicom_seg_fractional, format_for
from tests.dciodvfy import errors
from tests.masks import SEGMENTS, dicom_context, everything, grids, labels, reread, stream, written

ALL = ("axial", "flipped", "oblique", "tilted", "uneven")


def fractions(grid, *, steps: int = 255):
    """Two segments that overlap, each a soft ramp; multiples of 1/steps."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    first = np.clip((x - 5) / 20, 0, 1) * (z > 1)
    second = np.clip((y - 3) / 17, 0, 1) * (z < 6)
    return (np.rint(np.stack([first, second]) * steps) / steps).astype("f4")


def segments():
    from dataclasses import replace

    return tuple(replace(s, value=k + 1, layer=k) for k, s in enumerate(SEGMENTS[:2]))


@pytest.mark.parametrize("name", ALL)
def test_round_trip(tmp_path, name):
    grid = grids()[name]
    array = fractions(grid)
    path = tmp_path / "seg.dcm"
    report = written(dicom_seg_fractional, path, stream(array, grid, segments(), fractional=True), dicom_context(grid))
    assert report.lossless
    assert errors(path) == []
    assert format_for(path) == "dicom-seg-fractional"
    mask, read = reread(dicom_seg_fractional, path, dicom_context(grid))
    assert not read.problems
    assert mask.fractional
    assert mask.grid == grid
    assert mask.segments == segments()
    assert np.allclose(everything(mask), array, atol=1e-6)


@pytest.mark.parametrize("compression", ["none", "rle", "jpegls"])
def test_highdicom_reads_every_fraction(tmp_path, compression):
    grid = grids()["oblique"]
    array = fractions(grid)
    path = tmp_path / "seg.dcm"
    mask = stream(array, grid, segments(), fractional=True)
    written(dicom_seg_fractional, path, mask, dicom_context(grid), meaning="probability", compression=compression)
    seg = highdicom.seg.segread(path)
    assert seg.segmentation_fractional_type == highdicom.seg.SegmentationFractionalTypeValues.PROBABILITY
    uids = [f"1.2.3.5.{k + 1}" for k in range(9)]
    found = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    assert np.allclose(np.moveaxis(found, -1, 0), array, atol=1e-6)


def test_rounding_is_a_loss(tmp_path):
    grid = grids()["axial"]
    mask = stream(fractions(grid, steps=1000), grid, segments(), fractional=True)
    report = written(dicom_seg_fractional, tmp_path / "s.dcm", mask, dicom_context(grid))
    assert [(loss.kind, loss.what) for loss in report.losses] == [("rounded", "fractions")]


def test_labels_become_whole_fractions(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "s.dcm"
    written(dicom_seg_fractional, path, stream(labels(), grid), dicom_context(grid))
    mask, _ = reread(dicom_seg_fractional, path, dicom_context(grid))
    assert np.array_equal(everything(mask), np.stack([labels() == v for v in (1, 2, 7)]).astype("f4"))


def test_other_maxima_are_read(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "s.dcm"
    written(dicom_seg_fractional, path, stream(labels(), grid), dicom_context(grid))
    data = pydicom.dcmread(path)
    data.MaximumFractionalValue = 100
    data.PixelData = bytes(np.frombuffer(data.PixelData, "u1") // 255 * 100)
    pydicom.dcmwrite(path, data)
    mask, _ = reread(dicom_seg_fractional, path, dicom_context(grid))
    assert everything(mask).max() == 1.0


def test_numbers_that_are_no_fractions_are_refused(tmp_path):
    grid = grids()["axial"]
    mask = stream(fractions(grid) * 2, grid, segments(), fractional=True)
    with pytest.raises(DataError, match="from 0 to 1"):
        written(dicom_seg_fractional, tmp_path / "s.dcm", mask, dicom_context(grid))
    with pytest.raises(InputError, match="neither occupancy"):
        written(dicom_seg_fractional, tmp_path / "s.dcm", mask, dicom_context(grid), meaning="odds")

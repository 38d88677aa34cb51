"""What segmentations refer to: planes that they touch; the pixels of its instance, of an image without a place."""

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from bigimage.errors import DataError, Unsupported
from bigimage.formats.door import Context
from bigimage.formats.mask import FORMATS
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from tests.dciodvfy import errors
from tests.masks import SEGMENTS, context_of, dicom_context, dicom_extra, everything, grids, reread, stream, written

KINDS = ("dicom-seg", "dicom-seg-labelmap", "dicom-seg-fractional")
RADIOGRAPH = "1.2.840.10008.5.1.4.1.1.1.1"
GRID = Grid.pixels((24, 30), "dx", spacing=(0.2, 0.14))


def context(grid: Grid = GRID, **facts: object) -> Context:
    """An X-ray as it is known from its file."""
    extra = dicom_extra(grid) | {"instances": [[["1.2.3.5.1", None]]], "sop_class": RADIOGRAPH, "modality": "DX"}
    return context_of(grid, id="dx", extra=extra | {"patient_orientation": ["L", "F"]} | facts)


def labels() -> np.ndarray:
    """A blob, a speck in it, and a bar up to the last corner."""
    array = np.zeros(GRID.shape, np.uint8)
    array[4:15, 3:20] = 1
    array[9, 11] = 2
    array[20:, 22:] = 7
    return array


def shown(name: str, path: Path) -> np.ndarray:
    """Pixels of the source instance as highdicom reads them, each with the place of its segment."""
    seg = highdicom.seg.segread(path)
    combine = name != "dicom-seg-fractional"
    found = seg.get_pixels_by_source_instance(["1.2.3.5.1"], combine_segments=combine)[0]
    return found if combine else (found * np.arange(1, 4)).sum(axis=-1)


@pytest.mark.parametrize("name", KINDS)
def test_other_readers_find_the_pixels_by_the_instance(tmp_path, name):
    path = tmp_path / "seg.dcm"
    report = written(FORMATS[name], path, stream(labels(), GRID), context())
    assert report.lossless
    assert errors(path) == [] or name == "dicom-seg-labelmap"
    data = pydicom.dcmread(path)
    assert "FrameOfReferenceUID" not in data
    assert data.PatientOrientation == ["L", "F"]
    reference = data.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == "1.2.3.5.1"
    assert reference.SpatialLocationsPreserved == "YES"
    found = shown(name, path)
    expected = labels() if name == "dicom-seg-labelmap" else np.searchsorted([0, 1, 2, 7], labels())
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", KINDS)
def test_they_come_back_on_the_pixels_of_the_image(tmp_path, name):
    path = tmp_path / "seg.dcm"
    written(FORMATS[name], path, stream(labels(), GRID), context())
    mask, report = reread(FORMATS[name], path, context())
    assert (report.problems, report.notes, mask.grid) == ([], [], GRID)
    assert [segment.label.name for segment in mask.segments] == ["liver", "Tumör & <Rand>", "kidney"]
    whole = everything(mask)
    for segment, value in zip(mask.segments, (1, 2, 7), strict=True):
        bits = whole[segment.layer] > 0.5 if mask.fractional else whole[segment.layer] == segment.value
        assert np.array_equal(bits, labels() == value)
    part = IndexBox((8, 10), (11, 13))
    assert np.array_equal(
        mask.read(1 if mask.fractional else 0, part), everything(mask)[-2 if mask.fractional else 0][part.slices]
    )


def test_lists_of_series_tell_the_types_apart(tmp_path):
    for name in KINDS:
        written(FORMATS[name], tmp_path / name, stream(labels(), GRID), context())
    found = [pydicom.dcmread(tmp_path / name) for name in KINDS]
    told = [data.SeriesDescription for data in found]
    assert told == ["SEG of dx", "SEG (label map) of dx", "SEG (fractions) of dx"]
    assert len({data.SeriesInstanceUID for data in found}) == 3
    written(FORMATS["dicom-seg"], tmp_path / "own", stream(labels(), GRID), context(), description="second reading")
    assert pydicom.dcmread(tmp_path / "own").SeriesDescription == "second reading"


def test_the_same_mask_gives_the_same_bytes_and_another_one_another_identity(tmp_path):
    for name, array in (("a", labels()), ("b", labels()), ("c", labels()[::-1].copy())):
        written(FORMATS["dicom-seg"], tmp_path / name, stream(array, GRID), context())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    uids = {pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in "ac"}
    assert len(uids) == 2


@pytest.mark.parametrize("name", KINDS)
def test_what_has_nothing_to_refer_to_is_refused(tmp_path, name):
    module, mask = FORMATS[name], stream(labels(), GRID)
    for about in (context_of(GRID, id="dx"), context(slide={"origin": [0, 0, 0]})):
        with pytest.raises(Unsupported, match="pixel frame"):
            written(module, tmp_path / "seg.dcm", mask, about)
    part = GRID.crop(IndexBox((0, 0), (12, 30)))
    with pytest.raises(Unsupported, match="not a part"):
        written(module, tmp_path / "seg.dcm", stream(labels()[:12], part), context())


@pytest.mark.parametrize("name", ["dicom-seg", "dicom-seg-fractional"])
def test_frames_beside_the_image_refer_to_none_of_its_planes(tmp_path, name):
    grid = grids()["axial"]
    rows = np.array(grid.affine)
    rows[:, 3] += rows[:, 0] * 4
    above = replace(grid, affine=tuple(map(tuple, rows.tolist())))
    path = tmp_path / "seg.dcm"
    array = np.ones(grid.shape, np.uint8)
    written(FORMATS[name], path, stream(array, above, SEGMENTS[:1]), dicom_context(grid))
    assert errors(path) == []
    frames = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    assert [len(frame.DerivationImageSequence) for frame in frames] == [1] * 5 + [0] * 4
    mask, _ = reread(FORMATS[name], path, dicom_context(grid))
    assert np.array_equal(mask.read(0, mask.grid.box), array)


def test_files_of_other_images_are_refused(tmp_path):
    path = tmp_path / "seg.dcm"
    written(FORMATS["dicom-seg"], path, stream(labels(), GRID), context())
    with pytest.raises(DataError, match="24 × 30 rows and columns, and image dx 24 × 31"):
        reread(FORMATS["dicom-seg"], path, context(Grid.pixels((24, 31), "dx")))
    _, report = reread(FORMATS["dicom-seg"], path, context(instances=[[["1.9", None]]], study="1.2.9"))
    assert "another study" in report.problems[0].message

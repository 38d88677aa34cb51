"""Segmentations of whole slides: highdicom puts their tiles together, and its own files are read."""

from dataclasses import replace
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from bigimage.errors import DataError, Unsupported
from bigimage.formats.dicom import slides
from bigimage.formats.door import Context
from bigimage.formats.mask import FORMATS, fits
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Schema
from bigimage.sources import dicom
from bigimage.sources.door import OpenOptions
from tests.dciodvfy import errors
from tests.masks import context_of, dicom_extra, everything, reread, stream, written

KINDS = ("dicom-seg", "dicom-seg-labelmap", "dicom-seg-fractional")
GRID = Grid.pixels((50, 70), "slide", spacing=(0.004, 0.005))
GLASS = {"origin": [23.4, 25.6], "orientation": [0.0, -1.0, 0.0, -1.0, 0.0, 0.0], "thickness": 0.002}
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(slides, "TILE", 16)


def context(**facts: Any) -> Context:
    """A slide that lies in two files."""
    stacks = [[["1.2.3.5.1", None], ["1.2.3.5.2", None]]]
    extra = dicom_extra(GRID) | {
        "instances": stacks,
        "sop_class": SLIDE,
        "frame_of_reference": "1.2.44",
        "slide": GLASS,
    }
    return context_of(GRID, id="slide", extra=extra | facts)


def labels() -> np.ndarray:
    """A blob over several tiles, a speck in it, a bar up to the last corner."""
    array = np.zeros(GRID.shape, np.uint8)
    array[4:40, 10:35] = 1
    array[20, 20] = 2
    array[45:, 60:] = 7
    return array


def whole(path, name: str) -> np.ndarray:
    """All pixels as highdicom puts them together, as values of labels."""
    seg = highdicom.seg.segread(path)
    if name == "dicom-seg-fractional":
        found = seg.get_total_pixel_matrix(combine_segments=False)
        return (found * [1, 2, 7]).sum(axis=-1)
    found = seg.get_total_pixel_matrix(combine_segments=True)
    return found if name == "dicom-seg-labelmap" else np.array([0, 1, 2, 7])[found]


@pytest.mark.parametrize("name", KINDS)
def test_highdicom_puts_the_tiles_together(tmp_path, name):
    path = tmp_path / "seg.dcm"
    assert fits(name, context().info)
    report = written(FORMATS[name], path, stream(labels(), GRID), context())
    assert report.lossless
    assert errors(path) == [] or name == "dicom-seg-labelmap"
    assert np.array_equal(whole(path, name), labels())
    data = pydicom.dcmread(path)
    assert (data.FrameOfReferenceUID, data.DimensionOrganizationType) == ("1.2.44", "TILED_SPARSE")
    assert (data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns) == GRID.shape
    # tiles without a segment are left out
    assert data.NumberOfFrames < 4 * 5
    (instances,) = (item.ReferencedInstanceSequence for item in data.ReferencedSeriesSequence)
    assert [item.ReferencedSOPInstanceUID for item in instances] == ["1.2.3.5.1", "1.2.3.5.2"]


def test_tiles_are_placed_on_the_glass(tmp_path):
    path = tmp_path / "seg.dcm"
    written(FORMATS["dicom-seg"], path, stream(labels(), GRID), context())
    data = pydicom.dcmread(path)
    to_glass = highdicom.spatial.PixelToReferenceTransformer(
        image_position=(*GLASS["origin"], 0.0), image_orientation=GLASS["orientation"], pixel_spacing=(0.005, 0.004)
    )
    (measures,) = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == [0.005, 0.004]
    seen = set()
    for frame in data.PerFrameFunctionalGroupsSequence:
        (at,) = frame.PlanePositionSlideSequence
        column, row = at.ColumnPositionInTotalImagePixelMatrix, at.RowPositionInTotalImagePixelMatrix
        told = [getattr(at, f"{axis}OffsetInSlideCoordinateSystem") for axis in "XYZ"]
        assert np.allclose(told, to_glass(np.array([[column - 1, row - 1]])), atol=1e-9)
        seen.add((row, column))
    assert {(1, 1), (17, 17), (33, 65)} <= seen


@pytest.mark.parametrize("name", KINDS)
def test_round_trip(tmp_path, name):
    path = tmp_path / "seg.dcm"
    written(FORMATS[name], path, stream(labels(), GRID), context())
    mask, report = reread(FORMATS[name], path, context())
    assert (report.problems, report.notes, mask.grid) == ([], [], GRID)
    found = everything(mask)
    for segment, value in zip(mask.segments, (1, 2, 7), strict=True):
        bits = found[segment.layer] > 0.5 if mask.fractional else found[segment.layer] == segment.value
        assert np.array_equal(bits, labels() == value)
    for box in (IndexBox((14, 15), (18, 33)), IndexBox((49, 69), (50, 70)), IndexBox((0, 40), (3, 50))):
        assert np.array_equal(mask.read(0, box), found[0][box.slices])


def test_a_slide_without_any_segment_has_one_empty_tile(tmp_path):
    for name in KINDS:
        written(FORMATS[name], tmp_path / name, stream(labels() * 0, GRID), context())
        assert pydicom.dcmread(tmp_path / name).NumberOfFrames == 1
        assert not everything(reread(FORMATS[name], tmp_path / name, context())[0]).any()


def test_slides_whose_place_is_not_known_are_refused(tmp_path):
    bare = replace(GRID, frame=PixelFrame("slide"))
    unplaced = [context(slide=GLASS | {"origin": [None, 2.0]}), context(slide=GLASS | {"orientation": []})]
    unplaced.append(replace(context(), info=replace(context().info, grid=bare)))
    for about in unplaced:
        assert not fits("dicom-seg", about.info)
        with pytest.raises(Unsupported, match="pixel frame"):
            written(FORMATS["dicom-seg"], tmp_path / "x", stream(labels(), about.grid), about)


def edited(path, edit):
    data = pydicom.dcmread(path)
    edit(data)
    data.save_as(path)
    return path


def place_of(data: pydicom.Dataset, k: int) -> Any:
    return data.PerFrameFunctionalGroupsSequence[k].PlanePositionSlideSequence[0]


def test_wrong_tiles_are_refused(tmp_path):
    path = tmp_path / "seg.dcm"

    def read_with(edit):
        written(FORMATS["dicom-seg"], path, stream(labels(), GRID), context())
        return reread(FORMATS["dicom-seg"], edited(path, edit), context())

    with pytest.raises(Unsupported, match="row 1, column 8 overlaps"):
        read_with(lambda data: setattr(place_of(data, 0), "ColumnPositionInTotalImagePixelMatrix", 8))
    with pytest.raises(DataError, match="row 65, column 1 lies outside of 50 × 70"):
        read_with(lambda data: setattr(place_of(data, 0), "RowPositionInTotalImagePixelMatrix", 65))
    with pytest.raises(DataError, match="does not say where it lies"):
        read_with(lambda data: delattr(data.PerFrameFunctionalGroupsSequence[0], "PlanePositionSlideSequence"))
    with pytest.raises(DataError, match="49 × 70 rows and columns, and image slide 50 × 70"):
        read_with(lambda data: setattr(data, "TotalPixelMatrixRows", 49))

    def promising(data):
        data.DimensionOrganizationType = "TILED_FULL"
        del data.PerFrameFunctionalGroupsSequence

    with pytest.raises(DataError, match="4 × 5 tiles of each segment"):
        read_with(promising)


def slide(shared_data) -> tuple[pydicom.Dataset, Context]:
    """A real slide as highdicom and as we know it."""
    path = shared_data / "dicom/wsi_small/in/sm_image.dcm"
    (source,) = dicom.open([path], image="slide", options=OpenOptions())
    info = source.info
    source.close()
    return pydicom.dcmread(path), replace(context_of(info.grid), info=info, schema=Schema())


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("order", ["TILED_FULL", "TILED_SPARSE"])
def test_files_of_highdicom_are_read(tmp_path, shared_data, kind, order):
    source, about = slide(shared_data)
    array = np.zeros((1, *about.grid.shape), np.uint8)
    array[0, 5:23, 8:30], array[0, 40:50, 45:50] = 1, 2
    described = [
        highdicom.seg.SegmentDescription(n, name, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for n, name in ((1, "one"), (2, "two"))
    ]
    made = highdicom.seg.Segmentation(
        *([source], array, kind, described, "1.2.99", 1, "1.2.98", 1, "M", "M", "1", "1"),
        tile_pixel_array=True,
        dimension_organization_type=order,
        # it cannot leave out tiles of a source that does not describe its own
        omit_empty_frames=False,
    )
    path = tmp_path / "seg.dcm"
    made.save_as(path)
    name = {"BINARY": "dicom-seg", "FRACTIONAL": "dicom-seg-fractional", "LABELMAP": "dicom-seg-labelmap"}[kind]
    mask, report = reread(FORMATS[name], path, about)
    assert not report.problems
    found = everything(mask)
    for segment, value in zip(mask.segments, (1, 2), strict=True):
        bits = found[segment.layer] > 0.5 if mask.fractional else found[segment.layer] == segment.value
        assert np.array_equal(bits, array[0] == value)


def test_a_real_slide_lies_where_its_file_says(shared_data):
    source, about = slide(shared_data)
    glass = slides.glass_of(about.info)
    assert glass is not None
    assert glass.frame == source.FrameOfReferenceUID
    origin = source.TotalPixelMatrixOriginSequence[0]
    assert glass.origin == (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem)
    (measures,) = source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert (glass.spacing[::-1], glass.thickness) == (tuple(measures.PixelSpacing), measures.SliceThickness)

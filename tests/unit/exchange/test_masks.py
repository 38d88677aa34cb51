"""Masks by others become annotations whose pixels are those of the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.exchange.masks import MaskReader, annotations_of
from bigimage.exchange.vector import file_format
from bigimage.formats.door import Report
from bigimage.formats.mask import FORMATS
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.model.shape import PlanarContours, Polygon
from bigimage.rasterize.burn import burn, prepare
from tests.masks import context_of, dicom_context, grids, labels, stream

UTM = Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), (600, 700), GeoFrame("EPSG:32633"))


def found(mask, context, form="masks"):
    report = Report()
    return list(annotations_of(mask, context=context, report=report, form=form)), report


@pytest.mark.parametrize("name", ["axial", "oblique", "tilted", "uneven"])
def test_segments_on_the_images_voxels_become_masks(name):
    grid = grids()[name]
    array = labels()
    annotations, _ = found(stream(array, grid), dicom_context(grid))
    assert [a.label for a in annotations] == ["liver", "Tumör & <Rand>", "kidney"]
    assert [a.origin for a in annotations] == ["manual", "manual", "model:kidneys@1.4"]
    for annotation, value in zip(annotations, (1, 2, 7), strict=True):
        assert isinstance(annotation.shape, Mask)
        assert annotation.shape.grid == grid
        assert np.array_equal(annotation.shape.read(grid.box), array == value)
    assert len({a.id for a in annotations}) == 3


def test_a_crop_lands_where_it_was_cut():
    grid = grids()["oblique"]
    big = replace(grid, shape=(40, 150, 170))
    rng = np.random.default_rng(2)
    array = rng.choice(np.array([0, 1, 7], "u1"), big.shape)
    part = big[13:37, 61:140, 5:131]
    annotations, _ = found(stream(array[13:37, 61:140, 5:131], part), dicom_context(big))
    for annotation, value in zip(annotations, (1, 7), strict=True):
        truth = np.zeros(big.shape, bool)
        truth[13:37, 61:140, 5:131] = array[13:37, 61:140, 5:131] == value
        assert np.array_equal(annotation.shape.read(big.box), truth)


def inside(shape: PlanarContours, grid: Grid) -> np.ndarray:
    """Voxels whose centres lie within contours by the even-odd rule."""
    out = np.zeros(grid.shape, bool)
    yy, xx = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[2]) + 0.5, indexing="ij")
    for ring in shape.rings:
        index = grid.to_index(ring)
        polygon = shapely.Polygon(index[:, 1:])
        out[int(index[0, 0])] ^= shapely.contains_xy(polygon, yy.ravel(), xx.ravel()).reshape(yy.shape)
    return out


@pytest.mark.parametrize("name", ["axial", "oblique", "uneven"])
def test_outlines_hold_the_same_voxels(name):
    grid = grids()[name]
    array = labels()
    annotations, _ = found(stream(array, grid), dicom_context(grid), "outlines")
    for annotation, value in zip(annotations, (1, 2, 7), strict=True):
        assert np.array_equal(inside(annotation.shape, grid), array == value)


def test_a_mask_on_other_voxels_keeps_its_own_grid():
    image = grids()["axial"]
    own = image[:8].coarsen(2)
    array = np.zeros(own.shape, "u1")
    array[1:3, 2:9, 3:11] = 1
    (annotation,), report = found(stream(array, own), dicom_context(image))
    assert any("other pixels than the image" in note for note in report.notes)
    assert np.array_equal(inside(annotation.shape, own), array == 1)


def test_fractions_are_cut_at_a_half_and_told():
    grid = grids()["axial"]
    array = np.zeros((3, *grid.shape), "f4")
    array[0, 2:5] = 0.4
    array[0, 2:5, 3:9] = 0.5
    mask = stream(array, grid, fractional=True)
    mask = replace(mask, segments=tuple(replace(s, layer=k) for k, s in enumerate(mask.segments)))
    (annotation,), report = found(mask, dicom_context(grid))
    assert np.array_equal(annotation.shape.read(grid.box), array[0] >= 0.5)
    assert [loss.what for loss in report.losses] == ["fractions"]


def scene() -> np.ndarray:
    array = np.zeros(UTM.shape, "u1")
    array[20:300, 40:200], array[80:120, 90:130], array[400:, 300:] = 1, 2, 7
    array[350:380, 10:50] = 1
    return array


def test_flat_masks_become_masks_or_a_polygon_for_each_region():
    array = scene()
    masks, _ = found(stream(array, UTM), context_of(UTM))
    assert all(np.array_equal(m.shape.read(UTM.box), array == v) for m, v in zip(masks, (1, 2, 7), strict=True))
    regions, _ = found(stream(array, UTM), context_of(UTM), "outlines")
    assert [a.label for a in regions] == ["liver", "liver", "Tumör & <Rand>", "kidney"]
    assert all(isinstance(a.shape, Polygon) for a in regions)
    burned = np.zeros(UTM.shape, "u1")
    for annotation, value in zip(regions, (1, 1, 2, 7), strict=True):
        bits = burn(prepare([annotation.shape.geometry], UTM), np.ones(1, np.uint8), UTM.box)
        burned[bits > 0] = value
    assert np.array_equal(burned, array)


def test_a_mask_in_another_crs_comes_as_polygons_in_the_images():
    own = Grid.from_transform((1e-4, 0, 15.0, 0, -1e-4, 45.15), (60, 80), GeoFrame("EPSG:4326"))
    array = np.zeros(own.shape, "u1")
    array[10:30, 20:50] = 1
    (annotation,), report = found(stream(array, own), context_of(UTM))
    assert annotation.frame == UTM.frame
    x, y = annotation.shape.geometry.centroid.coords[0]
    assert 500_000 < x < 501_000
    assert 4_995_000 < y < 5_005_000
    assert any("own grid" in note for note in report.notes)


def test_unknown_forms_are_refused():
    with pytest.raises(InputError, match="masks or outlines"):
        found(stream(labels(), grids()["axial"]), dicom_context(grids()["axial"]), "balls")


@pytest.mark.parametrize("name", ["dicom-seg", "nifti", "seg-nrrd"])
def test_files_are_imported_through_the_door_of_annotations(tmp_path: Path, name: str):
    grid = grids()["oblique"]
    context = replace(dicom_context(grid), source="m.dcm")
    path = tmp_path / f"m{FORMATS[name].SUFFIXES[0]}"
    FORMATS[name].write(path, stream(labels(), grid), context=context, report=Report(), options={})
    assert file_format(path) == name
    reader, report = MaskReader(FORMATS[name]), Report()
    once, again = (list(reader.read(path, context=context, report=report, options={"as": "masks"})) for _ in range(2))
    assert [a.id for a in once] == [a.id for a in again]
    assert [np.count_nonzero(a.shape.read(grid.box)) for a in once] == [int((labels() == v).sum()) for v in (1, 2, 7)]
    with pytest.raises(InputError, match="paint a layer"):
        reader.write(path, [], context=context, report=report, options={})

"""MetaImage label volumes: SimpleITK finds every voxel where it was; labels come back."""

import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.errors import DataError, Unsupported
from bigimage.formats.mask import mha
from bigimage.model.labels import Schema
from tests.masks import SEGMENTS, context_of, everything, grids, labels, reread, stream, written

EVEN = ("axial", "flipped", "sagittal", "oblique", "tilted", "single")


@pytest.mark.parametrize("name", EVEN)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_simpleitk_places_every_voxel_where_the_grid_does(tmp_path, name, dtype):
    grid = grids()[name]
    array = labels(grid.shape, dtype=dtype)
    path = tmp_path / "mask.mha"
    report = written(mha, path, stream(array, grid), context_of(grid))
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    for at in ((0, 0, 0), (29, 23, grid.shape[0] - 1), (7, 0, 0)):
        world = image.TransformIndexToPhysicalPoint(at)
        assert np.allclose(world, grid.to_world(np.array(at[::-1]) + 0.5), atol=1e-9)
    assert report.lossless


@pytest.mark.parametrize("name", EVEN)
def test_round_trip(tmp_path, name):
    grid = grids()[name]
    array = labels(grid.shape)
    path = tmp_path / "mask.mha"
    written(mha, path, stream(array, grid), context_of(grid))
    mask, report = reread(mha, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask)[0], array)
    assert np.allclose(mask.grid.affine, grid.affine, atol=1e-9)
    assert mask.segments == SEGMENTS
    mask, _ = reread(mha, path, context_of(grid, schema=Schema()))
    assert [s.label for s in mask.segments] == [s.label for s in SEGMENTS]


def test_simpleitk_keeps_the_names(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.mha"
    written(mha, path, stream(labels(), grid), context_of(grid))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    assert reader.GetMetaData("Segment0_Name") == "liver"


def test_labels_by_others_get_names_from_the_schema(tmp_path):
    path = tmp_path / "mask.mha"
    image = sitk.GetImageFromArray(labels(dtype="int16"))
    sitk.WriteImage(image, str(path))
    mask, report = reread(mha, path, context_of(grids()["axial"]))
    assert [s.label.name for s in mask.segments] == [s.label.name for s in SEGMENTS]
    assert np.array_equal(everything(mask)[0], labels())
    assert {p.kind for p in report.problems} <= {"outside"}


def test_damage_is_told(tmp_path):
    grid = grids()["axial"]
    path = tmp_path / "mask.mha"
    written(mha, path, stream(labels(), grid), context_of(grid))
    whole = path.read_bytes()
    for cut in (40, len(whole) - 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            reread(mha, path, context_of(grid))


def test_uneven_slices_are_refused(tmp_path):
    grid = grids()["uneven"]
    with pytest.raises(Unsupported, match="uneven"):
        written(mha, tmp_path / "m.mha", stream(labels(), grid), context_of(grid))


def test_no_channel_of_a_file_is_lost(tmp_path):
    grid = grids()["axial"]
    image = sitk.Compose([sitk.GetImageFromArray((labels() == value).astype(np.uint8)) for value in (1, 7)])
    image.SetSpacing(grid.spacing[::-1])
    image.SetOrigin(grid.to_world((0.5, 0.5, 0.5)).tolist())
    sitk.WriteImage(image, tmp_path / "vectors.mha")
    mask, report = reread(mha, tmp_path / "vectors.mha", context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask), [labels() == 1, labels() == 7])
    assert [(s.layer, s.value, s.label.name) for s in mask.segments] == [(0, 1, "liver"), (1, 1, "Tumör & <Rand>")]

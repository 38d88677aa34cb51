"""Pictures of chips as other libraries read them."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
import zarr
from PIL import Image

from bigimage.errors import Unsupported
from bigimage.formats.pictures import check_picture, labels_format, suffix_of, write_labels, write_picture
from tests.annotated import GRIDS

GEO, SCAN = GRIDS["geo"], GRIDS["patient"]
RNG = np.random.default_rng(1)


@pytest.mark.parametrize(("format", "dtype", "bands"), [("png", "uint8", 3), ("png", "uint16", 1), ("png", "uint8", 4)])
def test_pngs_hold_the_pixels(format: str, dtype: str, bands: int, tmp_path: Path) -> None:
    array = RNG.integers(0, np.iinfo(dtype).max, (bands, 30, 40), dtype)
    write_picture(tmp_path / "a.png", array, GEO, format="png")
    found = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.array_equal(found if bands > 1 else found[..., None], np.moveaxis(array, 0, -1))


def test_geotiffs_hold_any_type_and_their_place(tmp_path: Path) -> None:
    array = RNG.normal(size=(7, *GEO.shape)).astype(np.float32)
    write_picture(tmp_path / "a.tif", array, GEO, format="tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert np.array_equal(file.read(), array)
        assert tuple(file.transform)[:6] == GEO.transform


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_nifti_holds_voxels_where_they_lie(dtype: str, tmp_path: Path) -> None:
    array = RNG.integers(0, 100, SCAN.shape).astype(dtype)
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.nii.gz", array[None], SCAN, format="nii")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == dtype
    assert np.array_equal(np.asarray(image.dataobj).transpose(), array)
    x, y, z = SCAN.to_world((3.5, 4.5, 5.5))
    assert image.affine @ (5, 4, 3, 1) == pytest.approx([-x, -y, z, 1])


def test_zarr_holds_the_names_of_its_axes(tmp_path: Path) -> None:
    array = RNG.integers(0, 100, (2, *SCAN.shape), np.int16)
    write_picture(tmp_path / "a.zarr", array, SCAN, format="zarr")
    write_labels(tmp_path / "b.zarr", array[0].astype(np.uint8), SCAN, format="zarr")
    image, labels = (zarr.open_array(tmp_path / f"{n}.zarr", mode="r") for n in "ab")
    assert (image.metadata.dimension_names, labels.metadata.dimension_names) == (("c", "z", "y", "x"), ("z", "y", "x"))
    assert np.array_equal(image[...], array)
    assert image.attrs["affine"] == [list(row) for row in SCAN.affine]


def test_labels_keep_their_values(tmp_path: Path) -> None:
    values = RNG.integers(0, 60_000, (30, 40), np.uint16)
    assert (labels_format("jpg"), suffix_of("nii")) == ("png", ".nii.gz")
    write_labels(tmp_path / "a.png", values, GEO, format="png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), values)
    write_labels(tmp_path / "a.npy", values, GEO, format="npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), values)


@pytest.mark.parametrize(
    ("format", "dtype", "bands", "grid", "words"),
    [
        ("jpg", "uint16", 3, None, "JPEG"),
        ("png", "int16", 1, None, "window"),
        ("tif", "uint8", 1, SCAN, "flat pictures"),
        ("nii", "uint8", 2, SCAN, "one channel"),
        ("nii", "uint8", 1, GEO, "volume"),
        ("nii", "uint64", 1, SCAN, "one channel"),
        ("nii", "int16", 1, replace(SCAN, slices=tuple((0.0, 0.0, float(z * z)) for z in range(20))), "evenly"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(format: str, dtype: str, bands: int, grid: object, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        check_picture(format, dtype, bands, grid=grid)

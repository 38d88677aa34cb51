"""NIfTI: where voxels lie by sform, qform and units, and what they mean; nibabel is the judge."""

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from bigimage.errors import DataError, InputError, NotFound, OutOfBounds, Unsupported
from bigimage.geometry.dicom import to_centred
from bigimage.sources import volume
from bigimage.sources.door import OpenOptions, Source

SHAPE = (7, 6, 5)
"""x, y, z."""
OBLIQUE = np.array([[0.8, -0.3, 0.2, -40.0], [0.3, 0.9, -0.4, 12.0], [0.1, 0.35, 2.5, 70.0], [0, 0, 0, 1]])
"""Rotated and sheared: the columns are not perpendicular."""


def voxels(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def saved(path: Path, array: np.ndarray, *, edit: Any = None, affine: np.ndarray = OBLIQUE, **codes: int) -> Path:
    """A file whose sform is an affine; `edit` changes the header before it is written."""
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=codes.get("sform", 1))
    image.set_qform(None, code=0)
    if edit is not None:
        edit(image)
    nibabel.save(image, path)
    return path


def opened(path: Path, **options: Any) -> Source:
    (source,) = volume.open([path], image="scan", options=OpenOptions(**options))
    return source


def codes(source: Source) -> set[str]:
    return {verdict.code for verdict in source.info.verdicts}


def read(source: Source, t: int = 0) -> np.ndarray:
    return source.read(source.info.grid.box, t=t).array


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_sheared_affines_are_exact(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.hdr":
        image = nibabel.Nifti1Pair(voxels(), OBLIQUE)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / "a.img")
    else:
        saved(path, voxels())
    source = opened(path)
    np.testing.assert_allclose(to_centred(source.info.grid, ras=True), nibabel.load(path).affine, atol=1e-9)
    np.testing.assert_array_equal(read(source)[0], voxels().transpose(2, 1, 0))
    assert (source.info.axes, source.info.shape) == (("z", "y", "x"), (5, 6, 7))
    assert source.info.grid.frame.uid == "image:scan"
    assert "FORMS_DIFFER" not in codes(source)


def test_the_sform_goes_before_another_qform(tmp_path: Path) -> None:
    moved = np.diag([1.0, 1.0, 3.0, 1.0])
    source = opened(saved(tmp_path / "a.nii", voxels(), edit=lambda image: image.set_qform(moved, code=1)))
    np.testing.assert_allclose(to_centred(source.info.grid, ras=True), OBLIQUE, atol=1e-6)
    (told,) = [verdict for verdict in source.info.verdicts if verdict.code == "FORMS_DIFFER"]
    assert "the sform is used" in told.message


def test_the_qform_counts_where_the_sform_has_no_code(tmp_path: Path) -> None:
    placed = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])

    def by_qform(image: Any) -> None:
        image.set_sform(None, code=0)
        image.set_qform(placed, code=1)

    source = opened(saved(tmp_path / "a.nii", voxels(), edit=by_qform))
    np.testing.assert_allclose(to_centred(source.info.grid, ras=True), placed, atol=1e-5)
    assert codes(source) == set()


@pytest.mark.parametrize("sform", [1, 0])
def test_a_qform_that_is_no_rotation_does_not_count(tmp_path: Path, sform: int) -> None:
    path = saved(tmp_path / "a.nii", voxels())
    data = bytearray(path.read_bytes())
    data[252:256] = struct.pack("<hh", 1, sform)
    data[256:268] = struct.pack("<3f", 1.0, 0.9, 0.0)
    path.write_bytes(data)
    if not sform:
        with pytest.raises(DataError, match="damaged NIfTI header"):
            opened(path)
        return
    source = opened(path)
    np.testing.assert_allclose(to_centred(source.info.grid, ras=True), OBLIQUE, atol=1e-6)
    (told,) = [verdict for verdict in source.info.verdicts if verdict.code == "FORMS_DIFFER"]
    assert "the sform is used" in told.message


def test_without_both_the_spacings_count_and_it_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels(), affine=np.diag([2.0, 3.0, 4.0, 1.0]))
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)  # the codes of both
    path.write_bytes(data)
    source = opened(path)
    assert codes(source) == {"NO_ORIENTATION"}
    assert source.info.grid.spacing == pytest.approx((4.0, 3.0, 2.0))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
def test_units_become_millimetres(tmp_path: Path, unit: str, factor: float) -> None:
    def edit(image: Any) -> None:
        image.header.set_xyzt_units(unit, "sec")

    source = opened(saved(tmp_path / "a.nii", voxels(), edit=edit))
    np.testing.assert_allclose(to_centred(source.info.grid, ras=True)[:3], OBLIQUE[:3] * factor, rtol=1e-6)
    assert codes(source) == ({"UNIT_UNKNOWN"} if unit == "unknown" else set())


def test_times_and_channels(tmp_path: Path) -> None:
    array = voxels((*SHAPE, 3, 2))

    def edit(image: Any) -> None:
        image.header.set_xyzt_units("mm", "msec")
        image.header.set_zooms((1, 1, 1, 500.0, 1))

    source = opened(saved(tmp_path / "a.nii.gz", array, edit=edit, affine=np.eye(4)))
    assert (source.info.axes, source.info.shape) == (("t", "c", "z", "y", "x"), (3, 2, 5, 6, 7))
    assert source.info.extra["times"] == {"key": "time", "values": [0.0, 0.5, 1.0]}
    for t in range(3):
        np.testing.assert_array_equal(read(source, t), array[:, :, :, t].transpose(3, 2, 1, 0))
    np.testing.assert_array_equal(source.read(source.info.grid.box, bands=[1], t=2).array[0], array[..., 2, 1].T)


def test_colours_are_channels(tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    array["G"] = voxels(dtype="uint8")
    source = opened(saved(tmp_path / "a.nii", array))
    assert [band.name for band in source.info.bands] == ["red", "green", "blue"]
    np.testing.assert_array_equal(read(source)[1], voxels(dtype="uint8").T)
    assert not read(source)[0].any()


def test_scaling_is_told_and_stored_numbers_are_kept(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels(), edit=lambda image: image.header.set_slope_inter(0.5, -3))
    source = opened(path)
    assert (source.info.value["slope"], source.info.value["intercept"]) == (0.5, -3.0)
    np.testing.assert_array_equal(read(source)[0], np.asarray(nibabel.load(path).dataobj.get_unscaled()).T)
    physical = opened(path, physical=True)
    assert physical.info.dtype == "float32"
    np.testing.assert_allclose(read(physical)[0], nibabel.load(path).get_fdata().T)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", "int64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_types_and_byte_orders(tmp_path: Path, dtype: str, order: str) -> None:
    image = nibabel.Nifti1Image(
        voxels(dtype=dtype), np.eye(4), dtype=np.dtype(dtype), header=nibabel.Nifti1Header(endianness=order)
    )
    nibabel.save(image, tmp_path / "a.nii")
    source = opened(tmp_path / "a.nii")
    assert source.info.dtype == dtype
    np.testing.assert_array_equal(read(source)[0], voxels(dtype=dtype).T)


def test_what_is_not_a_number_is_not_valid(tmp_path: Path) -> None:
    array = voxels(dtype="float32")
    array[2, 3, 4] = np.nan
    source = opened(saved(tmp_path / "a.nii", array))
    valid = source.read(source.info.grid.box).valid
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[4, 3, 2]]


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels())
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="cut short: it holds 390 of the 420 bytes"):
        read(opened(path))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(whole)[:-40])
    with pytest.raises(DataError, match=r"damaged|cut short"):
        read(opened(packed))
    garbled = bytearray(whole)
    garbled[40:56] = b"\xff" * 16
    path.write_bytes(garbled)
    with pytest.raises(DataError, match=r"a\.nii"):
        opened(path)
    with pytest.raises(NotFound):
        volume.open([tmp_path / "gone.nii"], image="scan", options=OpenOptions())


def test_types_that_are_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels().astype("complex64"))
    with pytest.raises(Unsupported, match="complex64"):
        opened(path)


def test_what_makes_no_sense(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels())
    with pytest.raises(InputError, match="takes no CRS"):
        opened(path, crs="EPSG:4326")
    source = opened(path)
    for kwargs in ({"t": 1}, {"bands": [1]}, {"bands": []}):
        with pytest.raises(OutOfBounds):
            source.read(source.info.grid.box, **kwargs)
    source.close()
    with pytest.raises(InputError, match="closed"):
        source.read(source.info.grid.box)


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    image = nibabel.Nifti1Image(voxels(), None)
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = flat[:3]
    image.header["sform_code"] = 1
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(DataError):
        opened(tmp_path / "a.nii")

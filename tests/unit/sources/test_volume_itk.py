"""NRRD and MetaImage: every way of storing voxels gives what SimpleITK reads, in its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.errors import DataError, NotFound, Unsupported
from bigimage.geometry.dicom import to_centred
from bigimage.sources import volume
from bigimage.sources.door import OpenOptions, Source

SHAPE = (5, 6, 7)
"""z, y, x."""
DIRECTION = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)


def voxels(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def saved(path: Path, array: np.ndarray, *, compress: bool = False, vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(array, isVector=vector)
    if image.GetDimension() == 3:
        image.SetDirection(DIRECTION)
        image.SetSpacing((0.5, 0.75, 2.0))
        image.SetOrigin((-10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path


def opened(path: Path, **options: Any) -> Source:
    (source,) = volume.open([path], image="scan", options=OpenOptions(**options))
    return source


def read(source: Source, t: int = 0) -> np.ndarray:
    return source.read(source.info.grid.box, t=t).array


def affine_of(path: Path) -> np.ndarray:
    """Voxel centres to LPS by SimpleITK."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("compress", [False, True])
def test_all_ways_of_storing(tmp_path: Path, name: str, compress: bool) -> None:
    path = saved(tmp_path / name, voxels(), compress=compress)
    source = opened(path)
    assert (source.info.axes, source.info.shape, source.info.dtype) == (("z", "y", "x"), SHAPE, "int16")
    np.testing.assert_array_equal(read(source)[0], voxels())
    np.testing.assert_allclose(to_centred(source.info.grid, ras=False), affine_of(path), atol=1e-9)
    assert source.info.verdicts == ()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "uint32", "float32", "float64", "int64"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_types(tmp_path: Path, name: str, dtype: str) -> None:
    source = opened(saved(tmp_path / name, voxels(dtype=dtype)))
    assert source.info.dtype == dtype
    np.testing.assert_array_equal(read(source)[0], voxels(dtype=dtype))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_vectors_are_channels(tmp_path: Path, name: str) -> None:
    array = voxels((*SHAPE, 3), "uint8")
    source = opened(saved(tmp_path / name, array, vector=True))
    assert (source.info.axes, source.info.shape) == (("c", "z", "y", "x"), (3, *SHAPE))
    np.testing.assert_array_equal(read(source), np.moveaxis(array, -1, 0))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_the_fourth_axis_is_time(tmp_path: Path, name: str) -> None:
    array = voxels((3, *SHAPE))
    source = opened(saved(tmp_path / name, array))
    assert (source.info.axes, source.info.shape) == (("t", "z", "y", "x"), (3, *SHAPE))
    for t in range(3):
        np.testing.assert_array_equal(read(source, t)[0], array[t])


def nrrd(path: Path, *fields: str, data: bytes, encoding: str = "raw") -> Path:
    """A NRRD file by hand."""
    head = ("NRRD0004", "type: short", "dimension: 3", "sizes: 7 6 5", "endian: little", f"encoding: {encoding}")
    path.write_bytes("\n".join((*head, *fields, "", "")).encode() + data)
    return path


def test_sheared_space_directions_are_exact(tmp_path: Path) -> None:
    fields = (
        "space: left-posterior-superior",
        "kinds: domain domain domain",
        "space directions: (0.5,0,0) (0.1,0.75,0) (0,0.5,2)",
        "space origin: (1,2,3)",
    )
    path = nrrd(tmp_path / "a.nrrd", *fields, data=voxels().astype("<i2").tobytes())
    expected = np.array([[0.5, 0.1, 0, 1], [0, 0.75, 0.5, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    source = opened(path)
    found = to_centred(source.info.grid, ras=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(read(source)[0], voxels())


def test_other_spaces_become_lps(tmp_path: Path) -> None:
    fields = (
        "space: right-anterior-superior",
        "kinds: domain domain domain",
        "space directions: (1,0,0) (0,1,0) (0,0,2)",
        "space origin: (10,20,30)",
    )
    source = opened(nrrd(tmp_path / "a.nrrd", *fields, data=bytes(420)))
    np.testing.assert_allclose(source.info.grid.to_world((0.5, 0.5, 0.5)), (-10, -20, 30))


def test_what_the_header_leaves_open_is_told(tmp_path: Path) -> None:
    source = opened(nrrd(tmp_path / "a.nrrd", "spacings: 1 1 2", data=bytes(420)))
    assert [verdict.code for verdict in source.info.verdicts] == ["NO_ORIENTATION"]
    fields = (
        "space: left-posterior-superior",
        "space directions: (1,0,0) (0,1,0) (0,0,2)",
        'space units: "cm" "cm" "cm"',
    )
    source = opened(nrrd(tmp_path / "b.nrrd", *fields, data=bytes(420)))
    assert [verdict.code for verdict in source.info.verdicts] == ["UNIT_UNKNOWN"]


def test_text_and_big_endian_voxels(tmp_path: Path) -> None:
    text = " ".join(map(str, range(210))).encode()
    source = opened(nrrd(tmp_path / "a.nrrd", "spacings: 1 1 2", data=text, encoding="ascii"))
    np.testing.assert_array_equal(read(source)[0], voxels())
    path = nrrd(tmp_path / "b.nrrd", "spacings: 1 1 2", data=voxels().astype(">i2").tobytes())
    path.write_bytes(path.read_bytes().replace(b"endian: little", b"endian: big"))
    np.testing.assert_array_equal(read(opened(path))[0], voxels())


def test_headers_that_promise_too_much_are_refused_at_once(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", "spacings: 1 1 1", data=b"1 2 3 4\n", encoding="ascii")
    path.write_bytes(path.read_bytes().replace(b"sizes: 7 6 5", b"sizes: 4000 4000 500"))
    with pytest.raises(DataError, match="8 bytes of text cannot hold its 8000000000 voxels"):
        opened(path)
    path.write_bytes(path.read_bytes().replace(b"encoding: ascii", b"encoding: bzip2"))
    with pytest.raises(Unsupported, match="save it with raw or gzip"):
        opened(path)
    meta = tmp_path / "b.mha"
    lines = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = False",
        "DimSize = 4000 4000 500",
        "ElementType = MET_SHORT",
    )
    meta.write_text("\n".join((*lines, "ElementSpacing = 1 1 1", "ElementDataFile = LOCAL", "1 2 3 4", "")))
    with pytest.raises(DataError, match="cut short"):
        opened(meta)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("compress", [False, True])
def test_files_that_are_cut_short(tmp_path: Path, name: str, compress: bool) -> None:
    path = saved(tmp_path / name, voxels(), compress=compress)
    path.write_bytes(path.read_bytes()[:-25])
    with pytest.raises(DataError, match=r"cut short|damaged"):
        read(opened(path))


def test_a_header_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = saved(tmp_path / "in" / "a.mhd", voxels())
    (tmp_path / "in" / "a.raw").rename(tmp_path / "a.raw")
    text = path.read_text()
    with pytest.raises(NotFound, match=r"a\.raw, which holds the voxels"):
        opened(path)
    path.write_text(text.replace("a.raw", "../a.raw"))
    with pytest.raises(DataError, match="outside its folder"):
        opened(path)


def test_what_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="axes of voxels"):
        opened(saved(tmp_path / "a.nrrd", voxels((2, 3, *SHAPE))))
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: x\n\n")
    with pytest.raises(DataError, match="damaged header"):
        opened(tmp_path / "b.nrrd")


REAL = ["slicer_ctchest/CTChest4.nrrd", "brain1/image.nrrd", "brain1/label.nrrd", "breast1/image.nrrd"]
REAL += ["oblique/pm-example-3slices-256x256.nrrd", "totalseg_ct3mm/ct.nii.gz", "totalseg_mr/mr.nii.gz"]


@pytest.mark.parametrize("name", REAL)
def test_real_volumes_are_what_simpleitk_reads(shared_data: Path, name: str) -> None:
    path = shared_data / "volumes" / name
    source = opened(path)
    image = sitk.ReadImage(str(path))
    np.testing.assert_allclose(to_centred(source.info.grid, ras=False), affine_of(path), atol=1e-4)
    values = read(opened(path, physical=True) if name.endswith(".gz") else source)[0]
    np.testing.assert_array_equal(values, sitk.GetArrayViewFromImage(image))


def test_a_segmentation_of_slicer_is_labels(shared_data: Path) -> None:
    source = opened(shared_data / "volumes" / "slicer_ctchest" / "Segmentation.seg.nrrd")
    assert source.info.role == "labels"
    assert [verdict.code for verdict in source.info.verdicts] == ["SEGMENTATION"]

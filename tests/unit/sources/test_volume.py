"""Volumes behind the door of all sources: which files are known, what they are called, how they are read at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.errors import DataError, InputError
from bigimage.geometry.box import IndexBox
from bigimage.sources import module_for, volume
from bigimage.sources.door import OpenOptions

VOXELS = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The same voxels in three formats."""
    image = sitk.GetImageFromArray(VOXELS)
    paths = [tmp_path / name for name in ("a.nrrd", "b.mha", "c.nii.gz")]
    for path in paths:
        sitk.WriteImage(image, str(path), useCompression=True)
    return paths


def test_files_are_known_by_their_content(files: list[Path], tmp_path: Path) -> None:
    for path in files:
        other = tmp_path / f"{path.name[0]}-without-ending"
        other.write_bytes(path.read_bytes())
        assert module_for(other).NAME == "volume"
    (tmp_path / "text.nii").write_text("hello")
    assert not volume.sniff(tmp_path / "text.nii")
    assert not volume.sniff(tmp_path)


def test_several_files_are_images_of_their_own(files: list[Path]) -> None:
    sources = volume.open(files, image="scan", options=OpenOptions())
    assert [source.info.id for source in sources] == ["scan-1", "scan-2", "scan-3"]
    assert [source.info.provenance["driver"] for source in sources] == ["NRRD", "MetaImage", "NIfTI"]
    for source, path in zip(sources, files, strict=True):
        assert source.files == (path,)
        np.testing.assert_array_equal(source.read(source.info.grid.box).array[0], VOXELS)
        source.close()
    with pytest.raises(InputError, match="no file"):
        volume.open([], image="scan", options=OpenOptions())


def test_threads_unpack_once(files: list[Path]) -> None:
    (source,) = volume.open(files[2:], image="scan", options=OpenOptions())
    boxes = [IndexBox((z, 0, 0), (z + 1, 6, 7)) for z in range(5)] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda box: source.read(box).array[0, 0], boxes))
    for box, plane in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(plane, VOXELS[box.start[0]])
    source.close()
    source.close()


def test_a_file_that_goes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), path)
    (source,) = volume.open([path], image="scan", options=OpenOptions())
    path.unlink()
    with pytest.raises(DataError, match=r"a\.nii cannot be read"):
        source.read(source.info.grid.box)

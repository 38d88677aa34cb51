"""Any box of samples in any layout is what numpy cuts out of the whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bigimage.errors import DataError
from bigimage.geometry.box import IndexBox
from bigimage.sources import flat
from bigimage.sources.flat import FlatFile, FlatVolume

SIZES = {"t": 2, "c": 3, "z": 4, "y": 5, "x": 6}
LAYOUTS = (
    ("z", "y", "x"),
    ("t", "z", "y", "x"),
    ("c", "t", "z", "y", "x"),
    ("t", "z", "y", "x", "c"),
    ("z", "y", "x", "c"),
)
BOXES = (
    IndexBox((0, 0, 0), (4, 5, 6)),
    IndexBox((1, 0, 0), (3, 5, 6)),
    IndexBox((0, 2, 0), (4, 4, 6)),
    IndexBox((3, 4, 5), (4, 5, 6)),
    IndexBox((1, 1, 2), (4, 5, 4)),
)


def stored(folder: Path, axes: Sequence[str], dtype: str, *, offset: int) -> tuple[FlatVolume, np.ndarray]:
    shape = [SIZES[axis] for axis in axes]
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path = folder / "samples"
    path.write_bytes(b"\xee" * offset + array.tobytes())
    sizes = {axis: SIZES[axis] for axis in axes}
    return FlatVolume(FlatFile(path), offset, np.dtype(dtype), tuple(axes), sizes), array


def wanted(array: np.ndarray, axes: Sequence[str], box: IndexBox, t: int) -> np.ndarray:
    """(c, z, y, x) of a box."""
    names = list(axes)
    if "t" in names:
        array = array.take(t, axis=names.index("t"))
        names.remove("t")
    array = np.moveaxis(array, names.index("c"), 0) if "c" in names else array[None]
    return array[(slice(None), *box.slices)]


@pytest.mark.parametrize("axes", LAYOUTS, ids="".join)
@pytest.mark.parametrize("dtype", ["<i2", ">u2", "<f4", "u1", ">f8"])
@pytest.mark.parametrize("strip", [1, 1 << 20])
def test_any_box_of_any_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: tuple[str, ...], dtype: str, strip: int
) -> None:
    monkeypatch.setattr(flat, "STRIP", strip)
    volume, array = stored(tmp_path, axes, dtype, offset=7)
    for box in BOXES:
        for t in range(2 if "t" in axes else 1):
            found = volume.read(box, t=t)
            assert found.dtype == np.dtype(dtype).newbyteorder("=")
            np.testing.assert_array_equal(found, wanted(array, axes, box, t))
    volume.file.close()


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    volume, _ = stored(tmp_path, ("z", "y", "x"), "<i2", offset=0)
    path = tmp_path / "samples"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="shorter"):
        volume.read(BOXES[0])
    np.testing.assert_array_equal(volume.read(IndexBox((0, 0, 0), (1, 1, 3))).reshape(-1), [0, 1, 2])
    volume.file.close()


def test_a_file_lives_on_without_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(10)))
    with path.open("rb") as opened:
        file = FlatFile.of(opened)
    path.unlink()
    target = np.zeros(4, np.uint8)
    with file:
        file.read_into(target, 3)
    assert target.tolist() == [3, 4, 5, 6]
    file.close()  # again, which does nothing
    with pytest.raises(OSError, match="Bad file"):
        file.read_into(target, 0)

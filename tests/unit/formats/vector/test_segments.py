"""Pictures of segment ids: what another reader of PNG sees is what was written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigimage.errors import DataError
from bigimage.formats.vector.segments import MOST_IDS, STRIP, read_ids, strips_of, write_ids


def written(path: Path, ids: np.ndarray) -> Path:
    write_ids(path, ids.shape, (ids[box.slices] for box in strips_of(ids.shape)))
    return path


@pytest.mark.parametrize("shape", [(1, 1), (STRIP, 3), (STRIP + 1, 700), (2 * STRIP + 5, 33)])
def test_pillow_sees_the_ids(shape: tuple[int, int], tmp_path: Path) -> None:
    ids = np.random.default_rng(2).integers(0, MOST_IDS, shape, np.uint32, endpoint=True)
    ids[: shape[0] // 2] = 70_000  # what is even is packed
    path = written(tmp_path / "a.png", ids)
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("RGB", shape[::-1])
        red, green, blue = np.moveaxis(np.asarray(picture).astype(np.uint32), -1, 0)
    assert np.array_equal(red + 256 * green + 65536 * blue, ids)
    read = np.concatenate([part for _, part in read_ids(path, shape)])
    assert np.array_equal(read, ids)


def test_a_flat_picture_takes_next_to_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", np.full((3000, 3000), 5, np.uint32))
    assert path.stat().st_size < 50_000


@pytest.mark.parametrize("wrong", ["size", "gray", "cut", "text"])
def test_pictures_that_are_no_ids_are_refused(wrong: str, tmp_path: Path) -> None:
    path, shape = tmp_path / "a.png", (600, 300)
    match wrong:
        case "size":
            written(path, np.ones((599, 300), np.uint32))
        case "gray":
            Image.fromarray(np.ones(shape, np.uint8)).save(path)
        case "cut":
            noise = np.random.default_rng(2).integers(0, MOST_IDS, shape, np.uint32)
            path.write_bytes(written(path, noise).read_bytes()[:200_000])
        case _:
            path.write_text("P6 300 600 255")
    with pytest.raises(DataError, match=r"a\.png"):
        list(read_ids(path, shape))

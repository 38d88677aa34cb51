"""Bands: the same pixels, each row decoded once per thread, and no more memory than one band."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bigimage.errors import OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources.banded import Banded
from bigimage.sources.door import Layout
from tests.pyramids import describe, noise, reader


class _Rows:
    """A source that counts what it decodes."""

    def __init__(
        self, array: np.ndarray, valid: np.ndarray | None = None, axes: Sequence[str] = ("c", "y", "x")
    ) -> None:
        self.info: ImageInfo = describe(array, axes=axes)
        self.layout: Layout = "rows"
        self.reads: list[tuple[IndexBox, int]] = []
        self.closed = False
        self._read = reader(self.info, array, valid)
        self._bands = array.shape[axes.index("c")] if "c" in axes else 1

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        self.reads.append((box, threading.get_ident()))
        return self._read(box, range(self._bands) if bands is None else bands, t)

    def close(self) -> None:
        self.closed = True


def test_boxes_of_a_band_cost_one_decode() -> None:
    array = noise((2, 100, 90), "uint8")
    source = _Rows(array)
    banded = Banded(source, 32)
    assert banded.layout == "tiles"
    assert banded.info is source.info
    for row in range(0, 100, 32):
        for column in range(0, 90, 20):
            box = IndexBox((row, column), (min(row + 32, 100), min(column + 20, 90)))
            patch = banded.read(box)
            np.testing.assert_array_equal(patch.array, array[(slice(None), *box.slices)])
            assert patch.grid == source.info.grid.crop(box)
            assert patch.valid is None
    assert [box.start for box, _ in source.reads] == [(0, 0), (32, 0), (64, 0), (96, 0)]
    assert all(box.shape[1] == 90 for box, _ in source.reads)


def test_validity_bands_and_times_are_cut_along() -> None:
    array = noise((3, 4, 40, 50), "uint8")
    valid = np.random.default_rng(0).random((3, 40, 50)) < 0.5
    banded = Banded(_Rows(array, valid, ("t", "c", "y", "x")), 16)
    box = IndexBox((17, 5), (30, 20))
    for t, bands in ((0, [1, 2]), (2, [1, 2]), (2, [3])):
        patch = banded.read(box, bands=bands, t=t)
        np.testing.assert_array_equal(patch.array, array[t][(bands, *box.slices)])
        np.testing.assert_array_equal(patch.valid, valid[t][box.slices])


def test_a_box_over_bands_is_read_directly() -> None:
    array = noise((1, 100, 90), "uint8")
    source = _Rows(array)
    patch = Banded(source, 32).read(IndexBox((20, 3), (40, 9)))
    np.testing.assert_array_equal(patch.array, array[:, 20:40, 3:9])
    assert [box.shape for box, _ in source.reads] == [(20, 6)]


def test_volumes_are_read_in_slabs() -> None:
    array = noise((10, 20, 30), "int16")
    source = _Rows(array, axes=("z", "y", "x"))
    banded = Banded(source, 4)
    for z in range(0, 10, 4):
        for y in (0, 10):
            box = IndexBox((z, y, 5), (min(z + 4, 10), y + 10, 25))
            np.testing.assert_array_equal(banded.read(box).array[0], array[box.slices])
    assert [box.start[0] for box, _ in source.reads] == [0, 4, 8]


def test_each_thread_keeps_one_band_of_its_own() -> None:
    array = noise((1, 400, 64), "uint8")
    source = _Rows(array)
    banded = Banded(source, 16)

    def row(top: int) -> bool:
        parts = [banded.read(IndexBox((top, x), (top + 16, x + 16))).array for x in range(0, 64, 16)]
        return bool((np.concatenate(parts, axis=2) == array[:, top : top + 16]).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(row, range(0, 400, 16)))
    assert len(source.reads) == 25


def test_errors_of_the_source_come_through_and_closing_closes_it() -> None:
    source = _Rows(noise((1, 40, 64), "uint8"))
    banded = Banded(source, 16)
    with pytest.raises(OutOfBounds):
        banded.read(IndexBox((32, 0), (48, 65)))
    np.testing.assert_array_equal(banded.read(IndexBox((32, 0), (40, 9))).array.shape, (1, 8, 9))
    banded.close()
    assert source.closed

"""COCO's run lengths: both ways, as pycocotools packs them, in 64 bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as judge

from bigimage.errors import DataError
from bigimage.formats.vector.rle import counts_of, decode, encode, pack, unpack
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid

SIDES = st.integers(1, 300)


@settings(max_examples=50)
@given(height=SIDES, width=SIDES, density=st.sampled_from([0.0, 0.02, 0.5, 1.0]), seed=st.integers(0, 1000))
def test_any_mask_comes_back_and_packs_as_pycocotools_packs_it(
    height: int, width: int, density: float, seed: int
) -> None:
    bits = np.random.default_rng(seed).random((height, width)) < density
    counts = encode(lambda box: bits[box.slices], IndexBox((0, 0), (height, width)), (height, width))
    mask = decode(counts, (height, width), Grid.pixels((height, width), "a"))
    assert np.array_equal(mask.read(mask.grid.box), bits)
    assert pack(counts).encode() == judge.encode(np.asfortranarray(bits.astype(np.uint8)))["counts"]
    assert unpack(pack(counts)).tolist() == counts.tolist()


def test_a_box_within_the_image_gives_the_counts_of_the_whole() -> None:
    bits = np.zeros((50, 60), bool)
    bits[10:20, 30:45] = np.random.default_rng(1).random((10, 15)) < 0.5
    whole = encode(lambda box: bits[box.slices], IndexBox((0, 0), (50, 60)), (50, 60))
    part = encode(lambda box: bits[box.slices], IndexBox((10, 30), (20, 45)), (50, 60))
    assert part.tolist() == whole.tolist()


@settings(max_examples=50)
@given(counts=st.lists(st.integers(0, 2**50), min_size=1, max_size=20))
def test_counts_of_any_size_pack(counts: list[int]) -> None:
    assert unpack(pack(np.array(counts, dtype=np.int64))).tolist() == counts


@pytest.mark.parametrize("counts", [[5], [1, 2, 98], [101], [-1, 101], [2**40, 2**41], []])
def test_counts_that_do_not_add_up_are_refused(counts: list[int]) -> None:
    with pytest.raises(DataError, match="run lengths"):
        decode(np.array(counts, dtype=np.int64), (10, 10), Grid.pixels((10, 10), "a"))


@pytest.mark.parametrize("value", ["é", "\x01", "P", "~" * 30, "o" * 14 + "0", 5, [1.5], ["a"], {"a": 1}, [[1]], []])
def test_what_are_no_counts_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="run lengths"):
        counts_of(value)

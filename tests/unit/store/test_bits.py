"""Bits of masks as the database holds them."""

import numpy as np
import pytest

from bigimage.errors import DataError
from bigimage.model.mask import FULL, pack_chunk
from bigimage.store.bits import chunk_index, chunk_key, pack_bits, pack_chunks, unpack_bits, unpack_chunks

SOME = pack_chunk(np.random.default_rng(1).random((256, 256)) < 0.2)


def test_bits_come_back() -> None:
    assert unpack_bits(pack_bits(SOME)) == SOME
    assert pack_bits(FULL) == b""
    assert unpack_bits(b"") is FULL


@pytest.mark.parametrize("ndim", [2, 3])
def test_chunks_come_back(ndim: int) -> None:
    chunks = {tuple(range(k, k + ndim)): (FULL if k % 2 else SOME) for k in range(5)}
    assert unpack_chunks(pack_chunks(chunks, ndim)) == chunks
    assert unpack_chunks(pack_chunks({}, ndim)) == {}


@pytest.mark.parametrize("index", [(0, 0), (3, 70_000), (1 << 19, 5), (7, 0, 9)])
def test_keys_name_chunks(index: tuple[int, ...]) -> None:
    assert chunk_index(chunk_key(index), len(index)) == index


@pytest.mark.parametrize("cut", [3, 8, 20, -5])
def test_damage_is_told(cut: int) -> None:
    stored = pack_chunks({(0, 0): SOME}, 2)
    with pytest.raises(DataError, match="restore the workspace from a backup"):
        unpack_chunks(stored[:cut])


def test_bits_that_unpack_to_much_more_are_refused() -> None:
    import zlib

    with pytest.raises(DataError, match="wrong size"):
        unpack_bits(zlib.compress(bytes(10_000_000)))

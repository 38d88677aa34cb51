"""Label Studio's brush: both ways, and faults told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimage.errors import DataError
from bigimage.formats.vector.brush import pack, unpack


@settings(max_examples=60)
@given(counts=st.lists(st.integers(1, 70_000), min_size=1, max_size=12), starts_set=st.booleans())
def test_runs_come_back(counts: list[int], starts_set: bool) -> None:
    given_counts = [0, *counts] if starts_set else counts
    assert unpack(pack(given_counts), sum(counts)).tolist() == given_counts


def test_the_head_is_as_the_format_has_it() -> None:
    packed = pack([2, 1])
    bits = "".join(f"{byte:08b}" for byte in packed)
    assert int(bits[:32], 2) == 12
    assert int(bits[32:37], 2) == 7
    assert [int(bits[37 + 4 * k : 41 + 4 * k], 2) for k in range(4)] == [2, 3, 7, 15]
    # eight bytes of 0: a run (1), of the first size (00), of length 8 (111)
    assert bits[53:59] == "100111"


def test_bytes_that_differ_are_read_by_their_last_channel() -> None:
    # two pixels, bytes written out: 0 0 0 255, 255 255 255 0
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{s - 1:04b}" for s in (3, 4, 8, 16)) + "000111"
    bits += "".join(f"{v:08b}" for v in (0, 0, 0, 255, 255, 255, 255, 0))
    bits += "0" * (-len(bits) % 8)
    packed = [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert unpack(packed, 2).tolist() == [0, 1, 1]


@pytest.mark.parametrize("packed", [[], [1, 2, 3], [256], [-1], [0.5], "text", pack([5, 5]), pack([8, 4])[:-2]])
def test_damage_is_told(packed: object) -> None:
    with pytest.raises(DataError, match="brush"):
        unpack(packed, 12)  # type: ignore[arg-type]


def test_runs_beyond_the_image_are_told() -> None:
    packed = pack([100])
    packed[:4] = list((48).to_bytes(4, "big"))
    with pytest.raises(DataError, match="beyond"):
        unpack(packed, 12)


def test_an_empty_array_of_bytes_is_no_mask() -> None:
    with pytest.raises(DataError):
        unpack(np.zeros(0, np.uint8).tolist(), 0)

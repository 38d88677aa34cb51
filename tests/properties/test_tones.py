"""Rescaling: within the range of 8 bits and never falling, for every type and any range."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilesrv import tones

DTYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float32", "float64"),
)
FINITE = st.floats(-1e38, 1e38)


@st.composite
def values(draw: st.DrawFn) -> np.ndarray:
    """Values of one type, extremes, infinities and NaN included."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    elements = st.floats(width=32) if dtype.kind == "f" else hnp.from_dtype(dtype)
    found = draw(hnp.arrays(dtype, (1, 1, draw(st.integers(1, 40))), elements=elements))
    if dtype.kind in "iu":
        found[0, 0, 0] = draw(st.sampled_from([np.iinfo(dtype).min, np.iinfo(dtype).max]))
    return found


@settings(max_examples=150)
@given(values(), st.tuples(FINITE, FINITE))
def test_tones_keep_the_order_of_values(pixels: np.ndarray, limits: tuple[float, float]) -> None:
    low, high = limits
    present = ~np.isnan(pixels[0]) if pixels.dtype.kind == "f" else np.ones(pixels.shape[1:], np.bool_)
    out = tones.tones(pixels, (limits,), present)[..., 0]
    number = pixels[0].astype(np.float64)
    assert (out[~present] == 0).all()
    seen, tone = number[present], out[present].astype(int)
    order = np.argsort(seen, kind="stable")
    steps = np.diff(tone[order])
    assert (steps >= 0).all() if low <= high else (steps <= 0).all()
    assert (tone[seen < min(limits)] == (0 if low <= high else 255)).all()
    assert (tone[seen > max(limits)] == (255 if low <= high else 0)).all()
    if low == high:
        assert (tone[seen == low] == tones.MIDDLE).all()
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            want = np.clip((seen - low) / (high - low) * 255, 0, 255)
        close = np.isfinite(want)
        assert (np.abs(tone[close] - want[close]) <= 0.5 + 1e-6 * 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@settings(max_examples=30)
@given(low=st.floats(-7e4, 7e4), width=st.floats(1e-3, 1e5))
def test_tables_and_arithmetic_agree(dtype: str, low: float, width: float) -> None:
    kind = np.dtype(dtype)
    info = np.iinfo(kind)
    every = np.arange(info.min, info.max + 1).astype(kind).reshape(1, 256, -1)
    limits = (low, low + width)
    if not math.isfinite(255 / width) or limits[0] == limits[1]:
        return
    by_table = tones.tones(every, (limits,), None)
    by_number = tones.tones(every.astype(np.float64), (limits,), None)
    np.testing.assert_array_equal(by_table, by_number)

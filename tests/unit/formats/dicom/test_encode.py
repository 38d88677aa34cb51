"""Numbers fit the 16 characters of a decimal string, as near as they can."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigimage.formats.dicom.encode import decimals


@given(st.floats(-1e300, 1e300, allow_nan=False, allow_subnormal=False))
@example(9.999999999999998)
@example(-9.999999999999998)
@example(99.99999999999999)
@example(0.09999999999999999)
@example(-0.0)
@example(-1.234567890123456e-101)
def test_decimal_strings_are_short_and_near(value: float) -> None:
    (text,) = decimals([value])
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-13)


@given(st.floats(1e-3, 1e4))
def test_millimetres_are_exact_to_a_millionth(value: float) -> None:
    for sign in (1, -1):
        (text,) = decimals([sign * value])
        assert abs(float(text) - sign * value) < 1e-9
        assert len(text) <= 16


def test_neighbours_of_powers_of_ten_fit() -> None:
    near = [10.0**k for k in range(-5, 6)]
    values = [sign * float(np.nextafter(v, 0)) for v in near for sign in (1, -1)]
    assert all(len(text) <= 16 for text in decimals(values))

"""Default display ranges: always usable, whatever the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimage.model.image import Band
from bigimage.pyramid.window import MAX_VALUES, band_window, window_level, windows
from tests.pyramids import describe

PLAIN = Band(name="b")


def test_the_range_leaves_out_two_percent_at_each_end() -> None:
    values = np.arange(1001, dtype="uint16").reshape(7, 143)
    assert band_window(values, None, PLAIN) == (20, 980)


def test_invalid_pixels_and_nodata_do_not_count() -> None:
    values = np.array([[1, 2, 3, 200, 255]], dtype="uint8")
    valid = np.array([[True, True, True, False, True]])
    low, high = band_window(values, valid, Band(name="b", nodata=255))
    assert (low, high) == (1, 3)
    floats = np.array([[np.nan, np.inf, -np.inf, 5, 6, -9999]], dtype="float32")
    assert band_window(floats, None, Band(name="b", nodata=-9999)) == (5, 6)


def test_nothing_valid_has_a_range_too() -> None:
    values = np.full((3, 3), np.nan)
    assert band_window(values, None, PLAIN) == (0, 1)
    assert band_window(np.zeros((3, 3), "uint8"), np.zeros((3, 3), dtype=bool), PLAIN) == (0, 1)


def test_a_rare_value_still_opens_the_range() -> None:
    values = np.zeros((100, 100), dtype="uint8")
    values[0, 0] = 9
    assert band_window(values, None, PLAIN) == (0, 9)


@given(
    hnp.arrays(
        st.sampled_from(["uint8", "int64", "uint64", "float32", "float64"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    ),
    st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**64 - 1)),
)
def test_low_is_below_high_and_both_are_finite(values: np.ndarray, nodata: float | None) -> None:
    low, high = band_window(values, None, Band(name="b", nodata=nodata))
    assert low < high
    assert np.isfinite([low, high]).all()


def test_the_colours_of_a_picture_share_a_range() -> None:
    array = np.stack([np.arange(101).reshape(1, 101) + 50 * band for band in range(4)]).astype("uint8")
    names = ("red", "green", "blue", "alpha")
    bands = tuple(Band(name=n, interpretation=n) for n in names)
    assert windows(array, None, describe(array, bands=bands)) == ((2, 198), (2, 198), (2, 198), (152, 248))
    wide = array.astype("uint16")
    assert windows(wide, None, describe(wide, bands=bands))[0] == (2, 98)


def test_labels_are_shown_from_zero_to_the_largest() -> None:
    array = np.array([[[0, 3, 7]], [[0, 0, 0]]], dtype="uint8")
    assert windows(array, None, describe(array, role="labels")) == ((0, 7), (0, 1))


@pytest.mark.parametrize("value", [0.0, 1e20, -1e300, float(np.finfo("f8").max), float(2**60)])
def test_constant_pixels(value: float) -> None:
    low, high = band_window(np.full((2, 2), value), None, PLAIN)
    assert low <= value <= high
    assert low < high


@pytest.mark.parametrize(
    ("bands", "level"),
    [(1, 2), (3, 2), (8, 2), (31, 3), (500, 5), (10_000, 7)],
)
def test_the_level_looked_at_fits_in_memory(bands: int, level: int) -> None:
    shapes = [(bands, 4096 >> k, 4000 >> k) for k in range(8)]
    assert window_level(shapes) == level
    assert level == 7 or np.prod(shapes[level]) <= MAX_VALUES


def test_ranges_of_a_volume_are_in_the_modalitys_unit() -> None:
    array = np.arange(1001, dtype="int16").reshape(1, 7, 11, 13)
    info = describe(array, axes=("c", "z", "y", "x"))
    assert windows(array, None, info) == ((20, 980),)
    scaled = describe(array, axes=("c", "z", "y", "x"), bands=(Band(name="CT", scale=2.0, offset=-1024.0),))
    assert windows(array, None, scaled) == ((-984, 936),)
    falling = describe(array, axes=("c", "z", "y", "x"), bands=(Band(name="x", scale=-1.0),))
    assert windows(array, None, falling) == ((-980, -20),)


def test_slices_with_slopes_of_their_own_are_made_alike_first() -> None:
    slopes = [1.0, 2.0, 4.0, 8.0, 16.0]
    true = np.linspace(0, 1600, 5 * 10 * 20).reshape(10, 20, 5).transpose(2, 0, 1)
    stored = np.round((true + 5) / np.reshape(slopes, (5, 1, 1))).astype("int16")[None]
    value = {"unit": "SUV", "slope": slopes, "intercept": [-5.0] * 5}
    info = describe(stored, axes=("c", "z", "y", "x"), value=value)
    ((low, high),) = windows(stored, None, info)
    assert (low, high) == pytest.approx((32, 1568), abs=10)
    # a level that merges slices takes their mean slope; missing values do not count
    merged = stored[:, ::2].copy()
    merged[0, 0, 0] = -999
    marked = describe(stored, axes=("c", "z", "y", "x"), value=value, bands=(Band(name="PT", nodata=-999),))
    ((low, high),) = windows(merged, None, marked)
    assert 0 <= low < high <= 2400


def test_slopes_may_differ_between_times() -> None:
    stored = np.full((1, 2, 3, 4, 4), 10, dtype="int16")
    stored[..., 0] = 0
    info = describe(
        stored[0],
        axes=("t", "z", "y", "x"),
        value={"unit": "BQML", "slope": [[1.0] * 3, [5.0] * 3], "intercept": [[0.0] * 3] * 2},
    )
    assert windows(stored, None, info) == ((0, 50),)

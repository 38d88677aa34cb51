"""Values to tones."""

import numpy as np
import pytest

from tilesrv import tones


def by_hand(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    place = (pixels.astype(np.float64) - low) / (high - low)
    return np.floor(np.clip(place, 0, 1) * 255 + 0.5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_tones_run_from_the_low_to_the_high_value_of_each_band(dtype: str) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 127, (3, 9, 14)).astype(dtype)
    ranges = ((3.0, 100.0), (0.0, 126.0), (-5.5, 60.25))
    out = tones.tones(pixels, ranges, None)
    assert out.shape == (9, 14, 3)
    for band, (low, high) in enumerate(ranges):
        assert np.abs(out[..., band] - by_hand(pixels[band], low, high)).max() <= 1
        assert (out[..., band] == by_hand(pixels[band], low, high)).mean() > 0.99


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float32"])
def test_negative_values_have_their_places(dtype: str) -> None:
    pixels = np.array([[[-100, -50, 0, 50, 100]]]).astype(dtype)
    np.testing.assert_array_equal(tones.tones(pixels, ((-100.0, 100.0),), None)[0, :, 0], [0, 64, 128, 191, 255])


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_a_reversed_range_inverts(dtype: str) -> None:
    pixels = np.array([[[0, 51, 255]]]).astype(dtype)
    np.testing.assert_array_equal(tones.tones(pixels, ((255.0, 0.0),), None)[0, :, 0], [255, 204, 0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_a_range_without_width_shows_its_value_in_the_middle(dtype: str) -> None:
    pixels = np.array([[[6, 7, 8]]]).astype(dtype)
    np.testing.assert_array_equal(tones.tones(pixels, ((7.0, 7.0),), None)[0, :, 0], [0, tones.MIDDLE, 255])


def test_all_8_bit_values_come_out_as_they_are_over_their_whole_range() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(tones.tones(pixels, ((0.0, 255.0),), None)[..., 0], pixels[0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_not_valid_is_zero_in_every_channel(dtype: str) -> None:
    pixels = np.full((3, 2, 2), 200).astype(dtype)
    valid = np.array([[True, False], [False, True]])
    out = tones.tones(pixels, ((0.0, 255.0),) * 3, valid)
    np.testing.assert_array_equal(out[valid], [[200, 200, 200, 255]] * 2)
    np.testing.assert_array_equal(out[~valid], 0)


def test_infinite_values_are_the_brightest_and_the_darkest() -> None:
    pixels = np.array([[[-np.inf, 0.5, np.inf]]])
    np.testing.assert_array_equal(tones.tones(pixels, ((0.0, 1.0),), None)[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_come_from_the_table_and_alpha_only_where_needed(dtype: str) -> None:
    index = np.array([[0, 1], [2, 0]]).astype(dtype)
    table = np.array([[1, 2, 3, 255], [4, 5, 6, 255], [7, 8, 9, 100]], np.uint8)
    np.testing.assert_array_equal(tones.colours(index, table, None), table[index])
    np.testing.assert_array_equal(tones.colours(index % 2, table, None), table[index % 2][..., :3])
    valid = np.array([[True, True], [True, False]])
    expected = table[index]
    expected[1, 1] = 0
    np.testing.assert_array_equal(tones.colours(index, table, valid), expected)

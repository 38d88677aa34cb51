"""Slices between drawn ones: exact distances, and outlines that move as their distance maps do."""

import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.rasterize.between import between, distances, signed


def discs(*circles: tuple[float, float, float], size: int = 80) -> np.ndarray:
    """Pixels within circles (row, column, radius)."""
    y, x = np.mgrid[0:size, 0:size] + 0.5
    return np.logical_or.reduce([np.hypot(y - r, x - c) < radius for r, c, radius in circles])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.5)])
def test_distances_are_those_to_the_nearest_set_pixel(spacing: tuple[float, float]) -> None:
    bits = np.random.default_rng(3).random((23, 31)) > 0.97
    there = np.argwhere(bits) * spacing
    everywhere = np.argwhere(np.ones_like(bits)) * spacing
    nearest = np.linalg.norm(everywhere[:, None] - there[None], axis=2).min(axis=1)
    np.testing.assert_allclose(distances(bits, spacing).ravel(), nearest, atol=1e-9)


def test_distances_equal_those_of_simpleitk() -> None:
    bits = discs((30, 35, 17), (60, 50, 9))
    picture = sitk.GetImageFromArray(bits.astype(np.uint8))
    picture.SetSpacing((0.8, 1.3))
    theirs = sitk.SignedMaurerDistanceMap(picture, squaredDistance=False, useImageSpacing=True)
    outside = ~bits
    np.testing.assert_allclose(distances(bits, (1.3, 0.8))[outside], sitk.GetArrayFromImage(theirs)[outside], rtol=1e-5)


def test_signed_distances_change_sign_at_the_border() -> None:
    bits = discs((40, 40, 20))
    found = signed(bits, (1.0, 1.0))
    np.testing.assert_array_equal(found > 0, bits)
    assert abs(found[40, 40] - 20) < 1


def test_the_ends_are_the_drawn_slices() -> None:
    first, second = discs((30, 30, 12)), discs((45, 50, 20))
    np.testing.assert_array_equal(between(first, second, 0.0, (1.0, 1.0)), first)
    np.testing.assert_array_equal(between(first, second, 1.0, (1.0, 1.0)), second)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.8])
def test_discs_about_one_centre_grow_evenly(weight: float) -> None:
    found = between(discs((40, 40, 10)), discs((40, 40, 30)), weight, (1.0, 1.0))
    expected = discs((40, 40, 10 + 20 * weight))
    assert np.count_nonzero(found != expected) < 0.06 * np.count_nonzero(expected)


def test_pixels_that_are_not_square_count_in_millimetres() -> None:
    first, second = np.zeros((40, 80), bool), np.zeros((40, 80), bool)
    first[10:30, 10:70], second[18:22, 30:50] = True, True
    found = between(first, second, 0.5, (4.0, 1.0))
    # the borders move by half of 32 mm up and down, 4 rows, and by half of 20 mm to the sides
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert (rows[0], rows[-1]) == (14, 25)
    assert (columns[0], columns[-1]) == (20, 59)

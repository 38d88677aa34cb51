"""Weights, rounding and taps, against a slow resampler written from the definitions."""

import numpy as np
import pytest

from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch
from bigimage.resample import kernels
from bigimage.resample.warp import METHODS, Method, resample_to
from tests.warping import exact, resample

BLENDS: tuple[Method, ...] = ("bilinear", "cubic", "lanczos")


def noise(dtype: str, shape: tuple[int, ...] = (2, 60, 70)) -> np.ndarray:
    rng = np.random.default_rng(5)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.random(shape) * 200 - 100).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)


def source(array: np.ndarray, valid: np.ndarray | None = None) -> Patch:
    return Patch(array, Grid.pixels(array.shape[-2:], "test"), valid)


def target(shape: tuple[int, int], transform: tuple[float, ...]) -> Grid:
    grid = Grid.pixels((60, 70), "test")
    return Grid.from_transform(transform, shape, grid.frame)


TURNED = (0.61, 0.23, 3.3, -0.19, 0.57, 15.2)
"""A rotated, finer target that reaches over the edges of a source of 60 × 70."""


def expected(patch: Patch, grid: Grid, method: Method) -> tuple[np.ndarray, np.ndarray]:
    index = exact(grid, patch.grid, grid.box)
    index = np.round(index / kernels.QUANTUM) * kernels.QUANTUM
    found = [resample(plane, patch.valid, index, method) for plane in patch.array]
    return np.stack([values for values, _ in found]), found[0][1]


@pytest.mark.parametrize("method", ["nearest", *BLENDS])
@pytest.mark.parametrize("dtype", kernels.DTYPES)
def test_values_are_those_of_the_definition(dtype: str, method: Method) -> None:
    patch = source(noise(dtype))
    grid = target((90, 100), TURNED)
    values, shown = expected(patch, grid, method)
    out = resample_to(patch, grid, method=method)
    assert out.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(out.valid, shown)
    assert 0.3 < shown.mean() < 1
    assert (out.array[:, ~shown] == 0).all()
    got, want = out.array[:, shown], values[:, shown]
    kind = np.dtype(dtype)
    if kind.kind == "f":
        np.testing.assert_allclose(got, want, rtol=0, atol=4e-4 if method == "lanczos" else 2e-5)
        return
    info = np.iinfo(kind)
    want = np.clip(np.floor(want + 0.5), info.min, info.max)
    size = float(info.max) - float(info.min)
    # lanczos weights come from a table, and float32 or float64 holds only so many digits
    slack = max(1.0, size * (2e-6 if method == "lanczos" else 1e-13))
    miss = np.abs(got.astype(np.float64) - want)
    assert miss.max() <= slack
    if kind.itemsize <= 2:
        assert (miss == 0).mean() > (0.999 if kind.itemsize == 1 else 0.97)


@pytest.mark.parametrize("method", BLENDS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_missing_pixels_are_left_out_and_never_shown(dtype: str, method: Method) -> None:
    array = noise(dtype)
    valid = np.random.default_rng(2).random(array.shape[1:]) > 0.3
    array[:, ~valid] = 77
    patch = source(array, valid)
    grid = target((90, 100), TURNED)
    values, shown = expected(patch, grid, method)
    out = resample_to(patch, grid, method=method)
    np.testing.assert_array_equal(out.valid, shown)
    assert np.abs(out.array[:, shown] - values[:, shown]).max() <= (1 if dtype == "uint8" else 1e-4)
    other = array.copy()
    other[:, ~valid] = 1
    again = resample_to(source(other, valid), grid, method=method)
    np.testing.assert_array_equal(again.array, out.array)


@pytest.mark.parametrize("method", METHODS)
def test_nan_is_left_out_and_stays_where_it_is_nearest(method: Method) -> None:
    array = np.full((1, 60, 70), 5.0)
    array[0, 20:30, 20:30] = np.nan
    grid = target((90, 100), TURNED)
    out = resample_to(source(array), grid, method=method)
    near = resample_to(source(array), grid, method="nearest")
    np.testing.assert_array_equal(np.isnan(out.array), np.isnan(near.array))
    assert np.isnan(out.array).any()
    rest = out.array[0][out.valid & ~np.isnan(out.array[0])]
    np.testing.assert_allclose(rest, 5.0, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_flat_image_stays_flat(dtype: str, method: Method) -> None:
    out = resample_to(source(np.full((1, 60, 70), 113).astype(dtype)), target((90, 100), TURNED), method=method)
    np.testing.assert_allclose(out.array[0][out.valid], 113, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", kernels.DTYPES)
def test_an_image_on_its_own_grid_comes_out_as_it_is(dtype: str, method: Method) -> None:
    array = noise(dtype)
    if np.dtype(dtype).itemsize == 8 and np.dtype(dtype).kind in "iu" and method != "nearest":
        array = array % 2**50  # blending goes through float64
    patch = source(array)
    out = resample_to(patch, patch.grid, method=method)
    assert out.valid is not None
    assert out.valid.all()
    np.testing.assert_array_equal(out.array, array)


def test_halves_are_rounded_up_below_zero_too() -> None:
    array = np.array([[[-3, -2, 0, 1, 2, 5]]], np.int16)
    between = Grid.from_transform((1, 0, 0.5, 0, 1, 0), (1, 5), Grid.pixels((1, 6), "test").frame)
    out = resample_to(source(array), between, method="bilinear")
    assert out.array[0, 0].tolist() == [-2, -1, 1, 2, 4]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("method", ["cubic", "lanczos"])
def test_overshoot_of_integers_is_cut_off(dtype: str, method: Method) -> None:
    info = np.iinfo(dtype)
    array = np.full((1, 12, 24), info.min, dtype)
    array[..., 12:] = info.max
    fine = Grid.from_transform((0.25, 0, 0, 0, 0.25, 0), (48, 96), Grid.pixels((12, 24), "test").frame)
    out = resample_to(source(array), fine, method=method).array[0, 24]
    assert (np.diff(out.astype(np.float64))[44:51] >= 0).all()
    size = float(info.max) - float(info.min)
    np.testing.assert_allclose(out[:36].astype(np.float64), info.min, atol=size * 1e-9)
    np.testing.assert_allclose(out[60:].astype(np.float64), float(info.max), atol=size * 1e-9)


def test_cubic_overshoots_where_the_type_lets_it() -> None:
    array = np.zeros((1, 12, 24), np.float32)
    array[..., 12:] = 1
    fine = Grid.from_transform((0.25, 0, 0, 0, 0.25, 0), (48, 96), Grid.pixels((12, 24), "test").frame)
    out = resample_to(source(array), fine, method="cubic").array
    assert out.max() > 1.02
    assert out.min() < -0.02


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 5), (7, 2)])
def test_average_is_the_mean_of_the_pixels_underneath(factors: tuple[int, int]) -> None:
    array = noise("float64", (1, 42, 60))
    patch = source(array)
    shape = tuple(n // f for n, f in zip(array.shape[1:], factors, strict=True))
    grid = Grid.from_transform((factors[1], 0, 0, 0, factors[0], 0), shape, patch.grid.frame)
    out = resample_to(patch, grid, method="average")
    blocks = array[0, : shape[0] * factors[0], : shape[1] * factors[1]].reshape(
        shape[0], factors[0], shape[1], factors[1]
    )
    np.testing.assert_allclose(out.array[0], blocks.mean(axis=(1, 3)), rtol=1e-12)


def test_average_of_what_is_partly_missing_is_that_of_the_rest() -> None:
    array = np.arange(16, dtype=np.float64).reshape(1, 4, 4)
    valid = np.ones((4, 4), np.bool_)
    valid[0, 0] = False
    grid = Grid.from_transform((2, 0, 0, 0, 2, 0), (2, 2), Grid.pixels((4, 4), "test").frame)
    out = resample_to(source(array, valid), grid, method="average")
    assert out.array[0, 0, 0] == pytest.approx((1 + 4 + 5) / 3)
    assert out.array[0, 1, 1] == pytest.approx((10 + 11 + 14 + 15) / 4)


def test_lanczos_weights_follow_the_windowed_sinc() -> None:
    table = kernels.lanczos()
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(table[0], [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(table[-1], [0, 0, 0, 1, 0, 0])
    np.testing.assert_allclose(table, table[::-1, ::-1], atol=1e-15)


@pytest.mark.parametrize("dtype", kernels.DTYPES)
def test_pixels_travel_in_a_compiled_type_and_arrive_as_they_left(dtype: str) -> None:
    kind = np.dtype(dtype)
    array = noise(dtype).astype(kind.newbyteorder(">")).transpose(0, 2, 1)
    for method in range(len(METHODS)):
        loaded = kernels.load(array, method)
        assert loaded.dtype == kernels.carrier(kind, method)
        assert loaded.dtype.name in kernels.CARRIERS
        assert loaded.flags.c_contiguous
        back = kernels.unload(loaded, kind, method)
        assert back.dtype == kind
        if method == kernels.NEAREST or kind.itemsize < 8:
            np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_wide_integers_are_copied_bit_for_bit(dtype: str) -> None:
    kind = np.dtype(dtype)
    # as floats these are infinities, quiet and signalling NaN
    bits = [0x7F800000, 0x7FC00001, 0x7F800001, 0xFFFFFFFF, 0xFF800001, 1]
    if kind.itemsize == 8:
        bits = [0x7FF0000000000000, 0x7FF8000000000001, 0x7FF0000000000001, 2**64 - 1, 0xFFF0000000000001, 1]
    array = np.array(bits, f"uint{8 * kind.itemsize}").view(kind).reshape(1, 2, 3)
    out = resample_to(source(array), Grid.pixels((2, 3), "test"), method="nearest")
    np.testing.assert_array_equal(out.array, array)


def test_a_window_is_read_only_and_masked_only_where_something_is_missing() -> None:
    array = noise("uint16")
    window = kernels.window(array, np.ones((60, 70), np.bool_), (3, 4))
    assert not window.pixels.flags.writeable
    assert array.flags.writeable
    assert not window.masked
    np.testing.assert_array_equal(window.pixels, array)
    hole = np.ones((60, 70), np.bool_)
    hole[0, 0] = False
    assert kernels.window(array, hole, (0, 0)).masked


def test_no_claim_reaches_beside_what_was_read() -> None:
    window = kernels.window(noise("uint8"), None, (100, -5))
    assert kernels.claim((0.0, 500.0, 0.0, 30.0), window).tolist() == [100, 160, 0, 30]
    assert kernels.claim((120.0, 130.5, 7.0, 300.0), window).tolist() == [120, 130.5, 7, 65]

"""Reduction: means that are exact, modes that invent nothing, and invalid pixels that never take part."""

from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimage.errors import Unsupported
from bigimage.pyramid.downsample import Missing, reduce_mean, reduce_mode, reduce_valid, warm
from tests.pyramids import DTYPES, noise, reduced

LABELS = ("uint8", "int8", "uint16", "int32")
NONE = Missing.of((None,))


def _blocks(array: np.ndarray, valid: np.ndarray, factors: tuple[int, ...]) -> Any:
    """Coarse index and the valid values below it, one by one."""
    for index in np.ndindex(*(-(-n // f) for n, f in zip(array.shape, factors, strict=True))):
        cells = product(
            *(range(i * f, min((i + 1) * f, n)) for i, f, n in zip(index, factors, array.shape, strict=True))
        )
        yield index, [array[cell] for cell in cells if valid[cell]]


def _slow_mean(array: np.ndarray, valid: np.ndarray, factors: tuple[int, ...], nodata: Any, fill: Any) -> np.ndarray:
    """Mean of one band, integers in rational arithmetic."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], dtype=array.dtype)
    for index, values in _blocks(array, valid, factors):
        kept = [v for v in values if v == v and (nodata is None or nodata != nodata or v != nodata)]
        if not kept:
            out[index] = fill
        elif array.dtype.kind == "f":
            out[index] = array.dtype.type(sum((float(v) for v in kept), 0.0) / len(kept))
        else:
            mean = Fraction(sum(int(v) for v in kept), len(kept))
            whole = floor(mean + Fraction(1, 2))
            if whole == nodata:
                whole += 1 if mean >= whole else -1
            out[index] = whole
    return out


def _slow_mode(array: np.ndarray, valid: np.ndarray, factors: tuple[int, ...], fill: Any) -> np.ndarray:
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], dtype=array.dtype)
    for index, values in _blocks(array, valid, factors):
        out[index] = min(set(values), key=lambda v: (-values.count(v), v)) if values else fill
    return out


shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


@st.composite
def rasters(draw: st.DrawFn, dtypes: Any = tuple(DTYPES)) -> tuple[np.ndarray, np.ndarray]:
    """A band (y, x) whose values often meet, and its validity."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(shapes)
    if np.dtype(dtype).kind == "f":
        values: Any = st.sampled_from([0.0, 1.0, -1.0, 0.5, 255.0, -9999.0, float("nan"), 1e30])
    else:
        limits = np.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        values = st.one_of(st.integers(max(low, -3), 3), st.sampled_from([low, low + 1, high - 1, high]))
    array = draw(hnp.arrays(dtype, shape, elements=values))
    return array, draw(hnp.arrays(bool, shape))


@given(rasters(), st.sampled_from([(2, 2), (1, 2), (2, 1), (3, 2), (4, 4)]), st.booleans())
def test_means_are_those_of_slow_arithmetic(
    raster: tuple[np.ndarray, np.ndarray], factors: tuple[int, int], masked: bool
) -> None:
    array, valid = raster
    found = reduce_mean(array[None], valid if masked else None, factors, NONE)
    expected = _slow_mean(array, valid if masked else np.ones_like(valid), factors, None, 0)
    np.testing.assert_array_equal(found[0], expected)
    assert found.dtype == array.dtype


@given(rasters(), st.data())
def test_nodata_takes_no_part_in_a_mean_and_is_not_hit_by_one(
    raster: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    array, valid = raster
    nodata = data.draw(st.sampled_from(array.ravel().tolist()))
    found = reduce_mean(array[None], valid, (2, 2), Missing.of((nodata,)))[0]
    if array.dtype.kind != "f":
        np.testing.assert_array_equal(found, _slow_mean(array, valid, (2, 2), nodata, nodata))
    for index, values in _blocks(array, valid, (2, 2)):
        kept = [v for v in values if v == v and v != nodata]
        if kept:
            assert found[index] != nodata
            assert min(kept) <= found[index] <= max(kept) or len(set(kept)) > 1
        else:
            np.testing.assert_equal(found[index], array.dtype.type(nodata))


@pytest.mark.parametrize(
    ("dtype", "values", "nodata", "mean"),
    [
        ("uint8", [1, 3, 1, 3], 2, 3),  # exactly nodata: up
        ("uint8", [4, 4, 6, 5], 5, 4),  # 4.67 rounds up to nodata: down again
        ("int16", [-1, -1, 2, 0], 0, 1),
        ("int16", [-3, 1, 1, 0], 0, -1),  # -1/3 rounds to nodata from below
        ("float32", [-1, 1, -1, 1], 0, np.nextafter(np.float32(0), np.float32(1))),
        ("float64", [0, 4, 0, 4], 2, np.nextafter(2.0, 3.0)),
    ],
)
def test_a_mean_that_falls_on_nodata_moves_to_a_neighbour(dtype: str, values: list, nodata: float, mean: float) -> None:
    array = np.array(values, dtype=dtype).reshape(1, 2, 2)
    assert reduce_mean(array, None, (2, 2), Missing.of((nodata,)))[0, 0, 0] == mean


def test_bands_have_their_own_nodata() -> None:
    array = np.array([[[0, 10], [20, 30]], [[0, 10], [20, 30]], [[7, 7], [7, 7]]], dtype="uint8")
    found = reduce_mean(array, None, (2, 2), Missing.of((0, None, 7)))
    assert found.ravel().tolist() == [20, 15, 7]


def test_not_a_number_is_missing_in_every_float_band() -> None:
    array = np.array([[[np.nan, 1.0], [3.0, np.nan]], [[np.nan] * 2] * 2], dtype="float32")
    found = reduce_mean(array, None, (2, 2), Missing((float("nan"), -1.0), (float("nan"), -1.0)))
    assert found.ravel().tolist() == [2.0, -1.0]


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_the_largest_integers_have_exact_means(dtype: str) -> None:
    limits = np.iinfo(dtype)
    for values in (
        [limits.max] * 4,
        [limits.min] * 4,
        [limits.max, limits.min, limits.max, limits.min],
        [limits.max, limits.max - 1, limits.max - 1, limits.max - 1],
        [2**53 + 1, 2**53 + 1, 2**53 + 1, 2**53 + 3],
    ):
        array = np.array(values, dtype=dtype).reshape(1, 2, 2)
        exact = floor(Fraction(sum(int(v) for v in values), 4) + Fraction(1, 2))
        assert int(reduce_mean(array, None, (2, 2), NONE)[0, 0, 0]) == exact


@given(rasters(LABELS), st.sampled_from([(2, 2), (2, 1), (3, 2)]))
def test_modes_are_the_most_frequent_valid_values(
    raster: tuple[np.ndarray, np.ndarray], factors: tuple[int, int]
) -> None:
    array, valid = raster
    found = reduce_mode(array[None], valid, factors, NONE)[0]
    np.testing.assert_array_equal(found, _slow_mode(array, valid, factors, 0))
    assert set(found[reduce_valid(valid, factors)].tolist()) <= set(array[valid].tolist())


@given(rasters((*LABELS, "uint64")), st.sampled_from([(2, 2), (2, 1), (1, 2), (3, 2)]))
def test_modes_of_valid_rasters_are_the_most_frequent_values(
    raster: tuple[np.ndarray, np.ndarray], factors: tuple[int, int]
) -> None:
    array, _ = raster
    found = reduce_mode(array[None], None, factors, NONE)[0]
    np.testing.assert_array_equal(found, _slow_mode(array, np.ones_like(array, bool), factors, 0))


@given(
    hnp.arrays("uint16", st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 3)),
    st.sampled_from([(2, 2, 2), (1, 2, 2), (2, 1, 1)]),
)
def test_modes_of_valid_volumes_are_the_most_frequent_values(array: np.ndarray, factors: tuple[int, int, int]) -> None:
    found = reduce_mode(array[None], None, factors, NONE)[0]
    np.testing.assert_array_equal(found, _slow_mode(array, np.ones_like(array, bool), factors, 0))


def test_ties_go_to_the_smallest_value() -> None:
    array = np.array([[[9, 2, 5, 5], [2, 9, 7, 1]]], dtype="uint8")
    assert reduce_mode(array, None, (2, 2), NONE).tolist() == [[[2, 5]]]
    signed = np.array([[[3, -3]]], dtype="int8")
    assert reduce_mode(signed, None, (1, 2), NONE).tolist() == [[[-3]]]


def test_labels_without_a_valid_pixel_get_the_fill_of_their_band() -> None:
    array = np.full((2, 2, 2), 5, dtype="uint8")
    found = reduce_mode(array, np.zeros((2, 2), dtype=bool), (2, 2), Missing.of((200, 100)))
    assert found.ravel().tolist() == [200, 100]


@given(hnp.arrays(bool, shapes), st.sampled_from([(2, 2), (1, 2), (3, 4)]))
def test_a_coarse_pixel_is_valid_when_any_below_it_is(valid: np.ndarray, factors: tuple[int, int]) -> None:
    found = reduce_valid(valid, factors)
    for index, values in _blocks(valid, np.ones_like(valid), factors):
        assert found[index] == any(values)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32", "uint64"])
@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (2, 1, 3)])
def test_volumes_are_reduced_along_their_three_axes(dtype: str, factors: tuple[int, int, int]) -> None:
    array = noise((5, 7, 9), dtype)
    valid = np.random.default_rng(1).random(array.shape) < 0.5
    found = reduce_mean(array[None], valid, factors, NONE)[0]
    np.testing.assert_array_equal(found, _slow_mean(array, valid, factors, None, 0))
    if dtype in LABELS:
        modes = reduce_mode(array[None], valid, factors, NONE)[0]
        np.testing.assert_array_equal(modes, _slow_mode(array, valid, factors, 0))
    assert reduce_valid(valid, factors).shape == found.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (64, 64), (33, 64), (64, 33), (33, 47)])
def test_all_valid_rasters_of_every_type_and_parity(dtype: str, shape: tuple[int, int]) -> None:
    array = noise((2, *shape), dtype, seed=3)
    ones = np.ones(shape, dtype=bool)
    expected, _ = reduced(array, ones, labels=False, nodata=(None, None), fill=(0, 0))
    np.testing.assert_array_equal(reduce_mean(array, None, (2, 2), Missing.of((None, None))), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (33, 64), (33, 47)])
def test_all_valid_labels(dtype: str, shape: tuple[int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 4, (2, *shape)).astype(dtype)
    ones = np.ones(shape, dtype=bool)
    expected, _ = reduced(array, ones, labels=True, nodata=(None, None), fill=(0, 0))
    np.testing.assert_array_equal(reduce_mode(array, None, (2, 2), Missing.of((None, None))), expected)


def test_complex_pixels_are_refused() -> None:
    with pytest.raises(Unsupported, match="complex64"):
        reduce_mean(np.zeros((1, 2, 2), "complex64"), None, (2, 2), NONE)


def test_warming_compiles_what_an_ingest_runs() -> None:
    from bigimage.pyramid import kernels

    warm()
    for kernel in (kernels.mean2, kernels.mean_blocks, kernels.mode, kernels.any_blocks):
        assert kernel.signatures

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.sources.raster_valid import Rule, fits, missing
from tests.rasters import plain, write

NODATA = [-9999.0, 3.4028234663852886e38, -3.4028234663852886e38, -3.402823e38, -3.4e38, 1e-30, 0.0, 255.0, 1e20, 2e38]


def _near(value: float, dtype: str) -> np.ndarray:
    """A value, its neighbours up to a few hundred steps away, and some others; shape (1, 1, n)."""
    kind = np.dtype(dtype).type
    limits = np.finfo(dtype)
    values = [kind(np.clip(value, limits.min, limits.max))]
    for towards in (limits.min, limits.max):
        step = values[0]
        for _ in range(300):
            step = np.nextafter(step, kind(towards))
            values.append(step)
    with np.errstate(over="ignore"):
        for part in np.logspace(-9, -1, 200):
            values += [values[0] * kind(1 + part), values[0] * kind(1 - part)]
    values += [kind(v) for v in (0, 1, -1, 1e10, 2e31, np.inf, -np.inf, 254.9999)]
    return np.array(values, dtype=dtype).reshape(1, 1, -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", NODATA)
def test_float_nodata_is_met_as_by_gdal(nodata: float, dtype: str, tmp_path: Path) -> None:
    """Compared on every value within 300 steps, and farther off up to a tenth."""
    array = _near(nodata, dtype)
    path = write(tmp_path / "near.tif", array, nodata=nodata)
    _, mask = plain(path, IndexBox.of_shape(array.shape[1:]))
    ours = missing(array[0], nodata)
    np.testing.assert_array_equal(ours, ~mask)
    assert ours[0, 0]


@given(st.integers(-128, 127), st.integers(-128, 127))
def test_whole_number_nodata_is_exact(value: int, nodata: int) -> None:
    assert missing(np.array([[value]], dtype="int8"), nodata)[0, 0] == (value == nodata)


def test_nan_is_missing_with_and_without_a_tag() -> None:
    values = np.array([[np.nan, 1.0, -9999.0, np.inf]], dtype="float32")
    assert missing(values, None).tolist() == [[True, False, False, False]]
    assert missing(values, float("nan")).tolist() == [[True, False, False, False]]
    assert missing(values, -9999.0).tolist() == [[True, False, True, False]]
    assert missing(values, float("inf")).tolist() == [[True, False, False, True]]


def test_integers_without_nodata_are_never_missing() -> None:
    assert not missing(np.zeros((2, 2), dtype="uint8"), None).any()


@pytest.mark.parametrize(
    ("nodata", "dtype", "expected"),
    [
        (0, "uint8", True),
        (255.0, "uint8", True),
        (-1, "uint8", False),
        (256, "uint8", False),
        (1.5, "int16", False),
        (float("nan"), "int16", False),
        (float("inf"), "int32", False),
        (2**63 - 1, "int64", True),
        (2**64 - 1, "uint64", True),
        (1e300, "float32", True),
        (float("nan"), "float32", True),
    ],
)
def test_fits(nodata: float, dtype: str, expected: bool) -> None:
    assert fits(nodata, np.dtype(dtype)) is expected


def test_rule_needs_nodata_in_every_band_to_decide() -> None:
    byte = np.dtype("uint8")
    assert not Rule(2, byte, nodata=(0, None)).by_value
    assert not Rule(2, byte).may_be_invalid
    assert Rule(2, byte, nodata=(0, 255)).by_value
    assert Rule(2, byte, masks=(0,)).may_be_invalid
    assert Rule(2, byte, alpha=1).may_be_invalid
    assert Rule(1, np.dtype("float32")).may_be_invalid


def test_rule_skips_alpha_when_it_counts_bands() -> None:
    rule = Rule(3, np.dtype("uint8"), alpha=0, nodata=(7, 8))
    assert rule.colours == (1, 2)
    first = np.array([[7, 7, 8]], dtype="uint8")
    second = np.array([[8, 7, 8]], dtype="uint8")
    found = rule.missing({1: first, 2: second})
    assert found is not None
    assert found.tolist() == [[True, False, False]]
    assert rule.missing({1: second[:, 1:2] + 1, 2: second[:, 1:2]}) is None

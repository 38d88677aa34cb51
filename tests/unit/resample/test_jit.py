"""Compiling, with and without a place to keep what was compiled."""

import numpy as np
import pytest
from numba import types
from numba.core import caching

from bigimage.resample.jit import array_type, compiled


def _total(values: np.ndarray, divisor: float) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / divisor


SIGNATURE = (array_type("uint8", 1, readonly=True), types.float64)


def test_one_compiled_function_takes_writable_and_read_only_arrays() -> None:
    total = compiled(_total, types.float64, SIGNATURE)
    values = np.array([1, 2, 3], np.uint8)
    assert total(values, 2.0) == 3.0
    values.flags.writeable = False
    assert total(values, 2.0) == 3.0


def test_nothing_is_compiled_behind_the_back_for_other_types() -> None:
    total = compiled(_total, types.float64, SIGNATURE)
    with pytest.raises(TypeError, match="No matching definition"):
        total(np.array([1.5]), 2.0)


def test_division_follows_ieee_754() -> None:
    assert compiled(_total, types.float64, SIGNATURE)(np.ones(1, np.uint8), 0.0) == np.inf


def test_without_a_place_for_the_cache_it_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(_total, types.float64, SIGNATURE)(np.full(4, 2, np.uint8), 4.0) == 2.0

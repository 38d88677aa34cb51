"""Which pixels of a raster are valid: GDAL's rule for the mask of a whole dataset, told from the pixels themselves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rule:
    """How the validity of a raster's pixels is told.

    A pixel is invalid where alpha or the mask in the file is 0; where there is neither, where every band holds nodata.
    In float bands NaN counts as nodata, with or without a tag, and whatever else the file has.
    """

    count: int
    """Number of bands."""
    dtype: np.dtype[Any]
    alpha: int | None = None
    """Index of the alpha band."""
    masks: tuple[int, ...] = ()
    """Bands whose masks, stored in the file, decide: one of them where all bands share a mask."""
    nodata: tuple[float | int | None, ...] = ()
    """Nodata value of each band that is not alpha; empty when it does not decide."""

    @property
    def colours(self) -> tuple[int, ...]:
        """Indexes of the bands that are not alpha."""
        return tuple(b for b in range(self.count) if b != self.alpha)

    @property
    def by_value(self) -> bool:
        """Whether the values of the bands decide."""
        return self.dtype.kind == "f" or (bool(self.nodata) and all(v is not None for v in self.nodata))

    @property
    def may_be_invalid(self) -> bool:
        """Whether pixels can be invalid."""
        return self.alpha is not None or bool(self.masks) or self.by_value

    def missing(self, bands: Mapping[int, NDArray[Any]]) -> NDArray[np.bool_] | None:
        """Where each of some bands, none of them alpha, holds nodata, shape (y, x); None when that is nowhere."""
        found: NDArray[np.bool_] | None = None
        for band, values in bands.items():
            nodata = self.nodata[self.colours.index(band)] if self.nodata else None
            part = missing(values, nodata)
            found = part if found is None else np.logical_and(found, part, out=found)
            if not found.any():
                return None
        return found


def missing(values: NDArray[Any], nodata: float | int | None) -> NDArray[np.bool_]:
    """Where values are nodata, or NaN in a float array.

    A float nodata is met by values next to it too, as in GDAL, because files write it with too few digits.
    """
    if values.dtype.kind != "f":
        return values == nodata if nodata is not None else np.zeros(values.shape, dtype=np.bool_)
    if nodata is None or math.isnan(nodata):
        return np.isnan(values)
    low, high = reach(float(nodata), values.dtype.name)
    found: NDArray[np.bool_] = values >= low
    found &= values <= high
    found |= np.isnan(values)
    return found


@lru_cache(maxsize=1024)
def reach(nodata: float, dtype: str) -> tuple[float, float]:
    """Smallest and largest value of a float type that GDAL takes for a nodata value.

    The rule is ARE_REAL_EQUAL of GDAL's gcore/gdal_priv.h, a tolerance of float32 for float64 too; where the sum in it
    overflows (nodata near the end of the type) it takes in everything that is as large.
    """
    kind = np.dtype(dtype).type
    limits = np.finfo(dtype)
    value = kind(np.clip(nodata, limits.min, limits.max))
    if nodata == 0 or math.isinf(nodata):
        return nodata, nodata

    def met(other: Any) -> bool:
        with np.errstate(over="ignore"):
            distance, sum_ = abs(other - value), abs(other + value)
            return bool(other == value or distance < kind(np.finfo("float32").eps) * sum_ * kind(2))

    with np.errstate(over="ignore"):
        beyond = np.clip(value * kind(1 + 1e-6), limits.min, limits.max)
    outer = np.copysign(limits.max, value) if met(beyond) else _last(met, value, beyond)
    inner = _last(met, value, kind(0))
    low, high = sorted((float(inner), float(outer)))
    return low, high


def _last(met: Callable[[Any], bool], start: Any, end: Any) -> Any:
    """Last value for which a rule holds on the way from `start`, where it does, to `end`, where it does not."""
    while True:
        middle = start + (end - start) / type(start)(2)
        if middle in (start, end):
            return start
        if met(middle):
            start = middle
        else:
            end = middle


def fits(nodata: float | int, dtype: np.dtype[Any]) -> bool:
    """Whether a nodata value can occur among values of a type."""
    if dtype.kind == "f":
        return True
    info = np.iinfo(dtype)
    return math.isfinite(nodata) and float(nodata).is_integer() and int(info.min) <= int(nodata) <= int(info.max)

"""Reduction of a level to the next: mean for images, mode for labels.

The finer array may lack its last row or column (odd sizes): a coarse pixel is made of the pixels that exist. Invalid
pixels never take part; a coarse pixel is valid when any pixel below it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from bigimage.errors import Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

JIT: Any = {"nogil": True, "cache": True, "error_model": "numpy"}


@numba.njit(**JIT)
def _mean2(a: Any, out: Any) -> None:
    """(c, y, x) integers of at most 16 bits, all valid → half size, rounded half up; whole 2 by 2 blocks only."""
    for c in range(out.shape[0]):
        for i in range(a.shape[1] // 2):
            top, bottom, row = a[c, 2 * i], a[c, 2 * i + 1], out[c, i]
            for j in range(a.shape[2] // 2):
                total = (
                    np.int32(top[2 * j])
                    + np.int32(top[2 * j + 1])
                    + np.int32(bottom[2 * j])
                    + np.int32(bottom[2 * j + 1])
                )
                row[j] = (total + 2) >> 2


@numba.njit(**JIT)
def _mode(a: Any, valid: Any, factors: Any, fill: Any, out: Any) -> None:
    """(c, z, y, x) → most frequent value of each block of `factors`; the smallest one where counts tie."""
    values = np.empty(factors[0] * factors[1] * factors[2], dtype=a.dtype)
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    n = 0
                    for z in range(factors[0] * k, min(factors[0] * (k + 1), a.shape[1])):
                        for y in range(factors[1] * i, min(factors[1] * (i + 1), a.shape[2])):
                            for x in range(factors[2] * j, min(factors[2] * (j + 1), a.shape[3])):
                                if valid[z, y, x]:
                                    values[n] = a[c, z, y, x]
                                    n += 1
                    best, best_count = fill, 0
                    same = True
                    for p in range(1, n):
                        same = same and values[p] == values[0]
                    if same and n > 0:
                        out[c, k, i, j] = values[0]
                        continue
                    for p in range(n):
                        count = 0
                        for q in range(n):
                            if values[q] == values[p]:
                                count += 1
                        if count > best_count or (count == best_count and values[p] < best):
                            best, best_count = values[p], count
                    out[c, k, i, j] = best


@numba.njit(**JIT)
def _mean_blocks(
    a: Any, valid: Any, factors: Any, fill: Any, nodata: Any, has_nodata: Any, out: Any, as_integer: Any
) -> None:
    """(c, z, y, x) → mean of each block of `factors`, summed in float64, integers rounded half up.

    Values that are the band's nodata or NaN count as missing. A mean that happens to equal nodata moves to a
    neighbouring value, so that it is not read as missing.
    """
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    total, count = 0.0, 0
                    for z in range(factors[0] * k, min(factors[0] * (k + 1), a.shape[1])):
                        for y in range(factors[1] * i, min(factors[1] * (i + 1), a.shape[2])):
                            for x in range(factors[2] * j, min(factors[2] * (j + 1), a.shape[3])):
                                value = a[c, z, y, x]
                                if valid[z, y, x] and value == value and not (has_nodata[c] and value == nodata[c]):
                                    total += np.float64(value)
                                    count += 1
                    if count == 0:
                        out[c, k, i, j] = fill[c]
                    elif as_integer:
                        mean = np.floor(total / count + 0.5)
                        if has_nodata[c] and mean == np.float64(nodata[c]):
                            mean += 1.0 if total / count >= mean or mean <= 0 else -1.0
                        out[c, k, i, j] = a.dtype.type(mean)
                    else:
                        out[c, k, i, j] = a.dtype.type(total / count)


@numba.njit(**JIT)
def _any_blocks(valid: Any, factors: Any, out: Any) -> None:
    """(z, y, x) bool → whether any pixel of each block of `factors` is true."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                found = False
                for z in range(factors[0] * k, min(factors[0] * (k + 1), valid.shape[0])):
                    for y in range(factors[1] * i, min(factors[1] * (i + 1), valid.shape[1])):
                        for x in range(factors[2] * j, min(factors[2] * (j + 1), valid.shape[2])):
                            found = found or valid[z, y, x]
                out[k, i, j] = found


@dataclass(frozen=True, slots=True)
class Missing:
    """How missing values of one array show: `fill` is written where nothing is valid, `nodata` marks it per band."""

    fill: tuple[float | int, ...]
    nodata: tuple[float | int | None, ...]

    @classmethod
    def of(cls, nodata: Sequence[float | int | None]) -> "Missing":
        """Bands without nodata are filled with 0."""
        return cls(tuple(0 if v is None else v for v in nodata), tuple(nodata))


def reduce_valid(valid: "NDArray[np.bool_]", factors: Sequence[int]) -> "NDArray[np.bool_]":
    """Validity one level up, shape (y, x) or (z, y, x): true where any pixel below is valid."""
    steps = (1,) * (3 - valid.ndim) + tuple(factors)
    source = valid.reshape((1,) * (3 - valid.ndim) + valid.shape)
    out = np.empty(_coarse(source.shape, steps), dtype=np.bool_)
    _any_blocks(source, steps, out)
    return out.reshape(out.shape[3 - valid.ndim :])


def reduce_mean(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", factors: Sequence[int], missing: Missing
) -> "NDArray[Any]":
    """Mean of each block of `factors`; array (c, y, x) or (c, z, y, x), `valid` over its spatial axes.

    Integers are rounded half up. Bands follow `missing`.
    """
    small = array.dtype.kind in "iu" and array.dtype.itemsize <= 2
    if small and valid is None and tuple(factors) == (2, 2) and all(v is None for v in missing.nodata):
        return _reduce_mean2(array)
    dtype = array.dtype
    source, mask, steps, out = _as_volume(array, valid, factors)
    nodata = np.array([0 if v is None or v != v else v for v in missing.nodata], dtype=dtype)
    has_nodata = np.array([v is not None and v == v for v in missing.nodata])
    _mean_blocks(source, mask, steps, np.array(missing.fill, dtype=dtype), nodata, has_nodata, out, dtype.kind in "iu")
    return out.reshape(array.shape[0], *out.shape[5 - array.ndim :])


def reduce_mode(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", factors: Sequence[int], missing: Missing
) -> "NDArray[Any]":
    """Most frequent valid value of each block of `factors`; of equally frequent ones the smallest.

    Values of the result are always values of the input, or the fill where nothing is valid.
    """
    source, mask, steps, out = _as_volume(array, valid, factors)
    _mode(source, mask, steps, array.dtype.type(missing.fill[0]), out)
    return out.reshape(array.shape[0], *out.shape[5 - array.ndim :])


def warm() -> None:
    """Compile, or load from the cache, the kernels of the usual pixel types."""
    for name in ("uint8", "uint16", "int16", "float32"):
        array = np.zeros((1, 4, 4), dtype=name)
        valid = np.ones((4, 4), dtype=np.bool_)
        reduce_mean(array, None, (2, 2), Missing.of((None,)))
        reduce_mean(array, valid, (2, 2), Missing.of((None,)))
        if array.dtype.kind in "iu":
            reduce_mode(array, valid, (2, 2), Missing.of((None,)))
        reduce_valid(valid, (2, 2))


def _coarse(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Shape after division by factors, rounded up."""
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def _reduce_mean2(array: "NDArray[Any]") -> "NDArray[Any]":
    """Fast path of `reduce_mean`: the whole blocks in one kernel, the odd edges in numpy."""
    bands, rows, columns = array.shape
    out = np.empty((bands, -(-rows // 2), -(-columns // 2)), dtype=array.dtype)
    _mean2(array, out)
    half_rows, half_columns = rows // 2, columns // 2
    if columns % 2:
        edge = array[:, : 2 * half_rows, -1].astype(np.int32)
        out[:, :half_rows, -1] = (edge[:, 0::2] + edge[:, 1::2] + 1) >> 1
    if rows % 2:
        edge = array[:, -1, : 2 * half_columns].astype(np.int32)
        out[:, -1, :half_columns] = (edge[:, 0::2] + edge[:, 1::2] + 1) >> 1
    if rows % 2 and columns % 2:
        out[:, -1, -1] = array[:, -1, -1]
    return out


def _as_volume(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", factors: Sequence[int]
) -> tuple["NDArray[Any]", "NDArray[np.bool_]", tuple[int, ...], "NDArray[Any]"]:
    """View with axes (c, z, y, x), its validity (z, y, x), three factors, and an empty result."""
    if array.dtype.kind not in "iuf":
        raise Unsupported(f"pixels of type {array.dtype} cannot be reduced")
    lead = 4 - array.ndim
    source = array.reshape(array.shape[0], *(1,) * lead, *array.shape[1:])
    steps = (1,) * lead + tuple(factors)
    mask = np.ones(source.shape[1:], dtype=np.bool_) if valid is None else valid.reshape(source.shape[1:])
    out = np.empty((source.shape[0], *_coarse(source.shape[1:], steps)), dtype=array.dtype)
    return source, mask, steps, out

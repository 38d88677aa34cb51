"""Reduction of a level to the next: mean for images, mode for labels.

The finer array may lack its last row or column (odd sizes): a coarse pixel is made of the pixels that exist. Invalid
pixels never take part; a coarse pixel is valid when any pixel below it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray


LABELS = ("uint8", "uint16", "uint32", "uint64")
"""Types of label images and of mask layers; 64 bits hold the class and the object of a panoptic pixel."""


@cache
def _kernels() -> Any:
    """The compiled loops.

    numba takes longer to import than the first shards take to read and compress: the first reduction loads it, while
    other threads go on.
    """
    return import_module("bigimage.pyramid.kernels")


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
    _kernels().any_blocks(source, steps, out)
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
    fill, whole = np.array(missing.fill, dtype=dtype), dtype.kind in "iu"
    if whole and dtype.itemsize > 4:
        _kernels().mean_wide(source, mask, steps, fill, nodata, has_nodata, out)
    else:
        _kernels().mean_blocks(source, mask, steps, fill, nodata, has_nodata, out, whole)
    return out.reshape(array.shape[0], *out.shape[5 - array.ndim :])


def reduce_mode(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", factors: Sequence[int], missing: Missing
) -> "NDArray[Any]":
    """Most frequent valid value of each block of `factors`; of equally frequent ones the smallest.

    Values of the result are always values of the input, or the fill where nothing is valid.
    """
    if valid is None and array.dtype.kind in "iu" and set(factors) <= {1, 2}:
        return _reduce_mode2(array, tuple(factors))
    source, mask, steps, out = _as_volume(array, valid, factors)
    _kernels().mode(source, mask, steps, np.array(missing.fill, dtype=array.dtype), out)
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
    for name in LABELS:
        reduce_mode(np.zeros((1, 4, 4), dtype=name), None, (2, 2), Missing.of((None,)))
        reduce_mode(np.zeros((1, 2, 2, 2), dtype=name), None, (2, 2, 2), Missing.of((None,)))


def _coarse(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Shape after division by factors, rounded up."""
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def _reduce_mean2(array: "NDArray[Any]") -> "NDArray[Any]":
    """Fast path of `reduce_mean`: the whole blocks in one kernel, the odd edges in numpy."""
    bands, rows, columns = array.shape
    out = np.empty((bands, -(-rows // 2), -(-columns // 2)), dtype=array.dtype)
    _kernels().mean2(array, out)
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


def _reduce_mode2(array: "NDArray[Any]", factors: tuple[int, ...]) -> "NDArray[Any]":
    """Fast path of `reduce_mode`: whole numbers, all valid, by factors of 1 and 2."""
    out = np.empty((array.shape[0], *_coarse(array.shape[1:], factors)), dtype=array.dtype)
    if factors == (2, 2):
        _kernels().mode2(array, out)
        return out
    lead = (1,) * (4 - array.ndim)
    source = array.reshape(array.shape[0], *lead, *array.shape[1:])
    _kernels().mode8(source, (*lead, *factors), out.reshape(out.shape[0], *lead, *out.shape[1:]))
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

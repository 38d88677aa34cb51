"""How kernels are compiled: ahead for fixed types, without the GIL, kept on disk where there is a place for it."""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from numba import njit, types

JIT: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy"}
"""Without the GIL, and dividing as IEEE 754 divides."""


def array_type(dtype: str, ndim: int, *, readonly: bool = False) -> types.Array:
    """Numba's type of a C-contiguous array; a read-only one takes writable arrays too."""
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C", readonly=readonly)


def compiled(function: Callable[..., Any], result: types.Type, signature: tuple[Any, ...]) -> Callable[..., Any]:
    """Compiled function, from numba's cache on disk where it has one to write to."""
    try:
        return njit([result(*signature)], cache=True, **JIT)(function)
    except RuntimeError:
        # numba finds neither the package nor the user's cache directory writable
        return njit([result(*signature)], **JIT)(function)

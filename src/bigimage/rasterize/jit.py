"""The one way kernels are compiled here: without the GIL, cached on disk, dividing as IEEE 754 divides."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function with numba on first use; its type stays that of the Python function."""
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))

"""The one way kernels are compiled here: without the GIL, cached on disk, dividing as IEEE 754 divides."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def fingerprint(folder: Path) -> str:
    """Short digest of the Python files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_SOURCES = fingerprint(Path(__file__).parent)


def kernel(function: F) -> F:
    """Compile a function with numba on first use; its type stays that of the Python function."""
    # numba's cache knows the file of a kernel, but not the files of the kernels that it calls and takes into itself:
    # with all of them in the name, a kernel compiled from older ones is never loaded again
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES}"
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))

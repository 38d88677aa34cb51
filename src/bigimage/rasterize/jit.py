"""The one way kernels are compiled here: without the GIL, cached on disk, dividing as IEEE 754 divides."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
ZERO = cast("int", np.int64(0))
"""Zero to count from in a kernel. A plain 0 is a type of its own to numba: what takes it would be compiled twice."""
_IMPORT = re.compile(rb"^from bigimage\.rasterize\.(\w+) import", re.MULTILINE)


def fingerprint(folder: Path) -> str:
    """Short digest of a folder's Python files that hold kernels, and of those that they import from this room."""
    sources = {path.stem: path.read_bytes() for path in folder.glob("*.py")}
    imports = {name: {match.decode() for match in _IMPORT.findall(text)} for name, text in sources.items()}
    found: set[str] = set()
    new = {name for name, needed in imports.items() if "jit" in needed}
    while new:
        found |= new
        new = {needed for name in new for needed in imports[name]} & sources.keys() - found
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(sources[name])
    return digest.hexdigest()[:12]


_SOURCES = fingerprint(Path(__file__).parent)


def kernel(function: F) -> F:
    """Compile a function with numba on first use; its type stays that of the Python function."""
    # numba's cache knows the file of a kernel, but not the files of the kernels that it calls and takes into itself:
    # with all of them in the name, a kernel compiled from older ones is never loaded again
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES}"
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))

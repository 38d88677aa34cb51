"""pydicom's warnings, switched off where files are read: what they say becomes verdicts."""

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

WARNERS = r"(pydicom|bigimage\.sources\.dicom|bigimage\.formats)(\..*)?$"
"""Modules that pydicom's warnings seem to come from, by how far up the stack it points."""


class _Quiet:
    """A switch that any number of threads may hold; Python's own filters know nothing of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved: warnings.catch_warnings[None] | None = None

    @contextmanager
    def __call__(self) -> Generator[None]:
        with self._lock:
            if self._depth == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=WARNERS)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0 and self._saved is not None:
                    self._saved.__exit__(None, None, None)
                    self._saved = None


quiet = _Quiet()

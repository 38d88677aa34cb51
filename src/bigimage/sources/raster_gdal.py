"""GDAL behind a fence: one driver, no network, no overviews, no noise, errors translated."""

import logging
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError  # what GDAL calls raise where rasterio does not wrap it
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from bigimage.errors import DataError, InputError

GDAL_ERRORS = (RasterioError, CPLE_BaseError, UnicodeDecodeError)
"""Everything that GDAL raises through rasterio; the last one where a text in a file is not UTF-8."""
BLOCK_CACHE = 64 * 1024 * 1024
"""Most bytes of decoded blocks that GDAL keeps in this process; windows are read once, so more is wasted memory."""

_OPTIONS: dict[str, Any] = {
    # sidecar files are found by asking for each, not by listing a folder that may hold a million files
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_NUM_THREADS": "1",  # callers read from several threads; a second pool below theirs only contends
    "GDAL_PAM_ENABLED": "YES",  # .aux.xml is read; nothing is ever written, as files are opened for reading
    "GDAL_PAM_MODE": "PAM",
    # damage is an error, not grey pixels
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # this short cut returns the memory that it found where a file ends too early
    "RAW_CHECK_FILE_SIZE": "YES",
    # no file may reach out: the virtual file systems of the network know no name
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/vsicurl/none",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    # what the environment of the process may have set otherwise
    "GTIFF_POINT_GEO_IGNORE": "FALSE",
    "GTIFF_VIRTUAL_MEM_IO": "NO",
}
_setup = threading.Lock()


def environment() -> rasterio.Env:
    """Environment that every call into GDAL runs in; it also sends GDAL's messages to `logging`, not to stderr."""
    return rasterio.Env(**_OPTIONS)


def _bound_block_cache() -> None:
    """Lower GDAL's block cache, which belongs to the whole process, to `BLOCK_CACHE`."""
    # rasterio.Env would set it too, but raise it again whenever a thread leaves its environment
    with _setup:
        size = get_gdal_config("GDAL_CACHEMAX")
        if isinstance(size, int) and size > BLOCK_CACHE:
            set_gdal_config("GDAL_CACHEMAX", BLOCK_CACHE)


def open_dataset(name: Path | str, driver: str) -> DatasetReader:
    """Open a file, or the text of a checked VRT, with one driver. Call within `environment()`; raises GDAL's errors."""
    # A filter for the rest of the process, as catch_warnings() would race between threads. What the warning says,
    # the verdicts of the image say better.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    _bound_block_cache()
    # Not with OVERVIEW_LEVEL=NONE, which makes rasterio 1.4 report uninitialised memory as the transform of a file that
    # has none. GDAL turns to overviews only for windows read at a reduced size, and none is read so here.
    return rasterio.open(name, driver=driver, sharing=False)


def reason(error: BaseException, hidden: str = "") -> str:
    """What GDAL said first and last: the root of a chain of exceptions, and its outermost; `hidden` is left out."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    said = [e for e in chain if isinstance(e, CPLE_BaseError)] or chain[-1:]
    texts = dict.fromkeys(str(getattr(e, "errmsg", None) or e).replace(hidden or "\0", "") for e in (said[-1], said[0]))
    return " ".join("; ".join(texts).split())[:300]


@contextmanager
def collected_messages() -> Generator[list[str]]:
    """List that fills with the warnings that GDAL gives in this thread."""
    messages: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                messages.append(record.getMessage())

    handler = Collector(logging.WARNING)
    logger = logging.getLogger("rasterio")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


class Handles:
    """Open handles of one file, lent to one thread at a time, as GDAL's may be used by one thread only.

    A handle goes to whoever asks next, so that reads that follow each other share one whatever their thread:
    a PNG read from top to bottom is decoded once.
    """

    def __init__(self, name: str, opener: Callable[[], DatasetReader], *, hidden: str = "") -> None:
        """`name` stands for the file in errors; `hidden` is left out of GDAL's messages."""
        self._name = name
        self._opener = opener
        self._hidden = hidden
        self._idle: list[DatasetReader] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def lend(self, doing: str) -> Generator[DatasetReader]:
        """Handle for the length of a `with` block, inside `environment()`.

        GDAL's errors become a DataError that names the file and what was being done. Raises InputError when closed.
        """
        with environment():
            try:
                dataset = self._take()
                try:
                    yield dataset
                finally:
                    self._give_back(dataset)
            except GDAL_ERRORS as error:
                why = reason(error, self._hidden)
                raise DataError(
                    f"{self._name} is damaged, cut short or in an encoding that is not built in: {doing} failed ({why})"
                ) from error

    def _take(self) -> DatasetReader:
        with self._lock:
            if self._closed:
                raise InputError(f"{self._name} is closed")
            if self._idle:
                return self._idle.pop()
        return self._opener()

    def _give_back(self, dataset: DatasetReader) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(dataset)
                return
        dataset.close()

    def close(self) -> None:
        """Close all handles; those on loan close when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        with environment():
            for dataset in idle:
                dataset.close()

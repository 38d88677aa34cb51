"""Things that wait in a temporary file until all are known, so that memory stays bounded."""

import pickle
import tempfile
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Generic, TypeVar

from bigimage.errors import BackendError

T = TypeVar("T")


class Waiting(Generic[T]):
    """Objects in an unnamed file, which goes with this one at the latest."""

    def __init__(self, why: str) -> None:
        """Begin with none; `why` ends the sentence about a disk that is full."""
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="bigimage-")  # noqa: SIM115 - see close
        self._why = why
        self._count = 0
        self.close = weakref.finalize(self, _close, self._file)

    def add(self, item: T) -> None:
        """Keep an object. Raises BackendError."""
        with writing(self._why):
            pickle.dump(item, self._file, protocol=5)
            self._file.flush()
        self._count += 1

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)  # noqa: S301 - our own unnamed file


def _close(file: IO[bytes]) -> None:
    """Delete a file; of a full disk has been told, and what could not be written is not needed any more."""
    with suppress(OSError):
        file.close()


@contextmanager
def writing(why: str) -> Generator[None]:
    """Turn failures of the temporary folder into BackendError with the remedy."""
    try:
        yield
    except OSError as error:
        where = f"{tempfile.gettempdir()}, {why}"
        raise BackendError(f"cannot write to {where}: {error.strerror}; free space there, or set TMPDIR") from error

"""Changes on their way into the database that are too many to be held: parts of them on disk, until all are known."""

import pickle
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from bigimage.errors import BackendError
from bigimage.model.change import Change
from bigimage.store.rows import Batch

PART = 2_000
"""Changes of a part, all of which are held at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some changes, ready to be made."""

    changes: list[Change]
    batch: Batch
    """The annotations that they bring, in their order."""
    texts: Mapping[str, int]
    """Ids of their labels and origins."""


class ChangeSet:
    """Parts of changes kept in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="bigimage-")  # noqa: SIM115 - see close
        self.count = 0
        """Changes in all parts."""

    def add(self, part: Part) -> None:
        """Keep a part. Raises BackendError."""
        try:
            pickle.dump(part, self._file, protocol=5)
            self._file.flush()
        except OSError as error:
            where = f"{tempfile.gettempdir()}, where changes wait until all are known"
            raise BackendError(f"cannot write to {where}: {error.strerror}; free space there, or set TMPDIR") from error
        self.count += len(part.changes)

    def parts(self) -> Iterator[Part]:
        """All parts, one at a time."""
        self._file.seek(0)
        left = self.count
        while left:
            part: Part = pickle.load(self._file)  # noqa: S301 - our own unnamed file
            left -= len(part.changes)
            yield part

    def close(self) -> None:
        """Delete the file."""
        # of a full disk `add` has told; what could not be written is not needed any more
        with suppress(OSError):
            self._file.close()

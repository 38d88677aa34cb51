"""Changes on their way into the database that are too many to be held: parts of them on disk, until all are known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bigimage.model.change import Change
from bigimage.store.rows import Batch
from bigimage.waiting import Waiting

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
        self._parts: Waiting[Part] = Waiting("where changes wait until all are known")
        self.count = 0
        """Changes in all parts."""

    def add(self, part: Part) -> None:
        """Keep a part. Raises BackendError."""
        self._parts.add(part)
        self.count += len(part.changes)

    def parts(self) -> Iterator[Part]:
        """All parts, one at a time."""
        return iter(self._parts)

    def close(self) -> None:
        """Delete the file."""
        self._parts.close()

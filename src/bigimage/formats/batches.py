"""Streams in parts, so that arrays can be worked on while memory stays bounded."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
SIZE = 4096
"""Annotations that are worked on together."""


def batches(items: Iterable[T], size: int = SIZE) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part

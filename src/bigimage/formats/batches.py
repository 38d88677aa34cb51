"""Streams in parts, so that arrays can be worked on while memory stays bounded."""

import gc
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
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


@contextmanager
def collector_paused() -> Generator[None]:
    """Let no search for cycles go on meanwhile.

    A batch of parsed JSON is a million lists and no cycle: looking for one takes as long as the parsing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

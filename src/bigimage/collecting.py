"""Python's garbage collector while very many objects pass through.

With its default of one look for every 700 new objects it takes a third of the time of a load, and makes one window in a
hundred wait for a look at everything that the process holds. It finds nothing: annotations hold no circles.
"""

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager

RARELY = 100_000
"""New objects between two looks."""
_lock = threading.Lock()
_inside = 0
_before: tuple[int, int, int] = (0, 0, 0)


@contextmanager
def collecting_rarely() -> Generator[None]:
    """Let the collector look less often until the block ends; blocks of several threads may overlap."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = gc.get_threshold()
            # 0 means that somebody has turned it off
            if 0 < _before[0] < RARELY:
                gc.set_threshold(RARELY, *_before[1:])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_before)

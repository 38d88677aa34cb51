"""How far the work is: a bar on a terminal, plain lines elsewhere. The only clock is the one that shows time left."""

import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

LINE_EVERY = 5.0
"""Seconds between plain lines."""
RATE_OVER = 30.0
"""Seconds that the time left is extrapolated from, so that it follows the work as it is now."""

Report = Callable[[int, int], None]


@contextmanager
def reporting(title: str, *, quiet: bool = False) -> Generator[Report]:
    """Yield a function to call with (done, total) from any thread; what it shows goes to standard error.

    The time left is extrapolated from the rate over the last `RATE_OVER` seconds.
    """
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        yield _Lines(title)


@contextmanager
def _bar(title: str) -> Generator[Report]:
    """A rich progress bar."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=RATE_OVER) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Lines:
    """Plain lines, at most one every `LINE_EVERY` seconds, and one at the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = time.monotonic()
        self._seen = deque([(self._start, 0)], maxlen=round(RATE_OVER / LINE_EVERY) + 1)
        """(time, done) at the lines of the last `RATE_OVER` seconds."""
        self._finished = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        finished = done >= total
        if self._finished or (now - self._seen[-1][0] < LINE_EVERY and not finished):
            return
        self._finished = finished
        since, before = self._seen[0]
        self._seen.append((now, done))
        share = done / total if total else 1.0
        if finished:
            tail = "done"
        elif done > before:
            tail = f"about {(now - since) * (total - done) / (done - before):.0f} s left"
        else:
            tail = "time left unknown"
        sys.stderr.write(f"{self._title}: {share:4.0%}, {now - self._start:.0f} s, {tail}\n")

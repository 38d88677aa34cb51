"""How far the work is: a bar on a terminal, plain lines elsewhere. The only clock is the one that shows time left."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

LINE_EVERY = 5.0
"""Seconds between plain lines."""

Report = Callable[[int, int], None]


@contextmanager
def reporting(title: str, *, quiet: bool = False) -> Generator[Report]:
    """Yield a function to call with (done, total) from any thread; what it shows goes to standard error.

    The time left is extrapolated from the rate of the last half minute, so that it follows the work as it is now.
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
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=30.0) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Lines:
    """Plain lines, at most one every `LINE_EVERY` seconds, and one at the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = time.monotonic()
        self._last = self._start
        self._finished = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        finished = done >= total
        if self._finished or (now - self._last < LINE_EVERY and not finished):
            return
        self._last, self._finished = now, finished
        share = done / total if total else 1.0
        left = (now - self._start) * (1 - share) / share if share else float("nan")
        tail = "done" if finished else f"about {left:.0f} s left"
        sys.stderr.write(f"{self._title}: {share:4.0%}, {now - self._start:.0f} s, {tail}\n")

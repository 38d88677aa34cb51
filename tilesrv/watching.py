"""Live changes: one thread looks whether the database changed, and wakes everybody who waits in this process."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from bigimage.errors import BackendError
from bigimage.store.door import Watch
from tilesrv.errors import Busy

LOOK = 1.0
"""Seconds of one wait; the thread ends so long after the last listener has gone."""
MOST_LISTENERS = 1000
"""Most streams of one process."""
_log = logging.getLogger(__name__)


class Waker:
    """Wakes the listeners of one event loop when anything was stored, by this process or another.

    No listener costs the database anything while nothing changes, however many there are.
    """

    def __init__(self, watch: Callable[[], Watch]) -> None:
        self._watch = watch
        self._listeners: set[asyncio.Event] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self.generation = 0
        """Grows with every change; who asked at an older one may have got an older answer."""

    def require_place(self) -> None:
        """Raise Busy when as many listen as one process may have."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise Busy(f"{MOST_LISTENERS} streams are open already; try again later")

    @contextmanager
    def listen(self) -> Generator[asyncio.Event]:
        """An event that is set whenever something changed; call it in the event loop."""
        event = asyncio.Event()
        with self._lock:
            self._listeners.add(event)
            if self._thread is None:
                loop = asyncio.get_running_loop()
                self._thread = threading.Thread(target=self._run, args=(loop,), name="changes", daemon=True)
                self._thread.start()
        try:
            yield event
        finally:
            with self._lock:
                self._listeners.discard(event)

    def stop(self) -> None:
        """Wake everybody for the last time."""
        self._stopped = True
        self._wake()

    @property
    def is_stopped(self) -> bool:
        """Whether the server is ending."""
        return self._stopped

    def _wake(self) -> None:
        self.generation += 1
        for event in tuple(self._listeners):
            event.set()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for changes as long as there are listeners; a database that is gone is asked again."""
        watch: Watch | None = None
        while self._wanted():
            try:
                if watch is None:
                    watch = self._watch()
                    changed = True  # what came before the watch began would be missed otherwise
                else:
                    changed = watch.wait(LOOK)
            except BackendError as error:
                _log.warning("cannot watch the database: %s", error)
                watch = _closed(watch)
                changed = False
                time.sleep(LOOK)
            if changed and not loop.is_closed():
                loop.call_soon_threadsafe(self._wake)
        _closed(watch)

    def _wanted(self) -> bool:
        """Whether anybody listens; when nobody does, the thread is over."""
        with self._lock:
            if self._listeners and not self._stopped:
                return True
            self._thread = None
            return False


def _closed(watch: Watch | None) -> None:
    """Close a watch, whose database may be gone."""
    if watch is not None:
        try:
            watch.close()
        except BackendError as error:
            _log.warning("cannot close the watch: %s", error)

"""Compiling the kernels, or loading them from numba's cache, before the first user needs them."""

import gc
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from bigimage import catalogue
from bigimage.errors import DataError, NotFound, Unsupported
from bigimage.resample import warp
from bigimage.workspace import Workspace
from tilesrv import mvt, render

LOOKED_AT = 200
"""Images whose pixel types are warmed for; those of further ones wait for their first use."""
USUAL = ("uint8", "uint16")
PATIENCE = 1.0
"""Seconds that a kernel may go on compiling when the server ends."""


def settle() -> None:
    """Let the garbage collector pass over all that the process holds by now: modules, routes, compiled kernels.

    Looking through them took a seventh of a second again and again, in which every request waited.
    """
    gc.collect()
    gc.freeze()


class Warming:
    """A thread that warms up step by step, and can be stopped between two steps."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stop = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warming", daemon=True)
        self._then: Callable[[], None] | None = None

    @property
    def is_done(self) -> bool:
        """Whether all that is known to be needed is compiled."""
        return self._done.is_set()

    def start(self, then: Callable[[], None] | None = None) -> None:
        """Begin; `then` is called when all is warm."""
        self._then = then
        self._thread.start()

    def stop(self) -> None:
        """End after the step at hand; a kernel that takes long to compile is left unfinished when the process ends."""
        self._stop.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        for step in self._steps():
            if self._stop.is_set():
                return
            try:
                step()
            except Unsupported:
                continue  # an image of a type that is never warped; its tiles will say so
        if self._then is not None:
            self._then()
        self._done.set()

    def _steps(self) -> Iterator[Callable[[], object]]:
        """What to warm: rendering first, as every tile needs it."""
        yield render.warm
        for kind in dict.fromkeys((*USUAL, *self._kinds())):
            yield partial(warp.warm, (kind,))
        yield mvt.warm

    def _kinds(self) -> Iterator[str]:
        """Pixel types of the images that there are."""
        for image in islice(catalogue.ids(self._workspace.path), LOOKED_AT):
            try:
                yield str(self._workspace.record(image)["dtype"])
            except (NotFound, DataError):
                continue

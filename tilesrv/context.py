"""What every route of one server process works with."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar
from uuid import UUID

from starlette.requests import Request

from bigimage.cache import ByteLRU
from bigimage.errors import NotFound
from bigimage.geometry.tiling import NativeTiles
from bigimage.pyramid.pyramid import Pyramid
from bigimage.settings import Settings
from bigimage.workspace import Workspace
from tilesrv.jobstore import JobStore
from tilesrv.lanes import Lane
from tilesrv.metrics import Metrics
from tilesrv.people import People
from tilesrv.warming import Warming
from tilesrv.watching import Waker

T = TypeVar("T")
FRESH = 1.0
"""Seconds for which an open image is trusted to exist still; another process may remove it."""
OPEN = 256
"""Most images held open."""
WAITING = 512
"""Most requests that wait for a thread; further ones are told to come back."""
HEAVY_THREADS = 2
"""Threads for work that may take seconds."""
READ_THREADS = 4
"""Threads that read annotations."""
LARGE = 1 << 20
"""Bytes of a JSON body above which few are worked on at a time: as objects they take ten times as many."""
LARGE_AT_ONCE = 2
EDIT_THREADS = 8
"""Threads that write annotations where the database takes several writers at a time."""


@dataclass(eq=False)
class Served:
    """An open image with what is worked out once for all of its requests."""

    pyramid: Pyramid
    checked: float
    memo: dict[Any, Any] = field(default_factory=dict[Any, Any])

    @cached_property
    def tag(self) -> str:
        """Part of every cache key and ETag: id and version."""
        return f"{self.pyramid.info.id}:{self.pyramid.version}"

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Value made once and remembered; only for keys from small fixed sets."""
        try:
            return self.memo[key]
        except KeyError:
            return self.memo.setdefault(key, make())

    def native(self, tile: int) -> NativeTiles:
        """Tiling of the image's own grid."""
        return self.once(
            ("native", tile),
            lambda: NativeTiles(tuple(g.shape[-2:] for g in self.pyramid.grids), tile),  # pyright: ignore[reportArgumentType]
        )


class Gallery:
    """The images that this process holds open."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._open: OrderedDict[str, Served] = OrderedDict()
        self._lock = Lock()

    def peek(self, image: str) -> Served | None:
        """The image, when it is open and was seen a moment ago. Touches no disk."""
        served = self._open.get(image)
        return served if served is not None and time.monotonic() - served.checked < FRESH else None

    def has(self, image: str) -> bool:
        """Whether the image is open, though it may be gone meanwhile."""
        return image in self._open

    def load(self, image: str) -> Served:
        """Open the image, or make sure that it is still the same. Blocking. Raises NotFound."""
        try:
            pyramid = self._workspace.image(image)
        except NotFound:
            self.forget(image)
            raise
        with self._lock:
            served = self._open.get(image)
            if served is None or served.pyramid is not pyramid:
                served = self._open[image] = Served(pyramid, 0.0)
            served.checked = time.monotonic()
            self._open.move_to_end(image)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
        return served

    def forget(self, image: str) -> None:
        """Close an image here."""
        with self._lock:
            self._open.pop(image, None)


@dataclass(frozen=True)
class Context:
    """Everything that the routes of one process share."""

    workspace: Workspace
    settings: Settings
    gallery: Gallery
    tiles: Lane
    """Renders tiles, and what takes no longer."""
    heavy: Lane
    """Does what may take seconds, so that tiles never wait behind it."""
    reads: Lane
    """Reads annotations, and checks what is to be written."""
    edits: Lane
    """Writes annotations. SQLite has one writer at a time, and threads that wait here wait shorter than those there."""
    cache: ByteLRU[Any]
    """Finished tiles."""
    metrics: Metrics
    jobs: JobStore
    warming: Warming
    people: People
    waker: Waker
    """Tells who listens that annotations have changed."""
    owners: dict[UUID, str] = field(default_factory=dict[UUID, str])
    """Images of annotations that were painted."""
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))

    @classmethod
    def make(cls, workspace: Workspace, settings: Settings, metrics: Metrics) -> "Context":
        """Context of a new process."""
        threads = settings.server_threads or 2 * settings.worker_count()
        return cls(
            workspace,
            settings,
            Gallery(workspace),
            Lane("tiles", threads=threads, waiting=WAITING),
            Lane("heavy", threads=HEAVY_THREADS, waiting=WAITING),
            Lane("reads", threads=READ_THREADS, waiting=WAITING),
            Lane("edits", threads=EDIT_THREADS if settings.store else 1, waiting=WAITING),
            ByteLRU[Any](settings.tile_cache),
            metrics,
            JobStore(workspace.path),
            Warming(workspace),
            People(workspace, settings.max_rate, any_host="*" in settings.allowed_hosts),
            Waker(lambda: workspace.annotations.store.watch()),
        )

    def room_for(self, body: bytes) -> AbstractAsyncContextManager[None]:
        """Room to work on a JSON body; large ones wait for those before them, so that memory stays bounded."""
        return self.large if len(body) > LARGE else nullcontext()

    async def image(self, image: str) -> Served:
        """The open image of an id. Raises NotFound."""
        served = self.gallery.peek(image)
        if served is None and self.gallery.has(image):
            return self.gallery.load(image)  # one look at one file: quicker than any thread
        if served is None:
            served = await self.tiles.run(("load", image), lambda: self.gallery.load(image))
        return served

    def close(self) -> None:
        """End the threads."""
        self.warming.stop()
        self.waker.stop()
        self.tiles.close()
        self.heavy.close()
        self.reads.close()
        self.edits.close()
        self.workspace.close()


def context_of(request: Request) -> Context:
    """The context of the process that serves a request."""
    return request.app.state.context

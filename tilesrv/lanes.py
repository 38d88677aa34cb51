"""Lanes: where the server leaves its event loop to compute. Made once for all who ask the same.

Short waits for a disk (documents, records, pieces of files) take starlette's `run_in_threadpool` instead.
"""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive

from tilesrv.errors import Busy, ClientGone

T = TypeVar("T")
LONG = 0.25
"""Seconds of waiting after which the server looks whether the client is still there."""


@dataclass(eq=False, slots=True)
class _Flight:
    """One piece of work and everybody who waits for it."""

    key: Hashable
    work: Callable[[], Any]
    waiters: set["asyncio.Future[Any]"] = field(default_factory=set["asyncio.Future[Any]"])
    dropped: bool = False

    def perform(self) -> Any:
        """Do the work, unless everybody left before it was its turn."""
        return None if self.dropped else self.work()


class Lane:
    """A few threads with a bounded queue before them; all methods belong to one event loop.

    Identical work in flight is done once. Work whose every asker has gone before it started is dropped.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.threads = threads
        self._limit = threads + waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._flights: dict[Hashable, _Flight] = {}
        self._backlog = 0

    @property
    def backlog(self) -> int:
        """Number of pieces of work that run or wait."""
        return self._backlog

    async def run(self, key: Hashable, work: Callable[[], T], receive: Receive | None = None) -> T:
        """Return what `work()` returns in a thread, or raise what it raises.

        Parameters
        ----------
        key
            Names the work: whoever asks for the same key while it is in flight gets the same result.
        work
            Called without arguments.
        receive
            The request's ASGI channel, watched for its client's leaving when the work takes long.

        Raises
        ------
        Busy
            When too much is waiting already.
        ClientGone
            When the client left first.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._take_off(key, work, loop)
        waiter: asyncio.Future[Any] = loop.create_future()
        flight.waiters.add(waiter)
        # A watch costs a task, so only those who wait long get one.
        watch = None if receive is None else _Watch(receive, waiter, loop)
        try:
            return await waiter
        finally:
            if watch is not None:
                watch.cancel()
            flight.waiters.discard(waiter)
            if not flight.waiters and self._flights.get(key) is flight:
                flight.dropped = True
                del self._flights[key]

    def close(self) -> None:
        """Let running work end, forget what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _take_off(self, key: Hashable, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> _Flight:
        """Queue work under its key."""
        if self._backlog >= self._limit:
            raise Busy(f"{self._backlog} requests are being worked on or wait already; try again in a moment")
        flight = _Flight(key, work)
        self._flights[key] = flight
        self._backlog += 1
        future = self._pool.submit(flight.perform)

        def land(done: "Future[Any]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._land, flight, done)

        future.add_done_callback(land)
        return flight

    def _land(self, flight: _Flight, done: "Future[Any]") -> None:
        """Hand the outcome to everybody who still waits."""
        self._backlog -= 1
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        for waiter in flight.waiters:
            if waiter.done():
                continue
            if done.cancelled():
                waiter.cancel()
            elif (error := done.exception()) is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())


class _Watch:
    """Fails a waiter once its client has disconnected; begins after `LONG` seconds."""

    __slots__ = ("_receive", "_task", "_timer", "_waiter")

    def __init__(self, receive: Receive, waiter: "asyncio.Future[Any]", loop: asyncio.AbstractEventLoop) -> None:
        self._receive, self._waiter = receive, waiter
        self._task: asyncio.Task[None] | None = None
        self._timer = loop.call_later(LONG, self._begin, loop)

    def cancel(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._waiter.done():
            self._waiter.set_exception(ClientGone("the client went away"))

"""One thread wakes all listeners, ends without them, and outlives a database that is gone for a while."""

import asyncio
import threading

import pytest

from bigimage.errors import BackendError
from tilesrv import watching
from tilesrv.errors import Busy
from tilesrv.watching import Waker


class Bell:
    """A watch that rings when the test says so."""

    def __init__(self) -> None:
        self.rung = threading.Event()
        self.closed = 0
        self.broken = 0
        self.opened = 0

    def open(self) -> "Bell":
        self.opened += 1
        return self

    def wait(self, seconds: float) -> bool:
        if self.broken:
            self.broken -= 1
            raise BackendError("the database is gone")
        rang = self.rung.wait(seconds)
        self.rung.clear()
        return rang

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK", 0.01)


async def _woken(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 60)
    event.clear()


def test_everybody_is_woken_and_the_thread_ends_with_the_last() -> None:
    bell = Bell()
    waker = Waker(bell.open)

    async def run() -> None:
        with waker.listen() as first, waker.listen() as second:
            await _woken(first)  # what came before the watch began
            await _woken(second)
            before = waker.generation
            bell.rung.set()
            await _woken(first)
            await _woken(second)
            assert waker.generation > before
        while bell.closed == 0:
            await asyncio.sleep(0.005)

    asyncio.run(run())
    assert (bell.opened, bell.closed) == (1, 1)


def test_a_database_that_comes_back_is_watched_again() -> None:
    bell = Bell()
    bell.broken = 2
    waker = Waker(bell.open)

    async def run() -> None:
        with waker.listen() as event:
            await _woken(event)
            while bell.opened < 3:
                await asyncio.sleep(0.005)
            event.clear()
            bell.rung.set()
            await _woken(event)

    asyncio.run(run())
    assert bell.opened == 3


def test_a_place_is_taken_while_listening() -> None:
    waker = Waker(Bell().open)

    async def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watching, "MOST_LISTENERS", 1)
            waker.require_place()
            with waker.listen(), pytest.raises(Busy):
                waker.require_place()
            waker.require_place()

    asyncio.run(run())


def test_stopping_wakes_for_the_last_time() -> None:
    waker = Waker(Bell().open)

    async def run() -> None:
        with waker.listen() as event:
            await _woken(event)
            waker.stop()
            await _woken(event)

    asyncio.run(run())
    assert waker.is_stopped

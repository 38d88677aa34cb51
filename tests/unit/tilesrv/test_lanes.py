"""Work is done once for all who ask, in bounded number, and not for those who left."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tilesrv.errors import Busy, ClientGone
from tilesrv.lanes import Lane


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane("test", threads=1, waiting=2)
    yield made
    made.close()


class Gate:
    """Work that waits until it is let through, and counts how often it ran."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.runs = 0

    def __call__(self) -> int:
        assert self.open.wait(10)
        self.runs += 1
        return self.runs


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to be")


def _disconnecting(gone: asyncio.Event) -> Callable[[], Awaitable[Any]]:
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def test_identical_work_in_flight_runs_once_for_all(lane: Lane) -> None:
    async def scenario() -> tuple[list[int], int]:
        gate = Gate()
        asked = [asyncio.create_task(lane.run("key", gate)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(*asked), gate.runs

    results, runs = asyncio.run(scenario())
    assert runs == 1
    assert results == [1] * 20


def test_work_is_done_again_once_it_is_over(lane: Lane) -> None:
    async def scenario() -> list[int]:
        gate = Gate()
        gate.open.set()
        return [await lane.run("key", gate), await lane.run("key", gate)]

    assert asyncio.run(scenario()) == [1, 2]


def test_an_error_reaches_everybody_and_is_not_remembered(lane: Lane) -> None:
    def fail() -> int:
        raise ValueError("broken")

    async def scenario() -> list[Any]:
        first = await asyncio.gather(*(lane.run("key", fail) for _ in range(3)), return_exceptions=True)
        return [*first, await lane.run("key", lambda: 7)]

    *errors, value = asyncio.run(scenario())
    assert [str(e) for e in errors] == ["broken"] * 3
    assert value == 7
    assert lane.backlog == 0


def test_too_much_waiting_is_refused(lane: Lane) -> None:
    async def scenario() -> None:
        gate = Gate()
        asked = [asyncio.create_task(lane.run(n, gate)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="3 requests"):
            await lane.run("one more", gate)
        gate.open.set()
        await asyncio.gather(*asked)

    asyncio.run(scenario())


def test_queued_work_is_dropped_when_its_client_leaves(lane: Lane) -> None:
    async def scenario() -> tuple[int, int]:
        gate, queued, gone = Gate(), Gate(), asyncio.Event()
        queued.open.set()
        running = asyncio.create_task(lane.run("running", gate))
        waiting = asyncio.create_task(lane.run("queued", queued, _disconnecting(gone)))
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(ClientGone):
            await waiting
        gate.open.set()
        await running
        await _until(lambda: lane.backlog == 0)
        return gate.runs, queued.runs

    assert asyncio.run(scenario()) == (1, 0)


def test_work_goes_on_while_anybody_still_waits(lane: Lane) -> None:
    async def scenario() -> tuple[int, int]:
        gate, queued, gone = Gate(), Gate(), asyncio.Event()
        queued.open.set()
        running = asyncio.create_task(lane.run("running", gate))
        leaving = asyncio.create_task(lane.run("queued", queued, _disconnecting(gone)))
        staying = asyncio.create_task(lane.run("queued", queued, _disconnecting(asyncio.Event())))
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(ClientGone):
            await leaving
        gate.open.set()
        await running
        return await staying, queued.runs

    assert asyncio.run(scenario()) == (1, 1)


def test_a_key_asked_again_after_everybody_left_is_worked_on(lane: Lane) -> None:
    async def scenario() -> int:
        gate, queued = Gate(), Gate()
        queued.open.set()
        running = asyncio.create_task(lane.run("running", gate))
        leaving = asyncio.create_task(lane.run("queued", queued))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        again = asyncio.create_task(lane.run("queued", queued))
        await asyncio.sleep(0)
        gate.open.set()
        await running
        await again
        return queued.runs

    assert asyncio.run(scenario()) == 1

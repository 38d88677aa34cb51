"""Plans run on threads and processes alike: all units, results in the caller's thread, the first error stops."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bigimage import parallel
from bigimage.errors import BackendError, DataError, InputError, Unsupported


def _square(n: int) -> int:
    return n * n


def _fail_at(bad: int, n: int) -> int:
    if n == bad:
        raise DataError(f"unit {n} is damaged", ("first", "second"))
    return n


def _die_at(bad: int, n: int) -> int:
    if n == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_every_unit_is_run_once(scheduler: str, workers: int, count: int) -> None:
    results: list[int] = []
    callers: set[int] = set()

    def done(result: int) -> None:
        results.append(result)
        callers.add(threading.get_ident())

    parallel.run(_square, range(count), scheduler=scheduler, workers=workers, on_done=done)
    assert sorted(results) == [n * n for n in range(count)]
    assert callers <= {threading.get_ident()}


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_stops_the_plan_and_comes_through_whole(scheduler: str, workers: int) -> None:
    results: list[int] = []
    with pytest.raises(DataError, match="unit 3 is damaged: first; second") as caught:
        parallel.run(partial(_fail_at, 3), range(10_000), scheduler=scheduler, workers=workers, on_done=results.append)
    assert caught.value.problems == ("first", "second")
    assert len(results) < 10_000


def test_running_units_are_told_to_stop_and_waited_for() -> None:
    halt, running, ended = threading.Event(), threading.Event(), threading.Event()

    def unit(n: int) -> None:
        if n == 0:
            running.wait(10)
            raise DataError("enough")
        running.set()
        assert halt.wait(10)
        ended.set()

    with pytest.raises(DataError, match="enough"):
        parallel.run(unit, range(50), workers=2, abort=halt.set)
    assert ended.is_set()


def test_an_interrupt_stops_the_plan() -> None:
    halt = threading.Event()
    started: list[int] = []

    def unit(n: int) -> None:
        started.append(n)
        if n == 0:
            os.kill(os.getpid(), signal.SIGINT)
        halt.wait(10)

    with pytest.raises(KeyboardInterrupt):
        parallel.run(unit, range(1000), workers=2, abort=halt.set)
    assert len(started) < 1000


def test_an_error_in_the_caller_stops_the_plan_too() -> None:
    def refuse(result: int) -> None:
        raise InputError("not wanted")

    with pytest.raises(InputError, match="not wanted"):
        parallel.run(_square, range(1000), workers=2, on_done=refuse)


def test_a_killed_worker_process_is_told_in_plain_words() -> None:
    with pytest.raises(BackendError, match="a worker process was killed"):
        parallel.run(partial(_die_at, 2), range(8), scheduler="processes", workers=2)


@pytest.mark.parametrize("scheduler", ["", "gpu", "localhost:8786"])
def test_an_unknown_scheduler_is_refused(scheduler: str) -> None:
    with pytest.raises(InputError, match="give threads, processes, or an address"):
        parallel.run(_square, [1], scheduler=scheduler)


@pytest.mark.parametrize("scheduler", ["gopher://localhost:1", "tcp://localhost"])
def test_an_address_that_is_none_is_refused(scheduler: str) -> None:
    with pytest.raises(InputError, match="not the address of a dask scheduler"):
        parallel.run(_square, [1], scheduler=scheduler)


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT", "200ms")
    with pytest.raises(BackendError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        parallel.run(_square, [1], scheduler="tcp://127.0.0.1:9")


def test_a_cluster_without_the_package_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(Unsupported, match=r"pip install 'bigimage\[cluster\]'"):
        parallel.run(_square, [1], scheduler="tcp://127.0.0.1:9")


def _touch(folder: Path, n: int) -> int:
    (folder / f"{n}-{os.getpid()}").touch()
    time.sleep(0.01)
    return n


def test_processes_are_used(tmp_path: Path) -> None:
    parallel.run(partial(_touch, tmp_path), range(30), scheduler="processes", workers=2)
    made = [path.name for path in tmp_path.iterdir()]
    owners = {name.split("-")[1] for name in made}
    assert len(made) == 30
    assert str(os.getpid()) not in owners
    assert 1 <= len(owners) <= 2

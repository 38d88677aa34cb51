"""The one door to parallel work: run a plan's units on threads, processes or a dask.distributed cluster.

Units are independent and each writes what no other unit writes, so no scheduler needs a lock, and a unit that was
lost with its worker is simply run again.
"""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from bigimage.errors import BackendError, InputError, Unsupported

T = TypeVar("T")
R = TypeVar("R")

CONNECT_TIMEOUT = "10s"
"""How long a cluster's scheduler is waited for."""


def run(
    function: Callable[[T], R],
    units: Sequence[T],
    *,
    scheduler: str = "threads",
    workers: int = 1,
    on_done: Callable[[R], None] = lambda result: None,
    abort: Callable[[], None] = lambda: None,
) -> None:
    """Run `function` on every unit; `on_done` gets each result, in this thread, as it comes.

    Parameters
    ----------
    function
        For `processes` and a cluster it must be picklable, as must units and results.
    scheduler
        `threads`, `processes`, or the address of a dask.distributed scheduler such as `tcp://host:8786`.
    workers
        Number of threads or processes here; a cluster uses its own.
    abort
        Called once when the plan stops early, before units that still run are waited for; it may tell them to stop.

    Raises
    ------
    InputError
        On an unknown scheduler.
    Unsupported
        When dask.distributed is not installed.
    BackendError
        When worker processes keep dying or the cluster cannot be reached.

    The first error stops the plan: units that have not begun are dropped, and the error is raised. A unit that was
    lost with its worker runs again on a cluster; units of a cluster that run when the plan stops run to their end.
    """
    if scheduler == "threads":
        if workers <= 1 or len(units) <= 1:
            for unit in units:
                on_done(function(unit))
            return
        with ThreadPoolExecutor(min(workers, len(units)), thread_name_prefix="bigimage") as pool:
            _drive(pool, function, units, on_done, abort)
    elif scheduler == "processes":
        with _processes(min(workers, max(1, len(units)))) as pool:
            try:
                _drive(pool, function, units, on_done, abort)
            except BrokenProcessPool as error:
                raise BackendError(
                    "a worker process was killed, perhaps for want of memory; run again to continue, with fewer workers"
                ) from error
    elif "://" in scheduler:
        _on_cluster(scheduler, function, units, on_done)
    else:
        raise InputError(
            f"unknown scheduler {scheduler!r}: give threads, processes, or an address like tcp://host:8786"
        )


def _processes(count: int) -> ProcessPoolExecutor:
    """Worker processes from a clean fork server, since forking a process with threads is unsafe.

    A terminal interrupts every process: workers then die at once and in silence, which no unit minds.
    """
    context: Any = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    )


def _drive(
    pool: Executor,
    function: Callable[[T], R],
    units: Sequence[T],
    on_done: Callable[[R], None],
    abort: Callable[[], None],
) -> None:
    """Submit all units, hand over results as they come, drop the rest on the first error or interrupt."""
    pending = {pool.submit(function, unit) for unit in units}
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                on_done(future.result())
    finally:
        if pending:
            abort()
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(address: str, function: Callable[[T], R], units: Sequence[T], on_done: Callable[[R], None]) -> None:
    """Run units on a dask.distributed scheduler; a unit lost with its worker runs again elsewhere."""
    try:
        import distributed
        from distributed.comm import resolve_address
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise Unsupported(f"scheduler {address} needs dask.distributed: pip install 'bigimage[cluster]'") from None
    try:
        resolve_address(address)  # told at once: a client of no address waits, and ends with a traceback
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except ValueError as error:
        raise InputError(f"not the address of a dask scheduler: {address!r} ({error})") from error
    except OSError as error:
        raise BackendError(f"no dask scheduler answers at {address}: {error}") from error
    with client:
        futures = client.map(function, units, pure=False)
        try:
            for _, result in distributed.as_completed(futures, with_results=True, loop=client.loop):
                on_done(result)
        except KilledWorker as error:
            raise BackendError(f"workers of {address} keep dying over the same unit of work: {error}") from error
        finally:
            client.cancel(futures)

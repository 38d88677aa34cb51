"""Holding the lease of a layer while it is painted, so that nobody else writes it."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread

from bigimage.errors import BigImageError, Conflict
from bigimage.model.lease import Lease
from bigimage.store.door import LeaseStore

SECONDS = 60.0
"""For how long a lease is taken; it is renewed three times in this span."""


class Hold:
    """A lease that a thread of its own keeps renewing."""

    def __init__(self, leases: LeaseStore, lease: Lease) -> None:
        self._leases, self._lease = leases, lease
        self._stop = Event()
        self._lost: BigImageError | None = None
        self._thread = Thread(target=self._renew, name=f"renew-{lease.name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Conflict when the lease was lost."""
        if self._lost is not None:
            raise Conflict(f"the lease on {self._lease.name} was lost: {self._lost}") from self._lost

    def confirm(self) -> None:
        """Ask the database whether the lease still holds. Raises Conflict."""
        self.check()
        self._leases.check(self._lease)

    def _renew(self) -> None:
        """Renew until stopped or refused."""
        while not self._stop.wait(SECONDS / 3):
            try:
                self._lease = self._leases.renew(self._lease, seconds=SECONDS)
            except BigImageError as error:
                self._lost = error
                return

    def end(self) -> None:
        """Stop renewing and give the lease back."""
        self._stop.set()
        self._thread.join()
        self._leases.release(self._lease)


def this_process() -> str:
    """A name for this process that tells people, and `has_died`, where it runs."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def has_died(holder: str) -> bool:
    """Whether a holder was a process of this machine that is no more; False where that cannot be told."""
    machine, _, number = holder.partition(", process ")
    if machine != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # somebody else's process, or no number of one
    return False


@contextmanager
def holding(leases: LeaseStore, name: str, holder: str) -> Generator[Hold]:
    """Hold the lease of something. Raises Conflict when somebody else has it.

    That of a process of this machine which was killed is taken over; that of one elsewhere ends by itself.
    """
    left = leases.held(name)
    if left is not None and has_died(left.holder):
        leases.release(left)
    hold = Hold(leases, leases.acquire(name, holder=holder, seconds=SECONDS))
    try:
        yield hold
    finally:
        hold.end()

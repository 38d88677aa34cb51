"""What every database does with leases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bigimage.errors import Conflict, InputError
from bigimage.model.lease import Lease
from bigimage.store.leases import SqlLeases
from bigimage.store.sql import SqlStore

SECOND = 10**9


@pytest.fixture
def moment() -> list[int]:
    """The time, in nanoseconds; a test may set it."""
    return [1_800_000_000 * SECOND]


@pytest.fixture
def leases(store: SqlStore, moment: list[int]) -> SqlLeases:
    return SqlLeases(store.database, clock=lambda: moment[0])


def test_one_at_a_time(leases: SqlLeases) -> None:
    first = leases.acquire("layer", holder="a", seconds=60)
    assert leases.held("layer") == first
    with pytest.raises(Conflict, match="layer is being written by a until 08:01:00 UTC"):
        leases.acquire("layer", holder="b", seconds=60)
    other = leases.acquire("other", holder="b", seconds=60)
    assert other.fence == first.fence == 1
    leases.release(first)
    assert leases.held("layer") is None
    assert leases.held("never") is None
    assert leases.acquire("layer", holder="b", seconds=60).fence == 2


def test_leases_end_by_themselves(leases: SqlLeases, moment: list[int]) -> None:
    first = leases.acquire("layer", holder="a", seconds=60)
    moment[0] += 59 * SECOND
    leases.check(first)
    moment[0] += SECOND
    assert leases.held("layer") is None
    for call in (leases.check, lambda lease: leases.renew(lease, seconds=9)):
        with pytest.raises(Conflict, match="the lease of a on layer has ended; begin again"):
            call(first)
    second = leases.acquire("layer", holder="b", seconds=60)
    assert second.fence == first.fence + 1
    for call in (leases.check, lambda lease: leases.renew(lease, seconds=9)):
        with pytest.raises(Conflict, match="has ended, b has it now"):
            call(first)
    leases.release(first)
    assert leases.held("layer") == second


def test_leases_are_renewed(leases: SqlLeases, moment: list[int]) -> None:
    lease = leases.acquire("layer", holder="a", seconds=60)
    for _ in range(5):
        moment[0] += 50 * SECOND
        lease = leases.renew(lease, seconds=60)
    assert lease.fence == 1
    assert leases.held("layer") == lease
    assert lease.expires.timestamp() * SECOND == moment[0] + 60 * SECOND


def test_a_released_lease_is_over(leases: SqlLeases) -> None:
    lease = leases.acquire("layer", holder="a", seconds=60)
    leases.release(lease)
    leases.release(lease)
    with pytest.raises(Conflict, match="has ended"):
        leases.check(lease)
    with pytest.raises(Conflict, match="has ended"):
        leases.renew(Lease("never", "a", 1, lease.expires), seconds=1)


@pytest.mark.parametrize(("holder", "seconds"), [("", 1.0), ("a", 0.0), ("a", -1.0), ("a", 1e9), ("a", float("nan"))])
def test_leases_that_make_no_sense(leases: SqlLeases, holder: str, seconds: float) -> None:
    with pytest.raises(InputError):
        leases.acquire("layer", holder=holder, seconds=seconds)
    assert leases.held("layer") is None


def test_the_databases_own_clock(store: SqlStore) -> None:
    leases = SqlLeases(store.database)
    lease = leases.acquire("layer", holder="a", seconds=3600)
    leases.check(lease)
    with pytest.raises(Conflict):
        leases.acquire("layer", holder="b", seconds=1)


def test_of_many_at_once_one_gets_it(leases: SqlLeases) -> None:
    together = Barrier(8)

    def run(number: int) -> Lease | None:
        together.wait()
        try:
            return leases.acquire("layer", holder=f"p{number}", seconds=60)
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        got = [lease for lease in pool.map(run, range(8)) if lease is not None]
    assert [lease.fence for lease in got] == [1]
    assert leases.held("layer") == got[0]

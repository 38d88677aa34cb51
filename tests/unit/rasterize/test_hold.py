"""Holding the lease of a layer: renewed, lost, given back, and taken over from the dead."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigimage.errors import Conflict
from bigimage.rasterize import hold
from bigimage.rasterize.hold import has_died, holding, this_process
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_store

NAME = "labels/scene/semantic"


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[SqlLeases]:
    store = open_store(tmp_path / "a.db")
    yield SqlLeases(store.database)
    store.close()


@pytest.fixture(scope="module")
def dead() -> str:
    """Name of a process that is no more."""
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return this_process().rpartition(" ")[0] + f" {int(child.stdout)}"


def test_a_lease_is_held_and_given_back(leases: SqlLeases) -> None:
    with holding(leases, NAME, "one") as held:
        held.confirm()
        with pytest.raises(Conflict, match="is being written by one"), holding(leases, NAME, "two"):
            pass
    with holding(leases, NAME, "two"):
        pass
    assert leases.held(NAME) is None


def test_a_lease_is_given_back_after_a_failure(leases: SqlLeases) -> None:
    with pytest.raises(ZeroDivisionError), holding(leases, NAME, "one"):
        raise ZeroDivisionError
    assert leases.held(NAME) is None


def test_a_lease_is_renewed_while_it_is_held(leases: SqlLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "SECONDS", 0.3)
    with holding(leases, NAME, "one") as held:
        first = leases.held(NAME)
        for _ in range(100):
            held._stop.wait(0.05)
            if (now := leases.held(NAME)) != first:
                break
        assert now is not None
        assert first is not None
        assert now.expires > first.expires


def test_who_lost_a_lease_is_told(leases: SqlLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "SECONDS", 0.3)
    with holding(leases, NAME, "slow") as held:
        lease = leases.held(NAME)
        assert lease is not None
        leases.release(lease)
        leases.acquire(NAME, holder="thief", seconds=60)
        with pytest.raises(Conflict, match="thief"):
            held.confirm()
        held._thread.join(5)
        with pytest.raises(Conflict, match="was lost"):
            held.check()
    assert leases.held(NAME) is not None


def test_the_lease_of_a_killed_process_is_taken_over(leases: SqlLeases, dead: str) -> None:
    before = leases.acquire(NAME, holder=dead, seconds=60)
    with holding(leases, NAME, this_process()):
        found = leases.held(NAME)
        assert found is not None
        # a writer that only seemed dead would find out
        assert found.fence > before.fence
        with pytest.raises(Conflict):
            leases.check(before)


def test_only_processes_of_this_machine_are_known_to_be_dead(dead: str) -> None:
    assert has_died(dead)
    assert not has_died(this_process())
    assert not has_died("elsewhere, process " + dead.rpartition(" ")[2])
    assert not has_died(this_process().rpartition(" ")[0] + " 1")
    assert not has_died(this_process().rpartition(" ")[0] + " " + "9" * 30)
    assert not has_died("test")

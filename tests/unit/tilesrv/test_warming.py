"""Warming up: step by step, and what happens when all is warm."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigimage.workspace import Workspace, open_workspace
from tilesrv import mvt, render
from tilesrv.warming import Warming, settle


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    opened = open_workspace(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the steps that were run, none of which compiles anything."""
    ran: list[str] = []
    monkeypatch.setattr(render, "warm", lambda: ran.append("render"))
    monkeypatch.setattr("tilesrv.warming.warp.warm", lambda kinds: ran.extend(kinds))
    monkeypatch.setattr(mvt, "warm", lambda: ran.append("mvt"))
    return ran


def test_what_comes_then_comes_when_all_is_warm(space: Workspace, steps: list[str]) -> None:
    finished = threading.Event()
    warming = Warming(space)

    def then() -> None:
        assert not warming.is_done
        steps.append("then")
        finished.set()

    warming.start(then)
    assert finished.wait(20)
    warming.stop()
    assert warming.is_done
    assert steps == ["render", "uint8", "uint16", "mvt", "then"]


def test_nothing_comes_of_warming_that_is_stopped(
    space: Workspace, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(20)

    monkeypatch.setattr(render, "warm", slow)
    warming = Warming(space)
    warming.start(lambda: steps.append("then"))
    assert begun.wait(20)
    threading.Timer(0.1, go_on.set).start()
    warming.stop()
    assert not warming.is_done
    assert steps == []


def test_what_a_settled_process_holds_is_not_looked_through_again() -> None:
    before = gc.get_freeze_count()
    try:
        settle()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects()) < 1000
    finally:
        gc.unfreeze()

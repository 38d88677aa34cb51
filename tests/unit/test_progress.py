"""Progress: silence, plain lines, or a bar, and a time left that follows the work."""

import io
import re
import sys
from typing import Any

import pytest

from bigimage import progress as module
from bigimage.progress import reporting


class _Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("ingest", quiet=True) as report:
        report(1, 2)
        report(2, 2)
    assert capsys.readouterr() == ("", "")


def test_lines_are_rare_and_tell_the_time_left(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("ingest a.tif") as report:
        for done in range(0, 101):
            clock.now += 0.5
            report(done, 100)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 9 <= len(lines) <= 12
    assert lines[-1] == "ingest a.tif: 100%, 50 s, done"
    assert lines[0].startswith("ingest a.tif:   9%")
    left = [int(re.search(r"about (\d+) s left", line)[1]) for line in lines[:-1]]  # type: ignore[index]
    assert left == sorted(left, reverse=True)
    assert left[4] == pytest.approx(25, abs=2)


def test_done_is_said_once_and_nothing_is_no_reason_to_fail(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("x") as report:
        report(0, 0)
        report(0, 0)
        report(5, 5)
    assert capsys.readouterr().err == "x: 100%, 0 s, done\n"


def test_before_the_first_pixel_no_time_is_invented(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("x") as report:
        clock.now += 60
        report(0, 10)
    err = capsys.readouterr().err
    assert err == "x:   0%, 60 s, time left unknown\n"


def test_the_time_left_follows_the_work_as_it_is_now(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("x") as report:
        report(900, 1000)  # what an earlier run had done already
        for done in range(900, 960):
            clock.now += 1
            report(done, 1000)
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"x:  9[56]%, \d+ s, about 4\d s left", last)


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown: Any = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with reporting("ingest a.tif") as report:
        report(0, 200)
        report(100, 200)
        report(200, 200)
    text = shown.getvalue()
    assert "ingest a.tif" in text
    assert "100%" in text
    assert "left" in text

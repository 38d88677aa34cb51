"""The log over HTTP, a page at a time and live."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bigimage.workspace import open_workspace
from tests.drawn import box_feature, make_images, point_feature
from tests.unit.tilesrv.conftest import serving
from tilesrv import changes
from tilesrv.app import create_app

HERE = "/images/scene/annotations?crs=native"


def add(http: httpx.Client, count: int = 1, **members: Any) -> None:
    features = [box_feature(501_000 + k, 4_999_000, **members) for k in range(count)]
    http.post(HERE, json=features).raise_for_status()


def log(http: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = http.get("/images/scene/changes", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pages_end_with_whole_revisions(drawing: httpx.Client) -> None:
    assert log(drawing) == {"image": "scene", "since": 0, "until": 0, "revision": 0, "changes": []}
    for count in (1, 5, 2, 1):
        add(drawing, count)
    page = log(drawing, limit=3)
    assert [c["revision"] for c in page["changes"]] == [1, 2, 2, 2, 2, 2]
    assert (page["until"], page["revision"]) == (2, 4)
    rest = drawing.get(page["next"]).json()
    assert [c["revision"] for c in rest["changes"]] == [3, 3, 4]
    assert "next" not in rest
    assert log(drawing, since=4)["changes"] == []
    assert log(drawing, since=99)["changes"] == []


def test_a_change_says_what_it_was_about_and_what_it_made(drawing: httpx.Client) -> None:
    add(drawing)
    (entry,) = log(drawing)["changes"]
    assert entry["extent"] == [501_000, 4_999_000, 501_100, 4_999_100]
    assert (entry["kind"], entry["author"], entry["version"]) == ("added", "local", 1)
    (entry,) = log(drawing, features="true", crs="native")["changes"]
    assert entry["feature"]["geometry"]["coordinates"][0][0] == [501_000, 4_999_000]
    drawing.delete(f"/annotations/{entry['id']}", headers={"If-Match": "*"}).raise_for_status()
    assert log(drawing, since=1, features="true")["changes"][0]["kind"] == "removed"


def test_a_large_page_does_not_stay_in_memory(drawing: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "IN_MEMORY", 100)
    monkeypatch.setattr(changes, "PIECE", 64)
    add(drawing, 30)
    assert len(log(drawing)["changes"]) == 30


class Listener:
    """Reads the events of an image in a thread."""

    def __init__(self, http: httpx.Client, query: str = "", **headers: str) -> None:
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.ready = threading.Event()
        self._address, self._headers = f"{http.base_url}/images/scene/changes/events{query}", headers
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.ready.wait(60)

    def _run(self) -> None:
        with httpx.stream("GET", self._address, headers=self._headers, timeout=90) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for number, data in _events(answer, self.ready):
                self.events.append((number, data))
                if data["author"] == "last":
                    return

    def wait(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        deadline = time.monotonic() + 60
        while len(self.events) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.events


def _events(answer: httpx.Response, ready: threading.Event) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for line in answer.iter_lines():
        if line == ": listening":
            ready.set()
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield number, json.loads(line[6:])


def _end(http: httpx.Client) -> None:
    """Make the change that listeners stop at, as another process would: through the database."""
    space = open_workspace(_folder(http))
    shape = space.annotations.query("scene")
    first = next(iter(shape))
    space.annotations.remove(first.id, author="last")
    space.close()


def _folder(http: httpx.Client) -> str:
    return http.headers["x-test-folder"]


@pytest.fixture
def live(drawing: httpx.Client, tmp_path: Any) -> httpx.Client:
    """The client, which knows where the workspace is."""
    drawing.headers["x-test-folder"] = str(tmp_path / "ws")
    return drawing


def test_listeners_hear_of_every_revision_whoever_makes_it(live: httpx.Client) -> None:
    add(live)
    first, second = Listener(live), Listener(live, "?since=0")
    add(live, 2)
    _end(live)
    assert [number for number, _ in first.wait(2)] == [2, 3]
    assert [number for number, _ in second.wait(3)] == [1, 2, 3]
    (_, told), (_, gone) = first.events
    assert [c["kind"] for c in told["changes"]] == ["added", "added"]
    assert told["changes"][0]["extent"] == [501_000, 4_999_000, 501_100, 4_999_100]
    assert gone["changes"][0]["kind"] == "removed"


def test_a_lost_connection_goes_on_where_it_was(live: httpx.Client) -> None:
    for _ in range(3):
        add(live)
    listener = Listener(live, "?since=0", **{"Last-Event-ID": "2"})
    _end(live)
    assert [number for number, _ in listener.wait(2)] == [3, 4]
    assert live.get("/images/scene/changes/events", headers={"Last-Event-ID": "x"}).status_code == 400
    assert live.get("/images/none/changes/events").status_code == 404


def test_a_large_revision_is_told_without_its_changes(live: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_TOLD", 3)
    for count in (2, 5, 1):
        add(live, count)
    listener = Listener(live, "?since=0")
    _end(live)
    found = listener.wait(4)
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert ["changes" in data for _, data in found] == [True, False, True, True]


def test_there_are_only_so_many_listeners(drawing: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tilesrv.watching.MOST_LISTENERS", 0)
    answer = drawing.get("/images/scene/changes/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_points_have_extents_too(drawing: httpx.Client) -> None:
    drawing.post(HERE, json=[point_feature(501_000, 4_999_000)]).raise_for_status()
    assert log(drawing)["changes"][0]["extent"] == [501_000, 4_999_000, 501_000, 4_999_000]


def test_a_listener_that_goes_away_stops_costing(tmp_path: Path) -> None:
    app = create_app(make_images(tmp_path / "ws"))
    _until(lambda: threads() == 0)  # those of the tests before
    with serving(app) as address:
        waker = app.state.context.waker
        for _ in range(3):
            with httpx.stream("GET", f"{address}/images/scene/changes/events", timeout=90) as answer:
                assert next(answer.iter_lines()) == "retry: 2000"
                _until(lambda: threads() == 1)
            _until(lambda: threads() == 0)
        assert waker.generation > 0


def threads() -> int:
    """Threads that watch the database."""
    return sum(thread.name == "changes" for thread in threading.enumerate())


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_head_request_does_not_listen(drawing: httpx.Client) -> None:
    _until(lambda: threads() == 0)  # those of the tests before
    answer = drawing.head("/images/scene/changes/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert threads() == 0

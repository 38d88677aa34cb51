"""Sixteen people edit the same annotations over HTTP while the server is killed: nothing acknowledged is lost."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.drawn import box_feature, make_images
from tests.flows.test_server import answers, until

CLIENTS = 16
EDITS = 6
"""Acknowledged edits that each of them makes."""
KILLS = 2
_numbers = count()


@dataclass
class Server:
    """A server on a fixed port that can be killed and started again."""

    workspace: Path
    store: str
    workers: int
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    running: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        command = [sys.executable, "-m", "tilesrv", "--workspace", str(self.workspace), "--port", str(self.port)]
        environment = {**os.environ, "BIGIMAGE_STORE": self.store}
        self.process = subprocess.Popen(
            [*command, "--workers", str(self.workers)],
            env=environment,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with httpx.Client(base_url=self.address) as client:
            until(lambda: answers(client))
        self.running.set()

    def kill(self) -> None:
        """Kill it and its workers, as a machine that loses its power would."""
        self.running.clear()
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the annotations are: a file of the workspace, or a new database."""
    if request.param == "sqlite":
        yield ""
        return
    server: str = request.getfixturevalue("postgres_server")
    name = f"together{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore
        yield server.removesuffix("postgres") + name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # pyright: ignore


@contextmanager
def serving(workspace: Path, store: str, *, workers: int) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Server(workspace, store, workers, port)
    made.start()
    try:
        yield made
    finally:
        made.kill()


def edit(server: Server, ids: list[str], who: int) -> list[tuple[str, int, str]]:
    """Count up on annotations picked at random until enough was acknowledged: (id, version, mark) of each."""
    pick, done = random.Random(who), []
    deadline = time.monotonic() + 120
    while len(done) < EDITS and time.monotonic() < deadline:
        server.running.wait(60)
        with httpx.Client(base_url=server.address, timeout=30) as http:
            try:
                while len(done) < EDITS and server.running.is_set():
                    _edit_one(http, pick.choice(ids), f"{who}-{len(done)}-{pick.random()}", done)
            except httpx.TransportError:
                continue  # whether the last one was stored, nobody told
    return done


def _edit_one(http: httpx.Client, id_: str, mark: str, done: list[tuple[str, int, str]]) -> None:
    """Add one to an annotation's count, from the version that was read."""
    read = http.get(f"/annotations/{id_}")
    if read.status_code != 200:
        raise httpx.TransportError(read.text)
    n = read.json()["properties"]["attributes"]["n"]
    body = {"properties": {"attributes": {"n": n + 1, "mark": mark}}}
    answer = http.patch(f"/annotations/{id_}", json=body, headers={"If-Match": read.headers["etag"]})
    if answer.status_code == 200:
        done.append((id_, answer.json()["properties"]["version"], mark))
    elif answer.status_code == 412:
        assert answer.json()["current"]["properties"]["version"] > int(read.headers["etag"].strip('"'))
    else:
        assert answer.status_code == 503, answer.text


def test_nothing_acknowledged_is_lost(tmp_path: Path, store: str) -> None:
    make_images(tmp_path / "ws")
    with serving(tmp_path / "ws", store, workers=2) as server:
        features = [box_feature(500_500 + 200 * k, 4_999_000) for k in range(12)]
        for feature in features:
            feature["properties"]["attributes"] = {"n": 0}
        made = httpx.post(f"{server.address}/images/scene/annotations?crs=native", json=features).json()
        ids = [result["id"] for result in made["results"]]
        with ThreadPoolExecutor(CLIENTS) as pool:
            working = [pool.submit(edit, server, ids, who) for who in range(CLIENTS)]
            for _ in range(KILLS):
                time.sleep(0.7)
                server.kill()
                server.start()
            acknowledged = [entry for future in working for entry in future.result()]
        assert len(acknowledged) == CLIENTS * EDITS
        with httpx.Client(base_url=server.address, timeout=60) as http:
            _check(http, ids, acknowledged)


def _check(http: httpx.Client, ids: list[str], acknowledged: list[tuple[str, int, str]]) -> None:
    """Every acknowledged edit is in the log at its version, each counted on from the one before, none twice."""
    kept: dict[tuple[str, int], str] = {}
    total = 0
    for id_ in ids:
        steps = http.get(f"/annotations/{id_}/history").json()["history"]
        assert [s["version"] for s in steps] == list(range(1, len(steps) + 1))
        attributes = [s["feature"]["properties"]["attributes"] for s in steps]
        assert [a["n"] for a in attributes] == list(range(len(steps)))
        kept |= {(id_, k): a.get("mark", "") for k, a in enumerate(attributes, 1)}
        assert http.get(f"/annotations/{id_}").json()["properties"]["attributes"] == attributes[-1]
        total += len(steps)
    for id_, version, mark in acknowledged:
        assert kept[id_, version] == mark
    assert len({(id_, version) for id_, version, _ in acknowledged}) == len(acknowledged)
    changes = http.get("/images/scene/changes?limit=100000").json()
    assert len(changes["changes"]) == total
    assert sorted({c["revision"] for c in changes["changes"]}) == list(range(1, changes["revision"] + 1))
    listed = http.get("/images/scene/annotations").json()["features"]
    assert [f["id"] for f in listed] == ids

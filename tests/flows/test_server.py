"""The server as a process: several workers, interrupted clients, jobs that outlive it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.drawn import make_images
from tests.unit.tilesrv.conftest import UTM, picture, write_tif
from tilesrv.jobstore import JobStore


@contextmanager
def process(workspace: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`python -m tilesrv` on a free port, from its readiness to its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tilesrv", "--workspace", str(workspace), "--port", str(port), *options]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        until(lambda: answers(client))
        yield running, client
    finally:
        client.close()
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
        running.wait(timeout=60)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to be")
        time.sleep(0.05)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = open_workspace(settings=Settings(workspace=tmp_path / "workspace", workers=1))
    made.ingest(write_tif(tmp_path / "one.tif", picture((600, 700), 3), transform=UTM, crs="EPSG:32632"))
    return made


def fresh(address: object, path: str) -> httpx.Response:
    """An answer over a connection of its own, which any worker may take."""
    with httpx.Client(base_url=str(address), timeout=60) as client:
        return client.get(path)


def worker_ids(parent: int) -> list[int]:
    """Processes that another one started, those that answer requests."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(folder.name))
    return found


def test_workers_add_up_their_counts_and_share_jobs(space: Workspace) -> None:
    with process(space.path, "--workers", "2") as (server, client):
        address = client.base_url
        until(lambda: len(worker_ids(server.pid)) == 2)
        for _ in range(20):
            assert fresh(address, "/images/one/tiles/native/0/0/0.png").status_code == 200
        counted = re.search(r'route="/images/\{id\}/tiles/[^"]*",status="200"\} (\d+)', fresh(address, "/metrics").text)
        assert counted is not None
        assert int(counted[1]) == 20
        job = client.post("/images?filename=x.tif", content=b"no image", headers={"Content-Type": "image/tiff"}).json()
        assert {fresh(address, f"/jobs/{job['id']}").json()["id"] for _ in range(10)} == {job["id"]}
        until(lambda: fresh(address, f"/jobs/{job['id']}").json()["state"] == "failed")
    assert server.returncode == 0


def test_a_job_goes_on_when_the_whole_server_is_killed(space: Workspace, tmp_path: Path) -> None:
    body = write_tif(tmp_path / "two.tif", picture((400, 400), 3), transform=UTM, crs="EPSG:32632").read_bytes()
    with process(space.path) as (server, client):
        answer = client.post("/images?filename=two.tif", content=body, headers={"Content-Type": "image/tiff"})
        job = answer.json()["id"]
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    with process(space.path) as (_, client):
        until(lambda: client.get(f"/jobs/{job}").json()["state"] not in ("queued", "running"))
        assert client.get(f"/jobs/{job}").json()["images"] == ["two"]
        assert client.get("/images/two/preview.png").status_code == 200
    assert list((space.path / "uploads").iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(space: Workspace) -> None:
    with process(space.path) as (_, client):
        url = client.base_url
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(
                b"POST /images?filename=x.tif HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/tiff\r\n"
                b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000
            )
            until(lambda: list((space.path / "uploads").glob("*/*")))
        until(lambda: not list((space.path / "uploads").glob("*")))
        assert client.get("/jobs").json() == []


def test_a_reader_that_leaves_a_long_answer_does_not_hurt(space: Workspace) -> None:
    with process(space.path) as (server, client):
        url = client.base_url
        before = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        for _ in range(5):
            with socket.create_connection((url.host, url.port or 0)) as connection:
                connection.sendall(b"GET /images/one/crop?box=0,0,700,600 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: len(list(Path(f"/proc/{server.pid}/fd").iterdir())) <= before)
        assert client.get("/health").status_code == 200


def test_an_open_event_stream_does_not_keep_the_server_from_ending(space: Workspace) -> None:
    store, job = JobStore(space.path), "0" * 32
    with store.hold(job), process(space.path) as (server, client):
        store.create(job, "ingest", source="x", arguments=())
        until(lambda: client.get("/health").json()["warm"])
        with client.stream("GET", f"/jobs/{job}/events") as stream:
            assert next(stream.iter_lines()) == "event: queued"
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
    assert server.returncode is not None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("BIGIMAGE_MAX_UPLOAD", "much", "not a whole number"), ("BIGIMAGE_WORKSPACE", __file__, "not a folder")],
)
def test_a_wrong_setting_is_told_in_one_line(name: str, value: str, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tilesrv"], env={**os.environ, name: value}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_stopping_server_ends_open_streams_itself(space: Workspace) -> None:
    make_images(space.path)
    with process(space.path) as (running, client):
        with client.stream("GET", "/images/scene/changes/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry")
            running.send_signal(signal.SIGTERM)
            rest = list(lines)  # a stream that is cut off would raise
        assert "event: revision" not in rest
        assert running.wait(timeout=30) in (0, -signal.SIGTERM)

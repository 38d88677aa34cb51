"""Edits over HTTP, one client and sixteen: how long each takes, and what the server's memory does.

    python -m benchmarks.edits [--store postgresql://…] [--seconds 10] [--count 100000]

Starts a server of its own over an image with `count` polygons, edits them one after the other from 1 and from 16
clients, each edit made from the version that was read before, and reads windows of a map. Prints percentiles, how many
edits were answered 412, and the memory of the server along the way: `--seconds 300` shows whether it stays.
"""

import argparse
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import shapely

from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Polygon
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.pyramids import build

GRID = Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_400_000), (20_000, 20_000), GeoFrame("EPSG:32632"))


def fill(folder: Path, store: str, count: int) -> list[str]:
    """An image with so many polygons; the ids of a thousand of them."""
    space = open_workspace(settings=Settings(workspace=folder, workers=1, store=store))
    small = Grid.from_transform((5.0, 0, 500_000, 0, -5.0, 5_400_000), (2000, 2000), GRID.frame)
    build(folder / "images" / "scene", np.zeros((1, 2000, 2000), np.uint8), grid=small, id="scene")
    rng = np.random.default_rng(1)
    centres = rng.uniform((500_020, 5_390_020), (509_980, 5_399_980), (count, 2))
    sides = rng.integers(8, 41, count)
    ids: list[str] = []

    def made() -> "list[Annotation]":
        out = []
        for k in range(count):
            turn = np.linspace(0, 2 * np.pi, sides[k], endpoint=False)
            ring = centres[k] + 6 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            id_ = uuid4()
            if k % max(1, count // 1000) == 0:
                ids.append(str(id_))
            shape = Polygon(shapely.Polygon(ring))
            out.append(Annotation(id=id_, image="scene", label="house", shape=shape, frame=GRID.frame))
        return out

    space.annotations.load("scene", made())
    space.close()
    return ids


def edit(
    http: httpx.Client, ids: list[str], seed: int, until: float, memory: "Memory | None" = None
) -> tuple[list[float], int]:
    """Seconds of each edit that was stored, and how many were too late."""
    pick, took, late = random.Random(seed), [], 0
    while time.perf_counter() < until:
        address = f"/annotations/{pick.choice(ids)}"
        feature = http.get(address, params={"crs": "native"})
        document = feature.json()
        ring = [[x + 0.01, y] for x, y in document["geometry"]["coordinates"][0]]
        document["geometry"]["coordinates"] = [ring]
        began = time.perf_counter()
        headers = {"If-Match": feature.headers["etag"]}
        answer = http.put(address, params={"crs": "native"}, json=document, headers=headers)
        if answer.status_code == 200:
            took.append(time.perf_counter() - began)
            if memory is not None:
                memory.count()
        elif answer.status_code == 412:
            late += 1
        else:
            raise SystemExit(answer.text)
    return took, late


def windows(http: httpx.Client, side: float, seconds: float) -> list[float]:
    """Seconds of each reading of a window of so many metres."""
    pick, took, until = random.Random(5), [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        x, y = pick.uniform(500_000, 510_000 - side), pick.uniform(5_390_000, 5_400_000 - side)
        box = {"bbox": f"{x},{y},{x + side},{y + side}", "bbox-crs": "native", "crs": "native", "limit": "10000"}
        began = time.perf_counter()
        http.get("/images/scene/annotations", params=box).raise_for_status()
        took.append(time.perf_counter() - began)
    return took


def line(name: str, took: list[float], note: str = "") -> str:
    """One row of the table."""
    p50, p95, p99 = np.percentile(np.array(took) * 1e3, [50, 95, 99])
    return f"| {name} | {len(took)} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {statistics.mean(took) * 1e3:.1f} | {note} |"


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Memory:
    """Memory of a process beside the number of edits that were stored, looked at by a thread."""

    LOOKS = 10

    def __init__(self, pid: int, seconds: float) -> None:
        self.curve: list[tuple[int, float]] = [(0, resident(pid))]
        self._pid, self._every, self._edits = pid, max(seconds / self.LOOKS, 0.1), 0
        self._done, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def count(self) -> None:
        """One more edit."""
        with self._lock:
            self._edits += 1

    def _look(self) -> None:
        while not self._done.wait(self._every):
            self.curve.append((self._edits, resident(self._pid)))

    def close(self) -> None:
        """Look a last time."""
        self._done.set()
        self._thread.join()
        self.curve.append((self._edits, resident(self._pid)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        ids = fill(Path(folder), given.store, given.count)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {**os.environ, "BIGIMAGE_STORE": given.store}
        command = [sys.executable, "-m", "tilesrv", "--workspace", folder, "--port", str(port)]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            measure(f"http://127.0.0.1:{port}", ids, given.seconds, server.pid)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def measure(address: str, ids: list[str], seconds: float, pid: int) -> None:
    """Print the table of one server."""
    with httpx.Client(base_url=address, timeout=60) as http:
        while True:
            try:
                if http.get("/health").json()["warm"]:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        print("| what | requests | p50 ms | p95 ms | p99 ms | mean ms | |\n|---|---|---|---|---|---|---|")
        edit(http, ids, 0, time.perf_counter() + 1)
        memory = Memory(pid, 2 * seconds)
        took, _ = edit(http, ids, 1, time.perf_counter() + seconds, memory)
        print(line("edit, 1 client", took))
        gate, until = threading.Barrier(16), time.perf_counter() + seconds

        def work(k: int) -> tuple[list[float], int]:
            with httpx.Client(base_url=address, timeout=60) as own:
                gate.wait()
                return edit(own, ids[:100], k, until, memory)

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(work, range(16)))
        late = sum(n for _, n in found)
        took = [t for part, _ in found for t in part]
        note = f"{len(took) / seconds:.0f}/s, {late} answered 412"
        print(line("edit, 16 clients on 100 annotations", took, note))
        memory.close()
        for side in (256.0, 2048.0):
            print(line(f"window of {side:g} m", windows(http, side, seconds / 2)))
        print("\n| edits | server memory, MB |\n|---|---|")
        for edits, size in memory.curve:
            print(f"| {edits} | {size:.0f} |")
        print(f"| windows, too | {resident(pid):.0f} |")


if __name__ == "__main__":
    main()

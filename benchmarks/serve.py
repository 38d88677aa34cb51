"""Tile servers side by side: `python -m benchmarks.serve [--seconds 5] [--rounds 3] [--size 20480]`.

All servers run at once and are asked in turn, round by round, for the same tiles of one generated scene: native 256 px
JPEG tiles against large_image, web mercator ones against titiler, nothing answered from a cache of finished tiles.
Requests come from wrk (Debian package wrk). Peers need an environment of their own:

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install titiler.application "large-image[rasterio]" large-image-source-tiff
    .venv-peers/bin/pip install uvicorn httptools uvloop

`--memory N` instead sends N requests of all kinds to bigimage and prints how its memory goes.
"""

import argparse
import io
import math
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import machine
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from fixtures.make import scene
from tilesrv.tilesets import MERCATOR, native_tileset, tileset

PEERS = Path(__file__).with_name("serve_peers.py")
LUA = """
local paths, at = {}, 0
for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
request = function() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
"""
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running server and the paths to ask it for."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    paths: list[str]
    rates: dict[int, list[float]] = field(default_factory=dict)
    """Tiles per second of each round, by concurrency."""
    middle: dict[int, list[float]] = field(default_factory=dict)
    slow: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, list[float]] = field(default_factory=dict)
    """CPU milliseconds per tile."""
    failures: int = 0


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def memory_mb(pid: int, mark: str = "VmHWM") -> float:
    """Peak (VmHWM) or present (VmRSS) memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(mark)) / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(name: str, command: Sequence[str], port: int, paths: list[str], **env: str) -> Iterator[Server]:
    """A server process, from its first good answer to its end."""
    process = subprocess.Popen([*command, str(port)], env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{name} did not start: {' '.join(command)} {port}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{paths[0]}", timeout=60):
                    break
            except OSError:
                time.sleep(0.1)
        yield Server(name, port, process, paths)
    finally:
        process.terminate()
        process.wait()


def load(server: Server, script: Path, *, concurrency: int, seconds: float) -> tuple[int, float, float, int]:
    """Ask a server for its paths in turn; number of answers, p50 and p99 in ms, number of failures."""
    listed = script.with_name("paths.txt")
    order = list(server.paths)
    random.Random(concurrency).shuffle(order)
    listed.write_text("\n".join(order) + "\n")
    command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds:g}s", "--timeout", "60s", "--latency", "-s", str(script)]
    env = {**os.environ, "PATHS": str(listed)}
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}"], env=env, capture_output=True, text=True, check=True
    ).stdout
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
    times = {k: float(v) * units[u] for k, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s|m)\b", out)}
    answers = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return answers, times.get("50", math.nan), times.get("99", math.nan), int(bad[1]) if bad else 0


def measure(server: Server, script: Path, *, concurrency: int, seconds: float) -> None:
    """One round of one server."""
    used, start = cpu_seconds(server.process.pid), time.perf_counter()
    answers, middle, slow, failures = load(server, script, concurrency=concurrency, seconds=seconds)
    wall = time.perf_counter() - start
    server.rates.setdefault(concurrency, []).append(answers / wall)
    server.middle.setdefault(concurrency, []).append(middle)
    server.slow.setdefault(concurrency, []).append(slow)
    server.cpu.setdefault(concurrency, []).append((cpu_seconds(server.process.pid) - used) / max(1, answers) * 1e3)
    server.failures += failures


def report(title: str, servers: Sequence[Server]) -> None:
    """Print a Markdown table; ratios tell how many times more tiles the first server gives, by time and by CPU time."""
    print(f"\n### {title}\n")
    print("| server | concurrency | tiles/s | p50 ms | p99 ms | CPU ms/tile | peak MB | ratio | CPU ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    middle = statistics.median
    for concurrency in servers[0].rates:
        base = middle(servers[0].rates[concurrency]), middle(servers[0].cpu[concurrency])
        for server in servers:
            rate, cpu = middle(server.rates[concurrency]), middle(server.cpu[concurrency])
            failed = f" ({server.failures} failed)" if server.failures else ""
            print(
                f"| {server.name}{failed} | {concurrency} | {rate:.0f} | {middle(server.middle[concurrency]):.1f} "
                f"| {middle(server.slow[concurrency]):.1f} | {cpu:.2f} | {memory_mb(server.process.pid):.0f} "
                f"| {base[0] / rate:.2f} | {cpu / base[1]:.2f} |"
            )


@dataclass(frozen=True)
class Scene:
    """The same pixels in each server's form."""

    workspace: Path
    source: Path
    cog: Path


def prepare(folder: Path, size: int) -> Scene:
    """Generate the scene, ingest it, and write the peers' cloud-optimized GeoTIFF."""
    from rasterio.shutil import copy

    folder.mkdir(parents=True, exist_ok=True)
    made = Scene(folder / "workspace", folder / f"scene-{size}.tif", folder / f"scene-{size}-cog.tif")
    if not made.source.exists():
        scene(made.source, size=(size, size))
    if not made.cog.exists():
        options = {"COMPRESS": "DEFLATE", "BLOCKSIZE": "256", "NUM_THREADS": "ALL_CPUS", "OVERVIEWS": "AUTO"}
        copy(made.source, made.cog, driver="COG", OVERVIEW_RESAMPLING="AVERAGE", **options)
    space = open_workspace(settings=Settings(workspace=made.workspace))
    if not (made.workspace / "images" / f"scene-{size}").exists():
        space.ingest(made.source, name=f"scene-{size}")
    return made


def native_paths(image: str, grids: Sequence[object], *, most: int) -> tuple[list[str], list[str]]:
    """Paths of the finest native tiles, here and at large_image."""
    found = native_tileset(grids, 256)  # type: ignore[arg-type]
    last = found.matrices[-1]
    # whole tiles only: large_image cuts those at the edge instead of padding them
    tiles = [(x, y) for y in range(last.rows - 1) for x in range(last.columns - 1)]
    random.Random(1).shuffle(tiles)
    ours = [f"/images/{image}/tiles/native/{last.zoom}/{x}/{y}.jpg?rescale=0,255" for x, y in tiles[:most]]
    theirs = [f"/{last.zoom}/{x}/{y}" for x, y in tiles[:most]]
    return ours, theirs


def mercator_paths(image: str, cog: Path, grids: Sequence[object], *, most: int) -> tuple[list[str], list[str]]:
    """Paths of web mercator tiles of the three finest zooms, here and at titiler; bilinear on both sides."""
    tiles: list[tuple[int, int, int]] = []
    for matrix in tileset(grids, MERCATOR, 256).matrices[-3:]:  # type: ignore[arg-type]
        top, bottom, left, right = matrix.limits
        tiles += [(matrix.zoom, x, y) for y in range(top + 1, bottom) for x in range(left + 1, right)]
    random.Random(1).shuffle(tiles)
    look = "rescale=0,255&resampling=bilinear"
    ours = [f"/images/{image}/tiles/WebMercatorQuad/{z}/{x}/{y}.jpg?{look}" for z, x, y in tiles[:most]]
    query = f"url={cog}&tilesize=256&rescale=0,255&resampling=bilinear&reproject=bilinear"
    theirs = [f"/cog/tiles/WebMercatorQuad/{z}/{x}/{y}.jpg?{query}" for z, x, y in tiles[:most]]
    return ours, theirs


def compare(first: Server, second: Server, *, count: int = 12) -> str:
    """How far the pictures of two servers are apart, to show that both do the same work."""

    def picture(server: Server, path: str) -> np.ndarray:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=60) as answer:
            return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(float)

    gaps: list[float] = []
    for ours, theirs in zip(first.paths[:count], second.paths[:count], strict=True):
        a, b = picture(first, ours), picture(second, theirs)
        gaps.append(float(np.abs(a - b).mean()) if a.shape == b.shape else math.inf)
    return f"{first.name} and {second.name}: mean difference {statistics.mean(gaps):.2f} of 255 over {count} tiles"


def bigimage_command(workspace: Path) -> list[str]:
    """Command of our server."""
    return [sys.executable, "-m", "tilesrv", "--workspace", str(workspace), "--port"]


def versus(options: argparse.Namespace, made: Scene, script: Path) -> None:
    """Both comparisons."""
    image = f"scene-{options.size}"
    grids = open_workspace(settings=Settings(workspace=made.workspace)).image(image).grids
    ours_native, theirs_native = native_paths(image, grids, most=options.tiles)
    ours_map, theirs_map = mercator_paths(image, made.cog, grids, most=options.tiles)
    peer = [str(options.peers), str(PEERS)]
    # no finished tiles and no decoded pixels are kept, so that repeated tiles cost what new ones do
    bare = {"BIGIMAGE_TILE_CACHE": "0", "BIGIMAGE_CHUNK_CACHE": "0"}
    ours = bigimage_command(made.workspace)
    groups = {
        "Native 256 px JPEG tiles": [
            ("bigimage", ours, ours_native, bare),
            ("large_image (rasterio)", [*peer, "large_image", "rasterio", str(made.cog)], theirs_native, {}),
            ("large_image (tiff)", [*peer, "large_image", "tiff", str(made.cog)], theirs_native, {}),
        ],
        "WebMercatorQuad 256 px JPEG tiles, bilinear": [
            ("bigimage", ours, ours_map, bare),
            ("titiler", [*peer, "titiler"], theirs_map, {}),
        ],
    }
    for title, entries in groups.items():
        with ExitStack() as stack:
            servers = [
                stack.enter_context(running(name, command, free_port(), paths, **env))
                for name, command, paths, env in entries
                if name == "bigimage" or options.peers.exists()
            ]
            for server in servers:
                load(server, script, concurrency=4, seconds=1)
            for concurrency in options.concurrency:
                for _ in range(options.rounds):
                    for server in servers:
                        measure(server, script, concurrency=concurrency, seconds=options.seconds)
            report(title, servers)
            for other in servers[1:]:
                print(f"\n{compare(servers[0], other)}")


def every_kind(image: str, grids: Sequence[object]) -> list[str]:
    """Paths of all kinds of tiles: zooms, formats, sizes, looks, warped and not."""
    picked = random.Random(2)
    paths: list[str] = []
    for tms in ("native", MERCATOR):
        for tile in (256, 512):
            for matrix in tileset(grids, tms, tile).matrices:  # type: ignore[arg-type]
                top, bottom, left, right = matrix.limits
                for _ in range(400):
                    x, y = picked.randint(left, right), picked.randint(top, bottom)
                    suffix = picked.choice(("jpg", "jpg", "png", "webp", "npy"))
                    look = picked.choice(("", "&bands=1", "&rescale=0,255", f"&rescale=0,{picked.randint(99, 255)}"))
                    paths.append(f"/images/{image}/tiles/{tms}/{matrix.zoom}/{x}/{y}.{suffix}?tilesize={tile}{look}")
    picked.shuffle(paths)
    return paths


def memory_curve(options: argparse.Namespace, made: Scene, script: Path) -> None:
    """Send many requests, and print memory as they go."""
    image = f"scene-{options.size}"
    grids = open_workspace(settings=Settings(workspace=made.workspace)).image(image).grids
    rows: list[tuple[int, float]] = []
    command = bigimage_command(made.workspace)
    with running("bigimage", command, free_port(), every_kind(image, grids)) as server:
        rows.append((0, memory_mb(server.process.pid, "VmRSS")))
        while rows[-1][0] < options.memory:
            random.shuffle(server.paths)
            answers, _, _, failures = load(server, script, concurrency=8, seconds=2)
            rows.append((rows[-1][0] + answers, memory_mb(server.process.pid, "VmRSS")))
            server.failures += failures
    print(f"\n### Memory over {rows[-1][0]} tile requests ({server.failures} failed)\n\n| requests | MB |\n|---|---|")
    step = max(1, len(rows) // 25)
    for count, used in [*rows[::step], rows[-1]]:
        print(f"| {count} | {used:.0f} |")
    if options.curve is not None:
        options.curve.write_text(drawn(rows))


def drawn(rows: Sequence[tuple[int, float]]) -> str:
    """The curve as SVG."""
    width, height, most = 640, 220, max(used for _, used in rows) * 1.15
    last = rows[-1][0]
    points = " ".join(f"{50 + 570 * n / last:.1f},{190 - 170 * used / most:.1f}" for n, used in rows)
    marks = "".join(
        f'<text x="{50 + 570 * k / 4:.0f}" y="208" text-anchor="middle">{last * k // 4:,}</text>'
        f'<text x="44" y="{194 - 170 * k / 4:.0f}" text-anchor="end">{most * k / 4:.0f}</text>'
        f'<path d="M50 {190 - 170 * k / 4:.0f}H620" stroke="#8884"/>'
        for k in range(5)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11" fill="#777">'
        f"<title>Memory of the server in MB over tile requests</title>{marks}"
        f'<polyline points="{points}" fill="none" stroke="#0b63b5" stroke-width="2"/></svg>\n'
    )


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bigimage-benchmark")
    parser.add_argument("--size", type=int, default=20480)
    parser.add_argument("--tiles", type=int, default=6000, help="different tiles asked for")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 8, 64])
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--memory", type=int, default=0, help="number of requests; print the memory curve only")
    parser.add_argument("--curve", type=Path, help="write the memory curve as SVG")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian package wrk)")
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "paths.lua"
        script.write_text(LUA)
        made = prepare(options.folder, options.size)
        (memory_curve if options.memory else versus)(options, made, script)
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()

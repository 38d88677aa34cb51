"""Burning polygons: bigimage beside rasterio (GDAL) and rusterize, the same shapes, the same shards, the same pixels.

Every contender lives in a process of its own that loads the shapes once; the runs are interleaved, so that a busy
machine slows all alike. Time starts with shapely geometries and ends with the last shard painted; memory is the peak
of the process, in what it added and what it held before (shapes and libraries). In a first run, which is not timed,
each shard's pixels are compared by checksum.

    python benchmarks/burn.py --case buildings --count 100000 --side 20480
    python benchmarks/burn.py --case outlines --count 500 --side 20480

rusterize is not a dependency of the project: `pip install rusterize` first.
"""

import argparse
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import numpy as np
import shapely

SHARD = 4096
CONTENDERS = ("bigimage", "bigimage-2", "rasterio", "rusterize", "rusterize-whole")


def buildings(count: int, side: int) -> np.ndarray:
    """L-shaped polygons of 6 to 30 pixels, turned at random, anywhere."""
    rng = np.random.default_rng(1)
    outline = np.array([[-1, -1], [1, -1], [1, 0.2], [0.3, 0.2], [0.3, 1], [-1, 1], [-1, -1]]) / 2
    size = rng.uniform(6, 30, (count, 1, 2))
    angle = rng.uniform(0, np.pi, (count, 1))
    x, y = np.moveaxis(outline * size, -1, 0)
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
    return shapely.polygons(rng.uniform(0, side, (count, 1, 2)) + turned)


def outlines(count: int, side: int, *, vertices: int = 50_000) -> np.ndarray:
    """Multipolygons of three parts with two holes each and smooth natural outlines, together `vertices` vertices."""
    rng = np.random.default_rng(2)
    each = vertices // 9
    waves = np.arange(1, 40)

    def ring(x: float, y: float, radius: float) -> np.ndarray:
        angle = np.linspace(0, 2 * np.pi, each, endpoint=False)
        phase = rng.uniform(0, 2 * np.pi, len(waves))
        bulge = (rng.normal(0, 0.25, len(waves)) / waves**1.3) @ np.cos(np.outer(waves, angle) + phase[:, None])
        reach = radius * np.exp(0.5 * bulge)
        points = np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)
        return np.concatenate([points, points[:1]])

    shapes = []
    for _ in range(count):
        x, y = rng.uniform(0, side, 2)
        radius = rng.uniform(300, 1500)
        parts = []
        for k in range(3):
            cx, cy = x + 2.2 * radius * np.cos(2.1 * k), y + 2.2 * radius * np.sin(2.1 * k)
            holes = [ring(cx + s * radius / 3, cy, radius / 6) for s in (-1, 1)]
            parts.append(shapely.Polygon(ring(cx, cy, radius), holes))
        shapes.append(shapely.MultiPolygon(parts))
    return np.array(shapes)


def shards(side: int) -> Iterator[tuple[int, int, int, int]]:
    """(row start, row stop, column start, column stop)."""
    for y in range(0, side, SHARD):
        for x in range(0, side, SHARD):
            yield y, min(y + SHARD, side), x, min(x + SHARD, side)


Check = Callable[[int, np.ndarray], None]


def run_bigimage(shapes: np.ndarray, side: int, check: Check, *, threads: int = 1) -> dict[str, float]:
    from bigimage.geometry.box import IndexBox
    from bigimage.geometry.frame import PixelFrame
    from bigimage.geometry.grid import Grid
    from bigimage.rasterize.burn import burn, prepare

    start = time.perf_counter()
    grid = Grid.from_transform((1, 0, 0, 0, -1, side), (side, side), PixelFrame("benchmark"))
    prepared = prepare(shapes, grid)
    ready = time.perf_counter()
    values = np.arange(1, len(shapes) + 1, dtype=np.uint32)
    buffers = local()

    def shard(item: tuple[int, tuple[int, int, int, int]]) -> None:
        number, (y0, y1, x0, x1) = item
        if not hasattr(buffers, "pixels"):
            buffers.pixels = np.empty(SHARD * SHARD, np.uint32)
        pixels = buffers.pixels[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0)
        pixels[:] = 0
        check(number, burn(prepared, values, IndexBox((y0, x0), (y1, x1)), out=pixels))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(shard, enumerate(shards(side))):
            pass
    return {"prepare": ready - start, "burn": time.perf_counter() - ready}


def run_rasterio(shapes: np.ndarray, side: int, check: Check) -> dict[str, float]:
    from affine import Affine
    from rasterio.features import rasterize

    start = time.perf_counter()
    tree = shapely.STRtree(shapes)
    ready = time.perf_counter()
    for number, (y0, y1, x0, x1) in enumerate(shards(side)):
        found = np.sort(tree.query(shapely.box(x0, side - y1, x1, side - y0)))
        pixels = np.zeros((y1 - y0, x1 - x0), np.uint32)
        if len(found):
            pairs = zip(shapes[found], (found + 1).tolist(), strict=True)
            rasterize(pairs, out=pixels, transform=Affine(1, 0, x0, 0, -1, side - y0))
        check(number, pixels)
    return {"prepare": ready - start, "burn": time.perf_counter() - ready}


def run_rusterize(shapes: np.ndarray, side: int, check: Check) -> dict[str, float]:
    from rusterize import rusterize

    start = time.perf_counter()
    tree = shapely.STRtree(shapes)
    ready = time.perf_counter()
    for number, (y0, y1, x0, x1) in enumerate(shards(side)):
        found = np.sort(tree.query(shapely.box(x0, side - y1, x1, side - y0)))
        pixels = np.zeros((y1 - y0, x1 - x0), np.uint32)
        if len(found):
            pixels = rusterize(
                shapes[found],
                out_shape=pixels.shape,
                extent=(x0, side - y1, x1, side - y0),
                burn=(found + 1).astype(np.uint32),
                background=0,
                dtype="uint32",
                encoding="numpy",
            ).reshape(pixels.shape)
        check(number, pixels)
    return {"prepare": ready - start, "burn": time.perf_counter() - ready}


def run_rusterize_whole(shapes: np.ndarray, side: int, check: Check) -> dict[str, float]:
    from rusterize import rusterize

    start = time.perf_counter()
    pixels = rusterize(
        shapes,
        out_shape=(side, side),
        extent=(0, 0, side, side),
        burn=np.arange(1, len(shapes) + 1, dtype=np.uint32),
        background=0,
        dtype="uint32",
        encoding="numpy",
    ).reshape(side, side)
    stop = time.perf_counter()
    for number, (y0, y1, x0, x1) in enumerate(shards(side)):
        check(number, np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    return {"prepare": 0.0, "burn": stop - start}


def memory(field: str) -> int:
    """A field of this process's status, in MB: VmRSS (now) or VmHWM (peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    raise KeyError(field)


def serve(contender: str, case: str, count: int, side: int) -> None:
    """One contender: load, then run each time a line comes in, and answer with what was measured."""
    shapes = {"buildings": buildings, "outlines": outlines}[case](count, side)
    if contender.startswith("bigimage"):
        from bigimage.rasterize.burn import warm

        warm()
    runs: dict[str, Callable[..., dict[str, float]]] = {
        "bigimage": run_bigimage,
        "bigimage-2": lambda *a: run_bigimage(*a, threads=2),
        "rasterio": run_rasterio,
        "rusterize": run_rusterize,
        "rusterize-whole": run_rusterize_whole,
    }
    before = memory("VmRSS")
    print("ready", flush=True)
    for line in sys.stdin:
        sums: dict[int, int] = {}
        # the first run compares pixels and is not timed, the others are timed and do not
        comparing = line.strip() == "compare"
        Path("/proc/self/clear_refs").write_text("5")
        cpu = time.process_time()

        def check(number: int, pixels: np.ndarray, sums: dict[int, int] = sums, comparing: bool = comparing) -> None:
            if comparing:
                sums[number] = zlib.crc32(pixels)

        seconds = runs[contender](shapes, side, check)
        answer = {**seconds, "cpu": time.process_time() - cpu, "memory": memory("VmHWM") - before}
        print(json.dumps({**answer, "before": before, "sums": sums}), flush=True)


class Contender:
    """A process that waits for orders."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        command = [sys.executable, __file__, "--serve", name, "--case", options.case]
        command += ["--count", str(options.count), "--side", str(options.side)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.runs: list[dict[str, float]] = []
        self.sums: dict[str, int] = {}
        self.peak = self.input = 0.0

    def answer(self) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def order(self, word: str) -> None:
        """Have it do one thing, and keep what that took."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        result = json.loads(self.answer())
        sums = result.pop("sums")
        self.peak, self.input = max(self.peak, result["memory"]), result["before"]
        if word == "compare":
            self.sums = sums
        else:
            self.runs.append(result)

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()


def report(contenders: list[Contender]) -> None:
    """The table: best and worst wall time, CPU, memory, ratio to bigimage, and whether pixels agree."""
    own = contenders[0]
    base = min(r["prepare"] + r["burn"] for r in own.runs)
    print("| contender | s, best (worst) | of it prepare | CPU s | peak MB, own + input | times bigimage | pixels |")
    print("|---|---|---|---|---|---|---|")
    for c in contenders:
        walls = [r["prepare"] + r["burn"] for r in c.runs]
        best = c.runs[int(np.argmin(walls))]
        differ = sum(c.sums[k] != own.sums[k] for k in own.sums)
        verdict = "same" if not differ else f"{differ} of {len(own.sums)} shards differ"
        print(
            f"| {c.name} | {min(walls):.2f} ({max(walls):.2f}) | {best['prepare']:.2f} | {best['cpu']:.2f} "
            f"| {c.peak:.0f} + {c.input:.0f} | {min(walls) / base:.1f} | {verdict} |"
        )


def ceiling(*, seconds: float = 0.5) -> float:
    """How much faster two threads do plain arithmetic here than one: two hardware threads may share one core."""
    import numba

    @numba.njit(nogil=True)
    def loop(n: int) -> float:
        x = 0.5
        for _ in range(n):
            x = 3.7 * x * (1.0 - x)
        return x

    def taken(threads: int, n: int) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(loop, [n] * threads))
        return time.perf_counter() - start

    loop(1)
    n = int(1_000_000 * seconds / taken(1, 1_000_000))
    return 2 * min(taken(1, n) for _ in range(3)) / min(taken(2, n) for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("buildings", "outlines"), default="buildings")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.case, options.count, options.side)
        return
    contenders = [Contender(name, options) for name in options.only]
    try:
        for c in contenders:
            c.answer()
        print(f"{options.count:,} {options.case} on {options.side}×{options.side}, shards of {SHARD}, uint32")
        for word in ["compare"] + ["time"] * options.repeat:
            for c in contenders:
                c.order(word)
        report(contenders)
        print(f"two threads here do {ceiling():.2f} times the arithmetic of one")
    finally:
        for c in contenders:
            c.close()


if __name__ == "__main__":
    main()

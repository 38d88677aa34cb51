"""Burning polygons: bigimage beside rasterio (GDAL) and rusterize, the same shapes, the same shards, the same pixels.

Every contender lives in a process of its own; the runs are interleaved, so that a busy machine slows all alike. Time
starts with shapely geometries and ends with the last shard painted; memory is the peak of the process, in what it added
and what it held before (shapes and libraries). In a first run, which is not timed, each shard's pixels are compared by
checksum.

    python benchmarks/burn.py --case buildings --count 100000 --side 20480
    python benchmarks/burn.py --case buildings --count 1000000 --side 81920 --sample 64 --repeat 2
    python benchmarks/burn.py --case outlines --count 5000 --side 81920 --sample 12 --repeat 1

Outlines are made while they are needed, a few at a time, because all of them do not fit into memory as shapely holds
them; making them is not timed. With `--sample` contenders burn a sample of the shards, chosen evenly; what is done once
for the whole scene is done and counted whole, and the time of all shards is estimated from those of the sample.
`bigimage-all` burns every shard: ratios are to what was measured of it, and it tells how near such an estimate is.

rusterize is not a dependency of the project: `pip install rusterize` first.
"""

import argparse
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

SHARD = 4096
BATCH = 16
"""Outlines made at a time."""
CONTENDERS = ("bigimage", "bigimage-2", "rasterio", "rusterize")
WHOLE = ("bigimage-all", "rusterize-whole")
"""Contenders that burn every shard, whatever the sample."""
Shapes = NDArray[np.object_]
Shard = tuple[int, tuple[int, int, int, int]]
"""Number; row start, row stop, column start, column stop."""


def buildings(count: int, side: int) -> Shapes:
    """L-shaped polygons of 6 to 30 pixels, turned at random, anywhere."""
    rng = np.random.default_rng(1)
    outline = np.array([[-1, -1], [1, -1], [1, 0.2], [0.3, 0.2], [0.3, 1], [-1, 1], [-1, -1]]) / 2
    size = rng.uniform(6, 30, (count, 1, 2))
    angle = rng.uniform(0, np.pi, (count, 1))
    x, y = np.moveaxis(outline * size, -1, 0)
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
    return np.asarray(shapely.polygons(rng.uniform(0, side, (count, 1, 2)) + turned), dtype=object)


def outline(number: int, side: int, *, vertices: int = 50_000) -> shapely.MultiPolygon:
    """Three parts with two holes each and smooth natural outlines, together `vertices` vertices."""
    rng = np.random.default_rng([2, number])
    each = vertices // 9
    waves = np.arange(1, 40)
    angle = np.linspace(0, 2 * np.pi, each, endpoint=False)
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def ring(x: float, y: float, radius: float) -> NDArray[np.float64]:
        waved = np.zeros(each // 2 + 1, np.complex128)
        phase = rng.uniform(0, 2 * np.pi, len(waves))
        waved[1:40] = rng.normal(0, 0.25, len(waves)) / waves**1.3 * np.exp(1j * phase) * each / 2
        reach = radius * np.exp(0.5 * np.fft.irfft(waved, each))
        points = (x, y) + reach[:, None] * turn
        return np.concatenate([points, points[:1]])

    x, y = rng.uniform(0, side, 2)
    radius = rng.uniform(300, 1500)
    parts: list[shapely.Polygon] = []
    for k in range(3):
        cx, cy = x + 2.2 * radius * np.cos(2.1 * k), y + 2.2 * radius * np.sin(2.1 * k)
        holes = [ring(cx + s * radius / 3, cy, radius / 6) for s in (-1, 1)]
        parts.append(shapely.Polygon(ring(cx, cy, radius), holes))
    return shapely.MultiPolygon(parts)


class Buildings:
    """Small shapes, all of them in memory."""

    def __init__(self, count: int, side: int) -> None:
        self.count = count
        self.shapes = buildings(count, side)

    def batches(self) -> Iterator[Shapes]:
        """All shapes in order, as many at a time as are in memory anyway."""
        yield self.shapes

    def indexed(self) -> Shapes:
        """What peers index."""
        return self.shapes

    def take(self, numbers: NDArray[np.int64]) -> Shapes:
        """Some shapes."""
        return self.shapes[numbers]


class Outlines:
    """Huge shapes, made when they are needed."""

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side

    def batches(self) -> Iterator[Shapes]:
        """All shapes in order, few at a time."""
        for first in range(0, self.count, BATCH):
            yield self.take(np.arange(first, min(first + BATCH, self.count)))

    def indexed(self) -> Shapes:
        """Boxes in place of shapes."""
        return self._boxes

    @cached_property
    def _boxes(self) -> Shapes:
        bounds = np.concatenate([shapely.bounds(some) for some in self.batches()])
        return np.asarray(shapely.box(*bounds.T), dtype=object)

    def take(self, numbers: NDArray[np.int64]) -> Shapes:
        """Some shapes."""
        made = np.empty(len(numbers), object)
        made[:] = [outline(k, self.side) for k in numbers.tolist()]
        return made


CASES: dict[str, type[Buildings] | type[Outlines]] = {"buildings": Buildings, "outlines": Outlines}
Scene = Buildings | Outlines


def shards(side: int) -> list[Shard]:
    """All shards of a square."""
    corners = [(y, x) for y in range(0, side, SHARD) for x in range(0, side, SHARD)]
    return [(k, (y, min(y + SHARD, side), x, min(x + SHARD, side))) for k, (y, x) in enumerate(corners)]


def sampled(every: Sequence[Shard], size: int) -> list[Shard]:
    """A systematic sample: one of each so many, from a start drawn with a fixed seed."""
    if not 0 < size < len(every):
        return list(every)
    step = len(every) / size
    start = np.random.default_rng(6).uniform(0, step)
    return [every[int(start + k * step)] for k in range(size)]


Check = Callable[[int, NDArray[Any]], None]


class Clock:
    """Seconds that named steps took; what lies between them does not count."""

    def __init__(self) -> None:
        self.seconds = {"prepare": 0.0, "burn": 0.0, "cpu": 0.0}

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Time what is done within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] += time.perf_counter() - wall
        self.seconds["cpu"] += time.process_time() - cpu


def touched() -> NDArray[np.uint32]:
    """Room for the pixels of a shard, used for one after the other; its memory is there before time begins."""
    return np.ones(SHARD * SHARD, np.uint32)


def run_bigimage(
    scene: Scene, side: int, chosen: Sequence[Shard], check: Check, *, threads: int = 1
) -> dict[str, float]:
    from bigimage.geometry.box import IndexBox
    from bigimage.geometry.frame import PixelFrame
    from bigimage.geometry.grid import Grid
    from bigimage.rasterize.builder import Builder
    from bigimage.rasterize.burn import burn

    clock = Clock()
    builder = Builder(Grid.from_transform((1, 0, 0, 0, -1, side), (side, side), PixelFrame("b")), workers=threads)
    for some in scene.batches():
        with clock.step("prepare"):
            builder.add(some)
    with clock.step("prepare"):
        prepared = builder.finish()
    values = np.arange(1, scene.count + 1, dtype=np.uint32)
    buffers: SimpleQueue[NDArray[np.uint32]] = SimpleQueue()
    for _ in range(threads):
        buffers.put(touched())

    def shard(item: Shard) -> None:
        number, (y0, y1, x0, x1) = item
        buffer = buffers.get()
        pixels = buffer[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0)
        pixels[:] = 0
        check(number, burn(prepared, values, IndexBox((y0, x0), (y1, x1)), out=pixels))
        buffers.put(buffer)

    with clock.step("burn"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(shard, chosen):
            pass
    return clock.seconds


def run_peer(
    scene: Scene, side: int, chosen: Sequence[Shard], check: Check, *, burn: Callable[..., NDArray[Any]]
) -> dict[str, float]:
    clock = Clock()
    indexed = scene.indexed()
    with clock.step("prepare"):
        tree = shapely.STRtree(indexed)
    buffer = touched()
    for number, (y0, y1, x0, x1) in chosen:
        bounds = (x0, side - y1, x1, side - y0)
        with clock.step("burn"):
            found = np.sort(tree.query(shapely.box(*bounds)))
        shapes = scene.take(found)
        with clock.step("burn"):
            pixels = buffer[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0)
            pixels[:] = 0
            if len(found):
                pixels = burn(shapes, found + 1, bounds, pixels)
        check(number, pixels)
    return clock.seconds


def burn_rasterio(
    shapes: Shapes, values: NDArray[Any], bounds: tuple[int, int, int, int], pixels: NDArray[Any]
) -> NDArray[Any]:
    from affine import Affine
    from rasterio.features import rasterize

    pairs = zip(shapes, values.tolist(), strict=True)
    return rasterize(pairs, out=pixels, transform=Affine(1, 0, bounds[0], 0, -1, bounds[3]))


def burn_rusterize(
    shapes: Shapes, values: NDArray[Any], bounds: tuple[int, int, int, int], pixels: NDArray[Any]
) -> NDArray[Any]:
    from rusterize import rusterize  # pyright: ignore[reportMissingImports]

    burned: Any = rusterize(
        shapes,
        out_shape=pixels.shape,
        extent=bounds,
        burn=values.astype(np.uint32),
        background=0,
        dtype="uint32",
        encoding="numpy",
    )
    return burned.reshape(pixels.shape)


def run_rusterize_whole(scene: Scene, side: int, chosen: Sequence[Shard], check: Check) -> dict[str, float]:
    clock = Clock()
    shapes = scene.take(np.arange(scene.count))
    with clock.step("burn"):
        empty = np.broadcast_to(np.uint32(0), (side, side))
        pixels = burn_rusterize(shapes, np.arange(1, scene.count + 1), (0, 0, side, side), empty)
    for number, (y0, y1, x0, x1) in chosen:
        check(number, np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    return clock.seconds


RUNS: dict[str, Callable[..., dict[str, float]]] = {
    "bigimage": run_bigimage,
    "bigimage-2": lambda *a: run_bigimage(*a, threads=2),
    "bigimage-all": run_bigimage,
    "rasterio": lambda *a: run_peer(*a, burn=burn_rasterio),
    "rusterize": lambda *a: run_peer(*a, burn=burn_rusterize),
    "rusterize-whole": run_rusterize_whole,
}


def memory(field: str) -> int:
    """A field of this process's status, in MB: VmRSS (now) or VmHWM (peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    raise KeyError(field)


def serve(contender: str, options: argparse.Namespace) -> None:
    """One contender: load, then run each time a line comes in, and answer with what was measured."""
    scene = CASES[options.case](options.count, options.side)
    if contender.startswith("bigimage"):
        from bigimage.rasterize.burn import warm

        warm()
    else:
        scene.indexed()
    every = shards(options.side)
    chosen = every if contender in WHOLE else sampled(every, options.sample)
    before = memory("VmRSS")
    print("ready", flush=True)
    for line in sys.stdin:
        sums: dict[int, int] = {}
        # the first run compares pixels and is not timed, the others are timed and do not
        comparing = line.strip() == "compare"
        Path("/proc/self/clear_refs").write_text("5")

        def check(number: int, pixels: NDArray[Any], sums: dict[int, int] = sums, comparing: bool = comparing) -> None:
            if comparing:
                sums[number] = zlib.crc32(pixels.data)

        seconds = RUNS[contender](scene, options.side, chosen, check)
        answer = {**seconds, "memory": memory("VmHWM") - before, "before": before, "sums": sums}
        print(json.dumps(answer), flush=True)


class Contender:
    """A process that waits for orders."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        command = [sys.executable, __file__, "--serve", name, "--case", options.case]
        command += ["--count", str(options.count), "--side", str(options.side), "--sample", str(options.sample)]
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


def report(contenders: list[Contender], *, share: float) -> None:
    """The table: wall time, CPU, memory, ratio to bigimage, and whether pixels agree.

    `share` is that of the shards which are burned by those who burn a sample: their times of all are estimates.
    """
    own = contenders[0]

    def whole(c: Contender, run: dict[str, float]) -> float:
        return run["prepare"] + run["burn"] / (1.0 if c.name in WHOLE else share)

    reference = next((c for c in contenders if c.name == "bigimage-all"), own)
    base = min(whole(reference, run) for run in reference.runs)
    seconds = "s, best (worst)" if share == 1 else "s for all shards, best (worst)"
    print(f"| contender | {seconds} | prepare | burn | CPU s | peak MB, own + input | times bigimage | pixels |")
    print("|---|---|---|---|---|---|---|---|")
    for c in contenders:
        walls = [whole(c, run) for run in c.runs]
        best = c.runs[int(np.argmin(walls))]
        shared = own.sums.keys() & c.sums.keys()
        differ = sum(c.sums[k] != own.sums[k] for k in shared)
        verdict = f"same in {len(shared)} shards" if not differ else f"{differ} of {len(shared)} shards differ"
        told = "" if share == 1 or c.name in WHOLE else ", estimated"
        print(
            f"| {c.name} | {min(walls):.2f} ({max(walls):.2f}){told} | {best['prepare']:.2f} | {best['burn']:.2f} "
            f"| {best['cpu']:.2f} | {c.peak:.0f} + {c.input:.0f} | {min(walls) / base:.1f} | {verdict} |"
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
    parser.add_argument("--case", choices=tuple(CASES), default="buildings")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sample", type=int, default=0, help="shards that are burned; 0 burns all")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS + WHOLE)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options)
        return
    every = len(shards(options.side))
    share = len(sampled(shards(options.side), options.sample)) / every
    contenders = [Contender(name, options) for name in options.only or named(options.case, share)]
    try:
        for c in contenders:
            c.answer()
        print(f"{options.count:,} {options.case} on {options.side}×{options.side}, shards of {SHARD}, uint32")
        if share < 1:
            print(f"A sample of {share * every:.0f} of {every} shards, one of each {1 / share:.1f} in their order.")
        for word in ["compare"] + ["time"] * options.repeat:
            for c in contenders:
                c.order(word)
        report(contenders, share=share)
        print(f"two threads here do {ceiling():.2f} times the arithmetic of one")
    finally:
        for c in contenders:
            c.close()


def named(case: str, share: float) -> tuple[str, ...]:
    """Contenders that make sense: no sample is needed of what is burned whole, and not all outlines fit in memory."""
    whole = () if case == "outlines" or share < 1 else ("rusterize-whole",)
    return (*CONTENDERS, *(("bigimage-all",) if share < 1 else whole))


if __name__ == "__main__":
    main()

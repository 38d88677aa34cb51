"""Planes of a volume, from the store to the client: `python -m benchmarks.volumes WORKSPACE IMAGE [--slices 60]`.

The image is an ingested volume, such as a CT of 600 slices. Reading is told in CPU milliseconds of one thread, which
other load on the machine disturbs least; answers of the server in wall milliseconds, over one connection. Every slice
and tile is asked for once, so that none comes from the cache of finished pictures. `--chunks` also builds the volume
with other chunks in a temporary folder and reads it in all three directions.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import httpx
import numpy as np

from benchmarks.harness import machine, size_mb
from bigimage.geometry.box import IndexBox
from bigimage.geometry.planes import PLANES, plane_views
from bigimage.pyramid import layout
from bigimage.pyramid.build import Builder, plan_tasks
from bigimage.pyramid.publish import write_documents
from bigimage.pyramid.pyramid import Caches, Pyramid
from bigimage.workspace import open_workspace
from tilesrv.context import Served
from tilesrv.reading import Pick
from tilesrv.render import Format
from tilesrv.sections import SQUARE, STORED, Shot, method_for, sheet_of, take
from tilesrv.windows import PlaneQuery, plane_look

CHUNKS = ((32, 64, 64), (16, 64, 64), (64, 64, 64), (64, 32, 32), (32, 32, 32))


def cpu(work: Callable[[int], object], items: Sequence[int]) -> float:
    """Median CPU milliseconds of this thread per item."""
    took: list[float] = []
    for item in items:
        start = time.thread_time()
        work(item)
        took.append(time.thread_time() - start)
    return statistics.median(took) * 1e3


def some(count: int, wanted: int) -> list[int]:
    """Random numbers below `count`, each once."""
    return [int(n) for n in np.random.default_rng(0).permutation(count)[:wanted]]


def read_slices(pyramid: Pyramid, axis: int, wanted: int) -> float:
    """CPU milliseconds of reading a whole slice across a storage axis."""
    shape = pyramid.grids[0].shape

    def read(index: int) -> None:
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = index, index + 1
        pyramid.read_index(IndexBox(tuple(start), tuple(stop)))

    return cpu(read, some(shape[axis], wanted))


def chunk_shapes(source: Pyramid, wanted: int) -> None:
    """Read slices of the same volume in chunks of several shapes."""
    print("\nChunks: CPU ms per whole slice, nothing cached\n\n| chunk | MB | across z | across y | across x |")
    print("|---|---|---|---|---|")
    for chunk in CHUNKS:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(layout, "volume_chunk", lambda _, c=chunk: c):
            plan = layout.plan_volume(source.info)
            root = Path(folder) / "volume"
            root.mkdir()
            builder = Builder(root, plan, lambda box, bands, t: source.read_index(box, bands=bands, t=t))
            for task in next(iter(plan_tasks(plan, by_rows=False))):
                builder.run(task)
            size = size_mb(root / "0")
            write_documents(root, plan, source.info)
            pyramid = Pyramid.open(root)
            took = [read_slices(pyramid, axis, wanted) for axis in range(3)]
        print(f"| {' × '.join(map(str, chunk))} | {size:.0f} | " + " | ".join(f"{ms:.1f}" for ms in took) + " |")


def pictures(pyramid: Pyramid, wanted: int) -> None:
    """Read, straighten and encode whole planes."""
    cached = Pyramid.open(pyramid.path, Caches.of(chunks=1 << 30))
    print("\nPictures: CPU ms per whole plane with square pixels\n")
    print("| plane | pixels | read | from cached chunks | png | jpg |\n|---|---|---|---|---|---|")
    for name in PLANES:
        served, warm = Served(pyramid, 0.0), Served(cached, 0.0)
        sheet = sheet_of(served, name, SQUARE)
        items = some(sheet.view.count, wanted)

        def shot(index: int, sheet: object = sheet) -> Shot:
            return Shot(sheet, index, Pick((0,)), method_for(pyramid, None), False, 1 << 30)  # type: ignore[arg-type]

        read, _, again = (
            cpu(lambda index, store=store, of=shot: take(store, of(index)), items) for store in (served, warm, warm)
        )
        encoded = [_encode(warm, shot, items, fmt) for fmt in ("png", "jpg")]
        size = " × ".join(map(str, sheet.shapes[0]))
        print(f"| {name} | {size} | {read:.1f} | {again:.1f} | " + " | ".join(f"{ms:.1f}" for ms in encoded) + " |")


def _encode(served: Served, shot: Callable[[int], Shot], items: Sequence[int], fmt: Format) -> float:
    """CPU milliseconds of drawing and encoding pictures that have been read."""
    from tilesrv.render import render
    from tilesrv.sections import flat

    look = plane_look(served.pyramid.info, PlaneQuery(), fmt, 64, stored=None, units=False)
    patches = [flat(take(served, shot(index))) for index in items]
    return cpu(lambda n: render(patches[n], look.style, fmt), range(len(patches)))


@contextmanager
def server(workspace: Path) -> Iterator[httpx.Client]:
    """A server process of its own."""
    command = [sys.executable, "-m", "tilesrv", "--workspace", str(workspace), "--port", "8765"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        with httpx.Client(base_url="http://127.0.0.1:8765", timeout=60) as client:
            for _ in range(600):
                try:
                    if client.get("/health").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait()


def answers(client: httpx.Client, addresses: Sequence[str]) -> tuple[float, float]:
    """Median and 95th percentile of wall milliseconds."""
    took: list[float] = []
    for address in addresses:
        start = time.perf_counter()
        response = client.get(address)
        took.append(time.perf_counter() - start)
        if response.status_code != 200:
            raise SystemExit(f"{address}: {response.text}")
    return statistics.median(took) * 1e3, float(np.percentile(took, 95)) * 1e3


def over_http(workspace: Path, pyramid: Pyramid, wanted: int) -> None:
    """Whole planes and tiles over HTTP."""
    views = plane_views(pyramid.info.grid)
    print("\nServer: wall ms per answer, p50 (p95); each is asked for once\n")
    print("| plane | png, any | png, next one | jpg, any | raw, any | tile png | tile npy |")
    print("|---|---|---|---|---|---|---|")
    with server(workspace) as client:
        for name in PLANES:
            root = f"/images/{pyramid.id}/planes/{name}"
            count = views[name].count
            items, follow = some(count, wanted), range(count // 3, count // 3 + wanted)
            answers(client, [f"{root}/{k}.png?window=1,{100 + n}" for n, k in enumerate(items[:10])])
            zooms = client.get(root).json()["pixels"]
            tiles = [_tile(zooms, root, fmt, k) for fmt in ("png", "npy") for k in items]
            asked = (
                [f"{root}/{k}.png" for k in items],
                [f"{root}/{k}.png?window=40,401" for k in follow],
                [f"{root}/{k}.jpg" for k in items],
                [f"{root}/{k}.npy" for k in items],
                tiles[: len(items)],
                tiles[len(items) :],
            )
            cells = [f"{middle:.1f} ({high:.1f})" for middle, high in (answers(client, a) for a in asked)]
            print(f"| {name} | " + " | ".join(cells) + " |")


def _tile(told: dict[str, dict[str, list[dict[str, list[dict[str, int]]]]]], root: str, fmt: str, index: int) -> str:
    """Address of the first tile of the finest zoom."""
    zoom = told[SQUARE if fmt == "png" else STORED]["tiles"][0]["zooms"][-1]
    return f"{root}/{index}/tiles/{zoom['z']}/0/{zoom['rows'] // 2}.{fmt}"


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("image")
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--chunks", action="store_true")
    options = parser.parse_args()
    pyramid = Pyramid.open(open_workspace(options.workspace).image(options.image).path)
    print(machine())
    print(f"{pyramid.info.shape} {pyramid.info.dtype}, chunks {pyramid.levels[0].chunks}")
    if options.chunks:
        chunk_shapes(pyramid, options.slices)
    pictures(pyramid, options.slices)
    over_http(options.workspace, pyramid, options.slices)


if __name__ == "__main__":
    main()

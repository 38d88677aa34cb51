"""Reading and encoding tiles in one process: `python -m benchmarks.tiles PYRAMID [--tiles 200]`.

PYRAMID is the folder of an ingested raster. Readers take the same random tiles in turn; figures are CPU milliseconds
per tile, which other load on the machine disturbs least, and the median of wall milliseconds.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import machine
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from bigimage.pyramid.shard import ShardedArray
from tilesrv.render import Style, render

Work = Callable[[IndexBox], Any]


def timed(contenders: dict[str, Work], boxes: Sequence[IndexBox]) -> dict[str, tuple[float, float]]:
    """CPU ms per call and median wall ms of each contender, taken in turn box by box."""
    for work in contenders.values():
        work(boxes[0])
    cpu = dict.fromkeys(contenders, 0.0)
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    for box in boxes:
        for name, work in contenders.items():
            start, used = time.perf_counter(), time.process_time()
            work(box)
            cpu[name] += time.process_time() - used
            wall[name].append(time.perf_counter() - start)
    return {name: (cpu[name] / len(boxes) * 1e3, statistics.median(wall[name]) * 1e3) for name in contenders}


def report(title: str, results: dict[str, tuple[float, float]], *, reference: str) -> None:
    """Print a Markdown table; ratios are CPU against the reference."""
    print(f"\n{title}\n\n| what | CPU ms | wall ms (median) | CPU ratio |\n|---|---|---|---|")
    for name, (cpu, wall) in results.items():
        print(f"| {name} | {cpu:.3f} | {wall:.3f} | {cpu / results[reference][0]:.2f} |")


def stored_chunks(array: ShardedArray, box: IndexBox) -> list[bytes]:
    """The stored bytes of the chunks that a box touches: what a bare decode starts from."""
    found: list[bytes] = []
    spec = array.spec
    for shard in box.blocks(spec.shards):
        path = array.folder / spec.shard_key(shard)
        data = path.read_bytes()
        table = len(data) - 4 - 16 * int(np.prod(spec.chunks_per_shard))
        index = np.frombuffer(data[table:-4], dtype="<u8").reshape(*spec.chunks_per_shard, 2)
        origin = tuple(i * n for i, n in zip(shard, spec.shards, strict=True))
        whole = IndexBox(origin, tuple(a + n for a, n in zip(origin, spec.shards, strict=True)))
        for position in box.intersect(whole).shift([-a for a in origin]).blocks(spec.chunks):
            offset, nbytes = (int(v) for v in index[position])
            found.append(data[offset : offset + nbytes])
    return found


def readers(pyramid: Pyramid, side: int, count: int) -> None:
    """Read random aligned tiles of the finest level."""
    import tensorstore as ts

    level = pyramid.levels[0]
    array = level.image
    if not isinstance(array, ShardedArray):
        raise SystemExit("only pyramids that bigimage wrote have shards to compare")
    rng = np.random.default_rng(0)
    bands, rows, columns = level.shape
    boxes: list[IndexBox] = []
    for _ in range(count):
        y, x = (int(rng.integers(0, n // side)) * side for n in (rows, columns))
        boxes.append(IndexBox((0, y, x), (bands, y + side, x + side)))
    raw = {box: stored_chunks(array, box) for box in boxes}
    store = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{array.folder}/"}}).result()
    zarr_array = level.array
    contenders: dict[str, Work] = {
        "bare decode of the chunks": lambda box: [array.decode(data, len(data), "chunk") for data in raw[box]],
        "bigimage": array.read,
        "zarr-python": lambda box: zarr_array[box.slices],
        "tensorstore": lambda box: store[box.slices].read().result(),
    }
    for box in boxes[:3]:
        if not all(np.array_equal(work(box), array.read(box)) for n, work in contenders.items() if "bare" not in n):
            raise SystemExit("readers differ")
    report(f"Read a {side} px tile, {bands} bands {pyramid.info.dtype}", timed(contenders, boxes), reference="bigimage")


def encoders(pyramid: Pyramid, side: int, count: int) -> None:
    """Encode random tiles as pictures."""
    from PIL import Image

    rng = np.random.default_rng(1)
    _, rows, columns = pyramid.levels[0].shape
    patches: dict[IndexBox, Patch] = {}
    for _ in range(count):
        y, x = (int(rng.integers(0, n - side)) for n in (rows, columns))
        box = IndexBox((y, x), (y + side, x + side))
        patch = pyramid.read_index(box, bands=range(min(3, len(pyramid.info.bands))))
        patches[box] = Patch(patch.array.astype(np.uint8), Grid.pixels((side, side), "tile"))
    style = Style(rescale=((0.0, 255.0),) * 3)

    def pillow(fmt: str, **options: Any) -> Work:
        def work(box: IndexBox) -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(patches[box].array.transpose(1, 2, 0))).save(buffer, fmt, **options)
            return buffer.getvalue()

        return work

    contenders: dict[str, Work] = {
        "bigimage png": lambda box: render(patches[box], style, "png"),
        "pillow png level 1": pillow("PNG", compress_level=1),
        "bigimage jpg": lambda box: render(patches[box], style, "jpg"),
        "pillow jpg 85": pillow("JPEG", quality=85),
    }
    report(f"Encode a {side} px RGB tile", timed(contenders, list(patches)), reference="bigimage png")


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pyramid", type=Path)
    parser.add_argument("--tiles", type=int, default=200)
    options = parser.parse_args()
    pyramid = Pyramid.open(options.pyramid)
    print(machine())
    for side in (256, 512):
        readers(pyramid, side, options.tiles)
        encoders(pyramid, side, options.tiles)


if __name__ == "__main__":
    main()

"""Mask layers: the first paint, what one edit costs on all levels, live tiles, and contours of a scan.

    python benchmarks/masks.py --count 100000 --side 20480
    python benchmarks/masks.py --count 1000000 --side 81920
    python benchmarks/masks.py --contours

Times are of this process, kernels loaded; the peak of its memory is printed at the end.
Kernels are compared with their peers in `burn.py`; this is the whole way, from the database to files of all levels.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely
from shapely.affinity import translate

from benchmarks.burn import buildings
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.change import Edited
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import PlanarContours, Polygon
from bigimage.pyramid import downsample
from bigimage.pyramid.location import METADATA, group_document, write_json
from bigimage.rasterize import burn
from bigimage.rasterize.easel import StoreLink
from bigimage.rasterize.paint import Order, Studio, paint
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_store
from tilesrv.live import Kept, Live

EDITS = 30
TILES = 200
LABELS = ("house", "shed", "tower")


def studio(folder: Path, info: ImageInfo) -> Studio:
    """A place to paint an image without pixels."""
    (folder / "scene").mkdir(parents=True)
    write_json(folder / "scene" / METADATA, group_document({}, {}))
    store = open_store(folder / "annotations.db")
    store.set_schema(Schema(labels=tuple(Label(name=n, value=k + 1) for k, n in enumerate(LABELS))), author="me")
    link = StoreLink(str(folder / "annotations.db"), store)
    return Studio(info=info, folder=folder / "scene", link=link, leases=SqlLeases(store.database), holder="benchmark")


def quantiles(times: list[float]) -> str:
    """Median and 95th percentile, milliseconds."""
    p50, p95 = np.percentile(times, (50, 95)) * 1e3
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def scene(count: int, side: int, workers: int) -> None:
    """Buildings on a raster: paint, edit, look."""
    grid = Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_000_000), (side, side), GeoFrame("EPSG:32633"))
    info = ImageInfo(id="scene", grid=grid, axes=("y", "x"), shape=grid.shape, dtype="uint8", bands=(Band(name="p"),))
    shapes = shapely.transform(buildings(count, side), lambda xy: grid.to_world(xy[:, ::-1]))

    def annotations() -> Iterator[Annotation]:
        for k, shape in enumerate(shapes):
            yield Annotation(
                id=UUID(int=k + 1), image="scene", label=LABELS[k % 3], shape=Polygon(shape), frame=grid.frame
            )

    with tempfile.TemporaryDirectory() as folder:
        place = studio(Path(folder), info)
        store = place.link.store
        store.load("scene", annotations(), author="me")
        order = Order(workers=workers)
        burn.warm()
        downsample.warm()
        start = time.perf_counter()
        layer = paint(place, order)
        print(f"paint {count} polygons on {side} x {side}, {workers} threads: {time.perf_counter() - start:.1f} s")
        edits: list[float] = []
        rng = np.random.default_rng(3)
        for number in rng.choice(count, EDITS + 1, replace=False).tolist():
            one = store.get(UUID(int=number + 1))
            if not isinstance(one.shape, Polygon):
                continue
            moved = translate(one.shape.geometry, 15.0, 15.0)
            store.apply("scene", [Edited(replace(one, shape=Polygon(moved)), one.version)], author="me")
            start = time.perf_counter()
            paint(place, order)
            edits.append(time.perf_counter() - start)
        print(f"an edit, until all levels show it: {quantiles(edits[1:])}")
        live = Live(store, "scene", layer.pyramid.grids, layer.painted.palette, "center", None)
        kept = replace(live, kept=Kept(layer.pyramid, ()))
        for level in range(len(layer.pyramid.grids)):
            alone, beside = (quantiles(_look(one, level, rng)) for one in (live, kept))
            print(f"live tile of 256 pixels at level {level}: {alone}; where a layer is stored: {beside}")
        store.close()


def _look(live: Live, level: int, rng: np.random.Generator) -> list[float]:
    """Times of live tiles at random places of a level."""
    rows, columns = live.grids[level].shape
    times: list[float] = []
    for _ in range(TILES):
        y, x = (256 * int(rng.integers(0, -(-n // 256))) for n in (rows, columns))
        box = IndexBox((y, x), (min(y + 256, rows), min(x + 256, columns)))
        start = time.perf_counter()
        live.read(level, box)
        times.append(time.perf_counter() - start)
    return times[1:]


def contours(workers: int, *, objects: int = 200, slices: int = 300) -> None:
    """Contours on slices of a scan of 600 x 512 x 512."""
    grid = Grid((600, 512, 512), ((0, 0, 0.8, -200), (0, 0.8, 0, -200), (1.0, 0, 0, 0)), PatientFrame("1.2.3"))
    info = ImageInfo(
        id="scene", grid=grid, axes=("z", "y", "x"), shape=grid.shape, dtype="int16", bands=(Band(name="CT"),)
    )
    rng = np.random.default_rng(5)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)

    def annotations() -> Iterator[Annotation]:
        for k in range(objects):
            y, x = rng.uniform(60, 450, 2)
            first = int(rng.integers(0, 600 - slices))
            rings = [
                grid.to_world(
                    np.stack([np.full(60, first + s + 0.5), y + r * np.sin(turn), x + r * np.cos(turn)], axis=1)
                )
                for s in range(slices)
                for r in [rng.uniform(8, 40)]
            ]
            shape = PlanarContours.of(rings)
            yield Annotation(id=UUID(int=k + 1), image="scene", label=LABELS[k % 3], shape=shape, frame=grid.frame)

    with tempfile.TemporaryDirectory() as folder:
        place = studio(Path(folder), info)
        place.link.store.load("scene", annotations(), author="me")
        for name in ("warm", "timed"):
            start = time.perf_counter()
            paint(place, Order(name=name, workers=workers))
            taken = time.perf_counter() - start
        print(f"{objects} contours on {slices} slices each, 512 x 512 x 600, {workers} threads: {taken:.2f} s")
        place.link.store.close()  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=20_480)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--contours", action="store_true")
    asked = parser.parse_args()
    if asked.contours:
        contours(asked.workers)
    else:
        scene(asked.count, asked.side, asked.workers)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()

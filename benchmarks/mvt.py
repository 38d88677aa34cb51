"""Vector tiles: bigimage on SQLite and on PostgreSQL beside PostGIS' ST_AsMVT, end to end, the same tiles.

Polygons of 8 to 40 vertices lie as densely as 1,000,000 on 80,000 × 80,000 pixels. A tile shows a window of 4096
pixels (about 2,600 polygons) with id, label and version of every one. Each contender reads its database and returns
the finished tile; PostGIS has a plain table with a GiST index that it is clustered by. The tiles of one window are
asked for in turn, so that a busy machine slows all alike. The last rows are bigimage's tiles as they are served, where
small polygons are counted.

    python benchmarks/mvt.py --count 250000
    python benchmarks/mvt.py --count 1000000 --windows 200

Needs PostgreSQL with PostGIS (Debian package postgresql-15-postgis-3).
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import mapbox_vector_tile
import numpy as np
import psycopg
import shapely

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.harness import machine
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Polygon
from bigimage.store.opening import open_store
from tests import postgres
from tilesrv import mvt
from tilesrv.mvt_place import NativePlacement
from tilesrv.vector_tiles import vector_tile

FRAME = GeoFrame.of("EPSG:32632")
LABELS = ("building", "field", "road", "tree", "water")
ORIGIN = (400_000.0, 5_600_000.0)
PIXEL = 0.5
LEVEL = 4
BATCH = 20_000
QUERY = (
    "SELECT ST_AsMVT(q, 'annotations', 4096, 'geometry') FROM (SELECT id::text AS id, label, version,"
    " ST_AsMVTGeom(geometry, ST_MakeEnvelope(%(x0)s, %(y0)s, %(x1)s, %(y1)s)::box2d, 4096, 128, true) AS geometry"
    " FROM shapes WHERE geometry && ST_MakeEnvelope(%(a0)s, %(b0)s, %(a1)s, %(b1)s)) q WHERE geometry IS NOT NULL"
)


def batches(count: int, side: int) -> Iterator[tuple[list[UUID], list[str], np.ndarray]]:
    """Ids, labels and polygons, in world coordinates, anywhere on the image."""
    rng = np.random.default_rng(1)
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        corners = rng.integers(8, 41, n)
        first = np.concatenate([[0], np.cumsum(corners + 1)])
        owner = np.repeat(np.arange(n), corners + 1)
        step = (np.arange(first[-1]) - first[owner]) % corners[owner]
        angle = 2 * np.pi * step / corners[owner]
        # one radius for each corner; the last one closes the ring
        radius = rng.uniform(12, 28, n)[owner] * rng.uniform(0.8, 1.2, (n, 41))[owner, step]
        middle = rng.uniform(0, side, (n, 2))[owner]
        xy = (middle + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)) * PIXEL
        shapes = shapely.polygons(shapely.linearrings(xy * (1, -1) + ORIGIN, indices=owner))
        ids = [UUID(bytes=rng.bytes(16), version=4) for _ in range(n)]
        yield ids, [LABELS[k] for k in rng.integers(0, len(LABELS), n)], shapes


def annotations(count: int, side: int) -> Iterator[Annotation]:
    for ids, labels, shapes in batches(count, side):
        for one, label, shape in zip(ids, labels, shapes, strict=True):
            yield Annotation(id=one, image="scene", label=label, shape=Polygon(shape), frame=FRAME)


def fill_postgis(url: str, count: int, side: int) -> None:
    """A plain table, as a PostGIS user would make it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
        connection.execute("CREATE TABLE shapes (id uuid, label text, version int, geometry geometry)")
        with connection.cursor() as cursor, cursor.copy("COPY shapes FROM STDIN") as copy:
            for ids, labels, shapes in batches(count, side):
                for one, label, wkb in zip(ids, labels, shapely.to_wkb(shapes, hex=True), strict=True):
                    copy.write_row((str(one), label, 1, wkb))
        connection.execute("CREATE INDEX shapes_place ON shapes USING gist (geometry)")
        connection.execute("CLUSTER shapes USING shapes_place")
        connection.execute("VACUUM ANALYZE shapes")


def placements(side: int, windows: int, *, finest: bool) -> list[NativePlacement]:
    """Tiles of 256 pixels of the level that shows 4096 pixels in each."""
    grid = Grid.from_transform((PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1]), (side, side), FRAME)
    level = grid.coarsen(1 << LEVEL)
    last = side // (256 << LEVEL) - 1
    picked = np.random.default_rng(2).integers(0, last + 1, (windows, 2)).tolist()
    return [NativePlacement(grid, level, 256, x, y, finest) for x, y in picked]


def postgis_tile(connection: psycopg.Connection, placement: NativePlacement) -> bytes:
    size = 256 * PIXEL * (1 << LEVEL)
    x0, y1 = ORIGIN[0] + placement.x * size, ORIGIN[1] - placement.y * size
    around = placement.boxes[0].values
    names = dict(zip(("x0", "y0", "x1", "y1"), (x0, y1 - size, x0 + size, y1), strict=True))
    names |= dict(zip(("a0", "b0", "a1", "b1"), around, strict=True))
    row = connection.execute(QUERY, names, binary=True).fetchone()
    assert row is not None
    return bytes(row[0])


def resident() -> float:
    """Memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def features(tile: bytes) -> int:
    read = mapbox_vector_tile.decode(tile)
    return len(read.get("annotations", {"features": []})["features"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=250_000)
    parser.add_argument("--windows", type=int, default=100)
    options = parser.parse_args()
    side = round(80_000 * (options.count / 1e6) ** 0.5)
    mvt.warm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres.server())
        made = server.removesuffix("postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE plain")
            connection.execute("CREATE DATABASE ours")
        start = time.perf_counter()
        fill_postgis(made + "plain", options.count, side)
        print(f"PostGIS table filled in {time.perf_counter() - start:.0f} s", flush=True)
        stores = {"SQLite": open_store(folder / "annotations.db"), "PostgreSQL": open_store(made + "ours")}
        for name, store in stores.items():
            start = time.perf_counter()
            store.load("scene", annotations(options.count, side), author="benchmark")
            print(f"{name} store filled in {time.perf_counter() - start:.0f} s", flush=True)
        plain = stack.enter_context(psycopg.connect(made + "plain", autocommit=True))
        contenders: dict[str, tuple[bool, Callable[[NativePlacement], bytes]]] = {
            "bigimage, SQLite": (True, lambda p: vector_tile(stores["SQLite"], "scene", p).body),
            "bigimage, PostgreSQL": (True, lambda p: vector_tile(stores["PostgreSQL"], "scene", p).body),
            "PostGIS ST_AsMVT": (True, lambda p: postgis_tile(plain, p)),
            "bigimage, SQLite, as served": (False, lambda p: vector_tile(stores["SQLite"], "scene", p).body),
            "bigimage, PostgreSQL, as served": (False, lambda p: vector_tile(stores["PostgreSQL"], "scene", p).body),
        }
        measure(contenders, side, options.windows)


def measure(contenders: dict[str, tuple[bool, Callable[[NativePlacement], bytes]]], side: int, windows: int) -> None:
    """Ask each contender for each tile in turn, and print what that took."""
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    sizes: dict[str, list[int]] = {name: [] for name in contenders}
    drawn: dict[str, int] = {}
    places = {finest: placements(side, windows, finest=finest) for finest in (True, False)}
    for name, (finest, tile) in contenders.items():
        drawn[name] = features(tile(places[finest][0]))  # also warms up
    before = resident()
    for k in range(windows):
        for name, (finest, tile) in contenders.items():
            start = time.perf_counter()
            body = tile(places[finest][k])
            walls[name].append(1e3 * (time.perf_counter() - start))
            sizes[name].append(len(body))
    base = np.median(walls["bigimage, SQLite"])
    print(f"{machine()}; {windows} windows; load {os.getloadavg()[0]:.1f}")
    print("| contender | p10 ms | p50 ms | p95 ms | p99 ms | p50 to bigimage on SQLite | kB | drawn in the first |")
    print("|---|---|---|---|---|---|---|---|")
    for name, wall in walls.items():
        times = [f"{v:.1f}" for v in np.percentile(wall, (10, 50, 95, 99))]
        ratio, size = np.median(wall) / base, np.median(sizes[name]) / 1e3
        print(f"| {name} | {' | '.join(times)} | {ratio:.2f} | {size:.0f} | {drawn[name]} |")
    print(f"memory of the process that made all tiles but PostGIS': {before:.0f} MB before, {resident():.0f} MB after")


if __name__ == "__main__":
    main()

"""A million polygons in the annotation store: loading with history and index, and reading windows.

Contenders are this project's store on SQLite and on PostgreSQL, given tables of columns and (`-single`) one annotation
after the other, and what people use instead: rows with SQLite's R*Tree,
and a PostGIS table filled by binary COPY with a GiST index. The peers keep no history, versions or authors. Each lives
in a process of its own; loads take turns, so that a busy machine slows all alike. Time starts with random coordinates
and ends with the commit; it includes making the objects that are stored, which is also given alone.

Windows are read when the disk has written what was loaded. They are read three times: for the first time, on SQLite
with nothing of the file in memory, so that the disk is timed; then again, as a server that runs for a while reads
them; then as columns.

    python -m benchmarks.store --count 1000000 --repeat 3

PostgreSQL is started for the purpose where it is installed, with its durable default settings.
"""

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import shapely

from benchmarks.harness import machine
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Polygon
from bigimage.model.table import Table, Texts
from bigimage.store.opening import open_store
from tests import postgres

DENSITY = 80_000 / 1000
"""Side of the scene, in pixels, for each square root of a shape: about 41 shapes in 512 × 512."""
UTM = GeoFrame("EPSG:32632")
PART = 5000
WINDOWS = {512: 400, 4096: 100}
"""Sizes of windows in pixels, and how many are read."""
HOW = ("first", "read", "columns")
"""How they are read."""


def polygons(count: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """Ids and polygons of 8 to 40 vertices, 6 to 60 pixels across, anywhere in the scene; some at a time."""
    rng = np.random.default_rng(1)
    side = DENSITY * count**0.5
    for start in range(0, count, PART):
        n = rng.integers(8, 41, min(PART, count - start))
        owner = np.repeat(np.arange(len(n)), n)
        angle = 2 * np.pi * (np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n)) / n[owner]
        reach = rng.uniform(3, 30, len(n))[owner] * rng.uniform(0.7, 1, len(owner))
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * reach[:, None]
        points += rng.uniform(0, side, (len(n), 2))[owner]
        yield rng.bytes(16 * len(n)), shapely.polygons(shapely.linearrings(points, indices=owner))


def annotations(count: int) -> Iterator[Annotation]:
    """The same as annotations."""
    for ids, shapes in polygons(count):
        for k, shape in enumerate(shapes.tolist()):
            id_ = UUID(bytes=ids[16 * k : 16 * k + 16])
            yield Annotation(id=id_, image="scene", label="house", shape=Polygon(shape), frame=UTM)


def tables(count: int) -> Iterator[Table]:
    """The same as tables."""
    for ids, shapes in polygons(count):
        n = len(shapes)
        labels, origins = Texts.of("house", n), Texts.of("manual", n)
        keys = np.frombuffer(ids, dtype="V16")
        yield Table(image="scene", frame=UTM, ids=keys, labels=labels, geometries=shapes, origins=origins)


def windows(count: int, size: int) -> Iterator[tuple[float, float, float, float]]:
    """Random windows."""
    rng = np.random.default_rng(2)
    for x, y in rng.uniform(0, DENSITY * count**0.5 - size, (WINDOWS[size] + 20, 2)):
        yield x, y, x + size, y + size


class Ours:
    """The store of this project."""

    def __init__(self, place: str) -> None:
        self.store = open_store(place)

    def load(self, count: int) -> None:
        """Store so many polygons."""
        self.store.load("scene", tables(count), author="ann")

    def read(self, x0: float, y0: float, x1: float, y1: float) -> int:
        """Number of the shapes in a window, as objects."""
        return len(list(self.store.query("scene", WorldBox((x0, y0), (x1, y1), UTM))))

    def columns(self, x0: float, y0: float, x1: float, y1: float) -> int:
        """Number of the shapes in a window, as columns."""
        return len(self.store.columns("scene", WorldBox((x0, y0), (x1, y1), UTM)).versions)


class Single(Ours):
    """The same, given one annotation after the other."""

    def load(self, count: int) -> None:
        """Store so many polygons."""
        self.store.load("scene", annotations(count), author="ann")


class Rtree:
    """Rows in SQLite with its R*Tree."""

    def __init__(self, place: str) -> None:
        self.raw = sqlite3.connect(place, isolation_level=None)
        self.raw.execute("PRAGMA journal_mode = WAL")
        self.raw.execute(
            "CREATE TABLE IF NOT EXISTS shape (id INTEGER PRIMARY KEY, uuid BLOB, label TEXT, geometry BLOB)"
        )
        self.raw.execute("CREATE VIRTUAL TABLE IF NOT EXISTS box USING rtree (id, x0, x1, y0, y1)")

    def load(self, count: int) -> None:
        """Store so many polygons."""
        self.raw.execute("BEGIN IMMEDIATE")
        first = 1
        for ids, shapes in polygons(count):
            uuids = [ids[k : k + 16] for k in range(0, len(ids), 16)]
            keys, wkb, bounds = (
                range(first, first + len(shapes)),
                shapely.to_wkb(shapes).tolist(),
                shapely.bounds(shapes),
            )
            rows = zip(keys, uuids, ["house"] * len(shapes), wkb, strict=True)
            self.raw.executemany("INSERT INTO shape VALUES (?, ?, ?, ?)", rows)
            self.raw.executemany(
                "INSERT INTO box VALUES (?, ?, ?, ?, ?)", zip(keys, *bounds[:, [0, 2, 1, 3]].T.tolist(), strict=True)
            )
            first += len(shapes)
        self.raw.execute("COMMIT")

    def read(self, x0: float, y0: float, x1: float, y1: float) -> int:
        """Number of the shapes in a window, as objects."""
        within = "b.x0 <= ? AND b.x1 >= ? AND b.y0 <= ? AND b.y1 >= ?"
        sql = f"SELECT s.uuid, s.label, s.geometry FROM box b JOIN shape s ON s.id = b.id WHERE {within}"
        return _parsed(self.raw.execute(sql, (x1, x0, y1, y0)).fetchall())


class Gist:
    """A table in PostGIS with a GiST index."""

    def __init__(self, place: str) -> None:
        self.raw = psycopg.connect(place, autocommit=True)
        self.raw.execute("CREATE EXTENSION IF NOT EXISTS postgis")
        self.raw.execute("CREATE TABLE IF NOT EXISTS shape (uuid uuid PRIMARY KEY, label text, geometry geometry)")

    def load(self, count: int) -> None:
        """Store so many polygons."""
        with self.raw.transaction(), self.raw.cursor() as cursor:
            with cursor.copy("COPY shape FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["uuid", "text", "bytea"])
                for ids, shapes in polygons(count):
                    for k, wkb in enumerate(shapely.to_wkb(shapes).tolist()):
                        copy.write_row((UUID(bytes=ids[16 * k : 16 * k + 16]), "house", wkb))
            cursor.execute("CREATE INDEX ON shape USING gist (geometry)")
        self.raw.execute("ANALYZE shape")

    def read(self, x0: float, y0: float, x1: float, y1: float) -> int:
        """Number of the shapes in a window, as objects."""
        sql = "SELECT uuid, label, ST_AsBinary(geometry) FROM shape WHERE geometry && ST_MakeEnvelope(%s, %s, %s, %s)"
        return _parsed(self.raw.cursor(binary=True).execute(sql, (x0, y0, x1, y1)).fetchall())


def _parsed(rows: list) -> int:
    """Number of rows, whose geometries are made shapely's."""
    return len(shapely.from_wkb([bytes(row[2]) for row in rows]))


CONTENDERS: dict[str, Callable] = {
    **{"sqlite": Ours, "sqlite-single": Single, "sqlite-rtree": Rtree},
    **{"postgres": Ours, "postgres-single": Single, "postgis-gist": Gist},
}


MAKERS: dict[str, Callable] = {"polygons": polygons, "tables": tables, "annotations": annotations}


def part(name: str, place: str, what: str, count: int) -> dict[str, float]:
    """Do one part of the work in this process, and say what it took."""
    start, cpu = time.perf_counter(), time.process_time()
    if what in MAKERS:
        made = sum(1 for _ in MAKERS[what](count))
        return {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu, "count": made}
    contender = CONTENDERS[name](place)
    base = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    if what == "load":
        contender.load(count)
        return {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu, "mb": _peak(), "base": base}
    return read(contender, place, count)


def read(contender: "Ours | Rtree | Gist", place: str, count: int) -> dict[str, float]:
    """Read all windows, and say what one takes."""
    out: dict[str, float] = {}
    for size in WINDOWS:
        forget(place)
        for how in HOW if isinstance(contender, Ours) else HOW[:2]:
            times, found = [], []
            for window in windows(count, size):
                start = time.perf_counter()
                found.append(getattr(contender, "read" if how == "first" else how)(*window))
                times.append(time.perf_counter() - start)
            low, high = np.percentile(times[20:], [50, 99]) * 1e3
            out |= {f"{size} {how} p50": low, f"{size} {how} p99": high, f"{size} {how} rows": float(np.mean(found))}
    return out


def forget(place: str) -> None:
    """Let the system's memory go of a file, once the disk has all that was written; a server's files stay there."""
    os.sync()
    if "://" not in place:
        file = os.open(place, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def _peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--part", nargs=3, metavar=("NAME", "PLACE", "WHAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(part(*given.part, given.count)))
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigimage-store-")))
        server = ""
        if any(name.startswith("post") for name in given.only):
            server = stack.enter_context(postgres.server(durable=True)).removesuffix("postgres")
        compare(given.only, folder, server, count=given.count, repeat=given.repeat)


def compare(names: list[str], folder: Path, server: str, *, count: int, repeat: int) -> None:
    """Run all contenders in turns, and print tables."""

    def run(*what: str) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.store", "--count", str(count), "--part", *what]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    print(machine())
    loads: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    places: dict[str, str] = {}
    for turn in range(repeat):
        for name in names:
            places[name] = _place(name, turn, folder, server)
            loads[name].append(run(name, places[name], "load"))
    for what in MAKERS:
        made = run("sqlite", "", what)
        print(f"making {count} polygons as {what} alone: {made['wall']:.1f} s, {made['cpu']:.1f} s CPU")
    print()
    print("| load | s (median [min-max]) | a second | CPU s | peak MB (at start) |\n|---|---|---|---|---|")
    for name, runs in loads.items():
        wall = sorted(r["wall"] for r in runs)
        middle = wall[len(wall) // 2]
        cpu = sorted(r["cpu"] for r in runs)[len(runs) // 2]
        memory = f"{max(r['mb'] for r in runs):.0f} ({runs[0]['base']:.0f})"
        print(
            f"| {name} | {middle:.1f} [{wall[0]:.1f}-{wall[-1]:.1f}] | {count / middle:,.0f} | {cpu:.1f} | {memory} |"
        )
    print("\n| windows | px | annotations | first time p50 ms | p99 ms | again p50 | p99 | as columns p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        took = run(name, places[name], "read")
        for size in WINDOWS:
            told = [f"{took.get(f'{size} {how} {p}', np.nan):.2f}" for how in HOW for p in ("p50", "p99")]
            shown = " | ".join(value.replace("nan", "") for value in told)
            print(f"| {name} | {size} | {took[f'{size} read rows']:.0f} | {shown} |")


def _place(name: str, turn: int, folder: Path, server: str) -> str:
    """A new database for a turn; that of the turn before is deleted."""
    if name.startswith("sqlite"):
        for old in folder.glob(f"{name}-*"):
            old.unlink()
        return str(folder / f"{name}-{turn}.db")
    database = f"{name.replace('-', '_')}_{turn}"
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        if turn:
            connection.execute(f"DROP DATABASE {name.replace('-', '_')}_{turn - 1} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {database}")
    return server + database


if __name__ == "__main__":
    main()

"""Time and memory of exporting many polygons in each format, of geopandas writing the same, and of importing them.

    python -m benchmarks.exports --count 1000000
    python -m benchmarks.exports --count 1000000 --formats geojson,geoparquet --imports

With `--imports` each file is imported into a store of its own, too: checked whole, then stored.

`geojson` is what `bigimage export` writes unasked, longitude and latitude; `geojson+native` stays in the image's CRS.
The store is made once; each export is a process of its own, so that its peak memory is its own.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely

from benchmarks.harness import Runs, machine, run, size_mb, table
from bigimage.exchange.vector import export_annotations, import_annotations
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Polygon
from bigimage.store.opening import open_store

GRID = Grid.from_transform((0.3, 0, 500_000, 0, -0.3, 5_000_000), (100_000, 100_000), GeoFrame.of("EPSG:32633"))
INFO = ImageInfo(id="scene", grid=GRID, axes=("y", "x"), shape=GRID.shape, dtype="uint8", bands=(Band(name="gray"),))
SCHEMA = Schema(labels=tuple(Label(name=name, value=k) for k, name in enumerate(("ship", "building", "tree"), 1)))
IMPORT = "import "
SUFFIXES = {"coco": "json", "geojson": "geojson", "geojsonseq": "ndjson", "geoparquet": "parquet", "flatgeobuf": "fgb"}
LIMITS = {"coco": "60 s and 1 GB are asked for a million", "geoparquet": "a fifth of geojson's time is asked for"}


def polygons(count: int) -> Iterator[Annotation]:
    """Blobs of 8 to 20 corners, a few metres wide, all over the scene."""
    rng = np.random.default_rng(11)
    for first in range(0, count, 10_000):
        number = min(10_000, count - first)
        middles = rng.uniform(50, 99_950, (number, 2))
        corners = rng.integers(8, 21, number)
        for k in range(number):
            # an even share of the way round for each corner: no ring crosses itself, and imports take them
            turn = (np.arange(corners[k]) + rng.uniform(0, 1, corners[k])) * 2 * np.pi / corners[k]
            reach = rng.uniform(6, 14, corners[k])
            index = middles[k] + np.stack([np.sin(turn), np.cos(turn)], axis=1) * reach[:, None]
            shape = Polygon(shapely.Polygon(GRID.to_world(index)))
            label = SCHEMA.labels[(first + k) % 3].name
            yield Annotation(
                id=UUID(int=first + k + 1), image="scene", label=label, shape=shape, frame=GRID.frame, origin="import"
            )


def make(place: Path, count: int) -> None:
    """Fill a store."""
    store = open_store(place)
    store.set_schema(SCHEMA, author="benchmark")
    store.load("scene", polygons(count), author="benchmark")
    store.close()


def export(place: Path, format: str, output: Path) -> None:
    """One export, as `bigimage export` makes it."""
    store = open_store(place)
    name, _, crs = format.partition("+")
    export_annotations(store, INFO, format=name, output=output, options={"crs": crs} if crs else {})
    store.close()


def import_(place: Path, format: str, path: Path) -> None:
    """One import into an empty store, as `bigimage import` makes it."""
    store = open_store(place)
    store.set_schema(SCHEMA, author="benchmark")
    import_annotations(store, INFO, path, author="benchmark", format=format.partition("+")[0])
    store.close()


def peer(place: Path, output: Path) -> None:
    """What a script with geopandas does: all annotations in a table, then GeoJSON through GDAL."""
    import geopandas

    store = open_store(place)
    found = list(store.query("scene"))
    table = geopandas.GeoDataFrame(
        {"label": [a.label for a in found]}, geometry=[a.shape.geometry for a in found], crs=GRID.frame.crs
    )
    table.to_file(output, driver="GeoJSON")
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--formats", default="coco,geojson,geojson+native,geoparquet,flatgeobuf")
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(Path(arguments.work[0]), arguments.work[1], Path(arguments.work[2]))
        return
    formats = [*arguments.formats.split(","), "geopandas"]
    names = [n for f in formats for n in ((f, IMPORT + f) if arguments.imports and f != "geopandas" else (f,))]
    rows = {name: Runs(name, note=LIMITS.get(name, "")) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.db"
        make(place, arguments.count)
        for _ in range(arguments.repeat):
            for format in formats:
                output = Path(folder) / f"out.{SUFFIXES.get(format.partition('+')[0], 'geojson')}"
                measure(rows[format], place, output)
                if IMPORT + format in rows:
                    store = Path(folder) / "b.db"
                    measure(rows[IMPORT + format], store, output, made=store)
                    store.unlink(missing_ok=True)
                output.unlink(missing_ok=True)
        source = size_mb(place)
    print(machine())
    print(table(list(rows.values()), source_mb=source, reference="geojson"))


def work(place: Path, name: str, output: Path) -> None:
    """What one process does: an export, an import, or what the peer makes of it."""
    if name == "geopandas":
        peer(place, output)
    elif name.startswith(IMPORT):
        import_(place, name.removeprefix(IMPORT), output)
    else:
        export(place, name, output)


def measure(row: Runs, place: Path, output: Path, *, made: Path | None = None) -> None:
    """Run one process, and note what it took; `made` is what it makes, where that is not the output."""
    command = [sys.executable, "-m", "benchmarks.exports", "--work", str(place), row.name, str(output)]
    wall, cpu, rss, error = run(command)
    row.wall.append(wall)
    row.cpu.append(cpu)
    row.rss.append(rss)
    row.output = size_mb(made or output)
    row.note = error or row.note


if __name__ == "__main__":
    main()

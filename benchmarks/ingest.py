"""Ingest against its peers: `python -m benchmarks.ingest [--size 20480] [--bands 3] [--dtype uint8] [--rounds 3]`.

Contenders run interleaved, each as a whole process on a warm page cache. Peers are looked for and listed as not
installed where missing: `pip install tensorstore ome-zarr ngff-zarr ndpyramid rio-cogeo`, `apt-get install
libvips-tools`.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import rasterio

from benchmarks.harness import Runs, machine, run, size_mb, table
from benchmarks.ingest_peers import PEERS
from fixtures.make import scene

MODULES = {
    "gdal-cog": "rasterio", "rio-cogeo": "rio_cogeo", "tensorstore-strips": "tensorstore", "dask+zarr": "dask",
    "ome-zarr-py": "ome_zarr", "ngff-zarr": "ngff_zarr", "ndpyramid": "ndpyramid",
}  # fmt: skip
SLOW = ("dask+zarr", "ome-zarr-py", "ngff-zarr", "ndpyramid", "rio-cogeo")
"""Peers that are run once, since they are far off."""


def commands(source: Path, folder: Path) -> dict[str, tuple[list[str], Path]]:
    """Command and output of each contender."""
    python = sys.executable
    vips = ["vips", "tiffsave", str(source)]
    options = ["--tile", "--pyramid", "--compression", "zstd", "--level", "1", "--bigtiff", "--tile-width", "256"]
    options += ["--tile-height", "256"]
    found: dict[str, tuple[list[str], Path]] = {
        "bigimage": (
            [python, "-m", "bigimage", "--workspace", str(folder / "ws"), "ingest", str(source)],
            folder / "ws",
        )
    }
    if shutil.which("vips"):
        plain, predictor = folder / "v.tif", folder / "p.tif"
        found["vips zstd-1"] = ([*vips, str(plain), *options, "--predictor", "none"], plain)
        found["vips zstd-1 + predictor"] = ([*vips, str(predictor), *options, "--predictor", "horizontal"], predictor)
    for name in PEERS:
        target = folder / ("o.tif" if "cog" in name else "o.zarr")
        found[name] = ([python, "-m", "benchmarks.ingest_peers", name, str(source), str(target)], target)
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20480)
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--dtype", default="uint8")
    parser.add_argument("--compress", default=None, help="of the source: deflate, zstd, … (default none)")
    parser.add_argument("--striped", action="store_true", help="source in strips of one row")
    parser.add_argument("--mosaic", type=int, default=1, help="repeat the scene N by N times, as a VRT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of contenders")
    parser.add_argument("--folder", type=Path, default=None, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        source = scene(
            folder / "scene.tif", size=(options.size, options.size), bands=options.bands, dtype=options.dtype,
            compress=options.compress, block=None if options.striped else 256,
        )  # fmt: skip
        if options.mosaic > 1:
            source = mosaic(source, options.mosaic)
        side = options.size * options.mosaic
        # pixels, not the file: a compressed source holds as many
        pixels = side**2 * options.bands * {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}[options.dtype] / 1e6
        rows = measure(source, folder, rounds=options.rounds, only=options.only)
    print(
        f"{side}×{side}×{options.bands} {options.dtype}, source {options.compress or 'uncompressed'}"
        f"{', striped' if options.striped else ''}, {pixels:.0f} MB; {machine()}\n"
    )
    print(table(rows, source_mb=pixels, reference="bigimage"))


def mosaic(scene: Path, count: int) -> Path:
    """VRT beside a scene that repeats it `count` by `count` times: a huge image that takes no room on disk."""
    with rasterio.open(scene) as file:
        height, width, types = file.height, file.width, file.dtypes
    names = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}
    tile = (
        '<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
        '<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
        '<DstRect xOff="{x}" yOff="{y}" xSize="{width}" ySize="{height}"/></SimpleSource>'
    )
    places = [(x * width, y * height) for y in range(count) for x in range(count)]
    bands = "".join(
        f'<VRTRasterBand dataType="{names[kind]}" band="{band}">'
        + "".join(tile.format(name=scene.name, band=band, width=width, height=height, x=x, y=y) for x, y in places)
        + "</VRTRasterBand>"
        for band, kind in enumerate(types, 1)
    )
    path = scene.with_suffix(".vrt")
    size = f'rasterXSize="{width * count}" rasterYSize="{height * count}"'
    path.write_text(f"<VRTDataset {size}>{bands}</VRTDataset>", "utf-8")
    return path


def settle(folder: Path, size: int) -> None:
    """Make every contender meet the same machine: the source in the page cache, free pages really there.

    A virtual machine gives pages back that lie idle; whoever touches them next pays for getting them again, which
    would be the first contender of every round.
    """
    scratch = folder / "scratch"
    block = bytes(1 << 24)
    with scratch.open("wb") as file:
        for _ in range(0, 2 * size, len(block)):
            file.write(block)
    scratch.unlink()
    with (folder / "scene.tif").open("rb") as file:
        while file.read(1 << 24):
            pass


def measure(source: Path, folder: Path, *, rounds: int, only: list[str] | None) -> list[Runs]:
    """Run the contenders in turn, `rounds` times; slow ones once."""
    contenders = {k: v for k, v in commands(source, folder).items() if not only or k in only}
    rows = {name: Runs(name) for name in contenders}
    for number in range(rounds):
        for name, (command, target) in contenders.items():
            row = rows[name]
            if row.note or (number and name in SLOW):
                continue
            if name in MODULES and importlib.util.find_spec(MODULES[name]) is None:
                row.note = "not installed"
                continue
            settle(folder, (folder / "scene.tif").stat().st_size)
            wall, cpu, rss, error = run(command)
            if error:
                row.note = f"failed: {error[:120]}"
            else:
                row.wall.append(wall)
                row.cpu.append(cpu)
                row.rss.append(rss)
                row.output = size_mb(target)
            for left in (target, folder / "o.zarr"):
                if left.is_dir():
                    shutil.rmtree(left)
                left.unlink(missing_ok=True)
            print(f"{name}: {wall:.2f} s, CPU {cpu:.2f} s, {rss:.0f} MB {error}", file=sys.stderr)
    return list(rows.values())


if __name__ == "__main__":
    main()

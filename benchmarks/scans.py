"""A CT against its peers: `python -m benchmarks.scans [--folder SERIES] [--slices 600] [--rounds 3] [--cube 1024]`.

Reads all pixels of a DICOM series into memory, and makes a finished pyramid of it. Contenders run interleaved on a warm
page cache, each in a process of its own; readers are timed after a first read of two slices, so that imports do not
count, pyramids as whole processes. `--cube N` also ingests an
uncompressed MetaImage of N×N×N uint16 voxels, for its memory. Peers: `pip install SimpleITK ome-zarr`.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Runs, machine, run, size_mb, table
from fixtures.phantom import ct_series


def read_bigimage(folder: Path) -> None:
    """Assemble, and read all voxels."""
    from bigimage.sources.dicom import open as open_dicom
    from bigimage.sources.door import OpenOptions

    (source,) = open_dicom([folder], image="scan", options=OpenOptions())
    source.read(source.info.grid.box)


def read_simpleitk(folder: Path) -> None:
    """SimpleITK's series reader, which finds and sorts the files."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.Execute()


def read_pydicom(folder: Path) -> None:
    """pydicom, file by file, stacked."""
    import pydicom

    slices = sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda ds: ds.ImagePositionPatient[2])
    np.stack([ds.pixel_array for ds in slices])


def read_bytes(folder: Path) -> None:
    """What no reader can beat: the bytes of all files, read into one block."""
    paths = sorted(folder.iterdir())
    size = max(path.stat().st_size for path in paths)
    block = np.empty((len(paths), size), np.uint8)
    for path, row in zip(paths, block, strict=True):
        with path.open("rb", buffering=0) as file:
            file.readinto(row)  # type: ignore[attr-defined]


def ingest_simpleitk(folder: Path, target: Path) -> None:
    """SimpleITK and ome-zarr-py: a pyramid of chunks of 64, as their documentation shows it."""
    import SimpleITK as sitk
    import zarr
    from ome_zarr.writer import write_image

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    array = sitk.GetArrayFromImage(reader.Execute())
    write_image(array, zarr.open_group(str(target), mode="w"), axes="zyx", storage_options={"chunks": (64, 64, 64)})


READERS: dict[str, Callable[[Path], None]] = {
    "bigimage": read_bigimage,
    "SimpleITK": read_simpleitk,
    "pydicom": read_pydicom,
    "bytes only": read_bytes,
}


def read_in_turn(series: Path, work: Path, *, rounds: int) -> list[Runs]:
    """Seconds and memory of each reader, as told by its process."""
    two = ct_series(work / "two", slices=2, size=64)
    rows = {name: Runs(name) for name in READERS}
    for _ in range(rounds):
        for name, row in rows.items():
            command = [sys.executable, "-m", "benchmarks.scans", "--read", name, "--folder", str(series)]
            done = subprocess.run([*command, "--first", str(two)], check=True, capture_output=True, text=True)
            wall, cpu, peak = map(float, done.stdout.split())
            row.wall.append(wall)
            row.cpu.append(cpu)
            row.rss.append(peak)
            print(f"{name}: {wall:.3f} s, CPU {cpu:.3f} s, {peak:.0f} MB", file=sys.stderr)
    return list(rows.values())


def timed_read(name: str, first: Path, series: Path) -> None:
    """Print wall seconds, CPU seconds and peak MB of a read, after a small one."""
    READERS[name](first)
    wall, cpu = time.perf_counter(), time.process_time()
    READERS[name](series)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def interleaved(commands: dict[str, list[str]], outputs: dict[str, Path], *, rounds: int) -> list[Runs]:
    """Run contenders in turn."""
    rows = {name: Runs(name) for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            wall, cpu, rss, error = run(command)
            row = rows[name]
            if error:
                row.note = f"failed: {error[:120]}"
                continue
            row.wall.append(wall)
            row.cpu.append(cpu)
            row.rss.append(rss)
            if (target := outputs.get(name)) is not None:
                row.output = size_mb(target)
                shutil.rmtree(target)
            print(f"{name}: {wall:.2f} s, CPU {cpu:.2f} s, {rss:.0f} MB", file=sys.stderr)
    return list(rows.values())


def compare(series: Path, work: Path, *, rounds: int) -> None:
    """Print both tables."""
    me = [sys.executable, "-m", "benchmarks.scans"]
    megabytes = sum(path.stat().st_size for path in series.iterdir()) / 1e6
    read_bytes(series)  # into the page cache
    print(f"\nRead all pixels of {len(list(series.iterdir()))} files, {megabytes:.0f} MB; {machine()}\n")
    print(table(read_in_turn(series, work, rounds=rounds), source_mb=megabytes, reference="bigimage"))
    outputs = {"bigimage": work / "ws", "SimpleITK + ome-zarr-py": work / "peer.zarr"}
    ingests = {
        "bigimage": [sys.executable, "-m", "bigimage", "--workspace", str(work / "ws"), "ingest", str(series)],
        "SimpleITK + ome-zarr-py": [*me, "--peer", str(outputs["SimpleITK + ome-zarr-py"]), "--folder", str(series)],
    }
    print(f"\nFiles to finished pyramid; {machine()}\n")
    print(table(interleaved(ingests, outputs, rounds=rounds), source_mb=megabytes, reference="bigimage"))


def cube(side: int, work: Path) -> None:
    """Ingest a MetaImage of side³ uint16 voxels."""
    raw = work / "cube.raw"
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side))
    with raw.open("wb") as file:
        for z in range(side):
            plane = 2000 + 900 * np.sin(x / 60) * np.cos(y / 90) * np.sin(z / 75) + rng.integers(0, 64, (side, side))
            file.write(plane.astype("<u2").tobytes())
    header = work / "cube.mhd"
    header.write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = {side} {side} {side}\nElementType = MET_USHORT\n"
        "ElementSpacing = 0.5 0.5 0.5\nElementByteOrderMSB = False\nElementDataFile = cube.raw\n"
    )
    command = [sys.executable, "-m", "bigimage", "--workspace", str(work / "cube"), "ingest", str(header)]
    rows = interleaved({"bigimage": command}, {"bigimage": work / "cube"}, rounds=1)
    print(f"\n{side}×{side}×{side} uint16; {machine()}\n")
    print(table(rows, source_mb=side**3 * 2 / 1e6, reference="bigimage"))


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a DICOM series [default: a synthetic one is made]")
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cube", type=int, help="also ingest a cube of so many voxels along each side")
    parser.add_argument("--read", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        timed_read(options.read, options.first, options.folder)
        return
    if options.peer:
        ingest_simpleitk(options.folder, options.peer)
        return
    subprocess.run([sys.executable, "-m", "bigimage", "doctor", "--compile"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        series = options.folder or ct_series(work / "ct", slices=options.slices)
        compare(series, work, rounds=options.rounds)
        if options.cube:
            cube(options.cube, work)


if __name__ == "__main__":
    main()

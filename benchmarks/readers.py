"""Exports read back by the tools that they are for: datumaro, Label Studio's SDK, geoparquet-io, pystac.

    python -m benchmarks.readers [--venv DIR]

These libraries pull in half a gigabyte and pin versions of their own, so they live in an environment of theirs, made
where it is not there (`make readers`), and `benchmarks/readers_sdk.py` runs in it. Prints what each of them found, and
fails where that is not what was written.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from bigimage import open_workspace
from bigimage.exchange.chips import ChipOptions
from bigimage.model.mask import Mask
from bigimage.model.outline import outline
from bigimage.workspace import Workspace
from fixtures.make import scene

HERE = Path(__file__).parent
CHIPS = ("coco", "coco-panoptic", "yolo", "voc", "cvat", "datumaro")
WHOLE = {"labelstudio": "labels.json", "geoparquet": "labels.parquet", "stac": "stac", "coco": "coco.json"}


def draw(folder: Path) -> Workspace:
    """A scene with polygons, some with holes, that lie apart, and a mask."""
    space = open_workspace(folder / "ws")
    space.ingest(scene(folder / "scene.tif", size=(512, 384)), name="scene")
    labels = [{"name": "ship", "value": 1}, {"name": "small boat", "value": 4}]
    space.annotations.set_schema({"labels": labels})
    grid = space.image("scene").info.grid
    for k in range(24):
        corner = np.array([(k // 6) * 64.0 + 8, (k % 6) * 56.0 + 8])
        ring, hole = [[0, 0], [0, 40], [30, 40], [30, 5]], [[6, 8], [6, 20], [20, 20]]
        holes = [grid.to_world(corner + np.array(hole))] if k % 2 else []
        polygon = shapely.Polygon(grid.to_world(corner + np.array(ring)), holes)
        space.annotations.add("scene", polygon, label=labels[k % 2]["name"])
    bits = np.ones((20, 30), np.bool_)
    bits[5:10, 5:20] = False
    space.annotations.add("scene", Mask.of(grid, bits, (300, 20)), label="ship")
    return space


def expected(space: Workspace) -> dict[str, Any]:
    """Number of annotations of each label, and their area in pixels."""
    grid = space.image("scene").info.grid
    out: dict[str, Any] = {}
    for annotation in space.annotations.query("scene"):
        entry = out.setdefault(annotation.label, {"count": 0, "area": 0.0})
        entry["count"] += 1
        shape = annotation.shape
        area = shape.count if isinstance(shape, Mask) else shapely.transform(outline(shape), grid.to_index).area
        entry["area"] += float(area)
    return out


def make_environment(venv: Path) -> Path:
    """Python of the environment of the readers."""
    python, made, wanted = venv / "bin" / "python", venv / "made", HERE / "readers.txt"
    if not made.exists() or made.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], check=True)
        # its own pin is one patch ahead of the extension that package registries have
        extension = ["duckdb==1.5.5", "duckdb-extension-spatial==1.5.5", "duckdb-extensions"]
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *extension], check=True)
        made.write_text(wanted.read_text())
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=Path(".venv-readers"))
    arguments = parser.parse_args()
    python = make_environment(arguments.venv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        space = draw(folder)
        for format in CHIPS:
            # one chip holds all, so that nothing is cut and areas can be compared
            options = ChipOptions(size=512, val=0.0)
            space.export_chips("scene", format=format, output=folder / "chips" / format, options=options)
        for format, file in WHOLE.items():
            made = space.export("scene", format=format, output=folder / file)
            (folder / f"{format}.report.json").write_text(json.dumps(made.report))
        (folder / "expected.json").write_text(json.dumps(expected(space)))
        space.close()
        done = subprocess.run([python, HERE / "readers_sdk.py", folder], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()

"""Masks of other tools, imported from the command line onto the scan and the scene that they belong to."""

import json
from pathlib import Path

import numpy as np
import rasterio
from click.testing import CliRunner

from bigimage.cli import cli
from bigimage.formats.door import Report
from bigimage.formats.mask import FORMATS
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.masks import SCHEMA, context_of, labels, stream
from tests.scanning import ct_series, save


def run(workspace: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["--workspace", str(workspace), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_segmentation_of_a_scan(tmp_path: Path) -> None:
    _, slices = ct_series("oblique")
    folder = tmp_path / "ct"
    folder.mkdir()
    save(slices, folder)
    space = tmp_path / "space"
    run(space, "ingest", str(folder), "--name", "ct")
    workspace = open_workspace(settings=Settings(workspace=space, workers=1))
    info = workspace.image("ct").info
    context = context_of(info.grid, extra=info.extra)
    path = tmp_path / "liver.dcm"
    FORMATS["dicom-seg"].write(path, stream(labels(), info.grid), context=context, report=Report(), options={})
    told = json.loads(run(space, "import", "ct", str(path), "--json"))
    assert told["added"] == 3
    stored = {a.label: a.shape for a in workspace.annotations.query("ct")}
    assert {name: shape.count for name, shape in stored.items()} == {
        label.name: int((labels() == label.value).sum()) for label in SCHEMA.labels
    }
    assert json.loads(run(space, "import", "ct", str(path), "--json"))["unchanged"] == 3
    renamed = path.rename(tmp_path / "IM000001")
    assert json.loads(run(space, "import", "ct", str(renamed), "--json"))["unchanged"] == 3


def test_labels_of_a_file_become_those_of_the_schema(tmp_path: Path) -> None:
    _, slices = ct_series("axial")
    (tmp_path / "ct").mkdir()
    save(slices, tmp_path / "ct")
    space = tmp_path / "space"
    run(space, "ingest", str(tmp_path / "ct"), "--name", "ct")
    workspace = open_workspace(settings=Settings(workspace=space, workers=1))
    grid = workspace.image("ct").info.grid
    path = tmp_path / "organs.seg.nrrd"
    mask = stream(labels(), grid)
    FORMATS["seg-nrrd"].write(path, mask, context=context_of(grid), report=Report(), options={})
    run(space, "import", "ct", str(path), "--extend-schema")
    found = workspace.annotations.schema().labels
    assert [(x.name, x.value, x.color, x.code) for x in found] == [
        (x.name, x.value, x.color, x.code) for x in sorted(SCHEMA.labels, key=lambda x: x.name)
    ]
    workspace.rasterize("ct")
    made = workspace.export("ct", layer="semantic", format="seg-nrrd", output=tmp_path / "again.seg.nrrd")
    again = FORMATS["seg-nrrd"].read(made.path, context=context_of(grid), report=Report(), options={})
    assert np.array_equal(again.read(0, grid.box), labels())


def test_label_raster_of_a_scene(tmp_path: Path) -> None:
    array = np.zeros((300, 400), np.uint8)
    array[20:90, 30:200], array[150:160, 300:310] = 1, 1
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    for name, pixels in (("scene", array * 90), ("labels", array)):
        with rasterio.open(
            *(tmp_path / f"{name}.tif", "w"), driver="GTiff", height=300, width=400, count=1, dtype="uint8", **place
        ) as target:
            target.write(pixels, 1)
    space = tmp_path / "space"
    run(space, "ingest", str(tmp_path / "scene.tif"))
    told = json.loads(run(space, "import", "scene", str(tmp_path / "labels.tif"), "-o", "as=outlines", "--json"))
    assert told["added"] == 2
    workspace = open_workspace(settings=Settings(workspace=space, workers=1))
    areas = sorted(a.shape.geometry.area for a in workspace.annotations.query("scene"))
    assert areas == [10 * 10 * 100, 70 * 170 * 100]

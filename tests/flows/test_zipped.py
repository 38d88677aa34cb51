"""Archives of every format that is made of folders are imported by the command line as by the server."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from bigimage import Workspace, open_workspace
from bigimage.archives import pack_folder
from bigimage.exchange.chips import ChipOptions
from fixtures.make import scene
from tests.flows.test_cli import Run, run  # noqa: F401 - a fixture

FOLDERS = ("yolo", "yolo-seg", "yolo-obb", "voc", "cvat", "datumaro", "labelme", "labelstudio", "coco", "coco-panoptic")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = open_workspace(tmp_path / "bigimage-workspace")
    found.ingest(scene(tmp_path / "scene.tif", size=(300, 200)), name="scene")
    found.annotations.set_schema({"labels": [{"name": "ship", "value": 1}, {"name": "pier", "value": 2}]})
    grid = found.image("scene").info.grid
    for k in range(4):
        corners = [[10 + 25 * k, 10], [10 + 25 * k, 30], [30 + 25 * k, 30], [30 + 25 * k, 10]]
        found.annotations.add("scene", shapely.Polygon(grid.to_world(corners)), label=("ship", "pier")[k % 2])
    return found


@pytest.mark.parametrize("format", FOLDERS)
def test_chips_in_an_archive_are_imported_chip_by_chip(
    workspace: Workspace,
    tmp_path: Path,
    run: Run,  # noqa: F811 - the fixture
    format: str,
) -> None:
    options = ChipOptions(size=256, val=0.0, empty=False)
    made = workspace.export_chips(["scene"], format=format, output=tmp_path / "chips", options=options)
    archive = pack_folder(made.path)
    workspace.close()
    # their ids are those of the scene, where the format keeps ids: they are for another workspace
    (tmp_path / "bigimage-workspace").rename(tmp_path / "source")
    picture = next(p for p in sorted(made.path.rglob("*.png")) if "panoptic" not in str(p))
    assert run("ingest", picture, "--name", "chip").status == 0
    done = run("import", "chip", archive, "--json", "-o", f"page={picture.name}")
    assert done.status == 0, done.err
    told = done.json()
    assert told["added"] == told["report"]["written"] > 0
    again = run("import", "chip", archive, "--json", "-o", f"page={picture.name}").json()
    assert (again["added"], again["unchanged"]) == (0, told["added"])
    assert list((tmp_path / "bigimage-workspace" / "uploads").iterdir()) == []


def test_a_zipped_shapefile_is_imported(workspace: Workspace, tmp_path: Path, run: Run) -> None:  # noqa: F811
    shapes = [shapely.box(*a.shape.geometry.bounds) for a in workspace.annotations.query("scene")]  # pyright: ignore
    crs = workspace.image("scene").info.grid.frame.crs  # pyright: ignore[reportAttributeAccessIssue]
    (tmp_path / "delivery" / "Gebäude").mkdir(parents=True)
    frame: Any = geopandas.GeoDataFrame({"class": ["ship"] * len(shapes)}, geometry=shapes, crs=crs)
    frame.to_file(tmp_path / "delivery" / "Gebäude" / "Häuser.shp")
    (tmp_path / "delivery" / "readme.txt").write_text("hello")
    archive = pack_folder(tmp_path / "delivery")
    done = run("import", "scene", archive, "-o", "label-field=class")
    assert (done.status, done.out) == (0, "scene: revision 5 (4 added)\n")


def test_what_is_wrong_with_an_archive_is_told_in_one_line(
    workspace: Workspace,
    tmp_path: Path,
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/passwd", "x")
        archive.writestr("/root", "x")
    done = run("import", "scene", path)
    assert done.status == 1
    assert done.err.count("leads out of the archive") == 2
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", json.dumps({"type": "FeatureCollection", "features": [], "x": "0" * 100_000}))
    monkeypatch.setenv("BIGIMAGE_MAX_UPLOAD", "50000")
    assert "50000 at most are taken" in run("import", "scene", path).err
    path.write_bytes(path.read_bytes()[:-30])
    assert "it has no list of what it holds" in run("import", "scene", path).err
    assert workspace.annotations.store.revision("scene").number == 4  # pyright: ignore[reportOptionalMemberAccess]


def test_a_segmentation_in_an_archive_is_imported(tmp_path: Path, run: Run, shared_data: Path) -> None:  # noqa: F811
    folder = tmp_path / "study"
    folder.mkdir()
    for path in sorted((shared_data / "dicom/seg_liver/in").glob("*.dcm")):
        if path.name in ("01.dcm", "02.dcm", "03.dcm", "liver.dcm"):
            shutil.copy(path, folder / path.name)
    image = next(i["id"] for i in run("ingest", folder, "--json").json())
    done = run("import", image, pack_folder(folder), "--extend-schema", "--json")
    assert done.status == 0, done.err
    assert done.json()["added"] == 1

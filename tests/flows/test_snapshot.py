"""Snapshots: a state of the data that can be exported again, byte for byte."""

import json
from pathlib import Path

import pytest
import shapely

from bigimage import open_workspace
from bigimage.errors import Conflict, DataError, InputError, NotFound
from bigimage.workspace import Workspace
from fixtures.make import scene


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = open_workspace(tmp_path / "workspace")
    found.ingest(scene(tmp_path / "scene.tif", size=(120, 100)), name="scene")
    found.annotations.set_schema({"labels": [{"name": "ship", "value": 1}]})
    draw(found, 10)
    return found


def draw(workspace: Workspace, at: float) -> None:
    corners = workspace.image("scene").info.grid.to_world([[at, at], [at, at + 9], [at + 9, at + 9]])
    workspace.annotations.add("scene", shapely.Polygon(corners), label="ship")


def test_a_snapshot_is_exported_the_same_after_everything_changed(workspace: Workspace, tmp_path: Path) -> None:
    workspace.snapshot("v1")
    first = workspace.export("scene", format="coco", output=tmp_path / "a.json", snapshot="v1")
    draw(workspace, 30)
    labels = [{"name": "vessel", "value": 1, "formerly": ["ship"]}, {"name": "pier", "value": 2}]
    workspace.annotations.set_schema({"labels": labels})
    again = workspace.export("scene", format="coco", output=tmp_path / "b.json", snapshot="v1")
    now = workspace.export("scene", format="coco", output=tmp_path / "c.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (first.report["sha256"], first.report["snapshot"]) == (again.report["sha256"], "v1")
    assert now.report["sha256"] != first.report["sha256"]


def test_equal_states_have_equal_digests(workspace: Workspace) -> None:
    first, second = workspace.snapshot("a"), workspace.snapshot("b")
    draw(workspace, 40)
    third = workspace.snapshot("c")
    assert first.digest == second.digest != third.digest


def test_snapshots_never_change(workspace: Workspace, tmp_path: Path) -> None:
    workspace.snapshot("v1")
    with pytest.raises(Conflict, match="exists already"):
        workspace.snapshot("v1")
    path = workspace.path / "snapshots" / "v1.json"
    body = json.loads(path.read_text())
    body["images"]["scene"]["revision"] = 0
    path.write_text(json.dumps(body))
    with pytest.raises(DataError, match="was changed"):
        workspace.export("scene", format="coco", output=tmp_path / "a.json", snapshot="v1")


@pytest.mark.parametrize("name", ["", "../v1", ".hidden", "a/b", "x" * 101])
def test_names_that_are_no_files_are_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError, match="no name"):
        workspace.snapshot(name)


def test_what_a_snapshot_does_not_hold_is_not_found(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no snapshot"):
        workspace.export("scene", format="coco", output=tmp_path / "a.json", snapshot="never")
    workspace.snapshot("early")
    workspace.ingest(tmp_path / "scene.tif", name="later")
    with pytest.raises(NotFound, match="before image"):
        workspace.export("later", format="coco", output=tmp_path / "a.json", snapshot="early")

"""Annotations out to files and back in, from the command line and from Python."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import shapely

from bigimage import open_workspace
from bigimage.errors import Cancelled, Conflict, InputError, Unsupported
from bigimage.model.change import Removed
from bigimage.model.problem import Invalid
from bigimage.model.shape import Polygon
from bigimage.workspace import Workspace
from fixtures.make import scene


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = open_workspace(tmp_path / "workspace")
    found.ingest(scene(tmp_path / "scene.tif", size=(300, 200)), name="scene")
    found.annotations.set_schema({"labels": [{"name": "ship", "value": 1}, {"name": "pier", "value": 2}]})
    grid = found.image("scene").info.grid
    for k in range(5):
        corners = [[10 + 15 * k, 10], [10 + 15 * k, 25], [20 + 15 * k, 25]]
        found.annotations.add("scene", shapely.Polygon(grid.to_world(corners)), label=("ship", "pier")[k % 2])
    return found


def run(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bigimage", "--workspace", str(workspace.path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def export(workspace: Workspace, path: Path, format: str = "geojson", **more: Any) -> Any:
    return workspace.export("scene", format=format, output=path, **more)


def test_what_the_command_line_exports_it_imports_again_without_a_change(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    done = run(workspace, "export", "scene", "--format", "geojson", "--output", str(path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["written"], told["revision"], told["schema"]) == (5, 5, 1)
    report = json.loads(Path(told["report_path"]).read_text())
    assert (report["losses"], report["lossless"]) == ([], True)
    assert any("rounded to 9 decimals: they move by less than" in note for note in report["notes"])
    back = run(workspace, "import", "scene", str(path), "--json")
    assert back.returncode == 0, back.stderr
    assert {k: json.loads(back.stdout)[k] for k in ("revision", "unchanged", "added")} == {
        "revision": None,
        "unchanged": 5,
        "added": 0,
    }


def test_an_edit_in_the_file_is_an_edit_of_that_annotation_alone(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    export(workspace, path)
    document = json.loads(path.read_text())
    feature = document["features"][2]
    feature["properties"]["label"] = "pier"
    path.write_text(json.dumps(document))
    done = workspace.import_file("scene", path, author="editor")
    assert (done.changed, done.unchanged, done.added) == (1, 4, 0)
    edited = workspace.annotations.history(workspace.annotations.get(_id(feature)).id)
    assert [logged.version for logged in edited] == [1, 2]
    assert edited[-1].revision.author == "editor"


def _id(feature: dict[str, Any]) -> Any:
    from uuid import UUID

    return UUID(feature["id"])


def test_what_was_removed_stays_removed(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    export(workspace, path)
    first = next(workspace.annotations.query("scene"))
    workspace.annotations.apply("scene", [Removed(first.id, first.version)])
    done = workspace.import_file("scene", path)
    assert (done.removed, done.unchanged, done.revision) == (1, 4, None)


def test_a_lossy_file_of_ours_does_not_degrade_what_is_stored(workspace: Workspace, tmp_path: Path) -> None:
    grid = workspace.image("scene").info.grid
    ring, hole = ([[a, a], [a, b], [b, b], [b, a]] for a, b in ((40, 90), (50, 60)))
    holed = shapely.Polygon(grid.to_world(ring), [grid.to_world(hole)])
    (added,) = workspace.annotations.add("scene", holed, label="ship")
    path = tmp_path / "out.json"
    made = export(workspace, path, "coco")
    assert made.report["lossless"] is False
    done = workspace.import_file("scene", path)
    assert (done.changed, done.unchanged) == (0, 6)
    assert workspace.annotations.get(added.id).shape == Polygon(holed)


def test_a_file_with_problems_is_refused_whole_and_with_all_of_them(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "bad.geojson"
    square = [[[0, 0], [0, 1], [1, 1], [0, 0]]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}, "properties": {"label": "whale"}},
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0]]]},
            "properties": {"label": "ship"},
        },
        {"type": "Nonsense"},
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(Invalid) as refused:
        workspace.import_file("scene", path, options={"crs": "native"})
    kinds = {problem.kind for problem in refused.value.details}
    assert {"label", "ring", "type"} <= kinds
    assert len(list(workspace.annotations.query("scene"))) == 5
    told = run(workspace, "import", "scene", str(path), "-o", "crs=native")
    assert told.returncode == 1
    assert "whale" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_file_by_others_is_taken_in_on_request_with_its_labels_and_faulty_areas(
    workspace: Workspace, tmp_path: Path
) -> None:
    grid = workspace.image("scene").info.grid
    bow = grid.to_world([[10, 10], [30, 30], [30, 10], [10, 30], [10, 10]]).tolist()
    line = grid.to_world([[10, 10], [30, 30], [20, 20], [10, 10]]).tolist()
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"label": "whale", "attributes": {"age": 3}},
        }
        for ring in (bow, line)
    ]
    path = tmp_path / "theirs.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    plain = run(workspace, "import", "scene", str(path), "-o", "crs=native")
    assert plain.returncode == 1
    assert "repair mends" in plain.stderr
    assert "extend-schema adds" in plain.stderr
    strict = run(workspace, "import", "scene", str(path), "-o", "crs=native", "--repair", "--extend-schema", "--strict")
    assert strict.returncode == 1
    assert workspace.annotations.schema().version == 1

    taken = run(workspace, "import", "scene", str(path), "-o", "crs=native", "--repair", "--extend-schema", "--json")
    told = json.loads(taken.stdout)
    assert told["added"] == 1
    assert {loss["kind"] for loss in told["report"]["losses"]} == {"approximated", "dropped"}
    (whale,) = [a for a in workspace.annotations.query("scene") if a.label == "whale"]
    assert whale.attributes == {"age": 3}
    assert whale.schema == 2
    assert [(one.name, one.value) for one in workspace.annotations.schema().labels][-1] == ("whale", 3)
    again = workspace.import_file("scene", path, options={"crs": "native"}, repair=True, extend_schema=True)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 1)
    assert workspace.annotations.schema().version == 2


def test_what_lies_beside_the_image_is_left_out_on_request(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "city.geojson"
    export(workspace, path, options={"crs": "native"})
    document = json.loads(path.read_text())
    x, y = workspace.image("scene").info.grid.to_world([-900, 50])
    away = {**document["features"][0], "id": str(uuid4())}
    away["geometry"] = {"type": "Point", "coordinates": [x, y]}
    document["features"].append(away)
    path.write_text(json.dumps(document))
    with pytest.raises(Invalid, match="outside=drop leaves out"):
        workspace.import_file("scene", path)
    done = workspace.import_file("scene", path, options={"outside": "drop"})
    assert (done.unchanged, done.added) == (5, 0)
    assert [(loss["what"], loss["count"]) for loss in done.report["losses"]] == [("outside", 1)]
    with pytest.raises(InputError, match="neither refuse nor drop"):
        workspace.import_file("scene", path, options={"outside": "keep"})


def test_a_strict_export_that_loses_something_writes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    # 20 km in pixels of 10 m: the middle of an edge lies beside where the globe has it
    x, y = workspace.image("scene").info.grid.to_world([100, 100])
    workspace.annotations.add("scene", shapely.box(x, y, x + 20_000, y + 100), label="pier")
    with pytest.raises(Unsupported, match="bent"):
        export(workspace, path, strict=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.tif", "workspace"]
    export(workspace, path, strict=True, options={"crs": "native"})
    assert path.exists()


def test_an_export_that_is_stopped_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    many = [
        shapely.Point(p) for p in workspace.image("scene").info.grid.to_world([[k % 190, k % 180] for k in range(700)])
    ]
    workspace.annotations.add("scene", *many, label="ship")
    before = tmp_path / "out.geojson"
    before.write_text("what was there")
    with pytest.raises(Cancelled):
        export(workspace, before, stop=lambda: True)
    assert before.read_text() == "what was there"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.geojson", "scene.tif", "workspace"]


def test_a_folder_in_the_way_is_not_replaced(workspace: Workspace, tmp_path: Path) -> None:
    export(workspace, tmp_path / "set", "yolo")
    with pytest.raises(Conflict, match="folder"):
        export(workspace, tmp_path / "set", "yolo")


def test_a_region_holds_what_touches_it(workspace: Workspace, tmp_path: Path) -> None:
    regions = workspace.split_regions("scene", size=100)
    made = export(workspace, tmp_path / "all.geojson", region=regions[0].id)
    far = export(workspace, tmp_path / "far.geojson", region=regions[-1].id)
    assert (made.report["written"], far.report["written"]) == (5, 0)


def test_an_earlier_state_is_exported_as_it_was(workspace: Workspace, tmp_path: Path) -> None:
    then = export(workspace, tmp_path / "a.geojson", at=3)
    workspace.annotations.add("scene", shapely.Point(workspace.image("scene").info.grid.to_world([5, 5])), label="ship")
    again = export(workspace, tmp_path / "b.geojson", at=3)
    assert then.report["written"] == 3
    assert then.report["sha256"] == again.report["sha256"]

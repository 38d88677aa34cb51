"""Painting from Python and from the command line, on an image with pixels."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from bigimage.cli import cli
from bigimage.errors import Conflict, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.workspace import Workspace, open_workspace
from tests.painting import SCHEMA


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    source = tmp_path / "town.tif"
    place = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    with rasterio.open(
        source, "w", "GTiff", width=400, height=300, count=1, dtype="uint8", crs="EPSG:32633", transform=place
    ) as file:
        file.write(np.full((1, 300, 400), 9, np.uint8))
    made = open_workspace(tmp_path / "workspace")
    made.ingest(source)
    made.annotations.set_schema(SCHEMA)
    made.annotations.add("town", shapely.box(500_005, 4_999_980, 500_010, 4_999_990), label="house")
    yield made
    made.close()


def run(workspace: Workspace, *words: str, status: int = 0) -> str:
    result = CliRunner().invoke(cli, ["--workspace", str(workspace.path), *words])
    assert (result.exit_code, type(result.exception)) == (status, type(None) if not status else SystemExit)
    return result.output


def test_a_layer_is_painted_listed_and_removed(workspace: Workspace) -> None:
    version = workspace.image("town").version
    layer = workspace.rasterize("town", workers=1)
    assert layer.pyramid.read_index(IndexBox((20, 10), (40, 20))).array.min() == 3
    assert [one.name for one in workspace.layers("town")] == ["semantic"]
    # a layer changes nothing about the pixels
    assert workspace.image("town").version == version
    workspace.remove_layer("town", "semantic")
    assert workspace.layers("town") == []
    with pytest.raises(NotFound, match="no mask layer 'semantic'"):
        workspace.layer("town", "semantic")


def test_regions_that_are_done_are_background(workspace: Workspace) -> None:
    first, *_ = workspace.split_regions("town", size=200)
    workspace.regions.claim(first.id, by="ann")
    workspace.regions.done(first.id, by="ann")
    pixels = workspace.rasterize("town").pyramid.read_index(IndexBox((0, 0), (300, 400))).array[0]
    expected = np.zeros((300, 400), np.uint8)
    expected[:200, :200] = 1
    expected[20:40, 10:20] = 3
    assert np.array_equal(pixels, expected)
    workspace.regions.release(first.id, by="ann")
    assert np.array_equal(np.asarray(workspace.layer("town", "semantic").pyramid.levels[0].array[:]), expected)
    assert np.array_equal(
        np.asarray(workspace.rasterize("town").pyramid.levels[0].array[:]), np.where(expected == 3, 3, 0)
    )


def test_a_removed_image_takes_its_layers_along(workspace: Workspace) -> None:
    workspace.rasterize("town")
    workspace.remove("town")
    with pytest.raises(NotFound):
        workspace.rasterize("town")


def test_following_ends_with_its_reader(workspace: Workspace) -> None:
    layers = workspace.follow("town", layer="live")
    assert next(layers).revision == 1
    with pytest.raises(Conflict, match="is being written by"):
        workspace.remove_layer("town", "live")
    layers.close()
    workspace.remove_layer("town", "live")


def test_the_command_tells_what_it_painted(workspace: Workspace) -> None:
    assert "town semantic: semantic, center, revision 1" in run(workspace, "rasterize", "town")
    told = json.loads(run(workspace, "rasterize", "town", "--layer", "touch", "--rule", "all-touched", "--json"))
    assert told["store"].endswith("images/town/labels/touch")
    assert {k: told[k] for k in ("image", "layer", "mode", "rule", "revision", "unknown")} == {
        "image": "town",
        "layer": "touch",
        "mode": "semantic",
        "rule": "all-touched",
        "revision": 1,
        "unknown": [],
    }
    assert "town is sound" in run(workspace, "validate", "town")


def test_layers_are_listed_with_the_labels_that_occur(workspace: Workspace) -> None:
    workspace.rasterize("town")
    workspace.rasterize("town", mode="panoptic")
    lines = run(workspace, "masks", "town").splitlines()
    assert lines[0].split() == ["layer", "mode", "rule", "revision", "labels"]
    assert lines[2].split() == ["semantic", "semantic", "center", "1", "of", "1", "house", "(3)"]
    (left,) = json.loads(run(workspace, "masks", "town", "--remove", "semantic", "--json"))
    assert (left["layer"], left["current"], left["bands"]) == ("panoptic", True, ["class", "instance"])
    assert left["classes"] == [{"value": 3, "name": "house", "color": "#ff0000"}]


def test_objects_are_told_by_their_annotations(workspace: Workspace) -> None:
    (other,) = workspace.annotations.add("town", shapely.box(500_050, 4_999_980, 500_060, 4_999_990), label="road")
    workspace.rasterize("town", mode="instance")
    told = json.loads(run(workspace, "instances", "town", "--json"))
    assert [one["label"] for one in told] == ["house", "road"]
    (one,) = json.loads(run(workspace, "instances", "town", "--id", "2", "--json"))
    assert one == {"id": 2, "annotation": str(other.id), "label": "road", "value": 9, "version": 1}
    assert run(workspace, "instances", "town", "--annotation", str(other.id)).splitlines()[1].split()[0] == "2"
    workspace.rasterize("town")
    refused = CliRunner().invoke(cli, ["--workspace", str(workspace.path), "instances", "town", "--layer", "semantic"])
    assert isinstance(refused.exception, NotFound)


def test_labels_that_the_schema_does_not_know_are_told(workspace: Workspace) -> None:
    kept = SCHEMA.labels[:1]
    workspace.annotations.set_schema(type(SCHEMA)(labels=kept))
    assert "label 'house' is not in the schema" in run(workspace, "rasterize", "town")

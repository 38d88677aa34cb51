"""Chips: what is in the pictures is what is in the image, and no split sees another."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pycocotools.coco import COCO

from bigimage import open_workspace
from bigimage.errors import InputError, Unsupported
from bigimage.exchange.chips import ChipOptions, assign, plan_chips
from bigimage.exchange.output import digest
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.workspace import Workspace
from fixtures.make import scene

OPTIONS = {"size": 64, "overlap": 16, "block": 2, "val": 0.3, "test": 0.2}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("chips")
    found = open_workspace(folder / "workspace")
    found.ingest(scene(folder / "scene.tif", size=(500, 420)), name="scene")
    grid = found.image("scene").info.grid
    rng = np.random.default_rng(3)
    for k in range(60):
        y, x = rng.integers(5, (380, 460) if grid.shape[0] < grid.shape[1] else (460, 380))
        corners = np.array([[y, x], [y, x + 20], [y + 14, x + 20], [y + 14, x]], dtype=float)
        found.annotations.add("scene", shapely.Polygon(grid.to_world(corners)), label="ship" if k % 4 else "rare")
    return found


def chips(workspace: Workspace, output: Path, format: str, **more: Any) -> list[dict[str, Any]]:
    workspace.export_chips("scene", format=format, output=output, options=ChipOptions(**{**OPTIONS, **more}))
    return json.loads((output / "chips.json").read_text())["chips"]


def test_pictures_hold_the_pixels_of_the_image(workspace: Workspace, tmp_path: Path) -> None:
    whole = workspace.image("scene").read_index(workspace.image("scene").info.grid.box).array
    for pictures in ("png", "npy"):
        for chip in chips(workspace, tmp_path / pictures, "coco", pictures=pictures)[:6]:
            path = tmp_path / pictures / "images" / chip["split"] / chip["name"]
            array = np.load(path) if pictures == "npy" else np.moveaxis(np.asarray(Image.open(path)), -1, 0)
            (y0, x0), (y1, x1) = chip["start"], chip["stop"]
            assert np.array_equal(array, whole[:, y0:y1, x0:x1])


def test_geotiffs_lie_where_the_image_lies(workspace: Workspace, tmp_path: Path) -> None:
    chip = chips(workspace, tmp_path / "tif", "coco", pictures="tif")[3]
    with rasterio.open(tmp_path / "tif" / "images" / chip["split"] / chip["name"]) as file:
        grid = workspace.image("scene").info.grid.crop(IndexBox(tuple(chip["start"]), tuple(chip["stop"])))
        assert tuple(file.transform)[:6] == pytest.approx(grid.transform)
        assert str(file.crs) == str(grid.frame)


def test_no_two_splits_share_a_pixel(workspace: Workspace, tmp_path: Path) -> None:
    made = chips(workspace, tmp_path / "set", "coco")
    seen = {split: np.zeros(workspace.image("scene").info.grid.shape, bool) for split in ("train", "val", "test")}
    for chip in made:
        (y0, x0), (y1, x1) = chip["start"], chip["stop"]
        seen[chip["split"]][y0:y1, x0:x1] = True
    assert all(mask.any() for mask in seen.values())
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not (seen[first] & seen[second]).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and NumPy 2
def test_pycocotools_reads_each_split_and_finds_its_pictures(workspace: Workspace, tmp_path: Path) -> None:
    chips(workspace, tmp_path / "set", "coco")
    total = 0
    for split in ("train", "val", "test"):
        coco = COCO(str(tmp_path / "set" / "annotations" / f"instances_{split}.json"))
        for image in coco.loadImgs(coco.getImgIds()):
            assert (tmp_path / "set" / "images" / split / image["file_name"]).is_file()
        for annotation in coco.loadAnns(coco.getAnnIds()):
            total += 1
            assert coco.annToMask(annotation).sum() == pytest.approx(annotation["area"], rel=0.25, abs=8)
    assert total > 20


def test_yolo_lies_as_its_trainers_expect(workspace: Workspace, tmp_path: Path) -> None:
    made = chips(workspace, tmp_path / "set", "yolo-seg")
    for chip in made:
        text = tmp_path / "set" / "labels" / chip["split"] / Path(chip["name"]).with_suffix(".txt")
        rows = [[float(v) for v in line.split()] for line in text.read_text().splitlines()]
        assert len(rows) == chip["annotations"]
        assert all(0 <= v <= 1 for row in rows for v in row[1:])


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_splits(workspace: Workspace, tmp_path: Path) -> None:
    first = chips(workspace, tmp_path / "a", "coco")
    chips(workspace, tmp_path / "b", "coco")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    other = chips(workspace, tmp_path / "c", "coco", seed=5)
    assert {(c["name"], c["split"]) for c in first} != {(c["name"], c["split"]) for c in other}


def test_chips_nobody_reviewed_are_left_out_and_empty_ones_on_request(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "workspace")
    space.ingest(scene(tmp_path / "scene.tif", size=(200, 200)), name="scene")
    grid = space.image("scene").info.grid
    space.annotations.add("scene", shapely.Polygon(grid.to_world([[5, 5], [5, 30], [30, 30]])), label="ship")
    first, *_ = space.split_regions("scene", size=100)
    space.regions.claim(first.id, by="ann")
    space.regions.done(first.id, by="ann")
    only = {"size": 50, "overlap": 0, "val": 0.0, "test": 0.0}
    done = chips(space, tmp_path / "done", "yolo", **only)
    assert {tuple(c["start"]) for c in done} == {(0, 0), (0, 50), (50, 0), (50, 50)}
    every = chips(space, tmp_path / "all", "yolo", unreviewed=True, **only)
    assert len(every) == 16
    # an empty text says that there is nothing; where nobody looked there is none
    assert len(list((tmp_path / "all" / "labels").rglob("*.txt"))) == 4
    assert [c["annotations"] for c in chips(space, tmp_path / "some", "yolo", empty=False, **only)] == [1]


def test_every_label_gets_its_part_of_each_split() -> None:
    squares = {(y, x): {"common": 4, **({"rare": 2} if (x + y) % 5 == 0 else {})} for y in range(10) for x in range(10)}
    splits = assign(squares, ChipOptions(val=0.2, test=0.1))
    for label in ("common", "rare"):
        total = sum(c.get(label, 0) for c in squares.values())
        for split, part in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
            have = sum(c.get(label, 0) for s, c in squares.items() if splits[s] == split)
            assert have / total == pytest.approx(part, abs=0.06)


def test_chips_cover_every_pixel_once_more_at_overlaps() -> None:
    for shape, size, overlap in (((100, 130), 64, 0), ((100, 130), 64, 16), ((40, 1000), 64, 63), ((64, 64), 64, 8)):
        seen = np.zeros(shape, int)
        for chip in plan_chips(
            Grid.pixels(shape, "a"), ChipOptions(size=size, overlap=overlap), reviewed=None, name="a"
        ):
            seen[chip.box.slices] += 1
        assert seen.min() >= 1
        assert overlap or seen.max() == 1


def test_what_makes_no_sense_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        ChipOptions(size=64, overlap=64)
    with pytest.raises(InputError):
        ChipOptions(val=0.7, test=0.3)
    with pytest.raises(Unsupported, match="one image"):
        chips(workspace, tmp_path / "x", "geojson")
    with pytest.raises(Unsupported, match="PNG"):
        workspace.export_chips(
            "scene", format="coco", output=tmp_path / "x", options=ChipOptions(bands=(0, 1, 2, 0, 1))
        )
    assert not (tmp_path / "x").exists()

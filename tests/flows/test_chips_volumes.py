"""Chips of volumes and of several images: slices, slices with neighbours, blocks; splits that no patient shares."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import shapely
import zarr
from PIL import Image
from pycocotools.coco import COCO

from bigimage import open_workspace
from bigimage.errors import InputError, Unsupported
from bigimage.exchange.chips import ChipOptions
from bigimage.exchange.output import digest
from bigimage.geometry.frame import GeoFrame, PatientFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.shape import Cuboid, PlanarContours
from bigimage.workspace import Workspace
from fixtures.make import scene
from tests.pyramids import build

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and NumPy 2
SHAPE = (12, 40, 48)
LABELS = [{"name": "liver", "value": 3}, {"name": "tumour", "value": 7, "order": 1}]


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1500, SHAPE, dtype=np.int16)


def add_volume(space: Workspace, name: str, *, patient: str | None = None, seed: int = 0, **facts: Any) -> Grid:
    """A scan with a liver on slices 2 to 8, and a tumour in it on slices 4 to 6."""
    grid = Grid(SHAPE, ((0, 0, 0.8, -30), (0, 0.8, 0, -20), (2.5, 0, 0, 100)), PatientFrame(f"1.2.{seed + 1}"))
    extra = {"export": {"PatientID": patient}} if patient else {}
    path = space.path / "images" / name
    build(path, voxels(seed), axes=("z", "y", "x"), grid=grid, id=name, extra=extra, **facts)

    def ring(z: int, low: float, high: float) -> np.ndarray:
        corners = [[z + 0.5, low, low], [z + 0.5, low, high], [z + 0.5, high, high], [z + 0.5, high, low]]
        return grid.to_world(np.array(corners))

    space.annotations.add(name, PlanarContours.of([ring(z, 5, 30) for z in range(2, 9)]), label="liver")
    low, high = grid.to_world([[4, 10, 10], [7, 20, 20]])
    size = tuple(np.abs(high - low).tolist())
    space.annotations.add(name, Cuboid(tuple(((low + high) / 2).tolist()), size), label="tumour")
    return grid


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    found = open_workspace(tmp_path / "ws")
    found.annotations.set_schema({"labels": LABELS})
    return found


def chips(space: Workspace, images: Any, output: Path, format: str = "masks", **options: Any) -> list[dict[str, Any]]:
    made = space.export_chips(images, format=format, output=output, options=ChipOptions(**options))
    found = json.loads((output / "chips.json").read_text())["chips"]
    assert made.report["chips"] == len(found)
    return found


def truth() -> np.ndarray:
    out = np.zeros(SHAPE, np.uint8)
    out[2:9, 5:30, 5:30] = 3
    out[4:7, 10:20, 10:20] = 7
    return out


def test_blocks_and_their_labels_lie_where_the_scan_lies(space: Workspace, tmp_path: Path) -> None:
    grid = add_volume(space, "scan", patient="a")
    made = chips(space, "scan", tmp_path / "set", size=24, depth=5, pictures="nii")
    assert len(made) == 3 * 2 * 2
    whole, labels = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    for chip in made:
        part = tuple(slice(a, b) for a, b in zip(chip["start"], chip["stop"], strict=True))
        for folder, out in (("images", whole), ("labels", labels)):
            image = nibabel.load(tmp_path / "set" / folder / chip["split"] / chip["name"])
            out[part] = np.asarray(image.dataobj).transpose()
            # RAS of the middle of the first voxel
            due = grid.to_world(np.array(chip["start"]) + 0.5) * (-1, -1, 1)
            assert image.affine[:3, 3] == pytest.approx(due)
        assert chip["values"] == [v for v in (3, 7) if (truth()[part] == v).any()]
    assert np.array_equal(whole, voxels())
    assert np.array_equal(labels, truth())
    classes = json.loads((tmp_path / "set" / "classes.json").read_text())
    assert [(c["name"], c["value"]) for c in classes["labels"]] == [("liver", 3), ("tumour", 7)]


def test_slices_are_what_pycocotools_sees(space: Workspace, tmp_path: Path) -> None:
    add_volume(space, "scan", patient="a")
    made = chips(space, "scan", tmp_path / "set", "coco", size=64, window=(40, 400), val=0.0)
    assert [c["start"][0] for c in made] == list(range(12))
    coco = COCO(str(tmp_path / "set" / "annotations" / "instances_train.json"))
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    for chip, image in zip(made, coco.loadImgs(coco.getImgIds()), strict=True):
        z = chip["start"][0]
        picture = np.asarray(Image.open(tmp_path / "set" / "images" / "train" / image["file_name"]))
        due = np.clip((voxels()[z].astype(float) + 160) * 255 / 400, 0, 255)
        assert np.abs(picture - due).max() <= 0.5 + 1e-9
        found = {names[a["category_id"]]: coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))}
        expected = {name for name, value in (("liver", 3), ("tumour", 7)) if (truth()[z] == value).any()}
        assert set(found) == expected
        if "liver" in found:
            # the liver goes on below the tumour, each is whole
            assert np.array_equal(found["liver"].astype(bool), truth()[z] > 0)


def test_neighbours_are_channels_and_the_ends_repeat(space: Workspace, tmp_path: Path) -> None:
    add_volume(space, "scan", patient="a")
    made = chips(space, "scan", tmp_path / "set", "yolo-seg", size=64, neighbours=1, pictures="npy", val=0.0)
    for chip in made:
        z = chip["start"][0]
        array = np.load(tmp_path / "set" / "images" / "train" / chip["name"])
        due = voxels()[[max(z - 1, 0), z, min(z + 1, 11)]]
        assert np.array_equal(array, due)
    rows = (tmp_path / "set" / "labels" / "train" / made[5]["name"]).with_suffix(".txt").read_text().splitlines()
    assert sorted(row.split()[0] for row in rows) == ["0", "1"]


def test_pieces_of_slices_show_enough_of_what_they_name(space: Workspace, tmp_path: Path) -> None:
    add_volume(space, "scan", patient="a")
    few = {"size": 16, "val": 0.0, "pictures": "npy"}
    some = chips(space, "scan", tmp_path / "a", "coco", visible=0.2, **few)
    all_of_it = chips(space, "scan", tmp_path / "b", "coco", visible=0.0, **few)
    count = {k: sum(c["annotations"] for c in made) for k, made in (("some", some), ("all", all_of_it))}
    assert 0 < count["some"] < count["all"]
    assert len(chips(space, "scan", tmp_path / "c", "coco", empty=False, visible=0.0, **few)) < len(some)


def test_physical_values_are_written_where_stored_ones_are_scaled(space: Workspace, tmp_path: Path) -> None:
    add_volume(space, "scan", patient="a", value={"unit": "HU", "slope": 0.5, "intercept": -1024.0})
    chips(space, "scan", tmp_path / "set", size=64, depth=12, pictures="nii", val=0.0)
    (path,) = (tmp_path / "set" / "images").rglob("*.nii.gz")
    image = nibabel.load(path)
    stored = space.image("scan").read_index(space.image("scan").info.grid.box, physical=True).array[0]
    assert image.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(image.dataobj).transpose(), stored.astype(np.float32))


def test_no_patient_is_in_two_splits(space: Workspace, tmp_path: Path) -> None:
    for k in range(8):
        add_volume(space, f"scan{k}", patient=f"p{k // 2}", seed=k)
    add_volume(space, "nobody", seed=20)
    names = [*(f"scan{k}" for k in range(8)), "nobody"]
    made = chips(space, names, tmp_path / "set", size=64, pictures="npy", val=0.3, test=0.2)
    split = {chip["image"]: chip["split"] for chip in made}
    assert {chip["image"]: chip["split"] for chip in reversed(made)} == split
    assert all(split[f"scan{2 * k}"] == split[f"scan{2 * k + 1}"] for k in range(4))
    assert set(split.values()) == {"train", "val", "test"}
    report = json.loads((tmp_path / "set.report.json").read_text())
    assert any("nobody names no patient" in note for note in report["notes"])
    assert "p0" not in json.dumps(report) + (tmp_path / "set" / "chips.json").read_text()
    other = chips(space, names, tmp_path / "by", size=64, pictures="npy", val=0.3, split_by="image")
    assert len({c["image"] for c in other if c["split"] == "val"}) >= 2
    again = chips(space, names, tmp_path / "again", size=64, pictures="npy", val=0.3, test=0.2)
    assert (again, digest(tmp_path / "again")) == (made, digest(tmp_path / "set"))


def test_one_patient_cannot_be_shared_out(space: Workspace, tmp_path: Path) -> None:
    add_volume(space, "scan", patient="a")
    made = space.export_chips("scan", format="masks", output=tmp_path / "set", options=ChipOptions(pictures="npy"))
    assert any("nothing is left for val" in note for note in made.report["notes"])
    with pytest.raises(Unsupported, match="neighbouring slices"):
        chips(space, "scan", tmp_path / "x", pictures="npy", split_by="block")


@pytest.mark.parametrize(
    ("format", "options", "words"),
    [
        ("coco", {"depth": 4, "pictures": "npy"}, "blocks are written as masks"),
        ("masks", {"depth": 4, "pictures": "png", "window": (0, 100)}, "flat pictures"),
        ("masks", {"pictures": "png"}, "a window"),
        ("masks", {"neighbours": 1, "pictures": "nii"}, "one channel"),
        ("geojson", {"pictures": "npy"}, "one image"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    space: Workspace, tmp_path: Path, format: str, options: dict[str, Any], words: str
) -> None:
    add_volume(space, "scan", patient="a")
    with pytest.raises(Unsupported, match=words):
        chips(space, "scan", tmp_path / "set", format, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ws"]


def test_a_snapshot_gives_the_same_chips_for_ever(space: Workspace, tmp_path: Path) -> None:
    grid = add_volume(space, "scan", patient="a")
    space.snapshot("v1")
    how = {"format": "coco", "snapshot": "v1", "options": ChipOptions(size=64, pictures="npy")}
    space.export_chips("scan", output=tmp_path / "a", **how)
    low, high = grid.to_world([[0, 0, 0], [12, 9, 9]])
    space.annotations.add("scan", Cuboid(tuple(((low + high) / 2).tolist()), (4.0, 4.0, 4.0)), label="liver")
    space.annotations.set_schema({"labels": [*LABELS, {"name": "spleen", "value": 9}]})
    space.export_chips("scan", output=tmp_path / "b", **how)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert json.loads((tmp_path / "a" / "chips.json").read_text())["snapshot"] == "v1"


# ---- scenes


def test_zarr_arrays_hold_pixels_and_place(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "ws")
    space.ingest(scene(tmp_path / "scene.tif", size=(120, 100)), name="scene")
    grid = space.image("scene").info.grid
    space.annotations.set_schema({"labels": [{"name": "ship", "value": 5}]})
    space.annotations.add("scene", shapely.Polygon(grid.to_world([[5, 5], [5, 30], [30, 30]])), label="ship")
    chip = chips(space, "scene", tmp_path / "set", size=64, pictures="zarr", val=0.0)[0]
    image = zarr.open_array(tmp_path / "set" / "images" / "train" / chip["name"], mode="r")
    labels = zarr.open_array(tmp_path / "set" / "labels" / "train" / chip["name"], mode="r")
    assert (image.metadata.dimension_names, labels.metadata.dimension_names) == (("c", "y", "x"), ("y", "x"))
    assert image.attrs["affine"] == chip["affine"]
    assert np.array_equal(image[...], space.image("scene").read_index(np.s_[0:64, 0:64]).array)
    layer = space.rasterize("scene", layer="due")
    assert np.array_equal(labels[...], layer.pyramid.read_index(np.s_[0:64, 0:64]).array[0])


def test_the_same_land_is_in_one_split_however_often_it_was_seen(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "ws")
    frame = GeoFrame.of("EPSG:32633")
    # the second scene lies beside the first one's pixels, and upside down; the third is in another zone
    places = {
        "first": ((10.0, 0, 500_000, 0, -10.0, 5_000_000), frame),
        "later": ((9.0, 0, 500_133, 0, 9.0, 4_995_500), frame),
        "next": ((10.0, 0, 30_000, 0, -10.0, 5_005_000), GeoFrame.of("EPSG:32634")),
    }
    for name, (transform, crs) in places.items():
        grid = Grid.from_transform(transform, (400, 500), crs)
        build(space.path / "images" / name, np.zeros((1, *grid.shape), np.uint8), grid=grid, id=name)
    made = chips(space, list(places), tmp_path / "set", "coco", size=50, block=2, val=0.4, seed=3)
    lattice = Grid.from_transform(places["first"][0], (400, 500), frame)
    squares: dict[tuple[int, int], set[str]] = {}
    for chip in made:
        grid = Grid(tuple(np.subtract(chip["stop"], chip["start"]).tolist()), chip["affine"], places[chip["image"]][1])
        inside = grid.to_world(np.array([[5.0, 5.0], [45.0, 45.0], [5.0, 45.0], [45.0, 5.0]]))
        index = lattice.to_index(transform_points(inside, grid.frame, frame))
        for square in map(tuple, np.floor(index / 100).astype(int).tolist()):
            squares.setdefault(square, set()).add(chip["split"])
    assert {"first", "later", "next"} == {chip["image"] for chip in made}
    assert all(len(splits) == 1 for splits in squares.values())
    assert set.union(*squares.values()) == {"train", "val"}


def test_options_of_the_format_reach_it(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "ws")
    space.ingest(scene(tmp_path / "scene.tif", size=(100, 100)), name="scene")
    grid = space.image("scene").info.grid
    for at in (5, 40):
        corners = grid.to_world([[at, at], [at, at + 20], [at + 20, at + 20]])
        space.annotations.add("scene", shapely.Polygon(corners), label="field")
    how = {"format": "coco-panoptic", "options": ChipOptions(size=100, val=0.0)}
    space.export_chips("scene", output=tmp_path / "set", format_options={"stuff": "field"}, **how)
    document = json.loads((tmp_path / "set" / "annotations" / "panoptic_train.json").read_text())
    assert len(document["annotations"][0]["segments_info"]) == 1
    assert (tmp_path / "set" / "annotations" / "panoptic_train").is_dir()
    with pytest.raises(InputError, match="no option"):
        space.export_chips("scene", output=tmp_path / "x", format_options={"nonsense": "1"}, **how)


# ---- real scans


def test_blocks_of_a_real_scan_hold_the_volumes_of_its_structures(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom/rtstruct_shapes_2mm"
    space = open_workspace(tmp_path / "ws")
    space.ingest(folder / "in", name="shapes")
    space.import_file("shapes", folder / "in" / "rtstruct.dcm")
    made = chips(space, "shapes", tmp_path / "set", size=256, depth=50, pictures="nii", val=0.0)
    labels = [nibabel.load(tmp_path / "set" / "labels" / "train" / c["name"]) for c in made]
    voxel = abs(np.linalg.det(labels[0].affine[:3, :3]))
    classes = json.loads((tmp_path / "set" / "classes.json").read_text())["labels"]
    assert len(classes) == 7
    for one in classes:
        truth_file = nibabel.load(folder / "ref" / f"{one['name'].lower().replace(' ', '_')}.nii.gz")
        due = float((np.asarray(truth_file.dataobj) > 0).sum()) * abs(np.linalg.det(truth_file.affine[:3, :3]))
        have = sum(int((np.asarray(part.dataobj) == one["value"]).sum()) for part in labels) * voxel
        assert have == pytest.approx(due, rel=0.08), one["name"]

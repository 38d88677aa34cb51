"""A layer that was painted comes out as files that other programs read, and goes in again as it was."""

import json
from pathlib import Path
from uuid import UUID

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import rasterio
import shapely
import slicerio
from click.testing import CliRunner

from bigimage.cli import cli
from bigimage.errors import InputError, Unsupported
from bigimage.exchange.vector import context_for
from bigimage.formats.door import Report
from bigimage.formats.mask import FORMATS
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Schema
from bigimage.model.mask import Mask
from bigimage.model.shape import Polygon
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.masks import KIDNEY, LIVER, SCHEMA, dicom_extra, grids, labels
from tests.pyramids import build
from tests.scanning import ct_series, save


def run(workspace: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["--workspace", str(workspace), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A scan with three masks, painted as `semantic` and as `multilayer`."""
    folder = tmp_path_factory.mktemp("ct")
    _, slices = ct_series("oblique")
    save(slices, folder)
    space = tmp_path_factory.mktemp("space")
    run(space, "ingest", str(folder), "--name", "ct")
    workspace = open_workspace(settings=Settings(workspace=space, workers=1))
    workspace.annotations.store.set_schema(Schema(labels=SCHEMA.labels), author="tests")
    grid = workspace.image("ct").info.grid
    masks = [
        Annotation(
            id=UUID(int=k + 1),
            image="ct",
            label=label.name,
            shape=Mask.of(grid, labels() == label.value),
            frame=grid.frame,
        )
        for k, label in enumerate((LIVER, KIDNEY))
    ]
    workspace.annotations.load("ct", masks)
    workspace.rasterize("ct")
    workspace.rasterize("ct", mode="multilayer")
    workspace.rasterize("ct", mode="instance")
    workspace.rasterize("ct", mode="panoptic")
    return workspace


def truth() -> np.ndarray:
    return np.where(labels() == 2, 0, labels())


def test_layers_become_segmentations(scan: Workspace, tmp_path: Path) -> None:
    told = json.loads(
        run(
            scan.path,
            "export",
            "ct",
            "--layer",
            "semantic",
            "--format",
            "dicom-seg",
            "--output",
            str(tmp_path / "s.dcm"),
            "--json",
        )
    )
    assert (told["layer"], told["written"]) == ("semantic", 2)
    seg = highdicom.seg.segread(tmp_path / "s.dcm")
    uids = [f"1.2.3.5.{k + 1}" for k in range(9)]
    found = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(np.array([0, 1, 7])[found], truth())
    assert seg.get_segment_description(1).segmented_property_type.value == LIVER.code.value


@pytest.mark.parametrize(
    ("chosen", "values"),
    [("present", [1, 7]), ("all", [1, 2, 7]), ("kidney", [7]), ("kidney, liver", [1, 7])],
)
def test_files_list_the_segments_that_were_asked_for(
    scan: Workspace, tmp_path: Path, chosen: str, values: list[int]
) -> None:
    options = {"segments": chosen}
    made = scan.export("ct", layer="semantic", format="dicom-seg-labelmap", output=tmp_path / "s.dcm", options=options)
    data = pydicom.dcmread(made.path)
    assert [item.SegmentNumber for item in data.SegmentSequence] == [0, *values]
    expected = np.where(np.isin(truth(), values), truth(), 0)
    assert np.array_equal(data.pixel_array, expected)
    made = scan.export("ct", layer="multilayer", format="seg-nrrd", output=tmp_path / "s.seg.nrrd", options=options)
    read = slicerio.read_segmentation(str(made.path))
    assert [segment["labelValue"] for segment in read["segments"]] == values
    # what nowhere overlaps lies in one layer
    assert np.array_equal(read["voxels"].T, expected)


def test_labels_that_the_layer_does_not_know_are_refused(scan: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no label heart; it has liver, .*kidney"):
        scan.export("ct", layer="semantic", format="nifti", output=tmp_path / "x.nii", options={"segments": "heart"})


def objects(scan: Workspace) -> dict[int, str]:
    """Label of each object that the instance layer shows, by its id."""
    pixels = scan.layer("ct", "instance").pyramid.read_index(scan.image("ct").info.grid.box).array[0]
    return {int(pixels[truth() == value][0]): name for name, value in (("liver", 1), ("kidney", 7))}


@pytest.mark.parametrize("name", ["dicom-seg", "dicom-seg-labelmap", "seg-nrrd", "mha"])
def test_objects_keep_their_label_and_identity(scan: Workspace, tmp_path: Path, name: str) -> None:
    made = scan.export("ct", layer="instance", format=name, output=tmp_path / f"s{FORMATS[name].SUFFIXES[0]}")
    assert made.report["lossless"]
    info = scan.image("ct").info
    context = context_for(info, SCHEMA)
    mask = FORMATS[name].read(made.path, context=context, report=Report(), options={})
    assert {s.label.name: UUID(str(s.instance)).int for s in mask.segments} == {"liver": 1, "kidney": 2}
    whole = sum(mask.read(layer, mask.grid.box).astype(int) for layer in range(mask.layers))
    for segment in mask.segments:
        value = {"liver": 1, "kidney": 7}[segment.label.name]
        assert np.array_equal(whole == segment.value, truth() == value)
        assert name == "dicom-seg" or objects(scan)[segment.value] == segment.label.name


def test_objects_are_written_as_they_were_painted_whatever_became_of_them(scan: Workspace, tmp_path: Path) -> None:
    before = scan.annotations.store.get(UUID(int=1))
    scan.annotations.remove(before.id)
    try:
        options = {"segments": "objects"}
        made = scan.export("ct", layer="panoptic", format="mha", output=tmp_path / "o.mha", options=options)
        again = scan.export("ct", layer="instance", format="mha", output=tmp_path / "i.mha")
    finally:
        scan.annotations.revert("ct", to=scan.annotations.revision("ct").number - 1)
    assert made.report["lossless"]
    assert made.path.read_bytes() == again.path.read_bytes()
    mask = FORMATS["mha"].read(
        made.path, context=context_for(scan.image("ct").info, SCHEMA), report=Report(), options={}
    )
    assert {s.label.name: s.instance for s in mask.segments} == {"liver": str(UUID(int=1)), "kidney": str(UUID(int=2))}


def test_classes_of_a_panoptic_layer_lose_their_objects(scan: Workspace, tmp_path: Path) -> None:
    made = scan.export("ct", layer="panoptic", format="nifti", output=tmp_path / "s.nii")
    assert [loss["what"] for loss in made.report["losses"]] == ["objects"]
    assert np.array_equal(np.asarray(nibabel.load(made.path).dataobj).T, truth())
    with pytest.raises(InputError, match="has no objects"):
        scan.export("ct", layer="semantic", format="nifti", output=tmp_path / "x.nii", options={"segments": "objects"})


def test_objects_without_a_place_for_their_identity_are_told(scan: Workspace, tmp_path: Path) -> None:
    made = scan.export("ct", layer="instance", format="nifti", output=tmp_path / "s.nii.gz")
    assert [loss["what"] for loss in made.report["losses"]] == ["instance"]
    found = np.asarray(nibabel.load(made.path).dataobj).T
    for value, label in objects(scan).items():
        assert np.array_equal(found == value, truth() == {"liver": 1, "kidney": 7}[label])


@pytest.mark.parametrize("layer", ["semantic", "multilayer"])
def test_layers_become_label_volumes(scan: Workspace, tmp_path: Path, layer: str) -> None:
    made = scan.export("ct", layer=layer, format="nifti", output=tmp_path / "s.nii.gz")
    assert made.report["lossless"]
    assert np.array_equal(np.asarray(nibabel.load(made.path).dataobj).T, truth())


def test_what_was_exported_is_imported_as_it_was(scan: Workspace, tmp_path: Path) -> None:
    made = scan.export("ct", layer="semantic", format="seg-nrrd", output=tmp_path / "s.seg.nrrd")
    scan.import_file("ct", made.path)
    grid = scan.image("ct").info.grid
    imported = [a for a in scan.annotations.query("ct") if a.id.int > 9]
    assert {a.label for a in imported} == {"liver", "kidney"}
    for annotation in imported:
        value = {"liver": 1, "kidney": 7}[annotation.label]
        assert np.array_equal(annotation.shape.read(grid.box), truth() == value)


def test_what_layers_cannot_be_is_refused(scan: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no mask format"):
        scan.export("ct", layer="semantic", format="coco", output=tmp_path / "x")
    with pytest.raises(Unsupported, match="patient frame"):
        scan.export("ct", layer="semantic", format="geotiff", output=tmp_path / "x.tif")
    with pytest.raises(InputError, match="revision that it was painted at"):
        scan.export("ct", layer="semantic", format="nifti", output=tmp_path / "x.nii", at=1)
    with pytest.raises(InputError, match="paint a layer"):
        scan.export("ct", format="nifti", output=tmp_path / "x.nii")
    assert not list(tmp_path.iterdir())


def test_one_point_in_time_is_written_and_refers_to_the_files_of_that_time(tmp_path: Path) -> None:
    grid = grids()["axial"]
    stacks = [[[f"1.2.3.{t}.{k + 1}", None] for k in range(grid.shape[0])] for t in range(3)]
    extra = dicom_extra(grid) | {"instances": stacks}
    pixels = np.zeros((3, *grid.shape), np.int16)
    workspace = open_workspace(settings=Settings(workspace=tmp_path / "space", workers=1))
    build(tmp_path / "space/images/ct", pixels, axes=("t", "z", "y", "x"), grid=grid, id="ct", extra=extra)
    workspace.annotations.store.set_schema(Schema(labels=SCHEMA.labels), author="tests")
    drawn = Mask.of(grid, labels() == 1)
    note = Annotation(id=UUID(int=1), image="ct", label="liver", shape=drawn, frame=grid.frame, t=2)
    workspace.annotations.load("ct", [note])
    workspace.rasterize("ct")
    made = workspace.export(
        "ct", layer="semantic", format="dicom-seg", output=tmp_path / "2.dcm", options={"t": "2", "segments": "all"}
    )
    data = pydicom.dcmread(made.path)
    named = {e.value for e in data.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert named == {uid for uid, _ in stacks[2]}
    assert np.count_nonzero(data.pixel_array) == np.count_nonzero(labels() == 1)
    empty = workspace.export("ct", layer="semantic", format="nifti", output=tmp_path / "0.nii", options={"t": "0"})
    assert not np.asarray(nibabel.load(empty.path).dataobj).any()
    for options, words in (({}, "3 points in time"), ({"t": "3"}, "from 0 to 2"), ({"t": "x"}, "whole number")):
        with pytest.raises(InputError, match=words):
            workspace.export("ct", layer="semantic", format="nifti", output=tmp_path / "x.nii", options=options)
    workspace.close()


def test_a_region_of_a_scene_becomes_a_raster(tmp_path: Path) -> None:
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    source = tmp_path / "scene.tif"
    with rasterio.open(source, "w", driver="GTiff", height=600, width=700, count=1, dtype="uint8", **place) as target:
        target.write(np.full((600, 700), 90, np.uint8), 1)
    space = tmp_path / "space"
    run(space, "ingest", str(source))
    workspace = open_workspace(settings=Settings(workspace=space, workers=1))
    workspace.annotations.store.set_schema(Schema(labels=SCHEMA.labels), author="tests")
    frame = workspace.image("scene").info.grid.frame
    square = Polygon(shapely.box(501_000, 4_997_000, 503_000, 4_999_000))
    workspace.annotations.load(
        "scene", [Annotation(id=UUID(int=1), image="scene", label="kidney", shape=square, frame=frame)]
    )
    workspace.rasterize("scene")
    region = workspace.split_regions("scene", size=300)[0]
    out = tmp_path / "part.tif"
    run(
        space,
        "export",
        "scene",
        "--layer",
        "semantic",
        "--region",
        str(region.id),
        "--format",
        "geotiff",
        "--output",
        str(out),
    )
    with rasterio.open(out) as found:
        assert found.shape == region.box.shape
        (row, column) = region.box.start
        assert found.transform == rasterio.Affine(10, 0, 500_000 + 10 * column, 0, -10, 5_000_000 - 10 * row)
        expected = np.zeros((600, 700), "u1")
        expected[100:300, 100:300] = 7
        assert np.array_equal(found.read(1), expected[region.box.slices])
    workspace.close()

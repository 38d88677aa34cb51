"""Real labels painted over their real images and scans, held to masks that others made of them."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import nibabel as nib
import numpy as np
import pytest
import rasterio

from bigimage.geometry.frame import GeoFrame
from bigimage.workspace import Workspace, open_workspace

SHAPES = ("cube", "cylinder", "ellipsoid", "hollow_sphere", "sphere", "straw", "torus")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = open_workspace(tmp_path / "workspace")
    yield made
    made.close()


def test_building_footprints_are_the_mask_that_their_makers_published(workspace: Workspace, shared_data: Path) -> None:
    folder = shared_data / "vectors" / "sn4_atlanta"
    workspace.annotations.set_schema({"labels": [{"name": "building", "value": 1, "color": "#ff3030"}]})
    (image,) = workspace.ingest(folder / "image.tif", name="atlanta")
    frame = image.grids[0].frame
    assert isinstance(frame, GeoFrame)
    table = gpd.read_file(folder / "buildings.geojson")[["geometry"]].to_crs(frame.proj)
    workspace.annotations.from_geodataframe("atlanta", table, label="building")
    layer = workspace.rasterize("atlanta")
    with rasterio.open(folder / "reference_mask.tif") as file:
        expected = file.read(1) > 0
    found = layer.pyramid.read_index(image.grids[0].box).array[0]
    assert np.count_nonzero(found) == 33_818
    assert np.array_equal(found > 0, expected)


def test_contours_of_a_structure_set_fill_the_shapes_they_were_drawn_around(
    workspace: Workspace, shared_data: Path
) -> None:
    folder = shared_data / "dicom" / "rtstruct_shapes_2mm"
    workspace.annotations.set_schema({"labels": [{"name": n, "value": k + 1} for k, n in enumerate(SHAPES)]})
    workspace.ingest(folder / "in", name="ct")
    workspace.import_file("ct", folder / "in" / "rtstruct.dcm")
    pyramid = workspace.rasterize("ct", mode="multilayer").pyramid
    found = pyramid.read_index(pyramid.grids[0].box).array.astype(bool)
    for band, name in zip(found, SHAPES, strict=True):
        stored = nib.load(folder / "ref" / f"{name}.nii.gz")  # pyright: ignore[reportPrivateImportUsage]
        truth = np.asarray(stored.get_fdata()).transpose(2, 1, 0) > 0  # pyright: ignore[reportAttributeAccessIssue]
        dice = 2 * np.count_nonzero(band & truth) / (np.count_nonzero(band) + np.count_nonzero(truth))
        # outlines of round shapes are polygons within them; holes and hollows are there
        assert dice > 0.989, name

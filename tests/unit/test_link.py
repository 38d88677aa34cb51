"""Foreign stores as images of a workspace, read where they lie."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import bigimage as bi
from bigimage.errors import Conflict, InputError, NotFound

PLANE = np.arange(300 * 200, dtype=np.uint16).reshape(300, 200)


def write_geozarr(path: Path) -> None:
    """One level, one band, in UTM."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.attrs.update(
        {
            "multiscales": {"layout": [{"asset": "0", "spatial:transform": [10, 0, 500000, 0, -10, 5000000]}]},
            "proj:code": "EPSG:32633",
        }
    )
    array = group.create_array("0", shape=PLANE.shape, dtype=PLANE.dtype, chunks=(64, 64), dimension_names=["y", "x"])
    array[...] = PLANE


def test_a_foreign_store_is_listed_read_and_removed_without_being_touched(tmp_path: Path) -> None:
    write_geozarr(tmp_path / "North Field.zarr")
    workspace = bi.open_workspace(tmp_path / "ws")
    (image,) = workspace.ingest(tmp_path / "North Field.zarr")
    assert image.id == "north-field"
    assert np.array_equal(image.read_index((slice(10, 90), slice(0, 200))).array[0], PLANE[10:90])
    record = bi.open_workspace(tmp_path / "ws").record("north-field")
    assert record["store"] == str(tmp_path / "North Field.zarr")
    assert record["frame"] == {"type": "geo", "crs": "EPSG:32633"}
    (low, high) = record["window"][0]
    assert abs(low - np.percentile(PLANE, 2)) < 1
    assert abs(high - np.percentile(PLANE, 98)) < 1
    with pytest.raises(Conflict, match="exists already"):
        workspace.ingest(tmp_path / "North Field.zarr")
    workspace.remove("north-field")
    assert zarr.open_array(str(tmp_path / "North Field.zarr" / "0"), mode="r").shape == PLANE.shape
    assert workspace.images() == []


def test_a_store_that_went_away_is_said_so(tmp_path: Path) -> None:
    write_geozarr(tmp_path / "a.zarr")
    bi.open_workspace(tmp_path / "ws").ingest(tmp_path / "a.zarr", name="gone")
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(NotFound, match="no zarr group"):
        bi.open_workspace(tmp_path / "ws").image("gone")


def test_what_the_store_says_cannot_be_overruled(tmp_path: Path) -> None:
    write_geozarr(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="where it lies"):
        bi.open_workspace(tmp_path / "ws").ingest(tmp_path / "a.zarr", crs="EPSG:4326")

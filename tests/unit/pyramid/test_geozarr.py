"""GeoZarr conventions v0.1: accepted by their validators, and the place is the grid's."""

import re

import numpy as np
import pytest
import zarr_cm

from bigimage.geometry.frame import GeoFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.pyramid.geozarr import crs_attributes, level_attributes, root_attributes
from bigimage.pyramid.layout import plan_pyramid
from tests.pyramids import describe

LAEA = "+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84"


def _grids(grid: Grid) -> list[Grid]:
    info = describe(np.zeros((1, *grid.shape), "uint8"), grid=grid)
    return [level.grid for level in plan_pyramid(info).levels]


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "OGC:CRS84", "IAU_2015:49910", LAEA])
@pytest.mark.parametrize("transform", [(10, 0, 500, 0, -10, 900), (0, 10, 500, 10, 0, 900), (1, 2, 3, 4, -5, 6)])
def test_the_validators_accept_root_and_levels(crs: str, transform: tuple[float, ...]) -> None:
    grids = _grids(Grid.from_transform(transform, (1001, 700), GeoFrame.of(crs)))
    root = root_attributes(grids, method="average")
    declared = [c["name"] for c in root["zarr_conventions"]]
    assert declared == ["multiscales", "proj", "spatial"]
    zarr_cm.validate_many(root, declared)
    for grid in grids:
        attributes = level_attributes(grid)
        zarr_cm.validate_many(attributes, [c["name"] for c in attributes["zarr_conventions"]])
    # the validators do look
    with pytest.raises(ValueError, match=r"."):
        zarr_cm.validate_many(root | {"spatial:transform": "here"}, declared)


def test_the_place_of_each_level_is_its_grid() -> None:
    first = Grid.from_transform((10.0, 0.0, 500.0, 0.0, -10.0, 900.0), (1001, 700), GeoFrame("EPSG:32633"))
    grids = _grids(first)
    layout = root_attributes(grids, method="mode")["multiscales"]["layout"]
    assert [item["asset"] for item in layout] == ["0", "1", "2"]
    assert [item.get("derived_from") for item in layout] == [None, "0", "1"]
    for number, (item, grid) in enumerate(zip(layout, grids, strict=True)):
        assert item["spatial:transform"] == list(grid.transform)
        # exact powers of two of the first pixel and the same corner, never extent divided by size
        assert item["spatial:transform"] == [10.0 * 2**number, 0.0, 500.0, 0.0, -10.0 * 2**number, 900.0]
        assert item["spatial:shape"] == list(grid.shape) == [-(-1001 // 2**number), -(-700 // 2**number)]
        step = 2.0 if number else 1.0
        assert item["transform"] == {"scale": [step, step], "translation": [0.0, 0.0]}
        assert level_attributes(grid)["spatial:transform"] == item["spatial:transform"]
    root = root_attributes(grids, method="mode")
    assert root["spatial:bbox"] == [500.0, 900.0 - 10010, 7500.0, 900.0]
    assert root["spatial:dimensions"] == ["y", "x"]
    assert root["spatial:registration"] == "pixel"
    assert root["multiscales"]["resampling_method"] == "mode"


def test_a_crs_is_told_by_code_or_by_wkt() -> None:
    assert crs_attributes(GeoFrame.of("EPSG:32633")) == {"proj:code": "EPSG:32633"}
    assert re.fullmatch("[^:]+:[^:]+", crs_attributes(GeoFrame.of("IAU_2015:49910"))["proj:code"])
    wkt = crs_attributes(GeoFrame.of(LAEA))
    assert list(wkt) == ["proj:wkt2"]
    assert GeoFrame.of(wkt["proj:wkt2"]) == GeoFrame.of(LAEA)


def test_what_has_no_place_says_nothing() -> None:
    pixels = Grid.pixels((600, 600), "scene")
    assert pixels.frame == PixelFrame("scene")
    assert root_attributes([pixels], method="average") == {}
    assert level_attributes(pixels) == {}
    volume = describe(np.zeros((3, 4, 5), "uint8"), axes=("z", "y", "x")).grid
    assert root_attributes([volume], method="average") == {}
    assert level_attributes(volume) == {}

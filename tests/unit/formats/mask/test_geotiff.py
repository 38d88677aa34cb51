"""Label rasters as GeoTIFF: GDAL reads values, place, palette, nodata and overviews; the table is GDAL's."""

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.formats.mask import format_for, geotiff
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Schema
from tests.masks import SCHEMA, SEGMENTS, context_of, everything, grids, labels, reread, stream, written

UTM = GeoFrame("EPSG:32633")
GRIDS = {
    "north up": Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), (700, 1100), UTM),
    "turned": Grid.from_transform((8.0, 6.0, 500_000, 6.0, -8.0, 5_000_000), (700, 1100), UTM),
    "sheared": Grid.from_transform((8.0, 1.0, 500_000, 0.0, -8.0, 5_000_000), (700, 1100), UTM),
    "pixels": Grid.pixels((700, 1100), "ct"),
}


def raster(dtype: str = "uint8", high: int = 7) -> np.ndarray:
    array = np.zeros((700, 1100), dtype)
    array[100:400, 50:900] = 1
    array[200:300, 300:400] = 2
    array[600:, 1000:] = high
    return array


def segments(high: int = 7):
    return (*SEGMENTS[:2], replace(SEGMENTS[2], value=high))


@pytest.mark.parametrize("name", list(GRIDS))
@pytest.mark.parametrize("cog", ["yes", "no"])
@pytest.mark.parametrize(("dtype", "high"), [("uint8", 7), ("uint16", 60000), ("uint32", 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_reads_what_was_written(tmp_path, name, cog, dtype, high):
    grid, array = GRIDS[name], raster(dtype, high)
    path = tmp_path / "mask.tif"
    report = written(geotiff, path, stream(array, grid, segments(high)), context_of(grid), cog=cog)
    assert report.lossless
    with rasterio.open(path) as found:
        assert np.array_equal(found.read(1), array)
        assert found.nodata == 0
        if name == "pixels":
            assert found.crs is None
        else:
            assert found.crs.to_epsg() == 32633
            assert tuple(found.transform)[:6] == grid.transform
        if dtype != "uint32":
            colors = found.colormap(1)
            assert colors[1] == (0xDD, 0x82, 0x65, 255)
            assert colors[0][3] == 0 or cog == "no"
        assert (found.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG") == (cog == "yes")
        if cog == "yes":
            assert found.overviews(1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.tif", "mask.tif.aux.xml"]


@pytest.mark.parametrize("name", list(GRIDS))
def test_round_trip(tmp_path, name):
    grid, array = GRIDS[name], raster()
    path = tmp_path / "mask.tif"
    written(geotiff, path, stream(array, grid), context_of(grid))
    assert format_for(path) == "geotiff"
    for schema in (SCHEMA, Schema()):
        mask, report = reread(geotiff, path, context_of(grid, schema=schema))
        assert not report.problems
        assert mask.grid.shape == grid.shape
        assert mask.grid.frame == grid.frame
        assert np.allclose(mask.grid.affine, grid.affine)
        assert np.array_equal(everything(mask)[0], array)
        assert [(s.value, s.label.name, s.label.color) for s in mask.segments] == [
            (s.value, s.label.name, s.label.color) for s in SEGMENTS
        ]


def test_names_stand_in_the_file_too(tmp_path):
    grid, path = GRIDS["north up"], tmp_path / "mask.tif"
    written(geotiff, path, stream(raster(), grid), context_of(grid))
    geotiff.table_path(path).unlink()
    mask, _ = reread(geotiff, path, context_of(grid, schema=Schema()))
    assert [s.label.name for s in mask.segments] == [s.label.name for s in SEGMENTS]


def test_table_is_one_that_gdal_documents(tmp_path):
    grid, path = GRIDS["north up"], tmp_path / "mask.tif"
    written(geotiff, path, stream(raster(), grid), context_of(grid))
    root = ElementTree.parse(geotiff.table_path(path)).getroot()
    table = root.find("./PAMRasterBand[@band='1']/GDALRasterAttributeTable")
    assert [f.findtext("Name") for f in table.findall("FieldDefn")][:2] == ["Value", "Class"]
    assert [[c.text for c in row.findall("F")] for row in table.findall("Row")][1] == [
        *("2", "Tumör & <Rand>", "0", "255", "128", "255", None)
    ]


def test_overviews_hold_labels_that_are_there(tmp_path):
    rng = np.random.default_rng(3)
    grid = GRIDS["north up"]
    array = rng.choice(np.array([0, 2, 7], "u1"), grid.shape)
    path = tmp_path / "mask.tif"
    written(geotiff, path, stream(array, grid), context_of(grid))
    with rasterio.open(path, OVERVIEW_LEVEL=0) as found:
        assert set(np.unique(found.read(1))) <= {0, 2, 7}


def test_same_mask_gives_same_bytes(tmp_path):
    grid = GRIDS["north up"]
    for name in "ab":
        written(geotiff, tmp_path / f"{name}.tif", stream(raster(), grid), context_of(grid))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_nodata_of_others_is_background(tmp_path):
    grid, array = GRIDS["north up"], raster()
    array[array == 0] = 255
    path = tmp_path / "m.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=700,
        width=1100,
        count=1,
        dtype="uint8",
        nodata=255,
        crs="EPSG:32633",
        transform=rasterio.Affine(*grid.transform),
    ) as target:
        target.write(array, 1)
    mask, report = reread(geotiff, path, context_of(grid))
    assert not report.problems
    assert np.array_equal(everything(mask)[0], raster())
    assert [s.label.name for s in mask.segments] == [s.label.name for s in SEGMENTS]


def test_mask_in_another_crs_keeps_its_own_grid(tmp_path):
    grid = GRIDS["north up"]
    path = tmp_path / "m.tif"
    other = Grid.from_transform((1e-4, 0, 15.0, 0, -1e-4, 45.15), (300, 400), GeoFrame("EPSG:4326"))
    written(geotiff, path, stream(raster()[:300, :400], other), context_of(grid))
    mask, report = reread(geotiff, path, context_of(grid))
    assert not report.problems
    assert mask.grid.frame == GeoFrame("EPSG:4326")


def test_a_raster_without_a_place_must_have_as_many_pixels(tmp_path):
    grid = GRIDS["north up"]
    path = tmp_path / "m.tif"
    small = Grid.pixels((100, 100), "x")
    written(geotiff, path, stream(raster()[:100, :100], small), context_of(small))
    _, report = reread(geotiff, path, context_of(grid))
    assert any("100 × 100 rows and columns" in str(p) for p in report.problems)


def test_images_volumes_and_odd_options_are_refused(tmp_path):
    grid = GRIDS["north up"]
    path = tmp_path / "m.tif"
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(*grid.transform)}
    with rasterio.open(path, "w", driver="GTiff", height=50, width=50, count=1, dtype="float32", **place) as target:
        target.write(np.random.default_rng(1).normal(size=(1, 50, 50)).astype("f4"))
    with pytest.raises(InputError, match="cannot be labels"):
        reread(geotiff, path, context_of(grid))
    with pytest.raises(Unsupported, match="patient frame"):
        written(geotiff, path, stream(labels(), grids()["axial"]), context_of(grids()["axial"]))
    with pytest.raises(InputError, match="cog is yes or no"):
        written(geotiff, path, stream(raster(), grid), context_of(grid), cog="maybe")


def test_values_without_a_segment_leave_no_spare_file(tmp_path):
    grid = GRIDS["north up"]
    with pytest.raises(DataError, match="the value 7"):
        written(geotiff, tmp_path / "m.tif", stream(raster(), grid, SEGMENTS[:2]), context_of(grid))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["<a", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_garbled_tables_are_not_used(text):
    with pytest.raises(DataError, match="garbled"):
        geotiff.parse_table(io.BytesIO(text.encode()))

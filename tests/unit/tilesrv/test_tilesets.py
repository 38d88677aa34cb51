"""Tile sets as values and as OGC documents."""

import math

import numpy as np
import pyproj
import pytest

from bigimage.errors import NotFound, Unsupported
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import MERCATOR_EXTENT, level_shapes, mercator_lattice
from tilesrv import tilesets
from tilesrv.tilesets import MERCATOR, NATIVE


def pyramid(transform: tuple[float, ...], shape: tuple[int, int], crs: str | None) -> list[Grid]:
    """Grids of all levels."""
    base = Grid.pixels(shape, "plain") if crs is None else Grid.from_transform(transform, shape, GeoFrame.of(crs))
    return [base.coarsen(1 << k) for k in range(len(level_shapes(shape)))]


UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def test_native_matrices_are_the_levels_of_the_image() -> None:
    found = tilesets.tileset(pyramid(UTM, (701, 1013), "EPSG:32632"), NATIVE, 256)
    assert [(m.cell, m.columns, m.rows) for m in found.matrices] == [(40.0, 1, 1), (20.0, 2, 2), (10.0, 4, 3)]
    assert {m.origin for m in found.matrices} == {(500_000.0, 5_000_000.0)}
    assert found.bounds == (500_000.0, 4_992_990.0, 510_130.0, 5_000_000.0)


@pytest.mark.parametrize("tile", [256, 512])
@pytest.mark.parametrize("shape", [(1, 1), (256, 256), (257, 512), (513, 511), (4097, 33)])
def test_every_pixel_of_a_level_lies_in_exactly_one_tile(tile: int, shape: tuple[int, int]) -> None:
    grids = pyramid(UTM, shape, "EPSG:32632")
    for matrix in tilesets.native_tileset(grids, tile).matrices:
        height, width = (round(n * 10 / matrix.cell + 0.499) for n in shape)
        assert (matrix.columns - 1) * tile < width <= matrix.columns * tile
        assert (matrix.rows - 1) * tile < height <= matrix.rows * tile


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (UTM, None),
        ((8.0, 6.0, 0.0, 6.0, -8.0, 0.0), "EPSG:32632"),
        ((10.0, 0.0, 0.0, 0.0, 10.0, 0.0), "EPSG:32632"),
        ((10.0, 0.0, 0.0, 0.0, -5.0, 0.0), "EPSG:32632"),
    ],
)
def test_grids_that_no_matrix_set_can_express_are_told_in_pixels(transform: tuple[float, ...], crs: str | None) -> None:
    found = tilesets.native_tileset(pyramid(transform, (600, 500), crs), 256)
    assert found.frame is None
    assert [m.cell for m in found.matrices] == [4.0, 2.0, 1.0]
    assert found.bounds == (0.0, 0.0, 500.0, 600.0)
    document = tilesets.matrix_set_document(found)
    read = pyproj.CRS.from_json_dict(document["crs"]["wkt"])
    assert [axis.direction for axis in read.axis_info] == ["columnPositive", "rowPositive"]


@pytest.mark.parametrize(
    ("crs", "y_first"),
    [
        ("EPSG:4326", True),
        ("OGC:CRS84", False),
        ("EPSG:3857", False),
        ("EPSG:32632", False),
        ("EPSG:3035", True),
        ("EPSG:2056", False),
        ("EPSG:31467", True),
        ("EPSG:3031", False),
        ("EPSG:3413", False),
        ("EPSG:32661", True),
        ("EPSG:32761", True),
        ("EPSG:2048", False),
    ],
)
def test_axis_order_is_what_proj_swaps_for_visualization(crs: str, y_first: bool) -> None:
    frame = GeoFrame.of(crs)
    assert tilesets.is_y_first(frame.proj) is y_first
    # PROJ itself: does a transformation to the same CRS swap when asked for x before y?
    there = pyproj.Transformer.from_crs("EPSG:4326", crs)
    visual = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    latitude, longitude = (80.0, 20.0) if crs in ("EPSG:3413", "EPSG:32661") else (46.0, 8.0)
    if crs in ("EPSG:3031", "EPSG:32761"):
        latitude = -80.0
    own, xy = there.transform(latitude, longitude), visual.transform(longitude, latitude)
    assert np.allclose(own, xy[::-1] if y_first else xy)


def test_points_of_origin_and_bounds_follow_the_authority() -> None:
    found = tilesets.native_tileset(pyramid((0.5, 0.0, -180.0, 0.0, -0.5, 90.0), (360, 720), "EPSG:4326"), 256)
    document = tilesets.matrix_set_document(found)
    assert document["crs"] == "http://www.opengis.net/def/crs/EPSG/0/4326"
    assert document["orderedAxes"] == ["Lat", "Lon"]
    assert {tuple(m["pointOfOrigin"]) for m in document["tileMatrices"]} == {(90.0, -180.0)}


def test_web_mercator_matches_the_standard() -> None:
    found = tilesets.mercator_tileset(pyramid((0.1, 0.0, -180.0, 0.0, -0.1, 90.0), (1800, 3600), "EPSG:4326"), 256)
    document = tilesets.matrix_set_document(found)
    first = document["tileMatrices"][0]
    assert first["id"] == "0"
    assert math.isclose(first["scaleDenominator"], 559082264.028717, rel_tol=1e-12)
    assert math.isclose(first["cellSize"], 156543.033928041, rel_tol=1e-12)
    assert first["pointOfOrigin"] == [-MERCATOR_EXTENT, MERCATOR_EXTENT]
    assert document["uri"].endswith("/WebMercatorQuad")
    assert found.matrices[0].limits == (0, 0, 0, 0)


def test_geographic_scale_denominators_match_the_standard() -> None:
    grids = pyramid((0.703125, 0.0, -180.0, 0.0, -0.703125, 90.0), (256, 512), "OGC:CRS84")
    document = tilesets.matrix_set_document(tilesets.native_tileset(grids, 256))
    assert math.isclose(document["tileMatrices"][-1]["scaleDenominator"], 279541132.014358, rel_tol=1e-12)
    assert document["crs"] == "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def test_zooms_run_from_one_tile_to_full_detail() -> None:
    grids = [mercator_lattice(6, 256)[4096:6200, 5000:9000]]
    found = tilesets.mercator_tileset(grids, 256)
    assert found.matrices[-1].zoom == 6
    assert found.matrices[-1].cell == pytest.approx(grids[0].spacing[0])
    assert found.matrices[-1].limits == (16, 24, 19, 35)
    assert found.matrices[0].zoom == 2
    half = tilesets.mercator_tileset(grids, 512)
    assert half.matrices[-1].zoom == 5


def test_detail_is_judged_by_the_place_not_by_the_nominal_unit() -> None:
    at_60_north = pyramid((10.0, 0.0, 500_000.0, 0.0, -10.0, 6_655_000.0), (1000, 1000), "EPSG:32632")
    found = tilesets.mercator_tileset(at_60_north, 256)
    # a metre on the ground is two metres of mercator at 60 degrees: 20 units a pixel, between zoom 12 and 13
    assert found.matrices[-1].zoom == 13


@pytest.mark.parametrize("crs", [None, "EPSG:3031"])
def test_images_without_a_place_in_mercator_have_no_such_tile_set(crs: str | None) -> None:
    around_the_pole = (100.0, 0.0, -5_000.0, 0.0, -100.0, 5_000.0)
    with pytest.raises(NotFound, match=MERCATOR):
        tilesets.tileset(pyramid(around_the_pole, (100, 100), crs), MERCATOR, 256)


def test_volumes_have_no_map_tiles() -> None:
    rows = ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
    with pytest.raises(Unsupported, match="planes"):
        tilesets.tileset([Grid((4, 5, 6), rows, PatientFrame("1.2"))], NATIVE, 256)


def test_crs_names_of_each_kind() -> None:
    assert tilesets.crs_urn(GeoFrame("EPSG:32632")) == "urn:ogc:def:crs:EPSG::32632"
    assert tilesets.crs_urn(GeoFrame("OGC:CRS84")) == "urn:ogc:def:crs:OGC:1.3:CRS84"
    custom = GeoFrame.of("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84")
    assert tilesets.crs_urn(custom) is None
    assert pyproj.CRS.from_json_dict(tilesets.crs_document(custom)["wkt"]) == custom.proj


def test_limits_name_every_zoom() -> None:
    found = tilesets.native_tileset(pyramid(UTM, (701, 1013), "EPSG:32632"), 256)
    assert tilesets.limits_document(found)[-1] == {
        "tileMatrix": "2",
        "minTileRow": 0,
        "maxTileRow": 2,
        "minTileCol": 0,
        "maxTileCol": 3,
    }


def test_scale_denominators_of_feet_are_in_metres() -> None:
    found = tilesets.native_tileset(pyramid((2.5, 0.0, 980_000.0, 0.0, -2.5, 200_000.0), (200, 200), "EPSG:2263"), 256)
    matrix = tilesets.matrix_set_document(found)["tileMatrices"][0]
    assert matrix["cellSize"] == 2.5
    assert math.isclose(matrix["scaleDenominator"], 2.5 * (1200 / 3937) / 0.00028, rel_tol=1e-12)

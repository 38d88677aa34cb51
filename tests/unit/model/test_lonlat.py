"""Geometry between CRS: exact there and back, cut and joined at the antimeridian, led around poles."""

from typing import Any

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.model.lonlat import from_crs, from_crs_together, to_crs

LONLAT = GeoFrame(WGS84)
UTM_60 = GeoFrame("EPSG:32660")
MERCATOR = GeoFrame("EPSG:3857")
POLAR = GeoFrame("EPSG:3995")
DEGREES = GeoFrame("EPSG:4326")


def out(geometry: shapely.Geometry, source: GeoFrame) -> shapely.Geometry:
    return to_crs([geometry], source, LONLAT)[0]


def test_vertices_come_back_where_they_were() -> None:
    frame = GeoFrame("EPSG:2953")
    drawn = shapely.Polygon([(2490000, 7440000), (2490100, 7440000), (2490050, 7440090)])
    there = out(drawn, frame)
    assert shapely.is_ccw(there.exterior)
    back = from_crs(there, LONLAT, frame)
    assert shapely.equals_exact(back, drawn, tolerance=1e-6, normalize=True)


def test_shells_are_counter_clockwise_and_holes_clockwise() -> None:
    drawn = shapely.Polygon([(0, 0), (0, 9), (9, 9), (9, 0)], [[(2, 2), (4, 2), (4, 4), (2, 4)]])
    there = out(drawn, DEGREES)
    assert there.exterior.is_ccw
    assert not there.interiors[0].is_ccw


def test_what_crosses_the_antimeridian_is_cut_there_and_joined_again() -> None:
    whole = shapely.Polygon(
        [(179, 60), (181, 60), (181, 61), (179, 61)], [[(179.5, 60.2), (180.5, 60.2), (180.5, 60.8), (179.5, 60.8)]]
    )
    drawn = from_crs(whole, LONLAT, UTM_60)
    there = out(drawn, UTM_60)
    assert there.geom_type == "MultiPolygon"
    assert shapely.is_valid(there)
    assert there.bounds[0] == -180
    assert there.bounds[2] == 180
    assert [sorted({round(x) for x, _ in p.exterior.coords}) for p in there.geoms] == [[179, 180], [-180, -179]]
    back = from_crs(there, LONLAT, UTM_60)
    assert back.geom_type == "Polygon"
    assert len(back.interiors) == 1
    assert shapely.symmetric_difference(back, drawn).area < 1e-9 * drawn.area


def test_a_line_and_points_beyond_half_a_turn() -> None:
    line = shapely.LineString([(178, 10), (183, 12)])
    there = out(line, DEGREES)
    due = shapely.from_wkt("MULTILINESTRING ((178 10, 180 10.8), (-180 10.8, -177 12))")
    assert shapely.equals_exact(there, due, tolerance=1e-12)
    back = from_crs(there, LONLAT, DEGREES, near=181.0)
    np.testing.assert_allclose(shapely.get_coordinates(back), [(178, 10), (180, 10.8), (183, 12)])
    points = shapely.MultiPoint([(178, 3), (185, 3)])
    assert shapely.get_coordinates(out(points, DEGREES)).tolist() == [[178, 3], [-175, 3]]
    assert from_crs(out(points, DEGREES), LONLAT, DEGREES, near=181.0) == points


def test_a_wide_shape_that_goes_the_long_way_is_not_cut() -> None:
    there = out(shapely.box(-19e6, -1e6, 19e6, 1e6), MERCATOR)
    assert there.geom_type == "Polygon"
    assert there.bounds[2] - there.bounds[0] == pytest.approx(341.36, abs=0.01)


def test_what_surrounds_a_pole_reaches_it() -> None:
    disk = shapely.Point(0, 0).buffer(2e6, quad_segs=8)
    there = out(disk, POLAR)
    assert there.bounds == pytest.approx((-180, there.bounds[1], 180, 90))
    assert shapely.covers(there, shapely.Point(17, 89.9))
    ring = shapely.difference(disk, shapely.Point(0, 0).buffer(1e6, quad_segs=8))
    assert not shapely.covers(out(ring, POLAR), shapely.Point(17, 89))
    assert shapely.covers(out(ring, POLAR), shapely.Point(17, 76))


DISK = shapely.Point(0, 0).buffer(5e5, quad_segs=8)


@pytest.mark.parametrize("crs", ["EPSG:3031", "EPSG:3412", "EPSG:3413", "EPSG:3995"])
@pytest.mark.parametrize(
    "drawn",
    [
        DISK,
        shapely.box(-790_000, -630_000, 790_000, 1_030_000),
        shapely.difference(DISK, shapely.Point(0, 0).buffer(1e5, quad_segs=8)),
        shapely.difference(DISK, shapely.box(1e5, 1e5, 2e5, 2e5)),
        shapely.MultiPolygon([DISK, shapely.box(8e5, -1e5, 9e5, 1e5)]),
    ],
    ids=["disk", "box", "ring", "hole beside the pole", "two parts"],
)
def test_what_surrounds_a_pole_comes_back(crs: str, drawn: Any) -> None:
    polar = GeoFrame.of(crs)
    there = out(drawn, polar)
    assert shapely.is_valid(there)
    assert len(shapely.get_parts(there)) == len(shapely.get_parts(drawn))  # cut at the antimeridian alone
    back = from_crs(there, LONLAT, polar)
    assert shapely.is_valid(back)
    assert shapely.hausdorff_distance(back, drawn) < 1e-6
    assert len(shapely.get_parts(back)) == len(shapely.get_parts(drawn))


def test_what_goes_round_the_whole_earth_stays_a_band() -> None:
    band = shapely.box(-180, -30, 180, 40)
    moved = from_crs(band, LONLAT, MERCATOR)
    assert moved.bounds[2] - moved.bounds[0] == pytest.approx(2 * 20037508.342789244)


def test_none_stays_none_and_the_same_crs_changes_nothing() -> None:
    drawn = shapely.Point(1, 2)
    assert to_crs([None, drawn], DEGREES, LONLAT).tolist() == [None, drawn]
    assert from_crs(drawn, DEGREES, DEGREES) is drawn


def test_a_vertex_without_a_place_is_told() -> None:
    with pytest.raises(InputError, match="crs=native"):
        from_crs(shapely.Point(10, 95), LONLAT, UTM_60)
    with pytest.raises(InputError, match="crs=native"):
        to_crs([shapely.Point(1e12, 1e12)], GeoFrame("EPSG:3035"), LONLAT)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3031", "EPSG:3857", "EPSG:4258"])
def test_many_geometries_move_as_each_alone(crs: str) -> None:
    target = GeoFrame.of(crs)
    given = np.array(
        [
            shapely.box(14, 48, 15, 49),
            None,
            shapely.Point(),
            shapely.from_wkt("POINT Z (14.5 48.5 7)"),
            shapely.from_wkt("MULTIPOLYGON (((13 47, 14 47, 14 48, 13 47)), ((15 47, 16 47, 16 48, 15 47)))"),
            shapely.MultiPolygon([shapely.box(179, -80, 180, -79), shapely.box(-180, -80, -179, -79)]),
            shapely.LineString([(0, 95), (1, 99)]),
            shapely.LineString([(14, 48), (15, 49), (16, 48.5)]),
        ],
        dtype=object,
    )
    together = from_crs_together(given, GeoFrame(WGS84), target).tolist()
    alone = [k for k, geometry in enumerate(together) if geometry is None]
    assert alone == (list(range(8)) if target.is_geographic else [1, 2, 5, 6])
    for before, after in zip(given.tolist(), together, strict=True):
        if after is not None:
            assert after.wkb == from_crs(before, GeoFrame(WGS84), target).wkb
    assert len(from_crs_together(np.empty(0, dtype=object), GeoFrame(WGS84), target)) == 0

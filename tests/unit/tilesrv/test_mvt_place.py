"""Places in tiles: around the globe, over the poles, and each point at home in exactly one tile."""

import numpy as np
import pytest
import shapely

from bigimage.errors import NotFound
from bigimage.geometry.frame import GeoFrame, PixelFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import NativeTiles
from tilesrv import mvt
from tilesrv.mvt_place import MercatorPlacement, NativePlacement
from tilesrv.tilesets import mercator_tileset

GLOBE = Grid.from_transform((0.1, 0, -180, 0, -0.1, 90), (1800, 3600), GeoFrame.of("EPSG:4326"))
PACIFIC = Grid.from_transform((0.1, 0, 0, 0, -0.1, 90), (1800, 3600), GeoFrame.of("EPSG:4326"))
FIJI = Grid.from_transform((500, 0, 300_000, 0, -500, 8_200_000), (1200, 1600), GeoFrame.of("EPSG:32760"))
POLE = Grid.from_transform((10_000, 0, -3e6, 0, -10_000, 3e6), (600, 600), GeoFrame.of("EPSG:3995"))


def mercator(grid: Grid, z: int, x: int, y: int) -> MercatorPlacement:
    return MercatorPlacement.of(grid, mercator_tileset([grid], 256), z, x, y)


def drawn(placement: MercatorPlacement, *geometries: shapely.Geometry) -> list[shapely.Geometry]:
    """Shapes of a tile as shapely polygons, y downwards."""
    paths = placement.place(mvt.flatten([g.wkb for g in geometries]))
    out = []
    for k in range(len(geometries)):
        parts = []
        for p in range(paths.shape_first[k], paths.shape_first[k + 1]):
            ring = paths.xy[paths.first[p] : paths.first[p + 1]]
            parts.append(shapely.Polygon(ring) if len(ring) > 3 else shapely.LineString(ring))
        out.append(shapely.union_all(parts))
    return out


def lonlat(z: int, x: int, y: int, lon: float, lat: float) -> tuple[float, float]:
    """Tile coordinates by the formula of web mercator on the sphere."""
    across = 4096 * 2**z
    down = 0.5 - np.log(np.tan(np.pi / 4 + np.radians(lat) / 2)) / (2 * np.pi)
    return (lon + 180) / 360 * across - 4096 * x, down * across - 4096 * y


@pytest.mark.parametrize("grid", [GLOBE, PACIFIC], ids=["globe", "pacific"])
@pytest.mark.parametrize("west", [170.0, -190.0, 530.0])
def test_shapes_across_the_antimeridian_are_seen_on_both_edges(grid: Grid, west: float) -> None:
    (found,) = drawn(mercator(grid, 0, 0, 0), shapely.box(west, -10, west + 20, 10))
    seen = found.intersection(shapely.box(0, 0, 4096, 4096))
    (x0, y1), (x1, y0) = lonlat(0, 0, 0, 170, -10), lonlat(0, 0, 0, -170, 10)
    wanted = shapely.union_all([shapely.box(x0, y0, 4096, y1), shapely.box(0, y0, x1, y1)])
    assert seen.symmetric_difference(wanted).area < 5


@pytest.mark.parametrize(("x", "side"), [(7, 170.0), (0, -170.0)])
def test_projected_shapes_do_not_jump_at_the_antimeridian(x: int, side: float) -> None:
    ring = np.array([(174.0, -17.0), (179.0, -19.0), (-177.0, -17.0), (179.0, -16.0)])
    polygon = shapely.Polygon(transform_points(ring, GeoFrame.of("EPSG:4326"), FIJI.frame))
    placement = mercator(FIJI, 3, x, 4)
    (found,) = drawn(placement, polygon)
    corners = [lonlat(3, x, 4, lon + 360 * (int(lon < 0 < side) - int(side < 0 < lon)), lat) for lon, lat in ring]
    assert found.hausdorff_distance(shapely.Polygon(corners)) < 25  # edges straight in one bend in the other
    assert found.area == pytest.approx(shapely.Polygon(corners).area, rel=0.02)
    assert any(box.minimum[0] <= polygon.bounds[2] and box.maximum[0] >= polygon.bounds[0] for box in placement.boxes)


def test_edges_bend_with_the_projection() -> None:
    # a parallel of the polar grid's frame is a circle; a straight line on the map is a curve in web mercator
    line = shapely.LineString([(-1.5e6, -1.5e6), (1.5e6, -1.5e6)])
    (found,) = drawn(mercator(POLE, 3, 4, 1), line.buffer(1000, cap_style="flat"))
    assert shapely.get_num_coordinates(found) > 50
    assert np.isfinite(shapely.get_coordinates(found)).all()


def test_the_poles_do_not_break_shapes() -> None:
    (found,) = drawn(mercator(GLOBE, 0, 0, 0), shapely.box(-180, -90, 180, 90))
    assert found.intersection(shapely.box(0, 0, 4096, 4096)).area == pytest.approx(4096**2)


@pytest.mark.parametrize("code", ["EPSG:3857", "EPSG:4087", "EPSG:6933"])
def test_edges_around_the_globe_are_no_jumps(code: str) -> None:
    frame = GeoFrame.of(code)
    half = transform_points([(180.0, 0.0)], GeoFrame.of("EPSG:4326"), frame)[0, 0]
    grid = Grid.from_transform((half / 500, 0, -half, 0, -half / 500, half / 4), (250, 1000), frame)
    (found,) = drawn(mercator(grid, 0, 0, 0), shapely.box(-half * 0.999, -1e6, half * 0.999, 1e6))
    assert found.intersection(shapely.box(0, 0, 4096, 4096)).area > 4000 * 150


def test_a_tile_asks_for_every_turn_of_longitude_that_its_image_has() -> None:
    boxes = mercator(PACIFIC, 2, 0, 1).boxes  # 180 W to 90 W
    spans = [(round(b.minimum[0]), round(b.maximum[0])) for b in boxes]
    assert any(low <= 185 and high >= 265 for low, high in spans)
    assert all(low <= high for low, high in spans)


@pytest.mark.parametrize("grid", [GLOBE, FIJI, POLE], ids=["globe", "fiji", "pole"])
def test_every_point_is_at_home_in_exactly_one_mercator_tile(grid: Grid) -> None:
    rng = np.random.default_rng(0)
    points = grid.to_world(rng.uniform(-0.01, 1.01, (500, 2)) * grid.shape)
    found = mercator_tileset([grid], 256)
    for matrix in found.matrices[:3]:
        top, bottom, left, right = matrix.limits
        total = np.zeros(len(points), int)
        for x in range(left, right + 1):
            for y in range(top, bottom + 1):
                total += MercatorPlacement.of(grid, found, matrix.zoom, x, y).home(points)[0]
        assert (total == 1).all()


def test_every_point_is_at_home_in_exactly_one_native_tile() -> None:
    grid = Grid.from_transform((8, 6, 500_000, 6, -8, 5_000_000), (700, 1013), PixelFrame("x"))
    grids = (grid, grid.coarsen(2), grid.coarsen(4))
    tiling = NativeTiles(tuple((g.shape[0], g.shape[1]) for g in grids), 256)
    points = grid.to_world(np.random.default_rng(0).uniform(-0.1, 1.1, (500, 2)) * grid.shape)
    for z in range(tiling.zooms):
        rows, columns = tiling.matrix(z)
        places = [NativePlacement.of(grids, tiling, z, x, y) for x in range(columns) for y in range(rows)]
        assert (sum(p.home(points)[0].astype(int) for p in places) == 1).all()
        for p in places:
            inside, at = p.home(points)
            assert ((at[inside] >= -1e-6) & (at[inside] <= 4096 + 1e-6)).all()


def test_tiles_beside_the_image_are_not_found() -> None:
    with pytest.raises(NotFound, match="beside"):
        mercator(FIJI, 4, 3, 3)

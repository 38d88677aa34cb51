"""What an export to another CRS says of itself: amounts that are true, and losses only where something is lost."""

import re
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.formats.door import Report
from bigimage.formats.vector.features import LONLAT, decimals_for
from bigimage.formats.vector.reprojection import FINE, Reprojection
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid

UTM = GeoFrame.of("EPSG:32633")
GRID = Grid.from_transform((0.3, 0, 520_000, 0, -0.3, 6_600_000), (20_000, 20_000), UTM)


def reprojection(grid: Grid = GRID, decimals: int | None = 9, target: GeoFrame = LONLAT) -> tuple[Reprojection, Report]:
    report = Report()
    return Reprojection(grid, grid.frame, target, report, decimals), report


def array(*geometries: object) -> np.ndarray:
    out = np.empty(len(geometries), dtype=object)
    out[:] = geometries
    return out


@pytest.mark.parametrize("size", [0.001, 0.3, 30.0])
def test_the_amount_of_rounding_is_true(size: float) -> None:
    grid = Grid.from_transform((size, 0, 520_000, 0, -size, 6_600_000), (1000, 1000), UTM)
    decimals = decimals_for(grid, LONLAT)
    _, report = reprojection(grid, decimals)
    assert report.lossless
    (note,) = report.notes
    bound = float(re.search(r"less than (\S+) pixels", note)[1])
    index = np.random.default_rng(1).uniform(0, 1000, (5000, 2))
    degrees = np.round(transform_points(grid.to_world(index), UTM, LONLAT), decimals)
    moved = np.linalg.norm(grid.to_index(transform_points(degrees, LONLAT, UTM)) - index, axis=1).max()
    assert moved < bound * 1.02
    assert moved > bound / 4


def test_rounding_that_shows_is_a_loss() -> None:
    _, report = reprojection(decimals=5)
    (loss,) = report.losses
    assert (loss.kind, loss.what) == ("rounded", "coordinates")
    assert "pixels" in loss.message


def test_short_edges_are_where_they_were_and_long_ones_are_told() -> None:
    moves, report = reprojection()
    x, y = 522_000, 6_598_000
    house, field = shapely.box(x, y, x + 30, y + 20), shapely.box(x, y, x + 3000, y + 900)
    holed = shapely.Polygon(house.exterior, [shapely.box(x + 5, y + 5, x + 8, y + 9).exterior])
    road = shapely.LineString([(x, y), (x + 2500, y + 100)])
    # many short edges make a large shape that bends nowhere
    lake = shapely.Point(x, y).buffer(2000, quad_segs=256)
    ids = [UUID(int=k) for k in range(1, 8)]
    moves.look(array(house, field, None, holed, road, lake, shapely.Point(x, y)), ids.__getitem__)
    moves.end()
    (loss,) = report.losses
    assert (loss.what, list(loss.ids)) == ("long edges", [ids[1], ids[4]])
    told = float(re.search(r"up to (\S+) pixels off", " ".join(report.notes))[1])
    assert FINE < told < 10


def test_edges_cut_at_the_antimeridian_are_not_taken_for_long_ones() -> None:
    grid = Grid.from_transform((10.0, 0, 790_000, 0, -10.0, 8_000_000), (6000, 6000), GeoFrame.of("EPSG:32760"))
    moves, report = reprojection(grid)
    low, high = grid.to_world([[5000, 100], [4990, 5900]])
    moves.look(array(shapely.LineString([low, high])), lambda k: UUID(int=k + 1))
    assert report.lossless

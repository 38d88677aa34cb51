"""What a pen draws is what lies within its reach, on any grid; and no coordinate, however wild, disturbs the others."""

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import RULES, Rule, burn, ellipse_pen, prepare

ROWS, COLUMNS = 23, 31
TRANSFORMS = {
    "north-up": (1.0, 0.0, 0.0, 0.0, -1.0, 24.0),
    "half metres": (0.5, 0.0, -3.0, 0.0, -0.5, 9.0),
    "turned and scaled": (1.0, 1.0, -4.0, -1.0, 1.0, 12.0),
    "sheared": (1.0, 0.5, 0.0, 0.0, -1.0, 24.0),
    "decimetres in UTM": (0.3, 0.0, 500000.0, 0.0, -0.3, 4000000.0),
}
NEAR = 1e-6
"""Of a pen's reach: how far from its border rounding decides."""

place = st.floats(-12, 42, allow_nan=False, width=32)
paths = st.lists(st.tuples(place, place), min_size=1, max_size=5)
reach = st.sampled_from([0.05, 0.6, 3.25, 17.0])
pens = st.tuples(reach, reach, st.floats(0, math.pi))


def world(points: list[tuple[float, float]], transform: tuple[float, ...]) -> np.ndarray:
    a, b, c, d, e, f = transform
    x, y = np.asarray(points, float).T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def drawn_by(path: np.ndarray) -> shapely.Geometry:
    """A line, or of one point that point."""
    return shapely.LineString(path) if len(path) > 1 else shapely.Point(path[0])


@pytest.mark.parametrize("name", list(TRANSFORMS))
@given(path=paths, pen=pens)
@settings(max_examples=40)
def test_a_stroke_holds_the_centres_within_reach_and_touches_the_pixels_within_it(
    name: str, path: list[tuple[float, float]], pen: tuple[float, float, float]
) -> None:
    transform = TRANSFORMS[name]
    grid = Grid.from_transform(transform, (ROWS, COLUMNS), PixelFrame("test"))
    matrix = ellipse_pen(*pen)
    line = drawn_by(world(path, transform))
    prepared = prepare([line], grid, pens=matrix[None])
    # where the pen is the unit disc, its reach is a distance
    plain = np.linalg.inv(matrix)
    origin = np.asarray(shapely.get_coordinates(line)[0])

    def as_disc(points: np.ndarray) -> np.ndarray:
        return (points - origin) @ plain.T

    straight = shapely.transform(line, as_disc)
    row, column = np.mgrid[:ROWS, :COLUMNS]
    centres = as_disc(world(list(zip(column.ravel() + 0.5, row.ravel() + 0.5, strict=True)), transform))
    away = shapely.distance(shapely.points(centres), straight).reshape(ROWS, COLUMNS)
    corners = [as_disc(world([(c + x, r + y)], transform))[0] for r, c in np.ndindex(ROWS, COLUMNS) for x, y in _SQUARE]
    pixels = shapely.polygons(np.reshape(corners, (-1, 4, 2)))
    gap = shapely.distance(pixels, straight).reshape(ROWS, COLUMNS)
    for rule, distance in (("center", away), ("all-touched", gap)):
        found = burn(prepared, np.ones(1, np.uint8), rule=rule) > 0
        sure = np.abs(distance - 1) > NEAR
        np.testing.assert_array_equal(found[sure], (distance < 1)[sure], err_msg=rule)


_SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))

wild = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, -0.0, 2.0**53, 1e18, -1e18])
vertices = st.lists(st.tuples(place | wild, place | wild), min_size=4, max_size=7)
# GDAL 3.10 starts past the right border for an edge that begins on it, and writes into the next row
tame = st.lists(st.tuples(place.filter(lambda x: abs(x - COLUMNS) > NEAR), place), min_size=3, max_size=7)


@pytest.mark.parametrize("rule", RULES)
@given(
    odd=st.lists(st.tuples(st.sampled_from(["polygon", "line", "points"]), vertices), min_size=1, max_size=4),
    even=st.lists(tame, min_size=1, max_size=3),
    inked=st.booleans(),
)
@settings(max_examples=80)
def test_wild_coordinates_change_nothing_beside_their_shape(
    rule: Rule, odd: list, even: list[list[tuple[float, float]]], inked: bool
) -> None:
    transform = TRANSFORMS["north-up"]
    grid = Grid.from_transform(transform, (ROWS, COLUMNS), PixelFrame("test"))
    strange = [_shape(kind, points) for kind, points in odd]
    polygons = [shapely.Polygon(world(points, transform)) for points in even]
    # they come first, so what they paint is painted over
    shapes = [*strange, *polygons]
    matrices = np.tile(np.eye(2) * (2.5 if inked else 0.0), (len(shapes), 1, 1))
    prepared = prepare(shapes, grid, pens=matrices)
    values = np.repeat(np.array([0, 1], np.uint8), [len(strange), len(polygons)]) * np.arange(1, len(shapes) + 1)
    own = burn(prepared, values.astype(np.uint8), rule=rule)
    expected = rasterize(
        list(zip(polygons, values[len(strange) :].tolist(), strict=True)),
        out_shape=grid.shape,
        transform=Affine(*transform),
        all_touched=rule == "all-touched",
        dtype="uint8",
    )
    np.testing.assert_array_equal(own, expected)
    infinite = {k for k, shape in enumerate(strange) if not np.isfinite(shapely.get_coordinates(shape)).all()}
    assert set(prepared.skipped) <= infinite
    assert all(k in prepared.skipped for k in infinite if strange[k].geom_type != "MultiPoint")


def _shape(kind: str, points: list[tuple[float, float]]) -> shapely.Geometry:
    """A shape of any coordinates, closed where it has to be."""
    with np.errstate(invalid="ignore"):
        if kind == "points":
            return shapely.multipoints(np.array(points))
        if kind == "line":
            return shapely.linestrings(np.array(points))
        # a ring that begins with NaN is open to GEOS
        return shapely.polygons(np.array([(3.0, 4.0), *points, (3.0, 4.0)]))

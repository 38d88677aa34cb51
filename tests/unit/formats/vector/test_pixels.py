"""Shapes between the frame and the pixels: there and back, on grids that are turned, stretched and sheared."""

import numpy as np
import pytest
import shapely

from bigimage.errors import Unsupported
from bigimage.formats.vector.pixels import Pixels, require_flat
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.outline import outline
from bigimage.model.shape import Box, Ellipse, Polygon, RotatedBox, kind
from tests.annotated import GRIDS, flat_shapes, volume_shapes

UTM = GeoFrame.of("EPSG:32633")
SHEARED = Grid.from_transform((1.0, 0.4, 0, 0.1, -1.5, 0), (100, 120), UTM)
STRETCHED = Grid.from_transform((2.0, 0, 0, 0, -0.5, 0), (100, 120), UTM)


@pytest.mark.parametrize("name", ["pixel", "geo", "turned"])
def test_every_flat_shape_comes_back(name: str) -> None:
    pixels = Pixels(GRIDS[name])
    for shape in flat_shapes(GRIDS[name]):
        there = pixels.shape_of(shape)
        back = pixels.shape_in_world(there)
        if kind(back) == kind(shape):
            first, second = outline(shape), outline(back)
            assert first == second or shapely.hausdorff_distance(first, second) < 1e-6
        else:
            # a box along the axes of the world is a turned one in pixels
            assert (name, kind(shape)) == ("turned", "box")


@pytest.mark.parametrize("grid", [SHEARED, STRETCHED])
def test_outlines_are_those_of_the_frame_on_any_grid(grid: Grid) -> None:
    pixels = Pixels(grid)
    for shape in (
        Box((3.0, -20.0), (9.0, -10.0)),
        RotatedBox((20.0, -30.0), (8.0, 3.0), 25.0),
        Ellipse((20.0, -30.0), (8.0, 3.0), 25.0),
        Polygon(shapely.box(3, -20, 9, -10)),
    ):
        due = shapely.transform(outline(shape), pixels.of_world)
        found = outline(pixels.shape_of(shape))
        # the polygons that stand for an ellipse begin elsewhere on it, and lie within a part in a thousand
        assert shapely.area(shapely.symmetric_difference(due, found)) <= 6e-3 * shapely.area(due)


def test_what_stays_a_rectangle_stays_a_box() -> None:
    assert kind(Pixels(STRETCHED).shape_of(Box((3.0, -20.0), (9.0, -10.0)))) == "box"
    assert kind(Pixels(STRETCHED).shape_of(RotatedBox((3.0, -20.0), (9.0, 4.0), 30.0))) == "polygon"
    assert (
        kind(Pixels(GRIDS["turned"]).shape_of(Box((500_010.0, 5_000_010.0), (500_020.0, 5_000_015.0)))) == "rotated-box"
    )


def test_volumes_are_not_flat() -> None:
    with pytest.raises(Unsupported, match="flat"):
        require_flat(GRIDS["patient"], "coco")
    contours = volume_shapes(GRIDS["patient"])[0]
    with pytest.raises(Unsupported, match="volumes"):
        Pixels(GRIDS["pixel"]).shape_of(contours)


def test_pixels_are_columns_and_rows_from_the_corner() -> None:
    pixels = Pixels(GRIDS["geo"])
    assert (pixels.width, pixels.height) == (320, 240)
    assert pixels.of_world(np.array([[500_000.0, 5_000_000.0], [500_000.5, 4_999_999.0]])).tolist() == [[0, 0], [1, 2]]

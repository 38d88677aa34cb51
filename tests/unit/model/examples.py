"""Annotations that several tests use."""

from typing import Any
from uuid import UUID

import numpy as np
import shapely

from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.shape import (
    Box,
    Cuboid,
    Ellipse,
    Keypoints,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
)

UTM = GeoFrame("EPSG:32632")
PATIENT = PatientFrame("1.2.840.99")
SCENE = Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_400_000), (2000, 3000), UTM)
SCAN = Grid((40, 100, 120), ((0, 0, 1, -60), (0, 1, 0, -50), (2.5, 0, 0, 100)), PATIENT)
PLAIN = Grid.pixels((1000, 700), "plain")
TURN = (0.5, 0.5, 0.5, 0.5)


def uid(number: int) -> UUID:
    return UUID(int=number + (1 << 100))


def annotation(shape: Shape, *, number: int = 1, frame: Frame = UTM, image: str = "scene", **fields: Any) -> Annotation:
    return Annotation(**{"id": uid(number), "image": image, "label": "house", "shape": shape, "frame": frame} | fields)


def square(x: float = 500_100, y: float = 5_399_800, side: float = 20) -> Polygon:
    return Polygon(shapely.box(x, y, x + side, y + side))


def ring(z: float, *, low: float = 0, high: float = 10) -> np.ndarray:
    return np.array([[low, low, z], [high, low, z], [high, high, z], [low, high, z]])


def mask(grid: Grid, *, start: tuple[int, ...] | None = None, size: int = 5) -> Mask:
    where = start if start is not None else tuple(n // 2 for n in grid.shape)
    return Mask.of(grid, np.ones((size,) * grid.ndim, dtype=bool), where)


MAP_SHAPES: list[Shape] = [
    Point(shapely.Point(500_010, 5_399_990)),
    MultiPoint(shapely.MultiPoint([(500_010, 5_399_990), (500_020, 5_399_900)])),
    Line(shapely.LineString([(500_010, 5_399_990), (500_050, 5_399_950)])),
    square(),
    Polygon(
        shapely.MultiPolygon([square().geometry.buffer(9).difference(square().geometry), square(x=500_300).geometry])
    ),
    Box((500_100, 5_399_800), (500_120, 5_399_820)),
    RotatedBox((500_200, 5_399_700), (30, 10), 25.0),
    Ellipse((500_200, 5_399_700), (30, 10), 25.0),
    Keypoints(((500_200, 5_399_700), None, (500_210, 5_399_705)), (2, 0, 1), ("a", "b", "c"), ((0, 2),)),
    mask(SCENE),
    Tag(),
    Tag(region="north"),
]
BODY_SHAPES: list[Shape] = [
    Point(shapely.Point(1, 2, 130)),
    Line(shapely.LineString([(1, 2, 130), (5, 5, 140)])),
    PlanarContours.of([ring(120), ring(120, low=2, high=4), ring(122.5)]),
    Box((0, 0, 110), (10, 10, 120)),
    RotatedBox((0, 0, 120), (10, 5), TURN),
    Ellipse((0, 0, 120), (10, 5, 3), TURN),
    Ellipse((0, 0, 120), (10, 5), TURN),
    Keypoints(((0, 0, 120), (5, 5, 125)), (2, 2)),
    Cuboid((0, 0, 120), (10, 5, 3), TURN),
    mask(SCAN),
    Tag(plane="axial", index=3),
]
PIXELS = PixelFrame("plain")

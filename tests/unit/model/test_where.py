"""Slabs: which shapes one slice of a volume shows."""

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
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
    RotatedBox,
    Shape,
    Tag,
)
from bigimage.model.where import Slab, touches
from tests.unit.model.examples import BODY_SHAPES, SCAN, ring

DIAGONAL = (float(np.sqrt(0.5)), 0.0, float(np.sqrt(0.5)))
HALF = float(np.sqrt(0.5))


def axial(z: float, thickness: float = 0.0) -> Slab:
    return Slab((0, 0, z), (0, 0, 1), thickness)


@pytest.mark.parametrize(
    ("shape", "slab", "expected"),
    [
        (Point(shapely.Point(1, 2, 5)), axial(5), True),
        (Point(shapely.Point(1, 2, 5)), axial(6, 1.9), False),
        (Point(shapely.Point(1, 2, 5)), axial(6, 2), True),
        (MultiPoint(shapely.MultiPoint([(0, 0, 0), (0, 0, 9)])), axial(5, 2), False),
        (Line(shapely.LineString([(0, 0, 0), (0, 0, 9)])), axial(5), True),
        (PlanarContours.of([ring(1), ring(9)]), axial(5, 2), False),
        (PlanarContours.of([ring(1), ring(9)]), axial(8.5, 1), True),
        (Box((0, 0, 0), (1, 1, 4)), axial(4.1), False),
        (Box((0, 0, 0), (1, 1, 4)), axial(4), True),
        (Box((0, 0, 0), (1, 1, 1)), Slab((1, 0, 1.01), DIAGONAL, 0), False),
        (Box((0, 0, 0), (1, 1, 1)), Slab((1, 0, 1), DIAGONAL, 0), True),
        (RotatedBox((0, 0, 0), (4, 2), (HALF, 0, HALF, 0)), axial(1.9), True),
        (RotatedBox((0, 0, 0), (4, 2), (1.0, 0, 0, 0)), axial(0.1), False),
        (Cuboid((0, 0, 0), (4, 2, 2), (HALF, 0, HALF, 0)), axial(1.9), True),
        (Cuboid((0, 0, 0), (4, 2, 2)), axial(1.9), False),
        (Ellipse((0, 0, 0), (4, 2, 1), (HALF, 0, HALF, 0)), axial(3.9), True),
        (Ellipse((0, 0, 0), (4, 2, 1), (1.0, 0, 0, 0)), axial(1.1), False),
        (Keypoints(((0, 0, 0), None, (0, 0, 9)), (2, 0, 2)), axial(9), True),
        (Keypoints(((0, 0, 0), None, (0, 0, 9)), (2, 0, 2)), axial(5), False),
        (Mask.of(SCAN, np.ones((2, 3, 3), dtype=bool), (10, 0, 0)), axial(100 + 2.5 * 12), True),
        (Mask.of(SCAN, np.ones((2, 3, 3), dtype=bool), (10, 0, 0)), axial(100 + 2.5 * 12.1), False),
        (Mask(SCAN, {}), axial(110), False),
        (Tag(plane="axial", index=3), axial(5), False),
    ],
    ids=str,
)
def test_touching(shape: Shape, slab: Slab, expected: bool) -> None:
    assert touches(shape, slab) is expected


@pytest.mark.parametrize("shape", [s for s in BODY_SHAPES if not isinstance(s, Tag)], ids=lambda s: type(s).__name__)
def test_a_thick_slab_touches_everything(shape: Shape) -> None:
    assert touches(shape, Slab((0, 0, 120), DIAGONAL, 1000))


@pytest.mark.parametrize(
    "values", [((0, 0), (0, 0, 1), 1), ((0, 0, 0), (0, 0, 2), 1), ((0, 0, 0), (0, 0, 1), -1)], ids=str
)
def test_slabs_that_make_no_sense_are_refused(values: tuple[tuple[float, ...], tuple[float, ...], float]) -> None:
    with pytest.raises(InputError):
        Slab(*values)

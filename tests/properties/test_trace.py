"""Tracing labels and burning the shapes gives the labels back, bit for bit, on any grid and however it is cut."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import burn, prepare
from bigimage.rasterize.trace import trace

TRANSFORMS = [(1, 0, 0, 0, 1, 0), (0.3, 0, 500000, 0, -0.3, 4000000), (0.6, 0.8, 10, -0.8, 0.6, 12)]
labels = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.integers(0, 3))
)


@given(image=labels, transform=st.sampled_from(TRANSFORMS), block=st.integers(1, 30), merge=st.booleans())
@settings(max_examples=200)
def test_burning_what_was_traced_gives_the_labels_back(
    image: np.ndarray, transform: tuple[float, ...], block: int, merge: bool
) -> None:
    grid = Grid.from_transform(transform, image.shape, PixelFrame("test"))
    traced = trace(image, grid, block=block, merge=merge)
    assert shapely.is_valid(traced.shapes).all()
    np.testing.assert_array_equal(burn(prepare(traced.shapes, grid), traced.values, dtype=np.int32), image)


@given(image=labels, block=st.integers(1, 30))
@settings(max_examples=100)
def test_blocks_change_no_corner(image: np.ndarray, block: int) -> None:
    grid = Grid.from_transform(TRANSFORMS[0], image.shape, PixelFrame("test"))
    whole, pieces = trace(image, grid), trace(lambda box: image[box.slices], grid, block=block)
    np.testing.assert_array_equal(whole.values, pieces.values)
    assert shapely.equals_identical(shapely.normalize(whole.shapes), shapely.normalize(pieces.shapes)).all()


@given(image=labels, tolerance=st.floats(0.5, 4))
@settings(max_examples=100)
def test_smoothed_shapes_share_their_borders(image: np.ndarray, tolerance: float) -> None:
    grid = Grid.from_transform(TRANSFORMS[0], image.shape, PixelFrame("test"))
    shapes = trace(image, grid, tolerance=tolerance).shapes
    assert shapely.is_valid(shapes).all()
    overlap = shapely.area(shapes).sum() - shapely.area(shapely.union_all(shapes))
    assert abs(overlap) < 1e-9 * image.size

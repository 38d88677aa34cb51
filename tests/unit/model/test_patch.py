"""Pixels cross a door only with a grid that fits them."""

import numpy as np
import pytest

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch

GRID = Grid.pixels((3, 4), "a")


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5, 2, 3, 4)])
def test_spatial_axes_come_last(shape: tuple[int, ...]) -> None:
    assert Patch(np.zeros(shape), GRID, np.ones((3, 4), dtype=bool)).array.shape == shape


@pytest.mark.parametrize("shape", [(4, 3), (3, 4, 2), (4,), (3, 5)])
def test_an_array_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"does not fit a grid of shape \(3, 4\)"):
        Patch(np.zeros(shape), GRID)


def test_validity_is_over_the_spatial_axes_only() -> None:
    with pytest.raises(InputError, match=r"validity of shape \(1, 3, 4\)"):
        Patch(np.zeros((1, 3, 4)), GRID, np.ones((1, 3, 4), dtype=bool))

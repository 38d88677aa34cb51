"""Colour maps by name."""

import numpy as np
import pytest

from bigimage.errors import InputError
from tilesrv.colormaps import STOPS, colormap, colormap_names


@pytest.mark.parametrize("name", sorted(STOPS))
def test_a_map_passes_through_its_stops(name: str) -> None:
    table = colormap(name)
    assert table.shape == (256, 4)
    assert table.dtype == np.uint8
    assert (table[:, 3] == 255).all()
    for stop in STOPS[name].split():
        place, colour = stop.split(":")
        assert table[int(place), :3].tobytes().hex() == colour


def test_gray_is_the_tone_itself() -> None:
    np.testing.assert_array_equal(colormap("gray")[:, :3], np.repeat(np.arange(256)[:, None], 3, axis=1))


def test_a_reversed_map_begins_at_the_other_end() -> None:
    np.testing.assert_array_equal(colormap("viridis_r"), colormap("viridis")[::-1])


def test_every_name_has_a_map_that_nobody_can_change() -> None:
    assert {"viridis", "magma_r", "turbo"} <= set(colormap_names())
    for name in colormap_names():
        with pytest.raises(ValueError, match="read-only"):
            colormap(name)[0] = 0


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'jet2' is not one of gray, viridis"):
        colormap("jet2")

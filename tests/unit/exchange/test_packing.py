"""Layers that share no pixel become one, and what they hold stays as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import Cancelled
from bigimage.exchange.packing import packed
from bigimage.formats.door import MaskStream, Segment
from bigimage.geometry.box import IndexBox
from bigimage.model.labels import Label
from tests.masks import everything, grids, stream

GRID = grids()["axial"]


def mask(bits: np.ndarray, values: list[int] | None = None) -> MaskStream:
    """A segment in each layer (layer, z, y, x), of values from 1 or of those given."""
    numbers = values or list(range(1, len(bits) + 1))
    segments = [Segment(value=v, label=Label(name=f"s{k}", value=k + 1), layer=k) for k, v in enumerate(numbers)]
    layers = np.stack([layer * np.uint8(v) for layer, v in zip(bits, numbers, strict=True)])
    return stream(layers, GRID, segments)


def shown(made: MaskStream) -> dict[str, np.ndarray]:
    """Bits of each segment by its name."""
    pixels = everything(made)
    return {s.label.name: pixels[s.layer] == s.value for s in made.segments}


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.001, 0.2))
def test_every_segment_keeps_its_pixels(seed: int, layers: int, share: float) -> None:
    bits = np.random.default_rng(seed).random((layers, *GRID.shape)) < share**3
    before = mask(bits)
    after = packed(before)
    assert after.layers <= before.layers
    assert all(np.array_equal(shown(after)[name], found) for name, found in shown(before).items())
    for a in after.segments:
        for b in after.segments:
            overlap = (bits[a.value - 1] & bits[b.value - 1]).any()
            assert a.value == b.value or not (overlap and a.layer == b.layer)


def test_layers_go_where_they_share_no_pixel() -> None:
    bits = np.zeros((4, *GRID.shape), bool)
    bits[0, :, :5], bits[1, :, 4:9], bits[2, :, 10:12], bits[3, 8, 8, 8] = True, True, True, True
    made = packed(mask(bits))
    assert [(s.value, s.layer) for s in made.segments] == [(1, 0), (2, 1), (3, 0), (4, 0)]
    part = IndexBox((8, 8, 0), (9, 12, 30))
    assert np.array_equal(made.read(0, part), everything(made)[0][part.slices])


def test_what_cannot_be_put_together_stays() -> None:
    bits = np.zeros((2, *GRID.shape), bool)
    same = mask(bits, [3, 3])
    assert packed(same) is same
    single = mask(bits[:1])
    assert packed(single) is single


def test_it_stops_when_asked() -> None:
    with pytest.raises(Cancelled, match="nothing was written"):
        packed(mask(np.zeros((2, *GRID.shape), bool)), stop=lambda: True)

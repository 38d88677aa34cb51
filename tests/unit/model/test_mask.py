"""Masks: sparse chunks of bits, their boxes, run lengths and strokes."""

import numpy as np
import pytest

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model import mask as masks
from bigimage.model.mask import FULL, Mask, from_rle, to_rle

PLANE = Grid.pixels((1000, 700), "scene")
VOLUME = Grid((40, 100, 120), ((0, 0, 1, 0), (0, 1, 0, 0), (3, 0, 0, 0)), PatientFrame("1.2.3"))


def blob(shape: tuple[int, ...], *, seed: int = 1, density: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


@pytest.mark.parametrize(
    ("grid", "shape", "start"), [(PLANE, (300, 400), (250, 100)), (VOLUME, (20, 80, 70), (7, 3, 40))]
)
def test_a_mask_gives_back_its_bits(grid: Grid, shape: tuple[int, ...], start: tuple[int, ...]) -> None:
    bits = blob(shape)
    mask = Mask.of(grid, bits, start)
    whole = np.zeros(grid.shape, dtype=bool)
    box = IndexBox.of_shape(shape).shift(start)
    whole[box.slices] = bits
    assert np.array_equal(mask.read(grid.box), whole)
    assert np.array_equal(mask.read(box), bits)
    assert mask.count == bits.sum()


def test_the_box_of_a_mask_is_tight() -> None:
    bits = np.zeros((600, 600), dtype=bool)
    bits[300, 10] = bits[511, 599] = True
    assert Mask.of(PLANE, bits, (5, 7)).box == IndexBox((305, 17), (517, 607))
    assert Mask(PLANE, {}).box is None


def test_empty_chunks_are_not_kept_and_full_ones_are_shared() -> None:
    bits = np.zeros((768, 512), dtype=bool)
    bits[256:512, 0:256] = True
    bits[512, 300] = True
    mask = Mask.of(PLANE, bits)
    assert set(mask.chunks) == {(1, 0), (2, 1)}
    assert mask.chunks[1, 0] is FULL


def test_bits_beyond_the_grid_are_refused() -> None:
    with pytest.raises(OutOfBounds, match="stick out"):
        Mask.of(PLANE, np.ones((2, 2), dtype=bool), (999, 0))


@pytest.mark.parametrize("op", ["add", "subtract"])
def test_a_stroke_changes_the_bits_it_covers(op: masks.MaskOp) -> None:
    first, second = blob((700, 600)), blob((400, 300), seed=2)
    stroke = Mask.of(PLANE, second, (200, 250))
    painted = Mask.of(PLANE, first).paint(op, stroke)
    expected = first.copy()
    part = expected[200:600, 250:550]
    part[second] = op == "add"
    assert np.array_equal(painted.read(IndexBox((0, 0), (700, 600))), expected)
    assert painted == Mask.of(PLANE, expected)


def test_subtracting_everything_leaves_no_chunk() -> None:
    mask = Mask.of(PLANE, blob((700, 600)))
    assert mask.paint("subtract", mask).chunks == {}
    everything = Mask.of(PLANE, np.ones(PLANE.shape, dtype=bool))
    assert mask.paint("subtract", everything).chunks == {}
    assert mask.paint("add", everything) == everything


def test_a_stroke_on_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match="grid"):
        Mask(PLANE, {}).paint("add", Mask(Grid.pixels((1000, 700), "other"), {}))


def test_run_lengths_count_zeros_first_with_x_fastest() -> None:
    bits = np.array([[0, 1, 1], [1, 0, 0]], dtype=bool)
    mask = Mask.of(PLANE, bits, (10, 20))
    assert to_rle(mask, IndexBox((10, 20), (12, 23))) == [1, 3, 2]
    assert to_rle(mask, IndexBox((10, 21), (11, 23))) == [0, 2]


@pytest.mark.parametrize(
    ("grid", "shape", "start"), [(PLANE, (600, 333), (250, 101)), (VOLUME, (33, 80, 70), (7, 3, 40))]
)
def test_run_lengths_round_trip_across_chunks(grid: Grid, shape: tuple[int, ...], start: tuple[int, ...]) -> None:
    mask = Mask.of(grid, blob(shape, density=0.01), start)
    box = IndexBox.of_shape(shape).shift(start)
    assert from_rle(grid, box, to_rle(mask, box)) == mask


@pytest.mark.parametrize(
    "counts", [[], [3], [1, 4], [-1, 5], [1, 2, 3], [2**62, 2**62, 2**62, 2**62, 4], [0, 0, 0, 3]], ids=str
)
def test_run_lengths_that_do_not_fit_are_refused(counts: list[int]) -> None:
    with pytest.raises(InputError, match="run lengths"):
        from_rle(PLANE, IndexBox((0, 0), (2, 2)), counts)


def test_run_lengths_cost_no_dense_array() -> None:
    grid = Grid.pixels((1_000_000, 60_000), "huge")
    mask = from_rle(grid, IndexBox((0, 0), (1_000_000, 60_000)), [0, 3, 1_000_000 * 60_000 - 3])
    assert mask.box == IndexBox((0, 0), (1, 3))


def test_a_box_outside_the_grid_or_too_wide_is_refused() -> None:
    with pytest.raises(OutOfBounds):
        from_rle(PLANE, IndexBox((0, 0), (1, 701)), [701])
    with pytest.raises(OutOfBounds):
        from_rle(PLANE, IndexBox((0, 0), (0, 5)), [])
    wide = Grid.pixels((2, 1 << 30), "wide")
    with pytest.raises(InputError, match="too wide"):
        from_rle(wide, wide.box, [1 << 31])

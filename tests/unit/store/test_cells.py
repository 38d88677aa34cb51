"""Cells: every annotation that touches a window lies in the runs of cells that stand for it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.store.cells import LEVEL_SHIFT, LEVELS, block, cells, levels_of, ranges

EVERY = (1 << LEVELS) - 1
coordinate = st.floats(-1e9, 1e9) | st.floats(-1e-6, 1e-6) | st.integers(-64, 64).map(float)
length = st.floats(0, 1e-3) | st.floats(0, 1e3) | st.floats(0, 1e9) | st.sampled_from([0.0, 1.0, 2.0, 64.0])


@st.composite
def boxes(draw: st.DrawFn, ndim: int) -> tuple[list[float], list[float]]:
    low = [draw(coordinate) for _ in range(ndim)]
    return low, [v + draw(length) for v in low]


def holds(runs: list[tuple[int, int]], cell: int) -> bool:
    return any(a <= cell <= b for a, b in runs)


@pytest.mark.parametrize("ndim", [2, 3])
@given(data=st.data())
def test_what_touches_a_window_lies_in_its_runs(ndim: int, data: st.DataObject) -> None:
    low, high = data.draw(boxes(ndim))
    # a window through a point of the box
    part = [data.draw(st.floats(0, 1)) for _ in range(ndim)]
    inside = [min(b, a + p * (b - a)) for a, b, p in zip(low, high, part, strict=True)]
    window_low = [v - data.draw(length) for v in inside]
    window_high = [v + data.draw(length) for v in inside]
    cell = cells(np.array([low]), np.array([high]))
    assert holds(ranges(window_low, window_high, levels_of(cell)), int(cell[0]))
    assert holds(ranges(window_low, window_high, EVERY), int(cell[0]))


@pytest.mark.parametrize("ndim", [2, 3])
@given(data=st.data())
def test_runs_are_sorted_apart_and_few(ndim: int, data: st.DataObject) -> None:
    runs = ranges(*data.draw(boxes(ndim)), 1 << data.draw(st.integers(0, LEVELS - 1)))
    assert 1 <= len(runs) <= (16 if ndim == 2 else 27)
    assert all(a <= b for a, b in runs)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(runs))


def test_a_level_holds_sizes_of_half_its_cells_and_more() -> None:
    sizes = [0.5, 0.999, 1.0, 1.999, 2.0, 3.0]
    found = cells(np.zeros((6, 2)), np.array([[s, s / 2] for s in sizes]))
    assert (found >> LEVEL_SHIFT).tolist() == [30, 30, 31, 31, 32, 32]


def test_no_level_no_run() -> None:
    assert ranges([0, 0], [1, 1], 0) == []


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_block_is_told_from_its_number(ndim: int) -> None:
    rng = np.random.default_rng(1)
    places = rng.integers(-500, 500, (50, ndim))
    points = places + 0.5
    found = cells(points - 0.25, points + 0.25)  # cells of size 1
    codes = (found & ((1 << LEVEL_SHIFT) - 1)).tolist()
    assert {int(v) for v in found >> LEVEL_SHIFT} == {30}
    assert [block(code, ndim, 0) for code in codes] == [tuple(p) for p in places.tolist()]
    assert [block(code >> 3 * ndim, ndim, 3) for code in codes] == [tuple(p) for p in (places // 8).tolist()]


def test_a_window_reads_little_more_than_it_shows() -> None:
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 10_000, (50_000, 2))
    high = low + rng.uniform(5, 30, (50_000, 2))
    found = np.sort(cells(low, high))
    levels = levels_of(found)
    read = shown = 0
    for x, y in rng.uniform(0, 9_000, (50, 2)).tolist():
        for a, b in ranges([x, y], [x + 1000, y + 1000], levels):
            read += int(np.searchsorted(found, b, side="right") - np.searchsorted(found, a))
        shown += int(((low <= [x + 1000, y + 1000]) & (high >= [x, y])).all(axis=1).sum())
    assert read < 3 * shown

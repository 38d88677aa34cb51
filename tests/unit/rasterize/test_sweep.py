"""The area of a row, edge by edge."""

import numpy as np
import pytest

from bigimage.rasterize.sweep import UNIT, sweep_row, x_at, y_at


def row_areas(edges: list[tuple[float, ...]], parts: list[int], columns: int) -> np.ndarray:
    segments = np.array(edges)
    span = np.clip(segments[:, [1, 3]], 0, 1)
    sums = np.zeros(columns + 1, np.int64)
    sweep_row(segments, np.array(parts), span, np.zeros(max(parts) + 1, bool), 0, 0, sums)
    return np.cumsum(sums)[:columns] / UNIT


def test_a_slanted_border_is_cut_at_every_column() -> None:
    areas = row_areas([(0.0, 0.0, 4.0, 1.0), (5.0, 0.0, 5.0, 1.0)], [0, 0], 6)
    np.testing.assert_allclose(areas, [0.125, 0.375, 0.625, 0.875, 1.0, 0.0], atol=1e-12)


def test_crossing_borders_of_two_parts_are_united() -> None:
    # two triangles that cross at (1, 0.5)
    areas = row_areas(
        [(0.0, 0.0, 2.0, 1.0), (2.0, 0.0, 2.0, 1.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0, 1.0)], [0, 0, 1, 1], 3
    )
    np.testing.assert_allclose(areas, [0.75, 0.75, 0.0], atol=1e-12)


def test_edges_of_one_part_that_coincide_cancel() -> None:
    areas = row_areas(
        [(0.0, 0.0, 0.0, 1.0), (0.5, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0), (2.0, 0.0, 2.0, 1.0)], [0] * 4, 3
    )
    np.testing.assert_array_equal(areas, [1.0, 1.0, 0.0])


@pytest.mark.parametrize("y", [-3.0, 0.0, 0.3, 1.0, 9.0])
def test_places_on_an_edge_never_leave_it(y: float) -> None:
    edge = np.array([7.0, 0.0, 3.0, 1.0])
    x = x_at(edge, y)
    assert 3.0 <= x <= 7.0
    if 0 <= y <= 1:
        assert y_at(edge, x) == pytest.approx(y)

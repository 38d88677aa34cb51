"""Intervals of ellipses and strokes on a row, against the definition."""

import math

import numpy as np
import pytest

from bigimage.rasterize.strokes import _ellipse_interval, _flank, _stroke_interval


@pytest.mark.parametrize("seed", range(5))
def test_an_ellipse_reaches_as_far_as_its_border(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pen = rng.uniform(-4, 4, 4)
    angle = np.linspace(0, 2 * np.pi, 200_001)
    x, y = pen[0] * np.cos(angle) + pen[1] * np.sin(angle), pen[2] * np.cos(angle) + pen[3] * np.sin(angle)
    for low, high in [(-0.5, 0.5), (0.3, 0.31), (1.0, 9.0)]:
        chosen = (y >= low) & (y <= high)
        left, right = _ellipse_interval(0.0, 0.0, pen, low, high)
        assert left == pytest.approx(x[chosen].min(), abs=2e-2)
        assert right == pytest.approx(x[chosen].max(), abs=2e-2)


def test_rows_beyond_an_ellipse_are_empty() -> None:
    left, right = _ellipse_interval(0.0, 10.0, np.array([2.0, 0.0, 0.0, 2.0]), 12.5, 12.5)
    assert left > right


def test_a_circle_is_exact_on_whole_numbers() -> None:
    assert _ellipse_interval(0.0, 0.0, np.array([5.0, 0.0, 0.0, 5.0]), 3.0, 3.0) == (-4.0, 4.0)


def test_the_flank_of_a_circle_is_across() -> None:
    x, y = _flank(3.0, 4.0, np.array([5.0, 0.0, 0.0, 5.0]))
    assert (abs(x), abs(y)) == (4.0, 3.0)
    assert x * 3 + y * 4 == 0


def test_a_stroke_is_as_wide_as_its_pen() -> None:
    pen = np.array([1.0, 0.0, 0.0, 1.0])
    flank = _flank(10.0, 10.0, pen)
    left, right = _stroke_interval((0.0, 0.0, 10.0, 10.0), flank, pen, 5.0, 5.0)
    assert right - left == pytest.approx(2 * math.sqrt(2))
    assert 0.5 * (left + right) == pytest.approx(5.0)

"""Thin lines and touched pixels: GDAL's steps, solved where GDAL counts them, and lines of any length."""

import numpy as np
import pytest
import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize import lines
from bigimage.rasterize.burn import Rule, burn, prepare

ONE = np.ones(1, np.uint8)


def bresenham(x0: int, y0: int, x1: int, y1: int) -> set[tuple[int, int]]:
    """Pixels by the textbook's error sum."""
    dx, dy = abs(x1 - x0), abs(y1 - y0)
    sx, sy = (1 if x1 >= x0 else -1), (1 if y1 >= y0 else -1)
    steep = dy > dx
    major, minor = (dy, dx) if steep else (dx, dy)
    error, x, y, out = 2 * minor - major, x0, y0, set()
    for _ in range(major + 1):
        out.add((y, x))
        if error > 0:
            x, y = (x + sx, y) if steep else (x, y + sy)
            error -= 2 * major
        error += 2 * minor
        x, y = (x, y + sy) if steep else (x + sx, y)
    return out


def test_thin_lines_are_bresenhams_from_the_last_vertex() -> None:
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (40, 40), PixelFrame("test"))
    rng = np.random.default_rng(6)
    for _ in range(100):
        x0, y0, x1, y1 = (int(v) for v in rng.integers(0, 40, 4))
        line = shapely.LineString([(x0 + 0.3, y0 + 0.9), (x1 + 0.3, y1 + 0.9)])
        pixels = burn(prepare([line], grid), ONE)
        assert set(map(tuple, np.argwhere(pixels).tolist())) == bresenham(x1, y1, x0, y0)


@pytest.mark.parametrize("rule", ["center", "all-touched"])
def test_a_window_far_along_a_line_of_a_billion_pixels(rule: Rule) -> None:
    side = 2_000_000_000
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (side, side), PixelFrame("test"))
    prepared = prepare([shapely.LineString([(0.5, 0.25), (side - 0.5, 0.5 * side + 0.25)])], grid)
    middle = IndexBox((side // 4 - 9, side // 2 - 16), (side // 4 + 9, side // 2 + 16))
    pixels = burn(prepared, ONE, middle, rule=rule)
    assert (pixels.sum(axis=0) >= 1).all()  # every column is passed
    rows, columns = np.nonzero(pixels)
    assert (np.abs((columns - 16) / 2 - (rows - 9)) <= 1.5).all()


def test_walking_by_cells_finds_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (60, 60), PixelFrame("test"))
    rng = np.random.default_rng(8)
    edges = rng.uniform(-20, 80, (50, 4))
    window = (0, 60, 0, 60, 0, 0)
    for edge in edges:
        ordered = tuple(float(v) for v in (edge if edge[0] < edge[2] else edge[[2, 3, 0, 1]]))
        found = []
        for cell in (1 << 18, 16):
            monkeypatch.setattr(lines, "LONG_WALK", cell)
            runs, n = lines._walk_far.py_func(ordered, np.array(grid.shape), window, np.zeros((9, 4), np.int32), 0)
            found.append({(int(r[0]), c) for r in runs[:n] for c in range(r[1], r[2])})
        assert found[0] == found[1]


def test_runs_of_pixels_grow_at_both_ends_and_never_into_another_part() -> None:
    runs = np.zeros((1, 4), np.int32)
    runs[0] = (3, 7, 9, 5)  # belongs to shape 5
    n = 1
    for column in (9, 8, 10, 9):
        runs, n = lines._put(runs, n, 3, column)
    assert runs[:n].tolist() == [[3, 7, 9, 5], [3, 8, 11, lines.OPEN]]


def test_edges_of_rings_along_pixel_borders_touch_neither_side() -> None:
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (8, 8), PixelFrame("test"))
    square = shapely.box(2, 2, 5, 5)
    assert burn(prepare([square], grid), ONE, rule="all-touched").sum() == 9
    assert burn(prepare([square.exterior], grid), ONE, rule="all-touched").sum() > 9

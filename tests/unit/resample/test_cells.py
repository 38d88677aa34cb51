"""Judging, bounding and sorting cells."""

import numpy as np
import pytest

from bigimage.resample.cells import DROP, KEEP, SPLIT, Cells, bound, judge, rows


def nodes_of(corner: tuple[float, float], step: float, bend: float = 0.0) -> np.ndarray:
    """Nodes (1, 3, 3, 2) of one cell, its middle moved by `bend`."""
    y, x = np.mgrid[:3, :3] * float(step)
    nodes = np.stack([y + corner[0], x + corner[1]], axis=-1)[None]
    nodes[0, 1, 1] += bend
    return nodes


def judged(nodes: np.ndarray, columns: float = 0.0) -> tuple[int, np.ndarray]:
    verdict, kept = np.empty(1, np.int64), np.empty((1, 3, 3, 2))
    judge()(nodes, columns, np.array([100, 200]), 0.02, verdict, kept)
    return int(verdict[0]), kept[0]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (nodes_of((10, 10), 5), KEEP),
        (nodes_of((10, 10), 5, 0.019), KEEP),
        (nodes_of((10, 10), 5, 0.021), SPLIT),
        (nodes_of((-11.5, 10), 5), DROP),
        (nodes_of((-10.5, 10), 5), KEEP),
        (nodes_of((101.5, 10), 5), DROP),
        (nodes_of((10, 201.5), 5), DROP),
        (nodes_of((-15, 10), 5, 1.0), SPLIT),
        (nodes_of((-60, 10), 5, 1.0), DROP),
        (nodes_of((10, 10), 5, np.nan), SPLIT),
        (nodes_of((10, 10), 5, np.inf), SPLIT),
        (np.full((1, 3, 3, 2), np.inf), DROP),
    ],
)
def test_a_cell_is_kept_split_or_dropped(nodes: np.ndarray, expected: int) -> None:
    assert judged(nodes)[0] == expected


def test_each_cell_of_a_square_is_judged_with_its_own_nodes() -> None:
    y, x = np.mgrid[:5, :5] * 4.0
    nodes = np.stack([y + 70, x + 10], axis=-1)[None]
    nodes[0, 3, 3] += 1
    verdict, kept = np.empty(4, np.int64), np.empty((4, 3, 3, 2))
    judge()(nodes, 0.0, np.array([77, 200]), 0.02, verdict, kept)
    assert verdict.tolist() == [KEEP, KEEP, DROP, SPLIT]
    np.testing.assert_array_equal(kept[1], nodes[0, :3, 2:])
    np.testing.assert_array_equal(kept[3], nodes[0, 2:, 2:])


@pytest.mark.parametrize("turns", [-2, 0, 3])
def test_a_cell_across_the_antimeridian_lies_on_one_side(turns: int) -> None:
    nodes = nodes_of((10, 190), 8)
    nodes[..., 1] = nodes[..., 1] % 200 + 200 * turns
    verdict, kept = judged(nodes, 200.0)
    assert verdict == KEEP
    assert kept[0, :, 1].tolist() in ([190, 198, 206], [-10, -2, 6])


def test_a_cell_beyond_one_end_touches_an_image_that_begins_at_the_other() -> None:
    # 360 columns once around, of which the image has 200
    assert judged(nodes_of((10, 350), 8), 360.0)[0] == KEEP
    assert judged(nodes_of((10, 250), 8), 360.0)[0] == DROP


def cells_of(*places: tuple[int, int, int]) -> Cells:
    steps = (0, 0.5, 1)
    nodes = [[[(2.0 * (t + a * s), 3.0 * (x + b * s)) for b in steps] for a in steps] for t, x, s in places]
    return Cells(np.array(places), np.array(nodes), np.ones((len(places), 2)))


def test_bounds_are_those_of_the_pixels_in_the_part() -> None:
    cells = cells_of((0, 0, 16), (0, 16, 16), (16, 0, 1))
    out = np.empty((3, 4))
    assert bound()(cells, np.array([0, 256, 0, 256]), out) == 3
    assert out.tolist() == [[0, 30, 0, 45], [0, 30, 48, 93], [32, 32, 0, 0]]
    assert bound()(cells, np.array([4, 6, 10, 20]), out) == 2
    assert out[:2].tolist() == [[8, 10, 30, 45], [8, 10, 48, 57]]


def test_rows_name_the_cells_that_touch_them() -> None:
    cells = cells_of((0, 0, 4), (0, 4, 2), (2, 4, 1), (100, 0, 8))
    found = rows(cells, np.array([1, 6, 0, 256]))
    near = [found.cell[a:b].tolist() for a, b in zip(found.begin[:-1], found.begin[1:], strict=True)]
    assert near[:5] == [[0, 1], [0, 2], [0], [], []]

"""The spatial index finds what looking at every box finds."""

import numpy as np
import pytest

from bigimage.rasterize.index import mark_blocks, query, sorted_keys


@pytest.mark.parametrize("side", [50, 4096, 100_000, 2**33])
def test_queries_equal_looking_at_every_box(side: int) -> None:
    rng = np.random.default_rng(side)
    low = rng.integers(0, side, (300, 2))
    size = np.minimum(1 + (side * rng.uniform(0, 1, (300, 2)) ** 6).astype(np.int64), side - low)
    box = np.stack([low[:, 0], low[:, 0] + size[:, 0], low[:, 1], low[:, 1] + size[:, 1]], axis=1)
    keys, order = sorted_keys(box, np.array([side, side]))
    assert (np.diff(keys) >= 0).all()
    box = box[order]
    for _ in range(60):
        y, x = rng.integers(0, side, 2)
        window = (int(y), int(min(y + rng.integers(1, side), side)), int(x), int(min(x + rng.integers(1, 99), side)))
        n, found = query(keys, box, window, np.empty(4, np.int64))
        meets = (box[:, 0] < window[1]) & (box[:, 1] > window[0]) & (box[:, 2] < window[3]) & (box[:, 3] > window[2])
        assert sorted(found[:n].tolist()) == np.flatnonzero(meets).tolist()


def test_blocks_are_marked_up_to_their_far_border() -> None:
    marks = np.zeros((3, 3), bool)
    mark_blocks(np.array([[0, 10, 9, 11], [29, 30, 29, 30], [0, 0, 0, 0]]), (10, 10), marks)
    assert np.argwhere(marks).tolist() == [[0, 0], [0, 1], [2, 2]]


def test_parts_of_one_cell_keep_their_order() -> None:
    rng = np.random.default_rng(8)
    corner = rng.integers(0, 5, (500, 2)) * 7000
    box = np.stack([corner[:, 0], corner[:, 0] + 3, corner[:, 1], corner[:, 1] + 3], axis=1)
    keys, order = sorted_keys(box, np.array([40_000, 40_000]))
    assert len(np.unique(keys)) == 25
    # lexsort is stable, and sorts by the rows of cells before the columns, as keys do
    assert order.tolist() == np.lexsort((box[:, 2], box[:, 0])).tolist()


def test_no_parts_have_no_keys() -> None:
    keys, order = sorted_keys(np.empty((0, 4), np.int64), np.array([10, 10]))
    assert keys.tolist() == order.tolist() == []

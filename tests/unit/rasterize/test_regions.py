"""Regions of one block, and their borders."""

import numpy as np

from bigimage.rasterize.regions import borders, components, join, root


def test_regions_are_numbered_in_raster_order_across_joins() -> None:
    labels = np.array([[1, 0, 1, 0, 2], [1, 1, 1, 0, 2], [0, 0, 0, 0, 0], [3, 3, 0, 1, 1]])
    ids, free = components(labels, 0, 5)
    assert ids.tolist() == [[5, 0, 5, 0, 6], [5, 5, 5, 0, 6], [0, 0, 0, 0, 0], [7, 7, 0, 8, 8]]
    assert free == 9


def test_many_regions() -> None:
    labels = (np.indices((60, 60)).sum(axis=0) % 2).astype(np.int64)
    ids, free = components(labels, 0, 1)
    assert free == 1801
    assert (np.unique(ids) == np.arange(1801)).all()


def test_joined_regions_have_the_lowest_number() -> None:
    parent = np.arange(6)
    for a, b in ((4, 2), (5, 4), (2, 1)):
        join(parent, a, b)
    assert [root(parent, k) for k in range(6)] == [0, 1, 1, 3, 1, 1]


def test_a_border_has_its_region_on_the_right_hand() -> None:
    labels = np.zeros((3, 4), np.int64)
    labels[1, 1:3] = 9
    ids = (labels > 0) * 4
    found = borders(labels, ids, 10, 20)
    assert sorted(map(tuple, found.tolist())) == [
        (4, 0, 20, 10, 22, 10),  # east along the top
        (4, 0, 20, 11, 20, 10),  # north along the left
        (4, 0, 22, 10, 22, 11),  # south along the right
        (4, 0, 22, 11, 20, 11),  # west along the bottom
    ]

"""Streams in parts, and the collector that waits meanwhile."""

import gc

from bigimage.formats.batches import batches, collector_paused


def test_the_last_part_may_be_shorter() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_the_collector_goes_on_afterwards_only_where_it_was_on() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()

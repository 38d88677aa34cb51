import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bigimage.collecting import RARELY, collecting_rarely


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 5)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("thresholds")
def test_the_collector_looks_rarely_and_then_as_before() -> None:
    with collecting_rarely():
        assert gc.get_threshold() == (RARELY, 10, 5)
        with collecting_rarely():
            pass
        assert gc.get_threshold() == (RARELY, 10, 5)
    assert gc.get_threshold() == (700, 10, 5)
    with pytest.raises(ValueError, match="x"), collecting_rarely():
        raise ValueError("x")
    assert gc.get_threshold() == (700, 10, 5)


@pytest.mark.usefixtures("thresholds")
@pytest.mark.parametrize("first", [0, 10 * RARELY])
def test_a_collector_that_looks_more_rarely_is_left_alone(first: int) -> None:
    gc.set_threshold(first, 10, 5)
    with collecting_rarely():
        assert gc.get_threshold()[0] == first
    assert gc.get_threshold()[0] == first


@pytest.mark.usefixtures("thresholds")
def test_blocks_of_several_threads_may_overlap() -> None:
    together = Barrier(4)

    def run(_: int) -> int:
        together.wait()
        with collecting_rarely():
            together.wait()
            return gc.get_threshold()[0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [RARELY] * 4
    assert gc.get_threshold() == (700, 10, 5)

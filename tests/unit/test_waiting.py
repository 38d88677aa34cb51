"""Objects that wait in a temporary file."""

import errno
import os

import pytest

from bigimage.errors import BackendError
from bigimage.waiting import Waiting, writing


def test_what_waits_comes_back_in_its_order_as_often_as_asked() -> None:
    waiting: Waiting[dict[str, int]] = Waiting("where numbers wait")
    for k in range(3):
        waiting.add({"k": k})
    assert list(waiting) == list(waiting) == [{"k": 0}, {"k": 1}, {"k": 2}]
    waiting.close()
    waiting.close()
    with pytest.raises(ValueError, match="closed"):
        list(waiting)


def test_a_full_disk_is_told_with_the_remedy() -> None:
    with (
        pytest.raises(BackendError, match="where numbers wait: No space left on device; free space there"),
        writing("where numbers wait"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

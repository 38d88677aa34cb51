"""The point in time of what is imported, where the file does not say it: most formats know single pictures only."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from bigimage.errors import InputError
from bigimage.formats.door import Options
from bigimage.model.annotation import Annotation
from bigimage.model.image import ImageInfo
from bigimage.model.table import Table

OPTION: Mapping[str, str] = {
    "t": "point in time, from 0, of annotations that name none; without it they are about all times"
}


def time_of(options: Options, info: ImageInfo) -> int | None:
    """The point in time that is asked for, None for none. Raises InputError for one that the image does not have."""
    given = options.get("t")
    if given is None:
        return None
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    if not given.isascii() or not given.isdecimal() or int(given[:20]) >= times:
        has = f"points in time 0 to {times - 1}" if times > 1 else "but one point in time, 0"
        raise InputError(f"t={given[:50]!r}: image {info.id} has {has}")
    return int(given)


def timed(annotations: Iterable[Annotation], t: int) -> Iterator[Annotation]:
    """The annotations, those of all times at one."""
    return (replace(a, t=t) if a.t is None else a for a in annotations)


def timed_table(table: Table, t: int | None) -> Table:
    """The same of a table; as it is where no point in time is given."""
    if t is None:
        return table
    times = np.full(len(table), -1, np.int64) if table.times is None else table.times
    return replace(table, times=np.where(times < 0, t, times))

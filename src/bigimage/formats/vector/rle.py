"""COCO's run lengths in 64 bits: columns first, counts from zeros, plain or packed into text.

pycocotools counts in 32 bits and is silently wrong from 2^32 pixels on; here images may be of any size.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.mask import CHUNK_2D, Mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PIECE = 1 << 26
"""Most pixels that are looked at together."""


def runs_of_box(bits: "NDArray[np.bool_]", box: IndexBox, height: int) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """First and last-but-one places, column by column in an image of `height` rows, of the runs within a box."""
    columns = np.zeros((bits.shape[1], bits.shape[0] + 2), dtype=np.int8)
    columns[:, 1:-1] = bits.T
    change = np.diff(columns, axis=1)
    column, row = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    base = (column + box.start[1]) * height + box.start[0]
    return base + row, base + end


def encode(
    read: "Callable[[IndexBox], NDArray[np.bool_]]", box: IndexBox, size: tuple[int, int]
) -> "NDArray[np.int64]":
    """Counts of an image of `size` (rows, columns) whose set pixels all lie within a box, read piece by piece."""
    height, width = size
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    step = max(1, _PIECE // max(1, box.shape[0]))
    for left in range(box.start[1], box.stop[1], step):
        piece = IndexBox((box.start[0], left), (box.stop[0], min(left + step, box.stop[1])))
        first, last = runs_of_box(read(piece), piece, height)
        starts.append(first)
        ends.append(last)
    first, last = (np.concatenate([np.zeros(0, np.int64), *x]) for x in (starts, ends))
    # a run that fills a column to the bottom goes on at the top of the next
    apart = np.concatenate([[True], first[1:] != last[:-1]]) if len(first) else np.zeros(0, bool)
    first = first[apart]
    last = last[np.concatenate([apart[1:], [True]])] if len(last) else last
    bounds = np.empty(2 * len(first) + 2, dtype=np.int64)
    bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, first, last, height * width
    counts = np.diff(bounds)
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def decode(counts: "NDArray[np.int64]", size: tuple[int, int], grid: Grid, *, offset: tuple[int, int] = (0, 0)) -> Mask:
    """Mask on a grid of an image of `size` (rows, columns) whose first pixel lies at `offset` (row, column).

    Raises DataError unless the counts add up to the image and are not negative.
    """
    height, width = size
    if len(counts) and int(counts.min()) < 0:
        raise DataError("run lengths are negative")
    if int(counts.sum(dtype=np.float64)) > 2 * height * width or int(counts.sum()) != height * width:
        raise DataError(f"run lengths add up to {int(counts.sum(dtype=np.float64))}, not to {height} x {width} pixels")
    edges = np.cumsum(counts)
    first, last = edges[0 : len(edges) - 1 : 2], edges[1::2]
    chunks = {}
    for left, bits in _bands(first, last, height, width, offset[1]):
        rows = np.flatnonzero(bits.any(axis=1))
        if len(rows):
            cut = bits[rows[0] : rows[-1] + 1]
            chunks.update(Mask.of(grid, cut, (offset[0] + int(rows[0]), offset[1] + left)).chunks)
    return Mask(grid, chunks)


def _bands(
    first: "NDArray[np.int64]", last: "NDArray[np.int64]", height: int, width: int, shift: int
) -> "Iterator[tuple[int, NDArray[np.bool_]]]":
    """Bits of the columns of each column of chunks that any run touches, with the first column."""
    step = CHUNK_2D[1]
    left = 0
    while left < width:
        right = min(width, (shift + left) // step * step + step - shift)
        low, high = left * height, right * height
        a, b = int(np.searchsorted(last, low, side="right")), int(np.searchsorted(first, high, side="left"))
        if b > a:
            line = np.zeros(high - low + 1, dtype=np.int8)
            np.add.at(line, np.clip(first[a:b] - low, 0, high - low), 1)
            np.add.at(line, np.clip(last[a:b] - low, 0, high - low), -1)
            yield left, np.cumsum(line[:-1], dtype=np.int8).view(np.bool_).reshape(right - left, height).T
        left = right


def pack(counts: "NDArray[np.int64]") -> str:
    """Counts as COCO's text: from the fourth on the difference to the one before the last, five bits a character."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    texts: list[NDArray[np.uint8]] = []
    rest, alive = values, np.arange(len(values))
    order: list[NDArray[np.int64]] = []
    while len(alive):
        low = rest & 31
        rest = rest >> 5
        more = np.where(low & 16, rest != -1, rest != 0)
        texts.append((low + 32 * more + 48).astype(np.uint8))
        order.append(alive)
        alive, rest = alive[more], rest[more]
    flat, owner = np.concatenate(texts), np.concatenate(order)
    return flat[np.argsort(owner, kind="stable")].tobytes().decode("ascii")


def unpack(text: str) -> "NDArray[np.int64]":
    """Inverse of `pack`. Raises DataError on what no `pack` writes."""
    try:
        symbols = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise DataError("packed run lengths hold a character that is not theirs") from None
    if len(symbols) and (symbols.min() < 0 or symbols.max() > 63):
        raise DataError("packed run lengths hold a character that is not theirs")
    ends = np.flatnonzero((symbols & 32) == 0)
    if len(symbols) and (not len(ends) or ends[-1] != len(symbols) - 1):
        raise DataError("packed run lengths end in the middle of a number")
    if not len(symbols):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digit = np.arange(len(symbols)) - np.repeat(starts, ends - starts + 1)
    if int(digit.max()) > 11:
        raise DataError("packed run lengths hold a number beyond 60 bits")
    values = np.add.reduceat((symbols & 31) << (5 * digit), starts)
    negative = (symbols[ends] & 16) != 0
    values[negative] -= np.int64(1) << (5 * (digit[ends][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def counts_of(value: object) -> "NDArray[np.int64]":
    """Counts of an RLE's member `counts`, a text or a list. Raises DataError."""
    if isinstance(value, str):
        return unpack(value)
    if isinstance(value, Sequence) and len(value):  # pyright: ignore[reportUnknownArgumentType]
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            array = np.zeros(0)
        if array.ndim == 1 and array.dtype.kind in "iu":
            return array.astype(np.int64)
    raise DataError("run lengths are a text or a list of whole numbers")

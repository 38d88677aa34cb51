"""Label Studio's brush: run lengths of RGBA bytes packed into bits, as the rle-pack library of thi.ng does.

A head of 32 bits (number of bytes), 5 (bits of a value, less one) and four times 4 (bits of a run's length, less
one); then for each run a bit (1: one value for all, 0: a value for each), 2 bits (which of the four), the length less
one, and the value or values. Rows first; here every channel holds the same, and the last one counts when reading.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = (3, 4, 8, 16)
WORD = 8
MOST_PIXELS = (1 << 30) - 1
"""Most pixels of an image: the number of bytes has 32 bits."""


def pack(counts: Sequence[int]) -> list[int]:
    """Bytes of a mask's run lengths by rows, zeros first."""
    bits = [f"{4 * sum(counts):032b}", f"{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for k, count in enumerate(counts):
        value = "11111111" if k % 2 else "00000000"
        rest = 4 * count
        while rest:
            length = min(rest, 1 << SIZES[-1])
            which = next(i for i, size in enumerate(SIZES) if length <= 1 << size)
            bits.append(f"1{which:02b}{length - 1:0{SIZES[which]}b}{value}")
            rest -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]


def unpack(packed: Sequence[int], pixels: int) -> "NDArray[np.int64]":
    """Run lengths by rows, zeros first, of a mask of so many pixels. Raises DataError."""
    runs = list(_runs(packed, pixels))
    counts: list[int] = []
    value = False
    for is_set, length in runs:
        if is_set == value and counts:
            counts[-1] += length
        elif is_set == value:
            counts.append(length)
        else:
            counts += [length] if counts else [0, length]
            value = is_set
    return np.asarray(counts, dtype=np.int64)


def _runs(packed: Sequence[int], pixels: int) -> Iterator[tuple[bool, int]]:
    """Runs of pixels by their last channel."""
    read = _Bits(packed)
    count = read.take(32)
    if count != 4 * pixels:
        raise DataError(f"the brush is of {count // 4} pixels, the image has {pixels}")
    word = read.take(5) + 1
    sizes = [read.take(4) + 1 for _ in range(4)]
    at = 0
    while at < count:
        same = read.take(1)
        stop = at + 1 + read.take(sizes[read.take(2)])
        if stop > count:
            raise DataError("the runs of a brush go beyond the image")
        if same:
            value = read.take(word) > 0
            # pixels whose last byte lies in the run
            length = stop // 4 - at // 4
            if length:
                yield value, length
        else:
            for place in range(at, stop):
                value = read.take(word) > 0
                if place % 4 == 3:
                    yield value, 1
        at = stop


class _Bits:
    """Reads bits from the first on."""

    def __init__(self, packed: Sequence[int]) -> None:
        array = np.asarray(packed)
        if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array) or array.min() < 0 or array.max() > 255:
            raise DataError("a brush is a list of bytes")
        self._bytes = array.astype(np.uint8).tobytes()
        self._at = 0

    def take(self, count: int) -> int:
        """Number of the next bits. Raises DataError at the end."""
        first, last = self._at // 8, (self._at + count + 7) // 8
        if last > len(self._bytes):
            raise DataError("a brush ends in the middle of a run")
        whole = int.from_bytes(self._bytes[first:last], "big")
        self._at += count
        return (whole >> (8 * last - self._at)) & ((1 << count) - 1)

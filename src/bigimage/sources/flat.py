"""Uncompressed samples in a file, read at offsets into arrays.

The file is not mapped: one that shrinks meanwhile gives an error instead of ending the process.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import DataError
from bigimage.geometry.box import IndexBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIP = 16 * 1024 * 1024
"""Bytes read at once where a box is narrower than the rows it lies in."""


class FlatFile:
    """An open file that is read at offsets, from any thread. Closes with its context."""

    def __init__(self, source: Path | int) -> None:
        self._number = source if isinstance(source, int) else os.open(source, os.O_RDONLY | os.O_CLOEXEC)

    @classmethod
    def of(cls, file: IO[bytes]) -> "FlatFile":
        """A file that is open already; it lives on when `file` is closed, even without a name."""
        return cls(os.dup(file.fileno()))

    def __enter__(self) -> "FlatFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def read_into(self, array: "NDArray[np.generic]", offset: int) -> None:
        """Fill a contiguous array. Raises DataError when the file ends too early, OSError from the disk."""
        view = memoryview(array.data).cast("B")
        while len(view):
            count = os.preadv(self._number, [view], offset)
            if count == 0:
                raise DataError("a file became shorter while it was read; open it again")
            view, offset = view[count:], offset + count


@dataclass(frozen=True)
class FlatVolume:
    """Samples of a whole volume, one after the other."""

    file: FlatFile
    offset: int
    dtype: np.dtype[Any]
    """Type as stored, with its byte order."""
    axes: tuple[str, ...]
    """From the slowest to the fastest: z, y, x with t and c before them, or c after them."""
    sizes: Mapping[str, int]

    def read(self, box: IndexBox, *, t: int = 0) -> "NDArray[np.generic]":
        """Samples of a box (z, y, x) of one time as (c, z, y, x), in native byte order."""
        interleaved = self.axes[-1] == "c"
        channels = self.sizes.get("c", 1)
        out = np.empty((channels, *box.shape), dtype=self.dtype)
        if interleaved:
            self._read_interleaved(out, box, t=t)
        else:
            for c in range(channels):
                self._read_channel(out[c], box, self._lead(t, c))
        if self.dtype.byteorder == (">" if sys.byteorder == "little" else "<"):
            out = out.byteswap(inplace=True).view(self.dtype.newbyteorder("="))
        return out

    def _lead(self, t: int, c: int) -> int:
        """Number of the stack in the file that holds a time and a channel."""
        number = 0
        for axis in self.axes[: self.axes.index("z")]:
            number = number * self.sizes[axis] + {"t": t, "c": c}[axis]
        return number

    def _at(self, lead: int, z: int, y: int, *, samples: int) -> int:
        """Position of the first sample of a row."""
        row = (lead * self.sizes["z"] + z) * self.sizes["y"] + y
        return self.offset + row * self.sizes["x"] * samples * self.dtype.itemsize

    def _read_channel(self, out: "NDArray[np.generic]", box: IndexBox, lead: int) -> None:
        (z, y, x), (depth, height, width) = box.start, box.shape
        if width == self.sizes["x"] and height == self.sizes["y"]:
            self.file.read_into(out, self._at(lead, z, 0, samples=1))
            return
        for k in range(depth):
            if width == self.sizes["x"]:
                self.file.read_into(out[k], self._at(lead, z + k, y, samples=1))
                continue
            for first, strip in self._strips(lead, z + k, y, height, samples=1):
                out[k, first : first + len(strip)] = strip[:, x : x + width, 0]

    def _read_interleaved(self, out: "NDArray[np.generic]", box: IndexBox, *, t: int) -> None:
        (z, y, x), (depth, height, width) = box.start, box.shape
        for k in range(depth):
            for first, strip in self._strips(self._lead(t, 0), z + k, y, height, samples=len(out)):
                out[:, k, first : first + len(strip)] = np.moveaxis(strip[:, x : x + width], -1, 0)

    def _strips(self, lead: int, z: int, y: int, height: int, *, samples: int) -> Any:
        """Whole rows (rows, columns, samples) of one plane, a bounded number at a time, with the first one's number."""
        width = self.sizes["x"]
        step = max(1, STRIP // (width * samples * self.dtype.itemsize))
        for first in range(0, height, step):
            strip = np.empty((min(step, height - first), width, samples), dtype=self.dtype)
            self.file.read_into(strip, self._at(lead, z, y + first, samples=samples))
            yield first, strip

"""Masks: bits on the pixels of a grid, kept in sparse chunks, so that a stroke costs what it touches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

ChunkIndex = tuple[int, ...]
MaskOp = Literal["add", "subtract"]

CHUNK_2D = (256, 256)
CHUNK_3D = (16, 64, 64)
CHUNK_BITS = 65536
FULL = b"\xff" * (CHUNK_BITS // 8)
"""The one object that stands for every chunk whose bits are all set, so that filled areas cost no memory."""
MAX_BAND = 1 << 29
"""Most pixels of one row of chunks that run lengths may cover."""


def chunk_shape(ndim: int) -> tuple[int, ...]:
    """Shape of a mask's chunks, (y, x) or (z, y, x); both hold `CHUNK_BITS` bits."""
    return CHUNK_2D if ndim == 2 else CHUNK_3D


def chunk_box(index: Sequence[int]) -> IndexBox:
    """Grid indexes that a chunk covers; those of chunks at the far edges stick out of the grid."""
    shape = chunk_shape(len(index))
    return IndexBox(
        tuple(i * n for i, n in zip(index, shape, strict=True)),
        tuple((i + 1) * n for i, n in zip(index, shape, strict=True)),
    )


def pack_chunk(bits: "NDArray[np.bool_]") -> bytes:
    """Bits of one chunk in C order, eight to a byte, the first in the highest place."""
    packed = np.packbits(bits, axis=None).tobytes()
    return FULL if packed == FULL else packed


def unpack_chunk(packed: bytes, ndim: int) -> "NDArray[np.bool_]":
    """Inverse of `pack_chunk`; shape `chunk_shape(ndim)`."""
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).view(np.bool_).reshape(chunk_shape(ndim))


def tight_box(bits: "NDArray[np.bool_]") -> IndexBox | None:
    """Smallest box of the set bits within an array; None when none is set."""
    start: list[int] = []
    stop: list[int] = []
    for axis in range(bits.ndim):
        line = np.flatnonzero(bits.any(axis=tuple(a for a in range(bits.ndim) if a != axis)))
        if not len(line):
            return None
        start.append(int(line[0]))
        stop.append(int(line[-1]) + 1)
    return IndexBox(tuple(start), tuple(stop))


def union_box(boxes: Iterable[IndexBox]) -> IndexBox | None:
    """Smallest box that holds all boxes; None when there is none."""
    parts = list(boxes)
    if not parts:
        return None
    return IndexBox(
        tuple(min(v) for v in zip(*(b.start for b in parts), strict=True)),
        tuple(max(v) for v in zip(*(b.stop for b in parts), strict=True)),
    )


def merge_chunk(present: bytes | None, patch: bytes, op: MaskOp) -> bytes | None:
    """Bits of one chunk after a patch was added or subtracted; None when no bit is left."""
    if op == "add":
        if present is None or patch is FULL:
            return patch
        merged = np.frombuffer(present, np.uint8) | np.frombuffer(patch, np.uint8)
    else:
        if present is None or patch is FULL:
            return None
        merged = np.frombuffer(present, np.uint8) & ~np.frombuffer(patch, np.uint8)
    packed = merged.tobytes()
    if packed == FULL:
        return FULL
    return packed if merged.any() else None


@dataclass(frozen=True, slots=True)
class Mask:
    """Hand-painted pixels or voxels: set bits on the pixels of a grid.

    Chunks lie on the grid's own lattice, counted from index 0, so masks of one grid can be combined chunk by chunk.
    """

    grid: Grid
    """The whole grid that the bits belong to: the image's finest level."""
    chunks: Mapping[ChunkIndex, bytes] = field(repr=False)
    """Packed bits of each chunk that has any; see `pack_chunk`."""

    @classmethod
    def of(cls, grid: Grid, bits: "NDArray[np.bool_]", start: Sequence[int] | None = None) -> "Mask":
        """Mask from an array whose first element lies at grid index `start` (the grid's origin by default).

        Raises OutOfBounds when the array sticks out of the grid.
        """
        origin = tuple(start) if start is not None else (0,) * grid.ndim
        box = IndexBox.of_shape(bits.shape).shift(origin)
        if not grid.box.contains(box):
            raise OutOfBounds(f"bits at {box.start}…{box.stop} stick out of a grid of shape {grid.shape}")
        chunks: dict[ChunkIndex, bytes] = {}
        for index in box.blocks(chunk_shape(grid.ndim)):
            whole = chunk_box(index)
            part = whole.intersect(box)
            cut = bits[part.shift([-v for v in box.start]).slices]
            if cut.any():
                chunk = np.zeros(whole.shape, dtype=np.bool_)
                chunk[part.shift([-v for v in whole.start]).slices] = cut
                chunks[index] = pack_chunk(chunk)
        return cls(grid, chunks)

    @property
    def box(self) -> IndexBox | None:
        """Smallest index box of the set bits; None when none is set."""
        if not self.chunks:
            return None
        keys = np.asarray(list(self.chunks))
        low, high = keys.min(axis=0), keys.max(axis=0)
        # chunks inside the outermost ones cannot reach further
        outer = keys[((keys == low) | (keys == high)).any(axis=1)]
        return union_box(chunk_tight_box(key, self.chunks[key]) for key in map(tuple, outer.tolist()))

    @property
    def count(self) -> int:
        """Number of set bits."""
        return sum(int(np.bitwise_count(np.frombuffer(bits, np.uint8)).sum()) for bits in self.chunks.values())

    def read(self, box: IndexBox) -> "NDArray[np.bool_]":
        """Bits within a box of the grid's indexes; False where the box sticks out of the grid."""
        out = np.zeros(box.shape, dtype=np.bool_)
        for index in box.blocks(chunk_shape(self.grid.ndim)):
            packed = self.chunks.get(index)
            if packed is None:
                continue
            whole = chunk_box(index)
            part = whole.intersect(box)
            bits = unpack_chunk(packed, self.grid.ndim)[part.shift([-v for v in whole.start]).slices]
            out[part.shift([-v for v in box.start]).slices] = bits
        return out

    def paint(self, op: MaskOp, patch: "Mask") -> "Mask":
        """Mask with the bits of `patch` added or subtracted. Raises InputError when the grids differ."""
        if patch.grid != self.grid:
            raise InputError("a brush patch must lie on the grid of the mask that it paints")
        chunks = dict(self.chunks)
        for index, bits in patch.chunks.items():
            merged = merge_chunk(chunks.get(index), bits, op)
            if merged is None:
                chunks.pop(index, None)
            else:
                chunks[index] = merged
        return replace(self, chunks=chunks)


def chunk_tight_box(index: Sequence[int], packed: bytes) -> IndexBox:
    """Smallest box, in grid indexes, of the bits of one chunk that has any. Raises InputError when it has none."""
    box = tight_box(unpack_chunk(packed, len(index)))
    if box is None:
        raise InputError(f"chunk {tuple(index)} of a mask has no bit set; leave it out")
    return box.shift(chunk_box(index).start)


def _bands(box: IndexBox) -> Iterator[IndexBox]:
    """Parts of a box cut at chunk borders along its first axis, in order."""
    step = chunk_shape(len(box.start))[0]
    first = box.start[0]
    while first < box.stop[0]:
        last = min(box.stop[0], (first // step + 1) * step)
        yield IndexBox((first, *box.start[1:]), (last, *box.stop[1:]))
        first = last


def to_rle(mask: Mask, box: IndexBox) -> list[int]:
    """Run lengths of the bits within a box, in C order (x fastest), beginning with the run of zeros."""
    counts: list[int] = []
    value, run = False, 0
    for band in _bands(box):
        flat = mask.read(band).ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        bounds = np.concatenate(([0], edges, [len(flat)]))
        for start, length in zip(bounds[:-1].tolist(), np.diff(bounds).tolist(), strict=True):
            if bool(flat[start]) == value:
                run += length
            else:
                counts.append(run)
                value, run = not value, length
    counts.append(run)
    return counts


def from_rle(grid: Grid, box: IndexBox, counts: "Sequence[int] | NDArray[np.int64]") -> Mask:
    """Mask from run lengths in C order that begin with the run of zeros.

    Raises
    ------
    OutOfBounds
        When the box is empty or sticks out of the grid.
    InputError
        When the runs are negative, do not add up to the box, or the box is too wide to be held.
    """
    if not grid.box.contains(box) or not box.size:
        raise OutOfBounds(f"mask box {box.start}…{box.stop} does not lie within a grid of shape {grid.shape}")
    runs = np.asarray(counts, dtype=np.int64).reshape(-1)
    if len(runs) and (int(runs.min()) < 0 or int(runs.max()) > box.size):
        raise InputError("run lengths must lie between 0 and the size of the box")
    # the float sum tells a wrap-around of the exact one
    if runs.sum(dtype=np.float64) > 2.0 * box.size:
        raise InputError(f"run lengths must add up to the {box.size} pixels of the box")
    ends = np.cumsum(runs)
    if (int(ends[-1]) if len(ends) else 0) != box.size:
        raise InputError(f"run lengths must add up to the {box.size} pixels of the box")
    row = box.size // box.shape[0]
    if row * chunk_shape(grid.ndim)[0] > MAX_BAND:
        raise InputError(f"a mask box {box.shape} is too wide for run lengths; send it in parts")
    chunks: dict[ChunkIndex, bytes] = {}
    for band in _bands(box):
        first = (band.start[0] - box.start[0]) * row
        bits = _expand(runs, ends, first, first + band.size)
        if bits is not None:
            chunks.update(Mask.of(grid, bits.reshape(band.shape), band.start).chunks)
    return Mask(grid, chunks)


def _expand(runs: "NDArray[np.int64]", ends: "NDArray[np.int64]", first: int, last: int) -> "NDArray[np.bool_] | None":
    """Bits first…last of run-length data; None when no run of ones touches them."""
    a = int(np.searchsorted(ends, first, side="right"))
    b = int(np.searchsorted(ends, last, side="left")) + 1
    part = runs[a:b].copy()
    part[-1] -= int(ends[b - 1]) - last
    part[0] -= first - int(ends[a] - runs[a])
    values = np.arange(a, b) % 2 == 1
    if not part[values].any():
        return None
    return np.repeat(values, part)

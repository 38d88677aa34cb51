"""Masks in the database: several chunks as one value for the log, single chunks for the present state."""

import struct
import zlib
from collections.abc import Mapping, Sequence

from bigimage.errors import DataError
from bigimage.model.mask import CHUNK_BITS, FULL, ChunkIndex

_HEAD = struct.Struct("<BI")
"""Number of axes, number of chunks."""
_LEVEL = 1
"""zlib's fastest level: brush strokes shrink to a fiftieth with it, and higher ones gain little."""
KEY_BITS = 20
"""Bits of a chunk's index along each axis in its key."""


def pack_bits(packed: bytes) -> bytes:
    """Stored form of one chunk's bits; nothing for a full chunk."""
    return b"" if packed is FULL or packed == FULL else zlib.compress(packed, _LEVEL)


def unpack_bits(stored: bytes) -> bytes:
    """Inverse of `pack_bits`. Raises DataError on bits that are damaged."""
    if not len(stored):
        return FULL
    inflate = zlib.decompressobj()
    try:
        packed = inflate.decompress(stored, CHUNK_BITS // 8 + 1)
    except zlib.error as error:
        raise DataError(f"the bits of a mask are damaged: {error}; restore the workspace from a backup") from error
    if len(packed) != CHUNK_BITS // 8 or not inflate.eof:
        raise DataError("the bits of a mask have the wrong size; restore the workspace from a backup")
    return packed


def pack_chunks(chunks: Mapping[ChunkIndex, bytes], ndim: int) -> bytes:
    """Chunks of a mask or a brush patch as one value, in the order of their keys."""
    parts = [_HEAD.pack(ndim, len(chunks))]
    entry = struct.Struct(f"<{ndim}iI")
    for index in sorted(chunks):
        bits = pack_bits(chunks[index])
        parts.append(entry.pack(*index, len(bits)))
        parts.append(bits)
    return b"".join(parts)


def unpack_chunks(stored: bytes) -> dict[ChunkIndex, bytes]:
    """Inverse of `pack_chunks`. Raises DataError on a value that is damaged."""
    view = memoryview(stored)
    try:
        ndim, count = _HEAD.unpack_from(view, 0)
        entry = struct.Struct(f"<{ndim}iI")
        offset = _HEAD.size
        out: dict[ChunkIndex, bytes] = {}
        for _ in range(count):
            *index, size = entry.unpack_from(view, offset)
            offset += entry.size
            out[tuple(index)] = unpack_bits(bytes(view[offset : offset + size]))
            offset += size
    except struct.error as error:
        raise DataError(f"a mask in the log is damaged: {error}; restore the workspace from a backup") from error
    return out


def chunk_key(index: Sequence[int]) -> int:
    """Integer that stands for a chunk's index."""
    key = 0
    for part in index:
        key = key << KEY_BITS | part
    return key


def chunk_index(key: int, ndim: int) -> ChunkIndex:
    """Inverse of `chunk_key`."""
    return tuple(key >> KEY_BITS * axis & (1 << KEY_BITS) - 1 for axis in reversed(range(ndim)))

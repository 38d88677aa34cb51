"""Shards: one file of compressed chunks with an index at its end (zarr v3 `sharding_indexed`).

A shard is always written whole, by one writer, through a temporary file and a rename. Chunks follow each other along
the Z-order curve, so that an aligned block of 2 by 2 chunks is one run of bytes.
"""

import math
import os
import secrets
import struct
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from operator import floordiv, mod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from bigimage.cache import ByteLRU
from bigimage.errors import BackendError, DataError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.tiling import morton
from bigimage.pyramid.array import ArraySpec, compressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABSENT = 0xFFFFFFFFFFFFFFFF
CRC_BYTES = 4
CRC_RESIDUE = 0x48674BC7
"""CRC-32C of any bytes followed by their own CRC-32C: one pass checks both, without cutting them apart."""
PARTIAL = ".partial"
MAX_PIECES = 1024
"""Most buffers that one `writev` takes on Linux."""


@lru_cache(maxsize=64)
def _chunk_order(per_shard: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Chunk positions within a shard, along the Z-order curve."""
    return tuple(sorted(np.ndindex(*per_shard), key=morton))


def _crc(data: bytes) -> bytes:
    """CRC-32C as zarr stores it: four little-endian bytes."""
    return struct.pack("<I", google_crc32c.value(data))


def _is_fill(chunk: "NDArray[Any]", fill: float) -> bool:
    """Whether every element is the fill value; the first element decides most cases."""
    first = chunk.flat[0]
    if fill != fill:  # NaN
        return bool(first != first) and bool(np.isnan(chunk).all())
    return bool(first == fill) and bool((chunk == chunk.dtype.type(fill)).all())


def encode_shard(array: "NDArray[Any]", spec: ArraySpec) -> list[bytes] | None:
    """Bytes of a shard, in pieces, from the elements it covers (cut at the array's edge); None if all are fill.

    The array's axes are those of `spec`; it starts at the shard's origin.
    """
    chunks: dict[tuple[int, ...], Sequence[bytes]] = {}
    for position in _chunk_order(spec.chunks_per_shard):
        start = [p * c for p, c in zip(position, spec.chunks, strict=True)]
        if any(a >= n for a, n in zip(start, array.shape, strict=True)):
            continue
        part = array[tuple(slice(a, a + c) for a, c in zip(start, spec.chunks, strict=True))]
        if (encoded := encode_chunk(part, spec)) is not None:
            chunks[position] = encoded
    return pack_shard(chunks, spec)


def encode_chunk(part: "NDArray[Any]", spec: ArraySpec) -> tuple[bytes, bytes] | None:
    """Stored bytes of a chunk (cut at the array's edge) and their checksum; None if all is fill."""
    if _is_fill(part, spec.fill):
        return None
    payload = compressor(spec.codec, spec.np_dtype.itemsize).encode(_full_chunk(part, spec))
    return payload, _crc(payload)


def pack_shard(chunks: Mapping[tuple[int, ...], Sequence[bytes]], spec: ArraySpec) -> list[bytes] | None:
    """Bytes of a shard, in pieces, from those of its stored chunks with their checksums, by position; None for none."""
    if not chunks:
        return None
    index = np.full((*spec.chunks_per_shard, 2), ABSENT, dtype="<u8")
    pieces: list[bytes] = []
    offset = 0
    for position in _chunk_order(spec.chunks_per_shard):
        if (encoded := chunks.get(position)) is not None:
            size = sum(map(len, encoded))
            index[position] = offset, size
            pieces += encoded
            offset += size
    table = index.tobytes()
    return [*pieces, table, _crc(table)]


def stored_chunks(path: Path, spec: ArraySpec) -> dict[tuple[int, ...], tuple[bytes]]:
    """Stored bytes of each chunk of a shard with their checksums, not looked into, by position; none without a file.

    Raises DataError when the shard's index is damaged, BackendError.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}") from error
    length = math.prod(spec.chunks_per_shard) * 16 + CRC_BYTES
    if len(raw) < length or google_crc32c.value(raw[-length:]) != CRC_RESIDUE:
        raise DataError(f"{path} has no sound index at its end; the file is damaged: write it again")
    index = np.frombuffer(raw[-length:-CRC_BYTES], dtype="<u8").reshape(*spec.chunks_per_shard, 2)
    chunks: dict[tuple[int, ...], tuple[bytes]] = {}
    for position in np.argwhere(index[..., 0] != ABSENT).tolist():
        offset, size = index[tuple(position)].tolist()
        chunks[tuple(position)] = (raw[offset : offset + size],)
    return chunks


def remove_shard(path: Path) -> None:
    """Remove a shard, if it is there: all of it reads as fill then. Raises BackendError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BackendError(f"cannot remove {path}: {error.strerror}") from error


def _full_chunk(part: "NDArray[Any]", spec: ArraySpec) -> "NDArray[Any]":
    """Contiguous chunk of full size, edges filled up."""
    if part.shape == spec.chunks:
        return np.ascontiguousarray(part, dtype=spec.np_dtype)
    chunk = np.full(spec.chunks, spec.fill, dtype=spec.np_dtype)
    chunk[tuple(slice(0, n) for n in part.shape)] = part
    return chunk


def write_shard(path: Path, pieces: Sequence[bytes]) -> None:
    """Write a shard so that it is seen whole or not at all. Raises BackendError when the disk refuses."""
    # a cluster may run a unit again while its first worker, believed dead, still writes: each has a file of its own
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb", buffering=0) as file:
            # reserved at once, the file costs the kernel half the work, and a full disk is met before any writing
            os.posix_fallocate(file.fileno(), 0, sum(map(len, pieces)))
            for first in range(0, len(pieces), MAX_PIECES):
                _write_all(file.fileno(), pieces[first : first + MAX_PIECES])
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BackendError(f"cannot write {path}: {error.strerror or error}") from error


def _write_all(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write pieces in as few system calls as the kernel allows."""
    written = os.writev(descriptor, pieces)
    if written < sum(map(len, pieces)):
        # a short write: the rest goes in one piece, and raises what stands in the way
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed left below a folder, where nobody writes now. Raises BackendError."""
    for left in folder.rglob("*" + PARTIAL):
        remove_shard(left)


def count_shards(folder: Path) -> int:
    """Number of shards stored of the array in a folder."""
    return sum(not name.endswith(PARTIAL) for _, _, names in os.walk(folder / "c") for name in names)


class ShardedArray:
    """Reader of one stored array: a shard's index is read once, a chunk costs one `pread` and one decode.

    Safe to share between threads. Indexes are remembered by the file's inode, time and size, so a replaced shard is
    noticed.
    """

    def __init__(
        self,
        folder: Path,
        spec: ArraySpec,
        *,
        indexes: ByteLRU[Any] | None = None,
        chunks: ByteLRU[Any] | None = None,
        stored: int | None = None,
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.stored = stored
        """Number of shards that its writer stored, where that is known."""
        self._indexes = indexes if indexes is not None else ByteLRU[Any](0)
        self.chunks = chunks if chunks is not None else ByteLRU[Any](0)
        self._codec = compressor(spec.codec, spec.np_dtype.itemsize)
        self._index_bytes = math.prod(spec.chunks_per_shard) * 16

    def __reduce__(self) -> tuple[type["ShardedArray"], tuple[Path, ArraySpec]]:
        """Travels to other processes without its caches."""
        return type(self), (self.folder, self.spec)

    def read(self, box: IndexBox) -> "NDArray[Any]":
        """Elements of a box over all axes; read-only where they are exactly one chunk.

        Raises OutOfBounds, or DataError on a damaged shard.
        """
        spec = self.spec
        if not IndexBox.of_shape(spec.shape).contains(box):
            raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {spec.shape}")
        # plain integers from here on: this is the inner loop of every tile
        ends = tuple(zip(box.start, box.stop, spec.chunks, strict=True))
        first = tuple(a // n for a, _, n in ends)
        last = tuple(-(-b // n) for _, b, n in ends)
        if all(b == a + n and a % n == 0 for a, b, n in ends):
            chunk = self._whole_chunk(first)
            if chunk is not None:
                return chunk
        out = np.empty(box.shape, dtype=spec.np_dtype)
        if out.size:
            shards: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
            for index in product(*map(range, first, last)):
                shards.setdefault(tuple(map(floordiv, index, spec.chunks_per_shard)), []).append(index)
            for shard, chunks in shards.items():
                with self._shard(shard) as opened:
                    for index in chunks:
                        self._place(opened.chunk(index) if opened else None, index, box, out)
        return out

    def _whole_chunk(self, index: tuple[int, ...]) -> "NDArray[Any] | None":
        """A chunk by its position in the array, decoded; None where it is not stored."""
        with self._shard(tuple(map(floordiv, index, self.spec.chunks_per_shard))) as opened:
            return opened.chunk(index) if opened else None

    def _place(self, chunk: "NDArray[Any] | None", index: tuple[int, ...], box: IndexBox, out: "NDArray[Any]") -> None:
        """Copy the part of a chunk that lies in the box to where it belongs."""
        here: list[slice] = []
        there: list[slice] = []
        for i, n, a, b in zip(index, self.spec.chunks, box.start, box.stop, strict=True):
            origin = i * n
            low, high = max(origin, a), min(origin + n, b)
            here.append(slice(low - origin, high - origin))
            there.append(slice(low - a, high - a))
        out[tuple(there)] = self.spec.fill if chunk is None else chunk[tuple(here)]

    @contextmanager
    def _shard(self, shard: tuple[int, ...]) -> "Generator[_OpenShard | None]":
        """A shard opened for reading; None where it is not stored."""
        path = self.folder / self.spec.shard_key(shard)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise BackendError(f"cannot open {path}: {error.strerror}") from error
        try:
            stat = os.fstat(descriptor)
            identity = (str(path), stat.st_ino, stat.st_mtime_ns, stat.st_size)
            yield _OpenShard(self, descriptor, identity, self._index(descriptor, path, identity))
        finally:
            os.close(descriptor)

    def _index(self, fd: int, path: Path, identity: tuple[Any, ...]) -> "NDArray[np.uint64]":
        """Index of a shard: (offset, nbytes) per chunk, both ABSENT where a chunk is not stored."""
        index = self._indexes.get(identity)
        if index is None:
            length = self._index_bytes + CRC_BYTES
            size = identity[3]
            raw = os.pread(fd, length, size - length) if size >= length else b""
            if len(raw) != length or google_crc32c.value(raw) != CRC_RESIDUE:
                raise DataError(f"{path} has no sound index at its end; the file is damaged: ingest the image again")
            index = np.frombuffer(raw[:-CRC_BYTES], dtype="<u8").reshape(*self.spec.chunks_per_shard, 2)
            self._indexes.put(identity, index, length + 256)
        return index

    def decode(self, raw: bytes, nbytes: int, what: str) -> "NDArray[Any]":
        """Check and decode the stored bytes of one chunk. Raises DataError that names `what`."""
        if len(raw) != nbytes or nbytes < CRC_BYTES or google_crc32c.value(raw) != CRC_RESIDUE:
            raise DataError(f"{what} fails its checksum; the file is damaged: ingest the image again")
        try:
            data = self._codec.decode(memoryview(raw)[:-CRC_BYTES])
            return np.frombuffer(data, dtype=self.spec.np_dtype).reshape(self.spec.chunks)
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{what} cannot be decoded ({error}): ingest the image again") from error


class _OpenShard:
    """One shard while its file is open."""

    __slots__ = ("_array", "_descriptor", "_identity", "_index")

    def __init__(
        self, array: ShardedArray, descriptor: int, identity: tuple[Any, ...], index: "NDArray[np.uint64]"
    ) -> None:
        self._array = array
        self._descriptor = descriptor
        self._identity = identity
        self._index = index

    def chunk(self, index: tuple[int, ...]) -> "NDArray[Any] | None":
        """A chunk by its position in the array, decoded and read-only; None where it is not stored."""
        position = tuple(map(mod, index, self._array.spec.chunks_per_shard))
        offset, nbytes = self._index[position].tolist()
        if offset == ABSENT:
            return None
        key = (*self._identity, position)
        chunk = self._array.chunks.get(key)
        if chunk is None:
            path, *_, size = self._identity
            # an index may be sound and yet lie: nothing is read, or asked memory for, beyond the file
            raw = os.pread(self._descriptor, nbytes, offset) if offset + nbytes <= size else b""
            chunk = self._array.decode(raw, nbytes, f"chunk {position} of {path}")
            self._array.chunks.put(key, chunk, chunk.nbytes + 512)
        return chunk

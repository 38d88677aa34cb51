"""Shards: what is written is read back, by few system calls, and every kind of damage is noticed and named."""

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimage.cache import ByteLRU
from bigimage.errors import BackendError, DataError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.tiling import morton
from bigimage.pyramid.array import ArraySpec, codec_for
from bigimage.pyramid.shard import PARTIAL, ShardedArray, encode_shard, write_shard
from tests.pyramids import DTYPES, noise


def _spec(shape: tuple[int, ...] = (2, 100, 70), dtype: str = "uint16", fill: float = 0) -> ArraySpec:
    dims = ("c", "y", "x")[-len(shape) :]
    lead = shape[:-2]
    return ArraySpec(dims, shape, (*lead, 64, 64), (*lead, 16, 16), dtype, fill, codec_for(np.dtype(dtype)))


def _store(folder: Path, array: np.ndarray, spec: ArraySpec) -> None:
    """Write a whole array, shard by shard."""
    for index in np.ndindex(*spec.shard_grid):
        part = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, spec.shards, strict=True))
        pieces = encode_shard(array[part], spec)
        if pieces is not None:
            write_shard(folder / spec.shard_key(index), pieces)


def _cached(folder: Path, spec: ArraySpec) -> ShardedArray:
    return ShardedArray(folder, spec, indexes=ByteLRU(1 << 20), chunks=ByteLRU(1 << 20))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the system calls that readers make, in order."""
    made: list[str] = []
    for name in ("open", "pread", "fstat", "close"):
        real = getattr(os, name)

        def count(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            made.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(f"bigimage.pyramid.shard.os.{name}", count)
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 65), (64, 64), (2, 100, 70), (3, 64, 129)])
def test_what_is_written_is_read_back(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array, spec = noise(shape, dtype), _spec(shape, dtype)
    _store(tmp_path, array, spec)
    for reader in (ShardedArray(tmp_path, spec), _cached(tmp_path, spec)):
        for _ in range(2):
            found = reader.read(IndexBox.of_shape(shape))
            np.testing.assert_array_equal(found, array)
            assert found.dtype == array.dtype


@given(st.data())
@settings(max_examples=60)
def test_any_box_is_a_cut_of_the_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "boxes"
    shape, spec = (2, 100, 70), _spec()
    array = noise(shape, "uint16")
    array[:, 16:48, 0:32] = 0  # chunks that are not stored
    if not folder.exists():
        _store(folder, array, spec)
    start = tuple(data.draw(st.integers(0, n)) for n in shape)
    stop = tuple(data.draw(st.integers(a, n)) for a, n in zip(start, shape, strict=True))
    box = IndexBox(start, stop)
    np.testing.assert_array_equal(_cached(folder, spec).read(box), array[box.slices])


def test_fill_is_not_stored(tmp_path: Path) -> None:
    spec = _spec((128, 128), "int16", fill=-5)
    array = np.full((128, 128), -5, dtype="int16")
    assert encode_shard(array[:64, :64], spec) is None
    array[70, 3] = 1
    _store(tmp_path, array, spec)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["0"]
    (shard,) = (p for p in tmp_path.rglob("*") if p.is_file())
    index = np.frombuffer(shard.read_bytes()[-16 * 16 - 4 : -4], "<u8").reshape(4, 4, 2)
    assert (index[..., 0] != 2**64 - 1).sum() == 1
    np.testing.assert_array_equal(ShardedArray(tmp_path, spec).read(IndexBox.of_shape((128, 128))), array)


@pytest.mark.parametrize("fill", [float("nan"), -9999.0, float("inf")])
def test_float_fill_is_not_stored(fill: float) -> None:
    spec = _spec((64, 64), "float32", fill=fill)
    array = np.full((64, 64), fill, dtype="float32")
    assert encode_shard(array, spec) is None
    array[63, 63] = 1
    assert encode_shard(array, spec) is not None


def test_chunks_lie_along_the_z_curve_and_the_edges_are_filled_up(tmp_path: Path) -> None:
    spec = _spec((64, 50), "uint8", fill=9)
    _store(tmp_path, noise((64, 50), "uint8"), spec)
    raw = (tmp_path / "c" / "0" / "0").read_bytes()
    assert google_crc32c.value(raw[-260:-4]) == int.from_bytes(raw[-4:], "little")
    index = np.frombuffer(raw[-260:-4], "<u8").reshape(4, 4, 2)
    order = sorted(np.ndindex(4, 4), key=lambda p: int(index[p][0]))
    assert order == sorted(np.ndindex(4, 4), key=morton)
    ends = [int(index[p].sum()) for p in order]
    assert [0, *ends[:-1]] == [int(index[p][0]) for p in order]
    assert ends[-1] == len(raw) - 260
    reader = ShardedArray(tmp_path, spec)
    offset, nbytes = map(int, index[0, 3])
    edge = reader.decode(raw[offset : offset + nbytes], nbytes, "edge")
    assert (edge[:, 2:] == 9).all()


@pytest.mark.parametrize("box", [((0, -1, 0), (2, 5, 5)), ((0, 0, 0), (3, 5, 5)), ((0, 90, 0), (2, 101, 5))])
def test_boxes_beyond_the_array_are_refused(tmp_path: Path, box: tuple) -> None:
    with pytest.raises(OutOfBounds, match=r"within shape \(2, 100, 70\)"):
        ShardedArray(tmp_path, _spec()).read(IndexBox(*box))


def test_an_aligned_tile_costs_one_read(tmp_path: Path, calls: list[str]) -> None:
    array, spec = noise((2, 100, 70), "uint16"), _spec()
    _store(tmp_path, array, spec)
    reader = ShardedArray(tmp_path, spec, indexes=ByteLRU(1 << 20))
    tile = IndexBox((0, 16, 32), (2, 32, 48))
    calls.clear()
    reader.read(tile)
    assert calls == ["open", "fstat", "pread", "pread", "close"]  # the index, once, and the chunk
    calls.clear()
    found = reader.read(tile)
    assert calls == ["open", "fstat", "pread", "close"]
    np.testing.assert_array_equal(found, array[tile.slices])


def test_a_kept_chunk_is_not_read_again(tmp_path: Path, calls: list[str]) -> None:
    spec = _spec()
    _store(tmp_path, noise((2, 100, 70), "uint16"), spec)
    reader = _cached(tmp_path, spec)
    for box in (IndexBox((0, 16, 32), (2, 32, 48)), IndexBox((0, 17, 33), (1, 20, 40))):
        reader.read(box)
        calls.clear()
        reader.read(box)
        assert "pread" not in calls


def test_a_box_over_shards_opens_each_once_and_reads_each_chunk_once(tmp_path: Path, calls: list[str]) -> None:
    spec = _spec()
    _store(tmp_path, noise((2, 100, 70), "uint16"), spec)
    reader = ShardedArray(tmp_path, spec, indexes=ByteLRU(1 << 20))
    reader.read(IndexBox.of_shape(spec.shape))
    calls.clear()
    reader.read(IndexBox((0, 40, 40), (2, 80, 70)))
    assert calls.count("open") == calls.count("close") == 4
    assert calls.count("pread") == 9  # rows 2, 3, 4 and columns 2, 3, 4 of chunks
    calls.clear()
    reader.read(IndexBox((0, 5, 5), (0, 9, 9)))
    assert calls == []


def test_a_replaced_shard_is_noticed(tmp_path: Path) -> None:
    spec = _spec((64, 64), "uint8")
    reader = _cached(tmp_path, spec)
    for seed in range(3):
        array = noise((64, 64), "uint8", seed=seed)
        _store(tmp_path, array, spec)
        np.testing.assert_array_equal(reader.read(IndexBox.of_shape((64, 64))), array)


def test_files_are_closed_whatever_happens(tmp_path: Path, calls: list[str]) -> None:
    spec = _spec((64, 64), "uint8")
    _store(tmp_path, noise((64, 64), "uint8"), spec)
    shard = tmp_path / "c" / "0" / "0"
    shard.write_bytes(b"x" + shard.read_bytes()[1:])
    with pytest.raises(DataError):
        ShardedArray(tmp_path, spec).read(IndexBox.of_shape((64, 64)))
    shard.write_bytes(b"x" * 1000)
    with pytest.raises(DataError):
        ShardedArray(tmp_path, spec).read(IndexBox.of_shape((64, 64)))
    assert calls.count("open") == calls.count("close") == 2


def test_a_reader_travels_without_its_caches(tmp_path: Path) -> None:
    array, spec = noise((2, 100, 70), "uint16"), _spec()
    _store(tmp_path, array, spec)
    reader = _cached(tmp_path, spec)
    reader.read(IndexBox.of_shape(spec.shape))
    copy = pickle.loads(pickle.dumps(reader))
    assert len(pickle.dumps(reader)) < 2000
    np.testing.assert_array_equal(copy.read(IndexBox.of_shape(spec.shape)), array)


def test_threads_share_a_reader(tmp_path: Path) -> None:
    array, spec = noise((2, 100, 70), "uint16"), _spec()
    _store(tmp_path, array, spec)
    reader = ShardedArray(tmp_path, spec, indexes=ByteLRU(600), chunks=ByteLRU(3000))  # caches that keep forgetting
    boxes = [IndexBox((0, y, x), (2, y + 20, x + 20)) for y in range(0, 80, 7) for x in range(0, 50, 7)] * 4
    with ThreadPoolExecutor(8) as pool:
        for box, found in zip(boxes, pool.map(reader.read, boxes), strict=True):
            np.testing.assert_array_equal(found, array[box.slices])


def _damaged(folder: Path, position: int, *, cut: int | None = None) -> None:
    path = folder / "c" / "0" / "0"
    raw = bytearray(path.read_bytes())
    raw[position] ^= 0x40
    path.write_bytes(bytes(raw[:cut]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_flipped_bit_is_found(tmp_path: Path, dtype: str) -> None:
    spec = _spec((64, 64), dtype)
    _store(tmp_path, noise((64, 64), dtype), spec)
    path = tmp_path / "c" / "0" / "0"
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in (*rng.integers(0, len(raw), 150).tolist(), 0, len(raw) - 1, len(raw) - 261):
        path.write_bytes(raw)
        _damaged(tmp_path, int(position))
        with pytest.raises(DataError, match=str(path)) as caught:
            ShardedArray(tmp_path, spec).read(IndexBox.of_shape((64, 64)))
        expected = "no sound index" if position >= len(raw) - 260 else "fails its checksum"
        assert expected in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 100, 259, 260, -1, -4, -300])
def test_a_truncated_shard_is_found(tmp_path: Path, length: int) -> None:
    spec = _spec((64, 64), "uint8")
    _store(tmp_path, noise((64, 64), "uint8"), spec)
    path = tmp_path / "c" / "0" / "0"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=f"{path} has no sound index at its end"):
        ShardedArray(tmp_path, spec).read(IndexBox.of_shape((64, 64)))


def _with_index(folder: Path, offset: int, nbytes: int) -> None:
    """Let the index of a shard say something else of its first chunk, with a sound checksum."""
    path = folder / "c" / "0" / "0"
    raw = path.read_bytes()
    index = np.frombuffer(raw[-260:-4], "<u8").copy()
    index[:2] = offset, nbytes
    table = index.tobytes()
    path.write_bytes(raw[:-260] + table + google_crc32c.value(table).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("offset", "nbytes"), [(0, 0), (0, 3), (0, 2**40), (2**62, 100), (2**63, 100), (2**64 - 2, 2**64 - 1), (10**6, 9)]
)
def test_an_index_that_points_nowhere_is_damage(tmp_path: Path, offset: int, nbytes: int) -> None:
    spec = _spec((64, 64), "uint8")
    _store(tmp_path, noise((64, 64), "uint8"), spec)
    _with_index(tmp_path, offset, nbytes)
    with pytest.raises(DataError, match=r"chunk \(0, 0\) of "):
        ShardedArray(tmp_path, spec).read(IndexBox.of_shape((64, 64)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("payload", [b"", b"nonsense" * 9])
def test_a_chunk_that_does_not_decode_is_damage(tmp_path: Path, dtype: str, payload: bytes) -> None:
    raw = payload + google_crc32c.value(payload).to_bytes(4, "little")
    with pytest.raises(DataError, match="that chunk cannot be decoded"):
        ShardedArray(tmp_path, _spec((64, 64), dtype)).decode(raw, len(raw), "that chunk")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_chunk_of_another_size_is_damage(tmp_path: Path, dtype: str) -> None:
    spec = _spec((64, 64), dtype)
    payload = ShardedArray(tmp_path, spec)._codec.encode(np.zeros(99, dtype))
    raw = payload + google_crc32c.value(payload).to_bytes(4, "little")
    with pytest.raises(DataError, match="cannot be decoded"):
        ShardedArray(tmp_path, spec).decode(raw, len(raw), "that chunk")


def test_what_cannot_be_opened_is_the_disks_fault(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file where a folder should be")
    with pytest.raises(BackendError, match="cannot open"):
        ShardedArray(tmp_path, _spec((64, 64), "uint8")).read(IndexBox.of_shape((64, 64)))


def test_writing_many_pieces_and_writing_again(tmp_path: Path) -> None:
    pieces = [bytes([i % 256]) * (i % 7) for i in range(5000)]
    for content in (pieces, pieces[::-1]):
        write_shard(tmp_path / "a" / "b", content)
        assert (tmp_path / "a" / "b").read_bytes() == b"".join(content)
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "writev", lambda fd, pieces: real(fd, b"".join(pieces)[:5]))
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    write_shard(tmp_path / "a", [b"hello ", b"", b"wide ", b"world"])
    assert (tmp_path / "a").read_bytes() == b"hello wide world"


def test_a_full_disk_leaves_the_old_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path / "a", [b"old"])

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(BackendError, match=r"cannot write .*/a: No space left on device"):
        write_shard(tmp_path / "a", [b"new"])
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_two_writers_of_one_shard_do_not_tear_it(tmp_path: Path) -> None:
    contents = [bytes([i]) * 200_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_shard(tmp_path / "a", [content] * 5), contents * 3))
    found = (tmp_path / "a").read_bytes()
    assert len(found) == 1_000_000
    assert len(set(found)) == 1
    assert not list(tmp_path.glob("*" + PARTIAL))

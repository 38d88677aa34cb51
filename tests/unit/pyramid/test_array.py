"""Array documents: what zarr reads, what comes back, and what is not ours."""

import copy
import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.core.metadata import ArrayV3Metadata

from bigimage.errors import DataError, Unsupported
from bigimage.pyramid.array import ArraySpec, codec_for, compressor, json_number, number_from_json
from tests.pyramids import DTYPES, noise


def _spec(dtype: str = "uint16", **changes: Any) -> ArraySpec:
    values: dict[str, Any] = {
        "dims": ("c", "y", "x"),
        "shape": (3, 700, 500),
        "shards": (3, 512, 512),
        "chunks": (3, 256, 256),
        "dtype": dtype,
        "fill": 0,
        "codec": codec_for(np.dtype(dtype)),
    }
    return ArraySpec(**(values | changes))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", ["zstd", "blosc-lz4"])
def test_a_document_is_read_by_zarr_and_by_us(dtype: str, codec: Any) -> None:
    spec = _spec(dtype, codec=codec)
    document = json.loads(json.dumps(spec.document({"a": 1}), allow_nan=False))
    theirs = ArrayV3Metadata.from_dict(document)
    assert theirs.shape == spec.shape
    assert theirs.dimension_names == spec.dims
    assert theirs.attributes == {"a": 1}
    assert theirs.data_type.to_native_dtype() == np.dtype(dtype)
    assert ArraySpec.from_document(document) == spec


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), float("-inf"), -3.4028234663852886e38, 0.1, -9999.0])
def test_float_fill_values_survive_json(fill: float) -> None:
    document = json.loads(json.dumps(_spec("float32", fill=fill).document({}), allow_nan=False))
    np.testing.assert_equal(ArraySpec.from_document(document).fill, fill)
    theirs = ArrayV3Metadata.from_dict(document).fill_value
    np.testing.assert_equal(np.float32(theirs), np.float32(fill))


@pytest.mark.parametrize(("dtype", "fill"), [("uint64", 2**64 - 1), ("int64", -(2**63)), ("uint8", 255)])
def test_integer_fill_values_are_exact(dtype: str, fill: int) -> None:
    document = json.loads(json.dumps(_spec(dtype, fill=fill).document({})))
    assert ArraySpec.from_document(document).fill == fill
    assert int(ArrayV3Metadata.from_dict(document).fill_value) == fill


def test_numbers_as_json() -> None:
    for value in (1, 2**70, 0.5, math.inf, -math.inf):
        assert number_from_json(json.loads(json.dumps(json_number(value), allow_nan=False))) == value
    assert json_number(math.nan) == "NaN"
    assert math.isnan(number_from_json("NaN"))


def test_sizes_are_counted_with_the_edges() -> None:
    spec = _spec("uint16")
    assert spec.shard_grid == (1, 2, 1)
    assert spec.chunks_per_shard == (1, 2, 2)
    assert spec.chunk_nbytes == 3 * 256 * 256 * 2
    assert spec.shard_key((0, 1, 0)) == "c/0/1/0"
    assert spec.np_dtype == np.dtype("<u2")
    with pytest.raises(DataError, match="not whole multiples"):
        _spec(shards=(3, 300, 512))


def test_codecs_by_type() -> None:
    assert codec_for(np.dtype("uint8")) == codec_for(np.dtype("int8")) == "zstd"
    assert codec_for(np.dtype("uint16")) == codec_for(np.dtype("float64")) == "blosc-lz4"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["zstd", "blosc-lz4"])
def test_compressors_lose_nothing_and_are_read_by_numcodecs(dtype: str, name: Any) -> None:
    array = noise((3, 61, 67), dtype)
    codec = compressor(name, array.itemsize)
    packed = codec.encode(array)
    np.testing.assert_array_equal(np.frombuffer(codec.decode(packed), dtype).reshape(array.shape), array)
    from numcodecs import Blosc, Zstd

    theirs = Zstd() if name == "zstd" else Blosc()
    np.testing.assert_array_equal(np.frombuffer(theirs.decode(packed), dtype).reshape(array.shape), array)


def test_compressors_are_shared_between_threads() -> None:
    arrays = [noise((256, 256), "uint8", seed=seed) for seed in range(16)]
    codec = compressor("zstd", 1)

    def there_and_back(array: np.ndarray) -> bool:
        return bytes(codec.decode(codec.encode(array))) == array.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, arrays * 8))


def test_damaged_zstd_is_a_value_error() -> None:
    codec = compressor("zstd", 1)
    packed = bytearray(codec.encode(noise((64, 64), "uint8")))
    for broken in (b"", b"nonsense", bytes(packed[: len(packed) // 2])):
        with pytest.raises(ValueError, match=r"."):
            codec.decode(broken)


def _without(document: dict[str, Any], *path: Any) -> dict[str, Any]:
    *parents, last = path
    inner: Any = document
    for key in parents:
        inner = inner[key]
    del inner[last]
    return document


SHARDING = ("codecs", 0, "configuration")


@pytest.mark.parametrize(
    "path",
    [
        ("codecs",),
        ("shape",),
        ("dimension_names",),
        ("data_type",),
        ("fill_value",),
        ("chunk_grid", "configuration"),
        (*SHARDING,),
        (*SHARDING, "chunk_shape"),
        (*SHARDING, "codecs"),
        (*SHARDING, "codecs", 1),
        (*SHARDING, "codecs", 2),
        ("codecs", 0),
    ],
)
def test_an_incomplete_document_is_not_ours(path: tuple[Any, ...]) -> None:
    document = _without(copy.deepcopy(_spec().document({})), *path)
    with pytest.raises(Unsupported, match="not an array that bigimage laid out"):
        ArraySpec.from_document(document)


def _change(document: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    *parents, last = path
    inner: Any = document
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("codecs", 0, "name"), "gzip"),
        ((*SHARDING, "index_location"), "start"),
        ((*SHARDING, "codecs", 0, "name"), "transpose"),
        ((*SHARDING, "codecs", 1, "name"), "gzip"),
        ((*SHARDING, "codecs", 1, "configuration", "cname"), "zlib"),
        ((*SHARDING, "chunk_shape"), [3, 0, 256]),
        ((*SHARDING, "chunk_shape"), [3, 256]),
        (("shape",), 5),
    ],
)
def test_another_layout_is_not_ours(path: tuple[Any, ...], value: Any) -> None:
    document = _change(copy.deepcopy(_spec().document({})), value, *path)
    with pytest.raises((Unsupported, DataError)):
        ArraySpec.from_document(document)


def test_what_zarr_itself_shards_is_told_apart(tmp_path: Any) -> None:
    zarr.create_array(str(tmp_path / "a"), shape=(100, 100), chunks=(10, 10), shards=(50, 50), dtype="u2")
    with pytest.raises(Unsupported):
        ArraySpec.from_document(json.loads((tmp_path / "a" / "zarr.json").read_text()))

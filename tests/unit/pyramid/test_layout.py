"""Layout: chunks and shards of every size and band count, and how the shards of levels hang together."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import level_shapes
from bigimage.model.image import Band, ImageInfo
from bigimage.pyramid.layout import (
    MAX_BAND_BYTES,
    MAX_CHUNK_BYTES,
    MAX_SHARD_BYTES,
    VOLUME_COARSEST,
    array_attributes,
    children,
    fill_of,
    plan_pyramid,
    plan_raster,
    volume_chunk,
)
from tests.pyramids import DTYPES, TRANSFORM, UTM


def _info(shape: tuple[int, int, int], dtype: str = "uint8", **facts: object) -> ImageInfo:
    nodata = facts.pop("nodata", None)
    return ImageInfo(
        id="scene",
        grid=Grid.from_transform(TRANSFORM, shape[1:], UTM),
        axes=("c", "y", "x"),
        shape=shape,
        dtype=dtype,
        bands=tuple(Band(name=str(i), nodata=nodata) for i in range(shape[0])),  # type: ignore[arg-type]
        **facts,  # type: ignore[arg-type]
    )


shapes = st.tuples(st.integers(1, 700), st.integers(1, 100_000), st.integers(1, 100_000))


@given(shapes, st.sampled_from(DTYPES), st.booleans(), st.booleans())
def test_every_plan_keeps_its_budgets(shape: tuple[int, int, int], dtype: str, by_rows: bool, masked: bool) -> None:
    plan = plan_raster(_info(shape, dtype, may_be_invalid=masked), by_rows=by_rows)
    assert [level.image.shape[1:] for level in plan.levels] == level_shapes(shape[1:])
    for number, level in enumerate(plan.levels):
        spec = level.image
        item = np.dtype(dtype).itemsize
        assert spec.chunk_nbytes <= max(MAX_CHUNK_BYTES, 256 * 256 * item)
        assert math.prod(spec.shards) * item <= MAX_SHARD_BYTES
        assert level.grid == plan.info.grid.coarsen(2**number)
        assert level.factors == ((1, 1) if number == 0 else (2, 2))
        assert (level.valid is not None) == masked
        if level.valid is not None:
            assert level.valid.shards == spec.shards[1:]
            assert level.valid.shape == spec.shape[1:]
            assert (level.valid.dtype, level.valid.fill) == ("uint8", 0)
    first = plan.levels[0].image
    row = first.shards[0] * first.shards[1] * shape[2] * np.dtype(dtype).itemsize
    assert not by_rows or row <= MAX_BAND_BYTES or first.shards[1] == 256


@given(shapes, st.sampled_from(["uint8", "float32"]), st.booleans())
def test_every_shard_has_one_parent(shape: tuple[int, int, int], dtype: str, by_rows: bool) -> None:
    plan = plan_raster(_info((shape[0] % 5 + 1, *shape[1:]), dtype), by_rows=by_rows)
    for finer, coarser in pairwise(plan.levels):
        below = [
            child for index in np.ndindex(*coarser.image.shard_grid[1:]) for child in children(index, finer, coarser)
        ]
        assert sorted(below) == sorted(map(tuple, np.ndindex(*finer.image.shard_grid[1:])))


@pytest.mark.parametrize(
    ("bands", "dtype", "chunk", "shard"),
    [
        (1, "uint8", (1, 256, 256), (1, 4096, 4096)),
        (3, "uint8", (3, 256, 256), (3, 2048, 2048)),
        (4, "uint16", (4, 256, 256), (4, 1024, 1024)),
        (8, "uint16", (8, 256, 256), (8, 1024, 1024)),
        (31, "uint16", (1, 256, 256), (31, 512, 512)),  # 4 MB together: chunks per band
        (400, "float32", (1, 256, 256), (64, 256, 256)),  # 100 MB together: shards of some bands
    ],
)
def test_blocks_by_band_count(bands: int, dtype: str, chunk: tuple[int, ...], shard: tuple[int, ...]) -> None:
    spec = plan_raster(_info((bands, 9000, 9000), dtype)).levels[0].image
    assert (spec.chunks, spec.shards) == (chunk, shard)


def test_small_levels_have_small_shards() -> None:
    plan = plan_raster(_info((3, 5000, 300)))
    assert [level.image.shards[1] for level in plan.levels] == [2048, 2048, 2048, 1024, 512, 256]
    assert plan_raster(_info((3, 1, 1))).levels[0].image.shards == (3, 256, 256)


def test_labels_are_compressed_by_zstd_whatever_their_type() -> None:
    assert plan_raster(_info((1, 9, 9), "uint32", role="labels")).levels[0].image.codec == "zstd"
    assert plan_raster(_info((1, 9, 9), "uint32")).levels[0].image.codec == "blosc-lz4"


@pytest.mark.parametrize(
    ("dtype", "nodata", "fill"),
    [
        ("uint8", None, 0),
        ("uint8", 255, 255),
        ("uint8", 255.0, 255),
        ("uint8", -9999, 0),
        ("uint8", 2.5, 0),
        ("uint8", math.nan, 0),
        ("int16", -32768.0, -32768),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("float32", -9999, -9999.0),
        ("float32", 3.4028234663852886e38, 3.4028234663852886e38),
        ("float32", 0.1, float(np.float32(0.1))),
        ("float32", -1.7976931348623157e308, -3.4028234663852886e38),
        ("float64", -math.inf, -math.inf),
    ],
)
def test_missing_pixels_are_stored_as_the_nodata_that_all_bands_share(dtype: str, nodata: float, fill: float) -> None:
    found = fill_of(_info((3, 5, 5), dtype, nodata=nodata))
    assert found == fill
    assert type(found) is type(fill)


def test_not_a_number_is_a_fill() -> None:
    assert math.isnan(fill_of(_info((1, 5, 5), "float32", nodata=math.nan)))


def test_bands_that_disagree_share_no_fill() -> None:
    info = _info((2, 5, 5))
    bands = (Band(name="a", nodata=7), Band(name="b", nodata=8))
    for some in (bands, (bands[0], Band(name="b"))):
        assert (
            fill_of(ImageInfo(id="x", grid=info.grid, axes=info.axes, shape=info.shape, dtype="uint8", bands=some)) == 0
        )


def test_a_valid_array_says_what_it_means() -> None:
    assert array_attributes({"a": 1}, "image") == {"a": 1}
    assert array_attributes({"a": 1}, "valid")["flag_values"] == [0, 1]


def _volume(
    shape: tuple[int, ...], spacing: tuple[float, float, float], dtype: str = "int16", **facts: object
) -> ImageInfo:
    z, y, x = spacing
    grid = Grid(shape[-3:], ((0, 0, x, 0), (0, y, 0, 0), (z, 0, 0, 0)), PatientFrame("1.2"), **facts)  # type: ignore[arg-type]
    axes = ("t", "c", "z", "y", "x")[-len(shape) :] if len(shape) != 4 else ("t", "z", "y", "x")
    count = shape[axes.index("c")] if "c" in axes else 1
    bands = tuple(Band(name=str(i)) for i in range(count))
    return ImageInfo(id="scan", grid=grid, axes=axes, shape=shape, dtype=dtype, bands=bands)


sides = st.tuples(st.integers(1, 900), st.integers(1, 1200), st.integers(1, 1200))
steps = st.tuples(*[st.floats(0.1, 10)] * 3)


@given(sides, steps, st.sampled_from(["uint8", "int16", "float64"]), st.booleans())
def test_volumes_keep_their_budgets_and_become_small(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], dtype: str, by_rows: bool
) -> None:
    plan = plan_pyramid(_volume(shape, spacing, dtype), by_rows=by_rows)
    item = np.dtype(dtype).itemsize
    grid = plan.info.grid
    for level in plan.levels:
        grid = grid.coarsen(level.factors)
        assert level.grid == grid
        assert level.image.shape == grid.shape
        assert level.image.chunk_nbytes <= max(MAX_CHUNK_BYTES, 64**3 * item)
        assert math.prod(level.image.shards) * item <= max(MAX_SHARD_BYTES, math.prod(level.image.chunks) * item)
        assert set(level.factors) <= {1, 2}
    assert all(2 in level.factors for level in plan.levels[1:])
    assert plan.levels[0].factors == (1, 1, 1)
    assert max(plan.levels[-1].grid.shape) <= VOLUME_COARSEST
    for finer, coarser in pairwise(plan.levels):
        below = [c for index in np.ndindex(*coarser.image.shard_grid) for c in children(index, finer, coarser)]
        assert sorted(below) == sorted(map(tuple, np.ndindex(*finer.image.shard_grid)))


def test_the_finest_axes_are_halved_first() -> None:
    plan = plan_pyramid(_volume((60, 512, 512), (5.0, 0.7, 0.7)))
    factors = [level.factors for level in plan.levels]
    assert factors[:3] == [(1, 1, 1), (1, 2, 2), (1, 2, 2)]
    even = plan_pyramid(_volume((300, 300, 300), (1.0, 1.0, 1.0)))
    assert [level.factors for level in even.levels[1:]] == [(2, 2, 2)] * (len(even.levels) - 1)


def test_unevenly_spaced_slices_are_never_merged() -> None:
    slices = tuple((0.0, 0.0, float(z * z)) for z in range(200))
    plan = plan_pyramid(_volume((200, 300, 300), (1.0, 1.0, 1.0), slices=slices))
    assert all(level.grid.shape[0] == 200 for level in plan.levels)
    assert len(plan.levels) > 1


def test_times_and_bands_of_a_volume() -> None:
    plan = plan_pyramid(_volume((4, 3, 20, 100, 100), (1.0, 1.0, 1.0)))
    spec = plan.levels[0].image
    assert spec.dims == ("t", "c", "z", "y", "x")
    assert (spec.shards[0], spec.chunks[0]) == (1, 1)
    assert spec.shards[1] == 3
    assert plan.lead == 2


@pytest.mark.parametrize(
    ("slices", "chunk"),
    [
        (1, (1, 128, 128)),
        (2, (2, 128, 128)),
        (3, (4, 64, 64)),
        (8, (8, 64, 64)),
        (9, (16, 32, 32)),
        (17, (32, 32, 32)),
        (600, (32, 32, 32)),
    ],
)
def test_chunks_of_volumes_are_cubes_or_as_flat_as_the_volume(slices: int, chunk: tuple[int, ...]) -> None:
    assert volume_chunk(slices) == chunk
    assert 16384 <= math.prod(chunk) <= 32768


@pytest.mark.parametrize("slices", [1, 2, 4, 9, 100])
@pytest.mark.parametrize("bands", [1, 3, 40, 500])
@pytest.mark.parametrize("by_rows", [False, True])
def test_shards_of_volumes_hold_whole_chunks_of_all_bands(slices: int, bands: int, by_rows: bool) -> None:
    plan = plan_pyramid(_volume((2, bands, slices, 900, 900), (1.0, 1.0, 1.0), "float64"), by_rows=by_rows)
    for level in plan.levels:
        spec = level.image
        assert all(shard % chunk == 0 for shard, chunk in zip(spec.shards, spec.chunks, strict=True))
        assert spec.chunks[-3:] == volume_chunk(slices)
        assert spec.chunk_nbytes <= MAX_CHUNK_BYTES

"""How an image is laid out as a pyramid: levels, shards and chunks. Pure: the image's description decides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import level_shapes
from bigimage.model.image import ImageInfo
from bigimage.pyramid.array import ArraySpec, codec_for

CHUNK = 256
"""Pixels along each side of a chunk: one tile of the size that viewers ask for."""
MAX_CHUNK_BYTES = 1 << 20
"""Bands share a chunk up to this size; beyond it every band has chunks of its own."""
MAX_SHARD_BYTES = 16 << 20
"""Decoded bytes of a shard, which is the unit of work and so of memory."""
SHARD_SIDES = (4096, 2048, 1024, 512, 256)
MAX_BAND_BYTES = 128 << 20
"""Decoded bytes of a row of shards, where a source must be read over its whole width."""


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level: its grid, the factors that lead to it from the level below, and its arrays."""

    grid: Grid
    factors: tuple[int, ...]
    """Pixels of the finer level per pixel, per spatial axis; ones at level 0."""
    image: ArraySpec
    valid: ArraySpec | None


@dataclass(frozen=True, slots=True)
class PyramidPlan:
    """All levels of an image, finest first."""

    info: ImageInfo
    levels: tuple[LevelPlan, ...]

    @property
    def lead(self) -> int:
        """Number of axes before the spatial ones."""
        return len(self.info.axes) - self.info.grid.ndim


def _band_axis(info: ImageInfo) -> int:
    """Number of bands stored along a channel axis."""
    return info.shape[info.axes.index("c")] if "c" in info.axes else 1


def _raster_blocks(info: ImageInfo, *, by_rows: bool) -> tuple[int, int, int, int]:
    """Bands per chunk, bands per shard, side of a chunk, side of a shard."""
    item = np.dtype(info.dtype).itemsize
    bands = _band_axis(info)
    together = bands * CHUNK * CHUNK * item <= MAX_CHUNK_BYTES
    for side in SHARD_SIDES:
        band_fits = not by_rows or bands * side * info.grid.shape[1] * item <= MAX_BAND_BYTES
        if bands * side * side * item <= MAX_SHARD_BYTES and (band_fits or side == SHARD_SIDES[-1]):
            return (bands if together else 1), bands, CHUNK, side
    per_shard = max(1, MAX_SHARD_BYTES // (SHARD_SIDES[-1] ** 2 * item))
    return 1, per_shard, CHUNK, SHARD_SIDES[-1]


def fill_of(info: ImageInfo) -> float | int:
    """Value of pixels that are not stored: the nodata that all bands share, else 0."""
    values = {str(band.nodata): band.nodata for band in info.bands}
    if len(values) != 1:
        return 0
    (nodata,) = values.values()
    dtype = np.dtype(info.dtype)
    if nodata is None:
        return 0
    if dtype.kind == "f":
        return float(dtype.type(nodata))
    limits = np.iinfo(dtype)
    whole = math.isfinite(nodata) and float(nodata).is_integer() and limits.min <= nodata <= limits.max
    return int(nodata) if whole else 0


def plan_raster(info: ImageInfo, *, by_rows: bool = False) -> PyramidPlan:
    """Levels of a raster: halved until the longest side fits 256; image (c, y, x), valid (y, x).

    With `by_rows`, shards are low enough that a row of them fits in memory.
    """
    bands_per_chunk, bands_per_shard, chunk, side = _raster_blocks(info, by_rows=by_rows)
    bands = info.shape[0]
    fill = fill_of(info)
    levels: list[LevelPlan] = []
    for number, shape in enumerate(level_shapes(info.grid.shape)):
        # small levels get small shards: a power of two of chunks that covers them
        extent = chunk * (1 << max(0, math.ceil(math.log2(max(shape) / chunk))))
        shard = min(side, extent)
        image = ArraySpec(
            info.axes,
            (bands, *shape),
            (bands_per_shard, shard, shard),
            (bands_per_chunk, chunk, chunk),
            info.dtype,
            fill,
            codec_for(np.dtype(info.dtype)) if info.role == "image" else "zstd",
        )
        valid = ArraySpec(info.axes[1:], shape, (shard, shard), (chunk, chunk), "uint8", 0, "zstd")
        grid = info.grid.coarsen(1 << number)
        levels.append(LevelPlan(grid, (1, 1) if number == 0 else (2, 2), image, valid if info.may_be_invalid else None))
    return PyramidPlan(info, tuple(levels))


def array_attributes(attributes: dict[str, Any], name: str) -> dict[str, Any]:
    """Attributes of a level's array: the level's place, and what a `valid` array means."""
    if name == "valid":
        return {**attributes, "long_name": "1 where pixels are valid", "flag_values": [0, 1]}
    return attributes


def shard_shape(spec: ArraySpec, spatial: int) -> tuple[int, ...]:
    """Spatial part of a spec's shard shape."""
    return spec.shards[-spatial:]


def children(index: Sequence[int], finer: LevelPlan, coarser: LevelPlan) -> list[tuple[int, ...]]:
    """Spatial indexes of the finer level's shards under one shard of the coarser level, in C order."""
    ndim = len(coarser.factors)
    sides = zip(shard_shape(coarser.image, ndim), shard_shape(finer.image, ndim), coarser.factors, strict=True)
    ratio = [side * f // s for side, s, f in sides]
    limit = finer.image.shard_grid[-ndim:]
    starts = [i * r for i, r in zip(index, ratio, strict=True)]
    found: list[tuple[int, ...]] = []
    for offset in np.ndindex(*ratio):
        child = tuple(int(a + o) for a, o in zip(starts, offset, strict=True))
        if all(c < n for c, n in zip(child, limit, strict=True)):
            found.append(child)
    return found

"""How an image is laid out as a pyramid: levels, shards and chunks. Pure: the image's description decides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import level_shapes
from bigimage.model.image import ImageInfo
from bigimage.pyramid.array import ArraySpec, as_stored, codec_for

CHUNK = 256
"""Pixels along each side of a chunk: one tile of the size that viewers ask for."""
MAX_CHUNK_BYTES = 1 << 20
"""Bands share a chunk up to this size; beyond it every band has chunks of its own."""
MAX_SHARD_BYTES = 16 << 20
"""Decoded bytes of a shard, which is the unit of work and so of memory."""
SHARD_SIDES = (4096, 2048, 1024, 512, 256)
MAX_BAND_BYTES = 128 << 20
"""Decoded bytes of a row of shards, where a source must be read over its whole width."""
VOLUME_CHUNK = 32
"""Voxels of a volume's chunk along each axis; see docs/decisions/004-chunks-of-volumes.md."""
VOLUME_SHARDS = ((128, 256, 256), (64, 256, 256), (32, 256, 256), (32, 128, 128), (32, 64, 64), (32, 32, 32))
VOLUME_COARSEST = 128
"""Levels of a volume are added until the longest side that can be halved is no more than this."""


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
    dtype = np.dtype(info.dtype)
    values = {str(held): held for held in (as_stored(band.nodata, dtype) for band in info.bands)}
    (first, *others) = values.values()
    return 0 if first is None or others else first


def plan_pyramid(info: ImageInfo, *, by_rows: bool = False) -> PyramidPlan:
    """Layout of any image.

    With `by_rows`, shards are low enough along the first spatial axis that a row of them, or a slab of a volume, fits
    in memory.
    """
    return plan_volume(info, by_rows=by_rows) if info.grid.ndim == 3 else plan_raster(info, by_rows=by_rows)


def _lead(info: ImageInfo, per_shard: int, per_chunk: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shard and chunk extents along the axes before the spatial ones: single times, bands as given."""
    axes = info.axes[: len(info.axes) - info.grid.ndim]
    return tuple(per_shard if a == "c" else 1 for a in axes), tuple(per_chunk if a == "c" else 1 for a in axes)


def _level(
    info: ImageInfo,
    grid: Grid,
    factors: tuple[int, ...],
    *,
    lead: tuple[tuple[int, ...], tuple[int, ...]],
    shard: tuple[int, ...],
    chunk: tuple[int, ...],
) -> LevelPlan:
    """One level from its spatial shard and chunk."""
    count = len(info.axes) - grid.ndim
    codec = codec_for(np.dtype(info.dtype)) if info.role == "image" else "zstd"
    image = ArraySpec(
        info.axes,
        (*info.shape[:count], *grid.shape),
        (*lead[0], *shard),
        (*lead[1], *chunk),
        info.dtype,
        fill_of(info),
        codec,
    )
    times = tuple(n for axis, n in zip(info.axes, info.shape, strict=True) if axis == "t")
    dims = tuple(axis for axis in info.axes if axis != "c")
    one = (1,) * len(times)
    valid = ArraySpec(dims, (*times, *grid.shape), (*one, *shard), (*one, *chunk), "uint8", 0, "zstd")
    return LevelPlan(grid, factors, image, valid if info.may_be_invalid else None)


def halving(grid: Grid) -> tuple[int, ...]:
    """Factors to the next level of a volume: the finest axes are halved until voxels are about as long as wide.

    Unevenly spaced slices are never merged. All ones when there is nothing left to halve.
    """
    spacing = grid.spacing
    can = [n > 1 and not (axis == 0 and grid.slices is not None) for axis, n in enumerate(grid.shape)]
    if not any(can) or max(n for n, ok in zip(grid.shape, can, strict=True) if ok) <= VOLUME_COARSEST:
        return (1,) * grid.ndim
    finest = min(s for s, ok in zip(spacing, can, strict=True) if ok)
    limit = finest * math.sqrt(2) * (1 + 1e-9)
    return tuple(2 if ok and s <= limit else 1 for s, ok in zip(spacing, can, strict=True))


def volume_chunk(slices: int) -> tuple[int, int, int]:
    """Chunk of a volume of so many slices: a cube, or as flat as the volume with about as many voxels."""
    depth = min(VOLUME_CHUNK, 1 << (slices - 1).bit_length())
    side = VOLUME_CHUNK << ((VOLUME_CHUNK // depth).bit_length() - 1) // 2
    return depth, side, side


def plan_volume(info: ImageInfo, *, by_rows: bool = False) -> PyramidPlan:
    """Levels of a volume: image [t,][c,]z,y,x, valid [t,]z,y,x."""
    item = np.dtype(info.dtype).itemsize
    bands = _band_axis(info)
    plane = bands * item * info.grid.shape[1] * info.grid.shape[2]
    chunk = volume_chunk(info.grid.shape[0])
    together = bands * math.prod(chunk) * item <= MAX_CHUNK_BYTES
    shard = chunk
    for sides in VOLUME_SHARDS:
        shard = (sides[0] * chunk[0] // VOLUME_CHUNK, *(max(side, chunk[1]) for side in sides[1:]))
        fits = bands * math.prod(shard) * item <= MAX_SHARD_BYTES
        if fits and (not by_rows or shard[0] * plane <= MAX_BAND_BYTES):
            break
    lead = _lead(info, bands, bands if together else 1)
    grid, factors = info.grid, (1,) * 3
    levels = [_level(info, grid, factors, lead=lead, shard=shard, chunk=chunk)]
    while (factors := halving(grid)) != (1, 1, 1):
        grid = grid.coarsen(factors)
        levels.append(_level(info, grid, factors, lead=lead, shard=shard, chunk=chunk))
    return PyramidPlan(info, tuple(levels))


def plan_raster(info: ImageInfo, *, by_rows: bool = False) -> PyramidPlan:
    """Levels of a raster: halved until the longest side fits 256; image [t,][c,]y,x, valid [t,]y,x."""
    bands_per_chunk, bands_per_shard, chunk, side = _raster_blocks(info, by_rows=by_rows)
    lead = _lead(info, bands_per_shard, bands_per_chunk)
    levels: list[LevelPlan] = []
    for number, shape in enumerate(level_shapes(info.grid.shape)):
        # small levels get small shards: a power of two of chunks that covers them
        extent = chunk * (1 << max(0, math.ceil(math.log2(max(shape) / chunk))))
        shard = (min(side, extent),) * 2
        factors = (2, 2) if number else (1, 1)
        grid = info.grid.coarsen(1 << number)
        levels.append(_level(info, grid, factors, lead=lead, shard=shard, chunk=(chunk, chunk)))
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

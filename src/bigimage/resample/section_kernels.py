"""Compiled loops that cut pictures out of volumes: straightened stored planes, and planes of any direction.

A pixel depends on nothing but its own place: coordinates are global level indexes, rounded to `QUANTUM`, and what has
been read around them is subtracted only afterwards, as whole numbers. So parts of a picture join without a seam.

What a compiled function calls stands in the same file, because numba looks for changes only there.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from bigimage.resample.jit import JIT, array_type, compiled

QUANTUM: Final = 2.0**-20
"""Coordinates are rounded to this part of a voxel, so that rounding errors of the way there never show."""
NEAREST: Final = 0
LINEAR: Final = 1
DTYPES: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pixels = NDArray[Any]


class Slab(NamedTuple):
    """The part of a stored plane that has been read: lines first, whatever their order in memory."""

    pixels: Pixels
    """(c, lines, places)"""
    mask: Bools
    """(lines, places) where `masked`, else anything."""
    masked: bool
    top: int
    """Level index of the first line."""
    left: int
    lines: int
    """Extent of the whole level along the lines' axis."""
    places: int


class Bricks(NamedTuple):
    """Blocks of a volume that have been read, each once."""

    pixels: Pixels
    """(n, c, z, y, x)"""
    mask: Bools
    """(n, z, y, x) where `masked`, else anything."""
    masked: bool
    table: NDArray[np.int32]
    """Number of the brick at each place of the lattice of bricks; -1 where it has not been read."""
    shape: Ints
    """Extent (z, y, x) of the level."""


@njit(**JIT)
def _round(value: float) -> float:
    return math.floor(value / QUANTUM + 0.5) * QUANTUM


@njit(**JIT)
def _stored(value: float, top: float) -> float:
    """A blended value as it is stored: integers are rounded half up, `top` is the greatest; infinite for floats."""
    # numpy's floor stays a float: a whole number of 64 bits would overflow
    return min(np.floor(value + 0.5), top) if top < math.inf else value


@njit(**JIT)
def _blend(slab: Slab, band: int, taps: tuple[int, int, int, int], wy: float, wx: float, top: float) -> float:
    """Bilinear value of taps (y0, y1, x0, x1), those that are not valid or not a number left out."""
    total = weight = 0.0
    for a in range(2):
        y = taps[a]
        part = wy if a else 1.0 - wy
        for b in range(2):
            x = taps[2 + b]
            value = float(slab.pixels[band, y, x])
            share = part * (wx if b else 1.0 - wx)
            if share == 0.0 or (slab.masked and not slab.mask[y, x]) or math.isnan(value):
                continue
            total += share * value
            weight += share
    return _stored(total / weight, top) if weight > 0.0 else math.nan


@njit(**JIT)
def _shift_line(slab: Slab, rows: tuple[int, int], weight: float, at: tuple[int, int], top: float, out: Pixels) -> None:
    """A line whose pixels lie on stored places: two stored lines blended; at is the first place and the step."""
    low, high = rows
    start, step = at
    for band in range(out.shape[0]):
        for c in range(out.shape[1]):
            x = start + step * c
            a = float(slab.pixels[band, low, x])
            value = a + (float(slab.pixels[band, high, x]) - a) * weight
            out[band, c] = _stored(value, top)


def _straighten(
    method: int,
    pixels: Pixels,
    mask: Bools,
    masked: bool,
    ends: Ints,
    along: Doubles,
    first: Doubles,
    step: float,
    begin: int,
    top: float,
    out: Pixels,
    valid: Bools,
) -> None:
    """Paint the lines (c, lines, pixels) of a straightened plane, and whether each pixel shows a valid voxel.

    `ends` are the last four members of the slab, which is put together here, as numba takes arrays of any order in
    memory only as arguments of their own.
    """
    slab = Slab(pixels, mask, masked, ends[0], ends[1], ends[2], ends[3])
    count = out.shape[2]
    for r in range(out.shape[1]):
        y = _round(along[r])
        if not 0.0 <= y < slab.lines:
            continue
        near = math.floor(y) - slab.top
        base = math.floor(y - 0.5)
        low = min(max(int(base), 0), slab.lines - 1) - slab.top
        high = min(max(int(base) + 1, 0), slab.lines - 1) - slab.top
        wy = y - 0.5 - base
        start, end = _round(first[r] + step * begin), _round(first[r] + step * (begin + count - 1))
        whole = abs(step) == 1.0 and start - 0.5 == math.floor(start - 0.5)
        if (
            whole
            and method == LINEAR
            and not slab.masked
            and top < math.inf
            and min(start, end) > 0
            and max(start, end) < slab.places
        ):
            _shift_line(slab, (low, high), wy, (int(start) - slab.left, int(step)), top, out[:, r])
            valid[r, :] = True
            continue
        for c in range(count):
            x = _round(first[r] + step * (begin + c))
            if not 0.0 <= x < slab.places:
                continue
            column = math.floor(x) - slab.left
            if slab.masked and not slab.mask[near, column]:
                continue
            valid[r, c] = True
            if method == NEAREST:
                for band in range(out.shape[0]):
                    out[band, r, c] = slab.pixels[band, near, column]
                continue
            side = math.floor(x - 0.5)
            left = min(max(int(side), 0), slab.places - 1) - slab.left
            right = min(max(int(side) + 1, 0), slab.places - 1) - slab.left
            for band in range(out.shape[0]):
                if top == math.inf and math.isnan(slab.pixels[band, near, column]):
                    out[band, r, c] = slab.pixels[band, near, column]
                    continue
                out[band, r, c] = _blend(slab, band, (low, high, left, right), wy, x - 0.5 - side, top)


def _mark(points: Doubles, shape: Ints, brick: Ints, touched: Bools) -> None:
    """Mark the bricks that hold a tap of points (n, 3) of level indexes."""
    taps = np.empty((3, 2), np.int64)
    for n in range(points.shape[0]):
        inside = True
        for axis in range(3):
            at = _round(points[n, axis])
            inside &= 0.0 <= at < shape[axis]
            for k in range(2):
                tap = min(max(math.floor(at - 0.5) + k, 0), shape[axis] - 1)
                taps[axis, k] = tap // brick[axis]
        if inside:
            for a in range(2):
                for b in range(2):
                    for c in range(2):
                        touched[taps[0, a], taps[1, b], taps[2, c]] = True


@njit(**JIT)
def _tap(bricks: Bricks, band: int, z: int, y: int, x: int) -> float:
    """Value of a voxel; not a number where it is not valid."""
    _, _, dz, dy, dx = bricks.pixels.shape
    brick = bricks.table[z // dz, y // dy, x // dx]
    if bricks.masked and not bricks.mask[brick, z % dz, y % dy, x % dx]:
        return math.nan
    return float(bricks.pixels[brick, band, z % dz, y % dy, x % dx])


@njit(**JIT)
def _trilinear(bricks: Bricks, band: int, taps: Ints, weights: Doubles, top: float) -> float:
    """Value between the eight taps (3, 2), those that are not valid left out."""
    total = weight = 0.0
    for a in range(2):
        wz = weights[0] if a else 1.0 - weights[0]
        for b in range(2):
            wy = wz * (weights[1] if b else 1.0 - weights[1])
            for c in range(2):
                share = wy * (weights[2] if c else 1.0 - weights[2])
                if share == 0.0:
                    continue
                value = _tap(bricks, band, taps[0, a], taps[1, b], taps[2, c])
                if not math.isnan(value):
                    total += share * value
                    weight += share
    return _stored(total / weight, top) if weight > 0.0 else math.nan


@njit(**JIT)
def _cut_carefully(
    method: int,
    bricks: Bricks,
    near: Ints,
    taps: Ints,
    weights: Doubles,
    top: float,
    n: int,
    out: Pixels,
    valid: Bools,
) -> None:
    """The value of one point, whose taps may lie in several bricks and may be missing."""
    _, _, dz, dy, dx = bricks.pixels.shape
    z, y, x = near[0], near[1], near[2]
    brick = bricks.table[z // dz, y // dy, x // dx]
    valid[n] = not bricks.masked or bricks.mask[brick, z % dz, y % dy, x % dx]
    if not valid[n]:
        return
    for band in range(out.shape[0]):
        value = bricks.pixels[brick, band, z % dz, y % dy, x % dx]
        if method == NEAREST or (top == math.inf and math.isnan(value)):
            out[band, n] = value
        else:
            out[band, n] = _trilinear(bricks, band, taps, weights, top)


@njit(**JIT)
def _inside(voxels: Pixels, brick: int, band: int, z: int, y: int, x: int, wz: float, wy: float, wx: float) -> float:
    """Value between eight voxels of one brick, from (z, y, x) on; not a number where one of them is not."""
    total = 0.0
    for a in range(2):
        low = float(voxels[brick, band, z + a, y, x])
        low += (float(voxels[brick, band, z + a, y, x + 1]) - low) * wx
        high = float(voxels[brick, band, z + a, y + 1, x])
        high += (float(voxels[brick, band, z + a, y + 1, x + 1]) - high) * wx
        total += (low + (high - low) * wy) * (wz if a else 1.0 - wz)
    return total


def _cut(method: int, bricks: Bricks, points: Doubles, top: float, out: Pixels, valid: Bools) -> None:
    """Values (c, n) at points (n, 3) of level indexes, and whether the voxel that holds each is valid."""
    _, _, dz, dy, dx = bricks.pixels.shape
    size_z, size_y, size_x = bricks.shape[0], bricks.shape[1], bricks.shape[2]
    taps, weights, near = np.empty((3, 2), np.int64), np.empty(3), np.empty(3, np.int64)
    plain = method == LINEAR and not bricks.masked
    for n in range(points.shape[0]):
        z, y, x = _round(points[n, 0]), _round(points[n, 1]), _round(points[n, 2])
        if not (0.0 <= z < size_z and 0.0 <= y < size_y and 0.0 <= x < size_x):
            continue
        z0, y0, x0 = math.floor(z - 0.5), math.floor(y - 0.5), math.floor(x - 0.5)
        wz, wy, wx = z - 0.5 - z0, y - 0.5 - y0, x - 0.5 - x0
        if plain and min(z0, y0, x0) >= 0 and z0 + 1 < size_z and y0 + 1 < size_y and x0 + 1 < size_x:
            bz, by, bx = z0 // dz, y0 // dy, x0 // dx
            lz, ly, lx = z0 - bz * dz, y0 - by * dy, x0 - bx * dx
            if lz + 1 < dz and ly + 1 < dy and lx + 1 < dx:
                brick = int(bricks.table[bz, by, bx])
                whole = True
                for band in range(out.shape[0]):
                    value = _inside(bricks.pixels, brick, band, lz, ly, lx, wz, wy, wx)
                    whole &= not math.isnan(value)
                    out[band, n] = _stored(value, top) if whole else 0
                valid[n] = True
                if whole:
                    continue
        for axis, at, base, size in ((0, z, z0, size_z), (1, y, y0, size_y), (2, x, x0, size_x)):
            near[axis] = math.floor(at)
            weights[axis] = at - 0.5 - base
            taps[axis, 0] = min(max(base, 0), size - 1)
            taps[axis, 1] = min(max(base + 1, 0), size - 1)
        _cut_carefully(method, bricks, near, taps, weights, top, n, out, valid)


def _strided(dtype: str, ndim: int, *, readonly: bool = False) -> types.Array:
    """Numba's type of an array whose axes lie in any order in memory."""
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "A", readonly=readonly)


@lru_cache(maxsize=len(DTYPES))
def straighten(dtype: str) -> Callable[..., None]:
    """Compiled `_straighten` for one type of pixels."""
    whole, flag = types.int64, types.boolean
    plane = (_strided(dtype, 3, readonly=True), _strided("bool", 2, readonly=True), flag, array_type("int64", 1))
    line = array_type("float64", 1)
    out = (_strided(dtype, 3), _strided("bool", 2))
    return compiled(_straighten, types.void, (whole, *plane, line, line, types.float64, whole, types.float64, *out))


@lru_cache(maxsize=1)
def mark() -> Callable[..., None]:
    """Compiled `_mark`."""
    whole = array_type("int64", 1)
    return compiled(_mark, types.void, (array_type("float64", 2), whole, whole, array_type("bool", 3)))


@lru_cache(maxsize=len(DTYPES))
def cut(dtype: str) -> Callable[..., None]:
    """Compiled `_cut` for one type of voxels."""
    bricks = types.NamedTuple(
        (
            array_type(dtype, 5),
            array_type("bool", 4),
            types.boolean,
            array_type("int32", 3),
            array_type("int64", 1),
        ),
        Bricks,
    )
    out = (_strided(dtype, 2), array_type("bool", 1))
    return compiled(_cut, types.void, (types.int64, bricks, array_type("float64", 2), types.float64, *out))

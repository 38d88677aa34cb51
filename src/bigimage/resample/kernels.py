"""Compiled loops of the warp: coordinates of a block's pixels, and pixels painted from a window of the source.

Everything is decided per target pixel from global source indexes, rounded to `QUANTUM`; the origin of the window that
happens to have been read is subtracted only afterwards, as whole numbers. So no pixel depends on the window, nor on
which others are painted with it: a value takes the same operations in the same order wherever it is computed.

What a compiled function calls stands in the same file, because numba looks for changes only there.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from bigimage.resample.cells import BLOCK, Cells, Doubles, Ints, Rows, cells_type, rows_type
from bigimage.resample.jit import JIT, array_type, compiled

SPAN: Final = 4 * BLOCK
"""Pixels that the loops take at a time: rows of a block one after another, few enough to stay in the nearest cache."""
QUANTUM: Final = 2.0**-20
"""Source coordinates are rounded to this part of a pixel: rounding errors of the way there never show, so an image
that lies on the lattice comes out as it is, and ties fall the same way along a whole span."""
NEAREST: Final = 0
BILINEAR: Final = 1
CUBIC: Final = 2
LANCZOS: Final = 3
AVERAGE: Final = 4
LOBES: Final = 3
PHASES: Final = 1024
"""Places between two pixels at which Lanczos weights are tabulated; between those they are interpolated."""
DTYPES: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
"""Types that can be resampled."""
CARRIERS: Final = ("uint8", "int8", "uint16", "int16", "float32", "float64")
"""Types that the loops are compiled for; the others travel in one of these, see `carrier`."""
SINGLE: Final = frozenset({"uint8", "int8", "uint16", "int16"})
"""Types blended in float32, which is exact enough to round; the others take float64."""

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Pixels = NDArray[Any]


class Window(NamedTuple):
    """A part of the source level that has been read."""

    pixels: Pixels
    """(c, h, w)"""
    mask: Bools
    """(h, w) where `masked`, else anything."""
    masked: bool
    top: int
    left: int


class Target(NamedTuple):
    """Where pixels go."""

    pixels: Pixels
    """(c, h, w)"""
    valid: Bools
    """(h, w)"""
    top: int
    """Row of the block's first pixel; negative where the block begins outside."""
    left: int
    limits: Doubles
    """Lowest and highest value that can be stored; used where `integral`."""
    integral: bool


class Span(NamedTuple):
    """What is known about the pixels of some rows of a block, one row after another, and room to work."""

    y: Doubles
    """Source index; -1 where no cell tells."""
    x: Doubles
    extent: Doubles
    """(2, SPAN): size (y, x) of the target pixel in source pixels."""
    nearest: Ints
    """Offset of the nearest source pixel in the window's plane."""
    shown: Bools
    """Whether that pixel exists, is valid, and is this pass's to paint."""
    top: Ints
    """Source row of the first tap."""
    left: Ints
    first: Ints
    """Offset of the first tap in the window's plane."""
    plain: Bools
    """Whether all taps exist and are valid."""
    fan: Floats
    """Weights of the taps along y, then of those along x, one row per tap; bilinear: the parts along y and x."""
    values: Floats
    line: Floats
    weights: Doubles
    """(2, taps): the weights of a single pixel."""
    reach: Ints
    """Taps of an average along y and x."""


@njit(**JIT)
def _coordinates(node: Doubles, side: int, row: int, column: int, count: int, axis: int, out: Doubles) -> None:
    """Source index along an axis of `count` pixels of a cell's row, from `column` on: biquadratic between nodes."""
    t = row / side
    first, middle, last = node[0, 0, axis], node[0, 1, axis], node[0, 2, axis]
    if row > 0:
        a, b, c = (1.0 - t) * (1.0 - 2.0 * t), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)
        first = a * node[0, 0, axis] + b * node[1, 0, axis] + c * node[2, 0, axis]
        middle = a * node[0, 1, axis] + b * node[1, 1, axis] + c * node[2, 1, axis]
        last = a * node[0, 2, axis] + b * node[1, 2, axis] + c * node[2, 2, axis]
    slope = (4.0 * middle - 3.0 * first - last) / side
    bend = 2.0 * (first - 2.0 * middle + last) / (side * side)
    for k in range(count):
        at = float(column + k)
        place = first + at * (slope + at * bend)
        out[k] = np.floor(place / QUANTUM + 0.5) * QUANTUM


@njit(**JIT)
def _locate(cells: Cells, near: Ints, r: int, part: Ints, span: Span, at: int) -> None:
    """Source indexes of row r of a block, columns part[2]…part[3], from the cells that touch it, into a span."""
    for c in range(at, at + part[3] - part[2]):
        span.y[c] = -1.0
    for k in near:
        top, left, side = cells.place[k, 0], cells.place[k, 1], cells.place[k, 2]
        first, last = max(left, part[2]), min(left + side, part[3])
        begin, end = at + first - part[2], at + last - part[2]
        if end > begin:
            node, row, column = cells.nodes[k], r - top, first - left
            _coordinates(node, side, row, column, end - begin, 0, span.y[begin:])
            _coordinates(node, side, row, column, end - begin, 1, span.x[begin:])
            for c in range(begin, end):
                span.extent[0, c] = cells.extent[k, 0]
                span.extent[1, c] = cells.extent[k, 1]


@njit(**JIT)
def _wrap(span: Span, count: int, period: float) -> None:
    """Bring columns of an image that goes around the globe into [0, period)."""
    for c in range(count):
        span.x[c] -= period * np.floor(span.x[c] / period)


@njit(**JIT)
def _claim(window: Window, claim: Doubles, span: Span, count: int) -> int:
    """Find the nearest source pixels, and which of them are claimed and valid; how many are."""
    width = window.pixels.shape[2]
    total = 0
    for c in range(count):
        y, x = span.y[c], span.x[c]
        inside = (y >= claim[0]) & (y < claim[1]) & (x >= claim[2]) & (x < claim[3])
        span.nearest[c] = (int(y) - window.top) * width + int(x) - window.left if inside else 0
        span.shown[c] = inside
        total += int(inside)
    if window.masked and total:
        total = 0
        mask = window.mask.reshape(-1)
        for c in range(count):
            span.shown[c] = span.shown[c] & mask[np.uint64(span.nearest[c])]
            total += int(span.shown[c])
    return total


@njit(**JIT)
def _linear_fan(at: Doubles, count: int, first: Ints, fan: Floats) -> None:
    """Lower one of the two taps of each coordinate, and the part of the way to the upper one."""
    for c in range(count):
        low = np.floor(at[c] - 0.5)
        first[c] = int(low)
        fan[0, c] = at[c] - 0.5 - low


@njit(**JIT)
def _cubic_fan(at: Doubles, count: int, first: Ints, fan: Floats) -> None:
    """First of the four taps of each coordinate, and their weights (Keys 1981, a = -1/2)."""
    for c in range(count):
        low = np.floor(at[c] - 0.5)
        first[c] = int(low) - 1
        t = at[c] - 0.5 - low
        fan[0, c] = ((-0.5 * t + 1.0) * t - 0.5) * t
        fan[1, c] = (1.5 * t - 2.5) * t * t + 1.0
        fan[2, c] = ((-1.5 * t + 2.0) * t + 0.5) * t
        fan[3, c] = (0.5 * t - 0.5) * t * t


@njit(**JIT)
def _lanczos_fan(at: Doubles, count: int, table: Doubles, first: Ints, fan: Floats) -> None:
    """First of the six taps of each coordinate, and their weights."""
    for c in range(count):
        low = np.floor(at[c] - 0.5)
        first[c] = int(low) - LOBES + 1
        place = (at[c] - 0.5 - low) * PHASES
        phase = int(place)
        for k in range(2 * LOBES):
            fan[k, c] = table[phase, k] + (table[phase + 1, k] - table[phase, k]) * (place - phase)


@njit(**JIT)
def _area_weights(at: float, extent: float, weights: Doubles) -> int:
    """Parts of an interval of length `extent` around a coordinate that lie in each pixel; the first pixel."""
    low, high = at - 0.5 * extent, at + 0.5 * extent
    first = np.floor(low)
    for k in range(weights.shape[0]):
        weights[k] = max(0.0, min(first + k + 1.0, high) - max(first + k, low)) / extent
    return int(first)


@njit(**JIT)
def _area_fan(at: Doubles, count: int, extent: Doubles, weights: Doubles, first: Ints, fan: Floats) -> None:
    """First tap of each coordinate, and the weights that make a mean over `extent` pixels."""
    for c in range(count):
        first[c] = _area_weights(at[c], extent[c], weights)
        for k in range(weights.shape[0]):
            fan[k, c] = weights[k]


@njit(**JIT)
def _find_taps(window: Window, span: Span, down: int, right: int, count: int) -> int:
    """Find the offsets of the first taps, and the pixels all of whose taps exist and are valid; how many are."""
    height, width = window.pixels.shape[1:]
    total = 0
    for c in range(count):
        i, j = span.top[c] - window.top, span.left[c] - window.left
        whole = span.shown[c] & (i >= 0) & (j >= 0) & (i + down <= height) & (j + right <= width)
        span.first[c] = i * width + j if whole else 0
        span.plain[c] = whole
        total += int(whole)
    if window.masked and total:
        total = 0
        mask = window.mask.reshape(-1)
        for c in range(count):
            whole = span.plain[c]
            for a in range(down if whole else 0):
                for b in range(right):
                    whole &= mask[np.uint64(span.first[c] + a * width + b)]
            span.plain[c] = whole
            total += int(whole)
    return total


@njit(**JIT)
def _blend_linear(plane: Pixels, span: Span, count: int) -> None:
    """Bilinear values of one band."""
    kind = span.values.dtype.type
    flat = plane.reshape(plane.size)
    one, below = np.uint64(1), np.uint64(plane.shape[1])
    for c in range(count):
        at = np.uint64(span.first[c])
        a, b = kind(flat[at]), kind(flat[at + one])
        d, e = kind(flat[at + below]), kind(flat[at + below + one])
        top = a + (b - a) * span.fan[1, c]
        span.values[c] = top + (d + (e - d) * span.fan[1, c] - top) * span.fan[0, c]


@njit(**JIT)
def _blend_fan(plane: Pixels, span: Span, down: int, right: int, count: int) -> None:
    """Values of one band, from down × right source pixels each."""
    kind = span.values.dtype.type
    flat = plane.reshape(plane.size)
    for c in range(count):
        span.values[c] = 0
    for a in range(down):
        for c in range(count):
            span.line[c] = 0
        for b in range(right):
            step = np.uint64(a * plane.shape[1] + b)
            for c in range(count):
                span.line[c] += span.fan[down + b, c] * kind(flat[np.uint64(span.first[c]) + step])
        for c in range(count):
            span.values[c] += span.line[c] * span.fan[a, c]


@njit(**JIT)
def _mend(window: Window, band: int, span: Span, c: int, is_area: bool) -> float:
    """Value beside pixels that are missing or not finite: those are left out and the weights made to sum to one.

    Cubic and Lanczos become bilinear here, as without some of their taps they could overshoot without bound.
    """
    plane = window.pixels[band]
    y, x, weights = span.y[c], span.x[c], span.weights
    centre = float(plane[int(y) - window.top, int(x) - window.left])
    if math.isnan(centre):
        return centre
    # bilinear weights are those of the mean over one pixel
    top = _area_weights(y, span.extent[0, c] if is_area else 1.0, weights[0])
    left = _area_weights(x, span.extent[1, c] if is_area else 1.0, weights[1])
    total = 0.0
    weight = 0.0
    for a in range(weights.shape[1]):
        i = top + a - window.top
        for b in range(weights.shape[1]):
            j = left + b - window.left
            part = weights[0, a] * weights[1, b]
            if part <= 0.0 or i < 0 or j < 0 or i >= plane.shape[0] or j >= plane.shape[1]:
                continue
            value = float(plane[i, j])
            if (window.masked and not window.mask[i, j]) or math.isnan(value):
                continue
            total += part * value
            weight += part
    return total / weight


@njit(**JIT)
def _store(
    span: Span, everywhere: bool, target: Target, band: int, top: int, left: int, height: int, columns: int
) -> None:
    """Store values where they are shown, height × columns of them; integers are rounded half up and clipped."""
    kind = span.values.dtype.type
    low, high, half = kind(target.limits[0]), kind(target.limits[1]), kind(0.5)
    for r in range(height):
        out, begin = target.pixels[band, top + r], r * columns
        if not target.integral:
            for c in range(columns):
                if span.shown[begin + c]:
                    out[left + c] = span.values[begin + c]
        elif everywhere:
            # these types fit in 32 bits, and that way is a vector instruction
            for c in range(columns):
                out[left + c] = np.int32(min(max(np.floor(span.values[begin + c] + half), low), high))
        else:
            for c in range(columns):
                if span.shown[begin + c]:
                    out[left + c] = np.int32(min(max(np.floor(span.values[begin + c] + half), low), high))


@njit(**JIT)
def _mark(target: Target, span: Span, top: int, left: int, height: int, columns: int) -> None:
    """Mark what is shown as valid."""
    for r in range(height):
        for c in range(columns):
            target.valid[top + r, left + c] |= span.shown[r * columns + c]


@njit(**JIT)
def _copy(window: Window, target: Target, span: Span, top: int, left: int, height: int, columns: int) -> None:
    """Copy the nearest source pixels, all bands."""
    for band in range(window.pixels.shape[0]):
        plane = window.pixels[band]
        flat = plane.reshape(plane.size)
        for r in range(height):
            for c in range(columns):
                if span.shown[r * columns + c]:
                    target.pixels[band, top + r, left + c] = flat[np.uint64(span.nearest[r * columns + c])]


@njit(**JIT)
def _fans(span: Span, method: int, table: Doubles, count: int) -> tuple[int, int]:
    """Find the first taps of pixels and the weights of all; how many taps each has along y and along x."""
    if method == BILINEAR:
        _linear_fan(span.y, count, span.top, span.fan)
        _linear_fan(span.x, count, span.left, span.fan[1:])
        return 2, 2
    if method == CUBIC:
        _cubic_fan(span.y, count, span.top, span.fan)
        _cubic_fan(span.x, count, span.left, span.fan[4:])
        return 4, 4
    if method == LANCZOS:
        _lanczos_fan(span.y, count, table, span.top, span.fan)
        _lanczos_fan(span.x, count, table, span.left, span.fan[2 * LOBES :])
        return 2 * LOBES, 2 * LOBES
    down, right = span.reach[0], span.reach[1]
    _area_fan(span.y, count, span.extent[0], span.weights[0, :down], span.top, span.fan)
    _area_fan(span.x, count, span.extent[1], span.weights[1, :right], span.left, span.fan[down:])
    return down, right


def _paint(
    method: int,
    cells: Cells,
    rows: Rows,
    part: Ints,
    claim: Doubles,
    period: float,
    window: Window,
    target: Target,
    span: Span,
    table: Doubles,
) -> None:
    """Paint rows part[0]…part[1] and columns part[2]…part[3] of a block, where the nearest source pixel is claimed.

    `claim` is (top, bottom, left, right) in source indexes, half open; `period` the columns once around the globe or 0.
    """
    columns = part[3] - part[2]
    step = SPAN // columns
    for first in range(part[0], part[1], step):
        height = min(step, part[1] - first)
        count = height * columns
        for r in range(height):
            at = first + r - part[0]
            near = rows.cell[rows.begin[at] : rows.begin[at + 1]]
            _locate(cells, near, first + r, part, span, r * columns)
        if period > 0.0:
            _wrap(span, count, period)
        seen = _claim(window, claim, span, count)
        if not seen:
            continue
        top, left = target.top + first, target.left + part[2]
        _mark(target, span, top, left, height, columns)
        if method == NEAREST:
            _copy(window, target, span, top, left, height, columns)
            continue
        taps = _fans(span, method, table, count)
        whole = _find_taps(window, span, taps[0], taps[1], count)
        for band in range(window.pixels.shape[0]):
            if whole and method == BILINEAR:
                _blend_linear(window.pixels[band], span, count)
            elif whole:
                _blend_fan(window.pixels[band], span, taps[0], taps[1], count)
            if whole < seen or not target.integral:
                for c in range(count):
                    if span.shown[c] and not (span.plain[c] and math.isfinite(span.values[c])):
                        span.values[c] = _mend(window, band, span, c, method == AVERAGE)
            _store(span, seen == count, target, band, top, left, height, columns)


def _trace(cells: Cells, rows: Rows, period: float, span: Span, out: Doubles) -> None:
    """Source index (y, x) of every pixel of a block, into `out` (BLOCK, BLOCK, 2); row -1 where no cell tells."""
    part = np.array((0, BLOCK, 0, BLOCK))
    for r in range(BLOCK):
        _locate(cells, rows.cell[rows.begin[r] : rows.begin[r + 1]], r, part, span, 0)
        if period > 0.0:
            _wrap(span, BLOCK, period)
        for c in range(BLOCK):
            out[r, c, 0] = span.y[c]
            out[r, c, 1] = span.x[c]


def carrier(dtype: "np.dtype[Any]", method: int) -> "np.dtype[Any]":
    """Type that pixels travel through the loops in.

    Integers of 32 and 64 bits are blended as float64, exact to 53 bits. Copied they travel as the float of their
    size, which is only moved, bit for bit.
    """
    if dtype.kind == "f" or (dtype.itemsize <= 2 and method != NEAREST):
        return dtype
    if method != NEAREST:
        return np.dtype(np.float64)
    return np.dtype({1: "uint8", 2: "uint16", 4: "float32", 8: "float64"}[dtype.itemsize])


def load(pixels: Pixels, method: int) -> Pixels:
    """Pixels as they travel: contiguous, in this machine's byte order, in their `carrier`."""
    pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    by = carrier(pixels.dtype, method)
    return pixels.view(by) if method == NEAREST else pixels.astype(by, copy=False)


def unload(pixels: Pixels, dtype: "np.dtype[Any]", method: int) -> Pixels:
    """Travelled pixels in their own type; integers that were blended as floats are rounded half up and clipped."""
    if method == NEAREST or pixels.dtype == dtype:
        return pixels.view(dtype)
    low, high = _limits(dtype)
    return np.clip(np.floor(pixels + 0.5), low, high).astype(dtype)


def _limits(dtype: "np.dtype[Any]") -> tuple[float, float]:
    """Lowest and highest float64 that an integer type holds."""
    info = np.iinfo(dtype)
    high = np.float64(info.max)
    # the nearest float64 of the largest 64-bit integers is one too large
    return float(info.min), float(high if int(high) <= info.max else np.nextafter(high, 0))


def window(pixels: Pixels, valid: Bools | None, start: tuple[int, ...]) -> Window:
    """Window that begins at level index `start`, from loaded pixels (c, h, w) and validity (h, w)."""
    masked = valid is not None and not valid.all()
    mask = np.ascontiguousarray(valid).view() if masked else np.ones((1, 1), np.bool_)
    # read-only is another type to numba: always that one, whatever the reader gave
    pixels = pixels.view()
    pixels.flags.writeable = mask.flags.writeable = False
    return Window(pixels, mask, masked, start[0], start[1])


def claim(bounds: tuple[float, float, float, float], found: Window) -> Doubles:
    """Bounds of the nearest source pixels to be painted, within what has been read: no kernel looks beside it."""
    height, width = found.pixels.shape[1:]
    top, bottom, left, right = bounds
    return np.array(
        [
            max(top, found.top), min(bottom, found.top + height),
            max(left, found.left), min(right, found.left + width),
        ],
        dtype=np.float64,
    )  # fmt: skip


def target(pixels: Pixels, valid: Bools, *, top: int, left: int) -> Target:
    """Arrays to paint a block into whose first pixel is row `top` and column `left` of them."""
    integral = pixels.dtype.kind != "f"
    return Target(pixels, valid, top, left, np.array(_limits(pixels.dtype) if integral else (0.0, 0.0)), integral)


def span(dtype: str, method: int, extent: Doubles) -> Span:
    """Room to work for pixels in one carrier and cells of these extents."""
    work = np.float32 if dtype in SINGLE else np.float64
    reach = np.full(2, 2 * LOBES, np.int64)
    if method == AVERAGE:
        # as many for every span and box of a block, so that all take the same way through the loops
        reach = np.ceil(extent.max(axis=0, initial=1.0)).astype(np.int64) + 1
    indexes, flags = np.empty((4, SPAN), np.int64), np.empty((2, SPAN), np.bool_)
    return Span(
        y=np.empty(SPAN),
        x=np.zeros(SPAN),
        extent=np.ones((2, SPAN)),
        nearest=indexes[0],
        shown=flags[0],
        top=indexes[1],
        left=indexes[2],
        first=indexes[3],
        plain=flags[1],
        fan=np.empty((int(reach.sum()), SPAN), work),
        values=np.empty(SPAN, work),
        line=np.empty(SPAN, work),
        weights=np.empty((2, int(reach.max()))),
        reach=reach,
    )


@lru_cache(maxsize=1)
def lanczos() -> Doubles:
    """Weights of the six taps for each of `PHASES` + 1 places between two pixels."""
    place = np.arange(PHASES + 1)[:, None] / PHASES
    distance = np.arange(2 * LOBES) - (LOBES - 1) - place
    weights = np.sinc(distance) * np.sinc(distance / LOBES)
    weights[np.abs(weights) < 1e-15] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def _span_type(work: str) -> types.NamedTuple:
    """Numba's type of `Span`."""
    double, index, flag, value = (array_type(kind, 1) for kind in ("float64", "int64", "bool", work))
    doubles, values = array_type("float64", 2), array_type(work, 2)
    return types.NamedTuple(
        (double, double, doubles, index, flag, index, index, index, flag, values, value, value, doubles, index), Span
    )


@lru_cache(maxsize=len(CARRIERS))
def paint(dtype: str) -> Callable[..., None]:
    """Compiled `_paint` for one carrier; compiled at the first call, then read from numba's cache."""
    double, index, mask = array_type("float64", 1), array_type("int64", 1), array_type("bool", 2, readonly=True)
    number, whole, flag = types.float64, types.int64, types.boolean
    window = types.NamedTuple((array_type(dtype, 3, readonly=True), mask, flag, whole, whole), Window)
    target = types.NamedTuple((array_type(dtype, 3), array_type("bool", 2), whole, whole, double, flag), Target)
    span_type = _span_type("float32" if dtype in SINGLE else "float64")
    return compiled(
        _paint,
        types.void,
        (
            whole, cells_type(), rows_type(), index, double, number, window, target, span_type, array_type("float64", 2)
        ),
    )  # fmt: skip


@lru_cache(maxsize=1)
def trace() -> Callable[..., None]:
    """Compiled `_trace`."""
    return compiled(
        _trace, types.void, (cells_type(), rows_type(), types.float64, _span_type("float64"), array_type("float64", 3))
    )

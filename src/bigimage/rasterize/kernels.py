"""Kernels that paint: every part in its turn becomes runs of pixels, then the runs are written.

The two steps are apart because the first, which is large, does not depend on the type of the pixels: it is compiled
once, and only the short loops that write are compiled for each type.
"""

from typing import TYPE_CHECKING

import numpy as np

from bigimage.rasterize.fill import fill_part
from bigimage.rasterize.flat import LINE, POLYGON, RUNS, STROKE, Flat
from bigimage.rasterize.jit import kernel
from bigimage.rasterize.lines import thin_line, touch_part
from bigimage.rasterize.strokes import mask_part, stroke_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Window = tuple[int, int, int, int]
    Scratch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]

BATCH = 1 << 16
"""Runs collected before they are written: few enough to stay in the processor's cache."""


@kernel
def new_scratch() -> "Scratch":
    """Arrays that grow with the largest part: stretches of edges, row starts, crossings, runs."""
    return np.empty((64, 3), np.int64), np.empty(256, np.int64), np.empty(1024, np.int32), np.empty((512, 3), np.int32)


@kernel
def part_runs(flat: Flat, part: int, window: "Window", touched: bool, scratch: "Scratch") -> "tuple[int, Scratch]":
    """Runs of pixels (row, column start, column stop, counted from the window) that a part paints; they may overlap."""
    stretches, starts, crossings, spans = scratch
    kind = flat.kind[part]
    n = 0
    if kind == POLYGON:
        n, (stretches, starts, crossings, spans) = fill_part(flat, part, window, scratch)
        if touched:
            n, spans = touch_part(flat, part, window, True, spans, n)
    elif kind == STROKE:
        n, spans = stroke_part(flat, part, window, touched, spans)
    elif kind == RUNS:
        n, spans = mask_part(flat, part, window, spans)
    elif kind == LINE and touched:
        n, spans = touch_part(flat, part, window, False, spans, n)
    else:
        a, b = flat.rings[flat.first[part]], flat.rings[flat.first[part] + 1]
        n, spans = thin_line(flat.xy, a, b, window, spans)
    return n, (stretches, starts, crossings, spans)


@kernel
def collect(
    flat: Flat, parts: "NDArray[np.int64]", start: int, window: "Window", touched: bool
) -> "tuple[NDArray[np.int32], int]":
    """Runs (row, column start, column stop, shape) of parts from number `start` on, and the number to go on from."""
    runs, n = np.empty((4096, 4), np.int32), 0
    scratch = new_scratch()
    at = start
    while at < parts.size and n < BATCH:
        part = parts[at]
        top = max(window[0], flat.box[part, 0])
        rows = (top, min(window[1], flat.box[part, 1]), window[2], window[3])
        count, scratch = part_runs(flat, part, rows, touched, scratch)
        if n + count > runs.shape[0]:
            larger = np.empty((2 * (n + count), 4), np.int32)
            larger[:n] = runs[:n]
            runs = larger
        spans, shift, source = scratch[3], top - window[0], flat.source[part]
        for s in range(count):
            runs[n, 0], runs[n, 1], runs[n, 2] = spans[s, 0] + shift, spans[s, 1], spans[s, 2]
            runs[n, 3] = source
            n += 1
        at += 1
    return runs[:n], at


@kernel
def write(runs: "NDArray[np.int32]", values: "NDArray[np.unsignedinteger]", out: "NDArray[np.unsignedinteger]") -> None:
    """Set each run to its shape's value."""
    for k in range(runs.shape[0]):
        row, value = runs[k, 0], values[runs[k, 3]]
        for column in range(runs[k, 1], runs[k, 2]):
            out[row, column] = value


@kernel
def write_bits(
    runs: "NDArray[np.int32]", values: "NDArray[np.unsignedinteger]", out: "NDArray[np.unsignedinteger]"
) -> None:
    """Add the bits of each run's shape to those already set."""
    for k in range(runs.shape[0]):
        row, value = runs[k, 0], values[runs[k, 3]]
        for column in range(runs[k, 1], runs[k, 2]):
            out[row, column] |= value

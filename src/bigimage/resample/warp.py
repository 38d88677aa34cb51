"""Paint any box of a target lattice from the levels of a pyramid, or one patch onto another grid."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from bigimage.errors import InputError, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch
from bigimage.resample import kernels
from bigimage.resample.cells import BLOCK, Doubles, Ints, bound, judge, rows, sort
from bigimage.resample.control import TOLERANCE, Control, control

Method = Literal["nearest", "bilinear", "cubic", "lanczos", "average"]
"""How a pixel comes from those of the source around its centre.

`nearest` copies one, the only method for labels. `bilinear` takes 2 × 2 of them, `cubic` 4 × 4 (Keys, a = -1/2),
`lanczos` 6 × 6 (three lobes), and `average` the mean over the target pixel's footprint (the box around it where the
grids are rotated): use that where the target's pixels are much larger than the source's.
"""
METHODS: Final[tuple[Method, ...]] = get_args(Method)
LIMIT: Final = 1 << 22
"""Source pixels that one block of `BLOCK` × `BLOCK` target pixels may read: 64 per target pixel."""
_GROWTH: Final = 2 * TOLERANCE * np.array([-1, 1, -1, 1])
"""What bounds grow by, as a cell that is not quite straight bulges over them."""
SHARING: Final = 1.25
"""Neighbouring blocks share one window when it holds no more pixels than this times what they would read alone."""
Read = Callable[[int, IndexBox], Patch]
"""Reads the pixels of a level in an index box within it: (level, box) to a patch of shape (c, h, w)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A window to be read, and the pixels to be painted from it."""

    claim: tuple[float, float, float, float]
    """Source indexes (top, bottom, left, right), half open, that the nearest source pixel must lie between."""
    window: IndexBox
    """Level indexes to read. Columns go beyond the image where it goes around the globe, and mean the other side."""


@dataclass(frozen=True, eq=False, slots=True)
class BlockPlan:
    """What is to be done for one block."""

    block: tuple[int, int]
    """Index (row, column) of the block."""
    part: IndexBox
    """Lattice indexes to be painted."""
    control: Control
    pieces: tuple[Piece, ...]


def check_method(method: str) -> Method:
    """The method of that name. Raises InputError."""
    for known in METHODS:
        if method == known:
            return known
    raise InputError(f"resampling {method!r} is not one of {', '.join(METHODS)}")


def plan(
    source_grids: Sequence[Grid], lattice: Grid, box: IndexBox, method: Method, *, limit: int | None = LIMIT
) -> list[BlockPlan]:
    """Levels and windows that a box of a lattice needs, block by block; blocks that show nothing are left out.

    Parameters
    ----------
    source_grids
        Grids of the pyramid, finest first; the others are coarsenings of the first. Each block takes the coarsest
        whose pixels are no larger than its own, measured at its own place.
    lattice
        Grid of the target, such as all pixels of one zoom.
    box
        Lattice indexes (y, x) to be painted.
    method
        One of `METHODS`.
    limit
        Source pixels that a block may read. A block that needs more takes a coarser level.

    Raises
    ------
    InputError
        When a block needs more than `limit` pixels even of the coarsest level.
    OutOfBounds
        When the box is empty or sticks out of the lattice.
    FrameMismatch
        When the frames have no transformation.
    """
    levels = tuple(source_grids)
    if not levels or any(g.ndim != 2 for g in (*levels, lattice)):
        raise InputError("a warp goes between raster grids; a volume has no (y, x) indexes alone")
    if not lattice.box.contains(box) or not box.size:
        raise OutOfBounds(f"box {box.start}…{box.stop} is empty or sticks out of a lattice of shape {lattice.shape}")
    plans = (_plan_block(levels, lattice, box, block, method, limit) for block in box.blocks((BLOCK, BLOCK)))
    return [p for p in plans if p is not None]


def _plan_block(
    levels: tuple[Grid, ...], lattice: Grid, box: IndexBox, block: tuple[int, ...], method: Method, limit: int | None
) -> BlockPlan | None:
    """Plan of one block; None where it shows nothing."""
    place = (block[0], block[1])
    start = (place[0] * BLOCK, place[1] * BLOCK)
    whole = IndexBox(start, (start[0] + BLOCK, start[1] + BLOCK))
    found = control(levels, lattice, place)
    if found is None:
        return None
    inner = whole.shift((-start[0], -start[1]))
    pieces = _pieces(found, levels[found.level], inner, method)
    while limit is not None and _most(pieces) > limit:
        # decided for the whole block, so that every box shows the same level
        coarser = None if found.level + 1 == len(levels) else control(levels, lattice, place, at_least=found.level + 1)
        if coarser is None:
            raise InputError(
                f"painting the block at row {start[0]}, column {start[1]} takes a window of {_most(pieces)} source "
                f"pixels, more than the {limit} allowed; ask for a finer zoom, or build coarser levels"
            )
        found = coarser
        pieces = _pieces(found, levels[found.level], inner, method)
    part = box.intersect(whole)
    if part != whole:
        pieces = _pieces(found, levels[found.level], part.shift((-start[0], -start[1])), method)
    return BlockPlan(place, part, found, pieces) if pieces else None


def _most(pieces: tuple[Piece, ...]) -> int:
    """Pixels of the largest window."""
    return max((p.window.size for p in pieces), default=0)


def _pieces(found: Control, grid: Grid, part: IndexBox, method: Method) -> tuple[Piece, ...]:
    """Windows of the source for a part of a block."""
    extents = _extents(found, part)
    if found.period:
        extents = _unwrap(extents, found.period)
    height, width = grid.shape
    near = (extents[:, 1] >= 0) & (extents[:, 0] < height) & (extents[:, 3] >= 0) & (extents[:, 2] < width)
    if not near.any():
        return ()
    extents = np.clip(extents[near], 0.0, np.array([height, height, width, width]))
    margin = _margin(method, found)
    claims = _claims(extents, (0.0, float(height), 0.0, float(width)))
    return tuple(Piece(claim, _window(bounds, margin, grid, wraps=found.period == width)) for claim, bounds in claims)


def _extents(found: Control, part: IndexBox) -> Doubles:
    """Bounds (top, bottom, left, right) of the source indexes of each cell's pixels within a part of the block."""
    extents = np.empty((len(found.cells.place), 4))
    count = bound()(found.cells, _ends(part), extents)
    return extents[:count] + _GROWTH


def _ends(part: IndexBox) -> Ints:
    """First and last row, first and last column of a part of a block, half open."""
    return np.array([part.start[0], part.stop[0], part.start[1], part.stop[1]])


def _unwrap(extents: Doubles, columns: float) -> Doubles:
    """Bounds brought into [0, columns); those that go over the end become two."""
    shift = np.floor(extents[:, 2] / columns) * columns
    extents = extents - np.stack([0 * shift, 0 * shift, shift, shift], axis=-1)
    over = extents[extents[:, 3] > columns]
    if not len(over):
        return extents
    rest = np.stack([over[:, 0], over[:, 1], 0 * over[:, 2], over[:, 3] - columns], axis=-1)
    extents[:, 3] = np.minimum(extents[:, 3], columns)
    return np.concatenate([extents, rest])


def _claims(
    extents: Doubles, claim: tuple[float, float, float, float]
) -> Iterator[tuple[tuple[float, float, float, float], Doubles]]:
    """Cut a claim where most of it is empty, so that nobody reads from one end of the globe to the other."""
    low, high = extents.min(axis=0), extents.max(axis=0)
    bounds = np.array([low[0], high[1], low[2], high[3]])
    for axis in (0, 2) if len(extents) > 1 else ():
        order = extents[np.argsort(extents[:, axis])]
        gaps = order[1:, axis] - np.maximum.accumulate(order[:, axis + 1])[:-1]
        widest = int(np.argmax(gaps))
        if gaps[widest] > max(BLOCK, (bounds[axis + 1] - bounds[axis]) / 2):
            cut = float(order[widest + 1, axis] - gaps[widest] / 2)
            before, after = list(claim), list(claim)
            before[axis + 1] = after[axis] = cut
            yield from _claims(order[: widest + 1], (before[0], before[1], before[2], before[3]))
            yield from _claims(order[widest + 1 :], (after[0], after[1], after[2], after[3]))
            return
    yield claim, bounds


def _margin(method: Method, found: Control) -> tuple[int, int]:
    """Source pixels (y, x) that a method may touch beyond the nearest one."""
    if method == "average":
        y, x = (math.ceil(v / 2) + 1 for v in found.cells.extent.max(axis=0))
        return y, x
    reach = {"nearest": 0, "bilinear": 1, "cubic": 2, "lanczos": 3}[method]
    return reach, reach


def _window(bounds: Doubles, margin: tuple[int, int], grid: Grid, *, wraps: bool) -> IndexBox:
    """Window that holds all taps of the pixels within bounds."""
    top, bottom, left, right = (math.floor(v) for v in bounds)
    start = (top - margin[0], left - margin[1])
    stop = (bottom + 1 + margin[0], right + 1 + margin[1])
    if wraps:
        return IndexBox((max(0, start[0]), start[1]), (min(grid.shape[0], stop[0]), stop[1]))
    return IndexBox(start, stop).intersect(grid.box)


def warp(
    read: Read,
    source_grids: Sequence[Grid],
    lattice: Grid,
    box: IndexBox,
    *,
    bands: int,
    dtype: DTypeLike,
    method: Method = "bilinear",
    limit: int | None = LIMIT,
) -> Patch:
    """Pixels of a box of a lattice, from the levels of a pyramid: shape (bands, h, w), with `valid` (h, w).

    A pixel is valid where its centre lies on the image and the source pixel there is valid; that is the same for
    every method. Methods that blend leave invalid pixels (and NaN) out and make the other weights sum to one; cubic
    and Lanczos fall back to bilinear there. Integers are rounded half up and clipped. Pixels that are not valid are 0.
    However the lattice is cut into boxes, each pixel comes out the same, bit for bit.

    Parameters
    ----------
    read
        Reads (c, h, w) pixels of a level in a box within it. Called once for several neighbouring blocks, if their
        windows overlap enough.
    source_grids, lattice, box, limit
        As for `plan`, with its errors.
    bands
        Number of bands that `read` gives.
    dtype
        Type of its pixels; also the result's. Integers of 32 bits and more, and floats, are blended in float64.
    method
        One of `METHODS`.

    Raises
    ------
    Unsupported
        When pixels of that type cannot be resampled.
    """
    code, kind = METHODS.index(check_method(method)), check_dtype(dtype)
    plans = plan(source_grids, lattice, box, method, limit=limit)
    by = kernels.carrier(kind, code)
    pixels, valid = np.zeros((bands, *box.shape), by), np.zeros(box.shape, np.bool_)
    paint = kernels.paint(by.name)
    for near in _neighbours(plans):
        for found, piece, window in _windows(read, source_grids, near, bands=bands, dtype=kind, code=code):
            top, left = (b * BLOCK for b in found.block)
            part = _ends(found.part.shift((-top, -left)))
            cells = found.control.cells
            paint(
                code,
                cells,
                rows(cells, part),
                part,
                kernels.claim(piece.claim, window),
                found.control.period,
                window,
                kernels.target(pixels, valid, top=top - box.start[0], left=left - box.start[1]),
                kernels.span(by.name, code, cells.extent),
                kernels.lanczos(),
            )
    return Patch(kernels.unload(pixels, kind, code), lattice.crop(box), valid)


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The type in this machine's byte order. Raises Unsupported when its pixels cannot be resampled."""
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.name not in kernels.DTYPES:
        raise Unsupported(f"pixels of type {kind.name} cannot be resampled; types are {', '.join(kernels.DTYPES)}")
    return kind


def _neighbours(plans: list[BlockPlan]) -> Iterator[list[BlockPlan]]:
    """Plans of 2 × 2 aligned blocks that take the same level: those that may share a window."""

    def key(found: BlockPlan) -> tuple[int, int, int]:
        return found.block[0] // 2, found.block[1] // 2, found.control.level

    for _, group in groupby(sorted(plans, key=key), key=key):
        yield list(group)


def _windows(
    read: Read, grids: Sequence[Grid], plans: list[BlockPlan], *, bands: int, dtype: np.dtype[Any], code: int
) -> Iterator[tuple[BlockPlan, Piece, kernels.Window]]:
    """Pieces of plans of one level with the pixels they need; read at once where windows overlap enough."""
    grid, level = grids[plans[0].control.level], plans[0].control.level
    pieces = [(found, piece) for found in plans for piece in found.pieces]
    starts, stops = zip(*((p.window.start, p.window.stop) for _, p in pieces), strict=True)
    union = IndexBox(tuple(map(min, *starts, starts[0])), tuple(map(max, *stops, stops[0])))
    if union.size <= SHARING * sum(p.window.size for _, p in pieces):
        window = _read_window(read, level, grid, union, bands=bands, dtype=dtype, code=code)
        for found, piece in pieces:
            yield found, piece, window
        return
    for found, piece in pieces:
        yield found, piece, _read_window(read, level, grid, piece.window, bands=bands, dtype=dtype, code=code)


def _read_window(
    read: Read, level: int, grid: Grid, window: IndexBox, *, bands: int, dtype: np.dtype[Any], code: int
) -> kernels.Window:
    """Read a window; columns beyond the ends of an image that goes around the globe come from its other side."""
    width = grid.shape[1]
    parts: list[Patch] = []
    at = window.start[1]
    while at < window.stop[1]:
        turn = at // width
        stop = min(window.stop[1], (turn + 1) * width)
        box = IndexBox((window.start[0], at - turn * width), (window.stop[0], stop - turn * width))
        parts.append(_check_patch(read(level, box), (bands, *box.shape), dtype))
        at = stop
    if len(parts) == 1:
        return kernels.window(kernels.load(parts[0].array, code), parts[0].valid, window.start)
    pixels = np.concatenate([p.array for p in parts], axis=2)
    valid = [np.ones(p.grid.shape, np.bool_) if p.valid is None else p.valid for p in parts]
    return kernels.window(kernels.load(pixels, code), np.concatenate(valid, axis=1), window.start)


def _check_patch(patch: Patch, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Patch:
    """The patch, if it is what was asked for. Raises InputError."""
    if patch.array.shape != shape or patch.array.dtype.newbyteorder("=") != dtype:
        raise InputError(
            f"asked for pixels of shape {shape} and type {dtype}, but the reader gave {patch.array.shape} and "
            f"{patch.array.dtype}"
        )
    return patch


def resample_to(patch: Patch, target: Grid, *, method: Method = "bilinear") -> Patch:
    """A raster patch on another grid, in the same or another CRS: leading axes kept, with `valid`.

    What is valid and how pixels are blended is as in `warp`. Where the target's pixels are much larger than the
    patch's, `average` is the method that takes all of them into account.

    Raises
    ------
    FrameMismatch
        When the frames have no transformation.
    InputError
        When the patch or the target is a volume.
    Unsupported
        When pixels of that type cannot be resampled.
    """
    array = patch.array.reshape(-1, *patch.array.shape[-2:]) if patch.grid.ndim == 2 else patch.array

    def read(level: int, box: IndexBox) -> Patch:
        rows, columns = box.slices
        valid = None if patch.valid is None else patch.valid[rows, columns]
        return Patch(array[:, rows, columns], patch.grid.crop(box), valid)

    out = warp(read, (patch.grid,), target, target.box, bands=len(array), dtype=array.dtype, method=method, limit=None)
    return Patch(out.array.reshape(*patch.array.shape[:-2], *target.shape), target, out.valid)


def warm(dtypes: Sequence[str] = ("uint8", "uint16")) -> None:
    """Compile what warps pixels of these types, or load it from numba's cache, before somebody waits for it."""
    for door in (judge, bound, sort):
        door()
    for dtype in map(check_dtype, dtypes):
        for code in (kernels.NEAREST, kernels.BILINEAR):
            kernels.paint(kernels.carrier(dtype, code).name)

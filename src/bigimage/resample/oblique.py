"""Pictures cut out of volumes: stored planes with square pixels, and planes of any direction.

A pixel is valid where its centre lies on the volume and the voxel there is valid. Linear blending leaves voxels out
that are not valid (or not a number) and makes the other weights sum to one; integers are rounded half up. Pixels that
are not valid are 0. However a picture is cut into parts, each pixel comes out the same.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bigimage.errors import InputError, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import require_same
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import Lines, PlaneView, Straight
from bigimage.model.patch import Patch
from bigimage.resample import section_kernels as kernels

Method = Literal["nearest", "bilinear"]
"""`nearest` copies the voxel that holds a pixel's centre, the only method for labels; `bilinear` blends the 4 voxels
around it in a stored plane, the 8 around it in an oblique one."""
METHODS: Final[tuple[Method, ...]] = ("nearest", "bilinear")
LIMIT: Final = 1 << 26
"""Voxel values that one oblique plane may read."""
BAND: Final = 1 << 16
"""Pixels of an oblique plane whose coordinates are held at a time."""
_ALL: Final = np.ones((1, 1, 1, 1), np.bool_)
Read = Callable[[int, IndexBox], Patch]
"""Reads the voxels of a level in an index box within it: (level, box) to a patch of shape (c, z, y, x)."""


def check_method(method: str) -> Method:
    """The method of that name. Raises InputError."""
    for known in METHODS:
        if method == known:
            return known
    raise InputError(f"planes of a volume are resampled by {' or '.join(METHODS)}, not by {method}")


def _kind(dtype: DTypeLike) -> np.dtype[Any]:
    """The type in this machine's byte order. Raises Unsupported when its voxels cannot be resampled."""
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.name not in kernels.DTYPES:
        raise Unsupported(f"voxels of type {kind.name} cannot be resampled; types are {', '.join(kernels.DTYPES)}")
    return kind


def _top(kind: np.dtype[Any]) -> float:
    """Greatest float that an integer type holds; infinite for floats."""
    if kind.kind == "f":
        return float("inf")
    top = int(np.iinfo(kind).max)
    return float(top) if float(top) <= top else float(np.nextafter(float(top), 0.0))


def straighten(
    read: Callable[[IndexBox], Patch],
    straight: Straight,
    index: int,
    *,
    bands: int,
    dtype: DTypeLike,
    level: Grid,
    zoom: int = 0,
    part: IndexBox | None = None,
    method: Method = "bilinear",
) -> Patch:
    """A part of a displayed plane with square pixels: array (c, 1, rows, columns) on its true grid.

    Parameters
    ----------
    read
        Reads an index box of the level, one voxel thick: a patch (c, z, y, x).
    straight
        The geometry of the pictures.
    index
        Number of the plane.
    bands, dtype
        Number of bands that `read` gives, and the type of its voxels.
    level
        Grid of the level that is read, such as `straight.level_for` chooses.
    zoom
        Pixels are 2^zoom times as wide as the finest.
    part
        Rows and columns of the picture; all by default.
    method
        One of `METHODS`.

    Raises
    ------
    OutOfBounds
        When the plane does not exist or the part sticks out of it.
    Unsupported
        When voxels of that type cannot be resampled.
    """
    view = straight.view
    whole = IndexBox.of_shape(straight.shape_at(zoom))
    part = whole if part is None else part
    grid = straight.grid_of(index, zoom=zoom, part=part)
    at = view.slice_at(index, level)
    if straight.is_stored and view.shape(level) == whole.shape:
        patch = read(view.box(at, part, level))
        valid = None if patch.valid is None else view.arrange(view.plane_of(patch.valid))[None]
        return Patch(view.arrange(view.plane_of(patch.array))[:, None], grid, valid)
    kind = _kind(dtype)
    pixels, valid = np.zeros((bands, *grid.shape), kind), np.zeros(grid.shape, np.bool_)
    lines = straight.lines(part, zoom=zoom, level=level)
    box = _needed(lines, level, at, part)
    if box is not None:
        slab = _slab(read(box), box, view, lines, level)
        top = _top(kind)
        turned = (0, 2, 1) if lines.by_columns else (0, 1, 2)
        kernels.straighten(kind.name)(
            METHODS.index(check_method(method)),
            *slab,
            lines.along,
            lines.first,
            lines.step,
            lines.begin,
            top,
            pixels[:, 0].transpose(turned),
            valid.transpose(turned)[0],
        )
    return Patch(pixels, grid, None if valid.all() else valid)


def _needed(lines: Lines, level: Grid, at: int, part: IndexBox) -> IndexBox | None:
    """Voxels that lines touch in the slice `at`; None where they lie beside the level."""
    pixels = part.shape[0] if lines.by_columns else part.shape[1]
    ends = np.array([lines.begin, lines.begin + pixels - 1]) * lines.step
    start, stop = [at, at, at], [at + 1, at + 1, at + 1]
    places = (lines.along, lines.first[:, None] + ends)
    for axis, place in zip(lines.axes, places, strict=True):
        size = level.shape[axis]
        low, high = math.floor(place.min()) - 1, math.floor(place.max()) + 2
        if high <= 0 or low >= size:
            return None
        start[axis], stop[axis] = max(0, low), min(size, high)
    return IndexBox(tuple(start), tuple(stop))


def _slab(patch: Patch, box: IndexBox, view: PlaneView, lines: Lines, level: Grid) -> tuple[Any, ...]:
    """What was read of a stored plane, with lines first: pixels, validity, whether there is any, and its ends."""
    pixels = view.plane_of(patch.array.astype(patch.array.dtype.newbyteorder("="), copy=False))
    mask = np.ones((1, 1), np.bool_) if patch.valid is None else view.plane_of(patch.valid)
    line, other = lines.axes
    if line > other:
        pixels, mask = pixels.swapaxes(1, 2), mask.T
    ends = np.array([box.start[line], box.start[other], level.shape[line], level.shape[other]], np.int64)
    return pixels, mask, patch.valid is not None, ends


def oblique_grid(
    origin: Sequence[float], u: Sequence[float], v: Sequence[float], shape: tuple[int, int], like: Grid
) -> Grid:
    """Grid (1, rows, columns) of an oblique plane in the frame of a volume.

    Parameters
    ----------
    origin
        World point of the centre of the first pixel (top left), as DICOM's Image Position (Patient).
    u, v
        Way from one pixel to the next on its right, and to the next below.
    shape
        Rows and columns.
    like
        A grid of the volume.

    Raises
    ------
    InputError
        When the two ways are parallel or have no length, or `like` is not a volume.
    """
    if like.ndim != 3:
        raise InputError("only a volume has oblique planes")
    right, down = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    across = np.cross(right, down)
    area, sides = float(np.linalg.norm(across)), float(np.linalg.norm(right) * np.linalg.norm(down))
    if not sides > 0 or area < 1e-3 * sides:
        raise InputError(f"u={list(u)} and v={list(v)} span no plane: give two ways that are not parallel")
    # as thick as the shorter side: a plane has no thickness, but a grid has
    across *= min(np.linalg.norm(right), np.linalg.norm(down)) / area
    corner = np.asarray(origin, dtype=np.float64) - 0.5 * (right + down + across)
    matrix = np.stack([across, down, right, corner], axis=1)
    return Grid((1, *shape), tuple(tuple(float(x) for x in row) for row in matrix), like.frame)


def level_for(grids: Sequence[Grid], target: Grid) -> int:
    """The coarsest of the levels (finest first) whose merged voxels are no longer than a step of the target."""
    step = min(target.spacing[1:]) * (1 + 1e-3)
    base = grids[0].spacing
    best = 0
    for number, grid in enumerate(grids):
        merged = [side for side, finest in zip(grid.spacing, base, strict=True) if side > finest * (1 + 1e-3)]
        if all(side <= step for side in merged):
            best = number
    return best


def cut(
    read: Read,
    grids: Sequence[Grid],
    target: Grid,
    *,
    bands: int,
    dtype: DTypeLike,
    method: Method = "bilinear",
    brick: tuple[int, int, int] = (32, 32, 32),
    limit: int = LIMIT,
) -> tuple[Patch, int]:
    """A plane of any direction through a volume, and the level that it was read from.

    Parameters
    ----------
    read
        Reads (c, z, y, x) voxels of a level in a box within it; called once for each brick that the plane touches.
    grids
        Grids of the pyramid's levels, finest first.
    target
        Grid (1, rows, columns) of the plane.
    bands, dtype
        Number of bands that `read` gives, and the type of its voxels.
    method
        One of `METHODS`.
    brick
        Voxels that are read at a time: the chunks of the store.
    limit
        Voxel values that may be read. A plane that needs more takes a coarser level.

    Returns
    -------
    Patch
        Array (c, 1, rows, columns).
    int
        The level.

    Raises
    ------
    FrameMismatch
        When the target lies in another frame.
    InputError
        When the plane needs more than `limit` values even of the coarsest level.
    Unsupported
        When voxels of that type cannot be resampled.
    """
    require_same(target.frame, grids[0].frame)
    kind, code = _kind(dtype), METHODS.index(check_method(method))
    for level in range(level_for(grids, target), len(grids)):
        touched = _touched(grids[level], target, brick)
        count = int(touched.sum())
        if count * int(np.prod(brick)) * bands <= limit:
            break
    else:
        raise InputError(
            f"the plane goes through more than the {limit} voxel values of one request; take fewer or larger steps"
        )
    bricks = _gather(read, level, grids[level], touched, bands=bands, kind=kind, brick=brick)
    out = np.zeros((bands, target.shape[1] * target.shape[2]), kind)
    valid = np.zeros(out.shape[1], np.bool_)
    if count:
        paint = kernels.cut(kind.name)
        for begin, points in _points(grids[level], target):
            end = begin + len(points)
            paint(code, bricks, points, _top(kind), out[:, begin:end], valid[begin:end])
    picture = out.reshape(bands, *target.shape)
    return Patch(picture, target, None if valid.all() else valid.reshape(target.shape)), level


def _points(grid: Grid, target: Grid) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Level indexes (n, 3) of the centres of the target's pixels, some rows at a time, with the number before them."""
    _, rows, columns = target.shape
    step = max(1, BAND // columns)
    ends = grid.to_index(target.to_world([(0.5, 0.5, 0.5), (0.5, 1.5, 0.5), (0.5, 0.5, 1.5)]))
    for first in range(0, rows, step):
        down, right = np.arange(first, min(rows, first + step)), np.arange(columns)
        if grid.slices is None:
            # index is linear in row and column, as both grids are
            points = ends[0] + down[:, None, None] * (ends[1] - ends[0]) + right[:, None] * (ends[2] - ends[0])
        else:
            index = np.full((len(down), columns, 3), 0.5)
            index[..., 1] += down[:, None]
            index[..., 2] += right
            points = grid.to_index(target.to_world(index))
        yield first * columns, np.ascontiguousarray(points.reshape(-1, 3))


def _touched(grid: Grid, target: Grid, brick: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which bricks of a level hold voxels that the target shows."""
    sides, shape = np.array(brick, np.int64), np.array(grid.shape, np.int64)
    touched = np.zeros(tuple(int(n) for n in -(-shape // sides)), np.bool_)
    for _, points in _points(grid, target):
        kernels.mark()(points, shape, sides, touched)
    return touched


def _gather(
    read: Read,
    level: int,
    grid: Grid,
    touched: NDArray[np.bool_],
    *,
    bands: int,
    kind: np.dtype[Any],
    brick: tuple[int, int, int],
) -> kernels.Bricks:
    """The touched bricks, each read once, neighbours along x together; those at the far edges are filled up."""
    table = np.full(touched.shape, -1, np.int32)
    table[touched] = np.arange(touched.sum(), dtype=np.int32)
    pixels = np.zeros((int(touched.sum()), bands, *brick), kind)
    mask: NDArray[np.bool_] | None = None
    for place, count in _runs(touched):
        start = [p * n for p, n in zip(place, brick, strict=True)]
        stop = [start[0] + brick[0], start[1] + brick[1], start[2] + count * brick[2]]
        patch = read(level, IndexBox(tuple(start), tuple(stop)).intersect(grid.box))
        for number in range(count):
            row = int(table[place]) + number
            columns = slice(number * brick[2], (number + 1) * brick[2])
            part = patch.array[..., columns]
            z, y, x = (slice(0, n) for n in part.shape[1:])
            pixels[row, :, z, y, x] = part
            if patch.valid is not None:
                mask = np.ones((len(pixels), *brick), np.bool_) if mask is None else mask
                mask[row, z, y, x] = patch.valid[..., columns]
    shape = np.array(grid.shape, np.int64)
    return kernels.Bricks(pixels, _ALL if mask is None else mask, mask is not None, table, shape)


def _runs(touched: NDArray[np.bool_]) -> Iterator[tuple[tuple[int, int, int], int]]:
    """Bricks that follow each other along x: the first one's place, and their number; in C order."""
    edges = np.diff(touched.astype(np.int8), axis=2, prepend=0, append=0)
    for begin, end in zip(np.argwhere(edges == 1).tolist(), np.argwhere(edges == -1)[:, 2].tolist(), strict=True):
        z, y, x = begin
        yield (z, y, x), end - x


def warm(dtypes: Sequence[str] = ("int16", "uint16")) -> None:
    """Compile what cuts planes out of voxels of these types, or load it from numba's cache."""
    kernels.mark()
    for dtype in dtypes:
        name = _kind(dtype).name
        kernels.straighten(name)
        kernels.cut(name)

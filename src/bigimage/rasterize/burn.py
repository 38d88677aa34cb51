"""Shapes to pixels: GDAL's rule, any affine, block by block, the same pixels however the blocks are cut.

A pixel belongs to a polygon when its centre does, by the even-odd rule within a part; parts are united. Where a centre
lies exactly on an edge, the result is GDAL's (docs/masks.md has the cases). Pure and deterministic; the
kernels run without the GIL, so blocks can be burned from several threads.
"""

import math
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.builder import Builder, Geometries, MaskBits
from bigimage.rasterize.flat import Prepared, window_of
from bigimage.rasterize.kernels import collect, look_up, write, write_bits, write_greatest

Rule = Literal["center", "all-touched"]
RULES: tuple[Rule, ...] = ("center", "all-touched")
Combine = Literal["replace", "bits", "greatest"]
COMBINES: tuple[Combine, ...] = ("replace", "bits", "greatest")


def round_pens(radii: ArrayLike) -> NDArray[np.float64]:
    """Pens (n, 2, 2) of the given world radii: for points of that radius, or lines twice as wide; 0 is no pen."""
    return np.asarray(radii, dtype=np.float64)[:, None, None] * np.eye(2)


def ellipse_pen(semi_x: float, semi_y: float, angle: float = 0.0) -> NDArray[np.float64]:
    """Pen (2, 2) of an ellipse with world semi-axes, the first turned by `angle` radians from x towards y."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[semi_x * cos, -semi_y * sin], [semi_x * sin, semi_y * cos]])


def prepare(
    geometries: Geometries,
    grid: Grid,
    *,
    order: ArrayLike | None = None,
    pens: ArrayLike | None = None,
    masks: Mapping[int, MaskBits] | None = None,
    workers: int = 1,
) -> Prepared:
    """Shapes as flat arrays with a spatial index, ready for `burn` on any part of `grid`.

    Parameters
    ----------
    geometries
        Shapely geometries in the grid's frame, of any types, mixed; None and empty ones paint nothing. Parts of a
        multipart geometry are united; inside a part the even-odd rule holds.
    grid
        The whole raster, of any affine; blocks of it are burned later.
    order
        Sort keys (n,): higher paints over lower, equal ones as given. None: later paints over earlier.
    pens
        (n, 2, 2) world matrices that take the unit disc to the pen that draws a point or line (see `round_pens`,
        `ellipse_pen`); zero or NaN: a point is one pixel and a line one pixel wide. A point drawn with a pen is that
        very ellipse, lines have round ends and joins. Polygons ignore it.
    masks
        Position → (bits, (row, column) of the first) of shapes that are pixels of this grid; the geometry there is
        None.
    workers
        Threads to bring many shapes to the grid with; the result is the same with any number.

    Raises
    ------
    InputError
        For a volume, and for arrays whose lengths differ.
    """
    builder = Builder(grid, workers=workers)
    builder.add(geometries, pens=pens, masks=masks)
    return builder.finish(order=order)


def burn(
    prepared: Prepared,
    values: ArrayLike,
    box: IndexBox | None = None,
    *,
    rule: Rule = "center",
    dtype: DTypeLike | None = None,
    combine: Combine = "replace",
    background: int = 0,
    out: NDArray[np.generic] | None = None,
) -> NDArray[np.generic]:
    """Pixels of one block of the grid.

    Parameters
    ----------
    values
        One whole number for each shape given to `prepare`, in that order: a label's value, or an instance id.
    box
        Block of the grid in (row, column); None is all of it.
    rule
        "center": pixels whose centre is inside. "all-touched": also every pixel that an edge passes.
    dtype
        Integer type of the result; default that of `values`.
    combine
        "replace": later shapes paint over earlier ones. "bits": values are sets of bits, and each pixel keeps those of
        all its shapes, so that overlaps survive. "greatest": each pixel keeps the greatest value of its shapes and of
        `out`, in whatever order they come; values are unsigned.
    background
        Value of pixels that no shape covers, when `out` is not given.
    out
        Array (rows, columns) to paint over and return, for instance one that is used again for the next block.

    Returns
    -------
    ndarray
        (rows, columns) of the box.

    Raises
    ------
    InputError
        When `values` do not fit their number, the type or the rule.
    OutOfBounds
        When the box sticks out of the grid.
    """
    if rule not in RULES:
        raise InputError(f"rule {rule!r} is not one of {RULES}")
    if combine not in COMBINES:
        raise InputError(f"combine {combine!r} is not one of {COMBINES}")
    box = prepared.grid.box if box is None else box
    if not prepared.grid.box.contains(box):
        raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within shape {prepared.grid.shape}")
    numbers = _checked(values, prepared.count, out.dtype if out is not None else dtype)
    if combine == "greatest" and numbers.dtype.kind != "u":
        raise InputError(f"the greatest of values of type {numbers.dtype} is not painted: give unsigned ones")
    if out is None:
        out = np.zeros(box.shape, numbers.dtype) if not background else np.full(box.shape, background, numbers.dtype)
    elif out.shape != box.shape:
        raise InputError(f"out has shape {out.shape}, the box {box.shape}")
    # signed numbers are painted as their bits: half as many kernels to compile
    unsigned = np.dtype(f"u{numbers.dtype.itemsize}")
    pixels, bits = out.view(unsigned), numbers.view(unsigned)
    writer = {"replace": write, "bits": write_bits, "greatest": write_greatest}[combine]
    touched = None if rule == "center" and not len(prepared.flat.pens) else rule == "all-touched"
    at = 0
    while at >= 0:
        runs, at = collect(prepared.flat, prepared.keys, prepared.rank, window_of(box), touched, at)
        writer(runs, bits, pixels)
    return out


def _checked(values: ArrayLike, count: int, dtype: DTypeLike | None) -> NDArray[np.integer]:
    """Values in the type they are painted in."""
    numbers = np.asarray(values)
    if not numbers.size and not count:
        numbers = np.zeros(0, np.uint8)  # an empty list would be of floats
    if numbers.shape != (count,):
        raise InputError(f"values have shape {numbers.shape}; {count} shapes need ({count},)")
    target = np.dtype(numbers.dtype if dtype is None else dtype)
    if target.kind not in "iu" or numbers.dtype.kind not in "iu":
        raise InputError(f"values of type {numbers.dtype} cannot be painted as {target}: both must be whole numbers")
    limits = np.iinfo(cast("np.dtype[np.integer]", target))
    if count and (numbers.min() < limits.min or numbers.max() > limits.max):
        raise InputError(f"values {numbers.min()}…{numbers.max()} do not fit {target}; choose a wider type")
    return cast("NDArray[np.integer]", numbers.astype(target, copy=False))


def warm() -> None:
    """Compile every kernel now, or load it from the cache on disk, so that the first block need not wait."""
    import shapely

    square = shapely.box(1, 1, 5, 5)
    shapes = [square, shapely.LineString([(0, 0), (6, 3)]), shapely.Point(2, 2), shapely.Point(4, 4), None]
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (8, 8), PixelFrame("warm"))
    mask = {4: (np.ones((2, 2), np.bool_), (0, 0))}
    plain = prepare(shapes, grid, masks=mask)
    burn(plain, np.ones(5, np.uint8))
    prepared = prepare(shapes, grid, pens=round_pens([0, 0, 0, 2, 0]), masks=mask)
    for dtype in (np.uint8, np.uint16, np.uint32):
        burn(prepared, np.ones(5, dtype))
        burn(prepared, np.ones(5, dtype), combine="bits")
        look_up(np.zeros(1, np.uint32), np.zeros(1, dtype), np.zeros(1, dtype))
    burn(prepared, np.ones(5, np.uint32), combine="greatest")

"""Annotations as the kernels take them: columns of a window → shapes on a raster grid, their classes and their order.

A polygon, box or rotated box is filled; an ellipse is that very ellipse; a line is one pixel wide, points and key
points are a pixel each, unless the schema gives their label a width or a radius; a mask shape is its pixels. A tag
paints nothing.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.rasterize.builder import MaskBits
from bigimage.rasterize.burn import ellipse_pen, prepare
from bigimage.rasterize.flat import Prepared
from bigimage.rasterize.modes import Palette
from bigimage.store.door import Columns
from bigimage.store.rows import SHAPE_CODES

ReadMask = Callable[[UUID, IndexBox], NDArray[np.bool_]]
"""(annotation, box of the finest level's indexes) → bits of its mask."""
MOST_IDS = 2**32 - 1
FINEST, WIDEST = 2e-6, 2.0**39
"""Pixels of the radius that kernels draw pens with; what is said to be finer or wider is drawn so."""
_ELLIPSE, _MASK, _LINE = SHAPE_CODES["ellipse"], SHAPE_CODES["mask"], SHAPE_CODES["line"]
_POINTS = [SHAPE_CODES[kind] for kind in ("point", "multipoint", "keypoints")]


@dataclass(frozen=True)
class Drawing:
    """Shapes of a window, ready to burn."""

    prepared: Prepared
    classes: NDArray[np.int64]
    """(n,) place of each shape's class in the palette; -1 where the schema does not know its label."""
    ids: NDArray[np.uint32]
    """(n,) id of each shape's object; 0 for reviewed regions."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is painted anywhere."""
        return not len(self.prepared.keys)


def draw(
    columns: Columns,
    palette: Palette,
    grid: Grid,
    window: IndexBox,
    *,
    read_mask: ReadMask,
    objects: Callable[[Columns], NDArray[np.int64]],
    reviewed: Sequence[shapely.Geometry] = (),
    known_only: bool = True,
    factors: Sequence[int] = (1, 1),
) -> Drawing:
    """Shapes of a window of a raster grid, in the order in which they are painted.

    Parameters
    ----------
    columns
        Annotations that touch the window.
    grid
        The whole grid; the level that is painted.
    window
        Its indexes that will be burned; bits of masks are read no further.
    objects
        Columns → id of the object that each annotation shows.
    reviewed
        Regions that were reviewed, painted with the background class beneath everything.
    known_only
        Leave out annotations whose label the schema does not know.
    factors
        Pixels of the finest level per pixel of `grid`, which bits of masks are reduced by.

    Raises
    ------
    InputError
        When objects have no ids in 32 bits.
    """
    classes, rank = in_order(columns, palette)
    geometries = columns.geometries.copy()
    pens = line_pens(columns, classes, palette, grid, factors)
    masks: dict[int, MaskBits] = {}
    if known_only:
        geometries[classes < 0] = None
    ellipses = np.flatnonzero((columns.shapes == _ELLIPSE) & ~shapely.is_missing(geometries)).tolist()
    least, most = FINEST**2 * float(abs(np.linalg.det(np.asarray(grid.affine)[:, :2]))), WIDEST * min(grid.spacing)
    for k in ellipses:
        centre, radii, turn = _ellipse(columns.rest[k])
        # the widest stay the polygons that stand for them; one without area holds no centre
        if max(radii) < most:
            drawn = radii[0] * radii[1] > least
            geometries[k], pens[k] = centre if drawn else None, ellipse_pen(*radii, turn)
    for k in np.flatnonzero(columns.shapes == _MASK).tolist():
        geometries[k] = None
        if not known_only or classes[k] >= 0:
            found = _mask(columns.ids[k], columns.rest[k], window, read_mask, factors)
            if found is not None:
                masks[k + len(reviewed)] = found
    ids = in_32_bits(objects(columns))
    n = len(reviewed)
    below = np.empty(n, object)
    below[:] = list(reviewed)
    background = -1 if palette.background is None else palette.by_name[palette.background]
    prepared = prepare(
        np.concatenate([below, geometries]),
        grid,
        order=np.concatenate([np.arange(n) - n, rank]),
        pens=np.concatenate([np.full((n, 2, 2), np.nan), pens]) if np.isfinite(pens).any() else None,
        masks=masks,
    )
    return Drawing(
        prepared,
        np.concatenate([np.full(n, background, np.int64), classes]),
        np.concatenate([np.zeros(n, np.uint32), ids]),
    )


def pen_sizes(
    columns: Columns, classes: NDArray[np.int64], palette: Palette
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Radius of the pen that each annotation's points or lines are drawn with, 0 for none; whether it is in pixels."""
    known = [*palette.classes, None]
    widths = np.array([0.0 if c is None else c.width / 2 for c in known])[classes]
    radii = np.array([0.0 if c is None else c.radius for c in known])[classes]
    in_pixels = np.array([c is not None and c.unit == "pixel" for c in known])[classes]
    return np.where(columns.shapes == _LINE, widths, np.where(np.isin(columns.shapes, _POINTS), radii, 0.0)), in_pixels


def line_pens(
    columns: Columns, classes: NDArray[np.int64], palette: Palette, grid: Grid, factors: Sequence[int]
) -> NDArray[np.float64]:
    """(n, 2, 2) pens of lines and points, by what the schema says of their labels; NaN for none."""
    pens = np.full((len(classes), 2, 2), np.nan)
    sizes, in_pixels = pen_sizes(columns, classes, palette)
    drawn = sizes > 0
    if drawn.any():
        finest = np.asarray(grid.affine)[:, :2] / np.asarray(factors)
        units = np.where(in_pixels[drawn, None, None], finest, np.eye(2))
        pixel = np.where(in_pixels[drawn], 1.0, min(grid.spacing))
        pens[drawn] = np.clip(sizes[drawn], FINEST * pixel, WIDEST * pixel)[:, None, None] * units
    return pens


def in_order(columns: Columns, palette: Palette) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Class of each annotation, -1 where the schema does not know its label, and its place in the burn order."""
    of_name = np.array([palette.by_name.get(name, -1) for name in columns.names], np.int64)
    classes = of_name[columns.labels] if len(columns.labels) else np.zeros(0, np.int64)
    orders = np.array([c.order for c in palette.classes], np.int64)
    order = np.where(classes >= 0, orders[classes] if len(orders) else 0, 0)
    rank = np.empty(len(order), np.int64)
    rank[np.lexsort((columns.places, order))] = np.arange(len(order))
    return classes, rank


def in_32_bits(ids: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Ids of objects as layers hold them. Raises InputError for one that is too large."""
    if len(ids) and int(ids.max()) > MOST_IDS:
        raise InputError(f"object {int(ids.max())} has no id in the 32 bits that a layer of instances has")
    return ids.astype(np.uint32)


def _ellipse(rest: str | None) -> tuple[shapely.Geometry, tuple[float, float], float]:
    """Centre, radii and turn (radians) of an ellipse."""
    shape: dict[str, Any] = json.loads(rest or "{}")["shape"]
    first, second = shape["radii"]
    return shapely.Point(shape["center"]), (first, second), math.radians(shape.get("rotation", 0.0))


def _mask(id: UUID, rest: str | None, window: IndexBox, read_mask: ReadMask, factors: Sequence[int]) -> MaskBits | None:
    """Bits of a mask within a window, reduced by factors, and the index of the first; None where there are none."""
    box: list[list[int]] | None = json.loads(rest or "{}").get("box")
    if box is None:
        return None
    start, stop = box
    part = IndexBox(tuple(start), tuple(stop)).coarsen(factors).intersect(window)
    if not part.size:
        return None
    fine = IndexBox(
        tuple(a * f for a, f in zip(part.start, factors, strict=True)),
        tuple(b * f for b, f in zip(part.stop, factors, strict=True)),
    )
    bits = read_mask(id, fine)
    if any(f > 1 for f in factors):
        (rows, columns), (f, g) = part.shape, factors
        # the rule of coarser levels: what covers more than half of a pixel
        bits = bits.reshape(rows, f, columns, g).sum(axis=(1, 3)) * 2 > f * g
    return bits, (part.start[0], part.start[1])

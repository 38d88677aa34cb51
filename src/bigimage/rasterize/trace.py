"""Labels to shapes: outlines of regions, block by block with seams merged; burned, they give the labels back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import blocks
from bigimage.rasterize import regions

Labels = NDArray[np.integer] | Callable[[IndexBox], NDArray[np.integer]]


BLOCK = 2048
"""Rows and columns that are read at a time."""


@dataclass(frozen=True, slots=True)
class Traced:
    """Outlines of the regions of a label image."""

    values: NDArray[np.int64]
    """Label of each shape."""
    shapes: NDArray[np.object_]
    """Shapely polygons or multipolygons in the grid's frame, exteriors counter-clockwise there."""


def trace(
    labels: Labels,
    grid: Grid,
    *,
    background: int = 0,
    merge: bool = False,
    tolerance: float = 0.0,
    block: int = BLOCK,
) -> Traced:
    """Outlines of all regions of equal labels, along the edges of pixels.

    Burning the shapes with their values onto the same grid gives the labels back, pixel for pixel (with `tolerance` 0).
    Only the borders are kept in memory, so an image may be larger than that.

    Parameters
    ----------
    labels
        (rows, columns) whole numbers on `grid`, or a function that returns those of a box of it.
    grid
        Raster grid of the labels, of any affine.
    background
        Label that gets no shape.
    merge
        False: one polygon for each region, a set of pixels connected across their edges. True: one shape for each
        label, a multipolygon where it has several regions.
    tolerance
        Pixels of detail to smooth away; borders that regions share stay shared, and none crosses another (coverage
        simplification after Visvalingam and Whyatt 1993). 0 keeps every corner.
    block
        Rows and columns to read at a time.

    Returns
    -------
    Traced
        Shapes ordered by label, then by their topmost, leftmost pixel.

    Raises
    ------
    InputError
        When the labels are no whole numbers or do not fit the grid.
    """
    if grid.ndim != 2:
        raise InputError(f"a volume of shape {grid.shape} has no outlines; trace it plane by plane")
    if not callable(labels) and labels.shape != grid.shape:
        raise InputError(f"labels of shape {labels.shape} do not fit a grid of shape {grid.shape}")
    borders, values = _all_borders(labels, grid, background=background, block=block)
    # one number for each corner sorts several times faster than its row and column
    stride = grid.shape[1] + 1
    corner = borders[:, 3] * stride + borders[:, 2]
    order = np.lexsort((corner, borders[:, 0]))
    borders, corner = borders[order], corner[order]
    corners, starts, member = regions.link_rings(borders, regions.successors(borders, corner, stride))
    polygons, region = _polygons(corners, starts, borders[member, 0])
    if tolerance > 0 and len(polygons):
        polygons = shapely.coverage_simplify(polygons, tolerance)
    # the first border of a region starts at its topmost, leftmost corner
    first = borders[np.searchsorted(borders[:, 0], region)]
    order = np.lexsort((first[:, 2], first[:, 3], values[region]))
    polygons, of_polygon = _in_world(polygons[order], grid), values[region[order]]
    if merge:
        of_polygon, owner = np.unique(of_polygon, return_inverse=True)
        polygons = shapely.multipolygons(polygons, indices=owner)
    return Traced(of_polygon, np.asarray(shapely.orient_polygons(polygons)))


class _Seams:
    """The pixels along the seams to the blocks above and to the left, and the regions joined across them."""

    def __init__(self, columns: int, background: int) -> None:
        self._background = background
        self._above = np.full(columns, background), np.zeros(columns, np.int64)
        self._beside = self._above
        self._parent = np.zeros(1024, np.int64)
        self.count = 1
        """Regions so far; number 0 is the background."""

    def add(
        self, labels: NDArray[np.int64], ids: NDArray[np.int64], left: int, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Join a block's regions, up to number `count`, with those before it.

        Returns its labels and regions with the row above and the column to the left of it. Blocks come in raster order.
        """
        if count > len(self._parent):
            self._parent = np.concatenate([self._parent, np.zeros(count, np.int64)])
        self._parent[self.count : count] = np.arange(self.count, count)
        self.count = count
        here = slice(left, left + labels.shape[1])
        wide_labels = np.pad(labels, ((1, 0), (1, 0)), constant_values=self._background)
        wide_ids = np.pad(ids, ((1, 0), (1, 0)))
        wide_labels[0, 1:], wide_ids[0, 1:] = self._above[0][here], self._above[1][here]
        if left:
            wide_labels[1:, 0], wide_ids[1:, 0] = self._beside
        regions.join_seam(self._parent, labels[0], ids[0], wide_labels[0, 1:], wide_ids[0, 1:])
        if left:
            own = labels[:, 0].copy(), ids[:, 0].copy()
            regions.join_seam(self._parent, *own, *self._beside)
        self._above[0][here], self._above[1][here] = labels[-1], ids[-1]
        self._beside = labels[:, -1].copy(), ids[:, -1].copy()
        return wide_labels, wide_ids

    def final(self) -> NDArray[np.int64]:
        """Final number of each region."""
        return regions.roots(self._parent[: self.count])


def _all_borders(
    labels: Labels, grid: Grid, *, background: int, block: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Borders of all regions, and the label of each region."""
    rows, columns = grid.shape
    seams = _Seams(columns + 1, background)
    found: list[NDArray[np.int64]] = []
    values = [np.array([background])]
    # one row and one column of background more, so that the last pixels have borders too
    for _, box in blocks((rows + 1, columns + 1), (block, block)):
        own = _read(labels, box, grid, background)
        ids, count = regions.components(own, background, seams.count)
        value = np.empty(count - seams.count, np.int64)
        value[ids[ids > 0] - seams.count] = own[ids > 0]
        values.append(value)
        found.append(regions.borders(*seams.add(own, ids, box.start[1], count), *box.start))
    borders, final = np.concatenate(found), seams.final()
    borders[:, :2] = final[borders[:, :2]]
    return borders, np.concatenate(values)


def _read(labels: Labels, box: IndexBox, grid: Grid, background: int) -> NDArray[np.int64]:
    """Labels of a box that may stick out of the grid by background."""
    out = np.full(box.shape, background, np.int64)
    inner = box.intersect(grid.box)
    if inner.size:
        pixels = labels(inner) if callable(labels) else labels[inner.slices]
        if pixels.dtype.kind not in "iu" or pixels.shape != inner.shape:
            raise InputError(f"labels of box {inner.start}…{inner.stop} are {pixels.dtype} of shape {pixels.shape}")
        out[inner.shift([-v for v in box.start]).slices] = pixels
    return out


def _polygons(
    corners: NDArray[np.int64], starts: NDArray[np.int64], region: NDArray[np.int64]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Polygons in (column, row) of rings: one outline, which runs clockwise, and any holes for each region."""
    order = np.lexsort((~regions.is_outline(corners, starts), region))
    sizes = np.diff(starts)[order]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    chosen = np.repeat(starts[:-1][order] - offsets[:-1], sizes) + np.arange(offsets[-1])
    found, first = np.unique(region[order], return_index=True)
    rings = np.concatenate([first, [len(order)]])
    kind = shapely.GeometryType.POLYGON
    return shapely.from_ragged_array(kind, corners[chosen].astype(np.float64), (offsets, rings)), found


def _in_world(polygons: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Polygons in (column, row) moved to world coordinates."""
    return shapely.transform(polygons, lambda xy: grid.to_world(xy[:, ::-1]))

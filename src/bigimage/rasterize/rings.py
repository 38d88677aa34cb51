"""Rings in a volume, taken apart by the planes they lie on, as polygons of the volume's own slices.

A ring that lies along a slice of any of the three index axes (axial, coronal or sagittal) belongs to the slice whose
slab holds it, wherever in the slab it lies. Rings of one annotation on one plane are filled together by the even-odd
rule, so a ring within a ring is a hole; planes are united. A ring that is oblique to all slices is projected along
the index axis nearest to its normal: in each column within it, the voxel that the plane passes through the middle of
the column belongs to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.geometry.grid import Grid
from bigimage.rasterize.flat import POLYGON
from bigimage.rasterize.parts import Parts, offsets

FLAT = 0.05
"""Voxels by which the vertices of a ring may stray from a slice and still lie along it."""
SAME = 1e-3
"""Voxels by which the planes of two rings may differ and still be one."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One plane of one annotation, on its own."""

    source: int
    """Position of the annotation."""
    axis: int
    """Index axis that the plane is seen along: 0 (z), 1 (y) or 2 (x)."""
    slice: int
    """Slice along it; of an oblique plane the first one it passes."""
    polygon: shapely.Polygon
    """Rings in the coordinates of the other two axes, (column, row)."""
    plane: tuple[float, float, float] | None
    """Of an oblique plane: its index along the axis at row 0 and column 0, and the growth per row and per column."""


@dataclass(frozen=True, slots=True)
class Planes:
    """All planes along the slices of one axis, in columns: a scan's contours are too many to be objects."""

    axis: int
    """Index axis that they are seen along: 0 (z), 1 (y) or 2 (x)."""
    parts: Parts
    """One part for each plane, its rings in the coordinates of the other two axes, (column, row)."""
    slices: NDArray[np.int64]
    """(n,) slice that each lies in."""

    def select(self, keep: NDArray[np.bool_]) -> "Planes":
        """Some of the planes."""
        return self if keep.all() else Planes(self.axis, self.parts.select(keep), self.slices[keep])

    def sheets(self) -> Iterator[Sheet]:
        """The planes one by one."""
        xy, rings, first = self.parts.xy, self.parts.rings.tolist(), self.parts.first.tolist()
        for k, (source, number) in enumerate(zip(self.parts.source.tolist(), self.slices.tolist(), strict=True)):
            outlines = [xy[rings[r] : rings[r + 1]] for r in range(first[k], first[k + 1])]
            yield Sheet(source, self.axis, number, shapely.Polygon(outlines[0], outlines[1:]), None)


def planes_of(
    geometries: NDArray[np.object_], source: NDArray[np.int64], grid: Grid
) -> tuple[list[Planes], list[Sheet]]:
    """Planes of annotations whose outlines are rings, lines or polygons in world (x, y, z): along slices, and oblique.

    `source` says which annotation each geometry belongs to. Rings without three different vertices paint nothing.
    """
    parts, owner = shapely.get_parts(geometries, return_index=True)
    solid = shapely.get_type_id(parts) == 3
    drawn = ~solid & (shapely.get_num_coordinates(parts) > 3)
    rings, of_part = shapely.get_rings(parts[solid], return_index=True)
    lines, of_line = (
        np.concatenate([rings, parts[drawn]]),
        source[np.concatenate([owner[solid][of_part], owner[drawn]])],
    )
    points, number = shapely.get_coordinates(lines, include_z=True, return_index=True)
    if not len(points):
        return [], []
    index = grid.to_index(points)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    low, high = np.minimum.reduceat(index, starts), np.maximum.reduceat(index, starts)
    ends = np.append(starts[1:], len(index))
    spread = high - low
    good = np.isfinite(spread).all(axis=1)
    axes = np.where(good, np.argmin(np.where(np.isfinite(spread), spread, np.inf), axis=1), 0)
    rings = np.arange(len(starts))
    flat = good & (spread[rings, axes] <= FLAT)
    means = np.add.reduceat(index, starts) / (ends - starts)[:, None]
    places = np.rint(np.where(flat, means[rings, axes], 0.0) / SAME).astype(np.int64)
    planes: list[Planes] = []
    for axis in range(3):
        mine = np.flatnonzero(flat & (axes == axis))
        others = [a for a in (2, 1, 0) if a != axis]
        if len(mine):
            planes.append(_flat(mine, of_line[mine], places[mine], axis, index[:, others], starts, ends))
    oblique = (_oblique(int(of_line[k]), index[starts[k] : ends[k]]) for k in np.flatnonzero(good & ~flat).tolist())
    return planes, [sheet for sheet in oblique if sheet is not None]


def _flat(
    rings: NDArray[np.int64],
    source: NDArray[np.int64],
    places: NDArray[np.int64],
    axis: int,
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> Planes:
    """Planes of the rings that lie along slices of an axis, those of one annotation and place together."""
    order = np.lexsort((rings, places, source))
    rings, source, places = rings[order], source[order], places[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(source) != 0) | (np.diff(places) != 0)])
    counts = (ends - starts)[rings]
    xy = points[np.repeat(starts[rings] - offsets(counts)[:-1], counts) + np.arange(counts.sum())]
    xy, ring_ends = _closed(xy, offsets(counts))
    parts = Parts(
        kind=POLYGON,
        xy=xy,
        rings=ring_ends,
        first=np.append(begins, len(rings)),
        source=source[begins],
        detail=np.full(len(begins), -1),
        box=np.empty((0, 4), np.int64),
    )
    return Planes(axis, parts, np.floor(places[begins] * SAME).astype(np.int64))


def _closed(xy: NDArray[np.float64], rings: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rings whose last vertex repeats the first, of rings of which some may be open."""
    is_open = (xy[rings[:-1]] != xy[rings[1:] - 1]).any(axis=1)
    if not is_open.any():
        return xy, rings
    closed = np.insert(xy, rings[1:][is_open], xy[rings[:-1][is_open]], axis=0)
    return closed, offsets(np.diff(rings) + is_open)


def _oblique(source: int, ring: NDArray[np.float64]) -> Sheet | None:
    """A ring on a plane that no slice lies along; None for one without area."""
    centre = ring[:-1].mean(axis=0)
    local = ring - centre
    normal = np.cross(local[:-1], local[1:]).sum(axis=0)
    axis = int(np.argmax(np.abs(normal)))
    if abs(normal[axis]) <= 1e-12 * float((local**2).sum()):
        return None
    row, column = (a for a in (0, 1, 2) if a != axis)
    per_row, per_column = float(-normal[row] / normal[axis]), float(-normal[column] / normal[axis])
    base = float(centre[axis] - per_row * centre[row] - per_column * centre[column])
    first = int(np.floor(ring[:, axis].min()))
    return Sheet(source, axis, first, shapely.Polygon(ring[:, [column, row]]), (base, per_row, per_column))

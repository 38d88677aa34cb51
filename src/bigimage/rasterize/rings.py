"""Rings in a volume, taken apart by the planes they lie on, as polygons of the volume's own slices.

A ring that lies along a slice of any of the three index axes (axial, coronal or sagittal) belongs to the slice whose
slab holds it, wherever in the slab it lies. Rings of one annotation on one plane are filled together by the even-odd
rule, so a ring within a ring is a hole; planes are united. A ring that is oblique to all slices is projected along
the index axis nearest to its normal: in each column within it, the voxel that the plane passes through the middle of
the column belongs to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.geometry.grid import Grid

FLAT = 0.05
"""Voxels by which the vertices of a ring may stray from a slice and still lie along it."""
SAME = 1e-3
"""Voxels by which the planes of two rings may differ and still be one."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One plane of one annotation."""

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


def sheets_of(geometries: NDArray[np.object_], source: NDArray[np.int64], grid: Grid) -> list[Sheet]:
    """Planes of annotations whose outlines are rings: lines or polygons in world (x, y, z).

    `source` says which annotation each geometry belongs to. Rings without three different vertices paint nothing.
    """
    parts, owner = shapely.get_parts(geometries, return_index=True)
    solid = shapely.get_type_id(parts) == 3
    rings, of_part = shapely.get_rings(parts[solid], return_index=True)
    lines = np.concatenate([rings, parts[~solid & (shapely.get_num_coordinates(parts) > 3)]])
    of_line = np.concatenate(
        [source[owner[solid][of_part]], source[owner[~solid & (shapely.get_num_coordinates(parts) > 3)]]]
    )
    points, number = shapely.get_coordinates(lines, include_z=True, return_index=True)
    if not len(points):
        return []
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
    sheets: list[Sheet] = []
    for axis in range(3):
        mine = np.flatnonzero(flat & (axes == axis))
        others = [a for a in (2, 1, 0) if a != axis]
        sheets += _flat(mine, of_line[mine], places[mine], axis, index[:, others], starts, ends)
    oblique = (_oblique(int(of_line[k]), index[starts[k] : ends[k]]) for k in np.flatnonzero(good & ~flat).tolist())
    return [*sheets, *(sheet for sheet in oblique if sheet is not None)]


def _flat(
    rings: NDArray[np.int64],
    source: NDArray[np.int64],
    places: NDArray[np.int64],
    axis: int,
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> list[Sheet]:
    """Planes of the rings that lie along slices of an axis, those of one annotation and place together."""
    order = np.lexsort((rings, places, source))
    rings, source, places = rings[order], source[order], places[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(source) != 0) | (np.diff(places) != 0)]) if len(rings) else rings
    sizes = np.diff(np.append(begins, len(rings)))
    alone = begins[sizes == 1]
    counts = (ends - starts)[rings[alone]]
    at = np.repeat(starts[rings[alone]] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    # most slices hold one ring of an annotation: they are made all at once
    rows = np.repeat(np.arange(len(alone)), counts)
    single: list[shapely.Polygon] = []
    if len(alone):
        single = np.asarray(shapely.polygons(shapely.linearrings(points[at], indices=rows)), object).tolist()
    polygons = dict(zip(alone.tolist(), single, strict=True))
    for first, size in zip(begins[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        polygons[first] = _polygon([points[starts[k] : ends[k]] for k in rings[first : first + size].tolist()])
    slices = np.floor(places * SAME).astype(np.int64)
    return [Sheet(int(source[k]), axis, int(slices[k]), polygons[k], None) for k in begins.tolist()]


def _polygon(rings: Sequence[NDArray[np.float64]]) -> shapely.Polygon:
    """Rings as one part, which the even-odd rule fills."""
    return shapely.Polygon(rings[0], rings[1:])


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
    return Sheet(source, axis, first, _polygon([ring[:, [column, row]]]), (base, per_row, per_column))

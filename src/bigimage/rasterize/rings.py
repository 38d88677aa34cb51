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
    groups: dict[tuple[int, int, int], list[int]] = {}
    sheets: list[Sheet] = []
    for k in np.flatnonzero(np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)).tolist():
        spread = high[k] - low[k]
        axis = int(np.argmin(spread))
        if spread[axis] <= FLAT:
            place = float(index[starts[k] : ends[k], axis].mean())
            groups.setdefault((int(of_line[k]), axis, round(place / SAME)), []).append(k)
        else:
            found = _oblique(int(of_line[k]), index[starts[k] : ends[k]])
            sheets += [] if found is None else [found]
    for (owner_, axis, place), members in groups.items():
        others = [a for a in (2, 1, 0) if a != axis]
        polygon = _polygon([index[starts[k] : ends[k]][:, others] for k in members])
        sheets.append(Sheet(owner_, axis, int(np.floor(place * SAME)), polygon, None))
    return sheets


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

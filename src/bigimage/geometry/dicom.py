"""Patient geometry: planes of DICOM and affines of NIfTI, NRRD and ITK ↔ corner-based grids in LPS millimetres.

DICOM, NIfTI and ITK place the *centre* of the first voxel and count (column, row, slice); a `Grid` places its corner
and counts (z, y, x). Only the functions of this module know about both.

Sources: DICOM PS3.3 C.7.6.2.1.1 (Image Position and Orientation (Patient)), 10.7.1.3 (Pixel Spacing is the distance
between rows, then between columns); the NIfTI-1 header for RAS.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from bigimage.errors import DataError, InputError
from bigimage.geometry.frame import Frame
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]

UNIT_TOLERANCE = 1e-2
"""How far the length of a direction may be from one; files round their cosines to as few as three digits."""
RIGHT_ANGLE_TOLERANCE = 1e-3
"""Largest cosine between the two directions of a plane."""
TILT_TOLERANCE = 1e-3
"""Largest tangent of the angle between the way slices advance and their normal that is not yet a tilt."""
STEP_TOLERANCE = 1e-2
"""Part of a slice distance by which slices may lie off their regular places."""
ROUNDING = 1e-2
"""Millimetres by which they may do so in any case, for files that round positions to two digits; a twentieth of the
distance where slices are thin."""
STRAIGHT = 0.1
"""Part of the sideways way of a whole stack by which its slices may leave the straight line of a tilt."""
SAME_PLACE = 1e-2
"""Largest distance in millimetres between planes at one and the same place; smaller where slices are thin."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One image plane as DICOM describes it, in LPS millimetres."""

    position: Vector
    """Centre of the first (top left) pixel."""
    orientation: Orientation
    """Direction of increasing columns, then of increasing rows."""
    spacing: tuple[float, float]
    """Distance between rows, then between columns."""


@dataclass(frozen=True, slots=True)
class Stack:
    """How parallel planes, ordered along their normal, lie behind each other."""

    step: Vector
    """Mean way from one plane to the next: (last - first) / (n - 1)."""
    distances: tuple[float, ...]
    """Distance along the normal from each plane to the next."""
    deviation: float
    """Largest distance in millimetres of a plane from its place in a regular stack."""
    tilt: float
    """Angle in degrees between the step and the normal; 0 where it is small or planes leave the straight line."""
    regular: bool
    """Whether every plane lies at its regular place, but for what rounding explains."""


def orientation_fault(orientation: Sequence[float]) -> str | None:
    """What is wrong with six direction cosines, as a clause; None when nothing is."""
    if len(orientation) != 6:
        return f"has {len(orientation)} numbers instead of six"
    if not all(math.isfinite(cosine) for cosine in orientation):
        return "is not finite"
    a, b, c, d, e, f = orientation
    row, column = math.hypot(a, b, c), math.hypot(d, e, f)
    if abs(row - 1.0) > UNIT_TOLERANCE or abs(column - 1.0) > UNIT_TOLERANCE:
        return f"has directions of length {row:.4g} and {column:.4g} instead of one"
    cosine = (a * d + b * e + c * f) / (row * column)
    if abs(cosine) > RIGHT_ANGLE_TOLERANCE:
        return f"has directions that meet at {math.degrees(math.acos(max(-1.0, min(1.0, cosine)))):.1f}° instead of 90°"
    return None


def spacing_fault(spacing: Sequence[float]) -> str | None:
    """What is wrong with the two distances of a pixel spacing, as a clause; None when nothing is."""
    if len(spacing) != 2:
        return f"has {len(spacing)} numbers instead of two"
    if not all(math.isfinite(value) for value in spacing):
        return "is not finite"
    if min(spacing) <= 0:
        return f"is {spacing[0]:g}, {spacing[1]:g}; distances are positive"
    return None


def directions(orientation: Sequence[float]) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Unit vectors along a row (increasing columns) and down a column (increasing rows)."""
    cosines = np.asarray(orientation, dtype=np.float64)
    row, column = cosines[:3], cosines[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def normal(orientation: Sequence[float]) -> "NDArray[np.float64]":
    """Unit normal of a plane: row × column. Slices are ordered along it."""
    row, column = directions(orientation)
    cross = np.cross(row, column)
    return cross / np.linalg.norm(cross)


def measure(positions: "ArrayLike", orientation: Sequence[float]) -> Stack:
    """How planes at `positions` (n, 3), n ≥ 2, ordered along the normal, lie behind each other.

    Raises InputError for fewer than two planes, or for two at one place.
    """
    points = np.asarray(positions, dtype=np.float64)
    if len(points) < 2:
        raise InputError("a stack has at least two planes")
    axis = normal(orientation)
    step = (points[-1] - points[0]) / (len(points) - 1)
    distances = np.diff(points @ axis)
    if distances.min() <= 0:
        raise InputError("planes of a stack are ordered along their normal and lie at different places")
    off = points - (points[0] + np.arange(len(points))[:, None] * step)
    deviation = float(np.linalg.norm(off, axis=1).max())
    advance = float(step @ axis)
    return Stack(
        step=vector(step),
        distances=tuple(float(d) for d in distances),
        deviation=deviation,
        tilt=_tilt(points - points[0], axis),
        regular=deviation <= max(STEP_TOLERANCE * advance, min(ROUNDING, 0.05 * advance)),
    )


def _tilt(ways: "NDArray[np.float64]", axis: "NDArray[np.float64]") -> float:
    """Angle in degrees at which planes advance, given their ways from the first one; 0 where none holds for all."""
    depths = ways @ axis
    aside = ways - depths[:, None] * axis
    slope = aside[-1] / depths[-1]
    tangent = float(np.linalg.norm(slope))
    stray = np.linalg.norm(aside - depths[:, None] * slope, axis=1).max()
    if tangent <= TILT_TOLERANCE or stray > STRAIGHT * float(np.linalg.norm(aside[-1])):
        return 0.0
    return math.degrees(math.atan(tangent))


def place_tolerance(depths: "NDArray[np.float64]") -> float:
    """Distance along the normal below which two planes lie at the same place; `depths` are sorted."""
    gaps = np.diff(depths)
    gaps = gaps[gaps > 1e-5]
    return min(SAME_PLACE, 0.05 * float(np.median(gaps))) if len(gaps) else SAME_PLACE


def stack_grid(planes: Sequence[Plane], shape: tuple[int, int], frame: Frame, *, thickness: float) -> Grid:
    """Grid (z, y, x) of parallel planes of `shape` (rows, columns), ordered along their normal.

    A tilted gantry gives a sheared affine. Planes that lie off their regular places keep them: `Grid.slices`.
    `thickness` is the extent of a single plane along its normal, millimetres; several planes define it themselves.
    """
    first = planes[0]
    points = np.asarray([plane.position for plane in planes], dtype=np.float64)
    row, column = directions(first.orientation)
    down, across = column * first.spacing[0], row * first.spacing[1]
    slices = None
    if len(planes) == 1:
        step = normal(first.orientation) * thickness
    else:
        stack = measure(points, first.orientation)
        step = np.asarray(stack.step)
        if not stack.regular:
            slices = tuple(vector(point - 0.5 * (down + across)) for point in points)
    origin = points[0] - 0.5 * (step + down + across)
    rows = tuple((float(step[i]), float(down[i]), float(across[i]), float(origin[i])) for i in range(3))
    return Grid((len(planes), *shape), rows, frame, slices)


def plane_of(grid: Grid, index: int) -> Plane:
    """The plane of one slice of a volume's grid, as DICOM describes it; exact for sheared and uneven stacks.

    Raises InputError for a 2-D grid.
    """
    if grid.ndim != 3:
        raise InputError("only a volume has planes")
    matrix = np.asarray(grid.affine, dtype=np.float64)
    dy, dx = grid.spacing[1:]
    across, down = matrix[:, 2] / dx, matrix[:, 1] / dy
    position = grid.to_world((index + 0.5, 0.5, 0.5))
    return Plane(vector(position), (*vector(across), *vector(down)), (dy, dx))


def from_centred(matrix: "ArrayLike", shape: Sequence[int], frame: Frame, *, ras: bool) -> Grid:
    """Grid (z, y, x) of a 4×4 affine that maps voxel centres (i, j, k) to millimetres; `shape` is (i, j, k).

    `ras` tells that the world of the affine is RAS, as in NIfTI, and not LPS, as in NRRD and ITK.
    Raises DataError on an affine that is not finite or singular.
    """
    affine = np.asarray(matrix, dtype=np.float64)
    if affine.shape != (4, 4):
        raise DataError(f"an affine of a volume is 4×4, not of shape {affine.shape}")
    if ras:
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    linear = affine[:3, :3]
    origin = affine[:3, 3] - linear.sum(axis=1) / 2
    rows = tuple((*map(float, linear[i, ::-1]), float(origin[i])) for i in range(3))
    i, j, k = (int(n) for n in shape)
    return Grid((k, j, i), rows, frame)


def to_centred(grid: Grid, *, ras: bool) -> "NDArray[np.float64]":
    """4×4 affine that maps voxel centres (i, j, k) = (x, y, z index) of a volume to RAS or LPS millimetres.

    Raises InputError for unevenly spaced slices, which no affine holds, and for a 2-D grid.
    """
    if grid.ndim != 3:
        raise InputError("only a volume has a patient affine")
    if grid.slices is not None:
        raise InputError("unevenly spaced slices have no affine; regularize the volume first")
    rows = np.asarray(grid.affine, dtype=np.float64)
    affine = np.eye(4)
    affine[:3, :3] = rows[:, 2::-1]
    affine[:3, 3] = rows[:, 3] + rows[:, :3].sum(axis=1) / 2
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine if ras else affine


def regular_grid(grid: Grid) -> Grid:
    """The box-shaped grid that `regularize` fills: slices at one distance, straight behind each other.

    Rows and columns keep their directions and spacing; slices advance along the normal by the median distance of
    `grid`, from its first plane to its last. A tilted stack gains rows and columns, so that nothing is cut off.
    """
    if grid.ndim != 3:
        raise InputError("only a volume is made regular")
    matrix = np.asarray(grid.affine, dtype=np.float64)
    dy, dx = grid.spacing[1:]
    across, down = matrix[:, 2] / dx, matrix[:, 1] / dy
    axis = np.cross(across, down)
    axis *= math.copysign(1.0, float(axis @ matrix[:, 0])) / np.linalg.norm(axis)
    indexes = np.stack([np.arange(grid.shape[0]) + 0.5, np.zeros(grid.shape[0]), np.zeros(grid.shape[0])], axis=-1)
    corners = grid.to_world(indexes)
    depths = corners @ axis
    distance = float(np.median(np.diff(depths))) if len(depths) > 1 else float(abs(matrix[:, 0] @ axis))
    count = round((depths[-1] - depths[0]) / distance) + 1
    off_y, off_x = (corners - corners[0]) @ down, (corners - corners[0]) @ across
    low_y, low_x = _whole(off_y.min() / dy, math.floor), _whole(off_x.min() / dx, math.floor)
    high_y = _whole(off_y.max() / dy, math.ceil) + grid.shape[1]
    high_x = _whole(off_x.max() / dx, math.ceil) + grid.shape[2]
    origin = corners[0] + low_y * dy * down + low_x * dx * across - 0.5 * distance * axis
    columns = np.stack([axis * distance, down * dy, across * dx, origin], axis=1)
    rows = tuple(tuple(float(v) for v in columns[i]) for i in range(3))
    return Grid((count, high_y - low_y, high_x - low_x), rows, grid.frame)


def _whole(value: float, rounding: Callable[[float], int]) -> int:
    """Round towards one side, unless the value is whole but for float noise."""
    near = round(value)
    return near if abs(value - near) < 1e-6 else rounding(value)


def vector(values: "Iterable[SupportsFloat]") -> Vector:
    """Three numbers as plain floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z

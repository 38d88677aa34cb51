"""Volumes that tests look at: grids in any storage order, with voxels that say where they lie."""

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PlaneView, Straight

FRAME = PatientFrame("1.2.3")
ORDERS = tuple(permutations(range(3)))
SIGNS = tuple(product((1, -1), repeat=3))


def volume(
    shape: Sequence[int],
    columns: Sequence[Sequence[float]],
    *,
    origin: Sequence[float] = (-30.0, 20.0, 100.0),
    slices: Sequence[Sequence[float]] | None = None,
) -> Grid:
    """Volume from the ways (mm) along its storage axes; `slices` are the ways of each slice from the first."""
    matrix = np.array([*map(np.asarray, columns), origin], dtype=np.float64).T
    places = None
    if slices is not None:
        ways = np.asarray(slices, dtype=np.float64)
        first = matrix[:, 3] + 0.5 * matrix[:, 0]
        matrix[:, 0] = (ways[-1] - ways[0]) / (len(ways) - 1)
        matrix[:, 3] = first + ways[0] - 0.5 * matrix[:, 0]
        places = tuple(tuple(float(v) for v in first + way) for way in ways)
    rows = tuple(tuple(float(v) for v in row) for row in matrix)
    return Grid(tuple(shape), rows, FRAME, places)  # type: ignore[arg-type]


def stored_in(order: Sequence[int], signs: Sequence[int]) -> Grid:
    """A volume whose storage axis k runs along patient axis `order[k]`, forwards or backwards."""
    spacing, sizes = (0.7, 0.9, 2.5), (7, 6, 5)  # along x, y, z
    columns = [signs[k] * spacing[axis] * np.eye(3)[axis] for k, axis in enumerate(order)]
    return volume([sizes[axis] for axis in order], columns)


def centres(grid: Grid) -> np.ndarray:
    """World point of the centre of every voxel, or pixel of a plane (1, rows, columns); shape (3, …)."""
    index = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in grid.shape), indexing="ij"), axis=-1)
    return np.moveaxis(grid.to_world(index), -1, 0)


def rotation(angles: Sequence[float]) -> np.ndarray:
    """Rotation by three angles (radians) about z, y and x."""
    c, s = np.cos(angles), np.sin(angles)
    about_z = np.array([[c[0], -s[0], 0], [s[0], c[0], 0], [0, 0, 1]])
    about_y = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
    about_x = np.array([[1, 0, 0], [0, c[2], -s[2]], [0, s[2], c[2]]])
    return about_z @ about_y @ about_x


def shown(view: PlaneView, array: np.ndarray, index: int) -> np.ndarray:
    """A plane (…, rows, columns) of an array (…, z, y, x) by nothing but the view's word."""
    cut = np.take(array, [view.stored(index)], axis=view.axes[0] - 3)
    return view.arrange(view.plane_of(cut))


def check_lines(straight: Straight, index: int, *, tolerance: float = 1e-9) -> None:
    """Level indexes of all pixels, taken to the world, are the points that the picture's grid tells."""
    view = straight.view
    plane = straight.grid_of(index)
    part = IndexBox.of_shape(straight.shape)
    lines = straight.lines(part, zoom=0, level=view.grid)
    count = straight.shape[0] if lines.by_columns else straight.shape[1]
    at = np.empty((len(lines.along), count, 3))
    at[..., view.axes[0]] = view.stored(index) + 0.5
    at[..., lines.axes[0]] = lines.along[:, None]
    at[..., lines.axes[1]] = lines.first[:, None] + lines.step * np.arange(count)
    at = at.swapaxes(0, 1) if lines.by_columns else at
    assert np.allclose(np.moveaxis(view.grid.to_world(at), -1, 0), centres(plane)[:, 0], atol=tolerance)

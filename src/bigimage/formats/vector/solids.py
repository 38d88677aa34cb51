"""Blocks and ellipsoids as contours: where the slices of a volume cut them."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from bigimage.geometry.grid import Grid
from bigimage.model.outline import ARC_STEPS
from bigimage.model.shape import Box, Cuboid, Ellipse, half_axes

Solid = Box | Cuboid | Ellipse
Points = NDArray[np.float64]
TOUCH = 1e-9
"""Part of a half axis by which a slice on the very border of a block still cuts it."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """The plane of a slice."""

    point: Points
    axes: Points
    """Two unit vectors at right angles, shape (2, 3)."""


def sections(shape: Solid, grid: Grid) -> list[Points]:
    """Outlines of a solid on the middle planes of a volume's slices, shape (n, 3), in the order of slices.

    They do not repeat their first point. A block without thickness is one contour: itself, in its own plane. None for a
    solid that lies between two slices or beside the volume, or has no area.
    """
    center, axes = _half_axes(shape)
    lengths = np.linalg.norm(axes, axis=1)
    if (lengths == 0).sum() == 1 and not isinstance(shape, Ellipse):
        u, v = axes[lengths > 0]
        return [np.array([center - u - v, center + u - v, center + u + v, center - u + v])]
    if not lengths.all():
        return []
    cut = _ellipse if isinstance(shape, Ellipse) else _polygon
    inverse = np.linalg.inv(axes.T).astype(np.float64)
    found = (cut(inverse, center, plane) for plane in _planes(grid, center, axes))
    return [ring for ring in found if len(ring) >= 3]


def _half_axes(shape: Solid) -> tuple[Points, Points]:
    """Centre, and vectors from it to the faces or the surface, one per row."""
    match shape:
        case Box(minimum, maximum):
            low, high = np.asarray(minimum, np.float64), np.asarray(maximum, np.float64)
            return (low + high) / 2, np.diag((high - low) / 2)
        case Cuboid() | Ellipse():
            return np.asarray(shape.center, np.float64), half_axes(shape)
    assert_never(shape)


def _planes(grid: Grid, center: Points, axes: Points) -> list[_Plane]:
    """Middle planes of the slices that a solid may reach."""
    matrix = np.asarray(grid.affine)
    u = matrix[:, 2] / np.linalg.norm(matrix[:, 2])
    v = matrix[:, 1] - (matrix[:, 1] @ u) * u
    directions = np.stack([u, v / np.linalg.norm(v)])
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    depths = grid.to_index(center + signs @ axes)[:, 0]
    first = max(0, int(np.floor(depths.min())) - 1)
    last = min(grid.shape[0], int(np.ceil(depths.max())) + 1)
    return [_Plane(grid.to_world((k + 0.5, 0.0, 0.0)), directions) for k in range(first, last)]


def _ellipse(inverse: Points, center: Points, plane: _Plane) -> Points:
    """Where a plane cuts an ellipsoid; `inverse` makes it the unit sphere."""
    start = inverse @ (plane.point - center)
    ways = inverse @ plane.axes.T
    square = ways.T @ ways
    middle = -np.linalg.solve(square, ways.T @ start)
    rest = 1.0 - float(((start + ways @ middle) ** 2).sum())
    if rest <= 0.0:
        return np.zeros((0, 3))
    angles = np.arange(ARC_STEPS) * (2 * np.pi / ARC_STEPS)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    flat = middle[:, None] + np.sqrt(rest) * np.linalg.solve(np.linalg.cholesky(square).T, circle)
    return plane.point + flat.T @ plane.axes


def _polygon(inverse: Points, center: Points, plane: _Plane) -> Points:
    """Where a plane cuts a block; `inverse` makes it the cube from -1 to 1."""
    start = inverse @ (plane.point - center)
    ways = inverse @ plane.axes.T
    reach = float(np.linalg.norm(np.linalg.inv(inverse), axis=0).sum() + np.linalg.norm(plane.point - center)) * 2
    ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
    for row, offset in zip(ways, start, strict=True):
        for sign in (-1.0, 1.0):
            ring = _clipped(ring, sign * row, 1.0 + TOUCH - sign * float(offset))
    return plane.point + ring @ plane.axes


def _clipped(ring: Points, normal: Points, most: float) -> Points:
    """Part of a convex ring (n, 2) with normal · p <= most. Source: Sutherland and Hodgman, CACM 17(1), 1974."""
    heights = ring @ normal - most
    kept: list[Points] = []
    for k in range(len(ring)):
        a, b = k - 1, k
        if (heights[a] > 0) != (heights[b] > 0):
            share = heights[a] / (heights[a] - heights[b])
            kept.append(ring[a] + share * (ring[b] - ring[a]))
        if heights[b] <= 0:
            kept.append(ring[b])
    return np.array(kept).reshape(-1, 2)

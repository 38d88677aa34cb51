"""Solid shapes in a volume: which voxels have their centre in a block, an ellipsoid, or on a line."""

from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.shape import Box, Cuboid, Ellipse, half_axes
from bigimage.rasterize.modes import Reach
from bigimage.rasterize.plan import painted_box


@dataclass(frozen=True, slots=True)
class Tube:
    """What a ball covers whose centre moves from one point to another, or stays where it is."""

    start: tuple[float, ...]
    """World (x, y, z), or indexes (z, y, x) where the radius is in voxels."""
    stop: tuple[float, ...]
    radius: float
    in_voxels: bool


Solid = Box | Cuboid | Ellipse | Tube
STEP = 0.5
"""Voxels between the points that stand for a line."""


def centres(grid: Grid, box: IndexBox) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """World x, y and z of the centres of a box's voxels, each (z, y, x).

    Computed term by term, so that cutting a volume into boxes changes no bit of any of them.
    """
    matrix = np.asarray(grid.affine)
    z, y, x = (np.arange(a, b) + 0.5 for a, b in zip(box.start, box.stop, strict=True))
    if grid.slices is None:
        origin = z[:, None] * matrix[:, 0] + matrix[:, 3]
    else:
        origin = np.asarray(grid.slices)[box.start[0] : box.stop[0]]
    return tuple(  # pyright: ignore[reportReturnType]
        origin[:, i, None, None] + (y * matrix[i, 1])[None, :, None] + (x * matrix[i, 2])[None, None, :]
        for i in range(3)
    )


def inside(shape: Solid, grid: Grid, box: IndexBox) -> NDArray[np.bool_]:
    """Voxels of a box whose centre lies in a shape or on its border, (z, y, x)."""
    x, y, z = centres(grid, box)
    match shape:
        case Box(minimum, maximum):
            terms = [(low <= v) & (v <= high) for low, v, high in zip(minimum, (x, y, z), maximum, strict=True)]
            return terms[0] & terms[1] & terms[2]
        case Cuboid() | Ellipse():
            axes = half_axes(shape)
            lengths = (axes**2).sum(axis=1)
            if not lengths.all():
                return np.zeros(box.shape, np.bool_)
            away = [v - c for v, c in zip((x, y, z), shape.center, strict=True)]
            along = [
                (away[0] * a[0] + away[1] * a[1] + away[2] * a[2]) / length
                for a, length in zip(axes, lengths, strict=True)
            ]
            if isinstance(shape, Ellipse):
                return along[0] ** 2 + along[1] ** 2 + along[2] ** 2 <= 1.0
            return (np.abs(along[0]) <= 1.0) & (np.abs(along[1]) <= 1.0) & (np.abs(along[2]) <= 1.0)
        case Tube(start, stop, radius, in_voxels):
            places = _indexes(box) if in_voxels else (x, y, z)
            away = [v - c for v, c in zip(places, start, strict=True)]
            way = [b - a for a, b in zip(start, stop, strict=True)]
            length = sum(w * w for w in way)
            if length > 0.0:
                part = np.clip(sum(a * w for a, w in zip(away, way, strict=True)) / length, 0.0, 1.0)
                away = [a - part * w for a, w in zip(away, way, strict=True)]
            return away[0] ** 2 + away[1] ** 2 + away[2] ** 2 <= radius * radius
    assert_never(shape)


def _indexes(box: IndexBox) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Index z, y and x of the centres of a box's voxels."""
    z, y, x = (np.arange(a, b) + 0.5 for a, b in zip(box.start, box.stop, strict=True))
    return z.astype(np.float64)[:, None, None], y.astype(np.float64)[None, :, None], x.astype(np.float64)[None, None, :]


def tubes(points: NDArray[np.float64], radius: float, grid: Grid, *, in_voxels: bool) -> list[tuple[Tube, IndexBox]]:
    """A line through world points, or a single one, as thick as a pen: each piece with the voxels that it can touch."""
    places = grid.to_index(points) if in_voxels else points
    places = places[np.isfinite(places).all(axis=1)]
    reach = Reach(pixels=radius) if in_voxels else Reach(world=radius)
    found: list[tuple[Tube, IndexBox]] = []
    for a, b in pairwise(places) if len(places) > 1 else [(p, p) for p in places]:
        ends = grid.to_world(np.stack([a, b])) if in_voxels else np.stack([a, b])
        box = painted_box(grid, ends.min(axis=0).tolist(), ends.max(axis=0).tolist(), reach)
        if box.size:
            found.append((Tube(tuple(a.tolist()), tuple(b.tolist()), radius, in_voxels), box))
    return found


def on_line(points: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Voxels (n, 3) that a line through world points passes, as far as they lie in the grid; of one point, its own."""
    index = grid.to_index(points)
    parts = [index[:1]]
    for a, b in pairwise(index):
        count = min(1 << 20, max(1, int(np.ceil(np.abs(b - a).max() / STEP))))
        share = np.arange(1, count + 1)[:, None] / count
        parts.append(a * (1 - share) + b * share)
    voxels = np.floor(np.concatenate(parts))
    held = np.isfinite(voxels).all(axis=1) & (voxels >= 0).all(axis=1) & (voxels < np.asarray(grid.shape)).all(axis=1)
    return np.unique(voxels[held].astype(np.int64), axis=0)

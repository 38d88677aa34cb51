"""Pyramids in memory and a slow, plain resampler: what the warp is held against."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch

Floats = NDArray[np.float64]
TAPS = {"nearest": 1, "bilinear": 2, "cubic": 4, "lanczos": 6}


def level_grids(grid: Grid) -> tuple[Grid, ...]:
    """A grid and its halvings, down to 256 pixels."""
    grids = [grid]
    while max(grids[-1].shape) > 256:
        grids.append(grid.coarsen(2 ** len(grids)))
    return tuple(grids)


@dataclass
class Stack:
    """Levels in memory that remember what was read of them."""

    grids: tuple[Grid, ...]
    arrays: list[NDArray[Any]]
    valids: list[NDArray[np.bool_] | None]
    reads: list[tuple[int, IndexBox]] = field(default_factory=list)

    @classmethod
    def random(
        cls, grid: Grid, *, bands: int = 1, dtype: str = "uint8", holes: float = 0.0, levels: int | None = None
    ) -> "Stack":
        """Noise, another at every level, so that a wrong level or a pixel from elsewhere shows."""
        rng = np.random.default_rng(7)
        grids = level_grids(grid)[:levels]
        kind = np.dtype(dtype)
        arrays: list[NDArray[Any]] = []
        for g in grids:
            noise = rng.random((bands, *g.shape))
            if kind.kind == "f":
                arrays.append((noise * 2e3 - 1e3).astype(kind))
            else:
                info = np.iinfo(kind)
                arrays.append((info.min + noise * (float(info.max) - float(info.min)) * 0.999).astype(kind))
        valids = [rng.random(g.shape) >= holes if holes else None for g in grids]
        return cls(grids, arrays, valids)

    def read(self, level: int, box: IndexBox) -> Patch:
        """The pixels of a box of a level; a box that sticks out is an error."""
        self.reads.append((level, box))
        valid = self.valids[level]
        part = self.arrays[level][:, box.slices[0], box.slices[1]]
        return Patch(part, self.grids[level].crop(box), None if valid is None else valid[box.slices])


def exact(lattice: Grid, grid: Grid, box: IndexBox) -> Floats:
    """Source indexes of the centres of a box's pixels by the exact transform, (h, w, 2); not finite off the map."""
    rows, columns = (np.arange(a, b) + 0.5 for a, b in zip(box.start, box.stop, strict=True))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    with np.errstate(invalid="ignore"):
        return grid.to_index(transform_points(lattice.to_world(places), lattice.frame, grid.frame))


def lattice_of(kind: str, zoom: int) -> Grid:
    """All pixels of a zoom of a tiling that covers the world, or a good part of it."""
    if kind == "EPSG:3857":
        half, rows, columns = 20037508.342789244, 256 << zoom, 256 << zoom
        corner = (-half, half)
    elif kind == "EPSG:4326":
        half, rows, columns = 180.0, 256 << zoom, 512 << zoom
        corner = (-180.0, 90.0)
        return Grid.from_transform(
            (180 / rows, 0, corner[0], 0, -180 / rows, corner[1]), (rows, columns), GeoFrame.of(kind)
        )
    else:
        half, rows, columns = 6e6, 256 << zoom, 256 << zoom
        corner = (-half, half)
    cell = 2 * half / columns
    return Grid.from_transform((cell, 0, corner[0], 0, -cell, corner[1]), (rows, columns), GeoFrame.of(kind))


def _weights(method: str, at: Floats) -> tuple[NDArray[np.int64], list[Floats]]:
    """First tap of each coordinate and the weight of each tap, straight from the definitions."""
    n = TAPS[method]
    first = np.floor(at - 0.5).astype(np.int64) - (n // 2 - 1)
    distance = [np.abs(at - 0.5 - (first + k)) for k in range(n)]
    if method == "bilinear":
        return first, [1 - d for d in distance]
    if method == "cubic":
        near = [1.5 * d**3 - 2.5 * d**2 + 1 for d in distance]
        far = [-0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 for d in distance]
        return first, [np.where(d < 1, a, b) for d, a, b in zip(distance, near, far, strict=True)]
    weights = [np.sinc(d) * np.sinc(d / 3) for d in distance]
    total = np.sum(weights, axis=0)
    return first, [w / total for w in weights]


def _gather(
    plane: Floats, valid: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Values and whether they exist and are valid, at whole indexes anywhere."""
    h, w = plane.shape
    inside = (rows >= 0) & (columns >= 0) & (rows < h) & (columns < w)
    r, c = np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)
    present = inside & valid[r, c] & ~np.isnan(plane[r, c])
    return np.where(present, plane[r, c], 0.0), present


def resample(
    plane: NDArray[Any], valid: NDArray[np.bool_] | None, index: Floats, method: str
) -> tuple[Floats, NDArray[np.bool_]]:
    """Values (before rounding) and validity at source indexes (h, w, 2), by the rule that the warp documents."""
    data = plane.astype(np.float64)
    mask = np.ones(data.shape, np.bool_) if valid is None else valid
    index = np.where(np.isfinite(index), index, -1.0)
    y, x = index[..., 0], index[..., 1]
    rows, columns = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    h, w = data.shape
    shown = (rows >= 0) & (columns >= 0) & (rows < h) & (columns < w)
    shown &= mask[np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)]
    centre = data[np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)]
    if method == "nearest":
        return centre, shown
    total, whole = _blend(data, mask, y, x, method, renormalise=False)
    mended, _ = _blend(data, mask, y, x, "bilinear", renormalise=True)
    return np.where(np.isnan(centre), np.nan, np.where(whole, total, mended)), shown


def _blend(
    data: Floats, mask: NDArray[np.bool_], y: Floats, x: Floats, method: str, *, renormalise: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """Weighted sums, and whether every tap was there."""
    top, down = _weights(method, y)
    left, right = _weights(method, x)
    total, weight, whole = np.zeros(y.shape), np.zeros(y.shape), np.ones(y.shape, np.bool_)
    for a, wy in enumerate(down):
        for b, wx in enumerate(right):
            value, present = _gather(data, mask, top + a, left + b)
            part = np.where(present, wy * wx, 0.0)
            total, weight, whole = total + part * value, weight + part, whole & present
    return (total / np.where(weight > 0, weight, 1.0) if renormalise else total), whole

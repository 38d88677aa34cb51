"""Values at a place and statistics over a box: plain arithmetic on patches."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import DataError, FrameMismatch, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import WGS84, Frame, GeoFrame, describe, transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from tilesrv.errors import TooLarge

if TYPE_CHECKING:
    from numpy.typing import NDArray


def number(value: Any) -> float | int | None:
    """A value as JSON has it; None for NaN and infinities."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if math.isfinite(plain) else None


def degrees(world: "NDArray[np.float64]", frame: Frame) -> list[float] | None:
    """Longitude and latitude on WGS 84 of a place (x, y); None where it has none, as on another planet."""
    if not isinstance(frame, GeoFrame):
        return None
    try:
        found = transform_points(world, frame, GeoFrame(WGS84))
    except (DataError, FrameMismatch):
        return None
    return [float(v) for v in found] if np.isfinite(found).all() else None


def point(pyramid: Pyramid, coord: Sequence[float], *, crs: str | None, t: int) -> dict[str, Any]:
    """Stored and physical values of the pixel that holds a world point.

    Parameters
    ----------
    coord
        (x, y) or (x, y, z), in the image's frame or in `crs`; geographic coordinates as (longitude, latitude).

    Raises
    ------
    OutOfBounds
        When the point does not lie on the image.
    FrameMismatch, InputError
        When `crs` cannot be used with this image.
    """
    grid = pyramid.info.grid
    frame: Frame = grid.frame if crs is None else GeoFrame.of(crs)
    try:
        world = transform_points(coord, frame, grid.frame)
    except DataError as error:
        raise InputError(str(error)) from error  # PROJ knows no way from the client's CRS to the image's
    if len(coord) != grid.ndim:
        raise OutOfBounds(f"image {pyramid.id} has {grid.ndim} dimensions; a point has as many coordinates")
    is_place = bool(np.isfinite(world).all())  # a point beyond a projection's reach has none
    index = tuple(int(v) for v in np.floor(grid.to_index(world))) if is_place else (-1,) * grid.ndim
    if not all(0 <= i < n for i, n in zip(index, grid.shape, strict=True)):
        raise OutOfBounds(f"point {list(coord)} does not lie on image {pyramid.id}")
    patch = pyramid.read_index(IndexBox(index, tuple(i + 1 for i in index)), t=t)
    physical = pyramid.read_index(IndexBox(index, tuple(i + 1 for i in index)), t=t, physical=True)
    return {
        "id": pyramid.id,
        "coord": list(coord),
        "lonlat": degrees(world, grid.frame),
        "frame": describe(frame),
        "index": list(index),
        "valid": patch.valid is None or bool(patch.valid.all()),
        "values": [number(v) for v in patch.array.reshape(-1)],
        "physical": [number(v) for v in physical.array.reshape(-1)],
        "bands": [{"number": n + 1, "name": b.name, "unit": b.unit} for n, b in enumerate(pyramid.info.bands)],
    }


@dataclass(frozen=True, slots=True)
class Ask:
    """What statistics are wanted."""

    bands: tuple[int, ...]
    t: int
    percentiles: tuple[float, ...]
    bins: int
    physical: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A box of a level, and a ball within it where only its voxels are meant."""

    level: int
    box: IndexBox
    ball: "Ball | None" = None


@dataclass(frozen=True, slots=True)
class Ball:
    """All that lies within a distance of a place."""

    centre: tuple[float, float, float]
    """LPS millimetres."""
    radius: float

    def box(self, grid: Grid) -> IndexBox:
        """Indexes of the voxels that may have their centre inside. Raises OutOfBounds where there is none."""
        (x, y, z), r = self.centre, self.radius
        box = grid.index_box(WorldBox((x - r, y - r, z - r), (x + r, y + r, z + r), grid.frame))
        if not box.size:
            raise OutOfBounds(f"a ball of {r:g} mm around {list(self.centre)} does not touch the image")
        return box

    def inside(self, grid: Grid) -> "NDArray[np.bool_]":
        """Which voxels of a grid have their centre inside."""
        matrix = np.asarray(grid.affine)
        first = np.zeros((grid.shape[0], 3))
        first[:] = 0.5
        first[:, 0] += np.arange(grid.shape[0])
        starts = grid.to_world(first) - self.centre
        square = np.zeros(grid.shape)
        for axis in range(3):
            rows, columns = (matrix[axis, 1 + k] * np.arange(grid.shape[1 + k]) for k in (0, 1))
            square += (starts[:, axis, None, None] + rows[:, None] + columns) ** 2
        return square <= self.radius**2


def affordable(pyramid: Pyramid, box: IndexBox, *, bands: int, budget: int, ball: Ball | None = None) -> Region:
    """The finest level whose part of a box of level 0 holds at most `budget` values. Raises TooLarge if none does."""
    base = pyramid.grids[0]
    for level, grid in enumerate(pyramid.grids):
        factors = [max(1, round(a / b)) for a, b in zip(base.shape, grid.shape, strict=True)]
        part = box.coarsen(factors).intersect(grid.box)
        if part.size * bands <= budget:
            return Region(level, part, ball)
    raise TooLarge(f"the box holds {box.size * bands} values, and more than {budget} even at the coarsest level")


def statistics(pyramid: Pyramid, region: Region, ask: Ask) -> dict[str, Any]:
    """Statistics of every band over a box or a ball in it, invalid and non-finite pixels left out.

    Mean and standard deviation (of the population) are computed in float64; percentiles are interpolated linearly.
    """
    patch = pyramid.read_index(region.box, level=region.level, bands=ask.bands, t=ask.t, physical=ask.physical)
    pixels = region.box.size
    if region.ball is not None:
        inside = region.ball.inside(patch.grid)
        pixels = int(inside.sum())
        patch = replace(patch, valid=inside if patch.valid is None else inside & patch.valid)
    bands = [
        band_statistics(_present(patch, position), pyramid.info.bands[number], number, ask)
        for position, number in enumerate(ask.bands)
    ]
    start, stop = region.box.start, region.box.stop
    return {
        "id": pyramid.id,
        "level": region.level,
        "exact": region.level == 0,
        "box": _outward(start, stop),
        "physical": ask.physical,
        "pixels": pixels,
        "bands": bands,
    }


def _outward(start: Sequence[int], stop: Sequence[int]) -> list[int]:
    """A box as requests write it: x0, y0, x1, y1[, z0, z1]."""
    *depth, y0, x0 = start
    *far, y1, x1 = stop
    return [x0, y0, x1, y1, *(v for pair in zip(depth, far, strict=True) for v in pair)]


def _present(patch: Patch, band: int) -> "NDArray[Any]":
    """Values of a band that are valid and finite, flat."""
    plane = patch.array[band]
    values = plane.reshape(-1) if patch.valid is None else plane[patch.valid]
    return values if values.dtype.kind in "iub" else values[np.isfinite(values)]


def band_statistics(values: "NDArray[Any]", band: Band, place: int, ask: Ask) -> Mapping[str, Any]:
    """Statistics of the values of one band, `place` counted from 0; numbers are None where there is no value."""
    found: dict[str, Any] = {"number": place + 1, "name": band.name, "unit": band.unit, "valid_pixels": len(values)}
    if not len(values):
        empty = dict.fromkeys(("min", "max", "mean", "std", "median"))
        return {**found, **empty, "percentiles": {}, "histogram": {"counts": [], "edges": []}}
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):  # what float64 cannot hold is told as null
        *shares, median = np.percentile(values, [*ask.percentiles, 50.0])
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    counts, edges = _histogram(values, low, high, ask.bins)
    return {
        **found,
        "min": number(values.min()),
        "max": number(values.max()),
        "mean": number(mean),
        "std": number(deviation),
        "median": number(median),
        "percentiles": {f"{p:g}": number(v) for p, v in zip(ask.percentiles, shares, strict=True)},
        "histogram": {"counts": counts, "edges": edges},
    }


def _histogram(values: "NDArray[Any]", low: float, high: float, bins: int) -> tuple[list[int], list[float]]:
    """Counts and edges of equal bins from the least value to the greatest; nothing where they are too far apart."""
    if not math.isfinite(high - low):
        return [], []
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return counts.tolist(), edges.tolist()

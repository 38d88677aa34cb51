"""Where the pixels of a target lattice lie in a pyramid: a level and a control grid for each aligned block.

A block is `BLOCK` × `BLOCK` pixels, counted from index (0, 0) of the lattice. Everything here depends on the block
alone, never on the box that somebody wants painted; that is why tiles of any size fit together without a seam.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame, GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.resample.cells import BLOCK, DROP, KEEP, SPLIT, Cells, Doubles, Ints, judge, rows
from bigimage.resample.kernels import NEAREST, QUANTUM, span, trace

TOLERANCE: Final = 0.02
"""Pixels of the source level by which a cell may not be straight: what its middle and the middles of its edges lie off
the plane through its corners. What is so nearly straight hides no jump of twice that, and its pixels, placed by
parabolas, lie far closer to the exact transform than the twentieth of a pixel that is promised."""
LEVEL_SLACK: Final = 1e-3
"""Part by which a level's pixel may exceed the target's: grids that halve exactly differ by rounding."""
SAMPLES: Final = 33
"""Points along each side of an image at which its place in the lattice is looked up."""
_STENCIL: Final = np.array([[0.0, 0.0], [-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
_NO_CELLS: Final = Cells(np.empty((0, 3), np.int64), np.empty((0, 3, 3, 2)), np.empty((0, 2)))


@dataclass(frozen=True, eq=False, slots=True)
class Control:
    """The level that a block is painted from, and where its pixels lie in it."""

    level: int
    cells: Cells
    period: float
    """Columns of the level once around the globe; 0 where columns do not repeat."""


@dataclass(frozen=True, eq=False, slots=True)
class _Reach:
    """Where an image lies in a lattice."""

    places: Doubles
    """(n, 2): lattice indexes of points spread over the image."""
    box: IndexBox
    """Lattice indexes outside of which no pixel can touch the image; may be empty."""


@dataclass(frozen=True, slots=True)
class _Way:
    """From lattice indexes to the indexes of one level."""

    lattice: Grid
    grid: Grid

    def index(self, places: Doubles) -> Doubles:
        """Level indexes of lattice indexes, shape (..., 2) both; not finite where there is none."""
        world = transform_points(self.lattice.to_world(places), self.lattice.frame, self.grid.frame)
        turn = _turn(self.grid.frame)
        if turn and not self.grid.is_aligned:
            middle = self.grid.to_world([n / 2 for n in self.grid.shape])[0]
            world[..., 0] -= turn * np.round((world[..., 0] - middle) / turn)
        return self.grid.to_index(world)


@lru_cache(maxsize=128)
def _turn(frame: Frame) -> float:
    """Once around the globe in units of the first axis of a geographic frame; 0 for every other."""
    if not (isinstance(frame, GeoFrame) and frame.is_geographic):
        return 0.0
    return 2 * math.pi / frame.proj.axis_info[0].unit_conversion_factor


@lru_cache(maxsize=512)
def period(grid: Grid) -> float:
    """Columns of a grid once around the globe; 0 unless its columns are meridians."""
    turn = _turn(grid.frame)
    if not (turn and grid.is_aligned):
        return 0.0
    columns = turn / abs(grid.transform[0])
    # pixel sizes such as 0.00833333333 are written with too few digits to go around exactly
    return float(round(columns)) if abs(columns - round(columns)) < 1e-3 else columns


@lru_cache(maxsize=256)
def _reach(grid: Grid, lattice: Grid) -> _Reach | None:
    """Where an image lies in a lattice; None when no point of it has a place there."""
    axes = [np.linspace(0.0, n, SAMPLES) for n in grid.shape]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    with np.errstate(invalid="ignore", over="ignore"):
        places = lattice.to_index(transform_points(grid.to_world(index), grid.frame, lattice.frame))
    finite = places[np.isfinite(places).all(axis=-1)]
    if not len(finite):
        return None
    box = lattice.box if len(finite) < SAMPLES * SAMPLES else _surroundings(places, lattice)
    if _turn(lattice.frame):
        # the image comes again with every turn that the lattice goes on
        finite = np.concatenate([finite + np.array([0.0, turns * period(lattice)]) for turns in (-1, 0, 1)])
        rows = (box.start[0], box.stop[0]) if lattice.is_aligned else (0, lattice.shape[0])
        box = IndexBox((rows[0], 0), (rows[1], lattice.shape[1]))
    return _Reach(finite, box)


def _surroundings(places: Doubles, lattice: Grid) -> IndexBox:
    """Box around a square of samples (n, n, 2) and what may lie between and beside them."""
    # between samples the image reaches no farther than neighbouring samples are apart
    slack = np.maximum(*(np.abs(np.diff(places, axis=axis)).max(axis=(0, 1)) for axis in (0, 1)))
    limit = np.asarray(lattice.shape)
    low = np.clip(np.floor(places.min(axis=(0, 1)) - slack) - 1, 0, limit).astype(int)
    high = np.clip(np.ceil(places.max(axis=(0, 1)) + slack) + 1, low, limit).astype(int)
    return IndexBox(tuple(map(int, low)), tuple(map(int, high)))


@lru_cache(maxsize=128)
def _factors(levels: tuple[Grid, ...]) -> Doubles:
    """Size (y, x) of each level's pixels in pixels of the finest, shape (levels, 2)."""
    spacing = np.array([g.spacing for g in levels])
    return spacing / spacing[0]


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Change of the finest level's index (y, x) per target row and per target column."""

    down: tuple[float, float]
    right: tuple[float, float]

    def finest(self, factor: Doubles) -> float:
        """Smallest extent of a target pixel in pixels that are `factor` (y, x) times larger: a singular value."""
        (a, b), (c, d), (fy, fx) = self.down, self.right, factor.tolist()
        a, b, c, d = a / fy, b / fx, c / fy, d / fx
        total, area = a * a + b * b + c * c + d * d, abs(a * d - b * c)
        return (math.sqrt(total + 2 * area) - math.sqrt(max(0.0, total - 2 * area))) / 2

    def size(self, factor: Doubles) -> Doubles:
        """Size (y, x) of a target pixel's bounding box in such pixels."""
        return (np.abs(self.down) + np.abs(self.right)) / factor


def _slopes(index: Doubles, columns: float) -> _Slopes | None:
    """Slopes from the indexes (5, 2) of a stencil; None where the map ends.

    Of the steps to both sides the shorter one counts: the other may jump across the antimeridian.
    """
    (y, x), *others = index.tolist()
    steps: list[tuple[float, float, float]] = []
    for sign, (to_y, to_x) in zip((-2, 2, -2, 2), others, strict=True):
        dy, dx = sign * (to_y - y), to_x - x
        if columns and math.isfinite(dx):
            dx -= columns * round(dx / columns)
        length = math.hypot(dy, sign * dx)
        steps.append((length if math.isfinite(length) else math.inf, dy, sign * dx))
    down, right = min(steps[:2]), min(steps[2:])
    if math.isinf(down[0]) or math.isinf(right[0]):
        return None
    return _Slopes(down[1:], right[1:])


def _is_within(index: Doubles, grid: Grid, columns: float) -> bool:
    """Whether a source index lies on the image."""
    y, x = index.tolist()
    if columns and math.isfinite(x):
        x -= columns * math.floor(x / columns)
    return 0 <= y <= grid.shape[0] and 0 <= x <= grid.shape[1]


def _local_slopes(grid: Grid, lattice: Grid, area: IndexBox, reach: _Reach) -> _Slopes | None:
    """Slopes at the middle of an area, or at the sample of the image nearest to it where that is off the image."""
    way, columns = _Way(lattice, grid), period(grid)
    middle = (np.asarray(area.start) + np.asarray(area.stop)) / 2
    index = way.index(middle + _STENCIL)
    if _is_within(index[0], grid, columns):
        slopes = _slopes(index, columns)
        if slopes is not None:
            return slopes
    nearest = int(np.argmin(((reach.places - middle) ** 2).sum(axis=1)))
    return _slopes(way.index(reach.places[nearest] + _STENCIL), columns)


def _level(levels: tuple[Grid, ...], slopes: _Slopes) -> int:
    """Coarsest level whose pixels are no larger than the target's, whichever way they are measured."""
    factors = _factors(levels)
    for k in range(len(levels) - 1, 0, -1):
        if slopes.finest(factors[k]) >= 1 - LEVEL_SLACK:
            return k
    return 0


def _sides(lattice: Grid, source: Grid) -> tuple[int, ...]:
    """Sides of cells to try, largest first.

    The checks at the middles can only be trusted where the map has no kink between them: on the ground a first cell
    is at most some tens of kilometres wide.
    """
    if isinstance(lattice.frame, GeoFrame) and lattice.frame != source.frame:
        width = BLOCK * max(lattice.spacing) * lattice.frame.unit_in_metres
        if width > 400e3:
            return 16, 8, 4, 2, 1
        if width > 50e3:
            return 64, 32, 16, 8, 4, 2, 1
    return 256, 128, 64, 32, 16, 8, 4, 2, 1


def _extent(size: Doubles, grid: Grid) -> Doubles:
    """Size (y, x) of a target pixel's bounding box in source pixels, made usable: at least one, at most the image."""
    return np.maximum(np.round(np.minimum(size, np.asarray(grid.shape)) / QUANTUM) * QUANTUM, 1.0)


def _nodes(parents: Ints, steps: Doubles, area: IndexBox) -> Doubles:
    """Lattice indexes of a square of nodes in each cell, shape (cells, steps, steps, 2)."""
    first = parents + np.asarray(area.start) + 0.5
    nodes = np.empty((len(parents), len(steps), len(steps), 2))
    nodes[..., 0] = first[:, 0, None, None] + steps[:, None]
    nodes[..., 1] = first[:, 1, None, None] + steps
    return nodes


def _children(parents: Ints, side: int, child: int) -> Ints:
    """Places of the smaller cells of each cell, shape (cells · parts², 2)."""
    steps = np.arange(0, side, child)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    return (parents[:, None] + offsets).reshape(-1, 2)


def _cells(places: Ints, side: int, nodes: Doubles, extent: Doubles) -> Cells:
    """Cells of one size."""
    place = np.empty((len(places), 3), np.int64)
    place[:, :2], place[:, 2] = places, side
    return Cells(place, np.array(nodes, order="C"), np.array(extent, order="C"))


def _divide(way: _Way, area: IndexBox, parents: Ints, side: int, child: int) -> tuple[Cells, Ints]:
    """Cells of side `child` that are straight enough, and the places of those that are not."""
    parts = side // child
    index = way.index(_nodes(parents, np.arange(0.0, side + child / 4, child / 2), area))
    verdict = np.empty(len(parents) * parts * parts, np.int64)
    nodes = np.empty((len(verdict), 3, 3, 2))
    judge()(index, period(way.grid), np.asarray(way.grid.shape), TOLERANCE, verdict, nodes)
    places = _children(parents, side, child)
    verdict[(places >= np.asarray(area.shape)).any(axis=1)] = DROP
    keep = verdict == KEEP
    nodes = nodes[keep]
    down, right = nodes[:, 2, ::2] - nodes[:, 0, ::2], nodes[:, ::2, 2] - nodes[:, ::2, 0]
    extent = _extent((np.abs(down).sum(axis=1) + np.abs(right).sum(axis=1)) / (2 * child), way.grid)
    return _cells(places[keep], child, nodes, extent), places[verdict == SPLIT]


def _exact(way: _Way, area: IndexBox, parents: Ints, side: int, extent: Doubles) -> Cells:
    """Single pixels, each transformed on its own: where the map has kinks, poles and edges."""
    index = way.index(_nodes(parents, np.arange(side, dtype=np.float64), area)).reshape(-1, 2)
    columns = period(way.grid)
    if columns:
        index[:, 1] %= columns
    places = _children(parents, side, 1)
    within = ((index > -1) & (index < np.asarray(way.grid.shape) + 1)).all(axis=1)
    keep = within & (places < np.asarray(area.shape)).all(axis=1)
    nodes = np.broadcast_to(index[keep][:, None, None], (int(keep.sum()), 3, 3, 2))
    return _cells(places[keep], 1, nodes, np.tile(extent, (len(nodes), 1)))


def _refine(way: _Way, area: IndexBox, *, sides: tuple[int, ...], extent: Doubles) -> Cells:
    """Cells of a block, split until their nodes tell where each pixel lies; those off the image are left out."""
    found: list[Cells] = []
    pending = np.zeros((1, 2), np.int64)
    side = BLOCK
    for child in sides[:-1]:
        cells, pending = _divide(way, area, pending, side, child)
        found.append(cells)
        side = child
        if not len(pending):
            break
    else:
        found.append(_exact(way, area, pending, side, extent))
    found = [c for c in found if len(c.place)] or [_NO_CELLS]
    if len(found) == 1:
        return found[0]
    return Cells(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def control(levels: tuple[Grid, ...], lattice: Grid, block: tuple[int, int], *, at_least: int = 0) -> Control | None:
    """Level and control grid of a block, or None when no pixel of the block touches the image.

    Parameters
    ----------
    levels
        Grids of the pyramid, finest first; the others are coarsenings of the first.
    lattice
        Grid of the target.
    block
        Index (row, column) of the block.
    at_least
        Level below which not to go, where the one that the resolution asks for is too much work.

    Raises
    ------
    FrameMismatch
        When the frames of lattice and pyramid have no transformation.
    """
    start = (block[0] * BLOCK, block[1] * BLOCK)
    area = IndexBox(start, (start[0] + BLOCK, start[1] + BLOCK)).intersect(lattice.box)
    reach = _reach(levels[0], lattice)
    if reach is None or not area.intersect(reach.box).size:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = _local_slopes(levels[0], lattice, area, reach)
        if slopes is None:
            return None
        level = max(_level(levels, slopes), at_least)
        grid = levels[level]
        extent = _extent(slopes.size(_factors(levels)[level]), grid)
        cells = _refine(_Way(lattice, grid), area, sides=_sides(lattice, grid), extent=extent)
    return Control(level, cells, period(grid)) if len(cells.place) else None


def coordinates(found: Control) -> Doubles:
    """Source index (y, x) of each pixel of a block as it is painted, (BLOCK, BLOCK, 2); NaN where there is none."""
    out = np.empty((BLOCK, BLOCK, 2))
    part = np.array([0, BLOCK, 0, BLOCK])
    trace()(found.cells, rows(found.cells, part), found.period, span("float64", NEAREST, found.cells.extent), out)
    out[out[..., 0] == -1] = np.nan
    return out

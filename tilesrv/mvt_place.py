"""Where world coordinates lie in a vector tile, and what part of the world a tile has to ask for. Pure geometry."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import MERCATOR_EXTENT, NativeTiles, mercator_box, mercator_lattice
from tilesrv.mvt import BUFFER, EXTENT, Paths, sound
from tilesrv.tilesets import MERCATOR_FRAME, TileSet, mercator_bounds, mercator_resolution

Doubles = NDArray[np.float64]
BENT: Final = 0.5
"""Units by which an edge may lie off its exact place before it gets a vertex more."""
SHORT: Final = 48.0
"""Units below which no edge is bent: between projections, so little of the Earth is straight."""
HALVINGS: Final = 10
POLE: Final = 0.9999
"""Part of the way to a pole beyond which web mercator has no place for a point."""


def _bounds(points: Doubles, grid: Grid) -> WorldBox:
    """Box around points (n, 2) of a grid's frame."""
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return WorldBox((low[0], low[1]), (high[0], high[1]), grid.frame)


@dataclass(frozen=True)
class NativePlacement:
    """A tile of the image's own grid."""

    grid: Grid
    """The image's finest grid."""
    level: Grid
    """Grid of the level that the tile belongs to."""
    tile: int
    x: int
    y: int
    is_finest: bool
    """Whether nobody can zoom in further."""

    @classmethod
    def of(cls, grids: tuple[Grid, ...], tiling: NativeTiles, z: int, x: int, y: int) -> "NativePlacement":
        """A tile by its address. Raises NotFound."""
        tiling.box(z, x, y)
        return cls(grids[0], grids[tiling.level(z)], tiling.tile, x, y, z == tiling.zooms - 1)

    @property
    def pixel(self) -> float:
        """World units of a pixel of the tile: the same for all tiles of a zoom."""
        return math.sqrt(math.prod(self.level.spacing))

    @cached_property
    def boxes(self) -> tuple[WorldBox, ...]:
        """Box in the image's frame that holds the tile and its buffer."""
        margin = BUFFER * self.tile / EXTENT
        start = np.array([self.y, self.x]) * self.tile - margin
        ends = np.stack(np.meshgrid(*zip(start, start + self.tile + 2 * margin, strict=True), indexing="ij"), axis=-1)
        return (_bounds(self.level.to_world(ends.reshape(-1, 2)), self.grid),)

    def _coordinates(self, points: Doubles) -> Doubles:
        """Tile coordinates of world points: `Grid.to_index` and the tile's own affine in one."""
        matrix = np.asarray(self.level.affine)
        turn = np.linalg.inv(matrix[:, :2])[::-1].T * (EXTENT / self.tile)
        return (points - matrix[:, 2]) @ turn - np.array([self.x, self.y]) * float(EXTENT)

    def place(self, paths: Paths) -> Paths:
        """Paths in the tile's coordinates; straight edges stay straight."""
        with np.errstate(over="ignore", invalid="ignore"):
            return paths._replace(xy=self._coordinates(paths.xy))

    def home(self, points: Doubles) -> tuple[NDArray[np.bool_], Doubles]:
        """Which world points (n, 2) belong to this tile, and their tile coordinates.

        Each point belongs to exactly one tile of a zoom; what lies beside the image belongs to a tile at its edge.
        """
        index = self.level.to_index(points)
        inside = np.clip(index, 0.0, np.asarray(self.level.shape) - 1e-9)
        at = np.floor(inside / self.tile) == (self.y, self.x)
        return at.all(axis=1), self._coordinates(self.level.to_world(inside))


@dataclass(frozen=True)
class MercatorPlacement:
    """A tile of WebMercatorQuad."""

    grid: Grid
    z: int
    x: int
    y: int
    area: WorldBox
    """Where the image lies in web mercator."""
    pixel: float
    """World units of a pixel in the middle of the image: the same for all tiles of a zoom."""
    is_finest: bool

    @classmethod
    def of(cls, grid: Grid, found: TileSet, z: int, x: int, y: int) -> "MercatorPlacement":
        """A tile by its address; `found` is the image's tile set. Raises NotFound where the image is not."""
        lattice = mercator_lattice(z, found.tile)
        box = lattice.crop(mercator_box(z, x, y, found.tile)).world_bounds()
        area, size = mercator_bounds(grid), mercator_resolution(grid)
        if area is None or size is None:
            raise NotFound("the image has no place in web mercator")
        if any(
            a >= d or c <= b for a, b, c, d in zip(box.minimum, area.minimum, box.maximum, area.maximum, strict=True)
        ):
            raise NotFound(f"tile {z}/{x}/{y} lies beside the image")
        pixel = lattice.spacing[0] / size * math.sqrt(math.prod(grid.spacing))
        return cls(grid, z, x, y, area, pixel, z >= found.matrices[-1].zoom)

    @property
    def world(self) -> float:
        """Units of the tile once around the globe."""
        return float(EXTENT << self.z)

    @cached_property
    def boxes(self) -> tuple[WorldBox, ...]:
        """Boxes in the image's frame that hold the tile and its buffer; several where longitudes repeat."""
        around = self.grid.world_bounds()
        reach = [b - a for a, b in zip(around.minimum, around.maximum, strict=True)]
        wide = WorldBox(
            tuple(a - r for a, r in zip(around.minimum, reach, strict=True)),
            tuple(b + r for b, r in zip(around.maximum, reach, strict=True)),
            self.grid.frame,
        )
        size = 2 * MERCATOR_EXTENT / (1 << self.z)
        margin = size * BUFFER / EXTENT
        west, north = self.x * size - MERCATOR_EXTENT, MERCATOR_EXTENT - self.y * size
        low, high = (west - margin, north - size - margin), (west + size + margin, north + margin)
        if all(a <= c and d <= b for a, b, c, d in zip(low, high, self.area.minimum, self.area.maximum, strict=True)):
            return (wide,)
        low = tuple(max(v, -MERCATOR_EXTENT) for v in low)
        high = tuple(min(v, MERCATOR_EXTENT) for v in high)
        try:
            box = WorldBox(low, high, MERCATOR_FRAME).to(self.grid.frame)
        except InputError:
            return (wide,)
        return self._turned(box, wide) or (wide,)

    def _turned(self, box: WorldBox, wide: WorldBox) -> tuple[WorldBox, ...]:
        """The box, once for each turn around the globe by which it meets the surroundings of the image."""
        frame = self.grid.frame
        if not (isinstance(frame, GeoFrame) and frame.is_geographic):
            return (box,)
        turn = frame.turn
        west, east = box.minimum[0], box.maximum[0] + (turn if box.crosses_antimeridian else 0.0)
        margin = (east - west) * BUFFER / EXTENT  # at the edge of the map the buffer lies beyond it
        west, east = west - margin, east + margin
        first, last = math.ceil((wide.minimum[0] - east) / turn), math.floor((wide.maximum[0] - west) / turn)
        if last - first > 4:
            return (wide,)
        return tuple(
            WorldBox((west + k * turn, box.minimum[1]), (east + k * turn, box.maximum[1]), frame)
            for k in range(first, last + 1)
        )

    def _project(self, points: Doubles) -> Doubles:
        """Tile coordinates of world points; infinite where there is none."""
        frame = self.grid.frame
        if isinstance(frame, GeoFrame) and frame.is_geographic:
            limit = frame.turn / 4 * POLE
            points = np.stack([points[:, 0], np.clip(points[:, 1], -limit, limit)], axis=-1)
        metres = transform_points(points, frame, MERCATOR_FRAME)
        scale = self.world / (2 * MERCATOR_EXTENT)
        out = np.empty_like(metres)
        out[:, 0] = (metres[:, 0] + MERCATOR_EXTENT) * scale - self.x * EXTENT
        out[:, 1] = (MERCATOR_EXTENT - metres[:, 1]) * scale - self.y * EXTENT
        if isinstance(frame, GeoFrame) and frame.is_geographic:
            # longitudes themselves tell how often they go around
            plain = (points[:, 0] / frame.turn + 0.5) * self.world - self.x * EXTENT
            with np.errstate(invalid="ignore"):
                out[:, 0] += self.world * np.round((plain - out[:, 0]) / self.world)
        return out

    def place(self, paths: Paths) -> Paths:
        """Paths in the tile's coordinates: edges bent as the projection bends them."""
        if not len(paths.xy):
            return paths
        with np.errstate(over="ignore", invalid="ignore"):
            tile = self._project(paths.xy)
        there = np.isfinite(tile[:, 0]) & np.isfinite(tile[:, 1])
        kept = sound(paths._replace(xy=np.where(there[:, None], paths.xy, np.inf)))
        tile = tile[there]
        if not (isinstance(self.grid.frame, GeoFrame) and self.grid.frame.is_geographic):
            kept, tile = self._halved(kept, tile)
            tile = _continued(tile, kept, self.world)
        kept, tile = self._bend(kept, tile)
        return _repeated(kept._replace(xy=tile), self.world)

    def _halved(self, paths: Paths, tile: Doubles) -> tuple[Paths, Doubles]:
        """Paths with more vertices on edges that go so far around the globe that they could be taken for jumps."""
        for _ in range(3):
            far = np.abs(np.diff(tile[:, 0])) > self.world / 4
            far[paths.first[1:-1] - 1] = False
            edge = np.flatnonzero(far)
            if not len(edge):
                break
            world = (paths.xy[edge] + paths.xy[edge + 1]) / 2
            exact = self._project(world)
            there = np.isfinite(exact).all(axis=1)
            paths, tile, _ = _inserted(paths, tile, edge[there] + 1, world[there], exact[there])
        return paths, tile

    def _bend(self, paths: Paths, tile: Doubles) -> tuple[Paths, Doubles]:
        """Paths with more vertices on edges that the projection bends; only where they can be seen."""
        low, high = -float(BUFFER), float(EXTENT + BUFFER)
        fresh = np.ones(len(tile), np.bool_)  # edges, by their first vertex, that were not judged yet
        for _ in range(HALVINGS):
            fresh[paths.first[1:] - 1] = False
            a, b = tile, np.roll(tile, -1, axis=0)
            seen = (np.maximum(a, b) >= low).all(axis=1) & (np.minimum(a, b) <= high).all(axis=1)
            edge = np.flatnonzero(fresh & seen & (np.abs(a - b).max(axis=1) > SHORT))
            if not len(edge):
                break
            world = (paths.xy[edge] + paths.xy[edge + 1]) / 2
            straight = (a[edge] + b[edge]) / 2
            exact = self._project(world)
            exact[:, 0] -= self.world * np.round((exact[:, 0] - straight[:, 0]) / self.world)
            with np.errstate(invalid="ignore"):
                bent = np.abs(exact - straight).max(axis=1) > BENT
            bent &= np.isfinite(exact).all(axis=1)
            paths, tile, added = _inserted(paths, tile, edge[bent] + 1, world[bent], exact[bent])
            fresh = np.zeros(len(tile), np.bool_)
            fresh[added] = fresh[added - 1] = True
        return paths, tile

    def home(self, points: Doubles) -> tuple[NDArray[np.bool_], Doubles]:
        """Which world points belong to this tile, and their tile coordinates; see `NativePlacement.home`."""
        scale = self.world / (2 * MERCATOR_EXTENT)
        low = (np.array([self.area.minimum[0], -self.area.maximum[1]]) + MERCATOR_EXTENT) * scale
        high = (np.array([self.area.maximum[0], -self.area.minimum[1]]) + MERCATOR_EXTENT) * scale
        corner = np.array([self.x, self.y]) * float(EXTENT)
        inside = np.clip(np.nan_to_num(self._project(points)) + corner, low, high)
        at = np.minimum(np.floor(inside / EXTENT), (1 << self.z) - 1) == (self.x, self.y)
        return at.all(axis=1), inside - corner


Placement = NativePlacement | MercatorPlacement
"""One tile of one image."""


def _inserted(
    paths: Paths, tile: Doubles, where: NDArray[np.int64], world: Doubles, exact: Doubles
) -> tuple[Paths, Doubles, NDArray[np.int64]]:
    """Paths, and their vertices in a tile, with more vertices before those at `where`; and where the new ones are."""
    first = paths.first + np.searchsorted(where, paths.first, side="left")
    made = paths._replace(xy=np.insert(paths.xy, where, world, axis=0), first=first)
    return made, np.insert(tile, where, exact, axis=0), where + np.arange(len(where))


def _continued(tile: Doubles, paths: Paths, world: float) -> Doubles:
    """Coordinates without the jumps from one edge of the map to the other; the paths of a shape side by side."""
    path = np.repeat(np.arange(len(paths.kinds)), np.diff(paths.first))
    shape = np.repeat(np.arange(len(paths.shape_first) - 1), np.diff(paths.shape_first))[path]
    turns = np.zeros(len(tile))
    turns[1:] = -np.round(np.diff(tile[:, 0]) / world)
    if not turns.any():
        return tile
    # a path begins near where the shape begins
    begins = np.flatnonzero(np.diff(path, prepend=-1) > 0)
    anchors = np.searchsorted(shape, shape[begins])
    turns = np.cumsum(turns)
    offset = -turns[begins] - np.round((tile[begins, 0] - tile[anchors, 0]) / world)
    out = tile.copy()
    out[:, 0] += world * (turns + np.repeat(offset, np.diff(np.append(begins, len(tile)))))
    return out


def _repeated(paths: Paths, world: float) -> Paths:
    """Shapes as often as the tile with its buffer shows them around the globe: once, unless the tile is wide."""
    count = len(paths.shape_first) - 1
    path = np.repeat(np.arange(len(paths.kinds)), np.diff(paths.first))
    shape = np.repeat(np.arange(count), np.diff(paths.shape_first))[path]
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, shape, paths.xy[:, 0])
    np.maximum.at(high, shape, paths.xy[:, 0])
    there = low <= high
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    first[there] = np.ceil((-BUFFER - high[there]) / world).astype(np.int64)
    last[there] = np.floor((EXTENT + BUFFER - low[there]) / world).astype(np.int64)
    if not (first[there].any() or last[there].any()):
        return paths
    xy, firsts, kinds, shapes, vertices = [np.zeros((0, 2))], [0], [], [0], 0
    for k in range(count):
        for turn in range(first[k], last[k] + 1):
            for p in range(paths.shape_first[k], paths.shape_first[k + 1]):
                part = paths.xy[paths.first[p] : paths.first[p + 1]]
                xy.append(part + np.array([turn * world, 0.0]))
                kinds.append(paths.kinds[p])
                vertices += len(part)
                firsts.append(vertices)
        shapes.append(len(kinds))
    return Paths(np.concatenate(xy), np.array(firsts), np.array(kinds, np.uint8), np.array(shapes))


def padded(box: WorldBox, margin: float) -> WorldBox:
    """A box grown on every side."""
    low, high = tuple(v - margin for v in box.minimum), tuple(v + margin for v in box.maximum)
    return replace(box, minimum=low, maximum=high)


def index_box(placement: Placement) -> IndexBox:
    """Indexes of the image's finest grid that a tile with its buffer touches."""
    found = [placement.grid.index_box(box) for box in placement.boxes]
    start = tuple(min(v) for v in zip(*(b.start for b in found), strict=True))
    stop = tuple(max(v) for v in zip(*(b.stop for b in found), strict=True))
    return IndexBox(start, stop)

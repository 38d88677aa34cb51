"""Tilings: how grids are cut into levels, shards and web tiles. Plain arithmetic on shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid

COARSEST = 256
"""Levels are added until the longest side is no more than this."""
MERCATOR_EXTENT = 20037508.342789244
"""Half the width of the web mercator square, metres (OGC 17-083r4, WebMercatorQuad)."""
MERCATOR_ZOOMS = 25
TILE_SIZES = (256, 512)


def level_shapes(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Shapes (y, x) of the levels of a raster pyramid: halved, rounded up, until the longest side fits `COARSEST`."""
    levels = [(int(shape[0]), int(shape[1]))]
    while max(levels[-1]) > COARSEST:
        y, x = levels[-1]
        levels.append((-(-y // 2), -(-x // 2)))
    return levels


def morton(index: Sequence[int]) -> int:
    """Position of a block along the Z-order curve; neighbours stay close, aligned 2×2 blocks stay together."""
    code = 0
    for bit in range(max(index).bit_length()):
        for axis, value in enumerate(reversed(index)):
            code |= ((value >> bit) & 1) << (bit * len(index) + axis)
    return code


def blocks(shape: Sequence[int], block: Sequence[int]) -> Iterator[tuple[tuple[int, ...], IndexBox]]:
    """Blocks of an array in C order: block index and the box it covers, cut at the edges."""
    whole = IndexBox.of_shape(shape)
    for index in whole.blocks(block):
        start = tuple(i * n for i, n in zip(index, block, strict=True))
        yield index, IndexBox(start, tuple(a + n for a, n in zip(start, block, strict=True))).intersect(whole)


@dataclass(frozen=True, slots=True)
class NativeTiles:
    """Tiles of an image's own grid: zoom 0 is the coarsest level that fits one tile; row 0, column 0 is its corner."""

    levels: tuple[tuple[int, int], ...]
    """Shapes (y, x) of the pyramid's levels, finest first."""
    tile: int

    @property
    def zooms(self) -> int:
        """Number of zooms: the levels from the finest down to the first that fits one tile."""
        for k, (y, x) in enumerate(self.levels):
            if max(y, x) <= self.tile:
                return k + 1
        return len(self.levels)

    def level(self, z: int) -> int:
        """Pyramid level of a zoom. Raises NotFound."""
        if not 0 <= z < self.zooms:
            raise NotFound(f"zoom {z} does not exist; this image has zooms 0 to {self.zooms - 1}")
        return self.zooms - 1 - z

    def matrix(self, z: int) -> tuple[int, int]:
        """Number of tile rows and columns at a zoom."""
        y, x = self.levels[self.level(z)]
        return -(-y // self.tile), -(-x // self.tile)

    def box(self, z: int, x: int, y: int) -> IndexBox:
        """Level indexes of a tile; those of tiles at the far edges stick out. Raises NotFound."""
        rows, columns = self.matrix(z)
        if not (0 <= x < columns and 0 <= y < rows):
            raise NotFound(f"tile {z}/{x}/{y} does not exist; zoom {z} has {columns} columns and {rows} rows")
        return IndexBox((y * self.tile, x * self.tile), ((y + 1) * self.tile, (x + 1) * self.tile))


@lru_cache(maxsize=64)
def mercator_lattice(z: int, tile: int) -> Grid:
    """Grid of all pixels of one zoom of WebMercatorQuad, (0, 0) at the north-west corner. Raises NotFound."""
    if not 0 <= z < MERCATOR_ZOOMS:
        raise NotFound(f"zoom {z} does not exist; WebMercatorQuad has zooms 0 to {MERCATOR_ZOOMS - 1}")
    if tile not in TILE_SIZES:
        raise InputError(f"tile size {tile} is not one of {TILE_SIZES}")
    side = tile << z
    cell = 2 * MERCATOR_EXTENT / side
    return Grid.from_transform(
        (cell, 0.0, -MERCATOR_EXTENT, 0.0, -cell, MERCATOR_EXTENT), (side, side), GeoFrame("EPSG:3857")
    )


def mercator_box(z: int, x: int, y: int, tile: int) -> IndexBox:
    """Lattice indexes of a WebMercatorQuad tile. Raises NotFound."""
    mercator_lattice(z, tile)
    if not (0 <= x < 1 << z and 0 <= y < 1 << z):
        raise NotFound(f"tile {z}/{x}/{y} does not exist; zoom {z} has {1 << z} columns and rows")
    return IndexBox((y * tile, x * tile), ((y + 1) * tile, (x + 1) * tile))

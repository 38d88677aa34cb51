"""The flat arrays that the kernels read: every part of every shape, in index coordinates, in plain arrays.

A *part* is what the rule fills on its own: one polygon with its holes, one line, one point, one mask. A shape of
several parts paints their union.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.rasterize.index import mark_blocks, query

Window = tuple[int, int, int, int, int, int]
"""Row start and stop, column start and stop, then the row and the column that runs are counted from."""


POLYGON, LINE, POINT, STROKE, RUNS = range(5)
"""Kinds of part: filled rings; a line one pixel wide; a pixel; a line or point drawn with a pen; runs of a mask."""

PIECE = 64
"""Edges of a long ring that share one bounding box."""
LONG_RING = 192
"""Edges from which a ring is cut into pieces; below it, looking at every edge is cheaper."""


class Flat(NamedTuple):
    """Parts of shapes in index coordinates. Boxes are (row start, row stop, column start, column stop), half open.

    Boxes hold every pixel that the part can touch and one more on each side, so no rounding inside a kernel ever
    leaves them.
    """

    xy: NDArray[np.float64]
    """(vertices, 2) as (column, row). Rings are closed and run clockwise in the world; lines run backwards."""
    rings: NDArray[np.int64]
    """(rings, 2) first vertex of each ring, line or point, and the one after its last."""
    pieces: NDArray[np.int64]
    """(rings + 1,) first piece of each ring; none for short ones."""
    piece_box: NDArray[np.int64]
    """(pieces, 4) box of each run of `PIECE` edges."""
    kind: NDArray[np.uint8]
    """(parts,)"""
    source: NDArray[np.int32]
    """(parts,) position of the shape in the caller's order."""
    first: NDArray[np.int64]
    """(parts + 1,) first ring of each part."""
    detail: NDArray[np.int32]
    """(parts,) row of `pens` for a stroke, of `run_first` for a mask, else -1."""
    box: NDArray[np.int64]
    """(parts, 4)"""
    pens: NDArray[np.float64]
    """(pens, 4) rows of the 2×2 matrix that takes the unit disc to the pen, in index coordinates (x, y)."""
    runs: NDArray[np.int64]
    """(runs, 3) row, column start, column stop, sorted by row within a mask."""
    run_first: NDArray[np.int64]
    """(masks + 1,) first run of each mask."""
    extent: NDArray[np.int64]
    """(2,) rows and columns of the grid."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Shapes in the index coordinates of one grid, with a spatial index; holds no pixels, and threads can share it."""

    grid: Grid
    count: int
    """Number of shapes that were given; `burn` takes one value for each."""
    flat: Flat
    keys: NDArray[np.int64]
    """Sorted keys of the spatial index, one for each part; parts are stored in this order."""
    rank: NDArray[np.int32]
    """Place of each part's shape in the burn order."""
    skipped: tuple[int, ...]
    """Positions of shapes that have no finite place on this grid (NaN, infinity); they paint nothing."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        arrays = {id(a): a for a in (*self.flat, self.keys, self.rank)}
        return sum(a.nbytes for a in arrays.values())

    def parts_in(self, box: IndexBox) -> NDArray[np.int64]:
        """Parts that may touch a box of the grid, in burn order."""
        n, found = query(self.keys, self.flat.box, window_of(box), np.empty(256, np.int64))
        return found[:n][np.lexsort((found[:n], self.rank[found[:n]]))]

    def busy_blocks(self, block: tuple[int, int]) -> list[tuple[int, int]]:
        """Indexes (row, column) of the blocks of a size that any shape may touch, in C order; all others stay empty."""
        rows, columns = self.grid.shape
        busy = np.zeros((-(-rows // block[0]), -(-columns // block[1])), np.bool_)
        mark_blocks(self.flat.box, block, busy)
        return [(int(r), int(c)) for r, c in np.argwhere(busy)]

    def shapes_in(self, box: IndexBox) -> NDArray[np.int32]:
        """Positions of the shapes that may touch a box of the grid, ascending; the test is by bounding box."""
        return np.unique(self.flat.source[self.parts_in(box)])


def window_of(box: IndexBox) -> tuple[int, int, int, int]:
    """(row start, row stop, column start, column stop) of a raster's box."""
    return box.start[0], box.stop[0], box.start[1], box.stop[1]

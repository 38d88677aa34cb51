"""Collects shapes, batch by batch, into the flat arrays of `Prepared`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from bigimage import parallel
from bigimage.errors import InputError
from bigimage.geometry.grid import Grid
from bigimage.rasterize import edges, index
from bigimage.rasterize.flat import LINE, POLYGON, RUNS, STROKE, Flat, Prepared
from bigimage.rasterize.parts import Parts, by_kind, offsets

T = TypeVar("T", bound=np.generic)
Geometries = Sequence[shapely.Geometry | None] | NDArray[np.object_]
MaskBits = tuple[NDArray[np.bool_], tuple[int, int]]


SLICE = 1 << 16
"""Vertices taken out of shapely at a time: their copies stay in the cache, and threads take turns."""
GROWTH = 1 << 24
"""Most vertices that room is made for in advance."""
TIDY = 256 << 20
"""Bytes of vertices up to which they are laid out anew, neighbours together; larger shapes fill cache lines anyway."""


def inverse_transform(grid: Grid) -> NDArray[np.float64]:
    """World → index as two rows (constant, per x, per y), for column and row.

    The operations are those of GDAL (GDALInvGeoTransform), so that results round as its results do. Raises InputError
    for a volume.
    """
    if grid.ndim != 2:
        raise InputError(f"shapes are burned onto rasters, not onto a volume of shape {grid.shape}: go plane by plane")
    a, b, c, d, e, f = grid.transform
    if b == 0 and d == 0:
        return np.array([[-c / a, 1 / a, 0.0], [-f / e, 0.0, 1 / e]])
    scale = 1 / (a * e - b * d)
    column = [(b * f - c * e) * scale, e * scale, -b * scale]
    row = [(-a * f + c * d) * scale, -d * scale, a * scale]
    return np.array([column, row])


@dataclass(frozen=True, slots=True)
class _Ready:
    """Parts of one kind in index coordinates, with what they still need to be stored."""

    parts: Parts
    backwards: NDArray[np.bool_]
    """(rings,) which are stored from their end."""
    keep: NDArray[np.bool_]
    """(parts,) which can touch the grid."""
    pens: NDArray[np.float64] | None
    """(parts, 4) of strokes; `detail` counts from the first."""
    skipped: list[int]
    """Shapes without a finite place."""


class Builder:
    """Takes shapes batch by batch, so that the geometries of one batch can be dropped before the next is read.

    `workers` is the number of threads that bring shapes to the grid; the result does not depend on it.
    """

    def __init__(self, grid: Grid, *, workers: int = 1) -> None:
        self._grid = grid
        self._workers = workers
        self._inverse = inverse_transform(grid)
        self._xy = np.empty((0, 2), np.float64)
        self._used = 0
        self._count = 0
        self._parts: list[Parts] = []
        self._pens: list[NDArray[np.float64]] = []
        self._runs: list[NDArray[np.int64]] = []
        self._skipped: set[int] = set()

    def add(
        self,
        geometries: Geometries,
        *,
        pens: ArrayLike | None = None,
        masks: Mapping[int, MaskBits] | None = None,
    ) -> None:
        """Add shapes after those already there; parameters as of `prepare`, positions counted within the batch."""
        array = as_array(geometries)
        matrices = np.full((len(array), 4), np.nan) if pens is None else self._index_pens(pens, len(array))
        sizes = shapely.get_num_coordinates(array)
        self._room(int(sizes.sum()))
        waiting: dict[int, list[_Ready]] = {}
        slices = list(enumerate(_slices(sizes)))
        due = 0

        def work(item: tuple[int, slice]) -> tuple[int, list[_Ready]]:
            number, some = item
            source = np.arange(some.start, some.stop)
            found = by_kind(array[some], source, np.isfinite(matrices[some, 0]), sizes[some])
            return number, [self._ready(parts, matrices) for parts in found]

        def take(result: tuple[int, list[_Ready]]) -> None:
            nonlocal due
            waiting[result[0]] = result[1]
            while due in waiting:  # in their order, whichever was ready first
                for ready in waiting.pop(due):
                    self._store(ready)
                due += 1

        parallel.run(work, slices, workers=self._workers, on_done=take)
        for position, (bits, corner) in (masks or {}).items():
            self._add_mask(position, bits, corner, len(array))
        self._count += len(array)

    def _room(self, vertices: int) -> None:
        """Make room for more vertices."""
        if not self._used:
            self._xy = np.empty((max(vertices, len(self._xy)), 2), np.float64)
        elif self._used + vertices > len(self._xy):
            larger = max(self._used + vertices, min(2 * len(self._xy), len(self._xy) + GROWTH))
            self._xy.resize((larger, 2), refcheck=False)  # a realloc, which needs no second copy

    def _index_pens(self, pens: ArrayLike, count: int) -> NDArray[np.float64]:
        """Pens (n, 4) in index coordinates; NaN where there is none."""
        world = np.asarray(pens, dtype=np.float64)
        if world.shape != (count, 2, 2):
            raise InputError(f"pens have shape {world.shape}; {count} shapes need ({count}, 2, 2)")
        matrices = np.einsum("ij,njk->nik", self._inverse[:, 1:], world).reshape(-1, 4)
        with np.errstate(invalid="ignore"):
            area = np.abs(matrices[:, 0] * matrices[:, 3] - matrices[:, 1] * matrices[:, 2])
            drawn = np.isfinite(matrices).all(axis=1) & (area > 1e-12) & (np.abs(matrices) < edges.REACH).all(axis=1)
        return np.where(drawn[:, None], matrices, np.nan)

    def add_polygons(self, parts: Parts, *, count: int) -> None:
        """Add a batch of `count` shapes as the parts that they are made of, closed rings in world coordinates."""
        self._store(self._ready(parts, np.empty((0, 4))))
        self._count += count

    def _ready(self, parts: Parts, pens: NDArray[np.float64]) -> _Ready:
        """Parts of one kind of a batch, in world coordinates, brought to the grid. Changes nothing here."""
        backwards = ~edges.clockwise(parts.xy, parts.rings) if parts.kind == POLYGON else None
        parts = replace(parts, xy=edges.to_index(parts.xy, self._inverse), source=parts.source + self._count)
        with np.errstate(invalid="ignore", over="ignore"):
            doubtful = not np.isfinite(parts.xy.sum())
        bad = parts.not_finite() if doubtful else None
        skipped: list[int] = []
        if bad is not None and bad.any():
            skipped = parts.source[bad].tolist()
            backwards = None if backwards is None else backwards[np.repeat(~bad, np.diff(parts.first))]
            parts = parts.select(~bad)
        parts = parts.within_reach()
        if backwards is None:
            backwards = np.full(len(parts.rings) - 1, parts.kind == LINE)
        box = edges.part_boxes(parts.xy, parts.rings, parts.first)
        chosen = None
        if parts.kind == STROKE:
            chosen = pens[parts.detail]
            reach = np.ceil(np.hypot(chosen[:, [2, 0]], chosen[:, [3, 1]])).astype(np.int64)
            box += reach[:, [0, 0, 1, 1]] * np.array([-1, 1, -1, 1])
            parts = replace(parts, detail=np.arange(len(chosen)))
        rows, columns = self._grid.shape
        box = np.clip(box, 0, np.array([rows, rows, columns, columns]))
        keep = (box[:, 1] > box[:, 0]) & (box[:, 3] > box[:, 2])
        return _Ready(replace(parts, box=box), backwards, keep, chosen, skipped)

    def _store(self, ready: _Ready) -> None:
        """Keep what can touch the grid."""
        parts, keep, first = ready.parts, ready.keep, 0
        if ready.pens is not None:
            first = sum(map(len, self._pens))
            self._pens.append(ready.pens)
        self._skipped.update(ready.skipped)
        self._room(len(parts.xy))
        ring_keep = np.repeat(keep, np.diff(parts.first))
        self._used = edges.store(parts.xy, parts.rings, ready.backwards, ring_keep, self._xy, self._used)
        self._parts.append(
            replace(
                parts,
                xy=np.empty((0, 2)),
                rings=offsets(np.diff(parts.rings)[ring_keep]),
                first=offsets(np.diff(parts.first)[keep]),
                source=parts.source[keep].astype(np.int32),
                detail=(parts.detail[keep] + first).astype(np.int32),
                box=parts.box[keep],
            )
        )

    def _add_mask(self, position: int, bits: NDArray[np.bool_], corner: tuple[int, int], batch: int) -> None:
        """Add a shape that is pixels of the grid."""
        if not 0 <= position < batch:
            raise InputError(f"a mask is given for shape {position}, but there are {batch}")
        if bits.ndim != 2:
            raise InputError(f"the mask of shape {position} has {bits.ndim} dimensions, not 2")
        runs = runs_of(bits, corner, self._grid.shape)
        if not len(runs):
            return
        none = np.zeros(1, np.int64)
        parts = Parts(
            kind=RUNS,
            xy=np.empty((0, 2)),
            rings=none,
            first=np.zeros(2, np.int64),
            source=np.array([self._count + position]),
            detail=np.array([len(self._runs)]),
            box=np.array([[runs[0, 0], runs[-1, 0] + 1, runs[:, 1].min(), runs[:, 2].max()]]),
        )
        self._runs.append(runs)
        self._parts.append(parts)

    def finish(self, *, order: ArrayLike | None = None) -> Prepared:
        """The shapes, ready to burn; `order` as of `prepare`, over all batches."""
        self._xy.resize((self._used, 2), refcheck=False)
        groups = self._parts
        box = _joined([g.box for g in groups], np.int64, 4)
        source = _joined([g.source for g in groups], np.int32)
        if self._skipped:
            box[np.isin(source, list(self._skipped))] = 0  # meets no window
        extent = np.array(self._grid.shape, np.int64)
        keys, place = index.sorted_keys(box, extent)
        sizes = _joined([np.diff(g.first) for g in groups], np.int64)
        first = offsets(sizes[place])
        rings, pieces, piece_box = self._laid_out(place, sizes, first)
        kinds = np.repeat(np.array([g.kind for g in groups], np.uint8), [len(g.source) for g in groups])
        flat = Flat(
            xy=self._xy,
            rings=rings,
            pieces=pieces,
            piece_box=piece_box,
            kind=self._ordered(kinds, place),
            source=self._ordered(source, place),
            first=first,
            detail=self._ordered(_joined([g.detail for g in groups], np.int32), place),
            box=self._ordered(box, place),
            pens=_joined(self._pens, np.float64, 4),
            runs=_joined(self._runs, np.int64, 3),
            run_first=offsets(np.array([len(r) for r in self._runs], np.int64)),
            extent=extent,
        )
        rank = _rank(flat.source, order, self._count)
        return Prepared(self._grid, self._count, flat, keys, rank, tuple(sorted(self._skipped)))

    def _laid_out(
        self, place: NDArray[np.int64], sizes: NDArray[np.int64], first: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rings, first pieces and boxes of pieces, as of `Flat`; vertices are laid out anew where it pays.

        `place` is the order of parts, `sizes` are their numbers of rings as they came, `first` as of `Flat`.
        """
        starts = offsets(_joined([np.diff(g.rings) for g in self._parts], np.int64))
        rings = np.empty((int(first[-1]), 2), np.int64)
        came = offsets(sizes)

        def arrange(some: slice) -> None:
            edges.arrange(place[some], came, starts, first[some.start : some.stop + 1], rings)

        self._in_parts(arrange, first)
        into = offsets(rings[:, 1] - rings[:, 0])
        if self._xy.nbytes <= TIDY:
            scattered, self._xy = self._xy, np.empty_like(self._xy)
            self._in_parts(lambda some: edges.gather(scattered, rings[some], into[some], self._xy), into)
        pieces = edges.piece_offsets(rings)
        piece_box = np.empty((int(pieces[-1]), 4), np.int64)

        def measure(some: slice) -> None:
            edges.piece_boxes(self._xy, rings[some], pieces[some.start : some.stop + 1], piece_box)

        self._in_parts(measure, into)
        return rings, pieces, piece_box

    def _ordered(self, rows: NDArray[T], place: NDArray[np.int64]) -> NDArray[T]:
        """Rows in the order of `place`."""
        out = np.empty_like(rows)

        def take(some: slice) -> None:
            # places are right; only with a mode other than "raise" are rows written where they belong at once
            np.take(rows, place[some], axis=0, out=out[some], mode="clip")

        self._in_parts(take, np.arange(len(place) + 1))
        return out

    def _in_parts(self, work: Callable[[slice], None], ends: NDArray[np.int64]) -> None:
        """Do work on all of some groups, in slices of about equal weight, from several threads; `ends` as `offsets`."""
        shares = 4 * self._workers if self._workers > 1 else 1
        cuts = np.searchsorted(ends, np.linspace(0, ends[-1], shares + 1)).tolist()
        cuts[0], cuts[-1] = 0, len(ends) - 1  # also groups of no weight
        parallel.run(work, [slice(a, b) for a, b in pairwise(cuts) if b > a], workers=self._workers)


def _slices(sizes: NDArray[np.integer]) -> Iterator[slice]:
    """Shapes of given numbers of vertices cut into slices of at most `SLICE`, or of a single shape."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + SLICE, side="right")))
        yield slice(start, stop)
        start = stop


def as_array(geometries: Geometries) -> NDArray[np.object_]:
    """One-dimensional object array of geometries."""
    if isinstance(geometries, np.ndarray) and geometries.ndim == 1:
        return geometries
    array = np.empty(len(geometries), object)
    array[:] = list(geometries)
    return array


def runs_of(bits: NDArray[np.bool_], corner: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Runs (row, column start, column stop) of set bits whose first is the pixel `corner`, cut to a grid's shape."""
    padded = np.zeros((bits.shape[0], bits.shape[1] + 2), np.int8)
    padded[:, 1:-1] = bits
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    runs = np.stack([row + corner[0], start + corner[1], stop + corner[1]], axis=1)
    runs[:, 1:] = np.clip(runs[:, 1:], 0, shape[1])
    return runs[(runs[:, 0] >= 0) & (runs[:, 0] < shape[0]) & (runs[:, 2] > runs[:, 1])].astype(np.int64)


def _joined(arrays: Sequence[NDArray[np.generic]], dtype: type[T], width: int = 0) -> NDArray[T]:
    """Arrays end to end, also when there are none."""
    none = np.empty((0, width) if width else 0, dtype)
    return np.concatenate([none, *arrays], dtype=dtype, casting="same_kind")


def _rank(source: NDArray[np.int32], order: ArrayLike | None, count: int) -> NDArray[np.int32]:
    """Place of each part's shape in the burn order."""
    if order is None:
        return source
    keys = np.asarray(order)
    if keys.shape != (count,):
        raise InputError(f"order has shape {keys.shape}; {count} shapes need ({count},)")
    place = np.empty(count, np.int32)
    place[np.argsort(keys, kind="stable")] = np.arange(count, dtype=np.int32)
    return place[source]

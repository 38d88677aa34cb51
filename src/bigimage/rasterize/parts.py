"""Parts of one kind on their way from shapely to the flat arrays: taken out, moved to index coordinates, cut."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.rasterize import edges
from bigimage.rasterize.flat import LINE, POINT, POLYGON, STROKE

FINITE = 1e150
"""Coordinates beyond this are taken for it, so that no difference of two overflows."""


def offsets(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Running starts of groups of the given sizes, with the total at the end."""
    out = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parts of one kind; fields as in `Flat`, counted from 0."""

    kind: int
    xy: NDArray[np.float64]
    rings: NDArray[np.int64]
    first: NDArray[np.int64]
    source: NDArray[np.int64]
    detail: NDArray[np.int64]
    """Row of the shape's pen in the batch, or of the mask; -1 for neither."""
    box: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        kind: int,
        array: NDArray[np.object_],
        source: NDArray[np.int64],
        sizes: NDArray[np.integer],
        *,
        inked: bool,
    ) -> "Parts":
        """Parts of single geometries of one kind, polygons all with or all without holes; coordinates as they are.

        `sizes` (n,) are their numbers of vertices.
        """
        rings, first = array, np.arange(len(array) + 1)
        if kind == POLYGON and shapely.get_num_interior_rings(array[0]):
            rings, owner = shapely.get_rings(array, return_index=True)
            sizes = shapely.get_num_coordinates(rings)
            first = offsets(np.bincount(owner, minlength=len(array)))
        return cls(
            kind=kind,
            xy=shapely.get_coordinates(rings),
            rings=offsets(sizes),
            first=first,
            source=source,
            detail=source if inked else np.full(len(array), -1),
            box=np.empty((0, 4), np.int64),
        )

    def not_finite(self) -> NDArray[np.bool_]:
        """Parts with a coordinate that is NaN or infinite."""
        vertices = ~np.isfinite(self.xy).all(axis=1)
        per_part = self.rings[self.first]
        return np.diff(np.concatenate([[0], np.cumsum(vertices)])[per_part]) > 0

    def select(self, keep: NDArray[np.bool_]) -> "Parts":
        """Some of the parts."""
        ring_keep = np.repeat(keep, np.diff(self.first))
        sizes = np.diff(self.rings)
        box = self.box[keep] if len(self.box) else self.box
        return replace(
            self,
            xy=self.xy[np.repeat(ring_keep, sizes)],
            rings=offsets(sizes[ring_keep]),
            first=offsets(np.diff(self.first)[keep]),
            source=self.source[keep],
            detail=self.detail[keep],
            box=box,
        )

    def within_reach(self) -> "Parts":
        """The same parts, cut to where 64-bit arithmetic is safe; index coordinates."""
        if not len(self.xy) or max(-self.xy.min(), self.xy.max()) <= edges.REACH:
            return self
        xy = np.clip(self.xy, -FINITE, FINITE)
        if self.kind == POLYGON:
            rings = [edges.clip_ring(xy[a:b]) for a, b in zip(self.rings, self.rings[1:], strict=False)]
            return replace(self, xy=np.concatenate(rings), rings=offsets(np.array([len(r) for r in rings])))
        if self.kind in (LINE, STROKE):
            return self._in_segments(xy)
        return self.select(np.abs(xy).max(axis=1) <= edges.REACH)

    def _in_segments(self, xy: NDArray[np.float64]) -> "Parts":
        """Lines as one part for each edge, cut to where 64-bit arithmetic is safe; what is left of single points."""
        ends = np.stack([xy[:-1], xy[1:]], axis=1)
        part = np.repeat(np.arange(len(self.source)), np.diff(self.rings))
        ends, part = ends[part[:-1] == part[1:]], part[:-1][part[:-1] == part[1:]]
        single = self.rings[:-1][np.diff(self.rings) == 1]
        ends = np.concatenate([ends, np.stack([xy[single], xy[single]], axis=1)])
        part = np.concatenate([part, np.flatnonzero(np.diff(self.rings) == 1)])
        ends, inside = _cut_segments(ends)
        ends, part = ends[inside], part[inside]
        count = len(part)
        return replace(
            self,
            xy=ends.reshape(-1, 2),
            rings=2 * np.arange(count + 1),
            first=np.arange(count + 1),
            source=self.source[part],
            detail=self.detail[part],
        )


def _cut_segments(ends: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Segments (n, 2, 2) cut to within `REACH` of index 0, and which of them come near at all."""
    near = np.ones(len(ends), np.bool_)
    for axis in range(2):
        for limit in (-edges.REACH, edges.REACH):
            beyond = ends[..., axis] / limit > 1
            near &= ~beyond.all(axis=1)
            for end in range(2):
                cut = beyond[:, end] & ~beyond[:, 1 - end]
                here, there = ends[cut, end], ends[cut, 1 - end]
                part = (limit - here[:, axis]) / (there[:, axis] - here[:, axis])
                # the cut coordinate is set, not computed: from far away nothing would be left of it
                ends[cut, end, 1 - axis] = here[:, 1 - axis] * (1 - part) + there[:, 1 - axis] * part
                ends[cut, end, axis] = limit
    return ends, near


def by_kind(
    array: NDArray[np.object_],
    source: NDArray[np.int64],
    inked: NDArray[np.bool_],
    sizes: NDArray[np.integer],
) -> Iterator[Parts]:
    """Geometries of any types taken apart into parts of one kind each.

    `inked` shapes have a pen; `sizes` are numbers of vertices, 0 for None and for what is empty.
    """
    kinds = shapely.get_type_id(array)
    while (kinds >= 4).any():  # multipart; collections may hold more of them
        parts, owner = shapely.get_parts(array[kinds >= 4], return_index=True)
        array = np.concatenate([array[kinds < 4], parts])
        source = np.concatenate([source[kinds < 4], source[kinds >= 4][owner]])
        inked = np.concatenate([inked[kinds < 4], inked[kinds >= 4][owner]])
        sizes = np.concatenate([sizes[kinds < 4], shapely.get_num_coordinates(parts)])
        kinds = shapely.get_type_id(array)
    solid = sizes > 0
    filled = solid & (kinds == 3)
    holed = filled & (shapely.get_num_interior_rings(array) > 0)
    for kind, chosen in (
        (POLYGON, filled & ~holed),
        (POLYGON, holed),
        (LINE, solid & ((kinds == 1) | (kinds == 2)) & ~inked),
        (POINT, solid & (kinds == 0) & ~inked),
        (STROKE, solid & (kinds < 3) & inked),
    ):
        if chosen.any():
            yield Parts.of(kind, array[chosen], source[chosen], sizes[chosen], inked=kind == STROKE)

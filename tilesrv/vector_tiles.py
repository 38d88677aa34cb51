"""Annotations as the layers of one vector tile; see docs/http.md for the layers, their fields and their budgets.

Nothing is left out silently. Annotations of a few pixels are drawn only where there are not many of them; elsewhere
they become counts by label and place. Each belongs to one tile of a zoom, so counts of tiles add up.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.where import Where
from bigimage.rasterize.trace import trace
from bigimage.store.door import AnnotationStore, Columns, Count
from bigimage.store.rows import SHAPE_CODES, SHAPE_NAMES
from tilesrv import mvt
from tilesrv.mvt_place import Placement, index_box, padded

SHAPES: Final = "annotations"
COUNTS: Final = "counts"
SMALL: Final = 2.0
"""Pixels along its longer side below which an annotation is small."""
DRAWN: Final = 1000
"""Small annotations of a tile that are still drawn one by one."""
GLANCE: Final = 5000
"""Annotations near a tile up to which they are read to see how many are small; where there are more, they are counted
in the index first."""
MOST_SHAPES: Final = 40_000
"""Annotations drawn in one tile; where there are more, larger and larger ones count as small."""
CLUSTER: Final = 256
"""Units of the squares that counts are gathered in: 16 pixels of a 256-pixel tile."""
MOST_COUNTS: Final = 8192
"""Counts in one tile; where there are more, squares grow."""
ATTRIBUTED: Final = 1000
"""Annotations in one tile up to which their own attributes are told."""
MOST_ATTRIBUTES: Final = 16
LONGEST_TEXT: Final = 100
TRACED: Final = 1 << 20
"""Pixels of one mask that are traced in one tile."""
TRACED_ALL: Final = 1 << 22
"""Pixels of all masks of one tile that are traced."""
TOO_COARSE: Final = 8.0
"""Pixels beyond which the store's smallest squares are too coarse to stand for small annotations."""
_MASK: Final = SHAPE_CODES["mask"]
_NAMES: Final = tuple(SHAPE_NAMES.get(code, "") for code in range(max(SHAPE_NAMES) + 1))


@dataclass(frozen=True, slots=True)
class VectorTile:
    """A finished tile."""

    body: bytes
    masks: tuple[UUID, ...]
    """Masks in it, whose strokes change it."""
    margin: float
    """World units beyond the tile's boxes from which its counts may come."""


@dataclass(frozen=True, slots=True)
class _Picked:
    """What a tile draws, and what it counts."""

    columns: Sequence[Columns]
    counts: Sequence[Count]
    margin: float


def vector_tile(store: AnnotationStore, image: str, placement: Placement) -> VectorTile:
    """A tile of an image's annotations. Blocking. Raises BackendError."""
    picked = _pick(store, image, placement)
    columns = _joined(picked.columns)
    shapes, masks = _shapes_layer(store, columns, placement)
    counts = _counts_layer(picked.counts, placement)
    return VectorTile(shapes + counts, masks, picked.margin)


# ---- what is drawn, and what is counted


def smallest(placement: Placement) -> float | None:
    """World units below which annotations of a tile are small; None where all are drawn, as nobody can zoom in."""
    if placement.is_finest:
        return None
    size, least = SMALL * placement.pixel, _least(placement)
    if size >= least:
        return size
    return least if least <= TOO_COARSE * placement.pixel else None


def _least(placement: Placement) -> float:
    """Smallest squares, in world units, that the store can count in: its positions have 26 bits."""
    low, high = placement.grid.world_bounds().values[:2], placement.grid.world_bounds().values[2:]
    # tiles may stick out of the image by as much as it is large
    reach = max(max(abs(a - (b - a)), abs(b + (b - a))) for a, b in zip(low, high, strict=True))
    return 2.0 ** (math.floor(math.log2(max(reach, 1e-300))) + 1 - 26)


def _pick(store: AnnotationStore, image: str, placement: Placement) -> _Picked:
    """What to draw and what to count, so that a tile stays bounded."""
    size = smallest(placement)
    if size is None:
        columns = _columns(store, image, placement, Where(), 0.0)
        if sum(len(c.keys) for c in columns) <= MOST_SHAPES:
            return _Picked(columns, (), 0.0)
        size = max(SMALL * placement.pixel, _least(placement))
    side = 2.0 ** math.ceil(math.log2(size))
    columns = _columns(store, image, placement, Where(), side, most=min(GLANCE, MOST_SHAPES))
    if sum(len(c.keys) for c in columns) <= min(GLANCE, MOST_SHAPES):
        picked, small = _at_home(columns, placement, size, side)
        if small <= DRAWN:
            return picked
    counts = _counts(store, image, placement, size)
    while True:
        columns = _columns(store, image, placement, Where(min_size=size), 0.0)
        if sum(len(c.keys) for c in columns) <= MOST_SHAPES:
            return _Picked(columns, counts, 2.0 ** math.ceil(math.log2(size)))
        size *= 4
        counts = _counts(store, image, placement, size)


def _columns(
    store: AnnotationStore, image: str, placement: Placement, where: Where, margin: float, *, most: int | None = None
) -> list[Columns]:
    """Columns of every box of a tile, at most one more than may be drawn."""
    limit = 1 + (MOST_SHAPES if most is None else most)
    return [store.columns(image, padded(box, margin), where=where, limit=limit) for box in placement.boxes]


def _counts(store: AnnotationStore, image: str, placement: Placement, size: float) -> list[Count]:
    """Counts of the small annotations that belong to a tile; they lie at most a square's side beyond its boxes."""
    side = 2.0 ** math.ceil(math.log2(size))
    found: dict[tuple[tuple[float, ...], str], Count] = {}
    for box in placement.boxes:
        try:
            counted = store.counts(image, padded(box, side), size=size)
        except InputError:
            # a tile that is mostly beside its image: its box in the image's frame may be far larger than the tile
            counted = store.counts(image, padded(placement.grid.world_bounds(), side), size=size)
        found.update({(c.minimum, c.label): c for c in counted})
    if not found:
        return []
    counts = list(found.values())
    at_home, _ = placement.home(_middles(counts))
    return [c for c, here in zip(counts, at_home.tolist(), strict=True) if here]


def _middles(counts: Sequence[Count]) -> NDArray[np.float64]:
    """Middles of squares, (n, 2)."""
    return np.array([c.minimum for c in counts]) + np.array([[c.size / 2] for c in counts])


def _at_home(parts: Sequence[Columns], placement: Placement, size: float, side: float) -> tuple[_Picked, int]:
    """Everything but the small annotations that belong to another tile, by the squares that they are counted in.

    And how many small ones belong to this tile.
    """
    columns = _joined(parts)
    paths = mvt.flatten(columns.outlines)
    box = mvt.extents(paths)
    rows = np.flatnonzero((box[:, 2] - box[:, 0] < size) & (box[:, 3] - box[:, 1] < size) & (box[:, 0] <= box[:, 2]))
    centre = box[rows, :2] / 2 + box[rows, 2:] / 2
    at_home, _ = placement.home((np.floor(centre / side) + 0.5) * side)
    kept = np.ones(len(box), np.bool_)
    kept[rows] = at_home
    return _Picked([_taken(columns, np.flatnonzero(kept))], (), side), int(np.count_nonzero(at_home))


def _taken(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    """Some rows of columns."""
    listed = rows.tolist()
    return replace(
        columns,
        keys=columns.keys[rows],
        versions=columns.versions[rows],
        labels=columns.labels[rows],
        shapes=columns.shapes[rows],
        outlines=[columns.outlines[k] for k in listed],
        scores=columns.scores[rows],
        rest=[columns.rest[k] for k in listed],
        places=columns.places[rows],
        times=columns.times[rows],
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    """Columns as one, each annotation once, in the order in which they were first stored."""
    first = parts[0]
    if len(parts) > 1:
        names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        place = {name: k for k, name in enumerate(names)}
        labels = [np.array([place[n] for n in part.names], np.int32)[part.labels] for part in parts if part.names]
        first = Columns(
            keys=np.concatenate([part.keys for part in parts]),
            versions=np.concatenate([part.versions for part in parts]),
            labels=np.concatenate(labels) if labels else first.labels,
            names=names,
            shapes=np.concatenate([part.shapes for part in parts]),
            outlines=[one for part in parts for one in part.outlines],
            scores=np.concatenate([part.scores for part in parts]),
            rest=[one for part in parts for one in part.rest],
            places=np.concatenate([part.places for part in parts]),
            times=np.concatenate([part.times for part in parts]),
        )
    _, rows = np.unique(first.places, return_index=True)
    return _taken(first, rows)


# ---- layers


def _shapes_layer(store: AnnotationStore, columns: Columns, placement: Placement) -> tuple[bytes, tuple[UUID, ...]]:
    """The layer of shapes, and the ids of the masks in it."""
    if not len(columns.keys):
        return b"", ()
    outlines, boxed, masks = _outlines(store, columns, placement)
    drawn = mvt.draw(placement.place(mvt.flatten(outlines)))
    rows = drawn.rows
    packed = columns.keys[rows]
    told = [
        mvt.uuids("id", packed),
        mvt.constants("label", columns.names, columns.labels[rows]),
        mvt.constants("shape", _NAMES, columns.shapes[rows]),
        mvt.whole_numbers("version", columns.versions[rows]),
    ]
    if (columns.times[rows] >= 0).any():
        told.append(mvt.whole_numbers("t", columns.times[rows], absent=-1))
    if not np.isnan(columns.scores[rows]).all():
        told.append(mvt.doubles("score", columns.scores[rows]))
    told += mvt.sparse(_attributes(columns, rows.tolist(), boxed))
    return mvt.layer(SHAPES, drawn, mvt.feature_ids(packed), told), masks


def _attributes(columns: Columns, rows: Sequence[int], boxed: frozenset[int]) -> list[dict[str, mvt.Value]]:
    """Own attributes of drawn annotations, as far as the tile can afford them; `more` where something is left out."""
    if not boxed and not any(columns.rest):
        return []
    few = len(rows) <= ATTRIBUTED
    out: list[dict[str, mvt.Value]] = []
    for k in rows:
        told: dict[str, mvt.Value] = {"outline": "box"} if k in boxed else {}
        rest = columns.rest[k]
        if rest is not None and few:
            told |= told_attributes(json.loads(rest))
        elif rest is not None and ('"attributes"' in rest or '"instance"' in rest or '"relations"' in rest):
            told["more"] = True
        out.append(told)
    return out


def told_attributes(rest: Mapping[str, Any]) -> dict[str, mvt.Value]:
    """What a tile tells of an annotation's attributes, its instance and its relations.

    Attributes are prefixed with `a.`; they are plain texts of up to `LONGEST_TEXT` characters, numbers and truth
    values, `MOST_ATTRIBUTES` at most. `more` says that something was left out.
    """
    told: dict[str, mvt.Value] = {}
    plain = {
        name: value
        for name, value in rest.get("attributes", {}).items()
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= LONGEST_TEXT)
    }
    told |= {f"a.{name}": plain[name] for name in sorted(plain)[:MOST_ATTRIBUTES]}
    if "instance" in rest:
        told["instance"] = rest["instance"]
    if len(plain) < len(rest.get("attributes", {})) or len(plain) > MOST_ATTRIBUTES or "relations" in rest:
        told["more"] = True
    return told


def _outlines(
    store: AnnotationStore, columns: Columns, placement: Placement
) -> tuple[Sequence[bytes | None], frozenset[int], tuple[UUID, ...]]:
    """Outlines with masks traced as far as their size allows; rows of masks that are told by their box; masks' ids."""
    rows = np.flatnonzero(columns.shapes == _MASK).tolist()
    if not rows:
        return columns.outlines, frozenset(), ()
    outlines = list(columns.outlines)
    boxed: set[int] = set()
    left = TRACED_ALL
    seen = index_box(placement)
    for k in rows:
        start, stop = json.loads(columns.rest[k] or "{}").get("box") or ((0, 0), (0, 0))
        whole = IndexBox(tuple(start), tuple(stop))
        part = whole.intersect(seen)
        if part.size > min(TRACED, left) or not _lies_at(columns.outlines[k], placement.grid, whole):
            boxed.add(k)
            continue
        left -= part.size
        outlines[k] = _traced(store, columns.ids[k], part, placement) if part.size else None
    return outlines, frozenset(boxed), tuple(columns.ids[k] for k in rows)


def _lies_at(outline: bytes | None, grid: Grid, box: IndexBox) -> bool:
    """Whether a mask's outline is that box of the image's grid: it may have been painted on another one."""
    if outline is None or not grid.box.contains(box) or not box.size:
        return False
    slack = 1e-3 * min(grid.spacing)
    return bool(np.allclose(shapely.from_wkb(outline).bounds, grid.crop(box).world_bounds().values, rtol=0, atol=slack))


def _traced(store: AnnotationStore, one: UUID, part: IndexBox, placement: Placement) -> bytes | None:
    """Outline of the bits of a mask in a part of its grid; None where none is set."""
    bits = store.read_mask(one, part)
    found = trace(bits.astype(np.uint8), placement.grid.crop(part), merge=True)
    return found.shapes[0].wkb if len(found.shapes) else None


def _counts_layer(counts: Sequence[Count], placement: Placement) -> bytes:
    """The layer of counts: points in the middle of what they stand for."""
    if not counts:
        return b""
    _, places = placement.home(_middles(counts))
    numbers = np.array([c.count for c in counts], np.int64)
    names, labels = np.unique([c.label for c in counts], return_inverse=True)
    cluster = CLUSTER
    while True:
        square = np.clip(np.floor(places / cluster), 0, None).astype(np.int64)
        key = (labels * (1 << 20) + square[:, 1]) * (1 << 20) + square[:, 0]
        groups, group = np.unique(key, return_inverse=True)
        if len(groups) <= MOST_COUNTS or cluster >= mvt.EXTENT:
            break
        cluster *= 2
    total = np.bincount(group, numbers)
    middle = np.stack([np.bincount(group, numbers * places[:, axis]) / total for axis in (0, 1)], axis=-1)
    xy = np.clip(np.round(middle), 0, mvt.EXTENT - 1).astype(np.int64)
    told = [
        mvt.constants("label", names.tolist(), (groups >> 40).astype(np.int64)),
        mvt.whole_numbers("count", total.astype(np.int64)),
    ]
    return mvt.layer(COUNTS, mvt.points(xy), np.arange(1, len(groups) + 1), told)

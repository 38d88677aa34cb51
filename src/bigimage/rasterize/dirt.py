"""What changed since a layer was painted: the log → boxes of pixels to paint again. Reads the store, writes nothing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.change import changed_id
from bigimage.model.mask import union_box
from bigimage.model.where import Where
from bigimage.rasterize.layer import Painted, region_box
from bigimage.rasterize.modes import OBJECT_MODES
from bigimage.rasterize.plan import MARGIN, painted_box
from bigimage.store.door import AnnotationStore

MOST_CHANGES = 20_000
"""Changes behind a revision from which all is painted again: reading the log would take longer."""


@dataclass(frozen=True, slots=True)
class Dirt:
    """What is to be painted again."""

    boxes: tuple[IndexBox, ...]
    """Boxes of level-0 pixels, in order."""
    changed: frozenset[UUID] = frozenset()
    """Annotations that changed."""


def changed_since(store: AnnotationStore, grid: Grid, shown: Painted, *, until: int) -> Dirt | None:
    """What the log's changes behind the shown revision can have altered; None for all of it."""
    if shown.revision is None:
        return None
    boxes: set[IndexBox] = set()
    changed: list[UUID] = []
    for logged in store.changes(shown.image, since=shown.revision, until=until, limit=MOST_CHANGES + 1):
        changed.append(changed_id(logged.change))
        if len(changed) > MOST_CHANGES:
            return None
        if logged.extent is not None:
            boxes.add(painted_box(grid, *logged.extent, shown.palette.reach))
    if changed and (shown.mode in OBJECT_MODES or shown.fill_between):
        boxes.update(_objects(store, grid, shown))
    return Dirt(in_order(box for box in boxes if box.size), frozenset(changed))


def stale(store: AnnotationStore, grid: Grid, shown: Painted, asked: Painted, *, until: int) -> Dirt | None:
    """What of a layer differs from what is asked for: at a revision, with the asked rule, palette and reviewed regions.

    None for all of it. What a paint had begun belongs to it.
    """
    meanings = asked.palette.by_name
    if (
        shown.pending is None
        or shown.revision is None
        or (shown.rule, shown.fill_between) != (asked.rule, asked.fill_between)
        or asked.palette.repaints(shown.palette, shown.mode)
        or any(name in meanings for name in shown.unknown)
    ):
        return None
    dirt = changed_since(store, grid, shown, until=until)
    if dirt is None:
        return None
    boxes = {*shown.pending, *dirt.boxes}
    if asked.palette.background is not None:
        boxes |= set(review_boxes(grid, shown.reviewed, asked.reviewed))
    return replace(dirt, boxes=in_order(boxes))


def in_order(boxes: Iterable[IndexBox]) -> tuple[IndexBox, ...]:
    """Boxes, each once, in the order in which layers record them."""
    return tuple(sorted(set(boxes), key=lambda box: (box.start, box.stop)))


def _objects(store: AnnotationStore, grid: Grid, shown: Painted) -> Iterator[IndexBox]:
    """Boxes of objects that lost or won a part, so that their id may be another one now.

    Where slices are filled between drawn ones, of all objects any part of which changed, from end to end.
    """
    touched: dict[str, list[IndexBox]] = {}
    for difference in store.differences(shown.image, since=shown.revision or 0):
        states = (difference.before, difference.after)
        before, after = (None if a is None else a.instance for a in states)
        if before != after or shown.fill_between:
            for annotation in states:
                if annotation is not None and annotation.instance is not None:
                    touched.setdefault(annotation.instance, []).extend(_box(annotation, grid, shown))
    for instance, boxes in sorted(touched.items()):
        for annotation in store.query(shown.image, where=Where(instance=instance)):
            boxes.extend(_box(annotation, grid, shown))
        whole = union_box(boxes)
        yield from boxes if not shown.fill_between or whole is None else [whole]


def _box(annotation: Annotation, grid: Grid, shown: Painted) -> Iterator[IndexBox]:
    """Pixels that an annotation may touch; none of a tag."""
    if (bounds := annotation.bounds) is not None:
        yield painted_box(grid, bounds.minimum, bounds.maximum, shown.palette.reach)


def review_boxes(grid: Grid, before: Sequence[str], now: Sequence[str]) -> list[IndexBox]:
    """Boxes of regions that were reviewed, or opened again, since a layer was painted."""
    boxes: list[IndexBox] = []
    for text in sorted(set(before) ^ set(now)):
        if (box := region_box(text)) is not None:
            boxes.append(box.pad(MARGIN).intersect(grid.box))
        else:
            bounds = shapely.bounds(shapely.from_wkb(text)).tolist()
            boxes.append(painted_box(grid, bounds[:2], bounds[2:]))
    return boxes

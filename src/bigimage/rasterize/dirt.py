"""What changed since a layer was painted: the log → boxes of pixels to paint again. Reads the store, writes nothing."""

from collections.abc import Iterator, Sequence

import shapely

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.where import Where
from bigimage.rasterize.layer import Painted
from bigimage.rasterize.plan import painted_box
from bigimage.store.door import AnnotationStore

MOST_CHANGES = 20_000
"""Changes behind a revision from which all is painted again: reading the log would take longer."""
OBJECT_MODES = ("instance", "panoptic")


def changed_boxes(store: AnnotationStore, grid: Grid, shown: Painted, *, until: int) -> list[IndexBox] | None:
    """Boxes of pixels that the log's changes behind the shown revision can have altered; None for all of them."""
    if shown.revision is None:
        return None
    boxes: set[IndexBox] = set()
    count = 0
    for logged in store.changes(shown.image, since=shown.revision, until=until, limit=MOST_CHANGES + 1):
        count += 1
        if count > MOST_CHANGES:
            return None
        if logged.extent is not None:
            boxes.add(painted_box(grid, *logged.extent))
    if count and shown.mode in OBJECT_MODES:
        boxes.update(_objects(store, grid, shown.image, shown.revision))
    return [box for box in boxes if box.size]


def _objects(store: AnnotationStore, grid: Grid, image: str, since: int) -> Iterator[IndexBox]:
    """Boxes of annotations whose object lost or won a part: its id may be another one now."""
    touched: set[str] = set()
    for difference in store.differences(image, since=since):
        before, after = _instance(difference.before), _instance(difference.after)
        if before != after:
            touched.update(i for i in (before, after) if i is not None)
    for instance in sorted(touched):
        for annotation in store.query(image, where=Where(instance=instance)):
            if (bounds := annotation.bounds) is not None:
                yield painted_box(grid, bounds.minimum, bounds.maximum)


def _instance(annotation: Annotation | None) -> str | None:
    """Object that an annotation shows."""
    return None if annotation is None else annotation.instance


def review_boxes(grid: Grid, before: Sequence[str], now: Sequence[str]) -> list[IndexBox]:
    """Boxes of regions that were reviewed, or opened again, since a layer was painted."""
    return [
        painted_box(grid, bounds[:2], bounds[2:])
        for text in sorted(set(before) ^ set(now))
        for bounds in [tuple(map(float, shapely.bounds(shapely.from_wkb(text))))]
    ]

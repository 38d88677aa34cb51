"""Objects of an instance layer as segments: each with the label, the origin and the id of what was annotated."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bigimage.errors import Conflict
from bigimage.formats.door import Segment
from bigimage.formats.mask.streams import spread_color
from bigimage.model.annotation import Annotation
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.where import Where
from bigimage.rasterize.easel import Objects, StoreLink
from bigimage.store.door import AnnotationStore

MOST_OBJECTS = 65535
"""Objects that the table of a file names; more belong into a vector format."""
_ASKED = 500
"""Annotations asked for at a time."""


def object_segments(
    store: AnnotationStore, info: ImageInfo, schema: Schema, ids: Iterable[int], *, layer: str
) -> tuple[Segment, ...]:
    """Segments of objects, by the ids that an instance layer holds, ascending.

    Objects of one label get colours of their own where there are several. Raises Conflict for objects that were removed
    since the layer was painted.
    """
    wanted = sorted(ids)
    shown = _annotations(store, info, frozenset(wanted)) if wanted else {}
    if gone := [value for value in wanted if value not in shown]:
        listed = ", ".join(map(str, gone[:10])) + (" and more" if len(gone) > 10 else "")
        message = f"layer {layer!r} shows objects that were removed since it was painted: {listed}; paint it again"
        raise Conflict(message)
    several = _several(a.label for a in shown.values())
    segments: list[Segment] = []
    for value in wanted:
        annotation = shown[value]
        label = schema.find(annotation.label) or Label(name=annotation.label, value=value)
        if annotation.label in several:
            label = replace(label, color=spread_color(value))
        instance = annotation.instance or str(annotation.id)
        segments.append(Segment(value=value, label=label, instance=instance, origin=annotation.origin))
    return tuple(segments)


def _several(labels: Iterable[str]) -> set[str]:
    """Labels that come more than once."""
    seen: set[str] = set()
    twice: set[str] = set()
    for label in labels:
        (twice if label in seen else seen).add(label)
    return twice


def _annotations(store: AnnotationStore, info: ImageInfo, wanted: frozenset[int]) -> Mapping[int, Annotation]:
    """The first annotation of each object that there still is."""
    columns = store.columns(info.id, info.grid.world_bounds())
    objects = Objects(StoreLink("", store), info.id)(columns).tolist()
    uuids = columns.ids
    order = sorted(range(len(objects)), key=lambda k: int(columns.places[k]))
    first: dict[int, int] = {}
    for k in order:
        if objects[k] in wanted:
            first.setdefault(objects[k], k)
    values = {uuids[k]: value for value, k in first.items()}
    asked = list(values)
    found: dict[int, Annotation] = {}
    for start in range(0, len(asked), _ASKED):
        part = frozenset(asked[start : start + _ASKED])
        found |= {values[a.id]: a for a in store.query(info.id, where=Where(ids=part))}
    return found

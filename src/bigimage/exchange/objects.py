"""Objects of an instance layer as segments: each with the label, the origin and the id of what was annotated."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from uuid import UUID

from bigimage.formats.door import Segment
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label, Schema, distinct_color
from bigimage.model.where import Where
from bigimage.rasterize.instances import Instance, Instances
from bigimage.store.door import AnnotationStore

MOST_OBJECTS = 65535
"""Objects that the table of a file names; more belong into a vector format."""
_ASKED = 500
"""Annotations asked for at a time."""


def object_segments(
    store: AnnotationStore, image: str, schema: Schema, shown: Instances, ids: Iterable[int]
) -> tuple[Segment, ...]:
    """Segments of objects, by the ids that a layer holds, ascending; as their annotations were when it was painted.

    An object of several annotations has the label of the one that was stored first. Objects of one label get colours of
    their own where there are several.
    """
    first: dict[int, Instance] = {}
    for row in shown.of(ids):
        first.setdefault(row.id, row)
    labels = Counter(row.label for row in first.values())
    annotations = dict(_annotations(store, image, first))
    segments: list[Segment] = []
    for value, row in sorted(first.items()):
        label = schema.find(row.label) or Label(name=row.label, value=value)
        if labels[row.label] > 1:
            label = replace(label, color=distinct_color(value))
        annotation = annotations[value]
        instance = annotation.instance or str(annotation.id)
        segments.append(Segment(value=value, label=label, instance=instance, origin=annotation.origin))
    return tuple(segments)


def _annotations(store: AnnotationStore, image: str, rows: Mapping[int, Instance]) -> Iterator[tuple[int, Annotation]]:
    """Annotations as they are shown: most as they are still, others as they were."""
    values = list(rows)
    for start in range(0, len(values), _ASKED):
        part = values[start : start + _ASKED]
        asked = Where(ids=frozenset(rows[value].annotation for value in part))
        found: dict[UUID, Annotation] = {a.id: a for a in store.query(image, where=asked)}
        for value in part:
            row = rows[value]
            now = found.get(row.annotation)
            same = now is not None and now.version == row.version
            yield value, now if same and now else store.get(row.annotation, version=row.version)

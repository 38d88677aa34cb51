"""Labels and attributes that a file has and the schema has not, added to it where the user asks for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from bigimage.model.annotation import Annotation
from bigimage.model.labels import Attribute, AttributeType, Label, Schema, distinct_color


def extended(
    schema: Schema,
    earlier: Sequence[Schema],
    annotations: Iterable[Annotation],
    *,
    told: Mapping[str, Label] | None = None,
) -> Schema:
    """A schema to which annotations fit; the same object where they do already.

    New labels are what the file tells of them: value, colour, code, definition. Where it tells nothing, or the value
    was ever used, they take the next values that no version ever used, in the order of their names, and colours that
    are easy to tell apart. Attributes that a label does not declare are declared as what fits all their values; lists
    and objects, which no type takes, are left for validation to tell.

    Parameters
    ----------
    earlier
        All versions there were, whose values are not to be used again.
    told
        Labels by name as the file describes them, of value 0 where it gives none; asked for once all annotations were
        read.
    """
    seen: dict[str, dict[str, AttributeType]] = {}
    for annotation in annotations:
        types = seen.setdefault(annotation.label, {})
        for name, value in annotation.attributes.items():
            kind = _type(value)
            if kind is not None:
                types[name] = _common(types.get(name, kind), kind)
    labels = list(schema.labels)
    for name in [n for n in seen if schema.find(n) is not None]:
        k = labels.index(next(one for one in labels if name in (one.name, *one.formerly)))
        labels[k] = _with_attributes(labels[k], seen[name])
    used = {label.value for one in (*earlier, schema) for label in one.labels}
    # names that cannot be labels are left for validation to tell
    new = sorted(n for n in seen if schema.find(n) is None and n.strip() and len(n) <= 200)
    wanted = {name: label.value for name, label in (told or {}).items() if name in new}
    own = {name: v for name, v in wanted.items() if v > 0 and v not in used and _is_single(v, wanted)}
    free = count(max((*used, *own.values()), default=0) + 1)
    for name in new:
        value = own.get(name) or next(free)
        label = (told or {}).get(name) or Label(name=name, value=value, color=distinct_color(value))
        labels.append(_with_attributes(replace(label, value=value), seen[name]))
    return schema if tuple(labels) == schema.labels else replace(schema, labels=tuple(labels))


def _is_single(value: int, wanted: Mapping[str, int]) -> bool:
    """Whether one label alone wants a value."""
    return sum(other == value for other in wanted.values()) == 1


def _with_attributes(label: Label, found: Mapping[str, AttributeType]) -> Label:
    """A label that declares what it did, and what was found besides."""
    known = {a.name for a in label.attributes}
    new = tuple(Attribute(name=name, type=found[name]) for name in sorted(found) if name not in known)
    return replace(label, attributes=(*label.attributes, *new)) if new else label


def _type(value: Any) -> AttributeType | None:
    """Type that takes a value; None when none does, or when there is no value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "text" if isinstance(value, str) else None


def _common(one: AttributeType, other: AttributeType) -> AttributeType:
    """Type that takes the values of two; where none does it stays the first, and validation tells the rest."""
    return "number" if {one, other} == {"integer", "number"} else one

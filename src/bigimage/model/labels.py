"""The label schema: what may be drawn, with which shapes and attributes, and what its names meant before."""

import colorsys
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from bigimage.errors import InputError, NotFound
from bigimage.model.problem import Problem

AttributeType = Literal["text", "number", "integer", "boolean", "choice", "choices"]
ATTRIBUTE_TYPES: tuple[AttributeType, ...] = ("text", "number", "integer", "boolean", "choice", "choices")
LengthUnit = Literal["world", "pixel"]
LENGTH_UNITS: tuple[LengthUnit, ...] = ("world", "pixel")
MAX_LENGTH = 1e9
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
MAX_VALUE = 2**31 - 1
_GOLDEN = (5**0.5 - 1) / 2
"""Part of a circle that, taken again and again, never comes close to a place where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A typed statement that a label's annotations may or must make, such as visibility or `difficult`."""

    name: str
    type: AttributeType
    values: tuple[str, ...] = ()
    """What `choice` picks one of and `choices` any number of; empty for the other types."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A concept of a coding scheme, such as SNOMED CT's."""

    scheme: str
    """Coding scheme designator: `SCT`, `DCM`, `FMA`, …"""
    value: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Names and edges of a label's key points."""

    points: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One class of objects."""

    name: str
    value: int
    """What masks hold for it; 0 is unlabelled. It never changes and is never given to another label."""
    order: int = 0
    """Labels of higher order are painted over those of lower."""
    color: str = "#808080"
    parent: str | None = None
    """Name of the broader label."""
    shapes: tuple[str, ...] = ()
    """Kinds of shapes it may be drawn as; all when empty."""
    attributes: tuple[Attribute, ...] = ()
    code: Code | None = None
    definition: str | None = None
    """What counts as this label, for the people who draw."""
    formerly: tuple[str, ...] = ()
    """Older names, and names of labels merged into it; annotations that carry them belong to this label."""
    skeleton: Skeleton | None = None
    width: float | None = None
    """How wide its lines are in masks; None: one pixel."""
    radius: float | None = None
    """How far its points and key points reach in masks; None: one pixel."""
    unit: LengthUnit = "world"
    """Of `width` and `radius`: the unit of the image's coordinates, or pixels of its finest level."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """All labels, at one version. A change is a new version; old annotations keep the names they were given.

    `resolve` says what an old name means now, so renaming and merging rewrite no annotation, and a mask of an older
    version can be painted again as it was.
    """

    labels: tuple[Label, ...] = ()
    background: str | None = None
    """Label painted where a region was reviewed and nothing was drawn."""
    version: int = 0
    """1, 2, … as stored; 0 before it is."""

    @cached_property
    def by_name(self) -> Mapping[str, Label]:
        """Labels by their present names."""
        return {label.name: label for label in self.labels}

    @cached_property
    def _by_any_name(self) -> Mapping[str, Label]:
        """Labels by present and former names; a present name wins."""
        former = {old: label for label in self.labels for old in label.formerly}
        return {**former, **self.by_name}

    def find(self, name: str) -> Label | None:
        """Label of a present or former name; None when there is none."""
        return self._by_any_name.get(name)

    def resolve(self, name: str) -> Label:
        """Label of a present or former name. Raises NotFound."""
        label = self.find(name)
        if label is None:
            raise NotFound(f"label {name!r} is not in the schema; it has {_listed(self.by_name)}")
        return label

    def names(self, name: str, *, below: bool = True) -> frozenset[str]:
        """Every name that stored annotations of a label may carry; with `below` those of narrower labels too.

        Raises NotFound.
        """
        label = self.resolve(name)
        found = {label.name, *label.formerly}
        if below:
            for child in self.labels:
                if child.parent == label.name:
                    found |= self.names(child.name)
        return frozenset(found)

    def ancestors(self, name: str) -> tuple[Label, ...]:
        """Broader labels, the nearest first. Raises NotFound."""
        found: list[Label] = []
        parent = self.resolve(name).parent
        while parent is not None:
            found.append(self.resolve(parent))
            parent = found[-1].parent
        return tuple(found)


def distinct_color(value: int) -> str:
    """Colour for a label that nobody chose one for: near values get hues far apart, and light and dark take turns."""
    hue = value * _GOLDEN % 1.0
    channels = colorsys.hls_to_rgb(hue, (0.45, 0.6, 0.35)[value % 3], 0.75)
    return "#" + "".join(f"{round(255 * c):02x}" for c in channels)


def _listed(names: Iterable[str]) -> str:
    """Up to ten names for a message."""
    known = sorted(names)
    return ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "") or "no labels"


def check_schema(schema: Schema) -> list[Problem]:
    """Everything that is wrong with a schema by itself."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    values: dict[int, str] = {}
    for k, label in enumerate(schema.labels):
        place = f"labels/{k}"
        for where, name in [("name", label.name), *((f"formerly/{j}", n) for j, n in enumerate(label.formerly))]:
            if not name.strip() or len(name) > 200:
                problems.append(Problem("value", f"{place}/{where}", "a name has 1 to 200 characters"))
            elif name in seen:
                problems.append(Problem("duplicate", f"{place}/{where}", f"{name!r} already names {seen[name]!r}"))
            seen.setdefault(name, label.name)
        if not 1 <= label.value <= MAX_VALUE:
            problems.append(Problem("value", f"{place}/value", f"{label.value} is not from 1 to {MAX_VALUE}"))
        elif label.value in values:
            taken = values[label.value]
            problems.append(Problem("duplicate", f"{place}/value", f"{label.value} is already the value of {taken!r}"))
        values.setdefault(label.value, label.name)
        problems.extend(p.below(place) for p in _check_label(label))
    problems.extend(_check_tree(schema))
    if schema.background is not None and schema.background not in schema.by_name:
        problems.append(Problem("label", "background", f"{schema.background!r} is not one of the labels"))
    return problems


def _check_label(label: Label) -> list[Problem]:
    """What is wrong with the colour, attributes and skeleton of one label."""
    problems: list[Problem] = []
    if not COLOR.fullmatch(label.color):
        problems.append(Problem("value", "color", f"{label.color!r} is not a colour such as #1f77b4"))
    for name, length in (("width", label.width), ("radius", label.radius)):
        if length is not None and not 0 < length <= MAX_LENGTH:
            problems.append(Problem("value", name, f"{length} is not a length above 0, up to {MAX_LENGTH:g}"))
    names = [a.name for a in label.attributes]
    for k, attribute in enumerate(label.attributes):
        choice = attribute.type in ("choice", "choices")
        if choice and (not attribute.values or len(set(attribute.values)) < len(attribute.values)):
            problems.append(Problem("missing", f"attributes/{k}/values", "a choice needs values, each once"))
        if not choice and attribute.values:
            problems.append(Problem("value", f"attributes/{k}/values", f"{attribute.type} takes no list of values"))
        if attribute.name in names[:k]:
            problems.append(Problem("duplicate", f"attributes/{k}/name", f"{attribute.name!r} is declared twice"))
    if label.skeleton is not None:
        n = len(label.skeleton.points)
        if any(not 0 <= i < n for edge in label.skeleton.edges for i in edge):
            problems.append(Problem("value", "skeleton/edges", f"an edge names a point beyond the {n} that there are"))
    return problems


def _check_tree(schema: Schema) -> list[Problem]:
    """Parents that do not exist, and circles of parents."""
    problems: list[Problem] = []
    for k, label in enumerate(schema.labels):
        place = f"labels/{k}/parent"
        if label.parent is not None and label.parent not in schema.by_name:
            problems.append(Problem("label", place, f"{label.parent!r} is not one of the labels"))
            continue
        seen = {label.name}
        above = label.parent
        while above is not None and above in schema.by_name and above not in seen:
            seen.add(above)
            above = schema.by_name[above].parent
        if above == label.name:
            problems.append(Problem("circle", place, f"{label.name!r} is a parent of itself"))
    return problems


def check_next(schema: Schema, earlier: Sequence[Schema]) -> list[Problem]:
    """What stops a schema from following earlier versions.

    A value stays with its label: a label may be renamed (keeping the old name in `formerly`) or merged into another,
    but its value never comes to mean something else.
    """
    problems: list[Problem] = []
    meant: dict[int, set[str]] = {}
    values: dict[str, int] = {}
    for before in earlier:
        for label in before.labels:
            meant.setdefault(label.value, set()).update((label.name, *label.formerly))
            values[label.name] = label.value
    for k, label in enumerate(schema.labels):
        place = f"labels/{k}/value"
        if label.name in values and values[label.name] != label.value:
            message = f"{label.name!r} has the value {values[label.name]}, and it stays so"
            problems.append(Problem("value", place, message))
        elif label.value in meant and not meant[label.value] & {label.name, *label.formerly}:
            former = sorted(meant[label.value])[0]
            message = f"{label.value} meant {former!r}; take a new value, or name it in `formerly`"
            problems.append(Problem("value", place, message))
    return problems


def rename(schema: Schema, old: str, new: str) -> Schema:
    """Schema with a label renamed; annotations that carry the old name keep belonging to it.

    Raises NotFound when there is no such label, InputError when the new name is taken.
    """
    label = schema.by_name.get(old)
    if label is None:
        raise NotFound(f"label {old!r} is not in the schema; it has {_listed(schema.by_name)}")
    taken = schema.find(new)
    if taken is not None and taken.name != old:
        raise InputError(f"{new!r} already names the label {taken.name!r}; merge the two instead")
    former = tuple(n for n in (*label.formerly, old) if n != new)
    labels = tuple(
        replace(one, name=new, formerly=former)
        if one.name == old
        else replace(one, parent=new if one.parent == old else one.parent)
        for one in schema.labels
    )
    return replace(schema, labels=labels, background=new if schema.background == old else schema.background)


def merge(schema: Schema, sources: Iterable[str], into: str) -> Schema:
    """Schema with labels merged into another: their annotations and narrower labels now belong to it.

    Raises NotFound, and InputError when a label would be merged into itself or into a narrower one.
    """
    target = schema.resolve(into)
    gone = {schema.resolve(name).name for name in sources}
    if target.name in gone or gone & {label.name for label in schema.ancestors(target.name)}:
        raise InputError(f"{target.name!r} cannot take in itself or a label above it")
    former = tuple(n for one in schema.labels if one.name in gone for n in (one.name, *one.formerly))
    labels: list[Label] = []
    for one in schema.labels:
        if one.name in gone:
            continue
        parent = target.name if one.parent in gone else one.parent
        labels.append(replace(one, parent=parent, formerly=(*one.formerly, *former) if one is target else one.formerly))
    background = target.name if schema.background in gone else schema.background
    return replace(schema, labels=tuple(labels), background=background)


def attribute_problems(label: Label, attributes: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with an annotation's attributes by its label's declarations."""
    problems: list[Problem] = []
    declared = {a.name: a for a in label.attributes}
    for name in attributes:
        if name not in declared:
            problems.append(
                Problem("attribute", f"attributes/{name[:60]}", f"{label.name!r} declares no such attribute")
            )
    for name, attribute in declared.items():
        value = attributes.get(name)
        if value is None:
            if attribute.required:
                problems.append(Problem("attribute", f"attributes/{name}", f"{label.name!r} requires it"))
        elif not _fits(attribute, value):
            problems.append(Problem("attribute", f"attributes/{name}", f"{_due(attribute)} is due"))
    return problems


def _fits(attribute: Attribute, value: object) -> bool:
    """Whether a value is of an attribute's type."""
    match attribute.type:
        case "text":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
        case "choice":
            return isinstance(value, str) and value in attribute.values
        case "choices":
            return isinstance(value, (list, tuple)) and all(v in attribute.values for v in value)  # pyright: ignore[reportUnknownVariableType]


def _due(attribute: Attribute) -> str:
    """What an attribute takes, for a message."""
    if attribute.values:
        some = "one of" if attribute.type == "choice" else "a list of"
        return f"{some} {', '.join(attribute.values[:20])}"
    return {"text": "a text", "boolean": "true or false", "integer": "a whole number"}.get(attribute.type, "a number")

"""The label schema as JSON, both ways; every problem of a schema that came from outside at once."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bigimage.model.labels import ATTRIBUTE_TYPES, LENGTH_UNITS, Attribute, Code, Label, Schema, Skeleton, check_schema
from bigimage.model.problem import Problem, require_none, shown
from bigimage.model.shape import KINDS

_LABEL_FIELDS = (
    *("name", "value", "order", "color", "parent", "shapes", "attributes"),
    *("code", "definition", "formerly", "skeleton"),
    *("width", "radius", "unit"),
)


def schema_dict(schema: Schema) -> dict[str, Any]:
    """JSON form of a schema; fields at their defaults are left out, but for `version`."""
    out: dict[str, Any] = {"labels": [_label_dict(label) for label in schema.labels]}
    if schema.background is not None:
        out["background"] = schema.background
    return {**out, "version": schema.version}


def _label_dict(label: Label) -> dict[str, Any]:
    """JSON form of one label."""
    out: dict[str, Any] = {"name": label.name, "value": label.value, "order": label.order, "color": label.color}
    if label.parent is not None:
        out["parent"] = label.parent
    out["shapes"] = list(label.shapes)
    out["attributes"] = [
        {"name": a.name, "type": a.type}
        | ({"values": list(a.values)} if a.values else {})
        | ({"required": True} if a.required else {})
        for a in label.attributes
    ]
    if label.code is not None:
        out["code"] = {"scheme": label.code.scheme, "value": label.code.value, "meaning": label.code.meaning}
    if label.definition is not None:
        out["definition"] = label.definition
    if label.formerly:
        out["formerly"] = list(label.formerly)
    if label.skeleton is not None:
        edges = [list(edge) for edge in label.skeleton.edges]
        out["skeleton"] = {"points": list(label.skeleton.points), "edges": edges}
    lengths = {"width": label.width, "radius": label.radius}
    out |= {name: length for name, length in lengths.items() if length is not None}
    return out if label.unit == "world" else {**out, "unit": label.unit}


def read_schema(document: object) -> Schema:
    """Schema of a JSON document. Raises Invalid with every problem of its form and its meaning."""
    read = _Reader([])
    schema = _schema(read, document)
    require_none("the label schema", read.problems)
    require_none("the label schema", check_schema(schema))
    return schema


class _Reader:
    """Reads values of one JSON type each, and notes what is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def mapping(self, value: object, place: str, known: Sequence[str], required: Sequence[str]) -> Mapping[str, Any]:
        """An object without unknown or missing fields; empty when it is none."""
        if not isinstance(value, Mapping):
            self.problems.append(Problem("type", place, f"an object is due, not {shown(value)}"))
            return {}
        fields = cast("Mapping[str, Any]", value)
        for name in fields:
            if name not in known:
                self.problems.append(Problem("unknown", f"{place}/{name[:60]}".lstrip("/"), "there is no such field"))
        for name in required:
            if name not in fields:
                self.problems.append(Problem("missing", f"{place}/{name}".lstrip("/"), "it is required"))
        return fields

    def text(self, fields: Mapping[str, Any], name: str, place: str, default: str | None = "") -> Any:
        """A text; the default when absent or null."""
        value = fields.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problems.append(Problem("type", f"{place}/{name}".lstrip("/"), f"a text is due, not {shown(value)}"))
            return default
        return value

    def integer(self, fields: Mapping[str, Any], name: str, place: str) -> int:
        """A whole number; 0 when absent."""
        value = fields.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            message = f"a whole number is due, not {shown(value)}"
            self.problems.append(Problem("type", f"{place}/{name}".lstrip("/"), message))
            return 0
        return value

    def length(self, fields: Mapping[str, Any], name: str, place: str) -> float | None:
        """A number; None when absent or null."""
        value = fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problems.append(Problem("type", f"{place}/{name}", f"a number is due, not {shown(value)}"))
            return None
        return float(value)

    def array(self, fields: Mapping[str, Any], name: str, place: str) -> Sequence[Any]:
        """An array; empty when absent."""
        value = fields.get(name, [])
        if not isinstance(value, (list, tuple)):
            message = f"an array is due, not {shown(value)}"
            self.problems.append(Problem("type", f"{place}/{name}".lstrip("/"), message))
            return ()
        return cast("Sequence[Any]", value)

    def texts(self, fields: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
        """An array of texts."""
        values = self.array(fields, name, place)
        for k, value in enumerate(values):
            if not isinstance(value, str):
                self.problems.append(Problem("type", f"{place}/{name}/{k}", f"a text is due, not {shown(value)}"))
        return tuple(v for v in values if isinstance(v, str))


def _schema(read: _Reader, document: object) -> Schema:
    """Schema of a document; wrong parts are noted and left out."""
    fields = read.mapping(document, "", ("labels", "background", "version"), ("labels",))
    labels = [_label(read, one, f"labels/{k}") for k, one in enumerate(read.array(fields, "labels", ""))]
    background = read.text(fields, "background", "", None)
    return Schema(labels=tuple(labels), background=background, version=read.integer(fields, "version", ""))


def _label(read: _Reader, document: object, place: str) -> Label:
    """One label."""
    fields = read.mapping(document, place, _LABEL_FIELDS, ("name", "value"))
    shapes = read.texts(fields, "shapes", place)
    for k, shape in enumerate(shapes):
        if shape not in KINDS:
            message = f"{shown(shape)} is not one of {', '.join(KINDS)}"
            read.problems.append(Problem("shape", f"{place}/shapes/{k}", message))
    attributes = read.array(fields, "attributes", place)
    unit = fields.get("unit", "world")
    if unit not in LENGTH_UNITS:
        message = f"{shown(unit)} is not one of {', '.join(LENGTH_UNITS)}"
        read.problems.append(Problem("value", f"{place}/unit", message))
        unit = "world"
    return Label(
        name=read.text(fields, "name", place),
        value=read.integer(fields, "value", place),
        order=read.integer(fields, "order", place),
        color=read.text(fields, "color", place, "#808080"),
        parent=read.text(fields, "parent", place, None),
        shapes=shapes,
        attributes=tuple(_attribute(read, one, f"{place}/attributes/{k}") for k, one in enumerate(attributes)),
        code=None if fields.get("code") is None else _code(read, fields["code"], f"{place}/code"),
        definition=read.text(fields, "definition", place, None),
        formerly=read.texts(fields, "formerly", place),
        skeleton=None if fields.get("skeleton") is None else _skeleton(read, fields["skeleton"], f"{place}/skeleton"),
        width=read.length(fields, "width", place),
        radius=read.length(fields, "radius", place),
        unit=unit,
    )


def _attribute(read: _Reader, document: object, place: str) -> Attribute:
    """One attribute."""
    fields = read.mapping(document, place, ("name", "type", "values", "required"), ("name", "type"))
    type_ = fields.get("type", "text")
    if type_ not in ATTRIBUTE_TYPES:
        message = f"{shown(type_)} is not one of {', '.join(ATTRIBUTE_TYPES)}"
        read.problems.append(Problem("type", f"{place}/type", message))
        type_ = "text"
    required = fields.get("required", False)
    if not isinstance(required, bool):
        read.problems.append(Problem("type", f"{place}/required", "true or false is due"))
    values = read.texts(fields, "values", place)
    return Attribute(name=read.text(fields, "name", place), type=type_, values=values, required=bool(required))


def _code(read: _Reader, document: object, place: str) -> Code:
    """One code."""
    names = ("scheme", "value", "meaning")
    fields = read.mapping(document, place, names, names)
    scheme, value, meaning = (read.text(fields, name, place) for name in names)
    return Code(scheme=scheme, value=value, meaning=meaning)


def _skeleton(read: _Reader, document: object, place: str) -> Skeleton:
    """One skeleton."""
    fields = read.mapping(document, place, ("points", "edges"), ("points",))
    edges: list[tuple[int, int]] = []
    for k, edge in enumerate(read.array(fields, "edges", place)):
        pair = cast("Sequence[Any]", edge) if isinstance(edge, (list, tuple)) else ()
        if len(pair) != 2 or not all(isinstance(i, int) and not isinstance(i, bool) for i in pair):
            read.problems.append(Problem("type", f"{place}/edges/{k}", "a pair of indexes of points is due"))
        else:
            edges.append((int(pair[0]), int(pair[1])))
    return Skeleton(points=read.texts(fields, "points", place), edges=tuple(edges))

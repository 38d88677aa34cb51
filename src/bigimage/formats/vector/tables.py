"""Annotations as tables of geometries, a batch of rows at a time; what GeoParquet, FlatGeobuf and GeoPackage share."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import numpy as np
import shapely

from bigimage.errors import FrameMismatch, InputError, Unsupported
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector.features import CRS_OPTION
from bigimage.formats.vector.tablevalues import (
    EMPTY_OPTION,
    UNKNOWN,
    cleared,
    drops_empty,
    geometries_of,
    is_there,
    label_of,
    plain,
    shape_of_geometry,
    tidy,
)
from bigimage.geometry.frame import GeoFrame, PixelFrame, name
from bigimage.model.annotation import ORIGIN, Annotation, Relation
from bigimage.model.labels import Schema
from bigimage.model.lonlat import from_crs, from_crs_together
from bigimage.model.member import shape_of_member
from bigimage.model.outline import outline
from bigimage.model.problem import Problem
from bigimage.model.shape import (
    KINDS,
    Shape,
    kind,
)
from bigimage.model.table import Table, Texts, are_plain, packed_ids, parsed_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
SIZE = 32_768
"""Rows of a batch."""
KEEPS = Keeps(
    shapes={k: k for k in KINDS if k not in ("contours", "cuboid")},
    fields=frozenset(("id", "attributes", "t", "origin", "score", "instance", "relations")),
    frames=frozenset(("geo", "pixel")),
)
OPTIONS = {
    "crs": CRS_OPTION.replace("WGS 84 by default", "the image's own by default"),
    "label-field": "column that holds the label of rows that are read",
    "label": "label of rows that have none",
    "empty": EMPTY_OPTION,
}
_JSON = {"attributes": "object", "shape": "object", "relations": "array"}
"""Columns of JSON, and what it is."""
_OWN = ("id", "label", *_JSON, "t", "origin", "score", "instance")
_TYPES = {"text": "string", "choice": "string", "choices": "string", "number": "double", "integer": "int64"}


def arrow(format: str) -> Any:
    """The library of tables. Raises Unsupported where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise Unsupported(f"{format} needs pyarrow: pip install 'bigimage[tables]'") from None
    return pyarrow


def target_frame(context: Context, options: Options) -> GeoFrame | None:
    """CRS that a table is written in; None for an image without a place. Raises FrameMismatch, InputError."""
    own = context.grid.frame
    if context.grid.ndim != 2:
        raise Unsupported("tables of geometries are about flat images with a place on Earth or in pixels; take GeoJSON")
    chosen = options.get("crs", "native")
    if isinstance(own, PixelFrame):
        if chosen != "native":
            raise FrameMismatch(f"image {context.image} has no place on Earth: its coordinates are in {name(own)}")
        return None
    return cast("GeoFrame", own) if chosen == "native" else GeoFrame.of(chosen)


# ---- writing


def declared(schema: Schema) -> dict[str, str]:
    """Columns of attributes that labels declare, with their types; one of two types that do not agree is a text."""
    out: dict[str, str] = {}
    for label in schema.labels:
        for attribute in label.attributes:
            column = "bool" if attribute.type == "boolean" else _TYPES[attribute.type]
            if attribute.name.lower() not in (*_OWN, "geometry", "bbox", "fid", "ogc_fid"):
                out[attribute.name] = column if out.get(attribute.name, column) == column else "string"
    return out


def schema_of(pa: Any, context: Context) -> Any:
    """Columns of a table."""
    fields = [("id", pa.string()), ("label", pa.string()), ("attributes", pa.string()), ("shape", pa.string())]
    fields += [("relations", pa.string()), ("t", pa.int32()), ("origin", pa.string()), ("score", pa.float64())]
    fields += [("instance", pa.string())]
    makers = {"string": pa.string, "double": pa.float64, "int64": pa.int64, "bool": pa.bool_}
    fields += [(column, makers[type_]()) for column, type_ in declared(context.schema).items()]
    return pa.schema([*fields, ("geometry", pa.binary())])


# ---- reading


@dataclass
class TableReading:
    """How rows are read."""

    context: Context
    report: Report
    options: Options
    format: str
    crs: str | None
    """CRS of the file in any notation; None where it says none."""
    seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """How often each content came that has no id."""

    def __post_init__(self) -> None:
        self._row = 0
        self._frame = self._frame_of()
        self._drop_empty = drops_empty(self.options)
        box = self.context.grid.world_bounds()
        self._middle = (box.minimum[0] + box.maximum[0]) / 2

    def _frame_of(self) -> GeoFrame | None:
        """CRS of the geometries where it is not the image's own."""
        own, chosen = self.context.grid.frame, self.options.get("crs")
        if self.context.grid.ndim != 2:
            raise Unsupported(f"{self.format} is about flat images")
        if not isinstance(own, GeoFrame):
            if self.crs is not None and chosen != "native":
                raise FrameMismatch(f"the file is in {self.crs[:80]}, image {self.context.image} has no place on Earth")
            return None
        if chosen == "native":
            return None
        text = chosen or self.crs
        if text is None:
            raise InputError("the file names no CRS; give it with the option crs, or crs=native for the image's own")
        frame = GeoFrame.of(text)
        return None if frame == own else frame

    def annotations(self, columns: Mapping[str, Sequence[Any]], wkb: Sequence[Any]) -> Iterator[Annotation]:
        """Annotations of a batch: columns by name, and geometries in well-known binary."""
        for k, geometry in enumerate(geometries_of(wkb).tolist()):
            row = {name: values[k] for name, values in columns.items() if is_there(values[k])}
            if wkb[k] is not None and geometry is None:
                self.report.problem("value", f"rows/{self._row}/geometry", UNKNOWN)
            elif self._drop_empty and "shape" not in row and (geometry is None or geometry.is_empty):
                self.report.lose("dropped", "empty", "the row has no geometry")
            else:
                found = self._annotation(row, geometry, f"rows/{self._row}", wkb[k])
                if found is not None:
                    yield found
            self._row += 1

    def table(self, columns: Mapping[str, Sequence[Any]], wkb: Sequence[Any]) -> Iterator[Table | None]:
        """The same as one table; None when `annotations` must look at the rows one by one.

        One reading takes one of the two ways: a file that has a None is to be read again by `annotations`.
        """
        geometries = geometries_of(wkb)
        labels = self._labels(columns, len(wkb))
        special = any(v is not None for name in ("shape", "relations") for v in columns.get(name, ()))
        if special or labels is None or not are_plain(geometries):
            yield None
            return
        own = self.context.grid.frame
        if self._frame is not None and isinstance(own, GeoFrame):
            geometries = from_crs_together(geometries, self._frame, own)
            if not are_plain(geometries):
                yield None
                return
        fields = _table_fields(columns, len(wkb))
        found = None if fields is None else self._ids_and_attributes(columns, labels, wkb)
        if fields is None or found is None:
            yield None
            return
        ids, attributes = found
        yield Table(
            image=self.context.image,
            frame=self.context.grid.frame,
            ids=ids,
            labels=Texts.of(labels, len(wkb)),
            geometries=geometries,
            attributes=attributes,
            **fields,
        )

    def _labels(self, columns: Mapping[str, Sequence[Any]], count: int) -> list[str] | None:
        """Label of each row; None unless each has one."""
        values = columns.get(self.options.get("label-field", "label"), [None] * count)
        if all(type(v) is str and v.strip() for v in values):
            return list(values)
        labels = [label_of(v, self.context.schema, self.options) for v in values]
        return None if None in labels else cast("list[str]", labels)

    def _ids_and_attributes(
        self, columns: Mapping[str, Sequence[Any]], labels: Sequence[str], wkb: Sequence[Any]
    ) -> "tuple[NDArray[np.void], list[dict[str, Any]] | None] | None":
        """Id and attributes of each row; None where a column of attributes is not one of JSON objects."""
        rows = {name: found for name, values in columns.items() if _is_any(found := cleared(values))}
        ids = parsed_ids(rows["id"]) if "id" in rows else None
        if "attributes" in rows:
            try:
                rows["attributes"] = [None if v is None else _parsed("attributes", v) for v in rows["attributes"]]
            except (ValueError, TypeError, RecursionError):
                return None
        if ids is not None and rows.keys() <= {*_OWN, self.options.get("label-field", "label")} - {"attributes"}:
            return ids, None
        made: list[UUID] = []
        attributes: list[dict[str, Any]] = []
        known = None if ids is None else [UUID(bytes=v) for v in ids.tolist()]
        for k, label in enumerate(labels):
            row = {name: values[k] for name, values in rows.items() if values[k] is not None}
            id = self._id(row, wkb[k]) if known is None else known[k]
            made.append(id)
            attributes.append(self._attributes(row, label, id))
        return packed_ids(made) if ids is None else ids, attributes

    def _annotation(self, row: dict[str, Any], geometry: Any, place: str, wkb: bytes | None) -> Annotation | None:
        """One row; None, and a problem, where something is wrong with it."""
        for column in _JSON:
            if column in row:
                try:
                    row[column] = _parsed(column, row[column])
                except (ValueError, TypeError, RecursionError):
                    self.report.problem("value", f"{place}/{column}", f"it is no JSON {_JSON[column]}")
                    return None
        shape = self._shape(row, geometry, place)
        label = label_of(row.get(self.options.get("label-field", "label")), self.context.schema, self.options)
        if label is None:
            hint = "name the column that holds it with label-field, or one for all with label"
            self.report.problem("label", place, f"the row has no label; {hint}")
            return None
        if shape is None:
            return None
        fields = self._fields(row, place)
        if fields is None:
            return None
        id = self._id(row, wkb)
        attributes = self._attributes(row, label, id)
        frame = self.context.grid.frame
        image = self.context.image
        return Annotation(id=id, image=image, label=label, shape=shape, frame=frame, attributes=attributes, **fields)

    def _shape(self, row: Mapping[str, Any], geometry: Any, place: str) -> Shape | None:
        """Shape of a member or a geometry."""
        if "shape" in row:
            problems: list[Problem] = []
            found = shape_of_member(row["shape"], ndim=2, grid=self.context.grid, problems=problems)
            self.report.problems.extend(p.below(place) for p in problems)
            return found
        if geometry is None or geometry.is_empty:
            self.report.problem("empty", f"{place}/geometry", "there is no geometry")
            return None
        geometry = tidy(geometry)
        if shapely.get_coordinate_dimension(geometry) > 2:
            what = "heights" if geometry.has_z else "measures"
            self.report.lose("dropped", what, "third coordinates are not kept in a flat image")
            geometry = shapely.force_2d(geometry)
        own = self.context.grid.frame
        if self._frame is not None and isinstance(own, GeoFrame):
            try:
                geometry = from_crs(geometry, self._frame, own, near=self._middle)
            except InputError as error:
                self.report.problem("coordinate", f"{place}/geometry", str(error))
                return None
        found = shape_of_geometry(geometry)
        if found is None:
            self.report.problem("type", f"{place}/geometry", f"a {geometry.geom_type} is no shape")
        return found

    def _fields(self, row: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        """Fields besides shape, label and attributes."""
        origin = row.get("origin")
        out: dict[str, Any] = {"origin": origin if isinstance(origin, str) and ORIGIN.fullmatch(origin) else "import"}
        try:
            if row.get("t") is not None:
                out["t"] = int(row["t"])
            if row.get("score") is not None:
                out["score"] = float(row["score"])
            if row.get("instance") is not None:
                out["instance"] = str(row["instance"])
            if row.get("relations"):
                out["relations"] = tuple(Relation(str(r["kind"]), UUID(str(r["to"]))) for r in row["relations"])
        except (ValueError, TypeError, KeyError, OverflowError):
            self.report.problem("type", place, "t, score, instance or relations are not what they should be")
            return None
        return out

    def _id(self, row: Mapping[str, Any], wkb: bytes | None) -> UUID:
        """The row's own UUID; else one made from its id and the file's name, else from its content."""
        raw = row.get("id")
        if isinstance(raw, str):
            try:
                return UUID(raw)
            except ValueError:
                pass
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)  # whole numbers among empty cells come as floats
        if isinstance(raw, (str, int, np.integer)):
            return self.context.new_id(self.format, self.context.source, raw)
        content = json.dumps(row, sort_keys=True, default=str).encode()
        digest = sha256(content + b"\0" + (wkb or b"")).digest()[:16]
        nth = self.seen.get(digest, 0)
        self.seen[digest] = nth + 1
        return self.context.new_id(self.format, digest.hex(), nth)

    def _attributes(self, row: Mapping[str, Any], label: str, id: UUID) -> dict[str, Any]:
        """Attributes: the column of that name, and columns that the label declares; all where there is no schema."""
        named = row.get("attributes")
        out = dict(cast("Mapping[str, Any]", named)) if isinstance(named, Mapping) else {}
        known = self.context.schema.find(label)
        types = {a.name: a.type for a in known.attributes} if known else {}
        free = not self.context.schema.labels
        for column, value in row.items():
            if column in _OWN or column == self.options.get("label-field") or column in ("fid", "bbox"):
                continue
            if free or column in types:
                found = plain(value, types.get(column))
                if found is None:
                    self.report.lose("dropped", f"column {column[:60]}", "bytes are no value of an attribute", id)
                elif out.get(column) != found:
                    out[column] = found
            else:
                self.report.lose("dropped", f"column {column[:60]}", "the label declares no such attribute", id)
        return out


def _table_fields(columns: Mapping[str, Sequence[Any]], count: int) -> dict[str, Any] | None:
    """Columns of a table besides shapes, labels, ids and attributes; None where one is not what it should be."""
    origins = [v if isinstance(v, str) and ORIGIN.fullmatch(v) else "import" for v in columns.get("origin", ())]
    times, scores, instances = (cleared(columns.get(name, ())) for name in ("t", "score", "instance"))
    try:
        t = np.array([-1 if v is None else _time(v) for v in times], dtype=np.int64)
        score = np.array([np.nan if v is None else _score(v) for v in scores], dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return {
        "origins": Texts.of(origins or "import", count),
        "times": t if _is_any(times) else None,
        "scores": score if _is_any(scores) else None,
        "instances": [None if v is None else str(v) for v in instances] if _is_any(instances) else None,
    }


def _parsed(column: str, value: Any) -> Any:
    """JSON of a cell, which tables may hold as a structure, too. Raises ValueError, TypeError, RecursionError."""
    found = json.loads(value) if isinstance(value, (str, bytes)) else plain(value)
    if not isinstance(found, list if _JSON[column] == "array" else dict):
        raise ValueError(column)
    return cast("Any", found)


def _time(value: Any) -> int:
    """A point in time. Raises ValueError for -1, which stands for all times in a table."""
    if int(value) == -1:
        raise ValueError(value)
    return int(value)


def _score(value: Any) -> float:
    """A score. Raises ValueError for NaN, which stands for none in a table."""
    if float(value) != float(value):
        raise ValueError(value)
    return float(value)


def _is_any(values: Sequence[Any]) -> bool:
    """Whether any of some values is there."""
    return any(v is not None for v in values)


Rows = Callable[[TableReading, Mapping[str, Sequence[Any]], Sequence[Any]], Iterator[T]]
"""`TableReading.annotations` or `TableReading.table`."""


def note_unplaced(annotations: Iterable[Annotation], report: Report, message: str) -> Iterator[Annotation]:
    """The annotations but those without a geometry, which are noted as lost."""
    for annotation in annotations:
        found = outline(annotation.shape)
        if found is None or found.is_empty:
            report.lose("dropped", kind(annotation.shape), message, annotation.id)
        else:
            yield annotation

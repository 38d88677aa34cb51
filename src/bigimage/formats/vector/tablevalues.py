"""Cells of tables as annotations hold them: data frames and databases write what JSON has no type for."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from math import isnan
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.formats.door import Options
from bigimage.model.labels import Schema
from bigimage.model.shape import Line, MultiPoint, Point, Polygon, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY_OPTION = "drop to leave out what has no geometry; a file that has any is refused by default"


def drops_empty(options: Options) -> bool:
    """Whether rows or features without a geometry are to be left out. Raises InputError."""
    chosen = options.get("empty", "refuse")
    if chosen not in ("refuse", "drop"):
        raise InputError(f"empty={chosen!r} is neither refuse nor drop")
    return chosen == "drop"


def is_there(value: object) -> bool:
    """Whether a cell holds anything: data frames write NaN for nothing in a column of numbers."""
    return value is not None and not (isinstance(value, float) and isnan(value))


def cleared(values: Sequence[Any]) -> list[Any]:
    """Values of a column with None for nothing."""
    return [v if is_there(v) else None for v in values]


def plain(value: Any, type_: str | None = None) -> Any:
    """A cell as a JSON value, in the type that an attribute declares where it says the same in it; None for none.

    What does not fit the type stays as it is, for the schema to refuse. Times are RFC 3339; bytes have no place.
    """
    value = value.item() if isinstance(value, np.generic) else value
    match value:
        case bool() | None:
            return value
        case str():
            return _listed(value) if type_ == "choices" else value
        case int():
            return bool(value) if type_ == "boolean" and value in (0, 1) else value
        case float():
            return int(value) if type_ == "integer" and value.is_integer() else value
        case Decimal():
            whole = type_ != "number" and value.is_finite() and value == value.to_integral_value()
            return int(value) if whole else float(value)
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case bytes() | bytearray() | memoryview():
            return None
        case Mapping():
            return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
        case list() | tuple():
            return [plain(v) for v in cast("Sequence[Any]", value)]
        case _:
            return str(value)


def _listed(text: str) -> Any:
    """A list that was written as JSON; the text where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return cast("list[Any]", found) if isinstance(found, list) else text


def label_of(value: object, schema: Schema, options: Options) -> str | None:
    """The label that a cell or a property names; None where it names none.

    A number is a label of that name, else the label of that value in the schema: tables of classes have such columns.
    """
    given = value if is_there(value) else options.get("label")
    given = given.item() if isinstance(given, np.generic) else given
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        known = [] if schema.find(str(given)) else [label.name for label in schema.labels if label.value == given]
        given = known[0] if known else str(given)
    return given if isinstance(given, str) and given.strip() else None


UNKNOWN = "it is damaged, or a curve or surface: turn those into straight segments (ogr2ogr -nlt CONVERT_TO_LINEAR)"


def geometries_of(wkb: Sequence[Any]) -> "NDArray[np.object_]":
    """Geometries of well-known binary; None for null, and for what is damaged or of a kind that is not known."""
    given = np.empty(len(wkb), dtype=object)
    given[:] = wkb
    try:
        return shapely.from_wkb(given, on_invalid="ignore")
    except NotImplementedError:
        for k, value in enumerate(wkb):
            try:
                given[k] = shapely.from_wkb(value, on_invalid="ignore")
            except NotImplementedError:
                given[k] = None
        return given


_MULTI: dict[int, Any] = {0: shapely.MultiPoint, 1: shapely.MultiLineString, 2: shapely.MultiPolygon}
"""Makers by the dimension of the parts."""


def tidy(geometry: Any) -> Any:
    """A geometry without empty parts; a collection of one kind as that kind, any other as it is."""
    if geometry.geom_type != "GeometryCollection":
        if not hasattr(geometry, "geoms") or not any(part.is_empty for part in geometry.geoms):
            return geometry
        return type(geometry)([part for part in geometry.geoms if not part.is_empty])
    parts = [part for part in _simple(geometry) if not part.is_empty]
    kinds = {int(shapely.get_dimensions(part)) for part in parts}
    if len(kinds) != 1:
        return geometry
    return parts[0] if len(parts) == 1 else _MULTI[kinds.pop()](parts)


def _simple(geometry: Any) -> list[Any]:
    """The single geometries in a collection, however deep."""
    if not hasattr(geometry, "geoms"):
        return [geometry]
    return [part for inner in geometry.geoms for part in _simple(inner)]


def shape_of_geometry(geometry: Any) -> Shape | None:
    """Shape of a flat shapely geometry; None for collections and the like."""
    match geometry.geom_type:
        case "Point":
            return Point(geometry)
        case "MultiPoint":
            return MultiPoint(geometry)
        case "LineString" | "MultiLineString":
            return Line(geometry)
        case "Polygon" | "MultiPolygon":
            return Polygon(geometry)
        case _:
            return None

"""Annotations as GeoJSON features, both ways; every problem of a feature that came from outside at once."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import WGS84, Frame, GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation, frame_ndim
from bigimage.model.geojson import shape_of
from bigimage.model.lonlat import from_crs, to_crs
from bigimage.model.member import member_of
from bigimage.model.outline import outline
from bigimage.model.problem import Problem, shown
from bigimage.model.shape import Line, MultiPoint, Point, Polygon, Shape, Tag

KEPT_BY_THE_STORE = ("id", "version", "author", "editor", "created", "modified", "schema")
"""Properties that a feature is given; what a caller sends there is not read."""
WRITABLE = ("label", "attributes", "origin", "score", "instance", "relations")


@dataclass(frozen=True, slots=True)
class Place:
    """What the geometries of a document are measured in, and the image that they are about."""

    image: str
    grid: Grid
    """Finest grid of the image."""
    crs: GeoFrame | None = None
    """CRS of geometries; None for the image's own coordinates."""

    @classmethod
    def of(cls, image: str, grid: Grid, crs: str | None) -> "Place":
        """Place for a CRS as a client names it: None (WGS 84 where the image has a CRS), `native`, or a CRS.

        Raises InputError for a CRS on an image that has none.
        """
        return cls(image, grid, crs_of(grid.frame, crs))


def crs_of(frame: Frame, crs: str | None) -> GeoFrame | None:
    """CRS of a document's geometries; None for a frame's own coordinates. See `Place.of`."""
    if crs == "native":
        return None
    if isinstance(frame, GeoFrame):
        found = GeoFrame.of(WGS84 if crs is None else crs)
        return None if found == frame else found
    if crs is None:
        return None
    raise InputError("the image has no coordinate reference system; leave the CRS out, or say native")


# ---- writing


def feature_texts(
    annotations: Sequence[Annotation],
    crs: GeoFrame | None,
    *,
    plain: Callable[[Annotation], Mapping[str, Any]] | None = None,
    y_first: bool = False,
) -> list[str]:
    """GeoJSON text of each annotation as a feature.

    Parameters
    ----------
    annotations
        Of one image.
    crs
        CRS of the geometries; None for the image's own coordinates, which `shape` members are in always.
    plain
        Makes the properties of plain features, without `shape` and `t`, for readers that know geometries only.
    y_first
        Write y before x, where a reader takes the order of axes that a CRS's authority declares.

    Raises
    ------
    InputError, FrameMismatch
        When a vertex has no place in the CRS.
    """
    outlines = np.empty(len(annotations), dtype=object)
    outlines[:] = [outline(a.shape) for a in annotations]
    if crs is not None and len(annotations):
        frame = annotations[0].frame
        if not isinstance(frame, GeoFrame):
            raise InputError("the image has no coordinate reference system")
        outlines = to_crs(outlines.tolist(), frame, crs)
    if y_first:
        outlines = shapely.transform(outlines, lambda points: points[:, ::-1])
    pairs = zip(annotations, cast("list[str | None]", shapely.to_geojson(outlines)), strict=True)
    if plain is None:
        return [_text(a, geometry) for a, geometry in pairs]
    return [
        f'{{"type":"Feature","id":"{a.id}","geometry":{geometry or "null"},"properties":{_json(plain(a))}}}'
        for a, geometry in pairs
    ]


def _text(annotation: Annotation, geometry: str | None) -> str:
    """Text of one feature."""
    member = member_of(annotation.shape)
    shape = "" if member is None else f'"shape":{_json(member)},'
    t = "" if annotation.t is None else f'"t":{annotation.t},'
    return (
        f'{{"type":"Feature","id":"{annotation.id}",{t}"geometry":{geometry or "null"},{shape}'
        f'"properties":{_json(properties_of(annotation))}}}'
    )


def _json(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def feature_dict(annotation: Annotation, crs: GeoFrame | None) -> dict[str, Any]:
    """One annotation as a GeoJSON feature; see `feature_texts`."""
    return json.loads(feature_texts([annotation], crs)[0])


def properties_of(annotation: Annotation) -> dict[str, Any]:
    """Properties of an annotation's feature; `schema`, `instance` and `relations` where there are any."""
    out: dict[str, Any] = {
        "label": annotation.label,
        "attributes": dict(annotation.attributes),
        "id": str(annotation.id),
        "version": annotation.version,
        "author": annotation.author,
        "editor": annotation.editor,
        "created": rfc3339(annotation.created),
        "modified": rfc3339(annotation.modified),
        "origin": annotation.origin,
        "score": annotation.score,
    }
    if annotation.instance is not None:
        out["instance"] = annotation.instance
    if annotation.relations:
        out["relations"] = [{"kind": r.kind, "to": str(r.to)} for r in annotation.relations]
    if annotation.schema is not None:
        out["schema"] = annotation.schema
    return out


def rfc3339(moment: datetime | None) -> str | None:
    """A time as RFC 3339 writes it, UTC with a Z."""
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


# ---- reading


def read_feature(
    document: object,
    place: Place,
    *,
    new_id: Callable[[], UUID],
    before: Annotation | None = None,
) -> Annotation | list[Problem]:
    """Annotation of a GeoJSON feature; every problem of its form when there are any.

    What an annotation means (its label, its place in the image) is for `bigimage.model.validate` to judge.

    Parameters
    ----------
    document
        A parsed feature.
    new_id
        Called where the feature has no id.
    before
        The annotation that the feature replaces: it gives the id, and origin and score where the feature has none.
    """
    problems: list[Problem] = []
    if not isinstance(document, Mapping):
        return [Problem("type", "", "a feature is an object with type, geometry and properties")]
    fields = cast("Mapping[str, Any]", document)
    if fields.get("type") != "Feature":
        problems.append(Problem("type", "type", f"'Feature' is due, not {shown(fields.get('type'))}"))
    shape = read_shape(fields.get("geometry"), fields.get("shape"), place, problems)
    values = _values(fields.get("properties"), problems)
    id_ = _id(fields, problems)
    if before is not None and id_ not in (None, before.id):
        problems.append(Problem("value", "id", f"the feature is {id_}, and {before.id} was named"))
    t = _t(fields, problems)
    if "label" not in values and not any(p.place == "properties/label" for p in problems):
        problems.append(Problem("missing", "properties/label", "a label is due"))
    if problems or shape is None:
        return problems
    frame = place.grid.frame
    if before is not None:
        kept: dict[str, Any] = {"origin": before.origin, "score": before.score, **values}
        return Annotation(id=before.id, image=before.image, shape=shape, frame=frame, t=t, **kept)
    return Annotation(id=id_ or new_id(), image=place.image, shape=shape, frame=frame, t=t, **values)


def patch_feature(document: object, place: Place, *, before: Annotation) -> Annotation | list[Problem]:
    """Annotation after a JSON merge patch (RFC 7396) of its feature; every problem when there are any.

    A patch with a `geometry` or a `shape` draws anew; `null` takes an attribute, a score, an instance, relations or `t`
    away. `place` says what the patch's geometry is measured in.
    """
    problems: list[Problem] = []
    if not isinstance(document, Mapping):
        return [Problem("type", "", "a merge patch is an object with the members that are to change")]
    fields = cast("Mapping[str, Any]", document)
    shape: Shape | None = before.shape
    if fields.get("geometry") is not None or fields.get("shape") is not None:
        shape = read_shape(fields.get("geometry"), fields.get("shape"), place, problems)
    elif "geometry" in fields and not isinstance(before.shape, Tag):
        message = "it cannot be taken away: draw anew by a geometry or a `shape`, or remove the annotation"
        problems.append(Problem("missing", "geometry", message))
    elif "shape" in fields and not isinstance(before.shape, (Point, MultiPoint, Line, Polygon)):
        problems.append(Problem("missing", "shape", "it cannot be taken away without a geometry that stands for it"))
    given = fields.get("properties")
    properties = dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else given
    if isinstance(properties, dict) and isinstance(properties.get("attributes"), Mapping):
        merged = {**before.attributes, **properties["attributes"]}
        properties["attributes"] = {k: v for k, v in merged.items() if v is not None}
    values = {} if properties is None else _values(properties, problems, patch=True)
    id_ = _id(fields, problems)
    if id_ not in (None, before.id):
        problems.append(Problem("value", "id", f"the patch is for {id_}, and {before.id} was named"))
    t = _t(fields, problems) if "t" in fields else before.t
    if problems or shape is None:
        return problems
    return replace(before, shape=shape, t=t, **values)


def read_shape(geometry: object, member: object, place: Place, problems: list[Problem]) -> Shape | None:
    """Shape of a feature in the image's frame; problems are added to the list, and then there is none."""
    frame = place.grid.frame
    shape = shape_of(geometry, member, ndim=frame_ndim(frame), grid=place.grid)
    if isinstance(shape, list):
        problems.extend(shape)
        return None
    if place.crs is None or member is not None or not isinstance(frame, GeoFrame):
        return shape
    if not isinstance(shape, (Point, MultiPoint, Line, Polygon)):
        return shape
    if place.crs.is_geographic and not _is_lonlat(shape.geometry, place.crs.turn):
        message = (
            f"positions are longitude, latitude in {place.crs}, and one is beyond; say crs=native when they are the "
            "image's own, or which crs= they are in"
        )
        problems.append(Problem("coordinate", "geometry/coordinates", message))
        return None
    bounds = place.grid.world_bounds()
    near = (bounds.minimum[0] + bounds.maximum[0]) / 2
    try:
        moved: Any = from_crs(shape.geometry, place.crs, frame, near=near)
    except InputError as error:
        problems.append(Problem("coordinate", "geometry/coordinates", str(error)))
        return None
    return replace(shape, geometry=moved)


def _is_lonlat(geometry: shapely.Geometry, turn: float) -> bool:
    """Whether all positions can be longitudes and latitudes; the former at any turn."""
    points = np.abs(shapely.get_coordinates(geometry))
    return bool((points[:, 1] <= turn / 4 + 1e-9).all() and (points[:, 0] <= 1.5 * turn).all())


def _id(fields: Mapping[str, Any], problems: list[Problem]) -> UUID | None:
    """Id that a feature names, beside or among its properties."""
    properties = fields.get("properties")
    inner = cast("Mapping[str, Any]", properties).get("id") if isinstance(properties, Mapping) else None
    given = fields.get("id")
    value = inner if given is None else given
    if value is None:
        return None
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        problems.append(Problem("value", "id", f"{shown(value)} is no UUID; leave it out to be given one"))
        return None


def _t(fields: Mapping[str, Any], problems: list[Problem]) -> int | None:
    """Point in time."""
    value = fields.get("t")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        problems.append(Problem("type", "t", "the index of a point in time is due"))
        return None
    return value


def _values(properties: object, problems: list[Problem], *, patch: bool = False) -> dict[str, Any]:
    """Fields of an annotation among a feature's properties; those of `patch` may be null, to be taken away."""
    if properties is None:
        properties = {}
    if not isinstance(properties, Mapping):
        problems.append(Problem("type", "properties", "properties are an object"))
        return {}
    fields = cast("Mapping[str, Any]", properties)
    for name in fields:
        if name not in WRITABLE and name not in KEPT_BY_THE_STORE:
            message = "there is no such property; what a label declares belongs into `attributes`"
            problems.append(Problem("unknown", f"properties/{name[:60]}", message))
    out: dict[str, Any] = {}
    for name, read in _READERS.items():
        value = fields.get(name)
        if value is not None:
            read(value, out, problems)
        elif patch and name in fields:
            if name in ("label", "origin"):
                problems.append(Problem("missing", f"properties/{name}", "it cannot be taken away"))
            else:
                out[name] = _EMPTY[name]
    return out


def _read_text(name: str) -> Callable[[Any, dict[str, Any], list[Problem]], None]:
    """Reader of a text."""

    def read(value: Any, out: dict[str, Any], problems: list[Problem]) -> None:
        if isinstance(value, str):
            out[name] = value
        else:
            problems.append(Problem("type", f"properties/{name}", f"a text is due, not {shown(value)}"))

    return read


def _read_attributes(value: Any, out: dict[str, Any], problems: list[Problem]) -> None:
    if isinstance(value, Mapping):
        out["attributes"] = dict(cast("Mapping[str, Any]", value))
    else:
        problems.append(Problem("type", "properties/attributes", "attributes are an object"))


def _read_score(value: Any, out: dict[str, Any], problems: list[Problem]) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        out["score"] = float(value)
    else:
        problems.append(Problem("value", "properties/score", f"{shown(value)} is not between 0 and 1"))


def _read_relations(value: Any, out: dict[str, Any], problems: list[Problem]) -> None:
    found: list[Relation] = []
    for k, item in enumerate(cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else [None]):
        fields = cast("Mapping[str, Any]", item) if isinstance(item, Mapping) else {}
        kind, to = fields.get("kind"), fields.get("to")
        try:
            if not isinstance(kind, str) or not 1 <= len(kind) <= 200 or not isinstance(to, str):
                raise ValueError
            found.append(Relation(kind, UUID(to)))
        except ValueError:
            message = 'an object such as {"kind": "part of", "to": UUID} is due'
            problems.append(Problem("value", f"properties/relations/{k}", message))
    out["relations"] = tuple(found)


_READERS: dict[str, Callable[[Any, dict[str, Any], list[Problem]], None]] = {
    "label": _read_text("label"),
    "attributes": _read_attributes,
    "origin": _read_text("origin"),
    "score": _read_score,
    "instance": _read_text("instance"),
    "relations": _read_relations,
}
_EMPTY: dict[str, Any] = {"attributes": {}, "score": None, "instance": None, "relations": ()}

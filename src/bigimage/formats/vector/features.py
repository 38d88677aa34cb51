"""GeoJSON features, both ways and a batch at a time; what GeoJSON and GeoJSON-Seq share."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np
import shapely

from bigimage.collecting import collecting_rarely
from bigimage.errors import FrameMismatch, InputError
from bigimage.formats.batches import SIZE, batches
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector.reprojection import Reprojection
from bigimage.formats.vector.tablevalues import drops_empty, label_of, shape_of_geometry
from bigimage.geometry.frame import WGS84, GeoFrame, describe, name
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import ORIGIN, Annotation, Relation, frame_ndim
from bigimage.model.geojson import plain_geometries, shape_of
from bigimage.model.lonlat import from_crs, from_crs_together, to_crs
from bigimage.model.member import member_of
from bigimage.model.outline import outline
from bigimage.model.problem import shown
from bigimage.model.shape import Shape, kind
from bigimage.model.table import Table, Texts, are_plain, packed_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

OWN = frozenset(
    ("label", "attributes", "id", "version", "author", "editor", "created", "modified", "origin", "score")
) | frozenset(("instance", "relations", "schema", "t"))
"""Properties that are fields of an annotation; all others are attributes."""
CRS_OPTION = "native for the image's own CRS, or the name of another one; WGS 84 by default"
LONLAT = GeoFrame(WGS84)
_LAST = 2**31 - 1
"""Most that a column of points in time holds."""


def is_lonlat(frame: GeoFrame) -> bool:
    """Whether coordinates of a frame are WGS 84 degrees already."""
    return frame == LONLAT or frame.proj.equals(LONLAT.proj, ignore_axis_order=True)


def decimals_for(grid: Grid, frame: GeoFrame) -> int:
    """Decimals of a frame's coordinates that keep a thousandth of a pixel; nine at least of degrees."""
    own = cast("GeoFrame", grid.frame)
    pixel = min(grid.spacing) * own.unit_in_metres / frame.unit_in_metres
    return int(min(15, max(9 if frame.is_geographic else 3, np.ceil(-np.log10(pixel / 1000)))))


def frame_of(options: Options, context: Context) -> GeoFrame | None:
    """CRS that coordinates are written in; None for the image's own frame. Raises InputError, FrameMismatch."""
    chosen, own = options.get("crs"), context.grid.frame
    if chosen == "native" or (chosen is None and not isinstance(own, GeoFrame)):
        return None
    if not isinstance(own, GeoFrame):
        raise FrameMismatch(f"image {context.image} has no place on Earth: its coordinates are in {name(own)}")
    frame = LONLAT if chosen is None else GeoFrame.of(chosen)
    return None if frame == own or (is_lonlat(frame) and is_lonlat(own)) else frame


def feature_texts(
    annotations: Iterable[Annotation], frame: GeoFrame | None, *, rfc: bool, context: Context, report: Report
) -> Iterator[str]:
    """Features as JSON texts, in the image's frame when `frame` is None.

    With `rfc` coordinates are cut at the antimeridian.
    """
    own = context.grid.frame
    target = frame if frame is not None else LONLAT if rfc and isinstance(own, GeoFrame) else None
    decimals = decimals_for(context.grid, frame) if frame is not None else None
    moves = None
    if frame is not None:
        moves = Reprojection(context.grid, cast("GeoFrame", own), frame, report, decimals)
    for batch in batches(annotations):
        plain = as_array(outline(a.shape) for a in batch)
        if moves is not None:
            moves.look(plain, lambda k, batch=batch: batch[k].id)
        if target is not None:
            moved = _placed(plain, cast("GeoFrame", own), target, only_turned=frame is None)
            _note_cuts(plain, moved, batch, report)
            plain = moved if decimals is None else shapely.transform(moved, lambda xy: np.round(xy, decimals))
        geometries = shapely.to_geojson(shapely.orient_polygons(plain))
        for annotation, geometry in zip(batch, geometries.tolist(), strict=True):
            if geometry is None and member_of(annotation.shape) is None:
                report.lose("dropped", kind(annotation.shape), "it has no place in the file's CRS", annotation.id)
                continue
            report.written += 1
            yield _text(annotation, geometry)
    if moves is not None:
        moves.end()


def as_array(geometries: Iterable[Any]) -> "NDArray[np.object_]":
    """Geometries as an array of objects; None in place of empty ones."""
    listed = [None if g is None or g.is_empty else g for g in geometries]
    out = np.empty(len(listed), dtype=object)
    out[:] = listed
    return out


def _placed(
    plain: "NDArray[np.object_]", own: GeoFrame, target: GeoFrame, *, only_turned: bool
) -> "NDArray[np.object_]":
    """Geometries in another CRS, in degrees cut at the antimeridian; None for those that have no place there.

    With `only_turned` they are in degrees already, and only those beyond 180° are touched.
    """
    if only_turned:
        beyond = np.flatnonzero(np.abs(np.nan_to_num(shapely.bounds(plain)[:, [0, 2]])).max(axis=1, initial=0) > 180)
        out = plain.copy()
        # any name of these degrees but the target's own, which would leave them as they are
        other = GeoFrame("EPSG:4326") if own == target else own
        for k in beyond.tolist():
            out[k] = _alone(plain[k], other, target)
        return out
    try:
        return to_crs(plain.tolist(), own, target)
    except InputError:
        return as_array(_alone(geometry, own, target) for geometry in plain.tolist())


def _alone(geometry: Any, own: GeoFrame, target: GeoFrame) -> Any:
    """One geometry in another CRS; None where it has no place."""
    try:
        return to_crs([geometry], own, target)[0]
    except InputError:
        return None


def _note_cuts(
    before: "NDArray[np.object_]", after: "NDArray[np.object_]", batch: list[Annotation], report: Report
) -> None:
    """Note which annotations have more parts now."""
    more = shapely.get_num_geometries(after) > shapely.get_num_geometries(before)
    for k in np.flatnonzero(more).tolist():
        if member_of(batch[k].shape) is None:
            report.lose("approximated", "antimeridian", "cut in parts at the antimeridian (RFC 7946)", batch[k].id)


def _text(annotation: Annotation, geometry: str | None) -> str:
    """One feature; members in a fixed order."""
    a = annotation
    properties: dict[str, Any] = {"label": a.label, "attributes": dict(a.attributes), "id": str(a.id)}
    if a.version:
        properties["version"] = a.version
    for field, value in (("author", a.author), ("created", a.created), ("modified", a.modified)):
        if value is not None:
            properties[field] = value.isoformat() if isinstance(value, datetime) else value
    properties["origin"] = a.origin
    if a.score is not None:
        properties["score"] = a.score
    if a.instance is not None:
        properties["instance"] = a.instance
    if a.relations:
        properties["relations"] = [{"kind": r.kind, "to": str(r.to)} for r in a.relations]
    member = member_of(a.shape)
    parts = [f'{{"type":"Feature","id":"{a.id}","geometry":{geometry or "null"}']
    if member is not None:
        parts.append(f'"shape":{_dump(member)}')
    if a.t is not None:
        parts.append(f'"t":{a.t}')
    parts.append(f'"properties":{_dump(properties)}}}')
    return ",".join(parts)


def _dump(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass
class Reading:
    """How features are read: where they lie, and what is told of them."""

    context: Context
    report: Report
    options: Options
    format: str
    frame: GeoFrame | None
    """CRS of the coordinates; None for the image's own frame."""
    members: bool = True
    """Whether `shape` members are in the image's frame."""

    def __post_init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._drop_empty = drops_empty(self.options)
        box = self.context.grid.world_bounds()
        self._middle = (box.minimum[0] + box.maximum[0]) / 2

    def annotations(self, features: Iterable[tuple[int, Any]]) -> Iterator[Annotation]:
        """Annotations of numbered features; what is wrong with others is noted in the report."""
        for batch in batches(self._one(k, feature) for k, feature in features):
            yield from self._moved([item for item in batch if item is not None])

    def _moved(self, batch: list[tuple[str, Annotation, bool]]) -> Iterator[Annotation]:
        """Annotations with plain geometries brought into the image's frame."""
        own, frame = self.context.grid.frame, self.frame
        if frame is None or not isinstance(own, GeoFrame):
            yield from (annotation for _, annotation, _ in batch)
            return
        given = as_array(cast("Any", a.shape).geometry if plain else None for _, a, plain in batch)
        moved = from_crs_together(given, frame, own)
        for (place, annotation, plain), geometry, there in zip(batch, given.tolist(), moved.tolist(), strict=True):
            if not plain:
                yield annotation
                continue
            try:
                found = from_crs(geometry, frame, own, near=self._middle) if there is None else there
            except InputError as error:
                self.report.problem("coordinate", place, str(error))
                continue
            shape = shape_of_geometry(found)
            if shape is None:
                self.report.problem("type", place, f"a {found.geom_type} is no shape")
            else:
                yield replace(annotation, shape=shape)

    def tables(self, features: Iterable[object]) -> Iterator[Table | None]:
        """The same as tables; None when `annotations` must look at the features one by one.

        One reading takes one of the two ways: a file that has a None is to be read again by `annotations`.
        """
        rest = iter(features)
        while True:
            with collecting_rarely():
                batch = list(islice(rest, SIZE))
                if not batch:
                    return
                table = self._table(batch)
                del batch
            yield table

    def _table(self, batch: list[Any]) -> Table | None:
        """Table of features; None unless all are plain and sound."""
        if not all(type(f) is dict and f.get("type") == "Feature" and f.get("shape") is None for f in batch):
            return None
        rows: list[Any] = [{} if (p := f.get("properties")) is None else p for f in batch]
        if not all(type(p) is dict and not p.get("relations") for p in rows):
            return None
        name, schema = self.options.get("label-field", "label"), self.context.schema
        labels = [label_of(p.get(name), schema, self.options) for p in rows]
        geometries = self._geometries([f.get("geometry") for f in batch])
        if None in labels or geometries is None:
            return None
        before = len(self.report.problems)
        fields = [self._values(p, f, "features") for p, f in zip(rows, batch, strict=True)]
        if len(self.report.problems) > before or not all(0 <= f.get("t", 0) <= _LAST for f in fields):
            return None
        ids = [self._id(f, p, "features") for p, f in zip(rows, batch, strict=True)]
        named = zip(rows, cast("list[str]", labels), ids, strict=True)
        attributes = [self._attributes(p, label, id) for p, label, id in named]
        return Table(
            image=self.context.image,
            frame=self.context.grid.frame,
            ids=packed_ids(ids),
            labels=Texts.of(cast("list[str]", labels), len(batch)),
            geometries=geometries,
            origins=Texts.of([f["origin"] for f in fields], len(batch)),
            attributes=attributes if any(attributes) else None,
            times=_column(fields, "t", -1, np.int64),
            scores=_column(fields, "score", np.nan, np.float64),
            instances=[f.get("instance") for f in fields] if any("instance" in f for f in fields) else None,
        )

    def _geometries(self, found: list[Any]) -> "NDArray[np.object_] | None":
        """Plain geometries in the image's frame; None unless all are sound."""
        given, own = plain_geometries(found), self.context.grid.frame
        if given is None or self.frame is None or not isinstance(own, GeoFrame):
            return given
        moved = from_crs_together(given, self.frame, own)
        for k in np.flatnonzero(shapely.is_missing(moved)).tolist():
            try:
                moved[k] = from_crs(given[k], self.frame, own, near=self._middle)
            except InputError:
                return None
        return moved if are_plain(moved) else None

    def _one(self, k: int, feature: object) -> tuple[str, Annotation, bool] | None:
        """Place, annotation and whether its geometry is plain; None where something is wrong with it."""
        place = f"features/{k}"
        if not isinstance(feature, Mapping) or cast("Mapping[str, Any]", feature).get("type") != "Feature":
            self.report.problem("type", place, "a feature is an object of type Feature")
            return None
        fields = cast("Mapping[str, Any]", feature)
        raw = fields.get("properties")
        properties = cast("Mapping[str, Any]", raw) if isinstance(raw, Mapping) else {}
        if raw is not None and not isinstance(raw, Mapping):
            self.report.problem("type", f"{place}/properties", "properties are an object or null")
        fields = {**fields, "geometry": _unpacked(fields.get("geometry"))}
        if self._is_dropped(fields):
            return None
        before = len(self.report.problems)
        shape, plain = self._shape(fields, place)
        given = properties.get(self.options.get("label-field", "label"))
        label = label_of(given, self.context.schema, self.options)
        if label is None:
            hint = "name the property that holds it with label-field, or one for all with label"
            self.report.problem("label", f"{place}/properties/label", f"{shown(given)} is no label; {hint}")
        values = self._values(properties, fields, place)
        if shape is None or len(self.report.problems) > before:
            return None
        id = self._id(fields, properties, place)
        attributes = self._attributes(properties, str(label), id)
        context = self.context
        annotation = Annotation(
            id=id,
            image=context.image,
            label=str(label),
            shape=shape,
            frame=context.grid.frame,
            attributes=attributes,
            **values,
        )
        return place, annotation, plain

    def _shape(self, fields: Mapping[str, Any], place: str) -> tuple[Shape | None, bool]:
        """Shape of a feature, and whether it is its plain geometry."""
        member, geometry = fields.get("shape"), fields.get("geometry")
        if member is not None and not self.members:
            self.report.problem("frame", f"{place}/shape", "its coordinates are in the frame of another image")
            return None, False
        ndim = frame_ndim(self.context.grid.frame)
        if ndim == 2 and member is None and _has_heights(geometry):
            self.report.lose("dropped", "heights", "third coordinates are not kept in a flat image")
            geometry = _without_heights(geometry)
        found = shape_of(geometry, member, ndim=ndim, grid=self.context.grid)
        if isinstance(found, list):
            self.report.problems.extend(p.below(place) for p in found)
            return None, False
        return found, member is None

    def _values(self, properties: Mapping[str, Any], fields: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Fields of the annotation besides shape, label and attributes."""
        origin, score, t = properties.get("origin"), properties.get("score"), fields.get("t")
        if t is None and type(properties.get("t")) is int:
            t = properties["t"]  # programs that know properties only keep it there
        instance, related = properties.get("instance"), properties.get("relations")
        out: dict[str, Any] = {"origin": origin if isinstance(origin, str) and ORIGIN.fullmatch(origin) else "import"}
        if score is not None:
            if isinstance(score, bool) or not isinstance(score, (int, float)):
                self.report.problem("type", f"{place}/properties/score", f"a number is due, not {shown(score)}")
            else:
                out["score"] = float(score)
        if t is not None:
            if isinstance(t, bool) or not isinstance(t, int):
                self.report.problem("type", f"{place}/t", f"a whole number is due, not {shown(t)}")
            else:
                out["t"] = t
        if instance is not None:
            out["instance"] = str(instance)
        if related:
            try:
                out["relations"] = tuple(Relation(str(r["kind"]), UUID(str(r["to"]))) for r in related)
            except (TypeError, KeyError, ValueError):
                self.report.problem("type", f"{place}/properties/relations", "an array of {kind, to: UUID} is due")
        return out

    def _id(self, fields: Mapping[str, Any], properties: Mapping[str, Any], place: str) -> UUID:
        """The feature's own UUID; else one made from its id and the file's name; else from its content."""
        raw = fields.get("id", properties.get("id"))
        if isinstance(raw, str):
            try:
                return UUID(raw)
            except ValueError:
                pass
        if isinstance(raw, (str, int)) and not isinstance(raw, bool):
            return self.context.new_id(self.format, self.context.source, raw)
        content = [fields.get("geometry"), fields.get("shape"), fields.get("t"), properties]
        digest = sha256(json.dumps(content, sort_keys=True).encode()).digest()[:16]
        nth = self._seen.get(digest, 0)
        self._seen[digest] = nth + 1
        return self.context.new_id(self.format, digest.hex(), nth)

    def _attributes(self, properties: Mapping[str, Any], label: str, id: UUID) -> dict[str, Any]:
        """Attributes, and other properties that the label declares; all of them where there is no schema."""
        named = properties.get("attributes")
        out: dict[str, Any] = {}
        known = self.context.schema.find(label)
        declared = None if not self.context.schema.labels else {a.name for a in known.attributes} if known else set()
        for key, value in properties.items():
            if key in OWN or key == self.options.get("label-field") or value is None:
                continue
            if declared is None or key in declared:
                out[key] = value
            else:
                self.report.lose("dropped", f"property {key[:60]}", "the label declares no such attribute", id)
        if isinstance(named, Mapping):
            out.update(cast("Mapping[str, Any]", named))
        return out

    def _is_dropped(self, fields: Mapping[str, Any]) -> bool:
        """Whether a feature has no geometry, and such are to be left out."""
        geometry = fields.get("geometry")
        coordinates: Any = geometry.get("coordinates") if isinstance(geometry, Mapping) else None
        empty = self._drop_empty and fields.get("shape") is None and coordinates in (None, [])
        if empty:
            self.report.lose("dropped", "empty", "the feature has no geometry")
        return empty


def _column(fields: list[dict[str, Any]], name: str, none: float, dtype: Any) -> "NDArray[Any] | None":
    """Numbers of a field that is there in some rows; None where it is in none."""
    if not any(name in f for f in fields):
        return None
    return np.array([f.get(name, none) for f in fields], dtype=dtype)


def _unpacked(geometry: Any) -> Any:
    """A collection of geometries of one kind as that kind, which is what it means; anything else as it is."""
    parts = geometry.get("geometries") if isinstance(geometry, Mapping) else None
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in cast("list[object]", parts)):
        return cast("Any", geometry)
    found = cast("list[Mapping[str, Any]]", parts)
    kinds = {part.get("type") for part in found}
    kind = str(kinds.pop()) if len(kinds) == 1 else ""
    if kind not in ("Point", "LineString", "Polygon"):
        return cast("Any", geometry)
    if len(found) == 1:
        return found[0]
    return {"type": f"Multi{kind}", "coordinates": [part.get("coordinates") for part in found]}


def _has_heights(geometry: object) -> bool:
    """Whether the first position of a geometry has a third coordinate."""
    value: Any = cast("Mapping[str, Any]", geometry).get("coordinates") if isinstance(geometry, Mapping) else None
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    return isinstance(value, list) and len(cast("list[Any]", value)) == 3


def _without_heights(geometry: Any) -> Any:
    """Geometry with positions of two coordinates."""

    def flat(value: Any) -> Any:
        if isinstance(value, list) and value and not isinstance(value[0], list):
            return cast("list[Any]", value)[:2]
        return [flat(v) for v in cast("list[Any]", value)] if isinstance(value, list) else value

    return {**geometry, "coordinates": flat(geometry["coordinates"])}


def frame_member(context: Context) -> dict[str, Any]:
    """What a file says about the image and the frame that `shape` members are in."""
    return {"image": context.image, "frame": describe(context.grid.frame)}


def declared_frame(value: object, context: Context, report: Report) -> bool:
    """Whether `shape` members of a file with this `bigimage` member are in the image's frame.

    Raises FrameMismatch when the file is about another patient's frame of reference.
    """
    fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    frame = fields.get("frame")
    own = describe(context.grid.frame)
    if not isinstance(frame, Mapping) or frame == own:
        return True
    theirs = cast("Mapping[str, Any]", frame)
    if theirs.get("type") != own["type"] or own["type"] == "patient":
        raise FrameMismatch(f"the file's coordinates are in {dict(theirs)}, image {context.image} is in {own}")
    return own["type"] == "pixel"


def checked_crs(value: object) -> GeoFrame | None:
    """CRS of a `crs` member as GeoJSON had it in 2008; None when there is none. Raises InputError."""
    if value is None:
        return None
    fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    inner = fields.get("properties")
    text = cast("Mapping[str, Any]", inner).get("name") if isinstance(inner, Mapping) else None
    if not isinstance(text, str):
        raise InputError("the file's `crs` member names no CRS; give one with the option crs")
    return GeoFrame.of(text)

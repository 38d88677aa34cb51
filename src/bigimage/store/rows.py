"""Annotations as rows, both ways. Pure; the store brings what rows refer to.

Every shape's plain outline is stored as WKB (of contours their rings, as lines), so that tiles, maps and SQL users see
geometry whatever the shape; what an outline cannot say (an ellipse's radii, a mask's bits) is beside it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID, SafeUUID

import numpy as np
import shapely

from bigimage.errors import DataError, FrameMismatch, InputError
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame, describe
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation, frame_ndim
from bigimage.model.mask import ChunkIndex, Mask
from bigimage.model.member import member_of, shape_of_member
from bigimage.model.outline import outline
from bigimage.model.problem import Problem
from bigimage.model.shape import (
    KINDS,
    Box,
    Line,
    MultiPoint,
    PlanarContours,
    Point,
    Polygon,
    Shape,
    Tag,
    bounds,
)
from bigimage.store.bits import pack_chunks
from bigimage.store.cells import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE_CODES = {name: code for code, name in enumerate(KINDS, 1)}
"""What the database writes for each kind of shape; only ever add to the end of `KINDS`."""
SHAPE_NAMES = {code: name for name, code in SHAPE_CODES.items()}
_TYPE_CODES = {KINDS[name]: code for name, code in SHAPE_CODES.items()}
_PLANAR_TYPES = frozenset((Point, MultiPoint, Line, Polygon, PlanarContours))
_PLANAR: dict[int, tuple[type[Any], Callable[[Any, Any], None]]] = {
    SHAPE_CODES[name]: (KINDS[name], KINDS[name].__dict__["geometry"].__set__)
    for name in ("point", "multipoint", "line", "polygon", "contours")
}
"""Types of shapes that are their outline, and what sets it past their constructor's checks."""
_BOX, _MASK, _TAG = SHAPE_CODES["box"], SHAPE_CODES["mask"], SHAPE_CODES["tag"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970. Raises InputError for a moment without a time zone."""
    if moment.tzinfo is None:
        raise InputError(f"{moment} has no time zone; moments are UTC")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Inverse of `to_micros`, in UTC."""
    return EPOCH + timedelta(microseconds=value)


# ---- frames and grids


def frame_json(frame: Frame) -> str:
    """Stored form of a frame."""
    out: dict[str, Any] = {**describe(frame)}
    if isinstance(frame, PixelFrame):
        out["image"] = frame.image
        if frame.spacing is not None:
            out["spacing"] = list(frame.spacing)
    return json.dumps(out)


def frame_of_json(text: str) -> Frame:
    """Inverse of `frame_json`. Raises DataError on a frame of a newer version."""
    document = json.loads(text)
    match document["type"]:
        case "geo":
            return GeoFrame(document["crs"])
        case "patient":
            return PatientFrame(document["uid"])
        case "pixel":
            spacing = document.get("spacing")
            return PixelFrame(document["image"], None if spacing is None else (spacing[0], spacing[1]))
        case other:
            raise DataError(f"frame {other!r} in the database is of a newer bigimage")


def srid(frame: Frame) -> int:
    """EPSG code that PostGIS may show for a frame; 0 where there is none."""
    code = frame.crs.removeprefix("EPSG:") if isinstance(frame, GeoFrame) and frame.crs.startswith("EPSG:") else ""
    return int(code) if code.isdigit() and int(code) < 998_999 else 0


def grid_json(grid: Grid) -> str:
    """Stored form of the grid of a mask, without its frame, which is the image's."""
    return json.dumps([list(grid.shape), [list(row) for row in grid.affine], grid.slices], separators=(",", ":"))


def grid_of_json(text: str, frame: Frame) -> Grid:
    """Inverse of `grid_json`."""
    shape, affine, slices = json.loads(text)
    rows = tuple(tuple(float(v) for v in row) for row in affine)
    origins = None if slices is None else tuple((float(x), float(y), float(z)) for x, y, z in slices)
    return Grid(tuple(int(n) for n in shape), rows, frame, origins)


# ---- annotations to rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Annotations as columns."""

    uuids: bytes
    """16 of each, one behind the other."""
    shapes: list[int]
    labels: list[str]
    origins: list[str]
    scores: list[float | None]
    times: list[int | None]
    geometries: list[bytes | None]
    rests: list[str | None]
    bits: list[bytes | None]
    instances: list[str | None]
    low: "NDArray[np.float64]"
    """Minima of the shapes' boxes, shape (n, ndim); NaN for those without."""
    high: "NDArray[np.float64]"
    cell: "NDArray[np.int64]"
    """Cells; -1 for shapes without positions."""
    masks: Mapping[int, Mask]
    """Masks by their place in the batch."""

    def __len__(self) -> int:
        return len(self.shapes)


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    starts = accumulate(map(len, batches), initial=0)
    return Batch(
        uuids=b"".join([b.uuids for b in batches]),
        shapes=[v for b in batches for v in b.shapes],
        labels=[v for b in batches for v in b.labels],
        origins=[v for b in batches for v in b.origins],
        scores=[v for b in batches for v in b.scores],
        times=[v for b in batches for v in b.times],
        geometries=[v for b in batches for v in b.geometries],
        rests=[v for b in batches for v in b.rests],
        bits=[v for b in batches for v in b.bits],
        instances=[v for b in batches for v in b.instances],
        low=np.concatenate([b.low for b in batches]),
        high=np.concatenate([b.high for b in batches]),
        cell=np.concatenate([b.cell for b in batches]),
        masks={start + k: mask for start, b in zip(starts, batches, strict=False) for k, mask in b.masks.items()},
    )


def encode(annotations: Sequence[Annotation], frame: Frame, lattice_id: Callable[[Grid], int]) -> Batch:
    """Columns of annotations in a frame.

    Raises FrameMismatch when an annotation is in another frame, InputError when its positions are not finite or have
    the wrong number of coordinates.
    """
    for a in annotations:
        # mostly it is the same object, and comparing two frames takes longer than all the rest of this loop
        if a.frame is not frame and a.frame != frame:
            raise FrameMismatch(
                f"annotation {a.id} is in {describe(a.frame)}, its image in {describe(frame)}; transform it first"
            )
    n, size = len(annotations), frame_ndim(frame)
    outlines = np.empty(n, dtype=object)
    outlines[:] = [a.shape.geometry if type(a.shape) in _PLANAR_TYPES else outline(a.shape) for a in annotations]  # pyright: ignore[reportAttributeAccessIssue]
    low, high = _boxes(annotations, outlines, size)
    _require_sound(annotations, outlines, low, high)
    located = np.isfinite(low).all(axis=1)
    cell = np.full(n, -1, dtype=np.int64)
    if located.any():
        cell[located] = cells(low[located], high[located])
    masks = {k: a.shape for k, a in enumerate(annotations) if isinstance(a.shape, Mask)}
    return Batch(
        uuids=b"".join([a.id.int.to_bytes(16, "big") for a in annotations]),
        shapes=[_TYPE_CODES[type(a.shape)] for a in annotations],
        labels=[a.label for a in annotations],
        origins=[a.origin for a in annotations],
        scores=[a.score for a in annotations],
        times=[a.t for a in annotations],
        geometries=cast("list[bytes | None]", shapely.to_wkb(outlines).tolist()),
        rests=[_rest(a, lattice_id) for a in annotations],
        bits=[pack_chunks(masks[k].chunks, size) if k in masks else None for k in range(n)] if masks else [None] * n,
        instances=[a.instance for a in annotations],
        low=low,
        high=high,
        cell=cell,
        masks=masks,
    )


def _boxes(
    annotations: Sequence[Annotation], outlines: "NDArray[np.object_]", size: int
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Minima and maxima of all shapes; NaN where there is none. Raises InputError."""
    n = len(annotations)
    low, high = np.full((n, size), np.nan), np.full((n, size), np.nan)
    codes = [type(a.shape) in _OUTLINE_IS_EXACT for a in annotations]
    exact = np.array(codes, dtype=bool) & ~shapely.is_missing(outlines) & ~shapely.is_empty(outlines)
    if exact.any():
        plane = shapely.bounds(outlines[exact])
        low[exact, :2], high[exact, :2] = plane[:, :2], plane[:, 2:]
        if size == 3:
            points, owner = shapely.get_coordinates(outlines[exact], include_z=True, return_index=True)
            starts = np.flatnonzero(np.diff(owner, prepend=-1))
            low[exact, 2] = np.minimum.reduceat(points[:, 2], starts)
            high[exact, 2] = np.maximum.reduceat(points[:, 2], starts)
    for k in np.flatnonzero(~exact).tolist():
        found = bounds(annotations[k].shape)
        if found is not None and len(found[0]) == size:
            low[k], high[k] = found
    return low, high


def _require_sound(
    annotations: Sequence[Annotation],
    outlines: "NDArray[np.object_]",
    low: "NDArray[np.float64]",
    high: "NDArray[np.float64]",
) -> None:
    """Raise InputError for a shape that has the wrong number of coordinates or a position that is not finite."""
    size = low.shape[1]
    there = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
    fits = ~there | (shapely.get_coordinate_dimension(outlines) == size)
    finite = ~there | (np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1))
    for k in np.flatnonzero(~(fits & finite)).tolist():
        problem = f"needs {size} coordinates" if not fits[k] else "has a position that is not finite"
        raise InputError(f"the shape of annotation {annotations[k].id} {problem}")


_OUTLINE_IS_EXACT = _PLANAR_TYPES | {Box}


def _rest(annotation: Annotation, lattice_id: Callable[[Grid], int]) -> str | None:
    """What has no column of its own, as JSON; None when there is nothing."""
    a = annotation
    if type(a.shape) in _OUTLINE_IS_EXACT and not (a.attributes or a.relations) and a.instance is a.schema is None:
        return None
    out: dict[str, Any] = {}
    if a.attributes:
        out["attributes"] = a.attributes
    if a.instance is not None:
        out["instance"] = a.instance
    if a.relations:
        out["relations"] = [[r.kind, str(r.to)] for r in a.relations]
    if a.schema is not None:
        out["schema"] = a.schema
    if isinstance(a.shape, Mask):
        box = a.shape.box
        out["grid"] = lattice_id(a.shape.grid)
        out["box"] = None if box is None else [box.start, box.stop]
    elif type(a.shape) not in _OUTLINE_IS_EXACT:
        member = member_of(a.shape)
        if member != {"type": "tag"}:
            out["shape"] = member
    return _dumped(out, f"annotation {a.id}")


def rest_json(attributes: Mapping[str, Any], instance: str | None, schema: int | None) -> str | None:
    """`_rest` of an annotation whose outline is exact and that has no relations."""
    out: dict[str, Any] = {}
    if attributes:
        out["attributes"] = attributes
    if instance is not None:
        out["instance"] = instance
    if schema is not None:
        out["schema"] = schema
    return _dumped(out, "a row")


_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _dumped(rest: Mapping[str, Any], whose: str) -> str | None:
    """JSON of what has no column of its own. Raises InputError."""
    if not rest:
        return None
    try:
        return _JSON.encode(rest)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"attributes of {whose} are not JSON values: {error}") from error


# ---- rows to annotations


class Row(NamedTuple):
    """What a query reads of one annotation."""

    annotation: int
    """Id in the database."""
    uuid: Any
    """As the database gives it; see `Database.uuid`."""
    version: int
    born: int
    """Revision of the first version."""
    revision: int
    """Revision of this version."""
    shape: int
    label: int
    origin: int
    score: float | None
    t: int | None
    geometry: bytes | None
    rest: str | None


_GEOMETRY = Row._fields.index("geometry")


@dataclass(frozen=True, slots=True)
class Context:
    """What rows of one image refer to."""

    image: str
    frame: Frame
    texts: Mapping[int, str]
    """Texts by their id."""
    revisions: Mapping[int, tuple[str, datetime]]
    """Author and time of each revision that the rows name."""
    grids: Mapping[int, Grid]
    """Grids of masks by their id."""
    chunks: Mapping[int, Mapping[ChunkIndex, bytes]]
    """Bits of masks by the database id of their annotation."""
    uuid: Callable[[Any], UUID]
    """Makes UUIDs of what the database gives."""


def decode(rows: Sequence[Row], context: Context) -> list[Annotation]:
    """Annotations of rows. Raises DataError for what is damaged."""
    try:
        return _decoded(rows, context)
    except (shapely.errors.ShapelyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        told = f"annotations of image {context.image!r} are damaged in the database ({str(error)[:200]})"
        raise DataError(f"{told}; restore the workspace from a backup") from error


def _decoded(rows: Sequence[Row], context: Context) -> list[Annotation]:
    """Annotations of rows."""
    column = np.empty(len(rows), dtype=object)
    column[:] = [row[_GEOMETRY] for row in rows]
    geometries = shapely.from_wkb(column).tolist()
    texts, revisions, uuid_from = context.texts, context.revisions, context.uuid
    common: dict[Any, dict[str, Any]] = {}
    out: list[Annotation] = []
    for row, geometry in zip(rows, geometries, strict=True):
        _, uuid, version, born, revision, shape, label, origin, score, t, _, text = row
        key = version, born, revision, label, origin
        fields = common.get(key)
        if fields is None:
            author, created = revisions[born]
            editor, modified = revisions[revision]
            # every field, in their order; those that differ from row to row are set below
            fields = common[key] = {
                **{"id": uuid, "image": context.image, "label": texts[label], "shape": None, "frame": context.frame},
                **{"attributes": {}, "t": None, "origin": texts[origin], "score": None, "instance": None},
                **{"relations": (), "schema": None, "version": version, "author": author, "editor": editor},
                **{"created": created, "modified": modified},
            }
        # the constructor of a frozen dataclass takes eight times as long, and windows hold thousands
        made = _new(Annotation)
        own = made.__dict__
        own.update(fields)
        own["id"], own["t"], own["score"] = uuid_from(uuid), t, score
        rest: dict[str, Any] = {} if text is None else json.loads(text)
        own["attributes"] = rest.get("attributes", {})
        if rest:
            relations = rest.get("relations", ())
            own["relations"] = tuple(Relation(what, UUID(to)) for what, to in relations)
            own["instance"], own["schema"] = rest.get("instance"), rest.get("schema")
        planar = _PLANAR.get(shape)
        if planar is None:
            own["shape"] = _shape(row, geometry, rest, context)
        else:
            kind, set_geometry = planar
            own["shape"] = drawn = _new(kind)
            set_geometry(drawn, geometry)
        out.append(made)
    return out


_new = object.__new__
_int_of = int.from_bytes
_set_int: Callable[[UUID, int], None] = UUID.__dict__["int"].__set__
_set_safe: Callable[[UUID, SafeUUID], None] = UUID.__dict__["is_safe"].__set__
_unknown = SafeUUID.unknown


def uuid_of(value: bytes) -> UUID:
    """UUID of 16 bytes; a quarter of the time of its own constructor, which looks which of six forms it was given."""
    made = _new(UUID)
    _set_int(made, _int_of(value, "big"))
    _set_safe(made, _unknown)
    return made


def _shape(row: Row, geometry: Any, rest: Mapping[str, Any], context: Context) -> Shape:
    """Shape that is more than its outline."""
    if row.shape == _BOX:
        found = shapely.get_coordinates(geometry, include_z=frame_ndim(context.frame) == 3)
        return Box(tuple(found.min(axis=0).tolist()), tuple(found.max(axis=0).tolist()))
    if row.shape == _MASK:
        return Mask(context.grids[rest["grid"]], context.chunks.get(row.annotation, {}))
    if row.shape == _TAG and "shape" not in rest:
        return Tag()
    problems: list[Problem] = []
    shape = shape_of_member(rest.get("shape"), ndim=frame_ndim(context.frame), grid=None, problems=problems)
    if shape is None:
        raise DataError(f"annotation {context.uuid(row.uuid)} is damaged in the database", tuple(map(str, problems)))
    return shape

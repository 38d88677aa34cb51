"""Rows of tables: annotations as columns, and columns that never were objects as they come from the database."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import shapely

from bigimage.formats.door import Context, Report
from bigimage.formats.vector.features import as_array
from bigimage.formats.vector.reprojection import Reprojection
from bigimage.formats.vector.tables import arrow, declared, schema_of
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.lonlat import to_crs
from bigimage.model.member import member_of
from bigimage.model.outline import outline

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_HEAD = 13
"""Bytes of a polygon of one ring before its positions: byte order, type, number of rings, number of positions."""
_POLYGON = np.frombuffer(b"\x01\x03\x00\x00\x00\x01\x00\x00\x00", np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES = (8, 13, 18, 23)
"""Places of the dashes in the text of a UUID."""


def groups(
    pieces: Iterable[PlainColumns | list[Annotation]], size: int
) -> Iterator[list[PlainColumns | list[Annotation]]]:
    """Pieces of `size` rows together, however they came: where groups end depends on nothing else."""
    waiting: list[PlainColumns | list[Annotation]] = []
    count = 0
    for piece in pieces:
        rest = piece
        while count + len(rest) >= size:
            fits = size - count
            yield [*waiting, rest[:fits]]
            waiting, count, rest = [], 0, rest[fits:]
        if len(rest):
            waiting.append(rest)
            count += len(rest)
    if waiting:
        yield waiting


def record_batches(
    pieces: Iterable[PlainColumns | list[Annotation]],
    frame: GeoFrame | None,
    *,
    context: Context,
    report: Report,
    format: str,
) -> "Iterator[tuple[pa.RecordBatch, NDArray[np.float64]]]":
    """Rows of each piece, and the boxes (n, 4) of their geometries."""
    pa = arrow(format)
    schema = schema_of(pa, context)
    extra = declared(context.schema)
    own = context.grid.frame
    moves = None
    if frame is not None and frame != own and isinstance(own, GeoFrame):
        moves = Reprojection(context.grid, own, frame, report)
    for piece in pieces:
        if isinstance(piece, PlainColumns):
            data, boxes = _of_columns(pa, piece, extra, moves)
        else:
            data, boxes = _of_annotations(piece, extra, moves)
        arrays = [
            v if isinstance(v := data[f.name], pa.Array) else pa.array(v, type=f.type, from_pandas=True) for f in schema
        ]
        report.written += len(piece)
        yield pa.record_batch(arrays, schema=schema), boxes
    if moves is not None:
        moves.end()


def _of_annotations(
    batch: Sequence[Annotation], extra: Mapping[str, str], moves: Reprojection | None
) -> "tuple[dict[str, Any], NDArray[np.float64]]":
    """Columns of annotations, and boxes."""
    geometries = as_array(outline(a.shape) for a in batch)
    if moves is not None:
        moves.look(geometries, lambda k: batch[k].id)
        geometries = to_crs(geometries.tolist(), moves.own, moves.target)
    geometries = shapely.orient_polygons(geometries)
    data = {**_plain_columns(batch), **_attribute_columns([a.attributes for a in batch], extra)}
    return {**data, "geometry": shapely.to_wkb(geometries)}, shapely.bounds(geometries)


def _of_columns(
    pa: Any, part: PlainColumns, extra: Mapping[str, str], moves: Reprojection | None
) -> "tuple[dict[str, Any], NDArray[np.float64]]":
    """Columns of what comes as columns, and boxes."""
    # of a bulk import all rows say the same here, mostly nothing
    same = len(set(part.rest)) == 1
    rest = [_rest(part.rest[0])] * len(part) if same else [_rest(text) for text in part.rest]
    attributes, relations, instances = zip(*rest, strict=True) if rest else ((), (), ())
    if same and rest[0] == (None, None, None):
        attributes = relations = instances = pa.nulls(len(part), pa.string())
    geometry, boxes = _placed(pa, part.outlines) if moves is None else _moved(pa, part, moves)
    data: dict[str, Any] = {
        "id": _id_texts(pa, part.keys),
        "label": part.labels,
        "attributes": attributes,
        "shape": pa.nulls(len(part), pa.string()),
        "relations": relations,
        "t": part.times,
        "origin": part.origins,
        "score": part.scores,
        "instance": instances,
        "geometry": geometry,
    }
    if extra:
        data |= _attribute_columns([json.loads(r[0]) if r[0] else {} for r in rest], extra)
    return data, boxes


def _plain_columns(batch: Sequence[Annotation]) -> dict[str, list[Any]]:
    """Fields of annotations by column."""
    members = [member_of(a.shape) for a in batch]
    return {
        "id": [str(a.id) for a in batch],
        "label": [a.label for a in batch],
        "attributes": [dump(dict(a.attributes)) if a.attributes else None for a in batch],
        "shape": [None if m is None else dump(m) for m in members],
        "relations": [
            dump([{"kind": r.kind, "to": str(r.to)} for r in a.relations]) if a.relations else None for a in batch
        ],
        "t": [a.t for a in batch],
        "origin": [a.origin for a in batch],
        "score": [a.score for a in batch],
        "instance": [a.instance for a in batch],
    }


def _attribute_columns(batch: Sequence[Mapping[str, Any]], extra: Mapping[str, str]) -> dict[str, list[Any]]:
    """Declared attributes of each row by column, for programs that know columns only."""
    casts: dict[str, Any] = {"double": float, "int64": int, "bool": bool, "string": _text}
    out: dict[str, list[Any]] = {}
    for column, type_ in extra.items():
        values = [attributes.get(column) for attributes in batch]
        out[column] = [None if v is None else casts[type_](v) for v in values]
    return out


def _text(value: Any) -> str:
    """A value as a text; lists as JSON."""
    return value if isinstance(value, str) else dump(value)


def dump(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _id_texts(pa: Any, keys: Sequence[bytes]) -> Any:
    """Column of ids as texts, of their 16 bytes."""
    packed = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
    text = np.empty((len(packed), 36), np.uint8)
    digits = [k for k in range(36) if k not in _DASHES]
    text[:, list(_DASHES)] = ord("-")
    text[:, digits[0::2]] = _HEX[packed >> 4]
    text[:, digits[1::2]] = _HEX[packed & 15]
    offsets = np.arange(len(packed) + 1, dtype=np.int32) * 36
    return pa.StringArray.from_buffers(len(packed), pa.py_buffer(offsets), pa.py_buffer(text.ravel()))


def _binaries(pa: Any, joined: Any, lengths: "NDArray[np.int64]") -> Any:
    """Column of binary values that stand one behind the other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(joined)])


def _placed(pa: Any, outlines: Sequence[bytes]) -> "tuple[Any, NDArray[np.float64]]":
    """Column of geometries with rings right-handed, and their boxes (n, 4).

    Polygons of one ring are looked at as numbers, all together; whatever else is among them goes through GEOS.
    """
    joined: Any = b"".join(outlines)
    lengths = np.fromiter(map(len, outlines), np.int64, len(outlines))
    found = _rings(joined, lengths)
    if found is None:
        return _as_geometries(pa, shapely.from_wkb(np.array(outlines, dtype=object)))
    points, counts, body = found
    starts = np.cumsum(counts) - counts
    left_handed = _areas(points, starts, counts) < 0
    if left_handed.any():
        # the other way round from the same corner, as GEOS turns rings
        order = np.arange(len(points))
        ends = np.repeat(2 * starts + counts - 1, counts)
        turned = np.repeat(left_handed, counts)
        order[turned] = ends[turned] - order[turned]
        data = np.frombuffer(joined, np.uint8).copy()
        data[body] = points[order].view(np.uint8).ravel()
        joined = data
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    return _binaries(pa, joined, lengths), np.hstack([low, high])


def _moved(pa: Any, part: PlainColumns, moves: Reprojection) -> "tuple[Any, NDArray[np.float64]]":
    """The same in another CRS."""
    geometries = shapely.from_wkb(np.array(part.outlines, dtype=object))
    moves.look(geometries, lambda k: UUID(bytes=part.keys[k]))
    return _as_geometries(pa, to_crs(geometries.tolist(), moves.own, moves.target))


def _as_geometries(pa: Any, geometries: "NDArray[np.object_]") -> "tuple[Any, NDArray[np.float64]]":
    """Column and boxes of geometries."""
    geometries = shapely.orient_polygons(geometries)
    return pa.array(shapely.to_wkb(geometries), type=pa.binary()), shapely.bounds(geometries)


def _rings(
    joined: bytes, lengths: "NDArray[np.int64]"
) -> "tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]] | None":
    """Positions of polygons of one ring each, their numbers, and which bytes hold them; None where one is another."""
    if not len(lengths) or int(lengths.min()) < _HEAD + 16:
        return None
    data = np.frombuffer(joined, np.uint8)
    heads = (np.cumsum(lengths) - lengths)[:, None] + np.arange(_HEAD)
    head = data[heads]
    counts = np.ascontiguousarray(head[:, len(_POLYGON) :]).view("<u4").ravel().astype(np.int64)
    if not ((head[:, : len(_POLYGON)] == _POLYGON).all() and (_HEAD + 16 * counts == lengths).all()):
        return None
    keep = np.ones(len(data), np.bool_)
    keep[heads.ravel()] = False
    return data[keep].view("<f8").reshape(-1, 2), counts, keep


def _areas(
    points: "NDArray[np.float64]", starts: "NDArray[np.int64]", counts: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """Twice the area of each ring, positive where it runs counter-clockwise."""
    # about the first corner, lest the place on the map swallow the digits
    near = points - np.repeat(points[starts], counts, axis=0)
    cross = np.zeros(len(points))
    cross[:-1] = near[:-1, 0] * near[1:, 1] - near[1:, 0] * near[:-1, 1]
    cross[starts + counts - 1] = 0
    return np.add.reduceat(cross, starts)


@lru_cache(maxsize=4096)
def _rest(text: str | None) -> tuple[str | None, str | None, str | None]:
    """Attributes and relations as JSON, and instance, of what a row says besides its columns."""
    if text is None:
        return None, None, None
    fields = json.loads(text)
    attributes, relations = fields.get("attributes"), fields.get("relations")
    related = [{"kind": r[0], "to": r[1]} for r in relations] if relations else None
    return dump(attributes) if attributes else None, dump(related) if related else None, fields.get("instance")

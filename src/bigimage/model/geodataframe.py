"""Annotations as a GeoDataFrame, both ways."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np

from bigimage.errors import InputError
from bigimage.geometry.frame import Frame, GeoFrame, require_same
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation, Relation, frame_ndim
from bigimage.model.geojson import geometry_dict, shape_of
from bigimage.model.member import member_of
from bigimage.model.outline import outline
from bigimage.model.problem import Problem, require_none
from bigimage.model.table import Table, Texts, are_plain, packed_ids, parsed_ids

if TYPE_CHECKING:
    import geopandas

COLUMNS = (
    *("id", "image", "label", "shape", "attributes", "t", "origin", "score", "instance", "relations", "schema"),
    *("version", "author", "editor", "created", "modified"),
)
"""Columns besides `geometry`. `shape` holds the `shape` member as a dict, None for plain geometries."""


def to_geodataframe(annotations: Iterable[Annotation]) -> "geopandas.GeoDataFrame":
    """GeoDataFrame with a row per annotation: its plain geometry, and `COLUMNS`.

    The CRS is that of the annotations' frame, or none for patient and pixel coordinates. Raises InputError when the
    annotations are in several frames.
    """
    import geopandas

    rows = list(annotations)
    frames = {a.frame for a in rows}
    if len(frames) > 1:
        raise InputError("these annotations are in several frames; make one GeoDataFrame for each")
    frame = next(iter(frames), None)
    data = {name: [_cell(a, name) for a in rows] for name in COLUMNS}
    return geopandas.GeoDataFrame(
        data,
        geometry=[outline(a.shape) for a in rows],  # pyright: ignore[reportArgumentType]
        crs=frame.crs if isinstance(frame, GeoFrame) else None,
    )


def _cell(annotation: Annotation, name: str) -> Any:
    """Value of one column."""
    match name:
        case "shape":
            return member_of(annotation.shape)
        case "attributes":
            return dict(annotation.attributes)
        case "relations":
            return [{"kind": r.kind, "to": str(r.to)} for r in annotation.relations]
        case "id":
            return str(annotation.id)
        case _:
            return getattr(annotation, name)


def from_geodataframe(
    table: "geopandas.GeoDataFrame",
    *,
    image: str,
    frame: Frame,
    new_id: Callable[[], UUID],
    grid: Grid | None = None,
    label: str | None = None,
) -> list[Annotation]:
    """Annotations of a GeoDataFrame's rows.

    Columns that are not in `COLUMNS` become attributes, missing values left out.

    Parameters
    ----------
    table
        Its geometries must be in `frame`'s CRS; one without a CRS is taken to be in the frame.
    image, frame
        The image that the annotations belong to, and its frame.
    new_id
        Called for rows without an `id`.
    grid
        Finest grid of the image, which masks need.
    label
        Label of the rows when there is no column `label`.

    Raises
    ------
    FrameMismatch
        When the table has another CRS; `table.to_crs` transforms it.
    Invalid
        With every problem of every row.
    """
    if table.crs is not None:
        require_same(GeoFrame.of(table.crs.to_wkt()), frame)
    geometry = str(table.geometry.name)
    extra = [str(c) for c in table.columns if c not in COLUMNS and c != geometry]
    problems: list[Problem] = []
    found: list[Annotation] = []
    for k, row in enumerate(_rows(table)):
        value = row.get(geometry)
        plain = None if value is None or value.is_empty else geometry_dict(value)
        shape = shape_of(plain, row.get("shape"), ndim=frame_ndim(frame), grid=grid)
        name = row.get("label") or label
        if not name:
            problems.append(Problem("label", f"{k}/label", "the row has no label, and none is given for all"))
        if isinstance(shape, list):
            problems.extend(p.below(str(k)) for p in shape)
        elif name:
            attributes = {c: row[c] for c in extra if c in row}
            try:
                fields = _fields(row, attributes)
            except (ValueError, TypeError, KeyError) as error:
                problems.append(Problem("value", str(k), f"{type(error).__name__}: {error}"))
                continue
            fields.setdefault("id", new_id())
            found.append(Annotation(image=image, label=str(name), shape=shape, frame=frame, **fields))
    require_none("the table", problems)
    return found


def table_of_geodataframe(
    table: "geopandas.GeoDataFrame",
    *,
    image: str,
    frame: Frame,
    new_id: Callable[[], UUID],
    label: str | None = None,
) -> Table | None:
    """The rows of a GeoDataFrame as a table, which stands for what `from_geodataframe` makes of them.

    None when anything about them needs a closer look: shapes that are more than their geometry, relations, cells that
    are no plain values, anything that may be wrong. Raises FrameMismatch.
    """
    if table.crs is not None:
        require_same(GeoFrame.of(table.crs.to_wkt()), frame)
    geometries = np.asarray(table.geometry.array, dtype=object)
    n = len(table)
    if frame_ndim(frame) != 2 or not n or not are_plain(geometries) or not table.columns.is_unique:
        return None
    columns = {str(name): _cells(table[name]) for name in table.columns if str(name) != str(table.geometry.name)}
    if any(values is None for values in columns.values()):
        return None
    cells = cast("dict[str, list[Any]]", columns)
    if any(v is not None for name in ("shape", "relations", "attributes") for v in cells.get(name, ())):
        return None
    labels = [v or label for v in cells.get("label", [None] * n)]
    ids = parsed_ids(cells["id"]) if "id" in cells else packed_ids([new_id() for _ in range(n)])
    schemas = set(cells.get("schema", [None]))
    if ids is None or len(schemas) > 1 or not all(type(v) is str for v in labels):
        return None
    extra = {name: values for name, values in cells.items() if name not in COLUMNS}
    rest = _plain_fields(cells, n)
    if rest is None:
        return None
    return Table(
        image=image,
        frame=frame,
        ids=ids,
        labels=Texts.of(cast("list[str]", labels), n),
        geometries=geometries,
        attributes=_records(extra) if extra else None,
        schema=None if schemas == {None} else int(schemas.pop()),
        **rest,
    )


def _cells(column: Any) -> list[Any] | None:
    """Plain values of a column, None where they are missing; None for a column of anything else."""
    missing = column.isna().to_numpy()
    values: list[Any] = column.tolist()
    if column.dtype.kind not in "biuf":
        values = [None if gone else v for v, gone in zip(values, missing.tolist(), strict=True)]
        return values if all(v is None or type(v) in (str, bool, int, float) for v in values) else None
    return [None if gone else v for v, gone in zip(values, missing.tolist(), strict=True)] if missing.any() else values


def _plain_fields(cells: Mapping[str, list[Any]], n: int) -> dict[str, Any] | None:
    """Columns of a table besides ids, labels, shapes and attributes; None where a value needs a closer look."""
    times, scores, instances = cells.get("t"), cells.get("score"), cells.get("instance")
    origins = ["manual" if v is None else v for v in cells.get("origin", [])] or "manual"
    numbers = [*(times or ()), *(scores or ())]
    texts = [*(instances or ()), *origins]
    if any(v is not None and type(v) not in (int, float) for v in numbers):
        return None
    if any(v is not None and type(v) is not str for v in texts) or any(v == -1 for v in times or ()):
        return None
    return {
        "origins": Texts.of(origins, n),
        "times": None if times is None else np.array([-1 if v is None else int(v) for v in times], dtype=np.int64),
        "scores": None if scores is None else np.array([np.nan if v is None else v for v in scores], dtype=np.float64),
        "instances": instances,
    }


def _records(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Attributes of each row, missing ones left out."""
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    if any(v is None for values in columns.values() for v in values):
        return [{name: v for name, v in zip(names, row, strict=True) if v is not None} for row in rows]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _fields(row: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an annotation that a table need not have."""
    out: dict[str, Any] = {}
    makers = (("id", _uuid), ("t", int), ("origin", str), ("score", float), ("instance", str), ("schema", int))
    for name, make in makers:
        value = row.get(name)
        if value is not None:
            out[name] = make(value)
    out["attributes"] = _json_values({**attributes, **dict(row.get("attributes") or {})})
    relations = row.get("relations") or ()
    out["relations"] = tuple(Relation(r["kind"], UUID(r["to"])) for r in relations)
    return out


def _uuid(value: object) -> UUID:
    """Id of a cell."""
    return UUID(str(value))


def _rows(table: "geopandas.GeoDataFrame") -> Iterator[dict[str, Any]]:
    """Rows of a table without their missing values (None, NaN, NaT and the like)."""
    values = cast("Sequence[dict[str, Any]]", table.to_dict("records"))
    gaps = cast("Sequence[dict[str, bool]]", table.isna().to_dict("records"))
    for row, gap in zip(values, gaps, strict=True):
        yield {name: value for name, value in row.items() if not gap[name]}


def _json_values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with numpy's and pandas' scalars turned into plain JSON values."""
    return json.loads(json.dumps(attributes, default=_plain))


def _plain(value: Any) -> Any:
    """Plain value of a numpy scalar or array, a time or anything else that can be written."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

"""GeoParquet 1.1: well-known binary, the CRS as PROJJSON, a box of each row; written and read by row groups."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.errors import DataError
from bigimage.formats.batches import batches
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import tables
from bigimage.formats.vector.tablerows import record_batches
from bigimage.formats.vector.tables import Rows, T, TableReading, arrow, schema_of, target_frame
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "geoparquet"
SUFFIXES = (".parquet",)
KEEPS = tables.KEEPS
OPTIONS = tables.OPTIONS
_COVERING = {k: ["bbox", k] for k in ("xmin", "ymin", "xmax", "ymax")}


def sniff(path: Path) -> bool:
    """Whether a file is Parquet with geometries."""
    if not path.is_file() or path.stat().st_size < 12:
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return False
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        return b"primary_column" in file.read()


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a row group for each batch; see `bigimage.formats.door.VectorFormat.write`."""
    write_columns(path, batches(annotations, tables.SIZE), context=context, report=report, options=options)


def write_columns(
    path: Path,
    pieces: Iterable[PlainColumns | list[Annotation]],
    *,
    context: Context,
    report: Report,
    options: Options,
) -> None:
    """Write annotations of which those that are plain geometries come as columns: the bytes are the same."""
    pa = arrow(NAME)
    from pyarrow import parquet

    frame = target_frame(context, options)
    schema = schema_of(pa, context)
    box = pa.struct([pa.field(k, pa.float64()) for k in _COVERING])
    columns = schema.append(pa.field("bbox", box)).with_metadata({"geo": json.dumps(_metadata(frame))})
    settings: dict[str, Any] = {"compression": "zstd", "version": "2.6", "use_dictionary": _dictionaries(columns)}
    with parquet.ParquetWriter(path, columns, **settings) as writer:
        for group in _groups(pieces):
            made = record_batches(group, frame, context=context, report=report, format=NAME)
            parts = [[*batch.columns, _boxes(pa, bounds)] for batch, bounds in made]
            arrays = [pa.concat_arrays(column) for column in zip(*parts, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=columns))


def _dictionaries(columns: Any) -> list[str]:
    """Columns that may repeat themselves: all but ids, geometries and boxes."""
    return [name for name in columns.names if name not in ("id", "geometry", "bbox")]


def _groups(pieces: Iterable[PlainColumns | list[Annotation]]) -> Iterator[list[PlainColumns | list[Annotation]]]:
    """Pieces of `tables.SIZE` rows together, however they came: where row groups end depends on nothing else."""
    waiting: list[PlainColumns | list[Annotation]] = []
    count = 0
    for piece in pieces:
        rest = piece
        while count + len(rest) >= tables.SIZE:
            fits = tables.SIZE - count
            yield [*waiting, rest[:fits]]
            waiting, count, rest = [], 0, rest[fits:]
        if len(rest):
            waiting.append(rest)
            count += len(rest)
    if waiting:
        yield waiting


def _boxes(pa: Any, bounds: "NDArray[np.float64]") -> Any:
    """Boxes (n, 4) of geometries as a column; null where there is none."""
    gone = np.isnan(bounds).any(axis=1)
    arrays = [pa.array(bounds[:, k]) for k in range(4)]
    return pa.StructArray.from_arrays(arrays, names=list(_COVERING), mask=pa.array(gone))


def _metadata(frame: GeoFrame | None) -> dict[str, Any]:
    """The file's description of its geometries."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [], "orientation": "counterclockwise"}
    column["edges"] = "planar"
    column["crs"] = None if frame is None else frame.proj.to_json_dict()
    column["covering"] = {"bbox": _COVERING}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a file; see `bigimage.formats.door.VectorFormat.read`."""
    return _read(path, TableReading.annotations, context=context, report=report, options=options)


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables; None for what `read` must look at row by row."""
    return _read(path, TableReading.table, context=context, report=report, options=options)


def _read(path: Path, rows: Rows[T], *, context: Context, report: Report, options: Options) -> Iterator[T]:
    """What is made of the rows of a file."""
    pa = arrow(NAME)
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            column, crs = _geometry_column(file.schema_arrow.metadata or {}, path)
            reading = TableReading(context, report, options, NAME, crs)
            names = [n for n in file.schema_arrow.names if n not in ("bbox", column)]
            for batch in file.iter_batches(tables.SIZE, columns=[*names, column]):
                wkb = batch.column(column).to_pylist()
                yield from rows(reading, {n: batch.column(n).to_pylist() for n in names}, wkb)
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError, shapely.errors.GEOSException) as error:
        raise DataError(f"{path.name} is damaged: {str(error)[:300]}") from error


def _geometry_column(metadata: Any, path: Path) -> tuple[str, str | None]:
    """Name of the column of geometries, and its CRS. Raises DataError."""
    try:
        geo = json.loads(metadata[b"geo"])
        name = geo["primary_column"]
        column = geo["columns"][name]
        encoding = column["encoding"]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path.name} does not say which column holds geometries: it is no GeoParquet") from error
    if encoding != "WKB":
        raise DataError(f"{path.name} holds geometries as {str(encoding)[:40]}; only WKB is read")
    # without a word about it the CRS is longitude and latitude; null means that there is none
    crs = column.get("crs", "OGC:CRS84")
    return name, crs if crs is None or isinstance(crs, str) else json.dumps(crs)

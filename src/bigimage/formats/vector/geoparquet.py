"""GeoParquet 1.1: well-known binary, the CRS as PROJJSON, a box of each row; written and read by row groups.

Read are native encodings of geometries, too, and folders of files, whose `key=value` parts are columns.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import shapely

from bigimage.errors import DataError
from bigimage.formats.batches import batches
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import geoarrow, tables
from bigimage.formats.vector.tablerows import groups, record_batches
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
MOST_FILES = 10_000
"""Files of a folder that are looked at to tell its format."""
_COVERING = {k: ["bbox", k] for k in ("xmin", "ymin", "xmax", "ymax")}


def sniff(path: Path) -> bool:
    """Whether a file is Parquet with geometries, or a folder of nothing else."""
    if path.is_dir():
        files = list(islice(_data_files(path), MOST_FILES))
        return bool(files) and all(file.suffix.lower() == ".parquet" for file in files) and sniff(min(files))
    if not path.is_file() or path.stat().st_size < 12:
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return False
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        return b"primary_column" in file.read()


def _data_files(folder: Path) -> Iterator[Path]:
    """Files of a folder but those that begin with _ or ., which say something about the others."""
    return (p for p in folder.rglob("*") if p.is_file() and not any(x[0] in "_." for x in p.relative_to(folder).parts))


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
        for group in groups(pieces, tables.SIZE):
            made = record_batches(group, frame, context=context, report=report, format=NAME)
            parts = [[*batch.columns, _boxes(pa, bounds)] for batch, bounds in made]
            arrays = [pa.concat_arrays(column) for column in zip(*parts, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=columns))


def _dictionaries(columns: Any) -> list[str]:
    """Columns that may repeat themselves: all but ids, geometries and boxes."""
    return [name for name in columns.names if name not in ("id", "geometry", "bbox")]


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
    """What is made of the rows of a file, or of all files of a folder, by their names."""
    pa = arrow(NAME)
    seen: dict[bytes, int] = {}
    readings: dict[str | None, TableReading] = {}
    for file in sorted(_data_files(path)) if path.is_dir() else [path]:
        parts = file.relative_to(path).parts[:-1] if path.is_dir() else ()
        fixed = {unquote(k): unquote(v) for k, _, v in (part.partition("=") for part in parts) if k and v}
        try:
            for crs, columns, wkb in _batches(file):
                if crs not in readings:
                    readings[crs] = TableReading(context, report, options, NAME, crs, seen)
                yield from rows(readings[crs], {**columns, **{k: [v] * len(wkb) for k, v in fixed.items()}}, wkb)
        except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError, shapely.errors.GEOSException) as error:
            raise DataError(f"{file.name} is damaged: {str(error)[:300]}") from error


def _batches(path: Path) -> Iterator[tuple[str | None, dict[str, list[Any]], list[Any]]]:
    """CRS, columns and geometries in well-known binary of a file's row groups."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        found = _geometry_column(file.schema_arrow.metadata or {}, path)
        names = [n for n in file.schema_arrow.names if n not in (*found.covering, found.name)]
        for batch in file.iter_batches(tables.SIZE, columns=[*names, found.name]):
            column = batch.column(found.name)
            if found.encoding == "WKB":
                wkb = column.to_pylist()
            else:
                try:
                    wkb = shapely.to_wkb(geoarrow.geometries(column, found.encoding)).tolist()
                except (ValueError, TypeError) as error:
                    raise DataError(f"{path.name} does not hold what it says: {error}") from error
            yield found.crs, {n: batch.column(n).to_pylist() for n in names}, wkb


@dataclass(frozen=True, slots=True)
class _Column:
    """A file's column of geometries, as its metadata say."""

    name: str
    encoding: str
    crs: str | None
    covering: frozenset[str]
    """Columns that hold boxes of the geometries."""


def _geometry_column(metadata: Any, path: Path) -> _Column:
    """The primary column of geometries. Raises DataError."""
    try:
        geo = json.loads(metadata[b"geo"])
        name = geo["primary_column"]
        column = geo["columns"][name]
        encoding = column["encoding"]
        boxes = column.get("covering", {}).get("bbox", {})
        covering = frozenset(["bbox", *(str(where[0]) for where in boxes.values())])
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path.name} does not say which column holds geometries: it is no GeoParquet") from error
    if encoding != "WKB" and encoding not in geoarrow.DEPTHS:
        known = ", ".join(["WKB", *geoarrow.DEPTHS])
        raise DataError(f"{path.name} holds geometries as {str(encoding)[:40]}; what is read is {known}")
    # without a word about it the CRS is longitude and latitude; null means that there is none
    crs = column.get("crs", "OGC:CRS84")
    return _Column(name, encoding, crs if crs is None or isinstance(crs, str) else json.dumps(crs), covering)

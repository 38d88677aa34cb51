"""GeoPackage: a database of one layer, as QGIS saves."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bigimage.formats.batches import batches
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import ogr, tables
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.table import Table

NAME = "geopackage"
SUFFIXES = (".gpkg",)
KEEPS = tables.KEEPS
OPTIONS = {**tables.OPTIONS, "layer": ogr.LAYER}


def sniff(path: Path) -> bool:
    """Whether a file has the marks of its format."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(100)
    return head[:15] == b"SQLite format 3" and head[68:72] in (b"GPKG", b"GP10", b"GP11")


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one layer; see `bigimage.formats.door.VectorFormat.write`."""
    write_columns(path, batches(annotations, ogr.PIECE), context=context, report=report, options=options)


def write_columns(
    path: Path,
    pieces: Iterable[PlainColumns | list[Annotation]],
    *,
    context: Context,
    report: Report,
    options: Options,
) -> None:
    """Write annotations of which those that are plain geometries come as columns: the bytes are the same."""
    ogr.write(path, pieces, driver="GPKG", context=context, report=report, options=options, settings={})


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a layer; see `bigimage.formats.door.VectorFormat.read`."""
    yield from ogr.read(path, format=NAME, context=context, report=report, options=options)


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables; None for what `read` must look at row by row."""
    return ogr.read_tables(path, format=NAME, context=context, report=report, options=options)

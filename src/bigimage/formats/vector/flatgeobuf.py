"""FlatGeobuf: a stream of features with a packed R-tree, made for reading parts of it over HTTP."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from bigimage.formats.batches import batches
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import ogr, tables
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.table import Table

NAME = "flatgeobuf"
SUFFIXES = (".fgb",)
KEEPS = replace(tables.KEEPS, shapes={k: v for k, v in tables.KEEPS.shapes.items() if k != "tag"})
_UNPLACED = "it has no geometry, and the index of the file needs one"
OPTIONS = {**tables.OPTIONS, "layer": ogr.LAYER}


def sniff(path: Path) -> bool:
    """Whether a file has the marks of its format."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(100)
    return head[:3] == b"fgb" and head[4:7] == b"fgb"


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
    placed = (p if isinstance(p, PlainColumns) else list(tables.note_unplaced(p, report, _UNPLACED)) for p in pieces)
    settings = {"TEMPORARY_DIR": str(path.parent)}
    # GDAL makes a folder where a name ends otherwise
    named = path if path.suffix.lower() == ".fgb" else path.with_name(f"{path.name}.fgb")
    ogr.write(named, placed, driver="FlatGeobuf", context=context, report=report, options=options, settings=settings)
    if named != path:
        named.rename(path)


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a layer; see `bigimage.formats.door.VectorFormat.read`."""
    yield from ogr.read(path, format=NAME, context=context, report=report, options=options)


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables; None for what `read` must look at row by row."""
    return ogr.read_tables(path, format=NAME, context=context, report=report, options=options)

"""FlatGeobuf: a stream of features with a packed R-tree, made for reading parts of it over HTTP."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import ogr, tables
from bigimage.model.annotation import Annotation
from bigimage.model.table import Table

NAME = "flatgeobuf"
SUFFIXES = (".fgb",)
KEEPS = replace(tables.KEEPS, shapes={k: v for k, v in tables.KEEPS.shapes.items() if k != "tag"})
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
    placed = tables.note_unplaced(annotations, report, "it has no geometry, and the index of the file needs one")
    ogr.write(
        path,
        placed,
        driver="FlatGeobuf",
        context=context,
        report=report,
        options=options,
        settings={"TEMPORARY_DIR": str(path.parent)},
    )


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a layer; see `bigimage.formats.door.VectorFormat.read`."""
    yield from ogr.read(path, format=NAME, context=context, report=report, options=options)


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables; None for what `read` must look at row by row."""
    return ogr.read_tables(path, format=NAME, context=context, report=report, options=options)

"""Shapefile, in only: it has no place for long names, mixed shapes, or texts of more than 254 bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bigimage.errors import DataError, InputError
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector import ogr, tables
from bigimage.model.annotation import Annotation

NAME = "shapefile"
SUFFIXES = (".shp",)
KEEPS = replace(tables.KEEPS, shapes={}, fields=frozenset[str]())
OPTIONS = {
    **tables.OPTIONS,
    "encoding": "character encoding of the .dbf, such as ISO-8859-1, where no .cpg names it",
}
_MAGIC = (9994).to_bytes(4, "big")


def sniff(path: Path) -> bool:
    """Whether a file begins as a main file does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a main file and those beside it; see `bigimage.formats.door.VectorFormat.read`."""
    missing = [s for s in (".shx", ".dbf") if not _beside(path, s)]
    if missing:
        raise DataError(f"{path.name} is not whole: {' and '.join(path.stem + s for s in missing)} must lie beside it")
    _check_encoding(options)
    yield from ogr.read(path, format=NAME, context=context, report=report, options=options)


def _check_encoding(options: Options) -> None:
    """Raise InputError for an encoding that nobody knows."""
    try:
        codecs.lookup(options.get("encoding", "UTF-8"))
    except (LookupError, ValueError):
        raise InputError(
            f"encoding={options['encoding'][:40]!r} is no character encoding; take UTF-8, CP1252, …"
        ) from None


def _beside(path: Path, suffix: str) -> bool:
    """Whether a file of the same name lies beside, in either case."""
    return any(path.with_suffix(s).is_file() for s in (suffix, suffix.upper()))

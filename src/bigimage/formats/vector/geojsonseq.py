"""GeoJSON text sequences (RFC 8142) and newline-delimited GeoJSON: a feature after another, for pipes and big data."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bigimage.formats.door import Context, Options, Report
from bigimage.formats.jsonstream import values
from bigimage.formats.vector import geojson
from bigimage.formats.vector.features import LONLAT, Reading, feature_texts, frame_of, is_lonlat
from bigimage.geometry.frame import GeoFrame, name
from bigimage.model.annotation import Annotation
from bigimage.model.table import Table

NAME = "geojsonseq"
SUFFIXES = (".geojsonl", ".geojsons", ".ndjson", ".geojsonseq")
KEEPS = geojson.KEEPS
OPTIONS = {**geojson.OPTIONS, "separator": "rs for RFC 8142's record separators, newline (default) for none"}


def sniff(path: Path) -> bool:
    """Whether a file begins with a feature."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        text = file.read(256).decode("utf-8-sig", "replace").lstrip("\x1e \t\r\n")
    start = text.replace(" ", "")[:40]
    return start.startswith("{") and '"Feature"' in start and not start.startswith('{"features"')


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a sequence of features; see `bigimage.formats.door.VectorFormat.read`."""
    yield from _reading(context, report, options).annotations(enumerate(values(path)))


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables of a flat image; None for what `read` must look at feature by feature."""
    if context.grid.ndim != 2:
        yield None
        return
    yield from _reading(context, report, options).tables(values(path))


def _reading(context: Context, report: Report, options: Options) -> Reading:
    """How features are read."""
    own = context.grid.frame
    frame = None
    if not isinstance(own, GeoFrame):
        report.note(f"the file does not say so: its coordinates are taken to be in {name(own)}")
    elif options.get("crs") != "native":
        frame = GeoFrame.of(options["crs"]) if "crs" in options else LONLAT
        frame = None if frame == own else frame
    return Reading(context, report, options, NAME, frame)


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a feature a line; see `bigimage.formats.door.VectorFormat.write`."""
    frame = frame_of(options, context)
    written = frame or context.grid.frame
    rfc = isinstance(written, GeoFrame) and is_lonlat(written) and options.get("crs") != "native"
    if isinstance(written, GeoFrame) and not is_lonlat(written):
        report.note(f"coordinates are in {written}, and the file has no place to say so")
    start = "\x1e" if options.get("separator") == "rs" else ""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text in feature_texts(annotations, frame, rfc=rfc, context=context, report=report):
            file.write(f"{start}{text}\n")

"""GeoJSON (RFC 7946): WGS 84 by default, another CRS when asked for, frames of patients and pixels as they are."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector.features import (
    CRS_OPTION,
    LONLAT,
    Reading,
    checked_crs,
    declared_frame,
    feature_texts,
    frame_member,
    frame_of,
    is_lonlat,
)
from bigimage.formats.vector.tablevalues import EMPTY_OPTION
from bigimage.geometry.frame import GeoFrame, name
from bigimage.model.annotation import Annotation
from bigimage.model.shape import KINDS
from bigimage.model.table import Table

NAME = "geojson"
SUFFIXES = (".geojson", ".json")
KEEPS = Keeps(
    shapes={kind: kind for kind in KINDS},
    fields=frozenset(("id", "attributes", "t", "origin", "score", "instance", "relations")),
    rounding=1e-3,
    own_frame=False,
)
OPTIONS = {
    "crs": CRS_OPTION,
    "label-field": "property that holds the label of a feature that is read",
    "label": "label of features that have none",
    "empty": EMPTY_OPTION,
}
_HEAD = 4096
_ABOUT = frozenset(("type", "crs", "bigimage"))
"""Members that tell how features are to be read."""


def sniff(path: Path) -> bool:
    """Whether a file begins like a FeatureCollection, which may be called so only behind its features."""
    start = _beginning(path)
    return '"FeatureCollection"' in start or start[1:].lstrip().startswith('"features"')


def _beginning(path: Path) -> str:
    """First characters of a file that begins with a brace, without spaces; empty for any other."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        text = file.read(_HEAD).decode("utf-8-sig", "replace").lstrip()
    return text if text.startswith("{") else ""


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a FeatureCollection; see `bigimage.formats.door.VectorFormat.read`."""
    head: dict[str, Any] = {}
    for key, value in elements(path, ("features",)):
        if key != "features":
            head[key] = value
    if head.get("type") != "FeatureCollection":
        report.problem("type", "type", "a GeoJSON file of annotations is a FeatureCollection")
        return
    features = (value for key, value in elements(path, ("features",)) if key == "features")
    yield from _reading(head, context, report, options).annotations(enumerate(features))


def read_tables(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Table | None]:
    """The same as tables of a flat image; None for what `read` must look at feature by feature.

    The file is read once: where what it says about itself does not come before the features, that is for `read`.
    """
    head: dict[str, Any] = {}
    members = elements(path, ("features",))
    for key, value in members:
        if key == "features":
            break
        head[key] = value
    else:
        value = None
    if context.grid.ndim != 2 or value is None or head.get("type") != "FeatureCollection":
        yield None
        return
    late: list[str] = []
    yield from _reading(head, context, report, options).tables(_rest(value, members, late))
    if not _ABOUT.isdisjoint(late):
        yield None


def _rest(first: Any, members: Iterator[tuple[str, Any]], late: list[str]) -> Iterator[Any]:
    """Features from the first on; the names of members behind them are put into `late`."""
    yield first
    for key, value in members:
        if key == "features":
            yield value
        else:
            late.append(key)


def _reading(head: dict[str, Any], context: Context, report: Report, options: Options) -> Reading:
    """How features are read after what their file says about itself."""
    members = declared_frame(head.get("bigimage"), context, report)
    return Reading(context, report, options, NAME, _frame(head, context, report, options), members)


def _frame(head: dict[str, Any], context: Context, report: Report, options: Options) -> GeoFrame | None:
    """CRS of a file's coordinates; None for the image's own frame."""
    own, chosen = context.grid.frame, options.get("crs")
    if not isinstance(own, GeoFrame):
        if head.get("bigimage") is None:
            report.note(f"the file does not say so: its coordinates are taken to be in {name(own)}")
        return None
    if chosen == "native":
        return None
    frame = GeoFrame.of(chosen) if chosen is not None else checked_crs(head.get("crs")) or _stated(head) or LONLAT
    return None if frame == own or (is_lonlat(frame) and is_lonlat(own) and frame == own) else frame


def _stated(head: dict[str, Any]) -> GeoFrame | None:
    """CRS that has no code, as this module writes it."""
    own = head.get("bigimage")
    text = own.get("crs") if isinstance(own, dict) else None
    return GeoFrame.of(text) if isinstance(text, str) else None


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a FeatureCollection, one feature a line; see `bigimage.formats.door.VectorFormat.write`."""
    frame = frame_of(options, context)
    written = frame or context.grid.frame
    rfc = isinstance(written, GeoFrame) and is_lonlat(written) and options.get("crs") != "native"
    head: dict[str, Any] = {"type": "FeatureCollection"}
    own = frame_member(context)
    if isinstance(written, GeoFrame) and not is_lonlat(written):
        authority = written.crs if "[" not in written.crs else None
        if authority is None:
            own["crs"] = written.crs
        else:
            head["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{authority.replace(':', '::', 1)}"}}
    head["bigimage"] = own
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head, ensure_ascii=False)[:-1] + ',"features":[\n')
        first = True
        for text in feature_texts(annotations, frame, rfc=rfc, context=context, report=report):
            file.write(text if first else ",\n" + text)
            first = False
        file.write("\n]}\n")

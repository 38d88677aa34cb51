"""Annotations out as files of other tools, and in: streamed, checked whole, each with its report."""

import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage import archives
from bigimage.errors import DataError, InputError
from bigimage.exchange.output import Exported
from bigimage.exchange.vector import imported_dict, vector_format
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.vector import FORMATS
from bigimage.model.problem import Invalid
from bigimage.pyramid.labels import NAME
from tilesrv import uploads
from tilesrv.context import Context, context_of
from tilesrv.errors import BadRequest, ClientGone, TooLarge
from tilesrv.featurefields import AT
from tilesrv.fields import IMAGE, IMAGE_ID
from tilesrv.files import send_file
from tilesrv.params import Param, Table, choice, switch, text
from tilesrv.people import author_of
from tilesrv.routing import USUAL, Endpoint, Operation

T = TypeVar("T")
_log = logging.getLogger(__name__)
WRITTEN = tuple(name for name in FORMATS if name != "shapefile")
MEDIA = {
    **{"geojson": "application/geo+json", "geojsonseq": "application/geo+json-seq", "coco": "application/json"},
    **dict.fromkeys(("dicom-seg", "dicom-seg-labelmap", "dicom-seg-fractional"), "application/dicom"),
    **dict.fromkeys(("rtstruct", "dicom-sr"), "application/dicom"),
    **{"geotiff": "image/tiff", "png": "image/png"},
}
"""Media types of formats that have one; others are octets."""
_OTHER = ("application/octet-stream", "application/zip")
_PLAIN = r"[^\x00-\x1f]+"
_BOTH = {
    "crs": "`native`, or a CRS of the coordinates, where the format knows it.",
    "base": "Where pixels are counted from, in Pascal VOC: `1` or `0`.",
}
WRITING = _BOTH | {
    "segments": "Labels of a mask layer that the file lists: `present`, `all`, or names with commas.",
    "t": "Which point in time of a mask layer that has several, from 0.",
    "separator": "`rs` or `newline`, in GeoJSON sequences.",
    "stuff": "Labels whose areas are one segment each, with commas, in COCO panoptic.",
    "href": "Address of the scene's pixels, in STAC items.",
    "datetime": "When the scene was taken, in STAC items.",
    "license": "Licence of the labels, in STAC items.",
    "compression": "Of DICOM label maps and fractions: `rle`, `jpegls` or `none`.",
    "meaning": "What fractions are, in DICOM: `occupancy` or `probability`.",
    "holes": "How structure sets hold holes: `xor` or `keyhole`.",
    "date": "When a DICOM object was made: YYYYMMDD or YYYYMMDDHHMMSS.",
    "author": "Who made a DICOM object.",
    "description": "Text that lists of DICOM series show.",
    "cog": "Whether a GeoTIFF is cloud-optimized: `yes` or `no`.",
    "nodata": "Value of pixels without a label in a GeoTIFF: `0` or `none`.",
}
"""Options of formats that are written."""
READING = _BOTH | {
    "page": "Which image of the file this one is, where it has several.",
    "label": "Label of what has none in the file.",
    "label-field": "Property or column that holds the label.",
    "layer": "Layer of a GeoPackage or FlatGeobuf that is read.",
    "t": "Point in time, from 0, of annotations that name none.",
    "empty": "`drop` leaves out rows and features without a geometry; a file that has any is refused by default.",
    "encoding": "Character encoding of a shapefile that does not name its own, such as ISO-8859-1.",
    "outside": "`drop` leaves out what lies outside the image; a file that has any is refused by default.",
    "as": "What masks become: `masks` or `outlines`.",
    "volume": "Which volume of a file with several is read, counted from 0; `all`: each is a layer.",
}
"""Options of formats that are read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported or imported, and how."""

    format: str | None = None
    layer: str | None = None
    region: UUID | None = None
    snapshot: str | None = None
    strict: bool = False
    repair: bool = False
    extend_schema: bool = False
    at: int | datetime | None = None
    filename: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    """Options of the format."""


@dataclass(frozen=True, slots=True)
class ReportPath:
    """Path of the report of an import."""

    id: str
    key: str


def _wanted(known: Mapping[str, str], **members: Any) -> Wanted:
    """What the members of a query say."""
    given = {name: members.pop(name.replace("-", "_"), None) for name in known}
    return Wanted(**members, options=tuple((name, value) for name, value in given.items() if value is not None))


def _options(known: Mapping[str, str]) -> list[Param[str]]:
    """Parameters for options of formats."""
    return [text(name, about, pattern=_PLAIN, longest=4096 if name == "crs" else 500) for name, about in known.items()]


def _uuid(value: str) -> UUID:
    """A UUID. Raises InputError."""
    try:
        return UUID(value)
    except ValueError:
        raise InputError("takes the id of a region, a UUID") from None


REPORT_PATH = Table(
    (IMAGE_ID, text("key", "As the answer to the import told it.", pattern="[0-9a-f]{32}", longest=32, where="path")),
    ReportPath,
)
EXPORT = Table(
    (
        choice("format", "Format to write; a folder comes as a ZIP archive.", (*WRITTEN, *MASKS)),
        text("layer", "Mask layer to write, in place of annotations.", pattern=NAME.pattern, longest=64),
        Param(
            name="region",
            about="Only what touches this region.",
            parse=_uuid,
            schema={"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36},
        ),
        text("snapshot", "The state that a snapshot froze.", pattern=_PLAIN, longest=128),
        *_options(WRITING),
        AT,
        switch("strict", "Refuse any loss."),
    ),
    partial(_wanted, WRITING),
)
IMPORT = Table(
    (
        choice("format", "Format of the file, where its content leaves it open.", (*FORMATS, *MASKS)),
        *_options(READING),
        switch("strict", "Refuse a file of which anything would be left out."),
        switch("repair", "Mend areas that cross themselves, and say so."),
        switch("extend-schema", "Add labels and attributes that the schema lacks."),
        text("filename", "Name of the file; part of the ids made from it.", pattern=r"[^\x00-\x1f/\\]+", longest=200),
    ),
    partial(_wanted, READING),
)


async def export(request: Request) -> Response:
    """Annotations of an image, or a mask layer, as a file; its report is linked to, at the same revision."""
    folder, made = await _made(request)
    try:
        path, media = made.path, MEDIA.get(made.report["format"], "application/octet-stream")
        if path.is_dir():
            path = await context_of(request).heavy.run(object(), lambda: archives.pack_folder(made.path))
            media = "application/zip"
        response = await send_file(request, path, media_type=media, cache="no-store")
    finally:
        folder.cleanup()
    # annotations are told at the revision that was written; a layer has but one
    fixed = {} if "layer" in made.report or not made.report["revision"] else {"at": made.report["revision"]}
    report = f"{request.url.path}/report?{request.url.include_query_params(**fixed).query}"
    response.headers["Link"] = f'<{report}>; rel="describedby"; type="application/json"'
    response.headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
    return response


async def report(request: Request) -> Response:
    """What the same export could not hold, with the ids of the annotations concerned."""
    folder, made = await _made(request)
    try:
        return await send_file(request, made.report_path, media_type="application/json", cache="no-store")
    finally:
        folder.cleanup()


async def _made(request: Request) -> "tuple[tempfile.TemporaryDirectory[str], Exported]":
    """Run the export that a request asks for into a folder of its own."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query: Wanted = EXPORT.query(request.scope["query_string"])
    suffix = suffix_of(query)
    context.jobs.uploads.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(dir=context.jobs.uploads, prefix="export-")
    output = Path(folder.name) / f"{image}{suffix}"
    chosen: dict[str, Any] = {"options": dict(query.options), "strict": query.strict, "at": query.at}
    chosen |= {"layer": query.layer, "region": query.region, "snapshot": query.snapshot}

    def work(stop: Callable[[], bool]) -> Exported:
        return context.workspace.export(image, format=str(query.format), output=output, stop=stop, **chosen)

    made = None
    try:
        made = await _watched(request, context, work)
        return folder, made
    finally:
        if made is None:
            folder.cleanup()


async def _watched(request: Request, context: Context, work: Callable[[Callable[[], bool]], T]) -> T:
    """Do heavy work that stops when its client goes away."""
    gone = threading.Event()
    try:
        return await context.heavy.run(object(), lambda: work(gone.is_set), request.receive)
    except ClientGone:
        gone.set()
        raise


def suffix_of(wanted: Wanted) -> str:
    """End of the name of a file. Raises InputError where no format is named, or one that does not hold that."""
    known = WRITTEN if wanted.layer is None else tuple(MASKS)
    if wanted.format is None:
        raise InputError(f"format is due: one of {', '.join(known)}")
    if wanted.format not in known:
        kind = "masks: name a layer that is painted" if wanted.layer is None else "annotations, and no masks"
        raise InputError(f"format {wanted.format} holds {kind}")
    return vector_format(wanted.format).SUFFIXES[0]


async def import_(request: Request) -> Response:
    """Store the annotations of a file, all or none: the file itself as the body, or a form with it."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query: Wanted = IMPORT.query(request.scope["query_string"])
    await context.image(image)
    limit = context.settings.max_upload
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the file is larger than {limit} bytes, the most that this server takes")
    folder = context.jobs.uploads / uuid4().hex
    author = author_of(request)
    try:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            upload = await uploads.receive_form(request, folder, limit=limit)
        else:
            usual = "upload" if query.format is None else f"upload{vector_format(query.format).SUFFIXES[0]}"
            upload = await uploads.receive_raw(request, folder, name=query.filename or usual, limit=limit)
        chosen: dict[str, Any] = {"options": dict(query.options), "strict": query.strict, "author": author}
        chosen |= {name: True for name in ("repair", "extend_schema") if getattr(query, name)}

        def work(stop: Callable[[], bool]) -> Mapping[str, Any]:
            try:
                done = context.workspace.import_file(image, upload.file, format=query.format, stop=stop, **chosen)
            except Invalid:
                raise
            except DataError as error:  # what is damaged is what was sent, not what is stored
                raise BadRequest(error.problems or (str(error),)) from error
            return imported_dict(done)

        told = await _watched(request, context, work)
    finally:
        uploads.discard(folder)
    headers = {"Cache-Control": "no-store"}
    if await run_in_threadpool(_keep, context, folder.name, told["report"]):
        headers["Link"] = f'<{request.url.path}/report/{folder.name}>; rel="describedby"; type="application/json"'
    return JSONResponse(told, headers=headers)


def _keep(context: Context, key: str, told: Mapping[str, Any]) -> bool:
    """Whether the report of an import could be kept; what was imported stays so in any case."""
    try:
        context.jobs.keep_report(key, told)
    except OSError as error:
        _log.warning("the report of an import cannot be kept: %s", error)
        return False
    return True


async def import_report(request: Request) -> Response:
    """What an import could not take over, for a day."""
    key = REPORT_PATH.path(request.path_params).key
    path = await run_in_threadpool(context_of(request).jobs.report, key)
    return await send_file(request, path, media_type="application/json", cache="no-store")


REPORT: dict[str, Any] = {
    "type": "object",
    "required": ["format", "image", "written", "lossless", "losses", "notes"],
    "properties": {
        "format": {"type": "string"},
        "image": {"type": "string"},
        "written": {"type": "integer"},
        "lossless": {"type": "boolean"},
        "losses": {"type": "array", "items": {"type": "object"}},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}
_IMPORTED: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "added", "changed", "unchanged", "removed", "report"],
    "properties": {
        "revision": {"type": ["integer", "null"]},
        **{name: {"type": "integer"} for name in ("added", "changed", "unchanged", "removed")},
        "report": REPORT,
    },
}
_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}
ROUTES = (
    Endpoint(
        "/images/{id}/export",
        export,
        Operation(
            summary="Annotations or a mask layer as a file",
            tag="exchange",
            tables=(IMAGE, EXPORT),
            content={**{kind: {} for kind in sorted(set(MEDIA.values()))}, **dict.fromkeys(_OTHER, _BINARY)},
            also={206: "A part of the file.", 304: "The file has not changed."},
            problems=(*USUAL, 409, 416),
        ),
    ),
    Endpoint(
        "/images/{id}/export/report",
        report,
        Operation(
            summary="What an export could not hold",
            tag="exchange",
            tables=(IMAGE, EXPORT),
            content={"application/json": REPORT},
            also={206: "A part of the report.", 304: "The report has not changed."},
            problems=(*USUAL, 409, 416),
        ),
    ),
    Endpoint(
        "/images/{id}/import/report/{key}",
        import_report,
        Operation(
            summary="What an import could not take over",
            tag="exchange",
            tables=(REPORT_PATH,),
            content={"application/json": REPORT},
            also={206: "A part of the report.", 304: "The report has not changed."},
            problems=(*USUAL, 416),
        ),
    ),
    Endpoint(
        "/images/{id}/import",
        import_,
        Operation(
            summary="Annotations of a file stored",
            tag="exchange",
            tables=(IMAGE, IMPORT),
            content={"application/json": _IMPORTED},
            problems=(*USUAL, 409, 413, 507),
            role="annotator",
            body={
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": _BINARY},
                    "application/zip": {"schema": _BINARY},
                    "application/geo+json": {"schema": {"type": "object"}},
                    "multipart/form-data": {"schema": _FORM},
                },
            },
        ),
        method="POST",
    ),
)

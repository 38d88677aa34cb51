"""Annotations out as files of other tools, and in: streamed, checked whole, each with its report."""

import tempfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import DataError, InputError
from bigimage.exchange.output import Exported
from bigimage.exchange.vector import imported_dict, vector_format
from bigimage.formats.vector import FORMATS
from bigimage.model.problem import Invalid
from tilesrv import uploads
from tilesrv.context import Context, context_of
from tilesrv.errors import BadRequest, ClientGone, TooLarge
from tilesrv.featurefields import AT
from tilesrv.fields import IMAGE
from tilesrv.files import send_file
from tilesrv.params import Table, choice, switch, text
from tilesrv.people import author_of
from tilesrv.routing import USUAL, Endpoint, Operation

T = TypeVar("T")
WRITTEN = tuple(name for name in FORMATS if name != "shapefile")
MEDIA = {"geojson": "application/geo+json", "geojsonseq": "application/geo+json-seq", "coco": "application/json"}
"""Media types of formats that have one; others are octets."""
_OTHER = ("application/octet-stream", "application/zip")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that an archive can hold: the same annotations give the same bytes."""
_PLAIN = r"[^\x00-\x1f]+"
_OPTIONS = (
    text("crs", "`native`, or a CRS of the coordinates, where the format knows it.", pattern=_PLAIN, longest=4096),
    text("page", "Which image of the file this one is, where it has several.", pattern=_PLAIN, longest=200),
    text("label", "Label of what has none in the file.", pattern=_PLAIN, longest=200),
    text("label-field", "Property or column that holds the label.", pattern=_PLAIN, longest=200),
)


@dataclass(frozen=True, slots=True)
class _Query:
    """What both directions take."""

    format: str | None = None
    crs: str | None = None
    page: str | None = None
    label: str | None = None
    label_field: str | None = None
    strict: bool = False
    at: int | datetime | None = None
    filename: str | None = None

    def options(self) -> dict[str, str]:
        """Options of the format."""
        given = {"crs": self.crs, "page": self.page, "label": self.label, "label-field": self.label_field}
        return {name: value for name, value in given.items() if value is not None}


def _query(**members: Any) -> _Query:
    """Query of members whose names may have dashes."""
    return _Query(**{name.replace("-", "_"): value for name, value in members.items()})


EXPORT = Table(
    (
        choice("format", "Format to write; a folder comes as a ZIP archive.", WRITTEN),
        _OPTIONS[0],
        AT,
        switch("strict", "Refuse any loss."),
    ),
    _query,
)
IMPORT = Table(
    (
        choice("format", "Format of the file, where its content leaves it open.", tuple(FORMATS)),
        *_OPTIONS,
        switch("strict", "Refuse a file of which anything would be left out."),
        text("filename", "Name of the file; part of the ids made from it.", pattern=r"[^\x00-\x1f/\\]+", longest=200),
    ),
    _query,
)


async def export(request: Request) -> Response:
    """Annotations of an image as a file; its report is linked to, at the same revision."""
    folder, made = await _made(request)
    try:
        path, media = made.path, MEDIA.get(made.report["format"], "application/octet-stream")
        if path.is_dir():
            path, media = await context_of(request).heavy.run(object(), lambda: _zipped(path)), "application/zip"
        response = await send_file(request, path, media_type=media, cache="no-store")
    finally:
        folder.cleanup()
    query = request.url.include_query_params(at=made.report["revision"]).query
    report = f"{request.url.path}/report?{query}" if made.report["revision"] else f"{request.url.path}/report"
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
    query: _Query = EXPORT.query(request.scope["query_string"])
    if query.format is None:
        raise InputError(f"format is due: one of {', '.join(WRITTEN)}")
    suffix = vector_format(query.format).SUFFIXES[0]
    context.jobs.uploads.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(dir=context.jobs.uploads, prefix="export-")
    output = Path(folder.name) / f"{image}{suffix}"
    chosen: dict[str, Any] = {"options": query.options(), "strict": query.strict, "at": query.at}

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


def _zipped(folder: Path) -> Path:
    """A folder as an archive beside it, always the same bytes."""
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


async def import_(request: Request) -> Response:
    """Store the annotations of a file, all or none: the file itself as the body, or a form with it."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query: _Query = IMPORT.query(request.scope["query_string"])
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
            upload = await uploads.receive_raw(request, folder, name=query.filename or "upload", limit=limit)
        chosen: dict[str, Any] = {"options": query.options(), "strict": query.strict, "author": author}

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
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


_REPORT: dict[str, Any] = {
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
        "report": _REPORT,
    },
}
_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}
ROUTES = (
    Endpoint(
        "/images/{id}/export",
        export,
        Operation(
            summary="Annotations as a file",
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
            content={"application/json": _REPORT},
            also={206: "A part of the report.", 304: "The report has not changed."},
            problems=(*USUAL, 409, 416),
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
                    "application/geo+json": {"schema": {"type": "object"}},
                    "multipart/form-data": {"schema": _FORM},
                },
            },
        ),
        method="POST",
    ),
)

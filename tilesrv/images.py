"""Images: what there is, what is known about each, putting one in, taking one out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage import catalogue
from bigimage.errors import InputError
from tilesrv import uploads
from tilesrv.context import Context, context_of
from tilesrv.errors import TooLarge, UnsupportedMedia
from tilesrv.fields import IMAGE
from tilesrv.ingesting import DESCRIPTION, Description, describe, start
from tilesrv.jobs import JOB_SCHEMA
from tilesrv.jobstore import Job
from tilesrv.params import Table, integer
from tilesrv.routing import Endpoint, Operation

JSON_LIMIT = 1 << 16
FORM_SLACK = 1 << 20
"""Bytes that a form may hold beside its file."""
RAW_TYPES = (
    *("image/", "application/octet-stream", "application/dicom", "application/gzip", "application/x-gzip"),
    *("application/zip", "application/x-zip-compressed"),
)
NO_CACHE = {"Cache-Control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list."""

    limit: int
    offset: int


PAGE = Table(
    (
        integer("limit", "Most images to list.", low=1, high=1000, default=100),
        integer("offset", "Images to skip.", low=0, high=1_000_000_000, default=0),
    ),
    Page,
)


def public(record: Mapping[str, Any], base: str) -> dict[str, Any]:
    """A catalogue record for clients: the store by its address here, not by its place on this machine."""
    root = f"{base}images/{record['id']}"
    volume = "z" in record["axes"]
    shown = {"planes": f"{root}/planes"} if volume else {"tiles": f"{root}/tiles", "tilejson": f"{root}/tilejson.json"}
    links = {**shown, "preview": f"{root}/preview.jpg"}
    return {**record, "store": f"{root}/zarr", "links": links}


def _page(context: Context, page: Page) -> tuple[int, list[dict[str, Any]]]:
    """Number of all images, and the records of a page."""
    ids = list(catalogue.ids(context.workspace.path))
    chosen = ids[page.offset : page.offset + page.limit]
    return len(ids), [context.workspace.record(image) for image in chosen]


async def list_images(request: Request) -> Response:
    """Images of the workspace by id, a page at a time; a `Link` header leads to the next page."""
    context = context_of(request)
    page = PAGE.query(request.scope["query_string"])
    total, records = await run_in_threadpool(_page, context, page)
    headers = {**NO_CACHE, "X-Total-Count": str(total)}
    after = page.offset + page.limit
    if after < total:
        headers["Link"] = f'<{request.base_url}images?limit={page.limit}&offset={after}>; rel="next"'
    return JSONResponse([public(record, str(request.base_url)) for record in records], headers=headers)


async def read_image(request: Request) -> Response:
    """Everything known about an image but its pixels."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    record = await run_in_threadpool(context.workspace.record, image)
    return JSONResponse(public(record, str(request.base_url)), headers=NO_CACHE)


async def delete_image(request: Request) -> Response:
    """Delete an image's pixels and masks. Its id is never used again."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    await run_in_threadpool(context.workspace.remove, image)
    context.gallery.forget(image)
    return Response(status_code=204)


async def post_image(request: Request) -> Response:
    """Put an image in: a form with a file, the file itself, or JSON that names a file below an allowed folder."""
    context = context_of(request)
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if kind == "application/json":
        job = await _from_path(request, context)
    elif kind == "multipart/form-data" or kind.startswith(RAW_TYPES):
        job = await _from_upload(request, context, is_form=kind == "multipart/form-data")
    else:
        raise UnsupportedMedia(
            f"a body of type {kind[:60]!r} is not taken: send multipart/form-data with a file, the file itself as "
            'application/octet-stream, or application/json with {"path": …}'
        )
    headers = {"Location": f"{request.base_url}jobs/{job.id}", "Cache-Control": "no-store"}
    return JSONResponse(job.public(), status_code=202, headers=headers)


async def _from_path(request: Request, context: Context) -> Job:
    """Job for a file on the server's own disk."""
    members = await _json_object(request)
    path = members.pop("path", None)
    if not isinstance(path, str) or not path:
        raise InputError('the JSON object needs "path", the name of a file below a folder that the server may read')
    description = describe(members)

    def begin() -> Job:
        source = uploads.allowed_path(path, context.settings.roots)
        return start(context.jobs, source, description, job=uuid4().hex)

    return await run_in_threadpool(begin)


async def _json_object(request: Request) -> dict[str, Any]:
    """A small JSON body. Raises InputError or TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_LIMIT:
            raise TooLarge(f"the JSON body is longer than {JSON_LIMIT} bytes")
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(members, dict):
        raise InputError('the body is not a JSON object such as {"path": "scene.tif"}')
    return members


async def _from_upload(request: Request, context: Context, *, is_form: bool) -> Job:
    """Job for a file that comes as the body, or in it."""
    description = DESCRIPTION.query(request.scope["query_string"])
    limit = context.settings.max_upload
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit + (FORM_SLACK if is_form else 0):
        raise TooLarge(f"the upload is larger than {limit} bytes, the most that this server takes")
    job = uuid4().hex
    folder = context.jobs.uploads / job
    started = False
    try:
        if is_form:
            upload = await uploads.receive_form(request, folder, limit=limit)
            description = _merge(description, describe(upload.fields))
        else:
            name = description.filename or "upload"
            upload = await uploads.receive_raw(request, folder, name=name, limit=limit)
        source = await run_in_threadpool(uploads.content, upload, limit=limit)
        record = await run_in_threadpool(
            lambda: start(context.jobs, source, description, job=job, upload=upload.folder)
        )
        started = True
        return record
    finally:
        if not started:
            uploads.discard(folder)


def _merge(first: Description, second: Description) -> Description:
    """Both descriptions; where both say something, the form's field wins."""
    names = Description.__dataclass_fields__
    return Description(**{n: v if (v := getattr(second, n)) is not None else getattr(first, n) for n in names})


NUMBERS = {"type": "array", "items": {"type": "number"}}
IMAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "store", "role", "shape", "axes", "dtype", "frame", "affine", "levels", "bands", "window"],
    "properties": {
        "id": {"type": "string"},
        "store": {"type": "string", "description": "Address of the zarr store."},
        "role": {"type": "string", "enum": ["image", "labels"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "axes": {"type": "array", "items": {"type": "string"}},
        "dtype": {"type": "string"},
        "frame": {"type": "object", "required": ["type"]},
        "affine": {"type": "array", "items": NUMBERS, "description": "Corner-based index in array order, 1 -> world."},
        "levels": {"type": "array", "items": {"type": "object"}},
        "bands": {"type": "array", "items": {"type": "object"}},
        "window": {"type": "array", "items": NUMBERS, "description": "Default display range of each band."},
    },
}
_DESCRIBED = {param.name: dict(param.schema) for param in DESCRIPTION.params}
POST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["path"],
                "properties": {"path": {"type": "string", "minLength": 1, "maxLength": 4096}, **_DESCRIBED},
                "additionalProperties": False,
            }
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}, **_DESCRIBED},
                "additionalProperties": False,
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "application/zip": {"schema": {"type": "string", "format": "binary"}},
    },
}
ROUTES = (
    Endpoint(
        "/images",
        list_images,
        Operation(
            summary="Images of the workspace",
            tag="images",
            tables=(PAGE,),
            content={"application/json": {"type": "array", "items": IMAGE_SCHEMA}},
        ),
    ),
    Endpoint(
        "/images",
        post_image,
        Operation(
            summary="The job that ingests the image",
            tag="images",
            tables=(DESCRIPTION,),
            content={"application/json": JOB_SCHEMA},
            status=202,
            problems=(400, 403, 404, 409, 413, 415, 429, 500, 501, 503, 507),
            body=POST_BODY,
            role="admin",
        ),
        method="POST",
    ),
    Endpoint(
        "/images/{id}",
        read_image,
        Operation(
            summary="What is known about the image",
            tag="images",
            tables=(IMAGE,),
            content={"application/json": IMAGE_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}",
        delete_image,
        Operation(
            summary="Deleted",
            tag="images",
            tables=(IMAGE,),
            status=204,
            problems=(400, 403, 404, 500, 503),
            role="admin",
        ),
        method="DELETE",
    ),
)

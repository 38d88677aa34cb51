"""Annotations: finding them, reading one, and its history."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID
from zlib import crc32

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.annotations import Annotations
from bigimage.errors import NotFound
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Edited, Logged, Removed
from bigimage.model.feature import crs_of, feature_texts, rfc3339
from bigimage.model.mask import to_rle
from bigimage.model.member import box_numbers
from tilesrv import featuredocs as docs
from tilesrv.context import Context, context_of
from tilesrv.featurefields import ANNOTATION, CRS_QUERY, FEATURES_QUERY, STATE_QUERY, FeaturesQuery
from tilesrv.fields import IMAGE
from tilesrv.files import matches, not_modified
from tilesrv.listing import collection_text, crs_uri, find, measured_in, state
from tilesrv.params import with_query
from tilesrv.preconditions import etag
from tilesrv.routing import Endpoint, Operation

GEOJSON = "application/geo+json"
NO_CACHE = {"Cache-Control": "no-cache"}


async def list_annotations(request: Request) -> Response:
    """Annotations of an image as GeoJSON, a page at a time; a `next` link leads on.

    All pages show the state of the first one, whatever is changed meanwhile.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = FEATURES_QUERY.query(request.scope["query_string"])
    served = await context.image(image)
    tag = await context.reads.run(object(), lambda: _state_tag(context, image, request.url.query), request.receive)
    if matches(request.headers.get("if-none-match"), tag):
        return not_modified(tag, NO_CACHE)
    grid = served.pyramid.info.grid
    text, headers = await context.reads.run(
        object(), lambda: _page(context, image, grid, query, str(request.url)), request.receive
    )
    return Response(text, headers={**NO_CACHE, **headers, "ETag": tag}, media_type=GEOJSON)


def _state_tag(context: Context, image: str, query: str) -> str:
    """Entity tag of a page: it changes with the image's revision, and with the schema that widens labels."""
    annotations = context.workspace.annotations
    version = annotations.schema().version
    return f'"{state(annotations, image, None)}-{version}-{crc32(query.encode()):08x}"'


def _page(context: Context, image: str, grid: Any, query: FeaturesQuery, url: str) -> tuple[str, dict[str, str]]:
    """Text and headers of one page. Blocking."""
    crs = crs_of(grid.frame, query.crs)
    members, headers = measured_in(grid, crs)
    found = find(context.workspace.annotations, image, grid, query)
    links = [{"rel": "self", "type": GEOJSON, "href": url}]
    if found.cursor is not None:
        onward = with_query(url, cursor=found.cursor)
        links.append({"rel": "next", "type": GEOJSON, "href": onward})
        headers["Link"] = f'<{onward}>; rel="next"'
    return collection_text(found, crs, {**members, "links": links}), headers


# ---- one annotation


def feature_response(annotation: Annotation, crs: GeoFrame | None, *, status: int = 200) -> Response:
    """One annotation as a feature, with its entity tag."""
    text = feature_texts([annotation], crs)[0]
    headers = {**NO_CACHE, "ETag": etag(annotation.version)}
    shown = crs or (annotation.frame if isinstance(annotation.frame, GeoFrame) else None)
    uri = None if shown is None else crs_uri(shown)
    if uri is not None:
        headers["Content-Crs"] = f"<{uri}>"
    return Response(text, status_code=status, headers=headers, media_type=GEOJSON)


async def read_annotation(request: Request) -> Response:
    """One annotation as it is, or with `version` as it was; `ETag` is its version."""
    context = context_of(request)
    id_ = ANNOTATION.path(request.path_params).uuid
    query = STATE_QUERY.query(request.scope["query_string"])

    def read() -> Response:
        annotation = context.workspace.annotations.get(id_, version=query.version)
        tag = etag(annotation.version)
        if matches(request.headers.get("if-none-match"), tag):
            return not_modified(tag, NO_CACHE)
        return feature_response(annotation, crs_of(annotation.frame, query.crs))

    return await context.reads.run(object(), read, request.receive)


async def read_history(request: Request) -> Response:
    """Every version of an annotation, the first one first; those of a removed one too."""
    context = context_of(request)
    id_ = ANNOTATION.path(request.path_params).uuid
    query = CRS_QUERY.query(request.scope["query_string"])

    def read() -> dict[str, Any]:
        steps = context.workspace.annotations.history(id_)
        image = steps[0].revision.image
        return {"id": str(id_), "image": image, "history": log_entries(steps, query.crs)}

    body = await context.reads.run(object(), read, request.receive)
    return JSONResponse(body, headers=NO_CACHE)


def log_entries(steps: Sequence[Logged], crs: str | None) -> list[dict[str, Any]]:
    """Entries of the log as JSON: who did what when, and what it made."""
    return [entry_of(step, crs) for step in steps]


def entry_of(step: Logged, crs: str | None) -> dict[str, Any]:
    """One entry of the log."""
    revision = step.revision
    out: dict[str, Any] = {
        "revision": revision.number,
        "author": revision.author,
        "time": rfc3339(revision.time),
        "version": step.version,
    }
    match step.change:
        case Added(annotation) | Edited(annotation):
            kind = "added" if isinstance(step.change, Added) else "edited"
            text = feature_texts([annotation], crs_of(annotation.frame, crs))[0]
            return {**out, "id": str(annotation.id), "kind": kind, "feature": json.loads(text)}
        case Removed(id_):
            return {**out, "id": str(id_), "kind": "removed"}
        case BrushPatch(id_, op, patch):
            box = patch.box
            stroke = {"op": op, "box": [], "rle": []}
            if box is not None:
                stroke = {"op": op, "box": box_numbers(box), "rle": to_rle(patch, box)}
            return {**out, "id": str(id_), "kind": "painted", "patch": stroke}


def latest(annotations: Annotations, id_: UUID) -> tuple[Annotation | None, int, Annotation]:
    """State of an annotation (None when it is removed), its version, and its last state before that.

    Raises NotFound when it never was.
    """
    try:
        now = annotations.get(id_)
    except NotFound:
        version = annotations.history(id_)[-1].version
        return None, version, annotations.get(id_, version=version - 1)
    return now, now.version, now


ROUTES = (
    Endpoint(
        "/images/{id}/annotations",
        list_annotations,
        Operation(
            summary="Annotations as GeoJSON",
            tag="annotations",
            tables=(IMAGE, FEATURES_QUERY),
            content={GEOJSON: docs.COLLECTION},
            also={304: "Nothing has changed since `If-None-Match`."},
        ),
    ),
    Endpoint(
        "/annotations/{uuid}",
        read_annotation,
        Operation(
            summary="The annotation as a GeoJSON feature",
            tag="annotations",
            tables=(ANNOTATION, STATE_QUERY),
            content={GEOJSON: docs.FEATURE},
            also={304: "It has not changed since `If-None-Match`."},
        ),
    ),
    Endpoint(
        "/annotations/{uuid}/history",
        read_history,
        Operation(
            summary="Every version of the annotation",
            tag="annotations",
            tables=(ANNOTATION, CRS_QUERY),
            content={"application/json": docs.HISTORY},
        ),
    ),
)

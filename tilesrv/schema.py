"""The label schema, one version after the other."""

from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.annotations import Annotations
from bigimage.errors import Conflict
from bigimage.model.labels import ATTRIBUTE_TYPES, LENGTH_UNITS, MAX_LENGTH, Schema
from bigimage.model.schema_json import read_schema, schema_dict
from bigimage.model.shape import KINDS
from tilesrv.annotations import NO_CACHE
from tilesrv.bodies import parse_body, read_body
from tilesrv.context import context_of
from tilesrv.errors import Stale
from tilesrv.files import matches, not_modified
from tilesrv.params import Table, integer
from tilesrv.people import author_of
from tilesrv.preconditions import Match, etag, if_match
from tilesrv.routing import Endpoint, Operation

BODY_LIMIT = 8 << 20
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """Query of the schema."""

    version: int | None


VERSION_QUERY = Table((integer("version", "An earlier version.", low=1, high=2**31 - 1),), VersionQuery)


def _response(schema: Schema) -> Response:
    """A schema with its entity tag."""
    return JSONResponse(schema_dict(schema), headers={**NO_CACHE, "ETag": etag(schema.version)})


async def read(request: Request) -> Response:
    """The label schema, the latest or that of a `version`. At version 0 none was set, and any label will do."""
    context = context_of(request)
    query = VERSION_QUERY.query(request.scope["query_string"])
    found = await context.reads.run(
        object(), lambda: context.workspace.annotations.schema(query.version), request.receive
    )
    tag = etag(found.version)
    if matches(request.headers.get("if-none-match"), tag):
        return not_modified(tag, NO_CACHE)
    return _response(found)


async def put(request: Request) -> Response:
    """Store a new version of the label schema; the `version` in the body is not read.

    `If-Match` makes sure that nobody changed it meanwhile. Labels keep their values, and a renamed or merged label is
    named in `formerly`, so that annotations made under older versions keep their meaning.
    """
    context = context_of(request)
    match = if_match(request)
    document = await parse_body(await read_body(request, limit=BODY_LIMIT))
    schema = read_schema(document)
    author = author_of(request)
    stored = await context.edits.run(
        object(), lambda: _store(context.workspace.annotations, schema, match, author), request.receive
    )
    return _response(stored)


def _store(annotations: Annotations, schema: Schema, match: Match | None, author: str) -> Schema:
    """Store a schema unless it says the same as the latest. Raises Stale, Invalid, Conflict."""
    for attempt in range(ATTEMPTS):
        latest = annotations.schema()
        if match is not None and not match.allows(latest.version):
            members = {"current": schema_dict(latest), "yours": schema_dict(schema)}
            raise Stale(f"the label schema is at version {latest.version}; read it again and redo your change", members)
        if latest.version and replace(schema, version=latest.version) == latest:
            return latest
        try:
            return annotations.set_schema(schema, author=author, base=latest.version)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise Conflict("others keep changing the label schema; try again")


_TEXT = {"type": "string"}
_LENGTH: dict[str, Any] = {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": MAX_LENGTH}
_LABEL: dict[str, Any] = {
    "type": "object",
    "required": ["name", "value"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "value": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1, "description": "In masks; never changes."},
        "order": {"type": "integer", "description": "Higher paints over lower."},
        "color": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
        "parent": {"type": ["string", "null"]},
        "shapes": {"type": "array", "items": {"type": "string", "enum": list(KINDS)}},
        "attributes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "type"],
                "properties": {
                    "name": _TEXT,
                    "type": {"type": "string", "enum": list(ATTRIBUTE_TYPES)},
                    "values": {"type": "array", "items": _TEXT},
                    "required": {"type": "boolean"},
                },
                "additionalProperties": False,
            },
        },
        "code": {
            "type": ["object", "null"],
            "required": ["scheme", "value", "meaning"],
            "properties": {"scheme": _TEXT, "value": _TEXT, "meaning": _TEXT},
            "additionalProperties": False,
        },
        "definition": {"type": ["string", "null"]},
        "formerly": {"type": "array", "items": _TEXT, "description": "Former names, and labels merged into it."},
        "skeleton": {"type": ["object", "null"], "required": ["points"]},
        "width": _LENGTH | {"description": "Of its lines in masks; null: one pixel."},
        "radius": _LENGTH | {"description": "Of its points in masks; null: one pixel."},
        "unit": {"type": "string", "enum": list(LENGTH_UNITS)},
    },
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["labels"],
    "properties": {
        "labels": {"type": "array", "items": _LABEL},
        "background": {"type": ["string", "null"]},
        "version": {"type": "integer"},
    },
    "additionalProperties": False,
}
_CONTENT = {"application/json": SCHEMA}
ROUTES = (
    Endpoint(
        "/schema",
        read,
        Operation(
            summary="The label schema",
            tag="schema",
            tables=(VERSION_QUERY,),
            content=_CONTENT,
            also={304: "It has not changed since `If-None-Match`."},
        ),
    ),
    Endpoint(
        "/schema",
        put,
        Operation(
            summary="The label schema as it is now",
            tag="schema",
            content=_CONTENT,
            problems=(400, 409, 412, 413, 415, 500, 503, 507),
            body={"required": True, "content": {"application/json": {"schema": SCHEMA}}},
            role="admin",
        ),
        method="PUT",
    ),
)

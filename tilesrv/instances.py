"""Which annotations the objects of a mask layer are, over HTTP."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.rasterize.instances import Instance
from tilesrv.context import context_of
from tilesrv.masks import FRESH, LAYER
from tilesrv.params import Table, integer, numbers, text, with_query
from tilesrv.routing import Endpoint, Operation

MOST_IDS = 1000
MOST = 10_000
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class InstanceQuery:
    """Query of the table of objects."""

    ids: tuple[float, ...] | None
    annotation: str | None
    limit: int
    offset: int


INSTANCE_QUERY = Table(
    (
        numbers(
            "ids",
            "Only these objects: the values of their pixels.",
            counts=range(1, MOST_IDS + 1),
            low=1,
            high=2**32 - 1,
            whole=True,
            example=[7, 12],
        ),
        text("annotation", "Only the object that shows this annotation.", pattern=_UUID, longest=36),
        integer("limit", "Most annotations.", low=1, high=MOST, default=1000),
        integer("offset", "Annotations to pass over.", low=0, high=2**40, default=0),
    ),
    InstanceQuery,
)


def instance_document(one: Instance) -> dict[str, Any]:
    """An annotation of a layer of objects as the interface tells it."""
    return {
        "id": one.id,
        "annotation": str(one.annotation),
        "label": one.label,
        "value": one.value,
        "version": one.version,
    }


async def read_table(request: Request) -> Response:
    """Annotations that a layer of objects shows, in the order in which they were first stored."""
    context = context_of(request)
    where = LAYER.path(request.path_params)
    query = INSTANCE_QUERY.query(request.scope["query_string"])
    await context.image(where.id)

    def read() -> dict[str, Any]:
        layer = context.workspace.layer(where.id, where.layer)
        table = layer.instances()
        if query.ids is not None:
            table = table.of(int(id) for id in query.ids)
        if query.annotation is not None:
            table = table.of_annotations([UUID(query.annotation)])
        end = query.offset + query.limit
        following = with_query(str(request.url), offset=end) if end < len(table) else None
        return {
            "id": where.id,
            "layer": layer.name,
            "revision": layer.revision,
            "count": len(table),
            "instances": [instance_document(one) for one in table.part(query.offset, end)],
            "next": following,
        }

    body = await context.reads.run(object(), read, request.receive)
    return JSONResponse(body, headers={"Cache-Control": FRESH})


INSTANCES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "layer", "revision", "count", "instances", "next"],
    "properties": {
        "id": {"type": "string"},
        "layer": {"type": "string"},
        "revision": {"type": ["integer", "null"]},
        "count": {"type": "integer", "minimum": 0},
        "instances": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "annotation", "label", "value", "version"],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "annotation": {"type": "string", "format": "uuid"},
                    "label": {"type": "string"},
                    "value": {"type": "integer", "minimum": 0},
                    "version": {"type": "integer", "minimum": 1},
                },
            },
        },
        "next": {"type": ["string", "null"]},
    },
}
ROUTES = (
    Endpoint(
        "/images/{id}/masks/{layer}/instances",
        read_table,
        Operation(
            summary="Annotations that the objects of a layer are",
            tag="masks",
            tables=(LAYER, INSTANCE_QUERY),
            content={"application/json": INSTANCES_SCHEMA},
        ),
    ),
)

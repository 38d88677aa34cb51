"""Liveness and measurements."""

import os

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import BackendError
from tilesrv.context import Context, context_of
from tilesrv.routing import Endpoint, Operation

HEALTH = {
    "type": "object",
    "required": ["status", "warm", "waiting"],
    "properties": {
        "status": {"type": "string", "enum": ["ready"]},
        "warm": {
            "type": "boolean",
            "description": "Whether the kernels are compiled; until then the first tiles wait.",
        },
        "waiting": {"type": "integer", "minimum": 0, "description": "Requests being worked on or waiting."},
    },
}


def _check(context: Context) -> None:
    """Raise BackendError unless the workspace can be read, or can come to be."""
    path = context.workspace.path
    if path.exists() and not os.access(path, os.R_OK | os.X_OK):
        raise BackendError("the workspace cannot be read")


async def health(request: Request) -> Response:
    """Whether the server is alive and can read its workspace. A 503 says that it cannot."""
    context = context_of(request)
    await run_in_threadpool(_check, context)
    waiting = context.tiles.backlog + context.heavy.backlog
    body = {"status": "ready", "warm": context.warming.is_done, "waiting": waiting}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def metrics(request: Request) -> Response:
    """Counters and timings for Prometheus."""
    context = context_of(request)
    page = await run_in_threadpool(context.metrics.page)
    return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


ROUTES = (
    Endpoint(
        "/health",
        health,
        Operation(summary="Ready", tag="server", content={"application/json": HEALTH}, problems=(503,), role=None),
    ),
    Endpoint(
        "/metrics",
        metrics,
        Operation(summary="Measurements", tag="server", content={"text/plain": {"type": "string"}}, problems=(503,)),
    ),
)

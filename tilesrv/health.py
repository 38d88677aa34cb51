"""Readiness, liveness and measurements."""

import asyncio
import os

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import BackendError
from bigimage.workspace import DATABASE
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


ALIVE = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string", "enum": ["alive"]}}}
PATIENCE = 5.0
"""Seconds that the workspace and its database may take to answer."""


def _check(context: Context) -> None:
    """Raise BackendError unless the workspace can be read, or can come to be, and its database answers."""
    workspace = context.workspace
    if workspace.path.exists() and not os.access(workspace.path, os.R_OK | os.X_OK):
        raise BackendError("the workspace cannot be read")
    # without a database as yet, none is made
    if workspace.settings.store or (workspace.path / DATABASE).exists():
        workspace.annotations.store.check()


async def health(request: Request) -> Response:
    """Whether the server can do its work: read its workspace and its database. A 503 says what it cannot."""
    context = context_of(request)
    try:
        # unlike starlette's threads, one of these may be left alone with a database that does not answer
        await asyncio.wait_for(asyncio.to_thread(_check, context), PATIENCE)
    except TimeoutError as error:
        raise BackendError(f"the workspace and its database did not answer within {PATIENCE:g} seconds") from error
    waiting = context.tiles.backlog + context.heavy.backlog
    body = {"status": "ready", "warm": context.warming.is_done, "waiting": waiting}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def live(_request: Request) -> Response:
    """Whether the process answers at all, whatever has become of its workspace and database."""
    return JSONResponse({"status": "alive"}, headers={"Cache-Control": "no-store"})


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
        "/health/live",
        live,
        Operation(summary="Alive", tag="server", content={"application/json": ALIVE}, role=None),
    ),
    Endpoint(
        "/metrics",
        metrics,
        Operation(summary="Measurements", tag="server", content={"text/plain": {"type": "string"}}, problems=(503,)),
    ),
)

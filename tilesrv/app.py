"""The server as a list of routes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from bigimage.errors import BigImageError
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tilesrv import (
    annotations,
    changes,
    crops,
    edits,
    errors,
    exchange,
    exports,
    formats,
    health,
    images,
    instances,
    jobs,
    livemask,
    liveplane,
    maps,
    masks,
    ogc,
    pages,
    placing,
    planes,
    regions,
    reverts,
    schema,
    strokes,
    tiles,
    values,
    vectors,
    zarr,
    zones,
)
from tilesrv.context import Context
from tilesrv.edge import EXPOSED, SAFE, Edge
from tilesrv.following import Following
from tilesrv.metrics import Metrics
from tilesrv.protocol import ENDING
from tilesrv.routing import Endpoint, tell_allowed
from tilesrv.warming import settle

ROUTES: tuple[Endpoint, ...] = (
    *tiles.ROUTES,
    *vectors.ROUTES,
    *annotations.ROUTES,
    *edits.ROUTES,
    *strokes.ROUTES,
    *reverts.ROUTES,
    *changes.ROUTES,
    *schema.ROUTES,
    *regions.ROUTES,
    *exchange.ROUTES,
    *exports.ROUTES,
    *formats.ROUTES,
    *ogc.ROUTES,
    *livemask.ROUTES,
    *liveplane.ROUTES,
    *masks.ROUTES,
    *instances.ROUTES,
    *planes.ROUTES,
    *zarr.ROUTES,
    *maps.ROUTES,
    *crops.ROUTES,
    *values.ROUTES,
    *zones.ROUTES,
    *placing.ROUTES,
    *images.ROUTES,
    *jobs.ROUTES,
    *health.ROUTES,
    *pages.ROUTES,
)
"""Every route of the interface; the busiest first, as they are tried in order."""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
}


class Server(FastAPI):
    """FastAPI with the schema of problem documents in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
        return document


def create_app(workspace: Workspace, settings: Settings | None = None, *, alone: bool = False) -> Server:
    """Build the server of one workspace.

    Parameters
    ----------
    settings
        The workspace's own by default.
    alone
        Whether the process is the server's own; what it holds once it is warm is then spared by the garbage collector.
    """
    settings = settings or workspace.settings
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        context = Context.make(workspace, settings, metrics)
        app.state.context = context
        await run_in_threadpool(context.jobs.sweep)
        context.warming.start(settle if alone else None)
        following = Following(workspace)
        following.start()
        try:
            yield {ENDING: context.waker.stop}
        finally:
            await run_in_threadpool(following.stop)
            context.close()

    app = Server(
        title="bigimage",
        version=version("bigimage"),
        summary="Pixels of images too big for a screen or for memory: tiles, crops, values, and the stores themselves",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(settings, metrics),
        exception_handlers={
            BigImageError: errors.on_bigimage_error,
            HTTPException: errors.on_http_exception,
            Exception: errors.on_unexpected,
        },
    )
    app.state.folder = str(workspace.path)
    _mount(app, ROUTES)
    return app


def _mount(app: FastAPI, routes: Sequence[Endpoint]) -> None:
    """Put the routes before those that FastAPI made itself, and the viewer's files after them."""
    tell_allowed(routes)
    app.router.routes[:0] = routes
    if pages.VIEWER.is_dir():
        app.router.routes.append(pages.VIEWER_FILES)


def _middleware(settings: Settings, metrics: Metrics) -> list[Middleware]:
    """Layers around the routes, outermost first."""
    origins = settings.cors_origins
    named = "*" not in origins
    return [
        Middleware(Edge, hosts=settings.allowed_hosts, origins=origins, metrics=metrics),
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=[*SAFE, "POST", "PUT", "PATCH", "DELETE"] if named else list(SAFE),
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Last-Event-ID",
                "Range",
                "If-Range",
                "If-Match",
                "If-None-Match",
                "Idempotency-Key",
            ],
            expose_headers=list(EXPOSED),
            max_age=86400,
        ),
    ]


def from_env() -> Server:
    """The server of a worker process, from the environment that `python -m tilesrv` set."""
    settings = Settings.from_env()
    return create_app(open_workspace(settings=settings), alone=True)

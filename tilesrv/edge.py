"""The outermost layer of the server: who may ask, what every answer carries, and counting it."""

import time
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tilesrv.errors import document, respond
from tilesrv.metrics import Metrics

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
EXPOSED = (
    *("Content-Range", "Content-Length", "ETag", "Accept-Ranges"),
    *("Link", "Location", "Retry-After", "X-Total-Count", "Content-Crs"),
)
"""Headers that scripts of other origins may read."""


class Edge:
    """Pure ASGI layer: checks Host and Origin, adds security headers, measures.

    Reading is open to the origins of the settings. Changing is not open to `*`: a page of another origin could
    otherwise make its visitor's browser upload or delete, as form posts need no permission. A change must come from
    this origin, from one named in the settings, or from a client that sends no Origin (not a browser).
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], origins: Sequence[str], metrics: Metrics) -> None:
        self._app = app
        self._hosts = None if "*" in hosts else frozenset(h.lower() for h in hosts)
        self._origins = frozenset(origins) - {"*"}
        self._metrics = metrics
        resources = b"cross-origin" if "*" in origins else b"same-site"
        self._headers = (*SECURITY, (b"cross-origin-resource-policy", resources))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, receive, tell)
            else:
                await respond(document(403, "forbidden", refusal))(scope, receive, tell)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, scope["method"], status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is refused before it reaches a route, or None."""
        if self._hosts is None and scope["method"] in SAFE:
            return None
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return "this server does not answer to that host name"
        origin = headers.get("origin")
        if scope["method"] in SAFE or origin is None or origin in self._origins:
            return None
        if origin.partition("://")[2] == host:
            return None
        return f"pages of {origin[:100]} may not change anything here; name the origin in the server's settings"


def _host_name(header: str) -> str:
    """Host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].lower()

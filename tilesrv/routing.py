"""Routes: an asynchronous function of the request, with its parameters and answers told to OpenAPI."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from bigimage.model.person import Person, PersonRole
from tilesrv.context import context_of
from tilesrv.errors import MEDIA_TYPE
from tilesrv.params import Table
from tilesrv.people import bearer, check

Handler = Callable[[Request], Awaitable[Response]]

REASONS = {
    400: "The request is malformed or asks for something that makes no sense.",
    401: "A valid token is due: `Authorization: Bearer TOKEN`.",
    403: "The server may not touch what was named, or who asks may not do it.",
    404: "What was named does not exist.",
    409: "The present state does not allow it.",
    412: "It was changed meanwhile; `current` and `yours` tell both sides.",
    413: "The body or the work asked for is more than one request may cost.",
    415: "The body's type is not taken here.",
    416: "The range begins behind the end.",
    428: "A change must say by If-Match which version it was made from.",
    429: "Too many requests or jobs; try again in a moment.",
    500: "The server failed, or a stored image is damaged.",
    501: "Understood, but not handled for this image.",
    503: "Too busy, or a disk failed; try again.",
    507: "No room is left on the disk.",
}
"""What each status of a problem document means, for the OpenAPI document."""
ADMISSION = (401, 403, 429)
"""What any route answers that not everybody may ask."""
USUAL = (400, 404, 500, 501, 503)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What /openapi.json says about one route besides its path."""

    summary: str
    tag: str
    tables: Sequence[Table[Any]] = ()
    content: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Media types of the good answer, each with the JSON schema of its body."""
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict[int, str])
    """Other good answers, such as 304: their descriptions."""
    problems: Sequence[int] = USUAL
    body: Mapping[str, Any] | None = None
    """OpenAPI request body."""
    hidden: bool = False
    """Leave it out of the OpenAPI document."""
    role: PersonRole | None = "viewer"
    """What who asks must be at least; None where anybody may ask."""
    reads: bool = False
    """Whether a request with a body changes nothing, so that those who may only look may send it."""

    def openapi(self) -> dict[str, Any]:
        """Members of the operation object that FastAPI cannot know."""
        extra: dict[str, Any] = {"parameters": [p for table in self.tables for p in table.openapi()]}
        if self.body is not None:
            extra["requestBody"] = dict(self.body)
        return extra

    def responses(self) -> dict[int | str, dict[str, Any]]:
        """OpenAPI responses by status."""
        content = {kind: {"schema": dict(schema)} for kind, schema in self.content.items()}
        good: dict[str, Any] = {"description": self.summary}
        if content:
            good["content"] = content
        found: dict[int | str, dict[str, Any]] = {self.status: good}
        for status, description in self.also.items():
            found[status] = {"description": description} | ({"content": content} if status == 206 else {})
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        admission = () if self.role is None else ADMISSION
        for status in sorted({*self.problems, *admission}):
            found[status] = {"description": REASONS[status], "content": problem}
        return found


class Endpoint(APIRoute):
    """A route that calls its function with nothing but the request.

    FastAPI's solving of dependencies and its two exit stacks cost more than a cached tile; parameters are read by
    `params.Table` instead, and FastAPI only writes the OpenAPI document. GET routes answer HEAD too.
    """

    def __init__(self, path: str, handler: Handler, operation: Operation, *, method: str = "GET") -> None:
        super().__init__(
            path,
            handler,
            methods=[method],
            status_code=operation.status,
            summary=operation.summary,
            response_description=operation.summary,
            tags=[operation.tag],
            responses=operation.responses(),
            response_class=Response,
            response_model=None,
            openapi_extra=operation.openapi(),
            include_in_schema=not operation.hidden,
        )
        self.accepted = frozenset({"GET", "HEAD"} if method == "GET" else {method})
        self.allow = ", ".join(sorted(self.accepted))
        self.handler = handler
        # a route that changes something is never open to those who may only look
        looks = operation.role == "viewer" and method != "GET" and not operation.reads
        self.role: PersonRole | None = "annotator" if looks else operation.role

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match of a request: full, path only (another method), or none."""
        match, child = Route.matches(self, scope)
        if match is Match.NONE:
            return match, child
        child["route"] = self  # the metrics count by route
        return (Match.FULL if scope["method"] in self.accepted else Match.PARTIAL), child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["method"] not in self.accepted:
            raise HTTPException(405, f"{scope['method']} is not served here", {"Allow": self.allow})
        request = Request(scope, receive, send)
        if self.role is not None:
            scope["person"] = await admit(request, self.role)
        response = await self.handler(request)
        await response(scope, receive, send)


async def admit(request: Request, role: PersonRole) -> Person:
    """Who sends a request, and may do what a role may. Raises Unauthorized, Forbidden, TooMany, BackendError."""
    people = context_of(request).people
    token = bearer(request.headers)
    known, person = people.peek(token)
    if not known:
        person = await run_in_threadpool(people.look, token)
    return check(people, request.scope, person, role)


def tell_allowed(endpoints: Sequence[Endpoint]) -> None:
    """Let the 405 of each endpoint name the methods of all endpoints on its path."""
    by_path: dict[str, set[str]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, set()).update(endpoint.accepted)
    for endpoint in endpoints:
        endpoint.allow = ", ".join(sorted(by_path[endpoint.path]))

"""Answers that are pictures: drawn once, kept, known by strong entity tags; and the routes that give them."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tilesrv.context import context_of
from tilesrv.files import matches, not_modified
from tilesrv.lanes import Lane
from tilesrv.params import Table
from tilesrv.render import MEDIA_TYPES, Format
from tilesrv.routing import Endpoint, Handler, Operation

CACHE_CONTROL = "public, max-age=3600"
"""An id never means other pixels; after an hour clients ask whether the look is still the same."""
MAKER = version("bigimage")
"""Part of every ETag: another release may draw differently."""
LOSSLESS = ("png", "webp", "npy")
"""Formats of masks: others would blend classes."""
PROBLEMS = (400, 404, 413, 500, 501, 503)


def strong_etag(*parts: object) -> str:
    """Entity tag of everything that an answer depends on."""
    return f'"{blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest()}"'


async def answer(
    request: Request,
    key: str,
    *,
    fmt: Format,
    lane: Lane,
    work: Callable[[], bytes],
    headers: Mapping[str, str] | None = None,
    cache: str = CACHE_CONTROL,
) -> Response:
    """Bytes from the cache or from `work`, or 304.

    `key` says everything that the picture depends on; `cache` is what clients are told about keeping it.
    """
    context = context_of(request)
    etag = strong_etag(key, MAKER)
    told = {**(headers or {}), "ETag": etag, "Cache-Control": cache}
    if matches(request.headers.get("if-none-match"), etag):
        context.metrics.tile("not-modified")
        return not_modified(etag, told)

    def draw() -> bytes:
        made = work()
        context.cache.put(key, made, len(made) + len(key))  # also for a client that has left meanwhile
        return made

    body: bytes | None = context.cache.get(key)
    context.metrics.tile("render" if body is None else "cache")
    if body is None:
        body = await lane.run(key, draw, request.receive)
    return Response(body, headers=told, media_type=MEDIA_TYPES[fmt])


def picture_route(
    path: str,
    handler: Handler,
    summary: str,
    *tables: Table[Any],
    tag: str,
    formats: Sequence[str] = tuple(MEDIA_TYPES),
) -> Endpoint:
    """Route of pictures in some formats."""
    content: dict[str, dict[str, Any]] = {MEDIA_TYPES[fmt]: {} for fmt in formats}
    operation = Operation(
        summary=summary, tag=tag, tables=tables, content=content, also={304: "Unchanged."}, problems=PROBLEMS
    )
    return Endpoint(path, handler, operation)

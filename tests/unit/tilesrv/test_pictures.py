"""Pictures: drawn once, kept, and told apart by their entity tags."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from bigimage.cache import ByteLRU
from tilesrv.pictures import CACHE_CONTROL, LOSSLESS, answer, picture_route, strong_etag


class Here:
    """A lane that works at once; `gone` is a client that leaves before the work is done."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone

    async def run(self, key: object, work: Callable[[], bytes], receive: object) -> bytes:
        made = work()
        if self.gone:
            raise ConnectionError
        return made


def server() -> Any:
    counted: list[str] = []
    context = SimpleNamespace(cache=ByteLRU(1000), metrics=SimpleNamespace(tile=counted.append), counted=counted)
    return SimpleNamespace(state=SimpleNamespace(context=context))


def ask(app: Any, key: str, work: Callable[[], bytes], *, tag: str | None = None, **options: Any) -> Response:
    sent = [] if tag is None else [(b"if-none-match", tag.encode())]
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": sent, "app": app})
    return asyncio.run(answer(request, key, fmt="png", work=work, **{"lane": Here(), **options}))


def test_a_picture_is_drawn_once_and_not_sent_again() -> None:
    app, drawn = server(), []

    def work() -> bytes:
        drawn.append(1)
        return b"picture"

    first = ask(app, "a", work, headers={"X-Unit": "HU"})
    assert (first.status_code, first.body, first.media_type) == (200, b"picture", "image/png")
    assert (first.headers["cache-control"], first.headers["x-unit"]) == (CACHE_CONTROL, "HU")
    again = ask(app, "a", work, cache="no-cache")
    assert (again.body, again.headers["etag"]) == (b"picture", first.headers["etag"])
    assert again.headers["cache-control"] == "no-cache"
    unchanged = ask(app, "a", work, tag=first.headers["etag"])
    assert (unchanged.status_code, unchanged.body) == (304, b"")
    assert ask(app, "b", work).headers["etag"] != first.headers["etag"]
    assert len(drawn) == 2
    assert app.state.context.counted == ["render", "cache", "not-modified", "render"]


def test_a_picture_is_kept_for_others_when_its_client_leaves() -> None:
    app = server()
    with pytest.raises(ConnectionError):
        ask(app, "a", lambda: b"picture", lane=Here(gone=True))
    assert ask(app, "a", lambda: b"another").body == b"picture"


def test_entity_tags_follow_from_all_parts() -> None:
    assert strong_etag("a", 1) == strong_etag("a", 1)
    assert len({strong_etag("a", 1), strong_etag("a", 2), strong_etag("b", 1)}) == 3
    assert strong_etag("a").startswith('"')


def test_a_route_of_masks_gives_no_lossy_pictures() -> None:
    async def handler(request: Request) -> Response:
        return Response()

    route = picture_route("/x.{fmt}", handler, "A picture", tag="masks", formats=LOSSLESS)
    told = get_openapi(title="", version="", routes=[route])["paths"]["/x.{fmt}"]["get"]["responses"]
    assert sorted(told["200"]["content"]) == ["application/octet-stream", "image/png", "image/webp"]
    assert {"304", "413", "501"} <= set(told)

"""The log of an image's annotations: read on from a revision, or told as it grows."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import IO, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bigimage.annotations import Annotations
from bigimage.errors import InputError
from bigimage.model.change import Added, BrushPatch, Change, Edited, Logged, Removed, changed_id
from bigimage.model.feature import rfc3339
from tilesrv import featuredocs as docs
from tilesrv.annotations import entry_of
from tilesrv.context import Context, context_of
from tilesrv.featurefields import CRS
from tilesrv.fields import IMAGE
from tilesrv.listing import state
from tilesrv.params import Param, Table, integer, switch, with_query
from tilesrv.routing import Endpoint, Operation

NO_STORE = {"Cache-Control": "no-store"}
HEARTBEAT = 10.0
"""Seconds after which a silent stream sends a comment, and looks for itself whether something changed."""
IN_MEMORY = 1 << 20
"""Bytes of an answer that are kept in memory; the rest waits in a file, so that no transaction waits for a client."""
PIECE = 1 << 18
MOST_TOLD = 1000
"""Most changes of one revision that an event lists."""
SINCE: Param[int] = integer("since", "Changes behind this revision.", low=0, high=2**53, default=0)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Query of the log."""

    since: int
    limit: int
    features: bool
    crs: str | None


@dataclass(frozen=True, slots=True)
class EventsQuery:
    """Query of the live log."""

    since: int | None


LOG_QUERY = Table(
    (
        SINCE,
        integer("limit", "The page ends with the revision that reaches so many.", low=1, high=100_000, default=1000),
        switch("features", "Tell what each change made, not only what it was about."),
        CRS,
    ),
    LogQuery,
)
EVENTS_QUERY = Table(
    (integer("since", "Begin behind this revision; by default, with what comes.", low=0, high=2**53),), EventsQuery
)


async def list_changes(request: Request) -> Response:
    """The log behind a revision, whole revisions in order; `next` leads on where there is more."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = LOG_QUERY.query(request.scope["query_string"])
    await context.image(image)
    url = str(request.url)
    file = await context.reads.run(
        object(), lambda: _spool(context.workspace.annotations, image, query, url), request.receive
    )
    return StreamingResponse(_sent(file), media_type="application/json", headers=NO_STORE)


def _spool(annotations: Annotations, image: str, query: LogQuery, url: str) -> IO[bytes]:
    """Answer in a file that is kept in memory while it is small."""
    latest = state(annotations, image, None)
    until = _until(annotations, image, query, latest)
    head = {"image": image, "since": query.since, "until": until, "revision": latest}
    if until < latest:
        head["next"] = with_query(url, since=until)
    with ExitStack() as unless_done:
        file: IO[bytes] = unless_done.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))  # pyright: ignore[reportAssignmentType]
        file.write(json.dumps(head)[:-1].encode() + b', "changes": [')
        for k, logged in enumerate(annotations.changes(image, since=query.since, until=until)):
            entry = entry_of(logged, query.crs) if query.features else brief(logged)
            file.write((b"" if k == 0 else b",\n") + json.dumps(entry, ensure_ascii=False).encode())
        file.write(b"]}")
        file.seek(0)
        unless_done.pop_all()  # whoever sends it closes it
    return file


def _until(annotations: Annotations, image: str, query: LogQuery, latest: int) -> int:
    """Last revision of a page: that which reaches the limit, or the latest."""
    count, last = 0, latest
    for logged in annotations.changes(image, since=query.since, until=latest, limit=query.limit):
        count, last = count + 1, logged.revision.number
    return last if count == query.limit else latest


async def _sent(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Pieces of a file, which is closed at the end, also when the client goes away."""
    try:
        while piece := await run_in_threadpool(file.read, PIECE):
            yield piece
    finally:
        file.close()


_KINDS: dict[type[Change], str] = {Added: "added", Edited: "edited", Removed: "removed", BrushPatch: "painted"}


def brief(logged: Logged) -> dict[str, Any]:
    """One change without what it made: what it was about, and where."""
    change = logged.change
    return {
        "revision": logged.revision.number,
        "author": logged.revision.author,
        "time": rfc3339(logged.revision.time),
        "version": logged.version,
        "id": str(changed_id(change)),
        "kind": _KINDS[type(change)],
        "extent": None if logged.extent is None else [*logged.extent[0], *logged.extent[1]],
    }


# ---- live


async def change_events(request: Request) -> Response:
    """New revisions as server-sent events `revision`, whoever makes them through whichever process.

    The `id` of an event is the revision, so a client that lost its connection goes on by `Last-Event-ID`. Of a
    revision with more than a thousand changes the event has no `changes`; the log has them all.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = EVENTS_QUERY.query(request.scope["query_string"])
    await context.image(image)
    since = _resume(request.headers.get("last-event-id")) or query.since
    if since is None:
        since = await context.reads.run(object(), lambda: state(context.workspace.annotations, image, None))
    headers = {**NO_STORE, "X-Accel-Buffering": "no"}  # nginx would hold events back
    context.waker.require_place()
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(_follow(context, image, since), media_type="text/event-stream", headers=headers)


def _resume(header: str | None) -> int | None:
    """Revision of a Last-Event-ID. Raises InputError."""
    if not header:
        return None
    if not (header.isascii() and header.isdigit() and len(header) < 16):
        raise InputError("Last-Event-ID is no revision")
    return int(header)


async def _follow(context: Context, image: str, since: int) -> AsyncIterator[str]:
    """Events behind a revision, until the server stops or the client goes away."""
    waker = context.waker
    yield "retry: 2000\n: listening\n\n"
    with waker.listen() as event:
        while not waker.is_stopped:
            event.clear()
            # who waits for the same at the same time is told from one reading
            key = ("changes", image, since, waker.generation)
            steps = await context.reads.run(key, lambda since=since: steps_of(context, image, since))
            for number, text in steps:
                yield f"id: {number}\nevent: revision\ndata: {text}\n\n"
                since = number
            if steps:
                continue
            try:
                await asyncio.wait_for(event.wait(), HEARTBEAT)
            except TimeoutError:
                yield ": still here\n\n"


def steps_of(context: Context, image: str, since: int) -> list[tuple[int, str]]:
    """Next revisions with their events' data, as many as `MOST_TOLD` changes make, and at least one. Blocking."""
    annotations = context.workspace.annotations
    found = list(annotations.changes(image, since=since, limit=MOST_TOLD + 1))
    groups = [(number, list(steps)) for number, steps in groupby(found, key=lambda logged: logged.revision.number)]
    if len(found) <= MOST_TOLD:
        return [(number, _event_data(image, steps, whole=True)) for number, steps in groups]
    # the last one may go on behind what was read
    ended = [(number, _event_data(image, steps, whole=True)) for number, steps in groups[:-1]]
    return ended or [(groups[0][0], _event_data(image, found, whole=False))]


def _event_data(image: str, steps: list[Logged], *, whole: bool) -> str:
    """Data of one event; of a revision that is too large to list, without its changes."""
    revision = steps[0].revision
    data: dict[str, Any] = {
        "image": image,
        "revision": revision.number,
        "author": revision.author,
        "time": rfc3339(revision.time),
    }
    if whole:
        hidden = ("revision", "author", "time")
        data["changes"] = [{k: v for k, v in brief(logged).items() if k not in hidden} for logged in steps]
    return json.dumps(data, ensure_ascii=False)


LOG: dict[str, Any] = {
    "type": "object",
    "required": ["image", "since", "until", "revision", "changes"],
    "properties": {
        "image": {"type": "string"},
        "since": {"type": "integer"},
        "until": {"type": "integer", "description": "Last revision of this page."},
        "revision": {"type": "integer", "description": "Latest revision."},
        "next": {"type": "string", "description": "Address of the next page."},
        "changes": {"type": "array", "items": docs.ENTRY},
    },
}
ROUTES = (
    Endpoint(
        "/images/{id}/changes",
        list_changes,
        Operation(
            summary="The log behind a revision",
            tag="annotations",
            tables=(IMAGE, LOG_QUERY),
            content={"application/json": LOG},
        ),
    ),
    Endpoint(
        "/images/{id}/changes/events",
        change_events,
        Operation(
            summary="New revisions as they are made",
            tag="annotations",
            tables=(IMAGE, EVENTS_QUERY),
            content={"text/event-stream": {}},
        ),
    ),
)

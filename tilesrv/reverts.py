"""Taking back much at once: all that happened behind a moment, in a box, or by one person."""

from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid
from bigimage.model.feature import rfc3339
from bigimage.store.revert import Reverted
from tilesrv.bodies import read_object
from tilesrv.context import Context, context_of
from tilesrv.featurefields import AT
from tilesrv.fields import IMAGE
from tilesrv.listing import window_of
from tilesrv.people import author_of
from tilesrv.routing import Endpoint, Operation

KNOWN = ("to", "author", "since", "bbox", "bbox-crs")
LONGEST = 1 << 16


async def revert_image(request: Request) -> Response:
    """Bring an image, or a `bbox` of it, back to a revision or a time (`to`); or take back what one person did.

    Nothing is lost: going back is a revision like any other. Of what an `author` did (behind revision `since`), that
    is `kept` on which others have built.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    members = await read_object(request, limit=LONGEST, known=KNOWN)
    grid = (await context.image(image)).pyramid.info.grid
    author = author_of(request)
    done = await context.edits.run(
        object(), lambda: _revert(context, image, grid, members, author=author), request.receive
    )
    made = done.revision
    body = {
        "revision": None if made is None else made.number,
        "time": None if made is None else rfc3339(made.time),
        "changes": done.changes,
        "kept": [str(id_) for id_ in done.kept],
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _revert(context: Context, image: str, grid: Grid, members: dict[str, Any], *, author: str) -> Reverted:
    """What a body asks for. Raises InputError, NotFound, Conflict, FrameMismatch. Blocking."""
    annotations = context.workspace.annotations
    to, who = members.get("to"), members.get("author")
    if (to is None) == (who is None):
        raise InputError('the body says either "to", a revision or a time, or "author"')
    if who is not None:
        since = members.get("since", 0)
        if not isinstance(who, str) or not 1 <= len(who) <= 200 or not _is_revision(since):
            raise InputError('author is a name, and since a revision; {"author": "ada", "since": 12}')
        return annotations.revert_author(image, who, since=since, author=author)
    window = window_of(_numbers(members.get("bbox")), _text(members.get("bbox-crs")), grid)
    box = None if window is None else window.box
    return annotations.revert(image, to=_moment(to), box=box, author=author)


def _is_revision(value: object) -> bool:
    """Whether a value is the number of a revision."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _moment(value: object) -> int | datetime:
    """A revision or a time. Raises InputError."""
    if _is_revision(value):
        return cast("int", value)
    return AT.read(value if isinstance(value, str) else "no moment")


def _numbers(value: object) -> tuple[float, ...] | None:
    """Numbers of a box. Raises InputError."""
    if value is None:
        return None
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    fits = all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= 1e12 for v in listed)
    if len(listed) not in (4, 6) or not fits:
        raise InputError("bbox is an array of 4 or 6 numbers")
    return tuple(map(float, listed))


def _text(value: object) -> str | None:
    """Name of a CRS. Raises InputError."""
    if value is None or (isinstance(value, str) and 1 <= len(value) <= 4096 and "grids" not in value.lower()):
        return value
    raise InputError("bbox-crs is the name of a CRS, or native")


_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
        "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
        "bbox-crs": {"type": "string"},
        "author": {"type": "string", "minLength": 1, "maxLength": 200},
        "since": {"type": "integer", "minimum": 0},
    },
    "additionalProperties": False,
}
_DONE: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "time", "changes", "kept"],
    "properties": {
        "revision": {"type": ["integer", "null"], "description": "Null when there was nothing to take back."},
        "time": {"type": ["string", "null"]},
        "changes": {"type": "integer", "minimum": 0},
        "kept": {"type": "array", "items": {"type": "string", "format": "uuid"}},
    },
}
ROUTES = (
    Endpoint(
        "/images/{id}/revert",
        revert_image,
        Operation(
            summary="What was taken back",
            tag="annotations",
            tables=(IMAGE,),
            content={"application/json": _DONE},
            problems=(400, 404, 409, 413, 415, 500, 501, 503, 507),
            body={"required": True, "content": {"application/json": {"schema": _BODY}}},
            role="reviewer",
        ),
        method="POST",
    ),
)

"""Errors as HTTP answers: one table of classes, looked up by ancestry, told as RFC 9457 problem documents."""

import errno
import json
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bigimage.archives import UPLOADS, ArchiveTooLarge
from bigimage.errors import (
    BackendError,
    BigImageError,
    Cancelled,
    Conflict,
    DataError,
    FrameMismatch,
    InputError,
    NotFound,
    OutOfBounds,
    PartlyDone,
    Undecodable,
    Unsupported,
)
from bigimage.model.problem import Invalid, Problem

MEDIA_TYPE = "application/problem+json"
URN = "urn:bigimage:problem:"
_log = logging.getLogger(__name__)
_UPLOADED = re.compile(rf"the workspace/{UPLOADS}/[0-9a-f]{{32}}/(?:content/)?")
"""Where a file lies while it is read, as the workspace is called in messages."""
_ELSEWHERE = re.compile(r"the annotation database \w+://")
"""How messages begin that tell where a database server is, and as whom it is asked."""
_FULL = ("disk is full", "No space left on device", "Disk quota exceeded")
"""What SQLite, PostgreSQL and the system say then."""
MOST_IN_DETAIL = 10
"""Most problems that the sentence about what happened repeats."""


class BadRequest(InputError):
    """A request with one or more things wrong in it, all of them told.

    Parameters
    ----------
    problems
        One sentence for each thing that is wrong.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class TooLarge(InputError):
    """The work or the body that was asked for exceeds what one request may cost."""


class Forbidden(InputError):
    """The server is not allowed to touch what was named."""


class UnsupportedMedia(InputError):
    """The request's body is of a type that this route does not take."""


class TooMany(InputError):
    """The client has started as much as it may; try again when some of it is done."""


class Unauthorized(InputError):
    """Nobody knows who asks; a valid token would tell."""


class PreconditionRequired(InputError):
    """A change that does not say what it was made from."""


class Stale(Conflict):
    """A change that was made from another version than the present one.

    Parameters
    ----------
    members
        What the problem document says besides: `current` and `yours`.
    """

    def __init__(self, message: str, members: dict[str, Any]) -> None:
        super().__init__(message)
        self.members = members


class Taken(Conflict):
    """What was to be made is there already; `members` as of `Stale`."""

    def __init__(self, message: str, members: dict[str, Any]) -> None:
        super().__init__(message)
        self.members = members


class Busy(BackendError):
    """Too much is waiting already; try again in a moment."""


class DiskFull(BackendError):
    """The server has no room left for what was sent."""


def disk_error(error: OSError) -> BackendError:
    """What a failed write means to the client."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("the server's disk is full")
    return BackendError(f"the server cannot write the upload: {error.strerror}")


class ClientGone(BigImageError):
    """The client went away before its answer was made."""


STATUS: dict[type[Exception], tuple[int, str]] = {
    InputError: (400, "input"),
    Invalid: (400, "invalid"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    NotFound: (404, "not-found"),
    Conflict: (409, "conflict"),
    Stale: (412, "stale"),
    PreconditionRequired: (428, "precondition-required"),
    TooLarge: (413, "too-large"),
    ArchiveTooLarge: (413, "too-large"),
    UnsupportedMedia: (415, "unsupported-media"),
    TooMany: (429, "too-many"),
    OutOfBounds: (400, "out-of-bounds"),
    FrameMismatch: (400, "frame-mismatch"),
    Cancelled: (409, "cancelled"),
    ClientGone: (499, "client-gone"),  # nobody reads it; the log and the metrics do
    DataError: (500, "data"),  # a stored image is damaged: the request was fine
    Undecodable: (500, "undecodable"),
    PartlyDone: (500, "partly-done"),
    Unsupported: (501, "unsupported"),
    BackendError: (503, "backend"),
    Busy: (503, "busy"),
    DiskFull: (507, "disk-full"),
}
"""HTTP status and problem name of each class of error; a class without a row takes its nearest ancestor's."""


def status_of(error: Exception) -> tuple[int, str]:
    """HTTP status and problem name of an error; 500 for one that nobody foresaw."""
    if isinstance(error, BackendError) and any(text in str(error) for text in _FULL):
        return STATUS[DiskFull]
    for cls in type(error).__mro__:
        row = STATUS.get(cls)
        if row is not None:
            return row
    return 500, "unexpected"


def document(status: int, name: str | None, detail: str, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """RFC 9457 document of a status, a problem name (None: nothing beyond the status) and what happened."""
    body: dict[str, Any] = {
        "type": "about:blank" if name is None else URN + name,
        "title": "Client Closed Request" if status == 499 else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if problems:
        body["problems"] = list(problems)
    return body


def _detail(error: Exception, problems: tuple[str, ...]) -> str:
    """What happened in one sentence: of many problems the first few, as `problems` has them all."""
    whole, listed = str(error), "; ".join(problems)
    if len(problems) <= MOST_IN_DETAIL or not whole.endswith(listed):
        return whole
    first = "; ".join(problems[:MOST_IN_DETAIL])
    return f"{whole.removesuffix(listed)}{first}; and {len(problems) - MOST_IN_DETAIL} more"


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Answer that carries a problem document."""
    extra = {"Cache-Control": "no-store", **(headers or {})}
    return Response(json.dumps(body), status_code=body["status"], media_type=MEDIA_TYPE, headers=extra)


async def on_bigimage_error(request: Request, error: Exception) -> Response:
    """Answer to an error raised on purpose; it does not tell where on the server things lie."""
    status, name = status_of(error)
    headers = {"Retry-After": "1"} if isinstance(error, Busy | TooMany) else None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    folder = request.app.state.folder
    given: tuple[str, ...] = getattr(error, "problems", ())
    problems = tuple(_placeless(p, folder) for p in given)
    detail = _placeless(_detail(error, given), folder)
    if _ELSEWHERE.match(detail):
        _log.warning("%s", detail)
        detail = "the annotation database failed or cannot be reached; the server's log says why"
        headers = {"Retry-After": "1"}
    body = document(status, name, detail, problems)
    if isinstance(error, Invalid):
        body["details"] = problem_list(error.details)
    return respond({**body, **getattr(error, "members", {})}, headers)


def _placeless(text: str, folder: str) -> str:
    """A message without where on this machine the workspace lies; a file that was sent is called by its name."""
    return _UPLOADED.sub("", text.replace(folder, "the workspace"))


def problem_list(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems as JSON."""
    return [{"kind": p.kind, "place": p.place, "message": p.message} for p in problems]


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer to what the router refuses: an unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    detail = error.detail if error.detail else HTTPStatus(error.status_code).phrase
    return respond(document(error.status_code, None, str(detail)), dict(error.headers or {}))


async def on_unexpected(_request: Request, _error: Exception) -> Response:
    """Answer to a fault of the server's own: nothing of the inside shows; the log has the traceback."""
    return respond(document(500, "unexpected", "the server failed on this request; its log says why"))

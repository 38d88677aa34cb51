"""JSON bodies: bounded, strict, and in no text that a database could not keep."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from bigimage.errors import InputError
from tilesrv.errors import ClientGone, TooLarge, UnsupportedMedia

SMALL = 1 << 16
"""Bodies up to this many bytes are parsed at once; longer ones leave the event loop."""
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes of characters that no database keeps: NUL, and halves of surrogate pairs."""
_UNKEPT = re.compile("[\0\ud800-\udfff]")


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body. Raises TooLarge, UnsupportedMedia for a body that is no JSON, ClientGone."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not (kind in ("application/json", "text/json") or kind.endswith("+json")):
        raise UnsupportedMedia(f"a body of type {kind[:60]!r} is not taken here: send application/json or geo+json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("compressed bodies are not taken here")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the body is longer than {limit} bytes, the most that this server takes; send it in parts")
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(
                    f"the body is longer than {limit} bytes, the most that this server takes; send it in parts"
                )
            parts.append(chunk)
    except ClientDisconnect:
        raise ClientGone("the body broke off") from None
    return b"".join(parts)


async def parse_body(body: bytes) -> Any:
    """Value of a JSON body, which may be large. Raises InputError."""
    return parse(body) if len(body) <= SMALL else await run_in_threadpool(parse, body)


def parse(body: bytes) -> Any:
    """Value of a JSON text. Raises InputError, also for NaN and characters that no database keeps."""
    try:
        value = json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise InputError("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise InputError("the body is not UTF-8") from None
    except ValueError as error:
        raise InputError(f"the body is not JSON: {str(error)[:200]}") from None
    if (_SUSPECT.search(body) or b"\0" in body) and _has_unkept(value):
        raise InputError("the body holds a text with a NUL character or half a surrogate pair")
    return value


def _refuse(name: str) -> NoReturn:
    """Refuse NaN and infinities, which JSON does not have."""
    raise ValueError(f"{name} is no JSON value")


def _has_unkept(value: object) -> bool:
    """Whether some text within a value has a character that no database keeps."""
    if isinstance(value, str):
        return _UNKEPT.search(value) is not None
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return any(_has_unkept(part) for pair in members.items() for part in pair)
    return isinstance(value, list) and any(_has_unkept(part) for part in cast("list[object]", value))


async def read_object(
    request: Request, *, limit: int, known: tuple[str, ...], optional: bool = False
) -> dict[str, Any]:
    """A JSON object without members other than `known`; where it is optional, no body says nothing.

    Raises InputError, TooLarge, UnsupportedMedia.
    """
    body = await read_body(request, limit=limit)
    value = {} if optional and not body else await parse_body(body)
    if not isinstance(value, dict):
        raise InputError(f"the body is not a JSON object with {', '.join(known)}")
    members = cast("dict[str, Any]", value)
    unknown = [name for name in members if name not in known]
    if unknown:
        raise InputError(f"the body has a member {unknown[0][:60]!r}; known are {', '.join(known)}")
    return members

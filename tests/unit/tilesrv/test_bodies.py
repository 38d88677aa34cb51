"""JSON bodies: strict, bounded, and in texts that databases keep."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from bigimage.errors import BigImageError, InputError
from tilesrv.bodies import parse, parse_body, read_body, read_object
from tilesrv.errors import ClientGone, TooLarge, UnsupportedMedia


def request(*chunks: bytes, gone: bool = False, **headers: str) -> Request:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": listed}, receive)


def test_a_body_comes_in_pieces() -> None:
    body = asyncio.run(
        read_body(request(b'{"a"', b": 1}", content_type="application/geo+json; charset=utf-8"), limit=9)
    )
    assert asyncio.run(parse_body(body)) == {"a": 1}
    long = b'{"a": "' + b"x" * (1 << 17) + b'"}'
    assert len(asyncio.run(parse_body(long))["a"]) == 1 << 17


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (request(b"0123456789"), TooLarge),
        (request(b"{}", content_length="1000"), TooLarge),
        (request(b"{}", content_type="text/plain"), UnsupportedMedia),
        (request(b"{}", content_encoding="gzip"), UnsupportedMedia),
        (request(b"{", gone=True), ClientGone),
    ],
)
def test_bodies_that_are_not_read(sent: Request, error: type[BigImageError]) -> None:
    with pytest.raises(error):
        asyncio.run(read_body(sent, limit=8))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[NaN]",
        b"[-Infinity]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'["\\u0000"]',
        b'{"\\ud800": 1}',
        b'[{"a": ["\\udfff"]}]',
        b"[" + b"9" * 5000 + b"]",
    ],
)
def test_what_is_no_json_that_can_be_kept(text: bytes) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_pairs_of_surrogates_and_escaped_backslashes_are_fine() -> None:
    assert parse(b'["\\ud83d\\ude00", "\\\\u0000"]') == ["😀", "\\u0000"]


def test_an_object_has_known_members_only() -> None:
    assert asyncio.run(read_object(request(b'{"a": 1}'), limit=99, known=("a", "b"))) == {"a": 1}
    assert asyncio.run(read_object(request(b""), limit=99, known=("a",), optional=True)) == {}
    for body in (b"", b"[]", b'{"c": 1}'):
        with pytest.raises(InputError):
            asyncio.run(read_object(request(body), limit=99, known=("a", "b")))

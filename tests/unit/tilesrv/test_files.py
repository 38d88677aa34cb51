"""Ranges and conditions as RFC 9110 has them."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bigimage.errors import NotFound
from tilesrv import files
from tilesrv.files import Span, Unsatisfiable, matches, parse_range, send_file


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1, 10)),
        ("bytes=2-4", Span(2, 5, 10)),
        ("bytes=2-", Span(2, 10, 10)),
        ("bytes=-3", Span(7, 10, 10)),
        ("bytes=-99", Span(0, 10, 10)),
        ("bytes=9-9999999999", Span(9, 10, 10)),
        ("BYTES = 1 - 2", Span(1, 3, 10)),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=1-2,4-5", None),
        ("bytes=a-b", None),
        ("lines=1-2", None),
        ("", None),
    ],
)
def test_ranges(header: str | None, wanted: Span | None) -> None:
    assert parse_range(header, 10) == wanted


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_ranges_behind_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


@pytest.mark.parametrize(
    ("header", "same"),
    [(None, False), ("*", True), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ('"b"', False), ("a", False)],
)
def test_if_none_match(header: str | None, same: bool) -> None:
    assert matches(header, '"a"') is same


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that streams, as it is larger than what is sent at once."""
    monkeypatch.setattr(files, "WHOLE", 1000)
    path = tmp_path / "big"
    path.write_bytes(os.urandom(4567))
    return path


async def _get(path: Path, method: str = "GET", **headers: str) -> httpx.Response:
    async def answer(request: Request) -> Response:
        return await send_file(request, path, media_type="application/octet-stream", cache="no-cache")

    app = Starlette(routes=[Route("/", answer)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.request(method, "/", headers=headers)


def _ask(path: Path, method: str = "GET", **headers: str) -> httpx.Response:
    return asyncio.run(_get(path, method, **{k.replace("_", "-"): v for k, v in headers.items()}))


def test_a_large_file_streams_whole(big: Path) -> None:
    answer = _ask(big)
    assert answer.status_code == 200
    assert answer.content == big.read_bytes()
    assert answer.headers["content-length"] == "4567"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(("asked", "part"), [("bytes=5-3004", slice(5, 3005)), ("bytes=-1500", slice(-1500, None))])
def test_a_large_range_streams(big: Path, asked: str, part: slice) -> None:
    answer = _ask(big, range=asked)
    assert answer.status_code == 206
    assert answer.content == big.read_bytes()[part]
    start, stop, _ = part.indices(4567)
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/4567"
    assert answer.headers["content-length"] == str(stop - start)


def test_head_tells_the_length_and_sends_nothing(big: Path) -> None:
    answer = _ask(big, "HEAD", range="bytes=0-1")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "4567", b"")


def test_a_known_etag_is_answered_with_304(big: Path) -> None:
    etag = _ask(big).headers["etag"]
    answer = _ask(big, if_none_match=etag, range="bytes=0-1")
    assert (answer.status_code, answer.headers["etag"], answer.content) == (304, etag, b"")


def test_if_range_sends_the_part_only_of_the_same_file(big: Path) -> None:
    etag = _ask(big).headers["etag"]
    assert _ask(big, if_range=etag, range="bytes=0-1").status_code == 206
    assert _ask(big, if_range='"other"', range="bytes=0-1").status_code == 200


def test_a_range_behind_the_end_is_a_problem_with_the_size(big: Path) -> None:
    answer = _ask(big, range="bytes=5000-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */4567"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_replaced_file_has_another_etag(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"one")
    before = _ask(path).headers["etag"]
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").replace(path)
    assert _ask(path).headers["etag"] != before


def test_what_is_no_plain_file_is_not_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "pipe", ".", "pipe/below"):
        with pytest.raises(NotFound):
            _ask(tmp_path / name)

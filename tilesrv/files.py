"""Files over HTTP: strong entity tags, conditional requests, single byte ranges, bounded memory (RFC 9110)."""

import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bigimage.errors import NotFound
from tilesrv.errors import document, respond

WHOLE = 1 << 20
"""Answers up to this many bytes are read at once; longer ones stream in pieces of this size."""
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of bytes of a file of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """Value of the Content-Range header."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


class Unsatisfiable(Exception):
    """The range begins behind the end of the file."""


def parse_range(header: str | None, size: int) -> Span | None:
    """Range asked for, or None for the whole file: no header, another unit, several ranges, or broken syntax.

    RFC 9110, 14.2: a server may ignore a Range header, and must ignore one it cannot read. Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None
    if start >= size:
        raise Unsatisfiable
    return Span(start, stop, size)


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names the entity tag, compared weakly as RFC 9110, 13.1.2 wants."""
    if not header:
        return False
    return header.strip() == "*" or etag in (part.strip().removeprefix("W/") for part in header.split(","))


def not_modified(etag: str, headers: dict[str, str]) -> Response:
    """The 304 answer, with the headers that a 200 would carry."""
    return Response(status_code=304, headers={**headers, "ETag": etag})


def _open(path: Path) -> tuple[IO[bytes], os.stat_result]:
    """Open a plain file; held open while it is sent, so that a replacement cannot mix two versions. Raises NotFound."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        raise NotFound("no such key") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NotFound("no such key")
    return os.fdopen(descriptor, "rb", buffering=0), status


def _pread(file: IO[bytes], start: int, stop: int) -> bytes:
    """Bytes start…stop of an open file; short when somebody cut it meanwhile."""
    parts: list[bytes] = []
    while start < stop:
        part = os.pread(file.fileno(), stop - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _prepare(path: Path, *, head: bool, headers: Mapping[str, str]) -> "_Answer":
    """Everything about the answer that needs the disk, in one go; the file stays open only if it must stream."""
    file, status = _open(path)
    keep = False
    try:
        size = status.st_size
        etag = f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{size:x}"'
        base = {"ETag": etag, "Accept-Ranges": "bytes"}
        if matches(headers.get("if-none-match"), etag):
            return _Answer(304, base)
        unchanged = headers.get("if-range") in (None, etag)
        try:
            span = parse_range(headers.get("range"), size) if unchanged and not head else None
        except Unsatisfiable:
            return _Answer(416, {**base, "Content-Range": f"bytes */{size}"})
        part = span or Span(0, size, size)
        base["Content-Length"] = str(part.length)
        if span is not None:
            base["Content-Range"] = span.content_range
        code = 200 if span is None else 206
        if head:
            return _Answer(code, base)
        if part.length <= WHOLE:
            return _Answer(code, base, body=_pread(file, part.start, part.stop))
        keep = True
        return _Answer(code, base, stream=(file, part))
    finally:
        if not keep:
            file.close()


@dataclass(frozen=True, slots=True)
class _Answer:
    """Status, headers, and either a body or an open file with the part to stream."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    stream: tuple[IO[bytes], Span] | None = None


async def pieces(file: IO[bytes], span: Span) -> AsyncIterator[bytes]:
    """Pieces of an open file, read in threads; closes it at the end, also when the client goes away."""
    try:
        for start in range(span.start, span.stop, WHOLE):
            yield await run_in_threadpool(_pread, file, start, min(start + WHOLE, span.stop))
    finally:
        file.close()


async def send_file(request: Request, path: Path, *, media_type: str, cache: str) -> Response:
    """Answer a GET or HEAD for a file: 200, 206, 304 or 416.

    Parameters
    ----------
    path
        Already checked; raises NotFound when no plain file is there.
    cache
        Value of Cache-Control.
    """
    answer = await run_in_threadpool(_prepare, path, head=request.method == "HEAD", headers=request.headers)
    headers = {**answer.headers, "Cache-Control": cache}
    if answer.status == 416:
        problem = document(416, None, f"the range {request.headers['range']!r} begins behind the end of the file")
        return respond(problem, headers)
    if answer.stream is not None:
        return StreamingResponse(pieces(*answer.stream), answer.status, headers, media_type)
    response = Response(answer.body, answer.status, headers, media_type)
    if "Content-Length" in answer.headers:
        response.headers["Content-Length"] = answer.headers["Content-Length"]
    return response

"""Bodies too large for memory: streamed to disk as they come, raw or as the file of a form."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from bigimage import archives
from bigimage.errors import InputError, NotFound
from tilesrv.errors import ClientGone, Forbidden, TooLarge, disk_error

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BLOCK = 1 << 20
"""Bytes gathered before one write."""
FIELD_LIMIT = 4096
"""Longest value of a form field beside the file, in bytes."""
FIELDS_LIMIT = 32
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def safe_name(name: str) -> str:
    """File name that a client's file may have on our disk: its last part, plain characters, never hidden or empty."""
    last = re.split(r"[/\\]", name)[-1]
    plain = _UNSAFE.sub("-", last).strip("-.")
    stem, dot, suffix = plain.rpartition(".")
    return (f"{stem[:150]}{dot}{suffix[:30]}" if dot else plain[:150]) or "upload"


class Sink:
    """A file that grows by blocks; blocking calls are left to threads."""

    def __init__(self, path: Path, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pending = bytearray()
        self._file = path.open("xb")

    @property
    def pending(self) -> int:
        """Bytes that wait to be written."""
        return len(self._pending)

    def add(self, data: bytes) -> None:
        """Take bytes in. Raises TooLarge."""
        self._size += len(data)
        if self._size > self._limit:
            raise TooLarge(f"the upload is larger than {self._limit} bytes, the most that this server takes")
        self._pending += data

    def flush(self) -> None:
        """Write what waits. Raises DiskFull or BackendError."""
        try:
            self._file.write(self._pending)
        except OSError as error:
            raise disk_error(error) from error
        self._pending.clear()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises ClientGone when it breaks off."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise ClientGone("the upload broke off") from None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on our disk, in a folder of its own, and what came with it."""

    folder: Path
    file: Path
    name: str
    fields: dict[str, str]


async def receive_raw(request: Request, folder: Path, *, name: str, limit: int) -> Upload:
    """Store a body that is the file itself. Raises InputError, TooLarge, ClientGone, DiskFull or BackendError."""
    path = folder / safe_name(name)
    sink = await run_in_threadpool(_open, path, limit)
    size = 0
    try:
        async for chunk in _chunks(request):
            size += len(chunk)
            sink.add(chunk)
            if sink.pending >= BLOCK:
                await run_in_threadpool(sink.flush)
        await run_in_threadpool(sink.flush)
    finally:
        sink.close()
    if not size:
        raise InputError("the body is empty; send the file's bytes, a form with the file, or JSON with a path")
    return Upload(folder, path, path.name, {})


def _open(path: Path, limit: int) -> Sink:
    """Start a file in a folder that may not exist yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Sink(path, limit)
    except OSError as error:
        raise disk_error(error) from error


@dataclass(slots=True)
class _Form:
    """State of a form while it is read: the part at hand, the fields, and the one file."""

    folder: Path
    limit: int
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    part: str = ""
    value: bytearray = field(default_factory=bytearray)
    in_file: bool = False
    fields: dict[str, str] = field(default_factory=dict[str, str])
    sink: Sink | None = None
    path: Path | None = None
    ended: bool = False

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self.header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self.header_value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.ended = True

    def _part_begin(self) -> None:
        self.disposition, self.part, self.in_file = b"", "", False
        self.value.clear()

    def _header_end(self) -> None:
        if bytes(self.header_name).lower() == b"content-disposition":
            self.disposition = bytes(self.header_value)
        self.header_name.clear()
        self.header_value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.part = options.get(b"name", b"").decode("utf-8", errors="replace")[:100]
        if b"filename" not in options:
            return
        if self.path is not None:
            raise InputError("the form holds more than one file; send one request for each")
        self.in_file = True
        self.path = self.folder / safe_name(options[b"filename"].decode("utf-8", errors="replace"))
        self.sink = _open(self.path, self.limit)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self.in_file and self.sink is not None:
            self.sink.add(data[start:end])
            return
        self.value += data[start:end]
        if len(self.value) > FIELD_LIMIT:
            raise InputError(f"form field {self.part!r} is longer than {FIELD_LIMIT} bytes")

    def _part_end(self) -> None:
        if self.in_file:
            return
        if len(self.fields) >= FIELDS_LIMIT:
            raise InputError(f"the form has more than {FIELDS_LIMIT} fields")
        self.fields[self.part] = self.value.decode("utf-8", errors="replace")


async def receive_form(request: Request, folder: Path, *, limit: int) -> Upload:
    """Store the file of a multipart form, and return it with the form's other fields.

    Raises InputError, TooLarge, ClientGone, DiskFull or BackendError.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise InputError("the form names no boundary in its Content-Type")
    form = _Form(folder, limit)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in _chunks(request):
            if not form.ended:  # what follows the last part means nothing
                await run_in_threadpool(_feed, parser, form, chunk)
    except FormParserError as error:
        raise InputError(f"the form cannot be read: {str(error)[:200]}") from error
    finally:
        if form.sink is not None:
            form.sink.close()
    if not form.ended:
        raise InputError("the form ends before its last boundary")
    if form.path is None:
        raise InputError("the form holds no file; add a part with a filename")
    return Upload(folder, form.path, form.path.name, form.fields)


def _feed(parser: MultipartParser, form: _Form, chunk: bytes) -> None:
    """Parse one piece of a form, and write what it brought."""
    parser.write(chunk)
    if form.sink is not None:
        form.sink.flush()


def content(upload: Upload, *, limit: int) -> Path:
    """What was uploaded: the file, or where it is a ZIP archive its one file, or a folder of its name. Blocking.

    Raises what `archives.unpack` raises.
    """
    if not archives.is_archive(upload.file):
        return upload.file
    place = archives.unpack(upload.file, upload.folder / "content" / (upload.file.stem or "upload"), limit=limit)
    upload.file.unlink()
    return place


def discard(folder: Path) -> None:
    """Remove what was uploaded."""
    shutil.rmtree(folder, ignore_errors=True)


def allowed_path(text: str, roots: tuple[Path, ...]) -> Path:
    """Real path of a file that a client names on the server's own disk.

    A relative path is taken below the first root that has it. Symbolic links are followed before the check, so that
    none leads out. Raises Forbidden outside the allowed roots, NotFound below one.
    """
    bases = [root.resolve() for root in roots]
    if not bases:
        raise Forbidden("this server reads no files by path; upload the file, or start the server with BIGIMAGE_ROOTS")
    if "\0" in text or len(text) > 4096:
        raise InputError("the path is not a path")
    given = Path(text)
    if given.is_absolute():
        candidates = [Path(os.path.realpath(given))]
    else:
        candidates = [Path(os.path.realpath(base / given)) for base in bases]
    inside = [path for path in candidates if any(path.is_relative_to(base) for base in bases)]
    if not inside:
        raise Forbidden("the path lies outside the folders that this server may read")
    try:
        found = [path for path in inside if path.exists()]
    except OSError as error:  # a name that no file can have
        raise InputError(f"the path is not a path: {error.strerror}") from None
    if found:
        return found[0]
    raise NotFound(f"there is no file {text!r} below the folders that this server may read")

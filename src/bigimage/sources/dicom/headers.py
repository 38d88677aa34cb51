"""Scanning files and folders for DICOM headers. Nothing is decoded; files that are no use are told, never raised."""

import io
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator

from bigimage.errors import NotFound
from bigimage.model.image import Verdict
from bigimage.sources.dicom.elements import PYDICOM_ERRORS, Elements, Raw, read_elements
from bigimage.sources.dicom.header import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    FileHeader,
    PixelElement,
)
from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.tags import HEADER_TAGS, MEDIA_CLASS, PIXEL_DATA, TAGS, TRANSFER_SYNTAX
from bigimage.sources.dicom.verdicts import Code, verdict
from bigimage.sources.dicom.walk import Pixels, walk, walk_meta

HEAD = 64 * 1024
"""Bytes read first; most headers end within them."""
AHEAD = 64
"""Number of files that are announced to the kernel before they are read."""
MOST_INFLATED = 256 * 1024 * 1024
"""Largest deflated header that is inflated."""
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a set of files holds."""

    headers: tuple[FileHeader, ...]
    """DICOM files, in the order of their names."""
    verdicts: tuple[Verdict, ...]
    """What was left out, and why."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is no DICOM file, or a damaged one."""

    path: Path
    code: Code
    reason: str


def scan(paths: Sequence[Path], *, names: "Names | None" = None) -> Scan:
    """Headers of all DICOM files among `paths`: files, folders (searched to the bottom) and DICOMDIRs.

    Raises NotFound for a path that does not exist.
    """
    names = names or Names(paths)
    files, missing = _expand(paths, names)
    headers: list[FileHeader] = []
    rejected: list[Rejected] = []
    with quiet():
        for path, head in _heads(files):
            found = read_header(path, head=head) if isinstance(head, bytes) else _failed(path, head)
            if isinstance(found, Rejected):
                rejected.append(found)
            elif DIRECTORY_CLASS not in (found.media_class, found.elements.text("SOPClassUID")):
                if _is_empty(found):
                    rejected.append(Rejected(path, Code.UNREADABLE, "has a header without SOP class and image size"))
                else:
                    headers.append(found)
    return Scan(tuple(headers), (*missing, *_tell(rejected, names)))


class Names:
    """Short names of files for verdicts: relative to what the caller gave, or numbers where names may be private."""

    def __init__(self, paths: Sequence[Path], *, private: bool = False) -> None:
        self._roots = [path if path.is_dir() else path.parent for path in paths]
        self._private = private
        self._numbers: dict[Path, int] = {}

    def __call__(self, path: Path) -> str:
        """Name of a file."""
        if self._private:
            return f"file {self._numbers.setdefault(path, len(self._numbers) + 1)}"
        for root in self._roots:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.name


def _is_directory(path: Path) -> bool:
    return path.name.upper() == "DICOMDIR"


def _expand(paths: Sequence[Path], names: Names) -> tuple[list[Path], list[Verdict]]:
    """All regular files below `paths`, each once, and verdicts about what a DICOMDIR names in vain."""
    files: dict[Path, None] = {}
    missing: list[Verdict] = []
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path} does not exist")
        if path.is_dir():
            files.update(dict.fromkeys(_walk(path)))
        elif _is_directory(path):
            listed, lost = _listed(path)
            files.update(dict.fromkeys(listed))
            if lost:
                many = "1 file that is" if len(lost) == 1 else f"{len(lost)} files that are"
                missing.append(verdict(Code.MISSING_FILE, f"{names(path)} lists {many} not there", lost))
        else:
            files[path] = None
    return list(files), missing


def _walk(folder: Path) -> Iterator[Path]:
    """Regular files below a folder in the order of their names; never a pipe or a device, which would block."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except OSError:  # a dangling link
                continue


def _listed(directory: Path) -> tuple[list[Path], list[str]]:
    """Files that a DICOMDIR lists, and the names of those that are missing or lie outside its folder."""
    with quiet():
        found = read_header(directory, only=frozenset({TAGS["DirectoryRecordSequence"]}))
    if isinstance(found, Rejected):
        return list(_walk(directory.parent)), []
    present: list[Path] = []
    lost: list[str] = []
    for record in found.elements.items("DirectoryRecordSequence", only=frozenset({TAGS["ReferencedFileID"]})):
        parts = record.texts("ReferencedFileID")
        if not any(parts):
            continue
        path = directory.parent.joinpath(*parts)
        # a record may not lead out of the folder that the caller named
        inside = path.resolve().is_relative_to(directory.parent.resolve())
        if inside and path.is_file():
            present.append(path)
        else:
            lost.append(PurePosixPath(*parts).as_posix())
    return present, lost


def _heads(files: Sequence[Path]) -> Iterator[tuple[Path, bytes | OSError]]:
    """First bytes of each file; the kernel is told ahead which come next."""
    for k, path in enumerate(files):
        if k % AHEAD == 0:
            for later in files[k + AHEAD if k else 0 : k + 2 * AHEAD]:
                announce(later, 0, HEAD)
        yield path, _head(path)


def announce(path: Path, offset: int, length: int) -> None:
    """Tell the kernel that a part of a file will be read soon, which hides the latency of disks and networks.

    Parsing holds the interpreter's lock, so that threads that read ahead would cost more than they save.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, offset, length, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


def _head(path: Path) -> bytes | OSError:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(HEAD) or b""
    except OSError as error:
        return error


def _failed(path: Path, error: OSError) -> Rejected:
    return Rejected(path, Code.UNREADABLE, f"cannot be read ({error.strerror or error})")


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first bytes of a file are those of DICOM, with or without the preamble."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    little = head[:2] in (b"\x02\x00", b"\x08\x00")
    if not little and head[:2] != b"\x00\x08":
        return False
    if _is_vr(head[4:6]):
        return True
    return little and head[3] == 0 and int.from_bytes(head[4:8], "little") < 1024


def has_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, or a folder with one somewhere below."""
    files = _walk(path) if path.is_dir() else (path,) if path.is_file() else ()
    for file in files:
        head = _head(file)
        if isinstance(head, bytes) and looks_like_dicom(head):
            return True
    return False


def _is_vr(code: bytes) -> bool:
    return len(code) == 2 and code.isalpha() and code.isupper()


def read_header(path: Path, *, head: bytes | None = None, only: frozenset[int] = HEADER_TAGS) -> FileHeader | Rejected:
    """Header of one file, or why there is none. Call within `quiet()`."""
    if head is None:
        first = _head(path)
        if isinstance(first, OSError):
            return _failed(path, first)
        head = first
    if not looks_like_dicom(head):
        return Rejected(path, Code.NOT_DICOM, "is not DICOM")
    try:
        size = path.stat().st_size
        found = _read(path, io.BytesIO(head), size=size, only=only)
        if found.pixels is None and size > len(head):
            # the header is longer than what was read first, or the file has no pixels
            with path.open("rb") as file:
                found = _read(path, _Bounded(file, size), size=size, only=only)
    except PYDICOM_ERRORS as error:
        return Rejected(path, Code.UNREADABLE, f"has a damaged header ({type(error).__name__}: {error})"[:200])
    except zlib.error as error:
        return Rejected(path, Code.UNREADABLE, f"has a damaged deflated header ({error})")
    return found


def _is_empty(header: FileHeader) -> bool:
    return not header.elements.text("SOPClassUID") and "Rows" not in header.elements


class _Bounded:
    """A file whose reads never ask for more than is left: a garbled length must not allocate gigabytes."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file = file
        self._size = size
        self.tell = file.tell
        self.seek = file.seek

    def read(self, count: int) -> bytes:
        """At most `count` bytes."""
        return self._file.read(max(0, min(count, self._size - self._file.tell())))


def _read(path: Path, stream: Any, *, size: int, only: frozenset[int]) -> FileHeader:
    stream.seek(128)
    if stream.read(4) != b"DICM":
        stream.seek(0)
    syntax, media_class = _read_meta(stream)
    deflated_from = None
    if syntax == DEFLATED:
        deflated_from = stream.tell()
        data = inflate(path, deflated_from, MOST_INFLATED)
        stream, size = io.BytesIO(data), len(data)
    start = stream.tell()
    peek = stream.read(6)
    stream.seek(start)
    syntax = syntax or _guess_syntax(peek)
    # the bytes decide over the stated syntax: an upper-case representation cannot be part of a length
    found, pixels = _elements(stream, implicit=not _is_vr(peek[4:6]), little=syntax != BIG_ENDIAN, only=only)
    return FileHeader(
        path=path,
        syntax=syntax,
        elements=Elements(found),
        pixels=None if pixels is None else _pixel_element(*pixels, size),
        media_class=media_class,
        deflated_from=deflated_from,
    )


def _elements(
    stream: Any, *, implicit: bool, little: bool, only: frozenset[int]
) -> tuple[dict[int, Raw], Pixels | None]:
    """Elements of the data set at which a stream stands, and where its pixel data are."""
    if little and isinstance(stream, io.BytesIO):
        walked = walk(stream.getvalue(), stream.tell(), implicit=implicit, only=only)
        if walked is not None:
            return walked
    pixels: list[Pixels] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag not in PIXEL_DATA:
            return False
        pixels.append((int(tag), int(stream.tell()), length))
        return True

    found = read_elements(stream, implicit=implicit, little=little, only=only, stop=at_pixels)
    return found, pixels[0] if pixels else None


def _pixel_element(tag: int, offset: int, length: int, size: int) -> PixelElement:
    stated = None if length == 0xFFFFFFFF else length
    return PixelElement(keyword=PIXEL_DATA[tag], offset=offset, length=stated, available=size - offset)


def _read_meta(stream: Any) -> tuple[str | None, str | None]:
    """Transfer syntax and SOP class by the file meta information; leaves the stream at the data set."""
    start = stream.tell()
    peek = stream.read(6)
    stream.seek(start)
    if peek[:2] != b"\x02\x00":
        return None, None
    if isinstance(stream, io.BytesIO) and (walked := walk_meta(stream.getvalue(), start)):
        values, end = walked
        stream.seek(end)
        return _uid(values.get(TRANSFER_SYNTAX)), _uid(values.get(MEDIA_CLASS))

    def past_meta(tag: int, vr: str | None, length: int) -> bool:
        return tag >> 16 != 2

    wanted: Any = [TRANSFER_SYNTAX, MEDIA_CLASS]
    found: dict[int, bytes | None] = {}
    for element in data_element_generator(stream, not _is_vr(peek[4:6]), True, past_meta, specific_tags=wanted):
        if isinstance(element, RawDataElement):
            found[int(element.tag)] = element.value
    return _uid(found.get(TRANSFER_SYNTAX)), _uid(found.get(MEDIA_CLASS))


def _uid(value: bytes | None) -> str | None:
    return value.decode("ascii", "replace").strip(" \0") or None if value else None


def _guess_syntax(peek: bytes) -> str:
    """Transfer syntax by the first element of the data set."""
    if not _is_vr(peek[4:6]):
        return IMPLICIT
    return BIG_ENDIAN if peek[0] == 0 and peek[1] else EXPLICIT


def inflate(path: Path, start: int, most: int) -> bytes:
    """The first `most` bytes of a deflated data set. Raises zlib.error, OSError."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(start)
        return engine.decompress(file.read(), most)


def _tell(rejected: Iterable[Rejected], names: Names) -> Iterator[Verdict]:
    """One verdict for each kind of rejection."""
    kinds: dict[tuple[Code, str], list[str]] = {}
    for item in rejected:
        kinds.setdefault((item.code, item.reason), []).append(names(item.path))
    for (code, reason), files in kinds.items():
        subject = f"{files[0]}" if len(files) == 1 else f"each of {len(files)} files"
        yield verdict(code, f"{subject} {reason}", files)

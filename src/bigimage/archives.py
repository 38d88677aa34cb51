"""ZIP archives in and out: what others send is unpacked with every bound kept, folders are packed the same each time.

Source: PKWARE's APPNOTE.TXT for the end of the central directory and the bits of external attributes.
"""

import errno
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bigimage.errors import BackendError, BigImageError, InputError

UPLOADS = "uploads"
"""Folder of a workspace for what was sent or unpacked; the server sweeps away what a killed process left there."""
MOST_MEMBERS = 100_000
MOST_DIRECTORY = 64 << 20
"""Longest list of members in bytes; it is read into memory."""
MOST_RATIO = 200
"""Times that an archive may grow as a whole, beyond `FREE_BYTES`. Scans grow by 2 to 5."""
FREE_BYTES = 1 << 30
"""What any archive may unpack to: volumes of labels are nearly empty, and grow a thousand times."""
MOST_PROBLEMS = 20
DEEPEST = 32
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that an archive can hold: the same files give the same bytes."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in archives."""
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, ValueError, OverflowError, RuntimeError),
)
"""What `zipfile` raises where bytes are not what they claim to be."""
_BLOCK = 1 << 20


class BadArchive(InputError):
    """An archive with one or more things wrong in it, all of them told.

    Parameters
    ----------
    problems
        One sentence for each thing that is wrong.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("the archive is refused: " + "; ".join(problems))
        self.problems = problems


class ArchiveTooLarge(InputError):
    """An archive that holds more than is unpacked."""


def is_archive(path: Path) -> bool:
    """Whether a file begins as a ZIP archive does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(archive: Path, folder: Path, *, limit: int) -> Path:
    """Unpack an archive into a folder that does not exist yet, and say where its content lies.

    That is the one file within, or the folder itself, freed of folders around everything. Everything is checked before
    anything is written: names that lead out of the folder, links, encrypted members, and how much there is, by number,
    bytes and ratio. Blocking. Raises BadArchive with every problem, ArchiveTooLarge, BackendError.
    """
    _check_directory(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir() and not _is_litter(info.filename)]
            places = _checked(members, archive.stat().st_size, limit)
            folder.mkdir(parents=True)
            for info, place in zip(members, places, strict=True):
                _extract(opened, info, folder / place)
    except BigImageError:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(str(error.filename)).name
        raise InputError(f"the archive holds a file and a folder of one name: {name}") from error
    except _DAMAGED as error:
        raise InputError(f"the archive is damaged: {error}") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # it says that something begins before its own start
            raise InputError("the archive is damaged: its parts lie nowhere") from error
        raise BackendError(f"the archive cannot be unpacked: {error.strerror}") from error
    return _content(folder)


def _check_directory(archive: Path) -> None:
    """Look how long the list of members is, before it is read. Raises InputError, ArchiveTooLarge."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - (22 + 0xFFFF)))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise InputError("the archive is cut short: it has no list of what it holds")
    members, length = struct.unpack("<10xHL", tail[at : at + 16])
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if wide >= 0 and len(tail) >= wide + 48:
        members, length = struct.unpack("<32xQQ", tail[wide : wide + 48])
    if members > MOST_MEMBERS or length > MOST_DIRECTORY:
        raise ArchiveTooLarge(f"the archive holds more than {MOST_MEMBERS} files, the most that are unpacked")


def _is_litter(name: str) -> bool:
    return any(part in _LITTER for part in name.replace("\\", "/").split("/"))


def _checked(members: list[zipfile.ZipInfo], packed: int, limit: int) -> list[PurePosixPath]:
    """Where each member goes, relative to the folder. Raises BadArchive, ArchiveTooLarge."""
    problems: list[str] = []
    places: list[PurePosixPath] = []
    seen: set[str] = set()
    for info in members:
        place = PurePosixPath(info.filename.replace("\\", "/"))
        fault = _fault(info, place) or ("comes twice" if str(place).casefold() in seen else None)
        if fault:
            problems.append(f"{info.filename[:100]!r} {fault}")
        seen.add(str(place).casefold())
        places.append(place)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise BadArchive((*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])))
    if not members:
        raise InputError("the archive is empty")
    if len(members) > MOST_MEMBERS:
        raise ArchiveTooLarge(f"the archive holds more than {MOST_MEMBERS} files, the most that are unpacked")
    total = sum(info.file_size for info in members)
    if total > limit:
        raise ArchiveTooLarge(f"the archive unpacks to {total} bytes, and {limit} at most are taken")
    if total > FREE_BYTES + MOST_RATIO * packed:
        raise ArchiveTooLarge(f"the archive would grow {total // max(1, packed)} times, and {MOST_RATIO} is the most")
    return places


def _fault(info: zipfile.ZipInfo, place: PurePosixPath) -> str | None:
    """What is wrong with a member; None where nothing is."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", info.filename):
        return "leads out of the archive"
    if _CONTROL.search(info.filename) or any(len(part.encode()) > 255 for part in place.parts):
        return "is no name of a file"
    if not place.parts or len(place.parts) > DEEPEST:
        return "lies too deep"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return "is packed by another method than deflate"
    return None


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write a member, which gives no more bytes than it announced. Raises BadZipFile where they are damaged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(info) as source, target.open("xb") as out:
        shutil.copyfileobj(source, out, _BLOCK)


def _content(folder: Path) -> Path:
    """The one file, or the folder, moved to its name from within others that hold nothing else."""
    place = folder
    while len(inside := list(place.iterdir())) == 1:
        place = inside[0]
        if place.is_file():
            return place
    if place != folder:
        aside = folder.with_name(f"{folder.name}.inner")
        place.rename(aside)
        shutil.rmtree(folder)
        aside.rename(folder)
    return folder


def pack(target: Path, files: Iterable[tuple[str, Path]]) -> None:
    """Write files under names into an archive; the same files always give the same bytes. Blocking."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as out:
                shutil.copyfileobj(source, out, _BLOCK)


def pack_folder(folder: Path) -> Path:
    """A folder as an archive beside it."""
    target = folder.with_name(f"{folder.name}.zip")
    pack(target, ((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file()))
    return target

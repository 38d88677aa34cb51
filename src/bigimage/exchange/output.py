"""Output that appears whole or not at all, with the report of what it could not hold beside it."""

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from bigimage.errors import BackendError, Cancelled, Conflict, Unsupported
from bigimage.formats.door import Report

T = TypeVar("T")
S = TypeVar("S", bound=Sized)
Progress = Callable[[int, int], None]
Stop = Callable[[], bool]
REPORT_SUFFIX = ".report.json"
LOOK_EVERY = 512
"""Annotations between two looks at whether somebody wants to stop."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export made."""

    path: Path
    report_path: Path
    report: Mapping[str, Any]
    """The report without the ids of its losses."""


def ignore_progress(done: int, total: int) -> None:
    """Tell nobody how far the work is."""


def never() -> bool:
    """Nobody wants to stop."""
    return False


def counted(items: Iterable[T], total: int, progress: Progress, stop: Stop, *, every: int = LOOK_EVERY) -> Iterator[T]:
    """The items, telling how many there were. Raises Cancelled when somebody wants to stop."""
    k = 0
    for k, item in enumerate(items, 1):
        if k % every == 0:
            if stop():
                raise Cancelled(f"stopped after {k} of what was to be done; nothing was changed")
            progress(k, max(total, k))
        yield item
    progress(max(total, k), max(total, k))


def counted_pieces(pieces: Iterable[S], total: int, progress: Progress, stop: Stop) -> Iterator[S]:
    """The same of pieces of several items each."""
    k = 0
    for piece in pieces:
        if stop():
            raise Cancelled(f"stopped after {k} of what was to be done; nothing was changed")
        k += len(piece)
        progress(k, max(total, k))
        yield piece
    progress(max(total, k), max(total, k))


@contextmanager
def unfinished(output: Path) -> Generator[Path]:
    """A path beside `output` to write to; it takes its place when all went well, and is removed when not.

    A file that is there is replaced. Raises Conflict where a folder is in the way, BackendError.
    """
    if output.is_dir() and any(output.iterdir()):
        raise Conflict(f"{output} is a folder with something in it; remove it, or choose another place")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name[:100]}.", dir=output.parent))
    except OSError as error:
        raise BackendError(f"cannot write below {output.parent}: {error.strerror}") from error
    try:
        yield folder / output.name
        _publish(folder, output)
    except OSError as error:
        raise BackendError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, output: Path) -> None:
    """Move all that was made to its place; the output itself comes last."""
    made = folder / output.name
    for other in sorted(p for p in folder.iterdir() if p != made):
        other.replace(output.parent / other.name)
    if output.is_dir():
        output.rmdir()
    made.replace(output)


def require_lossless(report: Report, format: str) -> None:
    """Raise Unsupported, with every loss, unless a report has none."""
    if not report.lossless:
        listed = "; ".join(f"{loss.what}: {loss.message} ({loss.count})" for loss in report.losses)
        raise Unsupported(f"{format} cannot hold everything, and no loss was allowed: {listed}")


def summary(report: Report, head: Mapping[str, Any]) -> dict[str, Any]:
    """A report as JSON, without the ids of its losses."""
    losses = [{"kind": x.kind, "what": x.what, "message": x.message, "count": x.count} for x in report.losses]
    return {
        **head,
        "written": report.written,
        "lossless": report.lossless,
        "losses": losses,
        "notes": list(report.notes),
    }


def write_report(path: Path, report: Report, told: Mapping[str, Any]) -> None:
    """Write a report with the ids of all losses, as a stream: there may be millions."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        head = {k: v for k, v in told.items() if k != "losses"}
        file.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2] + ',\n "losses": [')
        for k, loss in enumerate(report.losses):
            body = {"kind": loss.kind, "what": loss.what, "message": loss.message, "count": loss.count}
            file.write(("," if k else "") + "\n  " + json.dumps(body, ensure_ascii=False)[:-1] + ', "ids": [')
            for j, id in enumerate(loss.ids):
                file.write(f'{"," if j else ""}"{id}"')
            file.write("]}")
        file.write("\n ]\n}\n")


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names."""
    total = sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
    return total.hexdigest()

"""Runs one job: `python -m tilesrv.runner WORKSPACE JOB LOCK`. A process of its own, so that it outlives the server.

LOCK is the number of an inherited open file that holds the job's lock. The work is a further process in its own
group, so that cancelling reaches all of it; it dies with this one.
"""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from bigimage.archives import pack
from bigimage.catalogue import IMAGES
from bigimage.errors import InputError
from bigimage.exchange.output import REPORT_SUFFIX
from bigimage.model.image import slug
from tilesrv.jobstore import Job, JobStore, now, take_lock

COMMAND = ("-m", "bigimage")
"""What the Python of this process runs, before the workspace and the job's arguments."""
SLOTS = 2
"""Jobs that run at the same time in one workspace; the others wait."""
BEAT = 0.2
"""Seconds between two looks at what changed."""
PATIENCE = 15.0
"""Seconds that cancelled work gets to clean up before it is killed."""
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s?%")
_PR_SET_PDEATHSIG = 1


def run(store: JobStore, job: str) -> Job:
    """Run a queued job to its end; the record as it was left."""
    slot = _wait_for_slot(store, job)
    record = store.read(job)
    try:
        if slot is None:
            record = _over(record, "cancelled", "cancelled before it started")
        else:
            with slot:
                record = replace(record, state="running", started=now(), message="starting")
                store.write(record)
                record = _work(store, record)
    finally:
        if record.upload is not None and record.state != "done":
            _discard_partial(store, record)
        if record.state != "done":
            store.discard_output(record)
        store.discard_upload(record)
        store.write(record)
    return record


def _discard_partial(store: JobStore, record: Job) -> None:
    """Remove half-made pyramids of an upload: it is gone in a moment, so nobody could go on with them.

    A pyramid that another ingest of the same id is building is locked, and left alone.
    """
    named = [a.removeprefix("--name=") for a in record.arguments if a.startswith("--name=")]
    try:
        image = named[0] if named else slug(Path(record.source).stem)
    except InputError:
        return
    for folder in (store.workspace / IMAGES).glob(f".{image}*.partial"):
        if not re.fullmatch(rf"\.{re.escape(image)}(-\d+)?\.partial", folder.name):
            continue
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _over(record: Job, state: str, message: str) -> Job:
    """A record at its end."""
    return replace(record, state=state, finished=now(), message=message)


def _wait_for_slot(store: JobStore, job: str) -> IO[bytes] | None:
    """Take one of the workspace's slots; None when the job was cancelled first."""
    while not store.is_cancelled(job):
        for number in range(SLOTS):
            handle = take_lock(store.folder / f"slot-{number}.lock")
            if handle is not None:
                return handle
        time.sleep(BEAT)
    return None


def _die_with_parent() -> None:
    """In the new process, before it begins: be interrupted when the runner dies, and obey interrupts again.

    Shells start background commands with SIGINT ignored, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


@dataclass(slots=True)
class _Lines:
    """What the work says while it runs, read from the end of a growing file; carriage returns end lines too."""

    descriptor: int
    offset: int = 0
    last: str = ""
    share: float | None = None

    def read(self) -> None:
        """Take in what is new. A line may come in two pieces; the later piece then counts as the line."""
        while data := os.pread(self.descriptor, 65536, self.offset):
            self.offset += len(data)
            for line in filter(None, map(str.strip, re.split(r"[\r\n]+", data.decode("utf-8", errors="replace")))):
                self.last = line[:500]
                if match := _PERCENT.search(line):
                    self.share = min(1.0, float(match[1]) / 100)


def _work(store: JobStore, record: Job) -> Job:
    """Start the work, follow it, and tell how it ended."""
    command = [sys.executable, *COMMAND, "--workspace", str(store.workspace), *record.arguments]
    # Files, not pipes: nothing blocks when nobody reads, and what was said last survives.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own; no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        lines = _Lines(err.fileno())
        record, cancelled = _follow(store, record, process, lines)
        out.seek(0)
        printed = out.read()
    if process.returncode == 0:
        return _done(store, record, printed)
    if cancelled:
        return _over(record, "cancelled", "cancelled")
    reason = _reason(store, record, process.returncode, lines)
    return replace(_over(record, "failed", reason), images=_images(record, printed))


def _follow(store: JobStore, record: Job, process: "subprocess.Popen[bytes]", lines: _Lines) -> tuple[Job, bool]:
    """Copy progress into the record until the work ends; whether it was cancelled."""
    deadline: float | None = None
    while process.poll() is None:
        time.sleep(BEAT)
        record = _tell(store, record, lines)
        if deadline is None and store.is_cancelled(record.id):
            _signal(process, signal.SIGINT)
            deadline = time.monotonic() + PATIENCE
        elif deadline is not None and time.monotonic() > deadline:
            _signal(process, signal.SIGKILL)
    lines.read()
    if deadline is not None:
        _signal(process, signal.SIGKILL)  # whatever of the group outlived its leader
    return record, deadline is not None


def _tell(store: JobStore, record: Job, lines: _Lines) -> Job:
    """Write the record when there is news."""
    lines.read()
    if (lines.last, lines.share) == (record.message, record.progress) or not lines.last:
        return record
    record = replace(record, message=lines.last, progress=lines.share)
    store.write(record)
    return record


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Send a signal to the work's whole process group; it is not reaped yet, so the id is still its own."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _reason(store: JobStore, record: Job, code: int, lines: _Lines) -> str:
    """Why the work failed: the last thing it said, without the server's folders."""
    said = lines.last or f"the command ended with status {code}"
    if code < 0:
        said = f"killed by {signal.Signals(-code).name}" + (f" after: {lines.last}" if lines.last else "")
    for folder in (record.upload, str(store.outputs / record.id)):
        said = said.replace(f"{folder}{os.sep}", "") if folder else said
    return said


def _done(store: JobStore, record: Job, printed: bytes) -> Job:
    """The record of work that succeeded; what it made for whoever asked is one file then."""
    made = record
    if record.output is not None:
        try:
            made = replace(record, output=_one_file(store.outputs / record.id, record))
        except OSError as error:
            return _over(record, "failed", f"what was made cannot be packed: {error.strerror}")
    return replace(_over(made, "done", "done"), progress=1.0, images=_images(record, printed))


def _one_file(folder: Path, record: Job) -> str | None:
    """Name of the file that a job made: a folder, or a file with others beside it, is packed to an archive."""
    made = folder / str(record.output)
    report = made.with_name(made.name + REPORT_SUFFIX)
    files = [path for path in folder.rglob("*") if path.is_file() and path != report]
    if files == [made]:
        return record.output
    root = made if made.is_dir() else folder
    archive = folder / f"{record.output}.zip"
    pack(archive, [(path.relative_to(root).as_posix(), path) for path in files])
    if report.exists():
        report.rename(folder / (archive.name + REPORT_SUFFIX))
    return archive.name


def _images(record: Job, printed: bytes) -> tuple[str, ...]:
    """Ids of the images that were made, one on each line; work that failed may have made some before.

    Other jobs are about the one image that they were started for.
    """
    if record.kind != "ingest":
        return (record.source,)
    return tuple(printed.decode("utf-8", errors="replace").split())


def main(arguments: Sequence[str]) -> int:
    """Run the job named on the command line; 0 when it is done."""
    workspace, job, descriptor = arguments
    with os.fdopen(int(descriptor), "ab"):
        return 0 if run(JobStore(Path(workspace)), job).state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

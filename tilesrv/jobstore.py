"""Job records: small JSON files that every worker reads, and a lock that proves a runner alive."""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bigimage.archives import UPLOADS
from bigimage.errors import BackendError, Conflict, NotFound

JOBS = "jobs"
OUTPUTS = "outputs"
KEPT = 200
"""Finished jobs whose records are kept."""
KEPT_OUTPUT = 86400.0
"""Seconds for which the files that a job made can be fetched."""
ABANDONED = 86400.0
"""Seconds after which an upload that never became a job is removed."""
REPORT = "report.json"
"""Name of the report of an import, in a folder of its own."""
_ID = re.compile(r"[0-9a-f]{32}")
ACTIVE = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of long work: what it is, how far it is, how it ended."""

    id: str
    kind: str
    state: str = "queued"
    """queued, running, done, failed or cancelled."""
    source: str = ""
    """Name of what is ingested, without its folder."""
    arguments: tuple[str, ...] = ()
    """Arguments of `python -m bigimage`; never shown to clients."""
    upload: str | None = None
    """Folder of the uploaded file, removed at the end."""
    created: str = ""
    started: str | None = None
    finished: str | None = None
    progress: float | None = None
    """Share of the work done, 0 to 1, as far as it is known."""
    message: str = ""
    """What is being done, or why it failed."""
    images: tuple[str, ...] = ()
    """Ids of the images made, or of the one that it was about."""
    output: str | None = None
    """Name of the file that it makes for whoever asked; see `JobStore.output`."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ACTIVE

    def public(self) -> dict[str, Any]:
        """JSON for clients."""
        hidden = {"arguments", "upload"}
        told = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if k not in hidden}
        return told | {"output": self.output if self.state == "done" else None}


def now() -> str:
    """The present moment, UTC, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JobStore:
    """The records below one workspace. Blocking; call it from threads.

    A record is written by one process at a time: the server before the runner starts, then the runner, and whoever
    finds the runner dead. Cancelling writes a file of its own, which the runner watches, so no process id is trusted.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.folder = workspace / JOBS
        self.uploads = workspace / UPLOADS
        self.outputs = workspace / OUTPUTS

    def path(self, job: str, suffix: str = ".json") -> Path:
        """File of a job. Raises NotFound on what is no job id."""
        if not _ID.fullmatch(job):
            raise NotFound(f"no job {job[:60]!r}")
        return self.folder / f"{job}{suffix}"

    def create(
        self,
        job: str,
        kind: str,
        *,
        source: str,
        arguments: tuple[str, ...],
        upload: Path | None = None,
        output: str | None = None,
    ) -> Job:
        """Write a new record in state `queued`."""
        record = Job(
            id=job,
            kind=kind,
            source=source,
            arguments=arguments,
            upload=None if upload is None else str(upload),
            created=now(),
            output=output,
        )
        self.write(record)
        return record

    def write(self, job: Job) -> None:
        """Replace a record atomically. Raises BackendError."""
        path = self.path(job.id)
        partial = path.with_name(f".{job.id}.{os.getpid()}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(asdict(job), allow_nan=False), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise BackendError(f"cannot write the record of job {job.id}: {error.strerror}") from error

    def read(self, job: str) -> Job:
        """A record as it is on disk. Raises NotFound."""
        try:
            values: dict[str, Any] = json.loads(self.path(job).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"no job {job!r}") from None
        except ValueError as error:
            raise BackendError(f"the record of job {job} is damaged: {error}") from error
        values |= {k: tuple(values[k]) for k in ("arguments", "images")}
        return Job(**values)

    def get(self, job: str) -> Job:
        """A record, told as failed where its runner has died. Raises NotFound."""
        record = self.read(job)
        if record.is_over or self.is_alive(job):
            return record
        record = self.read(job)  # the runner may have ended between the two looks
        if record.is_over:
            return record
        record = replace(record, state="failed", finished=now(), message="the process that ran it died; start it again")
        self.write(record)
        self.discard_upload(record)
        return record

    def all(self) -> Iterator[Job]:
        """Every job, newest first."""
        if not self.folder.is_dir():
            return
        found = [self.get(path.stem) for path in self.folder.glob("*.json") if _ID.fullmatch(path.stem)]
        yield from sorted(found, key=lambda job: (job.created, job.id), reverse=True)

    def active(self) -> int:
        """Number of jobs that wait or run."""
        return sum(not job.is_over for job in self.all())

    def hold(self, job: str) -> IO[bytes]:
        """Take a new job's lock. The runner inherits the open file, so the job is never without a holder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = take_lock(self.path(job, ".lock"))
        if handle is None:
            raise Conflict(f"job {job} runs already")
        return handle

    def is_alive(self, job: str) -> bool:
        """Whether some process holds the job's lock."""
        try:
            with self.path(job, ".lock").open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def cancel(self, job: str) -> Job:
        """Ask a job's runner to stop; the record as it is now. Raises NotFound."""
        record = self.get(job)
        if not record.is_over:
            self.path(job, ".cancel").touch()
        return record

    def is_cancelled(self, job: str) -> bool:
        """Whether somebody asked the job to stop."""
        return self.path(job, ".cancel").exists()

    def discard_upload(self, job: Job) -> None:
        """Remove the uploaded file of a job."""
        if job.upload is not None and Path(job.upload).parent == self.uploads:
            shutil.rmtree(job.upload, ignore_errors=True)

    def output(self, job: Job) -> Path:
        """File that a finished job made. Raises NotFound while there is none, and when it was removed."""
        path = self.outputs / job.id / (job.output or "-")
        if job.output is None:
            raise NotFound(f"job {job.id} makes no file")
        if job.state != "done":
            raise NotFound(f"job {job.id} is {job.state}: it has made no file")
        if not path.is_file():
            raise NotFound(f"the file of job {job.id} was kept for a day and is gone; start the job again")
        return path

    def discard_output(self, job: Job) -> None:
        """Remove what a job made for whoever asked."""
        if job.output is not None:
            shutil.rmtree(self.outputs / job.id, ignore_errors=True)

    def keep_report(self, key: str, report: Mapping[str, Any]) -> None:
        """Keep what an import could not take over for a day, for whoever asks for it. Raises OSError."""
        path = self.uploads / key / REPORT
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report, allow_nan=False), encoding="utf-8")

    def report(self, key: str) -> Path:
        """File of a report that was kept. Raises NotFound."""
        path = self.uploads / key / REPORT
        if not _ID.fullmatch(key) or not path.is_file():
            raise NotFound("there is no such report; reports of imports are kept for a day")
        return path

    def sweep(self) -> None:
        """Remove reports of imports, and uploads that a dead server left behind: a day old, and no active job's."""
        if not self.uploads.is_dir():
            return
        wanted = {job.upload for job in self.all() if not job.is_over}
        for folder in self.uploads.iterdir():
            if str(folder) not in wanted and folder.stat().st_mtime < time.time() - ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)

    def prune(self) -> None:
        """Forget the oldest finished jobs beyond `KEPT`, and remove files that nobody fetched for a day."""
        over = [job for job in self.all() if job.is_over]
        for k, job in enumerate(over):
            if job.output is not None and (k >= KEPT or _age(job) > KEPT_OUTPUT):
                self.discard_output(job)
        for job in over[KEPT:]:
            for suffix in (".json", ".lock", ".cancel"):
                self.path(job.id, suffix).unlink(missing_ok=True)


def _age(job: Job) -> float:
    """Seconds since a job that made something was over."""
    return (datetime.now(UTC) - datetime.fromisoformat(job.finished or job.created)).total_seconds()


def take_lock(path: Path) -> IO[bytes] | None:
    """Open a file and lock it for this process, or None when another has it; the kernel frees it when we die."""
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle

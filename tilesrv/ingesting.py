"""What may be said about a file to ingest, and starting its job."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigimage.catalogue import check_free
from bigimage.errors import InputError
from tilesrv.errors import BadRequest, TooMany
from tilesrv.jobstore import Job, JobStore
from tilesrv.params import Table, choice, numbers, switch, text

MOST_ACTIVE = 32
"""Jobs that may wait or run at once; more are refused."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the client says about its file."""

    name: str | None = None
    role: str | None = None
    crs: str | None = None
    bounds: tuple[float, ...] | None = None
    affine: tuple[float, ...] | None = None
    deidentify: bool = False
    strict: bool = False
    regularize: bool = False
    filename: str | None = None

    def options(self) -> tuple[str, ...]:
        """Options of `bigimage ingest`."""
        given: list[str] = []
        for option in ("name", "role", "crs"):
            value = getattr(self, option)
            if value is not None:
                given.append(f"--{option}={value}")
        for option in ("bounds", "affine"):
            values = getattr(self, option)
            if values is not None:
                given.append(f"--{option}={','.join(map(repr, values))}")
        given += [f"--{option}" for option in ("deidentify", "strict", "regularize") if getattr(self, option)]
        return tuple(given)


DESCRIPTION = Table(
    (
        text(
            "name",
            "Id of the image; made from the file's name by default.",
            pattern=r"[a-z0-9][a-z0-9._\-]{0,127}",
            longest=128,
            example="scene",
        ),
        choice("role", "`image` is reduced by mean, `labels` by mode; default by the file.", ("image", "labels")),
        text(
            "crs",
            "CRS of a file that has none, in any notation that PROJ reads.",
            pattern=r"[^\x00-\x08\x0b-\x1f-][^\x00-\x08\x0b-\x1f]*",
            longest=4096,
            example="EPSG:4326",
        ),
        numbers("bounds", "West, south, east, north edges of a file without a place.", counts=(4,)),
        numbers("affine", "Six coefficients of a file without an affine, in rasterio's order.", counts=(6,)),
        switch("deidentify", "Store nothing of a scan that names its patient."),
        switch("strict", "Refuse a scan with gaps, duplicates, a tilted gantry or anything else amiss."),
        switch("regularize", "Resample uneven or tilted slices of a scan to a regular grid."),
        text(
            "filename",
            "Name of the file, where the body is the file itself; its ending helps to tell the format.",
            pattern=r"[^\x00-\x1f/\\]+",
            longest=200,
            example="scene.tif",
        ),
    ),
    Description,
)


def describe(members: Mapping[str, Any]) -> Description:
    """Description from the members of a form or a JSON object. Raises BadRequest, unknown members included."""
    known = {param.name for param in DESCRIPTION.params}
    given: dict[str, list[str]] = {}
    problems: list[str] = []
    for name, value in members.items():
        if name not in known:
            problems.append(f"{name[:60]!r} is not known; {', '.join(sorted(known))} are")
        elif isinstance(value, list):
            given[name] = [",".join(map(_plain, value))]
        elif value is not None:
            given[name] = [_plain(value)]
    if problems:
        raise BadRequest(tuple(problems))
    return DESCRIPTION.make(given, [])


def _plain(value: Any) -> str:
    """A JSON value as the text that a query would hold. Raises InputError on objects and lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise InputError("members are texts, numbers, true or false, or lists of numbers")
    return value if isinstance(value, str) else repr(value)


def start(store: JobStore, source: Path, description: Description, *, job: str, upload: Path | None = None) -> Job:
    """Start the ingest of a file as a job of its own process. Blocking.

    Raises TooMany when too many jobs are active, Conflict when the id that was asked for is or was taken.
    """
    if description.name is not None:
        check_free(store.workspace, description.name)
    arguments = ("ingest", *description.options(), "--", str(source))
    return launch(store, "ingest", source=source.name, arguments=arguments, job=job, upload=upload)


def launch(
    store: JobStore,
    kind: str,
    *,
    source: str,
    arguments: tuple[str, ...],
    job: str,
    upload: Path | None = None,
    output: str | None = None,
) -> Job:
    """Start a command of `bigimage` as a job of its own process. Blocking. Raises TooMany.

    `output` is the name of the file that it makes in `JobStore.outputs / job`, where it makes one to be fetched.
    """
    if store.active() >= MOST_ACTIVE:
        raise TooMany(f"{MOST_ACTIVE} jobs are waiting or running already; try again when some are done")
    with store.hold(job) as lock:
        record = store.create(job, kind, source=source, arguments=arguments, upload=upload, output=output)
        command = [sys.executable, "-m", "tilesrv.runner", str(store.workspace), job, str(lock.fileno())]
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own; no shell
            command, stdin=subprocess.DEVNULL, pass_fds=(lock.fileno(),), start_new_session=True
        )
    # Somebody must wait for the process, or it stays behind as a zombie; its end is read from the record.
    threading.Thread(target=process.wait, name=f"reap-{job}", daemon=True).start()
    store.prune()
    return record

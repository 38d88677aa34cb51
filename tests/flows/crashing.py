"""Run by test_ingest in a process of its own: ingest, kill the ingest at many moments, and ingest again.

Every attempt is a fork of this process, which holds no threads, so that a hundred of them cost little. Prints JSON.
"""

import itertools
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigimage import catalogue
from bigimage.geometry import tiling
from bigimage.ingest import IngestOptions, ingest
from bigimage.pyramid import layout
from tests.pyramids import digest

CALLS = ("writev", "replace", "rename", "mkdir", "unlink", "rmdir", "fsync", "open")
"""What an ingest does to the disk; it is killed before one of these."""
OPTIONS = IngestOptions(name="scene", workers=1)


def die_before(moment: int, seen: Path | None = None) -> None:
    """Let this process die of SIGKILL instead of its call number `moment`; count calls in a file."""
    counter = itertools.count()

    def hook(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            number = next(counter)
            if number == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            if seen is not None:
                real_open = os.pwrite
                real_open(descriptor, str(number + 1).encode().rjust(9), 0)
            return real(*args, **kwargs)

        setattr(os, name, call)

    descriptor = os.open(seen, os.O_WRONLY | os.O_CREAT) if seen is not None else -1
    for name in CALLS:
        hook(name)


def _attempt(source: Path, workspace: Path, moment: int, seen: Path | None = None) -> int:
    """Exit status of a forked ingest that dies at a moment; -9 when it was killed."""
    child = os.fork()
    if child == 0:
        # no clean-up of this process may run in its copy
        try:
            die_before(moment, seen)
            ingest([source], workspace, OPTIONS)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _result(workspace: Path) -> dict[str, Any]:
    """Digests of the pyramid's files; of the root document, all but the time of the ingest."""
    root = workspace / "images" / "scene"
    found: dict[str, Any] = digest(root)
    document = json.loads((root / "zarr.json").read_text())
    document["attributes"]["bigimage"]["provenance"].pop("ingested")
    found["zarr.json"] = document
    return found


def main(arguments: Sequence[str]) -> None:
    """`source folder count`: kill at up to `count` moments."""
    source, folder, count = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    layout.SHARD_SIDES, layout.CHUNK, tiling.COARSEST = (128,), 64, 64
    # what is loaded and compiled once is so before the forks
    ingest([source], folder / "warm", OPTIONS)
    assert threading.active_count() == 1
    counted = folder / "calls"
    assert _attempt(source, folder / "whole", -1, counted) == 0
    calls = int(counted.read_text())
    expected = _result(folder / "whole")
    # the end, where documents are written and the image is published, is looked at closely
    late = range(calls - 1, max(0, calls - 60), -max(1, 72 // count))
    moments = sorted({*range(0, calls, max(1, 2 * calls // count)), *late})
    wrong: list[str] = []
    for moment in moments:
        workspace = folder / str(moment)
        status = _attempt(source, workspace, moment)
        visible = list(catalogue.ids(workspace))
        if status == 0 or visible:
            # killed after the image had been published: it must be whole
            if visible != ["scene"] or _result(workspace) != expected:
                wrong.append(f"{moment}: ended with {status}, visible {visible}")
            continue
        if status != -signal.SIGKILL:
            wrong.append(f"{moment}: first run ended with {status}")
        again = _attempt(source, workspace, -1)
        if again != 0 or _result(workspace) != expected:
            wrong.append(f"{moment}: second run ended with {again} or differs")
    print(json.dumps({"calls": calls, "moments": len(moments), "files": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1:])

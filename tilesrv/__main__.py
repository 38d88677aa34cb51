"""`python -m tilesrv` serves a workspace."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from bigimage.errors import BigImageError, InputError
from bigimage.settings import Settings
from bigimage.workspace import DATABASE, Workspace, open_workspace
from tilesrv.pages import is_built
from tilesrv.people import is_loopback
from tilesrv.protocol import Protocol

GRACE = 5
"""Seconds that open connections get when the server stops."""
KEEP_ALIVE = 30
"""Seconds that an idle connection stays open: map clients pause between pans."""


def _between(low: int, high: int) -> Callable[[str], int]:
    """Type of an argument that is a whole number between two bounds."""

    def number(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return number


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="python -m tilesrv", description="Serve a workspace over HTTP.")
    parser.add_argument("--workspace", type=Path, help="folder of images [BIGIMAGE_WORKSPACE or ./bigimage-workspace]")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=_between(0, 65535), default=8000, help="port to listen on [%(default)s]")
    parser.add_argument("--workers", type=_between(1, 256), default=1, help="server processes [%(default)s]")
    parser.add_argument("--access-log", action="store_true", help="print a line for every request; costs speed")
    return parser.parse_args(given)


def _require_people(workspace: Workspace, host: str) -> None:
    """Raise InputError for an address that others reach, while the workspace knows nobody. Raises BackendError."""
    if is_loopback(host):
        return
    there = bool(workspace.settings.store) or (workspace.path / DATABASE).exists()
    known = there and bool(workspace.people.everyone())
    workspace.close()
    if not known:
        raise InputError(
            f"{host} is reached by others, and nobody was added to the workspace, so everyone could change everything; "
            "add people first (bigimage user add NAME --role ROLE), or serve on 127.0.0.1"
        )


def main(given: Sequence[str] | None = None) -> int:
    """Serve until interrupted; 0 when the server ended in order, 1 when it could not start."""
    arguments = _arguments(given)
    if arguments.workspace is not None:
        os.environ["BIGIMAGE_WORKSPACE"] = str(arguments.workspace.resolve())
    try:
        workspace = open_workspace(settings=Settings.from_env())  # a wrong setting is told here, not by every worker
        _require_people(workspace, arguments.host)
    except BigImageError as error:
        print(f"bigimage: {error}", file=sys.stderr)
        return 1
    if not is_built():
        print("bigimage: the web viewer was not built (make viewer, Node 20); plain pages stand in", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bigimage-metrics-") as folder:
        if arguments.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # workers add their counts up here
        uvicorn.run(
            "tilesrv.app:from_env",
            factory=True,
            host=arguments.host,
            port=arguments.port,
            workers=arguments.workers,
            access_log=arguments.access_log,
            http=Protocol,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A DICOM server of the tests' own: Orthanc, where it is installed; it answers nobody but this machine."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS = 30.0
"""Seconds that it may take to start."""


def program() -> str | None:
    """Path of Orthanc; None where it is not installed."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


class Orthanc:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, data: bytes | None = None) -> Any:
        """Reply of a request, parsed; a POST where there are data."""
        request = urllib.request.Request(self._url + path, data=data)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read())

    def raw(self, path: str) -> bytes:
        """Reply of a request as it is."""
        with urllib.request.urlopen(self._url + path, timeout=30) as reply:
            return reply.read()

    def remove(self, path: str) -> None:
        """Remove what lies at a path."""
        with urllib.request.urlopen(urllib.request.Request(self._url + path, method="DELETE"), timeout=30) as reply:
            reply.read()


@contextmanager
def server(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """A server that keeps its files in a folder, with `more` settings; it is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "files"),
        "Plugins": [],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "UnknownSopClassAccepted": True,
        "StableAge": 1,
        **more,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    log = (folder / "log").open("wb")
    process = subprocess.Popen([program() or "Orthanc", str(path)], stdout=log, stderr=log, cwd=folder)
    try:
        found = Orthanc(port)
        _wait(found, process)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def _wait(found: Orthanc, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"Orthanc ended with {process.returncode}")
        try:
            found.ask("/system")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("Orthanc did not start")

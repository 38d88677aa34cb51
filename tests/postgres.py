"""A PostgreSQL server of the tests' own: made in a temporary folder, on a socket nobody else uses, and thrown away."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER_USER = "postgres"
"""Whom the server runs as when the tests run as root, which PostgreSQL refuses."""


def programs() -> Path | None:
    """Folder of the newest server's programs that can have PostGIS; None when no server is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    beside = shutil.which("initdb")
    return found[-1] if found else Path(beside).parent if beside else None


def has_postgis() -> bool:
    """Whether the server that would be started has PostGIS."""
    folder = programs()
    if folder is None:
        return False
    config = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    usual = f"/usr/share/postgresql/{folder.parent.name}"
    return (Path(config.stdout.strip() or usual) / "extension" / "postgis.control").is_file()


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """A running server: the URL of its maintenance database, ending in `/postgres`."""
    folder = programs()
    assert folder is not None
    with tempfile.TemporaryDirectory(prefix="bigimage-postgres-") as made:
        place = Path(made)
        if os.geteuid() == 0:
            shutil.chown(place, SERVER_USER, SERVER_USER)
        port = _free_port()
        _run(folder / "initdb", "-D", place / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        # the tests kill clients, never the server or the machine, so nothing needs to reach the disk
        sync = "on" if durable else "off"
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place} -c fsync={sync}"
        _run(folder / "pg_ctl", "-D", place / "data", "-w", "-o", options, "-l", place / "log", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(folder / "pg_ctl", "-D", place / "data", "-m", "immediate", "-w", "stop")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: object) -> None:
    line = [str(part) for part in command]
    if os.geteuid() == 0:
        line = ["runuser", "-u", SERVER_USER, "--", *line]
    # the server would keep a pipe open, and then nobody would ever read its end
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

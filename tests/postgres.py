"""A PostgreSQL server of the tests' own: made in a temporary folder, on a socket nobody else uses, and thrown away."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Server:
    """A server that can be stopped and started again."""

    folder: Path
    """Programs."""
    place: Path
    options: str
    url: str
    """Of its maintenance database, ending in `/postgres`."""

    def start(self) -> None:
        """Start, and wait until it answers."""
        place = self.place
        _run(self.folder / "pg_ctl", "-D", place / "data", "-w", "-o", self.options, "-l", place / "log", "start")

    def stop(self) -> None:
        """Stop at once, as when the machine fails."""
        _run(self.folder / "pg_ctl", "-D", self.place / "data", "-m", "immediate", "-w", "stop")


@contextmanager
def server(*, durable: bool = False) -> Generator[str]:
    """A running server: the URL of its maintenance database, ending in `/postgres`."""
    with machine(durable=durable) as made:
        yield made.url


@contextmanager
def machine(*, durable: bool = False) -> Generator[Server]:
    """A running server that a test may stop, and must start again before it ends."""
    folder = programs()
    assert folder is not None
    with tempfile.TemporaryDirectory(prefix="bigimage-postgres-") as made:
        place = Path(made)
        if os.geteuid() == 0:
            shutil.chown(place, SERVER_USER, SERVER_USER)
        port = _free_port()
        _run(folder / "initdb", "-D", place / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        # the tests kill clients, never the machine, so nothing needs to reach the disk
        sync = "on" if durable else "off"
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place} -c fsync={sync}"
        running = Server(folder, place, options, f"postgresql://postgres@127.0.0.1:{port}/postgres")
        running.start()
        try:
            yield running
        finally:
            running.stop()


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

"""A running server, a browser, and pages of other people's viewers."""

import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Start a tile server on a workspace; returns its address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(workspace: Path) -> str:
        port = free_port()
        command = [sys.executable, "-m", "tilesrv", "--workspace", str(workspace), "--port", str(port)]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    return address
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError("the server did not start")

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Installed packages of `package.json`; npm installs them where they are missing."""
    modules = HERE / "node_modules"
    if not (modules / "ol").is_dir():
        if shutil.which("npm") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("npm is not installed, and CI runs every browser test")
            pytest.skip("npm is not installed")
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE, check=True)
    return modules


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without writing a line for each."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def pages(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the built pages, on an origin of their own, so that CORS is really used."""
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run(
        ["npx", "vite", "build", "--logLevel=error", f"--outDir={folder}", "--emptyOutDir"], cwd=HERE, check=True
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(chromium: str) -> Iterator[Any]:
    """A blank page; its `errors` are what the page logged as errors, `hosts` whom it talked to."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        found = browser.new_page(viewport={"width": 800, "height": 600})
        found.errors, found.hosts = [], set()
        found.on("pageerror", lambda error: found.errors.append(str(error)))
        found.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
        found.on("request", lambda request: found.hosts.add(request.url.split("/")[2]))
        yield found
        browser.close()

"""A running server, a browser, and pages of other people's viewers."""

import contextlib
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

from tests.browser.drawing import SIZE, make_workspace

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


@contextlib.contextmanager
def server(workspace: Path, port: int | None = None) -> Iterator[str]:
    """A tile server on a workspace, in a process of its own; gives its address."""
    port = port or free_port()
    command = [sys.executable, "-m", "tilesrv", "--workspace", str(workspace), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            raise TimeoutError("the server did not start")
        yield address
    finally:
        process.kill()  # a server may die at any moment and lose nothing
        process.wait(timeout=20)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Start a tile server on a workspace; returns its address."""
    with contextlib.ExitStack() as started:
        yield lambda workspace: started.enter_context(server(workspace))


def npm(*arguments: str, folder: Path) -> None:
    """Run npm in a folder; skips the test where npm is not installed, except in CI."""
    if shutil.which("npm") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("npm is not installed, and CI runs every browser test")
        pytest.skip("npm is not installed")
    subprocess.run(["npm", *arguments], cwd=folder, check=True)


@pytest.fixture(scope="session")
def viewer() -> Path:
    """Folder of the viewer, built from its present sources."""
    folder = HERE.parents[1] / "tilesrv" / "viewer"
    if not (folder / "node_modules" / "ol").is_dir():
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error", folder=folder)
    sources = [folder / "index.html", folder / "package.json", *(folder / "src").rglob("*.*")]
    built = folder / "dist" / "index.html"
    if not built.is_file() or built.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        npm("run", "build", "--silent", folder=folder)
    return folder


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Installed packages of `package.json`; npm installs them where they are missing."""
    modules = HERE / "node_modules"
    if not all((modules / name).is_dir() for name in ("ol", "axe-core")):
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error", folder=HERE)
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


# Playwright keeps an event loop running in this thread: while it lasts, no other test can run one
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """One Chromium for the tests of a file; each has a profile of its own in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


def listen(page: Any) -> Any:
    """Let a page note what it logged as errors, in `errors`, and whom it talked to, in `hosts`."""
    page.errors, page.hosts = [], set()
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
    return page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Path:
    """A workspace with scenes in UTM and a scan, and two labels, for the tests of a file."""
    return make_workspace(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def address(made: Path) -> Iterator[str]:
    """A server on that workspace."""
    with server(made) as found:
        yield found


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A blank page; its `errors` are what the page logged as errors, `hosts` whom it talked to."""
    context = browser.new_context(viewport={"width": 800, "height": 600})
    yield listen(context.new_page())
    context.close()


@pytest.fixture
def wide(page: Any) -> None:
    """Let the page be of usual size."""
    page.set_viewport_size(SIZE)

"""A real server over a real workspace, for route tests; small pictures, kept for the whole run."""

import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
import uvicorn
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.drawn import make_images
from tilesrv.app import create_app
from tilesrv.protocol import Protocol


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an app on a free port of this machine; yields its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", http=Protocol, timeout_graceful_shutdown=1, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


def write_tif(path: Path, array: np.ndarray, *, transform: tuple[float, ...] | None = None, **profile: Any) -> Path:
    """Write a (c, y, x) array as a GeoTIFF."""
    place = {} if transform is None else {"transform": Affine(*transform)}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=array.shape[0],
            height=array.shape[1],
            width=array.shape[2],
            dtype=array.dtype,
            **place,
            **profile,
        ) as file,
    ):
        file.write(array)
    return path


def picture(shape: tuple[int, int], bands: int, *, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Smooth hills with some noise, different in each band."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 6, (bands, *shape))
    hills = np.stack([np.sin(x / (31 + 7 * b)) + np.cos(y / (23 + 5 * b)) for b in range(bands)])
    top = 255 if dtype == "uint8" else 4000
    return np.clip((hills + 2) / 4 * top + noise, 0, top).astype(dtype)


UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`rgb` (UTM, odd size), `deep` (uint16, 5 bands, nodata), `plain` (no place in the world), `turned` (rotated)."""
    folder = tmp_path_factory.mktemp("served")
    made = open_workspace(settings=Settings(workspace=folder / "workspace", workers=1, roots=(folder / "root",)))
    (folder / "root").mkdir()
    rgb = picture((701, 1013), 3)
    made.ingest(write_tif(folder / "rgb.tif", rgb, transform=UTM, crs="EPSG:32632"))
    deep = picture((300, 420), 5, dtype="uint16")
    deep[:, 40:90, 50:120] = 0
    made.ingest(write_tif(folder / "deep.tif", deep, transform=UTM, crs="EPSG:32632", nodata=0))
    made.ingest(write_tif(folder / "plain.tif", picture((257, 300), 1)))
    turned = (8.0, 6.0, 500_000.0, 6.0, -8.0, 5_000_000.0)
    made.ingest(write_tif(folder / "turned.tif", rgb[:, :300, :300], transform=turned, crs="EPSG:32632"))
    write_tif(folder / "root" / "more.tif", rgb[:, :64, :64], transform=UTM, crs="EPSG:32632")
    return made


@pytest.fixture(scope="session")
def server(workspace: Workspace) -> Iterator[str]:
    """Address of a running server over `workspace`."""
    with serving(create_app(workspace)) as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    """HTTP client of the running server."""
    with httpx.Client(base_url=server, timeout=60) as made:
        yield made


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Callable[..., tuple[Workspace, httpx.Client]]]:
    """Makes servers with settings of their own, over empty workspaces."""
    closers: list[Any] = []

    def make(**settings: Any) -> tuple[Workspace, httpx.Client]:
        space = open_workspace(settings=Settings(workspace=tmp_path / "ws", workers=1, **settings))
        running = serving(create_app(space))
        address = running.__enter__()
        client = httpx.Client(base_url=address, timeout=60)
        closers.extend([lambda: running.__exit__(None, None, None), client.close])
        return space, client

    yield make
    for close in reversed(closers):
        close()


@pytest.fixture
def drawing(tmp_path: Path) -> Iterator[httpx.Client]:
    """Client of a server over small images to draw on; see `tests.drawn`."""
    with serving(create_app(make_images(tmp_path / "ws"))) as address, httpx.Client(base_url=address) as made:
        yield made

"""Ingest on a real dask cluster: the same bytes as on threads, and a worker that dies costs nothing but time."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest

from bigimage import parallel
from bigimage.errors import BackendError, DataError
from bigimage.pyramid.validate import validate
from bigimage.workspace import open_workspace
from tests.pyramids import digest, noise
from tests.rasters import NORTH_UP, UTM, write

# closing a cluster leaves its event loop's last socket to the garbage collector; nothing of ours is open then
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as running:
        yield running


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster of nine shards, partly empty."""
    array = np.tile(noise((4, 600, 600), "uint16"), (1, 4, 4))[:, :2300, :2200]
    array[:, :700, :900] = 0
    folder = tmp_path_factory.mktemp("scene")
    return write(
        folder / "scene.tif", array, crs=UTM, transform=NORTH_UP, nodata=0, tiled=True, blockxsize=256, blockysize=256
    )


@pytest.fixture(scope="module")
def expected(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What threads make of it."""
    folder = tmp_path_factory.mktemp("threads")
    open_workspace(folder).ingest(scene, workers=2)
    return _content(folder)


def _content(workspace: Path) -> dict[str, Any]:
    root = workspace / "images" / "scene"
    found: dict[str, Any] = digest(root)
    found["zarr.json"] = json.loads((root / "zarr.json").read_text())
    found["zarr.json"]["attributes"]["bigimage"]["provenance"].pop("ingested")
    return found


def test_a_cluster_writes_the_same_bytes(cluster: Any, scene: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    open_workspace(tmp_path).ingest(
        scene, scheduler=cluster.scheduler_address, progress=lambda done, total: steps.append((done, total))
    )
    assert _content(tmp_path) == expected
    assert steps[-1] == (2300 * 2200, 2300 * 2200)
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["scene"]


def _slow_writes(seconds: float) -> int:
    """Let shards be written slowly in a worker; returns its process."""
    from bigimage.pyramid import build

    real = build.write_shard

    def write_shard(path: Path, pieces: Any) -> None:
        real(path, pieces)
        time.sleep(seconds)

    build.write_shard = write_shard
    return os.getpid()


def test_a_worker_killed_in_mid_run_changes_nothing(
    cluster: Any, scene: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = list(client.run(_slow_writes, 0.15).values())
    killed: list[int] = []

    def kill() -> None:
        while not list(tmp_path.glob("images/.scene.partial/*/0/image/c/**/*[0-9]")):
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    killer = threading.Thread(target=kill)
    killer.start()
    open_workspace(tmp_path).ingest(scene, scheduler=cluster.scheduler_address)
    killer.join()
    assert killed
    assert _content(tmp_path) == expected
    assert validate(tmp_path / "images" / "scene") == []


def _refuse(n: int) -> int:
    raise DataError(f"unit {n} is damaged", ("first",))


def test_an_error_comes_back_whole_and_stops_the_plan(cluster: Any) -> None:
    with pytest.raises(DataError, match="unit 0 is damaged: first") as caught:
        parallel.run(_refuse, [0], scheduler=cluster.scheduler_address)
    assert caught.value.problems == ("first",)


def _count_and_refuse(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    raise DataError("always")


def test_an_error_is_not_tried_again(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="always"):
        parallel.run(_count_and_refuse, [str(tmp_path / "tries")], scheduler=cluster.scheduler_address)
    assert (tmp_path / "tries").read_text() == "x"


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_unit_that_kills_every_worker_is_given_up(cluster: Any) -> None:
    """Last in this file: it costs the cluster its workers."""
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    with pytest.raises(BackendError, match="keep dying over the same unit"):
        parallel.run(_die, [0], scheduler=cluster.scheduler_address)

"""Ingest and painting on a real dask cluster: the same bytes as on threads; a worker that dies costs only time."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import distributed
import numpy as np
import pytest

from bigimage import parallel
from bigimage.errors import BackendError, DataError
from bigimage.model.change import Edited
from bigimage.pyramid import layout
from bigimage.pyramid.validate import validate
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.paint import Order, Studio, paint
from bigimage.workspace import open_workspace
from tests.painting import drawn, load, raster, rectangle, store_of, studio
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


# ---- painting


@pytest.fixture(scope="module")
def small_shards() -> Iterator[None]:
    """Plans of many units for a small image; workers are handed plans, and make none."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "SHARD_SIDES", (256,))
        yield


@pytest.fixture
def place(tmp_path: Path, small_shards: None) -> Iterator[Studio]:
    """A scene of 90 shards with overlapping polygons of three labels."""
    made = studio(tmp_path, raster((2300, 2200)))
    rng = np.random.default_rng(8)
    shapes = [
        rectangle(made.info, (r, r + rng.uniform(1, 200)), (c, c + rng.uniform(1, 200)))
        for r, c in rng.uniform(-20, 2250, (300, 2))
    ]
    load(made, [drawn(made.info, k + 1, s, ("house", "road", "field")[k % 3]) for k, s in enumerate(shapes)])
    yield made
    store_of(made).close()


def _all_files(layer: Layer) -> dict[str, bytes]:
    """Every file of a layer but what says which one it is."""
    root = Path(layer.pyramid.path)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.parent != root}


@pytest.mark.parametrize("mode", ["semantic", "panoptic"])
def test_two_worker_processes_paint_the_same_bytes_as_one_thread(cluster: Any, place: Studio, mode: str) -> None:
    here = paint(place, Order(name="here", mode=mode))
    steps: list[tuple[int, int]] = []
    there = paint(
        place,
        Order(name="there", mode=mode, scheduler=cluster.scheduler_address),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert _all_files(there) == _all_files(here)
    assert len(steps) > 8
    assert steps[-1][0] == steps[-1][1]
    # an edit is painted by the cluster as well
    one = store_of(place).get(UUID(int=1))
    store_of(place).apply("scene", [Edited(replace(one, label="field"), 1)], author="ann")
    again = paint(place, Order(name="there", scheduler=cluster.scheduler_address))
    assert _all_files(again) == _all_files(paint(place, Order(name="here")))


def _slow_paint(seconds: float) -> int:
    """Let shards of layers be written slowly in a worker; returns its process."""
    from bigimage.rasterize import run

    real = run.write_shard

    def write_shard(path: Path, pieces: Any) -> None:
        real(path, pieces)
        time.sleep(seconds)

    run.write_shard = write_shard
    return os.getpid()


def test_a_worker_killed_while_painting_changes_nothing(cluster: Any, place: Studio) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = list(client.run(_slow_paint, 0.05).values())
    killed: list[int] = []

    def kill() -> None:
        while not list(place.folder.glob("labels/.there.unfinished/0/image/c/*/*[0-9]")):
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    killer = threading.Thread(target=kill)
    killer.start()
    there = paint(place, Order(name="there", mode="instance", scheduler=cluster.scheduler_address))
    killer.join()
    assert killed
    assert _all_files(there) == _all_files(paint(place, Order(name="here", mode="instance")))


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

"""Ingest when things go wrong: killed, interrupted, raced, out of disk, damaged or changing sources; and its memory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bigimage import catalogue
from bigimage.errors import BackendError, Cancelled, Conflict, DataError, InputError, NotFound, Unsupported
from bigimage.pyramid import layout
from bigimage.pyramid.validate import validate
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from fixtures.phantom import ct_series
from tests.pyramids import digest, whole
from tests.rasters import NORTH_UP, UTM, write

SHAPE = (3, 300, 410)


def _pixels(seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).integers(1, 255, SHAPE, dtype="uint8")
    array[:, :150, :200] = 0
    return array


def _scene(path: Path, seed: int = 0, **profile: Any) -> Path:
    options = {"crs": UTM, "transform": NORTH_UP, "nodata": 0, "blockysize": 1} | profile
    return write(path, _pixels(seed), **options)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many shards from little data."""
    monkeypatch.setattr(layout, "SHARD_SIDES", (64,))
    monkeypatch.setattr(layout, "CHUNK", 32)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(settings=Settings(workspace=tmp_path / "ws", workers=1))


def _content(workspace: Path, image: str = "scene") -> dict[str, Any]:
    """Everything stored of an image but the time of its ingest."""
    root = workspace / "images" / image
    found: dict[str, Any] = digest(root)
    found["zarr.json"] = json.loads((root / "zarr.json").read_text())
    found["zarr.json"]["attributes"]["bigimage"]["provenance"].pop("ingested")
    return found


def _visible(workspace: Path) -> list[str]:
    """Everything that is not hidden among the images."""
    folder = workspace / "images"
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.exists() else []


def _cli(*arguments: Any, workspace: Path, code: str = "", **options: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own; `code` is run there first."""
    program = f"{code}\nfrom bigimage.cli import main\nmain()"
    command = [sys.executable, "-W", "error", "-c", program, "--workspace", str(workspace), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


SLOW = (
    "import time\nfrom bigimage.pyramid import build, layout\nlayout.SHARD_SIDES, layout.CHUNK = (64,), 32\n"
    "real = build.write_shard\n"
    "def slow(path, pieces):\n    real(path, pieces)\n    time.sleep(0.05)\n"
    "build.write_shard = slow"
)
"""A disk that takes its time, so that an ingest can be met in the middle."""


def _until_half_done(process: subprocess.Popen[str], workspace: Path, shards: int = 5) -> None:
    """Wait until some shards are on disk."""
    for _ in range(2000):
        if len(list(workspace.glob("images/.scene.partial/*/0/image/c/**/*[0-9]"))) > shards:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("the ingest wrote nothing")


# what comes out


@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_an_ingest_keeps_every_pixel_its_place_and_its_origin(
    workspace: Workspace, tmp_path: Path, profile: dict[str, Any]
) -> None:
    source = _scene(tmp_path / "My Scene (1).tif", **profile)
    steps: list[tuple[int, int]] = []
    (pyramid,) = workspace.ingest(source, progress=lambda done, total: steps.append((done, total)))
    assert pyramid.id == "my-scene-1"
    pixels, valid = whole(pyramid.levels[0])
    np.testing.assert_array_equal(pixels, _pixels())
    np.testing.assert_array_equal(valid, (_pixels() != 0).any(axis=0))
    assert pyramid.info.grid.transform == tuple(NORTH_UP)[:6]
    provenance = pyramid.info.provenance
    assert provenance["source"] == source.name
    assert len(provenance["sha256"]) == 64
    assert provenance["reduction"] == "mean"
    assert validate(pyramid.path) == []
    assert steps[0] == (0, 300 * 410)
    assert steps[-1] == (300 * 410, 300 * 410)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert [p.name for p in (workspace.path / "images").iterdir()] == ["my-scene-1"]


def test_the_checksum_is_the_files(workspace: Workspace, tmp_path: Path) -> None:
    source = _scene(tmp_path / "a.tif")
    (pyramid,) = workspace.ingest(source)
    told = subprocess.run(["sha256sum", source], capture_output=True, text=True, check=True).stdout.split()[0]
    assert pyramid.info.provenance["sha256"] == told


@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_threads_and_processes_write_the_same_bytes(tmp_path: Path, profile: dict[str, Any]) -> None:
    source = _scene(tmp_path / "scene.tif", **profile)
    contents = []
    for scheduler, workers in (("threads", 1), ("threads", 3), ("processes", 2)):
        target = tmp_path / f"{scheduler}{workers}"
        open_workspace(target).ingest(source, workers=workers, scheduler=scheduler)
        contents.append(_content(target))
    assert contents[0] == contents[1] == contents[2]


def test_several_files_become_several_images(workspace: Workspace, tmp_path: Path) -> None:
    images = workspace.ingest([_scene(tmp_path / "a.tif"), _scene(tmp_path / "b.tif", seed=1)])
    assert [image.id for image in images] == ["a", "b"]
    assert catalogue.check_free(workspace.path, "c") is None
    with pytest.raises(InputError, match="nothing to ingest"):
        workspace.ingest([])


# killed and interrupted


@pytest.mark.parametrize("layout_", ["rows", "tiles"])
def test_an_ingest_killed_at_any_moment_continues_to_the_same_bytes(tmp_path: Path, layout_: str) -> None:
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64} if layout_ == "tiles" else {}
    source = _scene(tmp_path / "scene.tif", **profile)
    command = [sys.executable, "-m", "tests.flows.crashing", str(source), str(tmp_path), "24"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert result["moments"] >= 20
    assert result["files"] > 40


def test_a_killed_command_shows_nothing_and_can_be_run_again(tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    for target in ("killed", "whole"):
        workspace = tmp_path / target
        if target == "killed":
            with _cli("ingest", source, workspace=workspace, code=SLOW) as process:
                _until_half_done(process, workspace)
                process.kill()
            assert _visible(workspace) == []
            assert list(catalogue.ids(workspace)) == []
        with _cli("ingest", source, workspace=workspace, code=SLOW.replace("0.05", "0")) as process:
            out, err = process.communicate()
            assert (process.returncode, out) == (0, "scene\n"), err
    assert _content(tmp_path / "killed") == _content(tmp_path / "whole")


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--scheduler", "processes", "--workers", "2")])
def test_control_c_ends_with_one_line_and_nothing_half_visible(tmp_path: Path, options: tuple[str, ...]) -> None:
    workspace = tmp_path / "ws"
    source, slow = _scene(tmp_path / "scene.tif"), SLOW
    if "processes" in options:  # workers do not know of slow disks: give them more to do
        profile = {"crs": UTM, "transform": NORTH_UP, "tiled": True, "blockxsize": 256, "blockysize": 256}
        source, slow = write(source, np.tile(_pixels()[:, :256, :256], (1, 24, 24)), **profile), ""
    # a terminal sends the interrupt to every process of the foreground group
    with _cli("ingest", source, *options, workspace=workspace, code=slow, start_new_session=True) as process:
        _until_half_done(process, workspace, 0)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    lines = [line for line in err.splitlines() if line and not line.startswith("ingest scene.tif:")]
    assert (process.returncode, out, lines) == (1, "", ["bigimage: interrupted"])
    assert _visible(workspace) == []
    with _cli("ingest", source, workspace=workspace, code=slow.replace("0.05", "0")) as process:
        assert process.communicate()[0] == "scene\n"
    assert validate(workspace / "images" / "scene") == []


def _stop_at(share: float) -> Any:
    def progress(done: int, total: int) -> None:
        if done >= share * total:
            raise Cancelled("stopped by the test")

    return progress


@pytest.mark.usefixtures("small_shards")
def test_a_stopped_ingest_goes_on_where_it_was(workspace: Workspace, tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    with pytest.raises(Cancelled):
        workspace.ingest(source, progress=_stop_at(0.6))
    assert _visible(workspace.path) == []
    kept = {p: p.stat().st_mtime_ns for p in workspace.path.rglob("0/image/c/**/*[0-9]") if p.is_file()}
    assert len(kept) > 10
    steps: list[int] = []
    (pyramid,) = workspace.ingest(source, progress=lambda done, total: steps.append(done))
    for path, time_ in kept.items():
        now = Path(str(path).replace(str(path.relative_to(workspace.path / "images").parents[-3]), "scene"))
        assert (workspace.path / "images" / now.relative_to(workspace.path / "images")).stat().st_mtime_ns == time_
    np.testing.assert_array_equal(whole(pyramid.levels[0])[0], _pixels())
    assert steps[-1] == 300 * 410


@pytest.mark.usefixtures("small_shards")
def test_a_source_that_changed_since_starts_anew(workspace: Workspace, tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    with pytest.raises(Cancelled):
        workspace.ingest(source, progress=_stop_at(0.6))
    _scene(source, seed=9)
    (pyramid,) = workspace.ingest(source)
    np.testing.assert_array_equal(whole(pyramid.levels[0])[0], _pixels(9))
    assert [p.name for p in (workspace.path / "images").iterdir()] == ["scene"]


@pytest.mark.usefixtures("small_shards")
def test_other_options_start_anew(workspace: Workspace, tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    with pytest.raises(Cancelled):
        workspace.ingest(source, progress=_stop_at(0.9))
    (pyramid,) = workspace.ingest(source, role="labels")
    assert set(np.unique(whole(pyramid.levels[1])[0])) <= set(np.unique(_pixels()))
    assert pyramid.info.provenance["reduction"] == "mode"
    assert validate(pyramid.path) == []


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("named", ["scene.tif", "mosaic.vrt"])
def test_a_source_that_changes_under_the_ingest_is_noticed(tmp_path: Path, workers: int, named: str) -> None:
    source = _scene(tmp_path / "scene.tif")
    rasterio.shutil.copy(source, tmp_path / "mosaic.vrt", driver="VRT")

    def meddle(done: int, total: int) -> None:
        if done == total:
            os.utime(source, ns=(1, 1))

    with pytest.raises(DataError, match="changed while being read"):
        open_workspace(tmp_path / "ws").ingest(tmp_path / named, workers=workers, progress=meddle)
    assert _visible(tmp_path / "ws") == []


# two at once


@pytest.mark.usefixtures("small_shards")
def test_of_two_ingests_at_one_name_one_wins(workspace: Workspace, tmp_path: Path) -> None:
    first, second = _scene(tmp_path / "a.tif"), _scene(tmp_path / "b.tif", seed=1)
    started, go_on = threading.Event(), threading.Event()
    done: list[Any] = []

    def slow(done_: int, total: int) -> None:
        started.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: done.extend(workspace.ingest(first, name="scene", progress=slow)))
    thread.start()
    started.wait(30)
    for source in (first, second):
        with pytest.raises(Conflict, match="'scene' is being ingested by another process"):
            workspace.ingest(source, name="scene")
    go_on.set()
    thread.join()
    assert [image.id for image in done] == ["scene"]
    np.testing.assert_array_equal(whole(done[0].levels[0])[0], _pixels())
    with pytest.raises(Conflict, match="exists already"):
        workspace.ingest(second, name="scene")
    assert [p.name for p in (workspace.path / "images").iterdir()] == ["scene"]


def test_of_two_processes_one_wins(tmp_path: Path) -> None:
    source, workspace = _scene(tmp_path / "scene.tif"), tmp_path / "ws"
    both = [_cli("ingest", source, workspace=workspace, code=SLOW.replace("0.05", "0.01")) for _ in range(2)]
    results = [(*process.communicate(), process.returncode) for process in both]
    assert sorted(status for *_, status in results) == [0, 1]
    (err,) = (err for _, err, status in results if status)
    (line,) = (line for line in err.splitlines() if not line.startswith("ingest "))
    assert line.startswith("bigimage: image 'scene' ")
    assert validate(workspace / "images" / "scene") == []


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Scène 1.TIF", "sc-ne-1"),
        ("scene.v2.tif", "scene.v2"),
        ("ct.nii.gz", "ct"),
        ("ct.nii", "ct"),
        ("1.2.840.7", "1.2.840.7"),
        ("Study.old/", "study.old"),
    ],
)
def test_ids_are_made_from_names(workspace: Workspace, tmp_path: Path, name: str, id: str) -> None:
    path = tmp_path / name
    if ".nii" in name:
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), path)
    elif name.endswith("/"):
        ct_series(path, slices=3, size=64)
    elif name[0].isdigit():
        ct_series(tmp_path / "one", slices=1, size=64)
        next((tmp_path / "one").iterdir()).rename(path)
    else:
        _scene(path)
    assert [image.id for image in workspace.ingest(path)] == [id]


def test_ids_are_never_used_again(workspace: Workspace, tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    workspace.ingest(source)
    workspace.remove("scene")
    assert _visible(workspace.path) == []
    with pytest.raises(NotFound):
        workspace.image("scene")
    with pytest.raises(Conflict, match="never used again"):
        workspace.ingest(source)
    (again,) = workspace.ingest(source, name="scene-2")
    assert again.id == "scene-2"
    with pytest.raises(NotFound):
        workspace.remove("scene")


# disks and sources that fail


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("call", ["writev", "replace", "mkdir", "rename", "fsync", "unlink"])
def test_a_full_disk_at_any_moment(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (other,) = workspace.ingest(_scene(tmp_path / "other.tif", seed=2))
    before = digest(other.path)
    source = _scene(tmp_path / "scene.tif")
    real, count = getattr(os, call), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, counted)
        open_workspace(tmp_path / "probe").ingest(source)
    for fatal in sorted({1, count[0] // 2, count[0]} - {0}):
        left = [fatal]

        def fail(*args: Any, _left: list[int] = left, **kwargs: Any) -> Any:
            _left[0] -= 1
            if not _left[0]:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            # what a first attempt has done a second need not do, so the last call may never come
            with suppress(BackendError):
                workspace.ingest(source)
                break
        assert _visible(workspace.path) == ["other"]
    if _visible(workspace.path) == ["other"]:
        workspace.ingest(source)
    assert _content(workspace.path) == _content(tmp_path / "probe")
    assert digest(other.path) == before


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Any:
    """A real disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk(tmp_path: Path, tiny_disk: Path) -> None:
    small = write(tmp_path / "small.tif", _pixels()[:1, :50, :50], crs=UTM, transform=NORTH_UP)
    big = write(
        tmp_path / "scene.tif",
        np.random.default_rng(0).integers(1, 255, (3, 1100, 1100), dtype="uint8"),
        crs=UTM,
        transform=NORTH_UP,
    )
    with _cli("ingest", small, workspace=tiny_disk) as process:
        assert process.communicate()[0] == "small\n"
    before = digest(tiny_disk / "images" / "small")
    with _cli("ingest", big, workspace=tiny_disk) as process:
        out, err = process.communicate()
    (line,) = (line for line in err.splitlines() if not line.startswith("ingest "))
    assert (process.returncode, out) == (1, "")
    assert line.startswith("bigimage: cannot write ")
    assert line.endswith("No space left on device")
    assert _visible(tiny_disk) == ["small"]
    assert digest(tiny_disk / "images" / "small") == before
    assert validate(tiny_disk / "images" / "small") == []


def test_a_limit_on_file_sizes_is_told_in_one_line(tmp_path: Path) -> None:
    source = _scene(tmp_path / "scene.tif")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    with _cli("ingest", source, workspace=tmp_path / "ws", code=limit) as process:
        out, err = process.communicate()
    (line,) = (line for line in err.splitlines() if not line.startswith("ingest "))
    assert (process.returncode, out) == (1, "")
    assert line.startswith("bigimage: cannot write ")
    assert line.endswith("File too large")
    assert _visible(tmp_path / "ws") == []


def test_a_truncated_source_is_named_with_the_place(workspace: Workspace, tmp_path: Path) -> None:
    for profile in ({}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 64, "blockysize": 64}):
        source = _scene(tmp_path / "scene.tif", **profile)
        source.write_bytes(source.read_bytes()[:-90_000])
        with pytest.raises(DataError, match=r"scene\.tif"):
            workspace.ingest(source)
        assert _visible(workspace.path) == []


def test_sources_that_are_none(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        workspace.ingest(tmp_path / "nothing.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises((InputError, DataError), match="holds no image"):
        workspace.ingest(tmp_path / "empty")
    (tmp_path / "text.tif").write_text("not an image")
    with pytest.raises(InputError, match="not an image in a known format"):
        workspace.ingest(tmp_path / "text.tif")
    (tmp_path / "nothing.tif").write_bytes(b"")
    with pytest.raises(InputError):
        workspace.ingest(tmp_path / "nothing.tif")
    wave = write(tmp_path / "wave.tif", np.ones((1, 9, 9), "complex64"), crs=UTM, transform=NORTH_UP)
    with pytest.raises(Unsupported, match="complex"):
        workspace.ingest(wave)
    assert _visible(workspace.path) == []


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "A", "a b", "ä", "x" * 129, "-x", "a/b", "a\0"])
def test_names_that_are_no_ids(workspace: Workspace, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not an image id"):
        workspace.ingest(_scene(tmp_path / "scene.tif"), name=name)
    assert not (workspace.path / "images").exists()


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        open_workspace(tmp_path / "file")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "images").write_text("")
    with pytest.raises(BackendError, match="cannot write below"):
        open_workspace(tmp_path / "ws").ingest(_scene(tmp_path / "scene.tif"))


def test_a_folder_that_holds_the_workspace_can_be_ingested(tmp_path: Path) -> None:
    ct_series(tmp_path, slices=3, size=64)
    (pyramid,) = open_workspace(tmp_path / "bigimage-workspace").ingest(tmp_path)
    assert pyramid.info.grid.shape == (3, 64, 64)
    assert validate(pyramid.path) == []


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    """Two scenes of rows across 12,000 columns, of which one is four times as high."""
    columns, rng = 12_000, np.random.default_rng(0)
    rows = rng.integers(0, 255, (3, 512, columns), dtype="uint8")
    code = (
        "import sys\nfrom pathlib import Path\nfrom bigimage.workspace import open_workspace\n"
        "open_workspace(sys.argv[1]).ingest(sys.argv[2], workers=2)\n"
        # not getrusage: its peak is inherited from the process that started this one
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    peaks = []
    for height in (2048, 8192):
        source = tmp_path / f"{height}.tif"
        profile = {"width": columns, "height": height, "count": 3, "dtype": "uint8", "blockysize": 1}
        with rasterio.open(
            source, "w", driver="GTiff", crs=UTM, transform=NORTH_UP, interleave="pixel", **profile
        ) as to:
            for top in range(0, height, 512):
                to.write(np.roll(rows, top, axis=2), window=((top, top + 512), (0, columns)))
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "ws"), str(source)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) // 1024)
    assert max(peaks) < 500
    assert peaks[1] < peaks[0] + 150

import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import rasterio
from rasterio.env import get_gdal_config, set_gdal_config

from bigimage.errors import DataError, InputError
from bigimage.sources.raster_gdal import (
    BLOCK_CACHE,
    GDAL_ERRORS,
    Handles,
    collected_messages,
    environment,
    open_dataset,
    reason,
)
from tests.rasters import UTM, quiet, ramp, write


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    return write(tmp_path / "scene.tif", ramp(1, 20, 30))


def handles(path: Path, driver: str = "GTiff") -> Handles:
    return Handles(path.name, lambda: open_dataset(path, driver), hidden=f"{path.parent}/")


def test_other_drivers_are_never_tried(tmp_path: Path) -> None:
    path = write(tmp_path / "picture.tif", ramp(1, 20, 30), driver="PNG")
    with pytest.raises(DataError, match=r"picture\.tif is damaged.*opening failed"), handles(path).lend("opening"):
        pass


def test_nothing_is_opened_over_the_network() -> None:
    with environment(), pytest.raises(GDAL_ERRORS):
        open_dataset("/vsicurl/http://127.0.0.1:9/scene.tif", "GTiff")


def test_block_cache_is_bounded_and_never_raised(tiff: Path) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    try:
        set_gdal_config("GDAL_CACHEMAX", 4 * BLOCK_CACHE)
        with environment():
            open_dataset(tiff, "GTiff").close()
        assert get_gdal_config("GDAL_CACHEMAX") == BLOCK_CACHE
        set_gdal_config("GDAL_CACHEMAX", BLOCK_CACHE // 2)
        with environment():
            open_dataset(tiff, "GTiff").close()
        assert get_gdal_config("GDAL_CACHEMAX") == BLOCK_CACHE // 2
    finally:
        set_gdal_config("GDAL_CACHEMAX", before)


def test_missing_place_is_no_warning_here(tiff: Path) -> None:
    with warnings.catch_warnings(record=True) as caught, environment():
        warnings.simplefilter("always")
        open_dataset(tiff, "GTiff").close()
    assert not caught


def test_handles_are_shared_by_those_who_follow_each_other(tiff: Path) -> None:
    pool = handles(tiff)
    with pool.lend("reading") as first:
        pass
    found: list[object] = []

    def read() -> None:
        with pool.lend("reading") as dataset:
            found.append(dataset)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    with pool.lend("reading") as one, pool.lend("reading") as two:
        assert found == [first]
        assert one is first
        assert two is not first
    pool.close()
    assert one.closed
    assert two.closed


def test_a_handle_on_loan_closes_when_it_comes_back(tiff: Path) -> None:
    pool = handles(tiff)
    with pool.lend("reading") as dataset:
        pool.close()
        assert dataset.read(1).shape == (20, 30)
    assert dataset.closed
    with pytest.raises(InputError, match=r"scene\.tif is closed"), pool.lend("reading"):
        pass


def test_errors_name_the_file_the_doing_and_the_first_cause_but_no_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", ramp(1, 64, 64), compress="deflate")
    path.write_bytes(path.read_bytes()[:-200] + b"\xff" * 200)
    pool = handles(path)
    with (
        pytest.raises(DataError, match=r"scene\.tif .* reading it failed \(ZIPDecode.*; scene\.tif, band 1") as caught,
        pool.lend("reading it") as dataset,
    ):
        dataset.read()
    assert str(tmp_path) not in str(caught.value)
    pool.close()


def test_reason_digs_to_the_first_cause() -> None:
    root = OSError("disk  on\nfire in /secret/a.tif")
    middle = ValueError("read failed")
    middle.__cause__ = root
    top = RuntimeError("see previous")
    top.__cause__ = middle
    assert reason(top, "/secret/") == "disk on fire in a.tif"
    assert len(reason(OSError("x" * 1000))) == 300


def test_messages_of_this_thread_only() -> None:
    logger = logging.getLogger("rasterio._env")
    with collected_messages() as messages:
        logger.warning("mine")
        thread = threading.Thread(target=logger.warning, args=("theirs",))
        thread.start()
        thread.join()
    logger.warning("too late")
    assert messages == ["mine"]


def test_gdal_is_silent_on_stderr(tmp_path: Path) -> None:
    """A file that GDAL warns of and fails on, read by a process with nothing set up, from a thread too."""
    path = write(tmp_path / "scene.tif", ramp(1, 300, 300), compress="lzw", crs=UTM)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    code = """
import sys, threading
from pathlib import Path
from bigimage.errors import DataError
from bigimage.sources import module_for
from bigimage.sources.door import OpenOptions
def work():
    path = Path(sys.argv[1])
    try:
        (source,) = module_for(path).open([path], image="a", options=OpenOptions())
        source.read(source.info.grid.box)
    except DataError:
        print("refused")
thread = threading.Thread(target=work)
thread.start()
thread.join()
work()
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\nrefused\n"
    assert done.stderr == ""


def test_environment_of_the_process_does_not_hide_sidecars(tmp_path: Path) -> None:
    """A mask in its own file is found even where the process forbids GDAL to look around."""
    path = write(tmp_path / "scene.tif", ramp(3, 20, 30))
    with quiet(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(ramp(1, 20, 30)[0] > 100)
    assert path.with_name("scene.tif.msk").exists()
    code = "import sys; from pathlib import Path; from tests.rasters import opened\n"
    code += "with opened(Path(sys.argv[1])) as s: print(int(s.read(s.info.grid.box).valid.sum()))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == int((ramp(1, 20, 30)[0] > 100).sum())

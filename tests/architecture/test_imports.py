"""What starting the command line loads: nobody waits for libraries that a command does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

from bigimage import open_workspace
from fixtures.make import scene

ARRAYS = {"numpy", "zarr", "numcodecs", "numba", "dask", "distributed", "pyproj", "shapely"}
FORMATS = {"rasterio", "pydicom", "nibabel", "PIL", "sqlalchemy", "sqlite3", "psycopg"}
SERVER = {"tilesrv", "fastapi", "starlette", "pydantic", "uvicorn", "asyncio"}
HEAVY = ARRAYS | FORMATS | SERVER

PROBE = """
import sys
sys.argv = ["bigimage", *{arguments!r}]
from bigimage.cli import main
status = 0
try:
    main()
except SystemExit as stop:
    status = stop.code or 0
loaded = {{name.partition(".")[0] for name in sys.modules}}
print("LOADED", status, *sorted(loaded & set({heavy!r})))
"""


def loaded(arguments: list[str]) -> tuple[int, set[str]]:
    """Exit status of a command, and the heavy libraries in memory at its end."""
    code = PROBE.format(arguments=arguments, heavy=sorted(HEAVY))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, status, *names = run.stdout.splitlines()[-1].split()
    return int(status), set(names)


def test_importing_the_package_and_its_command_line_loads_nothing_heavy() -> None:
    code = "import sys, bigimage.cli; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(run.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["ingest", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(arguments) == (0, set())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    open_workspace(folder / "workspace").ingest(scene(folder / "small.tif", size=(90, 70)), name="small")
    return folder / "workspace"


@pytest.mark.parametrize(
    "command", [["list"], ["list", "--json"], ["info", "small"], ["info", "small", "--json"]], ids=" ".join
)
def test_list_and_info_load_nothing_heavy(command: list[str], workspace: Path) -> None:
    assert loaded(["--workspace", str(workspace), *command]) == (0, set())


def test_the_probe_sees_what_is_loaded() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=["--help"], heavy=["click"])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "LOADED 0 click"


def test_an_ingest_of_a_raster_loads_no_database_and_no_scans(workspace: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "more.tif", size=(90, 70))
    status, names = loaded(["--workspace", str(workspace), "ingest", str(source)])
    assert status == 0
    assert names.isdisjoint({"sqlalchemy", "psycopg", "pydicom", "nibabel", "dask", "PIL", *SERVER})

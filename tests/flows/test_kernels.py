"""Compiled kernels are ready before the first user needs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from bigimage import doctor
from fixtures.make import scene

USE = """
import sys
from numba.core import event
from bigimage import open_workspace

with event.install_recorder("numba:compile") as recorder:
    workspace = open_workspace(sys.argv[1])
    for image in workspace.ingest(sys.argv[2]):
        image.read_index((slice(0, 100), slice(0, 100)), level=1)
print(len(recorder.buffer), *{entry[1].data["dispatcher"] for entry in recorder.buffer})
"""


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    doctor.compile_kernels()


def test_the_doctor_finds_them_compiled() -> None:
    (kernels,) = [entry for entry in doctor.report() if entry["name"] == "kernels"]
    assert kernels["ok"], kernels["detail"]


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", None), ("uint8", 0), ("uint16", 0), ("int16", -1), ("float32", 0)]
)
def test_an_ingest_compiles_nothing(dtype: str, nodata: float | None, tmp_path: Path) -> None:
    path = scene(tmp_path / "a.tif", size=(600, 700), dtype=dtype, nodata=nodata)
    command = [sys.executable, "-c", USE, str(tmp_path / "workspace"), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "0", run.stdout

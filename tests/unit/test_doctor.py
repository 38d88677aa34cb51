"""The doctor reports what is there, and names a remedy for what is not."""

import ast
import sys
from importlib.machinery import PathFinder
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from bigimage import doctor
from bigimage.errors import BackendError


def entries(name: str) -> list[dict[str, Any]]:
    return [entry for entry in doctor.report() if entry["name"] == name]


@pytest.fixture(autouse=True)
def few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """One room's kernels are enough here, and compile in seconds."""
    monkeypatch.setattr(doctor, "KERNELS", ("bigimage.pyramid.downsample",))


def test_every_entry_says_what_it_found_and_how_to_mend_it() -> None:
    report = doctor.report()
    assert {"python", "bigimage", "libraries", "gdal", "proj", "kernels", "settings"} <= {e["name"] for e in report}
    for entry in report:
        assert set(entry) - {"remedy"} == {"name", "ok", "required", "detail"}
        assert entry["detail"]
        assert entry["ok"] != bool(entry.get("remedy"))


def test_every_module_with_kernels_is_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    warm = {
        ".".join(path.relative_to(root / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in (root / "src" / "bigimage").rglob("*.py")
        if any(isinstance(n, ast.FunctionDef) and n.name == "warm" for n in ast.parse(path.read_text("utf-8")).body)
    }
    assert set(doctor.KERNELS) == warm


KERNEL = """
import numba

@numba.njit(cache=True)
def add(a, b):
    return a + b

def warm():
    add(1, 2)
"""


def test_kernels_count_as_compiled_once_they_lie_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_for_the_doctor.py").write_text(KERNEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "KERNELS", ("made_for_the_doctor",))
    (before,) = entries("kernels")
    assert not before["ok"]
    assert "made_for_the_doctor" in before["detail"]
    assert doctor.compile_kernels() == ["made_for_the_doctor"]
    del sys.modules["made_for_the_doctor"]  # what is compiled in memory proves nothing
    assert entries("kernels")[0]["ok"]


@pytest.mark.parametrize(("library", "entry"), [("rasterio", "gdal"), ("pyproj", "proj"), ("zarr", "zarr")])
def test_a_broken_library_becomes_a_line(library: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (found,) = entries(entry)
    assert not found["ok"]
    assert "ImportError" in found["detail"] or "ModuleNotFoundError" in found["detail"]
    assert library in found["remedy"]


def test_kernels_that_cannot_be_compiled_are_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bigimage.pyramid.downsample", None)
    with pytest.raises(BackendError, match="cannot be compiled"):
        doctor.compile_kernels()
    assert not entries("kernels")[0]["ok"]


def test_every_extra_for_users_is_told() -> None:
    extras = set(metadata("bigimage").get_all("Provides-Extra") or ())
    assert set(doctor.EXTRAS) == extras - {"docs", "test"}


@pytest.mark.parametrize(
    ("files", "ok", "remedy"),
    [
        ((), False, "make viewer (needs Node 20) in a checkout, then pip install ."),
        (("package.json",), False, "make viewer (needs Node 20)"),
        (("dist/index.html",), True, None),
    ],
)
def test_a_viewer_that_was_not_built_is_told(
    files: tuple[str, ...], ok: bool, remedy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        path = tmp_path / "tilesrv" / "viewer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "tilesrv").mkdir(exist_ok=True)
    (tmp_path / "tilesrv" / "__init__.py").touch()
    monkeypatch.setattr(doctor, "find_spec", lambda name: PathFinder.find_spec(name, [str(tmp_path)]))
    (found,) = entries("viewer")
    assert (found["ok"], found["required"], found.get("remedy")) == (ok, False, remedy)


def test_a_missing_extra_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_missing", lambda names: [n for n in names if n == "distributed"])
    (found,) = entries("extra cluster")
    assert not found["ok"]
    assert not found["required"]
    assert found["remedy"] == "pip install 'bigimage[cluster]'"


def test_settings_are_read_and_misspelled_ones_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGIMAGE_WORKERS", "3")
    monkeypatch.setenv("BIGIMAGE_WORKRES", "4")
    misspelled, settings = entries("settings")
    assert "BIGIMAGE_WORKRES" in misspelled["detail"]
    assert settings["detail"].startswith("3 workers")
    monkeypatch.setenv("BIGIMAGE_WORKERS", "many")
    assert not entries("settings")[1]["ok"]


def test_data_files_of_another_installation_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_DRIVER_PATH", "/nowhere")
    (found,) = entries("gdal data")
    assert found["remedy"] == "unset GDAL_DRIVER_PATH"

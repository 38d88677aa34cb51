"""What `pip install` brings: both packages and nothing of the workshop."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (path,) = folder.glob("bigimage-*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def test_holds_every_module_and_type_marker(wheel: zipfile.ZipFile, root: Path) -> None:
    names = set(wheel.namelist())
    for folder, package in ((root / "src", "bigimage"), (root, "tilesrv")):
        modules = {
            path.relative_to(folder).as_posix()
            for path in (folder / package).rglob("*.py")
            if "node_modules" not in path.parts
        }
        assert modules <= names
        assert f"{package}/py.typed" in names


def test_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top.partition("-")[0] for top in tops} == {"bigimage", "tilesrv"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name or "node_modules" in name]


def test_carries_licence_entry_point_and_extras(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "bigimage = bigimage.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    for extra in ("demo", "cluster"):
        assert f"Provides-Extra: {extra}" in metadata


def pins(root: Path, name: str) -> set[str]:
    """`name==version` of every requirement of a lock file."""
    text = (root / "requirements" / name).read_text("utf-8")
    return {line.split(";")[0].rstrip(" \\") for line in text.split("\n") if line and line[0].isalnum()}


@pytest.mark.parametrize("name", ["demo.txt", "lock.txt"])
def test_a_lock_has_hashes_and_no_addresses(root: Path, name: str) -> None:
    text = (root / "requirements" / name).read_text("utf-8")
    assert "://" not in text
    requirements = re.findall(r"^\w.*$", text, re.MULTILINE)
    assert requirements
    assert all(line.endswith("\\") for line in requirements), "a pin without a hash"
    assert text.count("--hash=sha256:") >= len(requirements)


def test_the_locks_agree_and_hold_every_dependency(root: Path) -> None:
    demo, everything = pins(root, "demo.txt"), pins(root, "lock.txt")
    assert demo < everything
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for wanted, locked in (
        (project["dependencies"] + extras["demo"], demo),
        (sum(extras.values(), project["dependencies"]), everything),
    ):
        names = {re.split(r"[^\w-]", line)[0].lower() for line in wanted}
        missing = names - {pin.split("==")[0] for pin in locked}
        assert not missing, f"run make lock: {missing}"

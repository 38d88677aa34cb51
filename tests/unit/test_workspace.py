"""The workspace: images opened once, reopened when replaced, removed for good."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimage as bi
from bigimage.errors import BackendError, InputError, NotFound
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.pyramids import build, noise


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with one image."""
    build(tmp_path / "ws" / "images" / "a", noise((2, 300, 200), "uint8"), id="a")
    return open_workspace(tmp_path / "ws")


def test_an_image_is_opened_once(workspace: Workspace) -> None:
    first = workspace.image("a")
    with ThreadPoolExecutor(4) as pool:
        assert all(image is first for image in pool.map(lambda _: workspace.image("a"), range(20)))
    assert first.id == "a"
    assert workspace.images() == [workspace.record("a")]


def test_a_replaced_image_is_opened_anew(workspace: Workspace, tmp_path: Path) -> None:
    first = workspace.image("a")
    path = workspace.path / "images" / "a" / "zarr.json"
    stat = path.stat()
    text = path.read_text()
    # the number of a freed inode may come back at once: the same file, changed, stands for that
    path.write_text(text.replace('"b1"', '"B1"'))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = workspace.image("a")
    assert second is not first
    assert second.info.bands[0].name == "B1"
    assert second.version != first.version


@pytest.mark.parametrize("image", ["b", "", ".", "..", "../ws", "images/a", "/etc", "a\0", "a" * 5000])
def test_ids_that_name_nothing(workspace: Workspace, image: str) -> None:
    for request in (workspace.image, workspace.record, workspace.remove, workspace.write_unsharded):
        with pytest.raises(NotFound, match="no image"):
            request(image)
    assert workspace.image("a").id == "a"


def test_nothing_is_there_before_the_first_ingest(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "new")
    assert workspace.images() == []
    for request in (workspace.image, workspace.remove, workspace.write_unsharded):
        with pytest.raises(NotFound):
            request("a")
    assert not (tmp_path / "new").exists()


def test_removing_takes_the_pixels_and_the_copy_and_retires_the_id(workspace: Workspace) -> None:
    copy = workspace.write_unsharded("a")
    assert copy.is_dir()
    image = workspace.image("a")
    workspace.remove("a")
    assert not image.path.exists()
    assert not copy.exists()
    assert list((workspace.path / "images").iterdir()) == []
    assert [p.name for p in (workspace.path / "retired").iterdir()] == ["a"]
    with pytest.raises(NotFound):
        workspace.image("a")


def test_what_the_disk_does_not_let_go_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(BackendError, match=r"cannot remove .*: Device or resource busy"):
        workspace.remove("a")
    assert workspace.images() == []


def test_public_names_lead_here(workspace: Workspace) -> None:
    again = bi.open_workspace(str(workspace.path))
    patch = again.image("a").read_index((slice(0, 5), slice(0, 5)))
    assert isinstance(patch, bi.Patch)
    np.testing.assert_array_equal(patch.array, noise((2, 300, 200), "uint8")[:, :5, :5])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bi.nonsense
    for name in bi.__all__:
        assert getattr(bi, name) is not None


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGIMAGE_WORKSPACE", str(tmp_path / "env"))
    assert open_workspace().path == tmp_path / "env"
    assert open_workspace(tmp_path / "given").path == tmp_path / "given"
    assert open_workspace(settings=Settings(workspace=tmp_path / "s")).path == tmp_path / "s"
    (tmp_path / "env").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        open_workspace()

"""Layers follow the annotations in a thread of the server: what changed is painted, and failures are lived through."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

from bigimage.errors import BackendError, Conflict
from bigimage.pyramid.labels import clear, layer_folder
from bigimage.rasterize.layer import read_painted
from bigimage.workspace import Workspace
from tests.drawn import make_images
from tests.painting import SCHEMA
from tilesrv import following
from tilesrv.following import Following


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    made = make_images(tmp_path / "ws")
    made.annotations.set_schema(SCHEMA)
    yield made
    made.close()


def draw(space: Workspace, image: str = "scene", *, at: float = 0.0) -> None:
    box = shapely.box(500_100 + at, 4_999_000, 500_150 + at, 4_999_050)
    if image == "plain":
        box = shapely.box(10 + at, 10, 20 + at, 20)
    space.annotations.add(image, box, label="house")


def shown(space: Workspace, name: str = "semantic", image: str = "scene") -> int | None:
    """Revision that a layer shows."""
    painted = read_painted(space.path / "images" / image, name)
    assert painted is not None
    return painted.revision


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_layers_of_images_that_changed_are_painted(space: Workspace) -> None:
    draw(space)
    draw(space, "plain")
    for image, mode in (("scene", "semantic"), ("scene", "instance"), ("plain", "semantic")):
        space.rasterize(image, mode=mode)
    follower = Following(space)
    follower.paint()
    draw(space, at=200)
    draw(space, at=300)
    follower.paint()
    assert [shown(space), shown(space, "instance"), shown(space, image="plain")] == [3, 3, 1]


def test_what_is_up_to_date_is_left_alone(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(space)
    space.rasterize("scene")
    painted: list[str] = []
    plain = Workspace.rasterize

    def rasterize(self: Workspace, image: str, **facts: Any) -> object:
        painted.append(f"{image}/{facts['layer']}")
        return plain(self, image, **facts)

    monkeypatch.setattr(Workspace, "rasterize", rasterize)
    follower = Following(space)
    follower.paint()
    assert painted == []
    draw(space, at=200)
    follower.paint()
    follower.paint()
    assert painted == ["scene/semantic"]


def test_a_layer_that_another_process_paints_is_tried_again(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(space)
    space.rasterize("scene")
    draw(space, at=200)
    follower, plain, busy = Following(space), Workspace.rasterize, [True]

    def rasterize(self: Workspace, image: str, **facts: Any) -> object:
        if busy.pop():
            raise Conflict("somebody else paints it")
        busy.append(False)
        return plain(self, image, **facts)

    monkeypatch.setattr(Workspace, "rasterize", rasterize)
    follower.paint()
    assert shown(space) == 1
    busy.append(False)
    follower.paint()
    assert shown(space) == 2


def test_a_layer_that_cannot_be_painted_does_not_stop_the_others(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    draw(space)
    for name in ("broken", "whole"):
        space.rasterize("scene", layer=name)
    folder = layer_folder(space.path / "images" / "scene", "broken")
    document = (folder / "painted.json").read_text().replace('"semantic"', '"fuzzy"')
    (folder / "painted.json").write_text(document)
    draw(space, at=200)
    with caplog.at_level(logging.WARNING):
        Following(space).paint()
    assert shown(space, "whole") == 2
    assert "layer broken of scene cannot be painted" in caplog.text


def test_an_image_whose_list_of_layers_is_damaged_does_not_stop_the_others(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    for image in ("plain", "scene"):
        draw(space, image)
        space.rasterize(image)
    (space.path / "images" / "plain" / "labels" / "zarr.json").write_text('{"attributes": ')
    draw(space, "plain", at=20)
    draw(space, at=200)
    with caplog.at_level(logging.WARNING):
        Following(space).paint()
    assert shown(space) == 2
    assert "the layers of plain cannot be told" in caplog.text


def test_a_removed_layer_is_not_painted_anew(space: Workspace) -> None:
    draw(space)
    space.rasterize("scene")
    follower = Following(space)
    follower.paint()
    space.remove_layer("scene", "semantic")
    draw(space, at=200)
    follower.paint()
    assert space.layers("scene") == []
    clear(layer_folder(space.path / "images" / "scene", "semantic"))


def test_the_thread_paints_what_came_before_and_after_it_began(space: Workspace) -> None:
    draw(space)
    space.rasterize("scene")
    draw(space, at=200)
    others = set(threading.enumerate())
    follower = Following(space)
    follower.start()
    try:
        until(lambda: shown(space) == 2)
        draw(space, at=300)
        until(lambda: shown(space) == 3)
    finally:
        follower.stop()
    assert "following" not in {thread.name for thread in set(threading.enumerate()) - others}


def test_the_thread_outlives_a_database_that_fails(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(space)
    space.rasterize("scene")
    draw(space, at=200)
    monkeypatch.setattr(following, "LOOK", 0.01)
    plain, failures = Following.paint, [1, 2]

    def paint(self: Following) -> None:
        if failures:
            failures.pop()
            raise BackendError("the database is gone")
        plain(self)

    monkeypatch.setattr(Following, "paint", paint)
    follower = Following(space)
    follower.start()
    try:
        until(lambda: shown(space) == 2)
    finally:
        follower.stop()
    assert failures == []


def test_a_workspace_without_layers_opens_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_images(tmp_path / "ws")
    monkeypatch.setattr(following, "LOOK", 0.01)
    follower = Following(space)
    follower.start()
    time.sleep(0.1)
    follower.stop()
    assert not list((tmp_path / "ws").glob("*.db"))
    space.close()

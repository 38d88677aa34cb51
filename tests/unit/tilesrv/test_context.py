"""Images are kept open, in bounded number, and only while they are there."""

from types import SimpleNamespace
from typing import Any

import pytest

from bigimage.errors import NotFound
from tilesrv import context
from tilesrv.context import Gallery


class Shelf:
    """A workspace that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.images: dict[str, Any] = {
            name: SimpleNamespace(info=SimpleNamespace(id=name), version="1") for name in "abcd"
        }

    def image(self, name: str) -> Any:
        self.asked.append(name)
        if name not in self.images:
            raise NotFound(name)
        return self.images[name]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_an_image_seen_a_moment_ago_is_not_looked_up(shelf: Shelf) -> None:
    gallery = Gallery(shelf)  # type: ignore[arg-type]
    assert gallery.peek("a") is None
    served = gallery.load("a")
    assert gallery.peek("a") is served
    assert shelf.asked == ["a"]


def test_an_image_is_looked_up_again_when_its_sight_is_old(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = Gallery(shelf)  # type: ignore[arg-type]
    served = gallery.load("a")
    monkeypatch.setattr(context, "FRESH", 0.0)
    assert gallery.peek("a") is None
    assert gallery.has("a")
    assert gallery.load("a") is served


def test_a_replaced_image_starts_anew(shelf: Shelf) -> None:
    gallery = Gallery(shelf)  # type: ignore[arg-type]
    served = gallery.load("a")
    assert served.once("key", lambda: 1) == served.once("key", lambda: 2) == 1
    shelf.images["a"] = SimpleNamespace(info=SimpleNamespace(id="a"), version="2")
    again = gallery.load("a")
    assert again is not served
    assert again.tag == "a:2"
    assert again.once("key", lambda: 3) == 3


def test_a_removed_image_is_forgotten(shelf: Shelf) -> None:
    gallery = Gallery(shelf)  # type: ignore[arg-type]
    gallery.load("a")
    del shelf.images["a"]
    with pytest.raises(NotFound):
        gallery.load("a")
    assert not gallery.has("a")


def test_few_images_are_held_open(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "OPEN", 2)
    gallery = Gallery(shelf)  # type: ignore[arg-type]
    for name in "abca":
        gallery.load(name)
    assert [name for name in "abcd" if gallery.has(name)] == ["a", "c"]

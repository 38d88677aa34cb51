"""Scenes on screen that tests draw on, and what is stored of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from fixtures.phantom import ct_series

SIZE = {"width": 1280, "height": 800}
EXACT = 0.01
"""Pixels by which stored coordinates may differ from what was drawn."""


def make_workspace(folder: Path) -> Path:
    """A workspace with a scene in UTM and a scan, and two labels."""
    ws = bi.open_workspace(folder / "ws")
    for name in ("field", "shared", "crowd"):
        scene(folder / f"{name}.tif", size=(900, 1200), bands=3, seed=3)
        ws.ingest(folder / f"{name}.tif")
    labels = (Label(name="pond", value=1, color="#3cb44b"), Label(name="heart", value=2, color="#e6194b"))
    ws.annotations.set_schema(Schema(labels=labels), author="test")
    ct_series(folder / "ct", slices=40)
    ws.ingest(folder / "ct", name="ct")
    return folder / "ws"


@dataclass
class Scene:
    """A scene on screen, at a place and a size that are known."""

    page: Any
    center: tuple[float, float]
    resolution: float

    @classmethod
    def open(cls, page: Any, address: str, image: str, *, center: tuple[float, float], resolution: float) -> "Scene":
        page.goto(f"{address}/#/images/{image}?at={center[0]},{center[1]},{resolution}")
        page.wait_for_selector(".map canvas")
        page.wait_for_selector(".saved:has-text('Saved')")
        page.wait_for_load_state("load")
        page.wait_for_timeout(500)
        return cls(page, center, resolution)

    def label(self, name: str) -> None:
        """Draw with a label, which is added where it is missing."""
        if not self.page.locator(".label-name", has_text=name).count():
            self.page.get_by_label("New label").fill(name)
            self.page.keyboard.press("Enter")
        self.page.locator(".label-name", has_text=name).click()
        self.page.wait_for_selector(f".label-name[aria-pressed=true]:has-text('{name}')")

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row under a place of the map's own, counted from its middle in screen pixels."""
        return self.center[0] + x * self.resolution, self.center[1] + y * self.resolution

    def mouse(self, x: float, y: float) -> tuple[float, float]:
        """Place of the page from one counted from the map's middle."""
        box = self.page.locator(".map").bounding_box()
        return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y

    def click(self, *places: tuple[float, float]) -> None:
        for place in places:
            x, y = self.mouse(*place)
            self.page.mouse.move(x, y)
            self.page.mouse.click(x, y)
            self.page.wait_for_timeout(60)

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        self.page.mouse.move(*self.mouse(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.mouse(*stop), steps=5)
        self.page.mouse.up()

    def tool(self, key: str) -> None:
        self.page.evaluate("document.activeElement?.blur()")
        self.page.keyboard.press(key)

    def saved(self) -> None:
        """Wait until everything was stored."""
        self.page.wait_for_function("() => document.querySelector('.saved')?.dataset.waiting === '0'")


def stored(page: Any, address: str, image: str) -> list[dict[str, Any]]:
    """Annotations of an image in its own frame."""
    return page.request.get(f"{address}/images/{image}/annotations?crs=native").json()["features"]


def pixels(made: Path, image: str, world: Any) -> np.ndarray:
    """Columns and rows of places in the image's frame."""
    grid = bi.open_workspace(made).image(image).info.grid
    return np.asarray(grid.to_index(np.asarray(world, dtype=float)))[..., ::-1]


def clear(page: Any, address: str, image: str) -> None:
    """Take every annotation away."""
    for feature in stored(page, address, image):
        page.request.delete(f"{address}/annotations/{feature['id']}", headers={"If-Match": "*"})

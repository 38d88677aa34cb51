"""Scenes and scans on screen that tests draw on, and what is stored of it."""

import io
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

import bigimage as bi
from bigimage.geometry.planes import PlaneName, PlaneView
from bigimage.model.labels import Label, Schema, Skeleton
from fixtures.make import scene
from fixtures.phantom import ct_series

SIZE = {"width": 1280, "height": 800}
"""Pages of usual size."""
EXACT = 0.01
"""Pixels by which stored coordinates may differ from what was drawn."""


def make_workspace(folder: Path) -> Path:
    """A workspace with a scene in UTM and a scan, and two labels."""
    ws = bi.open_workspace(folder / "ws")
    for name in ("field", "shared", "crowd"):
        scene(folder / f"{name}.tif", size=(900, 1200), bands=3, seed=3)
        ws.ingest(folder / f"{name}.tif")
    skeleton = Skeleton(points=("bow", "mast", "stern"), edges=((0, 1), (1, 2)))
    labels = (
        Label(name="pond", value=1, color="#3cb44b"),
        Label(name="heart", value=2, color="#e6194b"),
        Label(name="ship", value=3, color="#ffe119", shapes=("keypoints",), skeleton=skeleton),
    )
    ws.annotations.set_schema(Schema(labels=labels), author="test")
    ct_series(folder / "ct", slices=32, size=160, spacing=(3.0, 2.2, 2.0))
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
        page.wait_for_selector(".map[aria-busy=false]")
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


@dataclass
class Scan:
    """The planes of a scan on screen, as large as they fit."""

    page: Any
    made: Path

    @classmethod
    def open(cls, page: Any, address: str, made: Path, *, label: str) -> "Scan":
        page.goto(f"{address}/#/images/ct")
        page.wait_for_selector("[data-plane=axial][data-shown]")
        page.wait_for_selector(".saved:has-text('Saved')")
        page.locator(".label-name", has_text=label).click()
        page.wait_for_selector(f".label-name[aria-pressed=true]:has-text('{label}')")
        return cls(page, made)

    def tool(self, key: str) -> None:
        self.page.evaluate("document.activeElement?.blur()")
        self.page.keyboard.press(key)

    def saved(self) -> None:
        """Wait until everything was stored."""
        self.page.wait_for_function("() => document.querySelector('.saved')?.dataset.waiting === '0'")

    @cached_property
    def grid(self) -> bi.Grid:
        """Grid of the scan."""
        with closing(bi.open_workspace(self.made)) as ws:
            return ws.image("ct").info.grid

    def shown(self, name: PlaneName) -> bi.Grid:
        """Grid (1, rows, columns) of the slice that is shown."""
        index = int(self.page.locator(f"[data-plane={name}]").get_attribute("data-shown"))
        return PlaneView.of(self.grid, name).grid_of(index)

    def zoom(self, name: PlaneName) -> float:
        """Screen pixels for each mm."""
        box, plane = self.page.locator(f"[data-plane={name}] canvas").bounding_box(), self.shown(name)
        wide, high = plane.shape[2] * plane.spacing[2], plane.shape[1] * plane.spacing[1]
        return min(box["width"] / wide, box["height"] / high) * 0.96

    def places(self, name: PlaneName, *places: tuple[float, float]) -> tuple[list[tuple[int, int]], np.ndarray]:
        """Whole pixels of the page at fractions of a plane's canvas, and where they lie in the patient, mm."""
        box, plane = self.page.locator(f"[data-plane={name}] canvas").bounding_box(), self.shown(name)
        (rows, columns), zoom = plane.shape[1:], self.zoom(name)
        on_page = [(round(box["x"] + box["width"] * x), round(box["y"] + box["height"] * y)) for x, y in places]
        index = [
            (
                0.5,
                rows / 2 + (y - box["y"] - box["height"] / 2) / (plane.spacing[1] * zoom),
                columns / 2 + (x - box["x"] - box["width"] / 2) / (plane.spacing[2] * zoom),
            )
            for x, y in on_page
        ]
        return on_page, plane.to_world(index)

    def click(self, *places: tuple[int, int]) -> None:
        for x, y in places:
            self.page.mouse.move(x, y)
            self.page.mouse.click(x, y)

    def drag(self, *places: tuple[int, int]) -> None:
        """Press at the first place, let go at the last."""
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def empty(self, address: str) -> None:
        """Take everything away, and wait until the page knows."""
        clear(self.page, address, "ct")
        self.page.wait_for_function("() => !document.querySelector('.label-count')")

    def painted(self, value: int) -> np.ndarray:
        """Voxels (z, y, x) that a mask layer of what is stored now has of a class."""
        name = f"check-{uuid4().hex}"  # the server keeps layers up to date, which nobody else may write meanwhile
        with closing(bi.open_workspace(self.made)) as ws:
            box = tuple(slice(0, n) for n in self.grid.shape)
            pixels = ws.rasterize("ct", layer=name).pyramid.read_index(box).array[0]
            ws.remove_layer("ct", name)
        return np.asarray(pixels) == value


def stored(page: Any, address: str, image: str) -> list[dict[str, Any]]:
    """Annotations of an image in its own frame."""
    return page.request.get(f"{address}/images/{image}/annotations?crs=native").json()["features"]


def pixels(made: Path, image: str, world: Any) -> np.ndarray:
    """Columns and rows of places in the image's frame."""
    grid = bi.open_workspace(made).image(image).info.grid
    return np.asarray(grid.to_index(np.asarray(world, dtype=float)))[..., ::-1]


def live_mask(page: Any, address: str, image: str) -> np.ndarray:
    """Values (y, x) of the annotations painted on the fly at the finest level."""
    tiles = page.request.get(f"{address}/images/{image}/tiles/native").json()
    matrix = tiles["tileMatrixSet"]["tileMatrices"][-1]
    rows, columns = tiles["levels"][-1]["shape"]
    out = np.zeros((matrix["matrixHeight"] * 256, matrix["matrixWidth"] * 256), np.int64)
    for y in range(matrix["matrixHeight"]):
        for x in range(matrix["matrixWidth"]):
            url = f"{address}/images/{image}/live-mask/tiles/native/{matrix['id']}/{x}/{y}.npy"
            tile = np.load(io.BytesIO(page.request.get(url).body()))
            out[y * 256 : (y + 1) * 256, x * 256 : (x + 1) * 256] = tile[0]
    return out[:rows, :columns]


def clear(page: Any, address: str, image: str) -> None:
    """Take every annotation away."""
    for feature in stored(page, address, image):
        page.request.delete(f"{address}/annotations/{feature['id']}", headers={"If-Match": "*"})

"""Mask layers in the viewer: shown, faded, and class by class, on scenes and on scans."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from fixtures.phantom import ct_series
from tests.browser.conftest import server
from tests.browser.drawing import Scene

pytestmark = pytest.mark.usefixtures("wide")
COLOURS = {"pond": (0, 0, 255), "roof": (255, 0, 0)}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Iterator[str]:
    """A server on a scene and a scan, each with a painted layer of two classes, and a third label that nobody used."""
    folder = tmp_path_factory.mktemp("masks")
    ws = bi.open_workspace(folder / "ws")
    scene(folder / "field.tif", size=(400, 600), bands=3, seed=3)
    ws.ingest(folder / "field.tif")
    ct_series(folder / "ct", slices=20, size=96)
    ws.ingest(folder / "ct", name="ct")
    labels = [Label(name=n, value=k, color=f"#{bytes(c).hex()}") for k, (n, c) in enumerate(COLOURS.items(), 1)]
    ws.annotations.set_schema(Schema(labels=(*labels, Label(name="unused", value=3))), author="test")
    with server(folder / "ws") as found:
        yield found


def draw(page: Any, address: str, image: str, label: str, box: list[int]) -> None:
    """Store a mask that fills a box: x0, y0, x1, y1[, z0, z1]."""
    size = int(np.prod([b - a for a, b in zip(box[:2] + box[4:5], box[2:4] + box[5:6], strict=True)]))
    shape = {"type": "mask", "box": box, "order": "C", "counts": [0, size]}
    feature = {"type": "Feature", "geometry": None, "properties": {"label": label}, "shape": shape}
    assert page.request.post(f"{address}/images/{image}/annotations", data=feature).status == 201


def seen(page: Any, selector: str) -> dict[str, float]:
    """Share of what is on screen that is mostly of each class's colour."""
    shot = page.locator(selector).screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
    return {n: float((np.abs(pixels - c).max(axis=2) < 12).mean()) for n, c in COLOURS.items()}


def wait_for(page: Any, selector: str, **due: bool) -> None:
    """Wait until classes are seen, or are not."""
    for _ in range(150):
        if all((share > 0.004) == due[name] for name, share in seen(page, selector).items()):
            return
        page.wait_for_timeout(200)
    raise AssertionError((seen(page, selector), due))


def test_classes_of_a_scene_are_shown_one_by_one(page: Any, address: str) -> None:
    draw(page, address, "field", "pond", [50, 50, 250, 150])
    draw(page, address, "field", "roof", [300, 200, 500, 350])
    Scene.open(page, address, "field", center=(300, 200), resolution=1)
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="Paint mask").click()
    page.wait_for_selector(".layer:has-text('semantic')", timeout=120_000)
    page.locator("summary", has_text="Masks").click()
    for label in COLOURS:
        page.get_by_label(f"Hide {label}", exact=True).click()
    page.locator("summary", has_text="Masks").click()
    page.get_by_label("Opacity of semantic").fill("1")
    wait_for(page, ".map", pond=True, roof=True)
    assert page.locator(".legend .class").all_inner_texts() == ["pond", "roof"]  # those that occur
    page.locator(".legend .class", has_text="pond").click()
    wait_for(page, ".map", pond=False, roof=True)
    page.locator(".legend .class", has_text="roof").click()
    wait_for(page, ".map", pond=False, roof=False)
    page.locator(".legend .class", has_text="pond").click()
    wait_for(page, ".map", pond=True, roof=False)
    page.locator(".layer", has_text="semantic").get_by_role("button").first.click()
    wait_for(page, ".map", pond=False, roof=False)
    # as annotated now: what is hidden among the labels is left out, too
    page.get_by_label("Show roof", exact=True).click()
    page.get_by_role("button", name="As annotated now").click()
    page.get_by_label("Opacity of As annotated now").fill("1")
    page.locator(".legend .class", has_text="roof").click()
    wait_for(page, ".map", pond=False, roof=True)
    assert not page.errors


def test_classes_of_a_scan_are_shown_one_by_one(page: Any, address: str) -> None:
    draw(page, address, "ct", "pond", [20, 20, 50, 50, 5, 15])
    draw(page, address, "ct", "roof", [55, 55, 80, 80, 5, 15])
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    page.wait_for_selector(".label-count")
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="Paint mask").click()
    page.wait_for_selector(".layer:has-text('semantic')", timeout=120_000)
    for label in COLOURS:
        page.get_by_label(f"Hide {label}", exact=True).click()
    page.get_by_label("Opacity of semantic").fill("1")
    wait_for(page, "[data-plane=axial] canvas", pond=True, roof=True)
    page.locator(".legend .class", has_text="roof").click()
    wait_for(page, "[data-plane=axial] canvas", pond=True, roof=False)
    assert not page.errors

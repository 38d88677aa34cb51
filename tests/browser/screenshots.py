"""The viewer's pictures in the documents: `python -m tests.browser.screenshots docs/assets`."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from fixtures.phantom import ct_series
from tests.browser.conftest import FLAGS, server

SIZE = {"width": 1200, "height": 750}
LABELS = (
    Label(name="field", value=1, color="#f2b84b"),
    Label(name="forest", value=2, color="#4fae5a"),
    Label(name="heart", value=3, color="#e6607a"),
)


def prepare(folder: Path) -> None:
    """A workspace with a scene and a scan."""
    ws = bi.open_workspace(folder / "ws")
    ws.annotations.set_schema(Schema(labels=LABELS), author="guide")
    scene(folder / "fields.tif", size=(3000, 4000), bands=4, dtype="uint16", seed=11)
    ws.ingest(folder / "fields.tif")
    ct_series(folder / "ct", slices=80)
    ws.ingest(folder / "ct", name="chest")


def clicks(page: Any, *places: tuple[float, float]) -> None:
    """Click at places of the window."""
    for x, y in places:
        page.mouse.move(x, y)
        page.mouse.click(x, y)
        page.wait_for_timeout(80)


def saved(page: Any) -> None:
    """Wait until everything was stored and drawn."""
    page.wait_for_function("() => document.querySelector('.saved')?.dataset.waiting === '0'")
    page.wait_for_load_state("load")
    page.wait_for_timeout(900)


def annotate_scene(page: Any, address: str) -> None:
    """Some shapes of each kind."""
    page.goto(f"{address}/#/images/fields?at=2000,1500,2")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.keyboard.press("1")
    page.keyboard.press("p")
    clicks(page, (180, 160), (360, 130), (420, 280), (300, 340), (170, 290))
    page.keyboard.press("Enter")
    page.keyboard.press("r")
    clicks(page, (520, 140), (700, 190), (680, 270))
    page.keyboard.press("2")
    page.keyboard.press("e")
    clicks(page, (480, 360), (700, 500))
    page.keyboard.press("d")
    page.mouse.move(180, 480)
    page.mouse.down()
    for x, y in ((230, 520), (300, 500), (340, 560), (260, 600)):
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    page.keyboard.press("v")
    clicks(page, (260, 240))
    saved(page)


def annotate_scan(page: Any, address: str) -> None:
    """A contour on some slices."""
    page.goto(f"{address}/#/images/chest")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.keyboard.press("3")
    page.keyboard.press("p")
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    places = ((0.48, 0.4), (0.56, 0.36), (0.64, 0.42), (0.66, 0.5), (0.58, 0.56), (0.5, 0.5))
    clicks(page, *((box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in places))
    page.keyboard.press("Enter")
    for key in ("k",) * 8 + ("j",) * 8:
        page.keyboard.press(key)
        page.wait_for_timeout(150)
    page.keyboard.press("v")
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="As annotated now").click()
    page.wait_for_selector(".legend .class")
    saved(page)
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="As annotated now").scroll_into_view_if_needed()


def show_masks(page: Any, address: str) -> None:
    """The annotations as a mask without one of its classes, and what happened so far."""
    page.goto(f"{address}/#/images/fields?at=2000,1500,2")
    page.wait_for_selector(".saved:has-text('Saved')")
    for name in ("Labels", "Selection", "Image"):
        page.locator("summary", has_text=name).first.click()
    for name in ("Masks", "History"):
        page.locator("summary", has_text=name).first.click()
    page.get_by_role("button", name="Paint mask").click()
    page.wait_for_selector(".layer:has-text('semantic')", timeout=120_000)
    page.get_by_label("Opacity of semantic").fill("0.75")
    page.locator(".legend .class", has_text="forest").click()
    page.keyboard.press("q")
    saved(page)
    page.wait_for_timeout(1500)


def measure(page: Any, address: str) -> None:
    """An ellipse on a scan, with the values in it."""
    page.goto(f"{address}/#/images/chest")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.keyboard.press("m")
    page.locator(".measuring").get_by_role("button", name="Ellipse").click()
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.38)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.63, box["y"] + box["height"] * 0.52, steps=5)
    page.mouse.up()
    saved(page)


def split(page: Any, address: str) -> None:
    """Regions, some of them claimed and done."""
    page.goto(f"{address}/#/images/fields?at=2000,1500,5")
    page.wait_for_selector(".saved:has-text('Saved')")
    for name in ("Labels", "Selection", "Image"):
        page.locator("summary", has_text=name).first.click()
    page.locator("summary", has_text="Regions").click()
    page.get_by_role("button", name="Split into regions").click()
    page.wait_for_selector(".regions li")
    rows = page.locator(".regions li")
    for k in range(4):
        rows.nth(k).get_by_role("button", name="Claim").click()
        rows.nth(k).get_by_role("button", name="Release").wait_for()
    for k in range(2):
        rows.nth(k).get_by_role("button", name="Done").click()
        page.wait_for_selector(f"text={k + 1} of 12 done")
    saved(page)


def export(page: Any, address: str) -> None:
    """What COCO cannot hold of the scene."""
    page.goto(f"{address}/#/images/fields?at=2000,1500,2")
    page.wait_for_selector(".saved:has-text('Saved')")
    saved(page)
    page.get_by_label("Export and import").click()
    page.get_by_label("Format").select_option("coco")
    page.get_by_role("button", name="What would be lost?").click()
    page.wait_for_selector(".report li")
    page.wait_for_timeout(300)


def disagree(mine: Any, theirs: Any, address: str) -> None:
    """Two people change one polygon; one of them had no connection meanwhile."""
    for page in (mine, theirs):
        page.goto(f"{address}/#/images/fields?at=2000,1500,2")
        page.wait_for_selector(".saved:has-text('Saved')")
        saved(page)
        clicks(page, (260, 240))
        page.wait_for_selector(".facts:has-text('polygon')", state="attached")
    mine.context.set_offline(True)
    for page, to in ((mine, (240, 400)), (theirs, (360, 420))):
        page.mouse.move(300, 340)
        page.mouse.down()
        page.mouse.move(*to, steps=6)
        page.mouse.up()
    mine.wait_for_selector(".saved.away")
    saved(theirs)
    mine.context.set_offline(False)
    mine.wait_for_selector("dialog[aria-label=Conflict]", timeout=60_000)
    mine.wait_for_timeout(500)


def take(page: Any, folder: Path, name: str) -> None:
    """A picture of the window."""
    page.screenshot(path=str(folder / f"viewer-{name}.jpg"), type="jpeg", quality=72)


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        prepare(Path(made))
        with server(Path(made) / "ws") as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_context(viewport=SIZE, color_scheme="dark").new_page()
            annotate_scene(page, address)
            take(page, folder, "scene")
            annotate_scan(page, address)
            take(page, folder, "volume")
            measure(page, address)
            take(page, folder, "measure")
            light = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
            light.goto(f"{address}/#/images/fields?at=2000,1500,2&bands=4&colormap=viridis")
            saved(light)
            light.keyboard.press("?")
            light.wait_for_timeout(300)
            take(light, folder, "keys")
            masks = browser.new_context(viewport=SIZE, color_scheme="dark").new_page()
            show_masks(masks, address)
            take(masks, folder, "masks")
            regions = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
            split(regions, address)
            take(regions, folder, "regions")
            export(regions, address)
            take(regions, folder, "export")
            others = browser.new_context(viewport=SIZE, color_scheme="dark").new_page()
            disagree(masks, others, address)
            take(masks, folder, "conflict")
            page.goto(f"{address}/#/")
            page.wait_for_function(
                "() => document.images.length > 2 && [...document.images].every((one) => one.complete)"
            )
            take(page, folder, "images")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

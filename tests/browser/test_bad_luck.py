"""Bad luck in the viewer: it says what happened, and stays usable."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from tests.browser.conftest import listen, server
from tests.browser.drawing import SIZE, Scene, stored

pytestmark = pytest.mark.usefixtures("wide")

HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Path:
    """A workspace with a scene, a scan of one slice, and labels whose names are markup."""
    folder = tmp_path_factory.mktemp("luck")
    ws = bi.open_workspace(folder / "ws")
    scene(folder / "field.tif", size=(900, 1200), bands=3, seed=3)
    ws.ingest(folder / "field.tif")
    Image.fromarray(np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)).save(folder / "plain.png")
    ws.ingest(folder / "plain.png")
    slice_ = np.arange(40 * 50, dtype=np.int16).reshape(40, 50, 1)
    nibabel.save(nibabel.Nifti1Image(slice_, np.diag([-1.0, -1.0, 3.0, 1.0])), folder / "single.nii")
    ws.ingest(folder / "single.nii")
    labels = (
        Label(name=HOSTILE, value=1, definition=HOSTILE),
        Label(name="organ", value=2, shapes=("contours",)),
        Label(name="roof", value=3, shapes=("polygon",)),
    )
    ws.annotations.set_schema(Schema(labels=labels), author="test")
    ws.close()
    return folder / "ws"


@pytest.fixture(scope="module")
def address(made: Path) -> Iterator[str]:
    """A server on that workspace."""
    with server(made) as found:
        yield found


def test_a_tile_that_fails_is_told_and_asked_for_again(page: Any, address: str) -> None:
    failing = {"now": True}

    def answer(route: Any) -> None:
        if not failing["now"]:
            return route.continue_()
        problem = '{"title": "Damaged", "status": 500, "detail": "shard c/0/0 does not match its checksum"}'
        return route.fulfill(status=500, content_type="application/problem+json", body=problem)

    page.route("**/tiles/native/*/*/*.png*", answer)
    Scene.open(page, address, "field", center=(600, 450), resolution=1)
    page.wait_for_selector(".toast.bad:has-text('does not match its checksum')")
    page.keyboard.press("?")
    page.wait_for_selector("dialog kbd")
    page.keyboard.press("Escape")
    failing["now"] = False
    page.wait_for_function(
        """() => {
          const small = new OffscreenCanvas(9, 9).getContext("2d");
          small.drawImage(document.querySelector(".map canvas"), 0, 0, 9, 9);
          return small.getImageData(4, 4, 1, 1).data[3] > 250;
        }"""
    )


def test_a_token_that_expired_is_asked_for_again(page: Any, address: str) -> None:
    Scene.open(page, address, "field", center=(600, 450), resolution=1)
    problem = '{"title": "Unauthorized", "status": 401, "detail": "the token has expired"}'
    refused = {"status": 401, "content_type": "application/problem+json", "body": problem}
    page.route("**/statistics*", lambda route: route.fulfill(**refused))
    page.keyboard.press("s")
    page.wait_for_selector("dialog.who input[name=token]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".map canvas")


def test_a_scan_of_one_slice_is_shown(page: Any, address: str) -> None:
    page.goto(f"{address}/#/images/single")
    for plane in ("axial", "coronal", "sagittal"):
        page.wait_for_selector(f"[data-plane={plane}][data-shown]")
    page.locator("[data-plane=axial] canvas").hover()
    page.mouse.wheel(0, 200)
    page.keyboard.press("ArrowUp")
    assert page.locator("[data-plane=axial] .plane-caption").inner_text() == "1 / 1"
    assert page.locator(".plane-error:visible").count() == 0
    assert not page.errors


def test_a_slice_that_fails_is_told_and_asked_for_again(page: Any, address: str) -> None:
    failing = {"now": True}

    def answer(route: Any) -> None:
        if not failing["now"]:
            return route.continue_()
        problem = '{"title": "Damaged", "status": 500, "detail": "shard c/0/0 does not match its checksum"}'
        return route.fulfill(status=500, content_type="application/problem+json", body=problem)

    page.route("**/planes/coronal/*.npy*", answer)
    page.goto(f"{address}/#/images/single")
    page.wait_for_selector("[data-plane=coronal] .plane-error:has-text('does not match its checksum')")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    failing["now"] = False
    page.wait_for_selector("[data-plane=coronal][data-shown]")
    page.wait_for_selector("[data-plane=coronal] .plane-error", state="hidden")


def test_names_that_are_markup_are_shown_as_text(page: Any, address: str) -> None:
    view = Scene.open(page, address, "plain", center=(40, 30), resolution=0.2)
    page.locator(".label-name").first.click()
    view.tool("b")
    view.click((-60, -60), (60, 60))
    view.saved()
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="As annotated now").click()
    page.wait_for_selector(".legend .class")
    for shown in (".label-name", ".legend .class"):
        assert HOSTILE in page.locator(shown).first.inner_text()
    page.locator("summary", has_text="History").click()
    page.wait_for_selector(".revisions li")
    assert page.evaluate("() => window.broken ?? null") is None
    assert page.locator("img[src=x]").count() == 0
    assert not page.errors


def test_only_labels_that_fit_the_image_are_offered(page: Any, address: str) -> None:
    Scene.open(page, address, "field", center=(600, 450), resolution=1)
    assert page.locator(".label-name:has-text('roof')").count() == 1
    assert page.locator(".label-name:has-text('organ')").count() == 0
    page.goto(f"{address}/#/images/single")
    page.wait_for_selector(".label-name:has-text('organ')")
    assert page.locator(".label-name:has-text('roof')").count() == 0
    page.get_by_label("New label").fill("roof")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast.bad:has-text('cannot hold')")


def test_a_schema_of_fifty_megabytes_is_worked_with(browser: Any, viewer: Path, tmp_path: Path) -> None:
    ws = bi.open_workspace(tmp_path / "ws")
    Image.fromarray(np.full((60, 80), 9, dtype=np.uint8)).save(tmp_path / "plain.png")
    ws.ingest(tmp_path / "plain.png")
    text = "what is meant by it, told at length " * 70
    labels = tuple(Label(name=f"kind {k:05d}", value=k + 1, definition=text) for k in range(20_000))
    ws.annotations.set_schema(Schema(labels=labels), author="test")
    ws.close()
    with server(tmp_path / "ws") as address:
        page = listen(browser.new_context(viewport=SIZE).new_page())
        page.goto(f"{address}/#/images/plain")
        page.wait_for_selector(".label-name >> nth=0", timeout=60_000)
        page.keyboard.press("2")
        page.wait_for_selector(".label-name[aria-pressed=true]:has-text('kind 00001')")
        page.keyboard.press("?")
        page.wait_for_selector("dialog kbd")
        assert page.locator(".label").count() < 200
        page.keyboard.press("Escape")
        # what is selected is offered some of them, and that in hand
        view = Scene.open(page, address, "plain", center=(40, 30), resolution=0.2)
        view.tool("b")
        view.click((-60, -60), (60, 60))
        view.saved()
        view.tool("v")
        view.click((0, 0))
        page.wait_for_selector("select[aria-label=Label]")
        assert page.locator("select[aria-label=Label] option").count() < 200
        page.keyboard.press("/")
        page.keyboard.type("kind 15555")
        page.keyboard.press("Enter")
        page.locator("select[aria-label=Label]").select_option("kind 15555")
        page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'")
        (feature,) = stored(page, address, "plain")
        assert feature["properties"]["label"] == "kind 15555"
        assert not page.errors
        page.context.close()

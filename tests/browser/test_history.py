"""Looking back in the viewer: who changed what, how it was, and going back to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from tests.browser.conftest import server
from tests.browser.drawing import SIZE, Scene, stored


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Iterator[str]:
    """A server on a workspace with a scene."""
    folder = tmp_path_factory.mktemp("history")
    ws = bi.open_workspace(folder / "ws")
    scene(folder / "field.tif", size=(900, 1200), bands=3, seed=3)
    ws.ingest(folder / "field.tif")
    ws.annotations.set_schema(Schema(labels=(Label(name="pond", value=1, color="#3cb44b"),)), author="test")
    ws.close()
    with server(folder / "ws") as found:
        yield found


def outlines(page: Any) -> int:
    """Annotations on screen, by their number in the list of labels."""
    told = page.locator(".label-count")
    return int(told.inner_text()) if told.count() else 0


def test_the_past_is_stepped_through_and_gone_back_to(page: Any, address: str) -> None:
    page.set_viewport_size(SIZE)
    view = Scene.open(page, address, "field", center=(600, 450), resolution=1)
    for x in (-200, 0, 200):
        view.tool("b")
        view.click((x, -50), (x + 90, 40))
        view.saved()
    page.locator("summary", has_text="History").click()
    page.wait_for_selector(".revisions li:nth-child(3)")
    assert "1 added" in page.locator(".revisions li").first.inner_text()
    assert page.locator(".revisions strong").all_inner_texts() == ["3", "2", "1"]
    page.locator(".revisions button").nth(1).click()
    page.wait_for_selector(".section:has-text('As after revision 2')")
    assert outlines(page) == 2
    # nothing is changed while one looks back
    view.tool("b")
    view.click((-300, 100), (-250, 150))
    page.wait_for_selector(".toast:has-text('past')")
    assert len(stored(page, address, "field")) == 3
    page.get_by_role("button", name="Back to now").click()
    page.wait_for_selector(".section:has-text('Now: revision 3')")
    assert outlines(page) == 3
    page.get_by_label("Revision", exact=True).fill("1")
    page.wait_for_selector(".section:has-text('As after revision 1')")
    assert outlines(page) == 1
    page.get_by_role("button", name="Make it so again").click()
    page.wait_for_selector(".section:has-text('Now: revision 4')")
    assert "2 removed" in page.locator(".revisions li").first.inner_text()
    assert len(stored(page, address, "field")) == 1
    page.wait_for_function("() => document.querySelector('.label-count')?.textContent === '1'")
    assert not page.errors

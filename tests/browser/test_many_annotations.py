"""Images with more annotations than are loaded: what is on screen stays while more comes; the past, part by part."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image

import bigimage as bi
from bigimage.model.shape import Polygon
from fixtures.make import scene
from tests.browser.conftest import server
from tests.browser.drawing import Scene

pytestmark = pytest.mark.usefixtures("wide")
BLUE = (0, 0, 255)
SIDE, APART = 12, 20


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Iterator[str]:
    """A server on a scene with 50 rows of 60 squares, which was empty at its first revision but for one."""
    folder = tmp_path_factory.mktemp("many")
    scene(folder / "field.tif", size=(1000, 1200), bands=3, seed=3)
    ws = bi.open_workspace(folder / "ws")
    grid = ws.ingest(folder / "field.tif")[0].info.grid
    ws.annotations.set_schema({"labels": [{"name": "plot", "value": 1, "color": "#0000ff"}]})
    corners = np.array([(0, 0), (0, SIDE), (SIDE, SIDE), (SIDE, 0)])
    places = [np.array((row, column)) * APART + 4 for row in range(50) for column in range(60)]
    plots = [Polygon(shapely.Polygon(grid.to_world(place + corners))) for place in places]
    ws.annotations.add("field", plots[0], label="plot")
    ws.annotations.add("field", *plots[1:], label="plot")
    with server(folder / "ws") as found:
        yield found


def blue(page: Any) -> float:
    """Share of the map that is drawn in the label's colour."""
    shot = page.locator(".map").screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
    return float((np.abs(pixels - BLUE).max(axis=2) < 30).mean())


def until_blue(page: Any, *, low: float, high: float = 1.0) -> float:
    """Wait until as much of the map is blue."""
    for _ in range(150):
        share = blue(page)
        if low <= share <= high:
            return share
        page.wait_for_timeout(200)
    raise AssertionError((share, low, high))


def test_annotations_stay_on_screen_while_they_are_loaded_anew(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600, 500), resolution=1)
    full = until_blue(page, low=0.05)
    held: list[Any] = []
    page.route("**/*.mvt*", lambda route: held.append(route))
    view.tool("p")
    view.click((-300, -250), (-200, -250), (-200, -150))
    page.keyboard.press("Enter")
    view.saved()
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    assert held
    assert blue(page) > 0.9 * full
    for route in held:
        route.continue_()
    page.unroute("**/*.mvt*")
    page.wait_for_load_state("load")
    assert until_blue(page, low=0.9 * full) > 0
    assert not page.errors


def test_the_past_of_many_annotations_is_seen_in_the_window(page: Any, address: str) -> None:
    Scene.open(page, address, "field", center=(600, 500), resolution=1)
    full = until_blue(page, low=0.05)
    page.locator("summary", has_text="History").click()
    page.wait_for_selector(".revisions li:has-text('2,999 added')")
    page.locator(".revisions button", has_text="1 added").last.click()
    page.wait_for_selector(".section:has-text('As after revision 1')")
    until_blue(page, low=0.0, high=0.01)
    page.get_by_role("button", name="Back to now").click()
    until_blue(page, low=0.9 * full)
    assert not page.errors

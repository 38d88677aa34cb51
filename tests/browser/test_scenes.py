"""What a newcomer meets on scenes: no label yet, dragging, other buttons, places that web maps cut in two."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

import bigimage as bi
from tests.browser.conftest import server
from tests.browser.drawing import EXACT, Scene, clear, pixels, stored

pytestmark = pytest.mark.usefixtures("wide")


@pytest.fixture(scope="module")
def pacific(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Iterator[str]:
    """A server of one scene around the antimeridian, in UTM, and without any label."""
    folder = tmp_path_factory.mktemp("pacific")
    profile = {
        "driver": "GTiff",
        "width": 400,
        "height": 300,
        "count": 1,
        "dtype": "uint8",
        "crs": CRS.from_epsg(32660),
    }
    with rasterio.open(
        folder / "fiji.tif", "w", transform=rasterio.Affine(500, 0, 600_000, 0, -500, 5_900_000), **profile
    ) as file:
        file.write(np.full((1, 300, 400), 180, np.uint8))
    ws = bi.open_workspace(folder / "ws")
    ws.ingest(folder / "fiji.tif")
    ws.close()
    with server(folder / "ws") as address:
        yield address


def test_who_draws_without_a_label_is_asked_for_one(page: Any, pacific: str) -> None:
    view = Scene.open(page, pacific, "fiji", center=(200, 150), resolution=0.5)
    view.tool("p")
    page.wait_for_selector(".hint:has-text('a label')")
    page.keyboard.type("reef")  # the field for labels has the keyboard
    page.keyboard.press("Enter")
    page.wait_for_selector(".label-name[aria-pressed=true]:has-text('reef')")
    page.wait_for_selector(".hint:has-text('Click its corners')")
    view.click((-100, -100), (100, -100), (100, 100))
    page.keyboard.press("Enter")
    view.saved()
    (found,) = stored(page, pacific, "fiji")
    assert found["properties"]["label"] == "reef"
    clear(page, pacific, "fiji")
    assert not page.errors


def test_a_box_and_an_ellipse_are_dragged_or_clicked(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("b")
    view.drag((-200, -150), (-100, -50))
    view.click((-40, -150), (60, -50))
    view.click((200, 200))
    page.keyboard.press("Escape")  # a corner that was begun is given up, the next press begins anew
    view.drag((100, -150), (200, -50))
    view.tool("e")
    view.drag((-200, 50), (-100, 150))
    view.saved()
    boxes, ellipses = [], []
    for feature in stored(page, address, "field"):
        shape = feature["shape"]
        if shape["type"] == "box":
            corners = pixels(made, "field", [shape["minimum"], shape["maximum"]])
            boxes.append((*corners.min(axis=0), *corners.max(axis=0)))
        else:
            ellipses.append(pixels(made, "field", [shape["center"]])[0])
    wanted = [
        (*view.pixel(-200, -150), *view.pixel(-100, -50)),
        (*view.pixel(-40, -150), *view.pixel(60, -50)),
        (*view.pixel(100, -150), *view.pixel(200, -50)),
    ]
    np.testing.assert_allclose(sorted(boxes), sorted(wanted), atol=EXACT)
    np.testing.assert_allclose(ellipses, [view.pixel(-150, 100)], atol=EXACT)
    clear(page, address, "field")
    assert not page.errors


def test_the_middle_button_moves_the_map_while_a_tool_is_in_hand(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.tool("p")
    view.click((0, 0), (50, 0))
    page.mouse.move(*view.mouse(0, 100))
    page.mouse.down(button="middle")
    page.mouse.move(*view.mouse(60, 100), steps=4)
    page.mouse.up(button="middle")
    page.wait_for_function("() => Math.abs(Number(location.hash.split('at=')[1].split(',')[0]) - 570) < 12")
    view.click((50, 60))
    page.keyboard.press("Enter")
    view.saved()
    (found,) = stored(page, address, "field")
    assert len(found["geometry"]["coordinates"][0]) == 4  # and took no part in the drawing
    clear(page, address, "field")


def test_a_scene_on_both_sides_of_the_antimeridian_is_one_on_the_web_map(page: Any, pacific: str) -> None:
    Scene.open(page, pacific, "fiji", center=(200, 150), resolution=1)
    page.get_by_role("button", name="Web mercator").click()
    page.wait_for_function(
        "() => Number(document.querySelector('.status .cell:last-child').textContent.split(' ')[0]) > 10"
    )
    box = page.locator(".map").bounding_box()
    seen = set()
    for share in (0.3, 0.7):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        page.wait_for_selector(".status .values:text-is('180')")
        seen.add(page.locator(".status").inner_text().split("°")[2][0])
        page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
        page.wait_for_selector(".status .values:text-is('180')", state="hidden")
    assert seen == {"E", "W"}
    page.keyboard.press("q")
    page.wait_for_timeout(300)
    # places beside the image have no value, which the server says with a status
    assert not [one for one in page.errors if "status of 400" not in one]


def test_going_to_the_web_map_and_back_at_once_breaks_nothing(page: Any, address: str) -> None:
    for _ in range(3):
        page.goto("about:blank")
        page.goto(f"{address}/#/images/field")
        page.get_by_role("button", name="Web mercator").click()
        page.get_by_role("button", name="Own grid").click()
        page.wait_for_load_state("networkidle")
    assert not page.errors


def test_a_name_is_found_beyond_the_images_that_are_shown(page: Any, address: str) -> None:
    record = page.request.get(f"{address}/images/field").json()
    names = [f"tile-{k:03}" for k in range(130)]

    def answer(route: Any) -> None:
        offset = int(route.request.url.split("offset=")[1])
        records = [{**record, "id": name} for name in names[offset : offset + 60]]
        route.fulfill(headers={"X-Total-Count": "130", "Content-Type": "application/json"}, body=json.dumps(records))

    page.route("**/images?limit=60*", answer)
    page.route("**/preview.png*", lambda route: route.abort())
    page.goto(address)
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 60
    page.wait_for_selector(".bar:has-text('130 images')")
    page.get_by_label("Filter by name").fill("tile-12")
    page.wait_for_selector(".card:has-text('tile-129')")
    assert page.locator(".card").count() == 10
    page.wait_for_selector(".bar:has-text('10 of 130 images')")

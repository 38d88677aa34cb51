"""The web viewer in a real browser: the list of images, uploads, scenes, volumes, and bad luck."""

import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bigimage as bi
from fixtures.make import scene
from fixtures.phantom import ct_series
from tests.browser.conftest import server
from tests.scans import make_scans


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Path:
    """A workspace with a scene in UTM, one without a place, one pixel, and a scan."""
    folder = tmp_path_factory.mktemp("viewer")
    ws = bi.open_workspace(folder / "ws")
    scene(folder / "field.tif", size=(900, 1200), bands=4, dtype="uint16", seed=3)
    Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)).save(folder / "plain.png")
    Image.fromarray(np.full((1, 1), 200, dtype=np.uint8)).save(folder / "dot.png")
    for name in ("field.tif", "plain.png", "dot.png"):
        ws.ingest(folder / name)
    ct_series(folder / "ct", slices=40)
    ws.ingest(folder / "ct", name="ct")
    return folder / "ws"


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """A server on that workspace."""
    with server(place) as found:
        yield found


@pytest.fixture(autouse=True)
def wide(request: pytest.FixtureRequest) -> None:
    """A window of usual size."""
    if "page" in request.fixturenames:
        request.getfixturevalue("page").set_viewport_size({"width": 1280, "height": 800})


def picture(page: Any, selector: str) -> np.ndarray:
    """Pixels (y, x, 3) of what is on screen in an element."""
    shot = page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def open_scene(page: Any, address: str, hash_: str) -> None:
    """Open an image and wait until its map is drawn."""
    page.goto(f"{address}/#/images/{hash_}")
    page.wait_for_selector(".map canvas")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)


def test_pure_parts(viewer: Path) -> None:
    done = subprocess.run(["npm", "test", "--silent"], cwd=viewer, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 10


def test_the_list_shows_every_image(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".card img")
    page.wait_for_load_state("networkidle")
    assert page.locator(".card strong").all_inner_texts() == ["ct", "dot", "field", "plain"]
    assert all(
        page.evaluate("() => [...document.images].filter(i => i.closest('.thumb')).map(i => i.naturalWidth > 0)")
    )
    page.get_by_label("About field").click()
    facts = page.locator("dialog .facts").first.inner_text()
    assert "1,200 × 900 pixels" in facts
    assert "EPSG:32632" in facts
    assert "0.5 × 0.5" in facts
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("fi")
    assert page.locator(".card strong").all_inner_texts() == ["field"]
    assert {host.split(":")[0] for host in page.hosts} == {"127.0.0.1"}
    assert not page.errors


def test_a_file_is_uploaded_and_becomes_an_image(page: Any, address: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50), 9, dtype=np.uint8)).save(tmp_path / "fresh.png")
    (tmp_path / "broken.tif").write_bytes(b"not a picture")
    page.goto(address)
    page.set_input_files("input[type=file]", [tmp_path / "fresh.png", tmp_path / "broken.tif"])
    page.wait_for_selector(".card >> text=fresh", timeout=60_000)
    page.wait_for_selector(".job.bad", timeout=60_000)
    assert "broken.tif" in page.locator(".job.bad").inner_text()
    page.request.delete(f"{address}/images/fresh")


def test_a_scene_shows_its_pixels_where_they_are(page: Any, address: str, place: Path) -> None:
    # one image pixel on one screen pixel, pixel (row 450, column 600) at the middle of the map
    open_scene(page, address, "field?at=600,450,1")
    shown = picture(page, ".map")
    rows, columns = shown.shape[0], shown.shape[1]
    answer = page.request.get(
        f"{address}/images/field/crop.png?box={600 - 200},{450 - 200},{600 + 200},{450 + 200}&level=0"
    )
    expected = np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)
    y, x = rows // 2, columns // 2
    found = shown[y - 150 : y + 150, x - 150 : x + 150]
    shifts = [
        np.abs(found - expected[50 + dy : 350 + dy, 50 + dx : 350 + dx]).mean()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    assert min(shifts) < 1.0  # the map's middle may lie half a pixel off where its sides are odd
    assert not page.errors


def test_the_pointer_tells_pixel_place_and_value(page: Any, address: str, place: Path) -> None:
    open_scene(page, address, "field?at=600,450,0.25")
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2 + 1)
    page.wait_for_function("() => document.querySelector('.status .values').textContent")
    column, row = (int(v) for v in page.locator(".status .cell").nth(0).inner_text().split(","))
    assert (column, row) == (600, 450)
    x, y = (float(v) for v in page.locator(".status .cell").nth(1).inner_text().split(","))
    pyramid = bi.open_workspace(place).image("field")
    assert pyramid.info.grid.to_index((x, y)) == pytest.approx([450.25, 600.25], abs=0.2)
    values = [float(v) for v in page.locator(".status .values").inner_text().split()]
    assert values == pyramid.read_index((slice(450, 451), slice(600, 601))).array.reshape(-1).tolist()
    assert "°N" in page.locator(".status").inner_text()


def test_bands_ranges_and_colours_change_the_picture_and_the_address(page: Any, address: str) -> None:
    open_scene(page, address, "field")
    before = picture(page, ".map")
    page.get_by_role("button", name="Single band").click()
    late: list[Any] = []
    page.route("**/statistics*", lambda route: late.append(route))  # the histogram comes while somebody types
    page.get_by_label("Band", exact=True).select_option("4")
    page.get_by_label("Colour map").select_option("viridis")
    page.get_by_label("Range: darkest value").fill("500")
    for route in late:
        route.continue_()
    page.unroute("**/statistics*")
    page.wait_for_function("() => document.querySelector('.histogram .bars').getAttribute('d').split('L').length > 50")
    page.get_by_label("Range: darkest value").press("Enter")
    page.wait_for_function("() => location.hash.includes('rescale')")
    page.wait_for_timeout(400)
    assert re.search(r"bands=4&rescale=500,[\d.]+&colormap=viridis", page.url)
    changed = picture(page, ".map")
    assert np.abs(changed - before).mean() > 10
    page.reload()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(600)
    assert np.abs(picture(page, ".map") - changed).mean() < 2
    assert page.locator(".histogram .bars").get_attribute("d").count("L") > 50


def test_a_scene_in_web_mercator(page: Any, address: str) -> None:
    open_scene(page, address, "field")
    page.get_by_role("button", name="Web mercator").click()
    for _ in range(100):  # kernels may have to be compiled
        if (picture(page, ".map").sum(axis=2) > 60).mean() > 0.3:
            break
        page.wait_for_timeout(300)
    assert (picture(page, ".map").sum(axis=2) > 60).mean() > 0.3
    assert "m" in page.locator(".scale-text").inner_text()
    assert not page.errors


def test_a_grid_of_round_coordinates_lies_where_they_are(page: Any, address: str, place: Path) -> None:
    grid = bi.open_workspace(place).image("field").info.grid
    open_scene(page, address, "field?at=600,450,1")
    before = picture(page, ".map")
    page.keyboard.press("q")
    page.wait_for_timeout(500)
    changed = np.abs(picture(page, ".map") - before).sum(axis=2) > 30
    # lines 100 m apart, which are 200 pixels: one of x and one of y cross near the middle
    (world,) = np.asarray(grid.to_world([[450.0, 600.0]]))
    x, y = np.round(world / 100) * 100
    row, column = np.asarray(grid.to_index((x, y)))
    at = np.array(changed.shape) / 2 + (row - 450, column - 600)
    lines = (
        changed[:, int(at[1]) - 2 : int(at[1]) + 3].any(axis=1),
        changed[int(at[0]) - 2 : int(at[0]) + 3].any(axis=0),
    )
    assert all(line.mean() > 0.5 for line in lines)
    assert changed.mean() < 0.1
    assert not page.errors


@pytest.mark.parametrize("name", ["plain", "dot"])
def test_scenes_without_a_place_or_of_one_pixel(page: Any, address: str, name: str) -> None:
    open_scene(page, address, name)
    assert page.locator(".scale-text").inner_text().endswith("px")
    assert page.locator(".modes").count() == 0
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.querySelector('.status .values').textContent")
    if name == "dot":
        assert page.locator(".status .values").inner_text() == "200"
    else:
        assert (picture(page, ".map").max(axis=2) > 100).mean() > 0.3
    assert not page.errors


def test_planes_of_a_scan_are_linked(page: Any, address: str) -> None:
    page.goto(f"{address}/#/images/ct")
    for name in ("axial", "coronal", "sagittal"):
        page.wait_for_selector(f"[data-plane={name}][data-shown]")
    page.wait_for_load_state("networkidle")
    letters = [
        page.locator(f"[data-plane=axial] .letter.{edge}").inner_text() for edge in ("left", "right", "top", "bottom")
    ]
    assert letters == ["R", "L", "A", "P"]
    before = {
        name: int(page.locator(f"[data-plane={name}]").get_attribute("data-shown"))
        for name in ("axial", "coronal", "sagittal")
    }
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    page.wait_for_function(f"() => document.querySelector('[data-plane=coronal]').dataset.shown < {before['coronal']}")
    assert int(page.locator("[data-plane=axial]").get_attribute("data-shown")) == before["axial"]
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(f"[data-plane=axial][data-shown='{before['axial'] + 1}']")
    assert not page.errors


def test_values_of_a_scan_are_in_its_unit(page: Any, address: str, place: Path) -> None:
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.55)
    page.wait_for_timeout(200)
    x, y, z = (int(v) for v in page.locator(".status .cell").nth(0).inner_text().split(","))
    found = page.locator(".status .values").inner_text()
    pyramid = bi.open_workspace(place).image("ct")
    value = pyramid.read_index((slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)), physical=True).array.item()
    assert found.split() == [f"{value:g}", "HU"]


def test_presets_and_dragging_change_the_window(page: Any, address: str) -> None:
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    lung = page.locator("select[aria-label=Preset] option", has_text="Lung").first.get_attribute("value")
    page.get_by_label("Preset").select_option(lung)
    assert page.get_by_label("Window center").input_value() == "-600"
    assert page.get_by_label("Window width").input_value() == "1500"
    page.wait_for_timeout(200)
    before = picture(page, "[data-plane=axial]")
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x - 150, y + 60, steps=4)
    page.mouse.up(button="right")
    assert float(page.get_by_label("Window width").input_value()) == pytest.approx(750, abs=10)
    assert float(page.get_by_label("Window center").input_value()) > -400
    page.wait_for_timeout(200)
    assert np.abs(picture(page, "[data-plane=axial]") - before).mean() > 5


def test_every_kind_of_volume_opens(page: Any, viewer: Path, tmp_path: Path) -> None:
    made = make_scans(tmp_path)
    with server(tmp_path) as address:
        for name in sorted(made.arrays):
            page.goto(f"{address}/#/images/{name}")
            page.wait_for_selector(f"h1:text-is('{name}')")
            for plane in ("axial", "coronal", "sagittal"):
                page.wait_for_selector(f"[data-plane={plane}][data-shown]")
            page.wait_for_timeout(60)
            assert page.locator(".plane-error:visible").count() == 0, name
            assert picture(page, "[data-plane=axial] canvas").max() > 100, name
    assert not page.errors


def test_a_scene_of_many_pixels_is_scrolled_fast(page: Any, address: str) -> None:
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    first = int(page.locator("[data-plane=axial]").get_attribute("data-shown"))
    for k in range(10):
        page.keyboard.press("ArrowUp")
        page.wait_for_selector(f"[data-plane=axial][data-shown='{first + k + 1}']")
    assert not page.errors


def test_what_does_not_exist_is_said(page: Any, address: str) -> None:
    page.goto(f"{address}/#/images/nothing")
    page.wait_for_selector("[role=alert]")
    assert "nothing" in page.locator("[role=alert]").inner_text()
    page.get_by_role("link", name="All images").last.click()
    page.wait_for_selector(".card")


def test_a_server_that_is_away_is_said_and_the_page_stays_usable(page: Any, place: Path) -> None:
    with server(place) as address:
        open_scene(page, address, "field")
    page.keyboard.press("s")
    page.wait_for_selector(".toast.bad")
    assert "cannot be reached" in page.locator(".toast.bad").first.inner_text()
    page.keyboard.press("?")
    assert page.locator("dialog kbd").count() > 8


def test_the_policy_forbids_inline_code_and_other_hosts(page: Any, address: str) -> None:
    policy = page.request.get(address).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    page.goto(address)
    refused = page.evaluate(
        """async () => {
          const told = new Promise(done => 
            addEventListener("securitypolicyviolation", e => done(e.effectiveDirective)));
          const script = document.createElement("script");
          script.textContent = "window.broken = true";
          document.body.append(script);
          return [await told, window.broken ?? null];
        }"""
    )
    assert refused == ["script-src-elem", None]


def test_all_controls_have_names(page: Any, address: str) -> None:
    for hash_ in ("", "field", "ct"):
        page.goto(f"{address}/#/{f'images/{hash_}' if hash_ else ''}")
        page.wait_for_selector("button")
        page.wait_for_load_state("networkidle")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas[tabindex], a")]
              .filter(e => e.offsetParent)
              .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title))
              .map(e => e.outerHTML)"""
        )
        assert json.dumps(nameless) == "[]"

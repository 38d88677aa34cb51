"""Drawing in the web viewer: what is stored is what was drawn, whoever else draws and whatever the server does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.features import rasterize

import bigimage as bi
from tests.browser.drawing import EXACT, Scene, clear, live_mask, pixels, stored

pytestmark = pytest.mark.usefixtures("wide")


def test_every_shape_is_stored_where_it_was_drawn(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(603.25, 447.5), resolution=0.53)
    view.label("pond")
    view.tool("o")
    view.click((-300, -200))
    view.tool("l")
    view.click((-350, 150), (-250, 210), (-200, 120))
    page.keyboard.press("Enter")
    view.tool("p")
    view.click((-50, -100), (80, -60), (60, 70), (-70, 40))
    page.keyboard.press("Enter")
    view.tool("b")
    view.click((150, -200), (260, -110))
    view.tool("e")
    view.click((150, 50), (270, 110))
    view.tool("r")
    view.click((-300, -50), (-200, -90), (-190, -40))
    view.saved()
    found = {feature.get("shape", feature["geometry"])["type"]: feature for feature in stored(page, address, "field")}
    assert sorted(found) == ["LineString", "Point", "Polygon", "box", "ellipse", "rotated-box"]
    assert {feature["properties"]["label"] for feature in found.values()} == {"pond"}

    def close(world: Any, *places: tuple[float, float]) -> None:
        expected = [view.pixel(*place) for place in places]
        assert np.abs(pixels(made, "field", world) - expected).max() < EXACT

    close([found["Point"]["geometry"]["coordinates"]], (-300, -200))
    close(found["LineString"]["geometry"]["coordinates"], (-350, 150), (-250, 210), (-200, 120))
    ring = found["Polygon"]["geometry"]["coordinates"][0]
    close(ring, (-50, -100), (80, -60), (60, 70), (-70, 40), (-50, -100))
    box = found["box"]["shape"]
    close([box["minimum"], box["maximum"]], (150, -110), (260, -200))
    ellipse = found["ellipse"]["shape"]
    (x, y), (a, b) = ellipse["center"], ellipse["radii"]
    close([(x, y), (x - a, y), (x, y + b)], (210, 80), (150, 80), (210, 50))
    rotated = found["rotated-box"]["shape"]
    angle, (long, wide) = np.radians(rotated["rotation"]), rotated["size"]
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    # the first edge was drawn from left to right, and the box lies below it: across points up
    first = np.array(rotated["center"]) - along * long / 2 + across * wide / 2
    close([first, first + along * long], (-300, -50), (-200, -90))
    assert np.array_equal(live_mask(page, address, "field"), painted_by_gdal(made, found))
    assert not page.errors
    page.reload()
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('6')")
    clear(page, address, "field")


def painted_by_gdal(made: Path, found: dict[str, Any]) -> np.ndarray:
    """Values (900, 1200) of the shapes as GDAL burns their outlines; of the ellipse by its own equation."""
    shapes = []
    for feature in found.values():
        geometry = feature["geometry"]
        if feature.get("shape", {}).get("type") == "ellipse":
            continue
        places = pixels(made, "field", np.array(geometry["coordinates"]))
        shapes.append(({"type": geometry["type"], "coordinates": places.tolist()}, 1))
    out = rasterize(shapes, out_shape=(900, 1200), dtype="int64")
    (x, y), (a, b) = (np.array(found["ellipse"]["shape"][name]) for name in ("center", "radii"))
    (column, row), (right, below) = pixels(made, "field", [(x, y), (x + a, y - b)])
    rows, columns = np.mgrid[:900, :1200] + 0.5
    out[((columns - column) / (right - column)) ** 2 + ((rows - row) / (below - row)) ** 2 <= 1] = 1
    return out


def test_a_corner_is_moved_undone_and_redone(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("p")
    view.click((-100, -100), (100, -100), (100, 100), (-100, 100))
    page.keyboard.press("Enter")
    view.saved()
    view.tool("v")
    view.click((0, 0))
    view.drag((100, 100), (160, 140))
    view.saved()

    def corners() -> set[tuple[float, float]]:
        (feature,) = stored(page, address, "field")
        index = pixels(made, "field", feature["geometry"]["coordinates"][0])
        return {(round(x, 2), round(y, 2)) for x, y in index.tolist()}

    assert corners() == {(550, 400), (650, 400), (680, 520), (550, 500)}
    page.keyboard.press("Control+z")
    view.saved()
    assert corners() == {(550, 400), (650, 400), (650, 500), (550, 500)}
    page.keyboard.press("Control+y")
    view.saved()
    assert corners() == {(550, 400), (650, 400), (680, 520), (550, 500)}
    page.keyboard.press("Delete")
    view.saved()
    assert stored(page, address, "field") == []
    page.keyboard.press("Control+z")
    view.saved()
    assert corners() == {(550, 400), (650, 400), (680, 520), (550, 500)}
    (feature,) = stored(page, address, "field")
    assert feature["properties"]["version"] == 6
    clear(page, address, "field")


def test_a_hole_is_cut(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("p")
    view.click((-100, -100), (100, -100), (100, 100), (-100, 100))
    page.keyboard.press("Enter")
    view.tool("h")
    view.click((-40, -40), (40, -40), (0, 40))
    page.keyboard.press("Enter")
    view.saved()
    (feature,) = stored(page, address, "field")
    outer, hole = feature["geometry"]["coordinates"]
    assert len(outer) == 5
    found = {(round(x, 2), round(y, 2)) for x, y in pixels(made, "field", hole).tolist()}
    assert found == {(580, 430), (620, 430), (600, 470)}
    clear(page, address, "field")


def test_boxes_and_ellipses_follow_their_handles(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("b")
    view.click((-100, -100), (100, 100))
    view.tool("v")
    view.click((0, 0))
    view.drag((100, 100), (60, 40))
    view.saved()
    (feature,) = stored(page, address, "field")
    ends = pixels(made, "field", [feature["shape"]["minimum"], feature["shape"]["maximum"]])
    assert np.abs(ends - [(550, 470), (630, 400)]).max() < EXACT
    # the handle above turns it: pointing to the right is a quarter turn
    view.drag((-20, -126), (200, -30))
    view.saved()
    (feature,) = stored(page, address, "field")
    assert feature["shape"]["type"] == "rotated-box"
    assert feature["shape"]["rotation"] == pytest.approx(270, abs=0.5)
    clear(page, address, "field")


def test_a_drawn_polygon_is_painted_pixel_by_pixel(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600.3, 450.7), resolution=0.5)
    view.label("heart")
    corners = [(-120, -90), (100, -130), (140, 80), (20, 20), (-90, 120)]
    view.tool("p")
    view.click(*corners)
    page.keyboard.press("Enter")
    view.saved()
    drawn = {"type": "Polygon", "coordinates": [[view.pixel(*corner) for corner in [*corners, corners[0]]]]}
    expected = rasterize([(drawn, 2)], out_shape=(900, 1200), dtype="int64")
    assert np.array_equal(live_mask(page, address, "field"), expected)
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="As annotated now").click()
    page.wait_for_load_state("networkidle")
    clear(page, address, "field")


def test_a_brush_paints_and_an_eraser_takes_away(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=1)
    view.label("heart")
    view.tool("d")
    view.drag((-100, 0), (100, 0))
    view.drag((0, -80), (0, 80))
    view.tool("x")
    view.drag((50, -40), (50, 40))
    view.saved()
    y, x = np.mgrid[:900, :1200] + 0.5 - np.array([450, 600])[:, None, None]

    def along(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        share = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
        return np.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0)) <= 12

    expected = (along(-100, 0, 100, 0) | along(0, -80, 0, 80)) & ~along(50, -40, 50, 40)
    found = live_mask(page, address, "field")
    # the pointer's way has corners at whole screen pixels, so that a pixel on the rim may fall either way
    assert (found.astype(bool) != expected).sum() <= 4
    (feature,) = stored(page, address, "field")
    assert feature["shape"]["type"] == "mask"
    assert feature["properties"]["version"] == 3
    page.keyboard.press("Control+z")
    view.saved()
    undone = live_mask(page, address, "field").astype(bool)
    assert (undone != (along(-100, 0, 100, 0) | along(0, -80, 0, 80))).sum() <= 4
    assert not page.errors
    clear(page, address, "field")


def test_a_mask_is_painted_as_a_job_and_shown(page: Any, address: str) -> None:
    view = Scene.open(page, address, "shared", center=(600, 450), resolution=1)
    view.label("pond")
    view.tool("b")
    view.click((-200, -100), (200, 100))
    view.saved()
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="Paint mask").click()
    page.wait_for_selector(".label-name[aria-pressed=true]:has-text('semantic')", timeout=60_000)
    page.wait_for_load_state("networkidle")
    assert "pond" in page.locator(".legend").inner_text()
    assert not page.errors
    page.request.delete(f"{address}/images/shared/masks/semantic")
    clear(page, address, "shared")


def test_annotations_leave_as_a_file_and_come_back(page: Any, address: str, tmp_path: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=1)
    view.label("pond")
    view.tool("e")
    view.click((-200, -100), (200, 100))
    view.saved()
    page.get_by_label("Export and import").click()
    page.get_by_label("Format").select_option("geojson")
    page.get_by_role("button", name="What would be lost?").click()
    page.wait_for_selector(".report:has-text('1 written')")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "field.geojson")
    before = stored(page, address, "field")
    clear(page, address, "field")
    # as another tool would write it: what was removed here stays removed
    document = json.loads((tmp_path / "field.geojson").read_text())
    for feature in document["features"]:
        del feature["id"], feature["properties"]["id"]
    (tmp_path / "other.geojson").write_text(json.dumps(document))
    page.get_by_label("File of annotations").set_input_files(tmp_path / "other.geojson")
    page.wait_for_selector(".toast.good:has-text('imported')")
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
    (back,) = stored(page, address, "field")
    assert back["shape"]["radii"] == pytest.approx(before[0]["shape"]["radii"], rel=1e-6)
    clear(page, address, "field")


def test_a_ruler_measures_on_the_ground(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=1)
    view.tool("m")
    view.click((-200, 0), (200, 0), (200, 100))
    page.keyboard.press("Enter")
    page.wait_for_selector(".ruler:has-text('°')")
    length, angle, area = (part.strip() for part in page.locator(".ruler").inner_text().split("   "))
    assert float(length.split()[0]) == pytest.approx(250, rel=5e-3)
    assert angle == "90.0°"
    assert float(area.split()[1]) == pytest.approx(0.5 if "ha" in area else 5000, rel=1e-2)
    page.keyboard.press("Escape")
    assert page.locator(".ruler:visible").count() == 0
    assert stored(page, address, "field") == []


def test_regions_are_claimed_and_done(page: Any, address: str) -> None:
    Scene.open(page, address, "crowd", center=(600, 450), resolution=1)
    page.locator("summary", has_text="Regions").click()
    page.get_by_label("Pixels along each side").fill("600")
    page.get_by_role("button", name="Split into regions").click()
    page.wait_for_selector(".regions li:nth-child(4)")
    page.get_by_role("button", name="Claim").first.click()
    page.wait_for_selector(".state.claimed")
    page.get_by_role("button", name="Done").first.click()
    page.wait_for_selector(".panel:has-text('1 of 4 done')")
    told = page.request.get(f"{address}/images/crowd/regions").json()["features"]
    assert sorted(region["properties"]["state"] for region in told) == ["done", "open", "open", "open"]
    assert not page.errors


def test_hostile_names_are_only_names(page: Any, address: str) -> None:
    view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
    name = '<img src=x onerror="window.broken=1">'
    page.get_by_label("New label").fill(name)
    page.keyboard.press("Enter")
    page.wait_for_selector(".label-name[aria-pressed=true]:has-text('onerror')")
    view.tool("b")
    view.click((-100, -100), (-50, -50))
    view.saved()
    assert page.locator(".label-name span", has_text="onerror").inner_text() == name
    assert page.evaluate("window.broken ?? null") is None
    assert not page.errors
    clear(page, address, "shared")


def test_many_annotations_are_tiles_until_they_are_touched(page: Any, address: str, made: Path) -> None:
    grid = bi.open_workspace(made).image("crowd").info.grid

    def square(x: float, y: float) -> dict[str, Any]:
        ring = [grid.to_world((y + dy, x + dx)).tolist() for dx, dy in ((0, 0), (12, 0), (12, 12), (0, 12), (0, 0))]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "geometry": geometry, "properties": {"label": "pond", "attributes": {}}}

    features = [square(20 * k, 20 * j) for k in range(60) for j in range(45)]
    sent = page.request.post(f"{address}/images/crowd/annotations?crs=native", data=features)
    assert sent.status == 201
    view = Scene.open(page, address, "crowd", center=(606, 446), resolution=0.1)
    view.click((0, 0))  # within the square at column 600, row 440
    page.wait_for_selector(".facts:has-text('polygon')")
    view.drag((60, 60), (70, 70))
    view.saved()
    changed = page.request.get(f"{address}/images/crowd/changes?since=1").json()["changes"]
    assert [change["kind"] for change in changed] == ["edited"]
    feature = page.request.get(f"{address}/annotations/{changed[0]['id']}?crs=native").json()
    corners = {(round(x, 2), round(y, 2)) for x, y in pixels(made, "crowd", feature["geometry"]["coordinates"][0])}
    assert corners == {(600, 440), (612, 440), (613, 453), (600, 452)}
    assert not page.errors

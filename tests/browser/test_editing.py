"""Changing what is drawn on a scene: cut, merged, split, key points; each one step, with its history."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.ops
from rasterio.features import rasterize

from tests.browser.drawing import EXACT, Scene, clear, live_mask, pixels, stored

pytestmark = pytest.mark.usefixtures("wide")


@pytest.fixture(autouse=True)
def empty(page: Any, address: str) -> None:
    """Begin with a scene on which nothing is drawn."""
    clear(page, address, "field")


def polygon(view: Scene, *places: tuple[float, float]) -> shapely.Polygon:
    """Draw a polygon; it in pixels."""
    view.tool("p")
    view.click(*places)
    view.page.keyboard.press("Enter")
    return shapely.Polygon([view.pixel(*place) for place in places])


def outlines(made: Path, features: list[dict[str, Any]]) -> list[shapely.Geometry]:
    """Stored geometries in pixels, the largest first."""
    found = [
        shapely.transform(
            shapely.from_geojson(str(feature["geometry"]).replace("'", '"')), lambda p: pixels(made, "field", p)
        )
        for feature in features
    ]
    return sorted(found, key=lambda geometry: -geometry.area)


def same(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    """Whether two areas are the same to a hundredth of a pixel along their outlines."""
    return a.is_valid and shapely.symmetric_difference(a, b).area < EXACT * b.length


def painted(*shapes: shapely.Geometry) -> np.ndarray:
    """Values of the areas as GDAL burns them."""
    return rasterize([(shape, 1) for shape in shapes], out_shape=(900, 1200), dtype="int64")


def test_a_line_cuts_a_polygon_with_a_hole_and_undoing_joins_it(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600.3, 450.7), resolution=0.5)
    view.label("pond")
    outer = polygon(view, (-160, -120), (160, -120), (160, 120), (-160, 120))
    view.tool("h")
    hole = [(-60, -50), (40, -50), (40, 50), (-60, 50)]
    view.click(*hole)
    page.keyboard.press("Enter")
    whole = outer.difference(shapely.Polygon([view.pixel(*place) for place in hole]))
    view.saved()
    (before,) = stored(page, address, "field")
    view.tool("c")
    page.wait_for_selector(".hint:has-text('Enter cuts')")
    line = [(-40, -200), (0, 10), (-20, 200)]
    view.click(*line)
    page.keyboard.press("Enter")
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('2')")
    view.saved()
    after = stored(page, address, "field")
    knife = shapely.LineString([view.pixel(*place) for place in line])
    expected = sorted(shapely.ops.split(whole, knife).geoms, key=lambda part: -part.area)
    assert all(same(a, b) for a, b in zip(outlines(made, after), expected, strict=True))
    # the largest piece goes on as what it was
    largest = max(after, key=lambda one: outlines(made, [one])[0].area)
    assert largest["id"] == before["id"]
    assert largest["properties"]["version"] == before["properties"]["version"] + 1
    assert np.array_equal(live_mask(page, address, "field"), painted(whole))
    page.keyboard.press("Control+z")
    view.saved()
    (again,) = stored(page, address, "field")
    assert (again["id"], again["geometry"]) == (before["id"], before["geometry"])
    page.keyboard.press("Control+y")
    view.saved()
    assert len(stored(page, address, "field")) == 2
    assert not page.errors


def test_selected_areas_are_merged_into_the_first_and_its_parts_split_again(
    page: Any, address: str, made: Path
) -> None:
    view = Scene.open(page, address, "field", center=(600.3, 450.7), resolution=0.5)
    view.label("pond")
    first = polygon(view, (-200, -100), (-40, -100), (-40, 60), (-200, 60))
    view.saved()
    (kept,) = stored(page, address, "field")
    second = polygon(view, (-90, -20), (60, -20), (60, 120), (-90, 120))
    view.tool("b")
    view.click((120, -100), (220, 0))
    third = shapely.box(*view.pixel(120, -100), *view.pixel(220, 0))
    view.tool("v")
    view.click((-180, -80))
    page.keyboard.down("Shift")
    view.click((40, 100), (170, -50))
    page.keyboard.up("Shift")
    view.tool("u")
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
    view.saved()
    (merged,) = stored(page, address, "field")
    assert merged["id"] == kept["id"]
    assert merged["geometry"]["type"] == "MultiPolygon"
    assert same(outlines(made, [merged])[0], shapely.union_all([first, second, third]))
    assert np.array_equal(live_mask(page, address, "field"), painted(first, second, third))
    history = page.request.get(f"{address}/annotations/{kept['id']}/history").json()["history"]
    assert [entry["kind"] for entry in history] == ["added", "edited"]
    page.get_by_role("button", name="Split").click()
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('2')")
    view.saved()
    parts = outlines(made, stored(page, address, "field"))
    assert same(parts[0], first.union(second))
    assert same(parts[1], third)
    for count in (1, 3):
        page.evaluate("document.activeElement?.blur()")
        page.keyboard.press("Control+z")
        page.wait_for_selector(f".label:has-text('pond') .label-count:text-is('{count}')")
    view.saved()
    back = {feature["id"]: feature for feature in stored(page, address, "field")}
    assert back[kept["id"]]["geometry"] == kept["geometry"]
    assert sorted(one.get("shape", one["geometry"])["type"] for one in back.values()) == ["Polygon", "Polygon", "box"]
    assert not page.errors


def test_a_bay_is_taken_out_of_a_polygon_and_crossed_outlines_are_mended(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600.3, 450.7), resolution=0.5)
    view.label("pond")
    outer = polygon(view, (-100, -100), (100, -100), (100, 100), (-100, 100))
    view.saved()
    before = stored(page, address, "field")
    # a corner that would make it cross itself goes back to where it was
    view.tool("v")
    view.drag((100, 100), (-150, -20))
    page.wait_for_selector(".toast:has-text('would cross itself')")
    view.saved()
    assert stored(page, address, "field") == before
    view.tool("h")
    bay = [(50, -30), (150, -30), (150, 30), (50, 30)]
    view.click(*bay)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.saved').dataset.waiting === '0'")
    page.wait_for_timeout(300)
    view.saved()
    (feature,) = stored(page, address, "field")
    expected = outer.difference(shapely.Polygon([view.pixel(*place) for place in bay]))
    assert same(outlines(made, [feature])[0], expected)
    clear(page, address, "field")
    page.wait_for_selector(".label:has-text('pond'):not(:has(.label-count))")
    bow = [(-100, -100), (100, 100), (100, -100), (-100, 100)]
    polygon(view, *bow)
    page.wait_for_selector(".toast:has-text('crossed itself')")
    page.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
    view.saved()
    (feature,) = stored(page, address, "field")
    halves = shapely.make_valid(shapely.Polygon([view.pixel(*place) for place in bow]))
    assert same(outlines(made, [feature])[0], halves)
    assert not page.errors


def changed(response: Any) -> bool:
    """Whether the server took a change of an annotation: "Saved" may still tell of the one before."""
    return response.request.method in ("PATCH", "PUT") and response.ok


def test_key_points_follow_the_skeleton_and_may_be_left_out(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600.3, 450.7), resolution=0.5)
    view.label("ship")
    view.tool("k")
    page.wait_for_selector(".hint:has-text('bow (1 of 3)')")
    view.click((-100, -20))
    page.wait_for_selector(".hint:has-text('mast (2 of 3)')")
    page.keyboard.press(".")
    page.wait_for_selector(".hint:has-text('stern (3 of 3)')")
    view.click((100, 30))
    view.saved()
    (feature,) = stored(page, address, "field")
    shape = feature["shape"]
    assert (shape["type"], shape["visibility"], shape["points"][1]) == ("keypoints", [2, 0, 2], None)
    assert (shape["names"], shape["edges"]) == (["bow", "mast", "stern"], [[0, 1], [1, 2]])
    places = pixels(made, "field", [shape["points"][0], shape["points"][2]])
    assert np.abs(places - [view.pixel(-100, -20), view.pixel(100, 30)]).max() < EXACT
    with page.expect_response(changed):
        page.get_by_label("Visibility of bow").select_option("Hidden")
    view.tool("v")
    with page.expect_response(changed):
        view.drag((100, 30), (120, 60))
    view.saved()
    (feature,) = stored(page, address, "field")
    assert feature["shape"]["visibility"] == [1, 0, 2]
    moved = pixels(made, "field", [feature["shape"]["points"][2]])
    assert np.abs(moved - [view.pixel(120, 60)]).max() < EXACT
    # Escape gives up what was begun and keeps the tool, then lays the tool down
    view.tool("k")
    view.click((0, 100))
    page.keyboard.press("Escape")
    page.wait_for_selector(".hint:has-text('bow (1 of 3)')")
    page.keyboard.press("Escape")
    page.wait_for_selector("[aria-pressed=true][aria-label^=Select]")
    assert len(stored(page, address, "field")) == 1
    assert not page.errors


def test_corners_snap_until_snapping_is_turned_off(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    view.label("pond")
    polygon(view, (-100, -100), (0, -100), (0, 100), (-100, 100))
    near = ((4, -97), (100, -97), (100, 97), (4, 97))
    polygon(view, *near)
    view.tool("g")
    loose = polygon(view, *near)
    view.saved()
    found = outlines(made, stored(page, address, "field"))
    snapped = shapely.Polygon([view.pixel(*p) for p in ((0, -100), (100, -97), (100, 97), (0, 100))])
    assert sum(same(one, snapped) for one in found) == 1
    assert sum(same(one, loose) for one in found) == 1
    assert page.get_by_label("Snap to corners and edges").get_attribute("aria-pressed") == "false"


def test_among_a_thousand_labels_one_is_found_by_its_name(page: Any, address: str) -> None:
    schema = page.request.get(f"{address}/schema")
    document = schema.json()
    many = [{"name": f"species {k:04}", "value": k, "color": "#808080"} for k in range(10, 1010)]
    body = {**document, "labels": [*document["labels"], *many]}
    sent = page.request.put(f"{address}/schema", data=body, headers={"If-Match": schema.headers["etag"]})
    assert sent.ok, sent.text()
    view = Scene.open(page, address, "field", center=(600, 450), resolution=0.5)
    page.wait_for_selector(".labels:has-text('more: type a part')")
    assert page.locator(".label").count() <= 60
    view.tool("/")
    page.keyboard.type("0777")
    page.keyboard.press("Enter")
    page.wait_for_selector(".label-name[aria-pressed=true]:has-text('species 0777')")
    view.tool("b")
    view.click((-50, -50), (50, 50))
    view.saved()
    (feature,) = stored(page, address, "field")
    assert feature["properties"]["label"] == "species 0777"
    assert not page.errors


@pytest.mark.parametrize("image", ["field", "ct"])
def test_every_tool_has_a_name_a_key_and_a_line_on_the_help_sheet(page: Any, address: str, image: str) -> None:
    page.goto(f"{address}/#/images/{image}")
    page.wait_for_selector(".saved:has-text('Saved')")
    tools = page.locator(".toolbar button")
    told = [(one.get_attribute("aria-label"), one.get_attribute("aria-keyshortcuts")) for one in tools.all()]
    assert all(name and key for name, key in told)
    assert len({key for _, key in told}) == len(told) > 10
    for key in ("/", "Escape"):  # a key that opens what takes letters, and back
        page.keyboard.press(key)
    page.keyboard.press("?")
    page.wait_for_selector("dialog[aria-label=Keys]")
    sheet = page.locator("dialog[aria-label=Keys]")
    rows = dict(zip(sheet.locator("dt").all_inner_texts(), sheet.locator("dd").all_inner_texts(), strict=True))
    about = {key: text for keys, text in rows.items() for key in keys.split()}
    for name, key in told:
        assert name.split(",")[0] in about[key], (name, key)
    page.keyboard.press("Escape")
    # keys pick tools, and the bar shows which is in hand
    for name, key in told:
        if key.startswith("Ctrl") or name.startswith("Snap"):
            continue
        page.keyboard.press(key.lower())
        page.wait_for_selector(f".toolbar [aria-pressed=true][aria-label^='{name[:12]}']")
    assert not page.errors

"""What is drawn reaches the server once, whatever the browser, the network and the server do meanwhile."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from tests.browser.conftest import free_port, listen, server
from tests.browser.drawing import SIZE, Scan, Scene, clear, pixels, stored

pytestmark = pytest.mark.usefixtures("wide")

SLOW_DATABASE = """
  // every answer of the browser's database comes late, as it does on a busy machine
  const own = Object.getOwnPropertyDescriptor(IDBRequest.prototype, "onsuccess");
  Object.defineProperty(IDBRequest.prototype, "onsuccess", {
    get() { return own.get.call(this); },
    set(told) {
      const late = (event) => setTimeout(told, 250, event);
      own.set.call(this, this instanceof IDBOpenDBRequest ? told : late);
    },
  });
"""
CORNERS = ((0.4, 0.4), (0.6, 0.42), (0.62, 0.6), (0.38, 0.58))
ASKED = "dialog[aria-label=Conflict]"


@pytest.fixture(autouse=True)
def emptied(made: Path) -> Iterator[None]:
    """Nothing is drawn on the shared scene and the scan when a test ends, however it does."""
    yield
    with closing(bi.open_workspace(made)) as ws:
        for image in ("shared", "ct"):
            ws.annotations.remove(*list(ws.annotations.query(image)), author="test")


def rings(page: Any, address: str) -> list[int]:
    """Number of rings of each annotation of the scan."""
    return [len(feature["shape"]["rings"]) for feature in stored(page, address, "ct")]


class Hold:
    """Changes on their way are held, for ever: with `stored` the server has them, and only its answers are lost.

    Routes are not taken away again, since the browser would send on what they hold.
    """

    def __init__(self, page: Any, *, stored: bool = False) -> None:
        self.on, self.stored = True, stored
        page.route("**/annotations**", self.answer)

    def answer(self, route: Any) -> None:
        if route.request.method == "GET" or not self.on:
            route.continue_()
        elif self.stored:
            route.fetch()


def contour(scan: Scan, copies: int) -> None:
    """A contour, copied on from slice to slice as fast as keys are pressed."""
    on_page, _ = scan.places("axial", *CORNERS)
    scan.tool("p")
    scan.click(*on_page)
    scan.page.keyboard.press("Enter")
    for _ in range(copies):
        scan.page.keyboard.press("k")
        scan.page.wait_for_timeout(40)


def test_quick_changes_of_one_annotation_never_meet_themselves(page: Any, address: str, made: Path) -> None:
    page.add_init_script(SLOW_DATABASE)
    scan = Scan.open(page, address, made, label="heart")
    on_page, _ = scan.places("axial", *CORNERS)
    scan.tool("p")
    scan.click(*on_page)
    for key in ("Enter", *"kkkk"):
        # each change falls between the answer to the last one and its way out of the browser's database
        with page.expect_response(lambda answer: answer.request.method in ("POST", "PUT")):
            page.keyboard.press(key)
    for _ in range(4):
        page.keyboard.press("k")
        page.wait_for_timeout(40)
    scan.saved()
    assert page.locator(ASKED).count() == 0
    assert rings(page, address) == [9]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    scan.saved()
    assert rings(page, address) == [8]
    assert not page.errors
    scan.empty(address)


def test_a_page_that_is_loaded_again_while_it_saves_loses_nothing(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    hold = Hold(page)
    contour(scan, 3)
    page.wait_for_timeout(400)  # the page's address tells the slice
    hold.on = False
    page.reload()
    page.wait_for_selector(".toast:has-text('4 unsent changes are sent now')")
    page.wait_for_selector(".saved:has-text('Saved')")
    assert rings(page, address) == [4]
    # in the middle: the first of some is stored, and its answer never comes
    page.keyboard.press("v")
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.wait_for_selector(".facts:has-text('contours')")
    hold = Hold(page, stored=True)
    for _ in range(5):
        page.keyboard.press("k")
        page.wait_for_timeout(80)
    assert rings(page, address) == [5]
    hold.on = False
    page.reload()
    page.wait_for_selector(".toast:has-text('5 unsent changes are sent now')")
    page.wait_for_selector(".saved:has-text('Saved')")
    assert page.locator(ASKED).count() == 0
    assert rings(page, address) == [9]
    scan.empty(address)


def test_two_open_pages_of_one_browser_send_each_change_once(browser: Any, made: Path) -> None:
    port = free_port()
    context = browser.new_context(viewport=SIZE)
    first, second = (listen(context.new_page()) for _ in range(2))
    with server(made, port) as address:
        views = [Scene.open(page, address, "shared", center=(600, 450), resolution=0.5) for page in (first, second)]
        views[0].label("pond")
        views[0].tool("b")
        views[0].click((-200, -100), (-150, -50))
        views[0].saved()
        second.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
        views[1].label("pond")
    # without the server, both go on: the first one changes one box again and again
    views[0].tool("v")
    views[0].click((-175, -75))
    for k in range(3):
        views[0].drag((-150 + 20 * k, -50), (-130 + 20 * k, -50))
    views[1].tool("b")
    views[1].click((0, 0), (50, 50))
    first.wait_for_selector(".saved.away:has-text('3 changes kept')")
    second.wait_for_selector(".saved.away:has-text('1 change kept')")
    with server(made, port) as address:
        # and a third is opened while the first two wait
        third = listen(context.new_page())
        Scene.open(third, address, "shared", center=(600, 450), resolution=0.5)
        for page in (first, second, third):
            page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'", timeout=60_000)
            assert page.locator(ASKED).count() == 0
        found = stored(first, address, "shared")
        versions = sorted(feature["properties"]["version"] for feature in found)
        assert versions == [1, 4]
        clear(first, address, "shared")
    context.close()


def test_what_a_closed_page_left_is_sent_by_another_one(browser: Any, made: Path) -> None:
    context = browser.new_context(viewport=SIZE)
    with server(made) as address:
        first, second = (listen(context.new_page()) for _ in range(2))
        Hold(first)
        views = [Scene.open(page, address, "shared", center=(600, 450), resolution=0.5) for page in (first, second)]
        views[0].label("pond")
        views[0].tool("b")
        views[0].click((-100, -100), (-50, -50))
        first.wait_for_selector(".saved[data-waiting='1']")
        third = listen(context.new_page())
        Scene.open(third, address, "shared", center=(600, 450), resolution=0.5)
        first.wait_for_timeout(300)
        assert stored(second, address, "shared") == []
        first.close()
        third.wait_for_selector(".toast:has-text('1 unsent change is sent now')")
        second.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
        assert len(stored(second, address, "shared")) == 1
        clear(second, address, "shared")
    context.close()


@pytest.mark.parametrize(("choice", "corner"), [("Keep mine", 740), ("Take theirs", 525)])
def test_many_changes_made_offline_meet_one_of_another_person(
    browser: Any, address: str, made: Path, choice: str, corner: int
) -> None:
    context = browser.new_context(viewport=SIZE)
    page = listen(context.new_page())
    view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("p")
    view.click((-100, -100), (100, -100), (100, 100), (-100, 100))
    page.keyboard.press("Enter")
    view.saved()
    context.set_offline(True)
    view.tool("v")
    view.click((0, 0))
    for x in (160, 220, 280):
        view.drag((x - 60, -100), (x, -100))
    view.tool("b")
    view.click((0, 150), (50, 200))
    page.wait_for_selector(".saved.away:has-text('4 changes kept')")
    (theirs,) = [one for one in stored(page, address, "shared") if one["geometry"]["type"] == "Polygon"]
    ring = theirs["geometry"]["coordinates"][0]
    low, high = (np.min(ring, axis=0), np.max(ring, axis=0))
    theirs["geometry"]["coordinates"][0] = [
        [x - 25 * (high[0] - low[0]) / 100 if x < high[0] else x, y] for x, y in ring
    ]
    body = json.dumps(theirs)
    headers = {"If-Match": '"1"', "Content-Type": "application/geo+json"}
    answer = page.request.put(f"{address}/annotations/{theirs['id']}?crs=native", data=body, headers=headers)
    assert answer.status == 200, answer.text()
    context.set_offline(False)
    page.wait_for_selector(ASKED, timeout=60_000)
    # what is drawn elsewhere does not wait for the choice, and nobody is asked twice
    page.wait_for_function("() => Number(document.querySelector('.saved').dataset.waiting) === 3")
    page.wait_for_timeout(1500)
    assert page.locator(ASKED).count() == 1
    page.get_by_role("button", name=choice).click()
    page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'")
    found = stored(page, address, "shared")
    assert len(found) == 2
    (polygon,) = [one for one in found if one["id"] == theirs["id"]]
    columns = pixels(made, "shared", polygon["geometry"]["coordinates"][0])[:, 0]
    assert (columns.max() if choice == "Keep mine" else columns.min()) == pytest.approx(corner, abs=0.1)
    page.reload()
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_timeout(300)
    assert page.locator(".toast:has-text('unsent')").count() == 0
    clear(page, address, "shared")
    context.close()


def test_saving_needs_nothing_that_browsers_keep_for_https(page: Any, address: str, made: Path) -> None:
    page.add_init_script("delete Crypto.prototype.randomUUID; delete Navigator.prototype.locks;")
    scan = Scan.open(page, address, made, label="heart")
    hold = Hold(page)
    contour(scan, 2)
    hold.on = False
    page.reload()
    page.wait_for_selector(".toast:has-text('3 unsent changes are sent now')")
    page.wait_for_selector(".saved:has-text('Saved')")
    assert page.evaluate("[typeof crypto.randomUUID, typeof navigator.locks]") == ["undefined", "undefined"]
    assert rings(page, address) == [3]
    assert not page.errors


def test_a_change_of_another_person_is_seen_when_ours_is_through(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
    view.label("pond")
    view.tool("b")
    view.click((-100, -100), (0, 0))
    view.saved()
    (feature,) = stored(page, address, "shared")
    state = {"done": False}

    def answer(route: Any) -> None:
        if route.request.method != "PUT" or state["done"]:
            return route.continue_()
        state["done"] = True
        told = route.fetch()
        body = json.dumps({"properties": {"label": "heart"}})
        headers = {"If-Match": "*", "Content-Type": "application/merge-patch+json"}
        theirs = page.request.patch(f"{address}/annotations/{feature['id']}", data=body, headers=headers)
        assert theirs.status == 200, theirs.text()
        page.wait_for_timeout(500)  # the page hears of it before it has its own answer
        return route.fulfill(response=told)

    page.route("**/annotations/**", answer)
    view.tool("v")
    view.click((-50, -50))
    view.drag((0, 0), (60, 60))
    view.saved()
    page.wait_for_selector(".label:has-text('heart') .label-count:text-is('1')")
    page.unroute_all(behavior="ignoreErrors")
    clear(page, address, "shared")


def test_an_answer_that_breaks_off_is_waited_for_again(page: Any, made: Path) -> None:
    port = free_port()
    with server(made, port) as address:
        scan = Scan.open(page, address, made, label="heart")
    contour(scan, 4)
    page.wait_for_selector(".saved.away:has-text('5 changes kept here')")
    for _ in range(2):
        with server(made, port) as address:
            page.wait_for_timeout(700)  # killed again in the middle
        page.keyboard.press("k")
        page.wait_for_timeout(200)
    with server(made, port) as address:
        page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'", timeout=90_000)
        assert page.locator(ASKED).count() == 0
        assert rings(page, address) == [7]
        clear(page, address, "ct")


def test_a_token_that_expires_while_something_is_drawn_loses_nothing(
    browser: Any, viewer: Path, tmp_path: Path
) -> None:
    ws = bi.open_workspace(tmp_path / "ws")
    scene(tmp_path / "field.tif", size=(300, 400), bands=3, seed=3)
    ws.ingest(tmp_path / "field.tif")
    ws.annotations.set_schema(Schema(labels=(Label(name="pond", value=1),)), author="root")
    ws.people.add("ada", "annotator")
    old, new = ws.people.issue("ada"), ws.people.issue("ada")
    context = browser.new_context(viewport=SIZE)
    page = listen(context.new_page())
    with server(tmp_path / "ws") as address:
        page.goto(address)
        page.get_by_label("Token").fill(old[0])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector(".thumb img")
        view = Scene.open(page, address, "field", center=(200, 150), resolution=0.5)
        view.tool("b")
        view.click((-100, -100), (-50, -50))
        view.saved()
        refused = {"status": 401, "content_type": "application/problem+json", "body": '{"title": "Unauthorized"}'}
        page.route(
            "**/annotations**",
            lambda route: (
                route.fulfill(**refused)
                if route.request.headers.get("authorization") == f"Bearer {old[0]}"
                else route.continue_()
            ),
        )
        view.click((0, 0), (50, 50))
        page.wait_for_selector("dialog.who:has-text('expired')")
        page.wait_for_selector(".saved.away:has-text('Sign in to save: 1 change kept here')")
        page.keyboard.press("Escape")
        view.tool("p")
        view.click((-100, 0), (-50, 0))
        view.tool("b")
        view.click((100, 0), (150, 50))
        page.wait_for_selector("dialog.who")
        page.get_by_label("Token").fill(new[0])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("dialog.who", state="detached")
        page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'")
        headers = {"Authorization": f"Bearer {new[0]}"}
        found = page.request.get(f"{address}/images/field/annotations?crs=native", headers=headers).json()["features"]
        assert len(found) == 3
    context.close()

"""Several people at one image in the web viewer, and servers that die: nothing is lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimage as bi
from bigimage.model.labels import Label, Schema
from fixtures.make import scene
from tests.browser.conftest import free_port, listen, server
from tests.browser.drawing import SIZE, Scene, clear, live_mask, pixels, stored

pytestmark = pytest.mark.usefixtures("wide")


def test_two_people_change_one_polygon_and_nothing_is_lost(browser: Any, address: str, made: Path) -> None:
    contexts = [browser.new_context(viewport=SIZE) for _ in range(2)]
    first, second = (listen(context.new_page()) for context in contexts)
    views = [Scene.open(page, address, "shared", center=(600, 450), resolution=0.5) for page in (first, second)]
    views[0].label("pond")
    views[0].tool("p")
    views[0].click((-100, -100), (100, -100), (100, 100), (-100, 100))
    first.keyboard.press("Enter")
    views[0].saved()
    # it appears at the other's, who loses the connection, goes on working, and comes back
    second.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
    second.wait_for_timeout(300)
    contexts[1].set_offline(True)
    views[1].click((0, 0))
    views[1].drag((100, -100), (160, -150))
    second.wait_for_selector(".saved.away")
    views[0].tool("v")
    views[0].click((0, 0))
    views[0].drag((-100, 100), (-150, 160))
    views[0].saved()
    contexts[1].set_offline(False)
    second.wait_for_selector("dialog[aria-label=Conflict]", timeout=60_000)
    assert second.locator("dialog .drawing").count() == 2
    second.get_by_role("button", name="Keep both").click()
    views[1].saved()
    second.wait_for_timeout(500)
    found = stored(first, address, "shared")
    corners = [
        {(round(x), round(y)) for x, y in pixels(made, "shared", f["geometry"]["coordinates"][0])} for f in found
    ]
    assert {(525, 530), (650, 400), (650, 500), (550, 400)} in corners
    assert {(550, 500), (680, 375), (650, 500), (550, 400)} in corners
    first.wait_for_selector(".label:has-text('pond') .label-count:text-is('2')")
    clear(first, address, "shared")
    for context in contexts:
        context.close()


def test_two_people_paint_one_mask_and_undoing_takes_back_only_ones_own(browser: Any, address: str, made: Path) -> None:
    contexts = [browser.new_context(viewport=SIZE) for _ in range(2)]
    first, second = (listen(context.new_page()) for context in contexts)
    views = [Scene.open(page, address, "shared", center=(600, 450), resolution=1) for page in (first, second)]
    views[0].label("heart")
    views[0].tool("d")
    views[0].drag((-200, 0), (-100, 0))
    views[0].drag((-200, 0), (-200, 100))
    views[0].saved()
    # the other one goes on with the same mask
    second.wait_for_selector(".label:has-text('heart') .label-count:text-is('1')")
    views[1].label("heart")
    views[1].click((-150, 0))
    second.wait_for_selector(".facts:has-text('mask')")
    views[1].tool("d")
    views[1].drag((100, 0), (200, 0))
    views[1].saved()
    both = live_mask(second, address, "shared") == 2
    first.wait_for_timeout(500)
    first.keyboard.press("Control+z")
    views[0].saved()
    left = live_mask(first, address, "shared") == 2
    places = ((450, 750), (450, 450), (540, 400))  # painted by the other, by both strokes of the first in turn
    assert [bool(both[place]) for place in places] == [True, True, True]
    assert [bool(left[place]) for place in places] == [True, True, False]
    first.keyboard.press("Control+y")
    views[0].saved()
    assert np.array_equal(live_mask(first, address, "shared") == 2, both)
    assert len(stored(first, address, "shared")) == 1
    assert not first.errors
    assert not second.errors
    clear(first, address, "shared")
    for context in contexts:
        context.close()


def test_a_server_that_dies_loses_nothing(page: Any, made: Path) -> None:
    port = free_port()
    with server(made, port) as address:
        view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
        view.label("pond")
        view.tool("b")
        view.click((-200, -100), (-150, -50))
        view.saved()
    view.click((-100, -100), (-50, -50))
    view.click((0, -100), (50, -50))
    page.wait_for_selector(".saved.away")
    assert "2 changes kept" in page.locator(".saved").inner_text()
    with server(made, port) as address:
        page.wait_for_function("() => document.querySelector('.saved').dataset.waiting === '0'", timeout=60_000)
        assert len(stored(page, address, "shared")) == 3
        clear(page, address, "shared")


def test_a_cut_while_the_server_is_away_is_sent_when_it_is_back(page: Any, made: Path) -> None:
    port = free_port()
    with server(made, port) as address:
        view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
        view.label("pond")
        view.tool("p")
        view.click((-100, -100), (100, -100), (100, 100), (-100, 100))
        page.keyboard.press("Enter")
        view.saved()
        page.wait_for_function("() => performance.getEntriesByType('resource').some((e) => /overlay/.test(e.name))")
    view.tool("c")
    view.click((0, -150), (0, 150))
    page.keyboard.press("Enter")
    page.wait_for_selector(".saved.away")
    assert "2 changes kept" in page.locator(".saved").inner_text()
    with server(made, port) as address:
        page.wait_for_function("() => document.querySelector('.saved').dataset.waiting === '0'", timeout=60_000)
        halves = stored(page, address, "shared")
        spans = sorted(pixels(made, "shared", f["geometry"]["coordinates"][0])[:, 0].round(2).tolist() for f in halves)
        assert [(min(span), max(span)) for span in spans] == [(550, 600), (600, 650)]
        clear(page, address, "shared")


def test_unsent_changes_survive_the_page(browser: Any, made: Path) -> None:
    port = free_port()
    context = browser.new_context(viewport=SIZE)
    page = listen(context.new_page())
    with server(made, port) as address:
        view = Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
        view.label("pond")
        context.set_offline(True)
        view.tool("b")
        view.click((-100, -100), (-50, -50))
        page.wait_for_selector(".saved.away")
        page.close()
        context.set_offline(False)
        page = listen(context.new_page())
        Scene.open(page, address, "shared", center=(600, 450), resolution=0.5)
        page.wait_for_function("() => document.querySelector('.saved').dataset.waiting === '0'")
        assert len(stored(page, address, "shared")) == 1
        clear(page, address, "shared")
    context.close()


def test_people_sign_in_with_their_tokens(browser: Any, viewer: Path, tmp_path: Path) -> None:
    ws = bi.open_workspace(tmp_path / "ws")
    scene(tmp_path / "field.tif", size=(300, 400), bands=3, seed=3)
    ws.ingest(tmp_path / "field.tif")
    for name, role in (("ada", "annotator"), ("vera", "viewer")):
        ws.people.add(name, role)
    tokens = {name: ws.people.issue(name)[0] for name in ("ada", "vera")}
    context = browser.new_context(viewport=SIZE)
    page = listen(context.new_page())
    with server(tmp_path / "ws") as address:

        def enter(token: str) -> None:
            page.wait_for_selector("dialog.who")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()

        page.goto(address)
        enter("wrong")
        page.wait_for_selector("dialog.who .problem:has-text('Nobody has this token')")
        enter(tokens["ada"])
        page.wait_for_function("() => [...document.images].some(i => i.closest('.thumb') && i.naturalWidth > 0)")
        view = Scene.open(page, address, "field", center=(200, 150), resolution=0.5)
        page.get_by_label("New label").fill("pond")
        page.keyboard.press("Enter")
        # only an administrator changes the schema, so the label is refused with a reason
        page.wait_for_selector(".toast.bad")
        ws.annotations.set_schema(Schema(labels=(Label(name="pond", value=1),)), author="root")
        view = Scene.open(page, address, "field", center=(200, 150), resolution=0.5)
        page.reload()
        page.wait_for_selector(".saved:has-text('Saved')")
        view.label("pond")
        view.tool("b")
        view.click((-50, -50), (50, 50))
        view.saved()
        (feature,) = stored_as(page, address, "field", tokens["ada"])
        assert feature["properties"]["author"] == "ada"
        page.get_by_label("Sign out").click()
        enter(tokens["vera"])
        page.wait_for_selector(".label:has-text('pond') .label-count:text-is('1')")
        view.tool("b")
        view.click((60, 60), (80, 80))
        page.wait_for_selector(".toast.bad:has-text('vera is viewer')")
        assert len(stored_as(page, address, "field", tokens["vera"])) == 1
    context.close()


def stored_as(page: Any, address: str, image: str, token: str) -> list[dict[str, Any]]:
    """Annotations of an image, asked for by somebody."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = page.request.get(f"{address}/images/{image}/annotations?crs=native", headers=headers)
    assert answer.status == 200, answer.text()
    return answer.json()["features"]

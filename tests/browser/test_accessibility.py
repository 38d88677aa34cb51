"""Every page, panel and dialog of the viewer before the rules of axe-core (WCAG 2 A and AA), in light and dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import listen
from tests.browser.drawing import SIZE, Scan, Scene, clear

GRAVE = {"serious", "critical"}
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map((one) => [
  one.impact, `${one.id}: ${one.help}: ` + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | "),
])"""


@pytest.fixture(params=["light", "dark"])
def judged(browser: Any, node_modules: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page in one of the two colour schemes; `judge` tells what is gravely wrong with what it shows."""
    script = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(viewport=SIZE, color_scheme=request.param)
    page = listen(context.new_page())

    def judge() -> list[str]:
        page.wait_for_timeout(250)
        page.evaluate(script)  # past the page's policy, which would forbid a script element
        return [text for impact, text in page.evaluate(RUN) if impact in GRAVE]

    page.judge = judge
    yield page
    context.close()


def test_the_list_and_its_dialogs(judged: Any, address: str) -> None:
    judged.goto(address)
    judged.wait_for_selector(".card")
    assert judged.judge() == []
    judged.get_by_label("About field").click()
    judged.wait_for_selector("dialog[open]")
    assert judged.judge() == []
    judged.keyboard.press("Escape")
    judged.get_by_label("Filter by name").fill("nothing has this name")
    assert judged.judge() == []
    judged.goto(f"{address}/#/images/not-there")
    judged.wait_for_selector(".failure")
    assert judged.judge() == []


def test_a_scene_with_everything_open(judged: Any, address: str) -> None:
    view = Scene.open(judged, address, "field", center=(600, 450), resolution=1)
    view.label("pond")
    view.tool("b")
    view.click((-200, -100), (-100, 0))
    judged.wait_for_selector(".facts:has-text('box')")
    view.saved()
    assert judged.judge() == []
    for name in ("Masks", "Regions", "History"):
        judged.locator("summary", has_text=name).click()
    judged.wait_for_selector(".revisions li")
    judged.get_by_role("button", name="As annotated now").click()
    judged.wait_for_selector(".legend .class")
    view.tool("m")
    assert judged.judge() == []
    for open_dialog in (
        lambda: judged.keyboard.press("?"),
        lambda: judged.keyboard.press("i"),
        lambda: judged.get_by_label("Export and import").click(),
    ):
        open_dialog()
        judged.wait_for_selector("dialog[open]")
        assert judged.judge() == []
        judged.keyboard.press("Escape")
    clear(judged, address, "field")


def test_a_scan(judged: Any, address: str, made: Path) -> None:
    view = Scan.open(judged, address, made, label="heart")
    assert judged.judge() == []
    view.tool("m")
    judged.keyboard.press("?")
    judged.wait_for_selector("dialog[open]")
    assert judged.judge() == []

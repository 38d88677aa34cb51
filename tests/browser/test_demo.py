"""The demo on a real scene, as a person sees it."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bigimage.errors import Unsupported
from bigimage.samples import locate


@pytest.fixture(scope="module")
def demo_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo SERVE=0` leaves behind."""
    try:
        locate("blue-marble")
    except Unsupported as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "bigimage", "--workspace", str(folder), "demo", "--no-serve"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "blue-marble: 3×2700×5400 uint8" in said
    return folder


def test_the_plain_pages_show_the_scene(
    demo_workspace: Path, serve: Callable[[Path], str], page: Any, tmp_path: Path
) -> None:
    address = serve(demo_workspace)
    page.goto(f"{address}/static/index.html")  # as / is where the viewer was not built
    page.wait_for_load_state("networkidle")
    thumbnails = page.evaluate("() => [...document.images].map(image => image.naturalWidth)")
    assert 300 in thumbnails
    page.goto(f"{address}/static/index.html?image=blue-marble")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot(path=str(tmp_path / "scene.png")))).convert("RGB"))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 5000
    # deserts and oceans are both on screen: bright yellowish and dark blue parts of the globe
    red, blue = shown[..., 0].astype(int), shown[..., 2].astype(int)
    assert ((red > 150) & (red > blue + 30)).mean() > 0.01
    assert ((blue > red + 10) & (red < 60)).mean() > 0.1
    assert {host.split(":")[0] for host in page.hosts} == {"127.0.0.1"}
    assert not page.errors


def test_the_viewer_shows_the_scene(
    demo_workspace: Path, viewer: Path, serve: Callable[[Path], str], page: Any, tmp_path: Path
) -> None:
    address = serve(demo_workspace)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(address)
    page.locator(".card", has_text="blue-marble").locator("a").click()
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)
    shot = page.locator(".map").screenshot(path=str(tmp_path / "viewer.png"))
    shown = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
    red, blue = shown[..., 0], shown[..., 2]
    assert ((red > 150) & (red > blue + 30)).mean() > 0.01
    assert ((blue > red + 10) & (red < 60)).mean() > 0.1
    assert {host.split(":")[0] for host in page.hosts} == {"127.0.0.1"}
    assert not page.errors


def test_a_newcomer_draws_saves_reloads_and_exports(
    demo_workspace: Path, viewer: Path, serve: Callable[[Path], str], page: Any
) -> None:
    address = serve(demo_workspace)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}/#/images/blue-marble")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)
    page.locator(".label-name", has_text="Alaska").click()
    page.get_by_role("button", name="Polygon", exact=True).click()
    for x, y in ((400, 500), (520, 480), (560, 600)):
        page.mouse.move(x, y)
        page.mouse.click(x, y)
        page.wait_for_timeout(60)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.saved')?.dataset.waiting === '0'")
    page.wait_for_selector(".facts:has-text('polygon')")
    page.reload()
    page.locator("summary", has_text="History").click()
    page.wait_for_selector(".revisions li:has-text('1 added')")
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="semantic").click()
    page.wait_for_selector(".legend .class:has-text('Alaska')")
    page.get_by_label("Export and import").click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Download").first.click()
    features = json.loads(Path(download.value.path()).read_text())["features"]
    newest = max(features, key=lambda feature: feature["properties"]["created"])
    assert newest["properties"]["label"] == "Alaska"
    assert newest["geometry"]["type"] == "Polygon"
    assert not page.errors


def test_map_tiles_put_the_world_where_it_is(demo_workspace: Path, serve: Callable[[Path], str], page: Any) -> None:
    address = serve(demo_workspace)
    # lon, lat, what is there
    places = [(10.0, 23.0, "desert"), (-140.0, 5.0, "ocean"), (-60.0, -4.0, "forest"), (-42.0, 72.0, "ice")]
    for longitude, latitude, kind in places:
        n = 2**3 * 256
        x = (longitude + 180) / 360 * n
        y = (1 - np.arcsinh(np.tan(np.radians(latitude))) / np.pi) / 2 * n
        url = f"{address}/images/blue-marble/tiles/WebMercatorQuad/3/{int(x // 256)}/{int(y // 256)}.png"
        answer = page.request.get(url, timeout=120_000)
        assert answer.status == 200
        tile = np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)
        red, green, blue = tile[int(y % 256), int(x % 256)]
        assert {
            "desert": red > 150 and red > blue + 30,
            "ocean": blue > red and red < 60,
            "forest": green > red and green > blue and green < 140,
            "ice": min(red, green, blue) > 170,
        }[kind], (kind, red, green, blue)

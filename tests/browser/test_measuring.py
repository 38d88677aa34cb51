"""Measuring in the viewer, held to PROJ's ellipsoid and to numpy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Geod, Transformer

import bigimage as bi
from fixtures.phantom import ct_series
from tests.browser.conftest import server
from tests.browser.drawing import Scene, stored

pytestmark = pytest.mark.usefixtures("wide")

GEOD = Geod(ellps="WGS84")
PLACES = {
    # an image's CRS and size of pixel, and the middle of its left upper quarter
    "utm": ("EPSG:32632", 20.0, (680_000.0, 5_800_000.0)),
    "mercator": ("EPSG:3857", 20.0, (1_100_000.0, 8_000_000.0)),
    "degrees": ("EPSG:4326", 0.002, (15.0, 68.0)),
}


def make_scene(folder: Path, name: str) -> Path:
    """A scene of a CRS, whose values are known."""
    import rasterio
    from rasterio.transform import from_origin

    crs, pixel, (x, y) = PLACES[name]
    values = np.arange(400 * 500, dtype=np.uint16).reshape(1, 400, 500) % 997
    facts = {"driver": "GTiff", "width": 500, "height": 400, "count": 1, "dtype": "uint16"}
    with rasterio.open(
        folder / f"{name}.tif", "w", crs=crs, transform=from_origin(x, y, pixel, pixel), **facts
    ) as made:
        made.write(values)
    return folder / f"{name}.tif"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, viewer: Path) -> Path:
    """Scenes in three CRSs, and a scan whose voxels are not cubes."""
    folder = tmp_path_factory.mktemp("measuring")
    ws = bi.open_workspace(folder / "ws")
    for name in PLACES:
        ws.ingest(make_scene(folder, name))
    ct_series(folder / "ct", slices=20)
    ws.ingest(folder / "ct", name="ct")
    return folder / "ws"


@pytest.fixture(scope="module")
def address(made: Path) -> Iterator[str]:
    """A server on that workspace."""
    with server(made) as found:
        yield found


def metres(words: str) -> float:
    """A length in words, as metres; also an area, as square metres."""
    value, unit = words.split()[:2]
    return float(value) * {"cm": 0.01, "m": 1, "km": 1000, "m²": 1, "ha": 1e4, "km²": 1e6}[unit.rstrip(",")]


def lonlat(made: Path, name: str, pixels: list[tuple[float, float]]) -> np.ndarray:
    """Longitude and latitude of columns and rows."""
    grid = bi.open_workspace(made).image(name).info.grid
    world = np.asarray(grid.to_world(np.asarray(pixels)[:, ::-1]))
    to = Transformer.from_crs(PLACES[name][0], "EPSG:4326", always_xy=True)
    return np.column_stack(to.transform(world[:, 0], world[:, 1]))


@pytest.mark.parametrize("name", list(PLACES))
def test_lengths_and_areas_are_those_of_the_ellipsoid(page: Any, address: str, made: Path, name: str) -> None:
    view = Scene.open(page, address, name, center=(250, 200), resolution=1)
    view.tool("m")
    view.click((-150, -90), (160, -80), (140, 100))
    page.keyboard.press("Enter")
    page.wait_for_selector(".ruler:has-text('°')")
    length, angle, area = (part.strip() for part in page.locator(".ruler").inner_text().split("   "))
    corners = [view.pixel(x, y) for x, y in ((-150, -90), (160, -80), (140, 100))]
    places = lonlat(made, name, corners)
    assert metres(length) == pytest.approx(GEOD.line_length(places[:, 0], places[:, 1]), rel=1e-3)  # four digits
    ways = [GEOD.inv(*places[1], *places[k])[0] for k in (0, 2)]
    turn = abs(ways[0] - ways[1]) % 360
    assert float(angle.rstrip("°")) == pytest.approx(min(turn, 360 - turn), abs=0.06)
    # edges are straight on the image
    steps = np.linspace(0, 1, 200)[:, None]
    ring = [np.asarray(corners[k]) * (1 - steps) + np.asarray(corners[(k + 1) % 3]) * steps for k in range(3)]
    dense = lonlat(made, name, np.concatenate(ring).tolist())
    due = abs(GEOD.polygon_area_perimeter(dense[:, 0], dense[:, 1])[0])
    assert metres(area.removeprefix("closed: ")) == pytest.approx(due, rel=1e-3)
    assert not page.errors


def test_values_within_an_ellipse_are_told_and_nothing_is_stored(page: Any, address: str, made: Path) -> None:
    view = Scene.open(page, address, "utm", center=(250, 200), resolution=1)
    view.tool("m")
    page.locator(".measuring").get_by_role("button", name="Ellipse").click()
    view.click((-60, -40), (60, 40))
    page.wait_for_selector(".ruler:has-text('mean')", timeout=120_000)  # kernels may have to be compiled
    size, pixels, values = page.locator(".ruler").inner_text().split("\n")
    rows, columns = np.mgrid[:400, :500] + 0.5
    inside = ((columns - 250) / 60) ** 2 + ((rows - 200) / 40) ** 2 < 1
    read = (
        bi.open_workspace(made).image("utm").read_index((slice(0, 400), slice(0, 500))).array[0][inside].astype(float)
    )
    # a click lies on a whole pixel of the screen
    assert int(pixels.split()[0].replace(",", "")) == pytest.approx(inside.sum(), rel=0.03)
    assert float(values.split("mean ")[1].split()[0]) == pytest.approx(read.mean(), rel=0.02)
    assert "×" in size
    assert stored(page, address, "utm") == []
    page.locator(".measuring").get_by_role("button", name="Area").click()
    assert page.locator(".ruler:visible").count() == 0
    view.click((-60, -40), (60, -40), (60, 40))
    page.keyboard.press("Enter")
    page.wait_for_selector(".ruler:has-text('mean')")
    assert int(page.locator(".ruler").inner_text().split("\n")[1].split()[0].replace(",", "")) == pytest.approx(
        4800, rel=0.03
    )
    assert not page.errors


def millimetres(words: str) -> float:
    value, unit = words.split()[:2]
    return float(value) * {"mm": 1, "cm": 10, "mm²": 1, "cm²": 100}[unit.rstrip(",")]


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_scans_are_measured_in_millimetres(page: Any, address: str, made: Path, plane: str) -> None:
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector(f"[data-plane={plane}][data-shown]")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("m")
    box = page.locator(f"[data-plane={plane}] canvas").bounding_box()
    world = []
    for x, y in ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6)):
        at = (box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        page.mouse.move(*at)
        world.append([float(v) for v in page.locator(".status .cell").nth(1).inner_text().split(",")])
        page.mouse.click(*at)
    page.keyboard.press("Enter")
    length, angle = (part.strip() for part in page.locator(".ruler").inner_text().split("   "))
    a, b, c = np.asarray(world)
    assert millimetres(length) == pytest.approx(np.linalg.norm(b - a) + np.linalg.norm(c - b), rel=2e-3)
    assert angle == "90.0°"
    assert page.request.get(f"{address}/images/ct/annotations").json()["numberReturned"] == 0
    assert not page.errors


def test_values_within_an_ellipse_of_a_scan_are_in_its_unit(page: Any, address: str, made: Path) -> None:
    page.goto(f"{address}/#/images/ct")
    page.wait_for_selector("[data-plane=axial][data-shown]")
    page.wait_for_selector(".saved:has-text('Saved')")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("m")
    page.locator(".measuring").get_by_role("button", name="Ellipse").click()
    box = page.locator("[data-plane=axial] canvas").bounding_box()
    ends = []
    for k, (x, y) in enumerate(((0.42, 0.42), (0.6, 0.56))):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        ends.append([float(v) for v in page.locator(".status .cell").nth(1).inner_text().split(",")])
        (page.mouse.down, page.mouse.up)[k]()
    size, pixels, values = page.locator(".ruler").inner_text().split("\n")
    pyramid = bi.open_workspace(made).image("ct")
    (z0, y0, x0), (_, y1, x1) = np.asarray(pyramid.info.grid.to_index(np.asarray(ends)))
    slice_ = pyramid.read_index((slice(int(z0), int(z0) + 1), slice(None), slice(None)), physical=True).array.squeeze()
    rows, columns = np.mgrid[: slice_.shape[0], : slice_.shape[1]] + 0.5
    inside = ((columns - (x0 + x1) / 2) / (abs(x1 - x0) / 2)) ** 2 + (
        (rows - (y0 + y1) / 2) / (abs(y1 - y0) / 2)
    ) ** 2 < 1
    assert int(pixels.split()[0].replace(",", "")) == pytest.approx(inside.sum(), rel=0.02)
    assert float(values.split("mean ")[1].split()[0]) == pytest.approx(slice_[inside].mean(), rel=0.02, abs=2)
    assert values.endswith("HU")
    step = pyramid.info.grid.spacing[1]
    assert millimetres(size.split(", ")[1]) == pytest.approx(np.pi / 4 * abs((x1 - x0) * (y1 - y0)) * step**2, rel=0.01)
    assert not page.errors

"""OpenLayers draws our vector tiles where the annotations are, across tiles without a seam; GDAL reads the same."""

import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from PIL import Image

import bigimage as bi
from bigimage.model.shape import Polygon
from fixtures.make import scene

COLOURS = {"field": (0, 170, 0), "house": (204, 0, 0), "tree": (0, 0, 204)}


@pytest.fixture
def labelled(tmp_path: Path) -> bi.Workspace:
    """A scene with a large field with a hole, houses, and more trees than one tile draws one by one."""
    scene(tmp_path / "field.tif", size=(2222, 2666), bands=1, dtype="uint8", seed=3)
    workspace = bi.open_workspace(tmp_path / "ws")
    grid = workspace.ingest(tmp_path / "field.tif")[0].info.grid
    workspace.annotations.set_schema({"labels": [{"name": n, "value": k} for k, n in enumerate(COLOURS, 1)]})

    def add(label: str, *rings: list[tuple[float, float]], holes: Any = ()) -> None:
        shapes = [Polygon(shapely.Polygon(grid.to_world(r), [grid.to_world(h) for h in holes])) for r in rings]
        workspace.annotations.add("field", *shapes, label=label)

    add("field", [(200, 200), (200, 2400), (1900, 1900), (1700, 300)], holes=[[(700, 900), (700, 1500), (1300, 1300)]])
    add("house", [(2000, 200), (2000, 500), (2150, 500), (2150, 200)])
    rng = np.random.default_rng(5)
    places = rng.uniform((20, 20), (150, 2600), (1500, 2))
    add("tree", *[[(y, x), (y, x + 4), (y + 4, x + 4), (y + 4, x)] for y, x in places])
    return workspace


def colours(data: bytes) -> np.ndarray:
    """Pixels (y, x, 3) of a screenshot."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("zoom", [1, 2])
def test_openlayers_draws_annotations_in_the_images_own_grid(
    labelled: bi.Workspace, serve: Callable[[Path], str], pages: str, page: Any, tmp_path: Path, zoom: int
) -> None:
    address = serve(labelled.path)
    grid = labelled.image("field").info.grid
    extent = ",".join(map(str, grid.world_bounds().values))
    page.goto(f"{pages}/vectors.html?url={address}/images/field&extent={extent}&zoom={zoom}")
    page.wait_for_function("window.drawn === true", timeout=60_000)
    page.wait_for_timeout(300)
    shown = colours(page.screenshot(path=str(tmp_path / f"vectors{zoom}.png")))
    scale = len(labelled.image("field").levels) - 1 - zoom
    rows, columns = grid.shape

    def at(row: float, column: float) -> tuple[int, int]:
        """Place on the screen of a pixel of the finest level."""
        return round(300 + (row - rows / 2) / 2**scale), round(400 + (column - columns / 2) / 2**scale)

    for row, column, label in [(500, 800, "field"), (1500, 1200, "field"), (900, 600, "field"), (2075, 350, "house")]:
        y, x = at(row, column)
        if 0 <= y < 600 and 0 <= x < 800:
            assert tuple(shown[y, x]) == COLOURS[label], (row, column)
    y, x = at(900, 1200)
    assert tuple(shown[y, x]) == (255, 255, 255)  # the hole
    # along a line that crosses several tiles within the field there is no seam
    first, last = at(520, 700), at(520, 1700)
    assert (shown[first[0], max(0, first[1]) : min(800, last[1])] == COLOURS["field"]).all()
    y, x = at(500, 800)
    (found,) = [f for f in page.evaluate(f"window.featuresAt({x}, {y})") if f["label"] == "field"]
    assert found["shape"] == "polygon"
    assert labelled.annotations.get(UUID(found["id"])).label == "field"
    assert not page.errors


def test_gdal_reads_what_openlayers_draws(labelled: bi.Workspace, serve: Callable[[Path], str], tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    address = serve(labelled.path)
    with urllib.request.urlopen(f"{address}/images/field/annotations/tiles/native/0/0/0.mvt") as answer:
        (tmp_path / "0.mvt").write_bytes(answer.read())
    assert set(pyogrio.list_layers(tmp_path / "0.mvt")[:, 0]) == {"annotations", "counts"}
    shapes = pyogrio.read_dataframe(tmp_path / "0.mvt", layer="annotations")
    assert sorted(shapes["label"]) == ["field", "house"]
    assert shapes.geometry.is_valid.all()
    counts = pyogrio.read_dataframe(tmp_path / "0.mvt", layer="counts")
    assert counts["count"].sum() == 1500


def test_gdal_finds_web_mercator_tiles_where_the_annotations_are(
    labelled: bi.Workspace, serve: Callable[[Path], str]
) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    address = serve(labelled.path)
    (field,) = [a for a in labelled.annotations.query("field") if a.label == "field"]
    grid = labelled.image("field").info.grid
    with urllib.request.urlopen(f"{address}/images/field/tiles/WebMercatorQuad") as answer:
        limits = json.loads(answer.read())["tileMatrixSetLimits"][0]
    parts = []
    for x in range(limits["minTileCol"], limits["maxTileCol"] + 1):
        for y in range(limits["minTileRow"], limits["maxTileRow"] + 1):
            # GDAL takes z, x and y from the address to know where a tile lies
            tile = f"WebMercatorQuad/{limits['tileMatrix']}/{x}/{y}.mvt"
            url = f"{address}/images/field/annotations/tiles/{tile}"
            with urllib.request.urlopen(url) as answer:
                if not answer.read():
                    continue  # nothing is there, and GDAL takes no empty file
            table = pyogrio.read_dataframe(f"MVT:{url}", layer="annotations")
            parts += table.geometry[table["label"] == "field"].set_crs("EPSG:3857").to_crs(str(grid.frame)).tolist()
    drawn = shapely.union_all(parts)
    assert isinstance(field.shape, Polygon)
    assert drawn.symmetric_difference(field.shape.geometry).area < 0.01 * field.shape.geometry.area

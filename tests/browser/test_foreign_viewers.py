"""Other people's readers and viewers open our stores over HTTP: OpenLayers, zarrita, tensorstore, neuroglancer."""

import io
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bigimage as bi
from fixtures.make import scene

UTM32 = "+proj=utm +zone=32 +datum=WGS84 +units=m +no_defs"


@pytest.fixture
def utm_scene(tmp_path: Path) -> bi.Pyramid:
    """A generated scene of odd size in UTM, with distinct corners."""
    scene(tmp_path / "field.tif", size=(1111, 1333), bands=3, dtype="uint8", seed=3)
    return bi.open_workspace(tmp_path / "ws").ingest(tmp_path / "field.tif")[0]


def picture(data: bytes) -> np.ndarray:
    """Pixels (y, x, 3) of a screenshot."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(float)


def test_openlayers_geozarr_shows_the_scene(
    utm_scene: bi.Pyramid, serve: Callable[[Path], str], pages: str, page: Any, tmp_path: Path
) -> None:
    address = serve(utm_scene.path.parents[1])
    bounds = utm_scene.info.grid.world_bounds().values
    query = {
        "url": f"{address}/images/{utm_scene.id}/zarr",
        "code": "EPSG:32632",
        "proj4": UTM32,
        "extent": ",".join(map(str, bounds)),
        "max": "255",
    }
    page.goto(f"{pages}/index.html?" + "&".join(f"{k}={v.replace('+', '%2B')}" for k, v in query.items()))
    page.wait_for_function("window.drawn === true", timeout=60_000)
    page.wait_for_timeout(500)
    shown = picture(page.screenshot(path=str(tmp_path / "openlayers.png")))
    # the view fits the extent: whole scene, centred, at one scale
    rows, columns = utm_scene.info.grid.shape
    scale = max(columns / 800, rows / 600)
    for y, x in [(0.2, 0.3), (0.5, 0.5), (0.8, 0.7), (0.3, 0.8)]:
        row, column = int(rows * y), int(columns * x)
        window = (slice(row - 12, row + 12), slice(column - 12, column + 12))
        expected = utm_scene.read_index(window).array.reshape(3, -1).mean(axis=1)
        sy, sx = int(300 + (row - rows / 2) / scale), int(400 + (column - columns / 2) / scale)
        found = shown[sy - 6 : sy + 6, sx - 6 : sx + 6].reshape(-1, 3).mean(axis=0)
        assert np.abs(found - expected).max() < 8, (y, x, found, expected)
    assert not page.errors
    assert len(page.hosts) == 2  # the page's own origin and the server


def test_zarrita_and_tensorstore_read_equal_values(
    utm_scene: bi.Pyramid, serve: Callable[[Path], str], node_modules: Path
) -> None:
    import tensorstore as ts

    address = serve(utm_scene.path.parents[1])
    store = f"{address}/images/{utm_scene.id}/zarr"
    expected = utm_scene.read_index((slice(250, 262), slice(500, 520)), level=1).array
    node = shutil.which("node")
    assert node is not None
    out = subprocess.run(
        [node, "zarrita.mjs", store, "/1/image", "250", "262", "500", "520"],
        cwd=node_modules.parent, capture_output=True, check=True,
    )  # fmt: skip
    read = json.loads(out.stdout)
    assert read["shape"] == [3, 12, 20]
    assert np.array_equal(np.array(read["data"]).reshape(3, 12, 20), expected)
    spec = {"driver": "zarr3", "kvstore": f"{store}/1/image/"}
    array = ts.open(spec, read=True).result()
    assert np.array_equal(array[:, 250:262, 500:520].read().result(), expected)


def test_zarrs_reads_equal_values(utm_scene: bi.Pyramid) -> None:
    import zarr
    import zarrs  # noqa: F401 - registers its codec pipeline

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        for number, level in enumerate(utm_scene.levels):
            array = zarr.open_array(str(level.image.folder), mode="r")
            assert np.array_equal(array[...], utm_scene.read_index(level.grid.box, level=number).array)


def test_neuroglancer_draws_all_chunks(
    utm_scene: bi.Pyramid, serve: Callable[[Path], str], page: Any, tmp_path: Path
) -> None:
    import neuroglancer as ng

    address = serve(utm_scene.path.parents[1])
    ng.set_server_bind_address("127.0.0.1")
    viewer = ng.Viewer(token="t")
    with viewer.txn() as state:
        source = f"{address}/images/{utm_scene.id}/zarr/|zarr3:"
        state.layers["scene"] = ng.ImageLayer(source=source)
        state.layout = "xy"
    page.goto(viewer.get_viewer_url())
    box: dict[str, Any] = {}
    # the screenshot waits until every visible chunk is loaded, while the page must go on running
    thread = threading.Thread(target=lambda: box.update(shot=viewer.screenshot(size=[600, 500])), daemon=True)
    thread.start()
    for _ in range(300):
        page.wait_for_timeout(200)
        if not thread.is_alive():
            break
    assert "shot" in box, f"neuroglancer never finished drawing; errors: {page.errors[:3]}"
    shown = box["shot"].screenshot.image_pixels
    Image.fromarray(shown).save(tmp_path / "neuroglancer.png")
    colours = np.unique(shown.reshape(-1, shown.shape[-1]), axis=0)
    assert len(colours) > 100
    ng.stop()

"""Files in and out of the web viewer: formats that fit, mask layers, and files of other tools."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import bigimage as bi
from tests.browser.drawing import Scene, clear, stored

pytestmark = pytest.mark.usefixtures("wide")


def feature(made: Path, corners: list[tuple[float, float]], label: str) -> dict[str, Any]:
    """A polygon of a file, its corners in pixels."""
    ring = bi.open_workspace(made).image("field").info.grid.to_world(np.array([*corners, corners[0]])).tolist()
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"label": label}}


def test_a_file_with_new_labels_and_faulty_areas_is_taken_in_on_request(
    page: Any, address: str, made: Path, tmp_path: Path
) -> None:
    Scene.open(page, address, "field", center=(600, 450), resolution=1)
    bow = feature(made, [(100, 100), (200, 200), (200, 100), (100, 200)], "barn")
    crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
    (tmp_path / "theirs.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [bow]}))
    page.get_by_label("Export and import").click()
    page.get_by_label("File of annotations").set_input_files(tmp_path / "theirs.geojson")
    page.wait_for_selector(".report .problem:has-text('extend-schema')")
    assert stored(page, address, "field") == []
    page.get_by_label("Add labels").check()
    page.get_by_label("Mend areas").check()
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_selector(".report:has-text('1 added')")
    assert "even-odd" in page.locator(".report:has-text('1 added')").inner_text()
    (found,) = stored(page, address, "field")
    assert found["geometry"]["type"] == "MultiPolygon"
    page.keyboard.press("Escape")
    page.wait_for_selector(".label:has-text('barn') .label-count:text-is('1')")
    assert all("400" in error for error in page.errors)  # the browser's own word on the refusal
    clear(page, address, "field")


def test_a_mask_layer_leaves_in_a_format_that_fits(page: Any, address: str) -> None:
    view = Scene.open(page, address, "field", center=(600, 450), resolution=1)
    view.label("pond")
    view.tool("b")
    view.click((-200, -100), (200, 100))
    view.saved()
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="Paint mask").click()
    page.wait_for_selector(".label-name[aria-pressed=true]:has-text('semantic')", timeout=60_000)
    page.get_by_label("Export and import").click()
    page.wait_for_selector("[aria-label='Format'] option", state="attached")
    options = page.get_by_label("Format").locator("option")
    formats = dict(options.evaluate_all("all => all.map((one) => [one.value, one.text])"))
    assert formats["coco"] == "COCO"
    assert not {"rtstruct", "nifti"} & set(formats)
    page.get_by_label("What to export").select_option(label="Mask layer semantic")
    page.get_by_label("Format").select_option("geotiff")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    data = Path(download.value.path()).read_bytes()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(next(name for name in archive.namelist() if name.endswith(".tif")))
    with rasterio.MemoryFile(data) as file, file.open() as mask:
        assert np.count_nonzero(mask.read(1)) == 400 * 200
    assert not page.errors
    page.request.delete(f"{address}/images/field/masks/semantic")
    clear(page, address, "field")

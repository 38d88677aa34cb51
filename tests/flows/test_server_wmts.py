"""GDAL opens what the server offers as WMTS, on the very same grid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import DatasetReader

from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.unit.tilesrv.conftest import picture, serving, write_tif
from tilesrv.app import create_app

PLACES: dict[str, tuple[str, tuple[float, ...]]] = {
    "utm": ("EPSG:32632", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)),
    "degrees": ("EPSG:4326", (0.001, 0.0, 11.123, 0.0, -0.001, 48.777)),
    "northing-first": ("EPSG:3035", (25.0, 0.0, 4_321_000.0, 0.0, -25.0, 3_210_000.0)),
    "polar": ("EPSG:3031", (500.0, 0.0, 300_000.0, 0.0, -500.0, 1_200_000.0)),
    "crs84": ("OGC:CRS84", (0.25, 0.0, -60.0, 0.0, -0.25, 30.0)),
}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("wmts")
    made = open_workspace(settings=Settings(workspace=folder / "workspace", workers=1))
    for name, (crs, transform) in PLACES.items():
        made.ingest(write_tif(folder / f"{name}.tif", picture((381, 603), 3), transform=transform, crs=crs))
    return made


@pytest.fixture(scope="module")
def address(space: Workspace) -> Iterator[str]:
    with serving(create_app(space)) as running:
        yield running


def opened(address: str, image: str, tms: str) -> Any:
    url = f'"{address}/images/{image}/wmts?rescale=0,255"'  # quoted, as GDAL splits at commas
    dataset = rasterio.open(f"WMTS:{url},layer={image},tilematrixset={tms}")
    assert isinstance(dataset, DatasetReader)
    return dataset


@pytest.mark.parametrize("image", PLACES)
def test_the_native_grid_opens_with_its_own_bounds_and_overviews(
    address: str, space: Workspace, image: str, tmp_path: Path
) -> None:
    crs, transform = PLACES[image]
    with rasterio.Env(GDAL_DEFAULT_WMS_CACHE_PATH=str(tmp_path)), opened(address, image, "native") as dataset:
        assert (dataset.width, dataset.height) == (603, 381)
        assert np.allclose(tuple(dataset.transform)[:6], transform, rtol=1e-12, atol=0)
        own = space.image(image).info.grid.world_bounds().values
        assert np.allclose(dataset.bounds, own, rtol=1e-12)
        assert dataset.overviews(1) == [2]  # GDAL leaves out levels that are smaller than a tile
        assert dataset.crs == rasterio.crs.CRS.from_user_input("EPSG:4326" if crs == "OGC:CRS84" else crs)
        assert np.array_equal(dataset.read((1, 2, 3)), picture((381, 603), 3))


@pytest.mark.parametrize("image", ["utm", "degrees"])
def test_web_mercator_opens_too(address: str, image: str, tmp_path: Path) -> None:
    with rasterio.Env(GDAL_DEFAULT_WMS_CACHE_PATH=str(tmp_path)), opened(address, image, "WebMercatorQuad") as dataset:
        assert dataset.crs.to_epsg() == 3857
        assert dataset.read(1, out_shape=(64, 64)).any()

"""Every real raster beside the project as a pyramid: its pixels, its mask, its averages, and a sound store."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio

from bigimage.errors import BigImageError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.pyramid.array import as_stored
from bigimage.pyramid.validate import validate
from bigimage.workspace import open_workspace
from tests.conftest import SHARED_DATA
from tests.flows.test_real_rasters import NAN_IS_VALID_TO_GDAL, REFUSED, UNREADABLE
from tests.pyramids import reduced, whole
from tests.rasters import opened, plain, quiet

LARGEST = 16_000_000
"""Values of the largest raster read here."""
EXACT = 4_000_000
"""Values of the largest raster whose averages are made again, slowly."""
RASTERS = sorted(
    str(path.relative_to(SHARED_DATA))
    for folder in ("rasters", "vectors")
    for path in (SHARED_DATA / folder).rglob("*")
    if path.suffix in {".tif", ".jp2", ".vrt", ".dt0", ".bin"}
)


def _size(path: Path) -> int:
    """Values of a raster."""
    with quiet(), rasterio.open(path) as source:
        return source.width * source.height * source.count


@pytest.mark.parametrize("name", [name for name in RASTERS if name not in {*REFUSED, *UNREADABLE}])
def test_a_real_raster_as_a_pyramid(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / name
    size = _size(path)
    if size > LARGEST:
        pytest.skip(f"{size} values are more than this test reads")
    (pyramid,) = open_workspace(tmp_path).ingest(path, workers=2)
    finest = pyramid.levels[0]
    pixels, valid = whole(finest)
    expected, mask = plain(path, IndexBox.of_shape(finest.grid.shape))
    np.testing.assert_array_equal(pixels, expected)
    if path.name in NAN_IS_VALID_TO_GDAL:
        mask &= ~np.isnan(expected).all(axis=0)
    np.testing.assert_array_equal(np.ones_like(mask) if valid is None else valid, mask)
    assert validate(pyramid.path) == []
    if size <= EXACT and len(pyramid.levels) > 1:
        dtype = np.dtype(pyramid.info.dtype)
        nodata = [as_stored(band.nodata, dtype) for band in pyramid.info.bands]
        fill = [finest.image.spec.fill if v is None else v for v in nodata]  # type: ignore[attr-defined]
        labels = pyramid.info.role == "labels"
        above, seen = reduced(pixels, mask, labels=labels, nodata=nodata, fill=fill)
        found, found_valid = whole(pyramid.levels[1])
        np.testing.assert_array_equal(found, above)
        np.testing.assert_array_equal(np.ones_like(seen) if found_valid is None else found_valid, seen)


@pytest.mark.parametrize("name", sorted({*REFUSED, *UNREADABLE}))
def test_a_raster_that_cannot_be_read_leaves_nothing(name: str, shared_data: Path, tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    with pytest.raises(BigImageError, match=Path(name).name):
        workspace.ingest(shared_data / name)
    assert workspace.images() == []


@pytest.mark.parametrize("name", ["rasters/palette_landcover_7168x8704.tif", "rasters/gdal_edge/small_world_pct.tif"])
def test_classes_above_are_classes_below(name: str, shared_data: Path, tmp_path: Path) -> None:
    (pyramid,) = open_workspace(tmp_path).ingest(shared_data / name, workers=2)
    assert pyramid.info.role == "labels"
    assert pyramid.info.palette is not None
    values = [set(np.unique(whole(level)[0]).tolist()) for level in pyramid.levels]
    for finer, coarser in pairwise(values):
        assert coarser <= finer
    assert len(values[-1]) > 3


@pytest.mark.parametrize(
    ("name", "west", "east"),
    [
        ("dateline_utm60.tif", (176, 180), (-180, -176)),
        ("world_landmask_36000x18000.tif", (-180, -180), (180, 180)),
        ("antarctic_bathymetry_3031.tif", (107, 109), (111, 113)),
        ("south_up_inverted_lat.tif", (-180, 180), (-180, 180)),
    ],
)
def test_bounds_of_real_rasters(
    name: str, west: tuple[float, float], east: tuple[float, float], shared_data: Path
) -> None:
    with opened(shared_data / "rasters" / name) as source:
        box = source.info.grid.bounds_in(GeoFrame(WGS84))
    assert west[0] <= box.minimum[0] <= west[1]
    assert east[0] <= box.maximum[0] <= east[1]
    assert -90 <= box.minimum[1] < box.maximum[1] <= 90
    assert source.info.grid.index_box(box) == source.info.grid.box

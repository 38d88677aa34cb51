"""The Zarr v2 copy: GDAL opens it with the same pixels, place and nodata."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zarr

from bigimage.errors import BackendError, Conflict, Unsupported
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.pyramid.array import as_stored
from bigimage.pyramid.unsharded import write_unsharded
from tests.pyramids import build, noise, whole
from tests.rasters import quiet


def _opened(target: Path, level: int) -> Any:
    return rasterio.open(f'ZARR:"{target}":/{level}/image')


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", None),
        ("uint8", 300),
        ("int16", -5),
        ("uint16", 0),
        ("float32", float("nan")),
        ("float32", -1.7976931348623157e308),
        ("float64", -9999.0),
    ],
)
def test_gdal_reads_every_level(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    pyramid = build(tmp_path / "a", noise((2, 600, 517), dtype), nodata=(nodata, nodata))
    target = tmp_path / "a.zarr"
    write_unsharded(pyramid, target)
    for number, level in enumerate(pyramid.levels):
        with _opened(target, number) as dataset:
            np.testing.assert_array_equal(dataset.read(), whole(level)[0])
            assert dataset.crs.to_epsg() == 32633
            np.testing.assert_allclose(dataset.transform[:6], level.grid.transform, rtol=1e-12)
            np.testing.assert_equal(dataset.nodata, as_stored(nodata, np.dtype(dtype)))


@pytest.mark.parametrize("transform", [(10, 0, 500, 0, 10, 900), (-10, 0, 500, 0, -10, 900), (0.1, 0, 7, 0, -0.2, 50)])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2056", "+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84"])
def test_gdal_finds_the_place(tmp_path: Path, transform: tuple[float, ...], crs: str) -> None:
    grid = Grid.from_transform(transform, (30, 40), GeoFrame.of(crs))
    pyramid = build(tmp_path / "a", noise((1, 30, 40), "uint8"), grid=grid)
    write_unsharded(pyramid, tmp_path / "a.zarr")
    with _opened(tmp_path / "a.zarr", 0) as dataset:
        np.testing.assert_allclose(dataset.transform[:6], transform, rtol=1e-9, atol=1e-9)
        assert GeoFrame.of(dataset.crs.to_wkt()).proj.equals(grid.frame.proj, ignore_axis_order=True)  # type: ignore[union-attr]


def test_an_image_without_a_place(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "a", noise((1, 9, 8), "uint8"), grid=Grid.pixels((9, 8), "scene"))
    write_unsharded(pyramid, tmp_path / "a.zarr")
    with quiet(), _opened(tmp_path / "a.zarr", 0) as dataset:
        assert dataset.crs is None
        np.testing.assert_array_equal(dataset.read(), whole(pyramid.levels[0])[0])


def test_zarr_sees_coordinates_of_centres(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "a", noise((1, 5, 4), "uint8"))
    write_unsharded(pyramid, tmp_path / "a.zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r", zarr_format=2)
    np.testing.assert_array_equal(group["0/x"][:], 500_000 + 10 * (np.arange(4) + 0.5))
    np.testing.assert_array_equal(group["0/y"][:], 5_000_000 - 10 * (np.arange(5) + 0.5))
    assert group["0/image"].attrs["_ARRAY_DIMENSIONS"] == ["c", "y", "x"]


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    volume = build(tmp_path / "v", np.zeros((3, 9, 9), "uint8"), axes=("z", "y", "x"))
    with pytest.raises(Unsupported, match="is a volume"):
        write_unsharded(volume, target)
    grid = Grid.from_transform((1, 1, 0, 1, -1, 0), (9, 9), GeoFrame("EPSG:32633"))
    rotated = build(tmp_path / "r", np.zeros((1, 9, 9), "uint8"), grid=grid)
    with pytest.raises(Unsupported, match="rotated or sheared"):
        write_unsharded(rotated, target)
    times = build(tmp_path / "t", np.zeros((2, 1, 9, 9), "uint8"), axes=("t", "c", "y", "x"))
    with pytest.raises(Unsupported, match="axes t, c, y, x"):
        write_unsharded(times, target)
    assert not target.exists()


def test_a_copy_is_not_replaced_and_a_full_disk_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid = build(tmp_path / "a", noise((1, 9, 8), "uint8"))
    target = tmp_path / "copies" / "a.zarr"
    target.parent.mkdir()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bigimage.pyramid.unsharded._write_level", full)
        with pytest.raises(BackendError, match="No space left"):
            write_unsharded(pyramid, target)
    assert not list(target.parent.iterdir())
    write_unsharded(pyramid, target)
    with pytest.raises(Conflict, match="exists already"):
        write_unsharded(pyramid, target)
    assert [p.name for p in target.parent.iterdir()] == ["a.zarr"]

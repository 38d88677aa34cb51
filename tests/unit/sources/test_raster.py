from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader

from bigimage.errors import DataError, InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.sources import raster
from bigimage.sources.door import OpenOptions, Source
from tests.rasters import NORTH_UP, UTM, codes, opened, plain, quiet, ramp, write


def whole(source: Source, **options: object):
    return source.read(source.info.grid.box, **options)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Bands of every read that reaches rasterio from here on."""
    calls: list[tuple[int, ...]] = []
    inner: Callable[..., np.ndarray] = DatasetReader.read

    class Counting:
        def __init__(self, dataset: DatasetReader) -> None:
            self._dataset = dataset

        def __getattr__(self, name: str) -> object:
            return getattr(self._dataset, name)

        def read(self, indexes: list[int], **options: object) -> np.ndarray:
            calls.append(tuple(indexes))
            return inner(self._dataset, indexes, **options)

    original = raster.open_dataset
    monkeypatch.setattr(raster, "open_dataset", lambda *args: Counting(original(*args)))
    return calls


def test_one_read_per_window_for_all_bands(tmp_path: Path, reads: list[tuple[int, ...]]) -> None:
    path = write(tmp_path / "a.tif", ramp(4, 20, 30), nodata=0, photometric="RGB", alpha="NO")
    with opened(path) as source:
        whole(source)
        source.read(IndexBox((3, 4), (9, 9)), bands=[2, 0])
    assert reads == [(1, 2, 3, 4), (3, 1)]


def test_other_bands_are_read_only_where_they_decide(tmp_path: Path, reads: list[tuple[int, ...]]) -> None:
    array = ramp(3, 20, 30)
    array[0, :5] = 0
    array[:, 2, 2] = 0
    path = write(tmp_path / "a.tif", array, nodata=0)
    with opened(path) as source:
        assert source.read(IndexBox((6, 0), (20, 30)), bands=[0]).valid is None
        assert reads == [(1,)]
        patch = source.read(IndexBox((0, 0), (5, 30)), bands=[0])
    assert reads == [(1,), (1,), (2, 3)]
    assert patch.valid is not None
    assert np.argwhere(~patch.valid).tolist() == [[2, 2]]


def test_alpha_comes_with_the_same_read(tmp_path: Path, reads: list[tuple[int, ...]]) -> None:
    array = ramp(4, 20, 30)
    array[3, :, 10:] = 0
    array[3, 0, 0] = 1
    with opened(write(tmp_path / "a.png", array, driver="PNG")) as source:
        patch = whole(source, bands=[1])
        assert source.info.bands[3].interpretation == "alpha"
        assert source.info.shape[0] == 4
    assert reads == [(2, 4)]
    np.testing.assert_array_equal(patch.array, array[1:2])
    assert patch.array.flags.c_contiguous
    np.testing.assert_array_equal(patch.valid, array[3] > 0)


def test_alpha_anywhere_among_many_bands(tmp_path: Path) -> None:
    array = ramp(5, 20, 30)
    array[1, :7] = 0
    path = write(tmp_path / "a.tif", array, nodata=9)
    with quiet(), rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha, *[ColorInterp.undefined] * 3]
    with opened(path) as source:
        np.testing.assert_array_equal(whole(source).valid, array[1] > 0)
        assert codes(source) == ["MASK_OVER_NODATA", "NO_CRS"]


def test_nan_is_invalid_beside_alpha_too(tmp_path: Path) -> None:
    array = ramp(2, 20, 30, "float32")
    array[0, 3, 4] = np.nan
    array[1, 5, 6] = 0
    path = write(tmp_path / "a.tif", array)
    with quiet(), rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    with opened(path) as source:
        patch = whole(source)
    assert patch.valid is not None
    assert np.argwhere(~patch.valid).tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize("internal", ["YES", "NO"])
def test_masks_in_the_file_and_beside_it(internal: str, tmp_path: Path) -> None:
    array = ramp(3, 20, 30)
    path = write(tmp_path / "a.tif", array, nodata=7)
    with quiet(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(array[0] > 100)
    assert path.with_name("a.tif.msk").exists() == (internal == "NO")
    with opened(path) as source:
        np.testing.assert_array_equal(whole(source).valid, array[0] > 100)
        np.testing.assert_array_equal(whole(source, bands=[2]).valid, array[0] > 100)
        assert codes(source) == ["MASK_OVER_NODATA", "NO_CRS"]


def test_nodata_per_band_as_gdal_has_it(tmp_path: Path) -> None:
    """A VRT may declare another nodata value for each band; a pixel is invalid where each has its own."""
    array = ramp(2, 20, 30)
    array[0, :10], array[1, 5:15] = 3, 4
    write(tmp_path / "a.tif", array)
    band = (
        '<VRTRasterBand dataType="Byte" band="{0}"><NoDataValue>{1}</NoDataValue><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{0}</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
    )
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="30" rasterYSize="20">{band.format(1, 3)}{band.format(2, 4)}</VRTDataset>'
    )
    with opened(path) as source:
        assert [b.nodata for b in source.info.bands] == [3, 4]
        patch = whole(source)
    assert patch.valid is not None
    assert not patch.valid[5:10].any()
    np.testing.assert_array_equal(patch.valid, plain(path, IndexBox.of_shape((20, 30)))[1])


def test_mixed_types_are_promoted(tmp_path: Path) -> None:
    write(tmp_path / "byte.tif", ramp(1, 20, 30))
    write(tmp_path / "short.tif", ramp(1, 20, 30, "int16") * -100, nodata=-100)
    band = (
        '<VRTRasterBand dataType="{0}" band="{1}">{2}<SimpleSource>'
        '<SourceFilename relativeToVRT="1">{3}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
    )
    path = tmp_path / "a.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="30" rasterYSize="20">'
        f"{band.format('Byte', 1, '', 'byte')}{band.format('Int16', 2, '', 'short')}</VRTDataset>"
    )
    with opened(path) as source:
        assert source.info.dtype == "int16"
        assert codes(source) == ["MIXED_TYPES", "NO_CRS"]
        array = whole(source).array
    np.testing.assert_array_equal(array[0], ramp(1, 20, 30)[0])
    np.testing.assert_array_equal(array[1], ramp(1, 20, 30, "int16")[0] * -100)


def test_overviews_are_never_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", ramp(1, 400, 400), tiled=True, blockxsize=64, blockysize=64)
    with quiet(), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.nearest)
    for level in (0, 1):
        with quiet(), rasterio.open(path, "r+", overview_level=level) as dataset:
            dataset.write(np.full((1, *dataset.shape), 255, dtype="uint8"))
    with quiet(), rasterio.open(path) as dataset:
        assert (dataset.read(1, out_shape=(100, 100)) == 255).all()
    with opened(path) as source:
        np.testing.assert_array_equal(whole(source).array, ramp(1, 400, 400))
        part = source.read(IndexBox((17, 5), (399, 400)))
        np.testing.assert_array_equal(part.array, ramp(1, 400, 400)[:, 17:399, 5:])


@pytest.mark.parametrize("suffix", ["pgw", "wld", "PGW"])
def test_world_files(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / "map.png", ramp(1, 20, 30), driver="PNG")
    (tmp_path / f"map.{suffix}").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    with opened(path) as source:
        assert codes(source) == ["NO_CRS"]
        assert source.info.extra["transform"] == list(tuple(NORTH_UP)[:6])
    with opened(path, crs=UTM) as source:
        assert source.info.grid.frame == GeoFrame(UTM)
        assert source.info.grid.transform == tuple(NORTH_UP)[:6]
        assert codes(source) == ["USER_GEOREFERENCE"]


def test_rotated_and_sheared(tmp_path: Path) -> None:
    transform = rasterio.Affine(8.0, 3.0, 500000.0, 2.0, -9.0, 5000000.0)
    with opened(write(tmp_path / "a.tif", ramp(1, 20, 30), crs=UTM, transform=transform)) as source:
        assert source.info.grid.transform == tuple(transform)[:6]
        part = source.read(IndexBox((4, 6), (8, 9)))
    np.testing.assert_allclose(part.grid.to_world([0.0, 0.0]), transform @ (6, 4))


@pytest.mark.parametrize("interleave", ["bil", "bip", "bsq"])
def test_envi(interleave: str, tmp_path: Path) -> None:
    array = ramp(3, 20, 30, "uint16")
    with opened(write(tmp_path / "cube.img", array, driver="ENVI", interleave=interleave)) as source:
        np.testing.assert_array_equal(whole(source).array, array)


def test_several_files_are_several_images(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.tif", ramp(k, 4, 5)) for k in (1, 2)]
    sources = raster.open(paths, image="scene", options=OpenOptions())
    assert [s.info.id for s in sources] == ["scene-1", "scene-2"]
    assert [s.info.shape[0] for s in sources] == [1, 2]
    for source in sources:
        source.close()
    with pytest.raises(InputError, match="no file"):
        raster.open([], image="scene", options=OpenOptions())


def test_those_opened_before_a_bad_one_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(raster.RasterSource, "close", lambda self: closed.append(self.info.id))
    good = write(tmp_path / "good.tif", ramp(1, 4, 5))
    bad = tmp_path / "bad.tif"
    bad.write_bytes(good.read_bytes()[:20])
    with pytest.raises(DataError, match=r"bad\.tif"):
        raster.open([good, good, bad], image="scene", options=OpenOptions())
    assert closed == ["scene-2", "scene-1"]


@pytest.mark.parametrize(
    "name", ["a#b.tif", "a?b.tif", "a!b.tif", "a b%20.tif", "zip+file:x.tif", "é漢.tif", "[x].tif"]
)
def test_names_that_other_readers_would_parse(name: str, tmp_path: Path) -> None:
    with opened(write(tmp_path / "plain.tif", ramp(1, 4, 5)).rename(tmp_path / name)) as source:
        np.testing.assert_array_equal(whole(source).array, ramp(1, 4, 5))
        assert source.info.provenance["source"] == name


def test_block_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", ramp(1, 100, 100), tiled=True, blockxsize=32, blockysize=16)
    (source,) = raster.open([path], image="scene", options=OpenOptions())
    assert isinstance(source, raster.RasterSource)
    assert source.block == (16, 32)
    source.close()

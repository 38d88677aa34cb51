from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.sources import raster_describe
from tests.rasters import NORTH_UP, UTM, codes, opened, quiet, ramp, write

BIG = (1, 6000, 6000)


def zeros(path: Path, **profile: object) -> Path:
    """A large image of zeros, cheap to write."""
    return write(path, np.zeros(BIG, dtype="uint8"), compress="deflate", **profile)


def layout(path: Path) -> str:
    with opened(path) as source:
        return source.layout


def test_layout_of_tiffs(tmp_path: Path) -> None:
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    assert layout(zeros(tmp_path / "tiles.tif", **tiled)) == "tiles"
    assert layout(zeros(tmp_path / "rows.tif", blockysize=64)) == "rows"
    assert layout(zeros(tmp_path / "one-row-strips.tif", blockysize=1)) == "rows"
    assert layout(zeros(tmp_path / "one-strip.tif", blockysize=6000)) == "sequential"
    assert layout(write(tmp_path / "small.tif", ramp(1, 20, 30), compress="lzw")) == "tiles"


def test_layout_of_other_formats(tmp_path: Path) -> None:
    png = write(tmp_path / "a.png", np.zeros(BIG, dtype="uint8"), driver="PNG", zlevel=1)
    assert layout(png) == "sequential"
    assert layout(write(tmp_path / "a.img", ramp(1, 40, 50), driver="ENVI")) == "rows"
    assert layout(
        write(tmp_path / "a.jp2", ramp(1, 600, 700), driver="JP2OpenJPEG", blockxsize=256, blockysize=256)
    ) == ("tiles")


@pytest.mark.parametrize(("member", "expected"), [(1, "rows"), (6000, "sequential"), (None, "tiles")])
def test_layout_of_a_vrt_is_that_of_its_large_members(member: int | None, expected: str, tmp_path: Path) -> None:
    rows = {"blockysize": member} if member else {"tiled": True}
    zeros(tmp_path / "big.tif", **rows)
    write(tmp_path / "small.png", ramp(1, 20, 30), driver="PNG")
    source = '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename></SimpleSource>'
    path = tmp_path / "mosaic.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="6000" rasterYSize="6000"><VRTRasterBand dataType="Byte" band="1">'
        f"{source.format('big.tif')}{source.format('small.png')}</VRTRasterBand></VRTDataset>"
    )
    assert layout(path) == expected


def test_nearly_empty_files_are_told(tmp_path: Path) -> None:
    sparse = {"driver": "GTiff", "width": 40_000, "height": 40_000, "count": 1, "dtype": "uint8", "tiled": True}
    path = tmp_path / "sparse.tif"
    with quiet(), rasterio.open(path, "w", SPARSE_OK=True, **sparse) as dataset:
        dataset.write(np.ones((1, 16, 16), dtype="uint8"), window=((0, 16), (0, 16)))
    with opened(path) as source:
        assert codes(source) == ["MOSTLY_EMPTY", "NO_CRS"]
        assert "1.49 GB of pixels" in source.info.verdicts[0].message
        assert source.info.shape == (1, 40_000, 40_000)
        assert not source.read(source.info.grid[30_000:30_010, 30_000:30_010].box.shift((30_000, 30_000))).array.any()


def test_absurd_headers_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "absurd.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="2147483647" rasterYSize="2147483647"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with (
        pytest.raises(DataError, match=r"absurd\.vrt declares 4,294,967,29\d\.\d\d GB .* damaged or hostile"),
        opened(path),
    ):
        pass


def test_blocks_too_large_to_decode_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "blocks.tif", ramp(1, 256, 256), tiled=True, blockxsize=256, blockysize=256)
    monkeypatch.setattr(raster_describe, "LARGEST_BLOCK", 256 * 255)
    with pytest.raises(Unsupported, match=r"blocks of 256 x 256 pixels.*TILED=YES"), opened(path):
        pass


def test_labels_are_whole_numbers(tmp_path: Path) -> None:
    with opened(write(tmp_path / "classes.tif", ramp(1, 4, 5)), role="labels") as source:
        assert source.info.role == "labels"
    path = write(tmp_path / "floats.tif", ramp(1, 4, 5, "float32"))
    message = r"floats\.tif holds float32 values, which cannot be labels"
    with pytest.raises(InputError, match=message), opened(path, role="labels"):
        pass


def test_pages_beyond_the_first_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    pages = [Image.fromarray(np.full((4, 5), k, dtype="uint8")) for k in (1, 2, 3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with opened(path) as source:
        assert codes(source) == ["NO_CRS", "FIRST_OF_MANY"]
        assert "3 images" in source.info.verdicts[1].message
        assert (source.read(source.info.grid.box).array == 1).all()


def test_moving_pictures_keep_all_their_pictures_as_bands(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.fromarray(ramp(1, 40, 50)[0] // (k + 1), mode="L") for k in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with opened(path) as source:
        assert source.info.shape == (3, 40, 50)


def test_turned_pictures_are_told(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp(1, 16, 24)[0]).save(path, exif=exif)
    with opened(path) as source:
        assert codes(source) == ["NO_CRS", "ORIENTATION"]
        assert source.info.grid.shape == (16, 24)


def test_what_gdal_warns_of_is_told_without_folders(shared_data: Path) -> None:
    with opened(shared_data / "rasters/gdal_edge/huge4GB.tif") as source:
        (warning,) = [v for v in source.info.verdicts if v.code == "GDAL_WARNING"]
        assert "MOSTLY_EMPTY" in codes(source)
    assert "huge4GB.tif: TIFFReadDirectory" in warning.message
    assert "CPLE" not in warning.message
    assert "/" not in warning.message


@pytest.mark.parametrize("text", ["garbage", 'PROJCS["x",GEOGCS["y"'])
def test_a_crs_that_is_named_but_not_understood_is_told(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "picture.png", ramp(1, 4, 5), driver="PNG")
    (tmp_path / "picture.pgw").write_text("2\n0\n0\n-2\n101\n199\n")
    path.with_name("picture.png.aux.xml").write_text(f"<PAMDataset>\n<SRS>{text}</SRS></PAMDataset>")
    with opened(path) as source:
        assert codes(source) == ["CRS_UNREADABLE"]
    with opened(path, crs=UTM) as source:
        assert source.info.grid.transform == (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)
        assert source.info.provenance["options"] == {"crs": UTM}


def test_provenance(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", ramp(1, 4, 5), crs=UTM, transform=NORTH_UP)
    with opened(path) as source:
        assert source.info.provenance == {
            "source": "scene.tif",
            "bytes": path.stat().st_size,
            "driver": "GTiff",
            "gdal": rasterio.__gdal_version__,
            "rasterio": rasterio.__version__,
            "options": {},
        }

"""Bad rasters: whatever is wrong with a file, the error is ours, names it, and comes at once."""

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from bigimage.errors import BigImageError, DataError, InputError, NotFound, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.sources import module_for
from tests.rasters import NORTH_UP, UTM, opened, quiet, ramp, write

NOISE = np.random.default_rng(3).integers(1, 255, (3, 200, 220)).astype("uint8")
PLACED: dict[str, Any] = {"crs": UTM, "transform": NORTH_UP}
TILES: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
FORMATS: dict[str, Callable[[Path], Path]] = {
    "plain.tif": lambda p: write(p, NOISE, **PLACED),
    "deflate.tif": lambda p: write(p, NOISE, compress="deflate", **PLACED),
    "lzw-tiles.tif": lambda p: write(p, NOISE, compress="lzw", **TILES, **PLACED),
    "jpeg-tiles.tif": lambda p: write(p, NOISE, compress="jpeg", photometric="ycbcr", **TILES),
    "zstd.tif": lambda p: write(p, NOISE, compress="zstd", blockysize=10),
    "lerc.tif": lambda p: write(p, NOISE[:1].astype("float32"), compress="lerc"),
    "cog.tif": lambda p: write(p, NOISE, driver="COG"),
    "a.png": lambda p: write(p, NOISE, driver="PNG"),
    "a.jpg": lambda p: write(p, NOISE, driver="JPEG"),
    "progressive.jpg": lambda p: write(p, NOISE, driver="JPEG", progressive="YES"),
    "a.jp2": lambda p: write(p, NOISE, driver="JP2OpenJPEG", blockxsize=64, blockysize=64),
    "a.gif": lambda p: write(p, NOISE[:1], driver="GIF"),
    "a.bmp": lambda p: write(p, NOISE, driver="BMP"),
    "a.webp": lambda p: write(p, NOISE, driver="WEBP"),
    "a.img": lambda p: write(p, NOISE, driver="ENVI"),
}


def read_all(path: Path) -> np.ndarray:
    with opened(path) as source:
        return source.read(source.info.grid.box).array


@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", FORMATS)
def test_cut_short(name: str, part: float, tmp_path: Path) -> None:
    """Never grey, black or left-over pixels for what is missing."""
    path = FORMATS[name](tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_all(path)


def test_the_sound_part_of_a_cut_file_is_readable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", NOISE, blockysize=10)
    path.write_bytes(path.read_bytes()[: 3 * 220 * 150])
    with opened(path) as source:
        np.testing.assert_array_equal(source.read(IndexBox((0, 0), (100, 220))).array, NOISE[:, :100])
        with pytest.raises(DataError, match="rows 100 to 200, columns 7 to 20"):
            source.read(IndexBox((100, 7), (200, 20)))
        np.testing.assert_array_equal(source.read(IndexBox((0, 0), (100, 220))).array, NOISE[:, :100])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # rasterio logs texts that are not UTF-8
@pytest.mark.parametrize("name", FORMATS)
def test_damage_at_random_raises_nothing_but_our_errors(name: str, tmp_path: Path) -> None:
    sound = FORMATS[name](tmp_path / name).read_bytes()
    chance = random.Random(name)
    path = tmp_path / f"damaged-{name}"
    messages: list[str] = []
    for _ in range(40):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            with opened(path) as source:
                shape = source.info.grid.shape
                source.read(IndexBox((0, 0), (min(shape[0], 64), min(shape[1], 64))))
                source.read(IndexBox((shape[0] - 1, shape[1] - 1), shape))
        except BigImageError as error:
            messages.append(str(error))
    assert all(path.name in message for message in messages)
    assert messages or name == "a.img"  # raw pixels show no damage


def test_a_giant_header_costs_no_memory(shared_data: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(shared_data / "rasters/gdal_edge/huge4GB.tif") as source:
        assert source.info.shape == (1, 65535, 65535)
        for row in (0, 30_000, 65_000):
            with pytest.raises(DataError, match=f"rows {row} to {row + 500}"):
                source.read(IndexBox((row, 0), (row + 500, 500)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_zero_sizes(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "zero.vrt"
    path.write_text('<VRTDataset rasterXSize="0" rasterYSize="4"/>')
    with pytest.raises(DataError, match=r"zero\.vrt"), opened(path):
        pass
    empty = tmp_path / "empty.tif"
    empty.touch()
    with pytest.raises(InputError, match="not an image"), opened(empty):
        pass


def test_no_bands(tmp_path: Path) -> None:
    path = tmp_path / "none.vrt"
    path.write_text('<VRTDataset rasterXSize="3" rasterYSize="4"/>')
    with pytest.raises(DataError, match=r"none\.vrt .*bands"), opened(path):
        pass


def test_too_many_bands(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "many.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4">'
        + "".join(f'<VRTRasterBand dataType="Byte" band="{k}"/>' for k in range(1, 10_002))
        + "</VRTDataset>"
    )
    with pytest.raises(Unsupported, match="10,001 bands"), opened(path):
        pass


def test_things_that_are_no_images(tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("not a TIFF, whatever its name says")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "readme.txt").write_text("no image here")
    os.mkfifo(tmp_path / "pipe.tif")
    for path in (text, folder, tmp_path / "pipe.tif"):
        with pytest.raises(InputError, match=path.name), opened(path):
            pass
    for path in (tmp_path / "gone.tif", tmp_path / "gone" / "a.tif", tmp_path / "dangling.tif"):
        if path.name == "dangling.tif":
            path.symlink_to(tmp_path / "nowhere.tif")
        with pytest.raises(NotFound, match=path.name):
            module_for(path)


@pytest.mark.parametrize(
    "numbers",
    ["0, 0, 0, 5, 0, -1", "0, 1, 2, 5, 2, 4", "0, nan, 0, 5, 0, -1", "0, 1e300, 0, 5, 0, -1", "inf, 1, 0, 5, 0, -1"],
)
@pytest.mark.parametrize("crs", ["", "<SRS>EPSG:32633</SRS>"])
def test_impossible_affines(numbers: str, crs: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "odd.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="5" rasterYSize="4">{crs}<GeoTransform>{numbers}</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(DataError, match=r"odd\.vrt: .*affine"), opened(path):
        pass


def test_a_file_that_disappears_while_open(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", NOISE)
    with opened(path) as source:
        first = source.read(IndexBox((0, 0), (10, 10)))
        path.unlink()
        again = source.read(IndexBox((0, 0), (10, 10)))
    np.testing.assert_array_equal(first.array, again.array)


def test_a_member_that_is_damaged_is_named(tmp_path: Path) -> None:
    member = write(tmp_path / "member.tif", NOISE[:1], compress="deflate")
    member.write_bytes(member.read_bytes()[:-20_000])
    path = tmp_path / "mosaic.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="220" rasterYSize="200"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">member.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(DataError, match=r"mosaic\.vrt .*member\.tif"):
        read_all(path)


def test_complex_numbers_leave_no_handle_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "sar.tif", ramp(1, 4, 5).astype("complex64"))
    with pytest.raises(Unsupported, match="complex"), opened(path):
        pass
    assert path not in {descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()}


def test_a_process_that_ignores_damage_elsewhere_does_not_here(tmp_path: Path) -> None:
    """Options of an environment around ours do not weaken what counts as an error."""
    path = write(tmp_path / "a.tif", NOISE)
    path.write_bytes(path.read_bytes()[:70_000])
    with rasterio.Env(GTIFF_IGNORE_READ_ERRORS="YES"), pytest.raises(DataError):
        read_all(path)
    with quiet(), rasterio.Env(GTIFF_IGNORE_READ_ERRORS="YES"), rasterio.open(path) as dataset:
        assert dataset.read().shape == NOISE.shape

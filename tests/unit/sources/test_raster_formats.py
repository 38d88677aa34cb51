import errno
import os
from pathlib import Path

import pytest

from bigimage.errors import InputError, NotFound
from bigimage.sources.raster_formats import driver_for, envi_header, is_nsidc, require_driver, resolved
from tests.rasters import ramp, write

WRITTEN = [
    ("GTiff", "GTiff", {}),
    ("GTiff", "GTiff", {"BIGTIFF": "YES"}),
    ("GTiff", "GTiff", {"ENDIANNESS": "BIG"}),
    ("PNG", "PNG", {}),
    ("JPEG", "JPEG", {}),
    ("JP2OpenJPEG", "JP2OpenJPEG", {}),
    ("BMP", "BMP", {}),
    ("GIF", "GIF", {}),
    ("WEBP", "WEBP", {}),
    ("ENVI", "ENVI", {}),
    ("VRT", "VRT", {}),
]


@pytest.mark.parametrize(("driver", "expected", "options"), WRITTEN)
def test_formats_are_told_by_content_whatever_the_name(
    driver: str, expected: str, options: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "anything.dat"
    if driver == "VRT":
        path.write_text('\ufeff<?xml version="1.0"?>\n <VRTDataset rasterXSize="1" rasterYSize="1"/>', "utf-8")
    else:
        write(path, ramp(3 if driver == "WEBP" else 1, 20, 30), driver=driver, **options)
    assert driver_for(path) == expected
    assert require_driver(path) == expected


def test_real_files(shared_data: Path) -> None:
    edge = shared_data / "rasters/gdal_edge"
    assert driver_for(edge / "n43.dt0") == "DTED"
    assert driver_for(edge / "nt_20220409_f18_nrt_s.bin") == "NSIDCbin"
    assert driver_for(edge / "gcps_2115.vrt") == "VRT"
    assert driver_for(shared_data / "vectors/coco_sample.json") is None
    assert driver_for(shared_data / "rasters/rgb_external_msk.tif.msk") == "GTiff"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am a text file renamed to .tif",
        b"<?xml version='1.0'?><WMS_Capabilities/>",
        b"<GDAL_WMS><Service/></GDAL_WMS>",
        b"%PDF-1.7",
        b"CDF\x01",
        b"\x89HDF\r\n\x1a\n",
        b'{"type": "FeatureCollection", "text": "<VRTDataset"}',
        b"RIFF\0\0\0\0WAVE",
        b"BM but a letter",
    ],
)
def test_everything_else_is_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.tif"
    path.write_bytes(content)
    assert driver_for(path) is None
    with pytest.raises(InputError, match=r"file\.tif is not a raster in a known format"):
        require_driver(path)


def test_a_slide_that_is_tiff_and_dicom_at_once_is_left_to_dicom(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.tif", ramp(1, 20, 30))
    data = bytearray(path.read_bytes())
    data[128:132] = b"DICM"
    path.write_bytes(data)
    assert driver_for(path) is None


def test_folders_pipes_and_nothing(tmp_path: Path) -> None:
    assert driver_for(tmp_path) is None
    with pytest.raises(InputError, match="is a folder"):
        require_driver(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no file"):
        require_driver(tmp_path / "pipe")
    with pytest.raises(NotFound, match=r"gone\.tif does not exist"):
        require_driver(tmp_path / "gone.tif")


def test_unreadable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "shut.tif", ramp(1, 2, 2))

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        driver_for(path)


def test_a_name_longer_than_the_disk_allows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        driver_for(tmp_path / ("x" * 300))


def test_large_gifs_have_their_own_driver(tmp_path: Path) -> None:
    path = tmp_path / "large.gif"
    path.write_bytes(b"GIF89a" + (10_001).to_bytes(2, "little") + (10_000).to_bytes(2, "little"))
    assert driver_for(path) == "BIGGIF"


def test_envi_needs_its_header(tmp_path: Path) -> None:
    path = write(tmp_path / "cube.img", ramp(2, 5, 6), driver="ENVI")
    assert envi_header(path) == tmp_path / "cube.hdr"
    (tmp_path / "cube.hdr").write_text("not that")
    assert envi_header(path) is None
    assert driver_for(path) is None


def test_sea_ice_grid_must_have_its_declared_size() -> None:
    head = b"00255\0  316\0  332\0" + bytes(282)
    assert is_nsidc(head, 300 + 316 * 332)
    assert not is_nsidc(head, 300 + 316 * 331)
    assert not is_nsidc(b"hello" + bytes(300), 300)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="loop cannot be resolved"):
        resolved(tmp_path / "loop")

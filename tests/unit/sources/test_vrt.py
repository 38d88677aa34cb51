import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from bigimage.errors import BigImageError, DataError, InputError, Unsupported
from bigimage.sources import vrt
from bigimage.sources.vrt import check_vrt
from tests.rasters import codes, opened, plain, quiet, ramp, write

BAND = '<VRTRasterBand dataType="Byte" band="1">{}</VRTRasterBand>'


def document(inner: str, *, attributes: str = "", extra: str = "") -> str:
    return f'<VRTDataset rasterXSize="30" rasterYSize="20"{attributes}>{extra}{BAND.format(inner)}</VRTDataset>'


def simple(name: str, *, relative: str = 'relativeToVRT="1"', extra: str = "", tag: str = "SimpleSource") -> str:
    return f"<{tag}><SourceFilename {relative}>{name}</SourceFilename><SourceBand>1</SourceBand>{extra}</{tag}>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of the VRT, holding the raster `a.tif`; beside it, outside, lies `secret.tif`."""
    inside = tmp_path / "inside"
    inside.mkdir()
    write(inside / "a.tif", ramp(1, 20, 30))
    write(tmp_path / "secret.tif", ramp(1, 20, 30))
    return inside


def saved(folder: Path, text: str, name: str = "mosaic.vrt") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_members_become_absolute(folder: Path) -> None:
    found = check_vrt(saved(folder, document(simple("a.tif"))))
    assert found.members == (folder / "a.tif",)
    assert f'<SourceFilename relativeToVRT="0">{folder / "a.tif"}</SourceFilename>' in found.text
    assert not found.resampled
    assert not found.names_crs


def test_absolute_members_inside_are_fine(folder: Path) -> None:
    path = saved(folder, document(simple(str(folder / "a.tif"), relative="")))
    with opened(path) as source:
        np.testing.assert_array_equal(source.read(source.info.grid.box).array, ramp(1, 20, 30))


def test_members_below_a_root_are_fine(folder: Path, tmp_path: Path) -> None:
    path = saved(folder, document(simple("../secret.tif")))
    assert check_vrt(path, (tmp_path,)).members == (tmp_path / "secret.tif",)
    with opened(path, roots=(tmp_path,)) as source:
        assert source.info.provenance["members"]["count"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "../secret.tif",
        "/etc/passwd",
        "sub/../../secret.tif",
        "link.tif",
        "/vsicurl/http://127.0.0.1:9/a.tif",
        "/vsizip/a.zip/a.tif",
        "vsimem/a.tif",
        "http://127.0.0.1:9/a.tif",
        "s3://bucket/a.tif",
        "&lt;VRTDataset rasterXSize='1' rasterYSize='1'/&gt;",
    ],
)
@pytest.mark.parametrize("relative", ['relativeToVRT="1"', 'relativeToVRT="0"', ""])
def test_members_elsewhere_are_refused(folder: Path, name: str, relative: str) -> None:
    (folder / "link.tif").symlink_to(folder.parent / "secret.tif")
    with pytest.raises(InputError, match=r"mosaic.vrt names"):
        check_vrt(saved(folder, document(simple(name, relative=relative))))


def test_relative_to_the_working_directory_as_in_gdal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(folder, document(simple("a.tif", relative='relativeToVRT="0"')))
    with pytest.raises(InputError, match="outside its own folder"):
        check_vrt(path)
    monkeypatch.chdir(folder)
    assert check_vrt(path).members == (folder / "a.tif",)


def test_every_missing_member_is_listed_up_to_a_limit(folder: Path) -> None:
    (folder / "notes.txt").write_text("no raster")
    (folder / "raw.bin").write_bytes(bytes(600))
    (folder / "raw.hdr").write_text("ENVI\nsamples=30\n")
    names = ["notes.txt", "raw.bin", *(f"gone{k}.tif" for k in range(12))]
    with pytest.raises(DataError) as caught:
        check_vrt(saved(folder, document("".join(simple(n) for n in [*names, "a.tif", names[0]]))))
    assert "'notes.txt' is no raster that a VRT may hold" in caught.value.problems[0]
    assert "'raw.bin' is no raster" in caught.value.problems[1]
    assert "'gone0.tif' does not exist" in caught.value.problems[2]
    assert caught.value.problems[-1] == "and 4 more"
    assert len(caught.value.problems) == 11


@pytest.mark.parametrize(
    "text",
    [
        document(simple("a.tif"), attributes=' subClass="VRTWarpedDataset"'),
        document(simple("a.tif"), attributes=' SUBCLASS="VRTPansharpenedDataset"'),
        document(simple("a.tif"), extra="<GDALWarpOptions/>"),
        document(simple("a.tif"), extra='<Group name="/"/>'),
        document(simple("a.tif"), extra="<ProcessingSteps/>"),
        document(simple("a.tif") + "<PixelFunctionType>sum</PixelFunctionType>"),
        document(simple("a.tif") + "<PixelFunctionCode>import os</PixelFunctionCode>"),
        document('<SourceFilename relativeToVRT="1">a.tif</SourceFilename><ImageOffset>0</ImageOffset>'),
        document(simple("a.tif", tag="KernelFilteredSource")),
        document(simple("a.tif", tag="AveragedSource")),
        document(simple("a.tif", tag="simplesource")),
        document(simple("a.tif", extra='<OpenOptions><OOI key="X">1</OOI></OpenOptions>')),
        document(simple("a.tif")).replace('band="1"', 'band="1" subClass="VRTDerivedRasterBand"'),
        document(simple("a.tif")).replace('band="1"', 'band="1" subclass="VRTRawRasterBand"'),
        document(simple("a.tif")).replace('band="1"', 'band="1" BAND="2"'),
        document(simple("a.tif")).replace('band="1"', 'band="1" onload="x"'),
        document("stray text" + simple("a.tif")),
        document(simple("a.tif") + "stray text"),
        document("<SimpleSource><SourceBand>1</SourceBand></SimpleSource>"),
    ],
)
def test_the_rest_of_the_language_is_refused(folder: Path, text: str) -> None:
    path = saved(folder, text)
    with pytest.raises(Unsupported, match=r"mosaic.vrt uses .* gdal_translate"):
        check_vrt(path)


def test_subclass_in_any_spelling_is_what_gdal_would_see(folder: Path) -> None:
    text = document(simple("a.tif")).replace('band="1"', 'band="1" subclass="VRTSourcedRasterBand" subClass="VRTRaw"')
    with pytest.raises(Unsupported, match="subClass"):
        check_vrt(saved(folder, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<VRTDataset", "not well-formed"),
        ("<VRTDataset><SRS></VRTDataset>", "not well-formed"),
        ("<VRTDataset rasterXSize='1' rasterXSize='2'/>", "not well-formed"),
        ("<!-- <VRTDataset --><Other/>", "its root is <Other>"),
        ('<VRTDataset xmlns="urn:x"/>', "its root is <{urn:x}VRTDataset>"),
    ],
)
def test_broken_xml_is_a_data_error(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        check_vrt(saved(folder, text))


def test_entities_are_refused_before_they_expand(folder: Path) -> None:
    levels = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 10))
    bomb = f'<!DOCTYPE VRTDataset [<!ENTITY e0 "ha">{levels}]><VRTDataset rasterXSize="1">&e9;</VRTDataset>'
    outside = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><VRTDataset>&f;</VRTDataset>'
    for text in (bomb, outside):
        with pytest.raises(InputError, match="document type"):
            check_vrt(saved(folder, text))


def test_other_encodings_are_refused(folder: Path) -> None:
    path = folder / "wide.vrt"
    path.write_bytes(document(simple("a.tif")).encode("utf-16"))
    with pytest.raises(DataError, match="UTF-8"):
        check_vrt(path)
    declared = '<?xml version="1.0" encoding="utf-7"?>' + document(simple("a.tif"))
    assert check_vrt(saved(folder, declared)).members == (folder / "a.tif",)


def test_size_and_number_of_elements_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(folder, document(simple("a.tif")))
    monkeypatch.setattr(vrt, "MOST_ELEMENTS", 3)
    with pytest.raises(InputError, match="more than 3 elements"):
        check_vrt(path)
    monkeypatch.setattr(vrt, "LARGEST", 100)
    with pytest.raises(InputError, match="MB of XML"):
        check_vrt(path)


def test_nested_vrts_are_checked_and_read(folder: Path) -> None:
    saved(folder, document(simple("a.tif")), "inner.vrt")
    outer = saved(folder, document(simple("inner.vrt")), "outer.vrt")
    found = check_vrt(outer)
    assert found.members == (folder / "inner.vrt", folder / "a.tif")
    assert "inner.vrt" not in found.text
    with opened(outer) as source:
        patch = source.read(source.info.grid.box)
        np.testing.assert_array_equal(patch.array, plain(folder / "a.tif", source.info.grid.box)[0])


def test_nested_hostility_is_found(folder: Path) -> None:
    saved(folder, document(simple("../secret.tif")), "inner.vrt")
    with pytest.raises(InputError, match=r"outer.vrt names '../secret.tif'"):
        check_vrt(saved(folder, document(simple("inner.vrt")), "outer.vrt"))


def test_circles_and_depth_are_bounded(folder: Path) -> None:
    with pytest.raises(InputError, match="circle"):
        check_vrt(saved(folder, document(simple("self.vrt")), "self.vrt"))
    for k in range(6):
        saved(folder, document(simple(f"v{k + 1}.vrt")), f"v{k}.vrt")
    saved(folder, document(simple("a.tif")), "v6.vrt")
    with pytest.raises(InputError, match="deep"):
        check_vrt(folder / "v0.vrt")
    assert folder / "a.tif" in check_vrt(folder / "v3.vrt").members


def test_nesting_cannot_multiply_without_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(folder, document(simple("a.tif")), "v2.vrt")
    saved(folder, document(simple("v2.vrt") * 50), "v1.vrt")
    path = saved(folder, document(simple("v1.vrt") * 50), "v0.vrt")
    monkeypatch.setattr(vrt, "LARGEST", 300_000)
    with pytest.raises(InputError, match="MB of XML"):
        check_vrt(path)


def test_links_in_a_circle(folder: Path) -> None:
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    with pytest.raises(BigImageError, match=r"loop\.tif"):
        check_vrt(saved(folder, document(simple("loop.tif"))))


def test_a_scaled_member_is_reported_and_its_overviews_stay_unused(folder: Path) -> None:
    path = write(folder / "big.tif", ramp(1, 40, 60))
    with quiet(), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2], Resampling.nearest)
    rects = '<SrcRect xOff="0" yOff="0" xSize="60" ySize="40"/><DstRect xOff="0" yOff="0" xSize="30" ySize="20"/>'
    mosaic = saved(folder, document(simple("big.tif", extra=rects)))
    assert check_vrt(mosaic).resampled == (path,)
    _poison_overview(path)
    with opened(mosaic) as source:
        assert "RESAMPLED" in codes(source)
        array = source.read(source.info.grid.box).array[0]
    assert array.shape == (20, 30)
    assert not (array == 255).any()


def _poison_overview(path: Path) -> None:
    """Fill the overview with 255."""
    with quiet(), rasterio.open(path, "r+", overview_level=0) as dataset:
        dataset.write(np.full((1, *dataset.shape), 255, dtype="uint8"))
    with quiet(), rasterio.open(path) as dataset:
        assert (dataset.read(1, out_shape=(20, 30)) == 255).all()


def test_shifted_by_part_of_a_pixel_is_resampled(folder: Path) -> None:
    rects = '<SrcRect xOff="0.5" yOff="0" xSize="10" ySize="10"/><DstRect xOff="0" yOff="0" xSize="10" ySize="10"/>'
    assert check_vrt(saved(folder, document(simple("a.tif", extra=rects)))).resampled
    whole = rects.replace("0.5", "5")
    assert not check_vrt(saved(folder, document(simple("a.tif", extra=whole)))).resampled


def test_metadata_survives_the_check(folder: Path) -> None:
    extra = (
        '<SRS dataAxisToSRSAxisMapping="2,1">EPSG:4326</SRS><GeoTransform>1, 0.5, 0, 2, 0, -0.5</GeoTransform>'
        '<Metadata><MDI key="TITLE">a &amp; b &lt;c&gt;</MDI></Metadata>'
    )
    inner = (
        "<Description>depth</Description><UnitType>m</UnitType><Offset>3</Offset><Scale>0.5</Scale>"
        "<NoDataValue>9</NoDataValue><ColorInterp>Gray</ColorInterp>"
        '<ComplexSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>1</SourceBand>'
        "<ScaleOffset>1</ScaleOffset><ScaleRatio>2</ScaleRatio></ComplexSource>"
    )
    with opened(saved(folder, document(inner, extra=extra))) as source:
        info = source.info
        (band,) = info.bands
        array = source.read(info.grid.box).array
    assert (band.name, band.unit, band.offset, band.scale, band.nodata) == ("depth", "m", 3.0, 0.5, 9)
    assert info.grid.transform == (0.5, 0.0, 1.0, 0.0, -0.5, 2.0)
    assert info.extra["tags"]["TITLE"] == "a & b <c>"
    assert array.max() == 255
    assert array.min() == 3

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from bigimage.errors import Unsupported
from bigimage.model.image import Verdict
from bigimage.sources import raster_meta
from tests.rasters import UTM, codes, opened, quiet, ramp, write


def edit(path: Path):
    return rasterio.open(path, "r+")


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("uint8",), "uint8"),
        (("uint8", "uint16"), "uint16"),
        (("int8", "uint8"), "int16"),
        (("int16", "uint16"), "int32"),
        (("uint16", "float32"), "float32"),
        (("int32", "float32"), "float64"),
        (("uint32", "float64"), "float64"),
        (("float32", "float64"), "float64"),
        (("uint32", "int64"), "int64"),
    ],
)
def test_common_type_is_exact_and_told(types: tuple[str, ...], expected: str) -> None:
    verdicts: list[Verdict] = []
    common = raster_meta.common_dtype("scene.tif", types, verdicts)
    assert common == np.dtype(expected)
    assert [v.code for v in verdicts] == ([] if len(types) == 1 else ["MIXED_TYPES"])
    for name in types:
        if np.dtype(name).kind in "iu":
            limits = np.iinfo(name)
            for value in (limits.min, limits.max):
                assert int(np.array([value], dtype=name).astype(common)[0]) == value


@pytest.mark.parametrize(
    "types", [("uint64", "int64"), ("int64", "float32"), ("uint64", "float64"), ("uint64", "int8")]
)
def test_types_without_a_common_one_are_refused(types: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match=r"scene\.tif mixes band types .* ingest the bands apart"):
        raster_meta.common_dtype("scene.tif", types, [])


@pytest.mark.parametrize("name", ["complex64", "complex128", "complex_int16"])
def test_complex_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(Unsupported, match="amplitude and phase"):
        raster_meta.common_dtype("sar.tif", ("uint8", name), [])


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_every_real_type_comes_through(dtype: str, tmp_path: Path) -> None:
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    array = np.array([[[limits.min, 0, 1, limits.max]]], dtype=dtype)
    with opened(write(tmp_path / "limits.tif", array)) as source:
        patch = source.read(source.info.grid.box)
    assert source.info.dtype == dtype
    assert patch.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(patch.array, array)


def test_half_floats_become_floats(tmp_path: Path) -> None:
    array = np.array([[[0.5, -2.0, 65504.0, np.nan]]], dtype="float32")
    with opened(write(tmp_path / "half.tif", array, nbits=16)) as source:
        patch = source.read(source.info.grid.box)
    np.testing.assert_array_equal(patch.array, array)
    assert source.info.dtype == "float32"
    assert source.info.extra["band_storage"][0]["NBITS"] == "16"
    assert patch.valid is not None
    assert patch.valid.tolist() == [[True, True, True, False]]


def test_big_integers_as_nodata_are_left_to_gdal(tmp_path: Path) -> None:
    array = np.array([[[2**63 - 1, 2**63 - 2, 0]]], dtype="int64")
    path = write(tmp_path / "long.tif", array)
    text = path.with_name("long.vrt")
    text.write_text(
        '<VRTDataset rasterXSize="3" rasterYSize="1"><VRTRasterBand dataType="Int64" band="1">'
        "<NoDataValue>9223372036854775807</NoDataValue>"
        '<SimpleSource><SourceFilename relativeToVRT="1">long.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with opened(text) as source:
        patch = source.read(source.info.grid.box)
        assert source.info.bands[0].nodata is None
        assert codes(source) == ["NODATA_ROUNDED", "NO_CRS", "GDAL_WARNING"]
    assert patch.valid is not None
    assert patch.valid.tolist() == [[False, True, True]]


def test_bands_are_described(tmp_path: Path) -> None:
    path = write(tmp_path / "bands.tif", ramp(3, 4, 5, "int16"), nodata=-1)
    with quiet(), edit(path) as dataset:
        dataset.descriptions = ("depth", None, None)
        dataset.units = ("m", "m/s", "")
        dataset.scales = (0.1, 1.0, 1.0)
        dataset.offsets = (0.0, -5.0, 0.0)
    with opened(path) as source:
        depth, speed, third = source.info.bands
    assert (depth.name, depth.unit, depth.scale, depth.offset, depth.nodata) == ("depth", "m", 0.1, 0.0, -1)
    assert (speed.name, speed.unit, speed.scale, speed.offset) == ("b2", "m/s", 1.0, -5.0)
    assert (third.name, third.unit) == ("b3", None)


def test_bands_are_named_by_colour_where_that_is_one_band(tmp_path: Path) -> None:
    path = write(tmp_path / "colours.tif", ramp(4, 4, 5), photometric="RGB", alpha="NO")
    with quiet(), edit(path) as dataset:
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    with opened(path) as source:
        assert [b.name for b in source.info.bands] == ["blue", "green", "red", "b4"]
        assert [b.interpretation for b in source.info.bands] == ["blue", "green", "red", "undefined"]


def test_names_that_are_not_utf8_are_left_out_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "latin.tif", ramp(1, 4, 5))
    with quiet(), edit(path) as dataset:
        dataset.set_band_description(1, "profundidQQQ")
    path.write_bytes(path.read_bytes().replace(b"QQQ", b"\xe1\xe9\xff"))
    with opened(path) as source:
        assert source.info.bands[0].name == "b1"
        assert codes(source) == ["NO_CRS", "NAMES_UNREADABLE"]


def test_palette(tmp_path: Path) -> None:
    path = write(tmp_path / "classes.tif", ramp(1, 4, 5), photometric="palette")
    colours = {k: (k, 255 - k, 7, 255) for k in range(256)}
    with quiet(), edit(path) as dataset:
        dataset.write_colormap(1, colours)
    with opened(path) as source:
        assert source.info.palette == colours
        assert source.info.role == "labels"
    with opened(path, role="image") as source:
        assert source.info.palette == colours
        assert source.info.role == "image"


def test_unused_end_of_a_long_palette_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "classes16.tif", ramp(1, 4, 5, "uint16"), photometric="palette")
    with quiet(), edit(path) as dataset:
        dataset.write_colormap(1, {300: (1, 2, 3, 255), 5: (9, 9, 9, 255)})
    with opened(path) as source:
        palette = source.info.palette
    assert palette is not None
    assert max(palette) == 300
    assert palette[5] == (9, 9, 9, 255)


def test_rpcs_and_control_points_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "rpc.tif", ramp(1, 4, 5))
    coefficients = [float(k) for k in range(20)]
    rpcs = RPC(1.0, 2.0, 3.0, 4.0, *[coefficients] * 2, 5.0, 6.0, 7.0, 8.0, *[coefficients] * 2, 9.0, 10.0)
    with quiet(), edit(path) as dataset:
        dataset.rpcs = rpcs
    with opened(path) as source:
        assert source.info.extra["rpcs"]["LINE_NUM_COEFF"] == coefficients
        assert source.info.extra["rpcs"]["HEIGHT_OFF"] == 1.0
        assert codes(source) == ["RPC_ONLY"]
    points = [rasterio.control.GroundControlPoint(r, c, c * 2.0, r * 3.0, 1.5) for r in (0, 4) for c in (0, 5)]
    other = write(tmp_path / "gcps.tif", ramp(1, 4, 5), gcps=points, crs=UTM)
    with opened(other) as source:
        gcps = source.info.extra["gcps"]
    assert gcps["points"] == [[p.col, p.row, p.x, p.y, p.z] for p in points]
    assert "UTM zone 33N" in gcps["crs"]


def test_rpcs_in_part_do_not_stop_anything(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "part.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4"><Metadata domain="RPC"><MDI key="LINE_OFF">n/a</MDI></Metadata>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with opened(path) as source:
        assert source.info.extra["rpcs"] == {"LINE_OFF": "n/a"}


def test_times_are_iso_without_an_invented_zone(tmp_path: Path) -> None:
    path = write(tmp_path / "when.tif", ramp(1, 4, 5))
    with quiet(), edit(path) as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2021:07:09 10:11:12")
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2021-07-08 01:02:03")
    with opened(path) as source:
        assert source.info.extra["times"] == {
            "TIFFTAG_DATETIME": "2021-07-09T10:11:12",
            "ACQUISITIONDATETIME": "2021-07-08T01:02:03",
        }


def test_overlong_tags_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "long.tif", ramp(1, 4, 5))
    with quiet(), edit(path) as dataset:
        dataset.update_tags(XMP="x" * 50_000, short="y")
    with opened(path) as source:
        tags = source.info.extra["tags"]
    assert len(tags["XMP"]) == raster_meta.LONGEST_TAG + 1
    assert tags["short"] == "y"


def test_pixel_is_point_is_shifted_to_corners(tmp_path: Path) -> None:
    transform = rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)
    path = write(tmp_path / "point.tif", ramp(1, 4, 5), crs=UTM, transform=transform)
    with edit(path) as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    data = path.read_bytes()
    with opened(path) as source:
        assert source.info.grid.transform == tuple(transform)[:6]
        assert source.info.extra["tags"]["AREA_OR_POINT"] == "Point"
    # the file itself now names the centre of the first pixel
    assert np.array([500005.0, 4999995.0]).tobytes() in data


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([[MaskFlags.all_valid]] * 3, ()),
        ([[MaskFlags.nodata]] * 3, ()),
        ([[MaskFlags.per_dataset, MaskFlags.alpha]] * 4, ()),
        ([[MaskFlags.per_dataset]] * 3, (0,)),
        ([[MaskFlags.per_dataset, MaskFlags.nodata]] * 3, (0,)),
        ([[], [], []], (0, 1, 2)),
        ([[], [MaskFlags.all_valid]], ()),
    ],
)
def test_masks_that_decide(flags: list[list[MaskFlags]], expected: tuple[int, ...]) -> None:
    assert raster_meta.deciding_masks(flags) == expected


@pytest.mark.parametrize("value", ["-9999", "1.5", "256", "nan"])
def test_nodata_that_cannot_occur_marks_nothing(value: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(1, 4, 5))
    path = tmp_path / "odd.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="5" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><NoDataValue>{value}'
        '</NoDataValue><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with opened(path) as source:
        assert source.read(source.info.grid.box).valid is None
        assert not source.info.may_be_invalid
        assert source.info.bands[0].nodata is None
        # GDAL itself drops the others, so that nothing is left to tell of
        assert codes(source) == (["NODATA_OUT_OF_RANGE"] if value == "1.5" else []) + ["NO_CRS"]

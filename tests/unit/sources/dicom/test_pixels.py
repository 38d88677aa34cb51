"""Every way to store pixels gives the same pixels, whole and in parts."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from bigimage.errors import DataError
from bigimage.geometry.box import IndexBox
from bigimage.sources.dicom.header import PaletteBytes
from bigimage.sources.dicom.pixels import looked_up, palette_table
from tests.unit.sources.dicom import series
from tests.unit.sources.dicom.series import (
    codes,
    compress,
    ct,
    opened,
    pixels,
    put_pixels,
    run_lengths,
    save,
    slice_of_ct,
    voxels,
)

PARTS = [((0, 0, 0), (3, 6, 8)), ((1, 2, 3), (3, 5, 4)), ((0, 0, 2), (1, 6, 8)), ((2, 3, 0), (3, 4, 8))]


def check(folder: Path, slices: list[Dataset], expected: list[np.ndarray]) -> series.Source:
    """Whole and parts of a volume of three slices."""
    (source,) = opened(*save(slices, folder))
    np.testing.assert_array_equal(voxels(source), expected)
    for start, stop in PARTS:
        box = IndexBox(start, stop)
        part = source.read(box)
        np.testing.assert_array_equal(part.array[0], np.asarray(expected)[box.slices])
        assert part.array.flags.c_contiguous
        assert part.array.dtype.isnative
    return source


def as_is(ds: Dataset) -> None:
    """Explicit little endian."""


def implicit(ds: Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def big_endian(ds: Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.set_original_encoding(False, False)
    ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()


def deflated(ds: Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def jpeg2000(ds: Dataset) -> None:
    compress(ds, JPEG2000Lossless, imagecodecs.jpeg2k_encode, level=0, codecformat="j2k", reversible=True)


def high_throughput(ds: Dataset) -> None:
    compress(ds, HTJ2KLossless, imagecodecs.htj2k_encode)


def jpeg_ls(ds: Dataset) -> None:
    compress(ds, JPEGLSLossless, lambda array: imagecodecs.jpegls_encode(array.astype(np.uint16)))


def lossless_jpeg(ds: Dataset) -> None:
    compress(ds, JPEGLosslessSV1, lambda array: imagecodecs.ljpeg_encode(array.astype(np.uint16), bitspersample=16))


@pytest.mark.parametrize(
    "store",
    [as_is, implicit, big_endian, deflated, run_lengths, jpeg2000, high_throughput, jpeg_ls, lossless_jpeg],
)
def test_transfer_syntaxes(tmp_path: Path, store: Callable[[Dataset], None]) -> None:
    slices = ct(3)
    for ds in slices:
        store(ds)
    source = check(tmp_path, slices, [pixels(k) for k in range(3)])
    assert source.layout == ("tiles" if store in (as_is, implicit) else "rows")
    assert source.info.verdicts == ()


@pytest.mark.parametrize("store", [jpeg2000, high_throughput, jpeg_ls, run_lengths])
def test_negative_values_survive_compression(tmp_path: Path, store: Callable[[Dataset], None]) -> None:
    ds = slice_of_ct(0)
    array = pixels(0) - np.int16(2000)
    put_pixels(ds, array)
    store(ds)
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_array_equal(voxels(source)[0], array)


@pytest.mark.parametrize(("photometric", "space"), [("YBR_FULL_422", None), ("RGB", "RGB")])
def test_lossy_jpeg_in_colour(tmp_path: Path, photometric: str, space: str | None) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient
    ds.Modality = "US"
    put_pixels(ds, np.broadcast_to(np.array([200, 30, 90], np.uint8), (16, 16, 3)).copy())
    compress(ds, JPEGBaseline8Bit, imagecodecs.jpeg8_encode, level=98, outcolorspace=space)
    ds.PhotometricInterpretation, ds.LossyImageCompression = photometric, "01"
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_allclose(voxels(source)[:, 8, 8], (200, 30, 90), atol=3)
    assert "LOSSY" in codes(source)


def test_lossy_jpeg_of_12_bits(shared_data: Path) -> None:
    (source,) = opened(shared_data / "dicom" / "pydicom_misc" / "in" / "JPGExtended.dcm")
    values = voxels(source)
    assert values.shape == (1024, 256)
    assert (values.dtype, values.max()) == (np.uint16, 264)
    assert np.percentile(values, 99) > 20


def test_syntaxes_may_differ_within_a_series(tmp_path: Path) -> None:
    slices = ct(3)
    run_lengths(slices[1])
    check(tmp_path, slices, [pixels(k) for k in range(3)])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_types(tmp_path: Path, dtype: str) -> None:
    arrays = [(np.arange(48).reshape(6, 8) * 5 - 100 * (dtype[0] == "i") + k).astype(dtype) for k in range(3)]
    slices = ct(3)
    for ds, array in zip(slices, arrays, strict=True):
        put_pixels(ds, array)
    source = check(tmp_path, slices, arrays)
    assert source.info.dtype == np.dtype(dtype).name


def test_types_that_differ_within_a_series_meet_in_a_wider_one(tmp_path: Path) -> None:
    slices = ct(3)
    put_pixels(slices[1], pixels(1).astype(np.uint16) + 60000)
    source = check(tmp_path, slices, [pixels(0), pixels(1).astype(np.int32) + 60000, pixels(2)])
    assert source.info.dtype == "int32"


def test_floating_pixels(tmp_path: Path) -> None:
    slices = ct(3)
    arrays = [pixels(k).astype(np.float32) / 7 for k in range(3)]
    for ds, array in zip(slices, arrays, strict=True):
        del ds.PixelData
        ds.FloatPixelData = array.tobytes()
        ds.BitsAllocated = 32
    assert check(tmp_path, slices, arrays).info.dtype == "float32"


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shrink", [False, True])
def test_bits_that_are_not_used_are_cleared_and_the_sign_goes_on(tmp_path: Path, signed: bool, shrink: bool) -> None:
    stored = np.array([[0x0FFF, 0x0800], [0x0001, 0x07FF]], np.uint16)
    expected = np.array([[-1, -2048], [1, 2047]]) if signed else stored
    ds = slice_of_ct(0)
    put_pixels(ds, stored if shrink else stored | 0xF000 * np.array([[1, 0], [1, 0]], np.uint16))
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, int(signed)
    if shrink:
        run_lengths(ds)
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_array_equal(voxels(source)[0], expected)


@pytest.mark.parametrize("how", ["by pixel", "by plane", "run lengths"])
def test_colours(tmp_path: Path, how: str) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient, ds.RescaleSlope, ds.RescaleIntercept
    ds.Modality = "US"
    array = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    put_pixels(ds, array)
    if how == "by plane":
        ds.PlanarConfiguration = 1
        ds.PixelData = np.moveaxis(array, -1, 0).tobytes() + b"\0"
    if how == "run lengths":
        run_lengths(ds)
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.axes == ("c", "y", "x")
    assert [band.interpretation for band in source.info.bands] == ["red", "green", "blue"]
    np.testing.assert_array_equal(voxels(source), np.moveaxis(array, -1, 0))
    part = source.read(IndexBox((1, 2), (4, 6)), bands=[2, 0]).array
    np.testing.assert_array_equal(part, np.moveaxis(array, -1, 0)[[2, 0], 1:4, 2:6])


def test_a_colour_volume_has_a_channel_axis(tmp_path: Path) -> None:
    slices = ct(3)
    arrays = [np.full((4, 5, 3), k, np.uint8) + np.arange(3, dtype=np.uint8) for k in range(3)]
    for ds, array in zip(slices, arrays, strict=True):
        put_pixels(ds, array)
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.axes == ("c", "z", "y", "x")
    np.testing.assert_array_equal(voxels(source), np.moveaxis(np.stack(arrays), -1, 0))


def test_luminance_and_chroma_become_colours(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient
    ds.Modality = "US"
    put_pixels(ds, np.full((2, 2, 3), (76, 85, 255), np.uint8))
    ds.PhotometricInterpretation = "YBR_FULL"
    (source,) = opened(*save([ds], tmp_path))
    red, green, blue = voxels(source)[:, 0, 0].astype(int)
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize(
    ("bits", "scale", "dtype"), [(8, 1, "uint8"), (16, 257, "uint8"), (16, 256, "uint8"), (16, 300, "uint16")]
)
def test_palettes_become_colours(tmp_path: Path, bits: int, scale: int, dtype: str) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient
    ds.Modality = "US"
    put_pixels(ds, np.array([[10, 11, 12], [13, 5, 200]], np.uint8))
    ds.PhotometricInterpretation = "PALETTE COLOR"
    table = np.array([[0, 1, 2, 3], [10, 20, 30, 40], [200, 100, 50, 25]])
    for colour, entries in zip(("Red", "Green", "Blue"), table * scale, strict=True):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 10, bits])
        setattr(ds, f"{colour}PaletteColorLookupTableData", entries.astype("<u1" if bits == 8 else "<u2").tobytes())
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.dtype == dtype
    assert "PALETTE_EXPANDED" in codes(source)
    expected = table[:, [[0, 1, 2], [3, 0, 3]]]
    np.testing.assert_array_equal(voxels(source), expected * (1 if dtype == "uint8" else scale))


def test_tables_clip_at_their_ends() -> None:
    table, first = palette_table(PaletteBytes(3, ((1, 2), (3, 4), (5, 6)), 8))
    np.testing.assert_array_equal(looked_up(np.array([-9, 3, 4, 99]), table, first)[0], [1, 1, 2, 2])


def test_bright_and_dark_are_told_and_kept(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.PhotometricInterpretation = "MONOCHROME1"
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_array_equal(voxels(source)[0], pixels(0))
    assert source.info.extra["inverted"] is True
    assert "MONOCHROME1" in codes(source)


def test_single_bits(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient, ds.RescaleSlope, ds.RescaleIntercept
    ds.Modality = "OT"
    bits = np.random.default_rng(3).integers(0, 2, (3, 5, 5), dtype=np.uint8)
    put_pixels(ds, bits)
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = 0
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.shape == (3, 1, 5, 5)
    for t in range(3):
        np.testing.assert_array_equal(voxels(source, t), bits[t])


def test_frames_of_a_compressed_cine(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.ImagePositionPatient
    ds.Modality = "XA"
    frames = np.stack([pixels(k).astype(np.uint16) for k in range(5)])
    put_pixels(ds, frames)
    run_lengths(ds)
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.axes == ("t", "c", "y", "x")
    for t in (4, 0, 2):
        np.testing.assert_array_equal(voxels(source, t), frames[t])


def test_a_damaged_stream_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    slices = ct(3)
    jpeg2000(slices[1])
    frame = bytearray(next(pydicom.encaps.generate_frames(slices[1].PixelData, number_of_frames=1)))
    frame[-30:-2] = b"\xff" * 28
    frame[60:90] = b"\0" * 30
    slices[1].PixelData = encapsulate([bytes(frame)])
    slices[1]["PixelData"].is_undefined_length = True
    (source,) = opened(*save(slices, tmp_path))
    with pytest.raises(DataError, match=r"frame 1 of 001\.dcm cannot be decoded"):
        source.read(source.info.grid.box)
    np.testing.assert_array_equal(source.read(IndexBox((2, 0, 0), (3, 6, 8))).array[0, 0], pixels(2))


def test_a_file_that_shrinks_or_goes_is_an_error(tmp_path: Path) -> None:
    paths = save(ct(3), tmp_path)
    (source,) = opened(*paths)
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    with pytest.raises(DataError, match="shorter"):
        voxels(source)
    paths[1].unlink()
    with pytest.raises(DataError, match=r"001\.dcm cannot be read"):
        voxels(source)


@pytest.mark.parametrize("pair", [("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"), ("US1_UNCR.dcm", "US1_J2KR.dcm")])
def test_real_pairs_have_the_same_colours(shared_data: Path, pair: tuple[str, str]) -> None:
    first, second = (opened(shared_data / "dicom" / "us_colour" / "in" / name)[0] for name in pair)
    np.testing.assert_array_equal(voxels(first), voxels(second))
    assert voxels(first).std() > 10


def test_real_syntaxes_have_the_same_pixels(shared_data: Path) -> None:
    sources = opened(shared_data / "dicom" / "transfer_syntaxes" / "in")
    assert len({source.info.provenance["transfer_syntaxes"][0] for source in sources}) == 5
    for source in sources[1:]:
        np.testing.assert_array_equal(voxels(source), voxels(sources[0]))
    small = [opened(path)[0] for path in sorted((shared_data / "dicom" / "enh_mr_small" / "in").iterdir())]
    for t in (0, 9):
        for other in small[1:]:
            np.testing.assert_array_equal(voxels(other, t), voxels(small[0], t))


def test_real_cines_are_what_pydicom_reads(shared_data: Path) -> None:
    for name in ("xa_cine/in/HasFragmentSequence.dcm", "us_colour/in/us_cine_30frames_ybr422.dcm"):
        path = shared_data / "dicom" / name
        (source,) = opened(path)
        theirs = pydicom.dcmread(path)
        for t in (0, int(theirs.NumberOfFrames) - 1):
            frame = pydicom.pixels.pixel_array(path, index=t)
            ours = source.read(source.info.grid.box, t=t).array
            np.testing.assert_array_equal(np.moveaxis(ours, 0, -1).squeeze(), frame)

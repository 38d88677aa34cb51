from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless

from bigimage.sources.dicom import layout as layouts
from bigimage.sources.dicom.headers import scan
from bigimage.sources.dicom.layout import read_layout, table_entries
from bigimage.sources.dicom.verdicts import Code, Refusal
from tests.unit.sources.dicom.series import pixels, put_pixels, run_lengths, save, slice_of_ct


def layout_of(ds: Dataset, folder: Path) -> tuple[layouts.Layout, list[tuple[Code, str]]]:
    (path,) = save([ds], folder)
    (header,) = scan([path]).headers
    return read_layout(header)


def refused(ds: Dataset, folder: Path) -> Refusal:
    with pytest.raises(Refusal) as caught:
        layout_of(ds, folder)
    return caught.value


def test_a_plain_slice(tmp_path: Path) -> None:
    layout, notes = layout_of(slice_of_ct(0), tmp_path)
    assert (layout.rows, layout.columns, layout.frames, layout.samples) == (6, 8, 1, 1)
    assert (layout.bits_allocated, layout.bits_stored, layout.signed) == (16, 16, True)
    assert layout.is_native
    assert notes == []


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, Code.SEGMENTATION, "is a DICOM segmentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7"}, Code.SEGMENTATION, "label map"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3"}, Code.STRUCTURE_SET, "is an RT structure set"),
        ({"PixelData": None, "Rows": None}, Code.TRUNCATED, "ends before its pixels"),
        (
            {"PixelData": None, "Rows": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
            Code.NOT_AN_IMAGE,
            "Basic Text SR",
        ),
        ({"PixelData": None}, Code.TRUNCATED, "ends before its pixels"),
        ({"Rows": None}, Code.UNREADABLE, "does not say its number of rows"),
        ({"Columns": 0}, Code.UNREADABLE, "says that it has 0 columns"),
        ({"SamplesPerPixel": 4}, Code.UNSUPPORTED_PIXELS, "4 samples"),
        ({"BitsAllocated": 12}, Code.UNSUPPORTED_PIXELS, "12 bits"),
        ({"PhotometricInterpretation": "HSV"}, Code.UNSUPPORTED_PIXELS, "HSV"),
        ({"PhotometricInterpretation": "RGB"}, Code.UNSUPPORTED_PIXELS, "RGB with 1 samples"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Code.UNSUPPORTED_PIXELS, "without a palette"),
        ({"Rows": 60}, Code.TRUNCATED, "it holds 96 of the 960 bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, object], code: Code, reason: str) -> None:
    ds = slice_of_ct(0)
    for keyword, value in changes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    found = refused(ds, tmp_path)
    assert found.code is code
    assert reason in found.reason


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [("1.2.840.10008.1.2.4.102", "MPEG-4"), ("1.2.3.4.5", "1.2.3.4.5"), ("1.2.840.10008.1.2.4.94", "JPIP")],
)
def test_syntaxes_that_are_not_read_are_named(tmp_path: Path, syntax: str, reason: str) -> None:
    ds = slice_of_ct(0)
    ds.PixelData = encapsulate([b"\0" * 10])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = HTJ2KLossless
    (path,) = save([ds], tmp_path)
    known = HTJ2KLossless.encode() + b"\0"
    path.write_bytes(path.read_bytes().replace(known, syntax.encode().ljust(len(known), b"\0")))
    (header,) = scan([path]).headers
    with pytest.raises(Refusal, match=reason) as caught:
        read_layout(header)
    assert caught.value.code is Code.UNSUPPORTED_SYNTAX


@pytest.mark.parametrize(
    ("stated", "frames", "note"),
    [
        (3, 3, None),
        (5, 3, "says that it has 5 frames, but holds 3; these are read"),
        (2, 2, "says that it has 2 frames, but holds 3; the first are read"),
        (0, 1, "says that it has no readable number of frames"),
        (-4, 1, "says that it has -4 frames"),
        (10**9, 3, "but holds 3"),
    ],
)
def test_the_number_of_frames_is_counted(tmp_path: Path, stated: int, frames: int, note: str | None) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.stack([pixels(k) for k in range(3)]))
    ds.NumberOfFrames = stated
    layout, notes = layout_of(ds, tmp_path)
    assert layout.frames == frames
    if note is None:
        assert notes == []
    else:
        assert notes[0][0] is Code.FRAME_COUNT
        assert note in notes[0][1]


def test_the_byte_that_makes_a_length_even_is_no_frame(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.array([[7]], np.uint8))
    layout, notes = layout_of(ds, tmp_path)
    assert (layout.frames, notes) == (1, [])


def test_a_few_bytes_may_not_promise_a_huge_picture(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.Rows = ds.Columns = 40000
    siz = b"\xff\x4f\xff\x51\0\x29\0\0" + (40000).to_bytes(4, "big") * 2 + b"\0" * 30
    ds.PixelData = encapsulate([siz])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert refused(ds, tmp_path).code is Code.TOO_LARGE


def test_compressed_frames_are_checked_one_by_one(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    run_lengths(ds)
    assert layout_of(ds, tmp_path)[0].fragments is not None
    ds.Rows = 7
    ds.BitsAllocated = 8
    assert refused(ds, tmp_path).code is Code.DAMAGED


@pytest.mark.parametrize(
    ("data", "count", "bits", "entries"),
    [
        (b"\1\0\2\0\3\0", 3, 16, (1, 2, 3)),
        (b"\1\2\3\4", 4, 8, (1, 2, 3, 4)),
        (b"\1\0\2\0", 2, 8, (1, 2)),
    ],
)
def test_entries_of_tables(data: bytes, count: int, bits: int, entries: tuple[int, ...]) -> None:
    assert table_entries(data, count, bits, little=True) == entries
    with pytest.raises(Refusal, match="bytes for 9 entries"):
        table_entries(data, 9, bits, little=True)

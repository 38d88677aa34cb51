import struct
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate

from bigimage.sources.dicom.encaps import RLE, check_frame, frames_of, read_fragments
from bigimage.sources.dicom.verdicts import Refusal

JPEG2000 = "1.2.840.10008.1.2.4.90"
JPEG = "1.2.840.10008.1.2.4.50"


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


END = b"\xfe\xff\xdd\xe0\0\0\0\0"
PARTS = [b"\xff\xd8" + bytes([k]) * (10 + 2 * k) for k in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pixels"


def read_all(path: Path, stated: int, *, offset: int = 3) -> list[bytes]:
    return [read_fragments(path, frame) for frame in frames_of(path, offset, stated)]


@pytest.mark.parametrize("has_table", [True, False])
def test_one_fragment_for_each_frame(path: Path, has_table: bool) -> None:
    path.write_bytes(b"xyz" + encapsulate(PARTS, has_bot=has_table))
    assert read_all(path, 4) == PARTS
    assert read_all(path, 2) == PARTS[:2]


def test_all_fragments_are_one_frame_where_there_is_one(path: Path) -> None:
    path.write_bytes(b"xyz" + item(b"") + b"".join(map(item, PARTS)) + END)
    assert read_all(path, 1) == [b"".join(PARTS)]


def test_fragments_are_grouped_by_the_offset_table(path: Path) -> None:
    parts = [b"\0" * 8, b"\1" * 6, b"\2" * 4, b"\3" * 10]
    table = struct.pack("<2L", 0, 8 + 8 + 8 + 6)
    path.write_bytes(b"xyz" + item(table) + b"".join(map(item, parts)) + END)
    assert read_all(path, 2) == [parts[0] + parts[1], parts[2] + parts[3]]


def test_fragments_are_grouped_by_the_starts_of_code_streams(path: Path) -> None:
    parts = [b"\xff\xd8aaaa", b"bbbb", b"\xff\xd8cccc", b"dd", b"ee"]
    path.write_bytes(b"xyz" + item(b"") + b"".join(map(item, parts)) + END)
    assert read_all(path, 2) == [b"".join(parts[:2]), b"".join(parts[2:])]


def test_a_cut_file_gives_the_frames_that_are_whole(path: Path) -> None:
    data = b"xyz" + encapsulate(PARTS, has_bot=False)
    path.write_bytes(data[: -len(END) - 4])
    assert read_all(path, 4) == PARTS[:3]
    with pytest.raises(Refusal, match="cut short in the middle"):
        frames_of(path, 3, 1)
    path.write_bytes(data[:20])
    with pytest.raises(Refusal, match="cut short before"):
        frames_of(path, 3, 4)


@pytest.mark.parametrize("data", [b"", b"xyz", b"xyz12345678", b"xyz" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"])
def test_what_is_not_cut_into_items_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(Refusal, match="not cut into items"):
        frames_of(path, 3, 1)


def test_a_file_that_shrinks_is_told(path: Path) -> None:
    path.write_bytes(b"abc")
    with pytest.raises(Refusal, match="cut short"):
        read_fragments(path, ((1, 5),))


def jpeg(height: int, width: int, marker: int = 0xC0) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 12) + b"x" * 10
    return b"\xff\xd8" + exif + bytes([0xFF, marker]) + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"


def jpeg2000(height: int, width: int, *, boxed: bool = False) -> bytes:
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HH4L", 41, 0, width + 5, height + 7, 5, 7) + b"\0" * 20
    return b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 60 + siz if boxed else siz


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (jpeg(30, 40), JPEG),
        (jpeg(30, 40, 0xF7), "1.2.840.10008.1.2.4.80"),
        (jpeg(30, 40, 0xC3), "1.2.840.10008.1.2.4.70"),
        (jpeg2000(30, 40), JPEG2000),
        (jpeg2000(30, 40, boxed=True), JPEG2000),
    ],
)
def test_the_size_of_a_code_stream_is_checked(path: Path, data: bytes, syntax: str) -> None:
    path.write_bytes(data)
    frame = ((0, len(data)),)
    check_frame(path, frame, syntax, (30, 40), planes=1)
    with pytest.raises(Refusal, match="31×40 rows × columns, but its compressed image is 30×40"):
        check_frame(path, frame, syntax, (31, 40), planes=1)


@pytest.mark.parametrize("data", [b"garbage" * 9, b"\xff\xd8\xff", b""])
def test_what_is_no_code_stream_is_refused_or_left_to_the_decoder(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    if data.startswith(b"\xff\xd8"):
        check_frame(path, ((0, len(data)),), JPEG, (1, 1), planes=1)
        return
    with pytest.raises(Refusal):
        check_frame(path, ((0, len(data)),), JPEG, (1, 1), planes=1)


@pytest.mark.parametrize(
    ("count", "offsets", "is_right"),
    [
        (2, (64, 70), True),
        (1, (64,), False),
        (2, (64, 900), False),
        (2, (70, 64), False),
        (99, (64,), False),
        (2, (0, 0), False),
    ],
)
def test_headers_of_rle_frames(path: Path, count: int, offsets: tuple[int, ...], is_right: bool) -> None:
    data = struct.pack("<16L", count, *offsets, *(0,) * (15 - len(offsets))) + b"\0" * 20
    path.write_bytes(data)
    if is_right:
        check_frame(path, ((0, len(data)),), RLE, (4, 4), planes=2)
        return
    with pytest.raises(Refusal, match="RLE frame"):
        check_frame(path, ((0, len(data)),), RLE, (4, 4), planes=2)

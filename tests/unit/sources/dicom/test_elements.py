import struct

import numpy as np
import pytest

from bigimage.sources.dicom.elements import Elements, Raw, describe_tag
from bigimage.sources.dicom.tags import TAGS


def elements(keyword: str, value: bytes, vr: str | None = None, *, little: bool = True) -> Elements:
    return Elements({TAGS[keyword]: Raw(vr, value, vr is None, little)})


@pytest.mark.parametrize(
    ("value", "vr", "expected"),
    [
        (b"0.5\\0.4 ", "DS", (0.5, 0.4)),
        (b" 1e-3 \\ 2\0", "DS", (0.001, 2.0)),
        (b"0.5", None, (0.5,)),  # implicit: by the dictionary
        (b"0.5", "LO", (0.5,)),  # a wrong text representation
        (struct.pack("<2d", 0.5, 0.4), "FD", (0.5, 0.4)),
        (struct.pack("<2f", 0.5, 0.25), "FL", (0.5, 0.25)),
        (struct.pack("<h", -3), "SS", (-3,)),
        (b"0.5", "UN", (0.5,)),
        (b"", "DS", ()),
        (b"  ", "DS", ()),
    ],
)
def test_numbers_of_any_representation(value: bytes, vr: str | None, expected: tuple[float, ...]) -> None:
    found = elements("PixelSpacing", value, vr)
    assert found.numbers("PixelSpacing") == expected
    assert found.faults == {}


@pytest.mark.parametrize(
    ("value", "vr", "reason"),
    [
        (b"0,5\\0,4", "DS", "is not a number"),
        (b"abc", "DS", "is not a number (b'abc')"),
        (b"\xff\xfe", "DS", "is not a number"),
        (b"nan\\1", "DS", "is not finite"),
        (b"1e999", "DS", "is not finite"),
        (b"\x01", "US", None),
        (b"\x01\x02\x03", "US", "is not a number"),
        (struct.pack("<d", np.nan), "FD", "is not finite"),
    ],
)
def test_garbled_numbers_are_absent_and_noted(value: bytes, vr: str, reason: str | None) -> None:
    found = elements("PixelSpacing", value, vr)
    assert found.numbers("PixelSpacing") == ()
    assert found.number("PixelSpacing") is None
    assert found.integer("PixelSpacing") is None
    if reason is not None:
        assert reason in found.faults["PixelSpacing"]


def test_a_size_of_spaces_and_zeros_is_a_number() -> None:
    assert elements("Rows", b" \0", "US").integer("Rows") == 32
    assert elements("Rows", b"\0\0", "US").integer("Rows") == 0
    assert elements("Rows", b"\x02\x00", "US", little=False).integer("Rows") == 512


def test_broken_numbers_are_no_whole_ones() -> None:
    found = elements("InstanceNumber", b"2.5", "IS")
    assert found.integer("InstanceNumber") is None
    assert "is not a whole number (2.5)" in found.faults["InstanceNumber"]


@pytest.mark.parametrize(
    ("charset", "value", "expected"),
    [
        (b"ISO_IR 100", "Buc^Jérôme".encode("latin-1"), "Buc^Jérôme"),
        (b"ISO_IR 126", "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
        (b"ISO_IR 192", "Wang^小东".encode(), "Wang^小东"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (b"nonsense", b"Doe^Jane", "Doe^Jane"),
        (b"nonsense", b"Do\xe9", "Doé"),
    ],
)
def test_names_in_their_character_sets(charset: bytes, value: bytes, expected: str) -> None:
    raw = {
        TAGS["SpecificCharacterSet"]: Raw("CS", charset, False, True),
        TAGS["PatientName"]: Raw("PN", value, False, True),
    }
    assert Elements(raw).text("PatientName") == expected


def test_texts_are_stripped_and_split() -> None:
    assert elements("ImageType", b"ORIGINAL\\ PRIMARY \\\0", "CS").texts("ImageType") == ("ORIGINAL", "PRIMARY", "")
    assert elements("ImageType", b"\\X", "CS").text("ImageType") is None
    assert elements("ImageType", b"", "CS").texts("ImageType") == ()
    assert "ImageType" not in elements("ImageType", b"", "CS")
    assert "ImageType" in elements("ImageType", b"X", "CS")


def _item(body: bytes, length: int | None = None) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body) if length is None else length) + body


ROWS = b"\x28\x00\x10\x00US\x02\x00\x07\x00"
IMPLICIT_ROWS = b"\x28\x00\x10\x00\x02\x00\x00\x00\x07\x00"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"


@pytest.mark.parametrize(
    ("value", "vr", "count"),
    [
        (_item(ROWS) + _item(ROWS), "SQ", 2),
        (_item(ROWS + ITEM_END, 0xFFFFFFFF) + _item(ROWS), "SQ", 2),
        (_item(IMPLICIT_ROWS), "UN", 1),
        (_item(IMPLICIT_ROWS), None, 1),
        (b"rubbish!", "SQ", 0),
        (_item(ROWS)[:-4], "SQ", 1),
    ],
)
def test_items_of_sequences(value: bytes, vr: str | None, count: int) -> None:
    items = elements("ModalityLUTSequence", value, vr).items("ModalityLUTSequence")
    assert len(items) == count
    if count == 2:
        assert [item.integer("Rows") for item in items] == [7, 7]


def test_an_item_can_be_cut_down_to_what_is_wanted() -> None:
    value = _item(ROWS + b"\x28\x00\x11\x00US\x02\x00\x09\x00")
    (item,) = elements("ModalityLUTSequence", value, "SQ").items("ModalityLUTSequence", only=frozenset({TAGS["Rows"]}))
    assert item.integer("Rows") == 7
    assert "Columns" not in item


def test_tags_are_described_by_number_and_name() -> None:
    assert describe_tag("PixelSpacing") == "(0028,0030) Pixel Spacing"
    assert describe_tag("SiemensMosaicTiles") == "(0019,100A) SiemensMosaicTiles"

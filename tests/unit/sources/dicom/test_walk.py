import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from bigimage.sources.dicom.elements import read_elements
from bigimage.sources.dicom.tags import HEADER_TAGS, TAGS
from bigimage.sources.dicom.walk import walk, walk_meta
from tests.unit.sources.dicom.series import group, item, slice_of_ct

PIXEL_DATA = 0x7FE00010


def written(ds: Dataset, *, implicit: bool) -> bytes:
    """Bytes of a data set without preamble and meta information."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    write_dataset(stream, ds)
    return stream.getvalue()


def header(*, undefined: bool) -> Dataset:
    """A header with nested sequences of stated or undefined length before the pixels."""
    ds = slice_of_ct(3)
    ds.ReferencedStudySequence = group(ReferencedSOPClassUID="1.2", PurposeOfReferenceCodeSequence=group(CodeValue="A"))
    ds.ModalityLUTSequence = group(LUTExplanation="x")
    ds.OtherPatientIDsSequence = Sequence([item(PatientID="a"), item(PatientID="b")])
    if undefined:
        for keyword in ("ReferencedStudySequence", "OtherPatientIDsSequence"):
            ds[keyword].is_undefined_length = True
            for part in ds[keyword].value:
                part.is_undefined_length_sequence_item = True
        inner = ds.ReferencedStudySequence[0]["PurposeOfReferenceCodeSequence"]
        inner.is_undefined_length = True
        inner.value[0].is_undefined_length_sequence_item = True
    return ds


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_it_finds_what_pydicom_finds(implicit: bool, undefined: bool) -> None:
    data = written(header(undefined=undefined), implicit=implicit)
    walked = walk(data, 0, implicit=implicit, only=HEADER_TAGS)
    assert walked is not None
    found, pixels = walked
    theirs = read_elements(io.BytesIO(data), implicit=implicit, little=True, only=HEADER_TAGS)
    assert {tag: raw.value for tag, raw in found.items()} == {tag: raw.value for tag, raw in theirs.items()}
    assert {tag: raw.vr for tag, raw in found.items()} == {tag: raw.vr for tag, raw in theirs.items()}
    assert pixels is not None
    assert (pixels[0], len(data) - pixels[1]) == (PIXEL_DATA, pixels[2])


def test_a_wanted_sequence_of_undefined_length_is_left_to_pydicom() -> None:
    data = written(header(undefined=True), implicit=False)
    assert walk(data, 0, implicit=False, only=HEADER_TAGS | {0x00081110}) is None


def test_an_early_end_gives_what_is_complete() -> None:
    data = written(header(undefined=False), implicit=False)
    whole = walk(data, 0, implicit=False, only=HEADER_TAGS)
    assert whole is not None
    counts: list[int] = []
    for end in range(0, len(data), 7):
        part = walk(data[:end], 0, implicit=False, only=HEADER_TAGS)
        assert part is not None
        assert part[0].items() <= whole[0].items()
        counts.append(len(part[0]))
    assert counts == sorted(counts)
    assert counts[-1] == len(whole[0])


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end(data: bytes, implicit: bool) -> None:
    walked = walk(data, 0, implicit=implicit, only=HEADER_TAGS)
    if walked is not None:
        assert all(len(raw.value) <= len(data) for raw in walked[0].values())


def test_sequences_too_deep_are_left_to_pydicom() -> None:
    start = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert walk(start * 100, 0, implicit=False, only=HEADER_TAGS) is None


def test_the_first_of_two_equal_tags_counts() -> None:
    element = b"\x28\x00\x10\x00US\x02\x00"
    walked = walk(element + b"\x05\x00" + element + b"\x09\x00", 0, implicit=False, only=HEADER_TAGS)
    assert walked is not None
    assert walked[0][TAGS["Rows"]].value == b"\x05\x00"


def test_meta_information_ends_where_its_group_ends() -> None:
    meta = b"\x02\x00\x10\x00UI\x04\x001.2\0" + b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\0\1"
    walked = walk_meta(b"x" * 10 + meta + b"\x08\x00\x05\x00CS\x00\x00", 10)
    assert walked == ({0x00020010: b"1.2\0", 0x00020001: b"\0\1"}, 10 + len(meta))
    assert walk_meta(meta[:9], 0) is None
    assert walk_meta(b"\x02\x00\x10\x00??\x04\x001.2\0", 0) is None

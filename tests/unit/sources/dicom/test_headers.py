import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from bigimage.errors import NotFound
from bigimage.sources.dicom.header import FileHeader
from bigimage.sources.dicom.headers import HEAD, Names, Rejected, has_dicom, read_header, scan
from tests.unit.sources.dicom.series import ct, item, opened, pixels, save, slice_of_ct, voxels


def only(path: Path) -> FileHeader:
    (header,) = scan([path]).headers
    return header


@pytest.mark.parametrize(
    "syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=str
)
def test_the_pixels_are_where_the_header_says(tmp_path: Path, syntax: str | None) -> None:
    ds = slice_of_ct(2)
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.set_original_encoding(False, False)
        ds.PixelData = pixels(2).astype(">i2").tobytes()
    (path,) = save([ds], tmp_path)
    header = only(path)
    assert header.elements.numbers("ImagePositionPatient") == (-10, -20, 34)
    assert header.elements.integer("Rows") == 6
    assert header.pixels is not None
    data = path.read_bytes()
    if header.deflated_from is not None:
        data = zlib.decompress(data[header.deflated_from :], -15)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    stored = np.frombuffer(data, f"{order}i2", count=48, offset=header.pixels.offset)
    np.testing.assert_array_equal(stored.reshape(6, 8), pixels(2))


def test_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.add_new(0x00091010, "OB", b"x" * (3 * HEAD))
    ds.add_new(0x00090010, "LO", "ACME")
    (path,) = save([ds], tmp_path)
    header = only(path)
    assert header.pixels is not None
    assert header.pixels.offset > 3 * HEAD
    assert header.elements.integer("Columns") == 8


def test_files_without_preamble_or_meta_information(tmp_path: Path) -> None:
    (path,) = save([slice_of_ct(1)], tmp_path / "a")
    data = path.read_bytes()
    length = struct.unpack("<I", data[140:144])[0]
    for name, part in (("no-preamble", data[132:]), ("no-meta", data[144 + length :])):
        bare = tmp_path / name
        bare.write_bytes(part)
        header = only(bare)
        assert header.elements.integer("InstanceNumber") == 2
        assert header.syntax == "1.2.840.10008.1.2.1"
        np.testing.assert_array_equal(voxels(opened(bare)[0])[0], pixels(1))


def test_the_bytes_decide_over_a_wrong_transfer_syntax(tmp_path: Path) -> None:
    (path,) = save([slice_of_ct(1)], tmp_path)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)
    path.write_bytes(data)
    assert only(path).elements.integer("Rows") == 6
    np.testing.assert_array_equal(voxels(opened(path)[0])[0], pixels(1))


def test_what_is_not_dicom_is_told_once(tmp_path: Path) -> None:
    save(ct(2), tmp_path)
    for name, content in (
        ("a.txt", b"hello"),
        ("b.pdf", b"%PDF-1.7 " * 50),
        ("c.jpg", b"\xff\xd8\xff\xe0" * 90),
        ("d", b""),
    ):
        (tmp_path / name).write_bytes(content)
    found = scan([tmp_path])
    assert len(found.headers) == 2
    (told,) = found.verdicts
    assert told.code == "NOT_DICOM"
    assert told.instances == ("a.txt", "b.pdf", "c.jpg", "d")


def test_damaged_headers_are_told(tmp_path: Path) -> None:
    (path,) = save([slice_of_ct(0)], tmp_path)
    data = path.read_bytes()
    (tmp_path / "cut").write_bytes(data[:200])
    (tmp_path / "noise").write_bytes(data[:132] + b"\x02\x00\x10\x00UI" + os.urandom(5) + b"\xff" * 300)
    found = scan([tmp_path])
    assert len(found.headers) == 1
    assert {v.code for v in found.verdicts} == {"UNREADABLE"}


def test_a_damaged_or_endless_deflated_header_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = slice_of_ct(0)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (path,) = save([ds], tmp_path)
    data = path.read_bytes()
    start = only(path).deflated_from
    assert start is not None
    path.write_bytes(data[:start] + b"\xff" * 50)
    (told,) = scan([path]).verdicts
    assert told.code == "UNREADABLE"
    assert "deflated" in told.message
    monkeypatch.setattr("bigimage.sources.dicom.headers.MOST_INFLATED", 1000)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(data[:start] + bomb.compress(b"\0" * 10_000_000) + bomb.flush())
    assert {v.code for v in scan([path]).verdicts} <= {"UNREADABLE"}
    assert scan([path]).headers == ()


def test_pipes_and_dangling_links_do_not_stop_a_scan(tmp_path: Path) -> None:
    save(ct(2), tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert len(scan([tmp_path]).headers) == 2


def test_files_named_twice_are_read_once(tmp_path: Path) -> None:
    paths = save(ct(3), tmp_path)
    assert len(scan([tmp_path, *paths]).headers) == 3


def test_missing_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone"):
        scan([tmp_path / "gone"])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with a DICOMDIR."""
    folder = tmp_path / "media"
    records: list[Dataset] = []
    for k, ds in enumerate(ct(3)):
        save([ds], folder / "IMAGES", name=f"IM{k}")
        records.append(item(DirectoryRecordType="IMAGE", ReferencedFileID=["IMAGES", f"IM{k}"]))
    directory = item(FileSetID="X", DirectoryRecordSequence=Sequence([item(DirectoryRecordType="PATIENT"), *records]))
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.SOPClassUID, directory.SOPInstanceUID = MediaStorageDirectoryStorage, "1.2.3"
    (path,) = save([directory], folder, name="DICOMDIR")
    assert path.is_file()
    return folder


def test_a_dicomdir_leads_to_its_files(media: Path) -> None:
    directory = media / "DICOMDIR"
    assert len(scan([directory]).headers) == 3
    found = scan([media])
    assert (len(found.headers), found.verdicts) == (3, ())
    (media / "extra").write_bytes((media / "IMAGES" / "IM0").read_bytes())
    assert len(scan([directory]).headers) == 3


def test_what_a_dicomdir_names_in_vain_is_told(media: Path) -> None:
    (media / "IMAGES" / "IM1").unlink()
    found = scan([media / "DICOMDIR"])
    assert len(found.headers) == 2
    assert [v.code for v in found.verdicts] == ["MISSING_FILE"]


def test_a_dicomdir_leads_nowhere_else(media: Path) -> None:
    (path,) = save([slice_of_ct(7)], media.parent / "se", name="a")
    directory = media / "DICOMDIR"
    data = directory.read_bytes()
    assert b"IMAGES\\IM1" in data
    directory.write_bytes(data.replace(b"IMAGES\\IM1", b"..\\se\\a   "))
    found = scan([directory])
    assert path not in [header.path for header in found.headers]
    assert [v.code for v in found.verdicts] == ["MISSING_FILE"]


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_real_dicomdirs(shared_data: Path, name: str, tmp_path: Path) -> None:
    folder = shared_data / "dicom" / "pydicom_misc" / "dicomdir"
    for path in folder.iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "DICOMDIR").write_bytes((folder / name).read_bytes())
    found = scan([tmp_path / "DICOMDIR"])
    # the links lead out of the folder, as far as the DICOMDIR goes
    assert found.headers == ()
    assert [v.code for v in found.verdicts] == ["MISSING_FILE"]
    assert len(found.verdicts[0].instances) == 31
    assert len(scan([folder / "DICOMDIR"]).headers) == 31


def test_folders_are_known_by_any_file_below(tmp_path: Path) -> None:
    assert not has_dicom(tmp_path)
    (tmp_path / "notes").write_text("hello")
    assert not has_dicom(tmp_path)
    save(ct(1), tmp_path / "a" / "b")
    assert has_dicom(tmp_path)
    assert not has_dicom(tmp_path / "notes")
    assert not has_dicom(tmp_path / "gone")


def test_names_are_relative_or_numbers(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    names = Names([tmp_path])
    assert names(tmp_path / "x" / "a.dcm") == "x/a.dcm"
    assert names(Path("elsewhere") / "b.dcm") == "b.dcm"
    private = Names([tmp_path], private=True)
    assert [private(tmp_path / name) for name in ("doe", "roe", "doe")] == ["file 1", "file 2", "file 1"]


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    (path,) = save([slice_of_ct(0)], tmp_path)
    found = read_header(tmp_path)
    assert isinstance(found, Rejected)
    assert "cannot be read" in found.reason
    assert isinstance(read_header(path), FileHeader)


def test_pydicom_may_warn_without_a_word(tmp_path: Path) -> None:
    def odd(ds: Dataset, k: int) -> None:
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName = "Jérôme"

    (path,) = save(ct(1, edit=odd), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    (source,) = opened(path)
    assert source.info.extra["export"]["PatientName"].startswith("J")

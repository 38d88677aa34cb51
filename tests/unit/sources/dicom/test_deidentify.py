import json
import sys
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from bigimage.errors import Unsupported
from bigimage.sources.dicom.deidentify import Deidentifier
from bigimage.sources.dicom.tags import EXPORT
from tests.unit.sources.dicom.series import FRAME, SERIES, STUDY, codes, ct, opened, save, slice_of_ct

SECRET = "correct horse"
IDENTITY = {
    "PatientName": "Doe^Jane",
    "PatientID": "P-1",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "StudyID": "STUDY7",
    "StudyDate": "20200103",
    "StudyTime": "101112",
    "AccessionNumber": "ACC99",
    "ReferringPhysicianName": "Who^Doctor",
    "SeriesDescription": "Jane's head",
}


def identified(ds: Dataset, k: int) -> None:
    for keyword, value in IDENTITY.items():
        setattr(ds, keyword, value)
    ds.Manufacturer, ds.PatientPosition = "ACME", "HFS"


def test_nothing_that_names_the_patient_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "Doe_Jane"
    paths = save(ct(3, edit=identified), folder, name="Doe-{}.dcm")
    (folder / "notes of Jane Doe.txt").write_text("hello")
    paths[1].write_bytes(paths[1].read_bytes().replace(b"2.0 ", b"Jane"))
    (source,) = opened(folder, deidentify=SECRET)
    stored = json.dumps([dict(source.info.extra), dict(source.info.provenance)]) + repr(source.info)
    words = [
        *IDENTITY.values(),
        "Jane",
        "Doe",
        STUDY,
        SERIES,
        FRAME,
        *(slice_of_ct(k).SOPInstanceUID for k in range(3)),
    ]
    for word in words:
        if word not in ("F", "STUDY7"):
            assert word not in stored, word
    assert source.info.extra["export"].keys() == {"PatientID", "Manufacturer", "PatientPosition"}
    assert {"DEIDENTIFIED", "NOT_DICOM"} <= codes(source)
    assert source.info.extra["deidentified"]["profile"].startswith("DICOM PS3.15")


def test_replacements_agree_between_files_and_days(tmp_path: Path) -> None:
    paths = save(ct(3, edit=identified), tmp_path)
    first, again = (opened(*paths, deidentify=SECRET)[0].info for _ in range(2))
    other = opened(*paths, deidentify="another secret")[0].info
    assert first == again
    assert first.grid.frame != other.grid.frame
    assert first.extra["export"]["PatientID"] != other.extra["export"]["PatientID"]
    helper = Deidentifier(SECRET)
    assert first.grid.frame.uid == helper.uid(FRAME)
    assert first.extra["study"] == helper.uid(STUDY)
    assert first.extra["instances"][0][1] == [helper.uid(slice_of_ct(1).SOPInstanceUID), None]
    assert len(helper.uid(FRAME)) <= 64


def test_instances_in_verdicts_are_replaced(tmp_path: Path) -> None:
    slices = ct(8)
    del slices[4]
    (source,) = opened(*save(slices, tmp_path), deidentify=SECRET)
    gap = next(v for v in source.info.verdicts if v.code == "GAP")
    helper = Deidentifier(SECRET)
    assert gap.instances == tuple(helper.uid(slice_of_ct(k).SOPInstanceUID) for k in (3, 5))


def test_a_file_name_that_stands_for_a_uid_is_replaced(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.SOPInstanceUID
    (source,) = opened(*save([ds], tmp_path, name="doe-jane.dcm"), deidentify=SECRET)
    assert "doe" not in repr(source.info)


def test_garbled_values_are_not_quoted(tmp_path: Path) -> None:
    (path,) = save([slice_of_ct(0)], tmp_path)
    data = path.read_bytes()
    assert b"0.5\\0.4 " in data
    path.write_bytes(data.replace(b"0.5\\0.4 ", b"Jane Doe"))
    with pytest.raises(Exception, match=r"is not a number \(b'Jane Doe'\)"):
        opened(path, strict=True)
    (source,) = opened(path, deidentify=SECRET)
    assert "Jane" not in repr(source.info)
    assert "BAD_TAG" in codes(source)


@pytest.mark.parametrize(
    ("modality", "stated", "expected"),
    [("CT", None, False), ("CT", "YES", True), ("US", None, True), ("US", "NO", False), ("US", "YES", True)],
)
def test_text_in_pixels_is_warned_of(tmp_path: Path, modality: str, stated: str | None, expected: bool) -> None:
    ds = slice_of_ct(0)
    ds.Modality = modality
    if stated is not None:
        ds.BurnedInAnnotation = stated
    (source,) = opened(*save([ds], tmp_path), deidentify=SECRET)
    assert ("BURNED_IN" in codes(source)) is expected


def test_the_profile_knows_every_attribute_that_is_kept() -> None:
    """What the profile leaves as it is: nothing but the maker and the way the patient lies."""
    kept = Deidentifier(SECRET).attributes(
        {keyword: "1" for keyword in EXPORT if not keyword.endswith(("Date", "Time"))}
    )
    assert kept.keys() == {"PatientID", "Manufacturer", "PatientPosition"}
    assert kept["PatientID"].startswith("anon-")


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dicomanonymizer.simpledicomanonymizer", None)
    with pytest.raises(Unsupported, match=r"pip install bigimage\[deidentify\]"):
        Deidentifier(SECRET).attributes({"PatientID": "1"})

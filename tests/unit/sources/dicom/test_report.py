"""What was found while reading: one verdict for each kind, told where it belongs."""

from pathlib import Path

import pytest

from bigimage.errors import DataError, Unsupported
from bigimage.sources.dicom.headers import Names
from bigimage.sources.dicom.report import as_verdicts, check_strict, refusal
from bigimage.sources.dicom.verdicts import Code, verdict
from tests.unit.sources.dicom.series import codes, ct, opened, save


def test_files_with_the_same_note_share_a_verdict(tmp_path: Path) -> None:
    notes = [
        (tmp_path / "a", Code.NOT_DICOM, "is not DICOM"),
        (tmp_path / "b", Code.BAD_TAG, "has a bad tag"),
        (tmp_path / "c", Code.NOT_DICOM, "is not DICOM"),
    ]
    first, second = as_verdicts(notes, Names([tmp_path]))
    assert (first.message, first.instances) == ("each of 2 files is not DICOM", ("a", "c"))
    assert (second.message, second.instances) == ("b has a bad tag", ("b",))


def test_unsupported_pixels_alone_are_unsupported(tmp_path: Path) -> None:
    unsupported = verdict(Code.UNSUPPORTED_SYNTAX, "x is a film")
    damaged = verdict(Code.DAMAGED, "y is broken")
    assert isinstance(refusal([tmp_path], [unsupported]), Unsupported)
    error = refusal([tmp_path, tmp_path], [unsupported, damaged])
    assert isinstance(error, DataError)
    assert error.problems == ("UNSUPPORTED_SYNTAX: x is a film", "DAMAGED: y is broken")
    assert "2 paths" in str(error)
    assert "no file in it" in str(refusal([tmp_path], []))


def test_strict_names_each_problem_once(tmp_path: Path) -> None:
    gap, order = verdict(Code.GAP, "a gap"), verdict(Code.ORDER, "an order")
    check_strict([tmp_path], [order])
    with pytest.raises(DataError) as caught:
        check_strict([tmp_path], [gap, order, gap])
    assert caught.value.problems == ("GAP: a gap",)


def test_notes_go_to_the_image_of_their_file(tmp_path: Path) -> None:
    def later(ds: object, k: int) -> None:
        ds.SeriesNumber = 9  # type: ignore[attr-defined]

    save(ct(3), tmp_path / "a")
    paths = save(ct(3, series="1.2.3.4", edit=later), tmp_path / "b")
    data = paths[1].read_bytes()
    paths[1].write_bytes(data.replace(b"-1024.0 ", b"-1O24.0 "))
    (tmp_path / "letter").write_text("hello")
    first, *others = opened(tmp_path)
    assert "NOT_DICOM" in codes(first)
    assert "BAD_TAG" not in codes(first)
    assert any("BAD_TAG" in codes(other) for other in others)

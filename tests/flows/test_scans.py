"""Scans from the command line and from Python: what is made, what is told, what is refused, what is never stored."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, generate_uid

from bigimage import cli, open_workspace
from bigimage.errors import DataError, InputError, PartlyDone
from tests.unit.sources.dicom.series import compress, ct, pixels, save, slice_of_ct

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `bigimage` in an empty folder: exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bigimage", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1, *capsys.readouterr())

    return go


def broken(ds: Dataset) -> Dataset:
    """JPEG 2000 with nothing behind the header of its stream."""
    compress(ds, JPEG2000Lossless, imagecodecs.jpeg2k_encode, level=0, reversible=True, codecformat="J2K")
    (stream,) = generate_frames(ds.PixelData, number_of_frames=1)
    ds.PixelData = encapsulate([stream[:60] + b"\xff" * 60])
    return ds


def with_gap() -> list[Dataset]:
    return [ds for k, ds in enumerate(ct(8)) if k != 4]


def verdicts(out: str) -> list[set[str]]:
    return [{verdict["code"] for verdict in image["verdicts"]} for image in json.loads(out)]


def test_a_damaged_slice_is_left_out_and_told(run: Run, tmp_path: Path) -> None:
    slices = ct(6)
    broken(slices[2])
    save(slices, tmp_path / "study")
    status, out, err = run("ingest", "study", "--json")
    assert (status, err) == (0, "")
    (told,) = verdicts(out)
    assert told == {"DAMAGED", "GAP", "UNEVEN"}
    image = open_workspace().image("study")
    np.testing.assert_array_equal(image.read_index((slice(None),) * 3).array[0], [pixels(k) for k in (0, 1, 3, 4, 5)])
    assert image.info.provenance["files"] == 5


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_an_image_that_cannot_be_made_does_not_stop_the_others(run: Run, tmp_path: Path, scheduler: str) -> None:
    save(ct(3), tmp_path / "study" / "a")
    lonely = slice_of_ct(9, series=generate_uid(entropy_srcs=["lonely"]))
    lonely.SeriesNumber = 4
    save([broken(lonely)], tmp_path / "study" / "b")
    third = ct(2, series=generate_uid(entropy_srcs=["third"]), edit=lambda ds, k: setattr(ds, "SeriesNumber", 5))
    save(third, tmp_path / "study" / "c")
    status, out, err = run("ingest", "study", "--scheduler", scheduler, "--workers", 2)
    assert status == 1
    assert out.split() == ["study-1", "study-3"]
    assert err.splitlines()[-1].startswith("bigimage: 1 of 3 images could not be made: study-2: ")
    assert "frame 1 of 000.dcm cannot be decoded" in err
    assert [image["id"] for image in open_workspace().images()] == ["study-1", "study-3"]
    # what was made stays; the same again is refused by its id
    assert run("ingest", "study")[0] == 1


def test_python_tells_what_was_made_beside_what_was_not(tmp_path: Path) -> None:
    save(ct(3), tmp_path / "study")
    lonely = slice_of_ct(9, series=generate_uid(entropy_srcs=["lonely"]))
    save([broken(lonely)], tmp_path / "study", name="lonely")
    workspace = open_workspace(tmp_path / "ws")
    with pytest.raises(PartlyDone, match="1 of 2 images could not be made") as caught:
        workspace.ingest(tmp_path / "study")
    (made,) = caught.value.done
    assert workspace.image(made).info.shape == (3, 6, 8)
    assert len(caught.value.problems) == 1


def test_a_single_damaged_file_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    save([broken(slice_of_ct(0))], tmp_path, name="one.dcm")
    status, out, err = run("ingest", "one.dcm")
    assert (status, out) == (1, "")
    assert "frame 1 of one.dcm cannot be decoded" in err.splitlines()[-1]
    assert list(open_workspace().images()) == []


def test_strict_refuses_with_all_reasons_before_anything_is_stored(run: Run, tmp_path: Path) -> None:
    save([*with_gap(), broken(slice_of_ct(9))], tmp_path / "study")
    (tmp_path / "study" / "half").write_bytes(save(ct(1), tmp_path / "other")[0].read_bytes()[:-20])
    status, out, err = run("ingest", "study", "--strict")
    assert (status, out) == (1, "")
    for reason in ("GAP: 2 slices are missing", "TRUNCATED: half is cut short", "DAMAGED: 007.dcm holds a frame"):
        assert reason in err
    assert list(open_workspace().images()) == []
    save(ct(4), tmp_path / "tidy")
    assert run("ingest", "tidy", "--strict")[:2] == (0, "tidy\n")


def test_regularized_slices_lie_evenly(run: Run, tmp_path: Path) -> None:
    save(with_gap(), tmp_path / "study")
    status, out, _ = run("ingest", "study", "--regularize", "--json")
    assert status == 0
    assert {"GAP", "REGULARIZED"} <= verdicts(out)[0]
    image = open_workspace().image("study")
    assert image.info.shape == (8, 6, 8)
    assert image.info.grid.slices is None
    assert image.info.provenance["options"] == {"regularize": True}
    array = image.read_index((slice(None),) * 3).array[0]
    np.testing.assert_array_equal(array[[0, 3, 5, 7]], [pixels(k) for k in (0, 3, 5, 7)])
    np.testing.assert_array_equal(array[4], pixels(4))  # voxels grow evenly, and so does what lies between them


def named(ds: Dataset, k: int) -> None:
    ds.PatientBirthDate, ds.StudyDate, ds.InstitutionName = "19700101", "20200229", "Hospital"
    ds.StudyDescription, ds.ReferringPhysicianName = "Knee of Jane", "Who^Doctor"
    ds.private_block(0x0029, "MAKER", create=True).add_new(0x01, "LO", "Doe, Jane")


def stored_bytes(folder: Path) -> bytes:
    """Everything that lies in a workspace, names of files included."""
    return b"".join(
        str(path.relative_to(folder)).encode() + path.read_bytes() for path in sorted(folder.rglob("*.json"))
    )


def test_nothing_that_names_the_patient_is_stored(run: Run, tmp_path: Path) -> None:
    save(ct(3, edit=named), tmp_path / "doe-jane", name="jane-{}.dcm")
    assert run("ingest", "doe-jane", "--name", "scan", "--deidentify")[0] == 0
    stored = stored_bytes(tmp_path / "bigimage-workspace")
    ds = slice_of_ct(0)
    uids = (ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID)
    for word in ("Jane", "jane", "Doe", "P-1", "1970", "20200229", "Hospital", "Knee", "Who", *uids):
        assert word.encode() not in stored, word
    info = open_workspace().image("scan").info
    assert {verdict.code for verdict in info.verdicts} == {"DEIDENTIFIED"}
    assert info.extra["export"]["PatientID"].startswith("anon-")


def test_names_of_files_and_ids_are_replaced_too(run: Run, tmp_path: Path) -> None:
    save(ct(2), tmp_path / "doe-jane")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "jane.nii.gz")
    ids = [run("ingest", name, "--deidentify")[1].strip() for name in ("doe-jane", "jane.nii.gz")]
    assert all(re.fullmatch(r"anon-[0-9a-f]{12}", image) for image in ids)
    assert len(set(ids)) == 2
    stored = stored_bytes(tmp_path / "bigimage-workspace")
    assert b"jane" not in stored.lower()
    # the same again is the same image, which is there
    status, _, err = run("ingest", "doe-jane", "--deidentify")
    assert (status, ids[0] in err) == (1, True)


def test_options_of_scans_are_not_for_rasters(run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    for option in ("--deidentify", "--strict", "--regularize"):
        status, _, err = run("ingest", "a.png", option)
        assert status == 1
        assert "a.png is a raster" in err


def test_volumes_read_strictly(run: Run, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")  # names no unit of length
    status, _, err = run("ingest", "a.nii", "--strict")
    assert (status, "UNIT_UNKNOWN" in err) == (1, True)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "b.nii")
    assert run("ingest", "b.nii", "--strict")[0] == 0


def test_the_same_patient_gets_the_same_pseudonym_in_one_workspace_only(tmp_path: Path) -> None:
    save(ct(3), tmp_path / "a")
    save(ct(3, series=generate_uid(entropy_srcs=["other"])), tmp_path / "b")

    def ingested(workspace: str, study: str) -> Any:
        return open_workspace(tmp_path / workspace).ingest(tmp_path / study, deidentify=True)[0].info

    one, two, elsewhere = ingested("one", "a"), ingested("one", "b"), ingested("two", "a")
    assert one.grid.frame == two.grid.frame
    assert one.extra["study"] == two.extra["study"]
    assert one.extra["export"]["PatientID"] == two.extra["export"]["PatientID"]
    assert one.extra["series"] != two.extra["series"]
    assert one.grid.frame != elsewhere.grid.frame
    assert one.extra["export"]["PatientID"] != elsewhere.extra["export"]["PatientID"]
    key = tmp_path / "one" / "deidentify.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() not in stored_bytes(tmp_path / "one").decode()


def test_without_the_option_what_is_kept_is_what_the_documents_list(tmp_path: Path) -> None:
    save(ct(3, edit=named), tmp_path / "study")
    workspace = open_workspace(tmp_path / "ws")
    info = workspace.ingest(tmp_path / "study")[0].info
    assert info.extra["export"]["PatientName"] == "Doe^Jane"
    stored = stored_bytes(tmp_path / "ws")
    for word in ("Hospital", "Knee", "Doe, Jane"):
        assert word.encode() not in stored, word
    assert not (tmp_path / "ws" / "deidentify.key").exists()


def test_options_of_scans_from_python(tmp_path: Path) -> None:
    save(ct(3), tmp_path / "study")
    workspace = open_workspace(tmp_path / "ws")
    image = workspace.ingest(tmp_path / "study")[0]
    with pytest.raises(InputError, match="is read where it lies"):
        workspace.ingest(image.path, name="again", deidentify=True)
    save(with_gap(), tmp_path / "gap")
    with pytest.raises(DataError, match="refused, being read strictly"):
        workspace.ingest(tmp_path / "gap", strict=True)

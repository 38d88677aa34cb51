"""Opening files and folders: what becomes an image, what is told, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from bigimage.errors import DataError, InputError, NotFound, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.sources import dicom, module_for
from bigimage.sources.door import OpenOptions
from tests.unit.sources.dicom.series import codes, ct, item, opened, pixels, save, slice_of_ct, voxels


def told(sources: list[dicom.Source], code: str) -> list[str]:
    return [v.message for source in sources for v in source.info.verdicts if v.code == code]


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A folder with a scout, two phases, a duplicate, a gap, a PDF, a report and a truncated file."""
    scout = slice_of_ct(70)
    scout.ImageOrientationPatient, scout.ImagePositionPatient = [1, 0, 0, 0, 0, -1], [-50, 0, 200]
    scout.InstanceNumber = 99
    phases: list[Dataset] = []
    for t in range(2):
        for k in range(20):
            ds = slice_of_ct(k)
            ds.SOPInstanceUID = generate_uid(entropy_srcs=["phase", str(t), str(k)])
            ds.AcquisitionNumber, ds.InstanceNumber = t + 1, 20 * t + k + 1
            ds.ContentTime = f"12{t:02d}{k:02d}"
            phases.append(ds)
    phases = [ds for ds in phases if ds.InstanceNumber != 27]  # a gap in the second phase
    copy = slice_of_ct(3)
    copy.SOPInstanceUID, copy.InstanceNumber, copy.AcquisitionNumber = generate_uid(), 98, 1
    report = item(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SOPInstanceUID=generate_uid(), Modality="SR")
    report.file_meta = slice_of_ct(0).file_meta
    folder = tmp_path / "study"
    save([scout, *phases, copy], folder / "images")
    save([report], folder, name="report")
    (folder / "letter.pdf").write_bytes(b"%PDF-1.4 hello" * 20)
    cut = folder / "images" / "012.dcm"
    cut.write_bytes(cut.read_bytes()[:-30])
    return folder


def test_a_folder_with_everything_gives_the_right_volumes(everything: Path) -> None:
    sources = opened(everything)
    assert [source.info.shape for source in sources] == [(19, 6, 8), (19, 6, 8), (1, 6, 8)]
    first, second, scout = sources
    # file 12 is slice 11 of the first phase
    np.testing.assert_array_equal(voxels(first), [pixels(k) for k in range(20) if k != 11])
    np.testing.assert_array_equal(voxels(second), [pixels(k) for k in range(20) if k != 6])
    np.testing.assert_array_equal(voxels(scout)[0], pixels(70))
    assert {"GAP", "PHASE_SPLIT", "LOCALIZER_SPLIT", "TRUNCATED", "NOT_DICOM", "NOT_AN_IMAGE"} <= codes(first)
    assert {"GAP", "PHASE_SPLIT", "LOCALIZER_SPLIT"} <= codes(second)
    assert {"LOCALIZER_SPLIT", "SINGLE_SLICE"} <= codes(scout)
    assert len(told(sources, "DUPLICATE")) >= 1
    for source in (first, second):
        distances = np.diff([place[2] for place in source.info.grid.slices or ()])
        assert sorted(set(np.round(distances, 6))) == [2.0, 4.0]


def test_the_same_folder_read_strictly_is_refused_with_all_reasons(everything: Path) -> None:
    with pytest.raises(DataError, match="study is refused, being read strictly") as caught:
        opened(everything, strict=True)
    found = {problem.split(":")[0] for problem in caught.value.problems}
    assert {"TRUNCATED", "GAP", "UNEVEN", "PHASE_SPLIT", "DUPLICATE", "LOCALIZER_SPLIT"} <= found


def test_what_is_in_order_passes_strictly(tmp_path: Path) -> None:
    save(ct(4), tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (source,) = opened(tmp_path, strict=True)
    assert codes(source) == {"NOT_DICOM"}


def test_truncated_and_corrupt_files_among_good_ones(tmp_path: Path) -> None:
    paths = save(ct(6), tmp_path)
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[: len(whole) // 2])
    paths[4].write_bytes(whole[:150])
    (source,) = opened(tmp_path)
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in (0, 1, 3, 5)])
    assert codes(source) == {"TRUNCATED", "UNREADABLE", "GAP", "UNEVEN"}
    files = {v.code: v.instances for v in source.info.verdicts}
    assert (files["TRUNCATED"], files["UNREADABLE"]) == (("002.dcm",), ("004.dcm",))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file in it"), (b"hello", "NOT_DICOM"), (b"\0" * 128 + b"DICM", "UNREADABLE")],
)
def test_a_folder_without_images_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path)
    assert caught.value.problems


def test_segmentations_are_told_from_images(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "seg_liver" / "in"
    (source,) = opened(folder)
    assert source.info.shape == (3, 512, 512)
    assert told([source], "SEGMENTATION") == [
        "each of 4 files is a DICOM segmentation, not an image; import it onto its image"
    ]
    with pytest.raises(DataError, match=r"SEGMENTATION: liver\.dcm is a DICOM segmentation"):
        opened(folder / "liver.dcm")
    with pytest.raises(DataError, match="STRUCTURE_SET"):
        opened(shared_data / "dicom" / "rtstruct_phantom" / "in" / "rt.dcm")
    with pytest.raises(DataError, match="NOT_AN_IMAGE"):
        opened(shared_data / "dicom" / "sr_basic" / "in")


def test_pixels_of_a_kind_that_is_not_read_are_unsupported(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.SamplesPerPixel = 4
    with pytest.raises(Unsupported, match="4 samples per pixel"):
        opened(*save([ds], tmp_path))


def test_a_garbled_tag_is_told_and_the_rest_is_used(tmp_path: Path) -> None:
    paths = save(ct(4), tmp_path)
    for path in paths[1:3]:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"-1024.0 ", b"-1O24.0 "))
    sources = opened(*paths)
    assert sum(source.info.shape[0] for source in sources) == 4
    assert told(sources, "BAD_TAG")
    assert "(0028,1052) Rescale Intercept" in told(sources, "BAD_TAG")[0]


def test_ids_are_numbered_where_there_are_several(tmp_path: Path) -> None:
    assert [s.info.id for s in opened(*save(ct(2), tmp_path / "one"))] == ["scan"]
    several = save([*ct(2), *ct(3, series=generate_uid())], tmp_path / "two")
    assert [s.info.id for s in opened(*several)] == ["scan-1", "scan-2"]


def test_files_folders_and_single_slices_are_sniffed(tmp_path: Path) -> None:
    (path,) = save(ct(1), tmp_path / "a" / "b")
    (tmp_path / "a" / "readme").write_text("hello")
    for known in (path, tmp_path, tmp_path / "a"):
        assert dicom.sniff(known)
        assert module_for(known).NAME == "dicom"
    assert not dicom.sniff(tmp_path / "a" / "readme")


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    paths = save(ct(1), tmp_path)
    with pytest.raises(InputError, match="no file"):
        dicom.open([], image="scan", options=OpenOptions())
    for options in ({"crs": "EPSG:4326"}, {"bounds": (0, 0, 1, 1)}, {"affine": (1, 0, 0, 0, 1, 0)}):
        with pytest.raises(InputError, match="takes no CRS"):
            opened(*paths, **options)
    with pytest.raises(NotFound, match="gone"):
        opened(tmp_path / "gone")


def test_the_role_is_the_caller_s(tmp_path: Path) -> None:
    paths = save(ct(2), tmp_path)
    assert opened(*paths)[0].info.role == "image"
    assert opened(*paths, role="labels")[0].info.role == "labels"


def test_reading_what_does_not_exist(tmp_path: Path) -> None:
    (source,) = opened(*save(ct(3), tmp_path))
    box = source.info.grid.box
    for wrong in (box.shift((1, 0, 0)), box.shift((0, 0, -1)), IndexBox((0, 0, 0), (0, 0, 0))):
        with pytest.raises(OutOfBounds):
            source.read(wrong)
    for kwargs in ({"t": 1}, {"t": -1}, {"bands": [1]}, {"bands": []}):
        with pytest.raises(OutOfBounds):
            source.read(box, **kwargs)
    source.close()
    with pytest.raises(InputError, match="closed"):
        source.read(box)


def test_large_boxes_are_read_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimage.sources.dicom.source.THREADED", 1)
    (source,) = opened(*save(ct(9), tmp_path))
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(9)])
    (tmp_path / "005.dcm").unlink()
    with pytest.raises(DataError, match=r"005\.dcm cannot be read"):
        voxels(source)

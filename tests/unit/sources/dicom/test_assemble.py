"""Frames → volumes. Files are written and read back, so that what is tested is what a folder gives."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.unit.sources.dicom import series
from tests.unit.sources.dicom.series import codes, ct, opened, pixels, save, slice_of_ct, voxels


def centres(source: series.Source) -> np.ndarray:
    """LPS of the first voxel's centre of every slice."""
    grid = source.info.grid
    return grid.to_world([[k + 0.5, 0.5, 0.5] for k in range(grid.shape[0])])


def test_a_plain_series_is_one_volume_without_a_word(tmp_path: Path) -> None:
    (source,) = opened(*save(ct(5), tmp_path))
    info = source.info
    assert info.id == "scan"
    assert (info.axes, info.shape, info.dtype) == (("z", "y", "x"), (5, 6, 8), "int16")
    assert info.verdicts == ()
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(5)])
    np.testing.assert_allclose(centres(source), [(-10, -20, 30 + 2 * k) for k in range(5)])
    assert info.grid.spacing == pytest.approx((2.0, 0.5, 0.4))
    # the far corner of the last voxel lies half a voxel beyond its centre
    np.testing.assert_allclose(info.grid.to_world((5, 6, 8)), (-10 + 7.5 * 0.4, -20 + 5.5 * 0.5, 30 + 4.5 * 2))


def test_order_and_nesting_of_files_do_not_matter(tmp_path: Path) -> None:
    slices = ct(6)
    chance = random.Random(1)
    chance.shuffle(slices)
    for k, ds in enumerate(slices):
        save([ds], tmp_path / f"{k % 3}" / "deep", name=f"{k}")
    (source,) = opened(tmp_path)
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(6)])
    assert source.info.verdicts == ()


def along(direction: tuple[float, ...], normal: int) -> series.Edit:
    def edit(ds: Dataset, k: int) -> None:
        ds.ImageOrientationPatient = list(direction)
        ds.ImagePositionPatient = [0.0, 0.0, 0.0]
        ds.ImagePositionPatient[normal] = 3.0 * k

    return edit


@pytest.mark.parametrize(
    ("direction", "normal", "reversed_"),
    [((1, 0, 0, 0, 1, 0), 2, False), ((1, 0, 0, 0, 0, -1), 1, False), ((0, 1, 0, 0, 0, -1), 0, True)],
    ids=["axial", "coronal", "sagittal"],
)
def test_slices_are_ordered_along_row_cross_column(
    tmp_path: Path, direction: tuple[float, ...], normal: int, reversed_: bool
) -> None:
    (source,) = opened(*save(ct(4, edit=along(direction, normal)), tmp_path))
    order = range(4)[::-1] if reversed_ else range(4)
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in order])
    assert [round(place[normal]) for place in centres(source)] == [3 * k for k in order]
    assert codes(source) == ({"ORDER_REVERSED"} if reversed_ else set())


def test_instance_numbers_never_decide(tmp_path: Path) -> None:
    def shuffle(ds: Dataset, k: int) -> None:
        ds.InstanceNumber = (3, 1, 4, 2, 5)[k]

    (source,) = opened(*save(ct(5, edit=shuffle), tmp_path))
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(5)])
    assert codes(source) == {"ORDER"}


def test_a_gap_is_told_and_every_slice_keeps_its_place(tmp_path: Path) -> None:
    slices = [ds for k, ds in enumerate(ct(12)) if k not in (4, 5, 9)]
    (source,) = opened(*save(slices, tmp_path))
    gap = next(v for v in source.info.verdicts if v.code == "GAP")
    assert gap.message.startswith("3 slices are missing: slices lie 2 mm apart")
    around = [slice_of_ct(k).SOPInstanceUID for k in (3, 6, 8, 10)]
    assert list(gap.instances) == around
    assert "UNEVEN" in codes(source)
    kept = [k for k in range(12) if k not in (4, 5, 9)]
    np.testing.assert_allclose(centres(source)[:, 2], [30 + 2 * k for k in kept])
    assert source.info.grid.slices is not None


def test_uneven_distances_that_are_no_gaps(tmp_path: Path) -> None:
    def move(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = (0.0, 2.0, 4.5, 6.0, 9.1)[k]

    (source,) = opened(*save(ct(5, edit=move), tmp_path))
    assert codes(source) == {"UNEVEN"}
    np.testing.assert_allclose(centres(source)[:, 2], (0.0, 2.0, 4.5, 6.0, 9.1))


def test_slices_shifted_sideways_keep_their_places(tmp_path: Path) -> None:
    def move(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient[0] = -10.0 + (0.0, 0.3, 0.0, 0.1)[k]

    (source,) = opened(*save(ct(4, edit=move), tmp_path))
    assert codes(source) == {"UNEVEN"}
    assert "beside their regular places" in source.info.verdicts[0].message
    np.testing.assert_allclose(centres(source)[:, 0], (-10.0, -9.7, -10.0, -9.9))


def test_rounded_positions_are_regular(tmp_path: Path) -> None:
    def round_off(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient[2] = round(k * 0.625, 2)

    (source,) = opened(*save(ct(8, edit=round_off), tmp_path))
    assert source.info.grid.slices is None
    stated = [round(k * 0.625, 2) for k in range(8)]
    assert [place[2] for place in source.info.extra["positions"]] == stated
    np.testing.assert_allclose(centres(source)[:, 2], stated, atol=0.01)


def test_a_tilted_gantry_gives_a_sheared_affine(tmp_path: Path) -> None:
    def tilt(ds: Dataset, k: int) -> None:
        angle = np.radians(15.0)
        ds.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(angle)), float(-np.sin(angle))]
        ds.ImagePositionPatient = [0.0, 0.0, 5.0 * k]

    (source,) = opened(*save(ct(6, edit=tilt), tmp_path))
    assert codes(source) == {"TILT"}
    assert "15.0°" in source.info.verdicts[0].message
    assert source.info.grid.slices is None
    np.testing.assert_allclose(centres(source), [(0, 0, 5 * k) for k in range(6)], atol=1e-9)
    matrix = np.asarray(source.info.grid.affine)
    assert abs(matrix[:, 0] @ matrix[:, 1]) > 0.1


def test_a_scout_of_another_orientation_stands_apart(tmp_path: Path) -> None:
    scout = slice_of_ct(90)
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scout.ImagePositionPatient = [-100, 0, 400]
    volume, other = opened(*save([scout, *ct(8)], tmp_path))
    assert volume.info.id == "scan-1"
    assert volume.info.shape == (8, 6, 8)
    assert volume.info.grid.spacing[0] == pytest.approx(2.0)
    assert other.info.shape == (1, 6, 8)
    assert "LOCALIZER_SPLIT" in codes(volume) & codes(other)
    np.testing.assert_array_equal(voxels(other)[0], pixels(90))


def test_a_localizer_by_its_image_type_stands_apart(tmp_path: Path) -> None:
    scout = slice_of_ct(90, position=(-10, -20, 31.0))
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    volume, other = opened(*save([scout, *ct(8)], tmp_path))
    assert volume.info.shape == (8, 6, 8)
    assert "LOCALIZER_SPLIT" in codes(volume) & codes(other)


def changed(**values: object) -> series.Edit:
    """Change the second half of eight slices, moved behind the first four."""

    def edit(ds: Dataset, k: int) -> None:
        if k >= 4:
            for keyword, value in values.items():
                setattr(ds, keyword, value)

    return edit


def smaller(ds: Dataset, k: int) -> None:
    if k >= 4:
        series.put_pixels(ds, pixels(k, (5, 7)))


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (smaller, "SIZE_SPLIT"),
        (changed(PixelSpacing=[0.5, 0.41]), "SPACING_SPLIT"),
        (changed(FrameOfReferenceUID="1.2.3.4"), "FRAME_OF_REFERENCE_SPLIT"),
        (changed(PhotometricInterpretation="MONOCHROME1"), "PIXEL_TYPE_SPLIT"),
        (changed(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "ORIENTATION_SPLIT"),
        (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"), "SERIES_SPLIT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_volume_must_share_splits_a_series(tmp_path: Path, edit: series.Edit, code: str) -> None:
    sources = opened(*save(ct(8, edit=edit), tmp_path))
    assert [source.info.shape[0] for source in sources] == [4, 4]
    assert all(code in codes(source) for source in sources)
    halves = sorted(sources, key=lambda s: float(centres(s)[0][2]))
    np.testing.assert_array_equal(voxels(halves[0]), [pixels(k) for k in range(4)])


def repeated(count: int, times: int, edit: Callable[[Dataset, int, int], None]) -> list[Dataset]:
    """Every place of a CT several times; `edit` gets the slice, its place and its time."""
    slices: list[Dataset] = []
    for t in range(times):
        for k in range(count):
            ds = slice_of_ct(k)
            ds.SOPInstanceUID = generate_uid(entropy_srcs=["repeated", str(k), str(t)])
            ds.InstanceNumber = t * count + k + 1
            series.put_pixels(ds, pixels(k) + np.int16(7 * t))
            edit(ds, k, t)
            slices.append(ds)
    return slices


def test_two_phases_of_a_ct_are_two_volumes(tmp_path: Path) -> None:
    def phase(ds: Dataset, k: int, t: int) -> None:
        ds.AcquisitionNumber = t + 1

    sources = opened(*save(repeated(6, 2, phase), tmp_path))
    assert [source.info.shape for source in sources] == [(6, 6, 8)] * 2
    for t, source in enumerate(sources):
        assert "PHASE_SPLIT" in codes(source)
        assert source.info.grid.spacing[0] == pytest.approx(2.0)
        np.testing.assert_array_equal(voxels(source), [pixels(k) + 7 * t for k in range(6)])


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("TemporalPositionIdentifier", lambda t: t + 1),
        ("TriggerTime", lambda t: 40.0 * t),
        ("FrameReferenceTime", lambda t: 1000.0 * t),
        ("AcquisitionTime", lambda t: f"1200{t:02d}.5"),
        ("ContentTime", lambda t: f"1200{t:02d}"),
        (None, None),
    ],
)
def test_many_times_of_one_place_are_a_series_in_time(
    tmp_path: Path, keyword: str | None, value: Callable[[int], object] | None
) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        if keyword is not None and value is not None:
            setattr(ds, keyword, value(t))

    (source,) = opened(*save(repeated(4, 6, at), tmp_path))
    assert source.info.axes == ("t", "z", "y", "x")
    assert source.info.shape == (6, 4, 6, 8)
    assert codes(source) == {"TIME_SERIES"}
    for t in range(6):
        np.testing.assert_array_equal(voxels(source, t), [pixels(k) + 7 * t for k in range(4)])


def test_times_that_differ_from_slice_to_slice_are_ranked(tmp_path: Path) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.Modality = "MR"
        ds.InstanceNumber = k * 3 + (2 - t) + 1  # runs backwards in time, and slice by slice
        ds.TriggerTime = 50.0 * t + k

    (source,) = opened(*save(repeated(4, 3, at), tmp_path))
    assert source.info.shape == (3, 4, 6, 8)
    for t in range(3):
        np.testing.assert_array_equal(voxels(source, t), [pixels(k) + 7 * t for k in range(4)])


def test_an_unfinished_time_point_is_left_out(tmp_path: Path) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.Modality = "MR"
        ds.TemporalPositionIdentifier = t + 1

    slices = repeated(8, 4, at)[:-3]
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.shape == (3, 8, 6, 8)
    incomplete = next(v for v in source.info.verdicts if v.code == "INCOMPLETE")
    assert len(incomplete.instances) == 5


def test_runs_of_instance_numbers_tell_times_apart_where_slices_are_lost(tmp_path: Path) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.Modality = "MR"

    slices = repeated(8, 4, at)
    del slices[10]
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.shape == (3, 8, 6, 8)
    assert "INCOMPLETE" in codes(source)
    np.testing.assert_array_equal(voxels(source, 1), [pixels(k) + 14 for k in range(8)])


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("EchoTime", lambda t: 10.0 * (t + 1), "ECHO_SPLIT"),
        ("DiffusionBValue", lambda t: 500.0 * t, "B_VALUE_SPLIT"),
        ("ImageType", lambda t: ["ORIGINAL", "PRIMARY", "MP"[t]], "IMAGE_TYPE_SPLIT"),
        ("InversionTime", lambda t: 100.0 * t, "CONTRAST_SPLIT"),
    ],
)
def test_contrasts_of_one_place_are_volumes_of_their_own(
    tmp_path: Path, keyword: str, value: Callable[[int], object], code: str
) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.Modality = "MR"
        setattr(ds, keyword, value(t))

    sources = opened(*save(repeated(5, 2, at), tmp_path))
    assert [source.info.shape for source in sources] == [(5, 6, 8)] * 2
    for t, source in enumerate(sources):
        assert code in codes(source)
        np.testing.assert_array_equal(voxels(source), [pixels(k) + 7 * t for k in range(5)])


def test_contrasts_and_times_nest(tmp_path: Path) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.Modality = "MR"
        ds.EchoTime = 10.0 * (t % 2 + 1)
        ds.TemporalPositionIdentifier = t // 2 + 1

    sources = opened(*save(repeated(4, 6, at), tmp_path))
    assert [source.info.shape for source in sources] == [(3, 4, 6, 8)] * 2
    np.testing.assert_array_equal(voxels(sources[1], 2), [pixels(k) + 7 * 5 for k in range(4)])


def test_a_value_that_varies_without_repeating_places_splits_nothing(tmp_path: Path) -> None:
    def vary(ds: Dataset, k: int) -> None:
        ds.EchoTime = 10.0 + k
        ds.AcquisitionNumber = k // 3

    (source,) = opened(*save(ct(6, edit=vary), tmp_path))
    assert source.info.shape == (6, 6, 8)
    assert source.info.verdicts == ()


def test_a_second_slice_at_a_place_is_a_duplicate(tmp_path: Path) -> None:
    copy = slice_of_ct(3)
    copy.SOPInstanceUID = generate_uid()
    copy.InstanceNumber = 99
    (source,) = opened(*save([copy, *ct(8)], tmp_path))
    assert source.info.shape == (8, 6, 8)
    duplicate = next(v for v in source.info.verdicts if v.code == "DUPLICATE")
    assert duplicate.instances == (copy.SOPInstanceUID,)
    assert source.info.grid.spacing[0] == pytest.approx(2.0)
    assert copy.SOPInstanceUID not in str(source.info.extra["instances"])


def test_a_file_that_lies_there_twice_is_a_duplicate(tmp_path: Path) -> None:
    save(ct(5), tmp_path / "a")
    save(ct(5)[:2], tmp_path / "b")
    (source,) = opened(tmp_path)
    assert source.info.shape == (5, 6, 8)
    duplicate = next(v for v in source.info.verdicts if v.code == "DUPLICATE")
    assert len(duplicate.instances) == 2


def test_one_uid_for_different_slices_is_told(tmp_path: Path) -> None:
    def same(ds: Dataset, k: int) -> None:
        ds.SOPInstanceUID = "1.2.3.4.5"

    (source,) = opened(*save(ct(4, edit=same), tmp_path))
    assert source.info.shape == (4, 6, 8)
    assert codes(source) == {"SAME_UID"}


def test_places_taken_an_unequal_number_of_times_are_told(tmp_path: Path) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        ds.InstanceNumber = 1

    slices = [ds for n, ds in enumerate(repeated(4, 3, at)) if n not in (5, 9, 10)]
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.shape == (4, 6, 8)
    assert "AMBIGUOUS" in codes(source)
    np.testing.assert_array_equal(voxels(source)[0], pixels(0))


def test_patients_in_one_folder_are_never_mixed(tmp_path: Path) -> None:
    def other(ds: Dataset, k: int) -> None:
        ds.PatientID = "P-2"
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["other", str(k)])

    sources = opened(*save([*ct(4), *ct(3, edit=other)], tmp_path))
    assert [source.info.shape[0] for source in sources] == [4, 3]
    assert all("MIXED_PATIENTS" in codes(source) for source in sources)
    assert [source.info.extra["export"]["PatientID"] for source in sources] == ["P-1", "P-2"]


def test_series_come_by_number_and_keep_their_order(tmp_path: Path) -> None:
    def second(ds: Dataset, k: int) -> None:
        ds.SeriesNumber = 1

    slices = [*ct(3), *ct(4, series=generate_uid(), edit=second)]
    first = [source.info.shape for source in opened(*save(slices, tmp_path / "a"))]
    again = [source.info.shape for source in opened(*save(slices[::-1], tmp_path / "b"))]
    assert first == again == [(4, 6, 8), (3, 6, 8)]


@pytest.mark.parametrize(
    "keyword", ["PatientID", "StudyInstanceUID", "SeriesNumber", "FrameOfReferenceUID", "Modality", "InstanceNumber"]
)
def test_what_one_file_fails_to_state_is_taken_from_the_others(tmp_path: Path, keyword: str) -> None:
    slices = ct(5)
    del slices[2][keyword]
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.shape == (5, 6, 8)
    assert source.info.verdicts == ()


def test_a_series_without_uid_holds_together(tmp_path: Path) -> None:
    def drop(ds: Dataset, k: int) -> None:
        del ds.SeriesInstanceUID

    (source,) = opened(*save(ct(4, edit=drop), tmp_path))
    assert source.info.shape == (4, 6, 8)


def test_a_volume_without_frame_of_reference_has_its_own(tmp_path: Path) -> None:
    def drop(ds: Dataset, k: int) -> None:
        del ds.FrameOfReferenceUID

    (source,) = opened(*save(ct(4, edit=drop), tmp_path))
    assert source.info.grid.frame.uid == "image:scan"
    assert codes(source) == {"NO_FRAME_OF_REFERENCE"}


@pytest.mark.parametrize(("thickness", "extent"), [(3.0, 3.0), (None, 1.0)])
def test_a_single_slice_has_its_thickness(tmp_path: Path, thickness: float | None, extent: float) -> None:
    ds = slice_of_ct(0)
    if thickness is None:
        del ds.SliceThickness
    else:
        ds.SliceThickness = thickness
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.shape == (1, 6, 8)
    assert source.info.grid.spacing[0] == pytest.approx(extent)
    assert codes(source) == {"SINGLE_SLICE"}
    np.testing.assert_allclose(centres(source), [(-10, -20, 30)])


def test_stated_and_measured_distances_that_disagree_are_told(tmp_path: Path) -> None:
    def state(ds: Dataset, k: int) -> None:
        ds.SpacingBetweenSlices = 2.5

    (source,) = opened(*save(ct(4, edit=state), tmp_path))
    assert codes(source) == {"SPACING_DISAGREES"}
    assert source.info.grid.spacing[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("ImagePositionPatient", None, "NO_POSITION"),
        ("ImageOrientationPatient", None, "NO_POSITION"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.8, 0], "BAD_ORIENTATION"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "BAD_ORIENTATION"),
        ("PixelSpacing", None, "NO_SPACING"),
        ("PixelSpacing", [0.5, -0.4], "BAD_SPACING"),
        ("PixelSpacing", [0, 0], "BAD_SPACING"),
    ],
)
def test_slices_without_a_place_are_left_out_of_their_volume(
    tmp_path: Path, keyword: str, value: object, code: str
) -> None:
    slices = ct(6)
    if value is None:
        del slices[5][keyword]
    else:
        setattr(slices[5], keyword, value)
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.shape == (5, 6, 8)
    left = next(v for v in source.info.verdicts if v.code == code)
    assert left.instances == (slices[5].SOPInstanceUID,)


def test_a_whole_series_without_places_is_refused(tmp_path: Path) -> None:
    def drop(ds: Dataset, k: int) -> None:
        del ds.ImagePositionPatient

    with pytest.raises(series.DataError, match="NO_POSITION: 4 slices left out for having no Image Position"):
        opened(*save(ct(4, edit=drop), tmp_path))

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, RTDoseStorage

from bigimage.errors import DataError
from tests.unit.sources.dicom.series import (
    AXIAL,
    FRAME,
    codes,
    group,
    item,
    opened,
    pixels,
    put_pixels,
    save,
    slice_of_ct,
    voxels,
)


def enhanced(places: list[tuple[float, float, float]], *, modality: str = "CT") -> Dataset:
    """A multi-frame image; frame k has the pixels of slice k and a place of its own."""
    ds = slice_of_ct(0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        del ds[keyword]
    ds.SOPClassUID = EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage
    ds.Modality = modality
    put_pixels(ds, np.stack([pixels(k) for k in range(len(places))]))
    ds.SharedFunctionalGroupsSequence = group(
        PlaneOrientationSequence=group(ImageOrientationPatient=list(AXIAL)),
        PixelMeasuresSequence=group(PixelSpacing=[0.5, 0.4], SliceThickness=3),
        PixelValueTransformationSequence=group(RescaleSlope=2, RescaleIntercept=-5, RescaleType="HU"),
        FrameVOILUTSequence=group(WindowCenter=100, WindowWidth=50),
    )
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSequence=group(ImagePositionPatient=list(place)),
                FrameContentSequence=group(StackID="1", InStackPositionNumber=k + 1),
            )
            for k, place in enumerate(places)
        ]
    )
    return ds


UP = [(-10.0, -20.0, 3.0 * k) for k in range(4)]


def test_frames_are_placed_by_their_functional_groups(tmp_path: Path) -> None:
    (source,) = opened(*save([enhanced([UP[2], UP[0], UP[3], UP[1]])], tmp_path))
    info = source.info
    assert info.shape == (4, 6, 8)
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in (1, 3, 0, 2)])
    assert info.grid.spacing == pytest.approx((3.0, 0.5, 0.4))
    assert info.grid.frame.uid == FRAME
    assert info.value == {"unit": "HU", "slope": 2.0, "intercept": -5.0}
    assert info.window == ((75.0, 124.0),)
    uid = slice_of_ct(0).SOPInstanceUID
    assert info.extra["instances"] == [[[uid, 2], [uid, 4], [uid, 1], [uid, 3]]]


def test_a_frame_s_own_group_goes_before_the_shared_one(tmp_path: Path) -> None:
    ds = enhanced(UP)
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.PixelValueTransformationSequence = group(RescaleSlope=k + 1, RescaleIntercept=0, RescaleType="US")
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.value == {"unit": None, "slope": [1.0, 2.0, 3.0, 4.0], "intercept": [0.0] * 4}


@pytest.mark.parametrize("undefined", [False, True])
def test_groups_of_undefined_length(tmp_path: Path, undefined: bool) -> None:
    ds = enhanced(UP)
    ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    for frame in ds.PerFrameFunctionalGroupsSequence:
        frame.is_undefined_length_sequence_item = undefined
        frame["PlanePositionSequence"].is_undefined_length = undefined
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(4)])


def test_frames_in_time(tmp_path: Path) -> None:
    ds = enhanced([UP[0], UP[1]] * 3, modality="MR")
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].TemporalPositionIndex = k // 2 + 1
        frame.TemporalPositionSequence = group(TemporalPositionTimeOffset=2.5 * (k // 2))
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.shape == (3, 2, 6, 8)
    np.testing.assert_array_equal(voxels(source, 2), [pixels(4), pixels(5)])
    assert source.info.extra["times"] == {"key": "temporal position", "values": [1, 2, 3]}


def test_frames_of_a_heart_beat(tmp_path: Path) -> None:
    ds = enhanced([UP[0], UP[1]] * 3, modality="MR")
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.CardiacSynchronizationSequence = group(NominalCardiacTriggerDelayTime=40.0 * (2 - k // 2))
    (source,) = opened(*save([ds], tmp_path))
    np.testing.assert_array_equal(voxels(source, 0), [pixels(4), pixels(5)])
    assert source.info.extra["times"] == {"key": "trigger time", "values": [0.0, 40.0, 80.0]}


def test_diffusion_splits_by_b_value(tmp_path: Path) -> None:
    ds = enhanced([UP[0], UP[1]] * 3, modality="MR")
    for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.MRDiffusionSequence = group(DiffusionBValue=0.0 if k < 2 else 1000.0)
        if k >= 2:
            direction = [1.0, 0.0, 0.0] if k < 4 else [0.0, 1.0, 0.0]
            frame.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = group(
                DiffusionGradientOrientation=direction
            )
    sources = opened(*save([ds], tmp_path))
    assert [source.info.shape for source in sources] == [(2, 2, 6, 8), (2, 6, 8)]
    assert all("B_VALUE_SPLIT" in codes(source) for source in sources)


def test_a_lying_number_of_frames_gives_the_frames_there_are(tmp_path: Path) -> None:
    ds = enhanced([*UP, (-10.0, -20.0, 12.0)])
    ds.PixelData = ds.PixelData[: 4 * 96]
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.shape == (4, 6, 8)
    assert "FRAME_COUNT" in codes(source)


def test_groups_that_are_missing_leave_frames_without_places(tmp_path: Path) -> None:
    ds = enhanced(UP)
    del ds.SharedFunctionalGroupsSequence
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.axes == ("t", "c", "y", "x")
    assert {"NO_POSITION", "TIME_SERIES", "NO_SPACING"} <= codes(source)


@pytest.mark.parametrize(("first", "expected"), [(0.0, [30.0, 32.0, 35.0]), (100.0, [30.0, 32.0, 35.0])])
def test_planes_of_a_dose_grid(tmp_path: Path, first: float, expected: list[float]) -> None:
    ds = slice_of_ct(0)
    del ds.RescaleSlope, ds.RescaleIntercept
    put_pixels(ds, np.stack([pixels(k).astype(np.uint16) for k in range(3)]))
    ds.SOPClassUID, ds.Modality = RTDoseStorage, "RTDOSE"
    ds.GridFrameOffsetVector = [first, first + 2.0, first + 5.0]
    ds.DoseGridScaling, ds.DoseUnits = 0.01, "GY"
    (source,) = opened(*save([ds], tmp_path))
    centres = source.info.grid.to_world([[k + 0.5, 0.5, 0.5] for k in range(3)])
    np.testing.assert_allclose(centres[:, 2], expected)
    assert source.info.value == {"unit": "Gy", "slope": 0.01, "intercept": 0.0}


def test_a_reconstructed_nm_volume(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.stack([pixels(k).astype(np.uint16) for k in range(3)]))
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.RescaleSlope, ds.RescaleIntercept
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.20", "NM"
    ds.ImageType, ds.SpacingBetweenSlices = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"], -4.0
    ds.DetectorInformationSequence = group(ImagePositionPatient=[1.0, 2.0, 100.0], ImageOrientationPatient=list(AXIAL))
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.shape == (3, 6, 8)
    centres = source.info.grid.to_world([[k + 0.5, 0.5, 0.5] for k in range(3)])
    np.testing.assert_allclose(centres[:, 2], [92.0, 96.0, 100.0])
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in (2, 1, 0)])


def test_frames_with_one_place_for_all_are_a_cine(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.stack([pixels(k) for k in range(3)]))
    ds.FrameTime = 40
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.axes == ("t", "c", "y", "x")
    assert source.info.extra["times"] == {"key": "frame time", "values": [0.0, 40.0, 80.0]}
    np.testing.assert_array_equal(voxels(source, 1), pixels(1))


def test_real_enhanced_images(shared_data: Path) -> None:
    folder = shared_data / "dicom"
    (knee,) = opened(folder / "enh_mr_moving_knee" / "in")
    assert knee.info.shape == (19, 1, 256, 256)
    assert knee.info.grid.spacing == pytest.approx((6.0, 0.625, 0.625))
    (flow,) = opened(folder / "enh_ct_perfusion" / "in")
    assert flow.info.shape == (2, 512, 512)
    assert flow.info.grid.spacing[0] == pytest.approx(10.0)
    (dose,) = opened(folder / "pydicom_misc" / "in" / "rtdose.dcm")
    assert dose.info.shape == (15, 10, 10)
    assert dose.info.value["slope"] == 1e-6


def test_endless_frames_are_refused(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.zeros((300_000, 1, 1), np.uint8))
    with pytest.raises(DataError, match=r"TOO_LARGE: 000\.dcm has 300000 frames"):
        opened(*save([ds], tmp_path))

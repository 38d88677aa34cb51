from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from bigimage.sources.dicom.header import Window
from tests.unit.sources.dicom.series import (
    Edit,
    codes,
    ct,
    group,
    opened,
    pixels,
    put_pixels,
    save,
    slice_of_ct,
    voxels,
)


def pet(**changes: object) -> Edit:
    """A PET slice in Bq/ml, 70 kg, 300 MBq of F-18 injected an hour before the scan began."""

    def edit(ds: Dataset, k: int) -> None:
        ds.SOPClassUID, ds.Modality = PositronEmissionTomographyImageStorage, "PT"
        ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["ATTN", "DECY", "SCAT"]
        ds.PatientWeight = 70
        ds.SeriesDate = ds.AcquisitionDate = "20200102"
        ds.SeriesTime, ds.AcquisitionTime = "110000", "110030.5"
        ds.RescaleSlope, ds.RescaleIntercept = 2.5, 0
        ds.RadiopharmaceuticalInformationSequence = group(
            RadionuclideTotalDose=3e8, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="100000"
        )
        for keyword, value in changes.items():
            target = (
                ds if keyword in ds or not keyword.startswith("Radio") else ds.RadiopharmaceuticalInformationSequence[0]
            )
            if value is None:
                del target[keyword]
            else:
                setattr(target, keyword, value)

    return edit


def expected(delay: float) -> float:
    """SUV per stored unit: 2.5 Bq/ml each, weight in grams over the dose that is left."""
    return 2.5 * 70000 / (3e8 * 2 ** (-delay / 6586.2))


@pytest.mark.parametrize(
    ("changes", "delay"),
    [
        ({}, 3600),
        ({"RadiopharmaceuticalStartDateTime": "20200102103000.00"}, 1800),
        ({"RadiopharmaceuticalStartTime": "230000"}, 12 * 3600),  # the evening before
        ({"DecayCorrection": "ADMIN"}, 0),
    ],
)
def test_pet_becomes_suv(tmp_path: Path, changes: dict[str, object], delay: float) -> None:
    (source,) = opened(*save(ct(3, edit=pet(**changes)), tmp_path))
    assert source.info.value["unit"] == "SUV"
    assert source.info.value["slope"] == pytest.approx(expected(delay))
    assert source.info.bands[0].unit == "SUV"
    assert source.info.extra["suv"]["stored_unit"] == "Bq/ml"
    assert source.info.extra["suv"]["factor"] == pytest.approx(expected(delay) / 2.5)
    low, high = source.info.window[0]
    assert (low, high) == pytest.approx((-160 * expected(delay) / 2.5, 239 * expected(delay) / 2.5))


@pytest.mark.parametrize(
    ("changes", "reason", "unit"),
    [
        ({"Units": "CNTS"}, "units are CNTS", "counts"),
        ({"Units": None}, "not stated", None),
        ({"CorrectedImage": ["ATTN"]}, "DECY", "Bq/ml"),
        ({"CorrectedImage": None}, "ATTN and DECY", "Bq/ml"),
        ({"PatientWeight": None}, "weight", "Bq/ml"),
        ({"PatientWeight": 0}, "weight", "Bq/ml"),
        ({"RadionuclideTotalDose": None}, "dose", "Bq/ml"),
        ({"RadionuclideHalfLife": 0}, "half-life", "Bq/ml"),
        ({"RadiopharmaceuticalInformationSequence": None}, "dose", "Bq/ml"),
        ({"DecayCorrection": "NONE"}, "decay correction", "Bq/ml"),
        ({"SeriesTime": "130000"}, "decay correction", "Bq/ml"),  # a later reconstruction
        ({"RadiopharmaceuticalStartTime": "10"}, "decay correction", "Bq/ml"),
        ({"RadiopharmaceuticalStartDateTime": "20200109103000"}, "decay correction", "Bq/ml"),
    ],
)
def test_suv_is_refused_rather_than_guessed(
    tmp_path: Path, changes: dict[str, object], reason: str, unit: str | None
) -> None:
    (source,) = opened(*save(ct(2, edit=pet(**changes)), tmp_path))
    told = next(v for v in source.info.verdicts if v.code == "NO_SUV")
    assert reason in told.message
    assert source.info.value == {"unit": unit, "slope": 2.5, "intercept": 0.0}


@pytest.mark.parametrize(("kind", "unit"), [(None, "SUV"), ("BW", "SUV"), ("LBM", "SUV (LBM)")])
def test_pet_that_is_suv_already(tmp_path: Path, kind: str | None, unit: str) -> None:
    changes: dict[str, object] = {"Units": "GML"} | ({"SUVType": kind} if kind else {})
    (source,) = opened(*save(ct(2, edit=pet(**changes)), tmp_path))
    assert source.info.value == {"unit": unit, "slope": 2.5, "intercept": 0.0}
    assert "NO_SUV" not in codes(source)


@pytest.mark.parametrize(
    ("kind", "unit"), [(None, "HU"), ("HU", "HU"), ("US", None), ("OD", "optical density"), ("WEIRD", None)]
)
def test_units_of_ct(tmp_path: Path, kind: str | None, unit: str | None) -> None:
    ds = slice_of_ct(0)
    if kind is not None:
        ds.RescaleType = kind
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.value == {"unit": unit, "slope": 1.0, "intercept": -1024.0}
    assert (source.info.bands[0].scale, source.info.bands[0].offset) == (1.0, -1024.0)


def test_ct_without_rescale_has_no_unit(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    del ds.RescaleSlope, ds.RescaleIntercept
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.value == {"unit": None, "slope": 1.0, "intercept": 0.0}
    assert "NO_RESCALE" in codes(source)


def test_a_slope_of_zero_is_ignored(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.RescaleSlope = 0
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.value["slope"] == 1.0
    assert {"BAD_TAG", "NO_RESCALE"} <= codes(source)


def varying(ds: Dataset, k: int) -> None:
    ds.Modality = "MR"
    ds.RescaleSlope, ds.RescaleIntercept = 0.5 + k, 10.0 * k


def test_slopes_that_differ_between_slices_are_kept_exactly(tmp_path: Path) -> None:
    paths = save(ct(4, edit=varying), tmp_path)
    (source,) = opened(*paths)
    assert source.info.value["slope"] == [0.5, 1.5, 2.5, 3.5]
    assert source.info.value["intercept"] == [0.0, 10.0, 20.0, 30.0]
    assert "RESCALE_VARIES" in codes(source)
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(4)])
    (physical,) = opened(*paths, physical=True)
    assert physical.info.dtype == "float32"
    assert physical.info.value == {"unit": None, "slope": 1.0, "intercept": 0.0}
    np.testing.assert_allclose(voxels(physical), [pixels(k) * (0.5 + k) + 10.0 * k for k in range(4)], rtol=1e-6)


def test_slopes_in_time_are_lists_of_lists(tmp_path: Path) -> None:
    slices: list[Dataset] = []
    for t in range(2):
        for k in range(3):
            ds = slice_of_ct(k)
            ds.Modality, ds.SOPInstanceUID = "MR", f"1.2.{t}.{k}"
            ds.TemporalPositionIdentifier, ds.RescaleSlope = t + 1, 1.0 + t + 10 * k
            slices.append(ds)
    (source,) = opened(*save(slices, tmp_path))
    assert source.info.value["slope"] == [[1.0, 11.0, 21.0], [2.0, 12.0, 22.0]]


def test_windows_are_in_units_and_all_are_kept(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.WindowCenter, ds.WindowWidth = [40, 500], [400, 2000]
    ds.WindowCenterWidthExplanation = ["SOFT", "BONE"]
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.window == ((-160.0, 239.0),)
    assert [(w["center"], w["width"], w["explanation"]) for w in source.info.extra["windows"]] == [
        (40.0, 400.0, "SOFT"),
        (500.0, 2000.0, "BONE"),
    ]


@pytest.mark.parametrize(
    ("window", "ends"),
    [
        (Window(40, 400), (-160.0, 239.0)),
        (Window(40, 400, function="LINEAR_EXACT"), (-160.0, 240.0)),
        (Window(40, 400, function="SIGMOID"), (-160.0, 240.0)),
        (Window(10, 1), (9.5, 10.5)),
        (Window(0.5, 0.2), (0.4, 0.6)),
    ],
)
def test_ends_of_windows(window: Window, ends: tuple[float, float]) -> None:
    assert window.range == pytest.approx(ends)


def test_windows_of_no_width_are_left_out(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.WindowWidth = 0
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.window == ()


@pytest.mark.parametrize(
    ("signed", "value", "limit", "missing"),
    [
        (True, -2000, None, [-2000]),
        (True, 63536, None, [-2000]),  # the same, written as if it were unsigned
        (False, 0, None, [0]),
        (True, -2000, -1990, [-2000, -1995, -1990]),
    ],
)
def test_padding_is_invalid(tmp_path: Path, signed: bool, value: int, limit: int | None, missing: list[int]) -> None:
    ds = slice_of_ct(0)
    array = np.full((4, 5), 100, np.int16 if signed else np.uint16)
    array[1, : len(missing)] = missing
    put_pixels(ds, array)
    ds.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", "SS", limit)
    (source,) = opened(*save([ds], tmp_path))
    patch = source.read(source.info.grid.box)
    assert source.info.may_be_invalid
    assert "PADDING" in codes(source)
    assert patch.valid is not None
    np.testing.assert_array_equal(patch.valid[0], ~np.isin(array, missing))
    assert source.info.bands[0].nodata == (missing[0] if limit is None else None)


def test_a_modality_table_is_applied(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    put_pixels(ds, np.array([[0, 1, 2], [3, 4, 9]], np.uint16))
    del ds.RescaleSlope, ds.RescaleIntercept
    table = np.array([100, 200, 400, 800], "<u2")
    ds.ModalityLUTSequence = group(LUTExplanation="x", ModalityLUTType="US")
    ds.ModalityLUTSequence[0].add_new("LUTDescriptor", "US", [4, 1, 16])
    ds.ModalityLUTSequence[0].add_new("LUTData", "OW", table.tobytes())
    (source,) = opened(*save([ds], tmp_path))
    assert source.info.dtype == "uint16"
    np.testing.assert_array_equal(voxels(source)[0], [[100, 100, 200], [400, 800, 800]])
    assert "MODALITY_TABLE" in codes(source)


def test_a_display_table_is_told(tmp_path: Path) -> None:
    ds = slice_of_ct(0)
    ds.VOILUTSequence = group(LUTExplanation="x")
    (source,) = opened(*save([ds], tmp_path))
    assert "VOI_TABLE" in codes(source)


def test_a_real_pet_slice(shared_data: Path) -> None:
    (source,) = opened(shared_data / "dicom" / "pet_single" / "in")
    assert source.info.value["unit"] == "SUV"
    assert source.info.value["slope"] == pytest.approx(0.234542 * source.info.extra["suv"]["factor"])
    assert 1.0 < voxels(source).max() * source.info.value["slope"] < 50.0

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bigimage.geometry.frame import PixelFrame
from bigimage.sources.dicom.tags import EXPORT
from tests.unit.sources.dicom.series import (
    FRAME,
    SERIES,
    STUDY,
    codes,
    ct,
    group,
    opened,
    put_pixels,
    save,
    slice_of_ct,
)


def projection(**changes: object) -> Dataset:
    """A digital X-ray without a place in the patient."""
    ds = slice_of_ct(0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del ds[keyword]
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"
    ds.PatientOrientation, ds.ViewPosition, ds.ImageLaterality = ["A", "F"], "LL", "L"
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("changes", "spacing", "expected"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), set()),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), {"DETECTOR_SPACING"}),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, (0.3, 0.3), set()),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), {"BAD_SPACING", "DETECTOR_SPACING"}),
        ({}, None, {"NO_SPACING"}),
    ],
)
def test_an_x_ray_is_measured_in_pixels(
    tmp_path: Path, changes: dict[str, object], spacing: tuple[float, float] | None, expected: set[str]
) -> None:
    (source,) = opened(*save([projection(**changes)], tmp_path))
    info = source.info
    assert (info.axes, info.shape) == (("c", "y", "x"), (1, 6, 8))
    assert info.grid.frame == PixelFrame("scan", spacing)
    assert codes(source) == expected
    assert info.extra["patient_orientation"] == ["A", "F"]
    assert info.extra["view"] == {"position": "LL", "laterality": "L"}


def test_views_of_one_series_are_images_of_their_own(tmp_path: Path) -> None:
    views = [
        projection(SOPInstanceUID=f"1.2.3.{k}", InstanceNumber=k, ViewPosition=name)
        for k, name in enumerate(("CC", "MLO"))
    ]
    sources = opened(*save(views, tmp_path))
    assert [source.info.id for source in sources] == ["scan-1", "scan-2"]
    assert [source.info.extra["view"]["position"] for source in sources] == ["CC", "MLO"]


@pytest.mark.parametrize(("units", "spacing"), [((3, 3), (0.5, 0.6)), ((3, 4), None)])
def test_ultrasound_knows_centimetres(
    tmp_path: Path, units: tuple[int, int], spacing: tuple[float, float] | None
) -> None:
    ds = projection(Modality="US")
    put_pixels(ds, np.zeros((4, 5, 3), np.uint8))
    ds.SequenceOfUltrasoundRegions = group(
        PhysicalUnitsXDirection=units[0], PhysicalUnitsYDirection=units[1], PhysicalDeltaX=0.05, PhysicalDeltaY=-0.06
    )
    (source,) = opened(*save([ds], tmp_path))
    frame = source.info.grid.frame
    assert isinstance(frame, PixelFrame)
    assert frame.spacing == (None if spacing is None else pytest.approx(spacing))


def test_what_is_kept_of_the_header(tmp_path: Path) -> None:
    def private(ds: Dataset, k: int) -> None:
        ds.InstitutionName, ds.PatientAddress, ds.OperatorsName = "Hospital", "Street", "Somebody"
        ds.PatientBirthDate, ds.StudyDate, ds.StudyID = "19700101", "20200101", "7"
        ds.AcquisitionTime = "120000"

    (source,) = opened(*save(ct(3, edit=private), tmp_path))
    extra = source.info.extra
    assert extra["study"], extra["series"] == (STUDY, SERIES)
    assert extra["modality"] == "CT"
    assert extra["export"] == {
        "PatientID": "P-1",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19700101",
        "StudyID": "7",
        "StudyDate": "20200101",
    }
    assert [row[0] for row in extra["instances"][0]] == [slice_of_ct(k).SOPInstanceUID for k in range(3)]
    assert source.info.grid.frame.uid == FRAME
    stored = repr(source.info)
    for word in ("Hospital", "Street", "Somebody", "120000", str(tmp_path)):
        assert word not in stored


def test_the_source_of_the_pixels(tmp_path: Path) -> None:
    (source,) = opened(*save(ct(3), tmp_path))
    provenance = source.info.provenance
    assert provenance["files"] == 3
    assert provenance["transfer_syntaxes"] == ["1.2.840.10008.1.2.1"]
    assert provenance["driver"] == "DICOM"


def test_the_documents_list_what_is_kept(root: Path) -> None:
    page = (root / "docs" / "dicom.md").read_text("utf-8")
    for keyword in EXPORT:
        assert f"`{keyword}`" in page
    for key in (
        "instances",
        "windows",
        "positions",
        "times",
        "suv",
        "view",
        "patient_orientation",
        "slide",
        "source_grid",
    ):
        assert f"`{key}`" in page

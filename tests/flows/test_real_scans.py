"""Real scans from files to pyramid: what each folder becomes, sound stores, and the voxels that the files hold."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from bigimage import open_workspace
from bigimage.errors import DataError
from bigimage.pyramid.validate import validate
from bigimage.sources import dicom
from bigimage.sources.door import OpenOptions

Told = tuple[tuple[int, ...], str, str | None, set[str]]
"""Shape, type, unit, and codes of verdicts."""

FOLDERS: dict[str, list[Told]] = {
    "ct_93_slices_64px": [((93, 64, 64), "int16", None, {"NO_FRAME_OF_REFERENCE"})],
    "ct_nonuniform_spacing": [((4, 512, 512), "int16", "HU", {"GAP", "UNEVEN", "NO_FRAME_OF_REFERENCE"})],
    "ct_phantom_axial": [((10, 512, 512), "uint16", "HU", set())],
    "ct_phantom_tilt_p16": [((8, 512, 512), "uint16", "HU", {"TILT"})],
    "ct_same_position": [((2, 1, 512, 512), "uint16", "HU", {"TIME_SERIES", "SINGLE_SLICE", "NO_FRAME_OF_REFERENCE"})],
    "ct_tilt_no_tag": [((4, 512, 512), "uint16", "HU", {"TILT", "NO_FRAME_OF_REFERENCE"})],
    "dx_monochrome1": [((1, 169, 211), "uint8", None, {"MONOCHROME1"})],
    "enh_ct_perfusion": [((2, 512, 512), "uint16", None, {"ORDER_REVERSED"})],
    "enh_mr_moving_knee": [((19, 1, 256, 256), "uint16", None, {"TIME_SERIES", "SINGLE_SLICE"})],
    "enh_mr_philips": [((8, 256, 256), "uint16", None, {"NO_FRAME_OF_REFERENCE"})],
    "enh_mr_small": [((10, 1, 64, 64), "uint16", None, {"DUPLICATE", "NO_POSITION", "TIME_SERIES", "NO_SPACING"})],
    "mr_coronal_mosaic": [((2, 35, 64, 64), "uint16", None, {"TIME_SERIES", "MOSAIC"})],
    "mr_ge_4d": [((10, 15, 64, 64), "int16", None, {"TIME_SERIES", "NOT_DICOM"})],
    "mr_mixed_orientation": [((2, 288, 288), "uint16", None, {"NO_FRAME_OF_REFERENCE"})] * 2,
    "mr_nonisotropic_per_slice_rescale": [((4, 28, 64), "int16", None, {"NO_FRAME_OF_REFERENCE", "RESCALE_VARIES"})],
    "mr_siemens_mosaic": [((6, 36, 64, 64), "uint16", None, {"TIME_SERIES", "MOSAIC"})],
    "pet_single": [((1, 128, 128), "int16", "SUV", {"SINGLE_SLICE"})],
    "rtstruct_large": [((1, 512, 512), "int16", "HU", {"SINGLE_SLICE", "NOT_AN_IMAGE", "STRUCTURE_SET"})],
    "rtstruct_phantom": [((2, 512, 512), "int16", "HU", {"STRUCTURE_SET", "PADDING"})],
    "rtstruct_shapes_2mm": [((100, 256, 256), "int16", "HU", {"STRUCTURE_SET"})],
    "seg_liver": [((3, 512, 512), "int16", "HU", {"ORDER_REVERSED", "SEGMENTATION", "PADDING"})],
    "wsi_small": [((3, 50, 50), "uint8", None, set())] * 2,
    "xa_cine": [((96, 1, 512, 512), "uint8", None, {"TIME_SERIES", "NO_SPACING"})],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_a_folder_becomes(shared_data: Path, tmp_path: Path, name: str) -> None:
    folder = shared_data / "dicom" / name / "in"
    images = open_workspace(tmp_path).ingest(folder, name="scan")
    told = [
        (image.info.shape, image.info.dtype, image.info.bands[0].unit, {v.code for v in image.info.verdicts})
        for image in images
    ]
    assert told == FOLDERS[name]
    sources = dicom.open([folder], image="scan", options=OpenOptions())
    for image, source in zip(images, sources, strict=True):
        assert validate(image.path) == []
        times = image.info.shape[0] if image.info.axes[0] == "t" else 1
        for t in {0, times - 1}:
            stored = image.read_index((slice(None),) * image.info.grid.ndim, t=t)
            wanted = source.read(source.info.grid.box, t=t)
            np.testing.assert_array_equal(stored.array, wanted.array)
            assert (stored.valid is None) == (wanted.valid is None)
            if stored.valid is not None:
                np.testing.assert_array_equal(stored.valid, wanted.valid)


def test_every_voxel_leads_back_to_its_instance(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom" / "ct_phantom_tilt_p16" / "in"
    (image,) = open_workspace(tmp_path).ingest(folder)
    files = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, folder.iterdir())}
    (stack,) = image.info.extra["instances"]
    for k, (uid, frame) in enumerate(stack):
        assert frame is None
        ds = files[uid]
        np.testing.assert_array_equal(
            image.read_index((slice(k, k + 1), slice(None), slice(None))).array[0, 0], ds.pixel_array
        )
        np.testing.assert_allclose(
            image.info.grid.to_world((k + 0.5, 0.5, 0.5)), np.asarray(ds.ImagePositionPatient, float), atol=1e-4
        )


def test_reports_alone_are_refused(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Comprehensive 3D SR"):
        open_workspace(tmp_path).ingest(shared_data / "dicom" / "sr_basic" / "in")


def test_the_physical_values_of_pet_are_suv(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom" / "pet_single" / "in"
    (image,) = open_workspace(tmp_path).ingest(folder)
    (path,) = folder.iterdir()
    ds = pydicom.dcmread(path)
    factor = image.info.extra["suv"]["factor"]
    expected = ds.pixel_array * float(ds.RescaleSlope) * factor
    found = image.read_index((slice(None),) * 3, physical=True).array[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert 0.1 < found.max() < 50


def test_colours_are_shown_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    images = open_workspace(tmp_path).ingest(shared_data / "dicom" / "us_colour" / "in")
    assert {image.info.window for image in images} == {((0.0, 255.0),) * 3}
    assert {image.info.shape for image in images} == {(3, 600, 800), (3, 480, 640), (30, 3, 240, 320)}
    first = images[0].read_index((slice(None),) * 2).array
    assert first.max() > 144


def test_a_folder_of_many_kinds(shared_data: Path, tmp_path: Path) -> None:
    """What is in it: many encodings, a DICOMDIR, several patients."""
    images = open_workspace(tmp_path).ingest(shared_data / "dicom" / "pydicom_misc")
    assert len(images) == 30
    assert all("MIXED_PATIENTS" in {v.code for v in image.info.verdicts} for image in images)
    listed = open_workspace(tmp_path / "dir").ingest(
        shared_data / "dicom" / "pydicom_misc" / "dicomdir" / "DICOMDIR", name="media"
    )
    assert sum(image.info.provenance["files"] for image in listed) == 31

"""A small CT series as pydicom data sets, for libraries that make objects from their source images."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bigimage.geometry.dicom import plane_of
from bigimage.geometry.grid import Grid
from tests.masks import CT_CLASS, grids


def ct_series(name: str = "oblique") -> tuple[Grid, list[Dataset]]:
    """A grid and its slices, with the identities that `tests.masks.dicom_extra` gives them."""
    grid = grids()[name]
    return grid, [_slice(grid, k) for k in range(grid.shape[0])]


def _slice(grid: Grid, k: int) -> Dataset:
    plane = plane_of(grid, k)
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = CT_CLASS, f"1.2.3.5.{k + 1}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3.6", grid.frame.uid
    data.SpecificCharacterSet = "ISO_IR 192"
    data.Modality, data.PatientID, data.PatientName, data.PatientSex = "CT", "P-17", "Müller^Jörg", "M"
    data.PatientBirthDate, data.StudyDate, data.StudyTime, data.StudyID = "19600102", "20250203", "101112", "S1"
    data.AccessionNumber, data.ReferringPhysicianName, data.PositionReferenceIndicator = "A-1", "Who^Knows", ""
    data.SeriesNumber, data.InstanceNumber, data.ImageType = 1, k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Manufacturer, data.PatientPosition, data.SliceThickness = "M", "HFS", 2.5
    data.ImagePositionPatient = [round(v, 9) for v in plane.position]
    data.ImageOrientationPatient = [round(v, 12) for v in plane.orientation]
    data.PixelSpacing = list(plane.spacing)
    data.Rows, data.Columns = grid.shape[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = np.full(grid.shape[1:], 1000 + k, np.int16).tobytes()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    data.file_meta = meta
    return data


def save(datasets: list[Dataset], folder: object) -> None:
    """Write slices into a folder."""
    for data in datasets:
        pydicom.dcmwrite(f"{folder}/{data.InstanceNumber:04}.dcm", data, enforce_file_format=True)

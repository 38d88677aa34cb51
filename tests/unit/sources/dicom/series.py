"""Synthetic DICOM files: a small CT whose voxels say where they are, to be bent and broken by tests."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from bigimage.errors import DataError as DataError
from bigimage.sources.dicom import open as open_dicom
from bigimage.sources.door import OpenOptions, Source

ROWS, COLUMNS = 6, 8
STUDY, SERIES, FRAME = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame of reference"))
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Edit = Callable[[Dataset, int], None]


def pixels(k: int, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    """Stored values of slice k: 100 k + 10 row + column."""
    rows, columns = np.indices(shape)
    return (100 * k + 10 * rows + columns).astype(np.int16)


def slice_of_ct(k: int, *, position: Sequence[float] | None = None, series: str = SERIES) -> Dataset:
    """Slice k of a CT: 2 mm apart, pixels 0.5 by 0.4 mm, HU by an intercept of -1024."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(k)])
    ds.PatientName, ds.PatientID = "Doe^Jane", "P-1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, series, FRAME
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 3, 1, k + 1
    ds.ImagePositionPatient = list(position if position is not None else (-10.0, -20.0, 30.0 + 2.0 * k))
    ds.ImageOrientationPatient = list(AXIAL)
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.4], 2.0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.WindowCenter, ds.WindowWidth = 40, 400
    put_pixels(ds, pixels(k))
    return ds


def put_pixels(ds: Dataset, array: np.ndarray) -> None:
    """Set an array (rows, columns), (frames, rows, columns) or, in 8 bits, (rows, columns, 3) as pixel data."""
    colour = array.ndim == 3 and array.shape[-1] == 3 and array.dtype == np.uint8
    if array.ndim == 3 and not colour:
        ds.NumberOfFrames = array.shape[0]
    ds.Rows, ds.Columns = array.shape[:2] if colour else array.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * array.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if array.dtype.itemsize > 1 else "OB"


def compress(ds: Dataset, syntax: str, encode: Callable[..., bytes], **options: Any) -> None:
    """Replace the pixels of a single-frame data set by a code stream of imagecodecs."""
    shape = (ds.Rows, ds.Columns) if ds.SamplesPerPixel == 1 else (ds.Rows, ds.Columns, 3)
    dtype = np.dtype(f"<{'i' if ds.PixelRepresentation and ds.SamplesPerPixel == 1 else 'u'}{ds.BitsAllocated // 8}")
    array = np.frombuffer(ds.PixelData, dtype, count=int(np.prod(shape))).reshape(shape)
    ds.PixelData = encapsulate([encode(array, **options)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax


def run_lengths(ds: Dataset) -> None:
    """Compress by run lengths."""
    ds.compress(RLELossless, encoding_plugin="pydicom")


def ct(count: int, *, edit: Edit | None = None, series: str = SERIES) -> list[Dataset]:
    """Slices of a CT, each changed by `edit`."""
    slices = [slice_of_ct(k, series=series) for k in range(count)]
    if edit is not None:
        for k, ds in enumerate(slices):
            edit(ds, k)
    return slices


def save(slices: Iterable[Dataset], folder: Path, *, name: str = "{:03d}.dcm") -> list[Path]:
    """Write data sets as files of a folder, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for k, ds in enumerate(slices):
        ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2.3")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3") or "1.2.3"
        paths.append(folder / name.format(k))
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def opened(*paths: Path, **options: Any) -> list[Source]:
    """Sources of files or folders."""
    return open_dicom(list(paths), image="scan", options=OpenOptions(**options))


def codes(source: Source) -> set[str]:
    """Codes of a source's verdicts."""
    return {verdict.code for verdict in source.info.verdicts}


def voxels(source: Source, t: int = 0) -> np.ndarray:
    """All stored values of one time point, without the channel axis where there is one channel."""
    array = source.read(source.info.grid.box, t=t).array
    return array[0] if array.shape[0] == 1 else array


def item(**values: Any) -> Dataset:
    """An item of a sequence."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def group(**values: Any) -> Items:
    """A functional group: a sequence of one item."""
    return Items([item(**values)])

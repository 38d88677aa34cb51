"""One small example of every verdict: files that are written to a folder, and the options to open them with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

from bigimage.sources.dicom.verdicts import Code
from tests.unit.sources.dicom.series import (
    Edit,
    compress,
    ct,
    group,
    item,
    pixels,
    put_pixels,
    run_lengths,
    save,
    slice_of_ct,
)

Options = dict[str, Any]
Case = Callable[[Path], Options | None]
EXAMPLES: dict[Code, Case] = {}


def example(code: Code) -> Callable[[Case], Case]:
    """Register the example of a code."""

    def register(case: Case) -> Case:
        EXAMPLES[code] = case
        return case

    return register


def edited(code: Code, edit: Edit, *, count: int = 4) -> None:
    """Register a CT of some slices, each changed."""

    def case(folder: Path) -> None:
        save(ct(count, edit=edit), folder)

    EXAMPLES[code] = case


def setting(**values: object) -> Edit:
    """Set attributes of every slice; None deletes one."""

    def edit(ds: Dataset, k: int) -> None:
        for keyword, value in values.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value(k) if callable(value) else value)

    return edit


def beside(code: Code, change: Callable[[Dataset], None]) -> None:
    """Register a good CT of three slices with one more file, `odd.dcm`, which is changed."""

    def case(folder: Path) -> None:
        odd = slice_of_ct(3)
        change(odd)
        save([odd], folder, name="odd.dcm")
        save(ct(3), folder)

    EXAMPLES[code] = case


def repeated(times: int, edit: Callable[[Dataset, int, int], None], *, modality: str = "MR") -> list[Dataset]:
    """Four places, each taken several times."""
    slices: list[Dataset] = []
    for t in range(times):
        for k in range(4):
            ds = slice_of_ct(k)
            ds.SOPInstanceUID = generate_uid(entropy_srcs=["repeated", str(k), str(t)])
            ds.Modality, ds.InstanceNumber = modality, 4 * t + k + 1
            edit(ds, k, t)
            slices.append(ds)
    return slices


def twice(code: Code, keyword: str, value: Callable[[int], object], *, modality: str = "MR", times: int = 2) -> None:
    """Register four places taken several times, told apart by one attribute."""

    def edit(ds: Dataset, k: int, t: int) -> None:
        setattr(ds, keyword, value(t))

    def case(folder: Path) -> None:
        save(repeated(times, edit, modality=modality), folder)

    EXAMPLES[code] = case


def halves(code: Code, change: Callable[[Dataset, int], None]) -> None:
    """Register a CT of eight slices, the last four changed."""

    def edit(ds: Dataset, k: int) -> None:
        if k >= 4:
            change(ds, k)

    edited(code, edit, count=8)


@example(Code.NOT_DICOM)
def _(folder: Path) -> None:
    save(ct(3), folder)
    (folder / "letter.pdf").write_bytes(b"%PDF-1.7 " * 50)


@example(Code.UNREADABLE)
def _(folder: Path) -> None:
    *_, last = save(ct(4), folder)
    last.write_bytes(last.read_bytes()[:200])


@example(Code.TRUNCATED)
def _(folder: Path) -> None:
    *_, last = save(ct(4), folder)
    last.write_bytes(last.read_bytes()[:-40])


@example(Code.MISSING_FILE)
def _(folder: Path) -> Options:
    save(ct(3), folder / "IMAGES", name="IM{}")
    records = [item(DirectoryRecordType="IMAGE", ReferencedFileID=["IMAGES", f"IM{k}"]) for k in range(4)]
    directory = item(SOPClassUID=MediaStorageDirectoryStorage, DirectoryRecordSequence=Sequence(records))
    directory.file_meta = slice_of_ct(0).file_meta
    (path,) = save([directory], folder, name="DICOMDIR")
    return {"path": path}


@example(Code.BAD_TAG)
def _(folder: Path) -> None:
    *_, last = save(ct(4, edit=setting(SliceThickness=2.5)), folder)
    last.write_bytes(last.read_bytes().replace(b"\x18\x00\x50\x00DS\x04\x002.5 ", b"\x18\x00\x50\x00DS\x04\x002,5 "))


def _is_segmentation(ds: Dataset) -> None:
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.66.4", "SEG"


def _is_structure_set(ds: Dataset) -> None:
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"


def _is_report(ds: Dataset) -> None:
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    del ds.PixelData
    del ds.Rows


def _is_video(ds: Dataset) -> None:
    compress(ds, JPEG2000Lossless, lambda array: array.tobytes())
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"


def _is_damaged(ds: Dataset) -> None:
    compress(ds, JPEG2000Lossless, lambda array: b"not a code stream")


def _is_bomb(ds: Dataset) -> None:
    run_lengths(ds)
    ds.Rows = ds.Columns = 40_000


def _lies(ds: Dataset) -> None:
    ds.NumberOfFrames = 5


beside(Code.SEGMENTATION, _is_segmentation)
beside(Code.STRUCTURE_SET, _is_structure_set)
beside(Code.NOT_AN_IMAGE, _is_report)
beside(Code.UNSUPPORTED_SYNTAX, _is_video)
beside(Code.UNSUPPORTED_PIXELS, lambda ds: setattr(ds, "SamplesPerPixel", 4))
beside(Code.DAMAGED, _is_damaged)
beside(Code.TOO_LARGE, _is_bomb)
beside(Code.FRAME_COUNT, _lies)


@example(Code.MIXED_PATIENTS)
def _(folder: Path) -> None:
    save(ct(3), folder / "one")
    save(ct(3, series=generate_uid(), edit=setting(PatientID="P-2")), folder / "two")


halves(Code.SERIES_SPLIT, lambda ds, k: setting(SOPClassUID=MRImageStorage, Modality="MR")(ds, k))
halves(Code.ORIENTATION_SPLIT, lambda ds, k: setting(ImageOrientationPatient=[0, 1, 0, -1, 0, 0])(ds, k))
halves(Code.SIZE_SPLIT, lambda ds, k: put_pixels(ds, pixels(k, (5, 7))))
halves(Code.SPACING_SPLIT, lambda ds, k: setting(PixelSpacing=[0.5, 0.41])(ds, k))
halves(Code.FRAME_OF_REFERENCE_SPLIT, lambda ds, k: setting(FrameOfReferenceUID="1.2.3.4")(ds, k))
halves(Code.PIXEL_TYPE_SPLIT, lambda ds, k: setting(PhotometricInterpretation="MONOCHROME1")(ds, k))


@example(Code.LOCALIZER_SPLIT)
def _(folder: Path) -> None:
    scout = slice_of_ct(90, position=(-100, 0, 400))
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    save([scout, *ct(8)], folder)


twice(Code.IMAGE_TYPE_SPLIT, "ImageType", lambda t: ["ORIGINAL", "PRIMARY", "MP"[t]])
twice(Code.ECHO_SPLIT, "EchoTime", lambda t: 10.0 * (t + 1))
twice(Code.B_VALUE_SPLIT, "DiffusionBValue", lambda t: 500.0 * t)
twice(Code.CONTRAST_SPLIT, "InversionTime", lambda t: 100.0 * (t + 1))
twice(Code.PHASE_SPLIT, "AcquisitionNumber", lambda t: t + 1, modality="CT")
twice(Code.TIME_SERIES, "TemporalPositionIdentifier", lambda t: t + 1, times=6)


@example(Code.INCOMPLETE)
def _(folder: Path) -> None:
    save(repeated(4, lambda ds, k, t: setattr(ds, "TemporalPositionIdentifier", t + 1))[:-1], folder)


@example(Code.AMBIGUOUS)
def _(folder: Path) -> None:
    slices = [ds for ds in repeated(3, lambda ds, k, t: setattr(ds, "InstanceNumber", 1)) if ds.SOPInstanceUID]
    save(slices[:-2], folder)


@example(Code.DUPLICATE)
def _(folder: Path) -> None:
    save(ct(5), folder / "a")
    save([slice_of_ct(2)], folder / "b")


edited(Code.SAME_UID, setting(SOPInstanceUID="1.2.3"))
edited(Code.GAP, setting(ImagePositionPatient=lambda k: [0, 0, (0, 2, 4, 8, 10)[k]]), count=5)
edited(Code.UNEVEN, setting(ImagePositionPatient=lambda k: [0, 0, (0.0, 2.0, 4.5, 6.0, 9.1)[k]]), count=5)
edited(
    Code.TILT,
    setting(
        ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(np.radians(15))), float(-np.sin(np.radians(15)))],
        ImagePositionPatient=lambda k: [0.0, 0.0, 5.0 * k],
    ),
)
edited(Code.ORDER, setting(InstanceNumber=lambda k: (3, 1, 4, 2)[k]))
edited(Code.ORDER_REVERSED, setting(InstanceNumber=lambda k: 10 - k))
edited(Code.SPACING_DISAGREES, setting(SpacingBetweenSlices=2.5))
edited(Code.SINGLE_SLICE, setting(), count=1)
edited(Code.NO_FRAME_OF_REFERENCE, setting(FrameOfReferenceUID=None))


def _last(change: Edit) -> Edit:
    return lambda ds, k: change(ds, k) if k == 3 else None


edited(Code.NO_POSITION, _last(setting(ImagePositionPatient=None)))
edited(Code.BAD_ORIENTATION, _last(setting(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0])))
edited(Code.BAD_SPACING, _last(setting(PixelSpacing=[0.5, 0])))


def projection(ds: Dataset, k: int) -> None:
    """A digital X-ray."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del ds[keyword]
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"


edited(Code.NO_SPACING, projection, count=1)


def detected(ds: Dataset, k: int) -> None:
    """A digital X-ray that knows the pixels of its detector."""
    projection(ds, k)
    ds.ImagerPixelSpacing = [0.15, 0.15]


edited(Code.DETECTOR_SPACING, detected, count=1)


@example(Code.MOSAIC)
def _(folder: Path) -> None:
    sheet = slice_of_ct(0)
    put_pixels(sheet, np.zeros((12, 16), np.int16))
    sheet.Modality, sheet.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    block = sheet.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 4)
    save([sheet], folder)


@example(Code.REGULARIZED)
def _(folder: Path) -> Options:
    EXAMPLES[Code.GAP](folder)
    return {"regularize": True}


edited(Code.NO_RESCALE, setting(RescaleSlope=None, RescaleIntercept=None))
edited(Code.RESCALE_VARIES, setting(RescaleSlope=lambda k: 1 + k))
edited(Code.NO_SUV, setting(Modality="PT", Units="BQML", CorrectedImage=["ATTN", "DECY"]))
edited(Code.MONOCHROME1, setting(PhotometricInterpretation="MONOCHROME1"))
edited(Code.PADDING, setting(PixelPaddingValue=0))
edited(Code.LOSSY, setting(LossyImageCompression="01"))
edited(
    Code.MODALITY_TABLE,
    setting(
        RescaleSlope=None,
        RescaleIntercept=None,
        ModalityLUTSequence=lambda k: Sequence(
            [item(LUTDescriptor=[2, 0, 16], LUTData=bytes(4), ModalityLUTType="US")]
        ),
    ),
)
edited(
    Code.VOI_TABLE,
    setting(VOILUTSequence=lambda k: Sequence([item(LUTDescriptor=[2, 0, 16], LUTData=bytes(4))])),
)


def _palette(ds: Dataset, k: int) -> None:
    put_pixels(ds, np.zeros((6, 8), np.uint8))
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", b"\x00\x00\xff\xff")


edited(Code.PALETTE_EXPANDED, _palette)


def slide(kind: str, size: tuple[int, int], *, tiles: int, **values: object) -> Dataset:
    """A file of a whole slide with empty tiles of 4 × 4."""
    ds = slice_of_ct(0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del ds[keyword]
    put_pixels(ds, np.zeros((4, 4, 3), np.uint8))
    ds.SOPClassUID, ds.Modality = VLWholeSlideMicroscopyImageStorage, "SM"
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[kind, str(size)])
    ds.ImageType, ds.NumberOfFrames = ["ORIGINAL", "PRIMARY", kind, "NONE"], tiles
    ds.PixelData = bytes(48 * tiles)
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = size
    ds.SharedFunctionalGroupsSequence = group(PixelMeasuresSequence=group(PixelSpacing=[0.0005, 0.0005]))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@example(Code.SLIDE_LEVELS)
def _(folder: Path) -> None:
    save([slide("VOLUME", (8, 8), tiles=4), slide("VOLUME", (4, 4), tiles=1)], folder)


@example(Code.SLIDE_PARTS)
def _(folder: Path) -> None:
    save([slide("VOLUME", (8, 8), tiles=4), slide("LABEL", (4, 4), tiles=1)], folder)


@example(Code.FOCAL_PLANES)
def _(folder: Path) -> None:
    save([slide("VOLUME", (8, 8), tiles=8, TotalPixelMatrixFocalPlanes=2)], folder)


@example(Code.DEIDENTIFIED)
def _(folder: Path) -> Options:
    save(ct(3), folder)
    return {"deidentify": "a secret"}


@example(Code.BURNED_IN)
def _(folder: Path) -> Options:
    save(ct(3, edit=setting(BurnedInAnnotation="YES")), folder)
    return {"deidentify": "a secret"}

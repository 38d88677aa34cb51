"""Every verdict that reading DICOM can return."""

from collections.abc import Iterable
from enum import StrEnum

from bigimage.errors import DataError
from bigimage.model.image import Verdict


class Code(StrEnum):
    """Codes of verdicts; docs/verdicts.md explains each with an example."""

    # files
    NOT_DICOM = "NOT_DICOM"
    UNREADABLE = "UNREADABLE"
    NOT_AN_IMAGE = "NOT_AN_IMAGE"
    SEGMENTATION = "SEGMENTATION"
    STRUCTURE_SET = "STRUCTURE_SET"
    UNSUPPORTED_SYNTAX = "UNSUPPORTED_SYNTAX"
    UNSUPPORTED_PIXELS = "UNSUPPORTED_PIXELS"
    TRUNCATED = "TRUNCATED"
    DAMAGED = "DAMAGED"
    TOO_LARGE = "TOO_LARGE"
    FRAME_COUNT = "FRAME_COUNT"
    BAD_TAG = "BAD_TAG"
    MISSING_FILE = "MISSING_FILE"
    # series
    MIXED_PATIENTS = "MIXED_PATIENTS"
    SERIES_SPLIT = "SERIES_SPLIT"
    ORIENTATION_SPLIT = "ORIENTATION_SPLIT"
    LOCALIZER_SPLIT = "LOCALIZER_SPLIT"
    SIZE_SPLIT = "SIZE_SPLIT"
    SPACING_SPLIT = "SPACING_SPLIT"
    FRAME_OF_REFERENCE_SPLIT = "FRAME_OF_REFERENCE_SPLIT"
    PIXEL_TYPE_SPLIT = "PIXEL_TYPE_SPLIT"
    IMAGE_TYPE_SPLIT = "IMAGE_TYPE_SPLIT"
    ECHO_SPLIT = "ECHO_SPLIT"
    B_VALUE_SPLIT = "B_VALUE_SPLIT"
    CONTRAST_SPLIT = "CONTRAST_SPLIT"
    PHASE_SPLIT = "PHASE_SPLIT"
    TIME_SERIES = "TIME_SERIES"
    INCOMPLETE = "INCOMPLETE"
    AMBIGUOUS = "AMBIGUOUS"
    DUPLICATE = "DUPLICATE"
    SAME_UID = "SAME_UID"
    # geometry
    GAP = "GAP"
    UNEVEN = "UNEVEN"
    TILT = "TILT"
    ORDER = "ORDER"
    ORDER_REVERSED = "ORDER_REVERSED"
    SPACING_DISAGREES = "SPACING_DISAGREES"
    SINGLE_SLICE = "SINGLE_SLICE"
    NO_POSITION = "NO_POSITION"
    BAD_ORIENTATION = "BAD_ORIENTATION"
    NO_SPACING = "NO_SPACING"
    BAD_SPACING = "BAD_SPACING"
    DETECTOR_SPACING = "DETECTOR_SPACING"
    NO_FRAME_OF_REFERENCE = "NO_FRAME_OF_REFERENCE"
    MOSAIC = "MOSAIC"
    REGULARIZED = "REGULARIZED"
    # values
    NO_RESCALE = "NO_RESCALE"
    RESCALE_VARIES = "RESCALE_VARIES"
    NO_SUV = "NO_SUV"
    MODALITY_TABLE = "MODALITY_TABLE"
    VOI_TABLE = "VOI_TABLE"
    MONOCHROME1 = "MONOCHROME1"
    PALETTE_EXPANDED = "PALETTE_EXPANDED"
    PADDING = "PADDING"
    LOSSY = "LOSSY"
    # slides
    SLIDE_LEVELS = "SLIDE_LEVELS"
    SLIDE_PARTS = "SLIDE_PARTS"
    FOCAL_PLANES = "FOCAL_PLANES"
    # privacy
    BURNED_IN = "BURNED_IN"
    DEIDENTIFIED = "DEIDENTIFIED"


REFUSED_WHEN_STRICT = frozenset(
    {
        *(Code.UNREADABLE, Code.UNSUPPORTED_SYNTAX, Code.UNSUPPORTED_PIXELS, Code.TRUNCATED, Code.DAMAGED),
        *(Code.TOO_LARGE, Code.FRAME_COUNT, Code.BAD_TAG, Code.MISSING_FILE, Code.MIXED_PATIENTS),
        *(Code.ORIENTATION_SPLIT, Code.LOCALIZER_SPLIT, Code.SIZE_SPLIT, Code.SPACING_SPLIT),
        *(Code.FRAME_OF_REFERENCE_SPLIT, Code.PIXEL_TYPE_SPLIT, Code.SERIES_SPLIT, Code.IMAGE_TYPE_SPLIT),
        *(Code.CONTRAST_SPLIT, Code.PHASE_SPLIT, Code.INCOMPLETE, Code.AMBIGUOUS, Code.DUPLICATE, Code.SAME_UID),
        *(Code.GAP, Code.UNEVEN, Code.TILT, Code.NO_POSITION, Code.BAD_ORIENTATION, Code.BAD_SPACING),
    }
)
"""Findings for which `strict` refuses a folder instead of building what is right."""


def verdict(code: Code, message: str, instances: Iterable[str] = ()) -> Verdict:
    """A verdict with its instances sorted, each once."""
    return Verdict(code=str(code), message=message, instances=tuple(dict.fromkeys(instances)))


class Refusal(DataError):
    """A file that cannot be used, with the verdict that says why; the reason completes a sentence about the file."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

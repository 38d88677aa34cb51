"""The attributes that are read from a DICOM file. Nothing else of a header is looked at, and little of it is kept."""

from pydicom.datadict import tag_for_keyword

IDENTITY = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SeriesNumber", "InstanceNumber", "Modality", "FrameOfReferenceUID"),
)
"""What an image is and what it belongs to."""

GEOMETRY = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing"),
    *("NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor", "SliceThickness"),
    *("SpacingBetweenSlices", "GridFrameOffsetVector", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "DetectorInformationSequence", "PatientOrientation", "Laterality"),
    *("ImageLaterality", "ViewPosition", "SequenceOfUltrasoundRegions"),
)
"""Where pixels lie."""

DIMENSIONS = (
    *("ImageType", "ComplexImageComponent", "EchoNumbers", "EchoTime", "InversionTime", "DiffusionBValue"),
    *("DiffusionGradientOrientation", "TemporalPositionIdentifier", "TriggerTime", "NominalPercentageOfCardiacPhase"),
    *("FrameReferenceTime", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("ContentDate", "ContentTime", "FrameTime", "ConvolutionKernel"),
)
"""What tells apart slices at one and the same place. Times are used for ordering and not kept, but for those of PET."""

PIXELS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData"),
    *("SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData"),
    *("LossyImageCompression", "BurnedInAnnotation", "TotalPixelMatrixRows", "TotalPixelMatrixColumns"),
)
"""How pixels are stored."""

VALUES = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "WindowCenter", "WindowWidth"),
    *("WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence", "DoseGridScaling", "DoseUnits"),
    *("Units", "SUVType", "CorrectedImage", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime"),
    *("RadiopharmaceuticalInformationSequence",),
)
"""What stored values mean."""

SLIDES = (
    *("DimensionOrganizationType", "NumberOfOpticalPaths", "TotalPixelMatrixFocalPlanes", "ConcatenationUID"),
    *("ConcatenationFrameOffsetNumber", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide"),
)
"""How the tiles of a whole slide lie."""

EXPORT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "SeriesDescription", "Manufacturer", "PatientPosition"),
)
"""What a segmentation or structure set made from this image must repeat to be filed beside it."""

SIEMENS_MOSAIC_CREATOR = 0x00190010
SIEMENS_MOSAIC_TILES = 0x0019100A
SIEMENS_CSA_CREATOR = 0x00290010
SIEMENS_CSA_IMAGE = 0x00291010
SIEMENS_B_VALUE = 0x0019100C
PRIVATE = {
    "SiemensMosaicCreator": SIEMENS_MOSAIC_CREATOR,
    "SiemensMosaicTiles": SIEMENS_MOSAIC_TILES,
    "SiemensBValue": SIEMENS_B_VALUE,
    "SiemensCSACreator": SIEMENS_CSA_CREATOR,
    "SiemensCSAImage": SIEMENS_CSA_IMAGE,
}
"""Private attributes of Siemens, which alone say how a mosaic is cut and which b-value a slice has."""

DIRECTORY = ("DirectoryRecordSequence", "ReferencedFileID")

FUNCTIONAL_GROUPS = (
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PlanePositionVolumeSequence"),
    *("PlaneOrientationVolumeSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence"),
    *("FrameContentSequence", "MREchoSequence", "MRDiffusionSequence", "CardiacSynchronizationSequence"),
    *(
        "MRImageFrameTypeSequence",
        "CTImageFrameTypeSequence",
        "PETFrameTypeSequence",
        "MRTimingAndRelatedParametersSequence",
    ),
    *("RealWorldValueMappingSequence", "TemporalPositionSequence", "MRModifierSequence"),
)
"""Functional groups of multi-frame images that are looked at."""

WITHIN_GROUPS = (
    *("ImagePositionVolume", "ImageOrientationVolume", "FrameType", "StackID", "InStackPositionNumber"),
    *("TemporalPositionIndex", "FrameAcquisitionNumber", "FrameAcquisitionDateTime", "FrameReferenceDateTime"),
    *("EffectiveEchoTime", "DiffusionGradientDirectionSequence", "NominalCardiacTriggerDelayTime"),
    *("TemporalPositionTimeOffset", "InversionTimes", "RealWorldValueSlope", "RealWorldValueIntercept"),
    *("MeasurementUnitsCodeSequence", "CodeValue", "LUTDescriptor", "LUTData", "LUTExplanation"),
    *("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime"),
    *("RadiopharmaceuticalStartDateTime", "RegionSpatialFormat", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection"),
    *("PhysicalDeltaX", "PhysicalDeltaY", "PlanePositionSlideSequence", "ColumnPositionInTotalImagePixelMatrix"),
    *("RowPositionInTotalImagePixelMatrix", "OpticalPathIdentificationSequence", "OpticalPathIdentifier"),
    *("XOffsetInSlideCoordinateSystem", "YOffsetInSlideCoordinateSystem"),
)


def _number(keyword: str) -> int:
    """Tag of a keyword; a keyword that the standard does not know is a mistake of this module."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


TRANSFER_SYNTAX = 0x00020010
MEDIA_CLASS = 0x00020002
TAGS = {
    keyword: _number(keyword)
    for keyword in (
        *(*IDENTITY, *GEOMETRY, *DIMENSIONS, *PIXELS, *VALUES, *SLIDES, *EXPORT, *DIRECTORY),
        *(*FUNCTIONAL_GROUPS, *WITHIN_GROUPS),
    )
} | PRIVATE
"""Tag of every keyword that the code asks for."""

HEADER_TAGS = frozenset(
    TAGS[keyword] for keyword in (*IDENTITY, *GEOMETRY, *DIMENSIONS, *PIXELS, *VALUES, *SLIDES, *EXPORT, *PRIVATE)
)
"""What is read from the top level of a file."""

PIXEL_DATA = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}

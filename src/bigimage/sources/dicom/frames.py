"""From a file's header to its frames: classic, multi-frame and enhanced images, and the tiles of mosaics.

Sources: DICOM PS3.3 C.7.6.16 (functional groups), C.8.4.9 (NM), C.8.8.3.2 (grid frame offsets of RT dose).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bigimage.geometry.dicom import Plane, normal, orientation_fault, spacing_fault, vector
from bigimage.sources.dicom.elements import Elements
from bigimage.sources.dicom.header import FileHeader, Frame, Layout, SeriesIdentity, Traits
from bigimage.sources.dicom.layout import read_layout
from bigimage.sources.dicom.mosaic import Mosaic, find_mosaic, tile_planes
from bigimage.sources.dicom.tags import FUNCTIONAL_GROUPS, TAGS
from bigimage.sources.dicom.values import read_values
from bigimage.sources.dicom.verdicts import Code, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP_TAGS = frozenset(TAGS.values())
MOST_FRAMES = 200_000
"""Frames of one file beyond which it is taken to be damaged; each of them is looked at."""
Notes = list[tuple[Code, str]]


@dataclass(frozen=True, slots=True)
class _File:
    """What all frames of a file share."""

    header: FileHeader
    layout: Layout
    identity: SeriesIdentity
    instance: str
    image_type: tuple[str, ...]


def read_frames(header: FileHeader) -> tuple[list[Frame], Notes]:
    """Frames of one file and what is odd about it. Raises Refusal where its pixels cannot be read."""
    layout, notes = read_layout(header)
    if layout.frames > MOST_FRAMES:
        raise Refusal(Code.TOO_LARGE, f"has {layout.frames} frames; up to {MOST_FRAMES} are read")
    top = header.elements
    file = _File(
        header=header,
        layout=layout,
        identity=_identity(top),
        instance=top.text("SOPInstanceUID") or header.path.name,
        image_type=tuple(value.upper() for value in top.texts("ImageType")),
    )
    per_frame = top.items("PerFrameFunctionalGroupsSequence", only=GROUP_TAGS)
    if per_frame or "SharedFunctionalGroupsSequence" in top:
        return _enhanced(file, per_frame), notes
    if mosaic := find_mosaic(top, file.image_type, layout.rows, layout.columns):
        frames = _mosaic(file, mosaic)
        if frames:
            return frames, notes
    if layout.frames == 1 and "GridFrameOffsetVector" not in top:
        return [_classic(file)], notes
    return _multiframe(file), notes


def _identity(top: Elements) -> SeriesIdentity:
    return SeriesIdentity(
        patient=top.text("PatientID"),
        study=top.text("StudyInstanceUID"),
        series=top.text("SeriesInstanceUID"),
        number=top.integer("SeriesNumber"),
        modality=(top.text("Modality") or "").upper(),
        sop_class=top.text("SOPClassUID") or "",
        frame_of_reference=top.text("FrameOfReferenceUID"),
    )


def _classic(file: _File, index: int = 0) -> Frame:
    """The frame of a single-frame file."""
    top = file.header.elements
    # a nuclear medicine image keeps its position and orientation with its detector
    plane, faults = _plane([top, *top.items("DetectorInformationSequence", only=GROUP_TAGS)[:1]])
    return Frame(
        layout=file.layout,
        index=index,
        instance=file.instance,
        number=top.integer("InstanceNumber"),
        identity=file.identity,
        shape=(file.layout.rows, file.layout.columns),
        plane=plane,
        faults=faults,
        thickness=_positive(top.number("SliceThickness")),
        spacing_hint=_positive(abs(top.number("SpacingBetweenSlices") or 0.0)),
        image_type=file.image_type,
        contrast=Traits(lambda: _contrast([top])),
        times=Traits(lambda: _times([top])),
        values=read_values(file.header, file.layout, [top], file.identity.modality),
        source=file.header,
    )


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _plane(groups: Sequence[Elements]) -> tuple[Plane | None, tuple[tuple[str, str], ...]]:
    """Plane by the first data sets that state its parts, or what is missing."""
    position = _first(groups, ("ImagePositionPatient", "ImagePositionVolume"))
    orientation = _first(groups, ("ImageOrientationPatient", "ImageOrientationVolume"))
    spacing = _first(groups, ("PixelSpacing",))
    faults: list[tuple[str, str]] = []
    if len(position) != 3:
        faults.append((Code.NO_POSITION, "no Image Position (Patient)"))
    if not orientation:
        faults.append((Code.NO_POSITION, "no Image Orientation (Patient)"))
    elif fault := orientation_fault(orientation):
        faults.append((Code.BAD_ORIENTATION, f"an Image Orientation (Patient) that {fault}"))
    if not spacing:
        faults.append((Code.NO_SPACING, "no Pixel Spacing"))
    elif fault := spacing_fault(spacing):
        faults.append((Code.BAD_SPACING, f"a Pixel Spacing that {fault}"))
    if faults:
        return None, tuple((str(code), text) for code, text in faults)
    a, b, c, d, e, f = orientation
    return Plane(vector(position), (a, b, c, d, e, f), (spacing[0], spacing[1])), ()


def _first(groups: Sequence[Elements], keywords: Sequence[str]) -> tuple[float, ...]:
    """Numbers of the first keyword that any of the data sets states."""
    for group in groups:
        for keyword in keywords:
            if keyword in group:
                return group.numbers(keyword)
    return ()


def _number(groups: Sequence[Elements], *keywords: str) -> float | None:
    values = _first(groups, keywords)
    return values[0] if values else None


def _text(groups: Sequence[Elements], *keywords: str) -> str | None:
    for group in groups:
        for keyword in keywords:
            if (value := group.text(keyword)) is not None:
                return value
    return None


def _contrast(groups: Sequence[Elements]) -> dict[str, float | str]:
    """What makes a frame another image of the same place, in the order in which series are split."""
    found = {
        "component": _text(groups, "ComplexImageComponent"),
        "stack": _text(groups, "StackID"),
        "kernel": _text(groups, "ConvolutionKernel"),
        "echo": _number(groups, "EchoNumbers"),
        "echo time": _number(groups, "EffectiveEchoTime", "EchoTime"),
        "inversion time": _number(groups, "InversionTimes", "InversionTime"),
        "b-value": _number(groups, "DiffusionBValue", "SiemensBValue"),
        "quantity": _text(groups, "LUTExplanation"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _times(groups: Sequence[Elements]) -> dict[str, float | str]:
    """What makes a frame the same image at another time, in the order in which time is looked for."""
    gradient = _first(groups, ("DiffusionGradientOrientation",))
    found = {
        "temporal position": _number(groups, "TemporalPositionIndex", "TemporalPositionIdentifier"),
        "temporal offset": _number(groups, "TemporalPositionTimeOffset"),
        "trigger time": _number(groups, "NominalCardiacTriggerDelayTime", "TriggerTime"),
        "cardiac phase": _number(groups, "NominalPercentageOfCardiacPhase"),
        "frame reference time": _number(groups, "FrameReferenceTime"),
        "gradient": "\\".join(f"{part:g}" for part in gradient) or None,
        "acquisition number": _number(groups, "FrameAcquisitionNumber", "AcquisitionNumber"),
        "acquisition time": _joined(groups, "FrameAcquisitionDateTime", "AcquisitionDate", "AcquisitionTime")
        or _text(groups, "AcquisitionDateTime"),
        "reference time": _text(groups, "FrameReferenceDateTime"),
        "content time": _joined(groups, None, "ContentDate", "ContentTime"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _frame_times(groups: Sequence[Elements], index: int) -> dict[str, float | str]:
    return {**_times(groups), "frame": float(index)}


def _joined(groups: Sequence[Elements], whole: str | None, date: str, time: str) -> str | None:
    """A date and time as one sortable text."""
    if whole is not None and (moment := _text(groups, whole)):
        return moment
    clock = _text(groups, time)
    return (_text(groups, date) or "") + clock if clock else None


def _multiframe(file: _File) -> list[Frame]:
    """Frames of a classic multi-frame file: dose grids and reconstructed NM have places, other frames only an order."""
    top = file.header.elements
    base = _classic(file)
    count = file.layout.frames
    offsets = _frame_offsets(file, base)
    if offsets is not None and base.plane is not None:
        places = np.asarray(base.plane.position) + offsets[:count]
        return [
            replace(base, index=k, number=k + 1, plane=replace(base.plane, position=vector(place)))
            for k, place in enumerate(places)
        ]
    # the position of such a file, if any, is that of its first frame
    faults = base.faults or ((str(Code.NO_POSITION), "one position for all of its frames"),)
    frame_time = top.number("FrameTime")
    return [
        replace(
            base,
            index=k,
            number=k + 1,
            plane=None,
            faults=faults,
            times={"frame": float(k), **({"frame time": k * frame_time} if frame_time else {})},
        )
        for k in range(count)
    ]


def _frame_offsets(file: _File, base: Frame) -> "NDArray[np.float64] | None":
    """Way from the position of the file to that of each of its frames, (frames, 3); None where nothing says."""
    top = file.header.elements
    if base.plane is None:
        return None
    axis = normal(base.plane.orientation)
    offsets = np.asarray(top.numbers("GridFrameOffsetVector"))
    if len(offsets) >= file.layout.frames:
        # distances from the first plane along the normal, or z coordinates where they do not begin at zero
        return offsets[:, None] * axis if offsets[0] == 0 else (offsets - offsets[0])[:, None] * np.array([0, 0, 1.0])
    step = top.number("SpacingBetweenSlices")
    if "DetectorInformationSequence" in top and "RECON TOMO" in file.image_type and step:
        return np.arange(file.layout.frames)[:, None] * step * axis
    return None


def _enhanced(file: _File, per_frame: Sequence[Elements]) -> list[Frame]:
    """Frames of a file with functional groups; a frame's own group goes before the shared one."""
    top = file.header.elements
    shared = _unfold(top.items("SharedFunctionalGroupsSequence", only=GROUP_TAGS)[:1])
    base = _classic(file)
    frames: list[Frame] = []
    for k in range(file.layout.frames):
        own = _unfold(per_frame[k : k + 1])
        groups = [*own, *shared, top]
        plane, faults = _plane(groups)
        content = own or shared
        frame_type = next((g.texts("FrameType") for g in groups if "FrameType" in g), file.image_type)
        hint = _number(groups, "SpacingBetweenSlices")
        frames.append(
            replace(
                base,
                index=k,
                number=k + 1,
                plane=plane,
                faults=faults,
                thickness=_positive(_number(groups, "SliceThickness")),
                spacing_hint=_positive(abs(hint)) if hint is not None else None,
                image_type=tuple(value.upper() for value in frame_type),
                contrast=Traits(partial(_contrast, groups)),
                times=Traits(partial(_frame_times, content, k)),
                values=read_values(file.header, file.layout, groups, file.identity.modality),
            )
        )
    return frames


def _unfold(groups: Sequence[Elements]) -> list[Elements]:
    """The functional groups of one frame as a flat list of data sets."""
    flat: list[Elements] = []
    for group in groups:
        for keyword in FUNCTIONAL_GROUPS:
            for item in group.items(keyword, only=GROUP_TAGS):
                flat.append(item)
                flat.extend(item.items("DiffusionGradientDirectionSequence", only=GROUP_TAGS))
    return flat


def _mosaic(file: _File, mosaic: Mosaic) -> list[Frame]:
    """One frame for each tile; empty where the sheet has no place."""
    base = _classic(file)
    distance = base.spacing_hint or base.thickness
    if base.plane is None or distance is None:
        return []
    rows, columns = file.layout.rows, file.layout.columns
    planes = tile_planes(base.plane, mosaic, (rows, columns), distance)
    layout = replace(file.layout, mosaic=mosaic.across)
    shape = rows // mosaic.across, columns // mosaic.across
    return [replace(base, layout=layout, tile=k, plane=plane, shape=shape) for k, plane in enumerate(planes)]

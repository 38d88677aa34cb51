"""From an assembled volume to an `ImageInfo`: axes, type, units, windows, and the few attributes that are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom

from bigimage.geometry.dicom import spacing_fault
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo, Verdict
from bigimage.sources.dicom.assemble import Volume
from bigimage.sources.dicom.header import Frame, Layout, Window
from bigimage.sources.dicom.pixels import palette_table, stored_dtype
from bigimage.sources.dicom.tags import EXPORT
from bigimage.sources.dicom.values import suv_factor
from bigimage.sources.dicom.verdicts import Code, verdict

COLOURS = ("red", "green", "blue")
EXACT_POSITION = 1e-4
"""Millimetres: slices further from their regular places have their positions kept beside the affine."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Slopes and intercepts of every frame, [t][z], and what they lead to."""

    slopes: tuple[tuple[float, ...], ...]
    intercepts: tuple[tuple[float, ...], ...]
    unit: str | None
    suv: float | None
    """SUV per stored unit, already part of the slopes."""

    @property
    def is_constant(self) -> bool:
        """Whether one slope and one intercept hold for all frames."""
        slopes = {value for row in self.slopes for value in row}
        intercepts = {value for row in self.intercepts for value in row}
        return len(slopes) == 1 and len(intercepts) == 1


@dataclass(frozen=True, slots=True)
class Described:
    """An image's description, and what reading its pixels needs to know."""

    info: ImageInfo
    meaning: Meaning
    physical: bool = False
    """Whether values are to be converted to the modality's unit."""


def describe(volume: Volume, image: str, *, physical: bool = False) -> Described:
    """Description of a volume. With `physical`, values are float32 in modality units instead of the stored ones."""
    verdicts: list[Verdict] = []
    meaning = _meaning(volume, verdicts)
    grid = volume.grid(image) if volume.placed else _pixel_grid(volume, image, verdicts)
    colour = is_colour(volume)
    physical = physical and not colour
    axes, shape = _axes(volume, grid, colour=colour)
    dtype = np.dtype(np.float32) if physical else volume_dtype(volume)
    verdicts += _value_verdicts(volume, meaning, physical=physical)
    info = ImageInfo(
        id=image,
        grid=grid,
        axes=axes,
        shape=shape,
        dtype=dtype.name,
        bands=_bands(volume, meaning, colour=colour, physical=physical),
        may_be_invalid=any(frame.values.padding is not None for stack in volume.frames for frame in stack),
        window=colour_window(volume.first.layout, dtype) if colour else _window(volume, meaning),
        value={} if colour else _value(meaning, physical=physical),
        extra=_extra(volume, meaning),
        verdicts=(*volume.verdicts, *verdicts),
        provenance=_provenance(volume),
    )
    return Described(info, meaning, physical)


def is_colour(volume: Volume) -> bool:
    """Whether pixels have three colours, stored or through a palette."""
    layout = volume.first.layout
    return layout.samples == 3 or layout.palette is not None


def volume_dtype(volume: Volume) -> np.dtype[Any]:
    """Type that holds the stored values of all frames, or the outputs of their tables."""
    types: set[np.dtype[Any]] = set()
    for frame in (frame for stack in volume.frames for frame in stack):
        if frame.layout.palette is not None:
            types.add(palette_table(frame.layout.palette)[0].dtype)
        elif frame.values.lut is not None:
            types.add(np.dtype(np.uint16))
        else:
            types.add(stored_dtype(frame.layout))
    return np.result_type(*types)


def _axes(volume: Volume, grid: Grid, *, colour: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and lengths of the axes; a 2-D image always has its channel, a volume only where it is coloured."""
    lengths: dict[str, int] = {}
    if len(volume.frames) > 1:
        lengths["t"] = len(volume.frames)
    if colour or not volume.placed:
        lengths["c"] = 3 if colour else 1
    lengths.update(zip(("z", "y", "x")[-grid.ndim :], grid.shape, strict=True))
    return tuple(lengths), tuple(lengths.values())


def _pixel_grid(volume: Volume, image: str, verdicts: list[Verdict]) -> Grid:
    """Grid of a 2-D image in pixels, with their spacing where the file knows it."""
    top = volume.first.source.elements
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = top.numbers(keyword)
        if spacing and (fault := spacing_fault(spacing)):
            verdicts.append(verdict(Code.BAD_SPACING, f"a spacing ({keyword}) that {fault} is not used"))
        elif spacing:
            if keyword == "ImagerPixelSpacing":
                message = "pixels are measured on the detector; in the patient they are smaller by the magnification"
                verdicts.append(verdict(Code.DETECTOR_SPACING, message))
            return Grid.pixels(volume.first.shape, image, spacing=(spacing[1], spacing[0]))
    if region := _ultrasound_spacing(volume.first):
        return Grid.pixels(volume.first.shape, image, spacing=region)
    verdicts.append(verdict(Code.NO_SPACING, "the file does not say how large a pixel is"))
    return Grid.pixels(volume.first.shape, image)


def _ultrasound_spacing(frame: Frame) -> tuple[float, float] | None:
    """Millimetres per pixel (x, y) of an ultrasound image whose only region is measured in centimetres."""
    regions = frame.source.elements.items("SequenceOfUltrasoundRegions")
    if len(regions) != 1:
        return None
    region = regions[0]
    if (region.integer("PhysicalUnitsXDirection"), region.integer("PhysicalUnitsYDirection")) != (3, 3):
        return None
    x, y = region.number("PhysicalDeltaX"), region.number("PhysicalDeltaY")
    return (abs(x) * 10, abs(y) * 10) if x and y else None


def _meaning(volume: Volume, verdicts: list[Verdict]) -> Meaning:
    """Slopes and intercepts of a volume; PET in Bq/ml becomes SUV where the header allows it."""
    factor = None
    unit = volume.first.values.unit
    if volume.first.identity.modality == "PT" and not (unit or "").startswith("SUV"):
        factor, reason = suv_factor(volume.first.source)
        if factor is None:
            verdicts.append(verdict(Code.NO_SUV, f"values stay in {unit or 'stored units'}: {reason}"))
        else:
            unit = "SUV"
    scale = factor or 1.0
    return Meaning(
        tuple(tuple(frame.values.slope * scale for frame in stack) for stack in volume.frames),
        tuple(tuple(frame.values.intercept * scale for frame in stack) for stack in volume.frames),
        unit,
        factor,
    )


def _bands(volume: Volume, meaning: Meaning, *, colour: bool, physical: bool) -> tuple[Band, ...]:
    if colour:
        return tuple(Band(name=name, interpretation=name) for name in COLOURS)
    paddings = {frame.values.padding for stack in volume.frames for frame in stack}
    only = paddings.pop() if len(paddings) == 1 else None
    nodata = only[0] if only is not None and only[0] == only[1] and not physical else None
    scale, offset = 1.0, 0.0
    if meaning.is_constant and not physical:
        scale, offset = meaning.slopes[0][0], meaning.intercepts[0][0]
    name = volume.first.identity.modality or "image"
    return (Band(name=name, interpretation="gray", nodata=nodata, unit=meaning.unit, scale=scale, offset=offset),)


def _value(meaning: Meaning, *, physical: bool) -> dict[str, Any]:
    """How values become physical: numbers, or lists by slice (by time, then slice, where there is time)."""
    if physical:
        return {"unit": meaning.unit, "slope": 1.0, "intercept": 0.0}
    if meaning.is_constant:
        return {"unit": meaning.unit, "slope": meaning.slopes[0][0], "intercept": meaning.intercepts[0][0]}
    slopes, intercepts = [list(row) for row in meaning.slopes], [list(row) for row in meaning.intercepts]
    if len(slopes) == 1:
        return {"unit": meaning.unit, "slope": slopes[0], "intercept": intercepts[0]}
    return {"unit": meaning.unit, "slope": slopes, "intercept": intercepts}


def _window(volume: Volume, meaning: Meaning) -> tuple[tuple[float, float], ...]:
    """Default display range in modality units: the first window of the files, the median one where slices differ."""
    ranges = [frame.values.windows[0].range for stack in volume.frames for frame in stack if frame.values.windows]
    if not ranges:
        return ()
    low, high = (float(v) * (meaning.suv or 1.0) for v in np.median(np.asarray(ranges), axis=0))
    return ((low, high),)


def colour_window(layout: Layout, dtype: np.dtype[Any]) -> tuple[tuple[float, float], ...]:
    """Display range of colours: all that can be stored, since stretching each by itself would change them."""
    bits = 8 * dtype.itemsize if layout.palette is not None else layout.bits_stored
    return ((0.0, float((1 << bits) - 1)),) * 3


def _value_verdicts(volume: Volume, meaning: Meaning, *, physical: bool) -> list[Verdict]:
    """What is odd about the values of a volume."""
    first = volume.first
    frames = [frame for stack in volume.frames for frame in stack]
    found: list[Verdict] = []
    if first.identity.modality in ("CT", "PT") and not any(frame.values.stated or frame.values.lut for frame in frames):
        found.append(verdict(Code.NO_RESCALE, "the files state no rescale slope; values have no unit"))
    if not meaning.is_constant:
        how = "values were converted to float32" if physical else "stored values are kept, with a slope for each slice"
        found.append(verdict(Code.RESCALE_VARIES, f"rescale slope or intercept differ between slices; {how}"))
    if any(frame.values.lut for frame in frames):
        found.append(verdict(Code.MODALITY_TABLE, "values went through the modality table of the files"))
    if any(frame.values.voi_table for frame in frames):
        found.append(verdict(Code.VOI_TABLE, "the files define their display by a table; windows stand in for it"))
    if first.layout.photometric == "MONOCHROME1":
        found.append(verdict(Code.MONOCHROME1, "low values are bright (MONOCHROME1); values are kept, display inverts"))
    if first.layout.palette is not None:
        found.append(verdict(Code.PALETTE_EXPANDED, "palette indexes were replaced by their colours"))
    paddings = sorted({frame.values.padding for frame in frames if frame.values.padding is not None})
    if paddings:
        values = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in paddings[:4])
        found.append(verdict(Code.PADDING, f"stored value {values} marks pixels outside the image; they are invalid"))
    if any(frame.source.elements.text("LossyImageCompression") == "01" for frame in frames):
        found.append(verdict(Code.LOSSY, "the pixels were once compressed with loss"))
    return found


def _extra(volume: Volume, meaning: Meaning) -> dict[str, Any]:
    """The attributes that are kept; docs/dicom.md lists them."""
    first = volume.first
    top = first.source.elements
    identity = first.identity
    extra: dict[str, Any] = {
        "modality": identity.modality or None,
        "sop_class": identity.sop_class or None,
        "study": identity.study,
        "series": identity.series,
        "series_number": identity.number,
        "instances": [[_instance(frame) for frame in stack] for stack in volume.frames],
        "photometric": first.layout.photometric,
        "inverted": first.layout.photometric == "MONOCHROME1",
        "windows": [_preset(window, meaning) for window in first.values.windows],
        "export": {keyword: text for keyword in EXPORT if (text := "\\".join(top.texts(keyword)))},
    }
    views = {key: top.text(keyword) for key, keyword in VIEWS.items()}
    if any(views.values()):
        extra["view"] = {key: value for key, value in views.items() if value}
    if "PatientOrientation" in top and not volume.placed:
        extra["patient_orientation"] = list(top.texts("PatientOrientation"))
    if meaning.suv is not None:
        extra["suv"] = {"type": "BW", "factor": meaning.suv, "stored_unit": first.values.unit}
    if len(volume.frames) > 1:
        extra["times"] = _times(volume)
    if volume.placed and (positions := _positions(volume)):
        extra["positions"] = positions
    return extra


VIEWS = {"position": "ViewPosition", "laterality": "ImageLaterality", "side": "Laterality"}


def _instance(frame: Frame) -> list[Any]:
    """SOP instance UID and, in a multi-frame file, the number of the frame from 1."""
    return [frame.instance, frame.index + 1 if frame.layout.frames > 1 else None]


def _preset(window: Window, meaning: Meaning) -> dict[str, Any]:
    scale = meaning.suv or 1.0
    return {
        "center": window.center * scale,
        "width": window.width * scale,
        "explanation": window.explanation,
        "function": window.function,
    }


def _times(volume: Volume) -> dict[str, Any]:
    """What told time points apart, and their values where they are numbers; clock times are not kept."""
    key = volume.time_key or "order"
    values: Sequence[float | str | None] = [stack[0].times.get(key) for stack in volume.frames]
    if key == "frame" and "frame time" in volume.first.times:
        key, values = "frame time", [stack[0].times.get("frame time") for stack in volume.frames]
    numbers = [value for value in values if isinstance(value, int | float)]
    return {"key": key, "values": numbers if len(numbers) == len(values) else None}


def _positions(volume: Volume) -> list[list[float]] | None:
    """Centre of the first voxel of every slice, where the affine alone does not give it."""
    grid = volume.grid("any")
    stated = np.asarray([plane.position for plane in volume.planes])
    index = np.stack([np.arange(len(stated)) + 0.5, *np.full((2, len(stated)), 0.5)], axis=-1)
    if np.abs(grid.to_world(index) - stated).max() <= EXACT_POSITION:
        return None
    return [[float(v) for v in position] for position in stated]


def _provenance(volume: Volume) -> Mapping[str, Any]:
    """Where the pixels come from."""
    layouts = [frame.layout for stack in volume.frames for frame in stack]
    return {
        "driver": "DICOM",
        "files": len({layout.path for layout in layouts}),
        "transfer_syntaxes": sorted({layout.syntax for layout in layouts}),
        "pydicom": pydicom.__version__,
        "options": {},
    }

"""What the values of a volume mean, and the ranges in which they are looked at: the file's own and the usual ones.

Ranges of volumes are said in the modality's unit, such as HU, since that is how radiologists know them. They become
ranges of stored values where one slope holds for all that is shown; only else are values converted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.pyramid.array import as_stored
from tilesrv.display import RAW, DisplayQuery, Look, choose_bands, look_of

Range = tuple[float, float]
Slope = tuple[float, float]
"""Slope and intercept: value = stored * slope + intercept."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A range of values with a name."""

    name: str
    label: str
    center: float
    width: float
    low: float
    """Value shown darkest."""
    high: float
    """Value shown brightest; `width` above `low`, or one stored unit less where DICOM counts so."""
    origin: str
    """`file`, or `standard` for what is usual with the unit."""

    def document(self) -> dict[str, Any]:
        """As the interface tells it."""
        return {
            "name": self.name,
            "label": self.label,
            "center": self.center,
            "width": self.width,
            "low": self.low,
            "high": self.high,
            "origin": self.origin,
        }


def _standard(*rows: tuple[str, str, float, float]) -> tuple[Preset, ...]:
    """Presets from names, labels, centres and widths."""
    return tuple(Preset(name, label, c, w, c - w / 2, c + w / 2, "standard") for name, label, c, w in rows)


STANDARD: Final[Mapping[str, tuple[Preset, ...]]] = {
    "HU": _standard(
        ("soft-tissue", "Soft tissue", 40, 400),
        ("lung", "Lung", -600, 1500),
        ("bone", "Bone", 480, 2500),
        ("brain", "Brain", 40, 80),
        ("stroke", "Stroke", 40, 40),
        ("subdural", "Subdural", 75, 215),
        ("temporal-bone", "Temporal bone", 600, 2800),
        ("mediastinum", "Mediastinum", 50, 350),
        ("abdomen", "Abdomen", 50, 400),
        ("liver", "Liver", 90, 150),
        ("spine", "Spine", 50, 250),
        ("angiography", "Angiography", 300, 600),
    ),
    "SUV": _standard(
        ("suv-5", "SUV 0 to 5", 2.5, 5),
        ("suv-10", "SUV 0 to 10", 5, 10),
        ("suv-15", "SUV 0 to 15", 7.5, 15),
        ("suv-20", "SUV 0 to 20", 10, 20),
    ),
}
"""Usual ranges by unit; those of CT that OHIF has are OHIF's."""


def presets(info: ImageInfo) -> tuple[Preset, ...]:
    """The windows of the file, in its order, then what is usual with the unit and not named like one of them."""
    own = _own(info)
    taken = {preset.name for preset in own}
    unit = info.bands[0].unit or ""
    return (*own, *(preset for preset in STANDARD.get(unit, ()) if preset.name not in taken))


def _own(info: ImageInfo) -> tuple[Preset, ...]:
    """The windows that the file names, or `default` for the range worked out at ingest."""
    factor = float((info.extra.get("suv") or {}).get("factor", 1.0))
    found: dict[str, Preset] = {}
    for number, window in enumerate(info.extra.get("windows") or ()):
        label = str(window.get("explanation") or "")
        name = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:64] or f"file-{number + 1}"
        name = f"{name}-{number + 1}" if name in found else name
        center, width = float(window["center"]), float(window["width"])
        low, high = _ends(center, width, str(window.get("function")), factor)
        found[name] = Preset(name, label or f"Window {number + 1} of the file", center, width, low, high, "file")
    if found or not info.window:
        return tuple(found.values())
    low, high = info.window[0]
    return (Preset("default", "Default", (low + high) / 2, high - low, low, high, "file"),)


def _ends(center: float, width: float, function: str, factor: float) -> Range:
    """Values shown darkest and brightest; LINEAR spans width - 1 stored units (PS3.3 C.11.2.1.2.1)."""
    unit = factor if function == "LINEAR" and width > factor else 0.0
    return center - unit / 2 - (width - unit) / 2, center - unit / 2 + (width - unit) / 2


def varies(info: ImageInfo) -> bool:
    """Whether slope or intercept differ between slices."""
    return any(isinstance(info.value.get(name), list) for name in ("slope", "intercept"))


def slopes(info: ImageInfo, *, t: int, planes: slice) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Slope and intercept of each of some slices (counted along the first spatial axis of the finest level)."""
    found: list[np.ndarray[Any, Any]] = []
    for name in ("slope", "intercept"):
        values = np.asarray(info.value[name], dtype=np.float64)
        values = values[t] if values.ndim == 2 else values
        found.append(np.broadcast_to(values, (info.grid.shape[0],))[planes])
    return found[0], found[1]


def band_slopes(info: ImageInfo, bands: Sequence[int], *, t: int, stored: int | None) -> tuple[Slope, ...] | None:
    """Slope and intercept of each band on a slice of the stack; None where they differ over what is shown."""
    if not varies(info):
        return tuple((info.bands[band].scale, info.bands[band].offset) for band in bands)
    if stored is None:
        return None
    slope, intercept = slopes(info, t=t, planes=slice(stored, stored + 1))
    return ((float(slope[0]), float(intercept[0])),) * len(bands)


def in_units(info: ImageInfo, patch: Patch, box: IndexBox, bands: Sequence[int], *, t: int) -> Patch:
    """Stored values (c, z, y, x) of a box as modality values, not a number where missing.

    float32, which holds 16-bit values with any slope exactly enough; float64 for wider types.
    """
    kind = np.result_type(patch.array.dtype, np.float32)
    array = patch.array.astype(kind)
    each = slopes(info, t=t, planes=box.slices[0]) if varies(info) else None
    for position, number in enumerate(bands):
        band = info.bands[number]
        missing = np.zeros(box.shape, np.bool_) if patch.valid is None else ~patch.valid
        nodata = as_stored(band.nodata, patch.array.dtype)
        if nodata is not None:
            missing |= patch.array[position] == nodata
        slope, intercept = (band.scale, band.offset) if each is None else (v[:, None, None] for v in each)
        array[position] = patch.array[position] * slope + intercept
        array[position][missing] = np.nan
    return replace(patch, array=array)


@dataclass(frozen=True, slots=True)
class PlaneQuery(DisplayQuery):
    """What a client says about the look of a plane."""

    preset: str | None = None
    pixels: str | None = None
    physical: bool = False
    tilesize: int = 256
    max_size: int | None = None


def shown_ranges(info: ImageInfo, query: PlaneQuery, bands: Sequence[int]) -> tuple[Range, ...]:
    """Modality values shown darkest and brightest, for each band. Raises InputError."""
    said = [name for name in ("preset", "window", "rescale") if getattr(query, name) is not None]
    if len(said) > 1:
        raise InputError(f"{' and '.join(said)} all set the range of values; give one")
    if query.preset is not None:
        known = {preset.name: preset for preset in presets(info)}
        if query.preset not in known:
            raise InputError(f"image {info.id} has no preset {query.preset!r}; it has {', '.join(known) or 'none'}")
        return ((known[query.preset].low, known[query.preset].high),) * len(bands)
    if query.window is not None:
        center, width = query.window
        return ((center - width / 2, center + width / 2),) * len(bands)
    if query.rescale is not None:
        pairs = tuple(zip(query.rescale[::2], query.rescale[1::2], strict=True))
        if len(pairs) not in (1, len(bands)):
            raise InputError(f"rescale takes one range, or one for each of the {len(bands)} bands, not {len(pairs)}")
        return pairs * len(bands) if len(pairs) == 1 else pairs
    return tuple(_default(info, band) for band in bands)


def center_width(info: ImageInfo, shown: Range) -> tuple[float, float]:
    """Centre and width of a range, as the file says them where the range is one of its windows."""
    for preset in _own(info):
        if (preset.low, preset.high) == shown:
            return preset.center, preset.width
    return (shown[0] + shown[1]) / 2, shown[1] - shown[0]


def _default(info: ImageInfo, band: int) -> Range:
    """The range worked out at ingest, else all values of the type."""
    if band < len(info.window):
        return info.window[band]
    kind = np.dtype(info.dtype)
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else (0.0, 1.0)
    scale, offset = info.bands[band].scale, info.bands[band].offset
    return float(low) * scale + offset, float(high) * scale + offset


def plane_look(info: ImageInfo, query: PlaneQuery, fmt: str, most: int, *, stored: int | None, units: bool) -> Look:
    """Bands and style of a plane.

    Parameters
    ----------
    stored
        Slice of the stack that is shown; None for planes across it.
    units
        Whether values come in modality units already.

    Raises
    ------
    InputError, TooLarge
        As `display.look_of`; also for unknown presets, and more than one of preset, window and rescale.
    """
    said = query.preset or query.window or query.rescale
    if fmt == RAW or (said is None and info.palette is not None and query.colormap is None):
        return look_of(info, replace(query, window=None, rescale=None), fmt, most)
    bands = choose_bands(info, query, fmt, most)
    ranges = shown_ranges(info, query, bands)
    each = None if units else band_slopes(info, bands, t=query.t, stored=stored)
    if each is not None:
        ranges = tuple(_to_stored(r, slope) for r, slope in zip(ranges, each, strict=True))
    if info.extra.get("inverted") and query.colormap is None:
        ranges = tuple((high, low) for low, high in ranges)
    flat = tuple(value for pair in ranges for value in pair)
    return look_of(info, replace(query, window=None, rescale=flat), fmt, most)


def _to_stored(shown: Range, slope: Slope) -> Range:
    """A range of modality values as stored ones; reversed where the slope is negative."""
    scale, offset = slope
    return ((shown[0] - offset) / scale, (shown[1] - offset) / scale) if scale else shown

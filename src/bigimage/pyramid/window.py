"""Default display ranges, from the 2nd and 98th percentiles of a coarse level."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.model.image import Band, ImageInfo
from bigimage.pyramid.array import as_stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (2.0, 98.0)
MAX_PIXELS = 1 << 20
"""Most pixels of the level that is looked at, however few its bands."""
MAX_VALUES = 8 << 20
"""Most values of that level, over all bands and times: it is held in memory."""
COLOURS = frozenset({"red", "green", "blue"})


def window_level(shapes: Sequence[Sequence[int]]) -> int:
    """The finest level that is small enough to look at, else the coarsest; shapes end with (y, x)."""
    for number, shape in enumerate(shapes):
        if math.prod(shape) <= MAX_VALUES and math.prod(shape[-2:]) <= MAX_PIXELS:
            return number
    return len(shapes) - 1


def band_window(values: "NDArray[Any]", valid: "NDArray[np.bool_] | None", band: Band) -> tuple[float, float]:
    """Display range (low, high) of one band's pixels; low < high always, (0, 1) when nothing is valid."""
    keep = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=np.bool_)
    if valid is not None:
        keep &= valid
    nodata = as_stored(band.nodata, values.dtype)
    if nodata is not None:
        keep &= values != nodata
    kept = values[keep]
    if not kept.size:
        return 0.0, 1.0
    # "nearest" gives values that occur, and never overflows between two of them
    low, high = (float(v) for v in np.percentile(kept, PERCENTILES, method="nearest"))
    if low < high:
        return low, high
    low, high = float(kept.min()), float(kept.max())
    if low < high:
        return low, high
    if low == np.finfo(np.float64).max:
        return float(np.nextafter(low, 0.0)), low
    # beyond 2^53 a value and the next whole number are the same float
    return low, max(low + 1.0, float(np.nextafter(low, np.inf)))


def windows(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", info: ImageInfo
) -> tuple[tuple[float, float], ...]:
    """Display range of every band; array (c, spatial…). Stored values of a raster, physical ones of a volume.

    The red, green and blue of an 8-bit picture share one range, so that its colours keep their hue.
    """
    if info.role == "labels":
        return tuple((0.0, float(max(1, int(plane.max())))) for plane in array)
    if info.grid.ndim == 3:
        found = _volume_windows(array, valid, info)
    else:
        found = [band_window(plane, valid, band) for plane, band in zip(array, info.bands, strict=True)]
    colour = [i for i, band in enumerate(info.bands) if band.interpretation in COLOURS]
    if info.dtype == "uint8" and len(colour) == 3:
        shared = min(found[i][0] for i in colour), max(found[i][1] for i in colour)
        for i in colour:
            found[i] = shared
    return tuple(found)


def _volume_windows(
    array: "NDArray[Any]", valid: "NDArray[np.bool_] | None", info: ImageInfo
) -> list[tuple[float, float]]:
    """Display ranges in the modality's unit, as the windows of scans are said in it."""
    slope, intercept = (_per_slice(info, name, array.shape[-3]) for name in ("slope", "intercept"))
    found: list[tuple[float, float]] = []
    for plane, band in zip(array, info.bands, strict=True):
        if slope is None and intercept is None:
            low, high = (v * band.scale + band.offset for v in band_window(plane, valid, band))
            found.append((min(low, high), max(low, high)))
            continue
        values = plane * (band.scale if slope is None else slope) + (band.offset if intercept is None else intercept)
        nodata = as_stored(band.nodata, plane.dtype)
        values[np.zeros(plane.shape, np.bool_) if nodata is None else plane == nodata] = np.nan
        found.append(band_window(values, valid, replace(band, nodata=None)))
    return found


def _per_slice(info: ImageInfo, name: str, count: int) -> "NDArray[np.float64] | None":
    """Slope or intercept of each slice of a level, the mean one of those it merges; None where one holds for all."""
    listed = info.value.get(name)
    if not isinstance(listed, list):
        return None
    values = np.asarray(listed, dtype=np.float64)
    starts = np.arange(count) * (values.shape[-1] / count)
    merged = np.add.reduceat(values, starts.astype(int), axis=-1)
    lengths = np.diff(np.append(starts.astype(int), values.shape[-1]))
    return (merged / lengths)[..., None, None]

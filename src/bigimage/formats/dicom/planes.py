"""Frames of a segmentation → slices of a grid, whatever their order, gaps and tilt.

Frames that lie on slices of the image take the image's grid, so that slices without a frame are background and uneven
ones keep their places. Others get a grid of their own: gaps of whole slices are filled, other gaps stay uneven.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset

from bigimage.errors import DataError, Unsupported
from bigimage.formats.dicom.pixels import FramePixels
from bigimage.formats.dicom.slides import numbered
from bigimage.formats.dicom.walk import Values
from bigimage.formats.door import Context, Report
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import (
    Orientation,
    Plane,
    normal,
    orientation_fault,
    place_tolerance,
    plane_of,
    spacing_fault,
    stack_grid,
    vector,
)
from bigimage.geometry.frame import Frame
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_ORIENTATION = 1e-4
"""Largest difference of direction cosines of frames of one volume."""
ON_SLICE = 0.02
"""Part of a pixel by which frames may lie off the image's slices, for files that round positions."""
WHOLE = 0.02
"""Part of a distance by which a gap may differ from a whole number of slices."""
MOST_SLICES = 65536


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the frames of a segmentation lie."""

    grid: Grid
    slices: tuple[int, ...]
    """Slice of the grid that each frame lies on; on a flat one its tile, counted along the rows."""
    tile: tuple[int, int] | None = None
    """Rows and columns of the tiles of a flat grid."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of a frame."""
        return self.tile or self.grid.shape[-2:]


def place_frames(
    frames: Sequence[Values], shared: Dataset, *, shape: tuple[int, int], frame: Frame, context: Context, report: Report
) -> Placed:
    """Grid of frames of `shape` (rows, columns). Raises DataError where places are missing, Unsupported."""
    positions, orientation, spacing, thickness = _geometry(frames, shared)
    on_image = _on_image(context.grid, positions, orientation, spacing, shape, frame)
    if on_image is not None:
        return on_image
    depths = positions @ normal(orientation)
    order = np.argsort(depths, kind="stable")
    tolerance = place_tolerance(depths[order])
    starts = np.concatenate([[True], np.diff(depths[order]) > tolerance])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.cumsum(starts) - 1
    places = positions[order[starts]]
    aside = np.linalg.norm(positions - places[rank], axis=1)
    if aside.max() > max(tolerance, ON_SLICE * min(spacing)):
        raise Unsupported("frames at one depth lie beside each other, as tiles do; such segmentations are not read")
    full, at = _filled(places)
    if full is None:
        report.note("frames lie at uneven distances; each slice keeps its own place")
        full, at = places, np.arange(len(places))
    planes = [Plane(vector(point), orientation, spacing) for point in full]
    grid = stack_grid(planes, shape, frame, thickness=thickness)
    return Placed(grid, tuple(int(k) for k in at[rank]))


def place_tiles(
    frames: Sequence[Values], shape: tuple[int, int], whole: tuple[int, int] | None, context: Context
) -> Placed:
    """Frames on the pixels of a flat image, all of it or tiles of a `whole` matrix. Raises DataError, Unsupported."""
    covered = whole or shape
    if covered != context.grid.shape:
        sizes = " × ".join(map(str, covered)), " × ".join(map(str, context.grid.shape))
        message = f"the segmentation has {sizes[0]} rows and columns, and image {context.image} {sizes[1]}"
        raise DataError(f"{message}; where neither has a place in a patient they must be alike")
    if whole is None:
        return Placed(context.grid, (0,) * len(frames), shape)
    return Placed(context.grid, tuple(numbered(frames, shape, whole)), shape)


def _geometry(
    frames: Sequence[Values], shared: Dataset
) -> "tuple[NDArray[np.float64], Orientation, tuple[float, float], float]":
    """Position of each frame, and the orientation, spacing and thickness of all. Raises DataError, Unsupported."""
    raw = [_numbers(frame, 0x00209113, 0x00200032) for frame in frames]
    common = _shared_numbers(shared, "PlanePositionSequence", "ImagePositionPatient")
    positions = np.asarray([found if len(found) == 3 else common or [np.nan] * 3 for found in raw], np.float64)
    if not np.isfinite(positions).all():
        missing = int((~np.isfinite(positions).all(axis=1)).sum())
        raise DataError(f"{missing} of {len(frames)} frames have no Image Position (Patient), so nothing can be placed")
    cosines = _shared_numbers(shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    all_cosines = [cosines] if cosines else [_numbers(frame, 0x00209116, 0x00200037) for frame in frames]
    fault = next((f for c in all_cosines if (f := orientation_fault(c)) is not None), None)
    if fault:
        raise DataError(f"the Image Orientation (Patient) of the frames {fault}")
    spread = np.ptp(np.asarray(all_cosines), axis=0).max()
    if spread > SAME_ORIENTATION:
        raise Unsupported("frames have several orientations; split the segmentation by orientation")
    spacings = _shared_numbers(shared, "PixelMeasuresSequence", "PixelSpacing")
    spacings = spacings or _numbers(frames[0], 0x00289110, 0x00280030)
    fault = spacing_fault(spacings)
    if fault:
        raise DataError(f"the Pixel Spacing of the frames {fault}")
    thickness = _shared_numbers(shared, "PixelMeasuresSequence", "SpacingBetweenSlices")
    thickness = thickness or _shared_numbers(shared, "PixelMeasuresSequence", "SliceThickness")
    a, b, c, d, e, f = all_cosines[0]
    return positions, (a, b, c, d, e, f), (spacings[0], spacings[1]), abs(thickness[0]) if thickness else 1.0


def _numbers(frame: Values, group: int, tag: int) -> list[float]:
    """Decimal numbers of a functional group of a frame; empty where they are missing or garbled."""
    items = frame.get(group)
    value = items[0].get(tag) if isinstance(items, list) and items else None
    if not isinstance(value, bytes):
        return []
    try:
        return [float(part) for part in value.decode("latin-1").strip(" \0").split("\\")]
    except ValueError:
        return []


def _shared_numbers(shared: Dataset, group: str, keyword: str) -> list[float]:
    """Decimal numbers of a functional group that all frames share; empty where it is missing."""
    items: Any = shared.get(group)
    value: Any = items[0].get(keyword) if items else None
    if value is None or value == "":
        return []
    try:
        return [float(v) for v in value] if hasattr(value, "__iter__") else [float(value)]
    except (TypeError, ValueError):
        return []


def _on_image(
    image: Grid,
    positions: "NDArray[np.float64]",
    orientation: Orientation,
    spacing: tuple[float, float],
    shape: tuple[int, int],
    frame: Frame,
) -> Placed | None:
    """Slices of the image that the frames lie on, rows and columns cropped where they are; None where they do not."""
    if image.ndim != 3 or image.frame != frame:
        return None
    plane = plane_of(image, 0)
    if np.abs(np.subtract(plane.orientation, orientation)).max() > SAME_ORIENTATION:
        return None
    reach = np.asarray(shape) * np.abs(np.subtract(plane.spacing, spacing)) / np.asarray(plane.spacing)
    if reach.max() > ON_SLICE:
        return None
    index = image.to_index(positions) - 0.5
    whole = np.rint(index)
    if np.abs(index - whole).max() > ON_SLICE:
        return None
    start, stop = whole[:, 1:].min(axis=0), whole[:, 1:].max(axis=0)
    if (start != stop).any() or (whole < 0).any() or (whole[:, 0] >= image.shape[0]).any():
        return None
    y, x = (int(v) for v in start)
    if y + shape[0] > image.shape[1] or x + shape[1] > image.shape[2]:
        return None
    grid = image.crop(IndexBox((0, y, x), (image.shape[0], y + shape[0], x + shape[1])))
    return Placed(grid, tuple(int(k) for k in whole[:, 0]))


def _filled(places: "NDArray[np.float64]") -> "tuple[NDArray[np.float64] | None, NDArray[np.int64]]":
    """Places with those between them that no frame has, and which of them each one is.

    None where the gaps are no whole numbers of one distance.
    """
    if len(places) < 2:
        return places, np.zeros(len(places), np.int64)
    ways = np.linalg.norm(np.diff(places, axis=0), axis=1)
    counts = np.rint(ways / ways.min())
    step = float((ways.sum()) / counts.sum())
    if np.abs(ways - counts * step).max() > WHOLE * step or counts.sum() > MOST_SLICES:
        return None, np.zeros(0, np.int64)
    at = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    every = np.arange(at[-1] + 1)
    return np.stack([np.interp(every, at, places[:, axis]) for axis in range(3)], axis=-1), at


@dataclass(frozen=True)
class Places:
    """Frames by slice, for files whose frames each hold one segment."""

    placed: Placed
    numbers: Sequence[int]
    """Segment number of each frame."""
    at: Mapping[int, list[int]] = field(init=False)
    """Frames on each slice."""

    def __post_init__(self) -> None:
        at: dict[int, list[int]] = {}
        for i, k in enumerate(self.placed.slices):
            at.setdefault(k, []).append(i)
        object.__setattr__(self, "at", at)

    def layers(self, packed: "Callable[[int], NDArray[np.uint8]]") -> dict[int, int]:
        """Layer of each segment: the first one whose segments it nowhere overlaps."""
        clashes: dict[int, set[int]] = {}
        for frames in self.at.values():
            if len(frames) < 2:
                continue
            bits = [packed(i) for i in frames]
            union = bits[0].copy()
            for n, one in enumerate(bits[1:], 1):
                if (union & one).any():
                    self._clash(frames, bits, n, clashes)
                union |= one
        layers: dict[int, int] = {}
        for number in sorted(set(self.numbers)):
            taken = {layers[other] for other in clashes.get(number, ()) if other in layers}
            layers[number] = next(layer for layer in range(len(taken) + 1) if layer not in taken)
        return _Default(layers)

    def _clash(
        self, frames: Sequence[int], bits: "Sequence[NDArray[np.uint8]]", n: int, clashes: dict[int, set[int]]
    ) -> None:
        """Note which earlier segments of a slice the n-th one overlaps."""
        mine = self.numbers[frames[n]]
        for k in range(n):
            other = self.numbers[frames[k]]
            if other != mine and (bits[k] & bits[n]).any():
                clashes.setdefault(mine, set()).add(other)
                clashes.setdefault(other, set()).add(mine)

    def labels(
        self, layers: Mapping[int, int], pixels: FramePixels, dtype: "np.dtype[Any]"
    ) -> "Callable[[int, IndexBox], NDArray[Any]]":
        """Reader of labels: a segment's number where its bits are set."""

        def read(layer: int, box: IndexBox) -> "NDArray[Any]":
            out = np.zeros((box.shape[0], *self.placed.shape), dtype)
            for n, k in enumerate(range(box.start[0], box.stop[0])):
                for i in self.at.get(k, ()):
                    if layers[self.numbers[i]] == layer:
                        pixels.paint(out[n], i, self.numbers[i])
            return out[:, *box.slices[1:]]

        return read

    def fractions(
        self, numbers: Sequence[int], pixels: FramePixels, most: int
    ) -> "Callable[[int, IndexBox], NDArray[Any]]":
        """Reader of fractions from 0 to 1; layer k is that of the k-th segment."""

        def read(layer: int, box: IndexBox) -> "NDArray[Any]":
            out = np.zeros(box.shape, np.float32)
            for n, k in enumerate(range(box.start[0], box.stop[0])):
                for i in self.at.get(k, ()):
                    if self.numbers[i] == numbers[layer]:
                        out[n] = pixels.values(i)[box.slices[1:]] / np.float32(most)
            return out

        return read


class _Default(dict[int, int]):
    """Layers by segment number; a segment without frames lies in the first."""

    def __missing__(self, key: int) -> int:
        return 0

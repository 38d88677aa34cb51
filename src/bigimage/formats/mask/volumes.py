"""Label volumes of other tools, read through the door for images: NIfTI, NRRD and MetaImage.

The voxels are looked at once before anything is handed out, so that a file that is no label volume is refused whole.
"""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import Unsupported
from bigimage.formats.door import Context, MaskStream, Report, Segment
from bigimage.formats.mask.streams import SLAB_BYTES, patient_frame, values_of
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame
from bigimage.geometry.grid import Grid
from bigimage.model.image import slug
from bigimage.sources import volume
from bigimage.sources.door import OpenOptions, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_VALUES = 65536
"""Different values beyond which a volume is taken for an image."""
HIGHEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """A label volume whose voxels have been looked at."""

    source: Source
    grid: Grid
    layers: int
    dtype: "np.dtype[Any]"
    values: tuple[frozenset[int], ...]
    """Values that occur in each layer, without 0."""

    def stream(self, segments: tuple[Segment, ...]) -> MaskStream:
        """The stream of its labels; the file is closed when nobody holds it any more."""
        source, dtype = self.source, self.dtype

        def read(layer: int, box: IndexBox) -> "NDArray[Any]":
            return source.read(box, bands=[layer]).array[0].astype(dtype, copy=False)

        stream = MaskStream(grid=self.grid, segments=segments, dtype=dtype.name, read=read, layers=self.layers)
        weakref.finalize(stream, source.close)
        return stream


def open_labels(path: Path, *, context: Context, report: Report, what: str) -> LabelVolume:
    """Open a label volume and look at all of it; what is wrong becomes problems of the report.

    Raises NotFound, DataError for a damaged file, Unsupported for one with several times.
    """
    (source,) = volume.open([path], image=slug(path.name), options=OpenOptions(role="labels"))
    info = source.info
    for verdict in info.verdicts:
        if verdict.code != "SEGMENTATION":
            report.note(f"{path.name}: {verdict.message}")
    if "t" in info.axes:
        source.close()
        raise Unsupported(f"{path.name} holds {info.shape[info.axes.index('t')]} time points; import one at a time")
    band = info.bands[0]
    if (band.scale, band.offset) != (1.0, 0.0):
        report.problem(
            "value", "scaling", f"labels are not scaled, and these are by {band.scale:g} and {band.offset:g}"
        )
    frame = patient_frame(context, report, what)
    grid = _in_frame(info.grid, frame)
    check_place(grid, context, report)
    values = _survey(source, report)
    highest = max((max(v, default=0) for v in values), default=0)
    return LabelVolume(source, grid, len(info.bands), np.dtype(np.min_scalar_type(highest)), values)


def _in_frame(grid: Grid, frame: Frame) -> Grid:
    return Grid(grid.shape, grid.affine, frame, grid.slices)


def check_place(grid: Grid, context: Context, report: Report) -> None:
    """Note a problem for a mask that does not touch its image at all, as when axes were mixed up."""
    if grid.ndim != context.grid.ndim or grid.frame != context.grid.frame:
        return
    index = context.grid.to_index(grid.corners())
    low, high = index.min(axis=0), index.max(axis=0)
    if (high <= 0).any() or (low >= np.asarray(context.grid.shape)).any():
        message = f"the mask lies wholly beside image {context.image}; were its axes (LPS, RAS) mixed up?"
        report.problem("outside", "grid", message)


def _survey(source: Source, report: Report) -> tuple[frozenset[int], ...]:
    """Values of each layer; fractions, negative and too many numbers are problems."""
    found: list[set[int]] = [set() for _ in source.info.bands]
    wrong: dict[str, None] = {}
    for part in _parts(source):
        for layer, pixels in enumerate(part):
            if sum(map(len, found)) > MOST_VALUES:
                report.problem("value", "", f"more than {MOST_VALUES} different values: this is an image and no mask")
                return tuple(map(frozenset, found))
            if pixels.dtype.kind == "f":
                whole = np.rint(pixels)
                if not np.array_equal(whole, pixels):
                    wrong["labels are whole numbers, and some of these are not"] = None
                    continue
                pixels = whole
            low, high = float(pixels.min()), float(pixels.max())
            if low < 0 or high > HIGHEST:
                wrong[f"labels lie from 0 to {HIGHEST}, and these reach from {low:g} to {high:g}"] = None
                continue
            found[layer].update(values_of(pixels).tolist())
    for message in wrong:
        report.problem("value", "", message)
    return tuple(map(frozenset, found))


def _parts(source: Source) -> "Iterator[NDArray[Any]]":
    """All voxels in slabs (layer, z, y, x)."""
    grid = source.info.grid
    row = int(np.prod(grid.shape[1:])) * len(source.info.bands) * np.dtype(source.info.dtype).itemsize
    step = max(1, SLAB_BYTES // row)
    for first in range(0, grid.shape[0], step):
        stop = min(first + step, grid.shape[0])
        yield source.read(IndexBox((first, 0, 0), (stop, *grid.shape[1:]))).array

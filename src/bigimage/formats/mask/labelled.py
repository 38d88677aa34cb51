"""Label images of other tools, read through the door for images: NIfTI, NRRD, MetaImage and rasters.

The pixels are looked at once before anything is handed out, so that a file that is no label image is refused whole.
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import InputError, Unsupported
from bigimage.formats.door import Context, MaskStream, Options, Report, Segment
from bigimage.formats.mask.streams import SLAB_BYTES, patient_frame, segment_for, values_of
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import slug
from bigimage.model.patch import Patch
from bigimage.sources import raster, volume
from bigimage.sources.door import OpenOptions, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_VALUES = 65536
"""Different values beyond which a volume is taken for an image."""
HIGHEST = 2**31 - 1
VOLUMES = {
    "volume": "which volume of a file with several along its fourth axis is read, counted from 0; or `all`: each is a "
    "layer, as tools save one channel for each class"
}
"""Option of the formats whose files may hold several volumes."""
ALL = "all"
Page = tuple[int, int]
"""(band, point in time) of a source."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label image whose pixels have been looked at."""

    source: Source
    grid: Grid
    pages: tuple[Page, ...]
    """Where each layer is found."""
    dtype: "np.dtype[Any]"
    values: tuple[frozenset[int], ...]
    """Values that occur in each layer, without 0."""

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.pages)

    def stream(self, segments: tuple[Segment, ...]) -> MaskStream:
        """The stream of its labels; the file is closed when nobody holds it any more."""
        source, dtype, pages = self.source, self.dtype, self.pages

        def read(layer: int, box: IndexBox) -> "NDArray[Any]":
            band, t = pages[layer]
            patch = source.read(box, bands=[band], t=t)
            return _background(patch, patch.array[0]).astype(dtype, copy=False)

        stream = MaskStream(grid=self.grid, segments=segments, dtype=dtype.name, read=read, layers=self.layers)
        weakref.finalize(stream, source.close)
        return stream


def open_labels(path: Path, *, context: Context, report: Report, options: Options) -> Labelled:
    """Open a label volume and look at all of it; what is wrong becomes problems of the report.

    Raises NotFound, DataError for a damaged file, Unsupported for one with several volumes of which `options` choose
    none, InputError for a volume that it does not have.
    """
    (source,) = volume.open([path], image=slug(path.name), options=OpenOptions(role="labels"))
    with ExitStack() as on_failure:
        on_failure.callback(source.close)
        _note_verdicts(source, path, report)
        info = source.info
        times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
        pages = [(band, t) for t in _volumes(path, times, options) for band in range(len(info.bands))]
        frame = patient_frame(context, report, path.name)
        grid = replace(info.grid, frame=frame)
        labelled = looked_at(source, grid, pages=pages, context=context, report=report)
        on_failure.pop_all()
    return labelled


def _volumes(path: Path, times: int, options: Options) -> Iterable[int]:
    """Volumes that are read, of so many. Raises Unsupported, InputError."""
    wanted = options.get("volume")
    if wanted == ALL or (wanted is None and times == 1):
        return range(times)
    if wanted is None:
        message = f"choose one with -o volume=0 … {times - 1}, or -o volume=all where each is a class of its own"
        raise Unsupported(f"{path.name} holds {times} volumes along its fourth axis; {message}")
    if not (wanted.isascii() and wanted.isdecimal() and int(wanted) < times):
        raise InputError(f"volume is a whole number from 0 to {times - 1}, or all, not {wanted!r}")
    return [int(wanted)]


def segments_of(labels: Labelled, *, context: Context, report: Report) -> tuple[Segment, ...]:
    """Segments of a label image that names none: the schema's labels of the same values.

    Where layers hold the same values, each is a class of its own, numbered from 1, if it has one value, as the channels
    of a classifier's output do; else it is not clear what the values mean, and that is a problem.
    """
    found = [(layer, value) for layer, values in enumerate(labels.values) for value in sorted(values)]
    if len({value for _, value in found}) == len(found):
        return tuple(segment_for(context, value=value, layer=layer) for layer, value in found)
    if len({layer for layer, _ in found}) < len(found):
        message = f"several of its {labels.layers} layers hold the same values, so it is not clear what they mean"
        report.problem("value", "layers", f"{message}; import one volume at a time with -o volume=0")
        return ()
    report.note(f"each of its {labels.layers} layers is taken for a class of its own, numbered from 1 in their order")
    return tuple(replace(segment_for(context, value=layer + 1, layer=layer), value=value) for layer, value in found)


def open_raster(path: Path, *, context: Context, report: Report) -> Labelled:
    """Open a label raster and look at all of it, as `open_labels` does.

    One with a CRS keeps it; one without takes the image's pixels, whose number it must have.
    """
    (source,) = raster.open([path], image=slug(path.name), options=OpenOptions(role="labels"))
    with ExitStack() as on_failure:
        on_failure.callback(source.close)
        grid = source.info.grid
        if isinstance(grid.frame, GeoFrame) and isinstance(context.grid.frame, GeoFrame):
            _note_verdicts(source, path, report)
        else:
            report.note(f"{path.name} is taken to lie on the pixels of image {context.image}")
            if grid.shape != context.grid.shape[-2:]:
                sizes = " × ".join(map(str, grid.shape)), " × ".join(map(str, context.grid.shape[-2:]))
                message = f"it has {sizes[0]} rows and columns, and image {context.image} {sizes[1]}"
                report.problem("grid", "", f"{message}; without a place it must have as many")
            else:
                grid = context.grid
        pages = [(band, 0) for band in range(len(source.info.bands))]
        labelled = looked_at(source, grid, pages=pages, context=context, report=report)
        on_failure.pop_all()
    return labelled


def looked_at(source: Source, grid: Grid, *, pages: Sequence[Page], context: Context, report: Report) -> Labelled:
    """Labels of a source on a grid, a layer for each page, after a look at all of them."""
    band = source.info.bands[0]
    if (band.scale, band.offset) != (1.0, 0.0):
        message = f"labels are not scaled, and these are by {band.scale:g} and {band.offset:g}"
        report.problem("value", "scaling", message)
    check_place(grid, context, report)
    values = _survey(source, pages, report)
    highest = max((max(v, default=0) for v in values), default=0)
    return Labelled(source, grid, tuple(pages), np.dtype(np.min_scalar_type(highest)), values)


def _note_verdicts(source: Source, path: Path, report: Report) -> None:
    for verdict in source.info.verdicts:
        if verdict.code != "SEGMENTATION":
            report.note(f"{path.name}: {verdict.message}")


def _background(patch: Patch, pixels: "NDArray[Any]") -> "NDArray[Any]":
    """Pixels with background where they are invalid."""
    return pixels if patch.valid is None else np.where(patch.valid, pixels, pixels.dtype.type(0))


def check_place(grid: Grid, context: Context, report: Report) -> None:
    """Note a problem for a mask that does not touch its image at all, as when axes were mixed up."""
    if grid.ndim != context.grid.ndim or grid.frame != context.grid.frame:
        return
    index = context.grid.to_index(grid.corners())
    low, high = index.min(axis=0), index.max(axis=0)
    if (high <= 0).any() or (low >= np.asarray(context.grid.shape)).any():
        message = f"the mask lies wholly beside image {context.image}; were its axes (LPS, RAS) mixed up?"
        report.problem("outside", "grid", message)


def _survey(source: Source, pages: Sequence[Page], report: Report) -> tuple[frozenset[int], ...]:
    """Values of each layer; fractions, negative and too many numbers are problems."""
    found: list[set[int]] = [set() for _ in pages]
    wrong: dict[str, None] = {}
    for layer, valid, pixels in _parts(source, pages):
        if valid is not None and not valid.all():
            report.note("pixels without a value (NaN or nodata) are background")
            pixels = np.where(valid, pixels, pixels.dtype.type(0))
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


def _parts(source: Source, pages: Sequence[Page]) -> "Iterator[tuple[int, NDArray[np.bool_] | None, NDArray[Any]]]":
    """(layer, where valid, pixels) of all pages in slabs over whole rows or slices, all bands of a slab at once."""
    grid = source.info.grid
    row = int(np.prod(grid.shape[1:])) * len(source.info.bands) * np.dtype(source.info.dtype).itemsize
    step = max(1, SLAB_BYTES // row)
    for t in sorted({t for _, t in pages}):
        layers = [(layer, band) for layer, (band, at) in enumerate(pages) if at == t]
        for first in range(0, grid.shape[0], step):
            stop = min(first + step, grid.shape[0])
            box = IndexBox((first, *(0,) * (grid.ndim - 1)), (stop, *grid.shape[1:]))
            patch = source.read(box, bands=[band for _, band in layers], t=t)
            for n, (layer, _) in enumerate(layers):
                yield layer, patch.valid, patch.array[n]

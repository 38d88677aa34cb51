"""Masks by others as annotations: bits where they lie on the image's own pixels, else outlines on their own grid."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.errors import FrameMismatch, InputError
from bigimage.exchange.painting import grid_offset
from bigimage.formats.door import Context, Keeps, MaskFormat, MaskStream, Options, Report, Segment
from bigimage.formats.mask.streams import slabs
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.mask import ChunkIndex, Mask, chunk_shape
from bigimage.model.shape import PlanarContours, Polygon, Shape
from bigimage.rasterize.trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTION = {"as": "masks (default, where the file lies on the image's own pixels) or outlines"}
HALF = 0.5
"""Fraction from which a voxel belongs to a segment."""


class MaskReader:
    """A mask format as one of annotations, for imports; see `bigimage.formats.door.VectorFormat`."""

    def __init__(self, module: MaskFormat) -> None:
        self.module = module
        self.NAME = module.NAME
        self.SUFFIXES = module.SUFFIXES
        self.KEEPS = Keeps(shapes={"mask": "mask"}, fields=frozenset(("id", "instance", "origin")))
        self.OPTIONS: Mapping[str, str] = {**module.OPTIONS, **OPTION}

    def sniff(self, path: Path) -> bool:
        """Whether a file is of the format."""
        return self.module.sniff(path)

    def read(self, path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
        """Annotations of a mask file."""
        own = {name: value for name, value in options.items() if name not in OPTION}
        mask = self.module.read(path, context=context, report=report, options=own)
        report.labels.update({segment.label.name: segment.label for segment in mask.segments})
        if not report.problems:
            yield from annotations_of(mask, context=context, report=report, form=options.get("as", "masks"))

    def write(self, path: Path, annotations: object, *, context: Context, report: Report, options: Options) -> None:
        """Masks are painted before they are written. Raises InputError."""
        raise InputError(f"{self.NAME} holds masks; paint a layer and export that")


def annotations_of(mask: MaskStream, *, context: Context, report: Report, form: str = "masks") -> Iterator[Annotation]:
    """Annotations of a mask's segments.

    As `masks`: one annotation for each segment, its bits on the image's pixels; where the mask lies on other pixels,
    outlines, and the report says so. As `outlines`: in a volume the contours of each segment on the mask's own slices,
    in a flat image a polygon for each region. Nothing is resampled. Raises InputError for another form.
    """
    if form not in ("masks", "outlines"):
        raise InputError(f"a mask is imported as masks or outlines, not {form!r}")
    if mask.fractional:
        report.lose("approximated", "fractions", f"what belongs to a segment to {HALF:.0%} or more is taken whole")
    start = _start(mask.grid, context.grid) if form == "masks" else None
    if form == "masks" and start is None:
        report.note("the mask lies on other pixels than the image: it is imported as outlines on its own grid")
    if start is not None:
        yield from _masks(mask, start, context)
    elif mask.grid.ndim == 3:
        yield from _contours(mask, context)
    else:
        yield from _regions(mask, context)


def _start(grid: Grid, image: Grid) -> tuple[int, ...] | None:
    """Index in the image of the first pixel of a grid; None where its pixels are not the image's."""
    if grid.ndim != image.ndim:
        return None
    try:
        start = grid_offset(grid, image)
    except (InputError, FrameMismatch):
        return None
    inside = image.box.contains(grid.box.shift(start))
    return start if inside else None


def _bits(part: "NDArray[Any]", segment: Segment, *, fractional: bool) -> "NDArray[np.bool_]":
    """Pixels of a segment."""
    return part >= HALF if fractional else part == segment.value


def _annotation(mask: MaskStream, segment: Segment, shape: Shape, context: Context, *key: object) -> Annotation:
    """Annotation of a segment, or of its n-th region; its id is made from what the file calls itself, or is called."""
    return Annotation(
        id=context.new_id(mask.identity or context.source, segment.layer, segment.value, *key),
        image=context.image,
        label=segment.label.name,
        shape=shape,
        frame=context.grid.frame,
        origin=segment.origin,
        instance=segment.instance,
    )


def _masks(mask: MaskStream, start: tuple[int, ...], context: Context) -> Iterator[Annotation]:
    """One mask for each segment that has any pixel, in the order of segments."""
    image = context.grid
    chunks: dict[int, dict[ChunkIndex, bytes]] = {k: {} for k in range(len(mask.segments))}
    step = chunk_shape(image.ndim)[0]
    first = 0
    while first < mask.grid.shape[0]:
        # bands end where rows of chunks do, so that no chunk is met twice
        stop = min(mask.grid.shape[0], ((first + start[0]) // step + 1) * step - start[0])
        box = IndexBox((first, *(0,) * (image.ndim - 1)), (stop, *mask.grid.shape[1:]))
        for layer in range(mask.layers):
            part = mask.read(layer, box)
            for k, segment in enumerate(mask.segments):
                if segment.layer == layer:
                    bits = _bits(part, segment, fractional=mask.fractional)
                    if bits.any():
                        chunks[k].update(Mask.of(image, bits, box.shift(start).start).chunks)
        first = stop
    for k, segment in enumerate(mask.segments):
        if chunks[k]:
            yield _annotation(mask, segment, Mask(image, chunks[k]), context)


def _contours(mask: MaskStream, context: Context) -> Iterator[Annotation]:
    """Contours of each segment on the mask's slices, along the edges of its voxels."""
    rings: list[list[NDArray[np.float64]]] = [[] for _ in mask.segments]
    flat = Grid.pixels(mask.grid.shape[1:], context.image)
    for first, slab in slabs(mask):
        for n, segment in enumerate(mask.segments):
            bits = _bits(slab[segment.layer], segment, fractional=mask.fractional)
            for k in np.flatnonzero(bits.any(axis=(1, 2))).tolist():
                found = trace(bits[k].astype(np.uint8), flat, merge=True)
                for polygon in shapely.get_parts(found.shapes):
                    for ring in (polygon.exterior, *polygon.interiors):
                        xy = shapely.get_coordinates(ring)
                        index = np.column_stack([np.full(len(xy), first + k + 0.5), xy[:, ::-1]])
                        rings[n].append(mask.grid.to_world(index))
    for n, segment in enumerate(mask.segments):
        if rings[n]:
            yield _annotation(mask, segment, PlanarContours.of(rings[n]), context)


def _regions(mask: MaskStream, context: Context) -> Iterator[Annotation]:
    """A polygon for each region of each segment, in the image's frame."""
    frame = context.grid.frame
    for layer in range(mask.layers):
        by_value = {segment.value: segment for segment in mask.segments if segment.layer == layer}

        def labels(box: IndexBox, layer: int = layer) -> "NDArray[Any]":
            part = mask.read(layer, box)
            return (part >= HALF).astype(np.uint8) if mask.fractional else part

        found = trace(labels, mask.grid)
        for n, (value, polygon) in enumerate(zip(found.values.tolist(), found.shapes, strict=True)):
            segment = next(iter(by_value.values())) if mask.fractional else by_value[value]
            if mask.grid.frame != frame:
                polygon = shapely.transform(polygon, lambda xy: transform_points(xy, mask.grid.frame, frame))
            yield _annotation(mask, segment, Polygon(polygon), context, n)

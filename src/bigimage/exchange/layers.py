"""Painted mask layers to files of other tools: read from the store slab by slab, written whole or not at all."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import Cancelled, InputError, Unsupported
from bigimage.exchange.output import (
    REPORT_SUFFIX,
    Exported,
    Progress,
    Stop,
    digest,
    ignore_progress,
    never,
    require_lossless,
    summary,
    unfinished,
    write_report,
)
from bigimage.exchange.vector import context_for
from bigimage.formats.door import MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask import FORMATS
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.modes import FULL, PaintClass, banded

if TYPE_CHECKING:
    from numpy.typing import NDArray


def export_layer(
    layer: Layer,
    info: ImageInfo,
    schema: Schema,
    *,
    format: str,
    output: Path,
    options: Options | None = None,
    box: IndexBox | None = None,
    strict: bool = False,
    progress: Progress = ignore_progress,
    stop: Stop = never,
) -> Exported:
    """Write a layer's finest level to a file, and beside it a report of what the format could not hold.

    Parameters
    ----------
    info, schema
        The image that the layer was painted for, and the label schema, which knows the codes of labels.
    box
        Part of the image's finest grid; all of it by default.
    strict
        Refuse any loss; nothing is written then.
    progress, stop
        Told how many slices or rows are done, of how many; asked whether to stop.

    Raises
    ------
    InputError, Unsupported
        For an unknown format or option, a layer that was never painted whole or whose mode no mask format holds, an
        image that the format cannot be about, a loss when strict.
    DataError, Conflict, BackendError, Cancelled
        A chunk is damaged; a folder is in the way; a disk fails; it was stopped.
    """
    if format not in FORMATS:
        raise InputError(f"{format!r} is no mask format; layers are written as {', '.join(FORMATS)}")
    module, chosen = FORMATS[format], dict(options or {})
    check_options(format, module.OPTIONS, chosen)
    report = Report()
    mask = _watched(layer_stream(layer, schema, report=report, box=box), progress, stop)
    report_path = output.with_name(output.name + REPORT_SUFFIX)
    with unfinished(output) as path:
        module.write(path, mask, context=context_for(info, schema), report=report, options=chosen)
        if strict:
            require_lossless(report, format)
        head = {"format": format, "image": info.id, "layer": layer.name, "revision": layer.revision, "options": chosen}
        told = summary(report, {**head, "sha256": digest(path)})
        write_report(path.with_name(report_path.name), report, told)
    return Exported(output, report_path, told)


def layer_stream(layer: Layer, schema: Schema, *, report: Report, box: IndexBox | None = None) -> MaskStream:
    """A layer as a mask that formats write.

    Semantic and panoptic layers give one layer of labels, multilayer ones a layer for each label, coverage fractions.
    Raises InputError for a layer that was never painted whole, Unsupported for ids of objects and for several times.
    """
    painted, pyramid = layer.painted, layer.pyramid
    if painted.revision is None:
        raise InputError(f"layer {layer.name!r} was never painted to its end; paint it first")
    if painted.pending != ():
        report.note(f"a paint of layer {layer.name!r} is not finished: it shows revision {painted.revision} in part")
    if painted.mode == "instance":
        raise Unsupported("ids of objects have no labels to be written; paint a semantic or multilayer layer")
    if "t" in pyramid.info.axes and pyramid.info.shape[pyramid.info.axes.index("t")] > 1:
        raise Unsupported(f"layer {layer.name!r} has several times, and mask formats hold one")
    if painted.mode == "panoptic":
        report.lose("dropped", "objects", "objects of one label are not told apart")
    grid = pyramid.info.grid
    part = box or grid.box
    classes = banded(painted.palette.classes)
    separate = painted.mode in ("multilayer", "coverage")
    values = np.asarray([one.value for one in classes] or [0])
    dtype = np.dtype(np.float32) if painted.mode == "coverage" else np.min_scalar_type(int(values.max()))

    def read(number: int, wanted: IndexBox) -> "NDArray[Any]":
        found = pyramid.read_index(wanted.shift(part.start), bands=[number if separate else 0]).array[0]
        if painted.mode == "coverage":
            return found.astype(np.float32) / np.float32(FULL)
        if separate:
            return (found != 0) * dtype.type(values[number])
        return found.astype(dtype, copy=False)

    segments = tuple(_segment(one, k if separate else 0, schema) for k, one in enumerate(classes))
    return MaskStream(
        grid=grid.crop(part),
        segments=segments,
        dtype=dtype.name,
        read=read,
        layers=len(classes) if separate else 1,
        fractional=painted.mode == "coverage",
    )


def _segment(painted: PaintClass, layer: int, schema: Schema) -> Segment:
    """Segment of a class as it was painted; code and definition are those that the schema has for it now."""
    known = schema.find(painted.name)
    label = Label(name=painted.name, value=painted.value, order=painted.order, color=painted.color)
    if known is not None and known.value == painted.value:
        label = replace(label, code=known.code, definition=known.definition)
    return Segment(value=painted.value, label=label, layer=layer)


def _watched(mask: MaskStream, progress: Progress, stop: Stop) -> MaskStream:
    """The mask, telling how far it was read. Raises Cancelled when somebody wants to stop."""
    total = mask.grid.shape[0]

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        if stop():
            raise Cancelled(f"stopped after {box.start[0]} of {total}; nothing was written")
        found = mask.read(layer, box)
        if layer == mask.layers - 1:
            progress(box.stop[0], total)
        return found

    return replace(mask, read=read)

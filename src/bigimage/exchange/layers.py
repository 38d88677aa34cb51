"""Painted mask layers to files of other tools: read from the store slab by slab, written whole or not at all."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import Cancelled, InputError, Unsupported
from bigimage.exchange.objects import MOST_OBJECTS, object_segments
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
from bigimage.exchange.packing import packed
from bigimage.exchange.vector import context_for
from bigimage.formats.door import MaskFormat, MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask import FORMATS
from bigimage.formats.mask.streams import renumbered, slabs, values_of
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.modes import FULL, PaintClass, banded
from bigimage.store.door import AnnotationStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTION = {
    "segments": "present: those that occur (the default for volumes); all: every label of the schema (the default for "
    "flat images); objects: those of a panoptic layer; or names of labels, separated by commas",
    "t": "which point in time of an image that has several, counted from 0",
}
PRESENT, ALL, OBJECTS = "present", "all", "objects"


def export_layer(
    layer: Layer,
    info: ImageInfo,
    schema: Schema,
    *,
    store: AnnotationStore,
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
    info, schema, store
        The image that the layer was painted for; the label schema, which knows the codes of labels; the annotations,
        which say what the objects of an instance layer are.
    options
        Those of the format, and `segments`: which labels the file lists; see `OPTION`.
    box
        Part of the image's finest grid; all of it by default.
    strict
        Refuse any loss; nothing is written then.
    progress, stop
        Told how many slices or rows are done, of how many; asked whether to stop.

    Raises
    ------
    InputError, Unsupported
        For an unknown format, option or label, a layer that was never painted whole, that no mask format holds or that
        has more objects than a table names, an image that the format cannot be about, a loss when strict.
    DataError, Conflict, BackendError, Cancelled
        A chunk is damaged; a folder is in the way; a disk fails; it was stopped.
    """
    if format not in FORMATS:
        raise InputError(f"{format!r} is no mask format; layers are written as {', '.join(FORMATS)}")
    module, chosen = FORMATS[format], dict(options or {})
    check_options(format, {**module.OPTIONS, **OPTION}, chosen)
    usual = PRESENT if info.grid.ndim == 3 else ALL
    wanted = chosen.get("segments", usual)
    report = Report()
    if layer.mode == "panoptic" and wanted != OBJECTS:
        message = "objects of one label are not told apart; -o segments=objects writes them"
        report.lose("dropped", "objects", message)
    t = _time(layer, chosen.get("t"))
    mask = layer_stream(layer, schema, report=report, box=box, objects=wanted == OBJECTS, t=t)
    if layer.mode == "instance" or wanted == OBJECTS:
        named = PRESENT if wanted in (ALL, OBJECTS) else wanted
        about = object_segments(store, info.id, schema, layer.instances(), _ids(occurring(mask, stop)))
        mask = _objects(replace(mask, segments=about), layer, module=module, wanted=named, report=report)
    else:
        mask = packed(chosen_segments(mask, wanted, report=report, stop=stop), stop=stop)
    own = {name: value for name, value in chosen.items() if name not in OPTION}
    report_path = output.with_name(output.name + REPORT_SUFFIX)
    with unfinished(output) as path:
        watched = _watched(mask, progress, stop)
        module.write(path, watched, context=context_for(_at(info, t), schema), report=report, options=own)
        if strict:
            require_lossless(report, format)
        head = {"format": format, "image": info.id, "layer": layer.name, "revision": layer.revision, "options": chosen}
        told = summary(report, {**head, "sha256": digest(path)})
        write_report(path.with_name(report_path.name), report, told)
    return Exported(output, report_path, told)


def _time(layer: Layer, stated: str | None) -> int:
    """The point in time that is written. Raises InputError where it is unclear, or there is none such."""
    info = layer.pyramid.info
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    if stated is None and times > 1:
        raise InputError(f"layer {layer.name!r} has {times} points in time, and files hold one: choose it with -o t=0")
    if stated is not None and not (stated.isascii() and stated.isdecimal() and int(stated) < times):
        raise InputError(f"t is a whole number from 0 to {times - 1}, not {stated!r}")
    return int(stated or 0)


def _at(info: ImageInfo, t: int) -> ImageInfo:
    """What is known of an image at a point in time: the instances that it was made of then."""
    stacks = info.extra.get("instances") or []
    return replace(info, extra={**info.extra, "instances": stacks[t : t + 1]}) if len(stacks) > 1 else info


def layer_stream(
    layer: Layer, schema: Schema, *, report: Report, box: IndexBox | None = None, objects: bool = False, t: int = 0
) -> MaskStream:
    """A layer at a point in time as a mask that formats write, with a segment for every label that the layer knows.

    Semantic and panoptic layers give one layer of labels, multilayer ones a layer for each label, coverage fractions;
    instance layers, and panoptic ones with `objects`, ids of objects without segments. Raises InputError for a layer
    that was never painted whole, or that has no objects where they are asked for.
    """
    painted, pyramid = layer.painted, layer.pyramid
    if painted.revision is None:
        raise InputError(f"layer {layer.name!r} was never painted to its end; paint it first")
    if painted.pending != ():
        report.note(f"a paint of layer {layer.name!r} is not finished: it shows revision {painted.revision} in part")
    if objects and painted.mode not in ("instance", "panoptic"):
        raise InputError(f"a {painted.mode} layer has no objects; paint an instance or panoptic one")
    grid = pyramid.info.grid
    part = box or grid.box
    objects = objects or painted.mode == "instance"
    classes = () if objects else banded(painted.palette.classes)
    separate = painted.mode in ("multilayer", "coverage")
    values = np.asarray([one.value for one in classes] or [0])
    dtype = np.dtype(np.float32) if painted.mode == "coverage" else np.min_scalar_type(int(values.max()))
    dtype = np.dtype(np.uint32) if objects else dtype
    band = len(pyramid.info.bands) - 1 if objects else 0

    def read(number: int, wanted: IndexBox) -> "NDArray[Any]":
        found = pyramid.read_index(wanted.shift(part.start), bands=[number if separate else band], t=t).array[0]
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


def occurring(mask: MaskStream, stop: Stop = never) -> frozenset[tuple[int, int]]:
    """(layer, value) pairs that occur, the background left out; of fractions (layer, 1) where any is above 0."""
    found: set[tuple[int, int]] = set()
    for first, slab in slabs(mask):
        if stop():
            raise Cancelled(f"stopped after a look at {first} of {mask.grid.shape[0]}; nothing was written")
        for layer, pixels in enumerate(slab):
            if mask.fractional:
                found |= {(layer, 1)} if pixels.any() else set()
            else:
                found.update((layer, value) for value in values_of(pixels).tolist())
    return frozenset(found)


def chosen_segments(mask: MaskStream, wanted: str, *, report: Report, stop: Stop = never) -> MaskStream:
    """A mask with the segments that were asked for, as `OPTION` says it; their values stay what they are.

    Where nothing occurs at all, every segment stays: a file that says so may not be empty. Raises InputError for labels
    that the mask does not know.
    """
    if wanted == ALL:
        return mask
    if wanted == PRESENT:
        found = occurring(mask, stop)
        kept = [s for s in mask.segments if (s.layer, 1 if mask.fractional else s.value) in found]
        if not kept:
            report.note("nothing is painted: the file lists all labels, and no pixel has any")
            return mask
    else:
        kept = _named(mask.segments, wanted)
        report.note(f"only {', '.join(s.label.name for s in kept)} were asked for; other pixels are background")
    return _only(mask, kept, hide=wanted != PRESENT)


def _named(segments: Sequence[Segment], wanted: str) -> list[Segment]:
    """Segments of the labels in a list. Raises InputError."""
    names = {name.strip() for name in wanted.split(",")} - {""}
    unknown = sorted(names - {s.label.name for s in segments})
    if unknown or not names:
        known = ", ".join(dict.fromkeys(s.label.name for s in segments)) or "none"
        raise InputError(f"the layer has no label {', '.join(unknown) or repr(wanted)}; it has {known}")
    return [s for s in segments if s.label.name in names]


def _only(mask: MaskStream, kept: Sequence[Segment], *, hide: bool) -> MaskStream:
    """A mask of some segments and their layers; with `hide` pixels of others become background."""
    layers = sorted({s.layer for s in kept})
    moved = tuple(replace(s, layer=layers.index(s.layer)) for s in kept)
    by_layer = {k: [s.value for s in moved if s.layer == k] for k in range(len(layers))}
    hidden = hide and not mask.fractional

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        found = mask.read(layers[layer], box)
        return np.where(np.isin(found, by_layer[layer]), found, found.dtype.type(0)) if hidden else found

    return replace(mask, segments=moved, layers=len(layers), read=read)


def _objects(mask: MaskStream, layer: Layer, *, module: MaskFormat, wanted: str, report: Report) -> MaskStream:
    """A mask of objects in the narrowest type, numbered anew where the format has no such number.

    Raises Unsupported where there is none, InputError for labels that none has.
    """
    if not mask.segments:
        whole = mask.grid == layer.pyramid.info.grid
        raise Unsupported(f"layer {layer.name!r} shows no object{'' if whole else ' in this part'}")
    made = mask if wanted == PRESENT else chosen_segments(mask, wanted, report=report)
    if not module.KEEPS.instances:
        message = "values are the ids of objects; which annotations they are is not kept"
        report.lose("dropped", "instance", message)
    highest = max(s.value for s in made.segments)
    if highest <= module.KEEPS.highest:
        return _narrowed(made, highest)
    report.note(f"values of {module.NAME} end at {module.KEEPS.highest}: objects are numbered anew from 1")
    return renumbered(made)


def _ids(found: Iterable[tuple[int, int]]) -> list[int]:
    """Ids of objects. Raises Unsupported for too many."""
    ids = [value for _, value in found]
    if len(ids) > MOST_OBJECTS:
        advice = "export the annotations, or a region"
        raise Unsupported(
            f"{len(ids)} objects are more than the {MOST_OBJECTS} that the table of a file names; {advice}"
        )
    return ids


def _narrowed(mask: MaskStream, highest: int) -> MaskStream:
    """The same mask in the narrowest type that holds its values."""
    dtype = np.min_scalar_type(highest)

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        return mask.read(layer, box).astype(dtype)

    return replace(mask, dtype=dtype.name, read=read)


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

"""What every mask format needs: slabs of a stream, the values in them, one layer out of several, labels by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import DataError, Unsupported
from bigimage.formats.door import Context, KeepsMask, MaskStream, Report, Segment, frame_kind
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame
from bigimage.model.labels import Code, Label, distinct_color

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLAB_BYTES = 32 << 20
"""Bytes of all layers that are read at once, about."""
COUNTED = 1 << 22
"""Values below which counting each is faster than sorting the pixels."""


def slabs(mask: MaskStream, *, rows: int | None = None) -> "Iterator[tuple[int, NDArray[Any]]]":
    """(first index, array of shape (layer, n, …)) of parts that span all axes but the first, one after the other.

    `rows` along the first axis each, else about `SLAB_BYTES`, in whole blocks of the stream.
    """
    step = rows or _step(mask)
    for first in range(0, mask.grid.shape[0], step):
        stop = min(first + step, mask.grid.shape[0])
        box = IndexBox((first, *(0,) * (mask.grid.ndim - 1)), (stop, *mask.grid.shape[1:]))
        yield first, read_layers(mask, box)


def _step(mask: MaskStream) -> int:
    """Rows or slices of a slab."""
    row = int(np.prod(mask.grid.shape[1:], dtype=np.int64)) * np.dtype(mask.dtype).itemsize * mask.layers
    step = max(1, SLAB_BYTES // row)
    block = mask.block[0] if mask.block else 1
    return max(block, step // block * block)


def read_layers(mask: MaskStream, box: IndexBox) -> "NDArray[Any]":
    """All layers within a box, shape (layer, …). Raises DataError where the stream does not keep its word."""
    parts = [mask.read(layer, box) for layer in range(mask.layers)]
    for part in parts:
        if part.shape != box.shape:
            raise DataError(f"a mask gave pixels of shape {part.shape} for a box of shape {box.shape}")
    whole = parts[0][None] if len(parts) == 1 else np.stack(parts)
    return whole.astype(mask.dtype, copy=False)


def values_of(pixels: "NDArray[Any]") -> "NDArray[np.int64]":
    """Values that occur, ascending, without the background 0."""
    if pixels.dtype.kind == "u" and (pixels.dtype.itemsize <= 2 or pixels.max(initial=0) < COUNTED):
        found = np.flatnonzero(np.bincount(pixels.ravel()))
    else:
        found = np.unique(pixels).astype(np.int64)
    return found[found != 0]


def require_known(mask: MaskStream, found: Iterable[tuple[int, int]]) -> None:
    """Raise DataError when (layer, value) pairs occurred that no segment has."""
    known = {(segment.layer, segment.value) for segment in mask.segments}
    unknown = sorted(set(found) - known)
    if unknown:
        places = [f"layer {layer} holds the value {value}" for layer, value in unknown[:20]]
        more = [f"and {len(unknown) - 20} more"] if len(unknown) > 20 else []
        raise DataError("the mask holds values that no segment has", (*places, *more))


def check_mask(name: str, keeps: KeepsMask, mask: MaskStream) -> None:
    """Raise Unsupported, with every reason, for a mask that a format cannot hold at all."""
    reasons: list[str] = []
    kind = frame_kind(mask.grid.frame)
    if kind not in keeps.frames:
        reasons.append(f"it is not for images in a {kind} frame")
    if mask.fractional and not keeps.fractions:
        reasons.append("it holds whole labels and no fractions")
    if mask.grid.slices is not None and not keeps.uneven:
        reasons.append("it has one distance for all slices, and these are uneven; DICOM SEG keeps each one's place")
    highest = max((segment.value for segment in mask.segments), default=0)
    if highest > keeps.highest:
        reasons.append(f"its values go up to {keeps.highest}, not {highest}")
    if reasons:
        raise Unsupported(f"format {name} cannot hold this mask: {'; '.join(reasons)}")


def smallest(segments: Iterable[Segment]) -> "np.dtype[Any]":
    """Smallest unsigned type that holds the values of segments."""
    return np.dtype(np.min_scalar_type(max((s.value for s in segments), default=1)))


@dataclass(eq=False)
class Flat:
    """A mask whose layers were laid over each other: the later one is on top."""

    mask: MaskStream
    """The result: one layer. It must be read slab by slab, once, for the counts to be right."""
    covered: dict[int, int] = field(default_factory=dict[int, int])
    """Pixels of each value that lie below another one."""

    def tell(self, report: Report) -> None:
        """Note what was covered, once everything was read."""
        for segment in self.mask.segments:
            count = self.covered.get(segment.value, 0)
            if count:
                name = segment.name or segment.label.name
                message = f"{count} pixels of {name!r} lie under another segment, and the format has one layer"
                report.lose("dropped", "overlap", message)


def flatten(mask: MaskStream, report: Report, *, highest: int) -> Flat:
    """One layer of several. Values that mean different things in different layers are numbered anew, and noted.

    Raises Unsupported where more numbers are needed than `highest`.
    """
    if mask.layers == 1:
        return Flat(mask)
    clash = len({s.value for s in mask.segments}) < len(mask.segments)
    numbers = {(s.layer, s.value): n if clash else s.value for n, s in enumerate(mask.segments, 1)}
    if max(numbers.values(), default=0) > highest:
        raise Unsupported(f"one layer of this format holds values up to {highest}, not {len(numbers)} segments")
    if clash:
        report.note("segments of different layers had the same value; they were numbered anew")
    segments = tuple(replace(s, value=numbers[s.layer, s.value], layer=0) for s in mask.segments)
    dtype = smallest(segments)
    flat = Flat(replace(mask, segments=segments, layers=1, dtype=dtype.name))

    def read(_: int, box: IndexBox) -> "NDArray[Any]":
        out = np.zeros(box.shape, dtype)
        for layer in range(mask.layers):
            part = mask.read(layer, box)
            if clash:
                part = _renumber(part, {v: n for (at, v), n in numbers.items() if at == layer}, dtype)
            over = part != 0
            for value in values_of(under := out[over]).tolist():
                flat.covered[value] = flat.covered.get(value, 0) + int(np.count_nonzero(under == value))
            out[over] = part[over]
        return out

    flat.mask = replace(flat.mask, read=read)
    return flat


def _renumber(part: "NDArray[Any]", numbers: Mapping[int, int], dtype: "np.dtype[Any]") -> "NDArray[Any]":
    """Values replaced by numbers; those without one become background."""
    keys = np.array([-1, *sorted(numbers)], np.int64)
    values = np.array([0, *(numbers[key] for key in keys[1:].tolist())], dtype)
    if part.dtype.kind == "u" and part.dtype.itemsize <= 2:
        table = np.zeros(np.iinfo(part.dtype).max + 1, dtype)
        table[keys[1:]] = values[1:]
        return table[part]
    at = np.searchsorted(keys, part, side="right") - 1
    return np.where(keys[at] == part, values[at], dtype.type(0))


def renumbered(mask: MaskStream) -> MaskStream:
    """A mask of one layer whose segments have the values 1, 2, …, in their order."""
    numbers = {segment.value: n for n, segment in enumerate(mask.segments, 1)}
    segments = tuple(replace(segment, value=numbers[segment.value]) for segment in mask.segments)
    dtype = smallest(segments)

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        return _renumber(mask.read(layer, box), numbers, dtype)

    return replace(mask, segments=segments, dtype=dtype.name, read=read)


def segment_name(segment: Segment) -> str:
    """What a segment is called in a file."""
    return segment.name or segment.label.name


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour such as #1f77b4."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def color_of(red: float, green: float, blue: float) -> str:
    """Colour such as #1f77b4 of channels from 0 to 255; what lies outside is cut."""
    return "#" + "".join(f"{round(min(255.0, max(0.0, v))):02x}" for v in (red, green, blue))


def segment_for(
    context: Context,
    *,
    value: int,
    name: str | None = None,
    layer: int = 0,
    color: str | None = None,
    code: Code | None = None,
    terms: Mapping[str, Code] | None = None,
    definition: str | None = None,
    origin: str = "import",
    instance: str | None = None,
) -> Segment:
    """Segment of a file with the label that it means.

    That is the schema's label of that name, or of that code where only one has it, or (for a file without names) of
    that value; else a new label.
    """
    label = None
    if name is not None:
        label = context.schema.find(name)
        if label is None and code is not None:
            same = [one for one in context.schema.labels if _same(one.code, code)]
            label = same[0] if len(same) == 1 else None
    else:
        label = next((one for one in context.schema.labels if one.value == value), None)
    if label is None:
        shown = name or f"label {value}"
        label = Label(name=shown, value=value, color=color or distinct_color(value), code=code, definition=definition)
    own = name if name is not None and name != label.name else ""
    return Segment(
        value=value,
        label=label,
        layer=layer,
        name=own,
        instance=instance,
        terms=dict(terms or {}),
        origin=origin,
    )


def _same(one: Code | None, other: Code) -> bool:
    return one is not None and (one.scheme, one.value) == (other.scheme, other.value)


def patient_frame(context: Context, report: Report, what: str) -> Frame:
    """Frame of a file that names none: the image's. The report says so."""
    report.note(f"{what} names no frame of reference; it is taken to lie in that of image {context.image}")
    return context.grid.frame

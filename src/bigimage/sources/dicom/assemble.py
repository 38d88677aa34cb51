"""Frames → volumes, with a verdict for everything a reader should know. Pure: no file is touched.

A volume is not a series: a series is split by what a volume must share, by contrast and by time (see `split`), its
slices are ordered along their normal, and distances come from their positions, never from Slice Thickness. Nothing is
resampled: a tilted gantry gives a sheared affine, uneven slices keep their own places.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bigimage.geometry.dicom import Plane, Stack, measure, stack_grid
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Verdict
from bigimage.sources.dicom.header import Frame, SeriesIdentity
from bigimage.sources.dicom.split import MOST_PHASES, Part, Times, split_contrasts, split_kinds, split_times
from bigimage.sources.dicom.verdicts import Code, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOMOGRAPHIC = ("CT", "MR", "PT")
"""Modalities whose single images are slices; without a place they cannot become a volume."""
NOMINAL_THICKNESS = 1.0
"""Millimetres that a single slice without a stated thickness is given, so that it has an extent at all."""
SAME_GRID = 0.01
"""Largest shift in millimetres between two time points of one volume."""

Notes = list[tuple[Code, str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Frames that make one image: stacks in time of planes in space."""

    frames: tuple[tuple[Frame, ...], ...]
    """[t][z]; a 2-D image has one plane and no place."""
    placed: bool
    """Whether the planes have a place in the patient; otherwise the image is 2-D and measured in pixels."""
    time_key: str | None = None
    """What told the time points apart."""
    verdicts: tuple[Verdict, ...] = ()

    @property
    def first(self) -> Frame:
        """The first frame; what all share is read from it."""
        return self.frames[0][0]

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Planes of the stack, along their normal; empty where the image has no place."""
        return tuple(frame.place for frame in self.frames[0]) if self.placed else ()

    @property
    def thickness(self) -> float:
        """Extent of a single slice in millimetres."""
        return self.first.spacing_hint or self.first.thickness or NOMINAL_THICKNESS

    def grid(self, image: str) -> Grid:
        """Grid of the volume in its frame of reference, or in `image:<id>` where the files name none."""
        frame = PatientFrame(self.first.identity.frame_of_reference or f"image:{image}")
        return stack_grid(self.planes, self.first.shape, frame, thickness=self.thickness)


@dataclass(frozen=True, slots=True)
class Assembly:
    """Volumes in a stable order, and what concerns none of them."""

    volumes: tuple[Volume, ...]
    verdicts: tuple[Verdict, ...]


def assemble(frames: Iterable[Frame]) -> Assembly:
    """Volumes of frames in any order; the same frames give the same volumes in the same order."""
    ordered = sorted(frames, key=_stable)
    volumes: list[Volume] = []
    general: list[Verdict] = []
    patients = {f.identity.patient for f in ordered if f.identity.patient is not None}
    for series in _by_series(ordered):
        built, left = _assemble_series(series)
        volumes += built
        general += left
    if len(patients) > 1:
        message = f"the files belong to {len(patients)} patients; no volume mixes them"
        volumes = [replace(v, verdicts=(*v.verdicts, verdict(Code.MIXED_PATIENTS, message))) for v in volumes]
    return Assembly(tuple(volumes), tuple(general))


def _stable(frame: Frame) -> tuple[object, ...]:
    identity = frame.identity
    return (
        identity.patient or "",
        identity.study or "",
        -1 if identity.number is None else identity.number,
        identity.series or "",
        -1 if frame.number is None else frame.number,
        frame.instance,
        frame.index,
        frame.tile,
        not frame.layout.is_native,
        frame.layout.path.as_posix(),
    )


def _by_series(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames by series; what single files of a series fail to state is taken from the others."""
    loose: dict[object, list[Frame]] = {}
    for frame in frames:
        key = frame.identity.series or (frame.identity.study, frame.identity.number, frame.identity.sop_class)
        loose.setdefault(key, []).append(frame)
    found: list[list[Frame]] = []
    for group in loose.values():
        groups: dict[object, list[Frame]] = {}
        for frame in _completed(group):
            identity = frame.identity
            groups.setdefault((identity.patient, identity.study, identity.number), []).append(frame)
        found += groups.values()
    return found


def _completed(group: Sequence[Frame]) -> list[Frame]:
    """Frames with the identity that all others of the series agree on, where their own lacks a part."""
    agreed: dict[str, object] = {}
    for field in ("patient", "study", "number", "frame_of_reference"):
        stated = {getattr(frame.identity, field) for frame in group} - {None}
        if len(stated) == 1:
            agreed[field] = stated.pop()
    kinds = {frame.identity.modality for frame in group} - {""}
    if len(kinds) == 1:
        agreed["modality"] = kinds.pop()
    known: dict[SeriesIdentity, SeriesIdentity] = {}
    return [
        replace(frame, identity=known.setdefault(frame.identity, _filled(frame.identity, agreed))) for frame in group
    ]


def _filled(identity: SeriesIdentity, agreed: dict[str, object]) -> SeriesIdentity:
    missing = {field: value for field, value in agreed.items() if getattr(identity, field) in (None, "")}
    return replace(identity, **missing)  # pyright: ignore[reportArgumentType]


def _assemble_series(frames: Sequence[Frame]) -> tuple[list[Volume], list[Verdict]]:
    """Volumes of one series, large before small and localizers last, and what is left over."""
    frames, notes = _without_copies(frames)
    placed = [frame for frame in frames if frame.plane is not None]
    loose = [frame for frame in frames if frame.plane is None]
    volumes: list[Volume] = []
    if placed:
        for part in split_kinds(placed):
            for piece in split_contrasts(part):
                volumes += _stacks(piece)
    flat, left = _without_place(loose, placed=bool(placed))
    volumes.sort(key=lambda v: (v.first.is_localizer, -len(v.frames[0]) * len(v.frames)))
    volumes += flat
    shared = [verdict(*note) for note in notes]
    if not volumes:
        return [], [*shared, *left]
    volumes = [replace(v, verdicts=(*shared, *v.verdicts)) for v in volumes]
    return [replace(volumes[0], verdicts=(*volumes[0].verdicts, *left)), *volumes[1:]], []


def _without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], Notes]:
    """Frames without further files of the very same instance."""
    kept: dict[object, Frame] = {}
    copies: list[Frame] = []
    shared: dict[tuple[str, int, int], int] = {}
    for frame in frames:
        key = frame.instance, frame.index, frame.tile
        shared[key] = shared.get(key, 0) + 1
        whole = (*key, frame.plane, frame.number)
        if whole in kept:
            copies.append(frame)
        else:
            kept[whole] = frame
    notes: Notes = []
    if copies:
        names = sorted({frame.instance for frame in copies})
        message = f"{_count(names, 'instance')} came in several files; one of each was used"
        notes.append((Code.DUPLICATE, message, tuple(names)))
    if len({(f.instance, f.index, f.tile) for f in kept.values()}) < len(kept):
        names = sorted({f.instance for f in kept.values() if shared[f.instance, f.index, f.tile] > 1})
        message = f"{_count(names, 'SOP instance UID')} stands for several different slices; all of them were used"
        notes.append((Code.SAME_UID, message, tuple(names)))
    return list(kept.values()), notes


def _count(items: Sequence[object], noun: str) -> str:
    return f"1 {noun}" if len(items) == 1 else f"{len(items)} {noun}s"


def _stacks(part: Part) -> list[Volume]:
    """Volumes of frames of one kind and contrast: one, one in time, or one for each phase."""
    times = split_times(part.frames)
    notes: Notes = [(code, text, ()) for code, text in part.reasons]
    if part.reasons:
        # the instances of the part, so that a reader knows which slices the sentence is about
        notes = [(code, text, _instances(part.frames)) for code, text, _ in notes]
    notes += _extra_notes(times)
    if len(times.stacks) == 1:
        return [_volume(times.stacks, None, notes)]
    whole = max(len(stack) for stack in times.stacks)
    complete = [stack for stack in times.stacks if len(stack) == whole and _fits(times.stacks, stack, whole)]
    phases = part.frames[0].identity.modality == "CT" and whole > 1 and len(times.stacks) <= MOST_PHASES
    if phases or len(complete) < 2:
        message = f"the series holds {len(times.stacks)} stacks of the same places, told apart by {times.key}"
        return [
            _volume((stack,), None, [*notes, (Code.PHASE_SPLIT, f"{message}; this is number {k + 1}", ())])
            for k, stack in enumerate(times.stacks)
        ]
    notes.append((Code.TIME_SERIES, f"{len(complete)} time points, told apart by {times.key}", ()))
    short = [stack for stack in times.stacks if not any(stack is other for other in complete)]
    if short:
        left = tuple(frame.instance for stack in short for frame in stack)
        what = "lacks slices or lies elsewhere and is" if len(short) == 1 else "lack slices or lie elsewhere and are"
        message = f"{len(short)} of {len(times.stacks)} time points {what} left out"
        notes.append((Code.INCOMPLETE, message, left))
    return [_volume(tuple(complete), times.key, notes)]


def _fits(stacks: Sequence[Sequence[Frame]], stack: Sequence[Frame], whole: int) -> bool:
    """Whether a stack lies where the first complete one does."""
    reference = next(other for other in stacks if len(other) == whole)
    return bool(np.abs(_positions(stack) - _positions(reference)).max() <= SAME_GRID)


def _positions(stack: Sequence[Frame]) -> "NDArray[np.float64]":
    return np.asarray([frame.place.position for frame in stack])


def _instances(frames: Iterable[Frame]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(frame.instance for frame in frames))


def _extra_notes(times: Times) -> Notes:
    if not times.extra:
        return []
    names = _instances(times.extra)
    if times.ambiguous:
        message = f"places are taken an unequal number of times and nothing tells why; {len(names)} slices are left out"
        return [(Code.AMBIGUOUS, message, names)]
    message = f"{_count(names, 'slice')} lie where another one does; the first of each was used"
    return [(Code.DUPLICATE, message.replace("1 slice lie", "1 slice lies"), names)]


def _volume(stacks: tuple[tuple[Frame, ...], ...], key: str | None, notes: Notes) -> Volume:
    """A placed volume with the verdicts on its geometry."""
    base = stacks[0]
    found = [*notes, *_geometry_notes(base)]
    if base[0].identity.frame_of_reference is None:
        message = "the files name no frame of reference; the volume has one of its own"
        found.append((Code.NO_FRAME_OF_REFERENCE, message, ()))
    if base[0].layout.mosaic:
        message = (
            f"each file is a mosaic of {len(base)} slices {base[0].shape[0]}×{base[0].shape[1]}; they were cut out"
        )
        found.append((Code.MOSAIC, message, ()))
    return Volume(frames=stacks, placed=True, time_key=key, verdicts=tuple(verdict(*note) for note in found))


def _geometry_notes(stack: Sequence[Frame]) -> Notes:
    """Verdicts on how the slices of a stack lie."""
    if len(stack) == 1:
        return [_single(stack[0])]
    planes = [frame.place for frame in stack]
    shape = measure([plane.position for plane in planes], planes[0].orientation)
    notes: Notes = []
    if shape.tilt:
        message = f"slices advance at {shape.tilt:.1f}° to their normal, as with a tilted gantry; the affine is sheared"
        notes.append((Code.TILT, message, ()))
    if not shape.regular:
        notes += _uneven(stack, shape)
    return [*notes, *_order(stack), *_hint(stack, shape)]


def _single(frame: Frame) -> tuple[Code, str, tuple[str, ...]]:
    if frame.spacing_hint or frame.thickness:
        return Code.SINGLE_SLICE, "a single slice; its extent along z is its stated thickness", ()
    return (
        Code.SINGLE_SLICE,
        f"a single slice of unknown thickness; {NOMINAL_THICKNESS:g} mm along z is nominal, not measured",
        (),
    )


def _uneven(stack: Sequence[Frame], shape: Stack) -> Notes:
    distances = np.asarray(shape.distances)
    usual = _usual(distances, stack[0])
    notes: Notes = []
    missing, around = 0, list[str]()
    for k, distance in enumerate(distances):
        count = round(float(distance) / usual)
        if count > 1 and _is_multiple(float(distance), usual):
            missing += count - 1
            around += [stack[k].instance, stack[k + 1].instance]
    if missing:
        verb = "slice is" if missing == 1 else "slices are"
        message = f"{missing} {verb} missing: slices lie {usual:g} mm apart, except after the instances listed in pairs"
        notes.append((Code.GAP, message, tuple(around)))
    if float(distances.max() - distances.min()) <= 0.01 * usual:
        message = f"slices lie up to {shape.deviation:.3g} mm beside their regular places; each keeps its own"
    else:
        message = f"slices lie {distances.min():.4g} to {distances.max():.4g} mm apart; each keeps its own place"
    return [*notes, (Code.UNEVEN, message, ())]


def _is_multiple(distance: float, usual: float) -> bool:
    count = round(distance / usual)
    return count >= 1 and abs(distance / usual - count) <= 0.05 * count


def _usual(distances: "NDArray[np.float64]", frame: Frame) -> float:
    """Distance between neighbours: the stated one where some lie so and the others at multiples, else the median.

    Where half of a short stack is missing, the median is that of the gaps.
    """
    for stated in (frame.spacing_hint, frame.thickness):
        if stated is None or not all(_is_multiple(float(distance), stated) for distance in distances):
            continue
        nearest = float(distances.min())
        if round(nearest / stated) == 1:
            return nearest
    return float(np.median(distances))


def _order(stack: Sequence[Frame]) -> Notes:
    """Whether instance numbers follow the places of slices."""
    numbers = [frame.number for frame in stack]
    if None in numbers or len(set(numbers)) < len(numbers) or stack[0].layout.mosaic:
        return []
    ascending = sorted(number for number in numbers if number is not None)
    if numbers == ascending:
        return []
    if numbers == ascending[::-1]:
        return [(Code.ORDER_REVERSED, "instance numbers run against the normal of the slices; places decide", ())]
    return [(Code.ORDER, "instance numbers do not follow the places of slices; places decide", ())]


def _hint(stack: Sequence[Frame], shape: Stack) -> Notes:
    """Whether a stated slice distance disagrees with the measured one."""
    hint = stack[0].spacing_hint
    measured = float(np.median(shape.distances))
    along = float(np.linalg.norm(shape.step))
    if hint is None or min(abs(hint - measured), abs(hint - along)) <= 0.01 * measured:
        return []
    message = f"the files state slices {hint:g} mm apart, but they lie {measured:.4g} mm apart; positions decide"
    return [(Code.SPACING_DISAGREES, message, ())]


def _without_place(frames: Sequence[Frame], *, placed: bool) -> tuple[list[Volume], list[Verdict]]:
    """2-D images of frames without a place; slices of a volume that lack theirs are left out."""
    files: dict[object, list[Frame]] = {}
    for frame in frames:
        files.setdefault(frame.layout.path, []).append(frame)
    slices = [group[0] for group in files.values() if len(group) == 1 and group[0].identity.modality in TOMOGRAPHIC]
    left: list[Verdict] = []
    if slices and (placed or len(slices) > 1):
        kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for frame in slices:
            kinds.setdefault(frame.faults, []).append(frame.instance)
        for faults, names in kinds.items():
            message = f"{_count(names, 'slice')} left out for having {' and '.join(text for _, text in faults)}"
            left.append(verdict(Code(faults[0][0]), message, names))
        dropped = {id(frame) for frame in slices}
        files = {path: group for path, group in files.items() if id(group[0]) not in dropped}
    volumes = [_flat_image(group) for group in files.values()]
    return volumes, left


def _flat_image(frames: Sequence[Frame]) -> Volume:
    """A 2-D image, in time where its file has several frames."""
    first = frames[0]
    verdicts: list[Verdict] = []
    # projections, ultrasound and captures have no place by their nature
    if first.identity.modality in TOMOGRAPHIC:
        reasons = " and ".join(text for code, text in first.faults if code != Code.NO_SPACING)
        verdicts.append(verdict(Code.NO_POSITION, f"a 2-D image measured in pixels, having {reasons}"))
    key = "frame" if len(frames) > 1 else None
    if key:
        verdicts.append(verdict(Code.TIME_SERIES, f"{len(frames)} frames without places are taken for time points"))
    stacks = tuple((frame,) for frame in sorted(frames, key=lambda f: f.index))
    return Volume(frames=stacks, placed=False, time_key=key, verdicts=tuple(verdicts))

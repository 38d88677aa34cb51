"""Which frames of a series belong to one volume: by what they are, by contrast, by time. Pure, over frames."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimage.geometry.dicom import measure, normal, place_tolerance
from bigimage.sources.dicom.header import Frame
from bigimage.sources.dicom.verdicts import Code

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIENTATION_TOLERANCE = 1e-4
"""Largest difference of direction cosines within a volume: 0.03 mm at the far end of a 250 mm image."""
SPACING_TOLERANCE = 1e-4
"""Largest relative difference of pixel spacings within a volume: 0.03 mm at the far end of a 250 mm image."""
MOST_PHASES = 4
"""CT stacks of one place that are taken for contrast phases (native, arterial, venous, delayed); more are a dynamic."""
SCOUT_SLICES = 3
SCOUT_RATIO = 5
"""A group of few slices beside one this many times larger, seen from another side, is a scout."""


@dataclass(frozen=True, slots=True)
class Part:
    """Frames that were split off together, and the reasons."""

    frames: tuple[Frame, ...]
    reasons: tuple[tuple[Code, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Times:
    """A series in time: stacks of the same places, and what fits into none."""

    stacks: tuple[tuple[Frame, ...], ...]
    """Each has every place once at most."""
    key: str | None
    """What told the stacks apart; None for a single one."""
    extra: tuple[Frame, ...] = ()
    """Further frames of places that are filled already."""
    ambiguous: bool = False


def depths(frames: Sequence[Frame]) -> "NDArray[np.float64]":
    """Places of parallel frames along their common normal."""
    return np.asarray([frame.place.position for frame in frames]) @ normal(frames[0].place.orientation)


def places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Parallel frames gathered by place, ordered along the normal; within a place in their stable order."""
    along = depths(frames)
    order = np.argsort(along, kind="stable")
    tolerance = place_tolerance(along[order])
    found: list[list[Frame]] = []
    start = -np.inf
    for k in order:
        if along[k] - start > tolerance:
            found.append([])
            start = along[k]
        found[-1].append(frames[k])
    return found


def _same_direction(first: Frame, second: Frame) -> bool:
    pairs = zip(first.place.orientation, second.place.orientation, strict=True)
    return all(abs(a - b) <= ORIENTATION_TOLERANCE for a, b in pairs)


def _same_spacing(first: Frame, second: Frame) -> bool:
    pairs = zip(first.place.spacing, second.place.spacing, strict=True)
    return all(abs(a - b) <= SPACING_TOLERANCE * abs(a) for a, b in pairs)


def _pixel_type(frame: Frame) -> tuple[Hashable, ...]:
    layout = frame.layout
    return layout.samples, layout.keyword, layout.photometric in ("MONOCHROME1", "PALETTE COLOR") and layout.photometric


RULES: tuple[tuple[Code, str, Callable[[Frame, Frame], bool]], ...] = (
    (Code.LOCALIZER_SPLIT, "localizers and other images", lambda a, b: a.is_localizer == b.is_localizer),
    (
        Code.FRAME_OF_REFERENCE_SPLIT,
        "frames of reference",
        lambda a, b: a.identity.frame_of_reference == b.identity.frame_of_reference,
    ),
    (
        Code.SERIES_SPLIT,
        "kinds of image",
        lambda a, b: (a.identity.sop_class, a.identity.modality) == (b.identity.sop_class, b.identity.modality),
    ),
    (Code.PIXEL_TYPE_SPLIT, "kinds of pixel", lambda a, b: _pixel_type(a) == _pixel_type(b)),
    (Code.ORIENTATION_SPLIT, "orientations", _same_direction),
    (Code.SIZE_SPLIT, "image sizes", lambda a, b: a.shape == b.shape),
    (Code.SPACING_SPLIT, "pixel spacings", _same_spacing),
)
"""What frames of one volume share: the code, what differs, and whether two frames agree."""


def split_kinds(frames: Sequence[Frame]) -> list[Part]:
    """Placed frames of one series by what a volume must share; parts in the order of their first frames."""
    parts = [Part(tuple(frames))]
    for code, what, agree in RULES:
        parts = [piece for part in parts for piece in _split_by(part, code, what, agree)]
    return parts


def _split_by(part: Part, code: Code, what: str, agree: Callable[[Frame, Frame], bool]) -> list[Part]:
    groups: list[list[Frame]] = []
    for frame in part.frames:
        for group in groups:
            if agree(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    if len(groups) == 1:
        return [part]
    sizes = [len(group) for group in groups]
    if code is Code.ORIENTATION_SPLIT and _has_scout(groups):
        code, what = Code.LOCALIZER_SPLIT, "orientations, of which the small ones look like localizers"
    reason = code, f"the series mixes {len(groups)} {what} ({_counts(sizes)} slices); each became a volume of its own"
    return [Part(tuple(group), (*part.reasons, reason)) for group in groups]


def _has_scout(groups: Sequence[Sequence[Frame]]) -> bool:
    sizes = sorted(len(group) for group in groups)
    return all(size <= SCOUT_SLICES and size * SCOUT_RATIO <= sizes[-1] for size in sizes[:-1])


def _counts(sizes: Iterable[int]) -> str:
    texts = [str(size) for size in sizes]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


CONTRASTS: tuple[tuple[str, Code, str], ...] = (
    ("image type", Code.IMAGE_TYPE_SPLIT, "image types"),
    ("component", Code.IMAGE_TYPE_SPLIT, "complex components"),
    ("quantity", Code.CONTRAST_SPLIT, "quantities"),
    ("stack", Code.CONTRAST_SPLIT, "stacks"),
    ("kernel", Code.CONTRAST_SPLIT, "convolution kernels"),
    ("echo", Code.ECHO_SPLIT, "echoes"),
    ("echo time", Code.ECHO_SPLIT, "echo times"),
    ("inversion time", Code.CONTRAST_SPLIT, "inversion times"),
    ("b-value", Code.B_VALUE_SPLIT, "b-values"),
)


def _contrast(frame: Frame, key: str) -> Hashable:
    if key == "image type":
        return frame.image_type
    value = frame.contrast.get(key)
    return round(value, 3) if isinstance(value, float) else value


def split_contrasts(part: Part) -> list[Part]:
    """A part by image type, echo, b-value, …: only where places are taken twice or uneven, and the split cures that."""
    whole = places(part.frames)
    if len(part.frames) < 2 or (len(whole) == len(part.frames) and _is_even(whole)):
        return [part]
    for key, code, what in CONTRASTS:
        groups: dict[Hashable, list[Frame]] = {}
        for frame in part.frames:
            groups.setdefault(_contrast(frame, key), []).append(frame)
        if len(groups) < 2 or not _is_cure(whole, list(groups.values())):
            continue
        sizes = _counts(len(group) for group in groups.values())
        reason = code, f"the series mixes {len(groups)} {what} ({sizes} slices); each became a volume of its own"
        pieces = [Part(tuple(group), (*part.reasons, reason)) for group in groups.values()]
        return [smaller for piece in pieces for smaller in split_contrasts(piece)]
    return [part]


def _is_even(stack: Sequence[Sequence[Frame]]) -> bool:
    if len(stack) < 3:
        return True
    planes = [place[0].place for place in stack]
    return measure([plane.position for plane in planes], planes[0].orientation).regular


def _is_cure(whole: Sequence[Sequence[Frame]], groups: Sequence[Sequence[Frame]]) -> bool:
    """Whether groups are better volumes than the whole: fewer frames at a place, or even where the whole is not."""
    stacks = [places(group) for group in groups]
    if max(map(len, whole)) > 1:
        most = max(len(place) for stack in stacks for place in stack)
        substantial = all(len(stack) >= _substantial(len(whole)) for stack in stacks)
        return substantial and most < max(map(len, whole))
    return all(len(stack) >= 3 and _is_even(stack) for stack in stacks)


def _substantial(count: int) -> int:
    """Least number of slices that make a stack of their own beside one of `count` places."""
    return min(count, max(3, count // 4))


TIME_KEYS = (
    *("temporal position", "temporal offset", "trigger time", "cardiac phase", "frame reference time", "gradient"),
    *("acquisition number", "acquisition time", "reference time", "content time"),
)
ORDER_KEYS = ("instance number", "frame")


def split_times(frames: Sequence[Frame]) -> Times:
    """Frames of one kind and contrast as stacks in which every place is taken once."""
    stack = places(frames)
    if len(stack) == len(frames):
        return Times((_flat(stack),), None)
    for key in TIME_KEYS:
        if found := _by_value(frames, key, len(stack)):
            return found
    if len(frames) - len(stack) < _substantial(len(stack)) and len(stack) > 1:
        return _without_extra(stack)
    counts = {len(place) for place in stack}
    if len(counts) == 1:
        for key in (*TIME_KEYS, *ORDER_KEYS):
            if found := _by_rank(stack, key):
                return found
        return _without_extra(stack)
    for key in TIME_KEYS:
        if found := _by_value(frames, key, len(stack), extra=True):
            return found
    if found := _by_runs(frames, len(stack)):
        return found
    return Times(_without_extra(stack).stacks, None, _without_extra(stack).extra, ambiguous=True)


def _flat(stack: Sequence[Sequence[Frame]]) -> tuple[Frame, ...]:
    return tuple(place[0] for place in stack)


def _value(frame: Frame, key: str) -> float | str | None:
    return frame.number if key == "instance number" else frame.times.get(key)


def _sortable(values: Iterable[float | str]) -> list[float | str]:
    """Values in order; texts after numbers, should a series mix them."""
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _by_value(frames: Sequence[Frame], key: str, count: int, *, extra: bool = False) -> Times | None:
    """Stacks of equal values of a key; None unless that leaves each place of a stack to one frame.

    With `extra`, a few places of a stack may be taken again, as by copies under other names.
    """
    groups: dict[float | str, list[Frame]] = {}
    for frame in frames:
        value = _value(frame, key)
        if value is None:
            return None
        groups.setdefault(value, []).append(frame)
    if len(groups) < 2:
        return None
    stacks = {value: places(group) for value, group in groups.items()}
    if any(len(stack) < _substantial(count) for stack in stacks.values()):
        return None
    further = {value: [frame for place in stack for frame in place[1:]] for value, stack in stacks.items()}
    if any(len(further[value]) >= (_substantial(len(stack)) if extra else 1) for value, stack in stacks.items()):
        return None
    ordered = _sortable(stacks)
    left = tuple(frame for value in ordered for frame in further[value])
    return Times(tuple(_flat(stacks[value]) for value in ordered), key, left)


def _by_rank(stack: Sequence[Sequence[Frame]], key: str) -> Times | None:
    """The k-th frame of each place, ordered by a key whose values differ at every place."""
    ordered: list[list[Frame]] = []
    for place in stack:
        values: dict[float | str, Frame] = {}
        for frame in place:
            value = _value(frame, key)
            if value is None or value in values:
                return None
            values[value] = frame
        ordered.append([values[value] for value in _sortable(values)])
    return Times(tuple(tuple(place[k] for place in ordered) for k in range(len(ordered[0]))), key)


def _by_runs(frames: Sequence[Frame], count: int) -> Times | None:
    """Runs of instance numbers in which no place comes twice: whole scans one after the other, some cut short."""
    numbers = [frame.number for frame in frames]
    if None in numbers or len(set(numbers)) != len(numbers):
        return None
    at = {id(frame): k for k, place in enumerate(places(frames)) for frame in place}
    runs: list[list[Frame]] = []
    seen: set[int] = set()
    for frame in sorted(frames, key=lambda f: f.number or 0):
        if not runs or at[id(frame)] in seen:
            runs.append([])
            seen = set()
        seen.add(at[id(frame)])
        runs[-1].append(frame)
    if any(len(run) < _substantial(count) for run in runs):
        return None
    return Times(tuple(_flat(places(run)) for run in runs), "instance number")


def _without_extra(stack: Sequence[Sequence[Frame]]) -> Times:
    """The first frame of each place; the others are extra."""
    return Times((_flat(stack),), None, tuple(frame for place in stack for frame in place[1:]))

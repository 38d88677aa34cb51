"""Images without the frames that cannot be decoded, under the ids that they have with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bigimage.sources.dicom.assemble import Assembly, Volume, assemble
from bigimage.sources.dicom.header import Frame
from bigimage.sources.dicom.headers import Names
from bigimage.sources.dicom.report import Image, as_verdicts, files_of
from bigimage.sources.dicom.slide import Slide, without
from bigimage.sources.dicom.verdicts import Code

Key = tuple[Path, int, int]
"""File, number of the frame in it, tile of a mosaic."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A frame that could not be decoded."""

    path: Path
    index: int
    """Number of the frame in its file, from 0."""
    reason: str
    """Empty where it may be private."""

    @property
    def text(self) -> str:
        """What is to be said about the file."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"holds a frame, number {self.index + 1}, that cannot be decoded{reason}"


def leave_out(
    named: Mapping[str, Image], frames: Sequence[Frame], damaged: Sequence[Damage], names: Names
) -> tuple[dict[str, Image], Assembly]:
    """Images by id as they are without damaged frames, and their assembly.

    An image that falls apart without a frame keeps its id for the first part; the next is `<id>-2`. Damage is told with
    the image in which it was found, or with the first of all where nothing is left of that one.
    """
    # one file may be named in several ways, as by processes that work elsewhere
    real = lru_cache(maxsize=None)(Path.resolve)
    lost = {(real(damage.path), damage.index) for damage in damaged}
    owners = {
        _key(frame): name for name, image in named.items() if isinstance(image, Volume) for frame in _frames(image)
    }
    assembly = assemble(frame for frame in frames if (real(frame.layout.path), frame.index) not in lost)
    parts: dict[str, list[Image]] = {name: [] for name in named}
    for volume in assembly.volumes:
        # a copy may have stepped in for a damaged file, so any frame tells whose volume this was
        owner = next((owners[_key(frame)] for frame in _frames(volume) if _key(frame) in owners), next(iter(named)))
        parts[owner].append(volume)
    for name, image in named.items():
        if isinstance(image, Slide):
            of_slide = {(file.layout.path, k) for file in image.files for k in range(file.layout.frames)}
            rest = without(image, {key for key in of_slide if (real(key[0]), key[1]) in lost})
            parts[name] += [rest] if rest is not None else []
    _tell(parts, named, damaged, names)
    return {f"{name}-{k + 1}" if k else name: part for name, found in parts.items() for k, part in enumerate(found)}, (
        assembly
    )


def _tell(
    parts: Mapping[str, list[Image]], named: Mapping[str, Image], damaged: Sequence[Damage], names: Names
) -> None:
    """Add verdicts on damaged frames to the parts of the images that had them."""
    first = next((name for name, found in parts.items() if found), None)
    if first is None:
        return
    told: dict[str, list[Damage]] = {}
    for name, image in named.items():
        files = {path.resolve() for path in files_of(image)}
        own = [damage for damage in damaged if damage.path.resolve() in files]
        told.setdefault(name if parts[name] else first, []).extend(own)
    for name, found in told.items():
        own = tuple(
            as_verdicts(((damage.path, Code.DAMAGED, f"{damage.text}; it is left out") for damage in found), names)
        )
        parts[name][0] = replace(parts[name][0], verdicts=(*parts[name][0].verdicts, *own))


def _frames(volume: Volume) -> list[Frame]:
    return [frame for stack in volume.frames for frame in stack]


def _key(frame: Frame) -> Key:
    return frame.layout.path, frame.index, frame.tile

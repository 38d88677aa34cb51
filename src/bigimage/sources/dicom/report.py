"""What was found while reading files, told to the images that it concerns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bigimage.errors import DataError, Unsupported
from bigimage.model.image import Verdict
from bigimage.sources.dicom.assemble import Volume
from bigimage.sources.dicom.headers import Names
from bigimage.sources.dicom.slide import Slide
from bigimage.sources.dicom.verdicts import REFUSED_WHEN_STRICT, Code, verdict

Note = tuple[Path, Code, str]
"""A file, and what is to be said about it, as the rest of a sentence."""
UNSUPPORTED = (Code.UNSUPPORTED_SYNTAX, Code.UNSUPPORTED_PIXELS)
Image = Volume | Slide


def as_verdicts(notes: Iterable[Note], names: Names) -> Iterator[Verdict]:
    """One verdict for each kind of note, naming its files."""
    kinds: dict[tuple[Code, str], list[str]] = {}
    for path, code, text in notes:
        kinds.setdefault((code, text), []).append(names(path))
    for (code, text), files in kinds.items():
        subject = files[0] if len(files) == 1 else f"each of {len(files)} files"
        yield verdict(code, f"{subject} {text}", files)


def told(images: Sequence[Image], notes: Sequence[Note], others: Sequence[Verdict], names: Names) -> list[Image]:
    """Images with the verdicts on their files; `others`, and those on files of no image, go to the first."""
    found: list[Image] = []
    used: set[Path] = set()
    for image in images:
        files = files_of(image)
        used |= files
        own = tuple(as_verdicts((note for note in notes if note[0] in files), names))
        found.append(replace(image, verdicts=(*image.verdicts, *own)))
    rest = as_verdicts((note for note in notes if note[0] not in used), names)
    found[0] = replace(found[0], verdicts=(*found[0].verdicts, *rest, *others))
    return found


def files_of(image: Image) -> set[Path]:
    """Files that an image is made of."""
    match image:
        case Volume():
            return {frame.layout.path for stack in image.frames for frame in stack}
        case Slide():
            return {file.layout.path for file in image.files}


def refusal(paths: Sequence[Path], verdicts: Sequence[Verdict]) -> DataError | Unsupported:
    """The error for files without a single image."""
    problems = tuple(f"{v.code}: {v.message}" for v in verdicts)
    if verdicts and all(v.code in UNSUPPORTED for v in verdicts):
        return Unsupported(f"no image of {_where(paths)} can be read: {'; '.join(problems)}")
    return DataError(f"{_where(paths)} holds no image that can be used", problems or ("there is no file in it",))


def check_strict(paths: Sequence[Path], verdicts: Iterable[Verdict]) -> None:
    """Raise DataError with everything that is wrong."""
    problems = dict.fromkeys(f"{v.code}: {v.message}" for v in verdicts if v.code in REFUSED_WHEN_STRICT)
    if problems:
        raise DataError(f"{_where(paths)} is refused, being read strictly", tuple(problems))


def _where(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"what these {len(paths)} paths name"

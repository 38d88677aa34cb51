"""DICOM: files or folders, in any order and nesting → volumes, with a verdict for everything a reader should know.

`headers` scans, `frames` reads headers into frames, `assemble` makes volumes of them (pure), `info` describes them and
`pixels` reads them. docs/dicom.md tells what is kept of a header, docs/verdicts.md explains every verdict.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.model.image import Verdict
from bigimage.sources.dicom.assemble import Assembly, Volume, assemble
from bigimage.sources.dicom.deidentify import Deidentifier
from bigimage.sources.dicom.elements import describe_tag
from bigimage.sources.dicom.frames import read_frames
from bigimage.sources.dicom.header import FileHeader, Frame
from bigimage.sources.dicom.headers import Names, has_dicom, quiet, scan
from bigimage.sources.dicom.info import describe
from bigimage.sources.dicom.regularize import Regularized, is_irregular
from bigimage.sources.dicom.source import DicomSource
from bigimage.sources.dicom.verdicts import REFUSED_WHEN_STRICT, Code, Refusal, verdict
from bigimage.sources.door import OpenOptions, Source

NAME = "dicom"
TOGETHER = True
"""The slices of a scan are files of their own."""

Note = tuple[Path, Code, str]
UNSUPPORTED = (Code.UNSUPPORTED_SYNTAX, Code.UNSUPPORTED_PIXELS)


def sniff(path: Path) -> bool:
    """Whether this is a DICOM file, or a folder that holds one at any depth; judged by first bytes."""
    return has_dicom(path)


def open(paths: Sequence[Path], *, image: str, options: OpenOptions) -> list[Source]:
    """Open files and folders as volumes and 2-D images, in an order that depends on their headers only.

    What is not an image, or cannot be read, is told by verdicts: those of a file with the volumes that it concerns, the
    others with the first volume. The id of a single volume is `image`; several become `image-1`, `image-2`, …

    Raises NotFound for a path that does not exist, DataError with all problems when no volume can be built or, with
    `strict`, when anything is wrong, Unsupported when pixels are of a kind that is not read.
    """
    if not paths:
        raise InputError("no file was named")
    if options.crs is not None or options.bounds is not None or options.affine is not None:
        raise InputError("a scan has its own place in millimetres; it takes no CRS, bounds or affine")
    names = Names(paths, private=options.deidentify is not None)
    found = scan(paths, names=names)
    frames, notes = _frames(found.headers, private=options.deidentify is not None)
    assembly = assemble(frames)
    if not assembly.volumes:
        raise _refuse(paths, [*found.verdicts, *_verdicts(notes, names), *assembly.verdicts])
    volumes = _told(assembly, found.verdicts, notes, names)
    ids = [image] if len(volumes) == 1 else [f"{image}-{k}" for k in range(1, len(volumes) + 1)]
    sources = [_source(volume, name, options) for volume, name in zip(volumes, ids, strict=True)]
    if options.strict:
        _check_strict(paths, [v for source in sources for v in source.info.verdicts])
    return sources


def _source(volume: Volume, image: str, options: OpenOptions) -> Source:
    """Source of one volume, resampled, converted or without its patient as the caller wishes."""
    described = describe(volume, image, physical=options.physical)
    irregular = options.regularize and is_irregular(described.info.grid)
    if irregular and not described.meaning.is_constant:
        # values of slices with different slopes can only be averaged in their unit
        described = describe(volume, image, physical=True)
    if options.role is not None:
        described = replace(described, info=replace(described.info, role=options.role))
    if options.deidentify is not None:
        burned_in = volume.first.source.elements.text("BurnedInAnnotation")
        described = replace(described, info=Deidentifier(options.deidentify).image(described.info, burned_in=burned_in))
    source = DicomSource(volume, described)
    return Regularized(source) if irregular else source


def _frames(headers: Iterable[FileHeader], *, private: bool) -> tuple[list[Frame], list[Note]]:
    """Frames of all files, and what is to be said about the files; without their values where these are private."""
    frames: list[Frame] = []
    notes: list[Note] = []
    with quiet():
        for header in headers:
            try:
                found, odd = read_frames(header)
            except Refusal as refusal:
                notes.append((header.path, refusal.code, refusal.reason))
                continue
            except OSError as error:
                notes.append((header.path, Code.UNREADABLE, f"cannot be read ({error.strerror or error})"))
                continue
            frames += found
            notes += [(header.path, code, text) for code, text in odd]
            for keyword, reason in header.elements.faults.items():
                why = "cannot be read" if private else reason
                notes.append((header.path, Code.BAD_TAG, f"has a {describe_tag(keyword)} that {why}; it is ignored"))
    return frames, notes


def _verdicts(notes: Iterable[Note], names: Names) -> Iterator[Verdict]:
    """One verdict for each kind of note, naming its files."""
    kinds: dict[tuple[Code, str], list[str]] = {}
    for path, code, text in notes:
        kinds.setdefault((code, text), []).append(names(path))
    for (code, text), files in kinds.items():
        subject = files[0] if len(files) == 1 else f"each of {len(files)} files"
        yield verdict(code, f"{subject} {text}", files)


def _told(assembly: Assembly, verdicts: Sequence[Verdict], notes: Sequence[Note], names: Names) -> list[Volume]:
    """Volumes with the verdicts on their files; those of the scan and on other files go to the first."""
    told: list[Volume] = []
    used: set[Path] = set()
    for volume in assembly.volumes:
        files = {frame.layout.path for stack in volume.frames for frame in stack}
        used |= files
        own = tuple(_verdicts((note for note in notes if note[0] in files), names))
        told.append(replace(volume, verdicts=(*volume.verdicts, *own)))
    rest = tuple(_verdicts((note for note in notes if note[0] not in used), names))
    told[0] = replace(told[0], verdicts=(*told[0].verdicts, *rest, *verdicts, *assembly.verdicts))
    return told


def _refuse(paths: Sequence[Path], verdicts: Sequence[Verdict]) -> DataError | Unsupported:
    """The error for files without a single volume."""
    where = paths[0].name if len(paths) == 1 else f"these {len(paths)} paths"
    problems = tuple(f"{v.code}: {v.message}" for v in verdicts)
    if verdicts and all(v.code in UNSUPPORTED for v in verdicts):
        return Unsupported(f"no image of {where} can be read: {'; '.join(problems)}")
    return DataError(f"{where} holds no image that can be used", problems or ("there is no file in it",))


def _check_strict(paths: Sequence[Path], verdicts: Sequence[Verdict]) -> None:
    """Raise DataError with everything that is wrong."""
    problems = dict.fromkeys(f"{v.code}: {v.message}" for v in verdicts if v.code in REFUSED_WHEN_STRICT)
    if problems:
        where = paths[0].name if len(paths) == 1 else f"these {len(paths)} paths"
        raise DataError(f"{where} is refused, being read strictly", tuple(problems))

"""DICOM: files or folders, in any order and nesting → volumes, with a verdict for everything a reader should know.

`headers` scans, `frames` reads headers into frames, `assemble` makes volumes of them (pure), `info` describes them,
`pixels` reads them, and `slide` does the same for whole slides. docs/dicom.md tells what is kept of a header,
docs/verdicts.md explains every verdict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bigimage.errors import InputError
from bigimage.model.image import ImageInfo
from bigimage.sources.dicom.assemble import Volume, assemble
from bigimage.sources.dicom.damage import Damage, leave_out
from bigimage.sources.dicom.deidentify import Deidentifier
from bigimage.sources.dicom.elements import describe_tag
from bigimage.sources.dicom.frames import read_frames
from bigimage.sources.dicom.header import FileHeader, Frame
from bigimage.sources.dicom.headers import Names, has_dicom, scan
from bigimage.sources.dicom.info import describe
from bigimage.sources.dicom.layout import read_layout
from bigimage.sources.dicom.regularize import Regularized, is_irregular
from bigimage.sources.dicom.report import Image, Note, as_verdicts, check_strict, refusal, told
from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.slide import WHOLE_SLIDE, Slide, SlideFile, SlideSource, describe_slide, find_slides
from bigimage.sources.dicom.source import DicomSource
from bigimage.sources.dicom.verdicts import Code, Refusal, verdict
from bigimage.sources.door import OpenOptions, Source

NAME = "dicom"
TOGETHER = True
"""The slices of a scan are files of their own."""


def sniff(path: Path) -> bool:
    """Whether this is a DICOM file, or a folder that holds one at any depth; judged by first bytes."""
    return has_dicom(path)


def open(paths: Sequence[Path], *, image: str, options: OpenOptions) -> list[Source]:
    """Open files and folders as volumes, 2-D images and slides, in an order that depends on their headers only.

    What is not an image, or cannot be read, is told by verdicts: those of a file with the images that it concerns, the
    others with the first image. The id of a single image is `image`; several become `image-1`, `image-2`, …

    Raises NotFound for a path that does not exist, DataError with all problems when no image can be built or, with
    `strict`, when anything is wrong, Unsupported when pixels are of a kind that is not read.
    """
    if not paths:
        raise InputError("no file was named")
    if options.crs is not None or options.bounds is not None or options.affine is not None:
        raise InputError("a scan has its own place in millimetres; it takes no CRS, bounds or affine")
    private = options.deidentify is not None
    names = Names(paths, private=private)
    found = scan(paths, names=names)
    frames, slide_files, notes = _read(found.headers, private=private)
    assembly = assemble(frames)
    slides, refused = find_slides(slide_files)
    notes += [(file.layout.path, code, reason) for file, code, reason in refused]
    whole: list[Image] = [*assembly.volumes, *slides]
    owners = [image] if len(whole) == 1 else [f"{image}-{k}" for k in range(1, len(whole) + 1)]
    named = dict(zip(owners, whole, strict=True))
    if options.leave_out:
        damaged = [Damage(path, index, "" if private else why) for path, index, why in options.leave_out]
        named, assembly = leave_out(named, frames, damaged, names)
    others = [*found.verdicts, *assembly.verdicts]
    if not named:
        raise refusal(paths, [*others, *as_verdicts(notes, names)])
    images = told(list(named.values()), notes, others, names)
    sources = [_source(one, name, options) for one, name in zip(images, named, strict=True)]
    if options.strict:
        _check_strict(paths, sources)
    return [*sources]


def _check_strict(paths: Sequence[Path], sources: Sequence[DicomSource | Regularized | SlideSource]) -> None:
    """Raise DataError when anything is amiss; every compressed frame is decoded once."""
    verdicts = [v for source in sources for v in source.info.verdicts]
    for source in sources:
        verdicts += [
            verdict(Code.DAMAGED, f"{path.name} {Damage(path, k, why).text}") for path, k, why in source.damaged()
        ]
    check_strict(paths, verdicts)


def _read(headers: Iterable[FileHeader], *, private: bool) -> tuple[list[Frame], list[SlideFile], list[Note]]:
    """Frames of all files, files of slides, and what is to be said; without values of the files where `private`."""
    frames: list[Frame] = []
    slides: list[SlideFile] = []
    notes: list[Note] = []
    with quiet():
        for header in headers:
            try:
                if header.elements.text("SOPClassUID") == WHOLE_SLIDE:
                    layout, odd = read_layout(header)
                    slides.append(SlideFile(header, layout))
                else:
                    found, odd = read_frames(header)
                    frames += found
            except Refusal as refused:
                notes.append((header.path, refused.code, refused.reason))
                continue
            except OSError as error:
                notes.append((header.path, Code.UNREADABLE, f"cannot be read ({error.strerror or error})"))
                continue
            notes += [(header.path, code, text) for code, text in odd]
            for keyword, reason in header.elements.faults.items():
                why = "cannot be read" if private else reason
                notes.append((header.path, Code.BAD_TAG, f"has a {describe_tag(keyword)} that {why}; it is ignored"))
    return frames, slides, notes


def _source(image: Image, name: str, options: OpenOptions) -> DicomSource | Regularized | SlideSource:
    """Source of one image, resampled, converted or without its patient as the caller wishes."""
    match image:
        case Volume():
            return _volume_source(image, name, options)
        case Slide():
            return SlideSource(image, _adapted(describe_slide(image, name), image.files[0].header, options))


def _volume_source(volume: Volume, name: str, options: OpenOptions) -> DicomSource | Regularized:
    described = describe(volume, name, physical=options.physical)
    irregular = options.regularize and is_irregular(described.info.grid)
    if irregular and not described.meaning.is_constant:
        # values of slices with different slopes can only be averaged in their unit
        described = describe(volume, name, physical=True)
    info = _adapted(described.info, volume.first.source, options)
    source = DicomSource(volume, replace(described, info=info))
    return Regularized(source) if irregular else source


def _adapted(info: ImageInfo, header: FileHeader, options: OpenOptions) -> ImageInfo:
    """A description in the role that the caller gives it, and without its patient where that is asked for."""
    if options.role is not None:
        info = replace(info, role=options.role)
    if options.deidentify is None:
        return info
    return Deidentifier(options.deidentify).image(info, burned_in=header.elements.text("BurnedInAnnotation"))

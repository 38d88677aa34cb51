"""Where in what a user hands over the annotations lie: a file, a folder that a format is made of, either one zipped."""

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from bigimage.archives import is_archive, unpack
from bigimage.errors import BackendError, InputError
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.vector import FORMATS

MOST_FILES = 1000
"""Files of a folder that are looked at for annotations."""


@contextmanager
def annotations_in(
    path: Path, format: str | None, *, names: Sequence[str], scratch: Path, limit: int
) -> Generator[tuple[Path, str | None]]:
    """Where the annotations of a file, a folder or a ZIP archive lie, and their format where it is known by that.

    Parameters
    ----------
    names
        What the image may be called, with or without an ending: of a file for each image its own is taken.
    scratch
        Folder below which an archive is unpacked; what was unpacked is gone afterwards.
    limit
        Most bytes that an archive may unpack to.

    Raises
    ------
    BadArchive, InputError
        For an archive that is damaged, hostile or too large; for a folder of several files of annotations, or of none.
    BackendError
        The disk is full.
    """
    if path.is_dir():
        yield data_of(path, format, names)
    elif not path.is_file() or not is_archive(path):
        yield path, format
    else:
        with tempfile.TemporaryDirectory(dir=_made(scratch), prefix="import-") as folder:
            place = unpack(path, Path(folder) / "content" / path.stem, limit=limit)
            yield data_of(place, format, names) if place.is_dir() else (place, format)


def _made(folder: Path) -> Path:
    """A folder that is there now. Raises BackendError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackendError(f"cannot make {folder}: {error.strerror}") from error
    return folder


def data_of(folder: Path, format: str | None, names: Sequence[str]) -> tuple[Path, str | None]:
    """Where in a folder the annotations lie, and of which format they are.

    That is the folder where some format is made of folders, else its one file of annotations, or of several the one
    named like the image; pictures beside it are no masks. Raises InputError where several may be meant, or none.
    """
    kinds: tuple[Mapping[str, Any], ...] = (FORMATS, MASKS)
    if format is not None and (format in FORMATS or format in MASKS):
        kinds = ({format: FORMATS[format] if format in FORMATS else MASKS[format]},)
    if any(module.sniff(folder) for kind in kinds for module in kind.values()):
        return folder, format
    # an index of a shapefile begins as its main file does
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() != ".shx"]
    for kind in kinds:
        found = [path for path in files[:MOST_FILES] if any(module.sniff(path) for module in kind.values())]
        if len(found) > 1:
            stems = {PurePath(name).stem for name in names}
            found = [path for path in found if path.stem in stems] if any(p.stem in stems for p in found) else found
        if len(found) > 1:
            listed = ", ".join(str(path.relative_to(folder)) for path in found[:10])
            raise InputError(
                f"{folder.name} holds several files of annotations: {listed}; name one with page, or send it alone"
            )
        if found:
            return found[0], format
    if format is not None and format in FORMATS and FORMATS[format].SUFFIXES == ("",):
        return folder, format  # what is wrong with it, the format says best itself
    what = f"of format {format}" if format else "of a known format"
    raise InputError(f"{folder.name} holds no annotations {what} among its first {MOST_FILES} files")

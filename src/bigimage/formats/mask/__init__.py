"""Masks as files of other tools; a new format is a module here and one line in `_PLACES`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from bigimage.errors import DataError, InputError, NotFound
from bigimage.formats.door import MaskFormat, SelectiveMaskFormat
from bigimage.model.image import ImageInfo

_PLACES = {
    "dicom-seg": "bigimage.formats.mask.dicom_seg",
    "dicom-seg-labelmap": "bigimage.formats.mask.dicom_seg_labelmap",
    "dicom-seg-fractional": "bigimage.formats.mask.dicom_seg_fractional",
    "seg-nrrd": "bigimage.formats.mask.seg_nrrd",
    "nifti": "bigimage.formats.mask.nifti",
    "mha": "bigimage.formats.mask.mha",
    "geotiff": "bigimage.formats.mask.geotiff",
    "png": "bigimage.formats.mask.png",
}


class _Formats(Mapping[str, MaskFormat]):
    """Format modules by name, each imported when it is first looked up."""

    def __getitem__(self, name: str) -> MaskFormat:
        return cast("MaskFormat", import_module(_PLACES[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


FORMATS: Mapping[str, MaskFormat] = _Formats()


def fits(name: str, info: ImageInfo) -> bool:
    """Whether a format can hold masks of an image."""
    module = FORMATS[name]
    return module.fits(info) if isinstance(module, SelectiveMaskFormat) else module.KEEPS.fits(info.grid)


def sniff(path: Path) -> list[str]:
    """Names of the formats that a file may be of, by its content. Raises NotFound."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    return [name for name, module in FORMATS.items() if module.sniff(path)]


def format_for(path: Path) -> str:
    """Name of the one format that a file is of.

    Raises NotFound, DataError when it is of none, InputError when it may be of several.
    """
    found = sniff(path)
    if not found:
        raise DataError(f"{path} is of no known mask format (tried: {', '.join(FORMATS)}); name it with --format")
    if len(found) > 1:
        raise InputError(f"{path} may be {' or '.join(found)}; say which with --format")
    return found[0]

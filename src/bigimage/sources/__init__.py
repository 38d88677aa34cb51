"""Foreign pixels: every format that can be ingested, behind one door (`bigimage.sources.door`).

A new format is a module with `NAME`, `sniff` and `open`, and one line here. Modules are loaded when they are looked
up, one after the other until one knows the file, so that no file costs the import of libraries that it does not need.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from bigimage.errors import InputError, NotFound
from bigimage.sources.door import SourceModule

# Rasters are told by their first bytes alone, and a raster that is DICOM too is left to DICOM: so they come first, and
# opening one never imports what reads scans.
_PLACES = {
    "raster": "bigimage.sources.raster",
    "dicom": "bigimage.sources.dicom",
    "volume": "bigimage.sources.volume",
}


class _Modules(Mapping[str, SourceModule]):
    """Source modules by name, in the order in which they are asked; each imported when it is first looked up."""

    def __getitem__(self, name: str) -> SourceModule:
        return cast("SourceModule", import_module(_PLACES[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


SOURCES: Mapping[str, SourceModule] = _Modules()


def module_for(path: Path) -> SourceModule:
    """Module that opens a file or folder, judged by its content.

    Raises NotFound when there is nothing at `path`, InputError when no module knows what is there.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    for module in SOURCES.values():
        if module.sniff(path):
            return module
    known = ", ".join(SOURCES)
    if path.is_dir():
        raise InputError(f"folder {path} holds no image that can be ingested as one (tried: {known}); name its files")
    raise InputError(f"{path} is not an image in a known format (tried: {known})")

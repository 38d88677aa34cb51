"""Annotations as files of other tools; a new format is a module here and one line in `_PLACES`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from bigimage.errors import DataError, InputError, NotFound
from bigimage.formats.door import VectorFormat

_PLACES = {
    "geojson": "bigimage.formats.vector.geojson",
    "geojsonseq": "bigimage.formats.vector.geojsonseq",
    "geoparquet": "bigimage.formats.vector.geoparquet",
    "flatgeobuf": "bigimage.formats.vector.flatgeobuf",
    "geopackage": "bigimage.formats.vector.geopackage",
    "shapefile": "bigimage.formats.vector.shapefile",
    "stac": "bigimage.formats.vector.stac",
    "coco": "bigimage.formats.vector.coco",
    "coco-panoptic": "bigimage.formats.vector.coco_panoptic",
    "voc": "bigimage.formats.vector.voc",
    "cvat": "bigimage.formats.vector.cvat",
    "labelstudio": "bigimage.formats.vector.labelstudio",
    "datumaro": "bigimage.formats.vector.datumaro",
    "labelme": "bigimage.formats.vector.labelme",
    "yolo": "bigimage.formats.vector.yolo",
    "yolo-seg": "bigimage.formats.vector.yolo_seg",
    "yolo-obb": "bigimage.formats.vector.yolo_obb",
    "rtstruct": "bigimage.formats.vector.rtstruct",
    "dicom-sr": "bigimage.formats.vector.sr",
}


class _Formats(Mapping[str, VectorFormat]):
    """Format modules by name, each imported when it is first looked up."""

    def __getitem__(self, name: str) -> VectorFormat:
        return cast("VectorFormat", import_module(_PLACES[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


FORMATS: Mapping[str, VectorFormat] = _Formats()


def sniff(path: Path) -> list[str]:
    """Names of the formats that a file or folder may be of, by its content. Raises NotFound."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    return [name for name, module in FORMATS.items() if module.sniff(path)]


def format_for(path: Path) -> str:
    """Name of the one format that a file is of.

    Raises NotFound, DataError when it is of none that is known, InputError when it may be of several.
    """
    found = sniff(path)
    if not found:
        raise DataError(f"{path} is of no known annotation format (tried: {', '.join(FORMATS)}); name it with --format")
    if len(found) > 1:
        raise InputError(f"{path} may be {' or '.join(found)}; say which with --format")
    return found[0]

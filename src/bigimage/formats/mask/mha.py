"""MetaImage label volumes (.mha): labels on an exact affine; names and colours as fields of the header.

Sources: the MetaIO documentation; ITK's reader keeps fields that it does not know.
"""

import shutil
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bigimage.errors import DataError
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report, check_options
from bigimage.formats.mask import slicer
from bigimage.formats.mask.labelled import HIGHEST, VOLUMES, open_labels, segments_of
from bigimage.formats.mask.streams import check_mask, flatten, require_known, slabs
from bigimage.geometry.dicom import to_centred

NAME = "mha"
SUFFIXES = (".mha",)
KEEPS = KeepsMask(
    highest=HIGHEST,
    names=True,
    colors=True,
    codes=True,
    instances=True,
    frames=frozenset({"patient"}),
    sheared=True,
)
OPTIONS: Mapping[str, str] = VOLUMES

TYPES = {1: ("MET_UCHAR", np.dtype("u1")), 2: ("MET_USHORT", np.dtype("<u2")), 4: ("MET_INT", np.dtype("<i4"))}
LEVEL = 4
LONGEST_HEADER = 16 << 20
STARTS = (b"ObjectType", b"NDims", b"Comment", b"TransformType")


def sniff(path: Path) -> bool:
    """Whether a file is MetaImage."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    return head.startswith(STARTS) and b"=" in head


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write labels, packed; voxels and header in one file.

    Raises Unsupported for fractions, unevenly spaced slices and images that are no volume.
    """
    check_options(NAME, OPTIONS, options)
    check_mask(NAME, KEEPS, mask)
    flat = flatten(mask, report, highest=KEEPS.highest)
    kind, dtype = TYPES[min(4, np.dtype(flat.mask.dtype).itemsize)]
    extents = slicer.Extents()
    # the header tells the packed length, which is known at the end
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        engine = zlib.compressobj(LEVEL)
        for first, slab in slabs(flat.mask):
            extents.add(first, slab)
            spool.write(engine.compress(np.ascontiguousarray(slab[0], dtype).data))
        spool.write(engine.flush())
        require_known(flat.mask, extents.found)
        length = spool.tell()
        spool.seek(0)
        with path.open("wb") as out:
            out.write(_header(flat.mask, kind, extents, length).encode())
            shutil.copyfileobj(spool, out, 4 << 20)
    flat.tell(report)
    report.written = len(flat.mask.segments)


def _header(mask: MaskStream, kind: str, extents: slicer.Extents, length: int) -> str:
    """The text before the voxels, in MetaIO's order."""
    affine = to_centred(mask.grid, ras=False)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # MetaIO writes the direction of one axis after the other
    matrix = (affine[:3, :3] / spacing).T.ravel()
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {length}",
        f"TransformMatrix = {_numbers(matrix)}",
        f"Offset = {_numbers(affine[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_numbers(spacing)}",
        f"DimSize = {' '.join(map(str, mask.grid.shape[::-1]))}",
    ]
    lines += [f"{key} = {value}" for key, value in slicer.pairs(mask.segments, extents).items() if value]
    lines += [f"ElementType = {kind}", "ElementDataFile = LOCAL"]
    return "\n".join(lines) + "\n"


def _numbers(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
    return " ".join(repr(float(v) + 0.0) for v in values)


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Labels of a file on its own grid; names come from its header, else from the schema."""
    check_options(NAME, OPTIONS, options)
    fields = _fields(path)
    labels = open_labels(path, context=context, report=report, options=options)
    named = {s.value: s for s in slicer.parse(fields, layers=1, context=context, report=report)}
    segments = segments_of(labels, context=context, report=report)
    if labels.layers == 1:
        found = {segment.value: segment for segment in segments} | named
        segments = tuple(found[value] for value in sorted(found))
    report.written = len(segments)
    return labels.stream(segments)


def _fields(path: Path) -> dict[str, str]:
    """Keys and values of the header. Raises DataError where it has no end."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER)
    at = 0
    while (end := head.find(b"\n", at)) >= 0:
        key, _, value = head[at:end].decode("utf-8", "replace").partition("=")
        found[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return found
        at = end + 1
    raise DataError(f"{path.name} is cut short: its header names no voxels")

"""Segmentations of 3D Slicer (.seg.nrrd): layers of labels with names, colours and coded terms, as Slicer writes them.

Sources: the NRRD format definition (teem); what Slicer itself writes and reads (see `slicer`).
"""

import gzip
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bigimage.errors import DataError
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask import slicer
from bigimage.formats.mask.labelled import HIGHEST, VOLUMES, Labelled, open_labels, segments_of
from bigimage.formats.mask.streams import check_mask, require_known, slabs
from bigimage.geometry.dicom import to_centred
from bigimage.geometry.grid import Grid

NAME = "seg-nrrd"
SUFFIXES = (".seg.nrrd", ".nrrd")
KEEPS = KeepsMask(
    highest=HIGHEST,
    overlaps=True,
    names=True,
    colors=True,
    codes=True,
    instances=True,
    frames=frozenset({"patient"}),
    sheared=True,
)
OPTIONS: Mapping[str, str] = VOLUMES

TYPES = {1: ("unsigned char", np.dtype("u1")), 2: ("unsigned short", np.dtype("<u2")), 4: ("int", np.dtype("<i4"))}
LONGEST_HEADER = 16 << 20
LEVEL = 4
SAME = 1e-6


def sniff(path: Path) -> bool:
    """Whether a file is NRRD."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(7) == b"NRRD000"


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write a segmentation that 3D Slicer opens; segments that overlap lie in layers along the first axis.

    Raises Unsupported for fractions, unevenly spaced slices and images that are no volume.
    """
    check_options(NAME, OPTIONS, options)
    check_mask(NAME, KEEPS, mask)
    kind, dtype = TYPES[min(4, np.dtype(mask.dtype).itemsize)]
    extents = slicer.Extents()
    # the header says how far each segment reaches, which is known once all voxels went by
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        with gzip.GzipFile("", "wb", LEVEL, spool, mtime=0) as stream:
            for first, slab in slabs(mask):
                extents.add(first, slab)
                stream.write(np.ascontiguousarray(np.moveaxis(slab, 0, -1), dtype).data)
        require_known(mask, extents.found)
        spool.seek(0)
        with path.open("wb") as out:
            out.write(_header(mask, kind, context.grid, extents).encode())
            shutil.copyfileobj(spool, out, 4 << 20)
    report.written = len(mask.segments)


def _header(mask: MaskStream, kind: str, image: Grid, extents: slicer.Extents) -> str:
    """The text before the voxels."""
    affine = to_centred(mask.grid, ras=False)
    layered = mask.layers > 1
    sizes = [*([mask.layers] if layered else []), *mask.grid.shape[::-1]]
    ways = [*(["none"] if layered else []), *(_vector(affine[:3, axis].tolist()) for axis in range(3))]
    reference, offset = _reference(mask.grid, image)
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {kind}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(ways)}",
        f"kinds: {'list ' if layered else ''}domain domain domain",
        *(["endian: little"] if kind != "unsigned char" else []),
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3].tolist())}",
    ]
    table = slicer.pairs(mask.segments, extents) | {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{_geometry(reference)}|Geometry of the image&",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": " ".join(map(str, offset)),
    }
    lines += [f"{key}:={_escaped(value)}" for key, value in sorted(table.items())]
    return "\n".join(lines) + "\n\n"


def _vector(values: Sequence[float]) -> str:
    return f"({','.join(repr(float(v) + 0.0) for v in values)})"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _reference(grid: Grid, image: Grid) -> tuple[Grid, tuple[int, int, int]]:
    """Grid of the reference image, and where in it the mask begins (x, y, z).

    It is the image's where the mask is cut out of that, else the mask's own.
    """
    if image.ndim == 3 and image.slices is None:
        same = np.allclose(np.asarray(grid.affine)[:, :3], np.asarray(image.affine)[:, :3], rtol=0, atol=SAME)
        start = image.to_index(grid.to_world((0.0, 0.0, 0.0)))
        whole = np.rint(start)
        if same and np.abs(start - whole).max() < SAME * max(grid.shape):
            z, y, x = (int(v) for v in whole)
            return image, (x, y, z)
    return grid, (0, 0, 0)


def _geometry(grid: Grid) -> str:
    """Slicer's text for a geometry: the matrix to RAS row by row, then the first and last index of each axis."""
    numbers = [repr(float(v) + 0.0) for v in to_centred(grid, ras=True).ravel()]
    extent = [str(v) for n in grid.shape[::-1] for v in (0, n - 1)]
    return "".join(f"{v};" for v in (*numbers, *extent))


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Segments of a file on its own grid. A plain NRRD label volume gets its names from the schema."""
    check_options(NAME, OPTIONS, options)
    fields = header_pairs(path)
    labels = open_labels(path, context=context, report=report, options=options)
    if any(map(slicer.KEY.fullmatch, fields)):
        segments = slicer.parse(fields, layers=labels.layers, context=context, report=report)
        _check_values(labels, segments, report)
    else:
        segments = segments_of(labels, context=context, report=report)
    report.written = len(segments)
    return labels.stream(segments)


def _check_values(labels: Labelled, segments: Sequence[Segment], report: Report) -> None:
    """Note values that no segment has."""
    known = {(segment.layer, segment.value) for segment in segments}
    for layer, values in enumerate(labels.values):
        if lost := sorted(v for v in values if (layer, v) not in known):
            report.problem("value", f"layer {layer}", f"voxels hold {_some(lost)}, which no segment has")


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:20])) + (" and more" if len(values) > 20 else "")


def header_pairs(path: Path) -> dict[str, str]:
    """Key/value pairs of a NRRD header. Raises DataError where it has no end."""
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER)
    end = min((at for at in (head.find(b"\n\n"), head.find(b"\r\n\r\n")) if at >= 0), default=-1)
    if end < 0:
        raise DataError(f"{path.name} is cut short: its header has no end")
    found: dict[str, str] = {}
    for line in head[:end].decode("utf-8", "replace").splitlines():
        key, separator, value = line.partition(":=")
        if separator and not line.startswith("#"):
            found[key.strip()] = value.replace("\\n", "\n").replace("\\\\", "\\").strip()
    return found

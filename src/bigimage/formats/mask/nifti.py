"""NIfTI label volumes: whole numbers on an exact affine, with names and colours in a label table.

Sources: the NIfTI-1 standard for sform, qform, units and extensions; the label table is the one that Connectome
Workbench keeps in NIfTI volumes (extension code 30), which TotalSegmentator writes as well.
"""

import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat
from xml.sax.saxutils import escape

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Header
from nibabel.nifti2 import Nifti2Header

from bigimage.errors import DataError
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask.labelled import HIGHEST, VOLUMES, open_labels, segments_of
from bigimage.formats.mask.streams import (
    check_mask,
    color_of,
    flatten,
    require_known,
    rgb,
    segment_for,
    segment_name,
    slabs,
    values_of,
)
from bigimage.geometry.dicom import to_centred
from bigimage.geometry.grid import Grid
from bigimage.sources.volume_nifti import is_nifti

NAME = "nifti"
SUFFIXES = (".nii.gz", ".nii")
KEEPS = KeepsMask(highest=HIGHEST, names=True, colors=True, frames=frozenset({"patient"}), sheared=True)
OPTIONS: Mapping[str, str] = VOLUMES

LABEL_TABLE = 30
"""Extension code of the label table."""
COMMENTS = (0, 4, 6, LABEL_TABLE)
"""Extension codes under which tools have put that table."""
LABEL_INTENT = 1002
MOST_NIFTI1 = 32767
"""Largest size of an axis in NIfTI-1."""
EXACT = 1e-3
"""Part of a voxel by which the single precision of the header may move a corner without being a loss."""
SHEAR = 1e-6
LEVEL = 4
"""Of gzip; label volumes gain little beyond it."""


def sniff(path: Path) -> bool:
    """Whether a file is NIfTI, packed or not."""
    return path.is_file() and is_nifti(path)


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write labels with scanner-based sform and qform; sheared grids have the sform alone.

    Raises Unsupported for fractions, unevenly spaced slices and images that are no volume.
    """
    check_options(NAME, OPTIONS, options)
    check_mask(NAME, KEEPS, mask)
    flat = flatten(mask, report, highest=KEEPS.highest)
    header = _header(flat.mask, report)
    if path.name.endswith(".gz"):
        # no name and no date in the stream: the same mask gives the same bytes
        with path.open("wb") as raw, gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as stream:
            _fill(stream, header, flat.mask)
    else:
        with path.open("wb") as stream:
            _fill(stream, header, flat.mask)
    flat.tell(report)
    report.written = len(flat.mask.segments)


def _fill(stream: IO[bytes] | gzip.GzipFile, header: Any, mask: MaskStream) -> None:
    """Header, extensions and voxels. Raises DataError for values without a segment."""
    head = io.BytesIO()
    header.write_to(head)
    stream.write(head.getvalue().ljust(int(header["vox_offset"]), b"\0"))
    dtype = header.get_data_dtype()
    found: set[tuple[int, int]] = set()
    for _, slab in slabs(mask):
        found |= {(0, value) for value in values_of(slab[0]).tolist()}
        stream.write(np.ascontiguousarray(slab[0], dtype).data)
    require_known(mask, found)


def _header(mask: MaskStream, report: Report) -> Any:
    """Header of a mask, with its label table."""
    z, y, x = mask.grid.shape
    header: Any = (Nifti2Header if max(x, y, z) > MOST_NIFTI1 else Nifti1Header)()
    header.set_data_shape((x, y, z))
    header.set_data_dtype(np.int32 if np.dtype(mask.dtype).itemsize > 2 else np.dtype(mask.dtype))
    header.set_slope_inter(1.0, 0.0)
    header.set_xyzt_units("mm", "sec")
    header.set_intent(LABEL_INTENT)
    affine = to_centred(mask.grid, ras=True)
    header.set_sform(affine, code=1)
    if _is_sheared(affine):
        report.note("the grid is sheared: only the sform holds it, and readers that know the qform alone will refuse")
        header.set_qform(None, code=0)
    else:
        header.set_qform(affine, code=1)
    moved = _moved(mask.grid, affine, header.get_sform())
    if moved > EXACT:
        report.lose("rounded", "affine", f"the header's precision moves voxels by up to {moved:.2g} of their size")
    header["descrip"] = b"segmentation by bigimage"
    header.extensions.append(Nifti1Extension(LABEL_TABLE, _table(mask).encode()))
    return header


def _is_sheared(affine: "np.ndarray[Any, np.dtype[np.float64]]") -> bool:
    """Whether the axes of voxels do not meet at right angles."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(unit.T @ unit - np.eye(3)).max()) > SHEAR


def _moved(grid: Grid, exact: "np.ndarray[Any, Any]", kept: "np.ndarray[Any, Any]") -> float:
    """Largest way of a corner from its place, in voxels."""
    z, y, x = grid.shape
    corners = np.array([[i, j, k, 1.0] for i in (0, x) for j in (0, y) for k in (0, z)])
    way = (corners @ (exact - kept).T)[:, :3]
    return float(np.linalg.norm(way, axis=1).max() / min(grid.spacing))


def _table(mask: MaskStream) -> str:
    """Label table as XML."""
    lines = ['<Label Key="0" Red="0" Green="0" Blue="0" Alpha="0">???</Label>']
    for segment in mask.segments:
        red, green, blue = (f"{v / 255:.6g}" for v in rgb(segment.label.color))
        colors = f'Red="{red}" Green="{green}" Blue="{blue}" Alpha="1"'
        lines.append(f'<Label Key="{segment.value}" {colors}>{escape(segment_name(segment))}</Label>')
    body = "\n".join(lines)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<CaretExtension>\n<VolumeInformation Index="0">\n'
        f"<LabelTable>\n{body}\n</LabelTable>\n<VolumeType>Label</VolumeType>\n</VolumeInformation>\n</CaretExtension>\n"
    )


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Labels of a file on its own grid; names and colours come from its label table, else from the schema."""
    check_options(NAME, OPTIONS, options)
    labels = open_labels(path, context=context, report=report, options=options)
    names = _names(path, report)
    segments: list[Segment] = []
    for segment in segments_of(labels, context=context, report=report):
        name, color = names.get(segment.value, (None, None)) if labels.layers == 1 else (None, None)
        named = segment_for(context, value=segment.value, name=name, color=color) if name is not None else segment
        segments.append(named)
    report.written = len(segments)
    return labels.stream(tuple(segments))


def _names(path: Path, report: Report) -> dict[int, tuple[str, str | None]]:
    """Value → (name, colour) of the label table; empty where there is none."""
    image: Any = nibabel.load(path)  # pyright: ignore[reportPrivateImportUsage]
    for extension in image.header.extensions:
        text = bytes(extension.content)
        if extension.get_code() in COMMENTS and b"<LabelTable>" in text:
            try:
                return parse_table(text.rstrip(b"\0"))
            except DataError as error:
                report.note(f"{path.name}: {error}")
    return {}


def parse_table(text: bytes) -> dict[int, tuple[str, str | None]]:
    """Value → (name, colour) of a label table. Raises DataError for one that is garbled."""
    found: dict[int, tuple[str, str | None]] = {}
    state: dict[str, Any] = {"key": None, "text": []}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Label":
            state["key"], state["text"], state["color"] = int(attributes["Key"]), [], _color(attributes)

    def characters(data: str) -> None:
        state["text"].append(data)

    def end(tag: str) -> None:
        if tag == "Label" and state["key"]:
            found[state["key"]] = ("".join(state["text"]).strip(), state["color"])

    def entity(*_: object) -> None:
        # entities that grow without bounds are the one danger of XML that brings no file
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = characters, entity
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"the label table is garbled and its names are not used ({error})") from error
    return found


def _color(attributes: dict[str, str]) -> str | None:
    """Colour of a label's channels from 0 to 1."""
    channels = [float(attributes.get(name, "nan")) * 255 for name in ("Red", "Green", "Blue")]
    return color_of(*channels) if all(map(np.isfinite, channels)) else None

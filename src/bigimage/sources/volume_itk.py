"""NRRD and MetaImage headers through SimpleITK, which knows their geometry; where voxels lie is read off the text."""

import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from bigimage.errors import DataError, NotFound, Unsupported
from bigimage.model.image import Role, Verdict
from bigimage.sources.flat import FlatFile, FlatVolume
from bigimage.sources.volume_header import VolumeHeader, flat

LONGEST_HEADER = 1 << 20
META_START = (b"ObjectType", b"NDims", b"Comment", b"TransformType")
"""Keys with which MetaImage headers begin."""
TYPES: dict[int, type[np.generic]] = {
    sitk.sitkUInt8: np.uint8,
    sitk.sitkInt8: np.int8,
    sitk.sitkUInt16: np.uint16,
    sitk.sitkInt16: np.int16,
    sitk.sitkUInt32: np.uint32,
    sitk.sitkInt32: np.int32,
    sitk.sitkUInt64: np.uint64,
    sitk.sitkInt64: np.int64,
    sitk.sitkFloat32: np.float32,
    sitk.sitkFloat64: np.float64,
    sitk.sitkVectorUInt8: np.uint8,
    sitk.sitkVectorInt8: np.int8,
    sitk.sitkVectorUInt16: np.uint16,
    sitk.sitkVectorInt16: np.int16,
    sitk.sitkVectorUInt32: np.uint32,
    sitk.sitkVectorInt32: np.int32,
    sitk.sitkVectorUInt64: np.uint64,
    sitk.sitkVectorInt64: np.int64,
    sitk.sitkVectorFloat32: np.float32,
    sitk.sitkVectorFloat64: np.float64,
}
SPATIAL_KINDS = ("domain", "space")
ELSEWHERE = {"data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip"}
"""NRRD fields that put the voxels anywhere but straight behind the header."""
TEXTS = ("ascii", "text", "txt")
MOST_WHOLE = 2 << 30
"""Bytes of voxels beyond which nothing is read as a whole."""
PACKINGS = {"raw": "raw", "gz": "gzip", "gzip": "gzip"}


def is_itk(path: Path) -> bool:
    """Whether a file is NRRD or MetaImage, by its first line."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head.startswith(b"NRRD000") or (head.lstrip().startswith(META_START) and b"=" in head)


def read_header(path: Path) -> VolumeHeader:
    """Header of a NRRD or MetaImage file. Raises NotFound, DataError, Unsupported."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    fields, start, is_nrrd = _fields(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NrrdImageIO" if is_nrrd else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path.name} has a damaged header: {_reason(error)}") from error
    kind = TYPES.get(reader.GetPixelIDValue())
    if kind is None:
        raise Unsupported(f"{path.name} holds {sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())} voxels")
    sizes = _sizes(path, reader)
    dtype = np.dtype(kind).newbyteorder(_byte_order(fields))
    axes = (*(("t",) if "t" in sizes else ()), "z", "y", "x", *(("c",) if "c" in sizes else ()))
    where = _payload(path, fields, start, is_nrrd=is_nrrd, sizes=sizes)
    if where is None:
        _check_whole(path, fields, start, sizes, dtype.itemsize)
        opener = partial(_read_whole, path, np.dtype(kind), axes, sizes)
    else:
        voxels, offset, packing = where
        opener = partial(flat, voxels, offset=offset, packing=packing, dtype=dtype, axes=axes, sizes=sizes)
    return VolumeHeader(
        path=path,
        beside=_beside(path, fields),
        driver="NRRD" if is_nrrd else "MetaImage",
        dtype=dtype if where is not None else np.dtype(kind),
        axes=axes,
        sizes=sizes,
        affine=_affine(reader),
        ras=False,
        open=opener,
        colour=is_nrrd and fields.get("kinds", "").split()[:1] in (["RGB-color"], ["RGBA-color"]),
        role=_role(fields),
        times={"key": "time", "values": None} if "t" in sizes else None,
        verdicts=_verdicts(fields, is_nrrd=is_nrrd),
        library={"SimpleITK": sitk.Version.VersionString()},
    )


def _reason(error: RuntimeError) -> str:
    """The last line of an ITK exception, which says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].split("ERROR: ")[-1][:300] if lines else "unknown"


def _fields(path: Path) -> tuple[dict[str, str], int, bool]:
    """Keys and values of a text header, the position after it, and whether it is NRRD."""
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER)
    is_nrrd = head.startswith(b"NRRD")
    fields: dict[str, str] = {}
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        line, at = head[at:end].decode("latin-1").strip(), end + 1
        if is_nrrd and not line:
            break
        key, separator, value = line.partition(":" if is_nrrd else "=")
        if separator and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip().lstrip("=").strip()
        if not is_nrrd and key.strip() == "ElementDataFile":
            break
    return fields, at, is_nrrd


def _sizes(path: Path, reader: Any) -> dict[str, int]:
    """Sizes of the axes; the fourth one is time."""
    shape = tuple(int(n) for n in reader.GetSize())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise Unsupported(f"{path.name} has {len(shape)} axes of voxels; two to four are read")
    sizes: dict[str, int] = dict(zip(("x", "y", "z", "t"), (*shape, *(1,) * (3 - len(shape))), strict=False))
    if reader.GetNumberOfComponents() > 1:
        sizes["c"] = int(reader.GetNumberOfComponents())
    return sizes


def _affine(reader: Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Voxel centres → LPS millimetres, shear included."""
    count = len(reader.GetSize())
    direction = np.asarray(reader.GetDirection()).reshape(count, count)
    affine = np.eye(4)
    used = min(count, 3)
    affine[:used, :used] = (direction * np.asarray(reader.GetSpacing()))[:used, :used]
    affine[:used, 3] = reader.GetOrigin()[:used]
    return affine


def _byte_order(fields: dict[str, str]) -> Literal["<", ">"]:
    big = fields.get("endian") == "big" or "true" in (
        fields.get("binarydatabyteordermsb", "").lower(),
        fields.get("elementbyteordermsb", "").lower(),
    )
    return ">" if big else "<"


def _payload(
    path: Path, fields: dict[str, str], start: int, *, is_nrrd: bool, sizes: dict[str, int]
) -> tuple[Path, int, str] | None:
    """(file, offset, packing) of the voxels; None where SimpleITK has to find and unpack them."""
    if is_nrrd:
        packing = PACKINGS.get(fields.get("encoding", ""))
        if packing is None or ELSEWHERE & fields.keys() or not _is_plain(fields, sizes):
            return None
        return path, start, packing
    name = fields.get("elementdatafile", "")
    if name.upper() == "LIST" or "%" in name or fields.get("headersize", "0") not in ("0", "-1"):
        return None
    if fields.get("binarydata", "True").lower() != "true" or fields.get("headersize") == "-1":
        return None
    packing = "zlib" if fields.get("compresseddata", "False").lower() == "true" else "raw"
    if name.upper() == "LOCAL":
        return path, start, packing
    voxels = path.parent / name
    # a header may not lead to files outside its own folder
    if not voxels.resolve().is_relative_to(path.parent.resolve()):
        raise DataError(f"{path.name} names voxels outside its folder: {name!r}")
    if not voxels.is_file():
        raise NotFound(f"{name}, which holds the voxels of {path.name}, does not exist")
    return voxels, 0, packing


def _beside(path: Path, fields: dict[str, str]) -> tuple[Path, ...]:
    """The file that holds the voxels, where it is another one; those of a list or a pattern of names are not told."""
    name = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    voxels = path.parent / name
    return (voxels,) if name.upper() != "LOCAL" and voxels.is_file() else ()


def _is_plain(fields: dict[str, str], sizes: dict[str, int]) -> bool:
    """Whether a NRRD's axes are stored as [time,] z, y, x [, channel], from the slowest to the fastest."""
    if fields.get("dimension") != str(len(sizes)):
        return False
    kinds = fields.get("kinds", "").split()
    if not kinds:
        return "c" not in sizes
    if "c" in sizes and kinds.pop(0) in SPATIAL_KINDS:
        return False
    if "t" in sizes and kinds[-1:] == ["time"]:
        kinds.pop()
    return all(kind in SPATIAL_KINDS for kind in kinds)


def _check_whole(path: Path, fields: dict[str, str], start: int, sizes: dict[str, int], itemsize: int) -> None:
    """Refuse what SimpleITK would need all memory for: it believes what a header says before it looks at the voxels.

    Raises DataError where text is too short for the voxels that it should hold, Unsupported for very large volumes.
    """
    count = math.prod(sizes.values())
    is_text = fields.get("encoding") in TEXTS or fields.get("binarydata", "true").lower() == "false"
    there = path.stat().st_size - start
    # a digit and what parts it from the next one
    if is_text and not _elsewhere(fields) and there < 2 * count - 1:
        raise DataError(f"{path.name} is cut short: {there} bytes of text cannot hold its {count} voxels")
    if count * itemsize > MOST_WHOLE:
        raise Unsupported(
            f"{path.name} stores its voxels in a way that is read as a whole, and holds {count * itemsize} bytes of "
            "them; save it with raw or gzip encoding"
        )


def _elsewhere(fields: dict[str, str]) -> bool:
    """Whether voxels stand in other files."""
    return bool({"data file", "datafile"} & fields.keys()) or fields.get("elementdatafile", "LOCAL").upper() != "LOCAL"


def _read_whole(path: Path, dtype: np.dtype[Any], axes: tuple[str, ...], sizes: dict[str, int]) -> FlatVolume:
    """All voxels by SimpleITK, kept in a temporary file without a name."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise DataError(f"{path.name} is damaged: {_reason(error)}") from error
    with tempfile.TemporaryFile() as target:
        # a view, which lives no longer than the image
        np.ascontiguousarray(sitk.GetArrayViewFromImage(image)).tofile(target)
        target.flush()
        return FlatVolume(FlatFile.of(target), 0, dtype, axes, sizes)


def _role(fields: dict[str, str]) -> Role:
    """Labels where 3D Slicer wrote a segmentation."""
    return "labels" if "segment0_id" in fields else "image"


def _verdicts(fields: dict[str, str], *, is_nrrd: bool) -> tuple[Verdict, ...]:
    found: list[Verdict] = []
    if is_nrrd and "space" not in fields:
        message = "the file names no space; x, y, z are taken to run left, posterior, superior"
        found.append(Verdict(code="NO_ORIENTATION", message=message))
    units = {unit.strip('"') for unit in fields.get("space units", "").split()} - {"mm", ""}
    if units:
        message = f"the file measures in {', '.join(sorted(units))}; its numbers are taken for millimetres"
        found.append(Verdict(code="UNIT_UNKNOWN", message=message))
    if "segment0_id" in fields:
        message = "a segmentation of 3D Slicer, taken for a label image; import it onto its image to keep its segments"
        found.append(Verdict(code="SEGMENTATION", message=message))
    return tuple(found)

"""NIfTI-1 and NIfTI-2 headers through nibabel. Source of the rules on sform, qform and units: the NIfTI-1 standard."""

import gzip
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from bigimage.errors import DataError, NotFound, Unsupported
from bigimage.model.image import Verdict
from bigimage.sources.volume_header import VolumeHeader, flat

MAGIC = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}
"""Place and values of the magic number by the size of the header."""
MILLIMETRES = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
SAME_FORM = 1e-3
"""Millimetres by which corners by sform and by qform may differ without a word."""
CODES = {0: "unknown", 1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}
HEADER_ERRORS = (ImageFileError, HeaderDataError, WrapStructError, ValueError, KeyError, EOFError, zlib.error)


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI, packed or not, by its magic number; the header of a pair counts, its voxels do not."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if head == b"\x1f\x8b" else file
            head = stream.read(540)
    except (OSError, EOFError, zlib.error):
        return False
    return any(head[at : at + 4] in values for at, values in MAGIC.values())


def read_header(path: Path) -> VolumeHeader:
    """Header of a NIfTI file. Raises NotFound, DataError, Unsupported."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    try:
        image: Any = nibabel.load(path)  # pyright: ignore[reportPrivateImportUsage]
        header = image.header
        shape = tuple(int(n) for n in image.shape)
        stored = header.get_data_dtype()
    except HEADER_ERRORS as error:
        raise DataError(f"{path.name} has a damaged NIfTI header: {error}") from error
    dtype, samples = _sample_type(path, stored)
    axes, sizes = _axes(path, shape, samples)
    verdicts: list[Verdict] = []
    affine = _affine(header, sizes, verdicts)
    # nibabel takes the scaling out of the header it hands out
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    voxels = Path(image.file_map["image"].filename)
    if not voxels.is_file():
        raise NotFound(f"{voxels.name}, which holds the voxels of {path.name}, does not exist")
    opener = partial(
        flat,
        voxels,
        offset=0,
        skip=int(image.dataobj.offset),
        packing="gzip" if _is_gzip(voxels) else "raw",
        dtype=dtype,
        axes=axes,
        sizes=sizes,
    )
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return VolumeHeader(
        path=path,
        driver="NIfTI",
        dtype=dtype,
        axes=axes,
        sizes=sizes,
        affine=affine,
        ras=True,
        open=opener,
        slope=slope,
        intercept=intercept,
        window=(low, high) if np.isfinite((low, high)).all() and low < high else None,
        colour=samples > 1,
        times=_times(header, sizes.get("t", 1)),
        extra={"sform": CODES.get(int(header["sform_code"])), "qform": CODES.get(int(header["qform_code"]))},
        verdicts=tuple(verdicts),
        library={"nibabel": nibabel.__version__},
    )


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _sample_type(path: Path, stored: np.dtype[Any]) -> tuple[np.dtype[Any], int]:
    """Type of one sample, and how many make a voxel. Raises Unsupported."""
    if stored.names is not None:
        return np.dtype(np.uint8), len(stored.names)
    if stored.kind not in "iuf" or stored.itemsize > 8:
        raise Unsupported(f"{path.name} holds {stored.name} voxels; whole and floating numbers up to 64 bits are read")
    return stored, 1


def _axes(path: Path, shape: tuple[int, ...], samples: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """Axes from the slowest to the fastest, and all sizes. The fifth dimension holds channels."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 5 or not shape or min(shape) < 1 or (len(shape) == 5 and samples > 1):
        raise DataError(f"{path.name} has voxels of shape {shape}; up to x, y, z, time and channel are read")
    full = (*shape, *(1,) * (5 - len(shape)))
    sizes: dict[str, int] = dict(zip(("x", "y", "z", "t", "c"), full, strict=True))
    if samples > 1:
        sizes["c"] = samples
    lead = tuple(axis for axis in ("c", "t") if sizes[axis] > 1 and not (axis == "c" and samples > 1))
    kept = (*lead, "z", "y", "x", *(("c",) if samples > 1 else ()))
    return kept, {axis: sizes[axis] for axis in kept}


def _affine(header: Any, sizes: dict[str, int], verdicts: list[Verdict]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Voxel centres → RAS millimetres: the sform where it has a code, else the qform, else bare spacings."""
    unit = header.get_xyzt_units()[0]
    if unit == "unknown":
        verdicts.append(Verdict(code="UNIT_UNKNOWN", message="the file names no unit of length; taken for millimetres"))
    scale = np.diag([*(MILLIMETRES.get(unit, 1.0),) * 3, 1.0])
    sform, has_sform = header.get_sform(coded=True)
    try:
        qform, has_qform = header.get_qform(coded=True)
    except ValueError:
        # a quaternion longer than 1; without an sform such a file was refused when it was opened
        message = "the qform is damaged, its quaternion is no rotation; the sform is used"
        verdicts.append(Verdict(code="FORMS_DIFFER", message=message))
        qform, has_qform = None, 0
    if has_sform and has_qform:
        ends = np.array([[x, y, z, 1.0] for x in (0, sizes["x"]) for y in (0, sizes["y"]) for z in (0, sizes["z"])])
        off = float(np.abs((sform - qform) @ scale @ ends.T).max())
        if off > SAME_FORM:
            message = f"sform and qform differ by up to {off:.3g} mm; the sform is used"
            verdicts.append(Verdict(code="FORMS_DIFFER", message=message))
    if has_sform:
        return scale @ sform
    if has_qform:
        return scale @ qform
    message = "the file has neither sform nor qform; x, y, z are taken to run right, anterior, superior"
    verdicts.append(Verdict(code="NO_ORIENTATION", message=message))
    return scale @ header.get_base_affine()


def _times(header: Any, count: int) -> dict[str, Any] | None:
    """Seconds of each time point, where the file states their distance."""
    if count < 2:
        return None
    factor = SECONDS.get(header.get_xyzt_units()[1])
    zooms = header.get_zooms()
    step = float(zooms[3]) if len(zooms) > 3 else 0.0
    known = factor is not None and np.isfinite(step) and step > 0
    return {"key": "time", "values": [k * step * factor for k in range(count)] if known and factor else None}

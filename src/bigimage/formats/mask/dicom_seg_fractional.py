"""DICOM Segmentation, type FRACTIONAL: how likely, or how much of each voxel belongs to a segment, in 256 steps.

Sources: DICOM PS3.3 A.51 and C.8.20.2.3.
"""

from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError, InputError
from bigimage.formats.dicom import source
from bigimage.formats.dicom.segread import read_file, type_of
from bigimage.formats.dicom.segwrite import (
    HELD,
    Frame,
    Kind,
    PixelWriter,
    check,
    fits_image,
    frame_shape,
    planes,
    write_file,
)
from bigimage.formats.door import Context, MaskStream, Options, Report, check_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "dicom-seg-fractional"
SUFFIXES = (".dcm",)
KEEPS = replace(HELD, fractions=True)
OPTIONS = source.OPTIONS | {
    "meaning": "occupancy (default) or probability: what a fraction is",
    "compression": "none (default), rle or jpegls",
}
STEPS = 255
fits = fits_image


def sniff(path: Path) -> bool:
    """Whether a file is a fractional segmentation."""
    return type_of(path) == "FRACTIONAL"


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write fractions rounded to 255ths; whole labels become fractions of 1. Empty frames are left out.

    Raises DataError for fractions outside 0 to 1, Unsupported as the other types do.
    """
    check_options(NAME, OPTIONS, options)
    check(NAME, KEEPS, mask, context)
    meaning = options.get("meaning", "occupancy").upper()
    if meaning not in ("OCCUPANCY", "PROBABILITY"):
        raise InputError(f"meaning {options['meaning']!r} is neither occupancy nor probability")
    rounded = False

    def frames(spool: IO[bytes]) -> tuple[list[Frame], PixelWriter]:
        nonlocal rounded
        writer = PixelWriter(spool, options.get("compression", "none"))
        made: list[Frame] = []
        for k, pixels in planes(mask, context):
            for n, segment in enumerate(mask.segments, 1):
                plane = pixels[segment.layer]
                steps, exact = _steps(plane) if mask.fractional else ((plane == segment.value) * STEPS, True)
                rounded = rounded or not exact
                if steps.any():
                    writer.add(steps.astype(np.uint8))
                    made.append((k, n))
        if not made:
            # a segmentation has at least one frame
            writer.add(np.zeros(frame_shape(mask, context), np.uint8))
            made.append((0, 1))
        return made, writer

    write_file(
        path,
        mask,
        frames,
        kind=Kind(type="FRACTIONAL", bits=8, fraction=meaning),
        numbers=list(range(1, len(mask.segments) + 1)),
        overlapping=len(mask.segments) > 1,
        context=context,
        report=report,
        options=options,
    )
    if rounded:
        report.lose("rounded", "fractions", f"fractions are kept in steps of 1/{STEPS}")


def _steps(plane: "NDArray[np.float32]") -> "tuple[NDArray[np.float32], bool]":
    """Fractions in steps, and whether no digit was lost. Raises DataError for numbers that are no fractions."""
    low, high = float(plane.min()), float(plane.max())
    if not (low >= 0.0 and high <= 1.0):
        raise DataError(f"fractions lie from 0 to 1, not from {low:g} to {high:g}")
    scaled = plane * np.float32(STEPS)
    steps = np.rint(scaled)
    return steps, bool(np.abs(scaled - steps).max() < 1e-3)


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Fractions of a file on its own grid; layer k is that of the k-th segment."""
    check_options(NAME, OPTIONS, options)
    return read_file(path, expected="FRACTIONAL", context=context, report=report)

"""DICOM Segmentation, type BINARY: one bit for each voxel and segment. What every PACS and viewer reads.

Sources: DICOM PS3.3 A.51 and C.8.20.
"""

from pathlib import Path
from typing import IO

import numpy as np

from bigimage.errors import Unsupported
from bigimage.formats.dicom import source
from bigimage.formats.dicom.segments import HIGHEST
from bigimage.formats.dicom.segread import read_file, type_of
from bigimage.formats.dicom.segwrite import (
    HELD,
    BitWriter,
    Frame,
    Kind,
    check,
    fits_image,
    frame_shape,
    planes,
    write_file,
)
from bigimage.formats.door import Context, MaskStream, Options, Report, check_options
from bigimage.formats.mask.streams import require_known, values_of

NAME = "dicom-seg"
SUFFIXES = (".dcm",)
KEEPS = HELD
OPTIONS = dict(source.OPTIONS)
fits = fits_image


def sniff(path: Path) -> bool:
    """Whether a file is a binary segmentation."""
    return type_of(path) == "BINARY"


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write a binary segmentation. Frames without a set bit are left out.

    Segments are numbered from 1 in the order of the mask, as the standard asks; their labels tell what they are.
    Raises Unsupported for fractions, images that are no volume, planes with sheared pixels, more than 4 GB of bits.
    """
    check_options(NAME, OPTIONS, options)
    check(NAME, KEEPS, mask, context)
    numbers = {(s.layer, s.value): n for n, s in enumerate(mask.segments, 1)}
    if len(numbers) > HIGHEST:
        raise Unsupported(f"{len(numbers)} segments are more than the {HIGHEST} that DICOM numbers")

    def frames(spool: IO[bytes]) -> tuple[list[Frame], BitWriter]:
        writer = BitWriter(spool)
        made: list[Frame] = []
        found: set[tuple[int, int]] = set()
        for k, pixels in planes(mask, context):
            for layer, plane in enumerate(pixels):
                for value in values_of(plane).tolist():
                    found.add((layer, value))
                    if (layer, value) in numbers:
                        writer.add(plane == value)
                        made.append((k, numbers[layer, value]))
        require_known(mask, found)
        if not made:
            # a segmentation has at least one frame
            writer.add(np.zeros(frame_shape(mask, context), np.bool_))
            made.append((0, 1))
        return made, writer

    write_file(
        path,
        mask,
        frames,
        kind=Kind(type="BINARY", bits=1),
        numbers=list(numbers.values()),
        overlapping=mask.layers > 1,
        context=context,
        report=report,
        options=options,
    )


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Segments of a file on its own grid; those that overlap lie in different layers."""
    check_options(NAME, OPTIONS, options)
    return read_file(path, expected="BINARY", context=context, report=report)

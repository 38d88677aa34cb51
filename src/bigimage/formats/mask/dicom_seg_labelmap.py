"""DICOM Label Map Segmentation (type LABELMAP): one number for each voxel, compressed; small and fast.

Sources: DICOM PS3.3 A.51 and C.8.20 as of Supplement 243.
"""

from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from bigimage.formats.dicom import source
from bigimage.formats.dicom.segments import HIGHEST
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
from bigimage.formats.mask.streams import flatten, require_known, values_of

NAME = "dicom-seg-labelmap"
SUFFIXES = (".dcm",)
KEEPS = replace(HELD, highest=HIGHEST, overlaps=False)
OPTIONS = source.OPTIONS | {"compression": "rle (default), which all readers know; jpegls, which is smaller; or none"}
fits = fits_image


def sniff(path: Path) -> bool:
    """Whether a file is a label map."""
    return type_of(path) == "LABELMAP"


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write a label map with a frame for every slice, of 8 bits where the values allow, else of 16.

    Raises Unsupported for fractions, images that are no volume and planes with sheared pixels.
    """
    check_options(NAME, OPTIONS, options)
    check(NAME, KEEPS, mask, context)
    flat = flatten(mask, report, highest=HIGHEST)
    dtype = np.dtype(np.uint8 if max((s.value for s in flat.mask.segments), default=0) < 256 else np.uint16)

    def frames(spool: IO[bytes]) -> tuple[list[Frame], PixelWriter]:
        writer = PixelWriter(spool, options.get("compression", "rle"))
        made: list[Frame] = []
        found: set[tuple[int, int]] = set()
        for k, (plane,) in planes(flat.mask, context):
            found.update((0, value) for value in values_of(plane).tolist())
            writer.add(plane.astype(dtype, copy=False))
            made.append((k, 0))
        require_known(flat.mask, found)
        if not made:
            # a segmentation has at least one frame
            writer.add(np.zeros(frame_shape(mask, context), dtype))
            made.append((0, 0))
        return made, writer

    write_file(
        path,
        flat.mask,
        frames,
        kind=Kind(type="LABELMAP", bits=8 * dtype.itemsize, by_segment=False),
        numbers=[segment.value for segment in flat.mask.segments],
        overlapping=False,
        context=context,
        report=report,
        options=options,
    )
    flat.tell(report)


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Labels of a file on its own grid."""
    check_options(NAME, OPTIONS, options)
    return read_file(path, expected="LABELMAP", context=context, report=report)

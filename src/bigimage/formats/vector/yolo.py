"""YOLO detection: a row is a class, and the centre, width and height of a box."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector import yolo_files
from bigimage.formats.vector.areas import box_of
from bigimage.formats.vector.pages import PAGE, Page, whole_page
from bigimage.formats.vector.pixels import Pixels
from bigimage.formats.vector.yolo_layouts import is_data_set
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Box, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "yolo"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes=dict.fromkeys(("box", "polygon", "rotated-box", "ellipse", "mask"), "box"),
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}


def sniff(path: Path) -> bool:
    """Whether a folder is a data set of boxes."""
    return is_data_set(path, lambda counts: all(n in (4, 5) for n in counts))


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set."""
    yolo_files.write_pages(path, pages, _encode, context=context, report=report)


def _encode(annotation: Annotation, page: Page, context: Context, report: Report) -> "list[NDArray[np.float64]] | None":
    """Centre and size of a shape's box."""
    corners = box_of(annotation, page, context, report)
    return None if corners is None else [np.stack([corners.mean(axis=0), corners[1] - corners[0]])]


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own text; see `bigimage.formats.door.VectorFormat.read`."""
    yield from yolo_files.read(path, _decode, format=NAME, context=context, report=report, options=options)


def _decode(numbers: "NDArray[np.float64]", pixels: Pixels, report: Report, place: str) -> Shape | None:
    """Box of a centre and a size."""
    if len(numbers) != 4:
        report.problem("value", place, "a box is its centre, its width and its height")
        return None
    x, y, width, height = numbers.tolist()
    box = Box((x - width / 2, y - height / 2), (x + width / 2, y + height / 2))
    return pixels.shape_in_world(box)

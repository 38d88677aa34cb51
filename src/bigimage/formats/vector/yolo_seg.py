"""YOLO segmentation: a row is a class and the corners of one ring; holes are joined to it, parts are rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector import yolo_files
from bigimage.formats.vector.areas import area_of, one_ring, without_bridges
from bigimage.formats.vector.pages import PAGE, Page, whole_page
from bigimage.formats.vector.pixels import Pixels
from bigimage.formats.vector.yolo_layouts import is_data_set
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Mask, Polygon, Shape, kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "yolo-seg"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes=dict.fromkeys(("box", "polygon", "rotated-box", "ellipse", "mask"), "polygon"),
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}


def sniff(path: Path) -> bool:
    """Whether a folder is a data set of rings."""
    return is_data_set(path, lambda counts: all(n >= 6 for n in counts) and not {*counts} <= {8, 9})


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set."""
    yolo_files.write_pages(path, pages, _encode, context=context, report=report)


def _encode(annotation: Annotation, page: Page, context: Context, report: Report) -> "list[NDArray[np.float64]] | None":
    """One ring for each part of a shape's outline."""
    geometry = area_of(annotation, page, context, report)
    if geometry is None:
        return None
    parts: list[Any] = list(shapely.get_parts(geometry))
    if not isinstance(annotation.shape, (Polygon, Mask)):
        report.lose("approximated", kind(annotation.shape), "written as a polygon", annotation.id)
    if len(parts) > 1:
        report.lose("approximated", "parts", "each part is a row of its own", annotation.id)
    return [one_ring(part) for part in parts]


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own text; see `bigimage.formats.door.VectorFormat.read`."""
    yield from yolo_files.read(path, _decode, format=NAME, context=context, report=report, options=options)


def _decode(numbers: "NDArray[np.float64]", pixels: Pixels, report: Report, place: str) -> Shape | None:
    """Polygon of a ring."""
    if len(numbers) < 6:
        report.problem("ring", place, "a polygon has at least three corners")
        return None
    return pixels.shape_in_world(Polygon(without_bridges(numbers.reshape(-1, 2))))

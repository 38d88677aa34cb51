"""YOLO oriented boxes: a row is a class and the four corners of a rectangle."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector import yolo_files
from bigimage.formats.vector.areas import area_of
from bigimage.formats.vector.pages import PAGE, Page, whole_page
from bigimage.formats.vector.pixels import Pixels
from bigimage.formats.vector.yolo_layouts import is_data_set
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Box, Polygon, RotatedBox, Shape, kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "yolo-obb"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes={
        "box": "box",
        "rotated-box": "rotated-box",
        "polygon": "rotated-box",
        "ellipse": "rotated-box",
        "mask": "rotated-box",
    },
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}
_SQUARE = 1e-6
"""Cosine up to which corners count as right angles."""


def sniff(path: Path) -> bool:
    """Whether a folder is a data set of four corners a row."""
    return is_data_set(path, lambda counts: all(n in (8, 9) for n in counts))


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set."""
    yolo_files.write_pages(path, pages, _encode, context=context, report=report)


def _encode(annotation: Annotation, page: Page, context: Context, report: Report) -> "list[NDArray[np.float64]] | None":
    """Corners of a rectangle within the page: the shape's own, the smallest around it, or at an edge its box."""
    shape, size = annotation.shape, (page.pixels.width, page.pixels.height)
    if isinstance(shape, (Box, RotatedBox)) and not isinstance(page.pixels.shape_of(shape), Polygon):
        whole = area_of(annotation, page, context, report, cut=False)
        corners = shapely.get_coordinates(whole)[:4]
        if (corners >= 0).all() and (corners <= size).all():
            return [corners]
    geometry = area_of(annotation, page, context, report)
    if geometry is None:
        return None
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(geometry))[:4]
    # a corner beyond the edge would make the trainer drop the row
    fits = (corners >= 0).all() and (corners <= size).all()
    what = "the smallest rectangle around it" if fits else "its box"
    report.lose("approximated", kind(shape), f"written as {what}", annotation.id)
    return [corners if fits else shapely.get_coordinates(shapely.box(*geometry.bounds))[:4]]


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own text; see `bigimage.formats.door.VectorFormat.read`."""
    yield from yolo_files.read(path, _decode, format=NAME, context=context, report=report, options=options)


def _decode(numbers: "NDArray[np.float64]", pixels: Pixels, report: Report, place: str) -> Shape | None:
    """Box, rotated box, or polygon where the corners are not those of a rectangle."""
    if len(numbers) != 8:
        report.problem("value", place, "an oriented box has four corners")
        return None
    corners = numbers.reshape(4, 2)
    u, v = corners[1] - corners[0], corners[3] - corners[0]
    width, height = float(np.hypot(*u)), float(np.hypot(*v))
    skew = abs(float(u @ v)) > _SQUARE * width * height
    if skew or np.abs(corners[0] + u + v - corners[2]).max() > _SQUARE * max(width, height):
        return pixels.shape_in_world(Polygon(shapely.Polygon(corners)))
    if abs(u[1]) + abs(v[0]) < 1e-9 * (width + height) or abs(u[0]) + abs(v[1]) < 1e-9 * (width + height):
        return pixels.shape_in_world(Box(tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist())))
    angle = float(np.degrees(np.arctan2(u[1], u[0])))
    return pixels.shape_in_world(RotatedBox(tuple(corners.mean(axis=0).tolist()), (width, height), angle))

"""Pages: the images of a data set as labelling tools see them. A whole image is one page; chips are many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector.pixels import Pixels, require_flat
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label
from bigimage.model.outline import outline
from bigimage.model.shape import Mask, MultiPoint, Point, Polygon, Shape, kind

PAGE = "which image of the file this one is, by its name there; needed where it has several"
FILE_PAGE = "which file of a folder is about this image, by its name; that of the image by default"


@dataclass(frozen=True, kw_only=True)
class Page:
    """One image of a data set."""

    name: str
    """Name of its file, relative to where images lie."""
    grid: Grid
    annotations: Iterable[Annotation]
    """In the frame of the image, cut to the page where it is a part of one."""
    split: str = ""
    """`train`, `val`, `test`, or nothing."""
    reviewed: bool = True
    """Whether somebody looked at it: then no annotation means that there is nothing."""

    @property
    def pixels(self) -> Pixels:
        """Its pixels."""
        return Pixels(self.grid)


def whole_page(context: Context, annotations: Iterable[Annotation], format: str) -> Page:
    """The image as the one page of a data set. Raises Unsupported for a volume."""
    require_flat(context.grid, format)
    return Page(name=context.file_name, grid=context.grid, annotations=annotations)


def choose(names: Sequence[str], context: Context, options: Options) -> int:
    """Place of the page that is the image. Raises InputError where that is not clear."""
    wanted = options.get("page")
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        # with or without its ending and its folders, where that leaves one
        alike = [k for k, name in enumerate(names) if PurePath(name).stem == PurePath(wanted).stem]
        if len(alike) == 1:
            return alike[0]
        raise InputError(f"no image of the file is named {wanted!r}; it has {_listed(names)}")
    if len(names) == 1:
        return 0
    stems = {context.image, PurePath(context.file_name).stem}
    found = [k for k, name in enumerate(names) if PurePath(name).stem in stems]
    if len(found) != 1:
        raise InputError(f"the file is about {len(names)} images; say which one this is with page: {_listed(names)}")
    return found[0]


def _listed(names: Sequence[str]) -> str:
    """Up to ten names."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def check_size(width: object, height: object, context: Context, report: Report, place: str) -> None:
    """Note a problem unless a page is as large as the image."""
    rows, columns = context.grid.shape[-2:]
    if (width, height) == (columns, rows):
        return
    turned = " (sides swapped: was it turned by its EXIF orientation?)" if (width, height) == (rows, columns) else ""
    message = f"the file is about an image of {width} x {height} pixels, this one has {columns} x {rows}{turned}"
    report.problem("grid", place, message)


def label_of(annotation: Annotation, context: Context, report: Report) -> Label | None:
    """Label of an annotation as the schema has it now; None, and a loss, where it has none."""
    found = context.schema.find(annotation.label)
    if found is None:
        report.lose("dropped", "label", f"{annotation.label!r} is not in the label schema", annotation.id)
    return found


def lose_fields(annotation: Annotation, kept: Iterable[str], report: Report) -> None:
    """Note fields of an annotation that a format does not keep, where there is something in them."""
    for field in ("attributes", "t", "score", "instance", "relations"):
        if field not in kept and getattr(annotation, field) not in (None, (), {}):
            report.lose("dropped", field, "the format has no place for it", annotation.id)


def lose_shape(annotation: Annotation, report: Report) -> None:
    """Note an annotation whose shape a format cannot hold at all."""
    report.lose("dropped", kind(annotation.shape), "the format has no such shape", annotation.id)


@np.errstate(over="ignore", invalid="ignore")  # places near the largest number are refused by validation
def polygon_of(rings: Sequence[Any], report: Report, place: str, *, holes: bool = False) -> Shape | None:
    """Polygon of rings (n, 2) in pixels: their union, or, with `holes`, one shell and its holes.

    Rings that cross themselves are left as they are, for validation to refuse or for the import to mend.
    """
    if any(len(ring) < 3 for ring in rings):
        report.problem("ring", place, "a polygon has at least three corners")
        return None
    parts = [shapely.Polygon(rings[0], rings[1:])] if holes else [shapely.Polygon(ring) for ring in rings]
    geometry: Any = parts[0]
    if len(parts) > 1:
        geometry = shapely.MultiPolygon(parts)
        if not shapely.is_valid(geometry) and all(shapely.is_valid(p) for p in parts):
            geometry = shapely.union_all(parts)
    return Polygon(geometry)


def point_of(points: Sequence[Any]) -> Shape:
    """A point, or several that are one object."""
    return Point(shapely.Point(points[0])) if len(points) == 1 else MultiPoint(shapely.MultiPoint(points))


def attributes_of(value: object, label: str, context: Context, report: Report) -> dict[str, Any]:
    """Attributes that the label declares; all of them where there is no schema. Others are noted as lost."""
    fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    if not context.schema.labels:
        return {k: v for k, v in fields.items() if v is not None}
    found = context.schema.find(label)
    declared = {a.name for a in found.attributes} if found else set[str]()
    for name in fields:
        if name not in declared:
            report.lose("dropped", f"attribute {name[:60]}", "the label declares no such attribute")
    return {k: v for k, v in fields.items() if k in declared and v is not None}


def mask_box(shape: Shape, grid: Grid) -> IndexBox | None:
    """Index box, in a page's grid, that a shape's pixels lie in; None when it has none there."""
    if isinstance(shape, Mask) and shape.grid == grid:
        return shape.box
    pixels = Pixels(grid)
    if isinstance(shape, Mask):
        box = shape.box
        corners = None if box is None else pixels.of_world(shape.grid.crop(box).corners())
    else:
        corners = shapely.get_coordinates(outline(pixels.shape_of(shape)))
    if corners is None or not len(corners):
        return None
    return _clipped(corners, grid)


def _clipped(corners: Any, grid: Grid) -> IndexBox | None:
    """Index box of pixel corners, cut to a grid; None when nothing is left."""
    low = np.clip(np.floor(corners.min(axis=0)[::-1] + 1e-6), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)[::-1] - 1e-6), 0, grid.shape).astype(int)
    return IndexBox(tuple(low.tolist()), tuple(high.tolist())) if (high > low).all() else None

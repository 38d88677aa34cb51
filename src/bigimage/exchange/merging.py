"""What is read against what is stored: what a format cannot hold is no change when its file comes back."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import shapely

from bigimage.formats.door import Keeps
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.outline import outline
from bigimage.model.shape import Line, MultiPoint, PlanarContours, Point, Polygon, Shape, bounds, kind

OPTIONAL = ("attributes", "t", "origin", "score", "instance", "relations")
"""Fields of an annotation that not every format keeps."""


def merged(stored: Annotation, read: Annotation, keeps: Keeps, grid: Grid) -> Annotation:
    """What is stored, with all that a file says differently.

    Fields that the file's format does not keep stay as they are; so does the shape where the file's is the same but for
    what the format rounds or approximates.
    """
    fields: dict[str, Any] = {name: getattr(stored, name) for name in OPTIONAL if name not in keeps.fields}
    if read.origin == "import":
        fields["origin"] = stored.origin
    shape = stored.shape if _same_shape(stored.shape, read.shape, keeps, grid) else read.shape
    return replace(read, shape=shape, **fields, schema=stored.schema)


def says_same(stored: Annotation, new: Annotation) -> bool:
    """Whether two states of an annotation say the same."""
    return stored.content() == new.content()


def _same_shape(stored: Shape, read: Shape, keeps: Keeps, grid: Grid) -> bool:
    """Whether a shape is what a stored one becomes in a format."""
    if stored == read:
        return True
    pixel = min(grid.spacing)
    tolerance = keeps.rounding * pixel * 2
    holed = isinstance(stored, Polygon) and not (keeps.holes and keeps.parts)
    if kind(stored) != kind(read):
        due = keeps.shapes.get(kind(stored)) == kind(read) or (holed and kind(read) == "mask")
        return due and _near(stored, read, pixel + tolerance)
    if isinstance(stored, (Point, MultiPoint, Line, Polygon, PlanarContours)):
        first, second = (shapely.orient_polygons(cast("Any", s).geometry) for s in (stored, read))
        if shapely.equals_exact(first, second, tolerance=tolerance):
            return True
        return bool(holed and _near(stored, read, pixel + tolerance))
    found, other = outline(stored), outline(read)
    if tolerance == 0 or found is None or other is None or kind(stored) == "mask":
        return False
    return bool(shapely.equals_exact(found, other, tolerance=tolerance))


def _near(first: Shape, second: Shape, tolerance: float) -> bool:
    """Whether the boxes of two shapes are the same within a tolerance."""
    one, other = bounds(first), bounds(second)
    if one is None or other is None:
        return one is other
    return bool(np.abs(np.asarray(one) - np.asarray(other)).max() <= tolerance)

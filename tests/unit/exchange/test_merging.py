"""What a file cannot hold is no change; what it says differently is."""

from dataclasses import replace

import shapely

from bigimage.exchange.merging import merged, says_same
from bigimage.formats.vector import FORMATS
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Box, Polygon, kind
from tests.annotated import GRIDS, drawn

GRID = GRIDS["geo"]


def of_kind(name: str) -> Annotation:
    return next(a for a in drawn("geo") if kind(a.shape) == name)


def test_fields_that_a_format_does_not_keep_stay() -> None:
    stored = of_kind("polygon")
    read = replace(stored, attributes={}, score=None, instance=None, origin="import")
    assert says_same(stored, merged(stored, read, FORMATS["yolo-seg"].KEEPS, GRID))
    # GeoJSON has a place for them: leaving them out there takes them away
    assert not says_same(stored, merged(stored, read, FORMATS["geojson"].KEEPS, GRID))


def test_rounding_is_no_change_and_a_moved_corner_is_one() -> None:
    stored = of_kind("polygon")
    keeps = FORMATS["geojson"].KEEPS
    for by, same in ((1e-5, True), (0.4, False)):
        moved = Polygon(shapely.transform(stored.shape.geometry, lambda xy, by=by: xy + by))
        assert says_same(stored, merged(stored, replace(stored, shape=moved), keeps, GRID)) is same


def test_an_approximation_that_comes_back_leaves_the_shape_as_it_was() -> None:
    stored = of_kind("ellipse")
    low_x, low_y, high_x, high_y = (float(v) for v in stored.bounds.minimum + stored.bounds.maximum)
    read = replace(stored, shape=Box((low_x, low_y), (high_x, high_y)))
    assert merged(stored, read, FORMATS["yolo"].KEEPS, GRID).shape == stored.shape
    away = replace(stored, shape=Box((low_x + 5, low_y), (high_x + 5, high_y)))
    assert merged(stored, away, FORMATS["yolo"].KEEPS, GRID).shape == away.shape


def test_the_direction_of_rings_is_no_change() -> None:
    stored = of_kind("polygon")
    turned = Polygon(shapely.reverse(stored.shape.geometry))
    found = merged(stored, replace(stored, shape=turned), FORMATS["geojson"].KEEPS, GRID)
    assert says_same(stored, found)


def test_a_label_is_always_what_the_file_says() -> None:
    stored = of_kind("polygon")
    found = merged(stored, replace(stored, label="small boat"), FORMATS["yolo"].KEEPS, GRID)
    assert found.label == "small boat"

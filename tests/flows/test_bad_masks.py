"""Bad shapes, huge images and hopeless orders: each is refused clearly or has the result that docs/masks.md defines."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.change import Added
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.shape import Ellipse, Line, Point, Polygon, Shape
from bigimage.rasterize.paint import Order, Studio, paint
from tests.painting import drawn, load, raster, rectangle, store_of, studio

INFO = raster((60, 70), pixel=1.0)
ALL = 60 * 70
X, Y = 500_000.0, 5_000_000.0


def ring(*index: tuple[float, float]) -> Polygon:
    """Polygon of index (row, column) vertices."""
    return Polygon(shapely.Polygon(INFO.grid.to_world(np.array(index, float))))


def line(*index: tuple[float, float]) -> Line:
    return Line(shapely.LineString(INFO.grid.to_world(np.array(index, float))))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Studio]:
    made = studio(tmp_path, INFO)
    yield made
    store_of(made).close()


# pixels by centres, by touch, and the area of what is covered
DEFINED: dict[str, tuple[Callable[[], Shape], int, int, float]] = {
    "bow tie": (lambda: ring((10, 10), (50, 50), (10, 50), (50, 10)), 800, 860, 800),
    "back and forth": (lambda: ring((10, 10.5), (50, 10.5), (10, 10.5)), 0, 40, 0),
    "ring of a point": (lambda: ring((10.5, 10.5), (10.5, 10.5), (10.5, 10.5)), 0, 1, 0),
    "empty": (lambda: Polygon(shapely.Polygon()), 0, 0, 0),
    "sliver": (lambda: rectangle(INFO, (5.6, 5.9), (0, 70)), 0, 70, 21),
    "line of a point": (lambda: line((10.5, 10.5), (10.5, 10.5)), 1, 1, 0),
    "flat ellipse": (lambda: Ellipse((X + 9, Y - 9), (5.0, 0.0), 0.0), 0, 0, 0),
    "far": (lambda: Polygon(shapely.box(1e9, 1e9, 1e9 + 5, 1e9 + 5)), 0, 0, 0),
    "10^300": (lambda: Polygon(shapely.box(-1e300, -1e300, 1e300, 1e300)), ALL, ALL, ALL),
    "wide ellipse": (lambda: Ellipse((X, Y), (1e8, 1e8), 0.0), ALL, ALL, ALL),
    "widest ellipse": (lambda: Ellipse((X, Y), (1e15, 1e15), 0.0), ALL, ALL, ALL),
    "long line": (lambda: Line(shapely.LineString([(-1e15, Y - 9.5), (1e15, Y - 9.5)])), 70, 70, 0),
}


@pytest.mark.parametrize(("make", "centres", "touched", "area"), DEFINED.values(), ids=list(DEFINED))
def test_odd_shapes_have_a_defined_result(
    place: Studio, make: Callable[[], Shape], centres: int, touched: int, area: float
) -> None:
    store_of(place).apply("scene", [Added(drawn(INFO, 1, make()))], author="ann")

    def pixels(**order: str) -> np.ndarray:
        return paint(place, Order(**order)).pyramid.read_index(INFO.grid.box).array

    assert np.count_nonzero(pixels()) == centres
    assert np.count_nonzero(pixels(name="touched", rule="all-touched")) == touched
    assert abs(pixels(mode="coverage").sum() / 65535 - area) < 1e-2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_positions_that_are_no_numbers_are_not_stored(place: Studio, value: float) -> None:
    with pytest.raises(InputError, match="finite numbers"):
        Ellipse((value, Y), (5.0, 5.0), 0.0)
    with pytest.raises(InputError, match="not finite"):
        load(place, [drawn(INFO, 1, Point(shapely.Point(value, 3)))])


def test_widths_beyond_all_measure_cover_what_they_should(tmp_path: Path) -> None:
    labels = (Label(name="wide", value=1, width=1e9), Label(name="thin", value=2, width=1e-9, order=1))
    place = studio(tmp_path, raster((60, 70), pixel=1e-4), schema=Schema(labels=labels))
    grid = place.info.grid
    shape = Line(shapely.LineString(grid.to_world(np.array([[10.5, 5.5], [10.5, 50.5]]))))
    load(place, [drawn(place.info, 1, shape, "wide"), drawn(place.info, 2, shape, "thin")])
    pixels = paint(place, Order()).pyramid.read_index(grid.box).array[0]
    assert pixels.all()
    assert np.flatnonzero((pixels == 2).any(axis=1)).tolist() in ([10], [])
    store_of(place).close()


def test_more_pixels_than_32_bits_count(tmp_path: Path) -> None:
    info: ImageInfo = raster((66_000, 66_000))
    place = studio(tmp_path, info)
    assert info.grid.box.size > 2**32
    corner = rectangle(info, (65_000, 65_990), (65_000, 65_999))
    load(place, [drawn(info, 1, corner), drawn(info, 2, rectangle(info, (0, 66_000), (30_000, 30_001)), "road")])
    layer = paint(place, Order(mode="instance"))
    ids = {one.annotation: one.id for one in layer.instances()}
    part = IndexBox((65_980, 65_990), (66_000, 66_000))
    found = layer.pyramid.read_index(part).array[0]
    expected = np.zeros(part.shape, int)
    expected[:10, :9] = ids[UUID(int=1)]
    assert np.array_equal(found, expected)
    assert (layer.pyramid.read_index(IndexBox((65_000, 29_999), (65_001, 30_002))).array[0] != 0).tolist() == [
        [False, True, False]
    ]
    coarse = layer.pyramid.read_index(layer.pyramid.grids[5].box, level=5).array[0]
    assert coarse[2040, 2040] == ids[UUID(int=1)]
    store_of(place).close()


def test_ids_of_objects_end_with_their_32_bits(place: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    load(place, [drawn(INFO, 1, rectangle(INFO, (0, 9), (0, 9)))])
    monkeypatch.setattr("bigimage.rasterize.drawing.MOST_IDS", 0)
    with pytest.raises(InputError, match="no id in the 32 bits"):
        paint(place, Order(mode="instance"))


def test_more_classes_than_16_bits_count(tmp_path: Path) -> None:
    schema = Schema(labels=tuple(Label(name=f"c{k}", value=k + 1) for k in range(65_600)))
    # a schema of so many labels takes a while to be stored: what is painted from it is the same
    place = studio(tmp_path, INFO, schema=replace(schema, labels=schema.labels[-1030:]))
    load(place, [drawn(INFO, 1, rectangle(INFO, (0, 9), (0, 9)), "c65599")])
    layer = paint(place, Order())
    assert layer.pyramid.info.dtype == "uint32"
    assert (layer.pyramid.read_index(IndexBox((0, 0), (9, 9))).array == 65_600).all()
    assert [one.name for one in layer.classes] == ["c65599"]
    with pytest.raises(InputError, match="1 to 1024 labels; the schema has 1030"):
        paint(place, Order(mode="multilayer"))
    store_of(place).close()


def test_an_image_that_vanishes_takes_its_layers_along(place: Studio) -> None:
    load(place, [drawn(INFO, 1, rectangle(INFO, (0, 9), (0, 9)))])
    paint(place, Order())
    shutil.rmtree(place.folder)
    place.folder.mkdir()
    with pytest.raises(LookupError, match=r"zarr\.json does not exist"):
        paint(place, Order())

"""Layers of volumes: contours on every plane, solids, lines, points, masks, and slices between drawn ones."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimage.errors import Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.image import Band, ImageInfo
from bigimage.model.mask import Mask
from bigimage.model.shape import Box, Cuboid, Ellipse, Line, PlanarContours, Point, RotatedBox, Shape
from bigimage.rasterize.between import between, distances
from bigimage.rasterize.easel import easel_for
from bigimage.rasterize.layer import Painted
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.paint import Order, Studio, paint
from bigimage.rasterize.volume import VolumeBrush
from tests.painting import SCHEMA, drawn, load, shards, store_of, studio

SHAPE = (40, 70, 90)
STRAIGHT = Grid(SHAPE, ((0, 0, 0.5, -20), (0, 0.5, 0, -16), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
TILTED = Grid(SHAPE, ((0, 0, 0.5, -20), (0.7, 0.5, 0, -16), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
OBLIQUE = Grid(SHAPE, ((0.6, -0.24, 0.3, -20), (0.8, 0.18, -0.4, -16), (0, 0.4, 0, 100)), PatientFrame("1.2.3"))
_STEPS = np.cumsum([0.0, 1, 1, 1, 4, *[1] * 30, 2.5, 1, 1, 1, 1])[:40]
UNEVEN = replace(STRAIGHT, slices=tuple((-20.0 + 0.1 * k, -16.0, 100.0 + s) for k, s in enumerate(_STEPS.tolist())))
GRIDS = {"straight": STRAIGHT, "tilted": TILTED, "oblique": OBLIQUE, "uneven": UNEVEN}


def scan(grid: Grid) -> ImageInfo:
    return ImageInfo(
        id="scene", grid=grid, axes=("z", "y", "x"), shape=grid.shape, dtype="int16", bands=(Band(name="CT"),)
    )


@pytest.fixture(params=GRIDS.values(), ids=list(GRIDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Studio]:
    made = studio(tmp_path, scan(request.param))
    yield made
    store_of(made).close()


def voxels(place: Studio, **order: Any) -> np.ndarray:
    """All voxels of a painted layer."""
    pyramid = paint(place, Order(**order)).pyramid
    return pyramid.read_index(pyramid.grids[0].box).array


def test_points_and_lines_with_a_radius(tmp_path: Path) -> None:
    pens = {"road": {"width": 7.0}, "house": {"radius": 5.0, "unit": "pixel"}}
    schema = replace(SCHEMA, labels=tuple(replace(one, **pens.get(one.name, {})) for one in SCHEMA.labels))
    place = studio(tmp_path, scan(TILTED), schema=schema)
    ends = ring(TILTED, [[4.2, 10.1, 12.3], [30.1, 30.2, 33.3]])
    center = ring(TILTED, [[20.0, 50.0, 70.0]])[0]
    annotations = [
        drawn(place.info, 1, Line(shapely.LineString(ends)), "road"),
        drawn(place.info, 2, Point(shapely.Point(center)), "house"),
    ]
    store_of(place).apply("scene", [Added(one) for one in annotations], author="ann")
    index = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in SHAPE), indexing="ij"), axis=-1)
    away = TILTED.to_world(index) - ends[0]
    way = ends[1] - ends[0]
    share = np.clip(away @ way / (way @ way), 0, 1)
    expected = np.where(np.linalg.norm(away - share[..., None] * way, axis=-1) <= 3.5, 9, 0)
    # the grid leans: a ball of voxels is one of the index, not of the world
    expected[np.linalg.norm(index - [20.0, 50.0, 70.0], axis=-1) <= 5.0] = 3
    assert np.array_equal(voxels(place)[0], expected)
    store_of(place).apply("scene", [Removed(UUID(int=1), 1)], author="ann")
    assert np.array_equal(voxels(place)[0], np.where(expected == 3, 3, 0))
    again = paint(place, Order(name="fresh"))
    assert shards(again.pyramid.path) == shards(place.folder / "labels" / "semantic")
    store_of(place).close()


def ring(grid: Grid, points: Any) -> np.ndarray:
    """World vertices of index points (z, y, x)."""
    return grid.to_world(np.asarray(points, float))


def circle(axis: int, depth: float, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Index vertices of a circle on a slice of an axis, (z, y, x)."""
    turn = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    flat = np.stack([centre[0] + radius * np.sin(turn), centre[1] + radius * np.cos(turn)], axis=1)
    return np.insert(flat, axis, depth, axis=1)


def expected_slice(rings: list[np.ndarray], axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """What GDAL burns of rings on one slice, in index space."""
    others = [a for a in (2, 1, 0) if a != axis]
    flat = [r[:, others] for r in rings]
    size = tuple(n for a, n in enumerate(shape) if a != axis)
    polygon = shapely.Polygon(flat[0], flat[1:])
    place = rasterio.Affine.identity()
    return np.asarray(rasterio.features.rasterize([polygon], out_shape=size, transform=place), dtype=bool)


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["axial", "coronal", "sagittal"])
def test_contours_fill_the_slices_they_lie_on_with_their_holes(place: Studio, axis: int) -> None:
    grid = place.info.grid
    if grid.slices is not None and axis != 0:
        pytest.skip("rings along bent planes lie on no plane")
    rows, columns = (n for a, n in enumerate(SHAPE) if a != axis)
    centre, radius = (rows / 2 + 0.3, columns / 2 + 0.3), min(rows, columns) / 2 - 2
    expected = np.zeros(SHAPE, bool)
    rings = []
    for number in (4, 5, 11):
        # anywhere within the slab of the slice
        outer = circle(axis, number + 0.5 + 0.3 * (number % 2), centre, radius)
        hole = circle(axis, number + 0.5 + 0.3 * (number % 2), centre, radius / 2)
        rings += [ring(grid, outer), ring(grid, hole)]
        at: list[Any] = [slice(None)] * 3
        at[axis] = number
        expected[tuple(at)] = expected_slice([outer, hole], axis, SHAPE)
    load(place, [drawn(place.info, 1, PlanarContours.of(rings))])
    assert np.array_equal(voxels(place)[0] == 3, expected)


def test_contours_that_stick_out_are_cut_and_those_outside_paint_nothing(place: Studio) -> None:
    grid = place.info.grid
    out = circle(0, 3.5, (0.0, 80.0), 20.0)
    load(
        place,
        [
            drawn(place.info, 1, PlanarContours.of([ring(grid, out)])),
            drawn(place.info, 2, PlanarContours.of([ring(grid, circle(0, -3.5, (30, 30), 9.0))])),
            drawn(place.info, 3, PlanarContours.of([ring(grid, circle(0, 50.0, (30, 30), 9.0))])),
        ],
    )
    found = voxels(place)[0] == 3
    assert np.array_equal(found[3], expected_slice([out], 0, SHAPE))
    assert not found[[0, 1, 2, *range(4, 40)]].any()


def test_an_oblique_contour_takes_one_voxel_of_each_column_it_passes() -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    y, x = 35 + 20 * np.sin(turn), 45 + 20 * np.cos(turn)
    index = np.stack([10.0 + 0.3 * y, y, x], axis=1)
    flat = expected_slice([index], 0, SHAPE)
    expected = np.zeros(SHAPE, bool)
    rows, columns = np.nonzero(flat)
    expected[np.floor(10 + 0.3 * (rows + 0.5)).astype(int), rows, columns] = True
    for name, grid in GRIDS.items():
        if name == "uneven":
            continue
        assert np.array_equal(_painted(grid, PlanarContours.of([ring(grid, index)])), expected), name


def _painted(grid: Grid, shape: Shape) -> np.ndarray:
    """Voxels that one shape paints."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        place = studio(Path(folder), scan(grid))
        load(place, [drawn(place.info, 1, shape)])
        found = voxels(place)[0] == 3
        store_of(place).close()
    return found


def _centres(grid: Grid) -> np.ndarray:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1) + 0.5)


def test_solids_hold_the_voxels_whose_centres_they_hold(place: Studio) -> None:
    grid = place.info.grid
    centres, middle = _centres(grid), grid.to_world([20.0, 35.0, 45.0])
    turned = (np.cos(0.3), 0.0, 0.0, np.sin(0.3))
    c, s = np.cos(0.6), np.sin(0.6)
    local = (centres - middle) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    sizes = np.array([9.1234567, 5.0712345, 14.1198765])
    for shape, expected in (
        (Cuboid(tuple(middle), tuple(2 * sizes), turned), (np.abs(local) <= sizes).all(axis=-1)),
        (Ellipse(tuple(middle), tuple(sizes), turned), ((local / sizes) ** 2).sum(axis=-1) <= 1),
        (Box(tuple(middle - sizes), tuple(middle + sizes)), (np.abs(centres - middle) <= sizes).all(axis=-1)),
    ):
        found = _painted(grid, shape)
        assert expected.any()
        # rounding may decide a centre that lies on the border another way
        assert (found != expected).sum() <= 4, np.argwhere(found != expected)[:9]


def test_points_lines_masks_and_flat_shapes(place: Studio) -> None:
    grid = place.info.grid
    bits = np.random.default_rng(1).random((5, 20, 30)) < 0.4
    line = shapely.LineString(ring(grid, [(2.5, 3.5, 4.5), (2.5, 3.5, 24.5)]))
    load(
        place,
        [
            drawn(place.info, 1, Point(shapely.Point(ring(grid, [(7.2, 8.9, 9.1)])[0])), "house"),
            drawn(place.info, 2, Line(line), "road"),
            drawn(place.info, 3, Mask.of(grid, bits, (20, 30, 40)), "field"),
        ],
    )
    found = voxels(place)[0]
    assert np.argwhere(found == 3).tolist() == [[7, 8, 9]]
    assert np.argwhere(found == 9).tolist() == [[2, 3, x] for x in range(4, 25)]
    assert np.array_equal(found[20:25, 30:50, 40:70] == 7, bits)


def test_a_flat_rectangle_lies_on_its_slice() -> None:
    centre = STRAIGHT.to_world([5.5, 30.0, 40.0])
    found = _painted(STRAIGHT, RotatedBox(tuple(centre), (10.0, 5.0), (1.0, 0.0, 0.0, 0.0)))
    expected = np.zeros(SHAPE, bool)
    expected[5, 25:35, 30:50] = True
    assert np.array_equal(found, expected)


def test_shapes_of_all_kinds_lie_over_each_other_in_one_order() -> None:
    from tempfile import TemporaryDirectory

    grid = STRAIGHT
    middle = grid.to_world([5.5, 30.0, 40.0])
    contour = PlanarContours.of([ring(grid, circle(0, 5.5, (30, 40), 10.0))])
    block = Box(tuple(middle - 2), tuple(middle + 2))
    for contour_label, block_label, top in (("house", "road", 3), ("field", "road", 9), ("road", "field", 9)):
        with TemporaryDirectory() as folder:
            place = studio(Path(folder), scan(grid))
            load(
                place,
                [drawn(place.info, 1, contour, contour_label), drawn(place.info, 2, block, block_label)],
            )
            assert voxels(place)[0, 5, 30, 40] == top
            kinds = voxels(place, mode="multilayer")[:, 5, 30, 40]
            assert kinds.sum() == 2
            pair = voxels(place, mode="panoptic")[:, 5, 30, 40]
            assert pair[0] == top
            assert pair[1] == voxels(place, mode="instance")[0, 5, 30, 40] != 0
            with pytest.raises(Unsupported, match="multilayer"):
                paint(place, Order(mode="coverage"))
            store_of(place).close()


def test_what_one_annotation_covers_is_what_it_would_paint_alone(tmp_path: Path) -> None:
    grid = STRAIGHT
    info = scan(grid)
    bits = np.random.default_rng(1).random((5, 20, 30)) < 0.4
    axial = [circle(0, n + 0.5, (30, 40), 10.0) for n in (3, 4, 9)]
    shapes: list[Shape] = [
        PlanarContours.of([ring(grid, points) for points in axial]),
        PlanarContours.of([ring(grid, circle(1, 30.5, (12, 40), 9.0)), ring(grid, circle(2, 7.5, (12, 40), 6.0))]),
        PlanarContours.of([ring(grid, np.stack([10 + 0.3 * c[:, 1], c[:, 1], c[:, 2]], axis=1)) for c in axial[:1]]),
        Box(tuple(grid.to_world([4.0, 25.0, 35.0])), tuple(grid.to_world([8.0, 45.0, 60.0]))),
        Line(shapely.LineString(ring(grid, [(2.5, 3.5, 4.5), (20.5, 33.5, 44.5)]))),
        Mask.of(grid, bits, (2, 25, 30)),
    ]
    place = studio(tmp_path / "all", info)
    for k, shape in enumerate(shapes):
        # one by one: ids of objects count in the order of the log
        store_of(place).apply(info.id, [Added(drawn(info, k + 1, shape))], author="ann")
    painted = Painted(image=info.id, name="x", mode="instance", rule="center", palette=Palette.of(SCHEMA))
    brush = easel_for(place.link, info, painted).look(grid.box, 0).brush
    assert isinstance(brush, VolumeBrush)
    halves = (IndexBox((0, 0, 0), (5, 70, 50)), IndexBox((5, 0, 30), (40, 70, 90)))
    for k, number in enumerate(brush.ids.tolist()):
        alone = studio(tmp_path / str(number), info)
        load(alone, [drawn(info, 1, shapes[number - 1])])
        expected = voxels(alone)[0] == 3
        assert expected.any()
        for box in halves:
            assert np.array_equal(brush.cover(k, box), expected[box.slices]), number
        store_of(alone).close()
    store_of(place).close()


def test_slices_between_drawn_ones_are_filled_on_demand(place: Studio) -> None:
    grid = place.info.grid
    low, high = circle(0, 6.5, (35, 45), 10.0), circle(0, 10.5, (35, 45), 18.0)
    load(
        place,
        [
            drawn(place.info, 1, PlanarContours.of([ring(grid, low)]), instance="organ"),
            drawn(place.info, 2, PlanarContours.of([ring(grid, high)]), instance="organ"),
        ],
    )
    plain = voxels(place)[0] == 3
    assert plain.any(axis=(1, 2)).nonzero()[0].tolist() == [6, 10]
    layer = paint(place, Order(fill_between=True))
    assert layer.painted.fill_between
    filled = layer.pyramid.read_index(grid.box).array[0] == 3
    assert np.array_equal(filled[[6, 10]], plain[[6, 10]])
    areas = filled.sum(axis=(1, 2))
    assert (np.diff(areas[6:11]) > 0).all()
    assert not areas[:6].any()
    assert not areas[11:].any()
    # an outline between two circles is the circle between them
    depths = grid.to_world(np.stack([np.arange(40) + 0.5, *np.full((2, 40), 35.0)], axis=1))
    matrix = np.asarray(grid.affine)
    normal = np.cross(matrix[:, 1], matrix[:, 2])
    share = (depths[8] - depths[6]) @ normal / ((depths[10] - depths[6]) @ normal)
    assert abs(np.sqrt(areas[8] / np.pi) - (10 + 8 * share)) < 0.6


def test_reviewed_slices_are_background(place: Studio) -> None:
    grid = place.info.grid
    load(place, [drawn(place.info, 1, PlanarContours.of([ring(grid, circle(0, 3.5, (30, 30), 9.0))]))])
    found = voxels(replace(place, reviewed=lambda: ("box 2 0 0 5 70 90",)))[0]
    assert ((found[2:5] == 1) | (found[2:5] == 3)).all()
    assert (found[3] == 3).any()
    assert not found[[0, 1, *range(5, 40)]].any()


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("mode", ["semantic", "instance", "multilayer"])
@settings(max_examples=4)
@given(data=st.data())
def test_an_updated_volume_is_the_volume_painted_at_once(mode: str, fill: bool, data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    grid = data.draw(st.sampled_from(list(GRIDS.values())))
    with TemporaryDirectory() as folder:
        place = studio(Path(folder), scan(grid))
        order = Order(name="kept", mode=mode, fill_between=fill)
        paint(place, order)
        for number in range(4):
            where = data.draw(st.tuples(st.integers(0, 39), st.integers(0, 69), st.integers(0, 89)))
            outline = circle(0, where[0] + 0.5, (where[1], where[2]), 12.0)
            shape = data.draw(
                st.sampled_from(
                    [
                        PlanarContours.of([ring(grid, outline)]),
                        Ellipse(tuple(grid.to_world(np.array(where, float))), (9.0, 5.0, 4.0), (1.0, 0, 0, 0)),
                    ]
                )
            )
            made = drawn(place.info, number + 1, shape, data.draw(st.sampled_from(["house", "road"])), instance="one")
            store_of(place).apply("scene", [Added(made)], author="ann")
            paint(place, order)
        last = store_of(place).get(UUID(int=4))
        moved = replace(store_of(place).get(UUID(int=1)), shape=last.shape)
        store_of(place).apply("scene", [Edited(moved, 1), Removed(UUID(int=2), 1)], author="ann")
        kept, fresh = paint(place, order), paint(place, replace(order, name="fresh"))
        assert shards(kept.pyramid.path) == shards(fresh.pyramid.path)
        store_of(place).close()


@given(bits=hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_distances_are_those_to_the_nearest_set_pixel(bits: np.ndarray) -> None:
    found = distances(bits, (2.0, 0.5))
    there = np.argwhere(bits)
    for at in np.ndindex(*bits.shape):
        away = (there - at) * np.array([2.0, 0.5])
        nearest = np.sqrt((away**2).sum(axis=1)).min() if len(there) else None
        assert found[at] >= 1e14 if nearest is None else abs(found[at] - nearest) < 1e-9


def test_the_picture_between_two_moves_from_one_to_the_other() -> None:
    first, second = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    first[10:20, 10:20], second[14:30, 14:30] = True, True
    assert np.array_equal(between(first, second, 0.0, (1, 1)), first)
    assert np.array_equal(between(first, second, 1.0, (1, 1)), second)
    half = between(first, second, 0.5, (1, 1))
    assert (first & second <= half).all()
    assert (half <= first | second).all()

"""What a user of `prepare` and `burn` relies on: ties, types, bad shapes, bad arguments."""

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.rasterize.burn import burn, ellipse_pen, prepare, round_pens, warm

ROW_DOWN = Grid.from_transform((1, 0, 0, 0, 1, 0), (7, 7), PixelFrame("test"))
NORTH_UP = Grid.from_transform((1, 0, 0, 0, -1, 7), (7, 7), PixelFrame("test"))
ONE = np.ones(1, np.uint8)


def picture(pixels: np.ndarray) -> list[str]:
    return ["".join(".#"[v] for v in row) for row in pixels]


def on(grid: Grid, shape: shapely.Geometry) -> shapely.Geometry:
    """A shape given in (column, row), moved to the grid's world."""
    return shapely.transform(shape, lambda xy: grid.to_world(xy[:, ::-1]))


@pytest.mark.parametrize(
    ("shape", "row_down", "north_up"),
    [
        (shapely.box(1.5, 1.5, 4.5, 4.5), [2, 2, 2, 0], [2, 2, 2, 2]),
        (shapely.Polygon([(4.5, 4.5), (4.5, 1.5), (1.5, 1.5), (1.5, 4.5)]), [2, 2, 2, 0], [2, 2, 2, 2]),
    ],
    ids=["counter-clockwise", "clockwise, another start"],
)
def test_edges_on_centres_take_the_right_column_and_the_last_row_north_up(
    shape: shapely.Geometry, row_down: list[int], north_up: list[int]
) -> None:
    for grid, rows in ((ROW_DOWN, row_down), (NORTH_UP, north_up)):
        expected = ["......." if not first else "..###.." for first in (0, *rows, 0, 0)]
        assert picture(burn(prepare([on(grid, shape)], grid), ONE)) == expected


def test_neighbours_whose_border_lies_on_centres_share_every_pixel_once() -> None:
    left, right = shapely.box(0.5, 0.5, 3.5, 3.5), shapely.box(3.5, 0.5, 6.5, 3.5)
    counts = [burn(prepare([s], ROW_DOWN), ONE) for s in (left, right)]
    assert picture(counts[0] + counts[1]) == [".######"] * 3 + ["......."] * 4


def test_self_intersections_and_holes_are_even_odd_and_parts_are_united() -> None:
    bow = shapely.Polygon([(1, 1), (6, 6), (6, 1), (1, 6)])
    assert picture(burn(prepare([bow], ROW_DOWN), ONE))[3] == ".#####."
    overlapping = shapely.MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(2, 2, 6, 6)])
    assert burn(prepare([overlapping], ROW_DOWN), ONE).sum() == 28
    ring = shapely.Polygon(shapely.box(0, 0, 7, 7).exterior, [shapely.box(2, 2, 5, 5).exterior])
    assert burn(prepare([ring], ROW_DOWN), ONE).sum() == 40


def test_all_touched_adds_every_pixel_that_an_edge_passes() -> None:
    diamond = shapely.Polygon([(3.5, 1.5), (5.5, 3.5), (3.5, 5.5), (1.5, 3.5)])
    assert picture(burn(prepare([diamond], ROW_DOWN), ONE, rule="all-touched")) == [
        ".......",
        "...#...",
        "..###..",
        ".#####.",
        "..####.",
        "...##..",
        ".......",
    ]


def test_later_shapes_paint_over_earlier_ones_unless_order_says_otherwise() -> None:
    shapes = [shapely.box(0, 0, 5, 5), shapely.box(2, 2, 7, 7)]
    values = np.array([1, 2], np.uint8)
    assert burn(prepare(shapes, ROW_DOWN), values)[3, 3] == 2
    assert burn(prepare(shapes, ROW_DOWN, order=[5, 1]), values)[3, 3] == 1
    assert burn(prepare(shapes, ROW_DOWN, order=[1, 1]), values)[3, 3] == 2


def test_bits_keep_overlaps() -> None:
    shapes = [shapely.box(0, 0, 5, 5), shapely.box(2, 2, 7, 7)]
    bits = burn(prepare(shapes, ROW_DOWN), [1, 1 << 40], dtype=np.uint64, combine="bits")
    assert bits[3, 3] == 1 | 1 << 40
    assert bits[0, 0] == 1
    assert bits[6, 6] == 1 << 40


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_types_and_background(dtype: str) -> None:
    pixels = burn(prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN), [7], dtype=dtype, background=3)
    assert pixels.dtype == dtype
    assert pixels[0, 0] == 7
    assert pixels[6, 6] == 3


def test_negative_values_survive() -> None:
    assert burn(prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN), np.array([-5], np.int16))[1, 1] == -5


def test_out_is_painted_over_and_returned() -> None:
    out = np.full((2, 3), 9, np.uint16)
    same = burn(prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN), [4], IndexBox((0, 1), (2, 4)), out=out)
    assert same is out
    assert out.tolist() == [[4, 9, 9], [4, 9, 9]]


def test_shapes_without_a_finite_place_paint_nothing_and_are_named() -> None:
    with np.errstate(invalid="ignore"):
        bad = shapely.Polygon([(0, 0), (np.nan, 3), (3, 3)])
        mixed = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), bad])
        endless = shapely.LineString([(0, 0), (np.inf, 1)])
    prepared = prepare([shapely.box(4, 4, 6, 6), bad, mixed, endless], ROW_DOWN)
    assert prepared.skipped == (1, 2, 3)
    assert burn(prepared, [1, 2, 3, 4]).sum() == 4


@pytest.mark.parametrize("far", [1e6, 1e12, 1e20, 1e300])
def test_huge_shapes_fill_what_they_cover(far: float) -> None:
    half = shapely.Polygon([(3.25, -far), (far, -far), (far, far), (3.25, far)])
    expected = np.zeros((7, 7), np.uint8)
    expected[:, 3:] = 1
    np.testing.assert_array_equal(burn(prepare([half], ROW_DOWN), ONE), expected)
    line = shapely.LineString([(-far, 3.5), (far, 3.5)])
    for rule in ("center", "all-touched"):
        assert burn(prepare([line], ROW_DOWN), ONE, rule=rule)[3].sum() == 7
        assert burn(prepare([line], ROW_DOWN), ONE, rule=rule).sum() == 7
    wide = burn(prepare([line], ROW_DOWN, pens=round_pens([1.25])), ONE)
    assert wide.sum(axis=1).tolist() == [0, 0, 7, 7, 7, 0, 0]


def test_nothing_and_empty_shapes_paint_nothing() -> None:
    shapes = [None, shapely.Polygon(), shapely.MultiPolygon(), shapely.GeometryCollection(), shapely.Point()]
    assert not burn(prepare(shapes, ROW_DOWN), np.arange(5)).any()
    assert not burn(prepare([], ROW_DOWN), []).any()
    assert not burn(prepare([shapely.box(100, 100, 200, 200)], ROW_DOWN), ONE).any()


def test_degenerate_and_sliver_shapes_do_not_crash() -> None:
    shapes = [
        shapely.Polygon([(1, 1), (1, 1), (1, 1)]),
        shapely.Polygon([(1, 1), (5, 5), (1, 1)]),
        shapely.LineString([(2.5, 2.5), (2.5, 2.5)]),
        shapely.Polygon([(0, 6.4), (7, 6.45), (7, 6.4500001)]),
    ]
    pixels = burn(prepare(shapes, ROW_DOWN), [1, 2, 3, 4])
    assert np.argwhere(pixels).tolist() == [[2, 2]]


def test_a_disc_holds_exactly_the_centres_within_its_radius() -> None:
    grid = Grid.from_transform((0.5, 0, -8, 0, -0.5, 8), (32, 32), PixelFrame("test"))
    world = grid.to_world(np.stack(np.mgrid[:32, :32], axis=-1) + 0.5)
    inside = np.hypot(world[..., 0] - 0.1, world[..., 1] + 0.2) < 5.3
    pixels = burn(prepare([shapely.Point(0.1, -0.2)], grid, pens=round_pens([5.3])), ONE)
    np.testing.assert_array_equal(pixels, inside)


def test_a_disc_that_meets_centres_keeps_the_right_ones() -> None:
    # 3-4-5: the centres (±3, ±4), (±4, ±3) and (±5, 0) from the middle lie exactly on the circle
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (11, 11), PixelFrame("test"))
    pixels = burn(prepare([shapely.Point(5.5, 5.5)], grid, pens=round_pens([5])), ONE)
    assert pixels[5].tolist() == [0] + [1] * 10
    assert pixels[8].tolist() == [0, 0] + [1] * 8 + [0]


def test_an_ellipse_is_exact_on_a_turned_grid() -> None:
    grid = Grid.from_transform((0.6, 0.8, -20, -0.8, 0.6, 3), (40, 40), PixelFrame("test"))
    pen = ellipse_pen(9.0, 4.0, 0.7)
    centre = np.array([2.5, 1.5])
    world = grid.to_world(np.stack(np.mgrid[:40, :40], axis=-1) + 0.5)
    unit = (world - centre) @ np.linalg.inv(pen).T
    pixels = burn(prepare([shapely.Point(centre)], grid, pens=[pen]), ONE)
    np.testing.assert_array_equal(pixels, np.hypot(unit[..., 0], unit[..., 1]) < 1)


def test_a_line_with_width_holds_the_centres_near_it() -> None:
    grid = Grid.from_transform((0.5, 0.25, -5, 0.1, -0.5, 12), (48, 48), PixelFrame("test"))
    line = shapely.LineString([(-1.3, 1.1), (12.2, 9.4), (14.0, 2.2)])
    world = grid.to_world(np.stack(np.mgrid[:48, :48], axis=-1) + 0.5)
    near = shapely.distance(line, shapely.points(world)) < 1.6
    np.testing.assert_array_equal(burn(prepare([line], grid, pens=round_pens([1.6])), ONE), near)


def test_all_touched_pens_take_every_pixel_they_overlap() -> None:
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (24, 24), PixelFrame("test"))
    line = shapely.LineString([(3.3, 4.1), (17.2, 9.7), (8.9, 20.2)])
    rows, columns = np.mgrid[:24, :24]
    near = shapely.distance(line, shapely.box(columns, rows, columns + 1, rows + 1)) < 2.3
    touched = burn(prepare([line], grid, pens=round_pens([2.3])), ONE, rule="all-touched")
    np.testing.assert_array_equal(touched, near)


def test_masks_paint_in_their_turn() -> None:
    bits = np.array([[1, 0, 1], [0, 1, 1]], bool)
    shapes = [shapely.box(0, 0, 7, 7), None, shapely.box(5, 0, 7, 7)]
    pixels = burn(prepare(shapes, ROW_DOWN, masks={1: (bits, (2, 3))}), [1, 2, 3])
    assert pixels[2].tolist() == [1, 1, 1, 2, 1, 3, 3]
    assert pixels[3].tolist() == [1, 1, 1, 1, 2, 3, 3]


def test_masks_that_stick_out_are_cut() -> None:
    pixels = burn(prepare([None], ROW_DOWN, masks={0: (np.ones((20, 20), bool), (-5, 5))}), ONE)
    expected = np.zeros((7, 7), np.uint8)
    expected[:, 5:] = 1
    np.testing.assert_array_equal(pixels, expected)


def test_values_must_fit() -> None:
    prepared = prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN)
    with pytest.raises(InputError, match="1 shapes need"):
        burn(prepared, [1, 2])
    with pytest.raises(InputError, match="do not fit uint8"):
        burn(prepared, [256], dtype=np.uint8)
    with pytest.raises(InputError, match="whole numbers"):
        burn(prepared, [1.5])
    with pytest.raises(InputError, match="whole numbers"):
        burn(prepared, [1], dtype=np.float32)


def test_arguments_that_make_no_sense_are_refused() -> None:
    prepared = prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN)
    with pytest.raises(OutOfBounds, match="does not lie within"):
        burn(prepared, ONE, IndexBox((0, 0), (8, 7)))
    with pytest.raises(InputError, match="rule"):
        burn(prepared, ONE, rule="centre")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="combine"):
        burn(prepared, ONE, combine="add")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="out has shape"):
        burn(prepared, ONE, out=np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match="order has shape"):
        prepare([None], ROW_DOWN, order=[1, 2])
    with pytest.raises(InputError, match="pens have shape"):
        prepare([None], ROW_DOWN, pens=round_pens([1, 2]))
    with pytest.raises(InputError, match="a mask is given for shape 3"):
        prepare([None], ROW_DOWN, masks={3: (np.ones((1, 1), bool), (0, 0))})
    volume = Grid((2, 3, 4), ((0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)), PatientFrame("1.2"))
    with pytest.raises(InputError, match="plane by plane"):
        prepare([None], volume)


def test_an_empty_box_has_no_pixels() -> None:
    assert burn(prepare([shapely.box(0, 0, 2, 2)], ROW_DOWN), ONE, IndexBox((2, 2), (2, 5))).shape == (0, 3)


def test_warm_compiles_without_a_trace() -> None:
    assert warm() is None


def test_the_greatest_value_wins_in_any_order_and_over_what_is_there() -> None:
    grid = Grid.from_transform((1, 0, 0, 0, 1, 0), (4, 6), PixelFrame("test"))
    shapes = [shapely.box(0, 0, 3, 4), shapely.box(2, 0, 6, 2)]
    out = np.full((4, 6), 5, np.uint32)
    found = burn(prepare(shapes, grid, order=[2, 1]), np.array([4, 9], np.uint32), combine="greatest", out=out)
    assert found is out
    assert found.tolist() == [[5, 5, 9, 9, 9, 9]] * 2 + [[5] * 6] * 2
    with pytest.raises(InputError, match="unsigned"):
        burn(prepare(shapes, grid), np.array([4, 9], np.int32), combine="greatest")

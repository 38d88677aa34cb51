"""Boxes: half-open whole indexes, closed world coordinates, and what longitudes do to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import FrameMismatch, InputError
from bigimage.geometry.box import IndexBox, WorldBox, bounds_of_samples, longitude_extent, unit_edges
from bigimage.geometry.frame import WGS84, GeoFrame, PatientFrame, PixelFrame, transform_points

LONLAT = GeoFrame(WGS84)
MERCATOR = GeoFrame("EPSG:3857")
HALF = 20037508.342789244
GEOS = GeoFrame.of("+proj=geos +h=35785831 +lon_0=0 +ellps=WGS84")

starts = st.tuples(st.integers(-50, 50), st.integers(-50, 50))
sizes = st.tuples(st.integers(0, 40), st.integers(0, 40))
boxes = st.builds(lambda a, n: IndexBox(a, (a[0] + n[0], a[1] + n[1])), starts, sizes)


def _cells(box: IndexBox) -> set[tuple[int, ...]]:
    return {(y, x) for y in range(box.start[0], box.stop[0]) for x in range(box.start[1], box.stop[1])}


def test_slices_follow_python() -> None:
    box = IndexBox.of_slices((slice(-10, None), slice(5, 200)), (100, 50))
    assert box == IndexBox((90, 5), (100, 50))
    assert box.slices == (slice(90, 100), slice(5, 50))
    assert IndexBox.of_slices((slice(30, 20), slice(None)), (100, 50)).shape == (0, 50)


def test_slices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="read a coarser level"):
        IndexBox.of_slices((slice(0, 10, 2), slice(None)), (100, 50))
    with pytest.raises(InputError, match="5 is not a slice"):
        IndexBox.of_slices((5, slice(None)), (100, 50))
    with pytest.raises(InputError, match="1 slices given for 2 spatial axes"):
        IndexBox.of_slices((slice(None),), (100, 50))
    with pytest.raises(InputError, match="differ in dimensions"):
        IndexBox((0, 0), (1, 1, 1))
    with pytest.raises(InputError, match="3 dimensions does not fit"):
        IndexBox((0, 0), (1, 1)).contains(IndexBox((0, 0, 0), (1, 1, 1)))


@given(boxes, boxes)
def test_the_intersection_holds_the_common_cells(first: IndexBox, second: IndexBox) -> None:
    common = first.intersect(second)
    assert _cells(common) == _cells(first) & _cells(second)
    assert common.size == len(_cells(common))
    assert common.stop >= common.start


@given(boxes, boxes)
def test_containing_means_holding_every_cell(first: IndexBox, second: IndexBox) -> None:
    if first.contains(second):
        assert _cells(second) <= _cells(first)
    assert first.contains(first.intersect(second)) or not first.intersect(second).size


@given(boxes, st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_the_coarsened_box_is_the_smallest_that_covers(box: IndexBox, factors: tuple[int, int]) -> None:
    expected = {(y // factors[0], x // factors[1]) for y, x in _cells(box)}
    assert not box.size or _cells(box.coarsen(factors)) == expected


@given(boxes, st.tuples(st.integers(1, 16), st.integers(1, 16)))
def test_blocks_are_those_that_a_box_touches_in_order(box: IndexBox, block: tuple[int, int]) -> None:
    found = list(box.blocks(block))
    if box.size:
        assert found == sorted({(y // block[0], x // block[1]) for y, x in _cells(box)})


def test_moving_and_growing() -> None:
    box = IndexBox((1, 2), (4, 8))
    assert box.shift((10, -2)) == IndexBox((11, 0), (14, 6))
    assert box.pad(2) == IndexBox((-1, 0), (6, 10))
    assert IndexBox.of_shape((3, 4, 5)) == IndexBox((0, 0, 0), (3, 4, 5))


@pytest.mark.parametrize(
    ("values", "frame", "reason"),
    [
        ((1, 2, 3), LONLAT, "4 or 6 numbers"),
        ((0, 0, float("nan"), 1), LONLAT, "not finite"),
        ((0, 0, float("inf"), 1), LONLAT, "not finite"),
        ((0, 5, 1, 4), LONLAT, "reversed along axis 1"),
        ((5, 0, 4, 1), MERCATOR, "reversed along axis 0"),
        ((5, 0, 4, 1), PixelFrame("a"), "reversed along axis 0"),
    ],
)
def test_boxes_that_make_no_sense(values: tuple[float, ...], frame: GeoFrame, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        WorldBox.of(values, frame)


def test_only_longitudes_may_run_backwards() -> None:
    box = WorldBox.of((170, -10, -170, 10), LONLAT)
    assert box.crosses_antimeridian
    assert box.values == (170, -10, -170, 10)
    with pytest.raises(InputError, match="differ in dimensions"):
        WorldBox((0, 0), (1, 1, 1), LONLAT)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((-180, 0, 180, 1), (-180, 0, 180, 1)),
        ((0, 0, 360, 1), (-180, 0, 180, 1)),
        ((-180.5, 0, 179.5, 1), (-180, 0, 180, 1)),
        ((170, 0, 190, 1), (170, 0, -170, 1)),
        ((-190, 0, -170, 1), (170, 0, -170, 1)),
        ((190, 0, 200, 1), (-170, 0, -160, 1)),
        ((350, 0, 370, 1), (-10, 0, 10, 1)),
        ((170, 0, -170, 1), (170, 0, -170, 1)),
        ((170, 0, 180 + 1e-13, 1), (170, 0, 180, 1)),
        ((-180 - 1e-13, 0, -170, 1), (-180, 0, -170, 1)),
        ((180, 0, 190, 1), (-180, 0, -170, 1)),
        ((530, 0, 550, 1), (170, 0, -170, 1)),
        ((-1000, 0, 1000, 1), (-180, 0, 180, 1)),
    ],
)
def test_longitudes_are_brought_within_half_a_turn(given_: tuple[float, ...], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(WorldBox.of(given_, LONLAT).wrapped().values, expected, rtol=0, atol=1e-9)


@given(st.floats(-720, 720), st.floats(1e-6, 400), st.floats(0, 1))
def test_a_wrapped_box_holds_the_same_meridians(west: float, width: float, part: float) -> None:
    box = WorldBox((west, 0.0), (west + width, 1.0), LONLAT).wrapped()
    low, high = box.minimum[0], box.maximum[0]
    assert -180 <= low <= 180
    assert -180 <= high <= 180
    assert box.wrapped() == box
    high += 360 if high < low else 0
    assert high - low == pytest.approx(min(width, 360), abs=1e-9)
    meridian = west + width * part
    assert (meridian - low + 1e-9) % 360 <= high - low + 2e-9


def test_wrapping_leaves_projected_boxes_alone_and_knows_grads() -> None:
    box = WorldBox((0.0, 0.0), (1000.0, 1.0), MERCATOR)
    assert box.wrapped() is box
    grads = WorldBox((190.0, 0.0), (210.0, 1.0), GeoFrame.of("EPSG:4807")).wrapped()
    assert grads.values == pytest.approx((190, 0, -190, 1))


def test_a_box_is_not_moved_between_frames_that_do_not_meet() -> None:
    box = WorldBox.of((0, 0, 0, 9, 9, 9), PatientFrame("1.2"))
    assert box.to(PatientFrame("1.2")) is box
    with pytest.raises(FrameMismatch):
        box.to(PatientFrame("1.3"))
    plain = WorldBox.of((0, 0, 9, 9), PixelFrame("a"))
    assert plain.to(PixelFrame("a", (0.1, 0.1))).values == plain.values
    with pytest.raises(FrameMismatch):
        plain.to(LONLAT)


@given(
    st.floats(-4, 4),
    st.floats(-70, 70),
    st.floats(0.001, 3),
    st.floats(0.001, 8),
    st.sampled_from(["EPSG:32633", "EPSG:3035", "EPSG:3857"]),
)
def test_a_box_in_another_frame_holds_the_first(lon: float, lat: float, width: float, height: float, crs: str) -> None:
    frame = GeoFrame(crs)
    box = WorldBox.of((15 + lon, lat, 15 + lon + width, lat + height), LONLAT)
    moved = box.to(frame)
    unit = np.random.default_rng(0).uniform(size=(200, 2))
    low, high = np.asarray(box.minimum), np.asarray(box.maximum)
    points = transform_points(low + unit * (high - low), LONLAT, frame)
    slack = 1e-5 * (np.asarray(moved.maximum) - np.asarray(moved.minimum))
    assert (points >= np.asarray(moved.minimum) - slack).all()
    assert (points <= np.asarray(moved.maximum) + slack).all()


def test_a_box_across_the_antimeridian_reaches_both_ends_of_mercator() -> None:
    moved = WorldBox.of((170, -10, -170, 10), LONLAT).to(MERCATOR)
    assert moved.values[::2] == (-HALF, HALF)
    assert moved.values[3] == pytest.approx(1118889.97, abs=0.1)
    same = WorldBox.of((170, -10, 190, 10), GeoFrame("EPSG:4326")).to(LONLAT)
    assert same.values == pytest.approx((170, -10, -170, 10))
    # and stays small where the other frame is not cut there
    assert WorldBox.of((179, -1, -179, 1), LONLAT).to(GeoFrame("EPSG:32660")).maximum[0] < 1_100_000


def test_a_box_partly_off_the_earth_is_bounded_by_the_limb() -> None:
    limb = np.degrees(np.arccos(6378137 / (6378137 + 35785831)))  # of a sphere; 0.03 degrees more at the poles
    disk = WorldBox.of((-6e6, -6e6, 6e6, 6e6), GEOS).to(LONLAT)
    np.testing.assert_allclose(disk.values, (-limb, -limb, limb, limb), atol=0.05)
    quarter = WorldBox.of((-6e6, 0, 0, 6e6), GEOS).to(LONLAT)
    np.testing.assert_allclose(quarter.values, (-limb, 0, 0, limb), atol=0.05)
    with pytest.raises(InputError, match="no part of the box has coordinates"):
        WorldBox.of((5.4e6, 5.4e6, 6e6, 6e6), GEOS).to(LONLAT)


def test_samples_go_along_the_edges_and_find_the_limb() -> None:
    edges = unit_edges(3)
    assert edges.shape == (20, 2)
    assert ((edges == 0) | (edges == 1)).any(axis=1).all()

    def disk(unit: np.ndarray) -> np.ndarray:
        return np.where(np.hypot(*(unit - 0.5).T)[:, None] <= 0.3, unit, np.inf)

    np.testing.assert_allclose(bounds_of_samples(disk, MERCATOR).values, (0.2, 0.2, 0.8, 0.8), atol=2e-4)


@pytest.mark.parametrize(
    ("longitudes", "expected"),
    [
        ([5.0], (5, 5)),
        ([1, 2, 3], (1, 3)),
        ([179, -179, 178], (178, -179)),
        ([-175, 175, 100], (100, -175)),
        (list(range(-180, 181, 10)), (-180, 180)),
        ([0, 89, 178, -93], (0, -93)),
        ([0, 80, 160, -120, -40], (-120, 160)),
    ],
)
def test_shortest_interval_of_longitudes(longitudes: list[float], expected: tuple[float, float]) -> None:
    assert longitude_extent(np.array(longitudes, dtype=float)) == expected

"""Frames: names of coordinate systems, their axis order, and what may not be mixed."""

import numpy as np
import pyproj
import pytest

from bigimage.errors import FrameMismatch, InputError
from bigimage.geometry.frame import (
    WGS84,
    GeoFrame,
    PatientFrame,
    PixelFrame,
    canonical_crs,
    describe,
    require_same,
    transform_points,
)

MARS = "IAU_2015:49900"
LOCAL = 'LOCAL_CS["site grid",UNIT["metre",1]]'
BERN = (7.438632495, 46.951082877)


@pytest.mark.parametrize("code", ["EPSG:4326", "OGC:CRS84", "EPSG:3857", "EPSG:2056", "ESRI:54009", MARS])
def test_a_crs_with_a_code_is_named_by_it_in_every_notation(code: str) -> None:
    assert GeoFrame.of(code).crs == code
    assert GeoFrame.of(pyproj.CRS(code).to_wkt()).crs == code
    assert GeoFrame.of(pyproj.CRS(code).to_json()).crs == code
    assert str(GeoFrame.of(code)) == code


def test_the_case_of_an_epsg_code_does_not_matter() -> None:
    assert GeoFrame.of("epsg:32633").crs == "EPSG:32633"


def test_a_crs_without_a_code_keeps_its_wkt() -> None:
    text = "+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84"
    frame = GeoFrame.of(text)
    assert frame.crs.startswith("PROJCRS[")
    assert frame.proj == pyproj.CRS(text)
    assert canonical_crs(frame.crs) == frame.crs
    assert str(frame) == "unknown"


def test_a_crs_that_is_nearly_one_with_a_code_does_not_get_the_code() -> None:
    moved = pyproj.CRS("EPSG:32633").to_wkt().replace('"False easting",500000', '"False easting",500001')
    assert "[" in GeoFrame.of(moved).crs


@pytest.mark.parametrize("text", ["", "garbage", "EPSG:99999999", "\0", "EPSG:", "PROJCRS[", "5" * 100])
def test_what_is_no_crs_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(InputError, match="not a coordinate reference system"):
        GeoFrame.of(text)


@pytest.mark.parametrize("code", ["EPSG:5773", "EPSG:4978"])
def test_heights_and_geocentric_coordinates_place_no_image(code: str) -> None:
    with pytest.raises(InputError, match=f"{code} does not place points on a map"):
        GeoFrame.of(code)


def test_a_compound_crs_is_used_by_its_horizontal_part() -> None:
    frame = GeoFrame.of("EPSG:4326+5773")
    assert frame.crs == "EPSG:9707"
    assert frame.is_geographic
    assert frame.base == GeoFrame("EPSG:4326")


@pytest.mark.parametrize(
    ("code", "metres"),
    [
        ("EPSG:32633", 1.0),
        ("EPSG:2263", 1200 / 3937),  # US survey feet
        ("EPSG:4326", 111319.4908),  # OGC 17-083r4, annex E
        ("EPSG:4807", 6378249.2 * np.pi / 200),  # grads
        (MARS, 3396190.0 * np.pi / 180),
    ],
)
def test_unit_in_metres(code: str, metres: float) -> None:
    assert GeoFrame.of(code).unit_in_metres == pytest.approx(metres, rel=1e-9)


def test_a_turn_and_the_base_of_a_crs() -> None:
    assert GeoFrame.of("EPSG:4326").turn == pytest.approx(360)
    assert GeoFrame.of("EPSG:4807").turn == pytest.approx(400)
    assert GeoFrame.of("EPSG:3857").base == GeoFrame("EPSG:4326")
    assert GeoFrame.of("IAU_2015:49910").base == GeoFrame(MARS)
    assert GeoFrame.of(LOCAL).base is None


# authority order: latitude first, northing first, southing first, and easting first
@pytest.mark.parametrize("code", ["EPSG:4326", "EPSG:3035", "EPSG:31467", "EPSG:2193", "EPSG:2056", "EPSG:3857"])
def test_coordinates_are_easting_first_whatever_the_authority_declares(code: str) -> None:
    crs = pyproj.CRS(code)
    first, second = pyproj.Transformer.from_crs(4326, crs).transform(BERN[1], BERN[0])
    north_first = crs.axis_info[0].direction == "north"
    expected = (second, first) if north_first else (first, second)
    np.testing.assert_allclose(transform_points(BERN, GeoFrame(WGS84), GeoFrame.of(code)), expected, rtol=0, atol=1e-6)
    back = transform_points(expected, GeoFrame.of(code), GeoFrame.of("EPSG:4326"))
    np.testing.assert_allclose(back, BERN, rtol=0, atol=2e-8)


def test_the_old_observatory_of_bern_has_its_published_coordinates() -> None:
    x, y = transform_points(BERN, GeoFrame.of("EPSG:4326"), GeoFrame.of("EPSG:2056"))
    assert (x, y) == (pytest.approx(2_600_000, abs=1), pytest.approx(1_200_000, abs=1))


def test_points_keep_their_shape_and_their_height() -> None:
    points = np.random.default_rng(0).uniform((0, 40, 0), (20, 60, 900), (4, 5, 3))
    moved = transform_points(points, GeoFrame(WGS84), GeoFrame.of("EPSG:3857"))
    assert moved.shape == (4, 5, 3)
    np.testing.assert_array_equal(moved[..., 2], points[..., 2])
    assert transform_points(np.empty((0, 2)), GeoFrame(WGS84), GeoFrame.of("EPSG:3857")).shape == (0, 2)
    same = transform_points(points, GeoFrame(WGS84), GeoFrame(WGS84))
    assert same is not points
    np.testing.assert_array_equal(same, points)


def test_points_without_an_image_become_infinite_as_a_whole() -> None:
    geos = GeoFrame.of("+proj=geos +h=35785831 +lon_0=0 +ellps=WGS84")
    moved = transform_points([[0, 0], [5.5e6, 5.5e6], [np.nan, 0]], geos, GeoFrame(WGS84))
    np.testing.assert_array_equal(np.isfinite(moved), [[True, True], [False, False], [False, False]])


def test_two_bodies_and_two_kinds_of_frame_do_not_mix() -> None:
    with pytest.raises(FrameMismatch, match=f"{MARS} to EPSG:4326"):
        transform_points([[10, 50]], GeoFrame.of(MARS), GeoFrame.of("EPSG:4326"))
    for first, second in (
        (PixelFrame("a"), PixelFrame("b")),
        (PixelFrame("a"), GeoFrame(WGS84)),
        (PatientFrame("1.2"), PatientFrame("1.3")),
        (PatientFrame("1.2"), GeoFrame(WGS84)),
        (GeoFrame.of("EPSG:32632"), GeoFrame.of("EPSG:32633")),
    ):
        with pytest.raises(FrameMismatch, match="transform them first"):
            require_same(first, second)
    with pytest.raises(FrameMismatch, match=r"pixels of image 'a' cannot be used with the patient frame 1\.2"):
        transform_points([[1, 2]], PixelFrame("a"), PatientFrame("1.2"))


def test_the_same_frame_in_other_words_is_the_same() -> None:
    require_same(GeoFrame("EPSG:4326"), GeoFrame("OGC:CRS84"))
    require_same(GeoFrame("EPSG:32633"), GeoFrame(pyproj.CRS("EPSG:32633").to_wkt()))
    require_same(PixelFrame("a"), PixelFrame("a", (0.1, 0.1)))
    require_same(PatientFrame("1.2"), PatientFrame("1.2"))


def test_frames_as_json() -> None:
    assert describe(GeoFrame("EPSG:3857")) == {"type": "geo", "crs": "EPSG:3857"}
    assert describe(PatientFrame("1.2")) == {"type": "patient", "uid": "1.2"}
    assert describe(PixelFrame("a")) == {"type": "pixel"}

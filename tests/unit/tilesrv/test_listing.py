"""Windows in any CRS, slices of volumes, and cursors."""

from uuid import UUID

import numpy as np
import pytest

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from tests.drawn import FIJI, PLAIN, SCAN, SCENE
from tilesrv.listing import Cursor, crs_uri, measured_in, slab_of, window_of


def test_a_cursor_is_opaque_and_comes_back() -> None:
    cursor = Cursor(UUID(int=7), 123_456)
    assert Cursor.of(cursor.text()) == cursor
    for text in ("", "abc", "a" * 33, cursor.text()[:-2]):
        with pytest.raises(InputError):
            Cursor.of(text)


def test_a_window_in_degrees_is_found_in_the_images_crs() -> None:
    window = window_of((9.0, 45.1, 9.01, 45.14), None, SCENE)
    assert window is not None
    assert window.crs == GeoFrame("OGC:CRS84")
    assert window.box.frame == SCENE.frame
    assert window.box.minimum[0] == pytest.approx(500_000, abs=1)


def test_a_window_across_the_antimeridian_lies_where_the_image_does() -> None:
    window = window_of((179.0, -18.0, -178.0, -16.0), None, FIJI)
    assert window is not None
    assert (window.box.minimum[0], window.box.maximum[0]) == (179.0, 182.0)
    assert window.area is not None
    assert window.area.geom_type == "MultiPolygon"
    east = window_of((-179.0, -18.0, -178.0, -16.0), None, FIJI)
    assert east is not None
    assert (east.box.minimum[0], east.box.maximum[0]) == (181.0, 182.0)


def test_heights_of_a_window_on_a_map_are_passed_over() -> None:
    flat = window_of((9.0, 45.1, 9.01, 45.14), None, SCENE)
    assert window_of((9.0, 45.1, 0.0, 9.01, 45.14, 100.0), None, SCENE) == flat


@pytest.mark.parametrize(
    ("values", "crs", "grid"),
    [
        ((0, 0, 5, 5), None, SCAN),
        ((0, 0, 0, 5, 5, 5), None, PLAIN),
        ((5, 0, 0, 5), None, PLAIN),
        ((0, 5, 5, 0), None, SCENE),
        ((0, 0, 5, 5), "EPSG:4326", PLAIN),
        ((0, 0, 5, 5), "nonsense", SCENE),
    ],
)
def test_windows_that_make_no_sense(values: tuple[float, ...], crs: str | None, grid: Grid) -> None:
    if len(values) == 6 and grid is PLAIN:
        assert window_of(values, crs, grid) is not None
        return
    with pytest.raises(InputError):
        window_of(values, crs, grid)


def test_a_slice_is_as_thick_as_its_distance_to_the_next() -> None:
    slab = slab_of(SCAN, "axial", 2)
    assert slab.point[2] == pytest.approx(106.25)
    assert np.abs(slab.normal).tolist() == [0, 0, 1]
    assert slab.thickness == 2.5
    assert slab_of(SCAN, "sagittal", 0).thickness == 1.0
    with pytest.raises(OutOfBounds):
        slab_of(SCAN, "axial", 10)
    with pytest.raises(InputError):
        slab_of(SCENE, "axial", 0)


def test_coordinates_say_what_they_are_in() -> None:
    assert crs_uri(GeoFrame("EPSG:32632")) == "http://www.opengis.net/def/crs/EPSG/0/32632"
    members, headers = measured_in(SCENE, None)
    assert members["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    assert headers == {"Content-Crs": "<http://www.opengis.net/def/crs/EPSG/0/32632>"}
    assert measured_in(SCENE, GeoFrame("OGC:CRS84"))[0] == {}
    assert measured_in(SCAN, None) == ({"frame": {"type": "patient", "uid": "1.2.3"}}, {})

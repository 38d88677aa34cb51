from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import DataError, InputError
from bigimage.geometry.frame import GeoFrame, PixelFrame
from bigimage.sources.door import OpenOptions
from bigimage.sources.raster_place import Georeference, GroundControl, Placement, fit_affine, place

SHAPE = (20, 40)
UTM = "EPSG:32633"
NORTH_UP = (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)
BOUNDS = (500000.0, 4999800.0, 500400.0, 5000000.0)
ENGINEERING = 'ENGCRS["site",EDATUM["stake"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


def placed(found: Georeference, **options: Any) -> Placement:
    return place(SHAPE, "scene", name="scene.tif", found=found, options=OpenOptions(**options))


def codes(placement: Placement) -> list[str]:
    return [verdict.code for verdict in placement.verdicts]


def control(transform: tuple[float, ...] = NORTH_UP, crs: str | None = UTM, noise: float = 0.0) -> GroundControl:
    """Nine points that lie as a transform puts them, the middle one off by `noise` along x."""
    a, b, c, d, e, f = transform
    points = [(col, row) for row in (0.0, 10.0, 20.0) for col in (0.0, 20.0, 40.0)]
    rows = [(x, y, a * x + b * y + c, d * x + e * y + f, 0.0) for x, y in points]
    rows[4] = (*rows[4][:2], rows[4][2] + noise, *rows[4][3:])
    return GroundControl(tuple(rows), crs)


def test_own_georeference() -> None:
    placement = placed(Georeference(transform=NORTH_UP, crs=UTM))
    assert placement.grid.frame == GeoFrame(UTM)
    assert placement.grid.transform == NORTH_UP
    assert placement.grid.shape == SHAPE
    assert not placement.verdicts
    assert not placement.given


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Georeference(), "NO_CRS"),
        (Georeference(transform=NORTH_UP), "NO_CRS"),
        (Georeference(crs=UTM), "NO_TRANSFORM"),
        (Georeference(gcps=control()), "GCPS_ONLY"),
        (Georeference(gcps=control(), crs=UTM), "GCPS_ONLY"),
        (Georeference(has_rpcs=True), "RPC_ONLY"),
    ],
)
def test_what_is_missing_is_reported_not_invented(found: Georeference, code: str) -> None:
    placement = placed(found)
    assert placement.grid.frame == PixelFrame("scene")
    assert placement.grid.transform == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert codes(placement) == [code]


def test_unreadable_crs_is_reported_and_can_be_given() -> None:
    for found in (
        Georeference(transform=NORTH_UP, crs="no such thing"),
        Georeference(transform=NORTH_UP, crs_problem="odd"),
    ):
        assert codes(placed(found)) == ["CRS_UNREADABLE"]
        placement = placed(found, crs=UTM)
        assert placement.grid.frame == GeoFrame(UTM)
        assert placement.grid.transform == NORTH_UP
        assert codes(placement) == ["CRS_UNREADABLE", "USER_GEOREFERENCE"]


def test_local_crs_is_kept_and_told() -> None:
    placement = placed(Georeference(transform=NORTH_UP, crs=ENGINEERING))
    assert isinstance(placement.grid.frame, GeoFrame)
    assert placement.grid.frame.proj.is_engineering
    assert codes(placement) == ["LOCAL_CRS"]


def test_crs_of_another_body() -> None:
    mars = "+proj=eqc +R=3396190 +units=m +type=crs"
    placement = placed(Georeference(transform=NORTH_UP, crs=mars))
    assert placement.grid.frame == GeoFrame.of(mars)
    assert not placement.verdicts


@pytest.mark.parametrize("transform", [(1.0, 2.0, 0.0, 2.0, 4.0, 0.0), (0.0, 0.0, 5.0, 0.0, -1.0, 5.0)])
@pytest.mark.parametrize("crs", [UTM, None])
def test_singular_affine_is_a_data_error(transform: tuple[float, ...], crs: str | None) -> None:
    with pytest.raises(DataError, match=r"scene\.tif: affine .* singular"):
        placed(Georeference(transform=transform, crs=crs))  # pyright: ignore[reportArgumentType]


def test_crs_given_for_an_affine_without_one() -> None:
    placement = placed(Georeference(transform=NORTH_UP), crs="EPSG:32633")
    assert placement.grid.frame == GeoFrame(UTM)
    assert placement.grid.transform == NORTH_UP
    assert placement.given == {"crs": UTM}
    assert codes(placement) == ["USER_GEOREFERENCE"]


@pytest.mark.parametrize("options", [{"bounds": BOUNDS}, {"affine": NORTH_UP}])
def test_both_halves_given(options: dict[str, Any]) -> None:
    placement = placed(Georeference(), crs=UTM, **options)
    assert placement.grid.transform == NORTH_UP
    assert placement.grid.world_bounds().values == BOUNDS
    assert placement.given == {"crs": UTM} | {k: list(v) for k, v in options.items()}


def test_transform_given_for_a_crs_without_one() -> None:
    placement = placed(Georeference(crs=UTM), bounds=BOUNDS)
    assert placement.grid.transform == NORTH_UP
    assert placement.given == {"bounds": list(BOUNDS)}


def test_given_place_wins_over_unused_ground_control() -> None:
    placement = placed(Georeference(gcps=control((1.0, 0.0, 0.0, 0.0, 1.0, 9.0))), crs=UTM, affine=NORTH_UP)
    assert placement.grid.transform == NORTH_UP
    assert codes(placement) == ["USER_GEOREFERENCE"]


def test_bounds_across_the_antimeridian() -> None:
    placement = placed(Georeference(), crs="EPSG:4326", bounds=(170.0, -10.0, -170.0, 10.0))
    assert placement.grid.world_bounds().values == (170.0, -10.0, 190.0, 10.0)


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        (Georeference(transform=NORTH_UP, crs=UTM), {"crs": "EPSG:4326"}, "has its own CRS"),
        (Georeference(transform=NORTH_UP, crs=UTM), {"affine": (9.0, *NORTH_UP[1:])}, "has its own transform"),
        (Georeference(transform=NORTH_UP, crs=UTM), {"bounds": (0.0, 0.0, 1.0, 1.0)}, "has its own transform"),
        (Georeference(transform=NORTH_UP), {"crs": UTM, "bounds": (0.0, 0.0, 1.0, 1.0)}, "has its own transform"),
        (Georeference(), {"crs": UTM}, "a CRS alone does not place it"),
        (Georeference(), {"bounds": BOUNDS}, "give --crs"),
        (Georeference(), {"crs": UTM, "bounds": BOUNDS, "affine": NORTH_UP}, "give one of them"),
        (Georeference(), {"crs": "no such thing", "bounds": BOUNDS}, "not a coordinate reference system"),
        (Georeference(), {"crs": UTM, "bounds": (1.0, 0.0, 0.0, 1.0)}, "west < east"),
        (Georeference(), {"crs": UTM, "bounds": (0.0, 1.0, 1.0, 1.0)}, "south < north"),
        (Georeference(), {"crs": UTM, "bounds": (float("nan"), 0.0, 1.0, 1.0)}, "not finite"),
        (Georeference(), {"crs": UTM, "affine": (1.0, 1.0, 0.0, 1.0, 1.0, 0.0)}, "unusable.*singular"),
        (Georeference(), {"fit_gcps": True}, "no ground control points"),
        (Georeference(gcps=control(crs=None)), {"fit_gcps": True}, "have no CRS"),
        (Georeference(gcps=control()), {"fit_gcps": True, "crs": "EPSG:4326"}, "are in EPSG:32633, not in"),
    ],
)
def test_contradictions_and_halves_are_refused(found: Georeference, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        placed(found, **options)


def test_saying_what_the_file_says_is_fine() -> None:
    found = Georeference(transform=NORTH_UP, crs=UTM)
    placement = placed(found, crs="+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs +type=crs", bounds=BOUNDS)
    assert placement.grid.transform == NORTH_UP
    assert not placement.given
    assert not placement.verdicts


def test_fit_reports_what_it_loses() -> None:
    placement = placed(Georeference(gcps=control(noise=9.0)), fit_gcps=True)
    assert placement.grid.frame == GeoFrame(UTM)
    assert placement.given == {"fit_gcps": True}
    (verdict,) = placement.verdicts
    assert verdict.code == "GCPS_FITTED"
    # one of nine points is off by 9: the mean takes 1 of it, and 8 are left at that point
    assert "8 (largest)" in verdict.message
    assert "0.8 pixels" in verdict.message


def test_fit_across_the_antimeridian() -> None:
    plate = control((0.1, 0.0, 178.0, 0.0, -0.1, 5.0), crs="EPSG:4326")
    wrapped = tuple((c, r, x - 360.0 if x > 180.0 else x, y, z) for c, r, x, y, z in plate.points)
    placement = placed(Georeference(gcps=GroundControl(wrapped, "EPSG:4326")), fit_gcps=True)
    np.testing.assert_allclose(placement.grid.transform, (0.1, 0.0, 178.0, 0.0, -0.1, 5.0), atol=1e-9)


def test_fit_needs_a_plane() -> None:
    line = GroundControl(tuple((float(k), float(k), float(k), 0.0, 0.0) for k in range(5)), UTM)
    with pytest.raises(DataError, match="lie on a line"):
        placed(Georeference(gcps=line), fit_gcps=True)


def test_fit_is_for_images_without_a_better_place() -> None:
    placement = placed(Georeference(transform=NORTH_UP, crs=UTM, gcps=control((1, 0, 0, 0, 1, 0))), fit_gcps=True)
    assert placement.grid.transform == NORTH_UP
    assert not placement.verdicts


@given(
    st.tuples(
        *[st.floats(-100, 100)] * 2, st.floats(-1e7, 1e7), *[st.floats(-100, 100)] * 2, st.floats(-1e7, 1e7)
    ).filter(lambda t: abs(t[0] * t[4] - t[1] * t[3]) > 1e-3)
)
def test_fit_finds_the_affine_that_made_the_points(transform: tuple[float, ...]) -> None:
    points = np.asarray(control(transform).points)
    found, (_, largest) = fit_affine(points, name="scene.tif")
    a, b, c, d, e, f = found
    x = points[:, 0] * a + points[:, 1] * b + c
    y = points[:, 0] * d + points[:, 1] * e + f
    np.testing.assert_allclose(np.stack([x, y], axis=1), points[:, 2:4], atol=1e-6)
    assert largest < 1e-6

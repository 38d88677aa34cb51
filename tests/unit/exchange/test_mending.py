"""Areas that cross themselves become what they enclosed; those without area are left out; both are told."""

from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from bigimage.exchange.mending import mended
from bigimage.formats.door import Report
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Line, PlanarContours, Polygon, Shape
from bigimage.model.validate import validate

GEO = GeoFrame("EPSG:32632")
BODY = PatientFrame("1.2.3")
BOW = [(0, 0), (2, 2), (2, 0), (0, 2)]


def of(shape: Shape, frame: Frame = GEO) -> Annotation:
    return Annotation(id=UUID(int=1), image="a", label="x", shape=shape, frame=frame)


def only(shape: Shape, frame: Frame = GEO) -> tuple[Annotation, Report]:
    report = Report()
    (found,) = mended([of(shape, frame)], report)
    return found, report


def test_a_bow_tie_becomes_its_two_halves() -> None:
    found, report = only(Polygon(shapely.Polygon(BOW)))
    assert isinstance(found.shape, Polygon)
    assert shapely.get_num_geometries(found.shape.geometry) == 2
    assert shapely.area(found.shape.geometry) == pytest.approx(2)
    assert [(loss.kind, loss.what, list(loss.ids)) for loss in report.losses] == [
        ("approximated", "geometry", [UUID(int=1)])
    ]


def test_parts_that_overlap_are_joined() -> None:
    parts = shapely.MultiPolygon([shapely.Polygon(BOW), shapely.box(0, 0, 2, 2)])
    found, _ = only(Polygon(parts))
    assert isinstance(found.shape, Polygon)
    assert shapely.area(found.shape.geometry) == pytest.approx(4)


@pytest.mark.parametrize(
    "shape",
    [
        Polygon(shapely.box(0, 0, 1, 1)),
        Line(shapely.LineString([(0, 0), (1, 1), (1, 0), (0, 1)])),
        Polygon(shapely.Polygon([(0, 0), (np.inf, 1), (1, 1)])),
    ],
)
def test_what_is_sound_or_beyond_mending_is_handed_on(shape: Shape) -> None:
    found, report = only(shape)
    assert found.shape is shape
    assert report.lossless


@pytest.mark.parametrize("corners", [[(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 0), (2, 0), (1, 0)]])
def test_what_has_no_area_is_left_out(corners: list[tuple[float, float]]) -> None:
    report = Report()
    assert not list(mended([of(Polygon(shapely.Polygon(corners)))], report))
    assert [(loss.kind, loss.count) for loss in report.losses] == [("dropped", 1)]


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_contour_that_crosses_itself_stays_on_its_plane(turn: float) -> None:
    flat = np.array([*BOW, BOW[0]], dtype=float) * 10
    ring = np.stack([flat[:, 0], flat[:, 1] * np.cos(turn), 30 + flat[:, 1] * np.sin(turn)], axis=1)
    square = np.array([(50, 0, 30), (60, 0, 30), (60, 10, 30), (50, 10, 30), (50, 0, 30)], dtype=float)
    found, report = only(PlanarContours.of([ring, square]), BODY)
    assert isinstance(found.shape, PlanarContours)
    assert len(found.shape.rings) == 3
    assert not validate(found)
    halves = np.concatenate(found.shape.rings[:2])
    assert np.allclose(halves[:, 2] - 30, halves[:, 1] * np.tan(turn))
    assert not report.lossless


def test_contours_without_any_area_are_left_out() -> None:
    ring = np.array([(0, 0, 5), (10, 0, 5), (0, 0, 5)], dtype=float)
    report = Report()
    assert not list(mended([of(PlanarContours.of([ring]), BODY)], report))
    assert report.losses[0].kind == "dropped"


corner = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(st.lists(corner, min_size=3, max_size=12))
def test_whatever_is_mended_is_sound_and_covers_what_the_even_odd_rule_covers(
    corners: list[tuple[float, float]],
) -> None:
    found = list(mended([of(Polygon(shapely.Polygon(corners)))], Report()))
    due = shapely.make_valid(shapely.Polygon(corners))
    if not found:
        assert shapely.area(due) == 0
        return
    assert not validate(found[0])
    shape = found[0].shape
    assert isinstance(shape, Polygon)
    assert shapely.area(shapely.symmetric_difference(shape.geometry, due)) == pytest.approx(0, abs=1e-9)

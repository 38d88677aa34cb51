"""Annotations as tables, and random ones, sound and unsound."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import shapely
from hypothesis import strategies as st

from bigimage.model.annotation import Annotation
from bigimage.model.shape import Line, MultiPoint, Point, Polygon
from bigimage.model.table import Table, Texts, packed_ids
from tests.unit.model.examples import UTM

E, N = 500_000.0, 5_400_000.0
_MAKERS = {
    "Point": Point,
    "MultiPoint": MultiPoint,
    "LineString": Line,
    "MultiLineString": Line,
    "Polygon": Polygon,
    "MultiPolygon": Polygon,
}


def table_of(given: Sequence[Annotation]) -> Table:
    """Annotations with plain shapes, of one image and schema version, as a table."""
    n = len(given)
    geometries = np.empty(n, dtype=object)
    geometries[:] = [getattr(a.shape, "geometry", None) for a in given]
    return Table(
        image=given[0].image,
        frame=given[0].frame,
        ids=packed_ids([a.id for a in given]),
        labels=Texts.of([a.label for a in given], n),
        geometries=geometries,
        origins=Texts.of([a.origin for a in given], n),
        attributes=[a.attributes for a in given] if any(a.attributes for a in given) else None,
        times=np.array([-1 if a.t is None else a.t for a in given]) if any(a.t is not None for a in given) else None,
        scores=np.array([np.nan if a.score is None else a.score for a in given]),
        instances=[a.instance for a in given] if any(a.instance is not None for a in given) else None,
        schema=given[0].schema,
    )


_place = st.tuples(st.floats(-100, 1600), st.floats(-100, 1100)).map(lambda p: (E + p[0], N - p[1]))
_odd = st.sampled_from([(np.nan, N), (E, np.inf), (E, N)])
_polygon = st.builds(
    lambda p, sides, reach: shapely.Polygon(
        [(p[0] + reach * np.cos(a), p[1] + reach * np.sin(a)) for a in np.linspace(0, 2 * np.pi, sides, endpoint=False)]
    ),
    _place,
    st.integers(3, 12),
    st.floats(0.5, 200),
)
_geometry = st.one_of(
    _polygon,
    _place.map(shapely.Point),
    st.lists(_place, min_size=1, max_size=3).map(shapely.MultiPoint),
    st.lists(_place, min_size=2, max_size=4).map(shapely.LineString),
    st.tuples(_polygon, _polygon).map(lambda pair: shapely.MultiPolygon(list(pair))),
    # what is wrong: rings that cross themselves or are lines, nothing, a third coordinate, no number
    st.lists(_place, min_size=4, max_size=6).map(shapely.Polygon),
    _place.map(lambda p: shapely.Polygon([p, (p[0] + 1, p[1]), (p[0] + 2, p[1])])),
    _place.map(lambda p: shapely.LineString([p, p])),
    st.sampled_from([shapely.Polygon(), shapely.Point(), shapely.MultiPolygon(), shapely.Point(E, N, 3)]),
    _odd.map(shapely.Point),
)
_attribute = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.lists(st.text(max_size=2))
)


@st.composite
def annotations(draw: st.DrawFn) -> list[Annotation]:
    """Annotations with plain shapes, any of which may be wrong in any way."""
    out: list[Annotation] = []
    schema = draw(st.sampled_from([None, 1, 3]))
    for k in range(draw(st.integers(1, 12))):
        geometry = draw(_geometry)
        out.append(
            Annotation(
                id=UUID(int=(1 << 100) + k),
                image="scene",
                label=draw(st.sampled_from(["house", "tree", "road", "unknown", " ", "x" * 201])),
                shape=_MAKERS[geometry.geom_type](geometry),
                frame=UTM,
                attributes=draw(st.just({}) | st.dictionaries(st.sampled_from(["floors", "roof", "b"]), _attribute)),
                t=draw(st.none() | st.integers(0, 5) | st.just(-2)),
                origin=draw(st.sampled_from(["manual", "import", "model:m@1", "somebody"])),
                score=draw(st.none() | st.floats(-0.5, 1.5)),
                instance=draw(st.none() | st.sampled_from(["", "a", "y" * 201])),
                schema=schema,
            )
        )
    return out

"""Geometries that Arrow holds as numbers are those that were written."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

from bigimage.formats.vector.geoarrow import DEPTHS, geometries

TEXTS = {
    "point": ["POINT (1 2)", "POINT (3 4)"],
    "linestring": ["LINESTRING (0 0, 1 1, 2 0)", "LINESTRING (5 5, 6 6)"],
    "polygon": ["POLYGON ((0 0, 9 0, 9 9, 0 0), (5 1, 8 1, 8 4, 5 1))", "POLYGON ((0 0, 1 0, 1 1, 0 0))"],
    "multipoint": ["MULTIPOINT (0 0, 1 1)", "MULTIPOINT (3 3)"],
    "multilinestring": ["MULTILINESTRING ((0 0, 1 1), (4 4, 5 5, 6 5))", "MULTILINESTRING ((0 0, 1 1))"],
    "multipolygon": ["MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))", "MULTIPOLYGON EMPTY"],
}


@pytest.mark.parametrize("encoding", DEPTHS)
def test_what_geopandas_writes_is_read(tmp_path: Path, encoding: str) -> None:
    first, last = shapely.from_wkt(TEXTS[encoding]).tolist()
    given: list[Any] = [first, None, last]
    path = tmp_path / "x.parquet"
    geopandas.GeoDataFrame(geometry=given, crs=32632).to_parquet(
        path, geometry_encoding="geoarrow", schema_version="1.1.0"
    )
    column = parquet.read_table(path).column("geometry").combine_chunks()
    for array, expected in ((column, given), (column.slice(1), given[1:]), (column.slice(2), given[2:])):
        found = geometries(array, encoding).tolist()
        assert [g if g is None else g.wkt for g in found] == [g if g is None else g.wkt for g in expected]


def test_heights_come_along() -> None:
    column = pa.array([{"x": 1.0, "y": 2.0, "z": 3.0}])
    assert geometries(column, "point")[0].wkt == "POINT Z (1 2 3)"


@pytest.mark.parametrize(
    ("column", "encoding"),
    [
        (pa.array([1.0]), "point"),
        (pa.array([{"a": 1.0}]), "point"),
        (pa.array([[[1.0, 2.0]]]), "polygon"),
        (pa.array([{"x": 1.0, "y": 2.0}]), "polygon"),
    ],
)
def test_arrays_of_another_build_are_refused(column: Any, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"are to be|is to be"):
        geometries(column, encoding)


def test_polygons_are_those_of_shapely() -> None:
    areas = shapely.box(*np.random.default_rng(1).uniform(0, 9, (4, 50)))
    kind, points, offsets = shapely.to_ragged_array(areas)
    assert kind == shapely.GeometryType.POLYGON
    coordinates = pa.StructArray.from_arrays([pa.array(points[:, 0]), pa.array(points[:, 1])], names=["x", "y"])
    rings = pa.ListArray.from_arrays(pa.array(offsets[0], pa.int32()), coordinates)
    column = pa.ListArray.from_arrays(pa.array(offsets[1], pa.int32()), rings)
    assert shapely.equals_exact(geometries(column, "polygon"), areas).all()

"""What is imported belongs to the point in time that is asked for, unless it says another."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image

from bigimage.errors import InputError
from bigimage.exchange.timing import time_of, timed, timed_table
from bigimage.exchange.vector import export_annotations, import_annotations
from bigimage.model.change import Added
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Label, Schema
from bigimage.model.table import Table
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from tests.contracts.test_store import E, N
from tests.unit.model.examples import SCENE, UTM, annotation, square, uid

INFO = ImageInfo(
    id="scene", grid=SCENE, axes=("t", "y", "x"), shape=(4, *SCENE.shape), dtype="uint8", bands=(Band(name="1"),)
)
STILL = replace(INFO, axes=("y", "x"), shape=SCENE.shape)
AREAS = [shapely.box(E + 10 * k, N - 50, E + 10 * k + 5, N - 40) for k in range(1, 6)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(tmp_path / "a.db")
    opened.set_schema(Schema(labels=(Label(name="house", value=1),)), author="ann")
    yield opened
    opened.close()


def table_file(path: Path, **columns: Any) -> Path:
    geopandas.GeoDataFrame({"label": ["house"] * 5, **columns}, geometry=AREAS, crs=UTM.crs).to_parquet(path)
    return path


def test_points_in_time_are_those_of_the_image() -> None:
    assert time_of({}, INFO) is None
    assert [time_of({"t": text}, INFO) for text in ("0", "3")] == [0, 3]
    assert time_of({"t": "0"}, STILL) == 0
    for text in ("4", "-1", "x", "", "1.0", "९", "9" * 5000):
        with pytest.raises(InputError, match="has points in time 0 to 3"):
            time_of({"t": text}, INFO)
    with pytest.raises(InputError, match="but one point in time"):
        time_of({"t": "1"}, STILL)


def test_what_names_a_time_keeps_it() -> None:
    given = [annotation(square(), number=1), replace(annotation(square(), number=2), t=1)]
    assert [a.t for a in timed(given, 3)] == [3, 1]
    table = Table.of(AREAS, image="scene", frame=UTM, ids=[uid(k) for k in range(5)], label="house")
    assert timed_table(table, None) is table
    filled = timed_table(table, 2).times
    assert filled is not None
    assert filled.tolist() == [2] * 5
    mixed = timed_table(replace(table, times=np.array([-1, 0, 1, -1, 3])), 2).times
    assert mixed is not None
    assert mixed.tolist() == [2, 0, 1, 2, 3]


@pytest.mark.parametrize("parity", ["columns", "rows"])
def test_one_file_is_about_each_time_that_it_is_imported_for(store: SqlStore, tmp_path: Path, parity: str) -> None:
    path = table_file(tmp_path / "a.parquet", t=[None, None, 0, None, 3])
    if parity == "rows":
        store.apply("scene", [Added(annotation(square(), number=9, label="house"))], author="ann")
    for t in (1, 2):
        done = import_annotations(store, INFO, path, author="ann", options={"t": str(t)})
        assert (done.added, done.unchanged) == (5, 0)
        again = import_annotations(store, INFO, path, author="ann", options={"t": str(t)})
        assert (again.added, again.changed, again.unchanged) == (0, 0, 5)
    found = sorted(a.t for a in store.query("scene") if a.t is not None)
    assert found == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert import_annotations(store, INFO, path, author="ann").added == 5


@pytest.mark.parametrize("format", ["coco", "cvat", "yolo", "voc", "labelme", "labelstudio", "datumaro", "geojson"])
def test_formats_that_know_no_time_are_given_one(store: SqlStore, tmp_path: Path, format: str) -> None:
    made = [annotation(square(), number=k, label="house") for k in range(3)]
    source = open_store(tmp_path / "source.db")
    source.load("scene", made, author="ann")
    info = replace(STILL, id="scene")
    path = tmp_path / f"out.{'d' if format in ('yolo', 'datumaro') else 'json' if format != 'cvat' else 'xml'}"
    export_annotations(source, info, format=format, output=path)
    source.close()
    done = import_annotations(store, INFO, path, author="ann", format=format, options={"t": "2"})
    assert done.added == 3
    assert {a.t for a in store.query("scene")} == {2}
    moved = import_annotations(store, INFO, path, author="ann", format=format, options={"t": "2"})
    assert (moved.changed, moved.unchanged) == (0, 3)


def test_masks_are_given_a_time(store: SqlStore, tmp_path: Path) -> None:
    bits = np.zeros(SCENE.shape, np.uint8)
    bits[3:9, 4:8] = 1
    Image.fromarray(bits).save(tmp_path / "mask.png")
    for t in ("0", "3"):
        done = import_annotations(store, INFO, tmp_path / "mask.png", author="ann", format="png", options={"t": t})
        assert done.added == 1
    assert sorted(a.t for a in store.query("scene") if a.t is not None) == [0, 3]


def test_a_property_says_the_time_where_programs_know_no_members(store: SqlStore, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"label": ["house"] * 5, "t": range(5)}, geometry=AREAS, crs=UTM.crs)
    path = tmp_path / "a.geojson"
    frame.iloc[:4].to_file(path, engine="pyogrio")
    assert import_annotations(store, INFO, path, author="ann").added == 4
    assert [a.t for a in sorted(store.query("scene"), key=lambda a: a.t or 0)] == [0, 1, 2, 3]

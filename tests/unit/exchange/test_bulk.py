"""Files of plain shapes are imported by columns, and become what they become row by row."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from bigimage.errors import BigImageError, Cancelled, Conflict
from bigimage.exchange import vector
from bigimage.exchange.vector import Imported, export_annotations, import_annotations
from bigimage.formats.vector import FORMATS
from bigimage.model.change import Added, Removed
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Attribute, Label, Schema
from bigimage.model.problem import Invalid
from bigimage.model.shape import Polygon
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from tests.contracts.test_store import E, N
from tests.contracts.test_store_tables import varied
from tests.unit.model.examples import SCENE, UTM, annotation, square, uid

INFO = ImageInfo(
    id="scene", grid=SCENE, axes=("t", "y", "x"), shape=(9, *SCENE.shape), dtype="uint8", bands=(Band(name="1"),)
)
SCHEMA = Schema(
    labels=(
        Label(name="house", value=1, attributes=(Attribute(name="k", type="integer"),)),
        Label(name="tree", value=2, attributes=(Attribute(name="text", type="text"),)),
    )
)
Open = Callable[[], SqlStore]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Open]:
    opened: list[SqlStore] = []

    def new() -> SqlStore:
        opened.append(open_store(tmp_path / f"{len(opened)}.db"))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def both_ways(
    fresh: Open, path: Path, monkeypatch: pytest.MonkeyPatch, *, schema: Schema | None = None, **options: str
) -> tuple[Imported, Imported]:
    """Import a file by columns and row by row, and hold the second to the first."""
    fast, slow = fresh(), fresh()
    for store in (fast, slow):
        if schema is not None:
            store.set_schema(schema, author="ann")
    first = import_annotations(fast, INFO, path, author="ann", options=options)
    with monkeypatch.context() as patch:
        patch.setattr(vector, "bulk_of", lambda *_, **__: None)
        second = import_annotations(slow, INFO, path, author="ann", options=options)
    assert [a.content() for a in fast.query("scene")] == [a.content() for a in slow.query("scene")]
    assert [(c.version, c.extent) for c in fast.changes("scene")] == [
        (c.version, c.extent) for c in slow.changes("scene")
    ]
    assert vector.imported_dict(first) == vector.imported_dict(second)
    return first, second


@pytest.fixture
def by_columns(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each import so far went by columns."""
    went: list[bool] = []
    real = vector.bulk_of

    def told(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        went.append(found is not None)
        return found

    monkeypatch.setattr(vector, "bulk_of", told)
    return went


@pytest.mark.parametrize("name", ["geoparquet", "flatgeobuf", "geopackage", "geojson", "geojsonseq"])
@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_our_own_files_come_back(
    fresh: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_columns: list[bool],
    name: str,
    schema: Schema | None,
) -> None:
    source = fresh()
    made = [a for a in varied(120) if a.label != "ö"]
    source.load("scene", made, author="ann")
    path = tmp_path / f"out{FORMATS[name].SUFFIXES[0]}"
    export_annotations(source, INFO, format=name, output=path)
    done, _ = both_ways(fresh, path, monkeypatch, schema=None if schema is None else tree_without(schema))
    assert by_columns == [True]
    assert (done.added, done.changed, done.unchanged) == (len(made), 0, 0)


def tree_without(schema: Schema) -> Schema:
    """A schema by which everything of `varied` is sound."""
    both = (Attribute(name="k", type="integer"), Attribute(name="text", type="text"))
    return Schema(labels=tuple(Label(name=x.name, value=x.value, attributes=both) for x in schema.labels))


def foreign(tmp_path: Path, **columns: Any) -> Path:
    """GeoParquet of another program."""
    rng = np.random.default_rng(4)
    corners = rng.uniform((E, N - 900), (E + 1400, N - 10), (60, 2))
    areas = shapely.box(corners[:, 0], corners[:, 1] - 8, corners[:, 0] + 5, corners[:, 1])
    path = tmp_path / "foreign.parquet"
    geopandas.GeoDataFrame(columns, geometry=areas, crs=UTM.crs).to_parquet(path)
    return path


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": ["house", "tree"] * 30},
        {"kind": ["house"] * 60, "id": [f"way/{k}" for k in range(60)], "height": np.linspace(1, 9, 60)},
        {"kind": ["tree"] * 60, "id": range(60), "name": [None, "a", "b"] * 20, "flat": [True, False] * 30},
        {"kind": ["house"] * 60, "id": [str(uid(k)) for k in range(60)], "score": [None, 0.5] * 30, "t": [1, 2] * 30},
        {"kind": ["house"] * 60, "id": [1.0, *map(float, range(2, 61))], "k": [float("nan"), 3.0] * 30},
        {"kind": ["house"] * 60, "attributes": [{"k": 4}, None] * 30, "when": [datetime(2020, 1, 2)] * 60},
    ],
)
@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_files_of_other_programs_become_what_they_become_row_by_row(
    fresh: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_columns: list[bool],
    columns: dict[str, Any],
    schema: Schema | None,
) -> None:
    path = foreign(tmp_path, **columns)
    done, _ = both_ways(fresh, path, monkeypatch, schema=schema, **{"label-field": "kind"})
    assert by_columns == [True]
    assert done.added == 60
    assert (schema is None or "height" not in columns) or "height" in str(done.report)


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": [None, "house"] * 30},
        {"kind": ["unheard"] * 60},
        {"kind": ["house"] * 60, "id": [str(uid(7))] * 60},
        {"kind": ["house"] * 60, "t": [40] * 60},
        {"kind": ["house"] * 60, "score": [1.5] * 60},
        {"kind": ["house"] * 60, "k": ["high"] * 60},
        {"kind": ["house"] * 60, "k": [1.5] * 60},
        {"kind": ["house"] * 60, "k": [float("inf")] * 60},
        {"kind": ["house"] * 60, "attributes": ["{"] * 60},
        {"kind": ["house"] * 60, "attributes": ["[1]"] * 60},
        {"kind": ["house"] * 60, "relations": ["{}"] * 60},
    ],
)
def test_what_is_wrong_is_told_as_ever(
    fresh: Open, tmp_path: Path, by_columns: list[bool], columns: dict[str, Any]
) -> None:
    store = fresh()
    store.set_schema(SCHEMA, author="ann")
    with pytest.raises(Invalid, match="nothing was imported"):
        import_annotations(store, INFO, foreign(tmp_path, **columns), author="ann", options={"label-field": "kind"})
    assert by_columns == [False]
    assert store.revision("scene") is None


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_a_folder_of_files_is_one(
    fresh: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_columns: list[bool], encoding: str
) -> None:
    folder = tmp_path / "parts"
    for kind in ("house", "tree"):
        (folder / f"kind={kind}").mkdir(parents=True)
        frame = geopandas.read_parquet(foreign(tmp_path, height=np.linspace(1, 9, 60)))
        path = folder / f"kind={kind}" / "part-0.parquet"
        frame.to_parquet(path, geometry_encoding=encoding, write_covering_bbox=True, schema_version="1.1.0")
    (folder / "_SUCCESS").touch()
    assert FORMATS["geoparquet"].sniff(folder)
    done, _ = both_ways(fresh, folder, monkeypatch, schema=None, **{"label-field": "kind"})
    assert by_columns == [True]
    assert done.added == 120
    (folder / "readme.txt").touch()
    assert not FORMATS["geoparquet"].sniff(folder)


def test_rows_without_a_geometry_are_left_out_where_that_is_asked(
    fresh: Open, tmp_path: Path, by_columns: list[bool]
) -> None:
    frame = geopandas.read_parquet(foreign(tmp_path, label=["house"] * 60))
    frame.loc[3, "geometry"] = None
    frame.loc[4, "geometry"] = shapely.Polygon()
    frame.loc[5, "geometry"] = shapely.GeometryCollection([frame.geometry[5]])
    store = fresh()
    for suffix, write in ((".parquet", frame.to_parquet), (".gpkg", frame.to_file), (".geojson", geojson_of(frame))):
        path = tmp_path / f"holes{suffix}"
        write(path)
        with pytest.raises(Invalid):
            import_annotations(store, INFO, path, author="ann")
        done = import_annotations(store, INFO, path, author="ann", options={"empty": "drop"})
        assert done.added == 58
        assert [(x["what"], x["count"]) for x in done.report["losses"]] == [("empty", 2)]
        assert {type(a.shape) for a in store.query("scene")} == {Polygon}
    assert True not in by_columns


def geojson_of(frame: Any) -> Callable[[Path], Any]:
    """Writes a data frame in degrees, with its collections as they are."""
    return lambda path: path.write_text(frame.to_crs(4326).to_json())


def test_a_file_is_read_row_by_row_where_something_is_stored_already(
    fresh: Open, tmp_path: Path, by_columns: list[bool]
) -> None:
    store, path = fresh(), foreign(tmp_path, kind=["house"] * 60)
    asked: dict[str, Any] = {"author": "ann", "options": {"label-field": "kind"}}
    assert import_annotations(store, INFO, path, **asked).added == 60
    again = import_annotations(store, INFO, path, **asked)
    assert (again.added, again.unchanged) == (0, 60)
    assert by_columns == [True, False]


def test_an_id_that_another_image_has_is_told(fresh: Open, tmp_path: Path, by_columns: list[bool]) -> None:
    store = fresh()
    store.apply("other", [Added(annotation(square(), number=3, image="other"))], author="ann")
    path = foreign(tmp_path, kind=["house"] * 60, id=[str(uid(k)) for k in range(60)])
    with pytest.raises(Invalid, match="nothing was imported") as caught:
        import_annotations(store, INFO, path, author="ann", options={"label-field": "kind"})
    assert [p.kind for p in caught.value.details] == ["duplicate"]
    store.apply("other", [Removed(uid(3), 1)], author="ann")
    with pytest.raises(BigImageError):
        import_annotations(store, INFO, path, author="ann", options={"label-field": "kind"})
    assert store.revision("scene") is None


def test_an_import_by_columns_can_be_stopped(fresh: Open, tmp_path: Path) -> None:
    store, path = fresh(), foreign(tmp_path, kind=["house"] * 60)
    seen: list[tuple[int, int]] = []
    asked: dict[str, Any] = {"author": "ann", "options": {"label-field": "kind"}}
    answers = iter([False, True])
    with pytest.raises(Cancelled):
        import_annotations(store, INFO, path, stop=lambda: next(answers), **asked)
    assert store.revision("scene") is None
    import_annotations(store, INFO, path, progress=lambda done, total: seen.append((done, total)), **asked)
    assert seen[-1] == (60, 60)
    with pytest.raises(Conflict):
        store.load("scene", list(store.query("scene", limit=1)), author="ann")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:4258", "OGC:CRS84"])
def test_another_crs_is_moved_by_columns(
    fresh: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_columns: list[bool], crs: str
) -> None:
    frame = geopandas.read_parquet(foreign(tmp_path, label=["house"] * 60)).to_crs(crs)
    path = tmp_path / "moved.parquet"
    frame.to_parquet(path)
    done, _ = both_ways(fresh, path, monkeypatch)
    assert (by_columns, done.added) == ([True], 60)


def features(tmp_path: Path, *changed: dict[str, Any], **head: Any) -> Path:
    """GeoJSON of another program, in the image's CRS; the first features are as `changed` says."""
    rows: list[dict[str, Any]] = []
    for k in range(12):
        x, y = E + 100 * k + 0.125, N - 50 * k - 40
        ring = [[x, y], [x + 30, y], [x + 30, y + 20], [x, y]]
        properties: dict[str, Any] = {"label": "house", "k": k}
        rows.append(
            {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        )
    for row, change in zip(rows, changed, strict=False):
        row["properties"].update(change.pop("properties", {}))
        row.update(change)
    path = tmp_path / "features.geojson"
    crs = {"type": "name", "properties": {"name": UTM.crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": rows, **head}))
    return path


@pytest.mark.parametrize(
    "changed",
    [
        [],
        [{"id": str(uid(4))}, {"id": 7}, {"id": "way/1"}, {"properties": {"id": str(uid(5))}}],
        [{"t": 3}, {"properties": {"t": 0, "score": 0.5, "instance": 9}}, {"properties": {"origin": "model:a@1"}}],
        [{"properties": {"attributes": {"k": 4}}}, {"properties": {"name": "x", "roof": None}}, {"bbox": [1, 2, 3, 4]}],
        [{"geometry": {"type": "Point", "coordinates": [E + 7, N - 7]}}, {"properties": {"label": "tree"}}],
        [{"geometry": {"type": "MultiLineString", "coordinates": [[[E, N], [E + 9, N - 9.5]]]}}],
    ],
)
@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_features_become_what_they_become_one_by_one(
    fresh: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_columns: list[bool],
    changed: list[dict[str, Any]],
    schema: Schema | None,
) -> None:
    done, _ = both_ways(fresh, features(tmp_path, *deepcopy(changed)), monkeypatch, schema=schema)
    assert (by_columns, done.added) == ([True], 12)


@pytest.mark.parametrize(
    "changed",
    [
        {"geometry": {"type": "Point", "coordinates": [E + 7, N - 7, 3]}},
        {"geometry": {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [E + 7, N - 7]}]}},
        {"geometry": None, "shape": {"type": "ellipse", "center": [E + 50, N - 50], "radii": [9, 4]}},
        {"geometry": None, "shape": {"type": "tag"}},
        {"properties": {"relations": [{"kind": "part-of", "to": str(uid(5))}]}},
    ],
)
def test_special_features_are_looked_at_one_by_one(
    fresh: Open, tmp_path: Path, by_columns: list[bool], changed: dict[str, Any]
) -> None:
    done = import_annotations(fresh(), INFO, features(tmp_path, changed), author="ann")
    assert (by_columns, done.added) == ([False], 12)


def test_what_a_file_says_of_itself_behind_its_features_counts(
    fresh: Open, tmp_path: Path, by_columns: list[bool]
) -> None:
    path = features(tmp_path)
    found = json.loads(path.read_text())
    first, late = fresh(), fresh()
    import_annotations(first, INFO, path, author="ann")
    path.write_text(json.dumps({**{k: v for k, v in found.items() if k != "crs"}, "crs": found["crs"]}))
    import_annotations(late, INFO, path, author="ann")
    assert by_columns == [True, False]
    assert [a.content() for a in first.query("scene")] == [a.content() for a in late.query("scene")]
    path.write_text(json.dumps({"features": found["features"], "type": "FeatureCollection", "crs": found["crs"]}))
    assert import_annotations(fresh(), INFO, path, author="ann").added == 12


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "Thing"},
        {"properties": {"label": 5.5}},
        {"properties": {"score": "high"}},
        {"t": -1},
        {"t": 2**40},
        {"geometry": {"type": "Polygon", "coordinates": [[[E, N], [E + 9, N], [E + 9, N - 9]]]}},
    ],
)
def test_a_feature_that_is_wrong_is_told_as_ever(
    fresh: Open, tmp_path: Path, by_columns: list[bool], changed: dict[str, Any]
) -> None:
    store = fresh()
    with pytest.raises(Invalid, match="nothing was imported") as caught:
        import_annotations(store, INFO, features(tmp_path, changed), author="ann")
    assert len(caught.value.details) == 1
    assert by_columns == [False]
    assert store.revision("scene") is None

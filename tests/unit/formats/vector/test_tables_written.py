"""Tables that GDAL writes are the same however annotations come, and wherever they go."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import geopandas
import pyogrio
import pytest

from bigimage.errors import DataError, InputError
from bigimage.formats.batches import batches
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added
from bigimage.model.labels import Schema
from bigimage.store.opening import open_store
from tests.annotated import context_of, drawn
from tests.contracts.test_store_plain import plain


@pytest.mark.parametrize("name", ["flatgeobuf", "geopackage"])
def test_columns_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    store = open_store(tmp_path / "a.db")
    store.apply("scene", [Added(a) for a in [*plain(), *drawn("geo")]], author="ann")
    module, out = FORMATS[name], []
    for k, size in enumerate((None, 3, 4096)):
        (tmp_path / str(k)).mkdir()
        path, report = tmp_path / str(k) / f"out{module.SUFFIXES[0]}", Report()
        pieces = store.plain("scene") if size is None else batches(store.query("scene"), size)
        module.write_columns(path, pieces, context=context_of("geo"), report=report, options={})  # pyright: ignore
        out.append((path.read_bytes(), report.written, [(x.what, x.count) for x in report.losses]))
    store.close()
    assert out[0] == out[1] == out[2]


@pytest.mark.parametrize("file", ["labels", "labels.out", "labels.FGB", "a b ö.fgb.part"])
def test_flatgeobuf_is_a_file_whatever_it_is_called(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    FORMATS["flatgeobuf"].write(path, plain(), context=context_of("geo"), report=Report(), options={})
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [file]
    assert FORMATS["flatgeobuf"].sniff(path)
    assert pyogrio.read_info(path)["features"] == len(plain())


OLD = {"größe": ["Häuser"], "label": ["straße"]}


def delivered(folder: Path) -> Path:
    """A shapefile as old programs leave it: Latin-1, and nothing that says so beside it."""
    path = folder / "old.shp"
    frame = geopandas.GeoDataFrame(OLD, geometry=[drawn("geo")[0].shape.geometry], crs=32632)  # pyright: ignore
    pyogrio.write_dataframe(frame, path, encoding="ISO-8859-1")
    path.with_suffix(".cpg").unlink()
    return path


def read(name: str, path: Path, **options: str) -> list[Annotation]:
    context = replace(context_of("geo"), schema=Schema())
    return list(FORMATS[name].read(path, context=context, report=Report(), options=options))


def test_old_shapefiles_are_read_with_their_encoding(tmp_path: Path) -> None:
    path = delivered(tmp_path)
    with pytest.raises(DataError, match="option encoding, such as ISO-8859-1"):
        read("shapefile", path, crs="native")
    with pytest.raises(InputError, match="no character encoding"):
        read("shapefile", path, crs="native", encoding="latin-99")
    (found,) = read("shapefile", path, crs="native", encoding="ISO-8859-1")
    assert (found.label, found.attributes) == ("straße", {"größe": "Häuser"})


@pytest.mark.parametrize("name", ["flatgeobuf", "geopackage", "geoparquet"])
def test_times_keep_their_offsets(tmp_path: Path, name: str) -> None:
    when = datetime.fromisoformat("2020-01-02T03:04:05+02:00")
    area = drawn("geo")[0].shape.geometry  # pyright: ignore
    frame = geopandas.GeoDataFrame({"label": ["x"], "when": [when]}, geometry=[area], crs=32632)
    path = tmp_path / f"a{FORMATS[name].SUFFIXES[0]}"
    frame.to_parquet(path) if name == "geoparquet" else pyogrio.write_dataframe(frame, path)
    (found,) = read(name, path, crs="native")
    assert datetime.fromisoformat(found.attributes["when"]) == when

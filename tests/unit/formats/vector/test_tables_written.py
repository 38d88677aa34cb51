"""Tables that GDAL writes are the same however annotations come, and wherever they go."""

from pathlib import Path

import pyogrio
import pytest

from bigimage.formats.batches import batches
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS
from bigimage.model.change import Added
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

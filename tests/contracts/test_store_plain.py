"""Annotations as columns on their way into tables: the same that a query gives, and the same bytes in the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from bigimage.formats.door import Report
from bigimage.formats.vector import geoparquet, tables
from bigimage.model.annotation import Annotation, Relation
from bigimage.model.change import Added, Edited, Removed
from bigimage.model.columns import PlainColumns
from bigimage.model.shape import Line, Point, Polygon
from bigimage.store import database, sqlite
from bigimage.store.sql import SqlStore
from tests.annotated import GRIDS, context_of, drawn
from tests.unit.model.examples import uid

GRID = GRIDS["geo"]


def plain(count: int = 40) -> list[Annotation]:
    """Rings both ways round, holes, parts, points and lines, with all fields that an annotation has."""
    first = drawn("geo")[0]
    rng = np.random.default_rng(4)
    out: list[Annotation] = []
    for k in range(count):
        x, y = GRID.to_world(rng.uniform(20, 200, 2)).tolist()
        ring = shapely.Polygon([(x, y), (x + 9, y), (x + 9, y + 5.5), (x + 2, y + 8)])
        hole = shapely.Polygon(ring.exterior, [[(x + 3, y + 1), (x + 6, y + 1), (x + 6, y + 3)]])
        shapes = [Polygon(ring), Polygon(ring.reverse()), Polygon(hole), Point(shapely.Point(x, y))]
        shapes += [Line(shapely.LineString([(x, y), (x + 1, y + 7)])), Polygon(shapely.MultiPolygon([ring]))]
        fields = {} if k % 3 else {"attributes": {"flag": "é", "length": k / 7}, "score": 0.25, "t": None}
        more = {} if k % 5 else {"instance": f"i{k}", "relations": (Relation("part of", uid(1)),)}
        bare = replace(first, attributes={}, score=None, t=None, instance=None, relations=(), origin="import")
        label = ("ship", "small boat")[k % 2]
        shape = shapes[k % len(shapes)] if count < 100 else shapes[k % 2]
        out.append(replace(bare, id=uid(k + 1), label=label, shape=shape, **fields, **more))
    return out


def as_annotations(store: SqlStore, at: int | None = None) -> list[Annotation]:
    """What `plain` gives, as a query gives it."""
    found: list[Annotation] = []
    by_id = {a.id: a for a in store.query("scene", at=at)}
    for piece in store.plain("scene", at=at):
        if isinstance(piece, PlainColumns):
            for key, label, origin, outline in zip(
                piece.keys, piece.labels, piece.origins, piece.outlines, strict=True
            ):
                annotation = next(a for a in by_id.values() if a.id.bytes == key)
                assert (annotation.label, annotation.origin) == (label, origin)
                assert shapely.from_wkb(outline).equals_exact(annotation.shape.geometry, 0)  # pyright: ignore
                found.append(annotation)
        else:
            found.extend(piece)
    return found


def write(store: SqlStore, path: Path, *, columns: bool, at: int | None = None) -> bytes:
    given = {"context": context_of("geo"), "report": (report := Report()), "options": {}}
    if columns:
        geoparquet.write_columns(path, store.plain("scene", at=at), **given)
    else:
        geoparquet.write(path, store.query("scene", at=at), **given)
    assert report.written == len(list(store.query("scene", at=at)))
    return path.read_bytes()


def test_columns_are_what_a_query_gives(store: SqlStore) -> None:
    store.apply("scene", [Added(a) for a in plain()], author="ann")
    assert [type(p) for p in store.plain("scene")] == [PlainColumns]
    assert as_annotations(store) == list(store.query("scene"))
    assert list(store.plain("nothing")) == []


def test_what_is_not_plain_comes_as_annotations_in_its_place(store: SqlStore) -> None:
    store.apply("scene", [Added(a) for a in [*plain(), *drawn("geo")]], author="ann")
    assert as_annotations(store) == list(store.query("scene"))
    assert any(isinstance(p, list) for p in store.plain("scene"))


def test_the_past_comes_as_it_was(store: SqlStore) -> None:
    given = plain()
    store.apply("scene", [Added(a) for a in given], author="ann")
    store.apply("scene", [Edited(replace(given[2], label="ship"), 1), Removed(given[4].id, 1)], author="bob")
    for at in (0, 1, 2, None):
        assert as_annotations(store, at) == list(store.query("scene", at=at))


@pytest.mark.parametrize("size", [7, 40, 32_768])
def test_a_table_has_the_same_bytes_either_way(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    # row groups and pieces of every size end in different places
    monkeypatch.setattr(tables, "SIZE", size)
    for module in (database, sqlite):
        monkeypatch.setattr(module, "FETCH", 11)
    given = [*plain(), *drawn("geo")]
    store.apply("scene", [Added(a) for a in given], author="ann")
    once = write(store, tmp_path / "a.parquet", columns=True)
    assert once == write(store, tmp_path / "b.parquet", columns=False)
    store.apply("scene", [Removed(given[0].id, 1)], author="bob")
    assert write(store, tmp_path / "c.parquet", columns=True, at=1) == once
    assert write(store, tmp_path / "d.parquet", columns=True) == write(store, tmp_path / "e.parquet", columns=False)


def test_rings_alone_have_the_same_bytes_either_way(store: SqlStore, tmp_path: Path) -> None:
    store.load("scene", plain(3000), author="ann")
    assert write(store, tmp_path / "a.parquet", columns=True) == write(store, tmp_path / "b.parquet", columns=False)

"""What a tile tells of attributes, and what it draws of a store, without HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import mapbox_vector_tile
import numpy as np
import pytest
import shapely

from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Polygon
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from tilesrv import vector_tiles
from tilesrv.mvt_place import NativePlacement
from tilesrv.vector_tiles import smallest, told_attributes, vector_tile

FRAME = GeoFrame.of("EPSG:32632")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "annotations.db")
    yield made
    made.close()


def placement(pixel: float, *, finest: bool = False) -> NativePlacement:
    """The second finest zoom's first tile of an image in UTM."""
    grid = Grid.from_transform((pixel, 0, 500_000, 0, -pixel, 5_000_000), (1000, 1000), FRAME)
    return NativePlacement(grid, grid.coarsen(2), 256, 0, 0, finest)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ({}, {}),
        ({"schema": 3}, {}),
        ({"attributes": {"b": 1, "a": "x", "c": False}}, {"a.a": "x", "a.b": 1, "a.c": False}),
        ({"attributes": {"list": [1, 2], "a": 1.5}}, {"a.a": 1.5, "more": True}),
        ({"attributes": {"none": None}}, {"more": True}),
        ({"attributes": {"long": "y" * 101, "short": "y" * 100}}, {"a.short": "y" * 100, "more": True}),
        ({"instance": "ship-7", "relations": [["part of", "x"]]}, {"instance": "ship-7", "more": True}),
    ],
)
def test_plain_attributes_are_told_and_others_announced(rest: dict[str, Any], told: dict[str, Any]) -> None:
    assert told_attributes(rest) == told


def test_nothing_is_small_where_nobody_can_zoom_in() -> None:
    assert smallest(placement(0.5, finest=True)) is None
    assert smallest(placement(0.5)) == pytest.approx(2.0)


def test_squares_are_no_finer_than_positions_far_from_the_origin_allow(store: SqlStore) -> None:
    for pixel in (0.5, 0.05, 0.02, 0.005, 0.0005):  # the last ones are drawings of a millimetre in UTM
        tile = placement(pixel)
        size = smallest(tile)
        assert size is None or size <= vector_tiles.TOO_COARSE * tile.pixel
        assert vector_tile(store, "scene", tile).body == b""
    assert smallest(placement(0.0005)) is None


def test_counts_of_every_cluster_lie_among_what_they_stand_for(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_tiles, "DRAWN", 10)
    tile = placement(1.0)
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 500, (400, 2)) + 0.25
    boxes = [shapely.box(500_000 + x, 5_000_000 - y - 1, 500_000 + x + 1, 5_000_000 - y) for x, y in corner]
    made = (
        Annotation(id=UUID(int=k + 1), image="scene", label="ab"[k % 2], shape=Polygon(b), frame=FRAME)
        for k, b in enumerate(boxes)
    )
    store.load("scene", made, author="a")
    layers = mapbox_vector_tile.decode(vector_tile(store, "scene", tile).body, default_options={"y_coord_down": True})
    features = layers["counts"]["features"]
    assert sum(f["properties"]["count"] for f in features) == 400
    places = (corner + 0.5) * 8  # 512 pixels of the image in 4096 units
    for feature in features:
        near = np.abs(places - feature["geometry"]["coordinates"]).max(axis=1) <= vector_tiles.CLUSTER
        assert near.sum() >= feature["properties"]["count"]
    assert len(features) < 300


def test_clusters_grow_until_they_fit(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_tiles, "DRAWN", 10)
    monkeypatch.setattr(vector_tiles, "MOST_COUNTS", 20)
    rng = np.random.default_rng(0)
    boxes = [shapely.box(x, y - 1, x + 1, y) for x, y in rng.uniform(0, 500, (300, 2)) * (1, -1) + (5e5, 5e6)]
    made = [
        Annotation(id=UUID(int=k + 1), image="scene", label="a", shape=Polygon(b), frame=FRAME)
        for k, b in enumerate(boxes)
    ]
    store.load("scene", made, author="a")
    layers = mapbox_vector_tile.decode(vector_tile(store, "scene", placement(1.0)).body)
    features = layers["counts"]["features"]
    assert len(features) <= 20
    assert sum(f["properties"]["count"] for f in features) == 300

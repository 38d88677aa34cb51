"""Zonal statistics held to numpy over the pixels of each zone, and areas to the ellipsoid."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import rasterio.features
import shapely

from bigimage.errors import FrameMismatch, Unsupported
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import WGS84, GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band
from bigimage.model.mask import Mask
from bigimage.model.shape import Cuboid, Ellipse, Polygon, Tag
from bigimage.model.where import Where
from bigimage.pyramid.pyramid import Pyramid
from bigimage.rasterize import zonal as module
from bigimage.rasterize.zonal import Zone, pixel_size, zonal, zonal_of
from tests.painting import drawn, rectangle
from tests.pyramids import build, noise

UTM = Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), (300, 260), GeoFrame("EPSG:32633"))


def measured(folder: Path, pyramid: Pyramid, *shapes: Any, **asked: Any) -> list[Zone]:
    """Zones of shapes drawn on an image."""
    from bigimage.store.opening import open_store

    store = open_store(folder / "a.db")
    names = ("house", "road")
    store.load("scene", [drawn(pyramid.info, k + 1, s, names[k % 2]) for k, s in enumerate(shapes)], author="ann")
    found = list(zonal(pyramid, store, **asked))
    store.close()
    return sorted(found, key=lambda z: z.id.int)


def test_statistics_are_those_of_the_pixels_under_each_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_2D", (64, 64))  # so that zones are made of several blocks
    array = noise((2, 300, 260), "int16", seed=4)
    bands = (Band(name="red", nodata=int(array[0, 250, 100])), Band(name="nir", scale=0.5, offset=10))
    pyramid = build(tmp_path / "scene", array, grid=UTM, bands=bands)
    centre = UTM.to_world([150.0, 130.0])
    blob = shapely.Point(centre).buffer(900, quad_segs=5)
    holed = Polygon(shapely.Polygon(blob.exterior, [shapely.Point(centre).buffer(300).exterior]))
    bits = np.random.default_rng(1).random((40, 50)) < 0.5
    ellipse = Ellipse(tuple(centre), (500.0, 200.0), 0.0)
    zones = measured(tmp_path, pyramid, holed, ellipse, Mask.of(UTM, bits, (100, 100)), Tag())
    rows, columns = np.mgrid[0:300, 0:260] + 0.5
    place = rasterio.Affine(*UTM.transform)
    insides = [
        np.asarray(rasterio.features.rasterize([holed.geometry], UTM.shape, transform=place)) > 0,
        ((columns - 130) / 50) ** 2 + ((rows - 150) / 20) ** 2 <= 1,
        np.zeros((300, 260), bool),
    ]
    insides[2][100:140, 100:150] = bits
    assert [z.label for z in zones] == ["house", "road", "house"]
    for zone, inside in zip(zones, insides, strict=False):
        assert zone.count == inside.sum()
        red, nir = zone.bands
        values = array[0][inside & (array[0] != bands[0].nodata)].astype(float)
        assert red.count == len(values)
        assert red.mean == pytest.approx(values.mean())
        assert red.std == pytest.approx(values.std())
        assert [red.minimum, red.maximum] == [values.min(), values.max()]
        scaled = array[1][inside] * 0.5 + 10
        assert nir.percentiles is not None
        assert np.allclose(list(nir.percentiles.values()), np.percentile(scaled, (5, 25, 50, 75, 95)))


def test_tags_are_in_no_zone_and_shapes_beside_the_image_hold_nothing(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "scene", noise((1, 300, 260), "uint8"), grid=UTM)
    sliver = Polygon(shapely.box(500_001, 4_999_991, 500_002, 4_999_992))
    (zone,) = measured(tmp_path, pyramid, sliver, Tag())
    assert (zone.count, zone.area_m2, zone.bands[0].mean, zone.bands[0].percentiles) == (0, 0.0, None, None)


def test_areas_are_those_on_the_ellipsoid() -> None:
    # UTM shortens lengths by 0.9996 at its central meridian
    grid = Grid.from_transform((10.0, 0, 499_000, 0, -10.0, 5_000_000), (200, 200), GeoFrame("EPSG:32633"))
    assert abs(pixel_size(grid, grid.box) / (100 / 0.9996**2) - 1) < 1e-6
    degrees = Grid.from_transform((0.001, 0, 10.0, 0, -0.001, 60.1), (200, 200), GeoFrame(WGS84))
    # a second of arc and its like at 60 degrees north: 111,412 m by 55,800 m per degree
    assert abs(pixel_size(degrees, degrees.box) / (111.412 * 55.800) - 1) < 1e-3


def test_web_mercator_is_not_believed() -> None:
    grid = Grid.from_transform((1.0, 0, 0, 0, -1.0, 8_399_837.0), (100, 100), GeoFrame("EPSG:3857"))
    assert abs(pixel_size(grid, grid.box) - 0.25) < 0.01


def test_volumes_are_in_millilitres(tmp_path: Path) -> None:
    grid = Grid((20, 40, 50), ((0, 0, 0.5, -10), (0, 0.5, 0, -8), (2.0, 0, 0, 100)), PatientFrame("1.2.3"))
    array = noise((20, 40, 50), "int16")
    pyramid = build(tmp_path / "scene", array, axes=("z", "y", "x"), grid=grid)
    middle = grid.to_world([10.0, 20.0, 25.0])
    zones = measured(tmp_path, pyramid, Cuboid(tuple(middle), (5.0, 4.0, 12.0)), Cuboid(tuple(middle), (1.0, 1.0, 4.0)))
    # the smaller block lies in the larger one, which loses nothing by it
    assert [z.count for z in zones] == [6 * 8 * 10, 2 * 2 * 2]
    assert zones[0].volume_ml == pytest.approx(480 * 0.5 / 1000)
    assert zones[0].bands[0].mean == pytest.approx(array[7:13, 16:24, 20:30].astype(float).mean())
    assert zones[0].area_m2 is None


def test_zones_are_chosen_by_label_box_and_number(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "scene", noise((1, 300, 260), "uint8"), grid=UTM)
    shapes = [rectangle(pyramid.info, (k * 20, k * 20 + 9), (0, 9)) for k in range(6)]
    only = measured(tmp_path, pyramid, *shapes, where=Where(labels=frozenset({"road"})), limit=2)
    assert len(only) == 2
    assert {z.id for z in only} < {UUID(int=k) for k in (2, 4, 6)}
    (tmp_path / "more").mkdir()
    low, high = UTM.to_world([[25.0, 2.0], [22.0, 4.0]]).tolist()
    box = WorldBox((low[0], low[1]), (high[0], high[1]), UTM.frame)
    assert [z.id.int for z in measured(tmp_path / "more", pyramid, *shapes, box=box)] == [2]


def test_large_zones_keep_no_values_for_percentiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 5000)
    monkeypatch.setattr(module, "BLOCK_2D", (64, 64))
    array = noise((1, 300, 260), "uint8")
    pyramid = build(tmp_path / "scene", array, grid=UTM)
    (zone,) = measured(tmp_path, pyramid, rectangle(pyramid.info, (0, 300), (0, 260)))
    assert zone.bands[0].percentiles is None
    assert zone.bands[0].std == pytest.approx(array.astype(float).std())


def test_shapes_that_are_not_stored_have_the_zones_of_those_that_are(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "scene", noise((2, 300, 260), "uint8", seed=7), grid=UTM)
    centre = tuple(UTM.to_world([150.0, 130.0]))
    shapes = [rectangle(pyramid.info, (10, 60), (200, 259)), Ellipse(centre, (500.0, 200.0), 25.0)]
    stored = measured(tmp_path, pyramid, *shapes)
    loose = [drawn(pyramid.info, k + 1, s, ("house", "road")[k]) for k, s in enumerate(shapes)]
    assert list(zonal_of(pyramid, loose)) == stored
    (second,) = zonal_of(pyramid, loose[1:], bands=[1])
    assert second.bands == stored[1].bands[1:]


def test_shapes_that_have_no_zone_are_refused(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "scene", noise((1, 300, 260), "uint8", seed=7), grid=UTM)
    mask = Mask.of(UTM, np.ones((4, 4), bool), (0, 0))
    with pytest.raises(Unsupported, match="stored"):
        list(zonal_of(pyramid, [drawn(pyramid.info, 1, mask)]))
    other = replace(drawn(pyramid.info, 1, rectangle(pyramid.info, (0, 9), (0, 9))), frame=GeoFrame("EPSG:4326"))
    with pytest.raises(FrameMismatch):
        list(zonal_of(pyramid, [other]))

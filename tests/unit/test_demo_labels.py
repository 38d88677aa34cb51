"""The demo's annotations: real counties under a sound schema, contours that enclose what is bright."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from bigimage import samples
from bigimage.demo_labels import COUNTIES, COUNTY, STATES, TISSUE, contours, counties, schema, threshold
from bigimage.errors import FrameMismatch, InputError
from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import check_schema
from bigimage.model.patch import Patch
from bigimage.model.shape import PlanarContours
from bigimage.model.validate import validate_all
from bigimage.workspace import open_workspace

WGS84 = GeoFrame.of("EPSG:4326")
TURNED = ((0.3, 0.0, 0.8, 10.0), (0.1, 0.9, 0.0, -20.0), (2.0, 0.0, -0.1, 5.0))
"""Rows that take (z, y, x, 1) to (x, y, z): oblique, and slices two millimetres apart."""


def test_the_schema_is_sound_and_its_colours_differ() -> None:
    found = schema()
    assert check_schema(found) == []
    assert len({label.color for label in found.labels}) == len(found.labels)
    assert {label.name for label in found.labels if label.parent == COUNTY} == set(STATES.values())


def test_every_county_is_there_and_passes_every_check() -> None:
    made = list(counties(samples.locate(COUNTIES), "globe", WGS84))
    assert len(made) == 3221
    assert len({a.id for a in made}) == 3221
    assert {a.label for a in made} == set(STATES.values())
    texas = [a for a in made if a.label == "Texas"]
    assert len(texas) == 254
    (travis,) = [a for a in texas if a.attributes["name"] == "Travis"]
    assert shapely.covers(travis.shape.geometry, shapely.Point(-97.74, 30.27))  # Austin
    assert travis.attributes == {"name": "Travis", "fips": "48453", "kind": "county"}
    globe = Grid.from_transform((1 / 15, 0, -180, 0, -1 / 15, 90), (2700, 5400), WGS84)
    assert validate_all(made, grid=globe, schema=schema()) == []
    assert [a.id for a in counties(samples.locate(COUNTIES), "globe", WGS84)] == [a.id for a in made]


def test_counties_come_in_the_images_own_frame() -> None:
    frame = GeoFrame.of("EPSG:3857")
    travis = next(a for a in counties(samples.locate(COUNTIES), "map", frame) if a.attributes["fips"] == "48453")
    assert travis.frame == frame
    assert shapely.covers(travis.shape.geometry, shapely.Point(-10_880_000, 3_537_000))


def test_another_shapefile_is_refused(tmp_path: Path) -> None:
    import geopandas

    table = geopandas.GeoDataFrame({"FIPS": ["1"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    table.to_file(tmp_path / "other.shp")
    with pytest.raises(InputError, match="lacks LSAD, NAME, STATE_FIPS"):
        next(counties(tmp_path / "other.shp", "globe", WGS84))


def test_a_threshold_lies_between_two_hills() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 20, 9000), rng.normal(400, 60, 3000), [1e6, np.nan]])
    assert 60 < threshold(values) < 300
    with pytest.raises(InputError, match="alike"):
        threshold(np.full(10, 7))


def ball(grid: Grid, radius: float) -> np.ndarray:
    """Bright where a point is within a distance of the grid's middle, with a dark core and a bright speck far off."""
    index = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in grid.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(grid.to_world(index) - grid.to_world(np.asarray(grid.shape) / 2), axis=-1)
    volume = np.where((away < radius) & (away > radius / 3), 1000, 20).astype(np.int16)
    volume[:, 1:3, 1:3] = 1000
    return volume


def test_contours_enclose_what_is_bright_slice_by_slice() -> None:
    grid = Grid((20, 64, 64), TURNED, PatientFrame("1.2.3"))
    volume = ball(grid, 16)
    made = contours(Patch(volume[None], grid, None), "scan")
    assert made is not None
    assert isinstance(made.shape, PlanarContours)
    assert (made.label, made.frame, made.origin) == (TISSUE, grid.frame, "model:threshold@1")
    assert validate_all([made], grid=grid, schema=schema()) == []
    volume[:, :4, :4] = 20  # the speck is too small to be drawn
    drawn = [shapely.Polygon()] * grid.shape[0]
    for ring in made.shape.rings:
        index = grid.to_index(ring)
        layer = round(index[0, 0] - 0.5)
        assert np.allclose(index[:, 0], layer + 0.5)
        drawn[layer] = drawn[layer].symmetric_difference(shapely.Polygon(index[:, :0:-1]))
    bright = (volume > 500).sum(axis=(1, 2))
    for area, count in zip([one.area for one in drawn], bright.tolist(), strict=True):
        assert area == pytest.approx(count if count >= 64 else 0, rel=0.1, abs=64)
    assert bright.max() > 500


def test_a_hole_in_a_slice_is_a_ring_of_its_own() -> None:
    grid = Grid((1, 64, 64), TURNED, PatientFrame("1.2.3"))
    volume = np.zeros(grid.shape, np.float32)
    volume[0, 10:50, 10:50] = 1
    volume[0, 20:40, 20:40] = 0
    made = contours(Patch(volume, grid, None), "scan", above=0.5)
    assert made is not None
    assert isinstance(made.shape, PlanarContours)
    areas = sorted(shapely.Polygon(grid.to_index(ring)[:, 1:]).area for ring in made.shape.rings)
    assert areas == pytest.approx([400, 1600], rel=0.02)


def test_what_is_not_valid_is_not_bright() -> None:
    grid = Grid((2, 32, 32), TURNED, PatientFrame("1.2.3"))
    volume = np.ones(grid.shape, np.float32)
    assert contours(Patch(volume, grid, np.zeros(grid.shape, np.bool_)), "scan", above=0.5) is None


def test_only_volumes_of_one_band_have_contours() -> None:
    flat = Grid.from_transform((1, 0, 0, 0, 1, 0), (8, 8), PixelFrame("flat"))
    with pytest.raises(FrameMismatch, match="in a volume"):
        contours(Patch(np.zeros((1, 8, 8)), flat, None), "flat")
    grid = Grid((2, 8, 8), TURNED, PatientFrame("1.2.3"))
    with pytest.raises(InputError, match="one band"):
        contours(Patch(np.zeros((3, 2, 8, 8)), grid, None), "scan")


def test_contours_of_the_real_brain_are_stored(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "ws")
    brain = workspace.ingest(samples.locate("oblique-mr"), name="brain")[0]
    workspace.annotations.set_schema(schema())
    made = contours(brain.read_index(tuple(slice(None) for _ in brain.info.grid.shape)), "brain")
    assert made is not None
    (stored,) = workspace.annotations.add("brain", made)
    assert isinstance(stored.shape, PlanarContours)
    assert len(stored.shape.rings) >= 20

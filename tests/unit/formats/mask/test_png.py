"""Label images as PNG: Pillow and GDAL read values and colours; names come back."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image

from bigimage.errors import BigImageError, Unsupported
from bigimage.formats.mask import format_for, png
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Schema
from tests.masks import SCHEMA, SEGMENTS, context_of, everything, reread, stream, written

GRID = Grid.pixels((90, 120), "ct")


def raster(high: int = 7, dtype: str = "uint8") -> np.ndarray:
    array = np.zeros(GRID.shape, dtype)
    array[10:40, 5:100] = 1
    array[20:30, 30:40] = 2
    array[70:, 100:] = high
    return array


def test_pillow_and_gdal_read_what_was_written(tmp_path):
    path = tmp_path / "m.png"
    assert written(png, path, stream(raster(), GRID), context_of(GRID)).lossless
    with Image.open(path) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), raster())
        assert tuple(np.asarray(image.convert("RGB"))[15, 10]) == (0xDD, 0x82, 0x65)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as found:
        assert np.array_equal(found.read(1), raster())


@pytest.mark.parametrize("schema", [SCHEMA, Schema()])
def test_round_trip(tmp_path, schema):
    path = tmp_path / "m.png"
    written(png, path, stream(raster(), GRID), context_of(GRID))
    assert format_for(path) == "png"
    mask, report = reread(png, path, context_of(GRID, schema=schema))
    assert not report.problems
    assert mask.grid == GRID
    assert np.array_equal(everything(mask)[0], raster())
    assert [(s.value, s.label.name, s.label.color) for s in mask.segments] == [
        (s.value, s.label.name, s.label.color) for s in SEGMENTS
    ]


def test_values_beyond_a_palette_take_sixteen_bits(tmp_path):
    path = tmp_path / "m.png"
    array = raster(40000, "uint16")
    segments = (*SEGMENTS[:2], replace(SEGMENTS[2], value=40000))
    report = written(png, path, stream(array, GRID, segments), context_of(GRID))
    assert [loss.what for loss in report.losses] == ["colors"]
    assert np.array_equal(np.asarray(Image.open(path)), array)
    mask, _ = reread(png, path, context_of(GRID))
    assert np.array_equal(everything(mask)[0], array)


def test_place_on_a_map_is_lost_and_told_and_found_by_the_image(tmp_path):
    grid = Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), GRID.shape, GeoFrame("EPSG:32633"))
    path = tmp_path / "m.png"
    report = written(png, path, stream(raster(), grid), context_of(grid))
    assert [loss.what for loss in report.losses] == ["georeference"]
    mask, reading = reread(png, path, context_of(grid))
    assert mask.grid == grid
    assert any("taken to lie on the pixels" in n for n in reading.notes)


def test_other_sizes_and_colour_images_are_problems(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(np.zeros((90, 121, 3), np.uint8)).save(path)
    _, report = reread(png, path, context_of(GRID))
    text = " ".join(map(str, report.problems))
    assert "90 × 121" in text
    assert "3 channels" in text


def test_damage_is_told(tmp_path):
    path = tmp_path / "m.png"
    written(
        png,
        path,
        stream(np.random.default_rng(1).choice(np.array([0, 1, 2, 7], "u1"), GRID.shape), GRID),
        context_of(GRID),
    )
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BigImageError):
        reread(png, path, context_of(GRID))


def test_too_many_pixels_are_refused(tmp_path):
    grid = Grid.pixels((1 << 15, 1 << 15), "big")
    empty = replace(stream(raster(), GRID), grid=grid)
    with pytest.raises(Unsupported, match="geotiff"):
        written(png, tmp_path / "m.png", empty, context_of(grid))

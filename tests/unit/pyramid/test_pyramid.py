"""A stored image: pixels by index and by place, checked requests, and what dask and zarr see of it."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import zarr

from bigimage.errors import BigImageError, DataError, FrameMismatch, InputError, NotFound, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import GeoFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band
from bigimage.pyramid.pyramid import Caches, Pyramid
from tests.pyramids import build, noise, whole

SHAPE = (3, 600, 517)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pyramid, np.ndarray, np.ndarray]:
    """A raster of three levels with holes, its pixels and validity."""
    array = noise(SHAPE, "uint16", seed=5)
    valid = np.random.default_rng(5).random(SHAPE[1:]) < 0.5
    valid[300:, 256:] = True
    bands = tuple(Band(name=n, scale=0.5, offset=-1.0, nodata=n == "c" or None) for n in "abc")
    return build(tmp_path_factory.mktemp("scene") / "a", array, valid, bands=bands), array, valid


def test_a_patch_is_its_pixels_on_their_grid(scene: Any) -> None:
    pyramid, array, valid = scene
    patch = pyramid.read_index((slice(10, 300), slice(250, 260)))
    np.testing.assert_array_equal(patch.array, array[:, 10:300, 250:260])
    np.testing.assert_array_equal(patch.valid, valid[10:300, 250:260])
    assert patch.grid == pyramid.info.grid[10:300, 250:260]
    assert patch.array.dtype == np.dtype("uint16")
    last = pyramid.read_index((slice(-5, None), slice(None)), level=1)
    assert last.grid.shape == (5, 259)


def test_a_patch_whose_pixels_are_all_valid_says_so(scene: Any) -> None:
    pyramid, _, _ = scene
    assert pyramid.read_index((slice(300, 600), slice(256, 517))).valid is None
    assert pyramid.read_index((slice(256, 512), slice(256, 512))).valid is not None


@pytest.mark.parametrize("bands", [[0], [2], [0, 1], [1, 2], [2, 0], [1, 1], [2, 1, 0], [0, 2]])
def test_bands_in_any_order(scene: Any, bands: list[int]) -> None:
    pyramid, array, _ = scene
    patch = pyramid.read_index((slice(0, 256), slice(0, 256)), bands=bands)
    np.testing.assert_array_equal(patch.array, array[bands, :256, :256])


def test_physical_values_are_scaled_and_lack_what_is_missing(scene: Any) -> None:
    pyramid, array, valid = scene
    patch = pyramid.read_index((slice(0, 99), slice(0, 99)), physical=True)
    expected = np.where(valid[:99, :99], array[:, :99, :99] * 0.5 - 1.0, np.nan)
    expected[2][array[2, :99, :99] == 1] = np.nan
    np.testing.assert_array_equal(patch.array, expected)
    assert patch.array.dtype == np.float64


def test_a_world_box_reads_the_pixels_it_touches(scene: Any) -> None:
    pyramid, array, _ = scene
    x, y = pyramid.info.grid.to_world((100.0, 50.0))
    patch = pyramid.read((x + 1, y - 29, x + 21, y - 1))
    np.testing.assert_array_equal(patch.array, array[:, 100:103, 50:53])
    everything = pyramid.read((0, 0, 1e7, 1e7), level=2)
    assert everything.grid == pyramid.levels[2].grid
    box = WorldBox((x, y - 10), (x + 10, y), pyramid.info.grid.frame).to(GeoFrame("EPSG:4326"))
    near = pyramid.read(box)
    assert near.grid.box.size <= 9
    np.testing.assert_array_equal(near.array[:, -1, -1], array[:, 100, 50]) if near.grid.shape == (1, 1) else None
    with pytest.raises(OutOfBounds, match="does not touch image scene"):
        pyramid.read((0, 0, 10, 10))
    with pytest.raises(FrameMismatch):
        pyramid.read(WorldBox((0, 0), (1, 1), PixelFrame("other")))
    with pytest.raises(InputError, match="4 or 6 numbers"):
        pyramid.read((1, 2, 3))
    with pytest.raises(InputError, match="3 dimensions does not fit"):
        pyramid.read((1, 2, 3, 4, 5, 6))


@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        ({"box": IndexBox((0, 0), (601, 5))}, OutOfBounds, r"within level 0 of shape \(600, 517\)"),
        ({"box": IndexBox((-1, 0), (5, 5))}, OutOfBounds, "within level 0"),
        ({"box": IndexBox((5, 5), (5, 9))}, OutOfBounds, "within level 0"),
        ({"box": IndexBox((0, 0), (300, 300)), "level": 2}, OutOfBounds, "within level 2"),
        ({"box": IndexBox((0, 0, 0), (1, 1, 1))}, InputError, "3 dimensions does not fit"),
        ({"box": (slice(0, 5),)}, InputError, "1 slices given for 2"),
        ({"box": (slice(0, 5), slice(0, 9, 3))}, InputError, "has a step"),
        ({"level": 3}, OutOfBounds, "levels 0 to 2"),
        ({"level": -1}, OutOfBounds, "levels 0 to 2"),
        ({"bands": [3]}, OutOfBounds, "bands 0 to 2"),
        ({"bands": [-1]}, OutOfBounds, "bands 0 to 2"),
        ({"bands": []}, InputError, "no bands"),
        ({"t": 1}, OutOfBounds, "times 0 to 0"),
    ],
)
def test_requests_that_make_no_sense(scene: Any, request_: dict[str, Any], error: type, reason: str) -> None:
    pyramid, _, _ = scene
    options = {"box": (slice(0, 5), slice(0, 5))} | request_
    with pytest.raises(error, match=reason):
        pyramid.read_index(**options)


def test_an_aligned_tile_costs_one_read_of_each_array(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid, array, _ = scene
    fresh = Pyramid.open(pyramid.path)
    calls: list[str] = []
    for name in ("open", "pread"):
        real = getattr(__import__("os"), name)

        def count(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            calls.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(f"bigimage.pyramid.shard.os.{name}", count)
    tile = (slice(256, 512), slice(256, 512))
    fresh.read_index(tile)
    assert calls.count("pread") == 4  # with the indexes of both shards
    calls.clear()
    patch = fresh.read_index(tile)
    assert (calls.count("open"), calls.count("pread")) == (2, 2)
    np.testing.assert_array_equal(patch.array, array[:, 256:512, 256:512])
    calls.clear()
    fresh.read_index((slice(0, 512), slice(0, 512)))
    assert (calls.count("open"), calls.count("pread")) == (2, 8)


def test_caches_keep_within_their_budgets(scene: Any) -> None:
    pyramid, array, _ = scene
    caches = Caches.of(indexes=1000, chunks=3 * 256 * 256 * 2 + 600)
    small = Pyramid.open(pyramid.path, caches)
    rng = np.random.default_rng(0)
    for _ in range(30):
        y, x = rng.integers(0, 500), rng.integers(0, 500)
        patch = small.read_index((slice(y, y + 90), slice(x, x + 17)))
        np.testing.assert_array_equal(patch.array, array[:, y : y + 90, x : x + 17])
        assert caches.indexes.weight <= 1000
        assert caches.chunks.weight <= 3 * 256 * 256 * 2 + 600


def test_threads_share_a_pyramid(scene: Any) -> None:
    pyramid, array, valid = scene
    boxes = [IndexBox((y, x), (y + 120, x + 130)) for y in range(0, 450, 60) for x in range(0, 380, 60)]
    with ThreadPoolExecutor(8) as pool:
        for box, patch in zip(boxes, pool.map(pyramid.read_index, boxes), strict=True):
            np.testing.assert_array_equal(patch.array, array[(slice(None), *box.slices)])
            expected = valid[box.slices]
            np.testing.assert_array_equal(np.ones_like(expected) if patch.valid is None else patch.valid, expected)


def test_zarr_and_dask_see_every_level(scene: Any) -> None:
    pyramid, _, _ = scene
    for number, level in enumerate(pyramid.levels):
        pixels, _ = whole(level)
        assert isinstance(level.array, zarr.Array)
        np.testing.assert_array_equal(level.array[:], pixels)
        lazy = pyramid.dask(level=number)
        assert isinstance(lazy, dask.array.Array)
        assert lazy.shape == level.shape
        np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), pixels)
    with pytest.raises(OutOfBounds):
        pyramid.dask(level=9)


def test_dask_blocks_are_whole_chunks(tmp_path: Path) -> None:
    pyramid = build(tmp_path / "a", np.zeros((1, 20, 5000), "uint8"))
    lazy = pyramid.dask()
    assert lazy.chunks == ((1,), (20,), (2048, 2048, 904))
    volume = build(tmp_path / "b", np.zeros((2, 70, 100, 100), "uint8"), axes=("t", "z", "y", "x"))
    for size, blocks in zip(volume.levels[0].chunks, volume.dask().chunks, strict=True):
        assert all(block % size == 0 for block in blocks[:-1])


def test_dask_graphs_travel(scene: Any) -> None:
    pyramid, array, _ = scene
    lazy = pickle.loads(pickle.dumps(pyramid.dask()))
    np.testing.assert_array_equal(lazy[:, ::100, ::100].compute(scheduler="threads"), array[:, ::100, ::100])
    assert pyramid.dask().name == Pyramid.open(pyramid.path).dask().name


def test_volumes_by_index_time_and_place(tmp_path: Path) -> None:
    array = noise((2, 3, 9, 150, 140), "int16")
    pyramid = build(tmp_path / "a", array, axes=("t", "c", "z", "y", "x"))
    patch = pyramid.read_index((slice(1, 5), slice(7, 60), slice(100, 140)), t=1, bands=[2, 0])
    np.testing.assert_array_equal(patch.array, array[1][[2, 0], 1:5, 7:60, 100:140])
    near = pyramid.read((10, 20, 3, 12, 25, 9), t=0)
    np.testing.assert_array_equal(near.array, array[0, :, 1:3, 20:25, 10:12])
    with pytest.raises(OutOfBounds, match="times 0 to 1"):
        pyramid.read_index((slice(1), slice(1), slice(1)), t=2)
    single = build(tmp_path / "b", array[0, 0], axes=("z", "y", "x"))
    assert single.read_index((slice(2, 3), slice(None), slice(None))).array.shape == (1, 1, 150, 140)


def test_slopes_of_slices(tmp_path: Path) -> None:
    array = np.full((4, 20, 20), 10, "int16")
    value = {"slope": [1.0, 2.0, 3.0, 4.0], "intercept": [0.0, 0.0, 0.0, 1.0]}
    pyramid = build(tmp_path / "a", array, axes=("z", "y", "x"), value=value)
    patch = pyramid.read_index((slice(1, 4), slice(0, 2), slice(0, 2)), physical=True)
    assert patch.array[0, :, 0, 0].tolist() == [20, 30, 41]


def test_slopes_of_slices_that_were_merged_are_refused(tmp_path: Path) -> None:
    array = np.full((300, 200, 200), 10, "uint8")
    grid = Grid(array.shape, ((0, 0, 1.0, 0), (0, 1.0, 0, 0), (1.0, 0, 0, 0)), PixelFrame("a"))
    pyramid = build(tmp_path / "a", array, axes=("z", "y", "x"), grid=grid, value={"slope": [1.0] * 300})
    assert pyramid.levels[1].grid.shape[0] == 150
    with pytest.raises(Unsupported, match="merges slices"):
        pyramid.read_index((slice(1), slice(1), slice(1)), level=1, physical=True)


def test_a_version_is_that_of_the_description(scene: Any, tmp_path: Path) -> None:
    pyramid, array, _ = scene
    assert Pyramid.open(pyramid.path).version == pyramid.version
    other = build(tmp_path / "a", array, provenance={"sha256": "1" * 64})
    again = build(tmp_path / "b", array, provenance={"sha256": "2" * 64})
    assert len({pyramid.version, other.version, again.version}) == 3


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Pyramid.open(tmp_path / "nothing")
    zarr.create_group(str(tmp_path / "foreign"))
    with pytest.raises(DataError, match="not a pyramid that bigimage wrote"):
        Pyramid.open(tmp_path / "foreign")


def _damaged(document: Any) -> Any:
    """Copies of a document with one member deleted or replaced."""
    text = json.dumps(document)

    def paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
        if path:
            yield path
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in members:
            yield from paths(inner, (*path, key))

    for path in paths(document):
        for damage in (None, "x", {}, "delete"):
            copy = json.loads(text)
            inner = copy
            for key in path[:-1]:
                inner = inner[key]
            if damage == "delete":
                del inner[path[-1]]
            else:
                inner[path[-1]] = damage
            yield copy


def test_a_damaged_root_document_is_an_error_of_ours_or_none(tmp_path: Path) -> None:
    build(tmp_path / "a", noise((1, 5, 7), "uint8"), np.zeros((5, 7), dtype=bool))
    path = tmp_path / "a" / "zarr.json"
    document = json.loads(path.read_text())
    refused = 0
    for damaged in _damaged(document):
        path.write_text(json.dumps(damaged))
        try:
            pyramid = Pyramid.open(tmp_path / "a")
        except BigImageError:
            refused += 1
        else:
            assert pyramid.levels
    assert refused > 100

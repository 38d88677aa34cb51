"""Stored pyramids, read by strangers: zarr-python and tensorstore see what was written, at every level and odd size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image

from bigimage.geometry.box import IndexBox
from bigimage.pyramid.pyramid import Pyramid
from bigimage.pyramid.validate import validate
from tests.pyramids import DTYPES, build, noise, reduced, whole

SIZES = (1, 2, 3, 255, 256, 257, 300, 511, 513)


def _tensorstore(folder: Path) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def _strangers_agree(root: Path, pyramid: Pyramid) -> None:
    group = zarr.open_group(str(root), mode="r")
    for number, level in enumerate(pyramid.levels):
        for name, array in (("image", level.image), ("valid", level.valid)):
            if array is None:
                continue
            ours = array.read(IndexBox.of_shape(array.spec.shape))
            np.testing.assert_array_equal(group[f"{number}/{name}"][:], ours)
            np.testing.assert_array_equal(_tensorstore(root / str(number) / name), ours)
            assert group[f"{number}/{name}"].dtype == ours.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 300), (3, 257, 300), (1, 513, 2)])
def test_every_type_and_odd_size(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = noise(shape, dtype)
    pyramid = build(tmp_path / "a", array)
    np.testing.assert_array_equal(whole(pyramid.levels[0])[0], array)
    _strangers_agree(tmp_path / "a", pyramid)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((20, 300, 260), "uint8"),  # more than 1 MiB in a chunk of all bands
        ((40, 257, 256), "float64"),  # more than 16 MiB in a shard of all bands
        ((1, 1, 4100), "uint8"),
        ((1, 2049, 1), "uint16"),
    ],
)
def test_many_bands_and_long_strips(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    array = noise(shape, dtype)
    pyramid = build(tmp_path / "a", array)
    np.testing.assert_array_equal(whole(pyramid.levels[0])[0], array)
    _strangers_agree(tmp_path / "a", pyramid)


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """An image with much that is empty, its validity, and facts about it."""
    dtype = draw(st.sampled_from(["uint8", "int16", "float32"]))
    shape = (draw(st.integers(1, 3)), draw(st.sampled_from(SIZES)), draw(st.sampled_from(SIZES)))
    array = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 5, shape).astype(dtype)
    nodata = draw(st.sampled_from([None, 0, 3]))
    empty = draw(st.sampled_from([slice(0, 0), slice(0, 256), slice(None)]))
    array[:, empty, :300] = nodata or 0
    valid = draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
    mask = None if valid is None else np.random.default_rng(1).random(shape[1:]) < valid
    labels = dtype == "uint8" and draw(st.booleans())
    return array, mask, {"nodata": (nodata,) * shape[0], "role": "labels" if labels else "image"}


@given(image=images(), by_rows=st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_image_is_stored_exactly(tmp_path_factory: pytest.TempPathFactory, image: Any, by_rows: bool) -> None:
    array, valid, facts = image
    root = tmp_path_factory.mktemp("any") / "a"
    pyramid = build(root, array, valid, by_rows=by_rows, **facts)
    _strangers_agree(root, pyramid)
    mask = np.ones(array.shape[1:], dtype=bool) if valid is None else valid
    fill = [0 if v is None else v for v in facts["nodata"]]
    labels = facts["role"] == "labels"
    for level in pyramid.levels:
        found, seen = whole(level)
        np.testing.assert_array_equal(found, array)
        np.testing.assert_array_equal(mask if seen is None else seen, mask)
        array, mask = reduced(array, mask, labels=labels, nodata=facts["nodata"], fill=fill)
    assert validate(root) == []


def test_empty_chunks_and_shards_are_not_stored(tmp_path: Path) -> None:
    array = np.zeros((1, 4352, 600), "uint8")
    array[:, 4300, 500] = 1
    pyramid = build(tmp_path / "a", array)
    shards = sorted(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a" / "0").rglob("c/**/*") if p.is_file())
    assert shards == ["0/image/c/0/1/0"]
    assert (tmp_path / "a" / shards[0]).stat().st_size < 5000
    np.testing.assert_array_equal(whole(pyramid.levels[0])[0], array)
    _strangers_agree(tmp_path / "a", pyramid)


def test_the_models_and_every_reader_accept_the_store(tmp_path: Path) -> None:
    build(tmp_path / "a", noise((3, 600, 500), "uint8"), np.random.default_rng(0).random((600, 500)) < 0.5)
    group = zarr.open_group(str(tmp_path / "a"), mode="r")
    image = Image.from_zarr(group)
    (scales,) = image.attributes.ome.multiscales
    assert [dataset.path for dataset in scales.datasets] == ["0/image", "1/image", "2/image"]
    for dataset in scales.datasets:
        assert group[dataset.path].metadata.dimension_names == ("c", "y", "x")
    # one scale and at most one translation after it, by half a pixel of the difference
    for number, dataset in enumerate(scales.datasets):
        steps = dataset.coordinateTransformations
        assert [step.type for step in steps] == ["scale", "translation"][: 1 + bool(number)]
        if number:
            assert list(steps[1].translation) == [0.0, 5.0 * (2**number - 1), 5.0 * (2**number - 1)]
    document = json.loads((tmp_path / "a" / "zarr.json").read_text())
    assert {"ome", "multiscales", "zarr_conventions", "bigimage"} <= set(document["attributes"])

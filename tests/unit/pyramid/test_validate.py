"""Validation: a sound pyramid has no problem; every damage is found and its place named."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimage.errors import BigImageError
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.pyramid.pyramid import Pyramid
from bigimage.pyramid.validate import validate
from tests.pyramids import build, noise


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid with validity and several shards on its first level."""
    root = tmp_path_factory.mktemp("template") / "a"
    array = noise((40, 300, 520), "uint16")
    build(root, array, np.random.default_rng(0).random((300, 520)) < 0.5, window=((0.0, 9.0),) * 40)
    return root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(template, tmp_path / "a"))


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((3, 300, 300), {}),
        ((1, 1, 1), {}),
        ((1, 9, 9), {"frame": GeoFrame.of("+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84")}),
        ((1, 300, 9), {"grid": Grid.pixels((300, 9), "scene")}),
        ((1, 300, 9), {"role": "labels"}),
        ((20, 90, 90), {"axes": ("z", "y", "x")}),
        ((2, 20, 90, 90), {"axes": ("t", "z", "y", "x")}),
    ],
)
def test_what_is_built_is_sound(tmp_path: Path, shape: tuple[int, ...], facts: dict[str, Any]) -> None:
    build(tmp_path / "a", noise(shape, "uint8"), **facts)
    assert validate(tmp_path / "a") == []


def test_a_sound_copy_and_honest_progress(store: Path) -> None:
    steps: list[tuple[int, int]] = []
    assert validate(store, progress=lambda done, total: steps.append((done, total))) == []
    shards = len([p for p in store.rglob("c/**/*") if p.is_file()])
    assert steps[-1][0] == steps[-1][1] >= shards
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))


def _flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(bytes(raw))


def test_a_flipped_byte_is_found_in_every_array(store: Path) -> None:
    damaged = [store / "0/image/c/0/0/1", store / "1/image/c/0/0/0", store / "0/valid/c/0/0"]
    for path in damaged:
        _flip(path, 5)
    problems = validate(store)
    assert len(problems) == 3
    for path in damaged:
        assert sum(str(path) in problem and "checksum" in problem for problem in problems) == 1


def _flip_three_chunks(store: Path) -> Path:
    shard = store / "0/image/c/0/0/0"
    count = math.prod(Pyramid.open(store).levels[0].image.spec.chunks_per_shard)
    index = np.frombuffer(shard.read_bytes()[-4 - 16 * count : -4], "<u8").reshape(-1, 2)
    for offset, _ in index[:3].tolist():
        _flip(shard, offset)
    return shard


def test_all_damaged_chunks_of_a_shard_are_told_and_a_lost_index_once(store: Path) -> None:
    shard = _flip_three_chunks(store)
    assert len(validate(store)) == 3
    shard.write_bytes(shard.read_bytes()[:-1])
    (problem,) = validate(store)
    assert problem.startswith(f"{shard} has no sound index")


def test_damage_is_told_wholly_whatever_the_folder_is_called(template: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(template, tmp_path / "index of images"))
    _flip_three_chunks(store)
    assert len(validate(store)) == 3


@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_a_truncated_shard_is_found(store: Path, keep: int) -> None:
    shard = store / "0/image/c/0/0/1"
    shard.write_bytes(shard.read_bytes()[:keep])
    (problem,) = validate(store)
    assert str(shard) in problem


@pytest.mark.parametrize("name", ["0/image/c/0/0/1", "1/valid/c/0/0"])
def test_a_missing_shard_is_found(store: Path, name: str) -> None:
    (store / name).unlink()
    (problem,) = validate(store)
    assert str(store / name.split("/c/")[0]) in problem


@pytest.mark.parametrize("name", ["0", "0/image", "1", "1/image", "1/valid"])
def test_a_missing_or_damaged_document_is_found(store: Path, name: str) -> None:
    path = store / name / "zarr.json"
    text = path.read_text()
    path.unlink()
    assert any(str(path) in problem and "does not exist" in problem for problem in validate(store))
    path.write_text(text[:-5])
    assert any(str(path) in problem and "is not JSON" in problem for problem in validate(store))


def test_a_missing_or_damaged_root_is_the_only_problem(store: Path) -> None:
    path = store / "zarr.json"
    text = path.read_text()
    path.write_text(text[:-5])
    (problem,) = validate(store)
    assert "is not JSON" in problem
    path.unlink()
    (problem,) = validate(store)
    assert "does not exist" in problem


def _edit(path: Path, value: Any, *keys: Any) -> None:
    document = json.loads(path.read_text())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(document))


ATTRIBUTES = ("attributes",)
SCALE = (*ATTRIBUTES, "ome", "multiscales", 0, "datasets", 1, "coordinateTransformations", 0, "scale")


@pytest.mark.parametrize(
    ("node", "value", "keys"),
    [
        (".", [1.0, 10.0, 20.0], SCALE),
        (".", "0.4", (*ATTRIBUTES, "ome", "version")),
        (".", "EPSG:4326", (*ATTRIBUTES, "proj:code")),
        (".", [10.0, 0.0, 0.0, 0.0, -10.0, 0.0], (*ATTRIBUTES, "spatial:transform")),
        (".", "nearest", (*ATTRIBUTES, "multiscales", "resampling_method")),
        (".", 11.0, (*ATTRIBUTES, "bigimage", "affine", 0, 1)),
        (".", [40, 300, 521], (*ATTRIBUTES, "bigimage", "shape")),
        (".", "labels", (*ATTRIBUTES, "bigimage", "role")),
        ("0", "EPSG:4326", (*ATTRIBUTES, "proj:code")),
        ("1", [10.0, 0.0, 0.0, 0.0, -10.0, 0.0], (*ATTRIBUTES, "spatial:transform")),
        ("0/image", 7, ("fill_value",)),
        ("0/image", [40, 300, 521], ("shape",)),
        ("1/valid", ["x", "y"], ("dimension_names",)),
        ("1/image", "uint8", ("data_type",)),
    ],
)
def test_an_edited_attribute_is_found(store: Path, node: str, value: Any, keys: tuple[Any, ...]) -> None:
    _edit(store / node / "zarr.json", value, *keys)
    assert validate(store)


def test_a_convention_broken_everywhere_alike_is_found(store: Path) -> None:
    """Also where all copies agree, the validators of the conventions see it."""
    for path in store.rglob("zarr.json"):
        path.write_text(path.read_text().replace('"spatial:registration":"pixel"', '"spatial:registration":"middle"'))
    assert any("conventions" in problem for problem in validate(store))


def test_leftovers_are_found(store: Path) -> None:
    left = store / "0/image/c/0/0/1.abcd.partial"
    left.write_bytes(b"x")
    (problem,) = validate(store)
    assert problem.startswith(str(left))


def test_edits_anywhere_are_found_or_harmless_but_never_raise(store: Path) -> None:
    path = store / "zarr.json"
    document = json.loads(path.read_text())
    for key in list(document["attributes"]["bigimage"]):
        for value in (None, [], "x", -1):
            _edit(path, value, *ATTRIBUTES, "bigimage", key)
            assert all(isinstance(problem, str) for problem in validate(store))
            path.write_text(json.dumps(document))
    for value in (None, [], {}, "x"):
        _edit(path, value, "consolidated_metadata")
        assert all(isinstance(problem, str) for problem in validate(store))
        path.write_text(json.dumps(document))


def test_without_the_consolidated_copy_the_documents_still_count(store: Path) -> None:
    path = store / "zarr.json"
    document = json.loads(path.read_text())
    del document["consolidated_metadata"]
    path.write_text(json.dumps(document))
    assert Pyramid.open(store).levels
    (store / "1" / "image" / "zarr.json").unlink()
    assert validate(store)
    with pytest.raises(BigImageError):
        Pyramid.open(store)

"""Where voxels are unpacked to, and what a volume's description says."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigimage.errors import BackendError, DataError
from bigimage.geometry.box import IndexBox
from bigimage.sources import volume_header
from bigimage.sources.door import OpenOptions
from bigimage.sources.volume_header import VolumeHeader, describe, flat

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
SIZES = {"z": 2, "y": 3, "x": 4}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"raw": bytes, "gzip": gzip.compress, "zlib": zlib.compress}


def opened(path: Path, packing: str, **options: int) -> np.ndarray:
    volume = flat(
        path, offset=options.get("offset", 0), packing=packing, dtype=np.dtype("<i2"), axes=("z", "y", "x"),
        sizes=SIZES, skip=options.get("skip", 0),
    )  # fmt: skip
    try:
        return volume.read(IndexBox.of_shape((2, 3, 4)))[0]
    finally:
        volume.file.close()


@pytest.mark.parametrize("packing", PACKINGS)
def test_all_packings(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"header" + PACKINGS[packing](b"skipped!" + VOXELS.tobytes() + b"more"))
    np.testing.assert_array_equal(opened(path, packing, offset=6, skip=8), VOXELS)


@pytest.mark.parametrize("packing", PACKINGS)
def test_too_few_voxels(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(PACKINGS[packing](VOXELS.tobytes()[:-10]))
    with pytest.raises(DataError, match="cut short: it holds 38 of the 48 bytes"):
        opened(path, packing)


@pytest.mark.parametrize("packing", ["gzip", "zlib"])
def test_streams_that_are_damaged(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a"
    packed = bytearray(PACKINGS[packing](np.random.default_rng(0).bytes(2000)))
    packed[20:40] = b"\xff" * 20
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged"):
        flat(
            path,
            offset=0,
            packing=packing,
            dtype=np.dtype("u1"),
            axes=("z", "y", "x"),
            sizes={"z": 1, "y": 2, "x": 1000},
        )


def test_unpacking_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(VOXELS.tobytes()))
    monkeypatch.setattr(volume_header.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(BackendError, match="takes 48 bytes"):
        opened(path, "gzip")


def header(path: Path, **values: object) -> VolumeHeader:
    path.write_bytes(VOXELS.tobytes())
    facts: dict[str, object] = {
        "path": path,
        "driver": "NRRD",
        "dtype": np.dtype(">i2"),
        "axes": ("z", "y", "x"),
        "sizes": SIZES,
        "affine": np.diag([0.5, 0.5, 2.0, 1.0]),
        "ras": False,
        "open": lambda: flat(path, offset=0, packing="raw", dtype=np.dtype("<i2"), axes=("z", "y", "x"), sizes=SIZES),
    }
    return VolumeHeader(**{**facts, **values})  # type: ignore[arg-type]


def test_the_description(tmp_path: Path) -> None:
    info = describe(header(tmp_path / "a.nrrd", slope=2.0, intercept=-1.0, window=(0.0, 9.0)), "scan", OpenOptions())
    assert (info.axes, info.shape, info.dtype) == (("z", "y", "x"), (2, 3, 4), "int16")
    np.testing.assert_allclose(info.grid.to_world((0.5, 0.5, 0.5)), (0, 0, 0))
    assert info.value == {"unit": None, "slope": 2.0, "intercept": -1.0}
    assert info.window == ((0.0, 9.0),)
    assert info.provenance["source"] == "a.nrrd"
    physical = describe(header(tmp_path / "a.nrrd", slope=2.0), "scan", OpenOptions(physical=True))
    assert (physical.dtype, physical.value["slope"]) == ("float32", 1.0)
    assert physical.provenance["options"] == {"physical": True}


def test_channels_and_roles(tmp_path: Path) -> None:
    axes, sizes = ("z", "y", "x", "c"), {**SIZES, "c": 3}
    colours = describe(header(tmp_path / "a", axes=axes, sizes=sizes, colour=True), "scan", OpenOptions())
    assert [band.name for band in colours.bands] == ["red", "green", "blue"]
    assert (colours.axes, colours.shape) == (("c", "z", "y", "x"), (3, 2, 3, 4))
    vectors = describe(header(tmp_path / "a", axes=axes, sizes=sizes), "scan", OpenOptions(role="labels"))
    assert [band.interpretation for band in vectors.bands] == ["undefined"] * 3
    assert vectors.role == "labels"

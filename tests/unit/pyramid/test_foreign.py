"""Stores that others wrote, read in place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import bigimage as bi
from bigimage.errors import DataError, InputError, NotFound, Unsupported
from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame

SCENE = np.arange(3 * 40 * 60, dtype=np.uint16).reshape(3, 40, 60)


def write_ome(path: Path, array: np.ndarray, axes: str, *, version: str, unit: str | None = None) -> None:
    """A two-level OME-Zarr image by zarr-python; the second level is every other sample, as ome-zarr-py makes it."""
    names = list(axes)
    step = tuple(slice(None, None, 2) if a in "yx" else slice(None) for a in axes)
    levels = [array, array[step]]
    spaces = [{"name": a, "type": "space" if a in "zyx" else "channel" if a == "c" else "time"} for a in names]
    for axis in spaces:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
    scales = [[1.0 if a in "tc" else 0.5 * (f if a in "yx" else 4) for a in axes] for f in (1, 2)]
    multiscales = {
        "axes": spaces,
        "datasets": [
            {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": s}]} for i, s in enumerate(scales)
        ],
    }
    if version == "0.5":
        group = zarr.open_group(str(path), mode="w", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscales]}
    else:
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        group.attrs["multiscales"] = [{**multiscales, "version": "0.4"}]
    for number, level in enumerate(levels):
        names_of_axes = names if version == "0.5" else None
        stored = group.create_array(
            str(number), shape=level.shape, chunks=tuple(min(16, n) for n in level.shape), dtype=level.dtype,
            dimension_names=names_of_axes,
        )  # fmt: skip
        stored[...] = level


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_raster(tmp_path: Path, version: str) -> None:
    write_ome(tmp_path / "My Slide.ome.zarr", SCENE, "cyx", version=version, unit="micrometer")
    image = bi.open_image(tmp_path / "My Slide.ome.zarr")
    assert image.id == "my-slide"
    assert image.info.grid.frame == PixelFrame("my-slide", (0.0005, 0.0005))
    assert [level.shape for level in image.levels] == [(3, 40, 60), (3, 20, 30)]
    assert image.levels[1].grid.spacing == (2.0, 2.0)
    patch = image.read_index((slice(3, 30), slice(7, 50)), bands=[2, 0])
    assert np.array_equal(patch.array, SCENE[[2, 0], 3:30, 7:50])
    assert [v.code for v in image.info.verdicts] == ["NO_CRS"]
    assert np.array_equal(image.dask(level=1).compute(), SCENE[:, ::2, ::2])
    assert np.array_equal(image.levels[0].array[...], SCENE)


def test_ome_volume_with_time(tmp_path: Path) -> None:
    volume = np.arange(2 * 5 * 16 * 16, dtype=np.int16).reshape(2, 5, 16, 16)
    write_ome(tmp_path / "scan.zarr", volume, "tzyx", version="0.5", unit="micrometer")
    image = bi.open_image(tmp_path / "scan.zarr")
    assert image.info.grid.frame == PatientFrame("image:scan")
    # the first voxel's centre is the origin, so its corner lies half a step before; 0.5 µm are 0.0005 mm
    assert np.allclose(image.info.grid.to_world([0.5, 0.5, 0.5]), 0.0)
    assert np.allclose(image.info.grid.spacing, (0.002, 0.0005, 0.0005))
    patch = image.read_index((slice(1, 3), slice(0, 16), slice(4, 9)), t=1)
    assert np.array_equal(patch.array[0], volume[1, 1:3, :, 4:9])
    assert [v.code for v in image.info.verdicts] == ["NO_ORIENTATION"]


def write_geozarr(path: Path, *, layout_key: str = "asset", crs: dict[str, object] | None = None) -> None:
    """Two levels as groups of one 2-D array per band, as EOPF products are laid out."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    layout = []
    for number in range(2):
        step = 2**number
        level = group.create_group(f"r{number}")
        for band in range(3):
            plane = SCENE[band, ::step, ::step]
            array = level.create_array(
                f"b{band:02}", shape=plane.shape, dtype=plane.dtype, chunks=(16, 16), dimension_names=["y", "x"]
            )
            array[...] = plane
        item = {layout_key: f"r{number}", "spatial:transform": [10.0 * step, 0, 500000, 0, -10.0 * step, 5000000]}
        layout.append(item)
    group.attrs.update({"multiscales": {"layout": layout}, **({"proj:code": "EPSG:32633"} if crs is None else crs)})


@pytest.mark.parametrize("key", ["asset", "group"])
def test_geozarr_of_band_arrays(tmp_path: Path, key: str) -> None:
    write_geozarr(tmp_path / "s2.zarr", layout_key=key)
    image = bi.open_image(tmp_path / "s2.zarr")
    assert image.info.grid.frame == GeoFrame("EPSG:32633")
    assert [band.name for band in image.info.bands] == ["b00", "b01", "b02"]
    patch = image.read((500100, 4999700, 500300, 4999900), level=1, bands=[1])
    assert np.array_equal(patch.array[0], SCENE[1, ::2, ::2][5:15, 5:15])
    one = bi.open_image(tmp_path / "s2.zarr", variable="b02")
    assert np.array_equal(one.read_index((slice(0, 40), slice(0, 60))).array[0], SCENE[2])
    with pytest.raises(InputError, match="no array 'b09'"):
        bi.open_image(tmp_path / "s2.zarr", variable="b09")


def test_geozarr_crs_as_projjson_and_absent(tmp_path: Path) -> None:
    projjson = json.loads(GeoFrame("EPSG:32633").proj.to_json())
    write_geozarr(tmp_path / "a.zarr", crs={"proj:projjson": projjson})
    assert bi.open_image(tmp_path / "a.zarr").info.grid.frame == GeoFrame("EPSG:32633")
    write_geozarr(tmp_path / "b.zarr", crs={})
    image = bi.open_image(tmp_path / "b.zarr")
    assert isinstance(image.info.grid.frame, PixelFrame)
    assert [v.code for v in image.info.verdicts] == ["NO_CRS"]


def test_our_own_store_read_as_a_stranger_would(tmp_path: Path) -> None:
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=600, height=300, count=3, dtype="uint16", crs="EPSG:32633",
        transform=from_origin(500000, 5000000, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(0, 9999, (3, 300, 600)).astype(np.uint16))
    ours = bi.open_workspace(tmp_path / "ws").ingest(tmp_path / "a.tif")[0]
    shutil.copytree(ours.path, tmp_path / "b.zarr")
    document = json.loads((tmp_path / "b.zarr" / "zarr.json").read_text())
    del document["attributes"]["bigimage"]
    (tmp_path / "b.zarr" / "zarr.json").write_text(json.dumps(document))
    theirs = bi.open_image(tmp_path / "b.zarr")
    assert theirs.grids == ours.grids
    for level in range(len(ours.levels)):
        box = ours.grids[level].box
        assert np.array_equal(theirs.read_index(box, level=level).array, ours.read_index(box, level=level).array)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no zarr group"):
        bi.open_image(tmp_path)
    group = zarr.open_group(str(tmp_path / "plain.zarr"), mode="w", zarr_format=3)
    with pytest.raises(Unsupported, match="neither"):
        bi.open_image(tmp_path / "plain.zarr")
    group.attrs["multiscales"] = {"layout": [{"asset": "../../etc"}]}
    with pytest.raises(DataError, match="outside the store"):
        bi.open_image(tmp_path / "plain.zarr")
    group.attrs["multiscales"] = [{"axes": [{"name": "x"}, {"name": "y"}], "datasets": []}]
    with pytest.raises(Unsupported, match="order"):
        bi.open_image(tmp_path / "plain.zarr")
    group.attrs["multiscales"] = [{"axes": [{"name": "y"}, {"name": "x"}]}]
    with pytest.raises(DataError, match="incomplete"):
        bi.open_image(tmp_path / "plain.zarr")

"""The peers of `benchmarks/ingest.py`, each as a process: `python -m benchmarks.ingest_peers NAME SOURCE TARGET`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio

STRIP = 4096


def gdal_cog(source: Path, target: Path) -> None:
    """GDAL's COG driver: zstd level 1, all threads, average overviews."""
    import rasterio.shutil

    with rasterio.Env(GDAL_CACHEMAX=512, GDAL_NUM_THREADS="ALL_CPUS"):
        rasterio.shutil.copy(
            source, target, driver="COG", COMPRESS="ZSTD", LEVEL=1, NUM_THREADS="ALL_CPUS",
            OVERVIEW_RESAMPLING="AVERAGE", BLOCKSIZE=256, BIGTIFF="IF_SAFER",
        )  # fmt: skip


def rio_cogeo(source: Path, target: Path) -> None:
    """rio-cogeo with zstd."""
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import cog_profiles

    profile = {**cog_profiles.get("zstd"), "zstd_level": 1, "BIGTIFF": "IF_SAFER"}
    cog_translate(
        str(source), str(target), profile, in_memory=False, quiet=True, overview_resampling="average",
        config={"GDAL_NUM_THREADS": "ALL_CPUS"},
    )  # fmt: skip


def _halve(block: np.ndarray) -> np.ndarray:
    """Mean of 2×2 pixels, rounded half up; sizes are even here."""
    wide = block.astype(np.uint32)
    return ((wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2] + 2) >> 2).astype(
        block.dtype
    )


def tensorstore_strips(source: Path, target: Path) -> None:
    """Strips of shards written by tensorstore: the same chunks, shards and codec as ours."""
    import tensorstore as ts

    with rasterio.open(source) as file:
        shapes = [(file.count, file.height, file.width)]
        while max(shapes[-1][1:]) > 256:
            shapes.append((shapes[-1][0], -(-shapes[-1][1] // 2), -(-shapes[-1][2] // 2)))
        inner = {"chunk_shape": [file.count, 256, 256], "codecs": [{"name": "bytes"}, _codec(file.dtypes[0])]}
        if np.dtype(file.dtypes[0]).itemsize > 1:
            inner["codecs"][0]["configuration"] = {"endian": "little"}
        arrays = [
            ts.open(
                {
                    "driver": "zarr3",
                    "kvstore": {"driver": "file", "path": str(target / str(i))},
                    "metadata": {
                        "shape": shape, "data_type": file.dtypes[0],
                        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shape[0], 2048, 2048]}},
                        "codecs": [{"name": "sharding_indexed", "configuration": inner}],
                    },
                },
                create=True, delete_existing=True,
            ).result()
            for i, shape in enumerate(shapes)
        ]  # fmt: skip
        for top in range(0, file.height, STRIP):
            rows = min(STRIP, file.height - top)
            block = file.read(window=((top, top + rows), (0, file.width)))
            for level, array in enumerate(arrays):
                first = top >> level
                array[:, first : first + block.shape[1]].write(block).result()
                if min(block.shape[1:]) < 2 or block.shape[1] % 2 or block.shape[2] % 2:
                    break
                block = _halve(block)


def _codec(dtype: str) -> dict[str, object]:
    """The codec that we use for the type."""
    if np.dtype(dtype).itemsize == 1:
        return {"name": "zstd", "configuration": {"level": 1}}
    size = np.dtype(dtype).itemsize
    return {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": size}}


def _dask_source(source: Path, side: int = 2048):
    """The source as a dask array read by windows."""
    import dask.array as da

    with rasterio.open(source) as file:
        shape, dtype = (file.count, file.height, file.width), file.dtypes[0]

    def read(block_info=None):
        (_, rows, columns) = block_info[None]["array-location"]
        with rasterio.open(source) as file:
            return file.read(window=(tuple(rows), tuple(columns)))

    chunks = da.core.normalize_chunks((shape[0], side, side), shape, dtype=dtype)
    return da.map_blocks(read, dtype=dtype, chunks=chunks, meta=np.empty((0, 0, 0), dtype))


def dask_zarr(source: Path, target: Path) -> None:
    """dask.array.coarsen level by level into unsharded zarr."""
    import dask.array as da

    array = _dask_source(source)
    level = 0
    while True:
        array.to_zarr(str(target / str(level)), overwrite=True)
        if max(array.shape[1:]) <= 256:
            return
        array = da.from_zarr(str(target / str(level)))
        dtype = array.dtype
        array = da.coarsen(np.mean, array, {1: 2, 2: 2}, trim_excess=True).astype(dtype)
        array = array.rechunk((array.shape[0], 2048, 2048))
        level += 1


def ome_zarr_py(source: Path, target: Path) -> None:
    """ome-zarr-py from a dask array."""
    import zarr
    from ome_zarr.writer import write_image

    group = zarr.open_group(str(target), mode="w")
    write_image(_dask_source(source, 1024), group, axes="cyx")


def ngff_zarr(source: Path, target: Path) -> None:
    """ngff-zarr from a dask array."""
    import ngff_zarr as nz

    image = nz.to_ngff_image(_dask_source(source, 1024), dims=["c", "y", "x"])
    nz.to_ngff_zarr(str(target), nz.to_multiscales(image, scale_factors=[2, 4, 8, 16, 32], chunks=256))


def ndpyramid(source: Path, target: Path) -> None:
    """Ndpyramid's coarsening from xarray."""
    import xarray as xr
    from ndpyramid import pyramid_coarsen

    data = xr.Dataset({"image": (("band", "y", "x"), _dask_source(source, 1024))})
    tree = pyramid_coarsen(data, factors=[1, 2, 4, 8, 16, 32], dims=["y", "x"], boundary="trim")
    tree.to_zarr(str(target), mode="w")


PEERS: dict[str, Callable[[Path, Path], None]] = {
    "gdal-cog": gdal_cog,
    "rio-cogeo": rio_cogeo,
    "tensorstore-strips": tensorstore_strips,
    "dask+zarr": dask_zarr,
    "ome-zarr-py": ome_zarr_py,
    "ngff-zarr": ngff_zarr,
    "ndpyramid": ndpyramid,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))

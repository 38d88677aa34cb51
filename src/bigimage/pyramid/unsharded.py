"""A copy of a pyramid as plain Zarr v2, for readers without sharding: GDAL before 3.13, and QGIS on it.

Each level is a group `0`, `1`, … with `image` (c, y, x), coordinate arrays `x` and `y` (centres of pixels), and GDAL's
own `_CRS` attribute; one file per chunk.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bigimage.errors import BackendError, Conflict, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.pyramid.array import as_stored
from bigimage.pyramid.pyramid import Level, Pyramid

SIDE = 512


def write_unsharded(pyramid: Pyramid, target: Path) -> None:
    """Write the copy at `target`, which appears when it is complete.

    Raises Conflict when `target` exists, Unsupported for volumes and for rotated rasters, whose place coordinate
    arrays cannot hold.
    """
    if pyramid.info.grid.ndim != 2:
        raise Unsupported(f"image {pyramid.id} is a volume; the unsharded copy is for rasters")
    if pyramid.info.axes != ("c", "y", "x"):
        raise Unsupported(f"image {pyramid.id} has axes {', '.join(pyramid.info.axes)}; the unsharded copy has c, y, x")
    if not pyramid.info.grid.is_aligned:
        raise Unsupported(
            f"image {pyramid.id} is rotated or sheared; coordinate arrays of a Zarr v2 copy cannot hold it"
        )
    if target.exists():
        raise Conflict(f"{target} exists already")
    import zarr

    partial = target.with_name(target.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        root = zarr.open_group(str(partial), mode="w", zarr_format=2)
        for number, level in enumerate(pyramid.levels):
            _write_level(root.create_group(str(number)), level, pyramid)
        zarr.consolidate_metadata(str(partial), zarr_format=2)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise BackendError(f"cannot write {target}: {error.strerror or error}") from error


def _write_level(group: Any, level: Level, pyramid: Pyramid) -> None:
    """One level: pixels chunk by chunk, then its coordinates."""
    spec, grid = level.image.spec, level.grid
    bands = spec.shape[0]
    attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": ["c", "y", "x"]}
    if isinstance(grid.frame, GeoFrame):
        attributes["_CRS"] = {"wkt": grid.frame.proj.to_wkt()}
    image = group.create_array(
        "image",
        shape=spec.shape,
        chunks=(bands, min(SIDE, grid.shape[0]), min(SIDE, grid.shape[1])),
        dtype=spec.np_dtype,
        # GDAL takes a Zarr v2 fill value for nodata: give one only where the image has it, and then store all chunks
        fill_value=_common_nodata(pyramid),
        config={"write_empty_chunks": True},
        attributes=attributes,
    )
    step = SIDE * 4
    for row, column in grid.box.blocks((step, step)):
        start = (row * step, column * step)
        stop = tuple(min(a + step, n) for a, n in zip(start, grid.shape, strict=True))
        box = IndexBox((0, *start), (bands, *stop))
        image[box.slices] = level.image.read(box)
    for axis, values in _coordinates(grid).items():
        array = group.create_array(
            axis, shape=values.shape, dtype="f8", chunks=values.shape, attributes={"_ARRAY_DIMENSIONS": [axis]}
        )
        array[:] = values


def _common_nodata(pyramid: Pyramid) -> float | int | None:
    """The nodata that all bands share, or None."""
    dtype = pyramid.levels[0].image.spec.np_dtype
    values = {str(held): held for held in (as_stored(band.nodata, dtype) for band in pyramid.info.bands)}
    return next(iter(values.values())) if len(values) == 1 else None


def _coordinates(grid: Grid) -> dict[str, np.ndarray]:
    """World coordinates of pixel centres along each axis."""
    a, _, c, _, e, f = grid.transform
    return {
        "x": c + a * (np.arange(grid.shape[1]) + 0.5),
        "y": f + e * (np.arange(grid.shape[0]) + 0.5),
    }

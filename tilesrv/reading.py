"""Pixels of tiles: read, padded or warped to their full size, with what is missing marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import InputError, NotFound, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.tiling import mercator_box, mercator_lattice
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from bigimage.resample.warp import LIMIT, Method, check_method, warp
from tilesrv.context import Served
from tilesrv.errors import TooLarge
from tilesrv.tilesets import MERCATOR, NATIVE, mercator_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS_PER_TILE = 4
"""Blocks in which a warped 512 tile is planned; each may read its share of the pixels that a request may cost."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Which values of an image are wanted."""

    bands: tuple[int, ...]
    """Counted from 0."""
    t: int = 0
    nodata: float | None = None
    """A value that counts as missing besides what the image itself marks."""


def read_picked(pyramid: Pyramid, box: IndexBox, level: int, pick: Pick) -> Patch:
    """Pixels of a box within a level; where every band holds `nodata`, a pixel is not valid."""
    patch = pyramid.read_index(box, level=level, bands=pick.bands, t=pick.t)
    if pick.nodata is None:
        return patch
    missing = np.isnan(patch.array) if math.isnan(pick.nodata) else patch.array == pick.nodata
    present = ~missing.all(axis=0)
    return replace(patch, valid=present if patch.valid is None else patch.valid & present)


def native_tile(served: Served, address: tuple[int, int, int], tile: int, pick: Pick) -> Patch:
    """A tile (z, x, y) of the image's own grid, (c, tile, tile); what sticks out of the image is 0 and not valid.

    Raises NotFound for a tile that does not exist.
    """
    z, x, y = address
    tiling = served.native(tile)
    box, level = tiling.box(z, x, y), tiling.level(z)
    inside = box.intersect(served.pyramid.levels[level].grid.box)
    patch = read_picked(served.pyramid, inside, level, pick)
    return patch if inside == box else pad(patch, (tile, tile))


def pad(patch: Patch, shape: tuple[int, int]) -> Patch:
    """A patch grown to a shape at its far edges; what is added is 0 and not valid."""
    height, width = patch.grid.shape
    array: NDArray[Any] = np.zeros((len(patch.array), *shape), patch.array.dtype)
    array[:, :height, :width] = patch.array
    valid = np.zeros(shape, np.bool_)
    valid[:height, :width] = True if patch.valid is None else patch.valid
    return Patch(array, replace(patch.grid, shape=shape), valid)


def mercator_tile(
    served: Served, address: tuple[int, int, int], tile: int, pick: Pick, *, method: Method, budget: int
) -> Patch:
    """A tile (z, x, y) of WebMercatorQuad, (bands, tile, tile), warped from the levels that fit its resolution.

    Raises NotFound for a tile that does not exist or lies beside the image, TooLarge when more than `budget` source
    values would have to be read.
    """
    z, x, y = address
    box = mercator_box(z, x, y, tile)
    lattice = mercator_lattice(z, tile)
    require_touch(served, lattice.crop(box).world_bounds().values)
    pyramid = served.pyramid

    def read(level: int, part: IndexBox) -> Patch:
        return read_picked(pyramid, part, level, pick)

    limit = min(LIMIT, budget // (BLOCKS_PER_TILE * len(pick.bands)))
    try:
        return warp(
            read,
            pyramid.grids,
            lattice,
            box,
            bands=len(pick.bands),
            dtype=pyramid.info.dtype,
            method=method,
            limit=limit,
        )
    except InputError as error:
        raise TooLarge(str(error)) from error


def require_touch(served: Served, bounds: Sequence[float]) -> None:
    """Raise NotFound unless a box in web mercator touches the image."""
    own = served.once("mercator", lambda: mercator_bounds(served.pyramid.info.grid))
    if own is None:
        raise NotFound(f"image {served.pyramid.id} has no tile set {MERCATOR}: it has no place in web mercator")
    x0, y0, x1, y1 = own.values
    if bounds[0] >= x1 or bounds[2] <= x0 or bounds[1] >= y1 or bounds[3] <= y0:
        raise NotFound(f"this tile lies beside image {served.pyramid.id}")


def method_for(pyramid: Pyramid, asked: str | None) -> Method:
    """How to resample: as asked, else bilinear for pictures and nearest for labels and palettes.

    Raises InputError when labels would be blended: between class 2 and class 4 there is no class 3.
    """
    info = pyramid.info
    is_label = info.role == "labels" or info.palette is not None
    if asked is None:
        return "nearest" if is_label else "bilinear"
    if is_label and asked != "nearest":
        raise InputError(f"image {info.id} holds labels, which are only resampled by nearest, not by {asked}")
    return check_method(asked)


def tile_patch(
    served: Served, tms: str, address: tuple[int, int, int], tile: int, pick: Pick, *, method: Method, budget: int
) -> Patch:
    """A tile of either tile set. Raises NotFound for one that does not exist, Unsupported for a volume, TooLarge."""
    if served.pyramid.info.grid.ndim != 2:
        raise Unsupported("a volume has no map tiles; its slices are served as planes")
    if tms == NATIVE:
        return native_tile(served, address, tile, pick)
    return mercator_tile(served, address, tile, pick, method=method, budget=budget)

"""Pictures of chips: pixels of a part of an image as files that training code reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from bigimage.errors import Unsupported
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

PictureFormat = Literal["png", "jpg", "tif", "npy"]
PICTURES: tuple[PictureFormat, ...] = get_args(PictureFormat)
QUALITY = 95


def check_picture(format: PictureFormat, dtype: str, bands: int) -> None:
    """Raise Unsupported unless pixels of a type and number of bands can be written in a format."""
    if format == "jpg" and (dtype != "uint8" or bands not in (1, 3)):
        raise Unsupported(f"JPEG holds one or three bands of uint8, not {bands} of {dtype}; take tif or npy, or bands")
    if format == "png" and not ((dtype == "uint8" and bands in (1, 2, 3, 4)) or (dtype == "uint16" and bands == 1)):
        raise Unsupported(
            f"PNG holds up to four bands of uint8 or one of uint16, not {bands} of {dtype}; take tif or npy"
        )


def write_picture(path: Path, array: "NDArray[Any]", grid: Grid, *, format: PictureFormat) -> None:
    """Write pixels (c, y, x). GeoTIFF keeps their place and type, npy their type; PNG and JPEG are as they are named.

    Raises Unsupported; see `check_picture`.
    """
    check_picture(format, str(array.dtype), array.shape[0])
    match format:
        case "npy":
            np.save(path, np.ascontiguousarray(array))
        case "tif":
            _write_tif(path, array, grid)
        case "png" | "jpg":
            flat = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
            picture = Image.fromarray(np.ascontiguousarray(flat))
            if format == "png":
                picture.save(path, "PNG", compress_level=3)
            else:
                picture.save(path, "JPEG", quality=QUALITY, subsampling=0)


def _write_tif(path: Path, array: "NDArray[Any]", grid: Grid) -> None:
    """Write a GeoTIFF, deflated."""
    import rasterio
    from rasterio.transform import Affine

    place: dict[str, Any] = {}
    if isinstance(grid.frame, GeoFrame):
        place = {"crs": grid.frame.crs, "transform": Affine(*grid.transform)}
    else:
        place = {"transform": Affine(1, 0, 0, 0, -1, 0)}
    bands, height, width = array.shape
    sizes = {"count": bands, "height": height, "width": width, "dtype": array.dtype}
    with rasterio.open(path, "w", driver="GTiff", compress="deflate", **sizes, **place) as file:
        file.write(array)

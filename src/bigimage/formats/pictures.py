"""Pictures of chips: pixels of a part of an image as files that training code reads."""

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from bigimage.errors import Unsupported
from bigimage.geometry.dicom import to_centred
from bigimage.geometry.frame import GeoFrame, PatientFrame, describe
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

PictureFormat = Literal["png", "jpg", "tif", "npy", "nii", "zarr"]
PICTURES: tuple[PictureFormat, ...] = get_args(PictureFormat)
DEEP: tuple[PictureFormat, ...] = ("npy", "nii", "zarr")
"""Formats of blocks of a volume."""
QUALITY = 95
_GZIP_LEVEL = 4
_NIFTI = frozenset(("uint8", "int16", "int32", "uint16", "uint32", "float32", "float64"))


def suffix_of(format: PictureFormat) -> str:
    """End of the names of files of a format, with its dot."""
    return ".nii.gz" if format == "nii" else f".{format}"


def labels_format(format: PictureFormat) -> PictureFormat:
    """Format of the labels beside pictures of a format: JPEG would change their values."""
    return "png" if format == "jpg" else format


def check_picture(format: PictureFormat, dtype: str, bands: int, *, grid: Grid | None = None) -> None:
    """Raise Unsupported unless pixels of a type and number of bands, of a grid, can be written in a format."""
    if format == "jpg" and (dtype != "uint8" or bands not in (1, 3)):
        raise Unsupported(f"JPEG holds one or three bands of uint8, not {bands} of {dtype}; take tif or npy, or bands")
    if format == "png" and not ((dtype == "uint8" and bands in (1, 2, 3, 4)) or (dtype == "uint16" and bands == 1)):
        raise Unsupported(
            f"PNG holds up to four bands of uint8 or one of uint16, not {bands} of {dtype}; take tif, npy or a window"
        )
    if grid is None:
        return
    if grid.ndim == 3 and format not in DEEP:
        raise Unsupported(f"{format} holds flat pictures; blocks of a volume are written as {', '.join(DEEP)}")
    if format == "nii":
        if not isinstance(grid.frame, PatientFrame) or bands != 1 or dtype not in _NIFTI:
            raise Unsupported(f"NIfTI holds one channel of a volume, not {bands} of {dtype}; take npy or zarr")
        if grid.slices is not None:
            raise Unsupported("NIfTI holds evenly spaced slices alone; take npy or zarr, or ingest with --regularize")


def write_picture(path: Path, array: "NDArray[Any]", grid: Grid, *, format: PictureFormat) -> None:
    """Write pixels (c, y, x) or voxels (c, z, y, x).

    GeoTIFF, NIfTI and zarr keep their place and type, npy their type; PNG and JPEG are as they are named. Raises
    Unsupported; see `check_picture`.
    """
    check_picture(format, str(array.dtype), array.shape[0], grid=grid if array.ndim == 4 or format == "nii" else None)
    match format:
        case "npy":
            np.save(path, np.ascontiguousarray(array))
        case "zarr":
            _write_zarr(path, array, grid, channels=True)
        case "nii":
            _write_nifti(path, array[0], grid)
        case "tif":
            _write_tif(path, array, grid)
        case "png" | "jpg":
            flat = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
            picture = Image.fromarray(np.ascontiguousarray(flat))
            if format == "png":
                picture.save(path, "PNG", compress_level=3)
            else:
                picture.save(path, "JPEG", quality=QUALITY, subsampling=0)


def write_labels(path: Path, array: "NDArray[Any]", grid: Grid, *, format: PictureFormat) -> None:
    """Write values of labels (y, x) or (z, y, x); see `write_picture`. Raises Unsupported."""
    match format:
        case "npy":
            np.save(path, np.ascontiguousarray(array))
        case "zarr":
            _write_zarr(path, array, grid, channels=False)
        case _:
            write_picture(path, array[None], grid, format=format)


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


def _write_nifti(path: Path, array: "NDArray[Any]", grid: Grid) -> None:
    """Write voxels (z, y, x) with a scanner-based sform; the same voxels give the same bytes."""
    import nibabel

    affine = to_centred(grid, ras=True)
    image: Any = nibabel.Nifti1Image(array.transpose(), affine)  # pyright: ignore[reportPrivateImportUsage]
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as stream:
        stream.write(image.to_bytes())


def _write_zarr(path: Path, array: "NDArray[Any]", grid: Grid, *, channels: bool) -> None:
    """Write a zarr v3 array of one chunk, with its place as attributes."""
    import zarr

    names = (*(("c",) if channels else ()), *"zyx"[-(array.ndim - channels) :])
    place: dict[str, Any] = {"affine": [list(row) for row in grid.affine], "frame": describe(grid.frame)}
    data = np.ascontiguousarray(array)
    made: Any = zarr.create_array(
        store=str(path), shape=data.shape, dtype=data.dtype, chunks=data.shape, dimension_names=names, attributes=place
    )
    made[...] = data

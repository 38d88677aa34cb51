"""Small rasters that tests write, and plain rasterio reads to compare with."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from bigimage.geometry.box import IndexBox
from bigimage.sources import module_for
from bigimage.sources.door import OpenOptions, Source

UTM = "EPSG:32633"
NORTH_UP = rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)


@contextmanager
def quiet() -> Iterator[None]:
    """Rasterio without its warning about files that have no place; only for what tests do with rasterio themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def write(path: Path, array: np.ndarray, *, driver: str = "GTiff", **profile: Any) -> Path:
    """Write an array (c, y, x) through rasterio."""
    count, height, width = array.shape
    with (
        quiet(),
        rasterio.open(
            path, "w", driver=driver, count=count, height=height, width=width, dtype=array.dtype, **profile
        ) as dataset,
    ):
        dataset.write(array)
    return path


def ramp(count: int, height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    """Array (c, y, x) whose values tell bands, rows and columns apart."""
    c, y, x = np.indices((count, height, width))
    return ((c * 71 + y * 13 + x * 7) % 251 + 1).astype(dtype)


@contextmanager
def opened(path: Path, image: str = "scene", **options: Any) -> Iterator[Source]:
    """The one source that a file holds."""
    (source,) = module_for(path).open([path], image=image, options=OpenOptions(**options))
    try:
        yield source
    finally:
        source.close()


def codes(source: Source) -> list[str]:
    """Codes of the verdicts."""
    return [verdict.code for verdict in source.info.verdicts]


def plain(path: Path, box: IndexBox) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (c, y, x) and GDAL's mask of the dataset, by rasterio alone."""
    with quiet(), rasterio.open(path) as dataset:
        window = Window(box.start[1], box.start[0], box.shape[1], box.shape[0])  # pyright: ignore[reportCallIssue]
        return dataset.read(window=window), dataset.dataset_mask(window=window) != 0

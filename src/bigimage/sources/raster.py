"""Rasters through GDAL: GeoTIFF, JPEG 2000, VRT, PNG, JPEG, DTED, ENVI and the like."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources.door import Layout, OpenOptions, Source
from bigimage.sources.raster_describe import describe
from bigimage.sources.raster_formats import driver_for, require_driver, resolved
from bigimage.sources.raster_gdal import Handles, collected_messages, open_dataset
from bigimage.sources.vrt import check_vrt

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

NAME = "raster"
TOGETHER = False


def sniff(path: Path) -> bool:
    """Whether the file is a raster known here; judged by its first bytes."""
    return driver_for(path) is not None


def open(paths: Sequence[Path], *, image: str, options: OpenOptions) -> list[Source]:
    """Open each file as one image of axes (c, y, x).

    The id of a single one is `image`; several become `image-1`, `image-2`, … Raises NotFound, InputError, DataError,
    Unsupported.
    """
    if not paths:
        raise InputError("no file was named")
    names = [image] if len(paths) == 1 else [f"{image}-{number}" for number in range(1, len(paths) + 1)]
    with ExitStack() as opened:
        sources: list[Source] = []
        for path, name in zip(paths, names, strict=True):
            source = RasterSource(path, image=name, options=options)
            opened.callback(source.close)
            sources.append(source)
        opened.pop_all()
    return sources


class RasterSource:
    """One raster file, open for reading; see `bigimage.sources.door.Source`."""

    def __init__(self, path: Path, *, image: str, options: OpenOptions) -> None:
        self._name = path.name
        driver = require_driver(path)
        real = resolved(path)
        virtual = check_vrt(real, options.roots or ()) if driver == "VRT" else None
        target = real if virtual is None else virtual.text
        self._files = (real,) if virtual is None else (real, *virtual.members)
        self._handles = Handles(self._name, lambda: open_dataset(target, driver), hidden=f"{real.parent}/")
        with ExitStack() as opened:
            opened.callback(self._handles.close)
            with collected_messages() as messages, self._handles.lend("opening") as dataset:
                described = describe(dataset, real, virtual=virtual, messages=messages, image=image, options=options)
            opened.pop_all()
        self._rule = described.rule
        self._info = described.info
        self._layout: Layout = described.layout
        self._block = described.block

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning."""
        return self._info

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and the members of a VRT."""
        return self._files

    @property
    def layout(self) -> Layout:
        """How pixels are fetched cheaply."""
        return self._layout

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of the blocks that the file is stored in."""
        return self._block

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box; array (c, y, x). See `Source.read`."""
        wanted = self._bands(bands)
        if t != 0:
            raise OutOfBounds(f"{self._name} has one time only, not a time {t}")
        grid = self.info.grid.crop(box)
        (row, column), (height, width) = box.start, box.shape
        window = Window(column, row, width, height)  # pyright: ignore[reportCallIssue]
        where = f"reading rows {row} to {row + height}, columns {column} to {column + width}"
        with self._handles.lend(where) as dataset:
            array, valid = self._read(dataset, window, wanted)
        return Patch(array, grid, valid)

    def _bands(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        """Band indexes, checked."""
        count = self._rule.count
        if bands is None:
            return tuple(range(count))
        if not bands or any(not 0 <= b < count for b in bands):
            raise OutOfBounds(f"{self._name} has bands 0 to {count - 1}, not {list(bands)}")
        return tuple(bands)

    def _read(
        self, dataset: "DatasetReader", window: Window, wanted: tuple[int, ...]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        """Values of the wanted bands and validity; one read where the wanted bands decide on it."""
        rule = self._rule
        extra = (rule.alpha,) if rule.alpha is not None and rule.alpha not in wanted else ()
        values = self._values(dataset, window, (*wanted, *extra))
        invalid: NDArray[np.bool_] | None = None
        if rule.by_value:
            invalid = self._missing(dataset, window, wanted, values)
        if rule.alpha is not None:
            at = (*wanted, *extra).index(rule.alpha)
            invalid = _either(invalid, values[at] == 0)
        if rule.masks:
            masks = dataset.read_masks([b + 1 for b in rule.masks], window=window)
            invalid = _either(invalid, ~masks.any(axis=0))
        array = values[: len(wanted)]
        if invalid is None or not invalid.any():
            return array, None
        return array, np.logical_not(invalid, out=invalid)

    def _values(self, dataset: "DatasetReader", window: Window, bands: tuple[int, ...]) -> NDArray[np.generic]:
        """Values of bands, shape (c, y, x)."""
        out = np.empty((len(bands), int(window.height), int(window.width)), dtype=self._rule.dtype)
        types = dataset.dtypes
        if len({types[b] for b in bands}) == 1:
            dataset.read([b + 1 for b in bands], window=window, out=out)
            return out
        for values, band in zip(out, bands, strict=True):  # rasterio reads bands of one type together
            dataset.read(band + 1, window=window, out=values)
        return out

    def _missing(
        self, dataset: "DatasetReader", window: Window, wanted: tuple[int, ...], values: NDArray[np.generic]
    ) -> NDArray[np.bool_] | None:
        """Where every band that is not alpha holds nodata; bands that were not wanted are read only if they decide."""
        rule = self._rule
        have = {b: values[i] for i, b in enumerate(wanted) if b != rule.alpha}
        found = rule.missing(have) if have else None
        rest = tuple(b for b in rule.colours if b not in have)
        if (have and found is None) or not rest:
            return found
        others = rule.missing(dict(zip(rest, self._values(dataset, window, rest), strict=True)))
        if others is None or found is None:
            return others
        return np.logical_and(found, others, out=found)

    def close(self) -> None:
        """Close the file."""
        self._handles.close()


def _either(first: NDArray[np.bool_] | None, second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where one or the other is true; the first may be absent and is overwritten."""
    return second if first is None else np.logical_or(first, second, out=first)

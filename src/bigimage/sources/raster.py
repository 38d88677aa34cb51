"""Rasters through GDAL: GeoTIFF, JPEG 2000, VRT, PNG, JPEG, DTED, ENVI and the like."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from bigimage.errors import DataError, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo, Verdict
from bigimage.model.patch import Patch
from bigimage.sources import raster_meta
from bigimage.sources.door import Layout, OpenOptions, Source
from bigimage.sources.raster_formats import SEQUENTIAL, driver_for, require_driver
from bigimage.sources.raster_gdal import GDAL_ERRORS, Handles, collected_messages, open_dataset, reason, translated
from bigimage.sources.raster_place import place
from bigimage.sources.raster_valid import Rule

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
        self.name = path.name
        driver = require_driver(path)
        absolute = path.resolve()
        self._handles = Handles(self.name, lambda: open_dataset(absolute, driver))
        with ExitStack() as opened:
            opened.callback(self._handles.close)
            self._describe(absolute, image=image, options=options)
            opened.pop_all()

    def _describe(self, path: Path, *, image: str, options: OpenOptions) -> None:
        with (
            collected_messages() as messages,
            self._handles.lend() as dataset,
            translated(self.name, "reading metadata"),
        ):
            self._rule, self.info = _info(dataset, path, image=image, options=options, messages=messages)
            self.block: tuple[int, int] = dataset.block_shapes[0]
            self.layout: Layout = _layout(dataset)

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box; array (c, y, x). See `Source.read`."""
        wanted = self._bands(bands)
        if t != 0:
            raise OutOfBounds(f"{self.name} has one time only, not a time {t}")
        grid = self.info.grid.crop(box)
        (row, column), (height, width) = box.start, box.shape
        window = Window(column, row, width, height)  # pyright: ignore[reportCallIssue]
        with self._handles.lend() as dataset:
            try:
                array, valid = self._read(dataset, window, wanted)
            except GDAL_ERRORS as error:
                where = f"rows {row} to {row + height}, columns {column} to {column + width}"
                raise DataError(
                    f"{self.name} is damaged, cut short or in an encoding that is not supported: {where} cannot be "
                    f"read ({reason(error)})"
                ) from error
        return Patch(array, grid, valid)

    def _bands(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        """Band indexes, checked."""
        count = self._rule.count
        if bands is None:
            return tuple(range(count))
        if not bands or any(not 0 <= b < count for b in bands):
            raise OutOfBounds(f"{self.name} has bands 0 to {count - 1}, not {list(bands)}")
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
        elif rule.masked:
            masks = dataset.read_masks(window=window)
            invalid = _either(invalid, ~masks.any(axis=0))
        array = values[: len(wanted)]
        if invalid is None or not invalid.any():
            return array, None
        return array, np.logical_not(invalid, out=invalid)

    def _values(self, dataset: "DatasetReader", window: Window, bands: tuple[int, ...]) -> NDArray[np.generic]:
        """Values of bands, shape (c, y, x)."""
        out = np.empty((len(bands), int(window.height), int(window.width)), dtype=self._rule.dtype)
        dataset.read([b + 1 for b in bands], window=window, out=out)
        return out

    def _missing(
        self, dataset: "DatasetReader", window: Window, wanted: tuple[int, ...], values: NDArray[np.generic]
    ) -> NDArray[np.bool_] | None:
        """Where every band that is not alpha holds nodata; bands that were not wanted are read only if they decide."""
        rule = self._rule
        have = [b for b in dict.fromkeys(wanted) if b != rule.alpha]
        found = rule.missing(have, values[[wanted.index(b) for b in have]]) if have else None
        rest = tuple(b for b in rule.colours if b not in have)
        if (have and found is None) or not rest:
            return found
        others = rule.missing(rest, self._values(dataset, window, rest))
        if others is None or found is None:
            return others
        return np.logical_and(found, others, out=found)

    def close(self) -> None:
        """Close the file."""
        self._handles.close()


def _either(first: NDArray[np.bool_] | None, second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return second if first is None else np.logical_or(first, second, out=first)


def _info(
    dataset: "DatasetReader", path: Path, *, image: str, options: OpenOptions, messages: list[str]
) -> tuple[Rule, ImageInfo]:
    verdicts: list[Verdict] = []
    dtype = raster_meta.common_dtype(path.name, tuple(dataset.dtypes), verdicts)
    rule = raster_meta.validity(dataset, dtype, verdicts)
    found = raster_meta.georeference(dataset, path.name)
    placement = place(dataset.shape, image, name=path.name, found=found, options=options)
    colours = raster_meta.palette(dataset)
    role = options.role or ("labels" if colours and len(rule.colours) == 1 else "image")
    if role == "labels" and dtype.kind == "f":
        raise InputError(f"{path.name} holds {dtype.name} values, which cannot be labels; ingest it as an image")
    extra = raster_meta.extras(dataset, found)
    verdicts += placement.verdicts
    info = ImageInfo(
        id=image,
        grid=placement.grid,
        axes=("c", "y", "x"),
        shape=(dataset.count, *dataset.shape),
        dtype=dtype.name,
        bands=raster_meta.bands(dataset),
        role=role,
        may_be_invalid=rule.may_be_invalid,
        palette=colours,
        extra=extra,
        verdicts=tuple(verdicts),
        provenance=_provenance(dataset, path, placement.given),
    )
    return rule, info


def _provenance(dataset: "DatasetReader", path: Path, given: Any) -> dict[str, Any]:
    return {
        "source": path.name,
        "bytes": path.stat().st_size,
        "driver": dataset.driver,
        "gdal": rasterio.__gdal_version__,
        "rasterio": rasterio.__version__,
        "options": dict(given),
    }


def _layout(dataset: "DatasetReader") -> Layout:
    """How the file is read cheaply, from the way its blocks lie."""
    if dataset.driver in SEQUENTIAL:
        return "sequential"
    rows, columns = dataset.block_shapes[0]
    if columns < dataset.width:
        return "tiles"
    if rows >= dataset.height and dataset.compression is not None:
        return "sequential"
    return "rows"

"""A stored image, opened for reading."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bigimage.cache import ByteLRU
from bigimage.errors import BigImageError, DataError, InputError, OutOfBounds, Unsupported
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.pyramid.array import ArraySpec, as_stored
from bigimage.pyramid.location import METADATA, NAMESPACE, read_json
from bigimage.pyramid.record import from_document
from bigimage.pyramid.shard import ShardedArray

if TYPE_CHECKING:
    import dask.array
    import zarr
    from numpy.typing import NDArray

DASK_BLOCK = 2048
"""Pixels along each side of a dask block, in whole chunks."""


@dataclass(frozen=True, slots=True)
class Caches:
    """Memory that readers share: shard indexes and decoded chunks."""

    indexes: ByteLRU[Any]
    chunks: ByteLRU[Any]

    @classmethod
    def of(cls, *, indexes: int = 32 << 20, chunks: int = 0) -> "Caches":
        """Caches with budgets in bytes."""
        return cls(ByteLRU[Any](indexes), ByteLRU[Any](chunks))


class StoredArray(Protocol):
    """An array of a level, by box."""

    @property
    def spec(self) -> ArraySpec:
        """Its shape, axes, chunks and type."""
        ...

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...

    def read(self, box: IndexBox) -> "NDArray[Any]":
        """Elements of a box over all axes. Raises OutOfBounds, DataError or BackendError."""
        ...


@dataclass(frozen=True)
class Level:
    """One level of a pyramid."""

    grid: Grid
    image: StoredArray
    valid: StoredArray | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the level's `image` array."""
        return self.image.spec.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of its inner chunks."""
        return self.image.spec.chunks

    @cached_property
    def array(self) -> "zarr.Array[Any]":
        """The level as a zarr array, read-only."""
        import zarr

        return zarr.open_array(str(self.image.folder), mode="r")


@dataclass(frozen=True)
class Pyramid:
    """One image: its description, its levels, and pixels by index or by place. Safe to share between threads."""

    path: Path
    """Folder of the pyramid's root group."""
    info: ImageInfo
    levels: tuple[Level, ...]
    """Finest first."""
    version: str
    """Changes whenever the stored pixels or their description change."""

    @classmethod
    def open(cls, path: Path, caches: Caches | None = None) -> "Pyramid":
        """Open a finished pyramid that bigimage wrote. Raises NotFound or DataError."""
        document = read_json(path / METADATA)
        attributes = document.get("attributes")
        if not isinstance(attributes, dict) or NAMESPACE not in attributes:
            raise DataError(f"{path} is not a pyramid that bigimage wrote; open it with open_image")
        own = attributes[NAMESPACE]
        info = from_document(own)
        caches = caches or Caches.of()
        try:
            levels = tuple(_open_level(path, entry, document, info, caches) for entry in own["levels"])
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, BigImageError):
                raise
            raise DataError(f"{path / METADATA} does not describe its levels: {error!r}; ingest again") from error
        if not levels or levels[0].shape != info.shape:
            raise DataError(f"{path / METADATA} contradicts itself: the image is not the finest level; ingest again")
        return cls(path, info, levels, version_of(attributes))

    @property
    def id(self) -> str:
        """The image's id."""
        return self.info.id

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Grids of the levels, finest first."""
        return tuple(level.grid for level in self.levels)

    def read_index(
        self,
        box: IndexBox | Sequence[slice],
        *,
        level: int = 0,
        bands: Sequence[int] | None = None,
        t: int = 0,
        physical: bool = False,
    ) -> Patch:
        """Pixels of a box of level indexes.

        Parameters
        ----------
        box
            Spatial box, or unit-step slices, in array order: (y, x) or (z, y, x).
        bands
            Bands counted from 0, in the order wanted; all by default.
        t
            Time index, where the image has a time axis.
        physical
            Give physical values (`stored * scale + offset`) as float64, NaN where invalid.

        Returns
        -------
        Patch
            Array (c, y, x) or (c, z, y, x).

        Raises
        ------
        OutOfBounds
            When the box sticks out of the level, or a band, level or time does not exist.
        DataError
            When a stored chunk is damaged.
        """
        step = self._step(level)
        box = box if isinstance(box, IndexBox) else IndexBox.of_slices(box, step.grid.shape)
        if not step.grid.box.contains(box) or not box.size:
            raise OutOfBounds(
                f"box {box.start}…{box.stop} does not lie within level {level} of shape {step.grid.shape}"
            )
        wanted = self._check_bands(bands)
        self._check_time(t)
        array = self._read_bands(step, box, wanted, t)
        valid = None
        if step.valid is not None:
            lead = (t,) if "t" in step.valid.spec.dims else ()
            full = IndexBox((*lead, *box.start), (*(v + 1 for v in lead), *box.stop))
            mask = step.valid.read(full).reshape(box.shape).view(np.bool_)
            valid = None if mask.all() else mask
        patch = Patch(array, step.grid.crop(box), valid)
        return self._physical(patch, wanted, t=t, planes=box, level=level) if physical else patch

    def read(
        self,
        box: WorldBox | Sequence[float],
        *,
        level: int = 0,
        bands: Sequence[int] | None = None,
        t: int = 0,
        physical: bool = False,
    ) -> Patch:
        """Pixels that a world box touches, cut to the image; `box` is (min…, max…) in the image's frame.

        Raises OutOfBounds when the box does not touch the image; otherwise as `read_index`.
        """
        step = self._step(level)
        world = box if isinstance(box, WorldBox) else WorldBox.of(box, self.info.grid.frame)
        index = step.grid.index_box(world)
        if not index.size:
            raise OutOfBounds(f"box {world.values} does not touch image {self.id}")
        return self.read_index(index, level=level, bands=bands, t=t, physical=physical)

    def dask(self, *, level: int = 0) -> "dask.array.Array":
        """A level as a dask array whose blocks are whole inner chunks; axes as `info.axes`."""
        import dask.array
        from dask.array.core import normalize_chunks

        step = self._step(level)
        spec = step.image.spec
        blocks = tuple(
            max(chunk, DASK_BLOCK // chunk * chunk) if dim in ("y", "x") else chunk
            for dim, chunk in zip(spec.dims, spec.chunks, strict=True)
        )
        chunks = normalize_chunks(blocks, spec.shape, dtype=spec.np_dtype)
        return dask.array.map_blocks(
            _read_block,
            source=step.image,
            dtype=spec.np_dtype,
            chunks=chunks,
            meta=np.empty((0,) * len(spec.shape), dtype=spec.np_dtype),
            name=f"bigimage-{self.id}-{level}-{self.version}",
        )

    def close(self) -> None:
        """Nothing is held open between reads; present so that a pyramid can be used like a file."""

    def _step(self, level: int) -> Level:
        """A level by number."""
        if not 0 <= level < len(self.levels):
            raise OutOfBounds(f"level {level} does not exist; image {self.id} has levels 0 to {len(self.levels) - 1}")
        return self.levels[level]

    def _check_bands(self, bands: Sequence[int] | None) -> list[int]:
        """Band numbers, all when None."""
        count = len(self.info.bands)
        if bands is None:
            return list(range(count))
        wanted = [int(b) for b in bands]
        if not wanted:
            raise InputError("no bands asked for")
        for band in wanted:
            if not 0 <= band < count:
                raise OutOfBounds(f"band {band} does not exist; image {self.id} has bands 0 to {count - 1}")
        return wanted

    def _check_time(self, t: int) -> None:
        """Raise OutOfBounds unless the time index exists."""
        times = self.info.shape[self.info.axes.index("t")] if "t" in self.info.axes else 1
        if not 0 <= t < times:
            raise OutOfBounds(f"time {t} does not exist; image {self.id} has times 0 to {times - 1}")

    def _read_bands(self, step: Level, box: IndexBox, bands: list[int], t: int) -> "NDArray[Any]":
        """Array (c, spatial…) of the bands, read in runs of neighbours."""
        dims = step.image.spec.dims

        def read(first: int, last: int) -> "NDArray[Any]":
            lead = {"t": (t, t + 1), "c": (first, last)}
            ends = [lead[dim] for dim in dims if dim in lead]
            full = IndexBox((*(a for a, _ in ends), *box.start), (*(b for _, b in ends), *box.stop))
            return step.image.read(full).reshape(last - first, *box.shape)

        if bands == list(range(bands[0], bands[0] + len(bands))):
            return read(bands[0], bands[0] + len(bands))
        if "c" in dims and step.image.spec.chunks[dims.index("c")] > 1:
            first = min(bands)
            return np.ascontiguousarray(read(first, max(bands) + 1)[[b - first for b in bands]])
        return np.concatenate([read(b, b + 1) for b in bands])

    def _per_slice(self, name: str, *, t: int, planes: IndexBox, level: int) -> "NDArray[Any] | None":
        """Slope or intercept of each plane of a box, where they differ between slices or times; shape (z, 1, 1)."""
        listed = self.info.value.get(name)
        if not isinstance(listed, list):
            return None
        values = np.asarray(listed, dtype=np.float64)
        values = values[t] if values.ndim == 2 else values
        if self.levels[level].grid.shape[0] != len(values):
            raise Unsupported(f"level {level} of {self.id} merges slices of different {name}s; read level 0 instead")
        return values[planes.start[0] : planes.stop[0], None, None]

    def _physical(self, patch: Patch, bands: list[int], *, t: int, planes: IndexBox, level: int) -> Patch:
        """Stored values → physical ones, NaN where missing."""
        array = patch.array.astype(np.float64)
        slopes = self._per_slice("slope", t=t, planes=planes, level=level)
        intercepts = self._per_slice("intercept", t=t, planes=planes, level=level)
        for i, number in enumerate(bands):
            band = self.info.bands[number]
            missing = np.zeros(array.shape[1:], dtype=np.bool_) if patch.valid is None else ~patch.valid
            nodata = as_stored(band.nodata, patch.array.dtype)
            if nodata is not None:
                missing = missing | (patch.array[i] == nodata)
            slope = band.scale if slopes is None else slopes
            intercept = band.offset if intercepts is None else intercepts
            array[i] = array[i] * slope + intercept
            array[i][missing] = np.nan
        return replace(patch, array=array)


def _read_block(*, source: StoredArray, block_info: Any = None) -> "NDArray[Any]":
    """One dask block, read where it is computed."""
    location = block_info[None]["array-location"]
    return source.read(IndexBox(tuple(a for a, _ in location), tuple(b for _, b in location)))


def version_of(attributes: Mapping[str, Any]) -> str:
    """Version of an image from its root attributes, which name its source and the time of its ingest."""
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()[:16]


def consolidated_documents(root: Mapping[str, Any]) -> dict[str, Any]:
    """Documents of the nodes below a root group, by path, as the root document repeats them; empty without them."""
    consolidated = root.get("consolidated_metadata")
    found = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    return found if isinstance(found, dict) else {}


def _open_level(
    path: Path, entry: Mapping[str, Any], document: Mapping[str, Any], info: ImageInfo, caches: Caches
) -> Level:
    """One level from its entry in our own namespace and the consolidated array documents."""
    folder = path / entry["path"]
    known = consolidated_documents(document)

    def open_array(name: str) -> ShardedArray:
        key = f"{entry['path']}/{name}"
        array = known[key] if key in known else read_json(folder / name / METADATA)
        spec = ArraySpec.from_document(array)
        stored = entry.get("stored", {}).get(name)
        return ShardedArray(folder / name, spec, indexes=caches.indexes, chunks=caches.chunks, stored=stored)

    image = open_array("image")
    affine = tuple(tuple(float(v) for v in row) for row in entry["affine"])
    shape = image.spec.shape[-info.grid.ndim :]
    slices = info.grid.slices if shape[0] == info.grid.shape[0] else None
    grid = Grid(shape, affine, info.grid.frame, slices)
    return Level(grid, image, open_array("valid") if info.may_be_invalid else None)

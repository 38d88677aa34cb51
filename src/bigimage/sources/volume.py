"""NIfTI, NRRD and MetaImage volumes: nibabel and SimpleITK read the headers, voxels are read where they lie.

Compressed voxels are unpacked into a nameless temporary file at the first read, so that memory stays bounded and any
box is cheap afterwards. Only what is packed in a way that nobody uses any more is read by SimpleITK as a whole.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import DataError, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources import volume_itk, volume_nifti
from bigimage.sources.door import Layout, OpenOptions, Source
from bigimage.sources.flat import FlatVolume
from bigimage.sources.volume_header import VolumeHeader, describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "volume"
TOGETHER = False


def sniff(path: Path) -> bool:
    """Whether the file is NIfTI, NRRD or MetaImage; judged by its first bytes."""
    return path.is_file() and (volume_nifti.is_nifti(path) or volume_itk.is_itk(path))


def open(paths: Sequence[Path], *, image: str, options: OpenOptions) -> list[Source]:
    """Open each file as one volume of axes [t,] [c,] z, y, x.

    The id of a single one is `image`; several become `image-1`, `image-2`, … Raises NotFound, InputError for a
    georeference, which a volume never lacks, DataError for damaged files, Unsupported for types that are not read.
    """
    if not paths:
        raise InputError("no file was named")
    if options.crs is not None or options.bounds is not None or options.affine is not None:
        raise InputError("a volume has its own place in millimetres; it takes no CRS, bounds or affine")
    names = [image] if len(paths) == 1 else [f"{image}-{number}" for number in range(1, len(paths) + 1)]
    headers = [_header(path) for path in paths]
    if options.strict:
        problems = tuple(f"{h.path.name}: {v.code}: {v.message}" for h in headers for v in h.verdicts)
        if problems:
            raise DataError("the volume is refused, being read strictly", problems)
    return [VolumeSource(header, name, options) for header, name in zip(headers, names, strict=True)]


def _header(path: Path) -> VolumeHeader:
    """Header of one file. Raises NotFound, DataError, Unsupported."""
    return volume_nifti.read_header(path) if volume_nifti.is_nifti(path) else volume_itk.read_header(path)


class VolumeSource:
    """One volume file, open for reading; see `bigimage.sources.door.Source`."""

    def __init__(self, header: VolumeHeader, image: str, options: OpenOptions) -> None:
        self._header = header
        self._info = describe(header, image, options)
        self._physical = options.physical
        self._samples: FlatVolume | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning."""
        return self._info

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and the one that holds the voxels of a header without any."""
        return self._header.path, *self._header.beside

    @property
    def layout(self) -> Layout:
        """Any box is cheap, once the voxels are unpacked."""
        return "tiles"

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box; array (c, z, y, x). See `Source.read`."""
        grid = self._info.grid.crop(box)
        times = self._header.sizes.get("t", 1)
        if not 0 <= t < times:
            raise OutOfBounds(f"{self._info.id} has times 0 to {times - 1}, not {t}")
        count = len(self._info.bands)
        if bands is not None and (not bands or any(not 0 <= band < count for band in bands)):
            raise OutOfBounds(f"{self._info.id} has bands 0 to {count - 1}, not {list(bands)}")
        try:
            array = self._open().read(box, t=t)
        except OSError as error:
            raise DataError(f"{self._header.path.name} cannot be read: {error.strerror or error}") from error
        if bands is not None and list(bands) != list(range(count)):
            array = np.ascontiguousarray(array[list(bands)])
        if self._physical:
            array = self._converted(array)
        return Patch(array, grid, _valid(array))

    def close(self) -> None:
        """Let go of the file and of what was unpacked."""
        with self._lock:
            self._closed = True
            if self._samples is not None:
                self._samples.file.close()
                self._samples = None

    def _open(self) -> FlatVolume:
        """The samples, unpacked by the first thread that asks."""
        with self._lock:
            if self._closed:
                raise InputError(f"{self._info.id} was closed")
            if self._samples is None:
                self._samples = self._header.open()
            return self._samples

    def _converted(self, array: "NDArray[np.generic]") -> "NDArray[np.generic]":
        """Float32 in the file's unit."""
        slope, intercept = np.float32(self._header.slope), np.float32(self._header.intercept)
        return array.astype(np.float32) * slope + intercept


def _valid(array: "NDArray[np.generic]") -> "NDArray[np.bool_] | None":
    """Where every channel is a number; None where all are."""
    if array.dtype.kind != "f":
        return None
    missing: NDArray[np.bool_] = np.logical_or.reduce(np.isnan(array), axis=0)
    return np.logical_not(missing) if missing.any() else None

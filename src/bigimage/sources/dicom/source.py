"""A DICOM volume as a source of pixels."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import InputError, OutOfBounds, Undecodable
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources.dicom.assemble import Volume
from bigimage.sources.dicom.header import Frame
from bigimage.sources.dicom.info import Described, is_colour
from bigimage.sources.dicom.pixels import PlaneReader, is_direct, looked_up, palette_table, stored_dtype, undecodable
from bigimage.sources.door import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

THREADED = 8 * 1024 * 1024
"""Bytes of a box from which on several threads copy it; the kernel copies without the interpreter's lock."""
MOST_THREADS = 4


class DicomSource:
    """One assembled volume or 2-D image, open for reading; see `bigimage.sources.door.Source`."""

    def __init__(self, volume: Volume, described: Described) -> None:
        self._volume = volume
        self._info = described.info
        self._meaning = described.meaning
        self._dtype = np.dtype(described.info.dtype)
        self._physical = described.physical
        self._colour = is_colour(volume)
        self._planes = PlaneReader()
        self._lock = threading.Lock()
        self._damaged: tuple[tuple[Path, int, str], ...] | None = None
        self._closed = False

    @property
    def info(self) -> ImageInfo:
        """Geometry, type and meaning."""
        return self._info

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the planes, in their order."""
        return tuple(dict.fromkeys(frame.layout.path for stack in self._volume.frames for frame in stack))

    @property
    def layout(self) -> Layout:
        """Any box is cheap where pixels are not compressed; else whole planes are decoded."""
        direct = all(is_direct(frame.layout) for stack in self._volume.frames for frame in stack)
        return "tiles" if direct else "rows"

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """Pixels of a box; array (c, z, y, x), or (c, y, x) of a 2-D image. See `Source.read`.

        Raises Undecodable with all damaged frames of the whole image as soon as one is met.
        """
        try:
            return self._read(box, bands=bands, t=t)
        except Undecodable as error:
            raise Undecodable(str(error), self.damaged()) from error

    def damaged(self) -> tuple[tuple[Path, int, str], ...]:
        """Frames whose pixels cannot be decoded: file, number in it, reason. All are tried, once."""
        with self._lock:
            if self._damaged is None:
                frames = (frame for stack in self._volume.frames for frame in stack)
                self._damaged = undecodable((frame.layout, frame.index) for frame in frames)
            return self._damaged

    def _read(self, box: IndexBox, *, bands: Sequence[int] | None, t: int) -> Patch:
        if self._closed:
            raise InputError(f"{self._info.id} was closed")
        wanted = self._bands(bands)
        if not 0 <= t < len(self._volume.frames):
            raise OutOfBounds(f"{self._info.id} has times 0 to {len(self._volume.frames) - 1}, not {t}")
        grid = self._info.grid.crop(box)
        start, stop = (box.start[0], box.stop[0]) if grid.ndim == 3 else (0, 1)
        plane = IndexBox(box.start[-2:], box.stop[-2:])
        array = np.empty((3 if self._colour else 1, stop - start, *plane.shape), dtype=self._dtype)
        valid = self._valid_of(array.shape[1:])
        jobs = [(frame, k) for k, frame in enumerate(self._volume.frames[t][start:stop])]

        def fill(job: tuple[Frame, int]) -> None:
            frame, k = job
            self._fill(frame, plane, array[:, k], None if valid is None else valid[k], at=(t, start + k))

        if array.nbytes >= THREADED and len(jobs) > 1:
            with ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
                list(pool.map(fill, jobs))
        else:
            for job in jobs:
                fill(job)
        if wanted is not None:
            array = np.ascontiguousarray(array[wanted])
        if grid.ndim == 2:
            array = array[:, 0]
        if valid is not None:
            valid = None if valid.all() else valid.reshape(grid.shape)
        return Patch(array, grid, valid)

    def close(self) -> None:
        """Let go of decoded frames; no file stays open between reads."""
        self._closed = True
        self._planes.clear()

    def _bands(self, bands: Sequence[int] | None) -> list[int] | None:
        """Band numbers, checked; None for all."""
        if bands is None:
            return None
        count = len(self._info.bands)
        if not bands or any(not 0 <= band < count for band in bands):
            raise OutOfBounds(f"{self._info.id} has bands 0 to {count - 1}, not {list(bands)}")
        return list(bands) if list(bands) != list(range(count)) else None

    def _valid_of(self, shape: tuple[int, ...]) -> "NDArray[np.bool_] | None":
        return np.ones(shape, dtype=np.bool_) if self._info.may_be_invalid else None

    def _fill(
        self,
        frame: Frame,
        box: IndexBox,
        out: "NDArray[np.generic]",
        valid: "NDArray[np.bool_] | None",
        *,
        at: tuple[int, int],
    ) -> None:
        """One plane: stored values, then tables, validity and units."""
        layout, values = frame.layout, frame.values
        plain = layout.palette is None and values.lut is None and not self._physical
        stored = out
        if not plain or out.dtype != stored_dtype(layout):
            stored = np.empty((layout.samples, *box.shape), dtype=stored_dtype(layout))
        self._planes.read(frame, box, stored)
        if valid is not None and values.padding is not None:
            low, high = values.padding
            np.logical_or(stored[0] < low, stored[0] > high, out=valid)
        if stored is out:
            return
        if layout.palette is not None:
            table, first = palette_table(layout.palette)
            stored = looked_up(stored[0], table, first)
        elif values.lut is not None:
            first, entries = values.lut
            stored = looked_up(stored, np.asarray(entries, dtype=np.uint16), first)
        if self._physical:
            t, z = at
            np.multiply(stored, self._meaning.slopes[t][z], out=out, casting="unsafe")
            out += np.float32(self._meaning.intercepts[t][z])  # pyright: ignore[reportOperatorIssue]
        else:
            out[...] = stored

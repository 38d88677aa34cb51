"""A source read in bands of rows, or slabs of slices, for files that are decoded by whole rows or slices."""

import threading
from collections.abc import Sequence
from pathlib import Path

from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.sources.door import Layout, Source


class Banded:
    """Wraps a source: each thread keeps the band of rows, or the slab of slices, that it read last.

    Neighbours in a row of shards so cost one decode. Memory per thread is one band.
    """

    def __init__(self, source: Source, rows: int) -> None:
        self._source = source
        self._rows = rows
        self._local = threading.local()

    @property
    def info(self) -> ImageInfo:
        """As of the wrapped source."""
        return self._source.info

    @property
    def files(self) -> tuple[Path, ...]:
        """As of the wrapped source."""
        return self._source.files

    @property
    def layout(self) -> Layout:
        """Any tile is cheap now, as long as tiles of a row are asked for one after the other."""
        return "tiles"

    def read(self, box: IndexBox, *, bands: Sequence[int] | None = None, t: int = 0) -> Patch:
        """As `Source.read`."""
        height, *across = self.info.grid.shape
        first = box.start[0] // self._rows * self._rows
        if box.stop[0] > first + self._rows:
            return self._source.read(box, bands=bands, t=t)
        key = (first, None if bands is None else tuple(bands), t)
        if getattr(self._local, "key", None) != key:
            # forget the old band before the new one is read, or there would be two
            self._local.key, self._local.band = None, None
            band = IndexBox((first, *(0 for _ in across)), (min(first + self._rows, height), *across))
            self._local.band = self._source.read(band, bands=bands, t=t)
            self._local.key = key
        patch: Patch = self._local.band
        part = box.shift((-first, *(0 for _ in across)))
        valid = None if patch.valid is None else patch.valid[part.slices]
        return Patch(patch.array[(slice(None), *part.slices)], self.info.grid.crop(box), valid)

    def close(self) -> None:
        """As `Source.close`."""
        self._local = threading.local()
        self._source.close()

"""The images of a workspace: ingested, opened, kept apart from everything that is known about them.

Apart from `workspace`, because who ingests should not wait for databases and painting to load.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from bigimage import catalogue
from bigimage.cache import ByteLRU
from bigimage.catalogue import RETIRED, image_folder
from bigimage.errors import BackendError, InputError
from bigimage.ingest import IngestOptions, Progress, ingest
from bigimage.link import is_store, link, open_linked
from bigimage.model.image import Role, check_id
from bigimage.pyramid.foreign import store_id
from bigimage.pyramid.pyramid import Caches, Pyramid
from bigimage.pyramid.unsharded import write_unsharded
from bigimage.settings import Settings
from bigimage.sources.door import OpenOptions

UNSHARDED = "unsharded"
KEY_FILE = "deidentify.key"
"""File of the secret that replaced identifiers of patients are made from; readable by its owner only."""


class Images:
    """The images in a folder. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        """Take a folder that need not exist yet. Raises InputError when it is a file."""
        if settings.workspace.exists() and not settings.workspace.is_dir():
            raise InputError(f"{settings.workspace} is not a folder")
        self.settings = settings
        self._caches = Caches(ByteLRU[Any](settings.index_cache), ByteLRU[Any](settings.chunk_cache))
        self._open: dict[str, tuple[tuple[int, ...], Pyramid]] = {}
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The workspace's folder."""
        return self.settings.workspace

    def images(self) -> list[dict[str, Any]]:
        """Catalogue records of all images, as `bigimage info --json` prints them."""
        return catalogue.records(self.path)

    def record(self, image: str) -> dict[str, Any]:
        """Catalogue record of one image. Raises NotFound."""
        return catalogue.record(self.path, image)

    def image(self, image: str) -> Pyramid:
        """An image, opened once and kept. Raises NotFound."""
        path = image_folder(self.path, image)
        try:
            stat = (path / "zarr.json").stat()
            # a number of an inode alone comes back soon after its file was replaced
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except (OSError, ValueError):
            identity = ()
        with self._lock:
            known = self._open.get(image)
            if known is not None and known[0] == identity:
                return known[1]
            self._open.pop(image, None)
        self.record(image)
        pyramid = open_linked(path) or Pyramid.open(path, self._caches)
        with self._lock:
            self._open[image] = (identity, pyramid)
        return pyramid

    def ingest(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        name: str | None = None,
        role: Role | None = None,
        crs: str | None = None,
        bounds: tuple[float, float, float, float] | None = None,
        affine: tuple[float, float, float, float, float, float] | None = None,
        fit_gcps: bool = False,
        deidentify: bool = False,
        strict: bool = False,
        regularize: bool = False,
        workers: int | None = None,
        scheduler: str = "threads",
        progress: Progress = lambda done, total: None,
    ) -> list[Pyramid]:
        """Turn a file, or the files of one image, into pyramids.

        Parameters
        ----------
        sources
            A raster file, a DICOM file or folder, NIfTI, NRRD, MHA; or the folder of an OME-Zarr or GeoZarr
            pyramid, which is read where it lies and not copied.
        name
            Image id; default the slug of the file's name.
        role
            `image` (reduced by mean) or `labels` (by mode); default by the file: labels where it has a palette.
        crs, bounds, affine
            A georeference that the file lacks: CRS, (west, south, east, north), or rasterio's six coefficients.
        fit_gcps
            Place an image that has only ground control points by an affine fitted to them.
        deidentify
            Store nothing of a scan that names its patient; see docs/dicom.md for what that means.
        strict
            Refuse a scan with gaps, duplicates, a tilted gantry or anything else amiss.
        regularize
            Resample uneven or tilted slices of a scan to a regular grid.
        workers, scheduler
            Number of threads or processes, and where they run: `threads`, `processes` or `tcp://host:port`.
        progress
            Called with (pixels done, pixels in all).

        Raises
        ------
        InputError, NotFound, DataError, Unsupported, Conflict, BackendError
            See `bigimage.ingest.ingest`.
        """
        paths = [Path(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
        if len(paths) == 1 and is_store(paths[0]):
            if role or crs or bounds or affine or fit_gcps or deidentify or strict or regularize:
                raise InputError(f"{paths[0]} is read where it lies: none of its properties can be changed")
            image = check_id(name) if name is not None else store_id(paths[0])
            link(paths[0], self.path, image=image)
            return [self.image(image)]
        options = IngestOptions(
            name=name,
            open=OpenOptions(
                crs=crs,
                bounds=bounds,
                affine=affine,
                fit_gcps=fit_gcps,
                role=role,
                strict=strict,
                regularize=regularize,
                deidentify=self._secret() if deidentify else None,
            ),
            workers=self.settings.worker_count() if workers is None else workers,
            scheduler=scheduler,
        )
        return [self.image(image) for image in ingest(paths, self.path, options, progress=progress)]

    def _secret(self) -> str:
        """What replaced identifiers are made from, made when first needed. Raises BackendError."""
        path = self._make_folder() / KEY_FILE
        try:
            # linked into place, so that two processes never see half of one, or two of them
            with tempfile.NamedTemporaryFile("w", dir=self.path, prefix=f".{KEY_FILE}.") as file:
                file.write(token_urlsafe(32))
                file.flush()
                with suppress(FileExistsError):
                    os.link(file.name, path)
            return path.read_text("ascii")
        except OSError as error:
            raise BackendError(f"cannot keep {path}: {error.strerror}") from error

    def write_unsharded(self, image: str) -> Path:
        """Write a Zarr v2 copy of a raster, for readers without sharding, and return its place.

        Raises NotFound, Conflict (there is one already) or Unsupported.
        """
        pyramid = self.image(image)
        target = self.path / UNSHARDED / f"{image}.zarr"
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise BackendError(f"cannot write below {self.path}: {error.strerror}") from error
        write_unsharded(pyramid, target)
        return target

    def _make_folder(self) -> Path:
        """The workspace's folder, made where it is missing. Raises BackendError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendError(f"cannot make the workspace {self.path}: {error.strerror}") from error
        return self.path

    def remove(self, image: str) -> None:
        """Delete an image's pixels and masks; the log of its annotations is kept, and its id stays retired.

        Raises NotFound or BackendError.
        """
        self.record(image)
        folder = image_folder(self.path, image)
        gone = folder.with_name(f".{image}.removed")
        try:
            (self.path / RETIRED).mkdir(exist_ok=True)
            (self.path / RETIRED / image).touch()
            folder.rename(gone)
            shutil.rmtree(gone)
            shutil.rmtree(self.path / UNSHARDED / f"{image}.zarr", ignore_errors=True)
        except OSError as error:
            raise BackendError(f"cannot remove {folder}: {error.strerror}") from error
        with self._lock:
            self._open.pop(image, None)

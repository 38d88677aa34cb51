"""The composition root: settings → open images; the only place that builds concrete parts."""

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

from bigimage import catalogue
from bigimage.annotations import Annotations
from bigimage.cache import ByteLRU
from bigimage.catalogue import RETIRED, image_folder
from bigimage.errors import BackendError, InputError
from bigimage.exchange.output import Exported, Stop, ignore_progress, never
from bigimage.exchange.vector import Imported, export_annotations, import_annotations, source_name
from bigimage.formats.door import Options
from bigimage.ingest import IngestOptions, Progress, ingest
from bigimage.link import is_store, link, open_linked
from bigimage.model.image import ImageInfo, Role, check_id
from bigimage.model.region import Region, blocks
from bigimage.pyramid.foreign import store_id
from bigimage.pyramid.labels import check_layer_name, layer_names, remove_layer
from bigimage.pyramid.pyramid import Caches, Pyramid
from bigimage.pyramid.unsharded import write_unsharded
from bigimage.rasterize.easel import StoreLink
from bigimage.rasterize.hold import holding
from bigimage.rasterize.layer import Layer, open_layer, outline_of
from bigimage.rasterize.paint import Order, Studio, follow, lease_name, paint
from bigimage.settings import Settings
from bigimage.sources.door import OpenOptions
from bigimage.store.backup import backup, restore
from bigimage.store.database import Database
from bigimage.store.door import LeaseStore, Moment, PeopleStore, RegionStore
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_database
from bigimage.store.people import SqlPeople
from bigimage.store.regions import SqlRegions
from bigimage.store.sql import SqlStore

UNSHARDED = "unsharded"
DATABASE = "annotations.db"
"""File of the annotations where `Settings.store` names no database."""
KEY_FILE = "deidentify.key"
"""File of the secret that replaced identifiers of patients are made from; readable by its owner only."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database keeps."""

    database: Database
    annotations: Annotations
    people: SqlPeople
    regions: SqlRegions
    leases: SqlLeases


class Workspace:
    """A folder of images and everything known about them. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._caches = Caches(ByteLRU[Any](settings.index_cache), ByteLRU[Any](settings.chunk_cache))
        self._open: dict[str, tuple[tuple[int, ...], Pyramid]] = {}
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

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

    @property
    def annotations(self) -> Annotations:
        """The annotations, in the database that `Settings.store` names; opened, and made, when first used.

        Raises BackendError, Unsupported, InputError; see `bigimage.store.opening.open_store`. So do `people`,
        `regions` and `leases`, which lie in the same database.
        """
        return self._database().annotations

    @property
    def people(self) -> PeopleStore:
        """People, their roles and tokens."""
        return self._database().people

    @property
    def regions(self) -> RegionStore:
        """Regions of images as units of work."""
        return self._database().regions

    @property
    def leases(self) -> LeaseStore:
        """Rights to write something that several processes could write."""
        return self._database().leases

    def _database(self) -> _Kept:
        """What the database keeps."""
        with self._lock:
            if self._kept is None:
                database = open_database(self.settings.store or self._make_folder() / DATABASE)
                self._kept = _Kept(
                    database,
                    Annotations(
                        SqlStore(database), lambda i: self.image(i).info, new_id=uuid4, author=self.settings.author
                    ),
                    SqlPeople(database, new_secret=token_urlsafe),
                    SqlRegions(database, new_id=uuid4),
                    SqlLeases(database),
                )
            return self._kept

    def rasterize(
        self,
        image: str,
        *,
        layer: str | None = None,
        mode: str | None = None,
        rule: str | None = None,
        fill_between: bool | None = None,
        workers: int | None = None,
        scheduler: str = "threads",
        progress: Progress = lambda done, total: None,
    ) -> Layer:
        """Paint an image's annotations into a mask layer, or what changed since; the layer as it is then.

        Parameters
        ----------
        layer
            Name of the layer; default that of the mode.
        mode
            `semantic` (the default), `instance`, `panoptic`, `coverage` or `multilayer`; see docs/masks.md.
        rule
            `center` (the default): pixels whose centre is inside. `all-touched`: every pixel that is touched.
        fill_between
            Interpolate contours between annotated slices of a volume.
        workers, scheduler
            Number of threads or processes, and where they run: `threads`, `processes` or `tcp://host:port`.
        progress
            Called with (chunks painted, chunks in all).

        Raises
        ------
        NotFound, InputError, Conflict, FrameMismatch, DataError, BackendError
            See `bigimage.rasterize.paint.paint`.
        """
        order = self._order(layer, mode, rule, fill_between, workers, scheduler)
        return paint(self._studio(image), order, progress=progress)

    def follow(
        self,
        image: str,
        *,
        layer: str | None = None,
        mode: str | None = None,
        rule: str | None = None,
        fill_between: bool | None = None,
        workers: int | None = None,
        scheduler: str = "threads",
    ) -> Generator[Layer]:
        """Paint a layer and keep it up to date: yields it whenever it was painted. Takes what `rasterize` takes."""
        order = self._order(layer, mode, rule, fill_between, workers, scheduler)
        with closing(self.annotations.store.watch()) as watch:
            yield from follow(self._studio(image), order, wait=watch.wait)

    def layers(self, image: str) -> list[Layer]:
        """Mask layers of an image, by name. Raises NotFound, DataError, BackendError."""
        self.record(image)
        return [self.layer(image, name) for name in layer_names(image_folder(self.path, image))]

    def layer(self, image: str, name: str) -> Layer:
        """A mask layer as it is stored. Raises NotFound, DataError, BackendError."""
        self.record(image)
        return open_layer(image_folder(self.path, image), check_layer_name(name), self._caches)

    def remove_layer(self, image: str, name: str) -> None:
        """Delete a mask layer; annotations stay. Raises NotFound, Conflict while it is painted, BackendError."""
        self.record(image)
        with holding(self.leases, lease_name(image, check_layer_name(name)), _holder()):
            remove_layer(image_folder(self.path, image), name)

    def _order(
        self,
        layer: str | None,
        mode: str | None,
        rule: str | None,
        fill_between: bool | None,
        workers: int | None,
        scheduler: str,
    ) -> Order:
        """What to paint, and with how many workers."""
        count = self.settings.worker_count() if workers is None else workers
        return Order(name=layer, mode=mode, rule=rule, fill_between=fill_between, workers=count, scheduler=scheduler)

    def _studio(self, image: str) -> Studio:
        """What painting the layers of an image needs. Raises NotFound."""
        info = self.image(image).info
        place = str(self.settings.store or self._make_folder() / DATABASE)
        return Studio(
            info=info,
            folder=image_folder(self.path, image),
            link=StoreLink(place, self.annotations.store),
            leases=self.leases,
            holder=_holder(),
            reviewed=lambda: self._reviewed(info),
            caches=self._caches,
        )

    def _reviewed(self, info: ImageInfo) -> tuple[str, ...]:
        """Outlines of an image's regions on which the work is done, as hexadecimal WKB."""
        return tuple(outline_of(region, info.grid) for region in self.regions.of(info.id, state="done"))

    def split_regions(self, image: str, *, size: int, replace_open: bool = False) -> list[Region]:
        """Split an image into regions: squares of `size` pixels of a raster, ranges of `size` slices of a volume.

        Raises NotFound; Conflict when the image has such regions already, or, with `replace_open`, when one of them is
        claimed or done; InputError for a size that makes no sense.
        """
        return self.regions.add(image, blocks(self.image(image).info.grid, size), replace_open=replace_open)

    def _make_folder(self) -> Path:
        """The workspace's folder, made where it is missing. Raises BackendError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendError(f"cannot make the workspace {self.path}: {error.strerror}") from error
        return self.path

    def close(self) -> None:
        """Let go of the database; it is opened again when it is used again."""
        with self._lock:
            if self._kept is not None:
                self._kept.database.close()
                self._kept = None

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

    def backup(self, file: str | Path) -> dict[str, int]:
        """Write everything in the database to a file, which appears whole or not at all; rows by table.

        Raises BackendError, DataError when the file does not read back as it was written.
        """
        return backup(self._database().database, Path(file), made=datetime.now(UTC))

    def restore(self, file: str | Path) -> dict[str, int]:
        """Fill the database, which must be empty, from a backup, whole or not at all; rows by table.

        Raises Conflict, DataError, Unsupported, BackendError; see `bigimage.store.backup.restore`.
        """
        return restore(self._database().database, Path(file))

    def export(
        self,
        image: str,
        *,
        format: str,
        output: str | Path,
        region: UUID | None = None,
        at: Moment | None = None,
        options: Options | None = None,
        strict: bool = False,
        progress: Progress = ignore_progress,
        stop: Stop = never,
    ) -> Exported:
        """Write an image's annotations to a file or folder, and a report of what it could not hold beside it.

        Parameters
        ----------
        format
            A name such as `geojson` or `coco`; see docs/formats.
        region
            Only annotations that touch this region.
        at
            A revision's number or a time: the state that was visible then.
        options
            What is set for the format.
        strict
            Refuse any loss.

        Raises
        ------
        NotFound, InputError, Unsupported, FrameMismatch, Conflict, BackendError, Cancelled
            See `bigimage.exchange.vector.export_annotations`.
        """
        info = self.image(image).info
        box = None if region is None else info.grid.crop(self.regions.get(region).box).world_bounds()
        return export_annotations(
            self.annotations.store,
            info,
            format=format,
            output=Path(output),
            options=options,
            box=box,
            at=at,
            file_name=source_name(info),
            strict=strict,
            progress=progress,
            stop=stop,
        )

    def import_file(
        self,
        image: str,
        path: str | Path,
        *,
        format: str | None = None,
        author: str | None = None,
        options: Options | None = None,
        strict: bool = False,
        progress: Progress = ignore_progress,
        stop: Stop = never,
    ) -> Imported:
        """Store the annotations of a file or folder as one revision, after all of it was found sound.

        Importing the same file again changes nothing. `format` is told by the content where that is clear. Raises
        Invalid with every problem, and what `bigimage.exchange.vector.import_annotations` raises.
        """
        info = self.image(image).info
        return import_annotations(
            self.annotations.store,
            info,
            Path(path),
            author=author or self.settings.author,
            format=format,
            options=options,
            file_name=source_name(info),
            strict=strict,
            progress=progress,
            stop=stop,
        )

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


def _holder() -> str:
    """A name for this process that tells people where it runs."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def open_workspace(path: str | Path | None = None, *, settings: Settings | None = None) -> Workspace:
    """Open a workspace, which need not exist yet; default `BIGIMAGE_WORKSPACE` or `./bigimage-workspace`.

    Raises InputError when the path is a file.
    """
    chosen = settings or Settings.from_env(workspace=None if path is None else Path(path))
    if chosen.workspace.exists() and not chosen.workspace.is_dir():
        raise InputError(f"{chosen.workspace} is not a folder")
    return Workspace(chosen)

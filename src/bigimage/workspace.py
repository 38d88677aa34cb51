"""The composition root: settings → images and what is known of them; the only place that builds concrete parts."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID, uuid4

from bigimage.annotations import Annotations
from bigimage.archives import UPLOADS
from bigimage.catalogue import image_folder
from bigimage.errors import InputError
from bigimage.exchange.chips import ChipImage, ChipOptions, export_chips, wants_physical
from bigimage.exchange.layers import export_layer
from bigimage.exchange.output import Exported, Stop, ignore_progress, never
from bigimage.exchange.snapshot import Snapshot, frozen_image, read_snapshot, take_snapshot
from bigimage.exchange.unpacking import annotations_in
from bigimage.exchange.vector import Imported, export_annotations, import_annotations, source_name
from bigimage.formats.door import Options
from bigimage.geometry.box import WorldBox
from bigimage.images import Images
from bigimage.ingest import Progress
from bigimage.model.image import ImageInfo
from bigimage.model.region import Region, blocks
from bigimage.model.where import Where
from bigimage.pyramid.labels import check_layer_name, layer_names, remove_layer
from bigimage.rasterize.easel import StoreLink
from bigimage.rasterize.hold import holding, this_process
from bigimage.rasterize.layer import Layer, open_layer, region_text
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.paint import Order, Studio, follow, lease_name, paint
from bigimage.rasterize.zonal import Zone, zonal
from bigimage.settings import Settings
from bigimage.store.backup import backup, restore
from bigimage.store.database import Database
from bigimage.store.door import LeaseStore, Moment, PeopleStore, RegionStore
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_database
from bigimage.store.people import SqlPeople
from bigimage.store.regions import SqlRegions
from bigimage.store.sql import SqlStore

DATABASE = "annotations.db"
"""File of the annotations where `Settings.store` names no database."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database keeps."""

    database: Database
    annotations: Annotations
    people: SqlPeople
    regions: SqlRegions
    leases: SqlLeases


class Workspace(Images):
    """A folder of images and everything known about them. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        """Take a folder that need not exist yet. Raises InputError when it is a file."""
        super().__init__(settings)
        self._kept: _Kept | None = None

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

    def zonal(
        self,
        image: str,
        *,
        box: Sequence[float] | None = None,
        label: str | None = None,
        bands: Sequence[int] | None = None,
        t: int = 0,
        limit: int | None = None,
        spend: Callable[[int], None] = lambda pixels: None,
    ) -> Iterator[Zone]:
        """Statistics of what lies under each annotation of an image, while they are taken.

        Parameters
        ----------
        box
            Only annotations that touch it: (min…, max…) in the image's frame.
        label
            Only those of this label, its former names and the labels below it.
        bands
            Bands counted from 0; all by default.
        t, limit, spend
            See `bigimage.rasterize.zonal.zonal`, whose errors this raises too.
        """
        pyramid, store = self.image(image), self.annotations.store
        schema = self.annotations.schema()
        names = None if label is None else schema.names(label) if schema.find(label) else frozenset({label})
        world = None if box is None else WorldBox.of(box, pyramid.info.grid.frame)
        yield from zonal(
            pyramid,
            store,
            box=world,
            where=Where(labels=names),
            palette=Palette.of(schema),
            bands=bands,
            t=t,
            limit=limit,
            spend=spend,
        )

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
        with holding(self.leases, lease_name(image, check_layer_name(name)), this_process()):
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
            holder=this_process(),
            reviewed=lambda: self._reviewed(info),
            caches=self._caches,
        )

    def _reviewed(self, info: ImageInfo) -> tuple[str, ...]:
        """Areas of an image's regions on which the work is done."""
        return tuple(region_text(region) for region in self.regions.of(info.id, state="done"))

    def split_regions(
        self, image: str, *, size: int, replace_open: bool = False, author: str | None = None
    ) -> list[Region]:
        """Split an image into regions: squares of `size` pixels of a raster, ranges of `size` slices of a volume.

        Raises NotFound; Conflict when the image has such regions already, or, with `replace_open`, when one of them is
        claimed or done; InputError for a size that makes no sense.
        """
        plots = blocks(self.image(image).info.grid, size)
        return self.regions.add(image, plots, by=author or self.settings.author, replace_open=replace_open)

    def close(self) -> None:
        """Let go of the database; it is opened again when it is used again."""
        with self._lock:
            if self._kept is not None:
                self._kept.database.close()
                self._kept = None

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
        layer: str | None = None,
        region: UUID | None = None,
        at: Moment | None = None,
        snapshot: str | None = None,
        options: Options | None = None,
        strict: bool = False,
        progress: Progress = ignore_progress,
        stop: Stop = never,
    ) -> Exported:
        """Write an image's annotations, or a mask layer, and a report of what the format could not hold beside it.

        Parameters
        ----------
        format
            A name such as `geojson` or `coco`, for layers `dicom-seg` or `geotiff`; see docs/formats.
        layer
            The mask layer to write; None for annotations.
        region
            Only annotations that touch this region, or the layer's pixels within its box.
        at
            A revision's number or a time: the state of the annotations that was visible then.
        snapshot
            Name of a snapshot: the state that it froze, with its label schema. Always gives the same bytes.
        options
            What is set for the format.
        strict
            Refuse any loss.

        Raises
        ------
        NotFound, InputError, Unsupported, FrameMismatch, Conflict, BackendError, Cancelled
            See `bigimage.exchange.vector.export_annotations` and `bigimage.exchange.layers.export_layer`.
        """
        pyramid = self.image(image)
        info, version = pyramid.info, None
        if snapshot is not None:
            taken = read_snapshot(self.path, snapshot)
            at, version = frozen_image(taken, image, pyramid.version).revision, taken.schema
        if layer is not None:
            if at is not None:
                raise InputError("a layer shows the revision that it was painted at, and no other")
            return export_layer(
                self.layer(image, layer),
                info,
                self.annotations.schema(),
                store=self.annotations.store,
                format=format,
                output=Path(output),
                options=options,
                box=None if region is None else self.regions.get(region).box,
                strict=strict,
                progress=progress,
                stop=stop,
            )
        box = None if region is None else info.grid.crop(self.regions.get(region).box).world_bounds()
        return export_annotations(
            self.annotations.store,
            info,
            format=format,
            output=Path(output),
            options=options,
            box=box,
            at=at,
            schema_version=version,
            snapshot=snapshot,
            file_name=source_name(info),
            strict=strict,
            progress=progress,
            stop=stop,
        )

    def snapshot(self, name: str) -> Snapshot:
        """Freeze the present state of all images, their annotations and the label schema under a name.

        Raises InputError for a name that is none, Conflict when it is taken, BackendError.
        """
        pixels = {record["id"]: self.image(record["id"]).version for record in self.images()}
        folder, now = self._make_folder(), datetime.now(UTC)
        return take_snapshot(self.annotations.store, pixels, folder=folder, name=name, created=now)

    def export_chips(
        self,
        image: str | Sequence[str],
        *,
        format: str,
        output: str | Path,
        options: ChipOptions | None = None,
        format_options: Options | None = None,
        snapshot: str | None = None,
        strict: bool = False,
        progress: Progress = ignore_progress,
        stop: Stop = never,
    ) -> Exported:
        """Cut images to chips for training: pictures, annotations and splits in a folder; see `ChipOptions`.

        Several images become one data set. Where an image has regions of work, what lies in those that are done counts
        as reviewed. `snapshot` names a state that was frozen: it always gives the same bytes. Raises what
        `bigimage.exchange.chips.export_chips` raises, and NotFound.
        """
        chosen = options or ChipOptions()
        names = [image] if isinstance(image, str) else list(dict.fromkeys(image))
        taken = None if snapshot is None else read_snapshot(self.path, snapshot)
        at = None if taken is None else {n: frozen_image(taken, n, self.image(n).version).revision for n in names}
        return export_chips(
            self.annotations.store,
            [self._chip_image(name, chosen) for name in names],
            format=format,
            output=Path(output),
            options=chosen,
            format_options=format_options,
            at=at,
            schema_version=None if taken is None else taken.schema,
            snapshot=snapshot,
            strict=strict,
            progress=progress,
            stop=stop,
        )

    def _chip_image(self, name: str, options: ChipOptions) -> ChipImage:
        """An image as chips are cut from it."""
        pyramid = self.image(name)
        physical = wants_physical(pyramid.info, options)
        regions = self.regions.of(name)
        return ChipImage(
            info=pyramid.info,
            read=lambda box: pyramid.read_index(box, bands=options.bands, physical=physical),
            reviewed=[region.box for region in regions if region.state == "done"] if regions else None,
        )

    def import_file(
        self,
        image: str,
        path: str | Path,
        *,
        format: str | None = None,
        author: str | None = None,
        options: Options | None = None,
        repair: bool = False,
        extend_schema: bool = False,
        strict: bool = False,
        progress: Progress = ignore_progress,
        stop: Stop = never,
    ) -> Imported:
        """Store the annotations of a file, a folder or a ZIP archive as one revision, after all of it was found sound.

        Importing the same file again changes nothing. `format` is told by the content where that is clear; `repair`
        mends areas that cross themselves, `extend_schema` adds labels and attributes that the schema lacks. Raises
        Invalid with every problem, and what `bigimage.exchange.vector.import_annotations` raises.
        """
        info = self.image(image).info
        page = (options or {}).get("page")
        names = (image, source_name(info)) if page is None else (page,)
        scratch, limit = self.path / UPLOADS, self.settings.max_upload
        with annotations_in(Path(path), format, names=names, scratch=scratch, limit=limit) as (place, name):
            return import_annotations(
                self.annotations.store,
                info,
                place,
                author=author or self.settings.author,
                format=name,
                options=options,
                file_name=source_name(info),
                repair=repair,
                extend_schema=extend_schema,
                strict=strict,
                progress=progress,
                stop=stop,
            )


def open_workspace(path: str | Path | None = None, *, settings: Settings | None = None) -> Workspace:
    """Open a workspace, which need not exist yet; default `BIGIMAGE_WORKSPACE` or `./bigimage-workspace`.

    Raises InputError when the path is a file.
    """
    return Workspace(settings or Settings.from_env(workspace=None if path is None else Path(path)))

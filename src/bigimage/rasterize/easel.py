"""Reading the annotations of a window as shapes to burn, in whatever process a unit runs."""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.model.where import Where
from bigimage.rasterize.brush import BLANK, RasterBrush
from bigimage.rasterize.drawing import draw, in_32_bits, in_order, pen_sizes
from bigimage.rasterize.instances import Rows
from bigimage.rasterize.layer import Painted, region_box, region_outline
from bigimage.rasterize.modes import OBJECT_MODES, Reach
from bigimage.rasterize.plan import MARGIN, NO_REACH
from bigimage.rasterize.run import Easel, Sight
from bigimage.rasterize.scene import scene_of
from bigimage.rasterize.volume import VolumeBrush
from bigimage.store.door import AnnotationStore, Columns
from bigimage.store.opening import open_store

LARGE = 1 << 20
"""Voxels from which a window of a volume is painted from all annotations."""


@lru_cache(maxsize=4)
def _opened(place: str) -> AnnotationStore:
    """The store at a place, opened once in each worker process."""
    return open_store(place)


@dataclass(eq=False)
class StoreLink:
    """A store that travels to other processes by its place."""

    place: str
    """Path or URL of the database."""
    here: AnnotationStore | None = None
    """The store as this process opened it."""

    @property
    def store(self) -> AnnotationStore:
        """The store. Raises BackendError."""
        return self.here if self.here is not None else _opened(self.place)

    def __reduce__(self) -> tuple[type["StoreLink"], tuple[str]]:
        """Travels without the open database."""
        return type(self), (self.place,)


def window_box(grid: Grid, window: IndexBox, reach: Reach = NO_REACH) -> WorldBox:
    """World box that holds the boxes of all shapes that painting a window can depend on.

    `reach`, in pixels of this grid, is that of the pens that shapes are drawn with.
    """
    wide = window.pad(MARGIN + math.ceil(reach.pixels))
    ends = zip(wide.start, wide.stop, strict=True)
    if grid.slices is not None:
        # slices with places of their own may lie beside those at the ends; places are linear from middle to middle
        (low, high), *others = ends
        ends = [(low, *(k + 0.5 for k in range(low, high)), high), *others]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    world = grid.to_world(corners.astype(np.float64))
    low, high = (world.min(axis=0) - reach.world).tolist(), (world.max(axis=0) + reach.world).tolist()
    return WorldBox(tuple(low), tuple(high), grid.frame)


@dataclass(eq=False)
class Objects:
    """Ids of objects: the place in the log of an annotation's first version, of an instance's first annotation."""

    link: StoreLink
    image: str
    known: dict[str, int] = field(default_factory=dict[str, int])

    def __call__(self, columns: Columns) -> NDArray[np.int64]:
        """Id of the object that each annotation shows."""
        ids = columns.places.copy()
        for k, rest in enumerate(columns.rest):
            if rest is not None and '"instance":' in rest and "instance" in (document := json.loads(rest)):
                ids[k] = self._of(document["instance"], int(ids[k]))
        return ids

    def _of(self, instance: str, place: int) -> int:
        """Id of an instance; `place` is that of one of its annotations."""
        if instance not in self.known:
            store = self.link.store
            for first in store.query(self.image, where=Where(instance=instance)):
                if (box := first.bounds) is not None:
                    columns = store.columns(self.image, box, where=Where(instance=instance))
                    places = dict(zip(columns.ids, columns.places.tolist(), strict=True))
                    place = places.get(first.id, place)
                    break
            self.known[instance] = place
        return self.known[instance]


@dataclass(frozen=True)
class RasterEasel:
    """Brings the annotations of a raster's windows."""

    link: StoreLink
    grid: Grid
    painted: Painted
    timed: bool
    """Whether the image has a time axis; without one, annotations of all times are painted."""

    @cached_property
    def objects(self) -> Objects:
        """Ids of objects."""
        return Objects(self.link, self.painted.image)

    @cached_property
    def regions(self) -> list[shapely.Geometry]:
        """Outlines of the reviewed regions, where the schema has a background."""
        if self.painted.palette.background is None:
            return []
        return [region_outline(text, self.grid) for text in self.painted.reviewed]

    def look(self, window: IndexBox, t: int) -> Sight:
        """What boxes within a window of level-0 indexes are painted from."""
        painted, store = self.painted, self.link.store
        where = Where(t=t) if self.timed else None
        columns = store.columns(painted.image, window_box(self.grid, window, painted.palette.reach), where=where)
        if not len(columns.places) and not self.regions:
            return Sight(BLANK, (), None)
        drawing = draw(
            columns,
            painted.palette,
            self.grid,
            window,
            read_mask=store.read_mask,
            objects=self.objects,
            reviewed=self.regions,
            known_only=painted.mode != "instance",
        )
        brush = RasterBrush(drawing, painted.mode, painted.rule, painted.palette)
        return Sight(
            brush, columns.names, _rows(columns, drawing.ids[len(drawing.ids) - len(columns.places) :], painted)
        )


@dataclass(eq=False)
class VolumeEasel:
    """Brings the annotations of a volume's windows."""

    link: StoreLink
    grid: Grid
    painted: Painted
    timed: bool
    """Whether the volume has a time axis; without one, annotations of all times are painted."""
    lock: Any = field(default_factory=Lock)
    """Held while a brush for the whole volume is made."""

    @cached_property
    def objects(self) -> Objects:
        """Ids of objects."""
        return Objects(self.link, self.painted.image)

    @cached_property
    def whole(self) -> dict[int, Sight]:
        """What the whole volume is painted from, by time."""
        return {}

    def look(self, window: IndexBox, t: int) -> Sight:
        """What boxes within a window of level-0 indexes are painted from.

        An annotation of a volume reaches over many shards, so a large window is painted from all of them, read once;
        so are windows whose slices are filled between drawn ones, which may lie far away.
        """
        if not self.painted.fill_between and window.size < LARGE:
            return self._look(window, t)
        with self.lock:
            if t not in self.whole:
                self.whole[t] = self._look(self.grid.box, t)
            return self.whole[t]

    def _look(self, window: IndexBox, t: int) -> Sight:
        """The annotations that touch a window."""
        painted, store = self.painted, self.link.store
        where = Where(t=t) if self.timed else None
        columns = store.columns(painted.image, window_box(self.grid, window, painted.palette.reach), where=where)
        classes, rank = in_order(columns, painted.palette)
        known_only = painted.mode != "instance"
        found = self.objects(columns)
        ids = in_32_bits(found)
        scene = scene_of(
            columns,
            self.grid,
            shown=classes >= 0 if known_only else np.ones(len(classes), np.bool_),
            read_mask=store.read_mask,
            objects=found if painted.fill_between else None,
            rule=painted.rule,
            pens=pen_sizes(columns, classes, painted.palette),
        )
        brush = VolumeBrush(
            scene, painted.mode, painted.rule, painted.palette, classes, ids, rank, reviewed=self.regions
        )
        return Sight(brush, columns.names, _rows(columns, ids, painted))

    @cached_property
    def regions(self) -> tuple[IndexBox, ...]:
        """Voxels of the reviewed regions, which are boxes."""
        boxes = (region_box(text) for text in self.painted.reviewed)
        return tuple(box.intersect(self.grid.box) for box in boxes if box is not None)

    def __reduce__(self) -> tuple[type["VolumeEasel"], tuple[StoreLink, Grid, Painted, bool]]:
        """Travels without what it has read."""
        return type(self), (self.link, self.grid, self.painted, self.timed)


def _rows(columns: Columns, ids: NDArray[np.uint32], painted: Painted) -> Rows | None:
    """Rows of the table of objects for what a layer shows of some annotations; None for layers without a table."""
    if painted.mode not in OBJECT_MODES:
        return None
    known = np.array(
        [painted.mode == "instance" or name in painted.palette.by_name for name in columns.names], np.bool_
    )
    shown = known[columns.labels] if len(columns.labels) else np.zeros(0, np.bool_)
    return Rows(
        columns.places[shown],
        ids[shown],
        columns.keys[shown],
        columns.versions[shown],
        columns.labels[shown],
        columns.names,
    )


def easel_for(link: StoreLink, info: ImageInfo, painted: Painted) -> Easel:
    """What brings the annotations of an image."""
    timed = "t" in info.axes
    if info.grid.ndim == 3:
        return VolumeEasel(link, info.grid, painted, timed)
    return RasterEasel(link, info.grid, painted, timed)

"""Zonal statistics: what lies under each annotation, block by block, so that memory does not grow with its size.

The pixels of a zone are those that the annotation would paint alone, by their centres; what lies over it does not
matter. Only valid pixels count, and values are physical ones (`stored * scale + offset`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import InputError, NotFound, Unsupported
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import blocks
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.where import Where
from bigimage.pyramid.pyramid import Pyramid
from bigimage.rasterize.burn import burn
from bigimage.rasterize.drawing import ReadMask, draw, in_order, pen_sizes
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.plan import painted_box
from bigimage.rasterize.scene import scene_of
from bigimage.rasterize.volume import VolumeBrush
from bigimage.store.door import AnnotationStore, Columns
from bigimage.store.rows import encode

PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
MOST_KEPT = 1 << 22
"""Most values of a zone and band that are kept for its percentiles; larger zones have none."""
BLOCK_2D, BLOCK_3D = (1024, 1024), (64, 256, 256)
_NOBODY = Palette((), None, 0)


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Values of one band in a zone; None where it holds none."""

    band: str
    count: int
    mean: float | None
    std: float | None
    """Of the whole zone (divided by the count)."""
    minimum: float | None
    maximum: float | None
    percentiles: dict[str, float] | None
    """By `p5`, `p25`, …; linear between values. None for zones of more than `MOST_KEPT` values."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One annotation and what lies under it."""

    id: UUID
    label: str
    count: int
    """Pixels or voxels of the zone that are valid."""
    area_m2: float | None
    """Area of these pixels on the ellipsoid; None without a place on the ground."""
    area_mm2: float | None
    """Area of these pixels of a picture of known spacing."""
    volume_ml: float | None
    """Volume of these voxels; None for a raster."""
    bands: tuple[BandStatistics, ...]


@dataclass
class _Sums:
    """Running statistics of one band: counts, means and sums of squares are merged as Chan's method does."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    kept: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in the values of a block."""
        n = len(values)
        if not n:
            return
        mean = float(values.mean())
        squares = float(((values - mean) ** 2).sum())
        apart, total = mean - self.mean, self.count + n
        self.squares += squares + apart * apart * self.count * n / total
        self.mean += apart * n / total
        self.count = total
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if self.count <= MOST_KEPT:
            self.kept.append(values)
        else:
            self.kept.clear()

    def statistics(self, band: str) -> BandStatistics:
        """What was taken in."""
        if not self.count:
            return BandStatistics(band, 0, None, None, None, None, None)
        percentiles = None
        if self.kept:
            found = np.percentile(np.concatenate(self.kept), PERCENTILES).tolist()
            percentiles = {f"p{p:g}": v for p, v in zip(PERCENTILES, found, strict=True)}
        std = math.sqrt(self.squares / self.count)
        return BandStatistics(band, self.count, self.mean, std, self.low, self.high, percentiles)


def zonal(
    pyramid: Pyramid,
    store: AnnotationStore,
    *,
    box: WorldBox | None = None,
    where: Where | None = None,
    palette: Palette = _NOBODY,
    bands: Sequence[int] | None = None,
    t: int = 0,
    limit: int | None = None,
    spend: Callable[[int], None] = lambda pixels: None,
) -> Iterator[Zone]:
    """Statistics of each annotation that touches a box, in the order in which they were first stored.

    Parameters
    ----------
    box
        World box in the image's frame; all of the image by default.
    palette
        Labels as they are painted: it says how wide lines and points are.
    bands
        Bands counted from 0; all by default.
    t
        Point in time, where the image has a time axis.
    limit
        Most zones.
    spend
        Called with the number of pixels of each block before it is read; may raise to stop.

    Raises
    ------
    OutOfBounds, DataError, FrameMismatch, BackendError
        For a band or time that does not exist, damaged data, other frames, a failing database.
    """
    grid = pyramid.info.grid
    chosen = where or Where()
    chosen = replace(chosen, t=t) if "t" in pyramid.info.axes else chosen
    columns = store.columns(pyramid.id, box or grid.world_bounds(), where=chosen)
    order = np.argsort(columns.places)[:limit].tolist()
    cover = _covering(columns, grid, store.read_mask, palette)
    yield from _zones(pyramid, columns, order, palette=palette, cover=cover, bands=bands, t=t, spend=spend)


def zonal_of(
    pyramid: Pyramid,
    annotations: Sequence[Annotation],
    *,
    palette: Palette = _NOBODY,
    bands: Sequence[int] | None = None,
    t: int = 0,
    spend: Callable[[int], None] = lambda pixels: None,
) -> Iterator[Zone]:
    """Statistics of shapes that need not be stored, in their order; otherwise as `zonal`.

    Raises
    ------
    Unsupported
        For a mask, whose pixels are read from the store.
    InputError, FrameMismatch
        For shapes that are not in the image's frame.
    """
    if any(isinstance(a.shape, Mask) for a in annotations):
        raise Unsupported("statistics under a painted mask need it stored: add it, then ask for its zone")
    columns = columns_of(annotations, pyramid.info.grid.frame)
    cover = _covering(columns, pyramid.info.grid, _no_mask, palette)
    order = range(len(annotations))
    yield from _zones(pyramid, columns, order, palette=palette, cover=cover, bands=bands, t=t, spend=spend)


def columns_of(annotations: Sequence[Annotation], frame: Frame) -> Columns:
    """Annotations without masks as columns, in their order. Raises InputError, FrameMismatch."""
    batch = encode(annotations, frame, lambda grid: 0)
    names, places = np.unique(np.array(batch.labels, dtype=object), return_inverse=True)
    return Columns(
        keys=np.frombuffer(b"".join(a.id.bytes for a in annotations), np.uint8).reshape(-1, 16),
        versions=np.array([a.version for a in annotations], np.int32),
        labels=places.astype(np.int32),
        names=tuple(names.tolist()),
        shapes=np.array(batch.shapes, np.int16),
        outlines=batch.geometries,
        scores=np.array([np.nan if s is None else s for s in batch.scores], np.float64),
        rest=batch.rests,
        places=np.arange(len(annotations), dtype=np.int64),
        times=np.array([-1 if t is None else t for t in batch.times], np.int64),
    )


def _no_mask(id: UUID, box: IndexBox) -> NDArray[np.bool_]:
    """Pixels of a mask where there is none."""
    raise NotFound(f"{id} is no mask")


def _zones(
    pyramid: Pyramid,
    columns: Columns,
    order: Sequence[int],
    *,
    palette: Palette,
    cover: Callable[[int, IndexBox], NDArray[np.bool_]],
    bands: Sequence[int] | None,
    t: int,
    spend: Callable[[int], None],
) -> Iterator[Zone]:
    """Statistics of some of the annotations of columns."""
    numbers = list(range(len(pyramid.info.bands))) if bands is None else list(bands)
    for k in order:
        reach = _touched(columns, k, pyramid.info.grid, palette)
        yield _zone(pyramid, columns, k, reach, cover=cover, bands=numbers, t=t, spend=spend)


def _touched(columns: Columns, k: int, grid: Grid, palette: Palette) -> IndexBox:
    """Pixels that an annotation may cover; empty for a tag."""
    geometry = columns.geometries[k]
    if geometry is None or geometry.is_empty:
        return IndexBox((0,) * grid.ndim, (0,) * grid.ndim)
    points = shapely.get_coordinates(geometry, include_z=grid.ndim == 3)
    return painted_box(grid, points.min(axis=0).tolist(), points.max(axis=0).tolist(), palette.reach)


def _covering(
    columns: Columns, grid: Grid, read_mask: ReadMask, palette: Palette
) -> Callable[[int, IndexBox], NDArray[np.bool_]]:
    """(annotation, box) → which of its pixels the annotation covers alone."""
    count = len(columns.shapes)
    if grid.ndim == 3:
        shown, none = np.ones(count, np.bool_), np.zeros(count, np.int64)
        pens = pen_sizes(columns, in_order(columns, palette)[0], palette)
        scene = scene_of(columns, grid, shown=shown, read_mask=read_mask, objects=None, rule="center", pens=pens)
        brush = VolumeBrush(scene, "instance", "center", _NOBODY, none - 1, none.astype(np.uint32), np.arange(count))
        return brush.cover

    def cover(k: int, box: IndexBox) -> NDArray[np.bool_]:
        part = one_of(columns, k)
        drawing = draw(part, palette, grid, box, read_mask=read_mask, objects=lambda c: c.places, known_only=False)
        return burn(drawing.prepared, np.ones(1, np.uint8), box).astype(np.bool_)

    return cover


def one_of(columns: Columns, k: int) -> Columns:
    """Columns of a single annotation."""
    part = slice(k, k + 1)
    return Columns(
        columns.keys[part],
        columns.versions[part],
        columns.labels[part],
        columns.names,
        columns.shapes[part],
        columns.outlines[part],
        columns.scores[part],
        columns.rest[part],
        columns.places[part],
        columns.times[part],
    )


def _zone(
    pyramid: Pyramid,
    columns: Columns,
    k: int,
    reach: IndexBox,
    *,
    cover: Callable[[int, IndexBox], NDArray[np.bool_]],
    bands: list[int],
    t: int,
    spend: Callable[[int], None],
) -> Zone:
    """Statistics of one annotation."""
    grid = pyramid.info.grid
    sums = [_Sums() for _ in bands]
    count, area = 0, 0.0
    size = BLOCK_2D if grid.ndim == 2 else BLOCK_3D
    for _, local in blocks(reach.shape, size) if reach.size else ():
        box = local.shift(reach.start)
        spend(box.size * len(bands))
        inside = cover(k, box)
        if not inside.any():
            continue
        patch = pyramid.read_index(box, bands=bands, t=t, physical=True)
        if patch.valid is not None:
            inside &= patch.valid
        held = int(np.count_nonzero(inside))
        count += held
        area += held * pixel_size(grid, box)
        for one, pixels in zip(sums, patch.array, strict=True):
            values = pixels[inside]
            one.add(values[~np.isnan(values)])
    name = columns.names[columns.labels[k]]
    found = tuple(s.statistics(pyramid.info.bands[b].name) for s, b in zip(sums, bands, strict=True))
    frame = grid.frame
    return Zone(
        columns.ids[k],
        name,
        count,
        area if isinstance(frame, GeoFrame) else None,
        area if isinstance(frame, PixelFrame) and frame.spacing is not None else None,
        area / 1000.0 if isinstance(frame, PatientFrame) else None,
        found,
    )


def pixel_size(grid: Grid, box: IndexBox) -> float:
    """Size of the pixel in the middle of a box: m² on the ellipsoid, mm², or mm³; 0 where no unit is known."""
    match grid.frame:
        case PatientFrame():
            matrix = np.asarray(grid.affine)[:, :3]
            if grid.slices is None:
                return float(abs(np.linalg.det(matrix)))
            middle = [(a + b) / 2 for a, b in zip(box.start, box.stop, strict=True)]
            ends = grid.to_world([[middle[0] - 0.5, *middle[1:]], [middle[0] + 0.5, *middle[1:]]])
            return float(abs((ends[1] - ends[0]) @ np.cross(matrix[:, 1], matrix[:, 2])))
        case PixelFrame(_, spacing):
            return 0.0 if spacing is None else float(spacing[0] * spacing[1])
        case GeoFrame() as frame:
            return _ground(grid, box, frame)


def _ground(grid: Grid, box: IndexBox, frame: GeoFrame) -> float:
    """Geodesic area, m², of the pixel in the middle of a box. Raises InputError for a CRS without an ellipsoid."""
    base = frame.base
    geod: Any = frame.proj.get_geod()
    if base is None or geod is None:
        raise InputError(f"areas on the ground need an ellipsoid, which {frame.crs[:60]} does not have")
    row, column = ((a + b) / 2 for a, b in zip(box.start, box.stop, strict=True))
    # a square of a hundred pixels a side, so that rounding of positions does not matter
    side = 50.0
    ring = [(row - side, column - side), (row - side, column + side), (row + side, column + side)]
    world = grid.to_world([*ring, (row + side, column - side)])
    points = transform_points(world, frame, base)
    area, _ = geod.polygon_area_perimeter(points[:, 0], points[:, 1])
    return abs(float(area)) / (4 * side * side)

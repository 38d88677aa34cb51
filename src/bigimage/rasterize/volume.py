"""Annotations of a volume as voxels: contours on any planes, solids, lines, points and masks, in one order.

Every way to paint yields the place in the burn order of what is on top in each voxel, so that shapes of different
kinds lie over each other as they should; classes and objects are looked up at the end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.errors import Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.rasterize.between import between
from bigimage.rasterize.builder import Builder
from bigimage.rasterize.burn import Rule, burn, prepare
from bigimage.rasterize.flat import Prepared
from bigimage.rasterize.kernels import look_up
from bigimage.rasterize.modes import Mode, Palette, banded, layer_dtype
from bigimage.rasterize.rings import Planes, Sheet
from bigimage.rasterize.solids import Solid, inside

WORD = 32
Combine = Literal["greatest", "bits"]
_COMBINE: dict[Combine, Any] = {"greatest": np.maximum, "bits": np.bitwise_or}


@dataclass(frozen=True)
class Stack:
    """All planes along one axis that stay within their slices, side by side on one tall raster."""

    prepared: Prepared
    """Shapes are the annotations."""
    slices: frozenset[int]
    rows: int
    """Rows of a slice."""

    def only(self, annotation: int) -> "Stack | None":
        """The planes of one annotation; None where it has none here."""
        flat = self.prepared.flat
        mine = flat.source == annotation
        if not mine.any():
            return None
        # an empty box meets no window; the others keep their places in the index
        box = np.where(mine[:, None], flat.box, 0)
        low, high = box[mine, 0].min() // self.rows, -(-box[mine, 1].max() // self.rows)
        slices = self.slices & set(range(low, high))
        return Stack(replace(self.prepared, flat=flat._replace(box=box)), slices, self.rows)


@dataclass(frozen=True)
class Filled:
    """A slice that was filled between two drawn ones."""

    source: int
    axis: int
    slice: int
    start: tuple[int, int]
    """Row and column of the first pixel."""
    bits: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Everything that is painted in a window of a volume."""

    grid: Grid
    stacks: Mapping[int, Stack]
    """By axis."""
    loose: Sequence[Sheet]
    """Planes that are burned one by one: oblique ones, and those that stick out of the volume."""
    solids: Sequence[tuple[int, Solid, IndexBox]]
    """Annotation, shape and the voxels that it can touch."""
    voxels: Sequence[tuple[int, NDArray[np.int64]]]
    """Annotation and single voxels (n, 3) in order."""
    masks: Sequence[tuple[int, IndexBox, Callable[[IndexBox], NDArray[np.bool_]]]]
    """Annotation, box and reader of painted bits."""
    filled: Sequence[Filled] = ()

    def only(self, annotation: int) -> "Scene":
        """What one annotation paints."""
        stacks = {axis: stack.only(annotation) for axis, stack in self.stacks.items()}
        return Scene(
            self.grid,
            {axis: stack for axis, stack in stacks.items() if stack is not None},
            [sheet for sheet in self.loose if sheet.source == annotation],
            [one for one in self.solids if one[0] == annotation],
            [one for one in self.voxels if one[0] == annotation],
            [one for one in self.masks if one[0] == annotation],
            [one for one in self.filled if one.source == annotation],
        )


def slice_grid(grid: Grid, axis: int, count: int = 1) -> Grid:
    """Raster of index coordinates of the slices along an axis, one below the other, +y down."""
    rows, columns = (n for a, n in enumerate(grid.shape) if a != axis)
    return Grid.pixels((rows * count, columns), "slices")


def stack_of(planes: Planes, grid: Grid, *, count: int) -> tuple[Stack | None, list[Sheet]]:
    """Planes of `count` annotations on one tall raster, and those that stick out of the volume, one by one."""
    depth, rows = grid.shape[planes.axis], slice_grid(grid, planes.axis).shape[0]
    planes = planes.select((planes.slices >= 0) & (planes.slices < depth))
    if not len(planes.slices):
        return None, []
    begins = planes.parts.rings[planes.parts.first[:-1]]
    low, high = (cut.reduceat(planes.parts.xy[:, 1], begins) for cut in (np.minimum, np.maximum))
    within = (low >= 0) & (high <= rows)
    loose = list(planes.select(~within).sheets())
    planes = planes.select(within)
    if not len(planes.slices):
        return None, loose
    parts = planes.parts
    down = np.repeat(planes.slices * rows, np.diff(parts.rings[parts.first]))
    builder = Builder(slice_grid(grid, planes.axis, depth))
    builder.add_polygons(
        replace(parts, xy=np.stack([parts.xy[:, 0], parts.xy[:, 1] + down], axis=1)),
        count=count,
    )
    return Stack(builder.finish(), frozenset(planes.slices.tolist()), rows), loose


@dataclass(frozen=True)
class VolumeBrush:
    """Paints a scene."""

    scene: Scene
    mode: Mode
    rule: Rule
    palette: Palette
    classes: NDArray[np.int64]
    """(n,) place of each annotation's class in the palette; -1 for none."""
    ids: NDArray[np.uint32]
    """(n,) id of each annotation's object."""
    rank: NDArray[np.int64]
    """(n,) place of each annotation in the burn order."""
    reviewed: tuple[IndexBox, ...] = ()
    """Boxes that were reviewed: background where nothing is drawn."""

    def paint(self, box: IndexBox) -> NDArray[Any] | None:
        """Voxels (bands, z, y, x) of a box; None where nothing is painted. Raises Unsupported."""
        if self.mode == "coverage":
            raise Unsupported("coverage is painted on rasters; of a volume, paint multilayer")
        if self.mode == "multilayer":
            return self._multilayer(box)
        top = np.zeros(box.shape, np.uint32)
        self._paint(box, top, (self.rank + 1).astype(np.uint32), "greatest")
        below = self._below(box)
        if not top.any() and not below.any():
            return None
        order = np.empty(len(self.rank) + 1, np.int64)
        order[0], order[self.rank + 1] = -1, np.arange(len(self.rank))
        values = np.array([*(c.value for c in self.palette.classes), 0], np.uint32)[self.classes]
        tables = {"semantic": (values,), "instance": (self.ids,), "panoptic": (values, self.ids)}[self.mode]
        dtype = layer_dtype(self.mode, self.palette)
        out = np.empty((len(tables), *box.shape), dtype)
        for band, table in zip(out, tables, strict=True):
            look_up(top.reshape(-1), np.append(table, 0)[order].astype(dtype), band.reshape(-1))
        background = self.palette.background_class
        if background is not None and self.mode != "instance":
            out[0][below & (top == 0)] = background.value
        return out

    def _below(self, box: IndexBox) -> NDArray[np.bool_]:
        """Voxels of a box that were reviewed."""
        held = np.zeros(box.shape, np.bool_)
        if self.palette.background is not None and self.mode != "instance":
            for region in self.reviewed:
                common = region.intersect(box)
                if common.size:
                    held[common.shift([-v for v in box.start]).slices] = True
        return held

    def cover(self, annotation: int, box: IndexBox) -> NDArray[np.bool_]:
        """Voxels of a box that one annotation covers, whatever lies over it."""
        alone = self._alone.get(annotation)
        if alone is None:
            alone = replace(self, scene=self.scene.only(annotation))
            # asked for block by block, one annotation after the other
            self._alone.clear()
            self._alone[annotation] = alone
        out = np.zeros(box.shape, np.uint32)
        alone._paint(box, out, np.ones(len(self.rank), np.uint32), "greatest")
        return out > 0

    @cached_property
    def _alone(self) -> "dict[int, VolumeBrush]":
        """The brush of the annotation that was last asked for on its own."""
        return {}

    def _multilayer(self, box: IndexBox) -> NDArray[Any] | None:
        """1 where a class is, whatever else is there."""
        places = {one.name: k for k, one in enumerate(banded(self.palette.classes))}
        bands = np.array([*(places[c.name] for c in self.palette.classes), -1], np.int64)[self.classes]
        out = np.zeros((len(places), *box.shape), np.uint8)
        for first in range(0, len(places), WORD):
            mine = (bands >= first) & (bands < first + WORD)
            bits = np.where(mine, np.uint32(1) << np.where(mine, bands - first, 0).astype(np.uint32), 0)
            found = np.zeros(box.shape, np.uint32)
            self._paint(box, found, bits.astype(np.uint32), "bits")
            for k in range(first, min(first + WORD, len(places))):
                out[k] = found >> np.uint32(k - first) & np.uint32(1)
        background = self.palette.background_class
        if background is not None:
            out[places[background.name]] |= self._below(box)
        return out if out.any() else None

    def _paint(self, box: IndexBox, out: NDArray[np.uint32], values: NDArray[np.uint32], how: Combine) -> None:
        """Combine the value of every shape into the voxels of a box that it covers."""
        combine = _COMBINE[how]
        for axis, stack in self.scene.stacks.items():
            self._stack(axis, stack, box, out, values, how)
        for sheet in self.scene.loose:
            self._sheet(sheet, box, out, values[sheet.source], combine)
        for filled in self.scene.filled:
            view, part = _on_slice(out, box, filled.axis, filled.slice), _slice_box(box, filled.axis)
            bits = IndexBox(filled.start, tuple(a + n for a, n in zip(filled.start, filled.bits.shape, strict=True)))
            common = bits.intersect(part)
            if view is not None and common.size:
                cut = filled.bits[common.shift([-v for v in filled.start]).slices]
                target = view[common.shift([-v for v in part.start]).slices]
                combine(target, np.where(cut, values[filled.source], np.uint32(0)), out=target)
        for source, shape, reach in self.scene.solids:
            common = reach.intersect(box)
            if common.size:
                target = out[common.shift([-v for v in box.start]).slices]
                held = inside(shape, self.scene.grid, common)
                combine(target, np.where(held, values[source], np.uint32(0)), out=target)
        for source, voxels in self.scene.voxels:
            here = voxels[((voxels >= box.start) & (voxels < box.stop)).all(axis=1)] - np.asarray(box.start)
            at = tuple(here.T)
            out[at] = combine(out[at], values[source])
        for source, reach, read in self.scene.masks:
            common = reach.intersect(box)
            if common.size:
                target = out[common.shift([-v for v in box.start]).slices]
                combine(target, np.where(read(common), values[source], np.uint32(0)), out=target)

    def _stack(
        self, axis: int, stack: Stack, box: IndexBox, out: NDArray[np.uint32], values: NDArray[np.uint32], how: Combine
    ) -> None:
        """Burn the slices of a stack that a box holds."""
        part = _slice_box(box, axis)
        for number in sorted(stack.slices & set(range(box.start[axis], box.stop[axis]))):
            window = part.shift((number * stack.rows, 0))
            view = _on_slice(out, box, axis, number)
            if view is not None and view.flags.c_contiguous:
                burn(stack.prepared, values, window, rule=self.rule, combine=how, out=view)
            elif view is not None:
                pixels: NDArray[Any] = burn(stack.prepared, values, window, rule=self.rule, combine=how)
                _COMBINE[how](view, pixels, out=view)

    def _sheet(self, sheet: Sheet, box: IndexBox, out: NDArray[np.uint32], value: np.uint32, combine: Any) -> None:
        """Burn one plane."""
        part = _slice_box(box, sheet.axis)
        prepared = prepare([sheet.polygon], slice_grid(self.scene.grid, sheet.axis))
        bits: NDArray[Any] = burn(prepared, np.ones(1, np.uint8), part, rule=self.rule)
        row, column = np.nonzero(bits)
        if sheet.plane is None:
            depth = np.full(len(row), sheet.slice)
        else:
            base, per_row, per_column = sheet.plane
            place = base + per_row * (row + part.start[0] + 0.5) + per_column * (column + part.start[1] + 0.5)
            depth = np.floor(place).astype(np.int64)
        held = (depth >= box.start[sheet.axis]) & (depth < box.stop[sheet.axis])
        at = [row[held], column[held]]
        at.insert(sheet.axis, depth[held] - box.start[sheet.axis])
        out[tuple(at)] = combine(out[tuple(at)], value)


def _slice_box(box: IndexBox, axis: int) -> IndexBox:
    """Rows and columns of a box's slices along an axis."""
    others = [a for a in range(3) if a != axis]
    return IndexBox(tuple(box.start[a] for a in others), tuple(box.stop[a] for a in others))


def _on_slice(out: NDArray[np.uint32], box: IndexBox, axis: int, number: int) -> NDArray[np.uint32] | None:
    """View of one slice of a box's voxels; None when the box does not hold it."""
    if not box.start[axis] <= number < box.stop[axis]:
        return None
    at: list[Any] = [slice(None)] * 3
    at[axis] = number - box.start[axis]
    return out[tuple(at)]


# ---- filling between slices


def filled_between(planes: Sequence[Planes], objects: NDArray[np.int64], grid: Grid, *, rule: Rule) -> Iterator[Filled]:
    """Slices between drawn ones of the same object, along the axis on which it is drawn."""
    groups: dict[tuple[int, int], dict[int, list[Sheet]]] = {}
    for sheet in (one for some in planes for one in some.sheets()):
        if 0 <= sheet.slice < grid.shape[sheet.axis]:
            drawn = groups.setdefault((int(objects[sheet.source]), sheet.axis), {})
            drawn.setdefault(sheet.slice, []).append(sheet)
    for (_, axis), drawn in sorted(groups.items()):
        for low, high in pairwise(sorted(drawn)):
            if high - low > 1:
                yield from _gap(drawn[low], drawn[high], grid, axis, rule)


def _gap(first: Sequence[Sheet], second: Sequence[Sheet], grid: Grid, axis: int, rule: Rule) -> Iterator[Filled]:
    """Slices between two drawn ones; they belong to the first one's annotation."""
    both = shapely.total_bounds([s.polygon for s in (*first, *second)])
    raster = slice_grid(grid, axis)
    start = np.floor(both[[1, 0]]).astype(int) - 2
    stop = np.ceil(both[[3, 2]]).astype(int) + 2
    moved = Grid.from_transform((1, 0, float(start[1]), 0, 1, float(start[0])), (stop - start).tolist(), raster.frame)
    pictures = [_picture([s.polygon for s in part], moved, rule) for part in (first, second)]
    spacing = [s for a, s in enumerate(grid.spacing) if a != axis]
    places = _depths(grid, axis)
    low, high = first[0].slice, second[0].slice
    for number in range(low + 1, high):
        weight = (places[number] - places[low]) / (places[high] - places[low])
        bits = between(pictures[0], pictures[1], float(weight), (spacing[0], spacing[1]))
        yield Filled(first[0].source, axis, number, (int(start[0]), int(start[1])), bits)


def _picture(polygons: Sequence[shapely.Polygon], grid: Grid, rule: Rule) -> NDArray[np.bool_]:
    """Pixels of a drawn slice."""
    prepared = prepare(list(polygons), grid)
    return burn(prepared, np.ones(len(polygons), np.uint8), rule=rule).astype(np.bool_)


def _depths(grid: Grid, axis: int) -> NDArray[np.float64]:
    """Place of each slice along the normal of the slices of an axis."""
    matrix = np.asarray(grid.affine)[:, :3]
    first, second = (matrix[:, a] for a in range(3) if a != axis)
    normal = np.cross(first, second)
    at = np.full((grid.shape[axis], 3), 0.5)
    at[:, axis] = np.arange(grid.shape[axis]) + 0.5
    return grid.to_world(at) @ (normal / np.linalg.norm(normal))

"""Planes of an open volume: their geometry, worked out once, and their pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PLANES, EdgeLetters, PlaneName, PlaneView, Straight, edge_letters, stored_levels
from bigimage.geometry.tiling import NativeTiles
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from bigimage.resample.oblique import Method, check_method, straighten
from tilesrv.context import Served
from tilesrv.errors import TooLarge
from tilesrv.reading import Pick, read_picked
from tilesrv.windows import in_units, varies

if TYPE_CHECKING:
    from numpy.typing import NDArray

SQUARE: Final = "square"
STORED: Final = "stored"
PIXELS: Final = (SQUARE, STORED)
WIDEST: Final = 30
"""Most zooms of a picture."""
PICTURE_PIXELS: Final = 1 << 24
"""Most pixels of one picture, as it is drawn and encoded in memory."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The pictures of one kind of planes with one kind of pixels, at all zooms."""

    view: PlaneView
    straight: Straight | None
    """How square pixels lie; None for stored ones."""
    levels: tuple[int, ...]
    """Level that each zoom reads, finest first."""
    shapes: tuple[tuple[int, int], ...]
    """Rows and columns, finest first."""
    spacings: tuple[tuple[float, float], ...]
    """Distance of rows, and of columns, mm; finest first."""
    letters: EdgeLetters | None
    """None where the volume lies in no patient."""

    def grid_of(self, index: int, zoom: int = 0) -> Grid:
        """Grid (1, rows, columns) of a picture; `zoom` counts from the finest. Raises OutOfBounds."""
        if self.straight is not None:
            return self.straight.grid_of(index, zoom=zoom)
        grid = self.view.grid_of(index)
        rows, columns = (b / a for a, b in zip(self.spacings[0], self.spacings[zoom], strict=True))
        affine = tuple((a, b * rows, c * columns, d) for a, b, c, d in grid.affine)
        return replace(grid, shape=(1, *self.shapes[zoom]), affine=affine)

    def tiles(self, tile: int) -> NativeTiles:
        """Tiling of the pictures; the tile sets' zoom 0 is the coarsest."""
        return NativeTiles(self.shapes, tile)

    def fitting(self, longest: int | None) -> int:
        """The finest zoom that is no longer than `longest` along either side; the coarsest if none is."""
        for zoom, shape in enumerate(self.shapes):
            if longest is None or max(shape) <= longest:
                return zoom
        return len(self.shapes) - 1


@dataclass(frozen=True, slots=True)
class Planes:
    """The three kinds of planes of a volume."""

    grids: tuple[Grid, ...]
    """Of the levels that can be shown, finest first."""
    sheets: dict[tuple[PlaneName, str], Sheet]


def shown_grids(pyramid: Pyramid) -> tuple[Grid, ...]:
    """Grids of the levels that can be shown: where slices have slopes of their own, those that do not merge them."""
    if not varies(pyramid.info):
        return pyramid.grids
    return tuple(grid for grid in pyramid.grids if grid.shape[0] == pyramid.grids[0].shape[0])


def planes_of(served: Served) -> Planes:
    """The planes of a volume. Raises NotFound for a raster."""
    if served.pyramid.info.grid.ndim != 3:
        raise NotFound(f"image {served.pyramid.id} is not a volume and has no planes")
    return served.once("planes", lambda: _planes(shown_grids(served.pyramid)))


def _planes(grids: tuple[Grid, ...]) -> Planes:
    """Geometry of all planes."""
    sheets: dict[tuple[PlaneName, str], Sheet] = {}
    for name in PLANES:
        view = PlaneView.of(grids[0], name)
        sheets[name, STORED] = _stored(view, grids)
        sheets[name, SQUARE] = _square(view, grids)
    return Planes(grids, sheets)


def _letters(grid: Grid) -> EdgeLetters | None:
    return edge_letters(grid) if isinstance(grid.frame, PatientFrame) else None


def _stored(view: PlaneView, grids: tuple[Grid, ...]) -> Sheet:
    """Pictures with the pixels of the levels."""
    levels = stored_levels(view, grids)
    _, rows, columns = view.axes
    spacings = tuple((grids[k].spacing[rows], grids[k].spacing[columns]) for k in levels)
    return Sheet(view, None, levels, tuple(view.shape(grids[k]) for k in levels), spacings, _letters(view.grid_of(0)))


def _square(view: PlaneView, grids: tuple[Grid, ...]) -> Sheet:
    """Pictures with square pixels, halved until one of them would be all."""
    straight = Straight.of(view)
    zooms = range(min(WIDEST, (max(straight.shape) - 1).bit_length() + 1))
    levels = tuple(straight.level_for(zoom, grids) for zoom in zooms)
    grid = straight.grid_of(0)
    spacings = tuple((grid.spacing[1] * (1 << zoom), grid.spacing[2] * (1 << zoom)) for zoom in zooms)
    return Sheet(view, straight, levels, tuple(straight.shape_at(zoom) for zoom in zooms), spacings, _letters(grid))


def sheet_of(served: Served, name: str, pixels: str) -> Sheet:
    """Pictures of one kind. Raises NotFound for a raster."""
    found = planes_of(served).sheets
    for plane in PLANES:
        if plane == name:
            return found[plane, pixels]
    raise NotFound(f"there are no {name} planes; there are {', '.join(PLANES)}")


def method_for(pyramid: Pyramid, asked: str | None) -> Method:
    """How planes are resampled: as asked, else bilinear for images and nearest for labels and palettes.

    Raises InputError when labels would be blended.
    """
    info = pyramid.info
    is_label = info.role == "labels" or info.palette is not None
    if asked is None:
        return "nearest" if is_label else "bilinear"
    if is_label and asked != "nearest":
        raise InputError(f"image {info.id} holds labels, which are only resampled by nearest, not by {asked}")
    return check_method(asked)


@dataclass(frozen=True, slots=True)
class Shot:
    """Which pixels of a plane are wanted."""

    sheet: Sheet
    index: int
    pick: Pick
    method: Method
    units: bool
    """Whether values are wanted in the modality's unit."""
    budget: int
    """Most values that may be read."""


def reader(pyramid: Pyramid, pick: Pick, *, units: bool) -> Callable[[int, IndexBox], Patch]:
    """Reads boxes of levels, in the modality's unit where wanted."""

    def read(level: int, box: IndexBox) -> Patch:
        patch = read_picked(pyramid, box, level, pick)
        return in_units(pyramid.info, patch, box, pick.bands, t=pick.t) if units else patch

    return read


def kind_of(pyramid: Pyramid, *, units: bool) -> "np.dtype[Any]":
    """Type of the values that `reader` gives."""
    kind = np.dtype(pyramid.info.dtype)
    return np.result_type(kind, np.float32) if units else kind


def take(served: Served, shot: Shot, *, zoom: int = 0, part: IndexBox | None = None) -> Patch:
    """Pixels (c, 1, rows, columns) of a picture or a part of it; `zoom` counts from the finest.

    Raises
    ------
    NotFound
        When the plane does not exist.
    InputError
        When slices with slopes of their own would be blended as they are stored.
    TooLarge
        When a picture has too many pixels, or too many values would be read.
    """
    sheet, pyramid = shot.sheet, served.pyramid
    check_index(sheet, shot.index)
    part = IndexBox.of_shape(sheet.shapes[zoom]) if part is None else part
    level = sheet.levels[zoom]
    grid = pyramid.grids[level]
    bands = len(shot.pick.bands)
    read = reader(pyramid, shot.pick, units=shot.units)
    _check_size(part, zoom, sheet, grid, bands=bands, budget=shot.budget)
    view = sheet.view
    if sheet.straight is None:
        patch = read(level, view.box(view.slice_at(shot.index, grid), part, grid))
        valid = None if patch.valid is None else view.arrange(view.plane_of(patch.valid))[None]
        shown = view.arrange(view.plane_of(patch.array))[:, None]
        return Patch(shown, view.grid_of(shot.index, part, grid), valid)
    if varies(pyramid.info) and not shot.units and not view.is_stack and shot.method != "nearest":
        raise InputError(
            f"slices of {pyramid.id} have slopes of their own, so stored values of different ones are never blended: "
            "ask for physical=true, pixels=stored or resampling=nearest"
        )
    return straighten(
        lambda box: read(level, box),
        sheet.straight,
        shot.index,
        bands=bands,
        dtype=kind_of(pyramid, units=shot.units),
        level=grid,
        zoom=zoom,
        part=part,
        method=shot.method,
    )


def check_index(sheet: Sheet, index: int) -> None:
    """Raise NotFound unless the plane exists."""
    if not 0 <= index < sheet.view.count:
        name = sheet.view.name
        raise NotFound(f"{name} plane {index} does not exist; there are {sheet.view.count}, counted from 0")


def _check_size(part: IndexBox, zoom: int, sheet: Sheet, grid: Grid, *, bands: int, budget: int) -> None:
    """Raise TooLarge for a picture that takes too much memory or reading."""
    if part.size * bands > PICTURE_PIXELS:
        raise TooLarge(
            f"the picture has {part.size} pixels and {bands} bands, more than the {PICTURE_PIXELS} values of one "
            "request; take tiles, or a smaller one with max_size="
        )
    rows, columns = sheet.view.shape(grid)
    share = part.size / (sheet.shapes[zoom][0] * sheet.shapes[zoom][1])
    if rows * columns * bands * share > budget:
        raise TooLarge(f"the picture takes more than the {budget} values that one request may read; take fewer bands")


def tile_of(served: Served, shot: Shot, address: tuple[int, int, int], tile: int) -> Patch:
    """A tile (z, x, y), zoom 0 the coarsest; what sticks out of the picture is 0 and not valid.

    Raises NotFound for a tile that does not exist; otherwise as `take`.
    """
    z, x, y = address
    check_index(shot.sheet, shot.index)
    tiling = shot.sheet.tiles(tile)
    box, zoom = tiling.box(z, x, y), tiling.level(z)
    inside = box.intersect(IndexBox.of_shape(shot.sheet.shapes[zoom]))
    patch = take(served, shot, zoom=zoom, part=inside)
    return patch if inside == box else _pad(patch, tile)


def _pad(patch: Patch, tile: int) -> Patch:
    """A patch grown to a whole tile at its far edges."""
    _, height, width = patch.grid.shape
    array: NDArray[Any] = np.zeros((len(patch.array), 1, tile, tile), patch.array.dtype)
    array[..., :height, :width] = patch.array
    valid = np.zeros((1, tile, tile), np.bool_)
    valid[:, :height, :width] = True if patch.valid is None else patch.valid
    return Patch(array, replace(patch.grid, shape=(1, tile, tile)), valid)


def flat(patch: Patch) -> Patch:
    """A plane (c, 1, h, w) as a picture (c, h, w), which has pixels but no place in the patient."""
    valid = None if patch.valid is None else patch.valid[0]
    return Patch(patch.array[:, 0], Grid.pixels(patch.grid.shape[1:], "plane"), valid)

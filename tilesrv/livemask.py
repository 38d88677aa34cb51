"""Masks painted on the fly: the annotations of a tile burned at its own level, no stored layer needed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from bigimage.errors import InputError, NotFound, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import mercator_box, mercator_lattice
from bigimage.model.labels import Schema
from bigimage.model.patch import Patch
from bigimage.model.where import Where
from bigimage.pyramid.labels import color_bytes
from bigimage.rasterize.brush import RasterBrush
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.drawing import draw
from bigimage.rasterize.easel import window_box
from bigimage.rasterize.modes import Palette, Reach, layer_dtype
from bigimage.resample.warp import LIMIT, warp
from bigimage.store.door import AnnotationStore, Columns
from tilesrv.context import Context, Served, context_of
from tilesrv.errors import TooLarge
from tilesrv.fields import IMAGE_ID, TILE_SIZE, TIME
from tilesrv.masks import FRESH, HIDE, MASK_FORMAT, TMS_NAME
from tilesrv.params import Table, choice, integer
from tilesrv.planes import answer
from tilesrv.reading import BLOCKS_PER_TILE, pad, require_touch
from tilesrv.render import Format, Style, render
from tilesrv.routing import Endpoint, Operation
from tilesrv.tilesets import NATIVE

MOST_SHAPES = 50_000
"""Most annotations that one tile is painted from."""


@dataclass(frozen=True, slots=True)
class LivePath:
    """Path of a tile painted on the fly."""

    id: str
    tms: str
    z: int
    x: int
    y: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class LiveQuery:
    """Query of a tile painted on the fly."""

    rule: Rule
    t: int
    tilesize: int
    hide: tuple[int, ...] | None


LIVE_PATH = Table(
    (
        IMAGE_ID,
        TMS_NAME,
        integer("z", "Zoom; 0 is the coarsest.", low=0, high=30, where="path"),
        integer("x", "Column of the tile, from the left.", low=0, high=2**30, where="path"),
        integer("y", "Row of the tile, from the top.", low=0, high=2**30, where="path"),
        MASK_FORMAT,
    ),
    LivePath,
)
LIVE_QUERY = Table(
    (choice("rule", "Which pixels belong to a shape.", RULES, default="center"), TIME, TILE_SIZE, HIDE), LiveQuery
)


@dataclass(frozen=True)
class Live:
    """The annotations of an image as they are now, painted at any level."""

    store: AnnotationStore
    image: str
    grids: Sequence[Grid]
    """Of the levels, finest first."""
    palette: Palette
    rule: Rule
    t: int | None
    """None where the image has no time axis."""

    def read(self, level: int, box: IndexBox) -> Patch:
        """Values (1, rows, columns) of a box within a level. Raises TooLarge."""
        grid = self.grids[level]
        factors = tuple(round(b / a) for a, b in zip(self.grids[0].spacing, grid.spacing, strict=True))
        pens = self.palette.reach
        reach = Reach(pens.world, pens.pixels / min(factors))
        # what is smaller than a pixel would not be seen in a stored layer either, unless a pen makes it larger
        least = max(grid.spacing) - 2 * (reach.world + reach.pixels * max(grid.spacing))
        where = Where(t=self.t, min_size=least if level and least > 0 else None)
        columns = self.store.columns(self.image, window_box(grid, box, reach), where=where, limit=MOST_SHAPES + 1)
        if len(columns.shapes) > MOST_SHAPES:
            raise TooLarge(f"more than {MOST_SHAPES} annotations lie in this tile; look closer, or paint a layer")
        drawing = draw(
            columns,
            self.palette,
            grid,
            box,
            read_mask=self.store.read_mask,
            objects=_no_objects,
            factors=factors,
        )
        pixels = RasterBrush(drawing, "semantic", self.rule, self.palette).paint(box)
        if pixels is None:
            pixels = np.zeros((1, *box.shape), layer_dtype("semantic", self.palette))
        return Patch(pixels, grid.crop(box), None)


def _no_objects(columns: Columns) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Ids that nobody looks at."""
    return np.zeros(len(columns.shapes), np.int64)


async def live_tile(request: Request) -> Response:
    """One tile of the annotations as they are now, in the colours of the label schema."""
    where = LIVE_PATH.path(request.path_params)
    query = LIVE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    if served.pyramid.info.grid.ndim != 2:
        raise Unsupported("a volume has no map tiles; paint a layer, and see its planes")
    state = await context.reads.run(("live", where.id), lambda: _state(context, where.id), request.receive)
    revision, palette = state
    key = (
        f"live|{served.tag}|{revision}|{palette.schema}|{where.tms}|{where.z}|{where.x}|{where.y}|{where.fmt}|{query!r}"
    )
    return await answer(
        request,
        key,
        fmt=where.fmt,
        headers={},
        lane=context.tiles,
        work=lambda: _render(context, served, where, query, palette),
        cache=FRESH,
    )


def _state(context: Context, image: str) -> tuple[int, Palette]:
    """Latest revision of an image, and the labels as they are painted now. Blocking."""
    store = context.workspace.annotations.store
    latest = store.revision(image)
    return 0 if latest is None else latest.number, Palette.of(store.schema() or Schema())


def _render(context: Context, served: Served, where: LivePath, query: LiveQuery, palette: Palette) -> bytes:
    """Burn and draw a tile. Blocking."""
    info = served.pyramid.info
    store = context.workspace.annotations.store
    timed = "t" in info.axes
    live = Live(store, where.id, served.pyramid.grids, palette, query.rule, query.t if timed else None)
    patch = _native(live, served, where, query) if where.tms == NATIVE else _mercator(live, served, where, query)
    hidden = query.hide or ()
    colours = {c.value: color_bytes(c.color) for c in palette.classes if c.value not in hidden}
    return render(patch, Style() if where.fmt == "npy" else Style(colormap=colours), where.fmt)


def _native(live: Live, served: Served, where: LivePath, query: LiveQuery) -> Patch:
    """A tile of the image's own grid. Raises NotFound."""
    tiling = served.native(query.tilesize)
    box, level = tiling.box(where.z, where.x, where.y), tiling.level(where.z)
    inside = box.intersect(live.grids[level].box)
    patch = live.read(level, inside)
    return patch if inside == box else pad(patch, (query.tilesize, query.tilesize))


def _mercator(live: Live, served: Served, where: LivePath, query: LiveQuery) -> Patch:
    """A tile of WebMercatorQuad, warped from what is painted at the level that fits. Raises NotFound, TooLarge."""
    box = mercator_box(where.z, where.x, where.y, query.tilesize)
    lattice = mercator_lattice(where.z, query.tilesize)
    require_touch(served, lattice.crop(box).world_bounds().values)
    try:
        return warp(
            live.read,
            live.grids,
            lattice,
            box,
            bands=1,
            dtype=layer_dtype("semantic", live.palette),
            method="nearest",
            limit=LIMIT // BLOCKS_PER_TILE,
        )
    except NotFound:
        raise
    except InputError as error:
        raise TooLarge(str(error)) from error


ROUTES = (
    Endpoint(
        "/images/{id}/live-mask/tiles/{tms}/{z}/{x}/{y}.{fmt}",
        live_tile,
        Operation(
            summary="A tile of the annotations as they are now",
            tag="masks",
            tables=(LIVE_PATH, LIVE_QUERY),
            content={"image/png": {}, "image/webp": {}, "application/octet-stream": {}},
            also={304: "Unchanged."},
            problems=(400, 404, 413, 500, 501, 503),
        ),
    ),
)

"""Masks painted on the fly: tiles of the annotations as they are now, no stored layer needed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from bigimage.catalogue import image_folder
from bigimage.errors import DataError, InputError, NotFound, Unsupported
from bigimage.geometry.tiling import mercator_box, mercator_lattice
from bigimage.model.labels import Schema
from bigimage.model.patch import Patch
from bigimage.pyramid.labels import color_bytes, layer_names
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.dirt import stale
from bigimage.rasterize.layer import region_text
from bigimage.rasterize.modes import Palette
from bigimage.resample.warp import LIMIT, warp
from tilesrv.context import Context, Served, context_of
from tilesrv.errors import TooLarge
from tilesrv.fields import IMAGE_ID, TILE_SIZE, TIME
from tilesrv.layers import ServedLayer, layer_now
from tilesrv.live import Kept, Live
from tilesrv.masks import FRESH, HIDE, MASK_FORMAT, TMS_NAME
from tilesrv.params import Table, choice, integer
from tilesrv.pictures import LOSSLESS, answer, picture_route
from tilesrv.reading import BLOCKS_PER_TILE, pad, require_touch
from tilesrv.render import Format, Style, render
from tilesrv.tilesets import NATIVE

MOST_BEHIND = 1000
"""Revisions that a stored layer may be behind and still be read; nobody keeps one up to date that is further behind."""


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
class State:
    """What all tiles of an image show."""

    revision: int
    palette: Palette
    reviewed: tuple[str, ...]
    kept: Kept | None
    mark: str
    """Part of cache keys: what else tiles depend on than the image, its revision and the schema."""


async def live_tile(request: Request) -> Response:
    """One tile of the annotations as they are now, in the colours of the label schema."""
    where = LIVE_PATH.path(request.path_params)
    query = LIVE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    if served.pyramid.info.grid.ndim != 2:
        raise Unsupported("a volume has no map tiles; paint a layer, and see its planes")
    state = await context.reads.run(
        ("live", where.id, query.rule), lambda: _state(context, served, where.id, query.rule), request.receive
    )
    shown = f"{state.revision}|{state.palette.schema}|{state.mark}"
    key = f"live|{served.tag}|{shown}|{where.tms}|{where.z}|{where.x}|{where.y}|{where.fmt}|{query!r}"
    return await answer(
        request,
        key,
        fmt=where.fmt,
        lane=context.tiles,
        work=lambda: _render(context, served, where, query, state),
        cache=FRESH,
    )


def _state(context: Context, served: Served, image: str, rule: Rule) -> State:
    """What there is to show now. Blocking."""
    workspace = context.workspace
    store = workspace.annotations.store
    latest, palette = store.revision(image), Palette.of(store.schema() or Schema())
    revision, reviewed = 0 if latest is None else latest.number, ()
    if palette.background is not None:
        reviewed = tuple(sorted(region_text(region) for region in workspace.regions.of(image, state="done")))
    marks = [hashlib.sha256("\n".join(reviewed).encode()).hexdigest()[:12]]
    for layer in _layers(context, served, image):
        shown = layer.layer.painted
        if shown.mode != "semantic" or shown.rule != rule or revision - (shown.revision or 0) > MOST_BEHIND:
            continue
        asked = replace(shown, palette=palette, reviewed=reviewed)
        dirt = stale(store, served.pyramid.info.grid, shown, asked, until=revision)
        if dirt is not None:
            return State(revision, palette, reviewed, Kept(layer.pyramid, dirt.boxes), "|".join([*marks, layer.tag]))
    return State(revision, palette, reviewed, None, marks[0])


def _layers(context: Context, served: Served, image: str) -> Iterator[ServedLayer]:
    """The layers of an image that can be read; annotations can be seen without any."""
    for name in layer_names(image_folder(context.workspace.path, image)):
        try:
            yield layer_now(context, served, image, name)
        except (NotFound, DataError):
            continue


def _render(context: Context, served: Served, where: LivePath, query: LiveQuery, state: State) -> bytes:
    """Burn and draw a tile. Blocking."""
    live = Live(
        store=context.workspace.annotations.store,
        image=where.id,
        grids=served.pyramid.grids,
        palette=state.palette,
        rule=query.rule,
        t=query.t if "t" in served.pyramid.info.axes else None,
        reviewed=state.reviewed,
        kept=state.kept,
    )
    patch = _native(live, served, where, query) if where.tms == NATIVE else _mercator(live, served, where, query)
    hidden = query.hide or ()
    colours = {c.value: color_bytes(c.color) for c in state.palette.classes if c.value not in hidden}
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
            dtype=live.dtype,
            method="nearest",
            limit=LIMIT // BLOCKS_PER_TILE,
        )
    except NotFound:
        raise
    except InputError as error:
        raise TooLarge(str(error)) from error


ROUTES = (
    picture_route(
        "/images/{id}/live-mask/tiles/{tms}/{z}/{x}/{y}.{fmt}",
        live_tile,
        "A tile of the annotations as they are now",
        LIVE_PATH,
        LIVE_QUERY,
        tag="masks",
        formats=LOSSLESS,
    ),
)

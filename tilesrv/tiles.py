"""Tiles: the route that everything else makes way for."""

from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from tilesrv import pictures
from tilesrv.context import Context, Served, context_of
from tilesrv.display import DisplayQuery, look_of
from tilesrv.fields import (
    BANDS,
    COLORMAP,
    FORMAT,
    IMAGE_ID,
    NODATA,
    RESAMPLING,
    RESCALE,
    TILE_SIZE,
    TIME,
    TMS,
    WINDOW,
)
from tilesrv.params import Table, choice, integer
from tilesrv.pictures import picture_route
from tilesrv.reading import Pick, method_for, tile_patch
from tilesrv.render import Format, render


@dataclass(frozen=True, slots=True)
class TileQuery(DisplayQuery):
    """Query of a tile."""

    tilesize: int = 256


@dataclass(frozen=True, slots=True)
class TilePath:
    """Path of a tile."""

    id: str
    tms: str
    z: int
    x: int
    y: int
    fmt: Format


TILE_PATH = Table(
    (
        IMAGE_ID,
        choice("tms", "`native`: the image's own grid; `WebMercatorQuad`.", TMS, where="path"),
        integer("z", "Zoom; 0 is the coarsest.", low=0, high=30, where="path"),
        integer("x", "Column of the tile, from the left.", low=0, high=2**30, where="path"),
        integer("y", "Row of the tile, from the top.", low=0, high=2**30, where="path"),
        FORMAT,
    ),
    TilePath,
)
DISPLAY = (BANDS, RESCALE, WINDOW, COLORMAP, NODATA, RESAMPLING, TIME)
TILE_QUERY = Table((*DISPLAY, TILE_SIZE), TileQuery)


@lru_cache(maxsize=1024)
def _text(query: DisplayQuery) -> str:
    """A query as part of a cache key."""
    return repr(query)


async def tile(request: Request) -> Response:
    """One tile. Tiles that stick out of the image are padded: transparent, or 0 in `npy`."""
    where = TILE_PATH.path(request.path_params)
    return await answer(request, where, TILE_QUERY.query(request.scope["query_string"]))


async def answer(request: Request, where: TilePath, query: TileQuery) -> Response:
    """A tile from the cache or the renderer, or 304."""
    context = context_of(request)
    served = await context.image(where.id)
    key = f"{served.tag}|{where.tms}|{where.z}|{where.x}|{where.y}|{where.fmt}|{_text(query)}"
    return await pictures.answer(
        request, key, fmt=where.fmt, lane=context.tiles, work=lambda: _render(context, served, where, query)
    )


def _render(context: Context, served: Served, where: TilePath, query: TileQuery) -> bytes:
    """Read and draw a tile. Blocking."""
    settings = context.settings
    look = look_of(served.pyramid.info, query, where.fmt, settings.max_tile_bands)
    pick = Pick(look.bands, query.t, query.nodata)
    patch = tile_patch(
        served,
        where.tms,
        (where.z, where.x, where.y),
        query.tilesize,
        pick,
        method=method_for(served.pyramid, query.resampling),
        budget=settings.max_request_pixels,
    )
    return render(patch, look.style, where.fmt)


ROUTES = (
    picture_route("/images/{id}/tiles/{tms}/{z}/{x}/{y}.{fmt}", tile, "A tile", TILE_PATH, TILE_QUERY, tag="tiles"),
)

"""Tiles: the route that everything else makes way for."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response

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
from tilesrv.files import matches, not_modified
from tilesrv.params import Table, choice, integer
from tilesrv.reading import Pick, method_for, tile_patch
from tilesrv.render import MEDIA_TYPES, Format, render
from tilesrv.routing import Endpoint, Operation

CACHE_CONTROL = "public, max-age=3600"
"""An id never means other pixels; after an hour clients ask whether the look is still the same."""
MAKER = version("bigimage")
"""Part of every ETag: another release may draw differently."""


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


def strong_etag(*parts: object) -> str:
    """Entity tag of everything that an answer depends on."""
    return f'"{blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest()}"'


async def tile(request: Request) -> Response:
    """One tile. Tiles that stick out of the image are padded: transparent, or 0 in `npy`."""
    where = TILE_PATH.path(request.path_params)
    return await answer(request, where, TILE_QUERY.query(request.scope["query_string"]))


async def answer(request: Request, where: TilePath, query: TileQuery) -> Response:
    """A tile from the cache or the renderer, or 304."""
    context = context_of(request)
    served = await context.image(where.id)
    key = f"{served.tag}|{where.tms}|{where.z}|{where.x}|{where.y}|{where.fmt}|{_text(query)}"
    etag = strong_etag(key, MAKER)
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if matches(request.headers.get("if-none-match"), etag):
        context.metrics.tile("not-modified")
        return not_modified(etag, headers)
    body: bytes | None = context.cache.get(key)
    if body is None:
        context.metrics.tile("render")
        body = await context.tiles.run(key, lambda: _render(context, served, where, query, key), request.receive)
    else:
        context.metrics.tile("cache")
    return Response(body, headers=headers, media_type=MEDIA_TYPES[where.fmt])


def _render(context: Context, served: Served, where: TilePath, query: TileQuery, key: str) -> bytes:
    """Read, draw and remember a tile. Blocking."""
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
    body = render(patch, look.style, where.fmt)
    context.cache.put(key, body, len(body) + len(key))
    return body


ROUTES = (
    Endpoint(
        "/images/{id}/tiles/{tms}/{z}/{x}/{y}.{fmt}",
        tile,
        Operation(
            summary="A tile",
            tag="tiles",
            tables=(TILE_PATH, TILE_QUERY),
            content={kind: {} for kind in MEDIA_TYPES.values()},
            also={304: "Unchanged."},
            problems=(400, 404, 413, 500, 501, 503),
        ),
    ),
)

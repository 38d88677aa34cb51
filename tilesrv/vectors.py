"""Routes of annotations as vector tiles, drawn again only where something changed."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import Unsupported
from tilesrv import tilesets
from tilesrv.context import Context, Served, context_of
from tilesrv.fields import IMAGE, IMAGE_ID, TILE_SIZE, TMS
from tilesrv.files import matches, not_modified
from tilesrv.ledger import Ledger, Mark
from tilesrv.maps import CACHE, tilejson_place, tileset_of
from tilesrv.mvt_place import MercatorPlacement, NativePlacement, Placement, padded
from tilesrv.params import Table, choice, integer
from tilesrv.routing import Endpoint, Operation
from tilesrv.vector_tiles import COUNTS, SHAPES, VectorTile, vector_tile

MEDIA_TYPE = "application/vnd.mapbox-vector-tile"
CACHE_CONTROL = "no-cache"
"""Clients may keep tiles but ask each time, as annotations change at any moment; most are told 304."""


@dataclass(frozen=True, slots=True)
class VectorPath:
    """Path of a vector tile."""

    id: str
    tms: str
    z: int
    x: int
    y: int
    fmt: str


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """Query of a vector tile, or of the document about them."""

    tilesize: int
    tms: str = tilesets.MERCATOR


VECTOR_PATH = Table(
    (
        IMAGE_ID,
        choice("tms", "`native`: the image's own grid; `WebMercatorQuad`.", TMS, where="path"),
        integer("z", "Zoom; 0 is the coarsest.", low=0, high=30, where="path"),
        integer("x", "Column of the tile, from the left.", low=0, high=2**30, where="path"),
        integer("y", "Row of the tile, from the top.", low=0, high=2**30, where="path"),
        choice("fmt", "`mvt`, or `pbf`, which some clients insist on.", ("mvt", "pbf"), where="path"),
    ),
    VectorPath,
)
VECTOR_QUERY = Table((TILE_SIZE,), VectorQuery)
TILEJSON_QUERY = Table(
    (
        TILE_SIZE,
        choice("tms", "Tile set; most readers of TileJSON expect WebMercatorQuad.", TMS, default=tilesets.MERCATOR),
    ),
    VectorQuery,
)
FIELDS: dict[str, dict[str, str]] = {
    SHAPES: {
        "id": "UUID of the annotation",
        "label": "Label, as it was given",
        "shape": "Kind of shape: polygon, line, point, box, ellipse, mask, …",
        "version": "Version of the annotation, for If-Match",
        "t": "Index of the point in time, where it is about one",
        "score": "Confidence from 0 to 1, where there is one",
        "instance": "Object that several annotations show, where told",
        "outline": "'box' for a mask too large to be traced in this tile",
        "more": "true where the annotation has attributes or relations that this tile does not tell",
    },
    COUNTS: {"label": "Label", "count": "Number of small annotations that the point stands for"},
}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A tile in the cache."""

    tile: VectorTile
    etag: str
    mark: Mark


def placement_of(served: Served, where: VectorPath, tile: int) -> Placement:
    """Where a tile lies. Raises NotFound for a tile that does not exist or lies beside the image, Unsupported."""
    pyramid = served.pyramid
    if pyramid.info.grid.ndim != 2:
        raise Unsupported(
            f"a volume has no map tiles; ask for what a slice shows with /images/{where.id}/annotations?plane=&index="
        )
    if where.tms == tilesets.NATIVE:
        return NativePlacement.of(tuple(pyramid.grids), served.native(tile), where.z, where.x, where.y)
    found = tileset_of(served, tilesets.MERCATOR, tile)
    return MercatorPlacement.of(pyramid.info.grid, found, where.z, where.x, where.y)


def _ledger(context: Context, served: Served) -> Ledger:
    """The latest changes of an image's annotations."""
    store = context.workspace.annotations.store
    return served.once(("ledger", id(store)), lambda: Ledger(store, served.pyramid.info.id))


async def vector(request: Request) -> Response:
    """Annotations in a tile (MVT 2.1); empty where there are none."""
    where = VECTOR_PATH.path(request.path_params)
    query = VECTOR_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    placement = placement_of(served, where, query.tilesize)
    # a key of its own for each request: nobody may get a state read before the request came in
    mark = await context.tiles.run(object(), lambda: _ledger(context, served).freshen(), request.receive)
    key = f"{served.tag}|mvt|{where.tms}|{where.z}|{where.x}|{where.y}|{query.tilesize}"
    kept: _Kept | None = context.cache.get(key)
    if kept is None or not _holds(context, served, placement, kept):
        context.metrics.tile("render")
        kept = await context.tiles.run(
            (key, mark), lambda: _draw(context, served, placement, key, mark), request.receive
        )
    else:
        context.metrics.tile("cache")
    headers = {"ETag": kept.etag, "Cache-Control": CACHE_CONTROL}
    if matches(request.headers.get("if-none-match"), kept.etag):
        return not_modified(kept.etag, headers)
    return Response(kept.tile.body, headers=headers, media_type=MEDIA_TYPE)


def _holds(context: Context, served: Served, placement: Placement, kept: _Kept) -> bool:
    """Whether a tile is still what would be drawn now."""
    boxes = [padded(box, kept.tile.margin) for box in placement.boxes]
    return _ledger(context, served).holds(kept.mark, boxes, kept.tile.masks)


def _draw(context: Context, served: Served, placement: Placement, key: str, mark: Mark) -> _Kept:
    """Draw and remember a tile. Blocking."""
    tile = vector_tile(context.workspace.annotations.store, served.pyramid.info.id, placement)
    # of the bytes themselves: the same for every worker, and after changes elsewhere
    kept = _Kept(tile, f'"{blake2b(tile.body, digest_size=12).hexdigest()}"', mark)
    context.cache.put(key, kept, len(tile.body) + len(key) + 200)
    return kept


async def vector_tilejson(request: Request) -> Response:
    """TileJSON 3.0.0 of the vector tiles, with their layers and fields."""
    image = IMAGE.path(request.path_params).id
    query = TILEJSON_QUERY.query(request.scope["query_string"])
    served = await context_of(request).image(image)
    found = tileset_of(served, query.tms, query.tilesize)
    base = f"{request.base_url}images/{image}/annotations/tiles/{query.tms}"
    look = "" if query.tilesize == 256 else f"?tilesize={query.tilesize}"
    zooms = (found.matrices[0].zoom, found.matrices[-1].zoom)
    body: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": f"{image}, annotations",
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [f"{base}/{{z}}/{{x}}/{{y}}.mvt{look}"],
        "minzoom": zooms[0],
        "maxzoom": zooms[1],
        "vector_layers": [
            {"id": layer, "fields": fields, "minzoom": zooms[0], "maxzoom": zooms[1]}
            for layer, fields in FIELDS.items()
        ],
    }
    place = tilejson_place(tilesets.geographic_bounds(served.pyramid.info.grid), found)
    return JSONResponse({**body, **place}, headers=CACHE)


ROUTES = (
    Endpoint(
        "/images/{id}/annotations/tiles/{tms}/{z}/{x}/{y}.{fmt}",
        vector,
        Operation(
            summary="Annotations as a vector tile",
            tag="annotations",
            tables=(VECTOR_PATH, VECTOR_QUERY),
            content={MEDIA_TYPE: {}},
            also={304: "Unchanged."},
            problems=(400, 404, 500, 501, 503),
        ),
    ),
    Endpoint(
        "/images/{id}/annotations/tilejson.json",
        vector_tilejson,
        Operation(
            summary="TileJSON 3.0.0 of the annotations' vector tiles",
            tag="annotations",
            tables=(IMAGE, TILEJSON_QUERY),
            content={"application/json": {"type": "object"}},
        ),
    ),
)
